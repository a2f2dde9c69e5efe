"""Operators that move numbers, compute shapes, compare, and bend, as the checker of float networks reads them.

Each form is evaluated by the checker's own maps, in float64 and in 60 digits, and compared with the runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.reading.constants import UnknownError, folded
from netproof.certificate.checker.real.reading.smooth import Smooth
from netproof.errors import FormatError
from netproof.formats.onnx.nodes.table import OPERATORS
from soundness.checker_models import RNG, added, behind, integers, one, some
from soundness.real_evidence import Builder, Digits, run, values_of

NO_FLOATS = np.zeros(0, np.float32)


def of_constants(kind: str, *constants, opset: int = 17, **attributes) -> bytes:
    """An operator of constants alone, which is added to the input."""
    made = Builder([1, 3], opset=opset)
    names = [made.constant(c, getattr(c, "dtype", None)) for c in constants]
    return made.bytes(made.node("Add", "x", made.node(kind, *names, **attributes)))


def of_values(kind: str, *shapes, opset: int = 17, **attributes) -> bytes:
    """An operator of several values, all of them products of the input."""
    made = Builder([1, 4], opset=opset)
    values = []
    for shape in shapes:
        rows = made.node("MatMul", "x", made.constant(some(4, int(np.prod(shape)))))
        values.append(made.node("Reshape", rows, made.constant(list(shape), np.int64)))
    return made.bytes(made.node(kind, *values, **attributes))


def split(*sizes: int, opset: int = 17, taken=(1, 0), extent: int = 6, **attributes) -> bytes:
    """Parts of a value, put together in another order."""
    made = Builder([1, 2, extent], opset=opset)
    names = [f"p{k}" for k in range(len(sizes) or attributes.pop("parts", 2))]
    inputs = ["x"]
    if opset < 13:
        attributes |= {"split": list(sizes)} if sizes else {}
    elif sizes:
        inputs.append(made.constant(list(sizes), np.int64))
    made.nodes.append(helper.make_node("Split", inputs, names, axis=2, **attributes))
    return made.bytes(made.node("Concat", *(names[k] for k in taken), axis=2))


def shape_from(start: int) -> bytes:
    """A view whose last extents are those of the input's shape from one of them on."""
    made = Builder([1, 2, 6])
    rest = made.node("Shape", "x", start=start)
    shape = made.node("Concat", made.constant([1, 1], np.int64), rest, axis=0)
    return made.bytes(made.node("ReduceSum", made.node("Reshape", "x", shape), made.constant([2], np.int64)))


def divided() -> bytes:
    """Whole numbers divided, as places."""
    made = Builder([1, 4])
    places = made.node("Div", made.constant([0, 7, 9], np.int64), made.constant([3, 3, 3], np.int64))
    return made.bytes(made.node("Gather", "x", places, axis=1))


def positive(kind: str) -> bytes:
    """A reduction of numbers above 0."""
    made = Builder([1, 2, 3])
    return made.bytes(made.node(kind, made.node("Exp", "x"), axes=[2]))


def by_shape() -> bytes:
    """What exporters write for a view: a shape taken apart, computed with, and put together."""
    made = Builder([1, 2, 6])
    whole = made.node("Shape", "x")
    batch = made.node("Gather", whole, made.constant(0, np.int64), axis=0)
    count = made.node("Gather", whole, made.constant([2], np.int64), axis=0)
    half = made.node("Div", count, made.constant([2], np.int64))
    parts = [made.node("Unsqueeze", batch, made.constant([0], np.int64)), made.constant([-1], np.int64), half]
    return made.bytes(made.node("Reshape", "x", made.node("Concat", *parts, axis=0)))


def masked() -> bytes:
    """Numbers that a mask of constants leaves, made of an equation of whole numbers and a constant of a shape."""
    made = Builder([1, 2, 3])
    zeros = made.node(
        "ConstantOfShape", made.constant([3], np.int64), value=helper.make_tensor("v", TensorProto.INT64, [1], [1])
    )
    mask = made.node("Equal", made.node("Mul", zeros, made.constant([1, 2, 1], np.int64)), made.constant([1], np.int64))
    return made.bytes(made.node("Where", mask, "x", made.constant(some(1, 3))))


def chosen() -> bytes:
    """Numbers chosen by a comparison of values."""
    made = Builder([1, 4])
    mask = made.node("Greater", "x", made.constant(np.float32(0.1)))
    return made.bytes(made.node("Where", mask, made.node("Tanh", "x"), made.constant(some(4))))


def compared(kind: str) -> bytes:
    made = Builder([1, 4])
    other = made.node("MatMul", "x", made.constant(some(4, 4)))
    return made.bytes(made.node("Cast", made.node(kind, "x", other), to=TensorProto.FLOAT))


def scattered(turned: bool) -> bytes:
    made = Builder([1, 4, 2])
    place = made.constant([[[0, 2], [0, 0]]], np.int64)
    other = made.constant(some(1, 2, 2))
    return made.bytes(
        made.node(
            "ScatterND",
            *(
                ("x", place, other)
                if not turned
                else (
                    made.constant(some(1, 4, 2)),
                    place,
                    made.node("Slice", "x", *(made.constant([k], np.int64) for k in (1, 3, 1))),
                )
            ),
        )
    )


def counted() -> bytes:
    """A range as places, and how many numbers there are as a shape."""
    made = Builder([1, 2, 3])
    ends = [made.constant(k, np.int64) for k in (1, -1, -1)]
    turned = made.node("Gather", "x", made.node("Range", *ends), axis=1)
    return made.bytes(made.node("Expand", turned, made.constant([2, 1, 3], np.int64)))


def normalized(**attributes) -> bytes:
    return one("LayerNormalization", [1, 2, 6], some(6), some(6), **attributes)


def given_by(name: str, value) -> bytes:
    made = Builder([1, 3])
    return made.bytes(made.node("Mul", "x", made.node("Constant", **{name: value})))


READ: dict[str, Callable[[], bytes]] = {
    "gather": lambda: one("Gather", [1, 4, 3], integers(2, 0, -1), axis=1),
    "gather of rows of places": lambda: one("Gather", [1, 4, 3], np.array([[0, 1], [-4, 3]]), axis=1),
    "gather of one place": lambda: one("Gather", [1, 4, 3], np.int64(2), axis=-1),
    "gather along an axis": lambda: one("GatherElements", [1, 4], np.array([[3, 3, -4]]), axis=1),
    "gather of slices": lambda: one("GatherND", [1, 4, 3], np.array([[0, 3], [0, -2]])),
    "scatter": lambda: scattered(turned=False),
    "scatter of a value": lambda: scattered(turned=True),
    "split": lambda: split(4, 2),
    "split evenly": lambda: split(parts=3, taken=(2, 0, 1)),
    "split in the old way": lambda: split(1, 5, opset=12),
    "split into a number of parts": lambda: split(parts=3, taken=(2, 0), num_outputs=3, opset=18),
    "squeeze": lambda: one("Squeeze", [1, 1, 3, 1], integers(1, -1)),
    "squeeze of all": lambda: one("Squeeze", [1, 1, 3]),
    "squeeze in the old way": lambda: one("Squeeze", [1, 1, 3], opset=11, axes=[1]),
    "unsqueeze": lambda: one("Unsqueeze", [1, 3], integers(-1, 1)),
    "unsqueeze in the old way": lambda: one("Unsqueeze", [1, 3], opset=11, axes=[0, 2]),
    "expand": lambda: one("Expand", [1, 3], integers(2, 4, 1)),
    "tile": lambda: one("Tile", [1, 2, 3], integers(2, 1, 3)),
    "range": counted,
    "shape": by_shape,
    "part of a shape": lambda: added(one("Reshape", [1, 3], integers(3)), some(3)),
    "mask": masked,
    "choice": chosen,
    **{f"triangle {upper} {k}": lambda upper=upper, k=k: one("Trilu", [1, 3, 4], np.int64(k), upper=upper) for upper in (0, 1) for k in (-1, 0, 2)},
    "triangle": lambda: one("Trilu", [1, 3, 3]),
    **{f"depth to space {mode}": lambda mode=mode: one("DepthToSpace", [1, 8, 2, 3], blocksize=2, mode=mode) for mode in ("DCR", "CRD")},
    "space to depth": lambda: one("SpaceToDepth", [1, 3, 4, 6], blocksize=2),
    **{f"slice by {step} from {start} to {end}": lambda ends=(start, end, 2, step): one("Slice", [1, 4, 5], *(integers(k) for k in ends)) for start, end, step in ((4, 0, -1), (-1, -99, -2), (99, 1, -1), (3, -6, -3))},
    "cast": lambda: one("Cast", [1, 3], to=TensorProto.FLOAT),
    "cast of a constant": lambda: of_constants("Cast", integers(1, -2, 3), to=TensorProto.FLOAT),
    **{f"constant {name}": lambda name=name, value=value: given_by(name, value) for name, value in (("value_float", 0.3), ("value_floats", [0.1, 2.0, -3.0]))},
    **{f"{kind} of constants": lambda kind=kind: of_constants(kind, some(3), some(1, 3)) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")},
    **{f"{kind} of a constant": lambda kind=kind: of_constants(kind, some(3)) for kind in ("Relu", "Tanh", "Neg", "Exp")},
    "concat of constants": lambda: of_constants("Concat", some(1, 1), some(1, 2), axis=1),
    "matrix of constants": lambda: of_constants("MatMul", some(1, 2), some(2, 3)),
    **{f"{kind} that is larger": lambda kind=kind: one(kind, [1, 3], some(2, 1)) for kind in ("Add", "Sub", "Mul", "Div")},
    **{f"{kind} behind that is larger": lambda kind=kind: behind(kind, [1, 3], some(2, 1)) for kind in ("Add", "Sub", "Mul")},
    **{f"{kind} of values of other shapes": lambda kind=kind: of_values(kind, (2, 1), (1, 3)) for kind in ("Add", "Sub", "Mul", "Max", "Min")},
    **{f"{kind} of three": lambda kind=kind: of_values(kind, (2, 3), (1, 3), (2, 1)) for kind in ("Sum", "Mean", "Max", "Min")},
    **{f"{kind} with a constant": lambda kind=kind: one(kind, [1, 3], some(2, 3)) for kind in ("Max", "Min")},
    **{f"{kind} with a constant in front": lambda kind=kind: behind(kind, [1, 3], some(3)) for kind in ("Max", "Min")},
    **{f"{kind} over axes": lambda kind=kind: one(kind, [1, 2, 3], axes=[1, 2], keepdims=0) for kind in ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare")},
    **{f"{kind} over everything": lambda kind=kind: one(kind, [1, 2, 3]) for kind in ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum")},
    "maximum over axes by an operand": lambda: one("ReduceMax", [1, 2, 3], integers(1), opset=18),
    "maximum of all places": lambda: one("GlobalMaxPool", [1, 2, 3, 4]),
    **{f"maximum with pads {where}": lambda where=where: one("MaxPool", [1, 2, 4, 5], kernel_shape=[2, 3], strides=[2, 2], auto_pad=where) for where in ("SAME_UPPER", "SAME_LOWER")},
    **{f"conv with pads {where}": lambda where=where: one("Conv", [1, 1, 5, 4], some(2, 1, 3, 2), strides=[2, 1], auto_pad=where) for where in ("SAME_UPPER", "SAME_LOWER")},
    "average that leaves out the last place": lambda: one("AveragePool", [1, 1, 4], kernel_shape=[1], strides=[2], auto_pad="SAME_UPPER", opset=19),
    "average with pads": lambda: one("AveragePool", [1, 1, 5, 4], kernel_shape=[3, 2], strides=[2, 1], auto_pad="SAME_UPPER"),
    "transposed conv": lambda: one("ConvTranspose", [1, 2, 3, 4], some(2, 3, 2, 3), some(3)),
    "transposed conv with strides": lambda: one("ConvTranspose", [1, 2, 3, 4], some(2, 3, 3, 2), strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 2]),
    "transposed conv in groups": lambda: one("ConvTranspose", [1, 4, 3, 3], some(4, 3, 2, 2), some(6), group=2, dilations=[2, 1], kernel_shape=[2, 2]),
    "transposed conv of a line": lambda: added(one("ConvTranspose", [1, 2, 5], some(2, 3, 4), strides=[3], pads=[2, 1]), some(1, 3, 13)),
    "matrix of vectors": lambda: of_values("MatMul", (3,), (3,)),
    "matrix of a vector and a stack": lambda: of_values("MatMul", (3,), (2, 3, 2)),
    "matrix of a stack and a vector": lambda: of_values("MatMul", (2, 2, 3), (3,)),
    "stack of matrices": lambda: one("MatMul", [1, 2, 3], some(2, 3, 2)),
    "vector of constants": lambda: one("MatMul", [1, 3], some(3)),
    "vector of constants in front": lambda: behind("MatMul", [2, 3], some(2)),
    "gemm by factors": lambda: one("Gemm", [1, 3], some(2, 3), some(2), alpha=0.5, beta=-0.3, transB=1),
    "gemm by a factor": lambda: one("Gemm", [1, 3], some(3, 2), beta=2.0),
    "gemm turned": lambda: one("Gemm", [3, 1], some(3, 2), transA=1),
    "gemm of rows": lambda: one("Gemm", [2, 3], some(3, 2), some(2)),
    "gemm of values": lambda: of_values("Gemm", (2, 3), (3, 2), (2, 2)),
    "normalization of a batch": lambda: one("BatchNormalization", [2, 3, 2], *[some(3)] * 3, abs(some(3)) + np.float32(0.1)),
    **{f"running sum {e} {r}": lambda e=e, r=r: one("CumSum", [1, 3, 4], np.int64(1), exclusive=e, reverse=r) for e in (0, 1) for r in (0, 1)},
    "clip of one end": lambda: one("Clip", [1, 6], np.float32(-0.25)),
    "clip of the other end": lambda: one("Clip", [1, 6], None, np.float32(0.25)),
    "clip of no end": lambda: one("Clip", [1, 6]),
    "old clip of one end": lambda: one("Clip", [1, 6], opset=10, max=0.5),
    "thresholded": lambda: one("ThresholdedRelu", [1, 6], alpha=0.3),
    **{kind: lambda kind=kind: one(kind, [1, 6]) for kind in ("Sign", "Floor", "Ceil", "Atan", "Elu", "HardSwish", "Selu", "Celu", "LogSoftmax")},
    "mish": lambda: one("Mish", [1, 6], opset=18),
    "elu by a number": lambda: one("Elu", [1, 6], alpha=2.5),
    "celu by a number": lambda: one("Celu", [1, 6], alpha=0.3),
    "selu by numbers": lambda: one("Selu", [1, 6], alpha=0.3, gamma=2.0),
    "gelu by a tangent": lambda: one("Gelu", [1, 6], opset=20, approximate="tanh"),
    "swish": lambda: one("Swish", [1, 6], opset=24),
    **{f"{kind} of values": lambda kind=kind: compared(kind) for kind in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual")},
    "layer normalization": normalized,
    "layer normalization over two axes": lambda: one("LayerNormalization", [1, 2, 6], some(2, 6), axis=1, epsilon=0.1),
    "upsample": lambda: one("Upsample", [1, 2, 2, 3], np.float32([1, 1, 2, 3]), opset=9),
    "upsample between": lambda: one("Upsample", [1, 2, 2, 3], np.float32([1, 1, 2, 3]), opset=9, mode="linear"),
    "resize in the old way": lambda: one("Resize", [1, 2, 2, 3], np.float32([1, 1, 2, 3]), opset=10),
    **{
        f"resize {place} {mode} {nearest}": lambda place=place, mode=mode, nearest=nearest: one("Resize", [1, 1, 3, 2], NO_FLOATS, np.float32([1, 1, 2, 3]), coordinate_transformation_mode=place, mode=mode, nearest_mode=nearest)
        for place in ("half_pixel", "asymmetric") for mode, nearest in (("linear", "floor"), ("nearest", "floor"), ("nearest", "ceil"), ("nearest", "round_prefer_floor"), ("nearest", "round_prefer_ceil"))
    },
    "depth to space of more channels": lambda: one("DepthToSpace", [1, 12, 2, 3], blocksize=2),
    "depth to space of more channels, column by column": lambda: one("DepthToSpace", [1, 12, 2, 3], blocksize=2, mode="CRD"),
    "one slice": lambda: one("GatherND", [1, 4, 3], np.array([0, 2])),
    "parts of which the last is smaller": lambda: split(parts=4, taken=(3, 2, 1, 0), opset=18, num_outputs=4, extent=7),
    "a part of a shape": lambda: shape_from(1),
    "whole numbers divided, one of them 0": divided,
    "means over axes named by an operand": lambda: one("ReduceMean", [1, 2, 3], integers(1), opset=18),
    "the logarithm of a sum": lambda: positive("ReduceLogSum"),
    "logarithms of shares of rows": lambda: one("LogSoftmax", [1, 2, 3]),
    "resize of one axis to itself": lambda: one("Resize", [1, 1, 3, 2], None, None, integers(1, 1, 3, 4), mode="linear", coordinate_transformation_mode="align_corners"),
    "resize to sizes": lambda: one("Resize", [1, 1, 3, 2], None, None, integers(1, 1, 6, 6), mode="linear", coordinate_transformation_mode="align_corners"),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_what_is_read_is_what_the_runtime_computes(kind):
    network = READ[kind]()
    model = onnx.load_model_from_string(network)
    dims = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    inputs = int(np.prod(dims))
    x = RNG.normal(size=(2, inputs)).astype(np.float32).astype(np.float64)
    for row, y in zip(x, run(network, x), strict=True):
        for numbers in (Float64(), Digits()) if "normalization" not in kind else (Digits(),):
            found = np.array([float(value) for value in values_of(network, row.tolist(), numbers)])
            assert found.shape == y.shape and np.allclose(found, y, rtol=1e-5, atol=1e-5)


REFUSED: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "places that are not there": (lambda: one("Gather", [1, 3], integers(3), axis=1), "places", 3),
    "places before the first": (lambda: one("Gather", [1, 3], integers(-4), axis=1), "places", 3),
    "places of an axis that is not there": (lambda: one("Gather", [1, 3], integers(0), axis=2), "axes of a Gather", 3),
    "places that are fractions": (lambda: one("Gather", [1, 3], some(2), axis=1), "places", 3),
    "elements of other extents": (lambda: one("GatherElements", [2, 2], np.array([[0]]), axis=1), "GatherElements", 4),
    "slices of a batch": (lambda: one("GatherND", [1, 3], np.array([[0]]), batch_dims=1), "by slices", 3),
    "a place twice": (lambda: one("ScatterND", [1, 3], np.array([[0, 1], [0, 1]]), some(2)), "places of a ScatterND", 3),
    "a place twice, from behind": (lambda: one("ScatterND", [1, 3], np.array([[0, 1], [0, -2]]), some(2)), "ScatterND", 3),
    "numbers that are added": (lambda: one("ScatterND", [1, 3], np.array([[0, 1]]), some(1), reduction="add"), "by slices", 3),
    "parts of other sizes": (lambda: split(4, 3), "sizes of a Split", 12),
    "parts of no size": (lambda: split(6, 0), "sizes of a Split", 12),
    "parts that are not even": (lambda: split(parts=4, taken=(0, 1)), "sizes of a Split", 12),
    "a squeeze of what is wider": (lambda: one("Squeeze", [1, 3], integers(1)), "axes of a Squeeze", 3),
    "a squeeze of nothing": (lambda: one("Squeeze", [1, 3], integers()), "axes of a Squeeze", 3),
    "a squeeze with its axes in the old way": (lambda: one("Squeeze", [1, 3], axes=[0]), "'axes' of Squeeze", 3),
    "a squeeze with its axes in the new way": (lambda: one("Squeeze", [1, 3], integers(0), opset=11), "operands", 3),
    "an unsqueeze twice": (lambda: one("Unsqueeze", [1, 3], integers(0, 0)), "axes of a", 3),
    "an expansion that does not fit": (lambda: one("Expand", [1, 3], integers(2, 2)), "ValueError", 3),
    "an expansion beyond all": (lambda: one("Expand", [1, 3], integers(1 << 40, 3)), "its size", 3),
    "tiles beyond all": (lambda: one("Tile", [1, 3], integers(1 << 40, 1 << 40)), "its size", 3),
    "tiles of none": (lambda: one("Tile", [1, 3], integers(1, 0)), "repeats of a Tile", 3),
    "a range beyond all": (lambda: of_constants("Range", np.int64(0), np.int64(1 << 40), np.int64(1)), "its size", 3),
    "a range of no step": (lambda: of_constants("Range", np.int64(0), np.int64(3), np.int64(0)), "ZeroDivisionError", 3),
    "constants beyond all": (lambda: of_constants("ConstantOfShape", integers(1 << 40)), "its size", 3),
    "constants of a negative shape": (lambda: of_constants("ConstantOfShape", integers(-1)), "of no number", 3),
    "whole numbers beyond all": (lambda: of_constants("Mul", integers(1 << 40), integers(1 << 40)), "whole numbers", 3),
    "whole numbers that are negative and divided": (lambda: of_constants("Div", integers(-3), integers(2)), "divided", 3),
    "whole numbers that are divided by 0": (lambda: of_constants("Div", integers(3), integers(0)), "divided", 3),
    "whole numbers and others": (lambda: of_constants("Add", integers(3), some(1)), "other types", 3),
    "a value that is cast to whole numbers": (lambda: one("Cast", [1, 3], to=TensorProto.INT64), "cast", 3),
    "a constant that a cast changes": (lambda: of_constants("Cast", np.float32([1.5]), to=TensorProto.INT64), "changes", 3),
    "a cast to what is not known": (lambda: of_constants("Cast", some(3), to=TensorProto.FLOAT16), "a cast to type", 3),
    "a choice by numbers": (lambda: of_constants("Where", some(3), some(3), some(3)), "no truth value", 3),
    "whether values are equal": (lambda: of_values("Equal", (1, 3), (1, 3)), "equal", 4),
    "a transposed conv with pads not stated": (lambda: one("ConvTranspose", [1, 1, 3], some(1, 1, 2), auto_pad="SAME_UPPER"), "not stated", 3),
    "a transposed conv to a shape": (lambda: one("ConvTranspose", [1, 1, 3], some(1, 1, 2), output_shape=[4]), "not stated", 3),
    "a transposed conv with more pads": (lambda: one("ConvTranspose", [1, 1, 3], some(1, 1, 2), output_padding=[1]), "windows of a ConvTranspose", 3),
    "a transposed conv of other channels": (lambda: one("ConvTranspose", [1, 1, 3], some(2, 1, 2)), "ConvTranspose|ValueError", 3),
    "a transposed conv that is cut off": (lambda: one("ConvTranspose", [1, 1, 3], some(1, 1, 2), pads=[3, 3]), "windows|ValueError", 3),
    **{
        f"{kind} over gaps with pads {where}": (lambda kind=kind, where=where: one(kind, [1, 1, 4], *((some(1, 1, 1),) if kind == "Conv" else ()), strides=[4], auto_pad=where, opset=19, **({} if kind == "Conv" else {"kernel_shape": [1]})), "windows with gaps", 4)
        for kind in ("Conv", "AveragePool", "MaxPool") for where in ("SAME_UPPER", "SAME_LOWER")
    },
    "a conv with gaps in its kernel and pads not stated": (lambda: one("Conv", [1, 1, 5], some(1, 1, 2), dilations=[2], auto_pad="SAME_UPPER"), "windows with gaps", 5),
    "windows that may see padding alone": (lambda: one("MaxPool", [1, 1, 4], kernel_shape=[2], pads=[2, 2]), "windows of a MaxPool", 4),
    "constants of several types": (lambda: of_constants("Concat", integers(1), some(1), axis=0), "several types|Inference|types", 3),
    "sums along an axis that is a value": (lambda: of_values("CumSum", (1, 3), (1,)), "the axis of a CumSum", 4),
    "a resize by fractions": (lambda: one("Resize", [1, 1, 2], None, np.float32([1, 1, 1.5])), "whole factor", 2),
    "a resize to fewer": (lambda: one("Resize", [1, 1, 4], None, np.float32([1, 1, 0.5])), "whole factor", 4),
    "a resize to sizes that do not fit": (lambda: one("Resize", [1, 1, 2], None, None, integers(1, 1, 3)), "whole factor", 2),
    "a resize by a curve": (lambda: one("Resize", [1, 1, 2], None, np.float32([1, 1, 2]), mode="cubic"), "by 'cubic'", 2),
    "a resize without what is outside": (lambda: one("Resize", [1, 1, 2], None, np.float32([1, 1, 2]), mode="linear", exclude_outside=1), "exclude_outside", 2),
    "a clip by two numbers": (lambda: one("Clip", [1, 3], some(2)), "no number", 3),
    "a swish by a factor": (lambda: one("Swish", [1, 3], opset=24, alpha=2.0), "Swish by", 3),
    "a celu of no width": (lambda: one("Celu", [1, 3], alpha=0.0), "width", 3),
    "a normalization in another type": (lambda: normalized(stash_type=11), "LayerNormalization", 12),
    "blocks of none": (lambda: one("SpaceToDepth", [1, 1, 2, 2], blocksize=0), "blocks", 4),
    "blocks of other extents": (lambda: one("SpaceToDepth", [1, 1, 2, 3], blocksize=2), "ValueError", 6),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_a_step_away_is_refused_by_name(kind):
    make, reason, inputs = REFUSED[kind]
    with pytest.raises(FormatError, match=reason):
        read_network(make(), inputs, Float64(), "network")


def test_what_rounding_takes_from_a_sum_is_looked_for_on_both_sides():
    small, one_ = np.array([2.0**-60]), np.array([1.0])
    for first, second in ((small, one_), (one_, small)):
        for kind in ("Add", "Sub"):
            assert folded(kind, first, second) is None
    assert folded("Add", one_, np.array([2.0**-52])).tolist() == [1 + 2.0**-52]
    assert folded("Sub", one_, np.array([2.0**-53])).tolist() == [1 - 2.0**-53]


def test_a_value_is_not_made_narrower():
    made = Builder([1, 3], dtype=np.float64)
    with pytest.raises(FormatError, match="cast"):
        read_network(made.bytes(made.node("Cast", "x", to=TensorProto.FLOAT)), 3, Float64(), "network")
    made = Builder([1, 3])
    wide = made.node("Cast", "x", to=TensorProto.DOUBLE)
    scaled = made.node("Mul", wide, made.constant(np.array(1 / 3), np.float64))
    with pytest.raises(FormatError, match="cast"):
        read_network(made.bytes(made.node("Cast", scaled, to=TensorProto.FLOAT)), 3, Float64(), "network")


def number(value: Any) -> np.ndarray:
    return np.array([value], np.float64)


@pytest.mark.parametrize(
    ("kind", "first", "second", "is_exact"),
    [
        ("Add", 1.0, 2.0**-52, True),
        ("Add", 1.0, 2.0**-53, False),
        ("Add", 0.1, 0.2, False),
        ("Sub", 1e20, 0.1, False),
        ("Sub", 1.0, 0.75, True),
        ("Add", 1.7e308, 1.7e308, False),
        ("Mul", float(np.float32(0.1)), float(np.float32(0.3)), True),
        ("Mul", 2.0**-149, 2.0**-149, True),
        ("Mul", 0.1, 3.0, False),
        ("Mul", 1e200, 1e200, False),
        ("Div", 1.0, 2.0, False),
    ],
)
def test_constants_are_folded_where_that_is_exact(kind, first, second, is_exact):
    with np.errstate(all="ignore"):
        found = folded(kind, number(first), number(second))
    assert (found is not None) == is_exact
    if found is not None:
        exact = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[kind]
        assert found[0] == exact(first, second)


def test_constants_that_would_fill_the_memory_are_not_folded():
    with pytest.raises(UnknownError):
        folded("Add", np.zeros((5000, 1)), np.zeros((1, 5000)))


def test_constants_of_a_file_add_up():
    # Each of these is small enough; 2^27 numbers in all are not.
    made = Builder([1, 3])
    at = made.constant([1], np.int64)
    for _ in range(9):
        made.node("Expand", at, made.constant([1 << 24], np.int64))
    with pytest.raises(FormatError, match="its size"):
        read_network(made.bytes(made.node("Relu", "x")), 3, Float64(), "network")


def test_what_the_checker_does_not_know_is_what_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "certificates.md").read_text()
    (said,) = [line for line in page.splitlines() if line.startswith("* Networks with one of ")]
    own = set(Smooth(Float64()).operators())
    missing = sorted(set(OPERATORS) - own)
    assert not own - set(OPERATORS)
    assert f"one of {len(missing)} of the {len(OPERATORS)} operators that netproof reads: " in said
    assert ", ".join(f"`{name}`" for name in missing) in said
    assert f"{len(own)} operators" in page
