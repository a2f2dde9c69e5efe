"""From formulas to boxes with conditions: the disjunctive normal form of a VNN-LIB property."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.vnnlib.tokens import Tokens
from netproof.property import Box, LinearConstraint, PropertyPart

#: beyond these a property is refused, because what is made of it would take more than about a gigabyte:
#: comparisons, in a file and in its normal form; boxes; inputs of all boxes together
LARGEST_FORM = 1 << 20
_MOST_BOXES = 1 << 16
_LARGEST_BOXES = 1 << 23


@dataclass(frozen=True, slots=True)
class Atom:
    """One comparison, and the number of the word where it stands."""

    constraint: LinearConstraint
    at: int

    @property
    def value(self) -> bool | None:
        """Whether it holds; None where it is about variables."""
        constraint = self.constraint
        if constraint.inputs or constraint.outputs:
            return None
        return constraint.threshold < 0 if constraint.strict else constraint.threshold <= 0


@dataclass(frozen=True, slots=True)
class And:
    """All of some formulas hold; true where there are none."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of some formulas holds; false where there are none."""

    parts: tuple[Formula, ...]


Formula = Atom | And | Or

_TRUE, _FALSE = And(()), Or(())


class Bounds:
    """Ends of single inputs, as far as they are known: the tightest, and where each of them stands."""

    def __init__(self) -> None:
        self.lower: dict[int, tuple[Fraction, int]] = {}
        self.upper: dict[int, tuple[Fraction, int]] = {}

    def raise_lower(self, index: int, value: Fraction, at: int) -> None:
        """Take note of ``X_index >= value``."""
        known = self.lower.get(index)
        if known is None or value > known[0]:
            self.lower[index] = (value, at)

    def lower_upper(self, index: int, value: Fraction, at: int) -> None:
        """Take note of ``X_index <= value``."""
        known = self.upper.get(index)
        if known is None or value < known[0]:
            self.upper[index] = (value, at)

    def take(self, atom: Atom) -> bool:
        """Take note of a comparison if it is about a single input; returns whether it says nothing more.

        A strict comparison bounds the box as well, but the box has its ends: it stays a constraint.
        """
        single = atom.constraint.end
        if single is None:
            return False
        index, from_below, end = single
        if from_below:
            self.raise_lower(index, end, atom.at)
        else:
            self.lower_upper(index, end, atom.at)
        return not atom.constraint.strict

    def within(self, others: Bounds) -> Bounds:
        """The inputs that are bounded here, by the tighter of both."""
        narrowed = Bounds()
        for i in {**self.lower, **self.upper}:
            for low in (others.lower.get(i), self.lower.get(i)):
                if low is not None:
                    narrowed.raise_lower(i, *low)
            for high in (others.upper.get(i), self.upper.get(i)):
                if high is not None:
                    narrowed.lower_upper(i, *high)
        return narrowed

    def crossed(self) -> int | None:
        """An input whose lower end exceeds its upper end."""
        for i, (low, _) in self.lower.items():
            high = self.upper.get(i)
            # Most ends of a file with many boxes are one number, read once.
            if high is not None and high[0] is not low and low > high[0]:
                return i
        return None

    def uncrossed(self, nearest: Callable[[int, Fraction], Fraction] | None) -> Bounds:
        """The same, but for ends that cross only as long as they are not rounded: those are the wider of both readings.

        ``nearest`` is the number that stands for a decimal as an end of an input; None where a decimal is what it says.
        """
        if nearest is None or self.crossed() is None:
            return self
        wider = Bounds()
        wider.lower, wider.upper = dict(self.lower), dict(self.upper)
        for i, (low, at) in self.lower.items():
            if i in self.upper and low > self.upper[i][0]:
                high, other = self.upper[i]
                wider.lower[i], wider.upper[i] = (min(low, nearest(i, low)), at), (max(high, nearest(i, high)), other)
        return wider

    def key(self, others: Bounds) -> tuple[object, ...]:
        """The ends that are not those of ``others``, as plain integers, which are hashed faster than fractions."""
        return tuple(
            (side, i, end.numerator, end.denominator)
            for side, (mine, known) in enumerate(((self.lower, others.lower), (self.upper, others.upper)))
            for i in sorted(mine)
            for end in (mine[i][0],)
            if i not in known or (known[i][0] is not end and known[i][0] != end)
        )


def parts_of(
    tokens: Tokens | None, path: str | Path, label: Callable[[int], str], inputs: int, bounds: Bounds,
    formulas: Sequence[Formula], clock: Clock, nearest: Callable[[int, Fraction], Fraction] | None = None,
) -> tuple[PropertyPart, ...]:  # fmt: skip
    """The property ``bounds and formulas`` as boxes with conditions.

    There is at least one part, and each has at least one conjunction, but where the formulas are false for any numbers:
    that is one box with an empty disjunction. Disjuncts that are false, or have no input in their box, fall away.

    Parameters
    ----------
    tokens : of a file in which an empty box is a mistake; None where it is a question like any other, answered by no
    label : what an input is called
    inputs : how many there are
    nearest : where an end may be meant as written or rounded: the number of its type next to a decimal, of an input. A box is
        empty only where it is so in both readings

    Raises
    ------
    FormatError : an empty box, an input without a bound, a condition that is too large
    TimeLimitError : the clock's deadline is over
    """
    bounds = bounds.uncrossed(nearest)
    crossed = bounds.crossed()
    if crossed is not None:
        if tokens is not None:
            _fail_crossed(tokens, bounds, crossed)
        nowhere = (Fraction(0),) * inputs
        return (PropertyPart(Box(nowhere, nowhere), ()),)
    boxes = _Boxes(path, label, inputs, bounds)
    formula = without_constants(And(tuple(formulas)))
    comparisons = _size(formula)[1]
    if comparisons > LARGEST_FORM:
        raise FormatError(
            path,
            f"its nested and/or stand for more than {LARGEST_FORM} comparisons when they are written out",
            "state it as a disjunction of conjunctions",
        )
    grouped: dict[tuple[object, ...], tuple[Bounds, list[tuple[LinearConstraint, ...]]]] = {}
    empty: Bounds | None = None
    for number, atoms in enumerate(_conjunctions(formula)):
        if not number % 1024:
            clock.look()
        own = Bounds()
        constraints = tuple([atom.constraint for atom in atoms if not own.take(atom)])
        narrowed = own.within(bounds).uncrossed(nearest)
        if narrowed.crossed() is not None:
            empty = narrowed
            continue
        grouped.setdefault(narrowed.key(bounds), (narrowed, []))[1].append(constraints)
        if len(grouped) > _MOST_BOXES:
            raise FormatError(path, f"has more than {_MOST_BOXES} input boxes", "split the file")
    if not grouped:
        if tokens is not None and empty is not None and not _has_false(And(tuple(formulas))):
            _fail_crossed(tokens, empty, empty.crossed() or 0)
        # False whatever the network computes: a box on which nothing is asked.
        return (PropertyPart(boxes.box(Bounds()), ()),)
    if len(grouped) * inputs > _LARGEST_BOXES:
        raise FormatError(
            path,
            f"has {len(grouped)} input boxes of {inputs} inputs, which is more than can be handled",
            "split the file",
        )
    parts = []
    for number, (narrowed, conjunctions) in enumerate(grouped.values()):
        if not number % 64:
            clock.look()
        parts.append(PropertyPart(boxes.box(narrowed), tuple(conjunctions)))
    return tuple(parts)


class _Boxes:
    """Makes boxes that differ from a common one in a few inputs."""

    def __init__(self, path: str | Path, label: Callable[[int], str], inputs: int, bounds: Bounds) -> None:
        self._path, self._label = path, label
        self._lower = [bounds.lower[i][0] if i in bounds.lower else None for i in range(inputs)]
        self._upper = [bounds.upper[i][0] if i in bounds.upper else None for i in range(inputs)]
        self._open = [i for i in range(inputs) if self._lower[i] is None or self._upper[i] is None]

    def box(self, own: Bounds) -> Box:
        """The common box but for what ``own`` says of its inputs; raises :class:`FormatError` where an end is missing."""
        for i in self._open:
            for common, ends, kind, sign in (
                (self._lower, own.lower, "lower", ">="),
                (self._upper, own.upper, "upper", "<="),
            ):
                if common[i] is None and i not in ends:
                    name = self._label(i)
                    raise FormatError(
                        self._path, f"input {name} has no {kind} bound", f"add an assert ({sign} {name} ...)"
                    )
        return Box(_patched(self._lower, own.lower), _patched(self._upper, own.upper))


def _patched(common: list[Fraction | None], own: dict[int, tuple[Fraction, int]]) -> tuple[Fraction, ...]:
    ends = common.copy()
    for i, (value, _) in own.items():
        ends[i] = value
    return tuple(ends)  # type: ignore[arg-type]  # none is missing: see box


def _fail_crossed(tokens: Tokens, bounds: Bounds, index: int) -> None:
    (low, low_at), (high, high_at) = bounds.lower[index], bounds.upper[index]
    tokens.fail(
        max(low_at, high_at),
        f"the input box is empty: X_{index} is at least {float(low):g} and at most {float(high):g}",
        "check the bounds",
    )


def without_constants(formula: Formula) -> Formula:
    """The same formula without comparisons of numbers alone.

    False ones take the conjunctions with them that they stand in, before those are multiplied out. A true one stays in
    a disjunction, as an empty conjunction.
    """
    if isinstance(formula, Atom):
        held = formula.value
        return formula if held is None else _TRUE if held else _FALSE
    parts = [without_constants(part) for part in formula.parts]
    if isinstance(formula, Or):
        return Or(tuple(part for part in parts if part != _FALSE))
    return _FALSE if _FALSE in parts else And(tuple(part for part in parts if part != _TRUE))


def _has_false(formula: Formula) -> bool:
    """Whether anything in a formula is false by itself."""
    if isinstance(formula, Atom):
        return formula.value is False
    return formula == _FALSE or any(_has_false(part) for part in formula.parts)


def _size(formula: Formula) -> tuple[int, int]:
    """Conjunctions in the normal form of a formula, and comparisons in all of them together.

    In a formula without constants no factor is 0, so that no part has more than the whole.
    """
    if isinstance(formula, Atom):
        return 1, 1
    sizes = [_size(part) for part in formula.parts]
    if isinstance(formula, Or):
        return sum(count for count, _ in sizes), sum(total for _, total in sizes)
    count, total = 1, 0
    for further, comparisons in sizes:
        # Cut off where it is too much anyway: the true numbers can have thousands of digits.
        total = min(total * further + comparisons * count, LARGEST_FORM + 1)
        count = min(count * further, LARGEST_FORM + 1)
    return count, max(count, total)


def _conjunctions(formula: Formula) -> Iterator[tuple[Atom, ...]]:
    """The conjunctions of the normal form."""
    if isinstance(formula, Atom):
        yield (formula,)
    elif isinstance(formula, Or):
        for part in formula.parts:
            yield from _conjunctions(part)
    else:
        for chosen in itertools.product(*(_conjunctions(part) for part in formula.parts)):
            yield tuple(itertools.chain.from_iterable(chosen))
