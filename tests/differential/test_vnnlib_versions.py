"""Properties in VNN-LIB 1.0 and the same in 2.0: one question, one verdict."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from netproof import Settings, verify
from netproof.errors import FormatError, NetproofError
from netproof.formats.counterexample import decimal
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.read import read_statement
from netproof.property import LinearConstraint, Property
from several_models import perceptron


def number(value: Fraction) -> str:
    """A decimal without exponent, as 2.0 has them."""
    with_exponent = decimal(value)
    if "e" in with_exponent:
        mantissa, _, exponent = with_exponent.partition("e")
        places = max(0, len(mantissa.partition(".")[2]) - int(exponent))
        whole = value * 10**places
        assert whole.denominator == 1
        digits = str(abs(whole.numerator)).rjust(places + 1, "0")
        text = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :] or '0'}"
        return f"-{text}" if value < 0 else text
    return with_exponent if "." in with_exponent else f"{with_exponent}.0"


def comparison(c: LinearConstraint) -> str:
    terms = [
        f"(* {number(value)} {name}[{i}])" for name, pairs in (("X", c.inputs), ("Y", c.outputs)) for i, value in pairs
    ]
    left = "0.0" if not terms else terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})"
    return f"({'>' if c.strict else '>='} {left} {number(c.threshold)})"


def all_of(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(and {' '.join(parts)})" if parts else "(>= 0.0 0.0)"


def any_of(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(or {' '.join(parts)})" if parts else "(> 0.0 0.0)"


def in_version_2(property_: Property) -> str:
    """The same property in VNN-LIB 2.0: boxes and conditions as they were read."""
    lines = [
        "(vnnlib-version <2.0>)",
        f"(declare-network f (declare-input X real [{property_.inputs}]) (declare-output Y real [{property_.outputs}]))",
    ]
    boxes, shared = [], len(property_.parts) == 1
    for part in property_.parts:
        ends = []
        for i, (low, high) in enumerate(zip(part.box.lower, part.box.upper, strict=True)):
            ends += [f"(>= X[{i}] {number(low)})", f"(<= X[{i}] {number(high)})"]
        condition = any_of([all_of([comparison(c) for c in conjunction]) for conjunction in part.condition])
        if shared:
            lines += [f"(assert {end})" for end in ends]
            lines.append(f"(assert {condition})")
        else:
            boxes.append(f"(and {' '.join(ends)} {condition})")
    if boxes:
        lines.append(f"(assert {any_of(boxes)})")
    return "\n".join(lines)


def canonical(property_: Property) -> list[tuple]:
    """Boxes with the conditions on them, in an order that does not depend on how they were written."""
    return sorted(
        (
            part.box.lower,
            part.box.upper,
            sorted(sorted((scaled(c) for c in conjunction), key=repr) for conjunction in part.condition),
        )
        for part in property_.parts
    )


def scaled(c: LinearConstraint) -> tuple:
    """The constraint up to a positive factor."""
    pairs = [("X", *pair) for pair in c.inputs] + [("Y", *pair) for pair in c.outputs]
    factor = abs(pairs[0][2]) if pairs else Fraction(1)
    return tuple((name, i, value / factor) for name, i, value in pairs), c.threshold / factor, c.strict


FORMULAS = [
    "(assert (>= Y_0 Y_1))",
    "(assert (or (>= Y_0 0.5) (and (<= Y_1 -0.25) (> Y_0 X_0))))",
    "(assert (or (and (<= X_0 0.0) (>= Y_0 1)) (and (>= X_0 0.5) (<= Y_1 0))))",
    "(assert (not (and (< Y_0 1.5) (=> (> X_1 0) (< Y_1 2)))))",
    "(assert (>= (+ (* 2 Y_0) (* -0.5 X_1)) (- Y_1 1e-3)))",
    "(assert (= Y_0 (* 3 Y_1)))",
    "(assert (< Y_0 Y_0))",
]


@pytest.fixture
def network(tmp_path):
    random = np.random.default_rng(2)
    layers = [(random.normal(size=(2, 6)), random.normal(size=6)), (random.normal(size=(6, 2)), random.normal(size=2))]
    return perceptron(tmp_path / "f.onnx", layers)


@pytest.mark.parametrize("formula", FORMULAS)
def test_both_versions_get_one_verdict(tmp_path, network, formula):
    first, second = tmp_path / "first.vnnlib", tmp_path / "second.vnnlib"
    names = ("X_0", "X_1", "Y_0", "Y_1")
    box = "(assert (and (>= X_0 -1) (<= X_0 1) (>= X_1 -0.75) (<= X_1 0.3)))"
    first.write_text("".join(f"(declare-const {name} Real)" for name in names) + box + formula)
    one = read_vnnlib(first)
    second.write_text(in_version_2(one))
    asked = ask(read_statement(second), {"f": network})
    verdicts = (
        verify(one, Settings(timeout=10), network=read_onnx(network)).verdict,
        verify(asked.property, Settings(timeout=10), network=asked.network).verdict,
    )
    assert verdicts[0] is verdicts[1]


def published() -> list[Path]:
    folder = os.environ.get("NETPROOF_DATA")
    return sorted(Path(folder).glob("vnncomp/*/vnnlib/*.vnnlib*")) if folder else []


@pytest.mark.skipif(not published(), reason="NETPROOF_DATA is not set: the published properties are not here")
def test_published_properties_are_the_same_in_both_versions(tmp_path):
    """A sample of all files of the data, small ones: what is read of 2.0 is what was read of 1.0."""
    files = [path for path in published() if path.stat().st_size < 40_000]
    chosen = files[:: max(1, len(files) // 60)]
    assert len(chosen) >= 20
    target = tmp_path / "second.vnnlib"
    done = 0
    for path in chosen:
        try:
            one = read_vnnlib(path)
        except NetproofError:
            continue  # what is wrong with it is other tests' business
        target.write_text(in_version_2(one))
        network = perceptron(
            tmp_path / f"{one.inputs}-{one.outputs}.onnx",
            [(np.ones((one.inputs, one.outputs)), np.zeros(one.outputs))],
        )
        two = ask(read_statement(target), {"f": network}).property
        outputs = {j for part in one.parts for c in part.condition for k in c for j, _ in k.outputs}
        renumbered = {j: number_ for number_, j in enumerate(sorted(outputs))}
        assert canonical(two) == canonical(with_outputs(one, renumbered)), path
        done += 1
    assert done >= 20


def with_outputs(property_: Property, number_: dict[int, int]) -> Property:
    """The property about those outputs alone that it speaks of: what the joined graph has."""
    from dataclasses import replace

    parts = tuple(
        replace(
            part,
            condition=tuple(
                tuple(replace(c, outputs=tuple((number_[j], v) for j, v in c.outputs)) for c in conjunction)
                for conjunction in part.condition
            ),
        )
        for part in property_.parts
    )
    return replace(property_, parts=parts)


def test_the_rewriter_refuses_nothing_silently():
    assert number(Fraction(1, 3) * 3) == "1.0"
    assert Fraction(number(Fraction(3, 2**80))) == Fraction(3, 2**80)
    assert Fraction(number(-(Fraction(10) ** 100))) == -(Fraction(10) ** 100)
    with pytest.raises(FormatError):
        read_statement(Path(__file__))
