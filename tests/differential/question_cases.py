"""Hostile questions: a network with a property each, and what is true of it, found without netproof."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from differential.question_cells import TooMany, meeting_point
from differential.question_formulas import Compare, comparisons, holds
from differential.question_integers import IntegerNetwork, random_integer_network
from differential.question_properties import (
    INPUTS_SPOKEN_OF,
    NO_WHOLE,
    OUT_OF_RANGE,
    TOO_LARGE,
    VALUES,
    Asked,
    Box,
    Kind,
    Point,
    PropertyMaker,
    some_points,
)
from differential.question_real_maker import random_network
from differential.question_reals import RealNetwork

#: integer boxes of a question have no more points, all together
_MOST_POINTS = 500
#: outputs with a sigmoid or a softmax are compared with this to spare
_SLACK = Fraction(1, 10**9)


@dataclass(frozen=True, eq=False)
class RealCase:
    """A float network and a property; ``points`` are those that are tried out."""

    name: str
    network: RealNetwork
    asked: Asked
    points: tuple[Point, ...]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The files of network and property."""
        paths = folder / "net.onnx", folder / "prop.vnnlib"
        paths[0].write_bytes(self.network.model())
        paths[1].write_text(self.asked.text)
        return paths

    @property
    def values_asked(self) -> bool:
        """Whether a property of a network that ends in a softmax asks for more than the order of its outputs."""
        return any(
            one.right != 0 or sum(c for _, c in one.terms) != 0
            for one in comparisons(self.asked.formula)
            if any(v[0] == "Y" for v, _ in one.terms)
        )

    def outputs(self, x: Sequence[Fraction]) -> list[Fraction]:
        """What the file computes, over the real numbers; a softmax to float64."""
        y = self.network.evaluate(list(x))
        if not (self.network.softmax and self.values_asked):
            return y
        largest = max(y)
        parts = [math.exp(float(max(v - largest, Fraction(-700)))) for v in y]
        return [Fraction(part / sum(parts)) for part in parts]

    @property
    def slack(self) -> Fraction:
        """How exactly outputs are known."""
        if self.network.softmax and self.values_asked:
            return _SLACK
        return _SLACK if self.network.smooth else Fraction(0)

    def met_at(self, x: Sequence[Fraction]) -> bool:
        """Whether a point is an answer for certain."""
        return holds(self.asked.formula, x, self.outputs(x), self.slack)

    @cached_property
    def known_answer(self) -> Point | None:
        """A point that meets the property: one of those tried, or where all is looked through, any."""
        for x in self.points:
            if self.met_at(x):
                return x
        return self._search[1]

    @property
    def truth(self) -> str:
        """``sat``, ``unsat``, or nothing where it is not known."""
        if self.known_answer is not None:
            return "sat"
        return "unsat" if self._search[0] else ""

    @cached_property
    def _search(self) -> tuple[bool, Point | None]:
        """Whether all boxes could be looked through, and an answer found."""
        if self.slack or self.network.curved:
            return False, None
        complete = True
        for part in self.asked.parts:
            try:
                found = meeting_point(self.network, self.asked.formula, part.lower, part.upper)
            except TooMany:
                complete = False
                continue
            if found is not None:
                assert self.met_at(found), "the judge contradicts itself"
                return complete, found
        return complete, None


@dataclass(frozen=True, eq=False)
class IntegerCase:
    """An integer network and a property."""

    name: str
    network: IntegerNetwork
    asked: Asked

    def write(self, folder: Path) -> tuple[Path, Path]:
        path = self.network.write(folder)
        (folder / "prop.vnnlib").write_text(self.asked.text)
        return path, folder / "prop.vnnlib"

    def met_at(self, x: Sequence[Fraction]) -> bool:
        """Whether whole numbers are an answer."""
        if not all(v.denominator == 1 and 0 <= v <= self.network.largest for v in x):
            return False
        y = [Fraction(v) for v in self.network.evaluate([int(v) for v in x])]
        return holds(self.asked.formula, x, y)

    @cached_property
    def known_answer(self) -> Point | None:
        """The first answer of all."""
        seen: set[tuple[int, ...]] = set()
        for part in self.asked.parts:
            for point in whole_points(part.lower, part.upper, self.network.largest):
                if point in seen:
                    continue
                seen.add(point)
                x = tuple(Fraction(v) for v in point)
                if self.met_at(x):
                    return x
        return None

    @property
    def truth(self) -> str:
        return "unsat" if self.known_answer is None else "sat"


Case = RealCase | IntegerCase


def whole_points(lower: Point, upper: Point, largest: int) -> Iterator[tuple[int, ...]]:
    """The points of a box that an integer network takes."""
    axes = [
        range(max(math.ceil(low), 0), min(math.floor(high), largest) + 1)
        for low, high in zip(lower, upper, strict=True)
    ]
    return itertools.product(*axes)


def real_case(seed: int, number: int) -> RealCase:
    """Question ``number`` of a seed about a float network."""
    random = np.random.default_rng([seed, number, 11])
    if random.random() < 0.22:
        shape: tuple[int, ...] = (1, *(int(n) for n in random.integers(1, 4, 3)))
    else:
        shape = (1, int(random.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.15, 0.15])))
    size = int(np.prod(shape))
    boxes = [_real_box(random, size) for _ in range(int(random.choice([1, 2, 3], p=[0.7, 0.22, 0.08])))]
    if len(boxes) > 1 and random.random() < 0.2:
        boxes[1] = boxes[0]
    points = [some_points(random, box, 8) for box in boxes]
    if random.random() < 0.7:
        points = [[some[-1], *some] for some in points]
    network = random_network(random, [some[0] for some in points], shape)
    kind = Kind(whole=False, order_only=network.softmax, smooth=network.smooth)
    asked = PropertyMaker(random, kind, boxes, points, network.evaluate).made()
    case = RealCase(f"real:{seed}:{number}", network, asked, tuple(point for some in points for point in some))
    if network.softmax and case.values_asked:
        asked = Asked(asked.parts, asked.formula, asked.text, asked.refusable | {VALUES})
        case = RealCase(case.name, network, asked, case.points)
    return case


def _real_box(random: np.random.Generator, size: int) -> Box:
    """A box of numbers that float32 holds exactly, or of decimal ones; some ends, or all, may be one."""
    way = random.random()
    if way < 0.55:
        unit = Fraction(1, int(random.choice([1, 2, 4, 8])))
        lower = [unit * int(n) for n in random.integers(-8, 9, size)]
        upper = [low + unit * int(n) for low, n in zip(lower, random.integers(0, 9, size), strict=True)]
    elif way < 0.8:
        centre = [Fraction(int(n), 100) for n in random.integers(-150, 151, size)]
        radius = Fraction(int(random.integers(0, 100)), int(random.choice([100, 1000, 10000])))
        lower, upper = [c - radius for c in centre], [c + radius for c in centre]
    elif way < 0.9:  # one unit in the last place, or less
        near = random.normal(size=size).astype(np.float32)
        lower = [Fraction(float(v)) for v in near]
        upper = [
            Fraction(float(np.nextafter(v, np.float32(9)))) if random.random() < 0.5 else low + Fraction(1, 10**12)
            for v, low in zip(near, lower, strict=True)
        ]
    else:
        reach = Fraction(int(random.choice([10**3, 10**6, 10**9])))
        lower, upper = [-reach] * size, [reach if random.random() < 0.8 else Fraction(1, 8)] * size
    fixed = random.random(size) < random.choice([0.0, 0.3, 0.9, 1.0], p=[0.55, 0.3, 0.1, 0.05])
    if size > 4:  # large enough for more than ten inputs that vary, and for few
        fixed |= random.random(size) < random.choice([0.0, 0.8])
    lower = [high if one else low for low, high, one in zip(lower, upper, fixed, strict=True)]
    return tuple(lower), tuple(upper)


def integer_case(seed: int, number: int) -> IntegerCase:
    """Question ``number`` of a seed about an integer network."""
    random = np.random.default_rng([seed, number, 12])
    network = random_integer_network(random)
    count = int(random.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))
    found = [_integer_box(random, network.inputs, network.largest, _MOST_POINTS // count) for _ in range(count)]
    boxes = [box for box, _ in found]
    points = [[_whole_point(random, box, network.largest) for _ in range(12)] for box in boxes]
    asked = PropertyMaker(
        random, Kind(whole=True), boxes, points, lambda x: [Fraction(v) for v in network.evaluate([int(v) for v in x])]
    ).made()
    refusable = asked.refusable | {word for _, word in found if word}
    if INPUTS_SPOKEN_OF in refusable:  # a comparison of one input moves an end of its box
        refusable |= {NO_WHOLE, OUT_OF_RANGE}
    largest = max(map(_largest_term, comparisons(asked.formula)), default=0)
    if largest * network.largest >= 2**40:  # outputs may reach further than inputs
        refusable |= {TOO_LARGE}
    return IntegerCase(
        f"integer:{seed}:{number}", network, Asked(asked.parts, asked.formula, asked.text, frozenset(refusable))
    )


def _largest_term(comparison: Compare) -> int:
    """The largest factor or number of a comparison, scaled to integers."""
    numbers = [comparison.right, *(factor for _, factor in comparison.terms)]
    return int(max(map(abs, numbers)) * math.lcm(*(number.denominator for number in numbers)))


def _integer_box(random: np.random.Generator, size: int, largest: int, most: int) -> tuple[Box, str]:
    """A box of few points, and what it may be refused for."""
    lower, upper, left = [0] * size, [0] * size, most
    for i in random.permutation(size).tolist():
        width = int(random.integers(0, max(1, min(largest, left - 1, 40)) + 1)) if left > 1 else 0
        width = min(width, largest)
        lower[i] = int(random.integers(0, largest - width + 1))
        upper[i] = lower[i] + width
        left //= width + 1
    low, high = [Fraction(v) for v in lower], [Fraction(v) for v in upper]
    word = ""
    way = random.random()
    i = int(random.integers(size))
    if way < 0.08:  # ends between whole numbers
        low[i], high[i] = low[i] - Fraction(1, 3), high[i] + Fraction(1, 2)
    elif way < 0.1:
        low[i], high[i], word = low[i] + Fraction(1, 4), low[i] + Fraction(3, 4), NO_WHOLE
    elif way < 0.12:
        high[i], word = Fraction(largest + 1), OUT_OF_RANGE
    return (tuple(low), tuple(high)), word


def _whole_point(random: np.random.Generator, box: Box, largest: int) -> Point:
    point = []
    for low, high in zip(*box, strict=True):
        first, last = max(math.ceil(low), 0), min(math.floor(high), largest)
        choice = int(random.choice([first, last, random.integers(first, max(first, last) + 1)]))
        point.append(Fraction(min(max(choice, 0), largest)))
    return tuple(point)
