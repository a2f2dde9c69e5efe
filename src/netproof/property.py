"""Properties: what a VNN-LIB file asks of any network of the right size, read exactly.

Every number is a :class:`fractions.Fraction`. What an engine computes with is rounded so that the
question can only grow (a box outward, a threshold down), which keeps ``unsat`` true; what a witness is held
to is not rounded at all.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms
from netproof.network import Network, check_network
from netproof.query import Conjunction, Query, Question

_LARGEST_INTEGER = 2**53


@dataclass(frozen=True)
class LinearConstraint:
    """``sum c_i X_i + sum d_j Y_j >= threshold``, or ``>`` where it is strict.

    Attributes
    ----------
    inputs, outputs : pairs ``(i, c_i)`` and ``(j, d_j)`` in ascending order, coefficients not 0
    threshold : the right-hand side
    strict : whether equality is excluded
    """

    inputs: tuple[tuple[int, Fraction], ...]
    outputs: tuple[tuple[int, Fraction], ...]
    threshold: Fraction
    strict: bool = False

    @property
    def is_end(self) -> bool:
        """Whether it is about one input alone."""
        return not self.outputs and len(self.inputs) == 1

    @cached_property
    def end(self) -> tuple[int, bool, Fraction] | None:
        """Of one about a single input: which, whether it is bounded from below, and the end; None of any other."""
        if not self.is_end:
            return None
        ((index, coefficient),) = self.inputs
        return index, coefficient > 0, self.threshold if coefficient == 1 else self.threshold / coefficient

    def holds(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether a point meets the constraint, exactly."""
        left = sum((c * x[i] for i, c in self.inputs), Fraction(0))
        left += sum((d * y[j] for j, d in self.outputs), Fraction(0))
        return left > self.threshold if self.strict else left >= self.threshold

    def holds_between(self, x: Sequence[Fraction], low: Sequence[Fraction], high: Sequence[Fraction]) -> bool:
        """Whether a point meets the constraint, exactly, whatever its outputs are between two ends."""
        least = sum((c * x[i] for i, c in self.inputs), Fraction(0))
        least += sum((d * (low[j] if d > 0 else high[j]) for j, d in self.outputs), Fraction(0))
        return least > self.threshold if self.strict else least >= self.threshold


@dataclass(frozen=True, eq=False)
class Box:
    """An input box with exact ends, one per input."""

    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]

    def holds(self, x: Sequence[Fraction]) -> bool:
        """Whether a point lies in the box, exactly."""
        return all(low <= value <= high for low, value, high in zip(self.lower, x, self.upper, strict=True))

    @cached_property
    def outer(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The smallest box with float64 ends that holds this one."""
        return np.array(_each(float_below, self.lower)), np.array(_each(float_above, self.upper))

    @property
    def whole(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The ends of the whole numbers in the box; a lower end exceeds its upper end where there are none."""
        lower = np.array([float_below(Fraction(math.ceil(end))) for end in self.lower])
        return lower, np.array([float_above(Fraction(math.floor(end))) for end in self.upper])

    @property
    def has_no_whole_point(self) -> bool:
        """Whether some input has no whole number in its interval."""
        return any(math.ceil(low) > math.floor(high) for low, high in zip(self.lower, self.upper, strict=True))

    @cached_property
    def inner_float32(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The largest box with float32 ends inside this one: where witnesses are to be looked for.

        A lower end exceeds its upper end where no float32 value lies between the exact ones.
        """
        lower = np.array(_each(_float32_above, self.lower), np.float32)
        upper = np.array(_each(lambda end: -_float32_above(-end), self.upper), np.float32)
        return lower, upper


@dataclass(frozen=True, eq=False)
class Ball:
    """The points ``x`` with ``|| weight * (x - center) || <= radius``, in exact numbers.

    Attributes
    ----------
    norm : ``l1``, the sum of magnitudes, or ``l2``, the root of the sum of squares
    center, weight : one per input; weights, above 0, turn inputs into what the radius is counted in
    radius : at least 0
    """

    norm: str
    center: tuple[Fraction, ...]
    weight: tuple[Fraction, ...]
    radius: Fraction

    def holds(self, x: Sequence[Fraction]) -> bool:
        """Whether a point lies in the ball, exactly."""
        return self.measure(x) <= (self.radius if self.norm == "l1" else self.radius**2)

    def contains(self, box: Box) -> bool:
        """Whether all of a box lies in the ball, exactly: whether its corner farthest from the center does."""
        left = self.radius if self.norm == "l1" else self.radius**2
        for weight, at, low, high in zip(self.weight, self.center, box.lower, box.upper, strict=True):
            move = weight * max(at - low, high - at, low - at, at - high)
            left -= move if self.norm == "l1" else move * move
            if left < 0:
                return False
        return True

    def measure(self, x: Sequence[Fraction]) -> Fraction:
        """How far a point is from the center: in ``l1`` its distance, in ``l2`` that distance squared."""
        moves = (
            weight * abs(Fraction(value) - at)
            for weight, value, at in zip(self.weight, x, self.center, strict=True)
            if value != at
        )
        return sum((move if self.norm == "l1" else move * move for move in moves), Fraction(0))


def size_of(moves: Sequence[Fraction], norm: str) -> Fraction:
    """A norm of moves of at least 0, a root rounded up by at most 2^-60."""
    if norm == "linf":
        return max(moves)
    if norm == "l1":
        return sum(moves, Fraction(0))
    square = sum((move * move for move in moves if move), Fraction(0))
    number, parts = square.numerator * square.denominator, square.denominator << 60
    root = math.isqrt(number << 120)
    return Fraction(root + (root * root != number << 120), parts)


class Stated(Protocol):
    """What a file states, of which a property was made: a witness is held to it itself, not to what was made of it."""

    def holds(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether the network's inputs ``x`` and what its models give for them, ``y``, meet it, exactly."""
        ...


@dataclass(frozen=True, eq=False)
class PropertyPart:
    """One input box and the condition asked about on it: a disjunction of conjunctions.

    An empty conjunction holds everywhere.

    Attributes
    ----------
    box, condition : about the inputs and outputs of the network's graph
    stated : what witnesses are held to, where that is not box and condition themselves
    arithmetic : of which numbers the answer is to hold: ``real``, or a float type such as ``float32``, in which every
        operation rounds
    ball : where inputs have to lie as well, inside of the box; None where the box is all there is
    """

    box: Box
    condition: tuple[tuple[LinearConstraint, ...], ...]
    stated: Stated | None = None
    arithmetic: str = "real"
    ball: Ball | None = None

    def over_integers(self) -> tuple[PropertyPart, ...]:
        """The same for whole inputs, without constraints on one input alone: ``X_0 > 3`` is the end 4 of a box.

        Conjunctions that no whole numbers meet fall away; where that is all of them, what is left asks nothing.
        """
        if not any(c.is_end for conjunction in self.condition for c in conjunction):
            return (self,)
        grouped: dict[tuple[tuple[Fraction, ...], tuple[Fraction, ...]], list[tuple[LinearConstraint, ...]]] = {}
        for conjunction in self.condition:
            lower, upper = list(self.box.lower), list(self.box.upper)
            for constraint in conjunction:
                if constraint.is_end:
                    ((i, coefficient),) = constraint.inputs
                    end, strict = constraint.threshold / coefficient, constraint.strict
                    if coefficient > 0:
                        lower[i] = max(lower[i], Fraction(math.floor(end) + 1 if strict else math.ceil(end)))
                    else:
                        upper[i] = min(upper[i], Fraction(math.ceil(end) - 1 if strict else math.floor(end)))
            if all(math.ceil(low) <= math.floor(high) for low, high in zip(lower, upper, strict=True)):
                rest = tuple(constraint for constraint in conjunction if not constraint.is_end)
                grouped.setdefault((tuple(lower), tuple(upper)), []).append(rest)
        if not grouped:
            return (PropertyPart(self.box, ()),)
        return tuple(PropertyPart(Box(*ends), tuple(conjunctions)) for ends, conjunctions in grouped.items())

    def holds(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether an input and its outputs are an answer, exactly."""
        if self.stated is not None:
            return self.stated.holds(x, y)
        if not self.box.holds(x) or not (self.ball is None or self.ball.holds(x)):
            return False
        return any(all(c.holds(x, y) for c in conjunction) for conjunction in self.condition)


@dataclass(frozen=True, eq=False)
class Property:
    """Is there an input in one of the boxes whose output meets the condition that goes with that box?

    Attributes
    ----------
    source : the file it was read from
    inputs, outputs : how many variables ``X_i`` and ``Y_j`` it declares
    parts : one for each input box
    """

    source: str
    inputs: int
    outputs: int
    parts: tuple[PropertyPart, ...]

    def holds(self, x: Sequence[float], y: Sequence[float]) -> bool:
        """Whether the floats ``x`` and ``y``, taken as exact numbers, are an answer; NaN and infinity never are.

        Raises :class:`QueryError` for other numbers of inputs or outputs than it is about.
        """
        for what, given, size in (("inputs", x, self.inputs), ("outputs", y, self.outputs)):
            if len(given) != size:
                raise QueryError(
                    self.source, f"is about {size} {what}, and {len(given)} are given", "give one number each"
                )
        if not all(math.isfinite(value) for value in (*x, *y)):
            return False
        point, image = [Fraction(float(value)) for value in x], [Fraction(float(value)) for value in y]
        return any(part.holds(point, image) for part in self.parts)

    @on_own_terms
    def queries(self, network: Network) -> Sequence[Query]:
        """One query per box, made when it is looked at; the property is ``unsat`` when all are, ``sat`` when one is.

        Raises
        ------
        QueryError : other numbers of inputs or outputs than the network's; and when a query is made (the first one at
            once), coefficients that float64 does not hold, ends of the box that it cannot hold, or a condition on more than
            the order of outputs where the network has no more to offer
        """
        check_network(network)
        for what, here, there in (
            ("input", self.inputs, network.inputs),
            ("output", self.outputs, network.outputs),
        ):
            if here != there:
                raise QueryError(
                    self.source,
                    f"is about {here} {what}{'s' * (here != 1)}, the network in {network.path} has {there}",
                    "give the property that belongs to this network",
                )
        whole = network.graph.arithmetic is Arithmetic.INTEGER
        return _Parts(self.over_integers() if whole else self, network)

    def over_integers(self) -> Property:
        """The same for whole-number inputs: constraints on one input alone become ends of boxes, of several where needed."""
        parts = tuple(whole for part in self.parts for whole in part.over_integers())
        return self if parts == self.parts else replace(self, parts=parts)

    def question(self, network: Network) -> Question:
        """The property as a question about a network; raises as :meth:`queries`."""
        return Question(self.queries(network), self.source)

    @on_own_terms
    def _query(self, number: int, network: Network) -> Query:
        part = self.parts[number]
        name = self.source if len(self.parts) == 1 else f"{self.source}, box {number + 1} of {len(self.parts)}"
        whole = network.graph.arithmetic is Arithmetic.INTEGER
        lower, upper = part.box.whole if whole else part.box.outer
        if whole and not bool((lower <= upper).all()):
            raise QueryError(name, "the input box holds no whole numbers", "check the bounds of the inputs")
        return Query(
            network=network,
            lower=torch.from_numpy(lower.copy()),
            upper=torch.from_numpy(upper.copy()),
            condition=tuple(self._conjunction(conjunction, network, whole) for conjunction in part.condition),
            name=name,
            about=part,
        )

    def _conjunction(self, constraints: tuple[LinearConstraint, ...], network: Network, whole: bool) -> Conjunction:
        """Constraints in float64, each multiplied so that its coefficients are exact.

        The threshold is rounded down, except where the left side is a whole number: there it is the least whole number
        that meets the constraint.
        """
        rows = max(len(constraints), 1)  # of none at all: 0 >= 0
        coefficients = torch.zeros(rows, network.outputs, dtype=torch.float64)
        thresholds = torch.zeros(rows, dtype=torch.float64)
        strict = torch.zeros(rows, dtype=torch.bool)
        inputs: Tensor | None = None
        if any(constraint.inputs for constraint in constraints):
            inputs = torch.zeros(rows, network.inputs, dtype=torch.float64)
        for row, constraint in enumerate(constraints):
            scale = self._scale(constraint)
            threshold = constraint.threshold * scale
            if whole:
                thresholds[row] = float_below(
                    Fraction(math.floor(threshold) + 1 if constraint.strict else math.ceil(threshold))
                )
            else:
                thresholds[row], strict[row] = float_below(threshold), constraint.strict
            for j, value in constraint.outputs:
                coefficients[row, j] = float(value * scale)
            for i, value in constraint.inputs:
                assert inputs is not None
                inputs[row, i] = float(value * scale)
        return Conjunction(coefficients, thresholds, inputs, strict if bool(strict.any()) else None)

    def _scale(self, constraint: LinearConstraint) -> int:
        values = [value for _, value in (*constraint.inputs, *constraint.outputs)]
        scale = math.lcm(*(value.denominator for value in values))
        if not all(_fits_float64(value * scale) for value in values):
            raise QueryError(
                self.source,
                "the coefficients of a constraint have more digits than float64 holds",
                "write it with fewer digits",
            )
        return scale


def exact_condition(query: Query) -> tuple[tuple[LinearConstraint, ...], ...]:
    """What a query asks of inputs and outputs, as exact numbers: its part's statement, or its own tensors."""
    if query.part is not None:
        return query.part.condition
    return tuple(_exactly(conjunction) for conjunction in query.condition)


def _exactly(conjunction: Conjunction) -> tuple[LinearConstraint, ...]:
    def terms(row: list[float]) -> tuple[tuple[int, Fraction], ...]:
        return tuple((j, Fraction(c)) for j, c in enumerate(row) if c)

    rows, thresholds = conjunction.coefficients.tolist(), conjunction.threshold.tolist()
    inputs = [[]] * len(rows) if conjunction.input_coefficients is None else conjunction.input_coefficients.tolist()
    strict = [False] * len(rows) if conjunction.strict is None else conjunction.strict.tolist()
    return tuple(
        LinearConstraint(terms(x), terms(y), Fraction(t), mark)
        for x, y, t, mark in zip(inputs, rows, thresholds, strict, strict=True)
    )


class MadeQueries(Sequence[Query]):
    """Queries each of which is made when it is looked at: there can be thousands."""

    @abstractmethod
    def made(self, number: int) -> Query:
        """The query of a number from 0."""

    @overload
    def __getitem__(self, index: int) -> Query: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Query]: ...

    def __getitem__(self, index: int | slice) -> Query | Sequence[Query]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.made(index % len(self))


class _Parts(MadeQueries):
    """The queries of a property on a network.

    The first is made at once, so that what is wrong with all of them is said before anything is computed. Parts that nothing
    can meet, whatever the network does, are left out, unless there are no others.
    """

    def __init__(self, property_: Property, network: Network) -> None:
        self._property, self._network = property_, network
        parts, whole = property_.parts, network.graph.arithmetic is Arithmetic.INTEGER
        self._numbers = [
            i for i, part in enumerate(parts) if part.condition and not (whole and part.box.has_no_whole_point)
        ] or list(range(len(parts)))[:1]
        self._first = property_._query(self._numbers[0], network) if parts else None

    def __len__(self) -> int:
        return len(self._numbers)

    def made(self, number: int) -> Query:
        if number == 0 and self._first is not None:
            return self._first
        return self._property._query(self._numbers[number], self._network)


def _fits_float64(value: Fraction) -> bool:
    """Whether float64 has an integer exactly."""
    if abs(value) <= _LARGEST_INTEGER:
        return True
    try:
        return Fraction(float(value)) == value
    except OverflowError:
        return False


def _each(convert: Callable[[Fraction], float], ends: Sequence[Fraction]) -> list[float]:
    """What becomes of each of some ends; of one that a reader gave many times, as of zeros, once."""
    found: dict[int, float] = {}
    for end in ends:
        if id(end) not in found:
            found[id(end)] = convert(end)
    return [found[id(end)] for end in ends]


def float_below(value: Fraction) -> float:
    """The largest float64 that is at most ``value``."""
    try:
        nearest = float(value)
    except OverflowError:
        return -math.inf if value < 0 else float(np.finfo(np.float64).max)
    return math.nextafter(nearest, -math.inf) if Fraction(nearest) > value else nearest


def float_above(value: Fraction) -> float:
    """The smallest float64 that is at least ``value``."""
    return -float_below(-value)


def _float32_above(value: Fraction) -> float:
    """The smallest float32 that is at least ``value``; infinity beyond the largest."""
    limit = np.finfo(np.float32).max
    if value > Fraction(float(limit)):
        return math.inf
    if value <= Fraction(float(-limit)):
        return float(-limit)
    near = np.float32(float_above(value))
    # Rounded to nearest from float64, so at most one step to either side of the answer.
    if Fraction(float(near)) < value:
        return float(np.nextafter(near, np.float32(np.inf)))
    below = float(np.nextafter(near, np.float32(-np.inf)))
    return below if Fraction(below) >= value else float(near)
