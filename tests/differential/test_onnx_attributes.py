"""Operators with random attributes, at every opset that is read: what is read gives what onnxruntime gives.

A refusal is an answer as well, but not one for everything: of each operator some files have to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netproof.errors import FormatError
from netproof.formats.onnx.container.file import NEWEST_OPSET, OLDEST_OPSET
from netproof.formats.onnx.read import read_onnx
from onnx_models import model, node, random_inputs, run_netproof, run_onnxruntime, save

Constants = dict[str, np.ndarray[Any, Any]]


class Draw:
    """Random choices, and the constants that they need."""

    def __init__(self, seed: int, opset: int) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.constants: Constants = {}

    def one(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def maybe(self, **attributes: Callable[[], Any]) -> dict[str, Any]:
        """Some of the attributes."""
        return {name: make() for name, make in attributes.items() if self.random.random() < 0.5}

    def whole(self, low: int, high: int, count: int) -> list[int]:
        return [int(v) for v in self.random.integers(low, high + 1, count)]

    def held(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def floats(self, *shape: int) -> str:
        return self.held(self.random.normal(size=shape).astype(np.float32).astype(np.float64))

    def ints(self, values: list[int]) -> str:
        return self.held(np.array(values, np.int64))

    def listed(self, since: int, attribute: str, values: list[int]) -> tuple[list[str], dict[str, Any]]:
        """A list of integers: an attribute, or from an opset on an operand."""
        return ([], {attribute: values}) if self.opset < since else ([self.ints(values)], {})

    def shape(self, least: int = 1, most: int = 4) -> tuple[int, ...]:
        return tuple(self.whole(1, 4, int(self.random.integers(least, most + 1))))


def windows(draw: Draw, axes: int, kernel: list[int]) -> dict[str, Any]:
    chosen = draw.maybe(
        strides=lambda: draw.whole(1, 3, axes),
        dilations=lambda: draw.whole(1, 2, axes),
    )
    if draw.random.random() < 0.3:
        chosen["auto_pad"] = draw.one("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
    elif draw.random.random() < 0.6:
        chosen["pads"] = [draw.whole(0, k - 1 if k > 1 else 0, 1)[0] for k in kernel * 2]
    return chosen


def conv(draw: Draw) -> tuple[Any, ...]:
    axes = draw.one(1, 2, 2, 3)
    group = draw.one(1, 1, 2)
    kernel = draw.whole(1, 3, axes)
    channels, outputs = group * draw.one(1, 2), group * draw.one(1, 2)
    inputs = ["x", draw.floats(outputs, channels // group, *kernel), *draw.one([], [draw.floats(outputs)])]
    return (draw.one(1, 1, 2), channels, *draw.whole(3, 7, axes)), [
        node("Conv", inputs, group=group, **windows(draw, axes, kernel), **draw.maybe(kernel_shape=lambda: kernel))
    ]


def transposed(draw: Draw) -> tuple[Any, ...]:
    axes = draw.one(1, 2, 2, 3)
    group = draw.one(1, 1, 2)
    kernel = draw.whole(1, 4, axes)
    channels, outputs = group * draw.one(1, 2), group * draw.one(1, 2)
    inputs = ["x", draw.floats(channels, outputs // group, *kernel), *draw.one([], [draw.floats(outputs)])]
    options = draw.maybe(
        dilations=lambda: draw.whole(1, 2, axes),
        output_padding=lambda: draw.whole(0, 1, axes),
        kernel_shape=lambda: kernel,
    )
    options["strides"] = draw.whole(1 + int(bool(sum(options.get("output_padding", [])))), 3, axes)
    style = draw.random.random()
    if style < 0.3:
        options["auto_pad"] = draw.one("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
    elif style < 0.6:
        options["pads"] = draw.whole(0, 2, 2 * axes)
    extents = draw.whole(2, 4, axes)
    if draw.random.random() < 0.3:
        options["output_shape"] = [
            max(1, s * e - draw.whole(0, 2, 1)[0]) for s, e in zip(options["strides"], extents, strict=True)
        ]
    return (draw.one(1, 1, 2), channels, *extents), [node("ConvTranspose", inputs, group=group, **options)]


def pool(draw: Draw) -> tuple[Any, ...]:
    operator = draw.one("MaxPool", "AveragePool")
    axes = draw.one(1, 2, 2, 3)
    kernel = draw.whole(1, 4, axes)
    options = windows(draw, axes, kernel)
    if draw.opset < (10 if operator == "MaxPool" else 19):
        options.pop("dilations", None)
    if draw.opset >= 10:
        options |= draw.maybe(ceil_mode=lambda: draw.one(0, 1))
    if operator == "AveragePool":
        options |= draw.maybe(count_include_pad=lambda: draw.one(0, 1))
    return (1, draw.one(1, 2), *draw.whole(3, 8, axes)), [node(operator, ["x"], kernel_shape=kernel, **options)]


def gemm(draw: Draw) -> tuple[Any, ...]:
    options = draw.maybe(
        transA=lambda: draw.one(0, 1), transB=lambda: draw.one(0, 1),
        alpha=lambda: draw.one(0.5, -1.3, 0.0), beta=lambda: draw.one(0.25, 0.7, 0.0),
    )  # fmt: skip
    n, k, m = draw.whole(1, 4, 3)
    left = (k, n) if options.get("transA") else (n, k)
    right = (m, k) if options.get("transB") else (k, m)
    bias = draw.one((m,), (1, m), (n, m), (n, 1), (1,), ())
    inputs = ["x", draw.floats(*right), draw.floats(*bias)]
    if draw.random.random() < 0.3:
        return right, [node("Gemm", [draw.floats(*left), "x", inputs[2]], **options)]
    return left, [node("Gemm", inputs[: draw.one(2, 3, 3) if draw.opset >= 11 else 3], **options)]


def elementwise(draw: Draw) -> tuple[Any, ...]:
    shape = draw.shape()
    other = draw.floats(*(draw.one(e, 1) for e in shape[draw.one(0, -1) :]))
    operands = draw.one(["x", other], [other, "x"])
    return shape, [node(draw.one("Add", "Sub", "Mul", "Div"), operands)]


def reduction(draw: Draw) -> tuple[Any, ...]:
    operator = draw.one("ReduceMean", "ReduceSum")
    shape = draw.shape()
    axes = draw.random.permutation(len(shape))[: draw.one(0, 1, 1, 2)]
    chosen = [int(axis) - (draw.one(0, len(shape)) if draw.opset >= 11 else 0) for axis in axes]
    more, options = draw.listed(18 if operator == "ReduceMean" else 13, "axes", chosen)
    if more or not chosen:
        more, options = draw.one((more, {}), ([], {})) if not chosen else (more, options)
    options |= draw.maybe(keepdims=lambda: draw.one(0, 1))
    if more:
        options |= draw.maybe(noop_with_empty_axes=lambda: draw.one(0, 1))
    return shape, [node(operator, ["x", *more], **options)]


def norm(draw: Draw) -> tuple[Any, ...]:
    channels = draw.one(1, 2, 3)
    parts = [draw.floats(channels) for _ in range(3)]
    parts.append(draw.held(draw.constants[draw.floats(channels)] ** 2))
    options = draw.maybe(epsilon=lambda: 0.1, momentum=lambda: 0.5)
    return (draw.one(1, 2), channels, *draw.whole(1, 3, draw.one(0, 1, 2))), [
        node("BatchNormalization", ["x", *parts], **options)
    ]


def activation(draw: Draw) -> tuple[Any, ...]:
    shape = draw.shape()
    operator = draw.one("Abs", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Clip", "Neg", "Identity", "Dropout")
    if operator == "LeakyRelu":
        return shape, [node(operator, ["x"], **draw.maybe(alpha=lambda: draw.one(0.3, -0.5, 1.5, 0.0)))]
    if operator == "Clip" and draw.opset < 11:
        return shape, [node(operator, ["x"], **draw.maybe(min=lambda: -0.3, max=lambda: 0.4))]
    if operator == "Clip":
        ends = [draw.one("", draw.held(np.array(v))) for v in (-0.3, 0.4)]
        return shape, [node(operator, ["x", *ends])]
    if operator == "Dropout" and draw.opset < 12:
        return shape, [node(operator, ["x"], draw.one(["y"], ["y", "mask"]), **draw.maybe(ratio=lambda: 0.7))]
    return shape, [node(operator, ["x"])]


def moving(draw: Draw) -> tuple[Any, ...]:
    shape = draw.shape(2)
    rank = len(shape)
    kind = draw.one("Transpose", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Gather", "Expand", "Tile")
    if kind == "Transpose":
        order = [int(a) for a in draw.random.permutation(rank)]
        return shape, [node(kind, ["x"], **draw.maybe(perm=lambda: order))]
    if kind == "Flatten":
        return shape, [
            node(kind, ["x"], **draw.maybe(axis=lambda: draw.whole(-rank if draw.opset >= 11 else 0, rank, 1)[0]))
        ]
    if kind == "Reshape":
        options = draw.maybe(allowzero=lambda: 0) if draw.opset >= 14 else {}
        return shape, [node(kind, ["x", draw.ints(draw.one([-1], [0, -1], [1, -1, 1], [-1, shape[-1]]))], **options)]
    if kind == "Squeeze":
        more, options = draw.listed(13, "axes", draw.one([0], [-1] if draw.opset >= 11 else [0], [0, rank - 1]))
        return (1, *shape[1:-1], 1), [draw.one(node(kind, ["x", *more], **options), node(kind, ["x"]))]
    if kind == "Unsqueeze":
        more, options = draw.listed(13, "axes", draw.one([0], [1, 0], [-1] if draw.opset >= 11 else [2], [rank + 1, 0]))
        return shape, [node(kind, ["x", *more], **options)]
    if kind == "Gather":
        axis = draw.whole(-rank, rank - 1, 1)[0]
        index = draw.held(draw.random.integers(-shape[axis], shape[axis], draw.one((), (2,), (2, 1))))
        return shape, [node(kind, ["x", index], axis=axis)]
    if kind == "Expand":
        return shape, [
            node(kind, ["x", draw.ints(draw.one([1], [2, *shape], list(shape), [1] * rank, [3, *[1] * rank]))])
        ]
    return shape, [node(kind, ["x", draw.ints(draw.whole(1, 2, rank))])]


def parts(draw: Draw) -> tuple[Any, ...]:
    shape = draw.shape(2)
    rank = len(shape)
    kind = draw.one("Slice", "Slice", "Split", "Concat", "Pad", "Pad")
    axis = draw.whole(-rank if draw.opset >= 11 else 0, rank - 1, 1)[0]
    if kind == "Slice":
        ends = draw.whole(-6, 6, 2)
        step = draw.one(1, 1, 2, -1, -2) if draw.opset >= 10 else 1
        if draw.opset < 10:
            return shape, [node(kind, ["x"], starts=ends[:1], ends=ends[1:], axes=[axis])]
        return shape, [node(kind, ["x", *(draw.ints([v]) for v in (*ends, axis, step))])]
    if kind == "Split":
        extent = shape[axis]
        first = draw.whole(0, extent, 1)[0]
        more, options = draw.listed(13, "split", [first, extent - first])
        if draw.random.random() < 0.4:
            more, options = [], {"num_outputs": 2} if draw.opset >= 18 else {}
        return shape, [node(kind, ["x", *more], ["a", "y"], axis=axis, **options)]
    if kind == "Concat":
        return shape, [
            node(kind, draw.one(["x", "x"], ["x", draw.floats(*shape)], [draw.floats(*shape), "x"]), axis=axis)
        ]
    mode = draw.one("constant", "constant", "reflect", "edge", "wrap")
    pads = [int(draw.one(0, 1, 2, -1)) for _ in range(2 * rank)]
    if draw.opset < 11:
        return shape, [node(kind, ["x"], pads=pads, mode=mode, **draw.maybe(value=lambda: 0.5))]
    if draw.opset >= 18 and draw.random.random() < 0.4:
        return shape, [node(kind, ["x", draw.ints(pads[:2]), "", draw.ints([axis])], mode=mode)]
    return shape, [node(kind, ["x", draw.ints(pads), *draw.one([], [draw.held(np.array(0.5))])], mode=mode)]


def products(draw: Draw) -> tuple[Any, ...]:
    n, k, m = draw.whole(1, 4, 3)
    left, right = draw.one((n, k), (2, n, k), (k,), (1, 2, n, k)), draw.one((k, m), (2, k, m), (k,), (3, 1, k, m))
    if draw.random.random() < 0.5:
        return left, [node("MatMul", ["x", draw.floats(*right)])]
    return right, [node("MatMul", [draw.floats(*left), "x"])]


def arithmetic(draw: Draw) -> tuple[Any, ...]:
    """Integers of a type, combined and then added to the value: near the ends of the type, too."""
    kind = draw.one(np.int64, np.int64, np.int32, np.uint8, np.int8, np.int16, np.uint32)
    limits = np.iinfo(kind)
    numbers = [0, 1, 2, 7, limits.max, limits.max - 1, limits.max // 2 + 1, limits.min, limits.min + 1]
    a, b = (draw.held(np.array([draw.one(*numbers), draw.one(*numbers[:4])], kind)) for _ in range(2))
    operator = draw.one("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Sum")
    nodes = [node(operator, [a] if operator == "Neg" else [a, b], ["i"])]
    if draw.opset >= 10 and operator == "Mod":
        nodes = [node(operator, [a, b], ["i"], fmod=draw.one(0, 1))]
    return (1, 2), [*nodes, node("Cast", ["i"], ["f"], to=1), node("Add", ["x", "f"])]


MAKERS = (conv, transposed, pool, gemm, elementwise, reduction, norm, activation, moving, parts, products, arithmetic)


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST_OPSET + 1))
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_what_is_read_is_what_a_runtime_computes(make: Any, opset: int, tmp_path: Path) -> None:
    read = compare(make, opset, range(8), tmp_path)
    assert read >= (1 if make is arithmetic else 3)


def compare(make: Any, opset: int, seeds: range, folder: Path) -> int:
    """How many files of a kind were read, all of which gave the same as onnxruntime (where that reads them)."""
    read = 0
    for seed in seeds:
        draw = Draw(seed, opset)
        shape, nodes = make(draw)
        path = save(folder / "net.onnx", model(nodes, shape, draw.constants, opset=opset))
        try:
            networks = [read_onnx(path, simplified=simplified) for simplified in (False, True)]
        except FormatError:
            continue
        read += 1
        inputs = random_inputs(shape, count=2, seed=seed)
        try:
            theirs = run_onnxruntime(path.read_bytes(), inputs)
        except Exception as error:  # noqa: BLE001 - onnxruntime has no exception type of its own
            assert "INVALID_GRAPH" not in str(error), (seed, str(error), nodes)
            continue
        for network in networks:
            for mine, other in zip(run_netproof(network, inputs), theirs, strict=True):
                assert mine.shape == other.shape, (seed, nodes, mine, other)
                scale = max(1.0, float(np.abs(other).max(initial=0)))
                assert np.abs(mine - other).max(initial=0) <= 1e-5 * scale, (seed, nodes, mine, other)
    return read
