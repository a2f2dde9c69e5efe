"""From queries in VNN-LIB 2.0 and files to one network: what goes where, boxes, and files that do not fit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from netproof import Settings, verify
from netproof.errors import FormatError, InputError
from netproof.formats.vnnlib.formulas import Bounds
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.boxes import classes, tighten
from netproof.formats.vnnlib.second.read import read_statement
from netproof.formats.vnnlib.second.types import is_number_of, largest_number, rounded
from netproof.query import Verdict
from several_models import many, perceptron


def asked(tmp_path, text, **files):
    path = tmp_path / "query.vnnlib"
    path.write_text(f"(vnnlib-version <2.0>)\n{text}")
    return ask(read_statement(path), files)


def verdict(found):
    return verify(found.property, Settings(timeout=10), network=found.network).verdict


@pytest.fixture
def sums(tmp_path):
    """Inputs ``a`` ``[1,2]`` and ``b`` ``[2]``; ``s = a + 10 b`` and ``d = relu(a - b)``, hidden ``t = 10 b``."""
    nodes = [
        helper.make_node("Mul", ["b", "ten"], ["t"], name="times"),
        helper.make_node("Add", ["a", "t"], ["s"], name="add"),
        helper.make_node("Sub", ["a", "b"], ["m"], name="sub"),
        helper.make_node("Relu", ["m"], ["d"], name="relu"),
    ]
    made = many(nodes, {"a": (1, 2), "b": (2,)}, {"s": (1, 2), "d": (1, 2)}, {"ten": np.array([10.0])})
    path = tmp_path / "sums.onnx"
    path.write_bytes(made.SerializeToString())
    return path


POINT = "".join(
    f"(assert (== {name}[{place}] {value}))"
    for name, place, value in (("A", "0,0", "1.0"), ("A", "0,1", "2.0"), ("B", "0", "0.25"), ("B", "1", "0.5"))
)
BY_ORDER = "(declare-network f (declare-input A real [1,2]) (declare-input B real [2]) {} (declare-output S real [1,2]) (declare-output D real [1,2]))"
BY_NAME = '(declare-network f (declare-input B real [2] "b") (declare-input A real [1,2] "a") {} (declare-output D real [1,2] "d") (declare-output S real [1,2] "s"))'
VALUES = "(assert (and (== S[0,0] 3.5) (== S[0,1] 7.0) (== D[0,0] 0.75) (== D[0,1] 1.5)))"


@pytest.mark.parametrize("declared", [BY_ORDER, BY_NAME])
@pytest.mark.parametrize("hidden", ["", '(declare-hidden T real [2] "t")', '(declare-hidden T real [2] "times")'])
def test_inputs_hidden_values_and_outputs_by_order_and_by_name(tmp_path, sums, declared, hidden):
    extra = "(assert (and (== T[0] 2.5) (== T[1] 5.0)))" if hidden else ""
    found = asked(tmp_path, declared.format(hidden) + POINT + VALUES + extra, f=sums)
    result = verify(found.property, Settings(timeout=10), network=found.network)
    assert result.verdict is Verdict.SAT
    values = found.stated.values(result.witness.numbers, result.witness.output_numbers)
    by_name = {v.name: values[v.first : v.first + v.size] for v in found.stated.statement.variables}
    assert by_name["A"] == [1, 2] and by_name["B"] == [Fraction(1, 4), Fraction(1, 2)]
    assert by_name["S"] == [Fraction(7, 2), 7] and by_name["D"] == [Fraction(3, 4), Fraction(3, 2)]
    for wrong in ("(assert (> S[0,0] 3.5))", "(assert (< D[0,1] 1.5))", "(assert (!= S[0,1] 7.0))"):
        assert verdict(asked(tmp_path, declared.format(hidden) + POINT + wrong, f=sums)) is Verdict.UNSAT


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("(declare-network f (declare-input A real [1,2]) (declare-output S real [1,2]) (declare-output D real [1,2]))", "has 2 inputs, the query declares 1 for f"),
        ("(declare-network f (declare-input A real [1,2]) (declare-input B real [2]) (declare-output S real [1,2]))", "has 2 outputs, the query declares 1"),
        (BY_NAME.format("").replace('"b"', '"c"'), "has no input 'c', which is B"),
        (BY_NAME.format("").replace('"s"', '"t"'), "has no output 't', which is S"),
        (BY_NAME.format("").replace('"s"', '"d"'), "not all of which are one variable"),
        (BY_ORDER.format('(declare-hidden T real [2] "nothing")'), "has no value or node 'nothing', which is T"),
        (BY_ORDER.format('(declare-hidden T real [3] "t")'), "has shape [2], T is declared with [3]"),
        (BY_ORDER.format("").replace("A real [1,2]", "A real [2,2]"), "has shape [1, 2], A is declared with [2, 2]"),
        (BY_ORDER.format("").replace("A real", "A float64"), "is of float32, A is declared as float64"),
        (BY_ORDER.format("").replace("D real", "D int64"), "is of float32, D is declared as int64"),
        (BY_ORDER.format('(declare-hidden T float64 [2] "t")'), "is of float32, T is declared as float64"),
    ],
)  # fmt: skip
def test_files_that_are_not_what_is_declared(tmp_path, sums, declared, words):
    with pytest.raises(FormatError) as caught:
        asked(tmp_path, f"{declared}(assert (>= 1.0 0.0))", f=sums)
    assert words in str(caught.value)


PAIR = "(declare-network f (declare-input X real [1,1]) (declare-output Y real [1,1]))(declare-network g {} (declare-input U real [1,1]) (declare-output V real [1,1]))(assert (>= 1.0 0.0))"


def test_networks_need_their_files_and_no_others(tmp_path):
    file = perceptron(tmp_path / "n.onnx", [([[1.0]], [0.0])])
    for relation, files, words in (
        ("", {"f": file}, "no file is given for network g"),
        ("", {"f": file, "g": file, "h": file}, "'h' is no network of"),
        ("(equal-to f)", {"f": file, "g": file}, "g equals f, whose file it shares"),
        ("(isomorphic-to f)", {"f": file}, "no file is given for network g"),
    ):
        with pytest.raises(InputError) as caught:
            asked(tmp_path, PAIR.format(relation), **files)
        assert words in str(caught.value)
    deeper = perceptron(tmp_path / "m.onnx", [([[1.0]], [0.0]), ([[1.0]], [0.0])])
    with pytest.raises(FormatError, match="has not the architecture of"):
        asked(tmp_path, PAIR.format("(isomorphic-to f)"), f=file, g=deeper)


def test_equal_inputs_are_one_and_boxes_are_implied(tmp_path):
    file = perceptron(tmp_path / "n.onnx", [([[1.0]], [0.0])])
    text = PAIR.format("").replace("(assert (>= 1.0 0.0))", "")
    box = "(assert (and (>= X[0,0] -1.0) (<= X[0,0] 2.0)))"
    same = asked(tmp_path, f"{text}{box}(assert (== U[0,0] X[0,0]))(assert (>= Y[0,0] V[0,0]))", f=file, g=file)
    assert same.network.inputs == 1
    apart = asked(
        tmp_path,
        f"{text}{box}(assert (<= U[0,0] X[0,0]))(assert (>= (* 2.0 U[0,0]) (- X[0,0] 1.0)))(assert (>= Y[0,0] V[0,0]))",
        f=file,
        g=file,
    )
    (part,) = apart.property.parts
    assert (part.box.lower, part.box.upper) == ((-1, -1), (2, 2))
    for left_open in ("(>= U[0,0] X[0,0])", "(or (== U[0,0] X[0,0]) (>= Y[0,0] 5.0))"):
        with pytest.raises(FormatError, match=r"input U\[0,0\] has no (upper|lower) bound"):
            asked(tmp_path, f"{text}{box}(assert {left_open})(assert (>= Y[0,0] V[0,0]))", f=file, g=file)


def test_boxes_that_are_empty_are_an_answer(tmp_path):
    file = perceptron(tmp_path / "n.onnx", [([[1.0]], [0.0])])
    head = "(declare-network f (declare-input X real [1,1]) (declare-output Y real [1,1]))"
    for empty in (
        "(and (>= X[0,0] 1.0) (<= X[0,0] 0.0))",
        "(and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (>= (* 2.0 X[0,0]) 3.0))",
    ):
        assert verdict(asked(tmp_path, f"{head}(assert {empty})", f=file)) is Verdict.UNSAT
    either = "(and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (or (>= X[0,0] 2.0) (>= Y[0,0] 1.0)))"
    assert verdict(asked(tmp_path, f"{head}(assert {either})", f=file)) is Verdict.SAT


def test_an_input_that_nothing_depends_on_needs_no_box(tmp_path, sums):
    head = BY_NAME.format('(declare-hidden T real [2] "t")')
    box = "(assert (and (>= B[0] 0.0) (<= B[0] 1.0) (== B[1] 0.0) (>= T[0] 9.0)))"
    with pytest.raises(FormatError, match=r"input A\[0,0\] has no lower bound"):
        # Outputs are declared, and A is in them; only what is asked about is looked at.
        asked(tmp_path, f"{head}{box}(assert (>= S[0,0] 0.0))", f=sums)


@pytest.mark.parametrize(
    ("condition", "box"),
    [
        ("(or (>= X[0,1] 5.0) (<= X[0,1] -5.0))", ""),
        ("(>= (+ Y[0,0] X[0,1]) 100.0)", ""),
        ("(== (* X[0,1] X[0,1]) 9.0)", "(and (>= X[0,1] -5.0) (<= X[0,1] 5.0))"),
        ("(or (and (>= X[0,1] 5.0) (<= X[0,1] 6.0)) (>= Y[0,0] 2.0))", ""),
    ],
)
@pytest.mark.parametrize("kind", ["real", "float32", "float64"])
def test_an_input_that_no_value_depends_on_may_be_spoken_of(tmp_path, kind, condition, box):
    """That the network leaves it out does not mean that any number of it will do."""
    stored = TensorProto.DOUBLE if kind == "float64" else TensorProto.FLOAT
    nodes = [helper.make_node("Gather", ["a", "first"], ["b"], axis=1), helper.make_node("Relu", ["b"], ["y"])]
    made = many(nodes, {"a": (1, 2)}, {"y": (1, 1)}, {"first": np.array([0])}, kind=stored)
    file = tmp_path / "first.onnx"
    file.write_bytes(made.SerializeToString())
    head = f"(declare-network f (declare-input X {kind} [1,2]) (declare-output Y {kind} [1,1]))"
    text = f"{head}(assert (and (>= X[0,0] 0.0) (<= X[0,0] 1.0) {box} {condition}))"
    if kind == "real" and not box:
        # One of the disjuncts is a box, the others have no end.
        with pytest.raises(FormatError, match=r"input X\[0,1\] has no (lower|upper) bound"):
            asked(tmp_path, text, f=file)
        return
    assert verdict(asked(tmp_path, text, f=file)) is not Verdict.UNSAT


def test_a_function_of_the_file_called_softmax_is_none(tmp_path):
    function = helper.make_function(
        "mine",
        "Softmax",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 13)],
    )
    made = many([helper.make_node("Softmax", ["x"], ["y"], domain="mine")], {"x": (1, 2)}, {"y": (1, 2)}, {})
    made.functions.append(function)
    made.opset_import.append(helper.make_opsetid("mine", 1))
    file = tmp_path / "function.onnx"
    file.write_bytes(made.SerializeToString())
    box = "".join(f"(assert (and (>= X[0,{i}] 0.0) (<= X[0,{i}] 1.0)))" for i in range(2))
    head = "(declare-network f (declare-input X real [1,2]) (declare-output Y real [1,2]))"
    assert verdict(asked(tmp_path, f"{head}{box}(assert (>= Y[0,0] 1.5))", f=file)) is Verdict.SAT


def test_types_and_what_they_have():
    assert rounded("float32", Fraction(1, 10)) == Fraction(float(np.float32(0.1)))
    random = np.random.default_rng(1)
    for scale in (1e-44, 1e-38, 1e-3, 1.0, 1e30, 1e37):
        for value in random.normal(size=20) * scale:
            assert rounded("float32", Fraction(value)) == Fraction(float(np.float32(value)))
            assert rounded("float64", Fraction(value)) == Fraction(value)
    assert rounded("float32", Fraction(10) ** 40) == largest_number("float32")
    assert rounded("float16", Fraction(1, 3)) == Fraction(float(np.float16(1 / 3)))
    assert largest_number("float32") == Fraction(float(np.finfo(np.float32).max))
    assert is_number_of("float32", Fraction(1, 2)) and not is_number_of("float32", Fraction(1, 10))
    assert not is_number_of("float32", Fraction(10) ** 39) and is_number_of("real", Fraction(1, 3))


def test_a_float_input_without_a_box_has_that_of_its_type(tmp_path):
    file = perceptron(tmp_path / "n.onnx", [([[1.0]], [0.0])])
    head = "(declare-network f (declare-input X float32 [1,1]) (declare-output Y float32 [1,1]))"
    found = asked(tmp_path, f"{head}(assert (>= X[0,0] 1.0))(assert (<= Y[0,0] 2.0))", f=file)
    (part,) = found.property.parts
    assert part.box.upper == (largest_number("float32"),)
    for stored, kind in ((TensorProto.FLOAT, "float32"), (TensorProto.DOUBLE, "float64")):
        file = perceptron(tmp_path / f"{kind}.onnx", [([[1.0]], [0.0])], kind=stored)
        found = asked(tmp_path, f"{head.replace('float32', kind)}(assert (>= Y[0,0] 5.0))", f=file)
        assert verdict(found) is Verdict.SAT


def test_classes_and_ends():
    assert classes(6, [(4, 1), (1, 2), (5, 0)]) == [0, 1, 1, 3, 1, 0]
    bounds = Bounds()
    bounds.raise_lower(0, Fraction(0), 0)
    bounds.lower_upper(0, Fraction(1), 0)
    # x1 <= x0, x1 >= 2 x0 - 3, x2 = x1 / 2
    one, half = Fraction(1), Fraction(1, 2)
    rows = [
        (((0, one), (1, -one)), Fraction(0), 0),
        (((0, Fraction(-2)), (1, one)), Fraction(3), 0),
        (((1, half), (2, -one)), Fraction(0), 0),
        (((1, -half), (2, one)), Fraction(0), 0),
    ]
    tighten(rows, bounds)
    assert (bounds.lower[1][0], bounds.upper[1][0]) == (-3, 1)
    assert (bounds.lower[2][0], bounds.upper[2][0]) == (Fraction(-3, 2), half)


def test_the_graph_of_both_is_that_of_each(tmp_path):
    random = np.random.default_rng(3)
    layers = [
        [(random.normal(size=(3, 4)), random.normal(size=4)), (random.normal(size=(4, 2)), random.normal(size=2))]
        for _ in range(2)
    ]
    files = {name: perceptron(tmp_path / f"{name}.onnx", mine) for name, mine in zip("fg", layers, strict=True)}
    head = "".join(
        f"(declare-network {n} (declare-input X{n} real [1,3]) (declare-output Y{n} real [1,2]))" for n in "fg"
    )
    box = "".join(f"(assert (and (>= X{n}[0,{i}] -1.0) (<= X{n}[0,{i}] 1.0)))" for n in "fg" for i in range(3))
    ask_for = "(assert (>= (+ Yf[0,1] Yg[0,0]) Yf[0,0]))"
    found = asked(tmp_path, head + box + ask_for, **files)
    x = torch.from_numpy(random.uniform(-1, 1, (5, 6)))

    def value(mine, points):
        for number, (weight, bias) in enumerate(mine):
            points = points @ weight.astype(np.float32).astype(float) + bias.astype(np.float32).astype(float)
            points = points if number else np.maximum(points, 0)
        return points

    f, g = value(layers[0], x[:, :3].numpy()), value(layers[1], x[:, 3:].numpy())
    for graph in (found.network.graph, found.network.as_stored):
        y = graph.evaluate(x).numpy()
        # What is asked about, in the order of the elements: both outputs of f, the first of g.
        assert np.allclose(y, np.stack([f[:, 0], f[:, 1], g[:, 0]], 1))
