"""Better envelopes: accelerated first-order steps on the bound, its corners rounded off (:mod:`netproof.bounds.envelope.copies`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from netproof.bounds.dual import given
from netproof.bounds.envelope.above import Above
from netproof.bounds.envelope.bound import EnvelopePoint, evaluate_above, evaluate_envelopes
from netproof.bounds.envelope.compiled import CompiledCopies, compiled_kernels
from netproof.bounds.envelope.copies import Copies
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.effort.envelope import ENVELOPE, Schedule
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Envelopes(Rows):
    """Multipliers of the bound with envelopes.

    Attributes
    ----------
    prices : of the first layer
    s : multipliers of all activations, of which that of the first one means nothing
    value : ``[B]``, the bound, as good as the dtype
    middle : ``[B, n]``, an input on whose neighbourhood the copies agree, from 0 (the lower end) to 1
    """

    prices: StoredPrices
    s: tuple[Tensor, ...]
    value: Tensor
    middle: Tensor


def improve(
    relaxation: Relaxation,
    box: LayerBox,
    objective: Objective,
    prices: Tensor,
    s: Sequence[Tensor],
    schedules: Sequence[Schedule],
    *,
    long: bool = False,
) -> Envelopes:
    """Lower the bounds of a batch from prices ``[B, m, n]`` and multipliers ``s`` above the first layer.

    What a schedule leaves open begins the next one at its best multipliers, where it is promising.

    Parameters
    ----------
    long : whether there are many more to come, so that compiled steps pay for their start; prices are float32 then
    """
    make = _compiled_copies() if long else Copies
    size = ENVELOPE.improved if make is Copies else ENVELOPE.improved_compiled
    parts = []
    for rows in torch.split(torch.arange(len(objective)), size):
        relaxed, asked = relaxation.take(rows), objective.take(rows)
        run = _Run(relaxed, box, asked, prices[rows], [m[rows] for m in s], make)
        most = ENVELOPE.promising * run.start
        found = run.go(schedules[0])
        for schedule in schedules[1:]:
            left = ((found.value >= schedule.goal) & (found.value <= most)).nonzero()[:, 0]
            if not len(left):
                break
            best = found.take(left)
            run = _Run(relaxed.take(left), box, asked.take(left), best.prices.values(prices.dtype), best.s, make)
            found = found.put(left, run.go(schedule))
        parts.append(found)
    return Envelopes.concatenate(parts)


_Make = Callable[[Tensor, LayerBox, Region], Copies]


def _compiled_copies() -> _Make:
    kernels = compiled_kernels()
    return Copies if kernels is None else partial(CompiledCopies, kernels=kernels)


class _Run:
    """The steps of a few rows.

    Attributes
    ----------
    start : ``[B]``, the bounds that they begin with
    """

    def __init__(
        self,
        relaxation: Relaxation,
        box: LayerBox,
        objective: Objective,
        prices: Tensor,
        s: Sequence[Tensor],
        make: _Make,
    ) -> None:
        self._relaxation, self._box = relaxation, box
        self._objective = objective
        self._rows = torch.arange(len(prices))
        self._copies = make(prices, box, relaxation.region)
        short, point = self._evaluate(s)
        self._copies.begin(point)
        self.start = point.value
        self._above = Above(relaxation, objective, s, point.above)
        middle = self._copies.middle.expand_as(point.above.x).clone()
        self._best = Envelopes(short, tuple(m.clone() for m in s), point.value.clone(), middle)

    def go(self, schedule: Schedule) -> Envelopes:
        width = schedule.width
        for count in range(schedule.steps):
            self._step(width)
            width *= schedule.shrink
            if count % ENVELOPE.every == ENVELOPE.every - 1 or count == schedule.steps - 1:
                short, point = self._evaluate(self._above.s)
                self._keep(short, point)
                running = (self._best.value[self._rows] >= schedule.goal).nonzero()[:, 0]
                if not len(running):
                    break
                self._copies.correct(point)
                if len(running) < len(self._rows):
                    self._take(running)
        return self._best

    def _evaluate(self, s: Sequence[Tensor]) -> tuple[StoredPrices, EnvelopePoint]:
        """The bound at the prices as they are stored."""
        prices = self._copies.prices
        short = StoredPrices.of(prices)
        return short, evaluate_envelopes(
            self._relaxation,
            self._box,
            self._objective,
            given(s),
            short.values(prices.dtype),
            short.order(),
            self._copies.level_values,
        )

    def _keep(self, short: StoredPrices, point: EnvelopePoint) -> None:
        gained = (point.value < self._best.value[self._rows]).nonzero()[:, 0]
        if len(gained):
            rows = self._rows[gained]
            self._best.prices.units[rows], self._best.prices.exponent[rows] = (
                short.units[gained],
                short.exponent[gained],
            )
            self._best.value[rows] = point.value[gained]
            for kept, now in zip(self._best.s, self._above.s, strict=True):
                kept[rows] = now[gained]
        self._best.middle[self._rows] = self._copies.middle

    def _take(self, rows: Tensor) -> None:
        self._rows = self._rows[rows]
        self._relaxation, self._objective = self._relaxation.take(rows), self._objective.take(rows)
        self._copies.take(rows)
        self._above.take(rows)

    def _step(self, width: float) -> None:
        above = evaluate_above(self._relaxation, self._objective, given(self._above.s))
        received = above.v[0]
        if received is None:
            received = torch.zeros_like(self._relaxation.region.range_lower[0])
        conjugate = self._copies.step(received, above.input_coefficients, width)
        self._above.step(replace(above, conjugates=(conjugate, *above.conjugates[1:])))
