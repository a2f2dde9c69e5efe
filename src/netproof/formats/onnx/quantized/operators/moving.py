"""Operators that move codes, or what codes stand for, and compute nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netproof.formats.onnx import shapes
from netproof.formats.onnx.call import Call, Constant, NodeError, Shape, Translate, Value, Variable, normalized
from netproof.formats.onnx.nodes.places import known
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.values import Codes, Dequantized, Open, Quantization, Real, Sums
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from netproof.operators.base import Operator

#: operators that take one value and constants
MOVING: dict[str, Translate] = {
    "Gather": known.OPERATORS["Gather"],
    **{
        name: shapes.OPERATORS[name]
        for name in (
            *("Dropout", "Expand", "Flatten", "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile"),
            *("Transpose", "Unsqueeze"),
        )
    },
}
#: those that onnxruntime moves a DequantizeLinear over, until which opset
PROPAGATED = {"Reshape": 20, "Transpose": 20, "Squeeze": 20, "Unsqueeze": 20}


#: those that onnxruntime leaves out
NOTHING = ("Identity", "Dropout")


class RecordingCall(Call):
    """A call that keeps the operators it makes, by node."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.made: dict[int, Affine] = {}

    def add(self, operator: Operator, operands: tuple[int, ...], shape: Shape, part: str = "") -> Variable:
        variable = super().add(operator, operands, shape, part)
        assert isinstance(operator, Affine)
        self.made[variable.node] = operator
        return variable


def moved(call: RecordingCall, codes: Codes) -> list[Codes]:
    """The results of an operator of :data:`MOVING` whose operand 0 is a value."""
    call.made = {}
    call.operands[0] = Variable(codes.node, codes.shape)
    if call.operator == "Pad":
        _fill(call, codes)
    results = MOVING[call.operator](call)
    found = []
    for result in results if isinstance(results, tuple) else (results,):
        assert isinstance(result, Variable)
        low, high = codes.low, codes.high
        operator = call.made.get(result.node)
        if operator is not None:
            center, radius = operator.forward((low + high) / 2), operator.forward_absolute((high - low) / 2)
            low, high = center - radius, center + radius
        rounded = codes.rounded and not is_apart(codes.shape, result.shape)
        found.append(replace(codes, node=result.node, shape=result.shape, low=low, high=high, rounded=rounded))
    return found


def is_apart(before: Shape, after: Shape) -> bool:
    """Whether an operator that moves stays where it is, between what is on either side: by what it makes of the extents but 1.

    onnxruntime leaves out what does nothing and moves transpositions past other operators, and what is one in other words.
    """
    one, other = (sorted(extent for extent in shape if extent != 1) for shape in (before, after))
    return one != other


def _fill(call: Call, codes: Codes) -> None:
    """What codes are padded with, as a number of the node's features."""
    if call.opset < 11:
        raise NodeError("codes are padded by an operator of floats", "export it for opset 13")
    given = call.optional(2)
    number = 0
    if given is not None:
        array = call.constant(2)
        if array.size != 1:
            raise NodeError(f"it pads with {array.size} numbers, not one", "export the network again")
        number = int(array.reshape(-1)[0])
    call.operands += [None] * (3 - len(call.operands))
    call.operands[2] = Constant(np.array(float(number - codes.offset)))


def moved_real(call: RecordingCall, real: Real, *, once: bool) -> list[Value]:
    """The same of what codes stand for; ``once`` says that nothing else takes the operand."""
    if call.operator == "Pad":
        given = call.constant(2) if call.optional(2) is not None else np.zeros(1)
        if call.opset < 11 or given.size != 1:
            raise NodeError("padding by an attribute, or by several numbers", "export it for opset 13")
        places = np.flatnonzero(real.table == np.float32(given.reshape(-1)[0]))
        if not len(places):
            raise NodeError("it pads with a number that no code stands for", "pad with zeros")
        call.operands += [None] * (3 - len(call.operands))
        call.operands[2] = Constant(np.array(int(places[0]) + real.codes.ends[0], np.int64))
    # A group that begins behind this one is fused only where onnxruntime moves the DequantizeLinear there.
    kept = once and call.opset <= PROPAGATED.get(call.operator, 0) and real.codes.computed == real.codes.kind
    direct = real.direct and (kept or call.operator in NOTHING)
    results: list[Value] = []
    for codes in moved(call, real.codes):
        paired = real.paired if call.operator in NOTHING else not is_apart(real.shape, codes.shape)
        results.append(replace(real, shape=codes.shape, codes=codes, direct=direct, paired=paired))
    return results


def moved_open(call: Call, value: Open) -> Open:
    """A group that gets another shape before it is closed, where onnxruntime moves the QuantizeLinear to the front."""
    nothing = call.operator in NOTHING
    if not nothing and (call.opset > PROPAGATED.get(call.operator, 0) or call.operator == "Transpose"):
        raise NodeError("its operand is not quantized", "quantize every value between two operators")
    call.operands[0] = Variable(0, value.shape)
    result = MOVING[call.operator](call)
    assert isinstance(result, Variable)
    shape = result.shape

    def close(how: Quantization, name: str, computed: int) -> Codes:
        return replace(value.close(how, name, computed), shape=shape)

    return value if nothing else replace(value, shape=shape, close=close, unfused=None, moved=True)


def moved_weights(call: Call, value: Dequantized) -> Dequantized:
    """A constant transposed, of one scale: onnxruntime moves its DequantizeLinear behind that."""
    if len(value.scale) > 1:
        raise NodeError(
            "weights with scales of channels are transposed, which onnxruntime does not fuse", "transpose them first"
        )
    moved = []
    for array in (value.array, value.codes):
        call.operands[0] = Constant(array)
        result = MOVING["Transpose"](call)
        assert isinstance(result, Constant)
        moved.append(result.array)
    return replace(value, array=moved[0], codes=moved[1])


def concatenated(build: Build, call: Call, name: str, parts: list[Codes]) -> Codes:
    """Codes one after the other along an axis, all of one type and offset."""
    first = parts[0]
    if any(part.kind != first.kind for part in parts):
        raise NodeError("values of two types are joined", "export the network again")
    rank = len(first.shape)
    (axis,) = normalized([call.integer("axis", 1)], rank)
    if any(
        len(part.shape) != rank
        or (*part.shape[:axis], *part.shape[axis + 1 :]) != (*first.shape[:axis], *first.shape[axis + 1 :])
        for part in parts
    ):
        raise NodeError(f"values of shapes {[part.shape for part in parts][:4]} along axis {axis}", "export it again")
    shape = (*first.shape[:axis], sum(part.shape[axis] for part in parts), *first.shape[axis + 1 :])
    build.translation.reserve(shape)
    sums: list[Sums] = [build.less(part, first.offset) for part in parts]
    if len(sums) == 1:
        total = sums[0]
    else:
        sizes = tuple(s.size for s in sums)
        total = build.affine(f"{name}/all", Concatenate(sizes), tuple(sums), (sum(sizes),))
    starts = np.cumsum([0, *(s.size for s in sums[:-1])])
    index = np.concatenate(
        [np.arange(s.size).reshape(s.shape) + start for s, start in zip(sums, starts, strict=True)], axis
    )
    value = build.selected(name, total, index)
    return Codes(value.node, shape, value.low, value.high, first.kind, first.offset, first.computed)
