"""What the checker of float networks reads of a file: every form of an operator as onnxruntime computes it.

Each form is evaluated in fractions by the checker's own maps and compared with the runtime.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from netproof.certificate.checker.real.numbers import Float64, Rational
from soundness.checker_models import RNG, added, behind, constants_by_node, folded, integers, normalization, one, some
from soundness.real_evidence import Builder, run, values_of


def joined_values(turn: int) -> bytes:
    """A concatenation of values, one of them twice, and a constant between; everything behind it depends on where they are."""
    made = Builder([1, 2, 2])
    relu, twice = made.node("Relu", "x"), made.node("Mul", "x", made.constant(np.float32(2)))
    parts = [relu, made.constant(some(1, 1, 2)), twice, relu]
    joined = made.node("Concat", *parts[turn:], *parts[:turn], axis=1)
    return made.bytes(made.node("Add", made.node("Relu", joined), made.constant(some(1, 7, 2))))


def sliced_constant() -> bytes:
    made = Builder([1, 3])
    ends = [made.constant(np.array([k]), np.int64) for k in (1, 4, 1)]
    return made.bytes(made.node("Add", "x", made.node("Slice", made.constant(some(1, 5)), *ends)))


READ: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: one("Identity", [1, 3]),
    "no batch": lambda: one("Relu", [3]),
    "a number": lambda: one("Relu", []),
    "an open batch": lambda: one("Relu", ["N", 3]),
    "relu of an image": lambda: one("Relu", [1, 2, 2, 3]),
    "flatten": lambda: one("Flatten", [1, 2, 3]),
    **{f"flatten at {axis}": lambda axis=axis: one("Flatten", [1, 2, 3], axis=axis) for axis in (0, 1, 2, 3, -1, -3)},
    **{
        f"reshape {to}": lambda to=to: one("Reshape", [1, 2, 3], integers(*to))
        for to in ((6,), (3, 2), (-1, 2), (0, 0, 3), (0, -1), (-1,), (1, 1, 6))
    },
    "reshape without zeros": lambda: one("Reshape", [1, 2, 3], integers(3, 2), allowzero=1),
    "a constant flattened": lambda: folded("Flatten", some(1, 2, 3), axis=1),
    "a constant in another shape": lambda: folded("Reshape", some(2, 3), to=[1, 6]),
    "a constant transposed": lambda: folded("Transpose", some(3, 2)),
    "a constant transposed by an order": lambda: folded("Transpose", some(3, 2), perm=[1, 0]),
    "a constant as it is": lambda: folded("Identity", some(4)),
    "a constant by a node": constants_by_node,
    "transpose": lambda: one("Transpose", [1, 2, 3]),
    **{
        f"transpose {p}": lambda p=p: one("Transpose", [1, 2, 3], perm=list(p))
        for p in ((0, 2, 1), (2, 0, 1), (0, 1, 2))
    },
    **{
        f"{kind} {shape}": lambda kind=kind, shape=shape: one(kind, [1, 2, 3], some(*shape))
        for kind in ("Add", "Sub", "Mul")
        for shape in ((), (1,), (3,), (2, 1), (1, 2, 3))
    },
    **{f"{kind} behind": lambda kind=kind: behind(kind, [1, 2, 3], some(2, 1)) for kind in ("Add", "Sub", "Mul")},
    "matrix": lambda: one("MatMul", [1, 3], some(3, 2)),
    "matrix of a vector": lambda: one("MatMul", [3], some(3, 2)),
    "matrix of rows": lambda: one("MatMul", [1, 2, 3], some(3, 4)),
    "matrix in front of a vector": lambda: behind("MatMul", [3], some(2, 3)),
    "matrix in front of a vector, and a sum": lambda: added(behind("MatMul", [3], some(2, 3)), some(2)),
    "matrix of a vector, and a sum": lambda: added(one("MatMul", [3], some(3, 2)), some(2)),
    "matrix in front of columns, and a sum": lambda: added(behind("MatMul", [1, 3], some(2, 1)), some(2, 1)),
    "gemm, and a sum": lambda: added(one("Gemm", [1, 3], some(3, 2)), some(1, 2)),
    "conv, and a sum": lambda: added(one("Conv", [1, 1, 3, 3], some(2, 1, 2, 2)), some(1, 2, 1, 2)),
    "conv in one dimension, and a sum": lambda: added(one("Conv", [1, 1, 3], some(2, 1, 2)), some(1, 2, 2)),
    "average, and a sum": lambda: added(one("AveragePool", [1, 2, 3, 3], kernel_shape=[2, 2]), some(1, 2, 1, 2)),
    "normalization, and a sum": lambda: added(normalization([1, 3, 2], 3), some(1, 3, 1)),
    "transpose, and a sum": lambda: added(one("Transpose", [1, 2, 3]), some(3, 2, 1)),
    "matrix in front of columns": lambda: behind("MatMul", [1, 3], some(2, 1)),
    "matrix in front of rows": lambda: behind("MatMul", [1, 3, 4], some(2, 3)),
    "matrix in front of a stack": lambda: behind("MatMul", [1, 2, 3, 4], some(5, 3)),
    **{
        f"gemm {name}": lambda bias=bias: one("Gemm", [1, 3], some(3, 2), *bias)
        for name, bias in {
            "plain": (),
            "with a bias": (some(2),),
            "with a row": (some(1, 2),),
            "with a number": (some(1, 1),),
            "without its bias": (None,),
        }.items()
    },
    "gemm transposed": lambda: one("Gemm", [1, 3], some(2, 3), some(2), transB=1),
    "gemm with factors of 1": lambda: one("Gemm", [1, 3], some(3, 2), some(2), alpha=1.0, beta=1.0, transA=0, transB=0),
    "conv": lambda: one("Conv", [1, 2, 5, 4], some(3, 2, 2, 3), some(3)),
    "conv without its bias": lambda: one("Conv", [1, 2, 5, 4], some(3, 2, 2, 3), None),
    "conv that states its kernel": lambda: one("Conv", [1, 2, 5, 4], some(3, 2, 2, 3), kernel_shape=[2, 3]),
    "conv with strides": lambda: one("Conv", [1, 1, 7, 6], some(2, 1, 2, 2), strides=[2, 3]),
    "conv with pads": lambda: one("Conv", [1, 1, 3, 3], some(1, 1, 2, 3), pads=[1, 2, 0, 1]),
    "conv with dilations": lambda: one("Conv", [1, 1, 6, 7], some(1, 1, 2, 2), dilations=[2, 3]),
    "conv in groups": lambda: one("Conv", [1, 4, 3, 3], some(6, 2, 2, 2), some(6), group=2),
    "conv of one place": lambda: one("Conv", [1, 1, 2, 2], some(2, 1, 2, 2)),
    "conv in one dimension": lambda: one(
        "Conv", [1, 2, 8], some(3, 2, 2), some(3), strides=[2], pads=[1, 2], dilations=[2]
    ),
    "average": lambda: one("AveragePool", [1, 2, 4, 5], kernel_shape=[2, 3]),
    "average with strides": lambda: one("AveragePool", [1, 2, 5, 6], kernel_shape=[2, 2], strides=[2, 3]),
    "average with pads": lambda: one(
        "AveragePool", [1, 1, 3, 3], kernel_shape=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1
    ),
    "average with pads of none": lambda: one("AveragePool", [1, 1, 3, 3], kernel_shape=[2, 2], pads=[0] * 4),
    "average in one dimension": lambda: one("AveragePool", [1, 2, 6], kernel_shape=[3], strides=[2]),
    "average with dilations": lambda: one("AveragePool", [1, 1, 5, 5], kernel_shape=[2, 2], dilations=[2, 1], opset=19),
    "average of all": lambda: one("GlobalAveragePool", [1, 3, 2, 4]),
    "average of all of a line": lambda: one("GlobalAveragePool", [1, 3, 5]),
    "normalization": lambda: normalization([1, 3, 2, 2], 3),
    "normalization of rows": lambda: normalization([1, 3], 3, epsilon=0.25),
    "normalization in few numbers": lambda: normalization([1, 2, 3], 2, momentum=0.5, training_mode=0),
    "old normalization": lambda: normalization([1, 2, 3], 2, opset=7, epsilon=1e-3),
    "absolute values": lambda: one("Abs", [1, 3]),
    "leaky": lambda: one("LeakyRelu", [1, 3]),
    **{f"leaky by {a}": lambda a=a: one("LeakyRelu", [1, 2, 3], alpha=a) for a in (0.1, 0.0, -0.5, 2.5, 1.0)},
    **{
        f"leaky by constants {shape}": lambda shape=shape: one("PRelu", [1, 2, 3], some(*shape))
        for shape in ((), (1,), (2, 1), (1, 2, 3))
    },
    "clip": lambda: one("Clip", [1, 6], np.float32(-0.25), np.float32(0.5)),
    "clip to a point": lambda: one("Clip", [1, 6], np.float32([0.25]), np.float32([0.25])),
    "old clip": lambda: one("Clip", [1, 6], opset=10, min=-0.25, max=0.5),
    "hard sigmoid": lambda: one("HardSigmoid", [1, 6]),
    "hard sigmoid by numbers": lambda: one("HardSigmoid", [1, 6], alpha=1.5, beta=0.25),
    "hard sigmoid that falls": lambda: one("HardSigmoid", [1, 6], alpha=-1.5, beta=0.25),
    "maximum": lambda: one("MaxPool", [1, 2, 3, 4], kernel_shape=[2, 2]),
    "maximum of three with strides": lambda: one("MaxPool", [1, 2, 5, 7], kernel_shape=[1, 3], strides=[2, 3]),
    "maximum of all": lambda: one("MaxPool", [1, 1, 2, 3], kernel_shape=[2, 3], dilations=[1, 1]),
    "maximum of one": lambda: one("MaxPool", [1, 2, 2, 2], kernel_shape=[1, 1], strides=[1, 2]),
    "maximum with pads": lambda: one("MaxPool", [1, 2, 3, 4], kernel_shape=[2, 3], pads=[1, 2, 0, 1], strides=[2, 1]),
    "average that leaves pads out": lambda: one("AveragePool", [1, 2, 3, 4], kernel_shape=[2, 3], pads=[1, 2, 0, 1]),
    "average that leaves pads out, in one dimension": lambda: one(
        "AveragePool", [1, 1, 4], kernel_shape=[3], pads=[1, 2], strides=[2]
    ),
    "maximum in one dimension": lambda: one("MaxPool", [1, 2, 7], kernel_shape=[3], strides=[2], pads=[0, 0]),
    "maximum that says no pads": lambda: one("MaxPool", [1, 1, 5, 4], kernel_shape=[3, 2], auto_pad="VALID"),
    "maximum, and a sum": lambda: added(one("MaxPool", [1, 2, 3, 3], kernel_shape=[2, 2]), some(1, 2, 2, 2)),
    **{
        f"concat at {axis}": lambda axis=axis: one("Concat", [1, 2, 3], some(1, 2, 3), some(1, 2, 3), axis=axis)
        for axis in (0, 1, 2, -1, -3)
    },
    "concat of other extents": lambda: one("Concat", [1, 2, 3], some(1, 4, 3), axis=1),
    "concat behind": lambda: behind("Concat", [1, 2, 3], some(1, 1, 3), axis=1),
    "concat of one": lambda: one("Concat", [1, 2, 3], axis=1),
    "concat of zeros": lambda: one("Concat", [1, 2, 3], np.zeros((1, 1, 3), np.float32), axis=1),
    "concat of values": lambda: joined_values(0),
    "concat of values behind others": lambda: joined_values(1),
    **{
        f"slice {starts} {ends} {rest}": lambda parts=(starts, ends, *rest): one(
            "Slice", [1, 4, 5], *(integers(*part) for part in parts)
        )
        for starts, ends, rest in (
            ((0,), (1,), ()),
            ((0, 1), (1, 3), ()),
            ((1,), (3,), ((1,),)),
            ((-2,), (99,), ((-1,),)),
            ((1,), (-1,), ((2,), (2,))),
            ((0, -99), (1 << 40, 3), ((2, 1), (3, 1))),
            ((0,), (1,), ((0,),)),
        )
    },
    "slice without axes": lambda: one("Slice", [1, 4], integers(0, 1), integers(1, 4), None, integers(1, 2)),
    "old slice": lambda: one("Slice", [1, 4, 5], opset=9, starts=[1, 0], ends=[3, 4], axes=[1, 2]),
    "old slice without axes": lambda: one("Slice", [1, 4, 5], opset=9, starts=[0, 1], ends=[1, -1]),
    "a constant sliced": sliced_constant,
    **{
        f"pad {mode}": lambda mode=mode: one("Pad", [1, 2, 3, 4], integers(0, 0, 1, 2, 0, 0, 2, 3), mode=mode)
        for mode in ("constant", "edge", "reflect")
    },
    "pad": lambda: one("Pad", [1, 2, 3], integers(0, 1, 2, 1, 0, 1)),
    "pad of nothing": lambda: one("Pad", [1, 2, 3], integers(0, 0, 0, 0, 0, 0)),
    "pad by a number": lambda: one("Pad", [1, 2, 3], integers(0, 1, 2, 0, 0, 1), np.float32(1.5)),
    "pad by a list of one": lambda: one("Pad", [1, 2, 3], integers(0, 1, 2, 0, 0, 1), np.float32([-1.5]), opset=11),
    "pad of axes": lambda: one("Pad", [1, 2, 3], integers(1, 2, 3, 0), None, integers(-1, 1), opset=18),
    "old pad": lambda: one("Pad", [1, 2, 3], opset=10, pads=[0, 0, 1, 0, 1, 2], value=0.75),
    "old pad by an edge": lambda: one("Pad", [1, 2, 3], opset=10, pads=[0, 0, 1, 0, 1, 2], mode="edge"),
    "pad, and a sum": lambda: added(one("Pad", [1, 2], integers(0, 1, 0, 1)), some(1, 4)),
    "dropout": lambda: one("Dropout", [1, 3]),
    "dropout with its share": lambda: one("Dropout", [1, 3], np.float32(0.5), seed=3),
    "old dropout": lambda: one("Dropout", [1, 3], opset=10, ratio=0.25),
}


@pytest.mark.parametrize("kind", READ)
def test_what_is_read_is_what_the_runtime_computes(kind):
    network = READ[kind]()
    model = onnx.load_model_from_string(network)
    dims = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    inputs = int(np.prod(dims))
    x = RNG.normal(size=(2, inputs)).astype(np.float32).astype(np.float64)
    expected = run(network, x)
    numbers = [Float64()] if "normalization" in kind else [Float64(), Rational()]
    for row, y in zip(x, expected, strict=True):
        for one_of_them in numbers:
            found = np.array([float(value) for value in values_of(network, row.tolist(), one_of_them)])
            assert found.shape == y.shape
            assert np.allclose(found, y, rtol=1e-5, atol=1e-5)
