"""What a property file says, by netproof's reader and by Z3's: at every point they agree on whether it holds."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from differential.vnnlib_texts import TextMaker, damaged
from netproof.errors import FormatError
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.property import Property

z3 = pytest.importorskip("z3")

#: how many files; VNNLIB_TEXTS=20000 for a campaign
_FILES = int(os.environ.get("VNNLIB_TEXTS", "250"))
_POINTS = 12


def said_by_z3(text: str, names: list[str], points: list[list[Fraction]]) -> list[bool]:
    """Whether all asserts of a text hold at each point."""
    context = z3.Context()
    formula = z3.And(*z3.parse_smt2_string(text, ctx=context), z3.BoolVal(True, context))
    variables = [z3.Real(name, context) for name in names]
    held = []
    for point in points:
        values = [z3.RealVal(f"{number.numerator}/{number.denominator}", context) for number in point]
        held.append(z3.simplify(z3.substitute(formula, *zip(variables, values, strict=True))))
    assert all(z3.is_true(value) or z3.is_false(value) for value in held)
    return [z3.is_true(value) for value in held]


def says(property_: Property, point: list[Fraction]) -> bool:
    x, y = point[: property_.inputs], point[property_.inputs :]
    return any(part.holds(x, y) for part in property_.parts)


def test_readers_agree(tmp_path: Path):
    path, read, empty, met = tmp_path / "property.vnnlib", 0, 0, 0
    for seed in range(_FILES):
        maker = TextMaker(seed)
        text = maker.text()
        path.write_bytes(text.encode())
        points = [maker.point() for _ in range(_POINTS)]
        expected = said_by_z3(text, maker.names(), points)
        try:
            property_ = read_vnnlib(path)
        except FormatError as error:
            # Nothing else is wrong with these files than that some ask of no input at all.
            assert "the input box is empty" in str(error), (seed, error, text)
            assert not any(expected), (seed, text)
            empty += 1
            continue
        read += 1
        met += sum(expected)
        assert property_.parts, (seed, text)
        assert [says(property_, point) for point in points] == expected, (seed, text)
        if not all(part.condition for part in property_.parts):
            # An empty disjunction says that the asserts contradict each other, and nothing else has one.
            assert len(property_.parts) == 1
            solver = z3.Solver()
            solver.from_string(text)
            assert solver.check() == z3.unsat, (seed, text)
    assert read > 0.7 * _FILES and empty and met > _FILES / 2


def test_readers_agree_on_damaged_files_that_both_read(tmp_path: Path):
    path, both = tmp_path / "property.vnnlib", 0
    for seed in range(_FILES):
        maker = TextMaker(seed)
        text = damaged(maker.text(), seed)
        path.write_bytes(text.encode())
        points = [maker.point() for _ in range(_POINTS)]
        try:
            property_ = read_vnnlib(path)
            expected = said_by_z3(text, maker.names(), points)
        except (FormatError, z3.Z3Exception):
            continue
        if (property_.inputs, property_.outputs) == (maker.inputs, maker.outputs):
            both += 1
            assert [says(property_, point) for point in points] == expected, (seed, text)
    assert both > _FILES / 30
