"""Ranges of real graphs by CROWN, only for features whose activation is not affine on what is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.dual import Objective, hulls_of
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.rounding import Rounding
from netproof.graph.graph import Graph
from netproof.operators.base import Activation
from netproof.operators.hull import Hull

#: bytes that the rows bounded at once may occupy, and float64 tensors of the largest node that each row needs
_BYTES = 32 << 20
_TENSORS = 6


def open_features(graph: Graph, region: Region, k: int) -> Tensor:
    """Where the ``k``-th activation is not affine on its range: ``[B, n_k]`` bool."""
    low, high = region.range_lower[k], region.range_upper[k]
    return ~torch.isnan(graph.activation(graph.activations[k]).split_point((low + high) / 2, low, high))


def rows_at_once(graph: Graph, budget: int = _BYTES) -> int:
    """How many rows to bound at once within a budget of bytes."""
    return max(8, budget // (8 * _TENSORS * max(node.size for node in graph.nodes)))


def behind_activations(graph: Graph) -> list[bool]:
    """Per node whether its value depends on an activation; where it does not, intervals cannot be improved."""
    behind = [False]
    for node in graph.nodes[1:]:
        behind.append(isinstance(node.operator, Activation) or any(behind[i] for i in node.operands))
    return behind


#: what cuts the ranges of deeper layers to those found for the layers above them
Propagate = Callable[[Graph, Region], Region]


def refine_ranges(
    graph: Graph,
    region: Region,
    rounding: Rounding,
    deadline: float = math.inf,
    propagate: Propagate = propagate_intervals,
) -> Region:
    """Tighten the ranges of open features layer by layer: rigorous in real arithmetic, rows one by one.

    A range has two ends, but a feature whose sign is settled by one of them needs no more: the end nearer to settling
    it is bounded first, the other one only where that was not enough. What is bounded costs in proportion.

    Stops early, with what has been found, when ``time.monotonic()`` reaches ``deadline``. Everything is float64, and
    ``rounding`` of a region that holds this one.
    """
    for k in range(len(graph.activations)):
        region = refine_layer(graph, region, k, rounding, deadline, propagate)
    return region


def refine_layer(
    graph: Graph,
    region: Region,
    k: int,
    rounding: Rounding,
    deadline: float = math.inf,
    propagate: Propagate = propagate_intervals,
    threads: int | None = None,
) -> Region:
    """:func:`refine_ranges` of the ``k``-th activation alone, over the ranges that are known above it.

    ``threads`` is how many batches are bounded at a time, by default as many as PyTorch would use.
    """
    operand = graph.nodes[graph.activations[k]].operands[0]
    row, feature = open_features(graph, region, k).nonzero(as_tuple=True)
    # The features of one place side by side: they depend on the same few values of the layers before.
    shape = graph.nodes[operand].shape
    places = shape[-1] * shape[-2] if len(shape) == 3 else 1
    order = (feature % places).argsort(stable=True)
    row, feature = row[order], feature[order]
    if not behind_activations(graph)[operand] or not len(row) or time.monotonic() >= deadline:
        return region
    low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
    hulls = hulls_of(graph, region)
    above = (low + high)[row, feature] > 0
    for first in (True, False):
        if not len(row):
            break
        sign = torch.where(above == first, -1.0, 1.0).to(low.dtype)

        def bound(part: Tensor) -> Tensor | None:
            if time.monotonic() >= deadline:
                return None
            return bound_features(graph, region, hulls, operand, row[part], feature[part], sign[part], rounding)  # noqa: B023 - used within the round

        parts = torch.split(torch.arange(len(row)), rows_at_once(graph))
        for part, value in zip(parts, in_threads(bound, parts, threads or torch.get_num_threads()), strict=True):
            if value is None:
                continue
            pair, up = (row[part], feature[part]), sign[part] > 0
            high[pair] = torch.where(up, torch.minimum(high[pair], value), high[pair])
            low[pair] = torch.where(up, low[pair], torch.maximum(low[pair], -value))
        left = open_features(graph, region.with_range(k, low, high), k)[row, feature].nonzero()[:, 0]
        row, feature, above = row[left], feature[left], above[left]
    return propagate(graph, region.with_range(k, low, high))


def in_threads(
    function: Callable[[Tensor], Tensor | None], parts: Sequence[Tensor], threads: int
) -> list[Tensor | None]:
    """A function of independent parts in several threads, each part in one.

    Threads that share one operation wait for each other after each of them; these do not.
    """
    threads = min(threads, len(parts))
    if threads <= 1:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, parts))


def bound_features(
    graph: Graph,
    region: Region,
    hulls: Sequence[Hull],
    node: int,
    row: Tensor,
    feature: Tensor,
    sign: Tensor,
    rounding: Rounding,
) -> Tensor:
    """Upper bounds of ``sign * a``, one per pair of a row and a feature ``a`` of a node, ``sign`` 1 or -1: ``[P]``."""
    pairs = len(row)
    c = torch.zeros(pairs, graph.nodes[node].size, dtype=region.lower.dtype)
    c[torch.arange(pairs), feature] = sign
    if len(region) > 1:
        region, hulls = region.take(row), tuple(hull.take(row) for hull in hulls)
    objective = Objective({node: c}, torch.zeros(pairs, dtype=region.lower.dtype))
    return crown_lines(graph, region, hulls, objective, rounding).value
