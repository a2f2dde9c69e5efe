"""What is looked up: the part of a file that depends on whole numbers alone, evaluated for some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.call import Constant, NodeError, Translation, Value, Variable
from netproof.formats.onnx.container.external import Surroundings
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.shapes import LARGEST_CAST
from netproof.formats.onnx.tabulated.find import Tabulated
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.jumps.table import Table
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select

if TYPE_CHECKING:
    import onnx

#: bytes that one place may make
_ROOM = 8 << 20
#: values of which a shape is looked for, at places next to 0
_PROBED = 4

#: translates nodes of a file, operands first, into values by name
Translate = Callable[[tuple["onnx.NodeProto", ...], Translation, dict[str, Value]], None]


@dataclass(eq=False)
class Rows:
    """Values of one name, at every place.

    Attributes
    ----------
    name : of the value
    nodes : that lead to it from the sources
    known : constants that these take
    sources : in the order of a place's numbers: names, and the shape of what each is
    """

    path: Path
    name: str
    nodes: tuple[onnx.NodeProto, ...]
    known: Mapping[str, Value]
    sources: tuple[tuple[str, tuple[int, ...]], ...]
    opset: int
    types: Mapping[str, int]
    translate: Translate = field(repr=False)
    shape: tuple[int, ...] = ()

    def value(self, place: tuple[int, ...]) -> Constant | None:
        """The value at a place, None where it has none (a shape that does not fit, an index beyond its axis)."""
        try:
            return self.found(place)
        except FormatError:
            return None

    def found(self, place: tuple[int, ...]) -> Constant | None:
        """The value at a place, None where something is rounded on the way; raises :class:`FormatError` where it has none."""
        translation = Translation(
            self.path,
            GraphBuilder(Arithmetic.REAL, (1,)),
            self.opset,
            Surroundings(self.path, Ledger(0, _ROOM)),
            dict(self.types),
        )
        values = dict(self.known)
        start = 0
        for name, shape in self.sources:
            size = int(np.prod(shape, dtype=np.int64))
            values[name] = Constant(np.array(place[start : start + size], np.int64).reshape(shape))
            start += size
        self.translate(self.nodes, translation, values)
        value = values[self.name]
        # What is rounded on the way is no constant.
        return value if isinstance(value, Constant) else None

    def __call__(self, place: tuple[int, ...]) -> Tensor | None:
        value = self.value(place)
        if value is None or value.shape != self.shape:
            return None
        numbers = value.array.astype(np.float64).reshape(-1)
        exact = value.array.dtype != np.int64 or bool((np.abs(numbers) < 2.0**53).all())
        return torch.from_numpy(numbers) if exact and bool(np.isfinite(numbers).all()) else None


def looked_up(
    part: Tabulated,
    node: onnx.NodeProto,
    name: str,
    values: Mapping[str, Value],
    translation: Translation,
    translate: Translate,
) -> Value:
    """The value ``name`` of a part, which ``node`` gives, looked up; ``values`` has everything that stands before it.

    Raises :class:`FormatError` where no place near 0 has a value, since its shape is not known then, and where there is too much
    to look up.
    """
    try:
        return _looked_up(part, name, values, translation, translate)
    except (NodeError, ExhaustedError) as refusal:
        shapes = ", ".join(_shape(values.get(operand)) for operand in node.input[:8])
        label = f"node '{printable(node.name or node.output[0])}' ({printable(node.op_type)} of {shapes or 'nothing'})"
        raise FormatError(translation.path, f"{label}: {refusal.problem}", refusal.hint) from None


def _looked_up(
    part: Tabulated, name: str, values: Mapping[str, Value], translation: Translation, translate: Translate
) -> Value:
    nodes, needed = _ancestors(part, name)
    given = {source: values[part.sources[source][0]] for source in part.sources if source in needed}
    variables = {source: value for source, value in given.items() if isinstance(value, Variable)}
    known = {one: values[one] for one in needed if one in values and one not in variables}
    for source, value in given.items():
        if isinstance(value, Constant):
            known[source] = Constant(np.trunc(value.array).astype(np.int64))
    sources = tuple((source, value.shape) for source, value in variables.items())
    rows = Rows(translation.path, name, nodes, known, sources, translation.opset, dict(translation.types), translate)
    limits = [LARGEST_CAST[part.sources[source][1]] for source, value in variables.items() for _ in range(value.size)]
    first = next(
        (
            found
            for k in translation.ledger.clock.each(range(_PROBED))
            if (found := rows.value((k,) * len(limits))) is not None
        ),
        None,
    )
    if first is None:
        raise NodeError(
            f"it depends on whole numbers that are computed from the input, and has no value for any of 0 to {_PROBED - 1}"
            + _reason(rows, len(limits)),
            "export the network without what depends on them, or with operators that are known",
        )
    if not limits:
        return first
    rows.shape = first.shape
    return _add(translation, name, list(variables.values()), rows, limits)


def _shape(value: Value | None) -> str:
    return "what is looked up" if value is None else "x".join(map(str, value.shape)) or "scalar"


def _reason(rows: Rows, count: int) -> str:
    """Why there is no value at 0."""
    try:
        rows.found((0,) * count)
    except FormatError as refusal:
        return f": {refusal.problem}"
    return ": it is rounded on the way"


def _ancestors(part: Tabulated, name: str) -> tuple[tuple[onnx.NodeProto, ...], set[str]]:
    """The nodes that lead to a value, and all names that they take or give."""
    needed, nodes = {name}, []
    for node in reversed(part.nodes):
        if not needed.isdisjoint(node.output):
            nodes.append(node)
            needed.update(one for one in node.input if one)
    return tuple(reversed(nodes)), needed


def _add(translation: Translation, name: str, sources: list[Variable], rows: Rows, limits: list[float]) -> Variable:
    builder, count = translation.builder, len(limits)
    size = int(np.prod(rows.shape, dtype=np.int64))
    translation.reserve(rows.shape)
    translation.ledger.nodes(4)
    translation.allocate(4 * (size + count))
    node = sources[0].node
    if len(sources) > 1:
        sizes = tuple(value.size for value in sources)
        node = builder.add(f"{name}/places", Concatenate(sizes), *(value.node for value in sources))
    index = torch.cat([torch.arange(count), torch.full((size,), -1)])
    wide = builder.add(f"{name}/place", Select(index, count, (count + size,)), node)
    table = builder.add(f"{name}/table", Table(tuple(limits), rows), wide)
    behind = Select(torch.arange(count, count + size), count + size, rows.shape)
    return Variable(builder.add(name, behind, table), rows.shape)
