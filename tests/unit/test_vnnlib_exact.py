"""What is asked, written number for number."""

from __future__ import annotations

from fractions import Fraction

import pytest

from netproof.formats.vnnlib.exact import exact_vnnlib
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.property import Box, LinearConstraint, PropertyPart


def part(lower, upper, *cases):
    return PropertyPart(Box(tuple(map(Fraction, lower)), tuple(map(Fraction, upper))), cases)


def test_what_is_written_is_read_again(tmp_path):
    first = LinearConstraint(((1, Fraction(-3, 8)),), ((0, Fraction(1)), (2, Fraction(-1, 4))), Fraction(-1, 3200))
    strict = LinearConstraint((), ((1, Fraction(-1)),), Fraction(2**60 + 1), strict=True)
    asked = part(("-1/8", "0.1"), ("7", "1/5"), (first, strict), (strict,))
    path = tmp_path / "p.vnnlib"
    path.write_text(exact_vnnlib(asked, 2, 3, title="a test"))
    found = read_vnnlib(path)
    assert (found.inputs, found.outputs, len(found.parts)) == (2, 3, 1)
    (read,) = found.parts
    assert (read.box.lower, read.box.upper) == (asked.box.lower, asked.box.upper)
    assert read.condition == asked.condition


def test_ends_that_are_no_decimals_are_rounded_outward(tmp_path):
    asked = part(("1/3", "-1/3"), ("2/3", "1/7"), (LinearConstraint((), ((0, Fraction(1)),), Fraction(0)),))
    path = tmp_path / "p.vnnlib"
    path.write_text(exact_vnnlib(asked, 2, 1, title="a test"))
    box = read_vnnlib(path).parts[0].box
    for found, meant, side in ((box.lower, asked.box.lower, -1), (box.upper, asked.box.upper, 1)):
        for one, exact in zip(found, meant, strict=True):
            assert 0 < side * (one - exact) < Fraction(1, 10**60)


def test_what_no_file_says_is_refused():
    third = LinearConstraint((), ((0, Fraction(1)),), Fraction(1, 3))
    with pytest.raises(ValueError, match="no decimal"):
        exact_vnnlib(part((0,), (1,), (third,)), 1, 1, title="a test")
    with pytest.raises(ValueError, match="one line"):
        exact_vnnlib(part((0,), (1,)), 1, 1, title="a\n(assert false)")
