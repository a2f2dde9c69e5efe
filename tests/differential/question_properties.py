"""Random properties for hostile questions: several boxes, strict and not, relations of inputs, equations, nothing at all.

What a property asks is a formula (:mod:`question_formulas`); its text and the queries built without a text say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from differential.question_formulas import All, Compare, Formula, Some, Variable, Writer

Point = tuple[Fraction, ...]
Box = tuple[Point, Point]

#: words of the sentences with which a question may be refused
NO_WHOLE, INPUTS_SPOKEN_OF, OUT_OF_RANGE, VALUES, TOO_LARGE = (
    "no whole numbers", "speaks of the input", "leaves the network's input range", "asks for values", "can reach 2^44",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A box and a disjunction of conjunctions."""

    lower: Point
    upper: Point
    conjunctions: tuple[tuple[Compare, ...], ...]

    @property
    def formula(self) -> Formula:
        return All((*bounds(self.lower, self.upper), Some(tuple(All(c) for c in self.conjunctions))))


@dataclass(frozen=True)
class Asked:
    """A property.

    Attributes
    ----------
    parts : its boxes and conditions; whatever meets the formula lies in one of the boxes
    formula : what its text says
    text : VNN-LIB
    refusable : words, one of which has to be in the sentence if it is refused
    """

    parts: tuple[Part, ...]
    formula: Formula
    text: str
    refusable: frozenset[str]


def bounds(lower: Point, upper: Point) -> list[Compare]:
    """A box as comparisons."""
    made = []
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        one = ((("X", i), Fraction(1)),)
        made += [Compare(one, ">=", low), Compare(one, "<=", high)]
    return made


@dataclass(frozen=True)
class Kind:
    """What kinds of numbers and comparisons there are.

    Attributes
    ----------
    whole : inputs and outputs are integers
    order_only : outputs can only be compared with one another
    smooth : outputs are known to 60 digits only
    """

    whole: bool
    order_only: bool = False
    smooth: bool = False


class PropertyMaker:
    """Makes properties about a network whose outputs can be had at any point.

    Parameters
    ----------
    boxes : what the property is about
    points : some of each box; thresholds are near to what these attain
    outputs_at : exact outputs at a point
    """

    def __init__(
        self,
        random: np.random.Generator,
        kind: Kind,
        boxes: Sequence[Box],
        points: Sequence[Sequence[Point]],
        outputs_at: Callable[[Point], Sequence[Fraction]],
    ) -> None:
        self._random, self._kind = random, kind
        self._boxes, self._points = boxes, points
        self._outputs = [[list(outputs_at(point)) for point in some] for some in points]
        self._refusable: set[str] = set()

    def made(self) -> Asked:
        parts = []
        for number, (lower, upper) in enumerate(self._boxes):
            count = int(self._random.choice([0, 1, 2, 3], p=[0.02, 0.68, 0.22, 0.08]))
            parts.append(Part(lower, upper, tuple(self._conjunction(number) for _ in range(count))))
        asserts = self._asserts(parts)
        writer = Writer(self._random, plain=self._random.random() < 0.2)
        text = writer.property(len(self._boxes[0][0]), len(self._outputs[0][0]), asserts)
        return Asked(tuple(parts), All(tuple(asserts)), text, frozenset(self._refusable))

    # -- conditions

    def _conjunction(self, number: int) -> tuple[Compare, ...]:
        """Comparisons of which the first is attained at a known point of the box, or just not, and others mostly hold there."""
        random = self._random
        count = int(random.choice([0, 1, 2, 3], p=[0.02, 0.46, 0.34, 0.18]))
        return tuple(c for k in range(count) for c in self._comparisons(number, close=k == 0 or random.random() < 0.3))

    def _comparisons(self, number: int, *, close: bool) -> list[Compare]:
        random, kind = self._random, self._kind
        x, y = self._points[number][0], self._outputs[number][0]
        way = random.random()
        if way < 0.03:  # of numbers alone
            return [Compare((), str(random.choice([">=", ">", "<=", "<", "="])), Fraction(int(random.integers(-1, 2))))]
        terms: dict[Variable, Fraction] = {}
        if not kind.whole and way < 0.1:
            return [self._strict_end(number)]
        spoken = way < (0.05 if kind.whole else 0.28)
        if spoken:
            if kind.whole:
                self._refusable.add(INPUTS_SPOKEN_OF)
            for i in random.choice(len(x), min(len(x), int(random.integers(1, 3))), replace=False).tolist():
                terms[("X", i)] = self._factor()
        if not spoken or random.random() < 0.4:
            if len(y) > 1 and (kind.order_only or random.random() < 0.4):
                if kind.order_only and random.random() < 0.04:
                    self._refusable.add(VALUES)
                    terms[("Y", 0)] = Fraction(1)
                else:
                    first, second = random.choice(len(y), 2, replace=False).tolist()
                    terms[("Y", first)], terms[("Y", second)] = Fraction(1), Fraction(-1)
                    if kind.order_only:
                        terms = {v: c for v, c in terms.items() if v[0] == "Y"}
                        return [Compare(tuple(terms.items()), str(random.choice([">=", "<=", ">", "<"])), Fraction(0))]
            else:
                for j in random.choice(len(y), min(len(y), int(random.choice([1, 1, 2]))), replace=False).tolist():
                    terms[("Y", j)] = self._factor()
        one = Compare(tuple(terms.items()), ">=", Fraction(0))
        value = one.left(lambda v: (x if v[0] == "X" else y)[v[1]])
        if kind.smooth and any(v[0] == "Y" for v in terms):
            value = Fraction(float(value))
        if not close:
            op = str(random.choice([">=", "<="]))
            room = (1 + abs(value)) * Fraction(1, int(random.choice([1, 10, 1000])))
            room = Fraction(int(room) + 1) if kind.whole else room
            return [replace(one, op=op, right=value - room if op == ">=" else value + room)]
        op = str(random.choice([">=", "<=", ">", "<", "="], p=[0.28, 0.28, 0.18, 0.18, 0.08]))
        if random.random() < 0.6:  # at the edge of what is possible, as far as is known
            known = zip(self._points[number], self._outputs[number], strict=True)
            values = [one.left(lambda v, p=p, q=q: (p if v[0] == "X" else q)[v[1]]) for p, q in known]
            value = max(values) if op[0] == ">" else min(values)
            value = Fraction(float(value)) if kind.smooth else value
        right = value + self._shift(value)
        if kind.order_only and any(v[0] == "Y" for v in terms):
            right = max(right, Fraction(0))
        if op == "=" and random.random() < 0.3:
            return [replace(one, op=">=", right=right), replace(one, op="<=", right=right)]
        return [replace(one, op=op, right=right)]

    def _strict_end(self, number: int) -> Compare:
        """An end of a box that does not belong to it."""
        i, upper = int(self._random.integers(len(self._boxes[number][0]))), bool(self._random.random() < 0.5)
        end, x = self._boxes[number][upper][i], self._points[number][0][i]
        if end != x and self._random.random() < 0.5:  # the point is in the inside then
            end = (end + x) / 2
        return Compare(((("X", i), Fraction(1)),), "<" if upper else ">", end)

    def _factor(self) -> Fraction:
        random = self._random
        if random.random() < 0.6:
            return Fraction(int(random.choice([-1, 1])))
        if self._kind.whole and random.random() < 0.8:
            return Fraction(int(random.choice([-3, -2, 2, 3, 5])))
        return random.choice(
            np.array(
                [Fraction(1, 2), Fraction(-1, 4), Fraction(1, 10), Fraction(-1, 3), Fraction(10**6), Fraction(1, 10**6)]
            )
        )  # type: ignore[no-any-return]

    def _shift(self, value: Fraction) -> Fraction:
        """How far a threshold is from what a point attains: not at all, by hardly anything, by something."""
        random = self._random
        sign = int(random.choice([-1, 1]))
        if random.random() < 0.45:
            return Fraction(0)
        if self._kind.whole:
            return sign * Fraction(
                random.choice(np.array([Fraction(1), Fraction(1), Fraction(1, 2), Fraction(3), Fraction(20)]))
            )
        near = np.float32(max(min(float(value), 3e38), -3e38))
        ulp = Fraction(float(np.spacing(near))) if np.isfinite(near) else Fraction(1)
        size = 1 + abs(value)
        choices = [abs(ulp), Fraction(1, 2**40), Fraction(1, 2**10), size / 16, size, 4 * size]
        return sign * choices[int(random.integers(len(choices)))]

    # -- putting it together

    def _asserts(self, parts: Sequence[Part]) -> list[Formula]:
        random = self._random
        if len(parts) == 1 and random.random() < 0.65:
            (part,) = parts
            asserts: list[Formula] = list(bounds(part.lower, part.upper))
            if len(part.conjunctions) == 1 and random.random() < 0.6:
                asserts += part.conjunctions[0]
            else:
                asserts.append(Some(tuple(All(c) for c in part.conjunctions)))
        else:
            asserts = [Some(tuple(self._disjuncts(parts)))]
            if random.random() < 0.4:
                whole = (
                    tuple(min(ends) for ends in zip(*(p.lower for p in parts), strict=True)),
                    tuple(max(ends) for ends in zip(*(p.upper for p in parts), strict=True)),
                )
                asserts = [*bounds(*whole), *asserts]
        return self._adorned(asserts)

    def _disjuncts(self, parts: Sequence[Part]) -> list[Formula]:
        random = self._random
        made: list[Formula] = []
        for part in parts:
            box = bounds(part.lower, part.upper)
            if random.random() < 0.3 and part.conjunctions:
                made += [All((*box, *c)) for c in part.conjunctions]
            else:
                inner: Formula = Some(tuple(All(c) for c in part.conjunctions))
                made.append(All((*box, inner)))
        if random.random() < 0.08:  # a box with nothing in it
            i = int(random.integers(len(parts[0].lower)))
            one = ((("X", i), Fraction(1)),)
            made.append(
                All((Compare(one, ">=", parts[0].upper[i] + 1), Compare(one, "<=", parts[0].upper[i]), *made[:1]))
            )
        if random.random() < 0.05:
            made.append(Some(()))
        if random.random() < 0.1:
            made = [made[i] for i in random.permutation(len(made))]
        return made

    def _adorned(self, asserts: list[Formula]) -> list[Formula]:
        """With asserts that say nothing, or that nothing is asked at all."""
        random = self._random
        y = ((("Y", 0), Fraction(1)), (("Y", 0), Fraction(-1)))
        for share, extra in (
            (0.04, All(())),
            (0.04, Compare((), "<=", Fraction(0))),
            (0.03, Compare(y[:1] + y[1:], "<=", Fraction(0))),
            (0.03, Some((All(()), Some(())))),
            (0.02, asserts[int(random.integers(len(asserts)))]),
            (0.01, Some(())),
            (0.01, Compare((), ">", Fraction(0))),
            (0.01, Compare(y[:1] + y[1:], ">", Fraction(0))),
        ):
            if random.random() < share:
                asserts.append(extra)
        if random.random() < 0.01:
            i = int(random.integers(len(self._points[0][0])))
            one = ((("X", i), Fraction(1)),)
            asserts += [Compare(one, ">=", Fraction(2)), Compare(one, "<=", Fraction(1))]
        return asserts


def some_points(random: np.random.Generator, box: Box, count: int) -> list[Point]:
    """Points of a box: its middle, corners, eighths of it, anywhere."""
    lower, upper = box
    made = [tuple((a + b) / 2 for a, b in zip(lower, upper, strict=True))]
    for _ in range(count):
        parts = random.integers(0, 9, len(lower)) if random.random() < 0.5 else 8 * random.integers(0, 2, len(lower))
        made.append(tuple(a + (b - a) * int(p) / 8 for a, b, p in zip(lower, upper, parts, strict=True)))
    return made
