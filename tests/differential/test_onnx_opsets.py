"""Operators whose form or meaning changed from opset to opset, and those with many options, at every opset that has them.

What is read gives what onnxruntime gives; a refusal is an answer as well, but some files of each kind have to be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from differential.test_onnx_attributes import Draw, compare
from netproof.errors import FormatError
from netproof.formats.onnx.container.file import NEWEST_OPSET, OLDEST_OPSET
from netproof.formats.onnx.forms import form_of
from netproof.formats.onnx.read import read_onnx
from onnx_models import assert_agrees, model, node, random_inputs, save

Drawn = tuple[tuple[int, ...], list[Any]]


def known_at(draw: Draw, *operators: str) -> str:
    """One of some operators that ONNX has at the opset; of none the first, which is refused."""
    return str(draw.one(*([one for one in operators if form_of(one, draw.opset)] or operators)))


def axis_of(draw: Draw, rank: int) -> int:
    return draw.whole(-rank if draw.opset >= 11 else 0, rank - 1, 1)[0]


def softmax(draw: Draw) -> Drawn:
    """Until opset 13 all axes from the given one on are one."""
    shape = draw.shape()
    options = draw.maybe(axis=lambda: axis_of(draw, len(shape)))
    chain = [node(draw.one("Softmax", "LogSoftmax"), ["x"], ["t"], **options), node("Mul", ["t", draw.floats()])]
    return shape, chain


def layer(draw: Draw) -> Drawn:
    shape = draw.shape(2)
    rank = len(shape)
    axis = draw.whole(-rank, rank - 1, 1)[0]
    parameters = draw.one(shape[axis % rank :], shape[axis % rank :], (1,), shape[-1:])
    operator = known_at(draw, "LayerNormalization", "RMSNormalization")
    more = [draw.floats(*parameters) for _ in range(draw.one(1, 2) if operator[0] == "L" else 1)]
    options = draw.maybe(epsilon=lambda: 0.1, stash_type=lambda: 1) | ({"axis": axis} if axis != -1 else {})
    return shape, [node(operator, ["x", *more], **options)]


def of_channels(draw: Draw) -> Drawn:
    """Groups have parameters of their own until opset 21, channels from then on."""
    groups, inside = draw.one(1, 2, 3), draw.one(1, 2)
    channels = groups * inside
    shape = (draw.one(1, 2), channels, *draw.whole(2, 4, draw.one(1, 2, 3)))
    operator = known_at(draw, "InstanceNormalization", "GroupNormalization", "LRN")
    options = draw.maybe(epsilon=lambda: 0.2)
    if operator == "LRN":
        options = draw.maybe(alpha=lambda: 0.3, beta=lambda: draw.one(0.5, 1.0), bias=lambda: 2.0)
        return (1, channels, 2, 3), [node(operator, ["x"], size=draw.one(1, 3, 5), **options)]
    count = channels if operator[0] == "I" or draw.opset >= 21 else groups
    if operator[0] == "G":
        options["num_groups"] = groups
    return shape, [node(operator, ["x", draw.floats(count), draw.floats(count)], **options)]


def curve(draw: Draw) -> Drawn:
    operator = known_at(
        draw, "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid", "HardSwish", "Softplus", "Mish", "Gelu", "Gelu", "Sign", "Ceil"
    )  # fmt: skip
    choices: dict[str, dict[str, Any]] = {
        "Elu": {"alpha": lambda: draw.one(0.3, 2.5, -0.7, 0.0)},
        "ThresholdedRelu": {"alpha": lambda: draw.one(0.3, 2.5, -0.7, 0.0)},
        "Celu": {"alpha": lambda: draw.one(0.3, 2.5)},
        "Selu": {"alpha": lambda: draw.one(0.3, 2.5), "gamma": lambda: draw.one(0.5, 1.5)},
        "HardSigmoid": {"alpha": lambda: draw.one(0.3, -0.7, 0.0), "beta": lambda: draw.one(0.25, -0.3, 1.5)},
        "Gelu": {"approximate": lambda: draw.one("none", "tanh")},
    }
    return draw.shape(), [node(operator, ["x"], **draw.maybe(**choices.get(operator, {})))]


def resize(draw: Draw) -> Drawn:
    """``Upsample`` with an attribute, then with an operand; ``Resize`` with one more operand, then with two."""
    axes = draw.one(1, 2, 2)
    shape = (1, draw.one(1, 2), *draw.whole(1, 7, axes))
    mode = draw.one("nearest", "nearest", "linear", "linear", "cubic")
    larger, smaller = (1.0, 2.0, 3.0, 1.5, 2.3), (0.5, 0.6, 0.7, 1 / 3, 4 / 3, 1.1)
    scales = [1.0, 1.0, *(draw.one(*larger, *(smaller if draw.opset >= 10 else ())) for _ in range(axes))]
    if draw.opset < 9:
        return shape, [node("Upsample", ["x"], scales=scales, mode=mode)]
    operator = "Upsample" if draw.opset < 10 else "Resize"
    held = draw.held(np.array(scales))
    if draw.opset < 11:
        return shape, [node(operator, ["x", held], mode=mode)]
    places = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    options = draw.maybe(
        coordinate_transformation_mode=lambda: draw.one(*places),
        nearest_mode=lambda: draw.one("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    )
    nothing = "" if draw.opset >= 13 else draw.held(np.zeros(0))
    if draw.random.random() < 0.5:
        return shape, [node(operator, ["x", nothing, held], mode=mode, **options)]
    sizes = draw.whole(1, 9, axes)
    if draw.opset >= 18 and draw.random.random() < 0.5:
        options["axes"] = [a + draw.one(2, -axes) for a in range(axes)]
        return shape, [node(operator, ["x", "", "", draw.ints(sizes)], mode=mode, **options)]
    return shape, [node(operator, ["x", nothing, nothing, draw.ints([*shape[:2], *sizes])], mode=mode, **options)]


def blocks(draw: Draw) -> Drawn:
    size = draw.one(1, 2, 3)
    if draw.random.random() < 0.5:
        options = draw.maybe(mode=lambda: draw.one("DCR", "CRD")) if draw.opset >= 11 else {}
        shape = (draw.one(1, 2), size * size * draw.one(1, 2), *draw.whole(1, 3, 2))
        return shape, [node("DepthToSpace", ["x"], blocksize=size, **options)]
    shape = (draw.one(1, 2), draw.one(1, 2), size * draw.one(1, 2), size * draw.one(1, 2))
    return shape, [node("SpaceToDepth", ["x"], blocksize=size)]


def ordered(draw: Draw) -> Drawn:
    operator, shape = known_at(draw, "CumSum", "Trilu"), draw.shape(2)
    if operator == "Trilu":
        more = draw.one([], [draw.held(np.array(draw.whole(-5, 5, 1)[0]))])
        return shape, [node(operator, ["x", *more], **draw.maybe(upper=lambda: draw.one(0, 1)))]
    place = draw.held(np.array(axis_of(draw, len(shape)), draw.one(np.int64, np.int32)))
    options = draw.maybe(exclusive=lambda: draw.one(0, 1), reverse=lambda: draw.one(0, 1))
    return shape, [node(operator, ["x", place], **options)]


def einsum(draw: Draw) -> Drawn:
    extents = {label: draw.whole(1, 3, 1)[0] for label in "abcd"}
    labels = ["".join(draw.random.permutation(list(extents))[: draw.one(1, 2, 3)]) for _ in range(2)]
    both = draw.one([labels[0]], labels)
    inside = sorted(set("".join(both)))
    result = "".join(draw.random.permutation(inside)[: draw.whole(0, len(inside), 1)[0]])
    operands = ["x", *(draw.floats(*(extents[label] for label in part)) for part in both[1:])]
    equation = draw.one(f"{','.join(both)}->{result}", f"{', '.join(both)} -> {result}", ",".join(both))
    return tuple(extents[label] for label in labels[0]), [node("Einsum", operands, equation=equation)]


def reduction(draw: Draw) -> Drawn:
    """Axes are an attribute until opset 18."""
    operator = draw.one(
        "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd"
    )
    shape = draw.shape()
    axes = [int(a) for a in draw.random.permutation(len(shape))[: draw.one(0, 1, 1, 2)]]
    more, options = draw.listed(18, "axes", axes) if axes else ([], {})
    options |= draw.maybe(keepdims=lambda: draw.one(0, 1))
    return shape, [node(operator, ["x", *more], **options)]


def largest(draw: Draw) -> Drawn:
    shape = draw.shape()
    options = draw.maybe(axis=lambda: axis_of(draw, len(shape)), keepdims=lambda: draw.one(0, 1))
    if draw.opset >= 12:
        options |= draw.maybe(select_last_index=lambda: draw.one(0, 1))
    # Floors are equal now and then; and something depends on the input, of which one entry alone does not.
    chain = [node("Floor", ["x"], ["w"]), node(draw.one("ArgMax", "ArgMin"), [draw.one("x", "w")], ["i"], **options)]
    chain += [node("Cast", ["i"], ["f"], to=1), node("ReduceSum", ["f"], ["g"], keepdims=0), node("Add", ["g", "x"])]
    return shape, chain


def places(draw: Draw) -> Drawn:
    shape = draw.shape(2)
    rank = len(shape)
    operator = known_at(draw, "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND")
    axis = axis_of(draw, rank)
    lowest = -shape[axis] if draw.opset >= 11 else 0
    if operator == "Gather":
        index = draw.held(draw.random.integers(lowest, shape[axis], draw.one((), (2,), (2, 1))))
        return shape, [node(operator, ["x", index], axis=axis)]
    if operator.endswith("Elements"):
        own = [1 if a == axis % rank else extent for a, extent in enumerate(shape)]
        index = draw.held(draw.random.integers(lowest, shape[axis], size=own))
        more = [draw.floats(*own)] if operator[0] == "S" else []
        return shape, [node(operator, ["x", index, *more], axis=axis)]
    depth, rows = draw.one(*range(1, rank + 1)), draw.one(1, 2)
    index = draw.held(
        np.stack([draw.random.integers(-e if draw.opset >= 11 else 0, e, size=rows) for e in shape[:depth]], -1)
    )
    if operator == "GatherND":
        return shape, [node(operator, ["x", index])]
    if draw.random.random() < 0.5:
        return (rows, *shape[depth:]), [node(operator, [draw.floats(*shape), index, "x"])]
    return shape, [node(operator, ["x", index, draw.floats(rows, *shape[depth:])])]


def power(draw: Draw) -> Drawn:
    """Exponents may be of another type than their base from opset 12 on."""
    shape = draw.shape()
    extents = draw.one((), shape[-1:], (1,))
    if draw.opset >= 12 and draw.random.random() < 0.4:
        return shape, [node("Pow", ["x", draw.held(draw.random.choice([1, 2, 3], size=extents).astype(np.int64))])]
    return shape, [node("Pow", ["x", draw.held(draw.random.choice([1.0, 2.0, 3.0, 4.0, -1.0, -2.0], size=extents))])]


def slopes(draw: Draw) -> Drawn:
    shape = draw.shape()
    return shape, [node("PRelu", ["x", draw.floats(*(draw.one(e, 1) for e in shape[draw.one(0, -1) :]))])]


def several(draw: Draw) -> Drawn:
    """Until opset 8 operands were of one shape."""
    shape = draw.shape()
    start = draw.one(0, -1)
    others = [
        draw.floats(*(draw.one(e, 1) for e in shape[start:]) if draw.opset >= 8 else shape)
        for _ in range(draw.one(1, 2))
    ]
    operands = [str(name) for name in draw.random.permutation(["x", *others])]
    return shape, [node(draw.one("Max", "Min", "Sum", "Mean"), operands)]


def extents(draw: Draw) -> Drawn:
    """A part of a shape from opset 15 on."""
    shape = draw.shape(3)
    rank = len(shape)
    options = {"start": draw.one(0, 1, -rank), "end": draw.one(rank, rank + 3, -1, 2)} if draw.opset >= 15 else {}
    chain = [
        node("Shape", ["x"], ["s"], **options),
        node("Cast", ["s"], ["f"], to=1),
        node("ReduceSum", ["f"], ["g"], keepdims=0),
    ]
    return shape, [*chain, node("Add", ["x", "g"])]


MAKERS = (
    softmax, layer, of_channels, curve, resize, blocks, ordered, einsum, reduction, largest, places, power, slopes, several, extents,
)  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_what_is_read_is_what_a_runtime_computes(make: Any, tmp_path: Path) -> None:
    read = [
        compare(make, opset, range(100 * opset, 100 * opset + 3), tmp_path)
        for opset in range(OLDEST_OPSET, NEWEST_OPSET + 1)
    ]
    assert sum(read) >= (10 if make in (layer, einsum) else 20)


RESIZED = "so nearly a whole number that float32 decides"


@pytest.mark.parametrize(
    ("opset", "extent", "scale", "mode", "part"),
    [
        # 2.3 is less than that in float32: 22 entries by its exact value, and 23 by the product in float32, which ONNX takes.
        (9, 10, 2.3, "nearest", RESIZED),
        (13, 10, 2.3, "linear", RESIZED),
        # Entries are left out before opset 11: runtimes take the next one, and the one before where there are more.
        (10, 5, 0.6, "nearest", "opset 10 does not say which ones"),
        # Runtimes copy where no extent changes.
        (13, 7, 1.1, "nearest", "runtimes take for no change"),
        (13, 7, 1.1, "linear", "runtimes take for no change"),
        (10, 5, 0.6, "linear", ""),
        (10, 4, 0.5, "nearest", ""),
        (13, 5, 0.6, "nearest", ""),
        (13, 10, 2.25, "nearest", ""),
    ],
)
def test_sizes_that_runtimes_and_onnx_understand_differently(
    opset: int, extent: int, scale: float, mode: str, part: str, tmp_path: Path
) -> None:
    operator, nothing = ("Upsample" if opset < 10 else "Resize"), ([""] if opset >= 11 else [])
    nodes = [node(operator, ["x", *nothing, "s"], mode=mode)]
    made = save(tmp_path / "net.onnx", model(nodes, (1, 1, extent), {"s": np.array([1.0, 1.0, scale])}, opset=opset))
    if not part:
        assert_agrees(made, random_inputs((1, 1, extent)))
        return
    with pytest.raises(FormatError, match=part) as refused:
        read_onnx(made)
    assert f"({operator} of 1x1x{extent}" in str(refused.value)


def test_nothing_along_an_axis(tmp_path: Path) -> None:
    """Matrices without inputs, and the largest of one entry: both are numbers."""
    constants = {"s": np.array([0]), "e": np.array([0]), "a": np.array([1]), "w": np.zeros((0, 3))}
    nodes = [node("Slice", ["x", "s", "e", "a"], ["z"]), node("MatMul", ["z", "w"], ["m"]), node("Add", ["m", "x"])]
    assert_agrees(save(tmp_path / "net.onnx", model(nodes, (2, 3), constants)), random_inputs((2, 3)))
    nodes = [node("ArgMax", ["x"], ["i"], axis=0), node("Cast", ["i"], ["f"], to=1), node("Add", ["f", "x"])]
    assert_agrees(save(tmp_path / "net.onnx", model(nodes, (1, 3))), random_inputs((1, 3)))


INFINITE = np.array([0.0, -np.inf, 1.0])


@pytest.mark.parametrize(
    ("nodes", "constants", "part"),
    [
        ([node("Add", ["x", "m"], ["a"]), node("Relu", ["a"])], {"m": INFINITE}, r"\(Relu of 2x3\): an operand that is minus infinity"),
        ([node("Add", ["x", "m"], ["a"]), node("LogSoftmax", ["a"])], {"m": INFINITE}, "an operand that is minus infinity"),
        ([node("Add", ["x", "m"])], {"m": INFINITE}, "value 'y' is minus infinity at some places"),
        ([node("Add", ["x", "m"], ["a"]), node("Identity", ["a"])], {"m": INFINITE}, "value 'y' is minus infinity"),
        ([node("Sub", ["x", "m"], ["a"]), node("Softmax", ["a"])], {"m": INFINITE}, "holds NaN or infinity"),
        ([node("Add", ["x", "m"], ["a"]), node("Softmax", ["a"])], {"m": -INFINITE}, "holds NaN or infinity"),
        ([node("Add", ["x", "m"], ["a"]), node("Softmax", ["a"])], {"m": np.array([0.0, np.nan, -np.inf])}, "holds NaN"),
        ([node("Add", ["x", "m"], ["a"]), node("Softmax", ["a"])], {"m": np.full(3, -np.inf)}, "minus infinity alone"),
        ([node("Mul", ["m", "b"], ["n"]), node("Add", ["x", "n"], ["a"]), node("Softmax", ["a"])],
         {"m": INFINITE * [1, 1, 0], "b": np.array(-0.5)}, "minus infinity times something else"),
        ([node("Where", ["c", "x", "m"], ["a"]), node("Exp", ["a"])],
         {"m": np.array(-np.inf), "c": np.array([True, False, True])}, r"\(Exp of 2x3\): an operand that is minus infinity"),
    ],
)  # fmt: skip
def test_masks_are_for_a_softmax_alone(nodes: list[Any], constants: dict[str, Any], part: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=part):
        read_onnx(save(tmp_path / "net.onnx", model(nodes, (2, 3), constants)))


@pytest.mark.parametrize("operator", ["Log", "Sqrt", "Reciprocal"])
def test_whether_a_value_is_a_number_is_known_where_it_is_one_for_every_input(operator: str, tmp_path: Path) -> None:
    """Refused where something may have no value, even at the other end of a softmax; a mask's minus infinity is no number either."""
    asked = [node("Softmax", ["l"], ["s"]), node("IsNaN", ["s"], ["n"]), node("Where", ["n", "z", "s"])]
    made = model([node(operator, ["x"], ["l"]), *asked], (2, 3), {"z": np.array(0.0)})
    with pytest.raises(FormatError, match="which may have none"):
        read_onnx(save(tmp_path / "net.onnx", made))
    positive = [node("Exp", ["x"], ["e"]), node("Add", ["e", "o"], ["p"]), node(operator, ["p"], ["l"])]
    # Above 0 for every input; of a logarithm and a reciprocal only ranges know that.
    made = model([*positive, *asked], (2, 3), {"z": np.array(0.0), "o": np.array(1.0)})
    path = save(tmp_path / "net.onnx", made)
    if operator == "Sqrt":
        assert_agrees(path, random_inputs((2, 3)))
    else:
        with pytest.raises(FormatError, match="which may have none"):
            read_onnx(path)
