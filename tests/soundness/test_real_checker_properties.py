"""What the checker of float networks reads of a property, against formulas that are evaluated as they were made.

A formula is made together with what it means; both are asked about the same points, with ties among them. Texts that a reader
could take for something else are read as what they say, or refused.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real import property as reader
from netproof.certificate.checker.real.property import _TOKEN, Asked, Constraint, Part, read_property
from netproof.errors import FormatError

X, Y = 2, 2
DECLARED = "".join(f"(declare-const X_{i} Real)" for i in range(X)) + "".join(
    f"(declare-const Y_{i} Real)" for i in range(Y)
)
BOX = "".join(f"(assert (<= X_{i} 3))(assert (>= X_{i} -3))" for i in range(X))


def number(rng: np.random.Generator) -> tuple[str, Fraction]:
    """A number as one may write it."""
    ways = [
        ("2", 2),
        ("-1", -1),
        ("+3", 3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1),
        ("-1e0", -1),
        ("10e-1", 1),
        ("0.2e1", 2),
    ]
    text, value = ways[int(rng.integers(len(ways)))]
    return text, Fraction(value)


def term(rng: np.random.Generator, depth: int):
    """A linear expression: text, and its value as a function of all variables."""
    kind = int(rng.integers(0, 6 if depth else 2))
    if kind == 0:
        text, value = number(rng)
        return text, lambda v: value
    if kind == 1:
        name = f"{'XY'[int(rng.integers(2))]}_{int(rng.integers(2))}"
        return name, lambda v: v[name]
    if kind == 2:
        (first, f), (second, g), (third, h) = number(rng), term(rng, depth - 1), number(rng)
        parts = [(first, lambda v: f), (second, g), (third, lambda v: h)]
        parts = [parts[i] for i in rng.permutation(3)[: int(rng.integers(1, 4))]]

        def product(v):
            total = Fraction(1)
            for _, one in parts:
                total *= one(v)
            return total

        return f"(* {' '.join(text for text, _ in parts)})", product
    parts = [term(rng, depth - 1) for _ in range(int(rng.integers(1, 4)))]
    values = [value for _, value in parts]
    texts = " ".join(text for text, _ in parts)
    if kind < 5:
        return f"(+ {texts})", lambda v: sum((one(v) for one in values), Fraction(0))
    if len(values) == 1:
        return f"(- {texts})", lambda v: -values[0](v)
    return f"(- {texts})", lambda v: values[0](v) - sum((one(v) for one in values[1:]), Fraction(0))


COMPARISONS = {
    "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b,
    "=": lambda a, b: a == b,
}  # fmt: skip


def formula(rng: np.random.Generator, depth: int):
    """A formula: text, and whether it holds."""
    kind = int(rng.integers(0, 4 if depth else 2))
    if kind < 2:
        comparison = list(COMPARISONS)[int(rng.integers(5))]
        (left, f), (right, g) = term(rng, 2), term(rng, 1)
        return f"({comparison} {left} {right})", lambda v: COMPARISONS[comparison](f(v), g(v))
    parts = [formula(rng, depth - 1) for _ in range(int(rng.integers(0 if rng.random() < 0.1 else 1, 4)))]
    texts, every = " ".join(text for text, _ in parts), kind == 2
    values = [value for _, value in parts]
    if every:
        return f"(and {texts})", lambda v: all(one(v) for one in values)
    return f"(or {texts})", lambda v: any(one(v) for one in values)


def holds(constraint: Constraint, v: dict[str, Fraction]) -> bool:
    total = sum((c * v[f"X_{i}"] for i, c in constraint.inputs), Fraction(0))
    total += sum((c * v[f"Y_{i}"] for i, c in constraint.outputs), Fraction(0))
    return total > constraint.threshold or (total == constraint.threshold and not constraint.strict)


def meets(asked: Asked, v: dict[str, Fraction]) -> bool:
    """Whether a point lies in a part's box and meets one of its cases."""
    return any(
        all(low <= v[f"X_{i}"] <= high for i, (low, high) in enumerate(zip(part.lower, part.upper, strict=True)))
        and any(all(holds(c, v) for c in case) for case in part.cases)
        for part in asked.parts
    )


def test_random_formulas_are_read_as_what_they_say():
    rng = np.random.default_rng(5)
    both = [0, 0]
    for _ in range(250):
        made = [formula(rng, 2) for _ in range(int(rng.integers(1, 4)))]
        text = DECLARED + BOX + "".join(f"(assert {one})" for one, _ in made)
        asked = read_property(text.encode(), "p")
        assert (asked.inputs, asked.outputs) == (X, Y)
        for part in asked.parts:
            assert all(-3 <= low <= high <= 3 for low, high in zip(part.lower, part.upper, strict=True))
        assert len({(part.lower, part.upper) for part in asked.parts}) == len(asked.parts)
        for _ in range(40):
            v = {f"{letter}_{i}": Fraction(int(rng.integers(-8, 9)), 2) for letter in "XY" for i in range(2)}
            inside = all(-3 <= v[f"X_{i}"] <= 3 for i in range(X))
            expected = inside and all(value(v) for _, value in made)
            assert meets(asked, v) == expected, text
            both[expected] += 1
    assert min(both) > 500


def part_of(text: str) -> Part:
    (part,) = read_property((DECLARED + BOX + text).encode(), "p").parts
    return part


def test_constraints_are_written_in_one_form():
    part = part_of("(assert (<= (+ (* 2 X_1) (- Y_1 Y_0) 1) (+ X_1 4)))(assert (< Y_0 (+ Y_0 X_0 X_1)))")
    assert part.lower == (Fraction(-3),) * 2 and part.upper == (Fraction(3),) * 2
    assert part.cases == (
        (
            Constraint(((1, Fraction(-1)),), ((0, Fraction(1)), (1, Fraction(-1))), Fraction(-3), False),
            Constraint(((0, Fraction(1)), (1, Fraction(1))), (), Fraction(0), True),
        ),
    )


def test_ends_of_inputs_are_the_innermost_and_strict_ones_are_kept():
    part = part_of(
        "(assert (>= X_0 1))(assert (>= X_0 0))(assert (<= (* -2 X_0) -3))(assert (< X_1 2))(assert (>= 4 (* 2 X_1)))"
    )
    assert (part.lower, part.upper) == ((Fraction(3, 2), Fraction(-3)), (Fraction(3), Fraction(2)))
    assert part.cases == ((Constraint(((1, Fraction(-1)),), (), Fraction(-2), True),),)
    # An equality is both ends; two that exclude one another leave no box.
    half = part_of("(assert (= X_0 0.5))")
    assert half.lower[0] == half.upper[0] == Fraction(1, 2)
    assert not read_property((DECLARED + BOX + "(assert (= X_0 4))").encode(), "p").parts
    # An end that is the other one, too, is a box of one point.
    point = part_of("(assert (>= X_0 3))")
    assert point.lower[0] == point.upper[0] == 3


def test_the_innermost_end_may_come_first_or_last():
    lows, highs = ["(>= X_0 1)", "(>= X_0 2)", "(> X_0 0)"], ["(<= X_0 2.5)", "(< X_0 2.75)", "(<= X_0 3)"]
    for low in itertools.permutations(lows):
        for high in itertools.permutations(highs):
            part = part_of("".join(f"(assert {one})" for one in (*low, *high)))
            assert (part.lower[0], part.upper[0]) == (2, Fraction(5, 2)) and len(part.cases[0]) == 2
            joined = part_of(f"(assert (and {' '.join(high)} {' '.join(low)}))")
            assert (joined.lower, joined.upper) == (part.lower, part.upper)


@pytest.mark.parametrize(
    ("term", "coefficients", "constant"),
    [
        ("(* 2 (* 3 Y_0))", (6, 0), 0),
        ("(* (* 3 Y_0) 2)", (6, 0), 0),
        ("(* 2 (+ Y_0 (* 5 Y_1) 7))", (2, 10), 14),
        ("(* 2 3 (- (* 0.5 Y_1)))", (0, -3), 0),
        ("(- (* 4 Y_0) (* 3 Y_0) (* 3 Y_0) 5)", (-2, 0), -5),
        ("(+ (- Y_0 2) (- 2 Y_1))", (1, -1), 0),
        ("(* 2)", (0, 0), 2),
        ("(+ Y_1)", (0, 1), 0),
    ],
)
def test_terms_are_added_up(term, coefficients, constant):
    (found,) = part_of(f"(assert (>= (+ X_0 X_1 {term}) 1))").cases[0]
    assert found.outputs == tuple((i, Fraction(c)) for i, c in enumerate(coefficients) if c)
    assert found.inputs == ((0, Fraction(1)), (1, Fraction(1))) and found.threshold == 1 - constant


def test_parts_come_in_order_and_cases_with_their_box():
    text = (
        "(assert (or (and (<= X_0 1) (>= Y_0 1)) (>= Y_0 2) (and (<= X_0 1) (>= Y_0 3)) (and (<= X_0 -4) (>= Y_0 4))))"
    )
    asked = read_property((DECLARED + BOX + "(assert (>= Y_1 7))" + text).encode(), "p")
    thresholds = [[[c.threshold for c in case] for case in part.cases] for part in asked.parts]
    assert thresholds == [[[7, 1], [7, 3]], [[7, 2]]]
    assert [part.upper[0] for part in asked.parts] == [1, 3]
    # Of two disjunctions the last varies fastest.
    twice = "".join(f"(assert (or (>= Y_0 {a}) (>= Y_0 {a + 1})))" for a in (1, 3))
    (part,) = read_property((DECLARED + BOX + twice).encode(), "p").parts
    assert [[c.threshold for c in case] for case in part.cases] == [[1, 3], [1, 4], [2, 3], [2, 4]]
    # What holds of nothing asks about nothing.
    assert not read_property((DECLARED + BOX + "(assert (or))").encode(), "p").parts
    assert part_of("(assert (and))").cases == ((),)


@pytest.mark.parametrize(
    "text",
    [
        "(set-info :status unknown)(set-logic QF_LRA)(set-option :a b)",
        "; (assert (<= Y_0 0))\n",
        "; (assert (<= Y_0 0))\r",
        "\t\r\n ;",
        "(check-sat)",
        "(check-sat)(get-model)(set-info :a b)(exit)",
        "(exit)",
        "(get-model)",
    ],
)
def test_what_says_nothing_is_passed_over(text):
    assert part_of(text).cases == ((),)
    (part,) = read_property((DECLARED + BOX + "(assert (>= Y_0 1))" + text).encode(), "p").parts
    assert len(part.cases[0]) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('(assert (<= Y_0 "1"))', "character '\"'"),
        ("(assert (<= Y_0 1) (<= Y_1 1))", "statement 'assert'"),
        ("(assert)", "statement 'assert'"),
        ("()", "statement ''"),
        ("((assert) (<= Y_0 1))", "statement"),
        ("(declare-fun Z () Real)", "statement 'declare-fun'"),
        ("(declare-const Y_9 Int)", "statement 'declare-const'"),
        ("(declare-const Y_9)", "statement 'declare-const'"),
        ("(declare-const Y_9 Real Real)", "statement 'declare-const'"),
        ("(declare-const (Y_9) Real)", "a declaration"),
        ("(set-info (x))", "what follows 'set-info'"),
        ("(check-sat (x))", "what follows 'check-sat'"),
        ("(check-sat)(check-sat)", "after (check-sat)"),
        ("(check-sat)()", "after (check-sat)"),
        ("(exit)(exit)", "after (exit)"),
        ("(check-sat)(exit)(get-model)", "after (exit)"),
        ("assert", "words outside"),
        ("(assert (<= |X_0| 1))", "|"),
        ("(assert (<= Y_0 1 2))", "formula '<='"),
        ("(assert (<= Y_0))", "formula '<='"),
        ("(assert (not (<= Y_0 1)))", "formula 'not'"),
        ("(assert ())", "formula that is none"),
        ("(assert ((<= Y_0 1)))", "formula that is none"),
        ("(assert (and true))", "formula that is none"),
        ("(assert (<= Y_0 ()))", "expression that is none"),
        ("(assert (<= Y_0 (+)))", "expression that is none"),
        ("(assert (<= Y_0 ((+) 1)))", "expression that is none"),
        ("(assert (<= Y_0 (/ 1 2)))", "expression that is none"),
        ("(assert (<= (* Y_0 Y_1) 1))", "product of variables"),
        ("(assert (<= (* (+ Y_0 (- Y_0)) Y_1) 1))", "product of variables"),
        ("(assert (<= Y_2 1))", "'Y_2'"),
        ("(assert (<= Y_00 1))", "'Y_00'"),
        ("(assert (<= Y_-1 1))", "'Y_-1'"),
        ("(assert (<= Z_0 1))", "'Z_0'"),
        ("(assert (<= Y_0 1e1000))", "'1e1000'"),
        ("(assert (<= Y_0 0x1))", "'0x1'"),
        ("(assert (<= Y_0 1_0))", "'1_0'"),
        ("(assert (<= Y_0 .))", "'.'"),
        ("(assert (<= Y_0 1e))", "'1e'"),
        ("(assert (<= Y_0 nan))", "'nan'"),
        ("(assert (<= Y_0 " + "1" * 1001 + "))", "'1111"),
        ("(assert (<= Y_0 1))(declare-const Y_2 Real)", "comes late"),
        ("(assert (<= Y_0 1)", "not closed"),
    ],
)
def test_what_is_not_known_is_refused_by_name(text, problem):
    with pytest.raises(FormatError) as error:
        read_property((DECLARED + text).encode() if "comes late" in problem else (DECLARED + BOX + text).encode(), "p")
    assert problem in error.value.problem and error.value.source == "p", error.value.problem


@pytest.mark.parametrize(
    "declared",
    [
        "(declare-const X_0 Real)",
        "(declare-const Y_0 Real)",
        "",
        "(declare-const X_0 Real)(declare-const Y_1 Real)",
        "(declare-const X_0 Real)(declare-const X_2 Real)(declare-const Y_0 Real)",
    ],
)
def test_variables_are_declared_from_0_on(declared):
    with pytest.raises(FormatError, match="declared from 0 on"):
        read_property(declared.encode(), "p")


@pytest.mark.parametrize("name", ["X_0", "X_01", "x_1", "Z_1", "X_123456789", "X_", "X_+1", "X_1\u0662"])
def test_names_that_are_none_or_there_already(name):
    with pytest.raises(FormatError, match="a declaration"):
        read_property(f"(declare-const X_0 Real)(declare-const {name} Real)(declare-const Y_0 Real)".encode(), "p")


def test_bytes_that_are_no_text():
    with pytest.raises(FormatError, match="no text in UTF-8"):
        read_property(b"\xff", "p")


def test_an_input_needs_both_ends():
    for kept in ("(assert (<= X_1 1))", "(assert (>= X_1 1))"):
        with pytest.raises(FormatError, match="without a bound"):
            read_property((DECLARED + "(assert (<= X_0 1))(assert (>= X_0 1))" + kept).encode(), "p")


def test_limits_are_where_they_are_said_to_be(monkeypatch):
    def asked(text: str) -> Asked:
        return read_property((DECLARED + BOX + text).encode(), "p")

    # Parentheses: 64 that are open at once.
    deep = "(assert " + "(and " * 62 + "(<= Y_0 1)" + ")" * 62 + ")"
    assert asked(deep).parts
    with pytest.raises(FormatError, match="this deep"):
        asked(deep.replace("(<= Y_0 1)", "(and (<= Y_0 1))"))
    # Numbers of 1000 characters; products of 2^14 bits.
    assert asked(f"(assert (<= Y_0 {'1' * 1000}))").parts
    two, bits = "1" + "0" * 500, (10**500).bit_length()
    for count in (16384 // bits, 16384 // bits + 1):
        text = f"(assert (<= (* {' '.join([two] * count)}) Y_0))"
        if count * bits <= 16384:
            assert asked(text).parts
        else:
            with pytest.raises(FormatError, match="so many digits"):
                asked(text)
    tiny = "0." + "0" * 500 + "1"
    with pytest.raises(FormatError, match="so many digits"):
        asked(f"(assert (<= (* {' '.join([tiny] * 20)}) Y_0))")
    # Its length.
    text = (DECLARED + BOX).encode()
    monkeypatch.setattr(reader, "_LONGEST", len(text))
    assert read_property(text, "p").parts
    with pytest.raises(FormatError, match="its length"):
        read_property(text + b" ", "p")


def test_no_more_cases_than_may_be(monkeypatch):
    def asked(text: str) -> Asked:
        return read_property((DECLARED + BOX + text).encode(), "p")

    # (a or b) and (c or d): four pairs of constraints and four cases are twelve.
    product = "(assert (or (<= Y_0 1) (<= Y_0 2)))(assert (or (<= Y_1 1) (<= Y_1 2)))"
    inner = "(assert (or (>= Y_0 9) (and (or (<= Y_0 1) (<= Y_0 2)) (or (<= Y_1 1) (<= Y_1 2)))))"
    several = "(assert (or (<= Y_0 1) (<= Y_0 2) (<= Y_0 3)))"
    for text, most in ((product, 12), (inner, 14), (several, 6)):
        monkeypatch.setattr(reader, "_MOST", most)
        assert asked(text).parts
        monkeypatch.setattr(reader, "_MOST", most - 1)
        with pytest.raises(FormatError, match="so many cases"):
            asked(text)
    # Two ends of two inputs for each of three clauses are twelve.
    monkeypatch.setattr(reader, "_MOST", 1 << 20)
    monkeypatch.setattr(reader, "_ENDS", 12)
    assert asked(several).parts
    monkeypatch.setattr(reader, "_ENDS", 11)
    with pytest.raises(FormatError, match="so many boxes"):
        asked(several)


def test_comments_and_spaces_are_passed_over_piece_by_piece():
    # A repetition of both in one match would take 70 bytes of memory for each of them.
    pieces = [match[0] for match in _TOKEN.finditer(" ; a\n;b\r\n\t(or;c\n)")]
    assert pieces == [" ", "; a", "\n", ";b", "\r\n\t", "(", "or", ";c", "\n", ")"]


def test_statements_at_once_are_those_token_by_token(monkeypatch):
    rng = np.random.default_rng(8)
    spaces = ["", " ", "\n", " \t", "\r\n ", ";x (a b c)\n"]

    def word() -> str:
        return str(rng.choice(["assert", "<=", "X_0", "-1.5", "declare-const", "Real", "a.b"]))

    def piece(depth: int) -> list[str]:
        kind = rng.integers(4)
        if kind == 0:
            return ["(", word(), word(), word(), ")"]
        if kind == 1:
            return ["(", word(), "(", word(), word(), word(), ")", ")"]
        some = [token for _ in range(rng.integers(4)) for token in (piece(depth - 1) if depth else [word()])]
        return ["(", *some, ")"] if kind == 2 else ["(", word(), *some, ")"]

    def written() -> str:
        tokens = [token for _ in range(4) for token in piece(2)]
        if rng.random() < 0.3:
            tokens.insert(rng.integers(len(tokens)), str(rng.choice(["(", ")", "|", word()])))
        text = ""
        for token in tokens:
            apart = str(rng.choice(spaces))
            text += (apart or " ") + token if text[-1:] not in ("(", ")") and token not in "()" else apart + token
        return text + str(rng.choice(spaces))

    def read(text: str) -> tuple[list[object], str]:
        found: list[object] = []
        try:
            found.extend(reader._statements(text))
        except reader._FaultError as error:
            return [], str(error)
        return found, ""

    texts = [written() for _ in range(300)]
    at_once = [read(text) for text in texts]
    monkeypatch.setattr(reader, "_USUAL", re.compile("(?!)"))
    assert at_once == [read(text) for text in texts]
    assert 20 < sum(bool(fault) for _, fault in at_once) < 280
