"""VNN-LIB 2.0 against the parser of the standard's authors (the PyPI package ``vnnlib``): what is a query, and what it says."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from netproof.errors import FormatError
from netproof.formats.vnnlib.second.read import read_statement

vnnlib = pytest.importorskip("vnnlib", reason="the package vnnlib is not installed (extra dev)")

DECLARED = "(declare-network f (declare-input X real [2,3]) (declare-output Y real []))"
INTEGERS = "(declare-network f (declare-input X float32 [2]) (declare-output Y int64 [2]))"
TWO = (
    "(declare-network f (declare-input X real [2]) (declare-output Y real [2]))"
    "(declare-network g {} (declare-input A real [2]) (declare-output B real [2]))"
)


def accepted_by_both(tmp_path, text):
    path = tmp_path / "query.vnnlib"
    path.write_text(text)
    try:
        read_statement(path)
        mine = True
    except FormatError:
        mine = False
    try:
        vnnlib.parse_query_string(text)
        theirs = True
    except vnnlib.VNNLibException:
        theirs = False
    assert mine == theirs, text
    return mine


@pytest.mark.parametrize(
    ("declared", "formula"),
    [(DECLARED, formula) for formula in (
        "(>= X[0,1] 0.0)", "(>= X[0,1] 0)", "(>= X[0,1] 1e3)", "(>= X[0,1] .5)", "(>= X[0,1] +5.0)", "(>= X[0,1] 5.)",
        "(= Y 0.0)", "(== Y 0.0)", "(!= Y -0.5)", "(and)", "(+ Y 1.0)", "(>= X 0.0)", "(>= X[0] 0.0)", "(>= Y[0] 0.0)",
        "(>= X[2,0] 0.0)", "(>= Z 0.0)", "(and (>= Y 0.0))", "(>= (+ Y) 0.0)", "(>= (* Y) (- Y))", "(>= (-) Y)", "(not (>= Y 0.0))",
        "(or (and (>= Y 0.0) (< Y 1.0)) (> (* 2.0 Y Y) (- X[0,0] X[1,2] 1.0)))", "(> 1.0 0.0)", "(>= Y 1.0 2.0)",
        "(>= and 0.0)", "(>= f 0.0)", "(=> (>= Y 0.0) (>= Y 1.0))", "(>= (/ Y 2.0) 0.0)",
    )]
    + [(INTEGERS, formula) for formula in ("(>= Y[0] 4)", "(>= Y[0] 4.0)", "(>= Y[0] -4)", "(>= Y[0] X[0])", "(>= X[0] (* 2 Y[0]))")]
    + [(TWO.format(relation), "(>= A[0] Y[1])") for relation in ("", "(equal-to f)", "(isomorphic-to f)", "(equal-to g)", "(equal-to h)")],
)  # fmt: skip
def test_the_same_is_a_query(tmp_path, declared, formula):
    accepted_by_both(tmp_path, f"(vnnlib-version <2.0>)\n{declared}\n(assert {formula})")


def elements(network):
    return [*network.inputs, *network.hidden, *network.outputs]


def evaluated(expression, values):
    """An arithmetic expression of theirs at values of elements, exactly."""
    if isinstance(expression, vnnlib.Var):
        place = 0
        for index, extent in zip(expression.indices, expression.shape, strict=True):
            place = place * extent + index
        return values[expression.name][place]
    if isinstance(expression, vnnlib.Literal):
        return Fraction(expression.lexeme)
    if isinstance(expression, vnnlib.Negate):
        return -evaluated(expression.expr, values)
    if isinstance(expression, vnnlib.Minus):
        return evaluated(expression.head, values) - sum(evaluated(e, values) for e in expression.rest)
    parts = [evaluated(e, values) for e in expression.args]
    if isinstance(expression, vnnlib.Plus):
        return sum(parts)
    product = Fraction(1)
    for part in parts:
        product *= part
    return product


def holds(formula, values):
    if isinstance(formula, vnnlib.Connective):
        return (all if isinstance(formula, vnnlib.And) else any)(holds(part, values) for part in formula.args)
    left, right = evaluated(formula.lhs, values), evaluated(formula.rhs, values)
    return {
        vnnlib.GreaterThan: left > right, vnnlib.LessThan: left < right, vnnlib.GreaterEqual: left >= right,
        vnnlib.LessEqual: left <= right, vnnlib.Equal: left == right, vnnlib.NotEqual: left != right,
    }[type(formula)]  # fmt: skip


def random_formula(random, depth):
    def term(levels):
        kind = random.random()
        if levels == 0 or kind < 0.4:
            return random.choice(["Y", "X[0,0]", "X[1,2]", f"{random.randint(-3, 3)}.{random.choice('05')}"])
        head = random.choice("+-*")
        return f"({head} {' '.join(term(levels - 1) for _ in range(random.randint(1, 3)))})"

    if depth and random.random() < 0.7:
        return f"({random.choice(('and', 'or'))} {' '.join(random_formula(random, depth - 1) for _ in range(random.randint(1, 3)))})"
    return f"({random.choice(('>=', '<=', '>', '<', '==', '!='))} {term(2)} {term(2)})"


def assert_says_the_same(path, text, random):
    statement = read_statement(path)
    query = vnnlib.parse_query_string(text)
    for _ in range(6):
        values, flat = {}, []
        for variable in statement.variables:
            mine = [Fraction(random.randint(-4, 4), 2) for _ in range(variable.size)]
            values[variable.name] = mine
            flat += mine
        assert statement.holds(flat) == all(holds(a.expr, values) for a in query.assertions), text


def test_random_queries_say_the_same(tmp_path):
    random = Random(1)
    path = tmp_path / "query.vnnlib"
    for _ in range(150):
        text = f"(vnnlib-version <2.0>)\n{DECLARED}\n" + "".join(
            f"(assert {random_formula(random, 3)})\n" for _ in range(2)
        )
        path.write_text(text)
        assert_says_the_same(path, text, random)


def test_published_queries_say_the_same():
    folder = os.environ.get("NETPROOF_DATA")
    root = Path(folder).parent / "vnnlib2" if folder else Path()
    files = sorted(root.glob("vnncomp2026/*/vnnlib/*.vnnlib"))[::7] if folder else []
    if not files:
        pytest.skip("no queries in VNN-LIB 2.0 beside $NETPROOF_DATA (vnnlib2)")
    random = Random(2)
    for path in files:
        assert_says_the_same(path, path.read_text(), random)
