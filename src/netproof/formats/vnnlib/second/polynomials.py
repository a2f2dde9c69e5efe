"""Polynomials in the elements of tensors, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

#: numbers of elements in ascending order, one for each factor; none of them for the constant
Monomial = tuple[int, ...]
#: what is multiplied by each monomial, never 0
Polynomial = dict[Monomial, Fraction]

#: beyond these a polynomial is refused: its degree, its terms, the digits of its numbers (in bits)
MOST_FACTORS = 16
MOST_TERMS = 1 << 17
_MOST_PRODUCTS = 1 << 14
_MOST_BITS = 1 << 13

_ZERO = Fraction(0)


class TooLargeError(Exception):
    """A polynomial has more factors, terms or digits than anybody writes; its text says which."""


def constant(value: Fraction) -> Polynomial:
    return {(): value} if value else {}


def combined(terms: Sequence[Polynomial], signs: Sequence[int]) -> Polynomial:
    """The sum of polynomials, each times 1 or -1; raises :class:`TooLargeError`."""
    total = dict(terms[0]) if signs[0] > 0 else {m: -c for m, c in terms[0].items()}
    for term, sign in zip(terms[1:], signs[1:], strict=True):
        for monomial, coefficient in term.items():
            value = total.get(monomial, _ZERO) + (coefficient if sign > 0 else -coefficient)
            if value:
                total[monomial] = _checked(value)
            else:
                total.pop(monomial, None)
    if len(total) > MOST_TERMS:
        raise TooLargeError(f"comes to more than {MOST_TERMS} terms")
    return total


def product(factors: Sequence[Polynomial]) -> Polynomial:
    """The product of polynomials; raises :class:`TooLargeError`."""
    total = factors[0]
    for factor in factors[1:]:
        if len(total) * len(factor) > _MOST_PRODUCTS and min(len(total), len(factor)) > 1:
            raise TooLargeError(f"comes to more than {_MOST_PRODUCTS} terms when it is multiplied out")
        result: Polynomial = {}
        for left, a in total.items():
            for right, b in factor.items():
                monomial = tuple(sorted(left + right))
                if len(monomial) > MOST_FACTORS:
                    raise TooLargeError(f"multiplies more than {MOST_FACTORS} values")
                value = result.get(monomial, _ZERO) + a * b
                if value:
                    result[monomial] = _checked(value)
                else:
                    result.pop(monomial, None)
        total = result
    return total


def value_at(polynomial: Polynomial, values: Sequence[Fraction]) -> Fraction:
    """What a polynomial is where the elements have these values."""
    total = _ZERO
    for monomial, coefficient in polynomial.items():
        term = coefficient
        for element in monomial:
            term *= values[element]
        total += term
    return total


def _checked(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise TooLargeError("has numbers of more than 2400 digits")
    return value
