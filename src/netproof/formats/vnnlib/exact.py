"""Writer for what is asked of a network of real numbers, number for number, in VNN-LIB 1.0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from netproof.property import LinearConstraint, PropertyPart

#: digits behind the point of an end that no decimal is
_PLACES = 60


def exact_vnnlib(part: PropertyPart, inputs: int, outputs: int, *, title: str) -> str:
    """A box and a condition as a property, cases in their order.

    Ends of the box that are no decimals are rounded outward, so that ``unsat`` of the property is more than ``unsat`` of the
    part, and a witness of the part is one of the property. ``title``, one line, heads the file as a comment.

    Raises ``ValueError`` for a coefficient or a threshold that is no decimal, and for a part in a ball, which no box states.
    """
    if part.ball is not None:
        raise ValueError("a property states boxes, and a ball is none")
    if not title.isprintable():
        raise ValueError("a title is one line")
    lines = [f"; {title}", ""]
    lines += [f"(declare-const X_{i} Real)" for i in range(inputs)]
    lines += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    lines.append("")
    for i, (low, high) in enumerate(zip(part.box.lower, part.box.upper, strict=True)):
        lines += [f"(assert (>= X_{i} {_outward(low, -1)}))", f"(assert (<= X_{i} {_outward(high, 1)}))"]
    lines += ["", "(assert (or"]
    lines += [f"\t(and {' '.join(map(_constraint, case))})" for case in part.condition]
    lines += ["))", ""]
    return "\n".join(lines)


def _constraint(constraint: LinearConstraint) -> str:
    terms = list(_terms(constraint.outputs, "Y")) + list(_terms(constraint.inputs, "X"))
    left = terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})" if terms else "0.0"
    return f"({'>' if constraint.strict else '>='} {left} {_decimal(constraint.threshold)})"


def _terms(pairs: Sequence[tuple[int, Fraction]], letter: str) -> Iterator[str]:
    for i, c in pairs:
        yield f"{letter}_{i}" if c == 1 else f"(* {_decimal(c)} {letter}_{i})"


def _outward(end: Fraction, side: int) -> str:
    places = _places(end)
    if places is not None and places <= _PLACES:
        return _written(end, places)
    scaled = end * 10**_PLACES
    return _written(Fraction(math.ceil(scaled) if side > 0 else math.floor(scaled), 10**_PLACES), _PLACES)


def _decimal(value: Fraction) -> str:
    places = _places(value)
    if places is None:
        raise ValueError("a number of the condition is no decimal")
    return _written(value, places)


def _places(value: Fraction) -> int | None:
    """Digits behind the point; None where there is no end to them."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def _written(value: Fraction, places: int) -> str:
    whole = abs(value.numerator * 10**places // value.denominator)
    digits = str(whole).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[: len(digits) - places]}.{digits[len(digits) - places :] or '0'}"
