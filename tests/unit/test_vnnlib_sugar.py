"""What SMT-LIB has for writing formulas briefly, in VNN-LIB 1.0: it says the same as the formula written out."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction
from random import Random

import pytest

from netproof.errors import FormatError, TimeLimitError
from netproof.formats.vnnlib.read import read_vnnlib

HEAD = (
    "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n(assert (and (>= X_0 -3) (<= X_0 3)))\n"
)
POINTS = [tuple(map(Fraction, point)) for point in itertools.product((-2, -1, 0, 1, Fraction(3, 2)), repeat=3)]


def read(tmp_path, text, **options):
    path = tmp_path / "property.vnnlib"
    path.write_text(HEAD + text)
    return read_vnnlib(path, **options)


def where_it_holds(tmp_path, text):
    property_ = read(tmp_path, text)
    return [x for x in POINTS if any(part.holds(x[:1], x[1:]) for part in property_.parts)]


@pytest.mark.parametrize(
    ("brief", "test"),
    [
        ("(not (>= Y_0 1))", lambda x, y, z: not y >= 1),
        ("(not (> Y_0 1))", lambda x, y, z: not y > 1),
        ("(not (= Y_0 1))", lambda x, y, z: y != 1),
        ("(not (not (<= Y_0 1)))", lambda x, y, z: y <= 1),
        ("(not (and (>= Y_0 1) (or (< Y_1 0) (<= X_0 Y_0))))", lambda x, y, z: not (y >= 1 and (z < 0 or x <= y))),
        ("(=> (>= Y_0 1) (>= Y_1 1))", lambda x, y, z: y < 1 or z >= 1),
        ("(=> (>= Y_0 1) (>= Y_1 1) (<= X_0 0))", lambda x, y, z: y < 1 or z < 1 or x <= 0),
        ("(xor (>= Y_0 1) (>= Y_1 1))", lambda x, y, z: (y >= 1) != (z >= 1)),
        ("(xor (>= Y_0 1) (>= Y_1 1) (>= X_0 1))", lambda x, y, z: (y >= 1) ^ (z >= 1) ^ (x >= 1)),
        ("(= (>= Y_0 1) (>= Y_1 1))", lambda x, y, z: (y >= 1) == (z >= 1)),
        ("(= true (>= Y_1 1) (>= X_0 1))", lambda x, y, z: z >= 1 and x >= 1),
        ("(distinct (>= Y_0 1) (>= Y_1 1))", lambda x, y, z: (y >= 1) != (z >= 1)),
        ("(distinct (>= Y_0 1) (>= Y_1 1) true)", lambda x, y, z: False),
        ("(distinct Y_0 Y_1 1)", lambda x, y, z: len({y, z, 1}) == 3),
        ("(< X_0 Y_0 Y_1)", lambda x, y, z: x < y < z),
        ("(>= 1 X_0 Y_0 (* 2 Y_1))", lambda x, y, z: 1 >= x >= y >= 2 * z),
        ("(= X_0 Y_0 Y_1)", lambda x, y, z: x == y == z),
        ("(ite (>= Y_0 1) (>= Y_1 1) (< Y_1 0))", lambda x, y, z: z >= 1 if y >= 1 else z < 0),
        ("(>= (ite (>= Y_0 1) Y_1 X_0) 1)", lambda x, y, z: (z if y >= 1 else x) >= 1),
        ("(not (>= (ite (>= Y_0 1) Y_1 X_0) 1))", lambda x, y, z: not (z if y >= 1 else x) >= 1),
        ("(= (+ 1 (* 2 (ite (>= Y_0 1) Y_1 (ite (< Y_1 0) X_0 -1)))) Y_0)", lambda x, y, z: 1 + 2 * (z if y >= 1 else x if z < 0 else -1) == y),
        ("(< (- (ite (>= Y_0 1) Y_1 X_0) (ite (>= Y_1 1) Y_0 X_0)) 1)", lambda x, y, z: (z if y >= 1 else x) - (y if z >= 1 else x) < 1),
        ("(let ((a (+ Y_0 Y_1)) (b (>= X_0 1))) (and b (>= a 1)))", lambda x, y, z: x >= 1 and y + z >= 1),
        # All at once: the inner a is X_0 where b is bound.
        ("(let ((a X_0)) (let ((a Y_0) (b a)) (> a b)))", lambda x, y, z: y > x),
        ("(and (let ((a X_0)) (> a 0)) (let ((a Y_0)) (> a 0)))", lambda x, y, z: x > 0 and y > 0),
        ("(! (>= Y_0 1) :named answer)", lambda x, y, z: y >= 1),
        ("(or (! (>= Y_0 1) :named |a b|) false)", lambda x, y, z: y >= 1),
        ("(and true (not false) (>= Y_0 0))", lambda x, y, z: y >= 0),
        ("(= 1 1 X_0)", lambda x, y, z: x == 1),
    ],
)  # fmt: skip
def test_brief_formulas_say_what_they_stand_for(tmp_path, brief, test):
    expected = [point for point in POINTS if test(*point)]
    assert where_it_holds(tmp_path, f"(assert {brief})") == expected
    assert where_it_holds(tmp_path, f"(assert (not {brief}))") == [point for point in POINTS if not test(*point)]


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("(define-fun c () Real 1.5)(assert (>= Y_0 c))", lambda x, y, z: y >= Fraction(3, 2)),
        ("(define-fun sum ((a Real) (b Real)) Real (+ a (* 2 b)))(assert (>= (sum Y_0 Y_1) (sum X_0 1)))", lambda x, y, z: y + 2 * z >= x + 2),
        ("(define-fun both ((p Bool) (a Real)) Bool (and p (> a 0)))(assert (both (< Y_0 1) X_0))", lambda x, y, z: y < 1 and x > 0),
        ("(define-fun p () Bool (> Y_0 X_0))(assert (=> p (> Y_1 X_0)))", lambda x, y, z: y <= x or z > x),
        # A function does not see what is bound where it is called, but what was defined before it.
        ("(define-fun c () Real 1)(define-fun f ((a Real)) Bool (> a c))(assert (let ((d -2)) (f Y_0)))", lambda x, y, z: y > 1),
        ("(define-fun f ((a Real)) Real (let ((b (* 2 a))) (+ a b)))(assert (let ((b X_0)) (>= (f b) Y_0)))", lambda x, y, z: 3 * x >= y),
        ("(define-fun f ((a Real)) Real (ite (>= a 0) a (- a)))(assert (<= (f Y_0) (f X_0)))", lambda x, y, z: abs(y) <= abs(x)),
    ],
)  # fmt: skip
def test_functions_are_put_in(tmp_path, text, test):
    assert where_it_holds(tmp_path, text) == [point for point in POINTS if test(*point)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(assert (not Y_0))", "line 3, column 14: 'Y_0' where a formula should stand"),
        ("(assert (not (>= Y_0 1) (>= Y_0 2)))", "column 9: 'not' takes 1 expressions, here are 2"),
        ("(assert (=> (>= Y_0 1)))", "column 9: '=>' takes 2 or more expressions, here are 1"),
        ("(assert (>= (>= Y_0 1) true))", "column 9: '>=' compares formulas"),
        ("(assert (>= Y_0 (> Y_1 1)))", "column 17: a formula where a linear expression should stand"),
        ("(assert (ite (>= Y_0 1) Y_1 (>= Y_0 1)))", "column 9: one branch of this ite is a formula"),
        ("(assert (let ((a Y_0) (a Y_1)) (> a 0)))", "column 24: 'a' is bound twice"),
        ("(assert (let ((X_0 1)) (> Y_0 0)))", "column 16: 'X_0' is a name already"),
        ("(assert (let ((not 1)) (> Y_0 0)))", "column 16: 'not' is no name"),
        ("(assert (let ((2 1)) (> Y_0 0)))", "column 16: '2' is no name"),
        ("(assert (let (a 1) (> Y_0 0)))", "column 15: a binding is (name expression)"),
        ("(assert (let () (> Y_0 0)))", "column 9: a let is"),
        ("(assert (let ((a 1)) (> b 0)))", "column 25: 'b' is neither a variable nor a number"),
        ("(assert (and (let ((a 1)) (> Y_0 a)) (> Y_1 a)))", "column 45: 'a' is neither"),
        ("(assert (! (>= Y_0 1)))", "column 9: an annotation is"),
        ("(assert (! (>= Y_0 1) named a))", "column 9: an annotation is"),
        ("(define-fun f (x) Real 1)", "column 16: a parameter is (name Real)"),
        ("(define-fun f ((x Int)) Real 1)", "column 19: 'Int' where 'Real' or 'Bool' should stand"),
        ("(define-fun f ((x Real) (x Real)) Real 1)", "column 26: 'x' is a parameter twice"),
        ("(define-fun f ((x Real)) Real y)", "column 31: 'y' is neither"),
        ("(define-fun f ((x Real)) Bool x)", "column 31: 'f' is said to be of sort Bool"),
        ("(define-fun f ((x Real)) Real (f x))", "column 31: unknown operator 'f'"),
        ("(define-fun f () Real)", "column 1: a definition is"),
        ("(define-fun and () Real 1)", "column 13: 'and' is no name"),
        ("(define-fun f () Real 1)(define-fun f () Real 2)", "column 37: 'f' is a name already"),
        ("(define-fun f ((x Real)) Real x)(assert (> (f Y_0 Y_1) 0))", "column 44: 'f' takes 1 expressions, here are 2"),
        ("(define-fun f ((x Real)) Real x)(assert (> f 0))", "column 44: 'f' is a function"),
        ("(define-fun f ((x Bool)) Bool x)(assert (f Y_0))", "column 44: 'Y_0' where a formula should stand"),
        ("(define-fun f ((x Real)) Real x)(assert (> (f (> Y_0 1)) 0))", "column 47: a formula where a linear"),
        ("(define-fun f ((x Real) (y Real)) Real (* x y))(assert (> (f Y_0 Y_1) 0))", "variables are multiplied"),
        ("(assert (exists ((z Real)) (> z 0)))", "column 9: unknown operator 'exists'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it(tmp_path, text, words):
    with pytest.raises(FormatError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


def test_any_depth(tmp_path):
    depth = 50_000
    assert where_it_holds(tmp_path, "(assert " + "(not " * depth + "(>= Y_0 1)" + ")" * depth + ")") == [
        p for p in POINTS if p[1] >= 1
    ]
    assert where_it_holds(tmp_path, "(assert (>= " + "(+ 0 " * depth + "Y_0" + ")" * depth + " 1))") == [
        p for p in POINTS if p[1] >= 1
    ]
    lets = "".join(f"(let ((a{i} {f'(+ a{i - 1} 0)' if i else 'Y_0'})) " for i in range(3000))
    assert where_it_holds(tmp_path, f"(assert {lets}(>= a2999 1){')' * 3000})") == [p for p in POINTS if p[1] >= 1]
    calls = "".join(f"(define-fun f{i} ((x Real)) Real {f'(f{i - 1} x)' if i else 'x'})" for i in range(200))
    assert where_it_holds(tmp_path, f"{calls}(assert (>= (f199 Y_0) 1))") == [p for p in POINTS if p[1] >= 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("".join(f"(define-fun f{i} ((x Real)) Real {f'(+ (f{i - 1} x) (f{i - 1} x))' if i else 'x'})" for i in range(60)) + "(assert (>= (f59 Y_0) 1))", "so often"),
        ("(define-fun f0 () Bool (>= Y_0 1))" + "".join(f"(define-fun f{i} () Bool (xor f{i - 1} f{i - 1}))" for i in range(1, 60)), "more than 1048576 comparisons"),
        ("(assert (>= (+ " + " ".join(f"(ite (>= Y_0 {i}) Y_0 Y_1)" for i in range(20)) + ") 1))", "more than 64 cases"),
        ("(assert (and (>= Y_0 1) " * 1 + "(or (>= Y_0 2) (and (>= Y_1 3) " * 100 + "(>= Y_0 1)" + "))" * 100 + "))", "more than 128 deep"),
        ("(assert (distinct " + " ".join(f"(+ Y_0 {i})" for i in range(1100)) + "))", "comparisons"),
    ],
)  # fmt: skip
def test_small_files_that_stand_for_large_ones(tmp_path, text, words, monkeypatch):
    monkeypatch.setattr("netproof.formats.vnnlib.terms._MOST_STEPS", 200_000)
    begun = time.process_time()
    with pytest.raises(FormatError, match=words):
        read(tmp_path, text)
    assert time.process_time() - begun < 60  # of a loop without end it would be more


def test_a_deadline_inside_a_formula(tmp_path):
    text = "".join(
        f"(define-fun f{i} ((x Real)) Real {f'(+ (f{i - 1} x) (f{i - 1} x))' if i else 'x'})" for i in range(40)
    )
    with pytest.raises(TimeLimitError):
        read(tmp_path, f"{text}(assert (>= (f39 Y_0) 1))", deadline=time.monotonic() + 0.2)


def test_random_formulas(tmp_path):
    """Against an evaluation of the same tree by Python."""
    random = Random(4)

    def number(depth):
        kind = random.randrange(6 if depth else 2)
        if kind == 0:
            value = random.randint(-2, 2)
            return str(value), lambda v: Fraction(value)
        if kind == 1:
            name = random.choice(("X_0", "Y_0", "Y_1"))
            return name, lambda v: v[name]
        if kind == 2:
            c, p = logic(depth - 1)
            (a, f), (b, g) = number(depth - 1), number(depth - 1)
            return f"(ite {c} {a} {b})", lambda v: f(v) if p(v) else g(v)
        if kind == 3:
            (a, f), (b, g) = number(depth - 1), number(depth - 1)
            return f"(let ((t {a})) (+ t {b} t))", lambda v: 2 * f(v) + g(v)
        if kind == 4:
            a, f = number(depth - 1)
            return f"(* -2 {a})", lambda v: -2 * f(v)
        (a, f), (b, g) = number(depth - 1), number(depth - 1)
        return f"(- {a} {b})", lambda v: f(v) - g(v)

    def logic(depth):
        kind = random.randrange(8 if depth else 1)
        if kind == 0:
            (a, f), (b, g) = number(max(depth - 1, 0)), number(max(depth - 1, 0))
            head = random.choice((">=", "<=", "<", ">", "=", "distinct"))
            compare = {
                ">=": lambda x, y: x >= y,
                "<=": lambda x, y: x <= y,
                "<": lambda x, y: x < y,
                ">": lambda x, y: x > y,
                "=": lambda x, y: x == y,
                "distinct": lambda x, y: x != y,
            }[head]
            return f"({head} {a} {b})", lambda v: compare(f(v), g(v))
        if kind == 1:
            a, p = logic(depth - 1)
            return f"(not {a})", lambda v: not p(v)
        (a, p), (b, q) = logic(depth - 1), logic(depth - 1)
        head, combine = [
            ("and", lambda x, y: x and y),
            ("or", lambda x, y: x or y),
            ("=>", lambda x, y: not x or y),
            ("xor", lambda x, y: x != y),
            ("=", lambda x, y: x == y),
            ("and", lambda x, y: x and y),
        ][kind - 2]
        return f"({head} {a} {b})", lambda v: combine(p(v), q(v))

    for _ in range(50):
        text, test = logic(2)
        try:
            found = where_it_holds(tmp_path, f"(assert {text})")
        except FormatError as refused:
            assert "written out" in str(refused) or "cases" in str(refused) or "is empty" in str(refused), (
                text,
                refused,
            )
            continue
        assert found == [p for p in POINTS if test({"X_0": p[0], "Y_0": p[1], "Y_1": p[2]}) and -3 <= p[0] <= 3], text
