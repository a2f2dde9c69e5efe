"""Questions: a network, an input box, an output condition, and what they are about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.arguments.words import described, shown
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms, plain
from netproof.network import Kept, Network, check_network
from netproof.result import Result, Verdict, Witness

if TYPE_CHECKING:
    from netproof.property import Ball, PropertyPart

__all__ = [
    "Conjunction",
    "Query",
    "Question",
    "Result",
    "Sample",
    "Verdict",
    "Witness",
    "sample_of",
]

#: constraints are exact with bits to spare for the multipliers' grid
_LARGEST_CONSTRAINT = float(2**44)
#: a few megabytes of the condition's numbers are looked at together
_NUMBERS_TOGETHER = 1 << 18


@dataclass(frozen=True, eq=False)
class Conjunction:
    """Linear constraints that hold together: ``coefficients @ y + input_coefficients @ x >= threshold``.

    ``coefficients`` is ``[m, n_output]``, ``threshold`` ``[m]``, and ``input_coefficients`` ``[m, n_input]``, or
    None where no constraint speaks of the input (always so for integer networks). ``strict``, ``[m]`` bool, marks the
    constraints that hold only where the left side is *greater*; None where none is strict.
    """

    coefficients: Tensor
    threshold: Tensor
    input_coefficients: Tensor | None = None
    strict: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("coefficients", "threshold", "input_coefficients", "strict"):
            given = getattr(self, name)
            if given is None and name in ("input_coefficients", "strict"):
                continue
            _check_tensor("Conjunction", name, given)
            if (own := plain(given)) is not given:
                object.__setattr__(self, name, own)

    def holds(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """Whether outputs ``[..., n_output]`` of inputs ``[..., n_input]`` meet every constraint: ``[...]`` bool."""
        left = y @ self.coefficients.T
        if self.input_coefficients is not None:
            if x is None:
                raise ValueError("the constraints speak of the input, which is not given")
            left = left + x @ self.input_coefficients.T
        return self.met_by(left).all(-1)

    def met_by(self, left: Tensor) -> Tensor:
        """Which constraints left sides ``[..., m]`` meet: ``[..., m]`` bool."""
        met = left >= self.threshold
        return met if self.strict is None else met & ((left > self.threshold) | ~self.strict)

    def over_integers(self) -> Conjunction:
        """The same where left sides and thresholds are whole numbers, without strict constraints: ``> t`` is ``>= t + 1``."""
        if self.strict is None:
            return self
        return replace(self, threshold=self.threshold + self.strict.to(self.threshold.dtype), strict=None)


@dataclass(frozen=True, eq=False)
class Sample:
    """The image that a query of local robustness is about.

    Attributes
    ----------
    image : ``[n_input]``
    label : its class
    radius : how many grey levels each input may move, cut to the network's input range, where that is what gives the
        box (integer networks); None elsewhere
    part : box and condition with exact numbers, where those of the query are rounded outward (a radius around an image of a
        real network); None where the query's own are what is meant
    top : how many of the first classes the label is to be among
    """

    image: Tensor
    label: int
    radius: int | None = None
    part: PropertyPart | None = None
    top: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", plain(self.image))


@dataclass(frozen=True, eq=False)
class Query:
    """Is there an input in the box whose output meets one of the conjunctions?

    Over the integers strict constraints are stored as what they are there, ``> t`` as ``>= t + 1``.

    Attributes
    ----------
    network : the network asked about
    lower, upper : ``[n_input]``, the input box (ends included)
    condition : the disjunction, one :class:`Conjunction` per disjunct. It is empty, and then met by nothing, only where
        ``about`` says so: for a network with one output, whose class cannot change, or a property that states a falsehood
    name : how reports and results call it
    about : where the query comes from, if it comes from a sample or from a part of a property. A sample of another class
        than its label makes the query ``misclassified``; what a part states is what a witness is held to, exactly, where
        box and thresholds here are its numbers rounded outward
    """

    network: Network
    lower: Tensor
    upper: Tensor
    condition: tuple[Conjunction, ...]
    name: str = "query"
    about: Sample | PropertyPart | None = None

    @on_own_terms
    def __post_init__(self) -> None:
        check_network(self.network)
        self._check_condition()
        for name in ("lower", "upper"):
            _check_tensor(self.name, name, getattr(self, name))
            object.__setattr__(self, name, plain(getattr(self, name)))
        self._check_tensors()
        if not self.condition and not self._asks_nothing:
            raise QueryError(
                self.name, "the condition has no conjunction, so that nothing is asked", "give at least one"
            )
        if self.network.kept is not Kept.VALUES:
            self._settle_order()
        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            self._check_integers()
            object.__setattr__(self, "condition", tuple(c.over_integers() for c in self.condition))

    def _check_condition(self) -> None:
        check_name(self.name)
        if self.about is not None and not (isinstance(self.about, Sample) or hasattr(self.about, "condition")):
            raise QueryError(self.name, f"it is about {described(self.about)}", "leave about out")
        given: object = self.condition
        if isinstance(given, Conjunction):
            raise QueryError(self.name, "the condition is one Conjunction", "give a tuple of them: (conjunction,)")
        if not isinstance(given, tuple | list) or not all(isinstance(one, Conjunction) for one in given):
            raise QueryError(self.name, f"the condition is {described(given)}", "give a tuple of Conjunctions")

    @property
    def _asks_nothing(self) -> bool:
        """Whether it is known, whatever the condition, that nothing can meet it."""
        if self.sample is not None:
            return self.network.outputs == 1
        return self.part is not None and not self.part.condition

    def _check_tensors(self) -> None:
        size = (self.network.inputs,)
        dtype = self.network.lower.dtype
        for part in (self.lower, self.upper, *(t for c in self.condition for t in (c.coefficients, c.threshold))):
            if part.dtype != dtype:
                raise QueryError(self.name, f"a tensor is {part.dtype}, the network's are {dtype}", "convert it")
        if self.lower.shape != size or self.upper.shape != size:
            raise QueryError(
                self.name,
                f"the box has shape {tuple(self.lower.shape)}, the network takes {size}",
                "give one lower and one upper end per network input",
            )
        if not bool((self.lower <= self.upper).all()):
            raise QueryError(
                self.name,
                "the input box is empty (a lower end exceeds its upper end, or is NaN)",
                "check the radius and the input's bounds",
            )
        if not bool((torch.isfinite(self.lower) & torch.isfinite(self.upper)).all()):
            raise QueryError(self.name, "the input box has an end that is infinite", "bound every input")
        for conjunction in self.condition:
            self._check_conjunction(conjunction)
        if not all(bool(torch.isfinite(numbers).all()) for numbers in self._numbers()):
            raise QueryError(self.name, "a constraint has a number that is NaN or infinite", "give finite numbers")
        sample = self.sample
        if sample is not None and sample.image.shape != size:
            raise QueryError(
                self.name,
                f"the image has {sample.image.numel()} values, the network takes {self.network.inputs}",
                "use images of the data set the network was trained on",
            )

    def _check_conjunction(self, conjunction: Conjunction) -> None:
        matrix, right = conjunction.coefficients, conjunction.threshold
        if matrix.ndim != 2 or right.ndim != 1 or matrix.shape[0] != right.shape[0] or not right.numel():
            raise QueryError(
                self.name,
                f"a conjunction has coefficients {tuple(matrix.shape)} and thresholds {tuple(right.shape)}",
                "give a matrix with one row per constraint, at least one, and as many thresholds",
            )
        if matrix.shape[-1] != self.network.outputs:
            raise QueryError(
                self.name,
                f"a constraint speaks of {matrix.shape[-1]} outputs, the network has {self.network.outputs}",
                "use the network's own outputs",
            )
        inputs = conjunction.input_coefficients
        if inputs is not None and (inputs.shape != (len(right), self.network.inputs) or inputs.dtype != matrix.dtype):
            raise QueryError(
                self.name,
                f"a conjunction has input coefficients {tuple(inputs.shape)} for {len(right)} constraints "
                f"on {self.network.inputs} inputs",
                "give one row per constraint and one column per network input, as float64",
            )
        strict = conjunction.strict
        if strict is not None and (strict.shape != right.shape or strict.dtype != torch.bool):
            raise QueryError(
                self.name,
                f"a conjunction has strict marks {tuple(strict.shape)} of {strict.dtype} for {len(right)} constraints",
                "give one bool per constraint",
            )

    def _numbers(self) -> Iterator[Tensor]:
        """Every number of the condition, in few tensors: a disjunct each would cost more than what is looked at."""
        together: list[Tensor] = []
        size = 0
        for conjunction in self.condition:
            for part in (conjunction.coefficients, conjunction.input_coefficients, conjunction.threshold):
                if part is None:
                    continue
                if part.numel() > _NUMBERS_TOGETHER:
                    yield part
                else:
                    together.append(part.reshape(-1))
                    size += part.numel()
            if size > _NUMBERS_TOGETHER:
                yield torch.cat(together)
                together, size = [], 0
        if together:
            yield torch.cat(together)

    def _settle_order(self) -> None:
        """Ask about the network with its softmax where the order of its operands does not answer."""
        try:
            self._check_order()
        except QueryError:
            if self.network.complete is None:
                raise
            object.__setattr__(self, "network", self.network.complete)

    def _check_order(self) -> None:
        """Without the final softmax only the order of outputs is the file's; of one that gives codes, only the class."""
        network = self.network
        of_class = self.sample is not None and self.sample.top == 1
        class_only = network.kept is Kept.CLASS
        if network.kept is Kept.NOTHING or (class_only and not of_class):
            what = "its outputs" if class_only else "its class"
            raise QueryError(
                self.name,
                f"asks about {what}, but the final softmax of {network.path} was left out, which can give one code to "
                "different operands",
                "cut the softmax off the network" + (", or ask about the class" if class_only else ""),
            )
        # Of integers, at least one more is more.
        least = (0.0, 1.0) if network.graph.arithmetic is Arithmetic.INTEGER else (0.0,)
        for conjunction in self.condition:
            rows, inputs = conjunction.coefficients, conjunction.input_coefficients
            speaks = (rows != 0).any(1)
            compares = ((rows != 0).sum(1) == 2) & (rows.sum(1) == 0)
            compares &= torch.isin(conjunction.threshold, conjunction.threshold.new_tensor(least))
            if inputs is not None:
                compares &= ~(inputs != 0).any(1)
            if not bool((compares | ~speaks).all()):
                raise QueryError(
                    self.name,
                    f"asks for values of outputs, but the final softmax of {self.network.path} was left out, "
                    "which keeps only their order",
                    "state the property on the inputs of the softmax, and cut it off the network",
                )

    def _check_integers(self) -> None:
        """Exact claims need integer constraints, and boxes for which the graph was found exact."""
        network = self.network
        if not all(bool((end == end.round()).all()) for end in (self.lower, self.upper)):
            raise QueryError(self.name, "the input box has ends that are not integers", "round it inwards")
        if not bool(((self.lower >= network.lower) & (self.upper <= network.upper)).all()):
            raise QueryError(
                self.name,
                f"the input box leaves the network's input range {int(network.lower.min())}..{int(network.upper.max())}",
                "cut it to that range",
            )
        if any(c.input_coefficients is not None for c in self.condition):
            raise QueryError(
                self.name,
                "a constraint speaks of the input, which integer queries cannot",
                "constrain outputs and give the input a box",
            )
        coefficients, _, threshold = self._constraints
        size = coefficients.abs().sum(-1) * network.largest_output + threshold.abs()
        if not bool((size < _LARGEST_CONSTRAINT).all()):
            raise QueryError(self.name, "a constraint's terms can reach 2^44", "use smaller coefficients")
        if not all(bool((part == part.round()).all()) for part in (coefficients, threshold)):
            raise QueryError(self.name, "a constraint has coefficients that are not integers", "scale it to integers")

    @property
    def _constraints(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """The constraints of all conjunctions, one after the other: coefficients ``[M, n_output]`` of outputs and
        ``[M, n_input]`` of inputs (None where there are none), thresholds ``[M]``."""
        if not self.condition:
            return self.lower.new_zeros(0, self.network.outputs), None, self.lower.new_zeros(0)
        outputs = torch.cat([c.coefficients for c in self.condition])
        threshold = torch.cat([c.threshold for c in self.condition])
        if all(c.input_coefficients is None for c in self.condition):
            return outputs, None, threshold
        none = self.lower.new_zeros(self.network.inputs)
        inputs = torch.cat(
            [
                none.expand(len(c.threshold), -1) if c.input_coefficients is None else c.input_coefficients
                for c in self.condition
            ]
        )
        return outputs, inputs, threshold

    @cached_property
    def _stacked(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """As :attr:`_constraints`, and which of them are strict, ``[M]`` bool (None where none is)."""
        if all(c.strict is None for c in self.condition):
            return (*self._constraints, None)
        marks = [
            torch.zeros_like(c.threshold, dtype=torch.bool) if c.strict is None else c.strict for c in self.condition
        ]
        return (*self._constraints, torch.cat(marks))

    @on_own_terms
    def refuted_by(self, x: Tensor) -> Tensor:
        """Whether inputs ``[..., n_input]`` are witnesses: ``[...]`` bool.

        Exact for integer networks. For real ones it is a float64 evaluation, fit to propose a witness but not
        to report one.
        """
        inside = ((x >= self.lower) & (x <= self.upper)).all(-1)
        if self.ball is not None:
            inside &= self._in_ball(x)
        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            inside &= (x == x.round()).all(-1)
        outputs, inputs, threshold, strict = self._stacked
        left = self.network.graph.evaluate(x) @ outputs.T
        if inputs is not None:
            left = left + x @ inputs.T
        holds = left >= threshold
        if strict is not None:
            holds &= (left > threshold) | ~strict
        if len(threshold) > len(self.condition):
            sizes = [len(c.threshold) for c in self.condition]
            holds = torch.stack([part.all(-1) for part in torch.split(holds, sizes, -1)], -1)
        return inside & holds.any(-1)

    def _in_ball(self, x: Tensor) -> Tensor:
        """Which inputs ``[..., n_input]`` lie in the ball: exactly where all numbers are whole, else up to rounding."""
        ball = self.ball
        assert ball is not None
        center, weight = self._ball_numbers
        moves = weight * (x.double() - center).abs()
        whole = self.network.graph.arithmetic is Arithmetic.INTEGER
        limit = float(ball.radius) * (1 if whole else 1 + 1e-9)
        return moves.sum(-1) <= limit if ball.norm == "l1" else moves.square().sum(-1) <= limit * limit

    @cached_property
    def _ball_numbers(self) -> tuple[Tensor, Tensor]:
        assert self.ball is not None
        center, weight = ([float(value) for value in part] for part in (self.ball.center, self.ball.weight))
        return torch.tensor(center, dtype=torch.float64), torch.tensor(weight, dtype=torch.float64)

    @property
    def ball(self) -> Ball | None:
        """Where inputs have to lie as well, besides the box; None where that is all."""
        return None if self.part is None else self.part.ball

    def admits(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether an input and its outputs are an answer, exactly, strictness and all: what no ``sat`` is reported without.

        Where the query has exact numbers (:attr:`part`), these count, before anything in them was rounded.
        """
        part = self.part
        if part is not None:
            return part.holds(x, y)
        # Whole numbers compare exactly with floats, and faster than fractions do.
        values = (value.numerator if value.denominator == 1 else value for value in x)
        ends = zip(self.lower.tolist(), values, self.upper.tolist(), strict=True)
        return all(low <= value <= high for low, value, high in ends) and any(
            _holds_exactly(conjunction, x, y) for conjunction in self.condition
        )

    @property
    def sample(self) -> Sample | None:
        """The sample that the query is about, if any."""
        return self.about if isinstance(self.about, Sample) else None

    @property
    def part(self) -> PropertyPart | None:
        """What the query states with exact numbers: the part of a property, or a sample's box; None where its own numbers are meant."""
        return self.about.part if isinstance(self.about, Sample) else self.about

    @cached_property
    def prediction(self) -> int:
        """The class the network gives the sample itself; raises :class:`QueryError` where the query is about none."""
        return int(self.network.classify(sample_of(self).image))

    @property
    def misclassified(self) -> bool:
        """True where the query has no meaning because the sample itself is classified wrongly.

        That is where its label is not among the first classes that it is to stay in. Of equal outputs the first comes first.
        """
        sample = self.sample
        if sample is None or sample.top == 1:
            return sample is not None and self.prediction != sample.label
        y = self.network.graph.evaluate(sample.image)
        before = (y > y[sample.label]) | ((y == y[sample.label]) & (torch.arange(len(y)) < sample.label))
        return int(before.sum()) >= sample.top


def check_name(given: object) -> None:
    """Raise :class:`QueryError` for a name that is no text."""
    if not isinstance(given, str):
        raise QueryError("name", f"is {described(given)}", f"give text: {shown(shown(given))}")


def _check_tensor(source: str, name: str, given: object) -> None:
    if not isinstance(given, Tensor):
        hint = "give a tensor: torch.as_tensor(numbers, dtype=torch.float64)"
        raise QueryError(source, f"{name} is {described(given)}", hint)


def sample_of(query: Query) -> Sample:
    """The sample that a query is about; raises :class:`QueryError` where it is about none."""
    sample = query.sample
    if sample is None:
        raise QueryError(query.name, "is not about a sample", "ask about local robustness")
    return sample


def _holds_exactly(conjunction: Conjunction, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
    inputs = conjunction.input_coefficients
    for i, (row, threshold) in enumerate(
        zip(conjunction.coefficients.tolist(), conjunction.threshold.tolist(), strict=True)
    ):
        left = sum((Fraction(c) * v for c, v in zip(row, y, strict=True) if c), Fraction(0))
        if inputs is not None:
            left += sum((Fraction(c) * v for c, v in zip(inputs[i].tolist(), x, strict=True) if c), Fraction(0))
        strict = conjunction.strict is not None and bool(conjunction.strict[i])
        if left < threshold or (strict and left == threshold):
            return False
    return True


@dataclass(frozen=True, eq=False)
class Question:
    """Queries on one network that are asked together: ``sat`` where one of them is, ``unsat`` where every one is.

    A property with several input boxes is one.

    Attributes
    ----------
    parts : at least one query, all on the same network; they may be made when they are looked at
    name : how reports and results call it
    """

    parts: Sequence[Query]
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)
        given: object = self.parts
        if isinstance(given, Query) or not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
            raise QueryError(self.name, f"its parts are {described(given)}", "give a tuple of queries: (query,)")
        if isinstance(given, tuple | list) and not all(isinstance(part, Query) for part in given):
            odd = next(part for part in given if not isinstance(part, Query))
            raise QueryError(self.name, f"one of its parts is {described(odd)}", "give queries")
        if not len(self.parts):
            raise QueryError(self.name, "has no part, so that nothing is asked", "give at least one query")

    @classmethod
    def of(cls, asked: Query | Question) -> Question:
        """A query as a question of its own."""
        return asked if isinstance(asked, Question) else cls((asked,), asked.name)

    @property
    def network(self) -> Network:
        """The network asked about."""
        return self.parts[0].network
