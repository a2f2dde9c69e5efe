"""Exact truth where at most two inputs vary: the box falls into polygons on which everything asked is affine.

A network of kinks only (:mod:`question_reals`) and the comparisons of a formula are evaluated on affine forms in the two
inputs. Where a sign is not the same on all of a polygon, it is cut along that line and both halves are taken up. On a
polygon with all signs known, vertices, middles of edges and an inner point stand for every face of it, so that strict
comparisons are decided too. Everything is rational arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from differential.question_formulas import All, Compare, Formula, compared, comparisons
from differential.question_reals import Kinks, RealNetwork

Point = tuple[Fraction, Fraction]


class TooMany(Exception):  # noqa: N818 - no error: the question is left without a known truth
    """There are more pieces than are looked at."""


@dataclass(frozen=True, slots=True)
class Form:
    """``c + a s + b t``."""

    c: Fraction
    a: Fraction
    b: Fraction

    def __add__(self, other: Any) -> Form:
        if isinstance(other, Form):
            return Form(self.c + other.c, self.a + other.a, self.b + other.b)
        return Form(self.c + other, self.a, self.b)

    __radd__ = __add__

    def __neg__(self) -> Form:
        return Form(-self.c, -self.a, -self.b)

    def __sub__(self, other: Any) -> Form:
        return self + (-other)

    def __rsub__(self, other: Any) -> Form:
        return -self + other

    def __mul__(self, factor: Any) -> Form:
        return Form(self.c * factor, self.a * factor, self.b * factor)

    __rmul__ = __mul__

    def at(self, point: Point) -> Fraction:
        return self.c + self.a * point[0] + self.b * point[1]


class _Cut(Exception):  # noqa: N818 - how an evaluation says where it has to be cut
    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form


class _Signs(Kinks):
    """Signs on one polygon."""

    def __init__(self, corners: Sequence[Point]) -> None:
        self._corners = corners

    def positive(self, value: Any) -> bool:
        """Whether a form is at least 0 on all of the polygon; it is at most 0 on all of it otherwise."""
        if not isinstance(value, Form):
            return bool(value >= 0)
        if not value.a and not value.b:
            return value.c >= 0
        ends = [value.at(corner) for corner in self._corners]
        if min(ends) < 0 < max(ends):
            raise _Cut(value)
        return max(ends) > 0 or min(ends) >= 0

    def smooth(self, name: str, value: Any) -> Any:
        raise TooMany


def meeting_point(
    network: RealNetwork,
    formula: Formula,
    lower: Sequence[Fraction],
    upper: Sequence[Fraction],
    most: int = 60,
) -> tuple[Fraction, ...] | None:
    """A point of a box that meets a formula, None where there is none; raises :class:`TooMany` where that is not found out."""
    free = [i for i, (low, high) in enumerate(zip(lower, upper, strict=True)) if low < high]
    if len(free) > 2:
        raise TooMany
    polygons = [_start(free, lower, upper)]
    taken = 0
    while polygons:
        polygon = polygons.pop()
        taken += 1
        if taken > most:
            raise TooMany
        try:
            found = _on(network, formula, lower, free, polygon)
        except _Cut as cut:
            polygons += _halves(polygon, cut.form)
            continue
        if found is not None:
            return found
    return None


def _start(free: Sequence[int], lower: Sequence[Fraction], upper: Sequence[Fraction]) -> list[Point]:
    ends = [(lower[i], upper[i]) for i in free]
    zero = Fraction(0)
    if not ends:
        return [(zero, zero)]
    (a, b), *rest = ends
    if not rest:
        return [(a, zero), (b, zero)]
    ((c, d),) = rest
    return [(a, c), (b, c), (b, d), (a, d)]


def _halves(polygon: Sequence[Point], form: Form) -> list[list[Point]]:
    """Both sides of a line that cuts a polygon (or a segment)."""
    values = [form.at(corner) for corner in polygon]
    sides: list[list[Point]] = [[], []]
    count = len(polygon)
    for i, (corner, value) in enumerate(zip(polygon, values, strict=True)):
        if value >= 0:
            sides[0].append(corner)
        if value <= 0:
            sides[1].append(corner)
        following, after = polygon[(i + 1) % count], values[(i + 1) % count]
        if value * after < 0 and (count > 2 or i == 0):
            share = value / (value - after)
            crossing = tuple(p + share * (q - p) for p, q in zip(corner, following, strict=True))
            for side in sides:
                side.append(crossing)  # type: ignore[arg-type]
    return sides


def _on(
    network: RealNetwork, formula: Formula, lower: Sequence[Fraction], free: Sequence[int], polygon: list[Point]
) -> tuple[Fraction, ...] | None:
    """As :func:`meeting_point` on one polygon; raises :class:`_Cut` where something has two signs there."""
    signs = _Signs(polygon)
    zero, one = Fraction(0), Fraction(1)
    x: list[Any] = list(lower)
    for i, number in zip(free, ((one, zero), (zero, one)), strict=False):
        x[i] = Form(zero, *number)
    y = network.evaluate(x, signs)
    lefts: list[tuple[Compare, Any]] = []
    for one_of in comparisons(formula):
        difference = one_of.left(lambda v: (x if v[0] == "X" else y)[v[1]]) - one_of.right
        signs.positive(difference)
        lefts.append((one_of, difference))
    for point in _faces(polygon):
        values = iter([(c.op, d.at(point) if isinstance(d, Form) else d) for c, d in lefts])
        if _meets(formula, values):
            return tuple(entry.at(point) if isinstance(entry, Form) else entry for entry in x)
    return None


def _meets(formula: Formula, values: Any) -> bool:
    """A formula whose comparisons' differences come in order."""
    if isinstance(formula, Compare):
        op, difference = next(values)
        return compared(op, difference, 0)
    found = [_meets(part, values) for part in formula.parts]
    return all(found) if isinstance(formula, All) else any(found)


def _faces(polygon: Sequence[Point]) -> list[Point]:
    """A point in the inside of every face: the vertices, the edges, the polygon itself."""
    count = len(polygon)
    points = list(polygon)
    if count > 1:
        points += [_middle([polygon[i], polygon[(i + 1) % count]]) for i in range(count)]
        points.append(_middle(polygon))
    return points


def _middle(points: Sequence[Point]) -> Point:
    size = len(points)
    return sum((p for p, _ in points), Fraction(0)) / size, sum((q for _, q in points), Fraction(0)) / size
