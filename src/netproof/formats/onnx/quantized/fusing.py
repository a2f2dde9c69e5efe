"""What onnxruntime on x86 makes one operator of integers of: by what takes a value, and in which type it has it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from netproof.formats.onnx.call import Call, NodeError
from netproof.formats.onnx.container.file import OnnxFile
from netproof.formats.onnx.forms import STANDARD
from netproof.formats.onnx.quantized.operators.moving import NOTHING
from netproof.formats.onnx.quantized.values import INT8, UINT8, Quantization, Real

if TYPE_CHECKING:
    import onnx

#: twice float32's epsilon, by which onnxruntime compares the ends of clips
_EPSILON = 2.0**-22
#: operators that onnxruntime neither leaves out nor moves, whatever their operands are, before it has looked for pairs
_STAYING = (
    "AveragePool",
    "Concat",
    "Conv",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Relu",
    "Sigmoid",
    "Tanh",
)


class Fusing:
    """What takes the values of a file, once the operators that do nothing are left out, as onnxruntime does."""

    def __init__(self, file: OnnxFile) -> None:
        self._unused = file.unused
        self._uses = Counter(file.uses)
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        self._makers: dict[str, onnx.NodeProto] = {}
        self._alias: dict[str, str] = {}
        for node in file.nodes:
            sources = [self._alias.get(name, name) for name in node.input]
            if _is_nothing(node):
                self._alias[node.output[0]] = sources[0]
                continue
            for name in sources:
                self._takers.setdefault(name, []).append(node)
            self._makers.update(dict.fromkeys(node.output, node))
        for node in reversed(file.nodes):
            if _is_nothing(node):
                self._uses[node.input[0]] += self._uses[node.output[0]] - 1

    def is_taken_once(self, call: Call, number: int) -> bool:
        """Whether nothing else takes an operand."""
        return self._uses[call.names[number]] == 1

    def taken_once(self, node: onnx.NodeProto) -> None:
        """Refuse what takes a value that is not quantized and that something else takes as well."""
        if self._uses[node.input[0]] != 1:
            raise NodeError(
                "its operand is taken by something else as well, so that nothing is fused", "quantize it first"
            )

    def computed(self, node: onnx.NodeProto, how: Quantization) -> int:
        """The type in which onnxruntime has the codes that a QuantizeLinear gives.

        Of ``int8`` with one DequantizeLinear behind it, which one node takes, it makes ``uint8`` of both.
        """
        if how.kind != INT8:
            return how.kind
        if self._unused:
            raise NodeError(
                "codes of int8 in a file with nodes that its output does not depend on, by which onnxruntime decides what it "
                "fuses",
                "remove those nodes",
            )
        takers = self._takers.get(node.output[0], [])
        if self._uses[node.output[0]] != 1 or len(takers) != 1:
            return how.kind
        (taker,) = takers
        pair = taker.op_type == "DequantizeLinear" and len(taker.input) == len(node.input) == 3
        return UINT8 if pair and self._uses[taker.output[0]] == 1 else INT8

    def check_pairs(self, node: onnx.NodeProto, real: Real, how: Quantization) -> None:
        """Refuse a second pair of QuantizeLinear and DequantizeLinear right behind a first one, where onnxruntime has one instead.

        Its scale and its zero point are neither's: they are for what both ranges have in common.
        """
        if real.clip is not None:
            is_without_effect(real.clip, how)
        if real.how is None or not real.paired or real.how.kind != how.kind or real.how == how or self._is_branch(node):
            return
        raise NodeError(
            "two pairs of QuantizeLinear and DequantizeLinear in a row, which onnxruntime makes one of, with another scale",
            "quantize once, with one scale and zero point, or name the runtime 'integer-ideal'",
        )

    def _is_branch(self, node: onnx.NodeProto) -> bool:
        """Whether an operator that stays takes what the DequantizeLinear in front of a QuantizeLinear gives, too."""
        first = self._maker(node)
        before = None if first is None or first.op_type != "DequantizeLinear" else self._maker(first)
        if first is None or before is None or before.op_type != "QuantizeLinear" or self._unused:
            return False
        pairs = self._takers[before.output[0]]
        return any(self._is_staying(taker) for one in pairs for taker in self._takers.get(one.output[0], []))

    def _is_staying(self, node: onnx.NodeProto) -> bool:
        """Whether onnxruntime neither leaves a node out nor moves it: sums and products with constants may do nothing."""
        if node.op_type not in ("Add", "Mul"):
            return node.op_type in _STAYING
        makers = [self._makers.get(self._alias.get(name, name)) for name in node.input]
        return all(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers)

    def _maker(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """What gives the operand of a node."""
        return self._makers.get(self._alias.get(node.input[0], node.input[0]))

    def check_constant(self, node: onnx.NodeProto) -> None:
        """Refuse a constant that is quantized, dequantized and quantized once more."""
        names, seen = list(node.input[:1]), set[str]()
        while names:
            name = self._alias.get(names[-1], names.pop())
            maker = self._makers.get(name)
            if name in seen or maker is None:
                continue
            if maker.op_type == "QuantizeLinear":
                raise NodeError(
                    "a constant that is quantized twice, which onnxruntime does once, with another scale",
                    "store its codes",
                )
            seen.add(name)
            names += maker.input


def _is_nothing(node: onnx.NodeProto) -> bool:
    return node.op_type in NOTHING and node.domain in STANDARD and bool(node.input) and bool(node.output)


def is_without_effect(clip: tuple[float, float], how: Quantization) -> bool:
    """Whether what is clipped to holds all that codes stand for, so that onnxruntime leaves it out.

    It allows for a difference of float32's epsilon; what lies so near is refused (:class:`NodeError`).
    """
    with np.errstate(over="ignore"):
        low, high = (float(np.float32(end - how.zero) * how.scale) for end in how.ends)
    excess = max(clip[0] - low, high - clip[1])
    if 0 < excess <= _EPSILON:
        raise NodeError(
            "what it is clipped to differs from the range of the codes by less than float32's epsilon",
            "clip to the range of the codes",
        )
    return excess <= 0
