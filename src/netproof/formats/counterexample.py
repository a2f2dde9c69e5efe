"""Witnesses in the form of VNN-COMP: the verdict, then the values of all inputs and outputs.

Source: the rules of VNN-COMP 2023 to 2026, *counterexample format*.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction

#: digits of the longest finite decimal that a float64 has, and to spare
_DIGITS = 1200


def counterexample(inputs: Sequence[Fraction], outputs: Sequence[Fraction]) -> str:
    """The assignment in parentheses, one value a line, every value in full (they are finite decimals)."""
    lines = [f"(X_{i} {decimal(value)})" for i, value in enumerate(inputs)]
    lines += [f"(Y_{i} {decimal(value)})" for i, value in enumerate(outputs)]
    return "(" + "\n".join(lines) + ")\n"


def decimal(value: Fraction) -> str:
    """A fraction as a decimal, exact where it is a finite one of up to 1200 digits."""
    with localcontext(Context(prec=_DIGITS)):
        text = format((Decimal(value.numerator) / Decimal(value.denominator)).normalize(), "f")
    return text if len(text) < 80 else f"{Decimal(text):e}"
