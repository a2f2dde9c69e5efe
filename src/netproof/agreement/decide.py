"""Agreement over a list of inputs, over a set around an input, and over a box."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netproof.agreement.climb import Limits, climb
from netproof.agreement.inputs import whole_inputs
from netproof.agreement.joined import Agreement, check_comparable, disagreement, joined
from netproof.host import on_own_terms
from netproof.inference.plan import Plan, plan_of
from netproof.network import Network
from netproof.perturbations.asked import image_of
from netproof.perturbations.base import Perturbation, Whole, number_in_words
from netproof.result import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings

#: bounds on two networks together are of no use beyond so many features, and take much memory
_MOST_FEATURES = 40_000
#: of the time that there is, the part for looking before anything is proved
_LOOKING = 0.3
_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Compared:
    """How two networks differ on a list of inputs.

    Attributes
    ----------
    classes : ``[N, 2]``, the first largest output of each
    largest : ``[N]``, the largest difference of an output
    broken : ``[N]``, where they do not agree
    """

    classes: Whole
    largest: Whole
    broken: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Agreed:
    """Whether two networks agree everywhere on a set.

    Attributes
    ----------
    verdict : ``unsat`` where they do, proved; ``sat`` with a witness at which they do not; or what kept it open
    method, evaluated, seconds, reason : how that was found, with how many evaluations
    witness : ``[n_input]``, or None
    outputs : of either network at the witness, ``[n_output]`` each
    """

    verdict: Verdict
    method: str
    evaluated: int
    seconds: float
    reason: str = ""
    witness: Whole | None = None
    outputs: tuple[Whole, Whole] | None = None


class Pair:
    """Two networks of integers and what they have to have in common; raises :class:`InputError` where that cannot be asked."""

    @on_own_terms
    def __init__(self, first: Network, second: Network, agreement: Agreement | None = None) -> None:
        self.first, self.second, self.agreement = first, second, agreement or Agreement()
        check_comparable(first, second, self.agreement)
        self._plans = tuple(plan_of(one.graph, one.lower, one.upper, one.path) for one in (first, second))

    @property
    def plans(self) -> tuple[Plan, Plan]:
        return self._plans[0], self._plans[1]

    @on_own_terms
    def compared(self, inputs: ArrayLike | Tensor) -> Compared:
        """Both networks on inputs ``[N, n_input]``; raises :class:`QueryError` for inputs that they do not take."""
        inputs = whole_inputs(self.first, inputs)
        first, second = (plan.outputs(inputs) for plan in self.plans)
        classes = np.stack([first.argmax(1), second.argmax(1)], 1)
        return Compared(classes, np.abs(first - second).max(1), self.agreement.broken(first, second))

    @on_own_terms
    def on_set(self, image: ArrayLike | Tensor, perturbation: Perturbation, settings: Settings | None = None) -> Agreed:
        """Whether they agree at every input of a finite set around an image ``[n_input]``, by evaluating both at all."""
        settings, begun, done = settings or Settings(), time.monotonic(), 0
        around = image_of(self.first, whole_inputs(self.first, image, 1)[0])
        perturbation.check(around)
        count = perturbation.count(around)
        near = [plan.near(around.values) for plan in self.plans]
        for inputs in perturbation.inputs(around, _AT_ONCE):
            first, second = (one.outputs(inputs) for one in near)
            broken = np.flatnonzero(self.agreement.broken(first, second))
            if len(broken):
                done += int(broken[0]) + 1
                return self._witness(inputs[broken[0]], "enumeration", done, begun)
            done += len(inputs)
            if time.monotonic() - begun > settings.timeout and done < count:
                reason = f"the time limit was reached at input {done} of {number_in_words(count)}"
                return Agreed(Verdict.TIMEOUT, "enumeration", done, time.monotonic() - begun, reason)
        return Agreed(Verdict.UNSAT, "enumeration", done, time.monotonic() - begun)

    @on_own_terms
    def on_box(
        self,
        box: tuple[ArrayLike | Tensor, ArrayLike | Tensor],
        start: ArrayLike | Tensor,
        settings: Settings | None = None,
    ) -> Agreed:
        """Whether they agree everywhere in a box of inputs, by looking for a witness and by bounds on both together."""
        settings, begun = settings or Settings(), time.monotonic()
        both = joined(self.first, self.second)
        low, high, inside = (whole_inputs(self.first, part, 1)[0] for part in (*box, start))
        lower, upper = (torch.from_numpy(end.astype(np.float64)) for end in (low, high))
        # Refuses a box that is none before anything is looked for.
        query = disagreement(both, lower, upper, self.agreement, "agreement")
        small = both.graph.features <= _MOST_FEATURES
        share = _LOOKING if small else 1.0
        found, done = climb(
            self.plans, (low, high), np.clip(inside, low, high), self.agreement,
            Limits(begun + share * settings.timeout, 2000 if small else 1 << 40, settings.seed),
        )  # fmt: skip
        if found is not None:
            return self._witness(found, "attack", done, begun)
        spent = time.monotonic() - begun
        if not small:
            reason = f"no witness was found, and two networks of {both.graph.features} features together are too large for bounds"
            return Agreed(Verdict.UNKNOWN, "attack", done, spent, reason)
        left = Settings(
            timeout=max(settings.timeout - spent, 1e-3),
            seed=settings.seed,
            engine=settings.engine,
            memory=settings.memory,
        )
        result = verify(query, left)
        if result.witness is not None:
            return self._witness(result.witness.input.numpy(), result.method, done, begun)
        return Agreed(result.verdict, result.method, done, time.monotonic() - begun, result.reason)

    def _witness(self, x: Whole, method: str, done: int, begun: float) -> Agreed:
        """A witness, once both graphs' own evaluations confirm it."""
        given = torch.from_numpy(x).to(self.first.lower.dtype)
        first, second = (one.graph.evaluate(given).long().numpy() for one in (self.first, self.second))
        seconds = time.monotonic() - begun
        if not bool(self.agreement.broken(first[None], second[None])[0]):
            return Agreed(Verdict.ERROR, method, done, seconds, "two evaluations of one input differ (a defect)")
        return Agreed(Verdict.SAT, method, done, seconds, witness=x.astype(np.int64), outputs=(first, second))
