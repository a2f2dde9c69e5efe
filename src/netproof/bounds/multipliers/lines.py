"""Optimized lines for activations of every kind: alpha-CROWN (Xu et al., ICLR 2021).

Of every activation feature the line on either side leans as a number ``t`` in ``[0, 1]`` says (:meth:`netproof.operators.hulls.hull.Hull.lean`):
the slope below a ReLU, the point at which a tangent touches, how far a plane is between McCormick's two. Steps on ``t`` keep to
lines that touch the hull, where steps on free multipliers (:mod:`netproof.bounds.multipliers.ranges`) leave CROWN's choice for
something worse first: with products there are thousands of multipliers, and CROWN's are at a kink of the bound in each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, bound_backwards, box_maximum
from netproof.bounds.multipliers.adam import ByAutograd, Until, minimize
from netproof.bounds.multipliers.ranges import Parameters
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import LINE_STEPS
from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float


def leaning(
    relaxation: Relaxation,
    objective: Objective,
    until: Until,
    start: Sequence[Tensor] | None = None,
    maximum: Maximum = box_maximum,
) -> tuple[Parameters, Float[Tensor, " B"], list[Tensor]]:
    """The best lines found for every row.

    Parameters
    ----------
    relaxation : as many rows as the objective has, or one
    start : ``t`` of both sides, ``[B, n_k]`` for each activation above and then for each below; CROWN's by default
    maximum : over the inputs that count, all of the box by default

    Returns
    -------
    parameters : the lines as multipliers, with no ``beta``
    value : ``[B]``, the bound there (in the dtype of the inputs)
    t : what a further call may start with
    """
    run = _Lines(relaxation, objective, start, maximum)
    best, value = minimize(run, LINE_STEPS.rates, until)
    best = [part.clamp(0, 1) for part in best]
    return run.parameters_at(best), value, best


class _Lines(ByAutograd):
    def __init__(
        self, relaxation: Relaxation, objective: Objective, start: Sequence[Tensor] | None, maximum: Maximum
    ) -> None:
        rows = len(objective)
        if start is None:
            start, region = [], relaxation.region
            # Activations that no objective reaches have lines that nothing depends on.
            last = max(objective.coefficients, default=0)
            for sign in (1.0, -1.0):
                for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
                    t = torch.full_like(low, 0.5)
                    if relaxation.graph.activations[k] <= last:
                        t = _of_crown(relaxation.hulls[k].slope(torch.full_like(low, sign)), low, high)
                    start.append(t.expand(rows, -1))
        super().__init__(start, [LINE_STEPS.length] * len(start))
        self._relaxation, self._objective, self._maximum = relaxation, objective, maximum
        self._all = relaxation, objective

    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        return _bound(self._relaxation, self._objective, parameters, self._maximum)[0]

    def parameters_at(self, best: Sequence[Tensor]) -> Parameters:
        """The lines of all rows that there were."""
        relaxation, objective = self._all
        with torch.no_grad():
            _, slopes = _bound(relaxation, objective, best, self._maximum)
        nothing = [torch.zeros_like(low) for low in relaxation.region.range_lower]
        alpha = [slopes.get(k, one).expand(len(objective), -1) for k, one in enumerate(nothing)]
        return Parameters(tuple(alpha), tuple(torch.zeros_like(one) for one in alpha))

    def project(self) -> None:
        self.parameters = [part.clamp(0, 1) for part in self.parameters]

    def take(self, rows: Tensor) -> None:
        super().take(rows)
        if len(self._relaxation) > 1:
            self._relaxation = self._relaxation.take(rows)
        self._objective = self._objective.take(rows)


def _bound(
    relaxation: Relaxation, objective: Objective, t: Sequence[Tensor], maximum: Maximum
) -> tuple[Tensor, dict[int, Tensor]]:
    """The bound by lines, and the slopes that were chosen, for each activation that an objective reaches."""
    count, hulls = len(t) // 2, relaxation.hulls
    slopes: dict[int, Tensor] = {}

    def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor]:
        slope, offset = hulls[k].lean(v, torch.where(v >= 0, t[k], t[count + k]))
        slopes[k] = slope
        return slope * v, feature_sum(torch.where(v == 0, 0.0, v * offset))

    return bound_backwards(relaxation, objective, activate, maximum=maximum).value, slopes


def _of_crown(slope: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Halfway, but for a line below a ReLU, which has the slope of one of its pieces."""
    return torch.where((low < 0) & (high > 0) & ((slope == 0) | (slope == 1)), slope, 0.5)
