"""VNN-LIB word by word: strings, quoted symbols, comments, white space, and what comes after the question."""

from __future__ import annotations

import gzip
import time
from fractions import Fraction
from pathlib import Path

import pytest

from netproof.errors import FormatError, TimeLimitError
from netproof.formats import clock
from netproof.formats.vnnlib import formulas as vnnlib_formulas
from netproof.formats.vnnlib import tokens as vnnlib_tokens
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.property import Property

HEAD = "(declare-const X_0 Real)\n(declare-const Y_0 Real)\n(assert (>= X_0 0))(assert (<= X_0 1))\n"
#: what most files here ask: whether the output reaches a half
HALF = "(assert (>= Y_0 0.5))"
#: what would ask more, were it an assert
MORE = "(assert (>= Y_0 1000))"


def read(tmp_path: Path, text: str | bytes) -> Property:
    path = tmp_path / "property.vnnlib"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_vnnlib(path)


def thresholds(property_: Property) -> list[Fraction]:
    """Of the one conjunction."""
    (part,) = property_.parts
    (conjunction,) = part.condition
    return [constraint.threshold for constraint in conjunction]


@pytest.mark.parametrize(
    "text",
    [
        f'(set-info :notes "see ) {MORE} (set-info :k ")',
        f'(set-info :notes "one "" two ) {MORE} ""three"" (") ',
        f'(set-info :notes "")(set-info :notes """")(set-info :notes """) {MORE} (""")',
        f'(set-info :notes "\n{MORE}\n; | \n")',
        f"(set-info :source | text ) {MORE} (set-info :k |)",
        f'(set-info :source |"; {MORE}\n|)',
        f'; a comment with " in it {MORE}\n',
        f"; a comment with | in it {MORE}\n",
        f"; a comment up to the end of the line {MORE}\r\n",
        f"; of these no line ends here: \u2028\u2029\x85\x0b\x0c {MORE}\n",
        f'(echo "{MORE}")(get-info :name)(get-value (Y_0))',
        "(set-option :produce-models true)(set-logic QF_LRA)(set-info :status sat)",
        "(check-sat)(get-model)(check-sat)(exit)  ; nothing",
        "; Latin-1: \xe9\n".encode("latin-1"),
        b"; cut off in the middle of a character: \xe2\x82\n",
    ],
)  # fmt: skip
def test_what_asks_nothing(text, tmp_path):
    before, after = (HEAD + HALF).encode(), text.encode() if isinstance(text, str) else text
    assert thresholds(read(tmp_path, before + after)) == [Fraction(1, 2)]


@pytest.mark.parametrize(
    "text",
    [
        f'(set-info :a "x;") {HALF} (set-info :b "\n")',
        f"(set-info :a |x;|) {HALF} (set-info :b |\n|)",
        f'(set-info :a "|") {HALF} (set-info :b "|")',
        f"(set-info :a |\"|) {HALF} (set-info :b |\"|)",
        f"; a comment ends at a carriage return, too\r{HALF}",
        f"; a quote \" here\n{HALF}; and \" there",
        f"; a bar | here\n{HALF}; and | there",
        HALF.replace("Y_0", "|Y_0|"),
        HALF.replace(">=", "|>=|").replace(" ", "\t\r\n"),
        HALF.replace("(", "( ;(\n"),
    ],
)  # fmt: skip
def test_what_asks(text, tmp_path):
    assert thresholds(read(tmp_path, HEAD + text)) == [Fraction(1, 2)]


def test_quoted_names_are_the_same_names(tmp_path):
    text = HEAD.replace("const X_0 Real", "fun |X_0| () |Real|").replace("(<= X_0", "(<= |X_0|") + HALF
    assert thresholds(read(tmp_path, text)) == [Fraction(1, 2)]
    with pytest.raises(FormatError, match="X_0 is declared twice"):
        read(tmp_path, HEAD + "(declare-const |X_0| Real)")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_none_of_the_words(mark, tmp_path):
    assert thresholds(read(tmp_path, mark + (HEAD + HALF).encode())) == [Fraction(1, 2)]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('(set-info :a "x)', "column 14", "this string is never closed"),
        ('(set-info :a "x""y)', "column 14", "follows a string or quoted symbol without a space"),
        ("(set-info :a |x)", "column 14", "this quoted symbol is never closed, or has a backslash"),
        ("(set-info :a |x\\|y|)", "column 14", "this quoted symbol is never closed, or has a backslash"),
        ('(set-info :a "x"y)', "column 14", "'y' follows a string or quoted symbol without a space"),
        ("(set-info :a |x||y|)", "column 14", "'|' follows a string or quoted symbol"),
        ('(set-info :a x"y")', "column 14", "a \" follows 'x' without a space"),
        ("(set-info :a x|y|)", "column 14", "a | follows 'x' without a space"),
        ("(assert (>= Y_0\xa01))", "column 13", "the character U+00A0 in 'Y_0?1'"),
        ("(assert (>= Y_0 1))\x0c", "column 20", "U+000C"),
        ("(assert (>= Y_0 1))\x7f", "column 20", "U+007F"),
        ("(assert (>= Y_0 \u0661))", "column 17", "U+0661"),
        ("(assert (>= \uff39_0 1))", "column 13", "U+FF39"),
        ("(assert (>= Y_0 {1}))", "column 17", "U+007B"),
        ("(assert (>= Y_0 1,5))", "column 17", "U+002C"),
        ("(assert (>= Y_0 'a'))", "column 17", "U+0027"),
        ("(set-info :a [x])", "column 14", "U+005B"),
        ("(assert (>= Y_0 :one))", "column 17", "':one' is neither a variable nor a number"),
        ("(assert (>= Y_0 #x10))", "column 17", "'#x10' is neither a variable nor a number"),
        ("(assert (>= Y_0 #b01))", "column 17", "'#b01' is neither a variable nor a number"),
        ("(assert (>= Y_0 #o17))", "column 17", "U+0023"),
        ('(assert (>= Y_0 "1"))', "column 17", "is neither a variable nor a number"),
        ("(assert (>= Y_0 |1|))", "column 17", "'|1|' is neither a variable nor a number"),
        ("(assert (>= y_0 1))", "column 13", "'y_0' is neither a variable nor a number"),
        ("(assert (>= Y_00 1))", "column 13", "'Y_00' is neither a variable nor a number"),
        ("(|assert| (>= Y_0 1))", "column 2", "unknown command '|assert|'"),
        ("(assert |(| (>= Y_0 1))", "column 1", "an assert has one formula"),
        ("(assert (>= Y_0 (/ 2)))", "column 17", "where a linear expression"),
        ("(push 1)", "column 2", "unknown command 'push'"),
        ("(reset)", "column 2", "unknown command 'reset'"),
        ("(define-const c Real 1)", "column 2", "unknown command 'define-const'"),
        ("(check-sat-assuming ((>= Y_0 1)))", "column 2", "unknown command 'check-sat-assuming'"),
        ("(declare-fun X_1 Real)", "column 1", "a declaration is (declare-fun X_0 () Real)"),
        ("(check-sat)" + MORE, "column 12", "this assert stands after (check-sat)"),
        ("(check-sat)(assert (>= X_0 0))", "column 12", "this assert stands after (check-sat)"),
        ("(check-sat)(declare-const Y_1 Real)", "column 12", "this declare-const stands after (check-sat)"),
        ("(exit)" + MORE, "column 7", "'(' stands after (exit), where nothing is asked"),
        ("(exit)(assert (>= X_0 0))", "column 7", "stands after (exit)"),
        ("(exit) more", "column 8", "'more' stands after (exit)"),
        (f"(set-info :status unknown {MORE}", "column 1", "this '(' is never closed"),
        (f"(set-info :status unknown {MORE})", "column 1", "set-info has 1 or 2 arguments, here are 3"),
        (f"(set-option :a true {MORE})", "column 1", "set-option has 1 or 2 arguments, here are 3"),
        (f"(set-logic QF_LRA {MORE})", "column 1", "set-logic has 1 arguments, here are 2"),
        (f"(get-model {MORE})", "column 1", "get-model has 0 arguments, here are 1"),
        (f"(set-info {MORE})", "column 1", "set-info without a keyword such as :status"),
        ("(set-info status sat)", "column 1", "set-info without a keyword such as :status"),
        ("(check-sat 1)", "column 1", "check-sat has no arguments"),
        ("(exit " + MORE + ")", "column 1", "exit has no arguments"),
    ],
)  # fmt: skip
def test_what_is_refused(text, where, what, tmp_path):
    with pytest.raises(FormatError) as caught:
        read(tmp_path, HEAD + text)
    message = str(caught.value)
    assert f"line 4, {where}: " in message and what in message and "\n" not in message, message


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ((HEAD + HALF).encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
        (b"\xfe\xff" + (HEAD + HALF).encode("utf-16-be"), "is text in UTF-16"),
        ((HEAD + HALF).encode("utf-32"), "is text in UTF-16"),
        ((HEAD + HALF).encode("utf-16-le"), "line 1 has a NUL byte"),
        ((HEAD + "; \0\n" + HALF).encode(), "line 4 has a NUL byte"),
        (b"(vnnlib-version <2.0>)(declare-network N (declare-input X Real [1,2]))", "is VNN-LIB of a later version"),
    ],
)
def test_other_texts(data, what, tmp_path):
    with pytest.raises(FormatError, match=what):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("formula", "what"),
    [
        ("(>= X_0 (* 1e300 1e300))", "a number of this comparison is beyond the range of float64"),
        ("(>= X_0 (+ 1e400 0))", "a number of this comparison is beyond the range of float64"),
        ("(>= (* 1e399 Y_0) 0)", "a number of this comparison is beyond the range of float64"),
        ("(>= Y_0 (* 1e300 1e300))", "a number of this comparison is beyond the range of float64"),
        ("(>= (* 1e300 (* 1e300 Y_0)) 0)", "a number of this comparison is beyond the range of float64"),
        ("(>= (* 1e-300 X_0) 1e300)", "a number of this comparison is beyond the range of float64"),
        ("(>= X_0 (/ 1e300 1e-300))", "a number of this comparison is beyond the range of float64"),
        ("(>= X_0 1e600)", "'1e600' has too many digits or too large an exponent"),
        ("(>= X_0 1e999999999)", "too large an exponent"),
        ("(>= X_0 1e-999999999)", "too large an exponent"),
        (f"(>= Y_0 (* {' 1e300' * 1000}))", "come to more than 2400 digits"),
        (f"(>= Y_0 (* {' 1e-300' * 1000}))", "come to more than 2400 digits"),
        (f"(>= Y_0 (+ {' '.join(f'(/ 1 {k})' for k in range(1, 9999, 2))}))", "come to more than 2400 digits"),
        (f"(>= (+ X_0 (* {'9' * 1500} Y_0) (/ Y_0 {'7' * 1500}) (/ X_0 1{'3' * 1500})) 0)", "beyond the range|digits"),
    ],
)  # fmt: skip
def test_numbers_that_are_too_large(formula, what, tmp_path):
    with pytest.raises(FormatError, match=what):
        read(tmp_path, HEAD + f"(assert {formula})")


def test_coefficients_without_a_common_denominator(tmp_path):
    count = 900
    names = [f"X_{i}" for i in range(count)]
    text = "".join(f"(declare-const {name} Real)(assert (= {name} 0))" for name in names)
    terms = " ".join(f"(/ {name} {2 * i + 1000001})" for i, name in enumerate(names))
    with pytest.raises(FormatError, match="no common denominator"):
        read(tmp_path, f"{text}(declare-const Y_0 Real)(assert (>= Y_0 (+ {terms})))")


def test_false_parts_take_their_products_with_them(tmp_path):
    product = f"(and {' '.join(f'(or (<= Y_0 {k}) (>= Y_0 {k}.5))' for k in range(40))})"
    for false in ("(or)", "false", "(< Y_0 Y_0)", "(<= 1 0)", "(and (or (> 1 1)) (>= Y_0 0))"):
        (part,) = read(tmp_path, HEAD + f"(assert (or (and {false} {product})))").parts
        assert part.condition == ()
        text = HEAD + f"(assert (or (and {product} {false}) (>= Y_0 0.5)))"
        assert thresholds(read(tmp_path, text)) == [Fraction(1, 2)]
    with pytest.raises(FormatError, match="written out"):
        read(tmp_path, HEAD + f"(assert (or (and {product}) (>= Y_0 0.5)))")


def test_more_boxes_than_can_be_held_are_refused_by_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(vnnlib_formulas, "_LARGEST_BOXES", 5)
    three = "(assert (or (<= X_0 0.1) (<= X_0 0.2) (<= X_0 0.3)))"
    assert len(read(tmp_path, HEAD + three).parts) == 3
    six = three.replace("(or", "(or (<= X_0 0.4) (<= X_0 0.5) (<= X_0 0.6)")
    with pytest.raises(FormatError, match="has 6 input boxes of 1 inputs, which is more than can be handled"):
        read(tmp_path, HEAD + six)


def test_more_boxes_than_can_be_held_are_refused_before_they_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(vnnlib_formulas, "_MOST_BOXES", 3)
    text = HEAD + "(assert (or (<= X_0 0.1) (<= X_0 0.2) (<= X_0 0.1) (<= X_0 0.3)))"
    assert len(read(tmp_path, text).parts) == 3
    with pytest.raises(FormatError, match="has more than 3 input boxes; split the file"):
        read(tmp_path, text + "(assert (or (<= X_0 0.4) (>= X_0 0.05)))")


def test_more_words_than_can_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr(vnnlib_tokens, "_MOST_WORDS", 40)
    assert read(tmp_path, HEAD + " " * 1000 + "; many words, none of them one\n" * 50)
    with pytest.raises(FormatError, match="has more than 40 words; split the file"):
        read(tmp_path, HEAD + HALF * 3)


def test_more_comparisons_than_can_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr("netproof.formats.vnnlib.terms.LARGEST_FORM", 1500)
    many = f"(assert (or {'(>= Y_0 1)' * 1023}))"
    assert read(tmp_path, HEAD + many)
    with pytest.raises(FormatError, match="more than 1500 comparisons before this one"):
        read(tmp_path, HEAD + many * 3)


def test_boxes_share_what_they_have_in_common(tmp_path):
    text = "".join(
        f"(declare-const X_{i} Real)(assert (>= X_{i} 0.{i + 1}))(assert (<= X_{i} {i + 1}))" for i in range(5)
    )
    text += "(declare-const Y_0 Real)(assert (or (>= X_1 0.5) (<= X_4 2.5) (and (>= X_1 -9) (<= X_1 1.5)) (<= X_3 9)))"
    first, second, third, fourth = read(tmp_path, text).parts
    assert [float(end) for end in first.box.lower] == [0.1, 0.5, 0.3, 0.4, 0.5]
    assert [float(end) for end in second.box.upper] == [1, 2, 3, 4, 2.5]
    assert float(third.box.lower[1]) == 0.2 and float(third.box.upper[1]) == 1.5
    assert [float(end) for end in fourth.box.upper] == [1, 2, 3, 4, 5]
    assert all(a is b for a, b in zip(first.box.upper, third.box.upper, strict=True) if a == b)


def test_the_deadline_is_looked_at(tmp_path):
    path = tmp_path / "property.vnnlib"
    path.write_text(HEAD + HALF)
    assert read_vnnlib(path, deadline=time.monotonic() + 600).parts
    with pytest.raises(
        TimeLimitError, match=r"property\.vnnlib: the time limit was reached while the property was read"
    ):
        read_vnnlib(path, deadline=time.monotonic())


def test_the_deadline_is_looked_at_on_the_way(tmp_path, monkeypatch):
    """Whatever a file is full of: commands, comparisons, or boxes."""
    many = 20_000
    statements = HEAD + "(assert (>= X_0 0))" * many
    comparisons = HEAD + f"(assert (or {'(>= Y_0 1)' * many}))"
    ends = "".join(f"(<= X_0 0.{k:05})" for k in range(many))
    for text, least in (
        (statements, many * 8 // 8192),
        (comparisons, many // 1024),
        (HEAD + f"(assert (or {ends}))", 300),
    ):
        looks = []
        monkeypatch.setattr(clock.time, "monotonic", lambda looks=looks: looks.append(0) or 0.0)
        path = tmp_path / "property.vnnlib"
        path.write_text(text)
        read_vnnlib(path, deadline=1.0)
        monkeypatch.undo()
        assert len(looks) >= least


def test_gzip(tmp_path):
    text, path = (HEAD + HALF).encode(), tmp_path / "property.vnnlib.gz"
    path.write_bytes(gzip.compress(text[:50]) + gzip.compress(text[50:]))
    assert thresholds(read_vnnlib(path)) == [Fraction(1, 2)]
    path.write_bytes(text)  # what a file is says its content
    assert thresholds(read_vnnlib(path)) == [Fraction(1, 2)]
    plain = tmp_path / "property.vnnlib"
    plain.write_bytes(gzip.compress(text))
    assert thresholds(read_vnnlib(plain)) == [Fraction(1, 2)]
    for damaged in (
        gzip.compress(text) + b"(assert false)",
        gzip.compress(text) + gzip.compress(text)[:9],
        gzip.compress(text)[:-4] + b"\0\0\0\0",
        gzip.compress(text)[:9],
    ):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="is damaged gzip"):
            read_vnnlib(path)
    path.write_bytes(gzip.compress(b" " * ((1 << 26) + 1)))
    with pytest.raises(FormatError, match="is larger than 67108864 bytes"):
        read_vnnlib(path)
