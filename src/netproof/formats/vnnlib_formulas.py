"""From formulas to boxes with conditions: the disjunctive normal form of a VNN-LIB property."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from netproof.errors import FormatError
from netproof.formats.vnnlib_tokens import Tokens
from netproof.property import Box, LinearConstraint, PropertyPart

#: comparisons in the normal form, and ends of boxes, beyond which a property is refused
_LARGEST_FORM = 1 << 21
_LARGEST_BOXES = 1 << 25


@dataclass(frozen=True)
class Atom:
    """One comparison, and the number of the word where it stands."""

    constraint: LinearConstraint
    at: int


@dataclass(frozen=True)
class And:
    """All of them; of none: true."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Or:
    """One of them; of none: false."""

    parts: tuple[Formula, ...]


Formula = Atom | And | Or


class Bounds:
    """Ends of single inputs, as far as they are known: the tightest, and where each of them stands."""

    def __init__(
        self, lower: dict[int, tuple[Fraction, int]] | None = None, upper: dict[int, tuple[Fraction, int]] | None = None
    ) -> None:
        self.lower = dict(lower or {})
        self.upper = dict(upper or {})

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
        """Take note of a comparison if it is one of a single input; whether nothing more is to be said of it.

        A strict comparison bounds the box as well, but the box has its ends: it stays a constraint.
        """
        constraint = atom.constraint
        if constraint.outputs or len(constraint.inputs) != 1:
            return False
        ((index, coefficient),) = constraint.inputs
        end = constraint.threshold / coefficient
        if coefficient > 0:
            self.raise_lower(index, end, atom.at)
        else:
            self.lower_upper(index, end, atom.at)
        return not constraint.strict

    def crossed(self) -> int | None:
        """An input whose lower end exceeds its upper end."""
        return next((i for i, (low, _) in self.lower.items() if i in self.upper and low > self.upper[i][0]), None)


def parts_of(
    tokens: Tokens, path: str | Path, inputs: int, bounds: Bounds, formulas: Sequence[Formula]
) -> tuple[PropertyPart, ...]:
    """The property ``bounds and formulas`` as boxes with conditions.

    Disjuncts that are false for any numbers fall away; where all do, what is left is one box with an empty disjunction.

    Raises
    ------
    FormatError : an empty box, an input without a bound, a condition that is too large
    """
    crossed = bounds.crossed()
    if crossed is not None:
        _fail_crossed(tokens, bounds, crossed)
    comparisons = _size(And(tuple(formulas)))[1]
    if comparisons > _LARGEST_FORM:
        raise FormatError(
            path,
            f"its nested and/or stand for more than {_LARGEST_FORM} comparisons when they are written out",
            "state it as a disjunction of conjunctions",
        )
    grouped: dict[tuple[object, ...], tuple[Bounds, list[tuple[LinearConstraint, ...]]]] = {}
    empty: tuple[Bounds, int] | None = None
    impossible: Bounds | None = None
    for atoms in _conjunctions(And(tuple(formulas))):
        own, constraints, possible = Bounds(), [], True
        for atom in atoms:
            if own.take(atom):
                continue
            constraint = atom.constraint
            if constraint.inputs or constraint.outputs:
                constraints.append(constraint)
            elif not (constraint.threshold < 0 if constraint.strict else constraint.threshold <= 0):
                possible = False
        narrowed = Bounds(bounds.lower, bounds.upper) if own.lower or own.upper else bounds
        for i, (value, at) in own.lower.items():
            narrowed.raise_lower(i, value, at)
        for i, (value, at) in own.upper.items():
            narrowed.lower_upper(i, value, at)
        reverse = None if narrowed is bounds else narrowed.crossed()
        if reverse is not None:
            empty = (narrowed, reverse)
            continue
        if not possible:
            impossible = impossible or narrowed
            continue
        key = tuple(
            sorted(
                (i, narrowed.lower.get(i, (None,))[0], narrowed.upper.get(i, (None,))[0])
                for i in {*own.lower, *own.upper}
            )
        )
        group = grouped.setdefault(key, (narrowed, []))
        group[1].append(tuple(constraints))
    if not grouped:
        if empty is not None and impossible is None:
            _fail_crossed(tokens, *empty)
        # False whatever the network computes: a box on which nothing is asked.
        return (PropertyPart(_box(path, inputs, impossible or bounds), ()),)
    if len(grouped) * inputs > _LARGEST_BOXES:
        raise FormatError(
            path,
            f"has {len(grouped)} input boxes of {inputs} inputs, which is more than can be handled",
            "split the file",
        )
    return tuple(PropertyPart(_box(path, inputs, held), tuple(conjunctions)) for held, conjunctions in grouped.values())


def _box(path: str | Path, inputs: int, bounds: Bounds) -> Box:
    for i in range(inputs):
        for ends, kind, sign in ((bounds.lower, "lower", ">="), (bounds.upper, "upper", "<=")):
            if i not in ends:
                raise FormatError(path, f"input X_{i} has no {kind} bound", f"add an assert ({sign} X_{i} ...)")
    return Box(tuple(bounds.lower[i][0] for i in range(inputs)), tuple(bounds.upper[i][0] for i in range(inputs)))


def _fail_crossed(tokens: Tokens, bounds: Bounds, index: int) -> None:
    (low, low_at), (high, high_at) = bounds.lower[index], bounds.upper[index]
    tokens.fail(
        max(low_at, high_at),
        f"the input box is empty: X_{index} is at least {float(low):g} and at most {float(high):g}",
        "check the bounds",
    )


def _size(formula: Formula) -> tuple[int, int]:
    """Conjunctions in the normal form of a formula, and comparisons in all of them together."""
    if isinstance(formula, Atom):
        return 1, 1
    sizes = [_size(part) for part in formula.parts]
    if isinstance(formula, Or):
        return sum(count for count, _ in sizes), sum(total for _, total in sizes)
    count, total = 1, 0
    for further, comparisons in sizes:
        # Cut off where it is too much anyway: the true numbers can have thousands of digits.
        total = min(total * further + comparisons * count, _LARGEST_FORM + 1)
        count = min(count * further, _LARGEST_FORM + 1)
    return count, max(count, total)


def _conjunctions(formula: Formula) -> list[tuple[Atom, ...]]:
    """The conjunctions of the normal form."""
    if isinstance(formula, Atom):
        return [(formula,)]
    parts = [_conjunctions(part) for part in formula.parts]
    if isinstance(formula, Or):
        return [conjunction for part in parts for conjunction in part]
    return [tuple(itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*parts)]
