"""Properties in VNN-LIB: dialects, exact numbers, and errors that name line and column."""

from __future__ import annotations

import gzip
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.errors import FormatError, InputError
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.property import Property

HEAD = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n(declare-const Y_1 Real)\n"
BOX = "(assert (<= X_0 1))(assert (>= X_0 -1))(assert (<= X_1 0.5))(assert (>= X_1 0.25))\n"


def read(tmp_path: Path, text: str) -> Property:
    path = tmp_path / "property.vnnlib"
    path.write_text(text)
    return read_vnnlib(path)


def written(property_: Property) -> list[tuple[list[tuple[float, float]], list[list[str]]]]:
    """Boxes with their conditions, as text that can be compared."""
    parts = []
    for part in property_.parts:
        box = [(float(low), float(high)) for low, high in zip(part.box.lower, part.box.upper, strict=True)]
        condition = []
        for conjunction in part.condition:
            rows = []
            for c in conjunction:
                terms = [f"{float(d):g}X{i}" for i, d in c.inputs] + [f"{float(d):g}Y{j}" for j, d in c.outputs]
                rows.append(f"{' + '.join(terms)} {'>' if c.strict else '>='} {float(c.threshold):g}")
            condition.append(rows)
        parts.append((box, condition))
    return parts


PLAIN = [(-1.0, 1.0), (0.25, 0.5)]


@pytest.mark.parametrize(
    ("asserts", "expected"),
    [
        ("(assert (>= Y_0 Y_1))", [["1Y0 + -1Y1 >= 0"]]),
        ("(assert (<= Y_0 Y_1))", [["-1Y0 + 1Y1 >= 0"]]),
        ("(assert (<= Y_0 3.5))", [["-1Y0 >= -3.5"]]),
        ("(assert (<= 3.5 Y_0))", [["1Y0 >= 3.5"]]),
        ("(assert (>= 1e-3 Y_0))", [["-1Y0 >= -0.001"]]),
        ("(assert (<= Y_0 -.5E+1))", [["-1Y0 >= 5"]]),
        ("(assert (>= Y_0 Y_1))(assert (<= Y_0 2))", [["1Y0 + -1Y1 >= 0", "-1Y0 >= -2"]]),
        ("(assert (or (and (>= Y_0 Y_1)) (and (<= Y_0 2) (<= Y_1 2))))", [["1Y0 + -1Y1 >= 0"], ["-1Y0 >= -2", "-1Y1 >= -2"]]),
        ("(assert (or (>= Y_0 1) (>= Y_1 1)))", [["1Y0 >= 1"], ["1Y1 >= 1"]]),
        # Quotients of whole numbers beyond float64, as exact programs write fractions.
        (f"(assert (>= Y_0 (/ {5 * 10**320} {2 * 10**320})))", [["1Y0 >= 2.5"]]),
        (f"(assert (>= (* (/ {10**330} {3 * 10**330}) Y_0) 1))", [["0.333333Y0 >= 1"]]),
        ("(assert (and (>= Y_0 1) (or (>= Y_1 1) (>= Y_1 Y_0))))", [["1Y0 >= 1", "1Y1 >= 1"], ["1Y0 >= 1", "-1Y0 + 1Y1 >= 0"]]),
        ("(assert (or (>= Y_0 1) (>= Y_1 1)))(assert (<= Y_0 9))", [["1Y0 >= 1", "-1Y0 >= -9"], ["1Y1 >= 1", "-1Y0 >= -9"]]),
        ("(assert (= Y_0 1))", [["1Y0 >= 1", "-1Y0 >= -1"]]),
        ("(assert (> Y_0 Y_1))", [["1Y0 + -1Y1 > 0"]]),
        ("(assert (<= (+ (* 2 Y_0) (* Y_1 -3) 1) 0))", [["-2Y0 + 3Y1 >= 1"]]),
        ("(assert (<= (- Y_0) (/ Y_1 4)))", [["1Y0 + 0.25Y1 >= 0"]]),
        ("(assert (>= (- Y_0 Y_1 Y_0) 0))", [["-1Y1 >= 0"]]),
        ("(assert (>= (+ Y_0 X_1) 0))", [["1X1 + 1Y0 >= 0"]]),
        ("(assert (<= X_0 X_1))", [["-1X0 + 1X1 >= 0"]]),
        ("", [[]]),
        ("(assert (<= 0 1))", [[]]),
        ("(assert true)(assert (or false (>= Y_0 1)))", [["1Y0 >= 1"]]),
        ("(assert (or (and (<= 1 0) (>= Y_0 1)) (>= Y_1 1)))", [["1Y1 >= 1"]]),
        ("(assert (or (> Y_0 Y_0) (>= Y_1 1)))", [["1Y1 >= 1"]]),
        ("(assert (>= Y_0 Y_0))", [[]]),
        ("(assert (or (= X_1 X_1) (>= Y_1 1)))", [[], ["1Y1 >= 1"]]),
        ("(assert (> Y_0 Y_0))", []),
        ("(assert (< (+ X_0 Y_1) (+ Y_1 X_0)))", []),
        ("(assert (and (>= Y_0 1) (<= 1 0)))", []),
        ("(assert (< 1 1))", []),
        ("(assert false)", []),
        ("(assert (or))", []),
        ("(assert (or (and false (>= X_0 5)) (> Y_1 Y_1)))", []),
    ],
)  # fmt: skip
def test_conditions(asserts, expected, tmp_path):
    assert written(read(tmp_path, HEAD + BOX + asserts)) == [(PLAIN, expected)]


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "(assert (and (<= X_0 1) (>= X_0 -1) (<= X_1 0.5) (>= X_1 0.25)))",
        HEAD + "(assert (or (and (<= X_0 1) (>= X_0 -1) (<= X_1 0.5) (>= X_1 0.25))))",
        HEAD + BOX + "(assert (<= X_0 2))(assert (>= X_0 -3))",
        HEAD + "(assert (>= 1 X_0))(assert (<= -1 X_0))(assert (>= 0.5 X_1))(assert (<= 25e-2 X_1))",
        HEAD + "(assert (<= (* 2 X_0) 2))(assert (<= (- X_0) 1))(assert (<= (* -4 X_1) -1))(assert (<= (+ X_1 1) 1.5))",
        HEAD.replace("(declare-const X_1 Real)", "(declare-fun X_1 () Real)") + BOX,
        "(set-logic QF_LRA)\n" + HEAD + "; a comment ( with parentheses\n" + BOX + "(check-sat)(exit)",
        HEAD.replace("\n", "\r\n\t") + BOX.replace("(", " ( ").replace(")", " )\n"),
    ],
)
def test_boxes(text, tmp_path):
    assert written(read(tmp_path, text)) == [(PLAIN, [[]])]


def test_several_boxes_keep_their_conditions(tmp_path):
    text = (
        HEAD
        + "(assert (<= X_1 0.5))(assert (>= X_1 0.25))"
        + (
            "(assert (or (and (>= X_0 0) (<= X_0 1) (>= Y_0 1)) (and (>= X_0 2) (<= X_0 3) (>= Y_1 1))"
            "(and (>= X_0 0) (<= X_0 1) (>= Y_0 7))))"
        )
    )
    assert written(read(tmp_path, text)) == [
        ([(0.0, 1.0), (0.25, 0.5)], [["1Y0 >= 1"], ["1Y0 >= 7"]]),
        ([(2.0, 3.0), (0.25, 0.5)], [["1Y1 >= 1"]]),
    ]


def test_boxes_that_are_one_are_one_whatever_is_said_of_their_ends(tmp_path):
    said = "(<= X_0 2)", "(<= X_0 1)", "(and (>= X_0 -1) (<= X_1 7))", "(>= X_1 0.25)", "(<= X_0 1e0)"
    cases = [f"(and {ends} (>= Y_0 {number}))" for number, ends in enumerate(said)]
    assert written(read(tmp_path, HEAD + BOX + f"(assert (or {' '.join(cases)} (>= Y_1 0)))")) == [
        (PLAIN, [[f"1Y0 >= {number}"] for number in range(5)] + [["1Y1 >= 0"]])
    ]
    other = "(and (<= X_0 0.5) (>= Y_0 8)) (and (>= X_0 0.5) (>= Y_0 9)) (and (<= X_0 1) (<= X_0 0.5) (>= Y_0 10))"
    assert written(read(tmp_path, HEAD + BOX + f"(assert (or {other}))")) == [
        ([(-1.0, 0.5), (0.25, 0.5)], [["1Y0 >= 8"], ["1Y0 >= 10"]]),
        ([(0.5, 1.0), (0.25, 0.5)], [["1Y0 >= 9"]]),
    ]


def test_disjuncts_of_empty_boxes_fall_away_unless_all_do(tmp_path):
    two = "(assert (or (<= X_0 0) (>= X_0 0.5)))"
    assert len(read(tmp_path, HEAD + BOX + two + "(assert (or (<= X_0 -0.5) (>= X_0 0.75)))").parts) == 2
    with pytest.raises(FormatError, match=r"line 6, column \d+: the input box is empty: X_0 is at least .* at most -3"):
        read(tmp_path, HEAD + BOX + two + "(assert (or (<= X_0 -2) (<= X_0 -3)))")


def test_strict_bounds_keep_the_box_and_hold_the_witness(tmp_path):
    property_ = read(tmp_path, HEAD + BOX + "(assert (< X_0 1))(assert (>= Y_0 0))")
    assert written(property_)[0][0] == PLAIN
    assert property_.holds([0.5, 0.25], [0.0, 0.0])
    assert not property_.holds([1.0, 0.25], [0.0, 0.0])


def test_numbers_are_exact(tmp_path):
    text = (
        HEAD
        + "(assert (<= X_0 0.1))(assert (>= X_0 -0.1))(assert (<= X_1 0.3))(assert (>= X_1 0.3))(assert (>= Y_0 0.1))"
    )
    (part,) = read(tmp_path, text).parts
    assert part.box.upper[0] == Fraction(1, 10)
    lower, upper = part.box.outer
    assert Fraction(lower[0]) <= Fraction(-1, 10) and Fraction(upper[0]) >= Fraction(1, 10)
    assert lower[1] == math.nextafter(upper[1], 0)  # 0.3 itself is no float64
    inner_lower, inner_upper = part.box.inner_float32
    assert Fraction(float(inner_upper[0])) <= Fraction(1, 10) < Fraction(float(inner_upper[0]) + 1e-8)
    assert inner_lower[1] > inner_upper[1]  # nor a float32: no witness can lie there
    (only,) = part.condition
    assert only[0].threshold == Fraction(1, 10)


def test_what_many_boxes_say_alike_is_read_once(tmp_path):
    box = "(and (>= X_0 0.1) (<= X_0 0.{}) (>= Y_0 2.5) (> Y_0 2.5) (<= Y_0 2.5))"
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (or " + "".join(map(box.format, (2, 3))) + "))"
    one, two = read(tmp_path, text).parts
    assert one.box.lower == two.box.lower == (Fraction(1, 10),) and one.box.upper != two.box.upper
    assert one.box.lower[0] is two.box.lower[0]
    (first,), (second,) = one.condition, two.condition
    assert all(a is b for a, b in zip(first, second, strict=True))
    # What is strict is another one, and so is what is turned round.
    assert [(c.outputs[0][1], c.threshold, c.strict) for c in first] == [
        (1, 2.5, False),
        (1, 2.5, True),
        (-1, -2.5, False),
    ]


def test_gzip_and_many_inputs(tmp_path):
    count = 3000
    lines = [f"(declare-const X_{i} Real)" for i in range(count)] + ["(declare-const Y_0 Real)"]
    for i in range(count):
        lines += [f"(assert (<= X_{i} {i + 0.5}))", f"(assert (>= X_{i} {i}))"]
    path = tmp_path / "large.vnnlib.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, "(assert (>= Y_0 1e5))"]).encode()))
    property_ = read_vnnlib(path)
    assert (property_.inputs, property_.outputs) == (count, 1)
    assert property_.parts[0].box.outer[1][-1] == count - 0.5


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (HEAD + "(assert (<= X_2 1))", "line 5, column 13", "X_2 is not declared"),
        (HEAD + "(assert (<= X_0 one))", "line 5, column 17", "'one' is neither a variable nor a number"),
        (HEAD + "(assert (<= X_0 NaN))", "line 5, column 17", "'NaN'"),
        (HEAD + "(assert (<= X_0 inf))", "line 5, column 17", "'inf'"),
        (HEAD + "(assert (<= X_0 0x10))", "line 5, column 17", "'0x10'"),
        (HEAD + "(assert (<= X_0 1e400))", "line 5, column 17", "beyond the range"),
        (HEAD + "(assert (<= X_0 1e99999999999))", "line 5, column 17", "too large an exponent"),
        (HEAD + f"(assert (<= X_0 {'9' * 5000}))", "line 5, column 17", "too many digits"),
        (HEAD + "(assert (<= X_0 1)", "line 5, column 1", "never closed"),
        (HEAD + "(assert (<= X_0 1)))", "line 5, column 20", "')' where a command"),
        (HEAD + "hello", "line 5, column 1", "'hello' where a command"),
        (HEAD + "(assert (implies (<= X_0 1) (<= X_1 1)))", "line 5, column 9", "unknown operator 'implies'"),
        (HEAD + "(assert (<= X_0))", "line 5, column 9", "compares two expressions or more, here are 1"),
        (HEAD + "(assert (<= (* X_0 Y_0) 1))", "line 5, column 13", "variables are multiplied"),
        (HEAD + "(assert (<= (/ 1 X_0) 1))", "line 5, column 13", "division by something else"),
        (HEAD + "(assert (<= (sin X_0) 1))", "line 5, column 13", "unknown operator 'sin'"),
        (HEAD + "(assert (<= X_0 1) (<= X_1 1))", "line 5, column 1", "one formula"),
        (HEAD + "(assert)", "line 5, column 1", "one formula"),
        (HEAD + "()", "line 5, column 1", "without a command"),
        (HEAD + "(define-fun-rec f () Real 1)", "line 5, column 2", "unknown command 'define-fun-rec'"),
        (HEAD + "(declare-const Z_0 Real)", "line 5, column 16", "'Z_0' is no variable"),
        (HEAD + "(declare-const X_02 Real)", "line 5, column 16", "'X_02' is no variable"),
        (HEAD + "(declare-const X_0 Real)", "line 5, column 16", "declared twice"),
        (HEAD + "(declare-const X_2 Int)", "line 5, column 20", "'Int' where 'Real'"),
        (HEAD + "(declare-const X_2)", "line 5, column 1", "a declaration is"),
        (HEAD + "(declare-fun X_2 (Real) Real)", "line 5, column 1", "constants"),
        (HEAD + BOX + "(assert (>= X_0 2))", "line 6, column 9", "X_0 is at least 2 and at most 1"),
        (
            HEAD + "(assert " + "(and (>= Y_0 1) (or (>= Y_1 1) " * 100 + "(>= Y_0 2)" + ")" * 201,
            "line 5",
            "more than 128 deep",
        ),
        (HEAD + "(assert X_0)", "line 5, column 9", "'X_0' where a formula"),
        ("(vnnlib-version <2.0>)\n" + HEAD, "line 1, column 1", "later version"),
        (";\n; comment\n  (declare-const X_0 Real) )", "line 3, column 28", "')' where a command"),
    ],
)
def test_errors_name_line_and_column(text, where, what, tmp_path):
    with pytest.raises(FormatError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert "property.vnnlib" in message and where in message and what in message, message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "declares no input"),
        ("(declare-const X_0 Real)", "declares no output"),
        ("(declare-const X_0 Real)(declare-const X_2 Real)(declare-const Y_0 Real)", "X_2 but not X_1"),
        ("(declare-const X_99999999 Real)(declare-const Y_0 Real)", "X_99999999 but not X_0"),
        (HEAD + "(assert (<= X_0 1))(assert (>= X_0 1))(assert (<= X_1 1))", "input X_1 has no lower bound"),
        (HEAD + "(assert (>= X_0 1))", "input X_0 has no upper bound"),
        (HEAD + "(assert (<= 1 0))", "input X_0 has no lower bound"),
        (HEAD + BOX + "(assert (or (>= Y_0 1) (>= Y_1 1)))" * 40, "written out"),
    ],
)
def test_errors_of_the_whole_file(text, what, tmp_path):
    with pytest.raises(FormatError, match=what):
        read(tmp_path, text)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FormatError, match="no such property file"):
        read_vnnlib(tmp_path / "none.vnnlib")
    binary = tmp_path / "binary.vnnlib"
    binary.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(FormatError, match="line 1"):
        read_vnnlib(binary)
    damaged = tmp_path / "damaged.vnnlib.gz"
    damaged.write_bytes(gzip.compress(HEAD.encode())[:-9])
    with pytest.raises(FormatError, match="damaged gzip"):
        read_vnnlib(damaged)


SAMPLE = (
    HEAD + BOX + "(assert (or (and (<= (+ Y_0 (* 2.5e-1 Y_1)) -1.5) (> Y_0 Y_1)) (and (>= X_0 0) (= Y_1 X_1)))) ; end\n"
)
PIECES = [
    "(",
    ")",
    " ",
    ";",
    "\n",
    "X_0",
    "Y_1",
    "X_9",
    "1e9",
    "-",
    ".",
    "assert",
    "and",
    "or",
    "<=",
    "NaN",
    "\0",
    "é",
    "1e-999",
]


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12), st.sampled_from(["", *PIECES])),
        min_size=1,
        max_size=4,
    )
)
def test_mutations_are_read_or_refused(tmp_path_factory, edits):
    text = SAMPLE
    for place, length, piece in edits:
        text = text[:place] + piece + text[place + length :]
    path = tmp_path_factory.getbasetemp() / "mutated.vnnlib"
    path.write_text(text)
    try:
        property_ = read_vnnlib(path)
    except InputError as error:
        assert "\n" not in str(error) and error.hint
    else:
        assert property_.parts and property_.inputs


@pytest.mark.parametrize("share", range(0, 100, 7))
def test_truncated(share, tmp_path):
    path = tmp_path / "cut.vnnlib"
    whole = SAMPLE.partition(" ;")[0]
    path.write_text(whole[: len(whole) * share // 100])
    with pytest.raises(FormatError):
        read_vnnlib(path)
