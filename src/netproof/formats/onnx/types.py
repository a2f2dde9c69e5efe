"""Element types in an ONNX file: an operator takes the types it is defined for and does not mix them.

Runtimes refuse files in which one does, so there is nothing that a verdict on such a file could be about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import FormatError
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, form_of

if TYPE_CHECKING:
    import onnx

#: numbers and truth values, as ONNX numbers their types; of anything else the reader of tensors has more to say
_NUMBERS = (*range(1, 8), *range(9, 14))
#: of quantized operators of com.microsoft the operand that has the type of their result: its zero point
_ZERO_POINTS = {
    "QLinearAdd": 7, "QLinearMul": 7, "QGemm": 8, "QLinearConcat": 1, "QLinearAveragePool": 4, "QLinearGlobalAveragePool": 4,
    "QLinearLeakyRelu": 4, "QLinearSigmoid": 4, "QLinearSoftmax": 4,
}  # fmt: skip
#: attributes of a Constant that give its type
_CONSTANT_TYPES = {"value_float": 1, "value_floats": 1, "value_int": 7, "value_ints": 7}


def check_types(path: Path, nodes: Iterable[onnx.NodeProto], types: Mapping[str, int], opset: int) -> dict[str, int]:
    """Check that operands of nodes have types that their operator is defined for, and one where it asks for one.

    Parameters
    ----------
    nodes : operands first
    types : of the input and the initializers, as ONNX numbers them
    opset : version of the standard operators

    Returns the types of all values, those excepted that are not known (results of other operators).

    Raises
    ------
    FormatError : a type that the operator does not take; different types where ONNX has one for them
    """
    known = dict(types)
    for node in nodes:
        form = form_of(node.op_type, opset) if node.domain in STANDARD else None
        if form is None:
            place = _ZERO_POINTS.get(node.op_type) if node.domain == "com.microsoft" else None
            found = known.get(node.input[place]) if place is not None and place < len(node.input) else None
            if found is not None:
                known[node.output[0]] = found
            continue
        bound: dict[str, int] = {}
        for name, kind in _formal(form.takes, node.input):
            found = known.get(name)
            if found is None or found not in _NUMBERS:
                continue
            label = printable(node.name or (node.output[0] if node.output else ""))
            if kind in form.types and found not in form.types[kind]:
                raise FormatError(
                    path,
                    f"node '{label}' ({node.op_type}) takes '{printable(name)}', which is {_name(found)}; at opset {opset} ONNX "
                    f"allows {', '.join(_name(one) for one in sorted(form.types[kind])[:8])} there",
                    "export the network again, with operands of such a type",
                )
            if bound.setdefault(kind, found) != found:
                both = " and ".join(_name(one) for one in (bound[kind], found))
                raise FormatError(
                    path,
                    f"node '{label}' ({node.op_type}) mixes operands of {both}, which ONNX does not allow",
                    "export the network again, in one type",
                )
        for name, kind in _formal(form.gives, node.output):
            own = _own_type(node) or bound.get(kind)
            if own is None and len(form.types.get(kind, ())) == 1:
                own = next(iter(form.types[kind]))
            if own is not None:
                known[name] = own
    return known


def check_names(path: Path, nodes: Iterable[onnx.NodeProto]) -> None:
    """Check that no two nodes have one name; raises :class:`FormatError` where they do."""
    seen: set[str] = set()
    for node in nodes:
        if node.name and node.name in seen:
            raise FormatError(path, f"two nodes have the name '{printable(node.name)}'", "export the network again")
        seen.add(node.name)


def _formal(declared: Sequence[tuple[str, bool]], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Values with what stands for their types: type parameters, ``T`` for one, or types by name."""
    for number, name in enumerate(names):
        if not declared:
            return
        kind, homogeneous = declared[min(number, len(declared) - 1)]
        # Of several values of a variadic parameter each may have a type of its own, if it says so.
        if name and homogeneous:
            yield name, kind


def _own_type(node: onnx.NodeProto) -> int | None:
    """The type that a node names itself."""
    if node.op_type == "ConstantOfShape":
        return next((int(one.t.data_type) for one in node.attribute if one.name == "value"), 1)
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to":
            return int(attribute.i)
        if node.op_type == "Constant" and attribute.name == "value":
            return int(attribute.t.data_type)
        if node.op_type == "Constant" and attribute.name in _CONSTANT_TYPES:
            return _CONSTANT_TYPES[attribute.name]
    return None


def _name(kind: int) -> str:
    import onnx

    known: dict[int, str] = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
    name = known.get(kind, f"type {kind}")
    return {"float": "float32", "double": "float64"}.get(name, name)
