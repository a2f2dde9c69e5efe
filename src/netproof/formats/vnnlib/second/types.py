"""Element types of VNN-LIB 2.0: which numbers they have, and which of them answers can be about."""

from __future__ import annotations

from fractions import Fraction

from netproof.errors import FormatError
from netproof.formats.vnnlib.second.declarations import Statement

#: float types, the coarsest last: digits of their significands, smallest exponent, largest number
_FLOATS = {"float64": (53, -1074, 1023), "float32": (24, -149, 127), "float16": (11, -24, 15)}
#: whole numbers that a network of integers takes, and those that a network can give
INTEGER_INPUTS = ("uint8", "int8")
_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")


def arithmetic_of(statement: Statement) -> str:
    """The arithmetic that an answer has to be about: ``real`` where no variable has a float type, else the coarsest of them;
    ``integer`` where all inputs are integers of 8 bits.

    Raises :class:`FormatError` for a type that no answer would be sound for.
    """
    if all(v.type in INTEGER_INPUTS for v in statement.variables if v.kind.value == "input") and all(
        v.whole for v in statement.variables
    ):
        return "integer"
    found = "real"
    for variable in statement.variables:
        if variable.type == "real" or (variable.type in _WHOLE and variable.kind.value != "input"):
            continue
        if variable.type not in _FLOATS:
            raise FormatError(
                statement.path,
                f"{variable.kind.value} {variable.name} is of type {variable.type}, for which no answer of netproof is sound",
                "declare it as real, if an answer over the real numbers will do",
            )
        if found == "real" or list(_FLOATS).index(variable.type) > list(_FLOATS).index(found):
            found = variable.type
    return found


def largest_number(type_: str) -> Fraction | None:
    """The largest number of a float type; None for other types."""
    if type_ not in _FLOATS:
        return None
    digits, _, exponent = _FLOATS[type_]
    return (2 - Fraction(1, 1 << (digits - 1))) * (1 << exponent)


def is_number_of(type_: str, value: Fraction) -> bool:
    """Whether a float type has a number exactly."""
    largest = largest_number(type_)
    if largest is None:
        return True
    return abs(value) <= largest and rounded(type_, value) == value


def rounded(type_: str, value: Fraction) -> Fraction:
    """The number of a float type next to a value, ties to even; the largest of the type beyond it."""
    digits, least, _ = _FLOATS[type_]
    largest = largest_number(type_)
    assert largest is not None
    if not value:
        return value
    size = abs(value)
    # 2^exponent <= size < 2^(exponent + 1)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, least)
    nearest = min(round(size / unit) * unit, largest)  # Fraction's round takes ties to even
    return nearest if value > 0 else -nearest


__all__ = ["arithmetic_of", "is_number_of", "largest_number", "rounded"]
