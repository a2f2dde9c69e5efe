"""Scripts for solvers, line by line: what is asked before it is gone on with, and what no script can say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real import obligations as tool
from netproof.certificate.real.contents import CROWN, EMPTY, INTERVALS, LEAF, LEMMAS, SPLIT, RealCertificate
from netproof.certificate.real.obligations import _Part, script_of
from netproof.errors import InputError
from network_shapes import Shape, cells_of
from soundness.real_evidence import Builder, certificate, chain, property_text

INF = np.inf

# -- ranges


def established(
    *ranges: tuple[float, float], known: Sequence[tuple[float, float]] = (), box: tuple[float, float] = (-1.0, 1.0)
):
    """What is written for the ranges of a ReLU's operand, and what is known then."""
    part = _Part.__new__(_Part)
    shape: Any = Shape((RELU, len(ranges)))
    part._evaluation, part._network, part._source, part.lines, part.questions = shape, shape.network, "s", [], 0
    cells = cells_of(list(ranges))
    cells.lower[:], cells.upper[:] = box
    before = known or [(-INF, INF)] * len(ranges)
    given = tuple([np.array([one[end] for one in before])] for end in (0, 1))
    now = part._establish(cells, given)
    assert [list(zip(low.tolist(), high.tolist(), strict=True)) for low, high in zip(*given, strict=True)] == [
        list(before)
    ]
    assert part.lines.count("(check-sat)") == part.questions
    return part.lines, None if now is None else [(low, high) for low, high in zip(now[0][0], now[1][0], strict=True)]


def question(formula: str) -> list[str]:
    return ["(push 1)", f"(assert {formula})", "(check-sat)", "(pop 1)"]


NOTHING = ["(push 1)", "(check-sat)", "(pop 1)"]
ABOVE, BELOW = "(<= n2_0 (+ (* (/ 3.0 4.0) n1_0) (/ 3.0 4.0)))", "(<= n2_0 (+ (* (/ 1.0 2.0) n1_0) (/ 1.0 2.0)))"


@pytest.mark.parametrize(
    ("ends", "known", "now", "asked"),
    [
        ((-1.0, 3.0), (-INF, INF), (-1.0, 3.0), [("> 3.0", "<="), ("< (- 1.0)", ">="), ABOVE]),
        # Of a sign that is known the end that says so is enough.
        ((-2.0, -1.0), (-INF, INF), (-INF, -1.0), [("> (- 1.0)", "<="), "(= n2_0 0.0)"]),
        ((-2.0, 0.0), (-INF, INF), (-INF, 0.0), [("> 0.0", "<="), "(= n2_0 0.0)"]),
        ((1.0, 2.0), (-INF, INF), (1.0, INF), [("< 1.0", ">="), "(= n2_0 n1_0)"]),
        ((0.0, 2.0), (-INF, INF), (0.0, INF), [("< 0.0", ">="), "(= n2_0 n1_0)"]),
        ((0.0, 0.0), (-INF, INF), (0.0, 0.0), [("> 0.0", "<="), ("< 0.0", ">="), "(= n2_0 n1_0)"]),
        ((2.0, 2.0), (-INF, INF), (2.0, INF), [("< 2.0", ">="), "(= n2_0 n1_0)"]),
        ((-2.0, -2.0), (-INF, INF), (-INF, -2.0), [("> (- 2.0)", "<="), "(= n2_0 0.0)"]),
        # What is known is not asked again, and what is wider changes nothing.
        ((-1.0, 3.0), (-1.0, 3.0), (-1.0, 3.0), []),
        ((-2.0, 4.0), (-1.0, 3.0), (-1.0, 3.0), []),
        ((-1.0, 1.0), (-1.0, 3.0), (-1.0, 1.0), [("> 1.0", "<="), BELOW]),
        ((-1.0, 3.0), (-2.0, 3.0), (-1.0, 3.0), [("< (- 1.0)", ">="), ABOVE]),
        ((-1.0, INF), (-INF, INF), (-1.0, INF), [("< (- 1.0)", ">="), "true"]),
        # Nothing lies in there: both ends are asked for, and then nothing is left.
        ((2.0, 1.0), (-INF, INF), None, [("> 1.0", "<="), ("< 2.0", ">="), None]),
        ((-1.0, -2.0), (-INF, INF), None, [("> (- 2.0)", "<="), ("< (- 1.0)", ">="), None]),
    ],
)
def test_ends_are_asked_for_before_they_are_claimed(ends, known, now, asked):
    lines, found = established(ends, known=[known])
    expected: list[str] = []
    for one in asked:
        if one is None:
            expected += NOTHING
        elif isinstance(one, str):
            expected.append(f"(assert {one})")
        else:
            (sign, number), claimed = one[0].split(" ", 1), one[1]
            expected += [*question(f"({sign} n1_0 {number})"), f"(assert ({claimed} n1_0 {number}))"]
    assert lines == expected and found == (None if now is None else [now])


def test_features_are_asked_about_one_by_one_until_nothing_is_left():
    lines, found = established((-1.0, -0.5), (2.0, 1.0), (-1.0, 1.0))
    assert found is None and lines[-3:] == NOTHING and not any("_2" in line for line in lines)
    assert lines[4:6] == ["(assert (<= n1_0 (- (/ 1.0 2.0))))", "(assert (= n2_0 0.0))"]
    lines, found = established((1.0, 2.0), (-2.0, -1.0))
    assert (
        found == [(1.0, INF), (-INF, -1.0)] and "(assert (= n2_1 0.0))" in lines and "(assert (= n2_0 n1_0))" in lines
    )


def test_of_an_empty_box_nothing_else_is_asked():
    assert established((-1.0, 1.0), box=(1.0, 0.5)) == (NOTHING, None)
    assert established((-1.0, 1.0), known=[(-1.0, 1.0)], box=(1.0, 1.0)) == ([], [(-1.0, 1.0)])


def test_there_is_a_greatest_number_of_questions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool, "_MOST", 2)
    established((-1.0, 1.0))
    with pytest.raises(InputError, match="s would take more than 2 questions"):
        established((-1.0, 1.0), (1.0, 2.0))


# -- scripts

#: a = 2 x - 1/2, b = relu(a) - 1/4 and y = relu(b), on [-1, 1]
NETWORK = chain([[[2.0]], [[1.0]], [[1.0]]], [[-0.5], [-0.25], [0.0]])
PROPERTY = property_text([-1.0], [1.0], 1, [[((1.0,), 2.0)]])


def told(made: RealCertificate, network: bytes = NETWORK, property_: bytes = PROPERTY) -> list[str]:
    """A script in short, its numbers to five places: declarations are left out, and a question is a line."""
    check_real(made, network, property_)
    text, questions = script_of(made, network, property_, source="made")

    declared = re.findall(r"\(declare-const (\S+) Real\)", text)
    assert len(declared) == len(set(declared)) and set(declared) == set(re.findall(r"\bn\d+_\d+\b", text))

    def rounded(found: re.Match[str]) -> str:
        return f"{float(Fraction(found[1].split('.')[0]) / Fraction(found[2].split('.')[0])):.5g}"

    text = re.sub(r"\(/ (\S+) ([0-9.]+)\)", rounded, text)
    text = re.sub(r"\(- ([0-9.]+)\)", r"-\1", text)
    text = re.sub(
        r"\(push 1\)\n((?:\(assert .*\)\n)*)\(check-sat\)\n\(pop 1\)", lambda m: "ask " + m[1].replace("\n", " "), text
    )
    assert text.count("\nask ") == questions
    lines = [line.strip() for line in text.splitlines() if "declare" not in line]
    assert lines[-1] == "(exit)" and lines[1].endswith(made.network_sha256) and lines[2].endswith(made.property_sha256)
    return [
        line.removeprefix("(assert ").removesuffix(")") if line.startswith("(assert") else line for line in lines[3:-1]
    ]


def asked(formula: str) -> str:
    return f"ask (assert {formula})"


BEGIN = [
    "(set-logic QF_LRA)", "(push 1)", "(= n1_0 (+ (* 2.0 n0_0) -0.5))", "(and (>= n2_0 0.0) (>= n2_0 n1_0))",
    "(= n3_0 (+ (* 1.0 n2_0) -0.25))", "(and (>= n4_0 0.0) (>= n4_0 n3_0))", "(= n5_0 (* 1.0 n4_0))",
    "(and (>= n0_0 -1.0) (<= n0_0 1.0))", "; part 0",
]  # fmt: skip
#: of -2.5 to 1.5 for the first ReLU, and -0.25 to 1.25 for the second one
A = [
    asked("(> n1_0 1.5)"),
    "(<= n1_0 1.5)",
    asked("(< n1_0 -2.5)"),
    "(>= n1_0 -2.5)",
    "(<= n2_0 (+ (* 0.375 n1_0) 0.9375))",
]
B = [
    asked("(> n3_0 1.25)"),
    "(<= n3_0 1.25)",
    asked("(< n3_0 -0.25)"),
    "(>= n3_0 -0.25)",
    "(<= n4_0 (+ (* 0.83333 n3_0) 0.20833))",
]
GOAL = asked("(>= (* 1.0 n5_0) 2.0)")


def test_a_script_of_splits_line_by_line():
    """Of the second ReLU at 0, and there of the input at 1/2."""
    made = certificate(
        NETWORK, PROPERTY, 1, 1, kind=[SPLIT, LEAF, SPLIT, LEAF, LEAF], rule=[1] * 5, split_relu=[2, 0], split_feature=[0, 0],
        split_point=[0, 1], split_exponent=[0, 1], leaf_row=[0, 0, 0],
    )  # fmt: skip
    assert told(made) == [
        *BEGIN, *A, *B, "(push 1)", "true",
        "(push 1)", "(<= n3_0 0.0)", asked("(> n3_0 0.0)"), "(<= n3_0 0.0)", "(= n4_0 0.0)", GOAL, "(pop 1)",
        "(push 1)", "(>= n3_0 0.0)", asked("(< n3_0 0.0)"), "(>= n3_0 0.0)", "(= n4_0 n3_0)",
        "(push 1)", "(<= n0_0 0.5)", asked("(> n1_0 0.5)"), "(<= n1_0 0.5)", asked("(< n1_0 -2.5)"), "(>= n1_0 -2.5)",
        "(<= n2_0 (+ (* 0.16667 n1_0) 0.41667))", GOAL, "(pop 1)",
        "(push 1)", "(>= n0_0 0.5)", asked("(< n1_0 0.5)"), "(>= n1_0 0.5)", "(= n2_0 n1_0)", asked("(< n3_0 0.25)"),
        "(>= n3_0 0.25)", "(= n4_0 n3_0)", GOAL, "(pop 1)", "(pop 1)", "(pop 1)", "(pop 1)",
    ]  # fmt: skip


LEMMA = {
    "stages": [2], "stage": [INTERVALS, LEMMAS], "lemma_count": [2], "lemma_relu": [1, 1], "lemma_feature": [0, 0],
    "lemma_side": [1, 0], "lemma_end": [13, -21], "lemma_exponent": [3, 3], "kind": [LEAF] * 3, "rule": [0] * 3,
    "leaf_row": [0, 0, 1], "row_exponent": [0, 0], "row_base": [0, 0], "row_mu": [0, 1], "row_count": [0, 0],
}  # fmt: skip


def test_stages_and_lemmas_are_what_ranges_follow_from():
    # Ranges by intervals are narrower than what the lemmas say: 13/8 and -21/8.
    lines = told(certificate(NETWORK, PROPERTY, 1, 1, **LEMMA))
    assert lines == [*BEGIN, *A, *B, "(push 1)", "true", GOAL, "(pop 1)", "(pop 1)"]
    # b = relu(x + 2) + relu(3 - x) - 4 is 1: by intervals -1 to 3, by a lemma at most 3/2, and by CROWN what it is.
    network = chain([[[1.0], [-1.0]], [[1.0, 1.0]], [[1.0]]], [[2.0, 3.0], [-4.0], [0.0]])
    property_ = property_text([-1.0], [1.0], 1, [[((1.0,), 2.0)]])
    one = {
        **LEMMA, "lemma_count": [1], "lemma_relu": [2], "lemma_feature": [0], "lemma_side": [1], "lemma_end": [3],
        "lemma_exponent": [1], "kind": [LEAF] * 2, "rule": [0] * 2, "leaf_row": [0, 1],
    }  # fmt: skip
    first = [asked("(< n1_0 1)"), "(>= n1_0 1)", "(= n2_0 n1_0)", asked("(< n1_1 2)"), "(>= n1_1 2)", "(= n2_1 n1_1)"]
    by_lemma = [
        asked("(> n3_0 1.5)"),
        "(<= n3_0 1.5)",
        asked("(< n3_0 -1)"),
        "(>= n3_0 -1)",
        "(<= n4_0 (+ (* 0.6 n3_0) 0.6))",
    ]
    by_crown = [asked("(< n3_0 1)"), "(>= n3_0 1)", "(= n4_0 n3_0)"]
    closing = ["(push 1)", "true", GOAL, "(pop 1)", "(pop 1)"]
    for stages, second in (([LEMMAS], by_lemma), ([INTERVALS, LEMMAS], by_lemma), ([CROWN, LEMMAS], by_crown)):
        made = certificate(network, property_, 1, 1, **{**one, "stages": [len(stages)], "stage": stages})
        lines = told(made, network, property_)
        assert lines[lines.index("; part 0") + 1 :] == [*first, *second, *closing]


def test_lemmas_with_trees_are_beyond_a_script():
    """The second of two is proved by halves of the input."""
    split = {
        **LEMMA, "kind": [LEAF, SPLIT, LEAF, LEAF, LEAF], "rule": [0] * 5, "leaf_row": [0, 0, 0, 1], "split_relu": [0], "split_feature": [0],
        "split_point": [0], "split_exponent": [0],
    }  # fmt: skip
    made = certificate(NETWORK, PROPERTY, 1, 1, **split)
    check_real(made, NETWORK, PROPERTY)
    with pytest.raises(InputError, match="made has lemmas with trees of their own"):
        script_of(made, NETWORK, PROPERTY, source="made")


def test_of_which_networks_there_are_no_scripts(monkeypatch: pytest.MonkeyPatch):
    wide = chain([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.25]])
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 5.0)]])
    made = certificate(wide, property_, 2, 1, rule=[4])
    # Two by two, as many for the ReLUs, and one by two.
    monkeypatch.setattr(tool, "_LARGEST", 10)
    script_of(made, wide, property_, source="made")
    monkeypatch.setattr(tool, "_LARGEST", 9)
    with pytest.raises(InputError, match="a network with matrices of 10 entries is too large"):
        script_of(made, wide, property_, source="made")
    curved = chain([[[1.0]], [[1.0]]], [[0.0], [0.0]], bend="Sigmoid")
    with pytest.raises(InputError, match="has functions that no linear arithmetic knows"):
        script_of(certificate(curved, PROPERTY, 1, 1), curved, PROPERTY, source="made")
    with pytest.raises(InputError, match="made has a witness, which needs no solver"):
        script_of(certificate(NETWORK, PROPERTY, 1, 1, claim="sat"), NETWORK, PROPERTY, source="made")


@pytest.mark.parametrize("kind", [EMPTY, LEAF])
def test_of_a_half_that_is_empty_that_is_all_that_is_asked(kind: int):
    """The input is at least -1, so that its half below -4 is empty, and the other one is all."""
    rows = [0] if kind == EMPTY else [0, 0]
    made = certificate(
        NETWORK, PROPERTY, 1, 1, kind=[SPLIT, kind, LEAF], rule=[0, 1 if kind == LEAF else 0, 0], split_relu=[0], split_feature=[0],
        split_point=[-4], split_exponent=[0], leaf_row=rows,
    )  # fmt: skip
    assert told(made)[len(BEGIN) + len(A) + len(B) :] == [
        "(push 1)", "true", "(push 1)", "(<= n0_0 -4.0)", "ask", "(pop 1)",
        "(push 1)", "(>= n0_0 -4.0)", GOAL, "(pop 1)", "(pop 1)", "(pop 1)",
    ]  # fmt: skip


def test_maps_without_offsets_and_constraints_on_inputs():
    """y = 3 x, and whether y + 2 x is above 11/2 with x at most 1."""
    made = Builder([1, 1], dtype=np.float64)
    network = made.bytes(made.node("MatMul", "x", made.constant([[3.0]])))
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 -1.0))(assert (<= X_0 1.0))"
    property_ = f"{text}(assert (> (+ Y_0 (* 2.0 X_0)) 5.5))".encode()
    lines = told(certificate(network, property_, 1, 1), network, property_)
    assert lines == [
        "(set-logic QF_LRA)", "(push 1)", "(= n1_0 (* 3.0 n0_0))", "(and (>= n0_0 -1.0) (<= n0_0 1.0))", "; part 0",
        "(push 1)", "true", asked("(> (+ (* 2.0 n0_0) (* 1.0 n1_0)) 5.5)"), "(pop 1)", "(pop 1)",
    ]  # fmt: skip


def test_where_no_rule_is_said_no_ranges_are_found():
    made = certificate(
        NETWORK, PROPERTY, 1, 1, kind=[SPLIT, LEAF, LEAF], rule=[0] * 3, split_relu=[0], split_feature=[0], split_point=[1],
        split_exponent=[1], leaf_row=[0, 0],
    )  # fmt: skip
    assert told(made)[len(BEGIN) + len(A) + len(B) :] == [
        "(push 1)", "true", "(push 1)", "(<= n0_0 0.5)", GOAL, "(pop 1)", "(push 1)", "(>= n0_0 0.5)", GOAL, "(pop 1)",
        "(pop 1)", "(pop 1)",
    ]  # fmt: skip
