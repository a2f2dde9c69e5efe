"""At exact equality and next to it: cases that a bound of exactly 0 refutes, or one that no error term leaves below 0.

``y > 1/2`` on outputs that reach 1/2 and no more holds nowhere, but no bound with an error term is below 0; nor does ``y >= t``
where ``t`` is the largest output, rounded up. On small graphs the bound is evaluated in rational numbers instead, from the exact
ends and thresholds that the property states.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property

from netproof.bounds.rational.bound import RationalGraph
from netproof.bounds.rational.images import Images
from netproof.bounds.rational.jumps import exact_intervals, jumps
from netproof.bounds.rational.pieces import ZERO, Interval, Lower
from netproof.bounds.rational.program import Line, Look, OutOfTimeError, is_refuted
from netproof.bounds.region import Region
from netproof.effort.real import TOUCH
from netproof.graph.graph import Graph
from netproof.property import LinearConstraint, exact_condition
from netproof.query import Query
from netproof.result import Witness


def refuted_at_jumps(query: Query, graph: Graph, cases: Sequence[int], deadline: float) -> list[bool]:
    """Which cases hold nowhere on the box of a query on a network with jumps, by intervals in rational numbers.

    On a box of one point these are its values, so that what hangs on a value exactly at a jump is told; of networks without jumps none. ``graph`` is
    the one that searches work on. Not for more than a share of the time until ``deadline``.
    """
    if not jumps(graph):
        return [False] * len(cases)
    now = time.monotonic()
    until = min(deadline, now + min(TOUCH.seconds, TOUCH.share * (deadline - now)))
    box, condition = _exact_box(query), exact_condition(query)
    outputs = exact_intervals(graph, box, lambda: time.monotonic() >= until)
    if outputs is None:
        return [False] * len(cases)
    return [any(_holds_nowhere(c, box, outputs) for c in condition[case]) for case in cases]


def refuted_by_images(query: Query, graph: Graph, region: Region, cases: Sequence[int], deadline: float) -> list[bool]:
    """Which cases hold nowhere on a region of one row, by what the last activations of the graph that searches work on can give there.

    Only cases with a strict constraint are asked about: that ``h * h < 0`` holds nowhere no bound with an error term tells. Not for more than a share of
    the time until ``deadline``.
    """
    condition = exact_condition(query)
    asked = [(at, [c for c in condition[case] if c.strict]) for at, case in enumerate(cases)]
    refuted = [False] * len(cases)
    if not any(strict for _, strict in asked) or bool(region.empty().any()):
        return refuted
    images, box, look = Images(graph, region), _exact_box(query), _looking(_until(deadline))
    try:
        for at, strict in asked:
            bounds = (
                images.bound({0: dict(c.inputs), len(graph.nodes) - 1: dict(c.outputs)}, -c.threshold, box, look)
                for c in strict
            )
            refuted[at] = any(bound is not None and bound <= 0 for bound in bounds)
    except OutOfTimeError:
        pass
    return refuted


def _until(deadline: float) -> float:
    """When one call has had its share of the time until a deadline."""
    now = time.monotonic()
    return min(deadline, now + min(TOUCH.seconds, TOUCH.share * (deadline - now)))


def _looking(until: float) -> Look:
    def look() -> None:
        if time.monotonic() >= until:
            raise OutOfTimeError

    return look


def _holds_nowhere(constraint: LinearConstraint, box: Sequence[Interval], outputs: Sequence[Interval]) -> bool:
    most = -constraint.threshold
    for intervals, terms in ((box, constraint.inputs), (outputs, constraint.outputs)):
        for i, coefficient in terms:
            most += coefficient * intervals[i][1 if coefficient > 0 else 0]
    return most < 0 or (constraint.strict and most == 0)


def ended(
    touch: Touch | None, refutes: Callable[[Touch], bool], witness: Callable[[], Witness | None]
) -> tuple[bool, Witness | None]:
    """Whether what bounds leave open is refuted in rational numbers, or else a witness there, if there is one.

    Where equality refutes nothing, only what is no witness is left to rational numbers.
    """
    if touch is not None and touch.is_strict and refutes(touch):
        return True, None
    found = witness()
    late = found is None and touch is not None and not touch.is_strict
    return late and touch is not None and refutes(touch), found


def _exact_box(query: Query) -> list[Interval]:
    """The box of a query: where its ends are those that its part states, rounded outward, these; and else its own.

    A query about a point that stands for others, or about more than is stated, keeps what its part states of the whole.
    """
    own = list(zip(query.lower.tolist(), query.upper.tolist(), strict=True))
    box = [(Fraction(low), Fraction(high)) for low, high in own]
    if query.part is None:
        return box
    stated = query.part.box
    outer = zip(*(ends.tolist() for ends in stated.outer), strict=True)
    exact = zip(stated.lower, stated.upper, strict=True)
    return [
        ends if mine == rounded else rather for mine, rounded, ends, rather in zip(own, outer, exact, box, strict=True)
    ]


class Touch:
    """Rational refutation of the cases of one query; made by :meth:`of`.

    Parameters
    ----------
    graph : that searches work on, whose numbers become rationals when they are first needed
    box : the query's exact box
    condition : its cases, exactly
    """

    def __init__(self, graph: Graph, box: Sequence[Interval], condition: Sequence[Sequence[LinearConstraint]]) -> None:
        self._whole, self._last, self._box, self._condition = graph, len(graph.nodes) - 1, box, condition

    @classmethod
    def of(cls, query: Query, graph: Graph) -> Touch:
        """For a query and the graph that searches work on."""
        return cls(graph, _exact_box(query), exact_condition(query))

    @cached_property
    def is_strict(self) -> bool:
        """Whether any constraint is strict, so that equality, which is common, can refute; elsewhere only what is next to it is left
        to rational numbers, which is rare."""
        return any(constraint.strict for case in self._condition for constraint in case)

    @cached_property
    def _rational(self) -> RationalGraph | None:
        return RationalGraph.of(self._whole)

    def refutes(self, region: Region, row: int, cases: Sequence[int], deadline: float, bends: int = 0) -> list[bool]:
        """Which cases hold nowhere on one row of a region: a bound of them is below 0, or is 0 with a strict constraint.

        Where bounds do not tell and at most ``bends`` ranges have a bend inside, they are split there, down to linear programs.
        Not beyond ``deadline``, and not for more than a share of the time until then: what is not settled stays open.
        """
        until = _until(deadline)
        graph = self._rational
        if graph is None:
            return [False] * len(cases)
        lower, upper = (end[row if len(end) > 1 else 0].tolist() for end in (region.lower, region.upper))
        box = [
            (max(low, Fraction(below)), min(high, Fraction(above)))
            for (low, high), below, above in zip(self._box, lower, upper, strict=True)
        ]
        if any(low > high for low, high in box):
            return [True] * len(cases)
        known = [
            list(zip(low[row].tolist(), high[row].tolist(), strict=True))
            for low, high in zip(region.range_lower, region.range_upper, strict=True)
        ]
        ranges = graph.ranges(box, known, lambda: time.monotonic() >= until)
        if ranges is None:
            return [True] * len(cases)
        refuted, look = [False] * len(cases), _looking(until)
        try:
            for number, case in enumerate(cases):
                refuted[number] = self._refuted(graph, box, ranges, case, bends, look)
        except OutOfTimeError:
            pass
        return refuted

    def _refuted(
        self,
        graph: RationalGraph,
        box: Sequence[Interval],
        ranges: list[list[Interval]],
        case: int,
        bends: int,
        look: Look,
    ) -> bool:
        """By bounds; where these do not tell, by splitting at most ``bends`` ranges where they bend."""
        if self._bounded(graph, box, ranges, case, look):
            return True
        bent = graph.bent(ranges)
        if len(bent) > bends:
            return False
        if not bent:
            return self._programmed(graph, box, ranges, case, look)
        k, j, bend = bent[0]
        low, high = ranges[k][j]
        for half in ((low, bend), (bend, high)):
            cut = [list(mine) for mine in ranges]
            cut[k][j] = half
            if not self._refuted(graph, box, cut, case, bends - 1, look):
                return False
        return True

    def _programmed(
        self, graph: RationalGraph, box: Sequence[Interval], ranges: list[list[Interval]], case: int, look: Look
    ) -> bool:
        """Where the network is affine: each constraint of the case in its turn, given the others."""
        values, sides = graph.lines(len(box), ranges, look)
        lines = []
        for c in self._condition[case]:
            line = Line((ZERO,) * len(box), -c.threshold)
            for node, terms in ((0, c.inputs), (self._last, c.outputs)):
                for i, coefficient in terms:
                    look()
                    line = line + values[node][i].times(coefficient)
            lines.append(line)
        return any(
            is_refuted(line, [*sides, *lines[:i], *lines[i + 1 :]], box, strict=c.strict, look=look)
            for i, (line, c) in enumerate(zip(lines, self._condition[case], strict=True))
        )

    def _bounded(
        self, graph: RationalGraph, box: Sequence[Interval], ranges: list[list[Interval]], case: int, look: Look
    ) -> bool:
        constraints = self._condition[case]
        mixtures = [[c] for c in constraints] + ([list(constraints)] if len(constraints) > 1 else [])
        for mixture in mixtures:
            strict = any(c.strict for c in mixture)
            objective: dict[int, dict[int, Fraction]] = {0: {}, self._last: {}}
            constant = ZERO
            for c in mixture:
                constant -= c.threshold
                for node, terms in ((0, c.inputs), (self._last, c.outputs)):
                    for i, coefficient in terms:
                        objective[node][i] = objective[node].get(i, ZERO) + coefficient
            for lower in Lower:
                look()
                bound = graph.bound(objective, constant, box, ranges, lower)
                if bound < 0 or (strict and bound == 0):
                    return True
        return False
