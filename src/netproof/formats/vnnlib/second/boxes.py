"""What a query says of inputs whatever else holds: which are equal, and between which ends each of them lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from netproof.formats.vnnlib.formulas import Bounds
from netproof.formats.vnnlib.second.declarations import Comparison, Connective, Formula

#: how often ends are made tighter by comparisons of several inputs, and the terms of these that are looked at in all
_ROUNDS = 8
_MOST_TERMS = 400_000


def always(formulas: Sequence[Formula]) -> list[Comparison]:
    """The comparisons that hold in any case: those in no ``or``."""
    found: list[Comparison] = []
    stack = list(reversed(formulas))
    while stack:
        formula = stack.pop()
        if isinstance(formula, Comparison):
            found.append(formula)
        elif not formula.any:
            stack.extend(reversed(formula.parts))
    return found


def without_ends(formulas: Sequence[Formula], is_end: Callable[[Comparison], bool]) -> list[Formula]:
    """Formulas without the comparisons that hold in any case and are ends of inputs."""
    rest: list[Formula] = []
    stack = list(reversed(formulas))
    while stack:
        formula = stack.pop()
        if isinstance(formula, Connective) and not formula.any:
            stack.extend(reversed(formula.parts))
        elif isinstance(formula, Connective) or not is_end(formula):
            rest.append(formula)
    return rest


def equal_elements(comparisons: Iterable[Comparison]) -> list[tuple[int, int]]:
    """Pairs of elements that are stated to be equal: both ``x - y >= 0`` and ``y - x >= 0``."""
    seen: set[tuple[int, int]] = set()
    pairs: list[tuple[int, int]] = []
    for comparison in comparisons:
        polynomial = comparison.polynomial
        if comparison.strict or len(polynomial) != 2:
            continue
        (one, a), (two, b) = polynomial.items()
        if len(one) != 1 or len(two) != 1 or a + b != 0:
            continue
        pair = (one[0], two[0]) if a > 0 else (two[0], one[0])
        if pair[::-1] in seen:
            pairs.append(pair)
        seen.add(pair)
    return pairs


def classes(size: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Of elements ``0 .. size - 1``, for each the first one that it equals, by all pairs together."""
    first = list(range(size))

    def find(element: int) -> int:
        while first[element] != element:
            first[element] = first[first[element]]
            element = first[element]
        return element

    for one, two in pairs:
        a, b = find(one), find(two)
        first[max(a, b)] = min(a, b)
    return [find(element) for element in range(size)]


#: ``sum c_i x_i + constant >= 0`` over inputs alone, and the number of its word
Row = tuple[tuple[tuple[int, Fraction], ...], Fraction, int]


def tighten(rows: Sequence[Row], bounds: Bounds) -> None:
    """Take note of the ends that comparisons imply for each of their inputs, given those of the others.

    A few rounds of interval propagation in rational numbers; what it finds is implied, though not all of what is.
    """
    work = _MOST_TERMS
    for _ in range(_ROUNDS):
        changed = False
        for terms, constant, at in rows:
            work -= len(terms)
            if work < 0:
                return
            changed |= _tighten_by(terms, constant, at, bounds)
        if not changed or bounds.crossed() is not None:
            return


def _tighten_by(terms: Sequence[tuple[int, Fraction]], constant: Fraction, at: int, bounds: Bounds) -> bool:
    largest: list[Fraction | None] = []
    for index, coefficient in terms:
        found = (bounds.upper if coefficient > 0 else bounds.lower).get(index)
        largest.append(None if found is None else coefficient * found[0])
    unknown = [number for number, value in enumerate(largest) if value is None]
    if len(unknown) > 1:
        return False
    total = constant + sum((value for value in largest if value is not None), Fraction(0))
    changed = False
    for number in unknown or range(len(terms)):
        index, coefficient = terms[number]
        own = largest[number]
        # coefficient * x >= -(everything else at its largest)
        end = -(total if own is None else total - own) / coefficient
        if _long(end):
            continue
        if coefficient > 0:
            low = bounds.lower.get(index)
            bounds.raise_lower(index, end, at)
            changed |= low is None or end > low[0]
        else:
            high = bounds.upper.get(index)
            bounds.lower_upper(index, end, at)
            changed |= high is None or end < high[0]
    return changed


def _long(value: Fraction) -> bool:
    """Whether an end has more digits than is worth while."""
    return max(value.numerator.bit_length(), value.denominator.bit_length()) > 1 << 11


def map_elements(formula: Formula, place: Sequence[int]) -> Formula:
    """A formula with other numbers for its elements; where two become one, their terms are added."""
    if isinstance(formula, Connective):
        return Connective(formula.any, tuple(map_elements(part, place) for part in formula.parts))
    mapped: dict[tuple[int, ...], Fraction] = {}
    for monomial, coefficient in formula.polynomial.items():
        moved = tuple(sorted(place[element] for element in monomial))
        value = mapped.get(moved, Fraction(0)) + coefficient
        if value:
            mapped[moved] = value
        else:
            mapped.pop(moved, None)
    return Comparison(mapped, formula.strict, formula.at)
