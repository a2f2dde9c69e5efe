"""Pass: a number that is added to a network's result goes into the staircase that the result leaves."""

from __future__ import annotations

from dataclasses import replace

from netproof.graph.graph import Graph
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.scale import Scale


def shift_steps(graph: Graph) -> Graph:
    """The same function with its outputs straight from their staircase, where ``staircase(a) + c`` is the last it does.

    Conditions on the order of outputs that leave one staircase are carried to what is in front of it
    (:mod:`netproof.conditions.order`), which is how saturated outputs are told apart. Nothing else may need the staircase:
    of a graph without dead nodes (:func:`netproof.graph.passes.drop_dead.drop_dead`) nothing does. ``c`` is whole.
    """
    if len(graph.nodes) < 3:
        return graph
    *before, last, added = graph.nodes
    shift, steps = added.operator, last.operator
    if not isinstance(shift, Scale) or not isinstance(steps, Staircase) or added.operands != (len(graph.nodes) - 2,):
        return graph
    # One number for all features, so that channels stay as they are.
    if len(shift.shift) != 1 or bool((shift.scale != 1).any()) or bool((shift.shift != shift.shift.round()).any()):
        return graph
    if shift.roundings or shift.shift_error is not None:
        return graph
    moved = replace(last, operator=replace(steps, base=steps.base + shift.shift), shape=added.shape)
    return Graph(graph.arithmetic, [*before, moved])
