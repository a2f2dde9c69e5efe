"""The part of a graph that the operand of one activation depends on, without what is 0 on a region."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from netproof.bounds.region import Region
from netproof.graph.crop import crop
from netproof.graph.graph import Graph


@dataclass(frozen=True, eq=False)
class Prefix:
    """A smaller graph whose output is the operand of an activation, or some of its features.

    Attributes
    ----------
    graph : its values on the region are those of the whole graph, at the features that are left
    region : of one row, in terms of the smaller graph
    feature : ``[n]``, the original indices of the output's features
    kept : per activation its number in the whole graph, and the original indices of its features
    inputs : ``[n_input]``, the original indices of the input's features
    """

    graph: Graph
    region: Region
    feature: Tensor
    kept: tuple[tuple[int, Tensor], ...]
    inputs: Tensor


def prefix(graph: Graph, region: Region, k: int, feature: Tensor) -> Prefix:
    """What features of the ``k``-th activation's operand depend on, for a region of one row.

    Linear layers do without the columns of features that are 0 on all of the region.
    """
    idle = {}
    for number, i in enumerate(graph.activations[:k]):
        low, high = graph.activation(i).output_range(region.range_lower[number], region.range_upper[number])
        nothing = (low[0] == 0) & (high[0] == 0)
        nothing[0] &= ~nothing.all()  # a layer without features would be a special case everywhere
        idle[i] = nothing
    part = crop(graph, graph.nodes[graph.activations[k]].operands[0], feature, idle)
    kept = tuple((number, part.features[i]) for number, i in zip(part.activations, part.graph.activations, strict=True))
    return Prefix(part.graph, region.part(part), part.features[-1], kept, part.features[0])
