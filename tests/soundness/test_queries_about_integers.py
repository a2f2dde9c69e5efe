"""Queries in VNN-LIB 2.0 about networks of integers: every point of the box, computed here."""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from netproof import Settings, verify
from netproof.errors import FormatError, QueryError
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.read import read_statement
from netproof.query import Verdict

WEIGHT = np.array([[3, -2], [-1, 4], [2, 1]], np.int8)
BIAS = np.array([[-4, 5]], np.int32)


@pytest.fixture
def network(tmp_path):
    """``y = x W + b`` of uint8 to int32."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMulInteger", ["x", "w"], ["s"], name="product"),
            helper.make_node("Add", ["s", "b"], ["y"], name="sum"),
        ],
        "integers",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 2])],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path = tmp_path / "integers.onnx"
    path.write_bytes(model.SerializeToString())
    return path


HEAD = "(vnnlib-version <2.0>)(declare-network f (declare-input X {0} [3]) (declare-output Y {1} [1,2]))\n"


def asked(tmp_path, text, network, types=("uint8", "int32")):
    path = tmp_path / "query.vnnlib"
    path.write_text(HEAD.format(*types) + text)
    return ask(read_statement(path), {"f": network})


def test_random_queries_about_integers(tmp_path, network):
    random = Random(3)
    points = np.array(list(itertools.product(range(5), repeat=3)))
    values = points @ WEIGHT.astype(int) + BIAS
    verdicts = []
    for _ in range(40):
        tests, parts = [], []
        for _ in range(random.randint(1, 3)):
            a, b, t = random.choice((-2, -1, 1, 2)), random.choice((-1, 0, 1)), random.randint(-25, 25)
            head = random.choice((">=", ">", "<=", "<", "==", "!="))
            parts.append(f"({head} (+ (* {a} Y[0,0]) (* {b} Y[0,1])) {t})")
            left = a * values[:, 0] + b * values[:, 1]
            tests.append(
                {">=": left >= t, ">": left > t, "<=": left <= t, "<": left < t, "==": left == t, "!=": left != t}[head]
            )
        either = random.random() < 0.5
        low = [random.randint(0, 2) for _ in range(3)]
        box = "".join(f"(assert (and (>= X[{i}] {v}) (< X[{i}] 5)))" for i, v in enumerate(low))
        found = asked(tmp_path, f"{box}(assert ({'or' if either else 'and'} {' '.join(parts)}))", network)
        result = verify(found.property, Settings(timeout=20), network=found.network)
        inside = (points >= low).all(1)
        expected = bool((inside & (np.any if either else np.all)(tests, axis=0)).any())
        assert result.verdict is (Verdict.SAT if expected else Verdict.UNSAT)
        verdicts.append(result.verdict)
        if expected:
            x, y = result.witness.numbers, result.witness.output_numbers
            assert found.stated.holds(x, y)
            assert [int(v) for v in y] == (np.array([int(v) for v in x]) @ WEIGHT.astype(int) + BIAS[0]).tolist()
            assert all(isinstance(v, Fraction) for v in x)
    assert {Verdict.SAT, Verdict.UNSAT} <= set(verdicts)


def test_without_a_box_an_input_has_its_type(tmp_path, network):
    found = asked(tmp_path, "(assert (>= Y[0,0] 1271))", network)
    assert verify(found.property, Settings(timeout=120), network=found.network).verdict is Verdict.SAT  # 5 * 255 - 4
    found = asked(tmp_path, "(assert (>= Y[0,0] 1272))", network)
    assert verify(found.property, Settings(timeout=120), network=found.network).verdict is Verdict.UNSAT


def test_what_cannot_be_asked(tmp_path, network):
    for types, words in (
        (("int8", "int32"), "is of uint8, X is declared as int8"),
        (("uint8", "int64"), "is of int32, Y is declared as int64"),
        (("uint16", "int32"), "no answer of netproof is sound"),
    ):
        with pytest.raises(FormatError, match=words):
            asked(tmp_path, "(assert (>= Y[0,0] 1))", network, types)
    with pytest.raises(FormatError, match="multiplies integers"):
        asked(tmp_path, "(assert (>= (* Y[0,0] Y[0,1]) 1))", network)
    found = asked(tmp_path, "(assert (and (>= Y[0,0] 1) (>= Y[0,1] 1)))", network)
    assert found.stored == {"X": TensorProto.UINT8, "Y": TensorProto.INT32}
    path = tmp_path / "mixed.vnnlib"
    path.write_text(HEAD.format("uint8", "uint8") + "(assert (>= X[0] Y[0,0]))")
    with pytest.raises(FormatError, match="is of int32, Y is declared as uint8"):
        ask(read_statement(path), {"f": network})
    relation = asked(tmp_path, "(assert (>= X[0] X[1]))(assert (>= Y[0,0] 1))", network)
    with pytest.raises(QueryError, match="speaks of the input"):
        verify(relation.property, Settings(timeout=5), network=relation.network)
