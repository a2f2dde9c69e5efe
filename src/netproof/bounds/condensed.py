"""Sums of images of few features as one linear map each: attention in a pass back.

A matrix product of two values is a sum of products, a softmax's denominator one of exponentials, and there are many more of these
than of the values they are made of. On one region CROWN's line or plane of each is always the same one, above or below as
the sign of what arrives says. So what a sum hands on to those values is ``max(v, 0)`` times one sparse matrix and ``min(v, 0)`` times
another, found once for many objectives. The multipliers are those of :meth:`netproof.operators.hulls.hull.Hull.relax`, and so is
the account of their rounding: every entry is a product of two numbers, however many of them are added up before or after.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.effort.bounding import CONDENSED
from netproof.graph.graph import Graph
from netproof.operators.activations.shares import Shares
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.pair_hull import PairHull

if TYPE_CHECKING:
    from jaxtyping import Float, Int64


class Chain(NamedTuple):
    """Where a graph has such sums.

    Attributes
    ----------
    k : the number of the activation
    source : the node that its operand's features are sums of
    terms : for each term its sign, and which feature ``[n]`` of the source it is
    inside : the nodes that nothing is handed to any more
    """

    k: int
    source: int
    terms: tuple[tuple[int, Int64[Tensor, " n"]], ...]
    inside: frozenset[int]


def chains(graph: Graph) -> dict[int, Chain]:
    """All sums (nodes) of activations whose operands are nothing but sums and differences of features of a smaller node."""
    readers = [0] * len(graph.nodes)
    for node in graph.nodes:
        for operand in node.operands:
            readers[operand] += 1
    found = {}
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.operator, BlockLinear) or node.operator.weight.shape[:2] != (1, 1):
            continue
        (activation,) = node.operands
        k = bisect_left(graph.activations, activation)
        if activation not in graph.activations[k : k + 1] or readers[activation] > 1:
            continue
        if isinstance(graph.nodes[activation].operator, Shares):
            continue  # what a run of them adds is not that of its features
        source = _source(graph, graph.nodes[activation].operands[0], readers)
        if source is None:
            continue
        size, (root, terms, inside) = graph.nodes[activation].size, source
        if CONDENSED.share * max(node.size, graph.nodes[root].size) <= size:
            found[index] = Chain(k, root, terms, inside | {activation})
    return found


def _source(
    graph: Graph, node: int, readers: list[int]
) -> tuple[int, tuple[tuple[int, Tensor], ...], frozenset[int]] | None:
    """The node, and terms of it, that a node's features are sums of, and all nodes between, which have no other readers."""
    at = graph.nodes[node]
    parts = [(node, 1)]
    if isinstance(at.operator, Sum) and readers[node] == 1:
        parts = list(zip(at.operands, at.operator.signs, strict=True))
    terms, roots = [], set()
    for part, sign in parts:
        operator = graph.nodes[part].operator
        if not isinstance(operator, Select) or operator.fill is not None or readers[part] > 1:
            return None
        if bool((operator.index < 0).any()):
            return None
        terms.append((sign, operator.index))
        roots.add(graph.nodes[part].operands[0])
    if len(roots) != 1 or readers[node] > 1:
        return None
    return roots.pop(), tuple(terms), frozenset({node, *(part for part, _ in parts)})


@dataclass(frozen=True, eq=False)
class _Side:
    """What an objective of 1 at each sum hands on and adds: ``[n_source, m]`` sparse, ``[m]``, and multipliers' sizes ``[n]``."""

    multipliers: Tensor
    added: Tensor
    sizes: Tensor


@dataclass(frozen=True, eq=False)
class Condensed:
    """The sums of one node on a region of one row.

    Attributes
    ----------
    chain : where they are
    operand : the node whose features get the multipliers
    above, below : for objectives of 1 and of -1
    parallel : whether the multipliers of both are the same but for their sign
    """

    chain: Chain
    operand: int
    above: _Side
    below: _Side
    parallel: bool

    @classmethod
    def of(cls, graph: Graph, index: int, chain: Chain, hull: Hull) -> Condensed | None:
        """None where some feature has no bound."""
        operator = graph.nodes[index].operator
        assert isinstance(operator, BlockLinear)
        sides = []
        for sign in (1.0, -1.0):
            v = (sign * operator.weight[0, 0]).repeat(operator.rows)[None]
            if isinstance(hull, PairHull):
                of_x, of_y, constant, gap = hull.plane
                weight = v[:, 0::2] + v[:, 1::2]
                s = torch.stack([weight * of_x, weight * of_y], -1).flatten(-2)
                added = (weight * constant + weight.abs() * gap).view(operator.rows, -1).sum(1)
            else:
                s = hull.slope(v) * v
                added = hull.conjugate(v, s).value.view(operator.rows, -1).sum(1)
            if not bool(torch.isfinite(added).all() & torch.isfinite(s).all()):
                return None
            sides.append(_Side(_sparse(graph, chain, s[0], operator.rows), added, s[0].abs()))
        return cls(
            chain, graph.nodes[graph.activations[chain.k]].operands[0], sides[0], sides[1], isinstance(hull, PairHull)
        )

    def relax(
        self, v: Float[Tensor, "B m"], rounding: Rounding | None
    ) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"], Float[Tensor, " B"] | None]:
        """What the source receives, what is added to the bound, and what that is off by."""
        up, down = v.clamp(min=0), -v.clamp(max=0)
        if self.parallel:
            handed = (self.above.multipliers @ v.T).T
        else:
            handed = (self.above.multipliers @ up.T + self.below.multipliers @ down.T).T
        added = up @ self.above.added + down @ self.below.added
        if rounding is None:
            return handed, added, None
        price = rounding.price(self.operand)
        of_above, of_below = ((price * side.sizes).view(v.shape[-1], -1).sum(1) for side in (self.above, self.below))
        return handed, added, up @ of_above + down @ of_below


def _sparse(graph: Graph, chain: Chain, s: Tensor, count: int) -> Tensor:
    place = torch.arange(len(s)) // (len(s) // count)
    rows = torch.cat([index for _, index in chain.terms])
    columns = place.repeat(len(chain.terms))
    values = torch.cat([sign * s for sign, _ in chain.terms])
    size = (graph.nodes[chain.source].size, count)
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, size, check_invariants=False).coalesce()
