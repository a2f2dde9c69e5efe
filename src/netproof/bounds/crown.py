"""CROWN without keeping anything: the bound of many objectives at once.

The multipliers are CROWN's own, ``s = slope * v`` (Zhang et al., NeurIPS 2018), for which an activation adds a
product with the offsets of its lines and no more. What is kept of every objective is its bound and its linear
form in the input, so that thousands of rows fit in memory where :func:`netproof.bounds.dual.evaluate_dual` holds hundreds.
"""

from __future__ import annotations

from torch import Tensor

from netproof.bounds.backward import Lines, Maximum, bound_backwards, box_maximum
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation


def crown_lines(
    relaxation: Relaxation,
    objective: Objective,
    rounding: Rounding | None = None,
    maximum: Maximum = box_maximum,
) -> Lines:
    """Bound every objective by CROWN.

    Rows correspond as in :func:`netproof.bounds.dual.evaluate_dual`; a single row broadcasts. With ``rounding`` (of a
    region that holds this one; everything float64) the value is an upper bound in real arithmetic. ``maximum`` is over the inputs
    that count, all of the box by default.
    """

    hulls = relaxation.hulls

    def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor]:
        return hulls[k].relax(v)

    sums = relaxation.condensed(max(objective.coefficients, default=0))
    return bound_backwards(relaxation, objective, activate, rounding, maximum=maximum, condensed=sums)
