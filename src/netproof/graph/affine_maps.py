"""Affine maps between activations, written out: what a value is in terms of the activations before it and the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.graph.graph import Graph
from netproof.graph.pass_back import pass_back
from netproof.operators.base import Affine


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``value = sum over sources of matrices[source] @ value(source) + offset``.

    Attributes
    ----------
    matrices : ``[rows, n_source]`` by node index, of those sources (activations, the input) that matter
    offset : ``[rows]``
    """

    matrices: dict[int, Tensor]
    offset: Tensor


def affine_map(graph: Graph, node: int, rows: Tensor | None = None) -> AffineMap:
    """What features ``rows`` (all, where None) of an affine node are in terms of activations and the input.

    By the adjoints at the unit vectors: exact in integer graphs where the entries and all sums on the way stay
    below 2**53. Entries of a feature that can have magnitude 1 or more do, once
    :func:`netproof.graph.exactness.check_exact` has passed.
    """
    size = graph.nodes[node].size
    rows = torch.arange(size) if rows is None else rows
    unit = torch.zeros(len(rows), size, dtype=torch.float64)
    unit[torch.arange(len(rows)), rows] = 1
    offset = torch.zeros(len(rows), dtype=torch.float64)
    received: dict[int, Tensor] = {}

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor | None]:
        nonlocal offset
        operator = graph.nodes[index].operator
        if not isinstance(operator, Affine):
            received[index] = v
            return (None,)
        offset = offset + operator.offset(v)
        return operator.adjoint(v)

    v = pass_back(graph, {node: unit}, hand_on)
    if v is not None:
        received[0] = v
    return AffineMap({source: matrix for source, matrix in received.items() if bool((matrix != 0).any())}, offset)
