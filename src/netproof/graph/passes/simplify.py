"""The passes a reader of real networks applies, in their order."""

from __future__ import annotations

from functools import partial

from netproof.graph.graph import Graph
from netproof.graph.passes.bypass_concatenate import bypass_concatenate
from netproof.graph.passes.constants import fold_constants
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.drop_identity import drop_identity
from netproof.graph.passes.merge import Look, merge, unwatched
from netproof.graph.passes.merge_equal import merge_equal
from netproof.graph.passes.opposites import fold_opposites
from netproof.graph.passes.quotients import join_quotients
from netproof.graph.passes.rules.compose_select import linear_of_select, select_of_select
from netproof.graph.passes.rules.fold_scale import scale_after, scale_before
from netproof.graph.passes.rules.merge_linear import linear_of_linear

_RULES = (select_of_select, linear_of_select, scale_after, scale_before, linear_of_linear)


def simplify(graph: Graph, look: Look = unwatched) -> Graph:
    """The same function over the real numbers with fewer nodes.

    Where a new number is rounded, the operator that holds it says by how much (docs/semantics.md); for float64
    graphs only, whose unit roundoff that is. ``look`` is called between nodes, and ends all of it by what it raises.
    """
    graph = _merged(drop_dead(graph), look)
    for simpler in (partial(fold_constants, look=look), bypass_concatenate, fold_opposites, join_quotients):
        look()
        changed = simpler(graph)
        graph = graph if changed is graph else _merged(changed, look)
    return graph


def _merged(graph: Graph, look: Look) -> Graph:
    graph = drop_identity(merge(merge_equal(graph, look), _RULES, look))
    while True:  # nodes that were merged, or dropped, may have left equal ones behind
        smaller = merge_equal(graph, look)
        if len(smaller.nodes) >= len(graph.nodes):
            return graph
        graph = drop_identity(merge(smaller, _RULES, look))
