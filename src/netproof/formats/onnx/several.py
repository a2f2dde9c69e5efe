"""Models with several inputs or outputs as one network: its inputs one after the other, and so its outputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.onnx.container.file import FLOATS
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.tensors import type_name
from netproof.network import Feed, Member, Network

if TYPE_CHECKING:
    import onnx

    from netproof.formats.onnx.read import Values


def is_several(model: onnx.ModelProto) -> bool:
    """Whether a model has more than one input or output."""
    return len(_inputs(model)) > 1 or len(model.graph.output) > 1


def wanted_outputs(path: Path, model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Names of the outputs that are numbers, in the order of the file, and of those that are not: masks and positions.

    Raises :class:`FormatError` where there are none of the former.
    """
    if not _inputs(model):
        raise FormatError(path, "has 0 inputs", "export it with an input")
    numbers: list[str] = []
    others: list[str] = []
    for value in model.graph.output:
        kind = value.type.tensor_type.elem_type
        (numbers if kind in FLOATS else others).append(value.name)
    if not numbers:
        names = ", ".join(f"'{printable(name)}'" for name in others[:4])
        problem = f"has no output of {' or '.join(FLOATS.values())}{': ' + names if names else ''}"
        raise FormatError(path, problem, "export it with one")
    return numbers, others


def as_network(path: Path, values: Values, others: list[str], clock: Clock | None = None) -> Network:
    """The values of a model as one network, which is evaluated as the model that it is."""
    from netproof.graph.passes.simplify import simplify

    sizes = [math.prod(given.shape) for given in values.inputs]
    first = itertools.accumulate(sizes, initial=0)
    feeds = tuple(
        Feed(given.name, tuple(range(start, start + size)), given.shape, type_name(given.type))
        for given, start, size in zip(values.inputs, first, sizes, strict=False)
    )
    names = tuple(given.name for given in values.results)
    notes = list(values.notes)
    for what, parts in (("inputs", values.inputs), ("outputs", values.results)):
        if len(parts) > 1:
            listed = ", ".join(f"{printable(g.name)} ({'x'.join(map(str, g.shape)) or 'scalar'})" for g in parts)
            notes.append(f"its {what} are numbered one after the other: {listed}")
    if others:
        notes.append(f"outputs that are no floats are left out: {', '.join(printable(name) for name in others)}")
    graph = simplify(values.graph) if clock is None else simplify(values.graph, clock.look)
    unbounded = torch.full((graph.input.size,), torch.inf, dtype=torch.float64)
    return Network(
        graph=graph,
        path=str(path),
        sha256=values.sha256,
        lower=-unbounded,
        upper=unbounded,
        notes=tuple(notes),
        members=(Member(path.name, str(path), values.content, feeds, names),),
        as_stored=values.graph,
    )


def check_shapes(path: Path, model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse shapes for inputs that a model does not have."""
    names = [value.name for value in _inputs(model)]
    for name in shapes:
        if name not in names:
            listed = ", ".join(f"'{printable(one)}'" for one in names[:8])
            raise FormatError(path, f"has no input '{printable(name)}' to give a shape to", f"its inputs are {listed}")


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]
