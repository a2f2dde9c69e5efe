"""Queries in VNN-LIB 2.0: what is read, exactly, and errors that name line and column."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction
from types import SimpleNamespace

import pytest

from netproof.errors import FormatError, TimeLimitError
from netproof.formats.vnnlib.second.declarations import Comparison, Connective, Kind
from netproof.formats.vnnlib.second.read import read_statement

NETWORK = "(declare-network f\n  (declare-input X real [2,3])\n  (declare-output Y real [])\n)\n"


def read(tmp_path, text, *, version="<2.0>", **options):
    path = tmp_path / "query.vnnlib"
    path.write_text(f"(vnnlib-version {version})\n{text}")
    return read_statement(path, **options)


def asserted(tmp_path, formula):
    (formula,) = read(tmp_path, f"{NETWORK}(assert {formula})").formulas
    return formula


def test_declarations(tmp_path):
    text = """; a comment (with parentheses
    (declare-network f (declare-input X float32 [1,2] "in") (declare-input W int64 [3] "other")
      (declare-hidden H Real [4] "a \\"b\\"") (declare-output Y float64 []))
    (declare-network g (isomorphic-to f) (declare-input A float32 [1,2]) (declare-input B int64 [3])
      (declare-output C float64 []))
    (assert (<= Y 1.0))"""
    statement = read(tmp_path, text)
    f, g = statement.networks
    assert [(v.name, v.kind, v.type, v.shape, v.onnx_name, v.first) for v in f.variables] == [
        ("X", Kind.INPUT, "float32", (1, 2), "in", 0),
        ("W", Kind.INPUT, "int64", (3,), "other", 2),
        ("H", Kind.HIDDEN, "real", (4,), 'a "b"', 5),
        ("Y", Kind.OUTPUT, "float64", (), None, 9),
    ]
    assert (g.isomorphic_to, g.equal_to, f.isomorphic_to) == ("f", None, None)
    assert statement.elements == 16
    assert statement.version == (2, 0)


@pytest.mark.parametrize(
    ("formula", "polynomial", "strict"),
    [
        ("(>= X[0,1] 0.1)", {(1,): 1, (): Fraction(-1, 10)}, False),
        ("(< X[1,0] Y)", {(6,): 1, (3,): -1}, True),
        ("(<= (- X[0,0]) 2.0)", {(0,): 1, (): 2}, False),
        ("(>= (- 1.0 X[0,0] X[0,1]) Y)", {(0,): -1, (1,): -1, (6,): -1, (): 1}, False),
        ("(> (+ X[0,0] X[0,0] 0.5) (* 2.0 X[0,0]))", {(): Fraction(1, 2)}, True),
        ("(>= (* 2.0 (+ X[0,0] 1.0) (- Y 3.0)) 0.0)", {(0, 6): 2, (0,): -6, (6,): 2, (): -6}, False),
        ("(<= (* X[0,0] X[0,0] X[0,0]) 1.0)", {(0, 0, 0): -1, (): 1}, False),
        ("(>= (+ X[0,0]) (* Y))", {(0,): 1, (6,): -1}, False),
    ],
)  # fmt: skip
def test_comparisons_are_exact_polynomials(tmp_path, formula, polynomial, strict):
    found = asserted(tmp_path, formula)
    assert isinstance(found, Comparison)
    assert found.polynomial == polynomial
    assert found.strict is strict


def test_equality_and_its_opposite(tmp_path):
    equal, unequal = asserted(tmp_path, "(== Y 1.0)"), asserted(tmp_path, "(!= Y 1.0)")
    assert [(c.polynomial[(6,)], c.strict) for c in equal.parts] == [(1, False), (-1, False)]
    assert not equal.any
    assert [(c.polynomial[(6,)], c.strict) for c in unequal.parts] == [(1, True), (-1, True)]
    assert unequal.any


def test_what_is_the_same_inside_is_taken_up(tmp_path):
    formula = asserted(
        tmp_path, "(and (>= Y 1.0) (and (>= Y 2.0) (and (>= Y 3.0) (or (>= Y 4.0) (or (>= Y 5.0) (>= Y 6.0))))))"
    )
    assert isinstance(formula, Connective)
    assert len(formula.parts) == 4
    assert len(formula.parts[3].parts) == 3


def test_depth_of_parentheses_is_no_matter(tmp_path):
    depth = 100_000
    formula = asserted(tmp_path, "(and " * depth + "(>= Y 1.0)" + ")" * depth)
    assert isinstance(formula, Comparison)
    sum_ = "(+ Y " * 3000 + "1.0" + ")" * 3000
    assert asserted(tmp_path, f"(>= {sum_} 0.0)").polynomial == {(6,): 3000, (): 1}


@pytest.mark.parametrize(
    ("formula", "place", "words"),
    [
        ("(>= X[0,1] 1e3)", "column 20", "'1e3' is no number of VNN-LIB 2.0"),
        ("(>= X[0,1] .5)", "column 20", "no number"),
        ("(>= X[0,1] +5.0)", "column 20", "'+' where a number or a variable"),
        ("(>= X[0,1] 5.)", "column 20", "no number"),
        ("(>= X[0,1] 1)", "column 20", "'1' is compared with X of type real"),
        ("(>= 1 X[0,1])", "column 13", "'1' is compared with X of type real"),
        ("(>= Z 1.0)", "column 13", "'Z' is not declared"),
        ("(>= X 1.0)", "column 13", "X has 2 axes, here are 0 indices"),
        ("(>= X[0] 1.0)", "column 13", "X has 2 axes, here are 1 indices"),
        ("(>= X[0,1,2] 1.0)", "column 13", "X has 2 axes, here are 3 indices"),
        ("(>= Y[0] 1.0)", "column 13", "Y has 0 axes, here are 1 indices"),
        ("(>= X[0,3] 1.0)", "column 13", "index 3 leaves axis 1 of X, which has 3"),
        ("(>= X[0,-1] 1.0)", "column 13", "'-1' is no index"),
        ("(>= X[0,1.5] 1.0)", "column 13", "'1.5' is no index"),
        ("(>= X[0,1 1.0)", "column 19", "the indices of X are not closed"),
        ("(>= X[0[1] 1.0)", "column 16", "the indices of X are not closed"),
        ("(= Y 1.0)", "column 10", "write '=='"),
        ("(not (>= Y 1.0))", "column 10", "'not' where a formula should begin"),
        ("(+ Y 1.0)", "column 10", "'+' where a formula should begin"),
        ("(>= (and Y) 1.0)", "column 14", "'and' where an arithmetic expression should begin"),
        ("(>= Y 1.0 2.0)", "column 9", "'>=' compares two expressions, here are 3"),
        ("(>= Y)", "column 9", "here are 1"),
        ("(and)", "column 9", "'and' of nothing"),
        ("(>= (*) 1.0)", "column 13", "'*' of nothing"),
        ("(and Y)", "column 14", "'Y' where a formula in parentheses should stand"),
        ("Y", "column 9", "'Y' where a formula in parentheses should stand"),
        ("(>= Y 1.0) (>= Y 2.0)", "column 20", "an assert has one formula"),
        ("(>= Y 1.0", "column 19", "an assert has one formula"),
        ("(>= Y \xe4)", "column 15", "is no word"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_formula(tmp_path, formula, place, words):
    with pytest.raises(FormatError) as caught:
        asserted(tmp_path, formula)
    assert "line 6, " in str(caught.value) and f"{place}:" in str(caught.value)
    assert words in str(caught.value)


TWO = NETWORK + "(declare-network g {} (declare-input A real [2,3]) (declare-output B real []))"


@pytest.mark.parametrize(
    ("declarations", "words"),
    [
        ("", "where (declare-network ...) should begin"),
        ("(declare-network f (declare-output Y real []))", "f has no input"),
        ("(declare-network f (declare-input X real []))", "f has no output"),
        ("(declare-network f (declare-output Y real []) (declare-input X real []))", "input X stands behind a output"),
        ("(declare-network f (declare-input X real []) (declare-hidden H real []) (declare-output Y real []))", "hidden H has no ONNX name"),
        ("(declare-network f (declare-input X real []) (declare-output X real []))", "X is declared twice"),
        ("(declare-network f (declare-input X float99 []) (declare-output Y real []))", "'float99' is no element type"),
        ("(declare-network f (declare-input X real [0]) (declare-output Y real []))", "'0' is no extent"),
        ("(declare-network f (declare-input X real [2 3]) (declare-output Y real []))", "',' or ']'"),
        ("(declare-network f (declare-input X real) (declare-output Y real []))", "where a shape such as [1,5] should stand"),
        ("(declare-network f (declare-input X real [99999999,99999999]) (declare-output Y real []))", "more than can be handled"),
        ('(declare-network f (declare-input X real [] "a") (declare-input Z real []) (declare-output Y real []))', "some inputs of f have ONNX names"),
        ("(declare-network f (declare-input and real []) (declare-output Y real []))", "'and' is no name"),
        ("(declare-network f (declare-input X real []) (declare-output Y real []) junk)", "in the declaration of f"),
        (NETWORK + NETWORK, "f is declared twice"),
        (TWO.format("(equal-to h)"), "no network 'h' is declared before g"),
        (TWO.format("(equal-to g)"), "g refers to itself"),
        (TWO.format("(equal-to f) (isomorphic-to f)"), "g has two relations"),
        (TWO.format("(equal-to f)").replace("A real [2,3]", "A real [3,2]"), "A has shape [3, 2], X of f has [2, 3]"),
        (TWO.format("(isomorphic-to f)").replace("B real", "B float32"), "B is of type float32, Y of f is of type real"),
        (TWO.format("(equal-to f)") + "(declare-network h (equal-to g) (declare-input C real [2,3]) (declare-output D real []))", "g refers to f itself"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_declarations(tmp_path, declarations, words):
    with pytest.raises(FormatError) as caught:
        read(tmp_path, f"{declarations}\n(assert (>= 1.0 0.0))")
    assert words in str(caught.value)
    assert "line " in str(caught.value)


@pytest.mark.parametrize("version", ["<1.0>", "<2.1>", "<3.0>", "2.0", "<2>"])
def test_other_versions(tmp_path, version):
    with pytest.raises(FormatError, match="line 1, column 17"):
        read(tmp_path, f"{NETWORK}(assert (>= Y 0.0))", version=version)


def test_a_query_asserts_something_and_declares_first(tmp_path):
    with pytest.raises(FormatError, match="asserts nothing"):
        read(tmp_path, NETWORK)
    with pytest.raises(FormatError, match="declared behind an assert"):
        read(tmp_path, f"{NETWORK}(assert (>= Y 0.0))\n{NETWORK}")
    with pytest.raises(FormatError, match="begins with"):
        path = tmp_path / "empty.vnnlib"
        path.write_text("")
        read_statement(path)


def test_types_in_a_comparison(tmp_path):
    head = "(declare-network f (declare-input X float32 [2]) (declare-output Y int64 []) (declare-output U uint8 []))"
    assert read(tmp_path, f"{head}(assert (and (>= Y -4) (>= X[0] -4.0)))").formulas
    for formula, words in (
        ("(>= Y 4.0)", "write an integer"),
        ("(>= X[0] 4)", "1.0 for instance"),
        ("(>= Y X[0])", "X is of type float32, Y in the same comparison of type int64"),
        ("(>= U -4)", "'-4' is compared with U of type uint8"),
    ):
        with pytest.raises(FormatError, match=words):
            read(tmp_path, f"{head}(assert {formula})")


def power(n):
    """``(Y + 1.0)^(2^n)`` in ``n`` steps cannot be written, so the exponent is spelled out."""
    return f"(* {' '.join(['(+ Y X[0,0] X[0,1] X[0,2] 1.0)'] * n)})"


def deep(levels):
    formula = "(>= Y 1.0)"
    for level in range(levels):
        formula = f"({'or' if level % 2 else 'and'} (>= Y {level}.0) {formula})"
    return formula


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (f"(>= (* {' '.join(['Y'] * 17)}) 0.0)", "multiplies more than 16 values"),
        (f"(>= {power(17)} 0.0)", "more than 16384 terms"),
        (f"(>= {'(* 9999999999.0 ' * 300}Y{')' * 300} 0.0)", "numbers of more than 2400 digits"),
        (f"(>= Y {'1' * 2000}.0)", "has more than 1600 digits"),
        (deep(200), "more than 128 deep"),
        (f"(>= (* {' '.join('(+ ' + ' '.join(f'X[{i},{j}]' for i in range(2) for j in range(3)) + ' 1.0)' for _ in range(14))}) 0.0)", "multiplies|terms"),
    ],
)  # fmt: skip
def test_hostile_formulas(tmp_path, formula, words):
    begun = time.process_time()
    with pytest.raises(FormatError, match=words):
        asserted(tmp_path, formula)
    assert time.process_time() - begun < 30  # a minute would be one of a loop without end


def test_a_deadline(tmp_path):
    with pytest.raises(TimeLimitError):
        read(tmp_path, f"{NETWORK}(assert (>= Y 0.0))", deadline=time.monotonic() - 1)


@pytest.mark.parametrize(
    "formula",
    [
        "(>= (+ " + "Y " * 50_000 + ") 0.0)",
        "(or " + "(>= (* " + "(+ Y X[0,0] 1.0) " * 8 + ") 0.0)" * 20 + ")",
    ],
)
def test_a_deadline_inside_of_one_assertion(tmp_path, monkeypatch, formula):
    looks = itertools.count()
    monkeypatch.setattr("netproof.formats.clock.time", SimpleNamespace(monotonic=lambda: next(looks)))
    with pytest.raises(TimeLimitError):
        read(tmp_path, f"{NETWORK}(assert {formula})", deadline=6)


def test_products_are_counted_by_what_is_made_on_the_way(tmp_path, monkeypatch):
    """A product of many sums of one variable has few terms, and thousands were made for it."""
    monkeypatch.setattr("netproof.formats.vnnlib.second.read._MOST_TERMS", 4000)
    formula = "(>= (* " + "(+ Y 1.0) " * 15 + ") 0.0)"
    assert asserted(tmp_path, formula)
    with pytest.raises(FormatError, match="more than 4 million terms"):
        asserted(tmp_path, f"(or {formula * 4})")


@pytest.mark.parametrize("cut", range(1, 130, 7))
def test_truncated_files(tmp_path, cut):
    text = f"(vnnlib-version <2.0>)\n{NETWORK}(assert (or (>= Y 0.0) (<= (* 2.0 X[0,1]) Y)))"
    path = tmp_path / "query.vnnlib"
    path.write_text(text[: len(text) - cut])
    with pytest.raises(FormatError):
        read_statement(path)


def test_ends_of_inputs_are_not_counted_among_comparisons(tmp_path, monkeypatch):
    monkeypatch.setattr("netproof.formats.vnnlib.second.read.LARGEST_FORM", 2)
    ends = "".join(f"(assert (and (>= X[{i},{j}] 0.0) (<= X[{i},{j}] 1.0)))" for i in range(2) for j in range(3))
    assert read(tmp_path, f"{NETWORK}{ends}(assert (>= (+ Y X[0,0]) 0.0))")
    with pytest.raises(FormatError, match="more than 2 comparisons before this one"):
        read(tmp_path, NETWORK + ends + "(assert (>= (+ Y X[0,0]) 0.0))" * 3)
