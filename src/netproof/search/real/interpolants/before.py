"""The part of a graph before one layer of ReLUs, with one linear form of the layer's values as its output."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.ranges.prefix import prefix
from netproof.bounds.region import Region
from netproof.graph.graph import Graph, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum


@dataclass(frozen=True, eq=False)
class Before:
    """A smaller graph whose output is at least a linear form of what comes out of an activation of a larger one.

    Attributes
    ----------
    graph : with one output
    region : of one row, in terms of the smaller graph
    inputs : ``[n]``, its inputs among those of the larger graph
    """

    graph: Graph
    region: Region
    inputs: Tensor

    @classmethod
    def of(cls, graph: Graph, region: Region, k: int, form: tuple[Tensor, Tensor], below: Tensor) -> Before:
        """Of the ``k``-th activation, a ReLU, on a region of one row.

        ``form`` are features ``[n]`` and their coefficients. Where a feature is never negative it counts with what comes into the ReLU, and
        so it does where its coefficient is below 0 and ``below`` (``[n]`` bool) says so: that is no more than what comes out, so that the
        form is no less.
        """
        some = form[1] != 0
        feature, a = (part[some] for part in form)
        straight = (region.range_lower[k][0, feature] >= 0) | (below[some] & (a < 0))
        part = prefix(graph, region, k, feature)
        weight = torch.zeros(1, len(part.feature), dtype=torch.float64)
        bent = torch.zeros_like(weight)
        place = torch.searchsorted(part.feature, feature)
        weight[0, place[straight]] = a[straight]
        bent[0, place[~straight]] = a[~straight]
        builder = GraphBuilder(graph.arithmetic, part.graph.nodes[0].shape)
        at = [builder.input]
        for node in part.graph.nodes[1:]:
            at.append(builder.add(node.name, node.operator, *(at[i] for i in node.operands)))
        none = torch.zeros(1, dtype=torch.float64)
        ends, forms = part.region, []
        if bool(straight.any()):
            forms.append(builder.add("straight", Linear(weight, none), at[-1]))
        if not bool(straight.all()):
            which = bent[0].nonzero()[:, 0]
            taken = builder.add("bent", Select(which, len(part.feature), (len(which),)), at[-1])
            taken = builder.add("on", ReLU(), taken)
            forms.append(builder.add("form", Linear(bent[:, which], none), taken))
            features = part.feature[which]
            ends = replace(
                ends,
                range_lower=(*ends.range_lower, region.range_lower[k][:, features]),
                range_upper=(*ends.range_upper, region.range_upper[k][:, features]),
            )
        if len(forms) > 1:
            builder.add("sum", Sum((1, 1)), *forms)
        return cls(builder.build(), ends, part.inputs)
