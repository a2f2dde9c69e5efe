"""Formulas of properties: a language of their own, its evaluation in rational numbers, and its text as VNN-LIB.

Nothing here knows netproof. A formula is evaluated as it is; the text says the same in one of many ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

#: a variable: its letter and its number
Variable = tuple[str, int]


@dataclass(frozen=True)
class Compare:
    """``sum c v  op  right`` with op one of ``<= < >= > =``; no term at all compares 0 with ``right``."""

    terms: tuple[tuple[Variable, Fraction], ...]
    op: str
    right: Fraction

    def left(self, value: Callable[[Variable], Any]) -> Any:
        """The left side, of whatever numbers ``value`` gives."""
        total: Any = Fraction(0)
        for variable, factor in self.terms:
            total = total + value(variable) * factor
        return total


@dataclass(frozen=True)
class All:
    """Conjunction; of nothing: true."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Some:
    """Disjunction; of nothing: false."""

    parts: tuple[Formula, ...]


Formula = Compare | All | Some


def compared(op: str, left: Any, right: Any) -> bool:
    """Whether two numbers compare as ``op`` says."""
    return bool(
        {"<=": left <= right, "<": left < right, ">=": left >= right, ">": left > right, "=": left == right}[op]
    )


def holds(
    formula: Formula, x: Sequence[Fraction], y: Sequence[Fraction], slack: Fraction | int = 0, *, lax: bool = False
) -> bool:
    """Whether a point and its outputs meet a formula, exactly; with slack, every comparison that speaks of outputs by more
    than that (an equation never). ``lax`` takes strict comparisons as not strict, which only tests do."""
    if isinstance(formula, All):
        return all(holds(part, x, y, slack, lax=lax) for part in formula.parts)
    if isinstance(formula, Some):
        return any(holds(part, x, y, slack, lax=lax) for part in formula.parts)
    left = formula.left(lambda v: (x if v[0] == "X" else y)[v[1]])
    op = formula.op + "=" if lax and formula.op in ("<", ">") else formula.op
    if slack and any(letter == "Y" for (letter, _), _ in formula.terms):
        gap = left - formula.right
        return bool(op != "=" and (gap > slack if op[0] == ">" else -gap > slack))
    return compared(op, left, formula.right)


def comparisons(formula: Formula) -> Iterator[Compare]:
    """All comparisons in a formula, from left to right."""
    if isinstance(formula, Compare):
        yield formula
    else:
        for part in formula.parts:
            yield from comparisons(part)


class Writer:
    """Writes formulas, in ways that chance chooses.

    Parameters
    ----------
    plain : numbers and sides as they are: for files that people read
    """

    def __init__(self, random: np.random.Generator, *, plain: bool = False) -> None:
        self._random, self._plain = random, plain

    def property(self, inputs: int, outputs: int, asserts: Sequence[Formula]) -> str:
        """A whole file that asserts all of the formulas."""
        names = [f"X_{i}" for i in range(inputs)] + [f"Y_{j}" for j in range(outputs)]
        if self._chance(0.2):
            names = [names[i] for i in self._random.permutation(len(names))]
        lines = ["; made by chance", "(set-logic QF_LRA)"] if self._chance(0.2) else []
        function = self._chance(0.1)
        lines += [f"(declare-fun {name} () Real)" if function else f"(declare-const {name} Real)" for name in names]
        lines += [f"(assert {self.formula(one)})" for one in asserts]
        if self._chance(0.1):
            lines.append("(check-sat)")
        return "\n".join(lines) + "\n"

    def formula(self, formula: Formula) -> str:
        if isinstance(formula, Compare):
            return self._comparison(formula)
        word = "and" if isinstance(formula, All) else "or"
        if not formula.parts and self._chance(0.5):
            return "true" if word == "and" else "false"
        if len(formula.parts) == 1 and self._chance(0.5):
            return self.formula(formula.parts[0])
        parts = [self.formula(part) for part in formula.parts]
        if len(parts) > 2 and self._chance(0.1):  # nested once more
            parts = [parts[0], f"({word} {' '.join(parts[1:])})"]
        return f"({' '.join([word, *parts])})"

    def _comparison(self, one: Compare) -> str:
        op, terms, right = one.op, list(one.terms), one.right
        moved: list[tuple[Variable, Fraction]] = []
        if self._chance(0.25):  # some terms to the other side, and a factor on both
            keep = self._random.random(len(terms)) < 0.5
            moved = [(v, -c) for (v, c), kept in zip(terms, keep, strict=True) if not kept]
            terms = [term for term, kept in zip(terms, keep, strict=True) if kept]
        if self._chance(0.1):
            factor = Fraction(int(self._random.choice([2, 3, 5, 8])), int(self._random.choice([1, 2, 4])))
            terms, moved = [(v, c * factor) for v, c in terms], [(v, c * factor) for v, c in moved]
            right *= factor
        sides = [self._sum(terms, Fraction(0)), self._sum(moved, right)]
        if self._chance(0.3):
            sides.reverse()
            op = {"<=": ">=", "<": ">", ">=": "<=", ">": "<", "=": "="}[op]
        if op == "=" and self._chance(0.5):
            return f"(and (<= {' '.join(sides)}) (>= {' '.join(sides)}))"
        return f"({op} {' '.join(sides)})"

    def _sum(self, terms: Sequence[tuple[Variable, Fraction]], constant: Fraction) -> str:
        words = [self._term(variable, factor) for variable, factor in terms]
        if constant or not words:
            words.insert(
                int(self._random.integers(len(words) + 1)) if not self._plain else len(words), self.number(constant)
            )
        if len(words) == 1:
            return words[0]
        return f"(+ {' '.join(words)})"

    def _term(self, variable: Variable, factor: Fraction) -> str:
        name = f"{variable[0]}_{variable[1]}"
        if factor == 1 and not self._chance(0.1):
            return name
        if factor == -1 and self._chance(0.7):
            return f"(- {name})"
        if factor != 0 and (1 / factor).denominator == 1 and self._chance(0.2):
            return f"(/ {name} {self.number(1 / factor)})"
        pair = [name, self.number(factor)]
        return f"(* {' '.join(pair if self._chance(0.3) else pair[::-1])})"

    def number(self, value: Fraction) -> str:
        """A number; a quotient where it has no finite decimal expansion."""
        if value < 0 and self._chance(0.15):
            return f"(- {self.number(-value)})"
        digits = decimal_of(value)
        if digits is None or (value.denominator > 1 and self._chance(0.05)):
            return f"(/ {value.numerator} {value.denominator})"
        whole, exponent = digits
        if self._chance(0.1):
            return f"{whole}e{exponent}" if exponent else f"{whole}.0"
        return _plain_decimal(whole, exponent)

    def _chance(self, share: float) -> bool:
        return not self._plain and bool(self._random.random() < share)


def decimal_of(value: Fraction, most: int = 300) -> tuple[int, int] | None:
    """``(n, e)`` with ``value = n * 10**e``, e at most 0; None where there is none of ``most`` digits after the point."""
    twos = fives = 0
    denominator = value.denominator
    while denominator % 2 == 0:
        denominator, twos = denominator // 2, twos + 1
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    places = max(twos, fives)
    if denominator != 1 or places > most:
        return None
    return int(value * 10**places), -places


def _plain_decimal(whole: int, exponent: int) -> str:
    if not exponent:
        return str(whole)
    digits = str(abs(whole)).rjust(1 - exponent, "0")
    return f"{'-' if whole < 0 else ''}{digits[:exponent]}.{digits[exponent:]}"
