"""Properties: what a VNN-LIB file asks of any network with so many inputs and outputs, read exactly.

Every number is a :class:`fractions.Fraction`. What an engine computes with is rounded so that the
question can only grow (a box outward, a threshold down), which keeps ``unsat`` true; what a witness is held
to is not rounded at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.errors import QueryError
from netproof.host import on_own_terms
from netproof.network import Network
from netproof.query import Conjunction, Query

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

    def holds(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether a point meets the constraint, exactly."""
        left = sum((c * x[i] for i, c in self.inputs), Fraction(0))
        left += sum((d * y[j] for j, d in self.outputs), Fraction(0))
        return left > self.threshold if self.strict else left >= self.threshold

    @property
    def compares_two_outputs(self) -> bool:
        """Whether this is ``Y_i >= Y_j``, which says no more than their order."""
        return (
            not self.inputs
            and self.threshold == 0
            and len(self.outputs) == 2
            and self.outputs[0][1] == -self.outputs[1][1]
        )


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
        return np.array([float_below(end) for end in self.lower]), np.array([float_above(end) for end in self.upper])

    @cached_property
    def inner_float32(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The largest box with float32 ends inside this one: where witnesses are to be looked for.

        A lower end exceeds its upper end where no float32 value lies between the exact ones.
        """
        lower = np.array([_float32_above(end) for end in self.lower], np.float32)
        upper = np.array([-_float32_above(-end) for end in self.upper], np.float32)
        return lower, upper


@dataclass(frozen=True, eq=False)
class PropertyPart:
    """One input box and the condition asked about on it: a disjunction of conjunctions.

    An empty conjunction holds everywhere.
    """

    box: Box
    condition: tuple[tuple[LinearConstraint, ...], ...]

    def holds(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether an input and its outputs are an answer, exactly."""
        return self.box.holds(x) and any(all(c.holds(x, y) for c in conjunction) for conjunction in self.condition)


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
        """Whether the floats ``x`` and ``y``, taken as exact numbers, are an answer; NaN and infinity never are."""
        if not all(math.isfinite(value) for value in (*x, *y)):
            return False
        point, image = [Fraction(float(value)) for value in x], [Fraction(float(value)) for value in y]
        return any(part.holds(point, image) for part in self.parts)

    @on_own_terms
    def queries(self, network: Network) -> list[PropertyQuery]:
        """One query per box; the property is ``unsat`` when all of them are, ``sat`` when one is.

        Raises
        ------
        QueryError : other numbers of inputs or outputs than the network's, coefficients that float64 does not
            hold, or a condition on more than the order of outputs where the network has no more to offer
        """
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
        queries = []
        for number, part in enumerate(self.parts, start=1):
            name = self.source if len(self.parts) == 1 else f"{self.source}, box {number} of {len(self.parts)}"
            lower, upper = part.box.outer
            queries.append(
                PropertyQuery(
                    network=network,
                    lower=torch.from_numpy(lower.copy()),
                    upper=torch.from_numpy(upper.copy()),
                    condition=tuple(self._conjunction(conjunction, network) for conjunction in part.condition),
                    name=name,
                    part=part,
                )
            )
        return queries

    @on_own_terms
    def query(self, network: Network) -> Query:
        """The whole property as one query: that of its only box, or a :class:`UnionQuery`. Raises as :meth:`queries`."""
        queries = self.queries(network)
        if len(queries) == 1:
            return queries[0]
        return UnionQuery(
            network=network,
            lower=torch.stack([q.lower for q in queries]).amin(0),
            upper=torch.stack([q.upper for q in queries]).amax(0),
            condition=(),
            name=self.source,
            parts=tuple(queries),
        )

    def _conjunction(self, constraints: tuple[LinearConstraint, ...], network: Network) -> Conjunction:
        """Constraints in float64, each multiplied so that its coefficients are exact, its threshold rounded down."""
        rows = max(len(constraints), 1)  # of none at all: 0 >= 0
        coefficients = torch.zeros(rows, network.outputs, dtype=torch.float64)
        thresholds = torch.zeros(rows, dtype=torch.float64)
        inputs: Tensor | None = None
        if any(constraint.inputs for constraint in constraints):
            inputs = torch.zeros(rows, network.inputs, dtype=torch.float64)
        for row, constraint in enumerate(constraints):
            if network.order_only and not constraint.compares_two_outputs:
                raise QueryError(
                    self.source,
                    f"asks for values of outputs, but the final softmax of {network.path} was left out, "
                    "which keeps only their order",
                    "state the property on the inputs of the softmax, and cut it off the network",
                )
            scale = self._scale(constraint)
            thresholds[row] = float_below(constraint.threshold * scale)
            for j, value in constraint.outputs:
                coefficients[row, j] = float(value * scale)
            for i, value in constraint.inputs:
                assert inputs is not None
                inputs[row, i] = float(value * scale)
        return Conjunction(coefficients, thresholds, inputs)

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


@dataclass(frozen=True, eq=False)
class PropertyQuery(Query):
    """The query of one part of a property, which a witness is checked against exactly.

    Box and thresholds of the query itself are those of ``part`` rounded outward.
    """

    part: PropertyPart = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class UnionQuery(Query):
    """Several queries on one network: ``sat`` where one of them is, ``unsat`` where all are.

    The box is the smallest that holds all of theirs; the condition is empty, because each has its own.
    """

    parts: tuple[PropertyQuery, ...] = field(kw_only=True)


def _fits_float64(value: Fraction) -> bool:
    """Whether float64 has an integer exactly."""
    if abs(value) <= _LARGEST_INTEGER:
        return True
    try:
        return Fraction(float(value)) == value
    except OverflowError:
        return False


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
