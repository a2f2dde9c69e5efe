"""Which values of a file are computed from whole numbers that depend on the input, and decide places or shapes.

``x[:, px : px + 3]`` with ``px`` a value that is cast to an integer is no operator with a place for numbers of its own. But where
everything that depends on ``px`` up to some value depends on nothing else, that value is one of finitely many, which can be
looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from netproof.formats.onnx.forms import STANDARD

if TYPE_CHECKING:
    import onnx

_INTEGERS = (6, 7)
_FLOATS = (1, 10, 11, 16)
#: operands that say where something is, or how large
_PLACES: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Gather": (1,),
    "GatherElements": (1,),
    "GatherND": (1,),
    "OneHot": (0, 1),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "ScatterElements": (1,),
    "ScatterND": (1,),
    "Slice": (1, 2, 3, 4),
    "Tile": (1,),
}
#: what a part may be made of: evaluating it is done for every place
_MOST_NODES = 256


class _Of(IntEnum):
    """What a value depends on."""

    CONSTANTS = 0
    WHOLE_NUMBERS = 1
    INPUT = 2


@dataclass(frozen=True)
class Tabulated:
    """What is looked up.

    Attributes
    ----------
    sources : casts to integers, by the names of what they give: the names of their operands and the types
    nodes : all that is computed from them and from constants alone, in the order of the file
    wanted : the names of what others take of it
    """

    sources: Mapping[str, tuple[str, int]]
    nodes: tuple[onnx.NodeProto, ...]
    wanted: frozenset[str]


def find_tabulated(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], outputs: Sequence[str], types: Mapping[str, int]
) -> Tabulated | None:
    """What of a file's nodes has to be looked up; None where no place depends on the input.

    Parameters
    ----------
    inputs, outputs : names
    types : of values, as ONNX numbers them
    """
    if any(attribute.HasField("g") for node in nodes for attribute in node.attribute):
        return None
    of = dict.fromkeys(inputs, _Of.INPUT)
    sources: dict[str, tuple[str, int]] = {}
    inside: list[onnx.NodeProto] = []
    places = False
    for node in nodes:
        kind = max((of.get(name, _Of.CONSTANTS) for name in node.input), default=_Of.CONSTANTS)
        if node.op_type in ("Shape", "Size") and kind is _Of.INPUT:
            kind = _Of.CONSTANTS
        if kind is _Of.INPUT and _is_source(node, types):
            to = next(int(attribute.i) for attribute in node.attribute if attribute.name == "to")
            sources[node.output[0]] = node.input[0], to
            kind = _Of.WHOLE_NUMBERS
        elif kind is _Of.WHOLE_NUMBERS:
            inside.append(node)
            named = (node.input[i] for i in _PLACES.get(node.op_type, ()) if i < len(node.input))
            places = places or any(of.get(name) is _Of.WHOLE_NUMBERS for name in named)
        of.update(dict.fromkeys(node.output, kind))
    if not places or len(inside) > _MOST_NODES:
        return None
    taken = {name for node in nodes if of.get(node.output[0]) is _Of.INPUT for name in node.input} | set(outputs)
    made = {name for node in inside for name in node.output}
    return Tabulated(sources, tuple(inside), frozenset(taken & made))


def _is_source(node: onnx.NodeProto, types: Mapping[str, int]) -> bool:
    to = [attribute.i for attribute in node.attribute if attribute.name == "to"]
    standard = node.op_type == "Cast" and node.domain in STANDARD and len(node.output) == 1
    return standard and len(to) == 1 and to[0] in _INTEGERS and types.get(node.input[0], 0) in _FLOATS
