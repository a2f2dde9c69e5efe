"""Optimized lines for activations of every kind: alpha-CROWN (Xu et al., ICLR 2021).

Of every activation feature the line on either side leans as a number ``t`` in ``[0, 1]`` says (:meth:`netproof.operators.hulls.hull.Hull.lean`):
the slope below a ReLU, the point at which a tangent touches, how far a plane is between McCormick's two. Steps on ``t`` keep to
lines that touch the hull, where steps on free multipliers (:mod:`netproof.bounds.multipliers.ranges`) leave CROWN's choice for
something worse first: with products there are thousands of multipliers, and CROWN's are at a kink of the bound in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, bound_backwards, box_maximum
from netproof.bounds.multipliers.adam import ByAutograd, Until, minimize
from netproof.bounds.multipliers.ranges import Parameters
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import LINE_STEPS
from netproof.operators.hulls.kink_hull import KinkHull
from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Cuts:
    """Where ranges of activations end because something was split or cut off, so that an end has a price of its own.

    Attributes
    ----------
    lower, upper : ``[B, n_k]`` bool for each activation, which ends those are; None where there are none
    beta : ``[B, n_k]`` for each activation, the prices to start from
    """

    lower: tuple[Tensor | None, ...]
    upper: tuple[Tensor | None, ...]
    beta: tuple[Tensor, ...]

    @classmethod
    def of(cls, relaxation: Relaxation, whole: Region, beta: Sequence[Tensor]) -> Cuts:
        """The ends that are closer than those of the whole region, of one row, that these are parts of."""
        region, lower, upper = relaxation.region, [], []
        for k, index in enumerate(relaxation.graph.activations):
            width = LINE_STEPS.cut * (whole.range_upper[k] - whole.range_lower[k])
            low = region.range_lower[k] > whole.range_lower[k] + width
            high = region.range_upper[k] < whole.range_upper[k] - width
            some = not relaxation.graph.activation(index).coupled and bool((low | high).any())
            lower.append(low if some else None)
            upper.append(high if some else None)
        return cls(tuple(lower), tuple(upper), tuple(beta))


def leaning(
    relaxation: Relaxation,
    objective: Objective,
    until: Until,
    start: Sequence[Tensor] | None = None,
    maximum: Maximum = box_maximum,
    cuts: Cuts | None = None,
) -> tuple[Parameters, Float[Tensor, " B"], list[Tensor]]:
    """The best lines found for every row.

    Parameters
    ----------
    relaxation : as many rows as the objective has, or one
    start : ``t`` of both sides, ``[B, n_k]`` for each activation above and then for each below; CROWN's by default
    maximum : over the inputs that count, all of the box by default

    Returns
    -------
    parameters : the lines as multipliers, with no ``beta`` but for what need not be handed on (:meth:`netproof.operators.hulls.hull.Hull.apart`)
    value : ``[B]``, the bound there (in the dtype of the inputs)
    t : what a further call may start with
    """
    run = _Lines(relaxation, objective, start, maximum, cuts)
    best, value = minimize(run, LINE_STEPS.rates, until)
    return run.parameters_at(best), value, best[: 2 * len(relaxation.graph.activations)]


def by_crown(relaxation: Relaxation, objective: Objective, maximum: Maximum = box_maximum) -> Float[Tensor, " B"]:
    """The bounds by the lines that :func:`leaning` begins with."""
    return _Lines(relaxation, objective, None, maximum, None).bound(onward=False)


class _Priced(NamedTuple):
    """Of an activation with cuts its number, what a price is in parts of, and between what it may be: ``[B, n_k]``."""

    k: int
    size: Tensor
    least: Tensor
    most: Tensor


class _Lines(ByAutograd):
    def __init__(
        self,
        relaxation: Relaxation,
        objective: Objective,
        start: Sequence[Tensor] | None,
        maximum: Maximum,
        cuts: Cuts | None,
    ) -> None:
        rows = len(objective)
        if start is None:
            start, region = [], relaxation.region
            # Activations that no objective reaches have lines that nothing depends on.
            last = max(objective.coefficients, default=0)
            for sign in (1.0, -1.0):
                for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
                    t = torch.full_like(low, 0.5)
                    hull = relaxation.hulls[k] if relaxation.graph.activations[k] <= last else None
                    if isinstance(hull, KinkHull):
                        t = _of_crown(hull.slope(torch.full_like(low, sign)), low, high)
                    start.append(t.expand(rows, -1))
        self._lines = len(start)
        self._priced: list[_Priced] = []
        self._relaxation, self._objective, self._maximum = relaxation, objective, maximum
        prices = [] if cuts is None else self._begin(start, cuts)
        super().__init__([*start, *prices], [LINE_STEPS.length] * (len(start) + len(prices)))
        self._all = relaxation, objective, list(self._priced)

    def _begin(self, start: Sequence[Tensor], cuts: Cuts) -> list[Tensor]:
        """Prices of ends, in parts of what arrives at their features to begin with."""
        with torch.no_grad():
            received = _bound(self._relaxation, self._objective, start, self._maximum, {}).received
        prices = []
        for k, (low, high) in enumerate(zip(cuts.lower, cuts.upper, strict=True)):
            v = received.get(k)
            if low is None or high is None or v is None:
                continue
            size = torch.maximum(v.abs(), v.square().mean(-1, keepdim=True).sqrt()).clamp(min=1e-12)
            least = torch.where(high, -torch.inf, torch.where(low, LINE_STEPS.tie, 0.0))
            most = torch.where(low, torch.inf, torch.where(high, -LINE_STEPS.tie, 0.0))
            prices.append(torch.minimum(torch.maximum(cuts.beta[k] / size, least), most))
            self._priced.append(_Priced(k, size, least, most))
        return prices

    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        beta = _prices(self._priced, parameters[self._lines :])
        return _bound(self._relaxation, self._objective, parameters[: self._lines], self._maximum, beta).value

    def parameters_at(self, best: Sequence[Tensor]) -> Parameters:
        """The lines of all rows that there were."""
        relaxation, objective, priced = self._all
        with torch.no_grad():
            prices = _prices(priced, best[self._lines :])
            chosen = _bound(relaxation, objective, best[: self._lines], self._maximum, prices).chosen
        nothing = [torch.zeros_like(low) for low in relaxation.region.range_lower]
        found = [chosen.get(k, (one, one)) for k, one in enumerate(nothing)]
        alpha, beta = (tuple(both[side].expand(len(objective), -1) for both in found) for side in (0, 1))
        return Parameters(alpha, beta)

    def project(self) -> None:
        lines = [part.clamp(0, 1) for part in self.parameters[: self._lines]]
        prices = [
            torch.minimum(torch.maximum(part, one.least), one.most)
            for part, one in zip(self.parameters[self._lines :], self._priced, strict=True)
        ]
        self.parameters = [*lines, *prices]

    def take(self, rows: Tensor) -> None:
        super().take(rows)
        if len(self._relaxation) > 1:
            self._relaxation = self._relaxation.take(rows)
        self._objective = self._objective.take(rows)
        self._priced = [_Priced(one.k, one.size[rows], one.least[rows], one.most[rows]) for one in self._priced]


def _prices(priced: Sequence[_Priced], parts: Sequence[Tensor]) -> dict[int, Tensor]:
    """Prices by activation."""
    return {one.k: one.size * part for one, part in zip(priced, parts, strict=True)}


class _At(NamedTuple):
    """The bound by lines, and of each activation that an objective reaches what was chosen, ``alpha`` and ``beta``, and what it received."""

    value: Tensor
    chosen: dict[int, tuple[Tensor, Tensor]]
    received: dict[int, Tensor]


def _bound(
    relaxation: Relaxation,
    objective: Objective,
    t: Sequence[Tensor],
    maximum: Maximum,
    beta: Mapping[int, Tensor],
) -> _At:
    count, hulls = len(t) // 2, relaxation.hulls
    chosen: dict[int, tuple[Tensor, Tensor]] = {}
    received: dict[int, Tensor] = {}

    def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor]:
        received[k] = v
        apart = hulls[k].apart(v)
        if apart is not None:
            common, added = apart
            chosen[k] = torch.ones_like(common), -common
            return v - common, feature_sum(added)
        slope, offset = hulls[k].lean(v, torch.where(v >= 0, t[k], t[count + k]))
        s, value = slope * v, torch.where(v == 0, 0.0, v * offset)
        price = beta.get(k)
        if price is None:
            chosen[k] = slope, torch.zeros_like(slope)
            return s, feature_sum(value)
        chosen[k] = slope, price
        s = s + price
        return s, feature_sum(torch.where(price == 0, value, hulls[k].conjugate(v, s).value))

    value = bound_backwards(relaxation, objective, activate, maximum=maximum).value
    return _At(value, chosen, received)


def _of_crown(slope: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Halfway, but for a line below a ReLU, which has the slope of one of its pieces."""
    return torch.where((low < 0) & (high > 0) & ((slope == 0) | (slope == 1)), slope, 0.5)
