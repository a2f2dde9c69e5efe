"""Exponentials and reciprocals of 32-bit fixed-point numbers, as gemmlowp has them (``fixedpoint.h``).

A number with ``b`` integer bits is a whole number times ``2**(b - 31)``. The exponential splits off multiples of 1/4, takes a polynomial
of degree 4 of what is left and multiplies by the powers in a table; reciprocals are three steps of Newton's method.
"""

from __future__ import annotations

from functools import lru_cache

#: the largest of 32 bits; with no integer bit it stands for 1
LARGEST = (1 << 31) - 1
#: ``exp(-2**k)`` for k = -2, ..., 4 with no integer bit
_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def product(a: int, b: int) -> int:
    """The high half of a doubled product, rounded; saturated where both are the least number."""
    return LARGEST if a == b == -LARGEST - 1 else (a * b + (1 << 30)) >> 31


def shifted(v: int, shift: int) -> int:
    """``v / 2**shift``, halves away from 0."""
    mask = (1 << shift) - 1
    return (v >> shift) + ((v & mask) > (mask >> 1) + (v < 0))


def _saturated(v: int) -> int:
    return max(-LARGEST - 1, min(LARGEST, v))


@lru_cache(maxsize=1 << 12)
def exponential(z: int, bits: int) -> int:
    """``exp`` of a number of at most 0 with ``bits`` integer bits, 4 or 5, as a number with none."""
    if z == 0:
        return LARGEST
    start = 29 - bits
    quarter = (z & ((1 << start) - 1)) - (1 << start)
    # The polynomial around -1/8, on [-1/4, 0).
    x = (quarter << bits) + (1 << 28)
    square = product(x, x)
    cube, fourth = product(square, x), product(square, square)
    series = shifted(product(shifted(fourth, 2) + cube, 715827883) + square, 1)
    result = 1895147668 + product(1895147668, x + series)
    rest = quarter - z
    for bit, factor in enumerate(_POWERS[: bits + 2], start=start):
        if rest >> bit & 1:
            result = product(result, factor)
    return result


def _newton(a: int) -> int:
    """``2 / (1 + a)`` with 2 integer bits, for ``a`` in [0, 1) with none."""
    total = a + LARGEST
    half = (total + 1) // 2 if total >= 0 else -((1 - total) // 2)
    x = 1515870810 + product(half, -1010580540)
    for _ in range(3):
        left = (1 << 29) - product(half, x)
        x = _saturated(x + _saturated(product(x, left) << 2))
    return x


def reciprocal(a: int) -> int:
    """``1 / (1 + a)`` for ``a`` in [0, 1), both with no integer bit."""
    return _saturated(_newton(a) << 1)


def reflected(a: int) -> int:
    """``(1 - a) / (1 + a)`` for ``a`` in [0, 1), both with no integer bit."""
    return _saturated((_newton(a) - (1 << 29)) << 2)
