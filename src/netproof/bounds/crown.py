"""CROWN without keeping anything: the bound of many objectives at once.

The multipliers are CROWN's own, ``s = slope * v`` (Zhang et al., NeurIPS 2018), for which an activation adds a
product with the offsets of its lines and no more. What is kept of every objective is its bound and its linear
form in the input, so that thousands of rows fit in memory where :func:`netproof.bounds.dual.evaluate_dual` holds hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from netproof.bounds.dual import Objective, box_maximum, pass_back
from netproof.bounds.region import Region
from netproof.bounds.rounding import Rounding
from netproof.graph.graph import Graph
from netproof.operators.base import Affine
from netproof.operators.hull import Hull


class Lines(NamedTuple):
    """Upper bounds of objectives that are affine in the input: ``coefficients . x + constant``, and on the box.

    Attributes
    ----------
    value : ``[B]``, the largest value on the box; rigorous where a :class:`Rounding` was given
    coefficients : ``[B, n_input]``
    constant : ``[B]``, without the error of rounding
    """

    value: Tensor
    coefficients: Tensor
    constant: Tensor


def crown_lines(
    graph: Graph,
    region: Region,
    hulls: Sequence[Hull],
    objective: Objective,
    rounding: Rounding | None = None,
) -> Lines:
    """Bound every objective by CROWN.

    Rows correspond as in :func:`netproof.bounds.dual.evaluate_dual`; a single row broadcasts. With ``rounding`` (of a
    region that holds this one; everything float64) the value is an upper bound in real arithmetic.
    """
    value = objective.constant
    weighed = torch.zeros((), dtype=value.dtype, device=value.device)
    if rounding is not None:
        for source, c in objective.coefficients.items():
            weighed = weighed + rounding.weigh(source, c)

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor]:
        nonlocal value, weighed
        operator = graph.nodes[index].operator
        if isinstance(operator, Affine):
            value = value + operator.offset(v)
            return operator.adjoint(v)
        multiplier, added = hulls[k].relax(v)
        value = value + added
        if rounding is not None:
            weighed = weighed + rounding.weigh(graph.nodes[index].operands[0], multiplier)
        return (multiplier,)

    v = pass_back(graph, objective.coefficients, hand_on)
    if v is None:
        v = torch.zeros_like(region.lower.expand(len(objective), -1))
    bound = value + box_maximum(v, region)
    if rounding is not None:
        bound = rounding.total(bound, objective.constant, weighed)
    return Lines(bound, v, value)
