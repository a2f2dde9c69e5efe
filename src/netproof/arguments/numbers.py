"""Numbers exactly, of whatever type they are given in."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import TypeAlias

#: a number that is taken exactly: a float is the binary number that it is, text a decimal or a quotient
Number: TypeAlias = int | float | Fraction | Decimal | str

_DECIMAL = re.compile(r"[+-]?(\d{1,40}(\.\d{0,400})?|\.\d{1,400})(e[+-]?\d{1,3})?", re.IGNORECASE | re.ASCII)
_QUOTIENT = re.compile(r"[+-]?\d{1,40}\s*/\s*\d{1,40}", re.ASCII)


def scalar(value: object) -> object:
    """What an array or tensor of one element holds; anything else as it is."""
    if isinstance(value, str | bytes) or not hasattr(value, "item") or not hasattr(value, "shape"):
        return value
    try:
        return value.item()
    except (ValueError, TypeError, RuntimeError, NotImplementedError):  # of several elements, or without data
        return value


def is_bool(value: object) -> bool:
    """Whether a value is True or False, NumPy's and PyTorch's included: an answer, and no number."""
    return isinstance(scalar(value), bool)


def exact_number(number: object) -> Fraction | None:
    """A number exactly, of whatever type (NumPy's and one-element tensors included); None for what is none, or infinite."""
    if isinstance(number, Decimal):
        number = str(number)
    if isinstance(number, str):
        text = number.strip()
        if _QUOTIENT.fullmatch(text):
            above, _, below = text.partition("/")
            return Fraction(int(above), int(below)) if int(below) else None
        return Fraction(text) if _DECIMAL.fullmatch(text) else None
    number = scalar(number)
    if isinstance(number, bool):
        return None
    if isinstance(number, Rational):
        return Fraction(int(number.numerator), int(number.denominator))  # not NumPy's own, which overflow
    try:
        value = float(number)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - whatever a foreign class does when asked for a number, it is none
        return None
    return Fraction(value) if math.isfinite(value) else None


def whole_number(number: object) -> int | None:
    """A whole number, of whatever type; None for what is none."""
    exact = exact_number(number)
    return int(exact) if exact is not None and exact.denominator == 1 else None


def counted(number: object) -> int | None:
    """A whole number that is no text: a class, a position, a count; None for what is none."""
    return None if isinstance(number, str | bytes) else whole_number(number)
