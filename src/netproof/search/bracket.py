"""The largest radius at which a sample is robust, over the real numbers: between a proof and a witness."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from netproof.arguments.numbers import Number, exact_number, whole_number
from netproof.arguments.words import shown
from netproof.attack.nearer import Nearer
from netproof.attack.real import FloatAttack
from netproof.conditions.conditions import Conditions
from netproof.effort.questions import RADIUS
from netproof.effort.real import REAL
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import distance, robustness
from netproof.network import Network
from netproof.processes import clock
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.radius import RadiusResult, nearest_of
from netproof.search.verify import verify
from netproof.settings import Settings

_LEVELS = 255
#: radii on the grid of the accuracy, at the most
_MOST_STEPS = 1 << 40


def bracketed_radius(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    settings: Settings,
    ends: tuple[Number | None, Number | None],
    arguments: Mapping[str, Any],
) -> RadiusResult:
    """As :func:`netproof.search.radius.largest_radius`, which says the rest, for radii that are no ends of boxes of whole numbers.

    ``ends`` are ``limit`` and ``accuracy``, ``arguments`` the keywords that say how values become inputs, and the norm.

    Radii are doubled until something other than a proof comes back, then bisected. One that is not decided in its share of the
    time (:class:`_Patience`) is given up for others. Where a witness lies is measured exactly, so that it can be far inside
    the radius that was asked about.
    """
    begun = clock.now()
    integer = network.graph.arithmetic is Arithmetic.INTEGER
    # What is wrong with the arguments is said by that function, before anything is made of them here.
    start = robustness(network, image, label, 0, **arguments, name="radius 0")
    if integer:
        accuracy, widest, whole = _whole_extents(network, ends[0])
        step = accuracy
    else:
        accuracy, widest, whole = _extents(image, *ends, arguments, network.inputs)
        step = accuracy / RADIUS.steps
    steps = math.ceil(widest / step)

    def query(number: int) -> Query:
        radius = min(number * step, widest)
        return robustness(network, image, label, radius, **arguments, name=f"radius {radius}")

    def far(witness: Witness) -> Fraction:
        found = distance(network, image, witness.numbers, **arguments)
        return Fraction(math.ceil(found)) if integer else found

    if start.misclassified:
        return RadiusResult(-1, None, None, True, clock.now() - begun, 1)
    first = verify(start, settings)
    if first.verdict is Verdict.SAT:
        return RadiusResult(-1, first.witness, Fraction(0), True, clock.now() - begun, 1)
    if first.verdict is not Verdict.UNSAT:
        return RadiusResult(-1, None, None, False, clock.now() - begun, 1, first.reason or "no answer in time")
    known, queries = _Known(step, steps, first), 1
    in_ball = arguments.get("norm", "linf") != "linf"
    attacks = _Attacks.of(query, steps, settings) if in_ball and settings.attack else None
    if attacks is not None:
        known.refute(attacks.first(begun + RADIUS.attacked * settings.timeout), far)
    patience = _Patience.of(ball=in_ball)
    while not known.within(accuracy):
        remaining = settings.timeout - (clock.now() - begun)
        number = known.next(patience)
        if number is None and patience.grow():
            known.open.clear()
            continue
        if remaining <= 0 or number is None:
            known.undecided = known.undecided or "the time limit was reached"
            break
        queries += 1
        asked = query(number)
        result = verify(asked, replace(settings, timeout=patience.seconds(remaining)))
        if patience.learn(result, len(asked.condition)) or number > known.proved + 1:
            known.learn(number, result, far)
        if attacks is not None and result.witness is not None:
            known.refute(attacks.nearer(result.witness, clock.now() + RADIUS.attacked * remaining), far)
    exact = known.within(accuracy) if known.refuted is not None else whole and known.proved == steps
    undecided = known.undecided
    if not exact and known.refuted is None and known.proved == steps:
        undecided = f"only radii up to {widest} were looked at"
    return RadiusResult(
        min(known.proved * step, widest),
        known.witness,
        known.refuted,
        exact,
        clock.now() - begun,
        queries,
        "" if exact else undecided,
        known.proof if settings.proofs else None,
    )


@dataclass(frozen=True, eq=False)
class _Attacks:
    """Witnesses in a ball from above, before anything is proved: a radius of which one is known needs no search.

    Attributes
    ----------
    query : at a number of steps
    steps : at which all that inputs can be is within reach
    settings : whose seed counts
    """

    query: Callable[[int], Query]
    steps: int
    settings: Settings
    closer: Nearer

    @classmethod
    def of(cls, query: Callable[[int], Query], steps: int, settings: Settings) -> _Attacks | None:
        """None where the smallest ball already holds the box."""
        ball = query(1).ball
        return None if ball is None else cls(query, steps, settings, Nearer(query(steps), ball))

    def nearer(self, witness: Witness, deadline: float) -> Witness:
        """A witness, or a nearer one that comes of it."""
        return self.closer.of(witness, deadline)

    def first(self, deadline: float) -> Witness | None:
        """The nearest that attacks find, if they find any.

        Where one ends up depends on where it began: some are made in balls of growing size, beginning with the first that has one.
        """
        integer = self.closer.query.network.graph.arithmetic is Arithmetic.INTEGER
        starts = self._in_boxes(deadline) if integer else self._in_balls(deadline)
        found = [self.nearer(start, deadline) for start in islice(starts, RADIUS.starts)]
        return min(found, key=self.closer.distance, default=None)

    def _in_boxes(self, deadline: float) -> Iterator[Witness]:
        """Of a network over the integers, by the walks that look for them in boxes."""
        widest = self.closer.query
        furthest = max(1, int((widest.upper - widest.lower).max()))
        radius = max(1, furthest // RADIUS.first_share)
        walks = nearest_of(widest, self.settings)
        while clock.now() < deadline:
            if walks.walk(radius, deadline):
                assert walks.witness is not None
                yield walks.witness
                # The nearest in a box is kept, and not what others lead to.
                walks = nearest_of(widest, replace(self.settings, seed=self.settings.seed + radius))
            if radius == furthest:
                break
            radius = min(2 * radius, furthest)

    def _in_balls(self, deadline: float) -> Iterator[Witness]:
        """Of a network over the real numbers, by gradient ascent in larger and larger balls."""
        number = max(1, self.steps // RADIUS.first_share)
        while clock.now() < deadline:
            query = self.query(number)
            cases = Conditions.of(query.network.graph, query.condition)
            attack = FloatAttack(query, cases, self.settings.seed)
            # Ascent goes by the time that passes.
            ends = time.monotonic() + deadline - clock.now()
            found = attack.ascend(torch.arange(len(cases)), *REAL.quick, ends)
            if found is not None:
                yield found
            if number == self.steps:
                break
            number = min(2 * number, self.steps)


@dataclass
class _Patience:
    """For how long a radius is looked at before others are.

    Searches in balls are longer than others where they end with no answer: attacks and bounds have all radii first, which
    takes as long as bounds do there, and searches what is left of the time.

    Attributes
    ----------
    ball : whether radii are those of balls; of boxes each has half of the time that is left
    share : of the time that is left
    apart : radii that are not decided are no nearer to one that is proved than by this part of them
    ahead : one in so many of the radii between a proof and a witness is looked at next, where nothing else is known of them
    least : seconds: some times what bounds took where they were enough, or did not do with
    """

    ball: bool
    share: float = RADIUS.half
    apart: float = 0.0
    ahead: int = 2
    least: float = 0.0

    @classmethod
    def of(cls, *, ball: bool) -> _Patience:
        return cls(ball, RADIUS.brief, RADIUS.apart) if ball else cls(ball)

    def seconds(self, remaining: float) -> float:
        """For the next radius; all that is left where half of it would be too little."""
        if self.least > RADIUS.half * remaining:
            return remaining
        return max(self.share * remaining, self.least)

    def learn(self, result: Result, cases: int) -> bool:
        """Take down how long bounds take on a query of so many cases; False where they had no end in their time."""
        if not self.ball:
            return True
        if result.verdict is Verdict.UNSAT:
            self.ahead = max(2, self.ahead // 2)
            if result.method == "bound":
                self.least = RADIUS.bounds * result.seconds
        elif not result.verdict.decided:
            self.ahead = 2 if self.apart == RADIUS.apart else RADIUS.ahead
            if result.subproblems <= cases:
                # Bounds take about as long at any radius.
                self.least = max(self.least, RADIUS.soon * result.seconds)
                return False
        return True

    def grow(self) -> bool:
        """Look longer, and at radii closer to each other, where all were looked at; False where that is all there is."""
        if self.share >= RADIUS.half and not self.apart:
            return False
        self.share = min(RADIUS.half, RADIUS.longer * self.share)
        self.apart = self.apart / RADIUS.longer if self.share < RADIUS.half else 0.0
        # What bounds do not decide is the easier the nearer it is to what they do.
        self.ahead = RADIUS.ahead
        return True


@dataclass
class _Known:
    """What is known of radii, which are numbers of steps.

    Attributes
    ----------
    step : between two numbers
    steps : the largest number
    proof : the result at ``proved``
    proved : the largest number with a proof
    refuted : the smallest radius with a witness
    witness : that one
    undecided : why the last one was not decided that was not
    open : numbers that were not decided. At the very end of what is robust, where outputs are equal, there may be neither a
        proof nor a witness in float32, however long one looks, so that radii beyond are asked about, too
    """

    step: Fraction
    steps: int
    proof: Result
    proved: int = 0
    refuted: Fraction | None = None
    witness: Witness | None = None
    undecided: str = ""
    open: list[int] = field(default_factory=list)

    def learn(self, number: int, result: Result, far: Callable[[Witness], Fraction]) -> None:
        """Take down an answer; ``far`` says at which radius a witness lies."""
        if result.verdict is Verdict.UNSAT:
            if number > self.proved:
                self.proved, self.proof = number, result
        elif result.verdict is Verdict.SAT and result.witness is not None:
            self.refute(result.witness, far)
        else:
            self.open.append(number)
            self.undecided = result.reason or "no answer in time"

    def refute(self, witness: Witness | None, far: Callable[[Witness], Fraction]) -> None:
        """Take down a witness, if it is one that is nearer than others."""
        at = None if witness is None else far(witness)
        if at is not None and (self.refuted is None or at < self.refuted):
            self.refuted, self.witness = at, witness

    def within(self, accuracy: Fraction) -> bool:
        """Whether nothing is left to be asked."""
        if self.refuted is None:
            return self.proved == self.steps
        return self.refuted - self.proved * self.step <= accuracy

    def next(self, patience: _Patience) -> int | None:
        """The number to ask about next; None where all are decided or were tried."""
        end = self.steps + 1 if self.refuted is None else min(self.steps + 1, math.ceil(self.refuted / self.step))
        tried = sorted(number for number in self.open if self.proved < number < end)
        if not tried:
            if self.refuted is None:
                return min(max(2 * self.proved, self.steps // RADIUS.first_share, 1), self.steps)
            return self.proved + max(1, (end - self.proved) // patience.ahead) if self.proved + 1 < end else None
        if self.proved + 1 < tried[0] and tried[0] - self.proved > patience.apart * tried[0]:
            return (self.proved + tried[0]) // 2
        return (tried[-1] + end) // 2 if tried[-1] + 1 < end and end - tried[-1] > patience.apart * end else None


def _whole_extents(network: Network, limit: Number | None) -> tuple[Fraction, Fraction, bool]:
    """As :func:`_extents`, for whole grey levels: the sum of all that values can move by is as far as any norm goes."""
    range_ = int((network.upper - network.lower).sum())
    widest = range_ if limit is None else whole_number(limit)
    if widest is None or widest < 0:
        raise QueryError("radius", f"the limit is {shown(limit)}", "give a whole number of grey levels, 0 or more")
    return Fraction(1), Fraction(min(widest, range_)), widest >= range_


def _extents(
    image: ArrayLike | Tensor,
    limit: Number | None,
    accuracy: Number | None,
    arguments: Mapping[str, Any],
    inputs: int,
) -> tuple[Fraction, Fraction, bool]:
    """The accuracy, the largest radius, and whether that is all there is; raises :class:`QueryError`."""
    grey = getattr(image, "dtype", None) in (torch.uint8, np.uint8)
    scale = exact_number(arguments["scale"]) if arguments["scale"] is not None else Fraction(1)
    unit = (scale or Fraction(1)) if grey else Fraction(1)
    found = unit / 10 if accuracy is None and grey else exact_number("0.001" if accuracy is None else accuracy)
    if found is None or found <= 0:
        raise QueryError(
            "radius", f"the accuracy is {shown(accuracy)}", "give a number above 0, in the unit of the radius"
        )
    range_ = _range(arguments["clip"], unit * _LEVELS if grey else None)
    if range_ is not None and arguments.get("norm", "linf") != "linf":
        range_ *= inputs if arguments["norm"] == "l1" else math.isqrt(inputs) + 1
    widest = (range_ or Fraction(1)) if limit is None else exact_number(limit)
    if widest is None or widest < 0:
        raise QueryError(
            "radius", f"the limit is {shown(limit)}", "give a number, 0 or more, in the unit of the radius"
        )
    if widest / found > _MOST_STEPS:
        raise QueryError(
            "radius",
            f"the accuracy is {float(found):.4g}, of radii up to {float(widest):.4g}",
            "give a larger accuracy",
        )
    return found, widest if range_ is None else min(widest, range_), range_ is not None and widest >= range_


def _range(clip: tuple[Number, Number] | None, levels: Fraction | None) -> Fraction | None:
    """The width of all that values can be; None where there is no limit."""
    if clip is None:
        return levels
    low, high = (exact_number(end) for end in clip)
    return None if low is None or high is None else max(high - low, Fraction(0))
