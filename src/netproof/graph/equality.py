"""When two operators, or two graphs, are equal: the same kind with the same parameters by value."""

from __future__ import annotations

import hashlib
from dataclasses import fields

from torch import Tensor

from netproof.graph.graph import Graph
from netproof.operators.base import Operator

#: what tells operators apart at a glance, tensors by their shapes only
Outline = tuple[object, ...]


def outline(operator: Operator) -> Outline:
    """What equal operators have in common, as far as it costs nothing to find out."""
    values = _parameters(operator)
    return type(operator), *((tuple(v.shape), v.dtype) if isinstance(v, Tensor) else v for v in values)


def digest(operator: Operator) -> bytes:
    """A hash of the tensors of an operator, bit by bit: 0 and -0 are two numbers, which does no harm."""
    hashing = hashlib.sha256()
    for value in _parameters(operator):
        if isinstance(value, Tensor):
            hashing.update(value.detach().cpu().contiguous().numpy().tobytes())
    return hashing.digest()


def same_graph(one: Graph, other: Graph) -> bool:
    """Whether two graphs have equal nodes in the same order."""
    if len(one.nodes) != len(other.nodes) or one.arithmetic is not other.arithmetic:
        return False
    return all(
        a.operands == b.operands
        and a.shape == b.shape
        and outline(a.operator) == outline(b.operator)
        and digest(a.operator) == digest(b.operator)
        for a, b in zip(one.nodes, other.nodes, strict=True)
    )


def _parameters(operator: Operator) -> list[object]:
    """The arguments that an operator was made of; operators are dataclasses."""
    return [getattr(operator, field.name) for field in fields(operator) if field.init]  # type: ignore[arg-type]
