"""Where an operator has no value, or a runtime another one than the real numbers, what comes after may have one again: nothing
may be proved of such inputs as if that were the function's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from netproof.errors import FormatError
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.query import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import model, node, run_onnxruntime, save


def cast(name: str, result: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=to)


def above(name: str) -> list[onnx.NodeProto]:
    return [node("Greater", [name, "c"], ["t"]), cast("t", "y", TensorProto.FLOAT)]


CASES = {
    "root": ([node("Sqrt", ["x"], ["r"]), *above("r")], -0.5),
    "power": ([node("Pow", ["x", "p"], ["r"]), *above("r")], -0.5),
    "power of some": ([node("Concat", ["x", "x"], ["b"], axis=1), node("Pow", ["b", "q"], ["s"]),
                       node("ReduceMin", ["s"], ["r"], axes=[1]), *above("r")], -0.5),
    "root of a difference": ([node("Mul", ["x", "x"], ["s"]), node("Sub", ["s", "d"], ["m"]),
                              node("Sqrt", ["m"], ["r"]), *above("r")], -0.5),
    "int32": ([node("Mul", ["x", "l"], ["m"]), cast("m", "i", TensorProto.INT32), cast("i", "f", TensorProto.FLOAT),
               *above("f")], -4e9),
    "int64": ([node("Mul", ["x", "h"], ["m"]), cast("m", "i", TensorProto.INT64), cast("i", "f", TensorProto.FLOAT),
               *above("f")], -3e19),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_what_has_no_value_is_not_proved(tmp_path: Path, case: str) -> None:
    nodes, limit = CASES[case]
    constants = {
        "c": np.array([limit]), "p": np.array([1.5]), "q": np.array([[0.5, 2.0]]), "d": np.array([5.0]),
        "l": np.array([2e9]), "h": np.array([1e19]),
    }  # fmt: skip
    used = {name for one in nodes for name in one.input}
    path = save(tmp_path / "m.onnx", model(nodes, [1, 1], {k: v for k, v in constants.items() if k in used}))
    asked = tmp_path / "p.vnnlib"
    bounds = "(assert (>= X_0 (- 2.0)))(assert (<= X_0 (- 1.0)))(assert (<= Y_0 0.5))"
    asked.write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real){bounds}")
    points = [np.array([[x]], np.float32) for x in (-2.0, -1.5, -1.0)]
    met = any(float(y[0]) <= 0.5 for y in run_onnxruntime(path.read_bytes(), points))
    result = verify(read_vnnlib(asked), Settings(timeout=5), network=read_onnx(path))
    assert result.verdict in ((Verdict.SAT, Verdict.UNKNOWN) if met else (Verdict.UNSAT, Verdict.UNKNOWN))
    assert met or case in ("int32", "int64")


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Mul", ["x", "x"], ["s"]), node("ReduceSum", ["s"], ["t"]), node("Sqrt", ["t"])],
        [node("Exp", ["x"], ["e"]), node("Mul", ["e", "k"], ["f"]), node("Sqrt", ["f"])],
        [
            node("Relu", ["x"], ["r"]),
            node("Abs", ["x"], ["a"]),
            node("Add", ["r", "a"], ["s"]),
            node("Pow", ["s", "k"]),
        ],
    ],
    ids=["norm", "exponential", "sum"],
)
def test_roots_of_what_is_never_negative_have_bounds_from_zero_on(tmp_path: Path, nodes: list[onnx.NodeProto]) -> None:
    used = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in {"k": np.array([0.5])}.items() if name in used}
    network = read_onnx(save(tmp_path / "m.onnx", model(nodes, [1, 1], constants)))
    asked = tmp_path / "p.vnnlib"
    bounds = "(assert (>= X_0 (- 1.0)))(assert (<= X_0 1.0))(assert (<= Y_0 (- 0.001)))"
    asked.write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real){bounds}")
    assert verify(read_vnnlib(asked), Settings(timeout=60), network=network).verdict is Verdict.UNSAT


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.INT64])
@pytest.mark.parametrize("operator", ["Add", "Sub"])
def test_sums_of_integers_that_may_wrap_around_are_refused(tmp_path: Path, kind: int, operator: str) -> None:
    nodes = [cast("x", "i", kind), node(operator, ["i", "k"], ["j"]), cast("j", "y", TensorProto.FLOAT)]
    most = 2**31 - 1 if kind == TensorProto.INT32 else 2**53 - 1
    constants = {"k": np.array([most], np.int32 if kind == TensorProto.INT32 else np.int64)}
    path = save(tmp_path / "m.onnx", model(nodes, [1, 3], constants))
    with pytest.raises(FormatError, match="runtimes may wrap around"):
        read_onnx(path)


def test_integers_below_the_limit_of_a_cast_are_what_a_runtime_has(tmp_path: Path) -> None:
    nodes = [cast("x", "i", TensorProto.INT32), node("Add", ["i", "i"], ["j"]), cast("j", "y", TensorProto.FLOAT)]
    path = save(tmp_path / "m.onnx", model(nodes, [1, 1]))
    asked = tmp_path / "p.vnnlib"
    bounds = "(assert (>= X_0 1000.5))(assert (<= X_0 2000.5))(assert (<= Y_0 1999.5))"
    asked.write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real){bounds}")
    assert verify(read_vnnlib(asked), Settings(timeout=60), network=read_onnx(path)).verdict is Verdict.UNSAT


POLES = {
    "reciprocal and ReLU": [node("Reciprocal", ["x"], ["r"]), node("Neg", ["r"], ["n"]), node("Relu", ["n"])],
    "reciprocal of a reciprocal": [node("Reciprocal", ["x"], ["r"]), node("Reciprocal", ["r"])],
    "logarithm and ReLU": [node("Log", ["x"], ["r"]), node("Relu", ["r"])],
    "quotient and exponential": [node("Div", ["k", "x"], ["r"]), node("Neg", ["r"], ["n"]), node("Exp", ["n"])],
    "quotient of two": [
        node("Add", ["x", "k"], ["a"]), node("Div", ["a", "x"], ["r"]), node("Neg", ["r"], ["n"]), node("Relu", ["n"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", list(POLES))
def test_where_a_runtime_goes_on_with_an_infinity_is_no_witness(tmp_path: Path, case: str) -> None:
    nodes = POLES[case]
    used = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in {"k": np.array([[1.0]])}.items() if name in used}
    path = save(tmp_path / "m.onnx", model(nodes, [1, 1], constants))
    asked = tmp_path / "p.vnnlib"
    bounds = "(assert (>= X_0 0.0))(assert (<= X_0 0.0))(assert (<= Y_0 0.5))"
    asked.write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real){bounds}")
    (y,) = run_onnxruntime(path.read_bytes(), [np.zeros((1, 1), np.float32)])
    assert y[0] <= 0.5
    result = verify(read_vnnlib(asked), Settings(timeout=5), network=read_onnx(path))
    assert result.verdict is Verdict.UNKNOWN
