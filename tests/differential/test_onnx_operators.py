"""Every ONNX operator that is known, evaluated here and by onnxruntime on the same models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from netproof.formats.onnx.nodes.table import OPERATORS
from netproof.formats.onnx.read import read_onnx
from onnx_models import assert_agrees, model, node, random_inputs, save

RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return RANDOM.normal(size=shape).astype(np.float32).astype(np.float64)


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


def conv(*weight: int, groups: int = 1, bias: bool = True, opset: int = 13, **attributes: Any) -> tuple[Any, ...]:
    constants = {"w": floats(*weight), "b": floats(weight[0])}
    if not bias:
        del constants["b"]
    return [node("Conv", ["x", *constants], group=groups, **attributes)], constants, opset


def transposed(*weight: int, groups: int = 1, bias: bool = True, opset: int = 13, **attributes: Any) -> tuple[Any, ...]:
    constants = {"w": floats(*weight), "b": floats(weight[1] * groups)}
    if not bias:
        del constants["b"]
    return [node("ConvTranspose", ["x", *constants], group=groups, **attributes)], constants, opset


def one(operator: str, constants: dict[str, Any] | None = None, opset: int = 13, **attributes: Any) -> tuple[Any, ...]:
    return [node(operator, ["x", *(constants or {})], **attributes)], constants or {}, opset


IMAGE = (1, 4, 7, 6)


def picked(operator: str, *integers: int, opset: int = 13, **attributes: Any) -> tuple[Any, ...]:
    """Entries chosen by the result of integer arithmetic."""
    constants = {name: ints(value) for name, value in zip("pq", integers, strict=True)}
    return [node(operator, ["p", "q"], ["i"], **attributes), node("Gather", ["x", "i"], axis=1)], constants, opset


def sliced(start: int, end: int, step: int) -> tuple[Any, ...]:
    constants = {"s": ints(start), "e": ints(end), "a": ints(1), "t": ints(step)}
    return [node("Slice", ["x", *constants])], constants, 13


def two(*nodes: Any, opset: int = 13, **constants: Any) -> tuple[Any, ...]:
    return list(nodes), constants, opset


def gate(*nodes: tuple[str, list[str]], **constants: Any) -> tuple[Any, ...]:
    """A chain of nodes, each with a name of its own for its result; the last one gives ``y``."""
    made = [node(kind, inputs, [f"t{i}" if i < len(nodes) - 1 else "y"]) for i, (kind, inputs) in enumerate(nodes)]
    return made, {name: np.array(value) for name, value in constants.items()}, 13


def gelu_by_tanh(*cube: tuple[str, list[str]], sigmoid: bool = False) -> tuple[Any, ...]:
    """``x/2 (1 + tanh(k (x + c x^3)))`` in the nodes of an exporter, or ``x sigmoid(2k (x + c x^3))``; its cube is given."""
    at = len(cube)
    argument = [("Mul", ["c", f"t{at - 1}"]), ("Add", ["x", f"t{at}"]), ("Mul", [f"t{at + 1}", "k"])]
    if sigmoid:
        end = [("Sigmoid", [f"t{at + 2}"]), ("Mul", ["x", f"t{at + 3}"])]
    else:
        end = [
            ("Tanh", [f"t{at + 2}"]),
            ("Add", [f"t{at + 3}", "o"]),
            ("Mul", ["x", "h"]),
            ("Mul", [f"t{at + 5}", f"t{at + 4}"]),
        ]
    return gate(*cube, *argument, *end, c=0.044715, k=0.7978845608 * (2 if sigmoid else 1), o=1.0, h=0.5, p=3.0)


def resized(
    mode: str, scales: tuple[float, ...] = (), sizes: tuple[int, ...] = (), opset: int = 13, **attributes: Any
) -> tuple[Any, ...]:
    if opset < 11:
        return [node("Resize", ["x", "s"], mode=mode)], {"s": np.array(scales)}, opset
    inputs = ["x", "", "s"] if scales else ["x", "", "", "s"]
    constants = {"s": np.array(scales) if scales else ints(*sizes)}
    return [node("Resize", inputs, mode=mode, **attributes)], constants, opset


def einsum(equation: str, *weight: int, opset: int = 13) -> tuple[Any, ...]:
    constants = {"w": floats(*weight)} if weight else {}
    return [node("Einsum", ["x", *constants], equation=equation)], constants, opset


def compared(kind: str, opset: int = 16) -> tuple[Any, ...]:
    return two(node(kind, ["x", "c"], ["b"]), node("Where", ["b", "x", "d"]), c=floats(1, 9), d=floats(9), opset=opset)


def norm(kind: str, *shape: int, opset: int = 21, bias: bool = True, **attributes: Any) -> tuple[Any, ...]:
    constants = {"s": floats(*shape), "b": floats(*shape)}
    if not bias:
        del constants["b"]
    return [node(kind, ["x", *constants], **attributes)], constants, opset


def truth(*chain: Any) -> tuple[Any, ...]:
    """Two comparisons, what is made of them, and a value that is chosen by it."""
    first, second = node("Greater", ["x", "c"], ["a"]), node("Less", ["x", "d"], ["b"])
    nodes = [first, second, *chain, node("Where", ["t", "x", "c"])]
    return nodes, {"c": floats(1, 9) * 0.3, "d": floats(1, 9)}, 16


CASES: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    # curves
    **{
        kind.lower(): ((1, 9), one(kind, opset=22))
        for kind in (
            "Exp",
            "Sin",
            "Cos",
            "Softplus",
            "Elu",
            "Selu",
            "Celu",
            "Erf",
            "Softsign",
            "HardSwish",
            "Mish",
            "Atan",
            "Gelu",
        )
    },
    "elu-alpha": ((1, 9), one("Elu", alpha=0.3)),
    "selu-parts": ((1, 9), one("Selu", alpha=0.3, gamma=1.5)),
    "celu-alpha": ((1, 9), one("Celu", alpha=0.4)),
    "elu-opset7": ((1, 9), one("Elu", opset=7)),
    "swish": ((1, 9), one("Swish", opset=24, alpha=1.5)),
    "log": ((1, 9), two(node("Exp", ["x"], ["e"]), node("Log", ["e"]))),
    "sqrt": ((1, 9), two(node("Mul", ["x", "x"], ["q"]), node("Sqrt", ["q"]))),
    "sqrt-constant": (
        (1, 9),
        two(node("Sqrt", ["c"], ["r"]), node("Mul", ["x", "r"]), c=np.array([4.0, 2.0, 0.0] * 3)),
    ),
    "reciprocal": ((1, 9), two(node("Exp", ["x"], ["e"]), node("Reciprocal", ["e"]))),
    **{f"pow-{p}": ((1, 9), two(node("Pow", ["x", "p"]), p=np.array(p))) for p in (2.0, 3.0, 1.0, 4.0)},
    **{
        f"pow-{p}": ((1, 9), two(node("Exp", ["x"], ["e"]), node("Pow", ["e", "p"]), p=np.array([p])))
        for p in (-1.0, -2.0, -0.5, 0.5, 1.5)
    },
    "pow-of-a-row-by-a-column": ((1, 3), two(node("Pow", ["x", "p"]), p=np.array([[2.0], [3.0], [2.0]]))),
    "pow-of-a-column-by-a-row": ((2, 1), two(node("Pow", ["x", "p"]), p=np.array([[3.0, 2.0]]))),
    "pow-by-equal-ones": ((1, 3), two(node("Pow", ["x", "p"]), p=np.full((3, 1), 2.0))),
    "pow-of-fewer-axes": ((3,), two(node("Pow", ["x", "p"]), p=np.full((1, 1), 2.0))),
    "pow-integer": ((1, 9), two(node("Pow", ["x", "p"]), p=ints(2))),
    # gates, as exporters write them
    "gelu-parts": (
        (1, 9),
        gate(
            ("Div", ["x", "w"]),
            ("Erf", ["t0"]),
            ("Add", ["t1", "o"]),
            ("Mul", ["x", "t2"]),
            ("Mul", ["t3", "h"]),
            w=2.0**0.5,
            o=1.0,
            h=0.5,
        ),
    ),
    "gelu-other": (
        (1, 9),
        gate(
            ("Mul", ["x", "w"]),
            ("Erf", ["t0"]),
            ("Add", ["o", "t1"]),
            ("Mul", ["x", "h"]),
            ("Mul", ["t3", "t2"]),
            w=0.5**0.5,
            o=1.0,
            h=0.5,
        ),
    ),
    "gelu-tanh-pow": ((1, 9), gelu_by_tanh(("Pow", ["x", "p"]))),
    "gelu-tanh-products": ((1, 9), gelu_by_tanh(("Mul", ["x", "x"]), ("Mul", ["x", "t0"]))),
    "gelu-sigmoid": ((1, 9), gelu_by_tanh(("Pow", ["x", "p"]), sigmoid=True)),
    "gelu-tanh-fast": (
        (1, 9),
        gate(
            ("Mul", ["c", "x"]),
            ("Mul", ["t0", "x"]),
            ("Add", ["t1", "o"]),
            ("Mul", ["x", "k"]),
            ("Mul", ["t3", "t2"]),
            ("Tanh", ["t4"]),
            ("Add", ["o", "t5"]),
            ("Mul", ["x", "h"]),
            ("Mul", ["t7", "t6"]),
            c=0.044715,
            k=0.7978845608,
            o=1.0,
            h=0.5,
        ),
    ),
    "square-of-multiples": ((1, 9), gate(("Mul", ["x", "h"]), ("Mul", ["x", "t0"]), ("Mul", ["t0", "t1"]), h=-0.3)),
    "square-shifted": ((1, 9), gate(("Add", ["x", "h"]), ("Mul", ["x", "t0"]), ("Mul", ["t1", "t0"]), h=-0.3)),
    "gelu-tanh-other": (
        (1, 9),
        gate(
            ("Pow", ["x", "p"]),
            ("Sub", ["x", "t0"]),
            ("Tanh", ["t1"]),
            ("Add", ["t2", "o"]),
            ("Mul", ["t3", "x"]),
            p=3.0,
            o=1.0,
        ),
    ),
    "gelu-tanh": ((1, 9), one("Gelu", opset=20, approximate="tanh")),
    "silu-parts": ((1, 9), gate(("Sigmoid", ["x"]), ("Mul", ["t0", "x"]))),
    "swish-parts": ((1, 9), gate(("Mul", ["x", "r"]), ("Sigmoid", ["t0"]), ("Mul", ["x", "t1"]), r=1.7)),
    "mish-parts": ((1, 9), gate(("Softplus", ["x"]), ("Tanh", ["t0"]), ("Mul", ["x", "t1"]))),
    "softsign-parts": ((1, 9), gate(("Abs", ["x"]), ("Add", ["t0", "o"]), ("Div", ["x", "t1"]), o=1.0)),
    "hardswish-parts": ((1, 9), gate(("HardSigmoid", ["x"]), ("Mul", ["x", "t0"]))),
    "cube-parts": ((1, 9), gate(("Mul", ["x", "x"]), ("Mul", ["t0", "x"]))),
    "gelu-shifted": (
        (1, 9),
        gate(("Mul", ["x", "w"]), ("Erf", ["t0"]), ("Add", ["o", "t1"]), ("Mul", ["x", "t2"]), w=0.7, o=1.5),
    ),
    # masks of attention
    "mask-of-rows": (
        (2, 3),
        two(
            node("Add", ["x", "m"], ["a"]),
            node("Softmax", ["a"], ["s"]),
            node("IsNaN", ["s"], ["n"]),
            node("Where", ["n", "z", "s"]),
            m=np.array([0.0, -np.inf, 1.0]),
            z=np.array(0.0),
        ),
    ),
    "root-of-a-constant-is-a-number": (
        (2, 3),
        two(
            node("Sqrt", ["c"], ["r"]),
            node("Mul", ["x", "r"], ["s"]),
            node("IsNaN", ["s"], ["n"]),
            node("Where", ["n", "c", "s"]),
            c=np.array(0.3),
        ),
    ),
    "mask-added": (
        (2, 4, 4),
        two(
            node("Add", ["m", "x"], ["a"]),
            node("Softmax", ["a"], ["s"]),
            node("MatMul", ["s", "x"]),
            m=np.where(np.tri(4) > 0, 0.0, -np.inf),
        ),
    ),
    "mask-scaled": (
        (3, 4),
        two(
            node("Mul", ["m", "b"], ["n"]),
            node("Add", ["x", "n"], ["a"]),
            node("Softmax", ["a"], ["s"], axis=0),
            node("Mul", ["s", "x"]),
            m=np.where(np.arange(12).reshape(3, 4) % 5 == 1, -np.inf, 0.0),
            b=np.array(0.5),
        ),
    ),
    "mask-chosen": (
        (3, 4),
        two(
            node("Where", ["c", "m", "x"], ["a"]),
            node("Softmax", ["a"]),
            m=np.array([1.0, -np.inf, -np.inf, 2.0]),
            c=np.array([[True, False, True, True]]),
        ),
    ),
    "mask-chosen-opset11": (
        (2, 2, 3),
        two(
            node("Where", ["c", "x", "m"], ["a"]),
            node("Softmax", ["a"], axis=1),
            m=np.array(-np.inf),
            c=np.array([[True, False, True], [False, True, True]]),
            opset=11,
        ),
    ),
    # products
    "mul-values": ((2, 3), two(node("Sin", ["x"], ["s"]), node("Mul", ["x", "s"]))),
    "mul-broadcast": ((2, 3), two(node("ReduceSum", ["x", "a"], ["s"]), node("Mul", ["s", "x"]), a=ints(0))),
    "square": ((2, 3), two(node("Mul", ["x", "x"]))),
    "matmul-values": ((2, 3, 3), two(node("MatMul", ["x", "x"]))),
    "matmul-values-broadcast": (
        (2, 3, 4),
        two(
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("Slice", ["t", "s", "e"], ["u"]),
            node("MatMul", ["x", "u"]),
            s=ints(0),
            e=ints(1),
        ),
    ),
    "matmul-values-vectors": ((3,), two(node("Relu", ["x"], ["r"]), node("MatMul", ["x", "r"]))),
    "matmul-values-column": (
        (3, 3),
        two(node("ReduceSum", ["x", "a"], ["r"], keepdims=0), node("MatMul", ["x", "r"]), a=ints(0)),
    ),
    "matmul-values-row": (
        (3, 3),
        two(node("ReduceSum", ["x", "a"], ["r"], keepdims=0), node("MatMul", ["r", "x"]), a=ints(0)),
    ),
    "matmul-constants": (
        (1, 3),
        two(node("MatMul", ["u", "w"], ["c"]), node("Add", ["x", "c"]), u=floats(2), w=floats(2, 3)),
    ),
    "gemm-values": ((3, 3), two(node("Gemm", ["x", "x", "c"], alpha=0.5, transB=1), c=floats(3))),
    "gemm-constants": (
        (1, 3),
        two(node("Gemm", ["u", "w"], ["c"]), node("Add", ["x", "c"]), u=floats(1, 2), w=floats(2, 3)),
    ),
    "div-values": ((1, 5), two(node("Exp", ["x"], ["e"]), node("Div", ["x", "e"]))),
    "div-into": ((1, 5), two(node("Exp", ["x"], ["e"]), node("Div", ["c", "e"]), c=floats(5))),
    "div-constants": (
        (1, 5),
        two(node("Div", ["c", "d"], ["q"]), node("Mul", ["x", "q"]), c=floats(5), d=floats(5) + 3),
    ),
    "add-constants": (
        (1, 5),
        two(node("Add", ["c", "d"], ["q"]), node("Mul", ["x", "q"]), c=floats(5), d=floats(5) * 1e-4),
    ),
    "sum-constants": ((1, 5), two(node("ReduceSum", ["c"], ["q"]), node("Mul", ["x", "q"]), c=floats(5))),
    "einsum": ((2, 3, 4), einsum("bij,kj->bik", 5, 4)),
    "einsum-batch": ((2, 3, 4), einsum("bij,bjk->bki", 2, 4, 5)),
    "einsum-sum": ((2, 3, 4), einsum("bij,bk->jk", 2, 5)),
    "einsum-implicit": ((2, 3, 4), einsum("bij,jk", 4, 5)),
    "einsum-one": ((2, 3, 4), einsum("bij->jb")),
    "einsum-values": ((2, 3, 3), two(node("Einsum", ["x", "x"], equation="bij,bjk->bik"))),
    "cumsum": ((2, 4), one("CumSum", {"a": np.array(1)})),
    "cumsum-reverse": ((2, 4), one("CumSum", {"a": np.array(-2)}, reverse=1, exclusive=1)),
    "trilu": ((2, 4, 3), one("Trilu", {"k": np.array(1)}, opset=14)),
    "trilu-lower": ((4, 3), one("Trilu", upper=0, opset=14)),
    # pieces
    "max-values": ((2, 3), two(node("Neg", ["x"], ["n"]), node("Max", ["x", "n", "c"]), c=floats(3))),
    "max-one": ((2, 3), one("Max")),
    "max-constant": ((2, 3), one("Max", {"c": np.array(0.25)})),
    "max-zero": ((2, 3), one("Max", {"c": np.array(0.0)})),
    "max-nothing": ((2, 3), one("Max", {"c": np.array(-np.inf)})),
    "max-broadcast": ((2, 1), one("Max", {"c": floats(3)})),
    "min-values": ((2, 3), two(node("Neg", ["x"], ["n"]), node("Min", ["c", "x", "n"]), c=floats(2, 1))),
    "min-constant": ((2, 3), one("Min", {"c": np.array(0.25)}, opset=8)),
    "max-constants": ((2, 3), two(node("Max", ["c", "d"], ["m"]), node("Add", ["x", "m"]), c=floats(3), d=floats(3))),
    "prelu": ((2, 3), one("PRelu", {"s": np.array(0.3)})),
    "prelu-channels": (IMAGE, one("PRelu", {"s": floats(4, 1, 1)}, opset=9)),
    "hardsigmoid": ((1, 9), one("HardSigmoid", alpha=0.4, beta=0.3)),
    "thresholdedrelu": ((1, 9), one("ThresholdedRelu", alpha=0.4)),
    "sign": ((1, 9), one("Sign")),
    "sign-constant": ((1, 9), two(node("Sign", ["c"], ["s"]), node("Mul", ["x", "s"]), c=floats(9))),
    "floor": ((1, 9), two(node("Mul", ["x", "c"], ["z"]), node("Floor", ["z"]), c=np.array(3.0))),
    "ceil": ((1, 9), two(node("Mul", ["x", "c"], ["z"]), node("Ceil", ["z"]), c=np.array(3.0))),
    "floor-constant": (
        (1, 9),
        two(
            node("Floor", ["c"], ["z"]),
            node("Ceil", ["c"], ["w"]),
            node("Mul", ["x", "z"], ["u"]),
            node("Add", ["u", "w"]),
            c=3 * floats(9),
        ),
    ),
    "reducemax": (IMAGE, one("ReduceMax", axes=[2, 3], keepdims=0)),
    "reducemax-opset18": (IMAGE, one("ReduceMax", {"a": ints(-1, 1)}, opset=18)),
    "reducemax-all": ((2, 3), one("ReduceMax")),
    "reducemax-constant": ((2, 3), two(node("ReduceMax", ["c"], ["m"]), node("Add", ["x", "m"]), c=floats(3))),
    "reducemax-noop": ((2, 3), one("ReduceMax", {"a": ints()}, opset=18, noop_with_empty_axes=1)),
    "reducemin": (IMAGE, one("ReduceMin", axes=[1])),
    # comparisons
    **{kind.lower(): ((1, 9), compared(kind)) for kind in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual")},
    "and": ((1, 9), truth(node("And", ["a", "b"], ["t"]))),
    "or": ((1, 9), truth(node("Or", ["a", "b"], ["t"]))),
    "not": ((1, 9), truth(node("Not", ["a"], ["n"]), node("Or", ["n", "b"], ["t"]))),
    "where-constant": ((2, 3), two(node("Where", ["m", "x", "c"]), m=np.array([[True, False, True]]), c=floats(3))),
    "where-values": (
        (2, 3),
        two(node("Neg", ["x"], ["n"]), node("Where", ["m", "x", "n"]), m=np.array([[True, False, True]])),
    ),
    "where-constants": (
        (1, 9),
        two(node("Less", ["x", "c"], ["b"]), node("Where", ["b", "c", "d"]), c=floats(9), d=np.array(0.5)),
    ),
    "cast-truth": ((1, 9), two(node("Less", ["x", "c"], ["b"]), node("Cast", ["b"], to=1), c=floats(9))),
    # normalizations
    "softmax-rows": ((2, 4), one("Softmax")),
    "softmax-axis": ((2, 4, 3), one("Softmax", axis=1)),
    "softmax-opset9": ((2, 4, 3), one("Softmax", axis=1, opset=9)),
    "softmax-one": ((4, 1), one("Softmax")),
    "logsoftmax-rows": ((2, 4), one("LogSoftmax")),
    "softmax-inside": ((1, 4), two(node("Softmax", ["x"], ["s"]), node("MatMul", ["s", "w"]), w=floats(4, 3))),
    "attention": (
        (1, 3, 4),
        two(
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["x", "t"], ["q"]),
            node("Softmax", ["q"], ["p"]),
            node("MatMul", ["p", "x"]),
        ),
    ),
    "layernorm": ((2, 3, 4), norm("LayerNormalization", 4)),
    "layernorm-axis": ((2, 3, 4), norm("LayerNormalization", 3, 4, axis=1, epsilon=0.1)),
    "layernorm-no-bias": ((2, 3, 4), norm("LayerNormalization", 4, bias=False)),
    "rmsnorm": ((2, 3, 4), norm("RMSNormalization", 4, bias=False, opset=23)),
    "instancenorm": (IMAGE, norm("InstanceNormalization", 4)),
    "groupnorm": (IMAGE, norm("GroupNormalization", 4, num_groups=2)),
    "groupnorm-opset18": (IMAGE, norm("GroupNormalization", 2, num_groups=2, opset=18)),
    "lpnorm": ((2, 4), one("LpNormalization", axis=1)),
    "lpnorm-1": ((2, 4), one("LpNormalization", axis=0, p=1)),
    "reducel1": ((2, 4), one("ReduceL1", axes=[1])),
    "reducel2": ((2, 4), one("ReduceL2", {"a": ints(1)}, opset=18)),
    "reducesumsquare": ((2, 4), one("ReduceSumSquare")),
    # resizing
    "resize-nearest": (IMAGE, resized("nearest", (1.0, 1.0, 2.0, 3.0))),
    **{
        f"resize-nearest-{rule}": (IMAGE, resized("nearest", (1.0, 1.0, 1.5, 0.55), nearest_mode=rule))
        for rule in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    },
    **{
        f"resize-{where}": (IMAGE, resized("linear", (1, 1, 1.7, 0.6), coordinate_transformation_mode=where))
        for where in ("half_pixel", "pytorch_half_pixel", "asymmetric")
    },
    # Of whole lengths: of others, ONNX and runtimes differ.
    "resize-align_corners": (
        IMAGE,
        resized("linear", (1, 1, 12 / 7, 0.5), coordinate_transformation_mode="align_corners"),
    ),
    "resize-sizes": (IMAGE, resized("linear", sizes=(1, 4, 3, 11))),
    "resize-sizes-nearest": (
        IMAGE,
        resized("nearest", sizes=(1, 4, 3, 11), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ),
    "resize-to-one": (
        IMAGE,
        resized("linear", sizes=(1, 4, 1, 1), coordinate_transformation_mode="pytorch_half_pixel"),
    ),
    "resize-opset10": (IMAGE, resized("linear", (1.0, 1.0, 2.0, 2.0), opset=10)),
    "resize-axes": (IMAGE, resized("linear", (2.0, 2.0), opset=18, axes=[2, 3])),
    "upsample": (IMAGE, one("Upsample", {"s": np.array([1.0, 1.0, 2.0, 3.0])}, opset=9)),
    "upsample-linear": (IMAGE, one("Upsample", {"s": np.array([1.0, 1.0, 2.0, 1.5])}, opset=9, mode="linear")),
    "upsample-opset7": (IMAGE, one("Upsample", opset=7, scales=[1.0, 1.0, 2.0, 2.0])),
    "depthtospace": (IMAGE, one("DepthToSpace", blocksize=2)),
    "depthtospace-crd": (IMAGE, one("DepthToSpace", blocksize=2, mode="CRD")),
    "spacetodepth": ((1, 3, 4, 6), one("SpaceToDepth", blocksize=2)),
    # integers
    **{
        f"{operator}-{p}-{q}{'-fmod' * fmod}": ((1, 5), picked(operator, p, q, **({"fmod": 1} if fmod else {})))
        for operator, fmod in (("Mod", 0), ("Mod", 1), ("Div", 0))
        for p, q in ((7, 3), (-7, 3), (7, -3), (-7, -3))
    },
    **{
        f"slice-{start}-{end}-{step}": ((1, 5), sliced(start, end, step))
        for start, end, step in (
            (-100, -200, -1),
            (100, -100, -1),
            (2, -100, -2),
            (-1, -(2**63), -2),
            (1, 2**63 - 1, 2),
            (-100, 3, 1),
            (4, 0, -1),
            (0, -9, -1),
            (-2, -1, 1),
        )
    },
    # linear
    "gemm": ((1, 5), one("Gemm", {"w": floats(5, 3), "c": floats(3)})),
    "gemm-transposed": ((1, 5), one("Gemm", {"w": floats(3, 5), "c": floats(1, 3)}, transB=1, alpha=0.7, beta=1.3)),
    "gemm-rows": ((4, 5), one("Gemm", {"w": floats(5, 3), "c": floats(4, 1)})),
    "gemm-transA": ((5, 4), one("Gemm", {"w": floats(5, 3)}, transA=1)),
    "gemm-left": ((5, 4), ([node("Gemm", ["w", "x", "c"], transA=1)], {"w": floats(5, 3), "c": floats(3, 4)}, 13)),
    "matmul": ((1, 5), one("MatMul", {"w": floats(5, 3)})),
    "matmul-vector": ((5,), one("MatMul", {"w": floats(5, 3)})),
    "matmul-column": ((2, 5), one("MatMul", {"w": floats(5)})),
    "matmul-dot": ((5,), one("MatMul", {"w": floats(5)})),
    "matmul-rows": ((2, 3, 5), one("MatMul", {"w": floats(5, 4)})),
    "matmul-batch": ((2, 3, 5), one("MatMul", {"w": floats(2, 5, 4)})),
    "matmul-broadcast": ((3, 5), one("MatMul", {"w": floats(2, 5, 4)})),
    "matmul-both": ((2, 1, 3, 5), one("MatMul", {"w": floats(3, 5, 4)})),
    "matmul-left": ((2, 5, 3), ([node("MatMul", ["w", "x"])], {"w": floats(4, 5)}, 13)),
    "matmul-left-vector": ((5,), ([node("MatMul", ["w", "x"])], {"w": floats(4, 5)}, 13)),
    "matmul-row-left": ((5, 3), ([node("MatMul", ["w", "x"])], {"w": floats(5)}, 13)),
    "matmul-left-batch": ((5, 3), ([node("MatMul", ["w", "x"])], {"w": floats(2, 4, 5)}, 13)),
    # convolution
    "conv": (IMAGE, conv(3, 4, 3, 3)),
    "conv-padded": (IMAGE, conv(3, 4, 3, 3, pads=[1, 1, 1, 1], strides=[2, 2])),
    "conv-uneven": (IMAGE, conv(3, 4, 3, 2, pads=[0, 1, 2, 0], strides=[2, 3])),
    "conv-dilated": (IMAGE, conv(3, 4, 2, 3, dilations=[3, 2], pads=[1, 2, 1, 2])),
    "conv-grouped": (IMAGE, conv(6, 2, 3, 3, groups=2)),
    "conv-depthwise": (IMAGE, conv(4, 1, 3, 3, groups=4, pads=[1, 1, 1, 1])),
    "conv-no-bias": (IMAGE, conv(3, 4, 1, 1, bias=False)),
    "conv-same-upper": (IMAGE, conv(3, 4, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2])),
    "conv-same-lower": (IMAGE, conv(3, 4, 4, 3, auto_pad="SAME_LOWER", strides=[3, 2])),
    "conv-valid": (IMAGE, conv(3, 4, 4, 3, auto_pad="VALID")),
    "conv-samples": ((3, 2, 5, 5), conv(3, 2, 3, 3)),
    "conv-1d": ((1, 3, 9), conv(4, 3, 3, pads=[1, 0], strides=[2])),
    "conv-3d": ((1, 2, 4, 5, 4), conv(3, 2, 2, 3, 2, pads=[1, 0, 0, 1, 0, 0])),
    "conv-opset8": (IMAGE, conv(3, 4, 3, 3, opset=8)),
    "transposed": (IMAGE, transposed(4, 3, 3, 3)),
    "transposed-strided": (IMAGE, transposed(4, 3, 3, 2, strides=[2, 3], pads=[1, 0, 2, 1])),
    "transposed-gaps": (IMAGE, transposed(4, 2, 1, 2, strides=[3, 4], output_padding=[2, 1])),
    "transposed-dilated": (IMAGE, transposed(4, 3, 2, 3, dilations=[3, 2], strides=[2, 1], output_padding=[1, 0])),
    "transposed-grouped": (IMAGE, transposed(4, 3, 3, 3, groups=2, strides=[2, 2], pads=[1, 1, 1, 1])),
    "transposed-no-bias": (IMAGE, transposed(4, 3, 2, 2, bias=False)),
    "transposed-same-upper": (IMAGE, transposed(4, 3, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2])),
    "transposed-same-lower": (IMAGE, transposed(4, 3, 4, 3, auto_pad="SAME_LOWER", strides=[2, 2])),
    "transposed-valid": (IMAGE, transposed(4, 3, 4, 3, auto_pad="VALID")),
    "transposed-shape": (IMAGE, transposed(4, 3, 4, 3, output_shape=[12, 13], strides=[2, 2])),
    "transposed-shape-upper": (
        IMAGE,
        transposed(4, 3, 4, 4, output_shape=[13, 13], strides=[2, 2], auto_pad="SAME_UPPER"),
    ),
    "transposed-samples": ((3, 2, 4, 4), transposed(2, 3, 3, 3)),
    "transposed-1d": ((1, 3, 5), transposed(3, 4, 3, pads=[1, 0], strides=[2])),
    "transposed-3d": ((1, 2, 3, 2, 3), transposed(2, 3, 2, 3, 2, pads=[1, 0, 0, 1, 0, 0], strides=[1, 2, 2])),
    "transposed-opset8": (IMAGE, transposed(4, 3, 3, 3, opset=8, strides=[2, 2], output_shape=[15, 11])),
    "transposed-opset8-same": (IMAGE, transposed(4, 3, 2, 3, opset=8, auto_pad="SAME_UPPER")),
    # elementwise with constants
    "add": (IMAGE, one("Add", {"c": floats(4, 1, 1)})),
    "add-grown": ((1, 3), one("Add", {"c": floats(2, 1)})),
    "sub": ((1, 5), one("Sub", {"c": floats(5)})),
    "sub-from": ((1, 5), ([node("Sub", ["c", "x"])], {"c": floats(5)}, 13)),
    "mul": (IMAGE, one("Mul", {"c": floats(1, 4, 1, 1)})),
    "mul-last-axis": ((2, 3, 4), ([node("Mul", ["c", "x"])], {"c": floats(4)}, 13)),
    "mul-scalar": ((2, 3), one("Mul", {"c": np.array(0.3)})),
    "div": (IMAGE, one("Div", {"c": floats(4, 1, 1) + 3})),
    "neg": ((1, 5), one("Neg")),
    "mean-of-three": ((1, 5), ([node("Mean", ["x", "c", "x"])], {"c": floats(5)}, 13)),
    "sum": ((1, 5), ([node("Sum", ["x", "c", "x"])], {"c": floats(5)}, 13)),
    "batchnorm": (
        IMAGE,
        one("BatchNormalization", {"g": floats(4), "b": floats(4), "m": floats(4), "v": floats(4) ** 2}, opset=15),
    ),
    "batchnorm-opset8": (
        (1, 4),
        one("BatchNormalization", {"g": floats(4), "b": floats(4), "m": floats(4), "v": floats(4) ** 2}, opset=8),
    ),
    # activations
    "abs": ((1, 9), one("Abs")),
    "abs-opset8": ((1, 9), one("Abs", opset=8)),
    "relu": ((1, 9), one("Relu")),
    "leakyrelu": ((1, 9), one("LeakyRelu", alpha=0.3)),
    "leakyrelu-default": ((1, 9), one("LeakyRelu")),
    "clip": ((1, 9), one("Clip", {"lo": np.array(-0.2), "hi": np.array(0.5)})),
    "clip-max": ((1, 9), ([node("Clip", ["x", "", "hi"])], {"hi": np.array(0.5)}, 13)),
    "clip-opset9": ((1, 9), one("Clip", opset=9, min=0.0, max=0.6)),
    "sigmoid": ((1, 9), one("Sigmoid")),
    "tanh": ((1, 9), one("Tanh")),
    # pooling
    "maxpool": (IMAGE, one("MaxPool", kernel_shape=[2, 2], strides=[2, 2])),
    "maxpool-3": (IMAGE, one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])),
    "maxpool-uneven": (IMAGE, one("MaxPool", kernel_shape=[3, 2], pads=[2, 0, 1, 1])),
    "maxpool-dilated": (IMAGE, one("MaxPool", kernel_shape=[2, 3], dilations=[3, 2])),
    "maxpool-ceil": (IMAGE, one("MaxPool", kernel_shape=[2, 4], strides=[2, 4], ceil_mode=1)),
    "maxpool-same": (IMAGE, one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")),
    "maxpool-1d": ((1, 2, 9), one("MaxPool", kernel_shape=[5], strides=[2])),
    "maxpool-opset8": (IMAGE, one("MaxPool", kernel_shape=[2, 2], opset=8)),
    "globalmaxpool": (IMAGE, one("GlobalMaxPool")),
    "averagepool": (IMAGE, one("AveragePool", kernel_shape=[2, 2], strides=[2, 2])),
    "averagepool-3": (IMAGE, one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])),
    "averagepool-counted": (
        IMAGE,
        one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    ),
    "averagepool-ceil": (IMAGE, one("AveragePool", kernel_shape=[2, 4], strides=[2, 4], ceil_mode=1)),
    "averagepool-same": (IMAGE, one("AveragePool", kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER")),
    "averagepool-dilated": (IMAGE, one("AveragePool", kernel_shape=[2, 2], dilations=[2, 3], opset=19)),
    "averagepool-1d": ((1, 2, 9), one("AveragePool", kernel_shape=[5], strides=[2])),
    "globalaveragepool": (IMAGE, one("GlobalAveragePool")),
    "lrn": ((1, 5, 2, 3), one("LRN", size=3, alpha=0.3, beta=0.6, bias=1.5)),
    "lrn-wider-than-it-is": ((2, 3, 2, 1), one("LRN", size=9)),
    "reduceprod": ((2, 5, 2), one("ReduceProd", axes=[1])),
    "reduceprod-all": ((2, 3), one("ReduceProd", {"a": ints(0, 1)}, keepdims=0, opset=18)),
    "reducelogsumexp": ((2, 5), one("ReduceLogSumExp", axes=[1], keepdims=0)),
    "reducelogsum": ((2, 5), two(node("Exp", ["x"], ["e"]), node("ReduceLogSum", ["e"], axes=[0]))),
    "reducemean": (IMAGE, one("ReduceMean", axes=[2, 3], keepdims=0)),
    "reducemean-opset18": (IMAGE, one("ReduceMean", {"a": ints(-1, 1)}, opset=18)),
    "reducemean-no-axes": ((2, 3), one("ReduceMean", {"a": ints()}, opset=18)),
    "reducemean-noop": ((2, 3), one("ReduceMean", {"a": ints()}, opset=18, noop_with_empty_axes=1)),
    "reducemean-all": ((1, 4), one("ReduceMean")),
    "reducesum": (IMAGE, one("ReduceSum", {"a": ints(1)})),
    "reducesum-opset8": (IMAGE, one("ReduceSum", axes=[1, 3], keepdims=1, opset=8)),
    # shapes
    "flatten": (IMAGE, one("Flatten")),
    "flatten-axis": (IMAGE, one("Flatten", axis=-2)),
    "reshape": (IMAGE, one("Reshape", {"s": ints(0, -1, 3)})),
    "squeeze": ((1, 3, 1, 2), one("Squeeze", {"a": ints(0, 2)})),
    "squeeze-all": ((1, 3, 1, 2), one("Squeeze")),
    "squeeze-opset9": ((1, 3, 1, 2), one("Squeeze", axes=[2], opset=9)),
    "unsqueeze": ((2, 3), one("Unsqueeze", {"a": ints(-1, 0)})),
    "unsqueeze-opset9": ((2, 3), one("Unsqueeze", axes=[1, 3], opset=9)),
    "transpose": ((2, 3, 4), one("Transpose", perm=[2, 0, 1])),
    "transpose-default": ((2, 3, 4), one("Transpose")),
    "slice": (IMAGE, one("Slice", {"s": ints(1, -1), "e": ints(3, -100), "a": ints(1, 3), "t": ints(1, -2)})),
    "slice-opset9": (IMAGE, one("Slice", starts=[1, 0], ends=[1000, -1], axes=[2, 3], opset=9)),
    "gather": ((2, 5), one("Gather", {"i": np.array([[0, -1], [3, 3]])}, axis=1)),
    "gather-elements": ((3, 4, 2), one("GatherElements", {"i": np.array([[[1, 0]], [[-1, 2]]])}, axis=1)),
    "gather-nd": ((3, 4, 2), one("GatherND", {"i": np.array([[[0, 1]], [[-1, -4]]])})),
    "gather-nd-batch": ((2, 4, 2), one("GatherND", {"i": np.array([[[0], [3]], [[-1], [2]]])}, batch_dims=1)),
    "scatter-elements": (
        (3, 4),
        one("ScatterElements", {"i": np.array([[1, -1], [0, 3]]), "u": floats(2, 2)}, axis=1, opset=18),
    ),
    "scatter-nd": ((3, 4), one("ScatterND", {"i": np.array([[1], [-3]]), "u": floats(2, 4)}, opset=18)),
    "gather-scalar": ((2, 5), one("Gather", {"i": np.array(2)}, axis=1)),
    "pad": (IMAGE, one("Pad", {"p": ints(0, 0, 1, 2, 0, 0, 0, 1), "v": np.array(1.5)})),
    "pad-opset18": (IMAGE, ([node("Pad", ["x", "p", "", "a"])], {"p": ints(1, 2), "a": ints(-1)}, 18)),
    "pad-opset9": (IMAGE, one("Pad", pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.5, opset=9)),
    "pad-reflect": (IMAGE, one("Pad", {"p": ints(0, 0, 1, 2, 0, 0, 2, 1)}, mode="reflect")),
    "pad-edge": (IMAGE, one("Pad", {"p": ints(0, 0, 1, 2, 0, 0, 2, 1)}, mode="edge")),
    "pad-crop": ((2, 5), one("Pad", {"p": ints(0, -1, 1, 2)})),
    "expand": ((3, 1), one("Expand", {"s": ints(2, 1, 4)})),
    "tile": ((2, 3), one("Tile", {"r": ints(2, 2)})),
    "identity": ((1, 3), one("Identity")),
    "dropout": ((1, 3), one("Dropout")),
    "dropout-opset8": ((1, 3), one("Dropout", ratio=0.4, opset=8)),
    "cast": ((1, 3), one("Cast", to=1)),
    "cast-constant": (
        (1, 3),
        two(
            node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(1e-12))),
            node("Cast", ["c"], ["d"], to=1),
            node("Add", ["x", "d"]),
        ),
    ),
    "constant": (
        (1, 3),
        ([node("Constant", [], ["c"], value_floats=[1.0, 2.0, 3.0]), node("Add", ["x", "c"])], {}, 13),
    ),
    "concat": ((1, 3), ([node("Concat", ["x", "c", "x"], axis=1)], {"c": floats(1, 2)}, 13)),
    "concat-axis0": (
        (2, 3),
        ([node("Neg", ["x"], ["n"]), node("Concat", ["n", "x", "c"], axis=0)], {"c": floats(1, 3)}, 13),
    ),
    "concat-axis1": ((2, 3), ([node("Neg", ["x"], ["n"]), node("Concat", ["n", "x"], axis=-1)], {}, 13)),
    "split": (
        (2, 5),
        ([node("Split", ["x", "s"], ["a", "b"], axis=1), node("Concat", ["b", "a"], axis=1)], {"s": ints(2, 3)}, 13),
    ),
    "split-opset18": (
        (2, 5),
        ([node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), node("Concat", ["b", "a"], axis=1)], {}, 18),
    ),
    "split-opset9": (
        (2, 4),
        ([node("Split", ["x"], ["a", "b"], axis=1), node("Sub", ["a", "b"])], {}, 9),
    ),
    "add-values": ((2, 3), ([node("Neg", ["x"], ["n"]), node("Relu", ["n"], ["r"]), node("Add", ["r", "x"])], {}, 13)),
    "sub-broadcast": (
        (2, 3),
        ([node("ReduceMean", ["x"], ["m"], axes=[1]), node("Sub", ["x", "m"])], {}, 13),
    ),
    "shape-arithmetic": (
        (1, 2, 6),
        (
            [
                node("Shape", ["x"], ["s"]),
                node("Gather", ["s", "two"], ["last"]),
                node("Div", ["last", "three"], ["q"]),
                node("Unsqueeze", ["q", "zero"], ["u"]),
                node("Concat", ["minus", "u"], ["t"], axis=0),
                node("Cast", ["t"], ["f"], to=1),
                node("Cast", ["f"], ["i"], to=7),
                node("Reshape", ["x", "i"]),
            ],
            {"two": np.array(2), "three": np.array(3), "zero": ints(0), "minus": ints(-1)},
            13,
        ),
    ),
    "expand-as-exported": (
        (1, 3),
        (
            [
                node("ConstantOfShape", ["n"], ["ones"], value=None),
                node("Mul", ["ones", "minus"], ["m"]),
                node("Equal", ["s", "m"], ["e"]),
                node("Where", ["e", "ones", "s"], ["w"]),
                node("Expand", ["x", "w"]),
            ],
            {"n": ints(2), "minus": ints(-1), "s": ints(2, -1)},
            13,
        ),
    ),
    "range-shape": (
        (4,),
        (
            [
                node("Shape", ["x"], ["s"]),
                node("Squeeze", ["s"], ["n"]),
                node("Range", ["zero", "n", "two"], ["r"]),
                node("Gather", ["x", "r"]),
            ],
            {"zero": np.array(0), "two": np.array(2)},
            13,
        ),
    ),
    "gemm-relu": ((1, 3), ([node("Gemm", ["x", "w"], ["g"]), node("Relu", ["g"])], {"w": floats(3, 3)}, 13)),
}


@pytest.mark.parametrize("name", CASES)
def test_operator_agrees_with_onnxruntime(name, tmp_path):
    from onnx import helper, numpy_helper

    shape, (nodes, constants, opset) = CASES[name]
    for made in nodes:
        if made.op_type == "ConstantOfShape":
            del made.attribute[:]
            made.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.array([1], np.int64))))
    path = save(tmp_path / "net.onnx", model(nodes, shape, constants, opset=opset))
    assert_agrees(path, random_inputs(shape))


def test_every_known_operator_is_tried():
    tried = {made.op_type for _, (nodes, _, _) in CASES.values() for made in nodes}
    # A size only ever folds, and so do weights of integers. They have unit tests; places that are computed (test_onnx_argmax.py)
    # have theirs, where the runtime is asked as well.
    assert set(OPERATORS) - tried == {"Size", "DequantizeLinear", "ArgMax", "ArgMin"}


@pytest.mark.parametrize(("name", "operator"), [
    ("gelu-parts", "gelu"), ("gelu-other", "gelu"), ("gelu-tanh-pow", "tanh gelu"), ("gelu-tanh-products", "tanh gelu"),
    ("gelu-sigmoid", "tanh gelu"), ("gelu-tanh-fast", "tanh gelu"), ("square-of-multiples", "power"), ("silu-parts", "silu"), ("swish-parts", "silu"), ("mish-parts", "mish"),
    ("softsign-parts", "softsign"), ("hardswish-parts", "hard swish"), ("cube-parts", "power"),
])  # fmt: skip
def test_gates_are_one_function(name, operator, tmp_path):
    shape, (nodes, constants, opset) = CASES[name]
    network = read_onnx(save(tmp_path / "net.onnx", model(nodes, shape, constants, opset=opset)))
    names = [n.operator.name for n in network.graph.nodes]
    assert operator in names and "product" not in names
    assert len(names) <= 3


def test_what_shares_have_in_common_does_not_vary(tmp_path):
    """Means of two numbers that are equal: whatever the shares are, bounds know the mean."""
    import torch

    from netproof.bounds.region import box_region, node_intervals

    nodes = [node("Softmax", ["x"], ["p"]), node("Slice", ["x", "s", "e"], ["one"]), node("Mul", ["one", "z"], ["zero"]),
             node("Add", ["zero", "c"], ["v"]), node("MatMul", ["p", "v"])]  # fmt: skip
    constants = {"s": ints(0, 0), "e": ints(2, 1), "z": np.array(0.0), "c": np.array([[5.0], [5.0]])}
    network = assert_agrees(save(tmp_path / "net.onnx", model(nodes, (2, 2), constants)), random_inputs((2, 2)))
    box = box_region(network.graph, -torch.ones(1, 4).double(), torch.ones(1, 4).double())
    low, high = node_intervals(network.graph, box)[-1]
    assert float((low - 5).abs().max()) < 1e-9 and float((high - 5).abs().max()) < 1e-9
