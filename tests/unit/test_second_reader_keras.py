"""The second reader of Keras weights by itself: fixed point in fractions, and the files that it refuses."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from netproof.certificate.second_reading.keras import read_keras
from netproof.certificate.second_reading.reading import Reading, UnknownFormError, stepped

Layer = tuple[NDArray[Any], NDArray[Any]]
RANDOM = np.random.default_rng(6)


def file_of(layers: Sequence[Layer], change: Callable[[h5py.File], None] | None = None) -> bytes:
    """A file of dense layers, after ``change``."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["layer_names"] = [f"dense_{i}".encode() for i in range(len(layers))]
        for i, (kernel, bias) in enumerate(layers):
            group = file.create_group(f"dense_{i}")
            group.attrs["weight_names"] = [b"kernel", b"bias"]
            group["kernel"], group["bias"] = kernel, bias
        if change:
            change(file)
    return stream.getvalue()


def widths(bits: int, inputs: int, weights: int, biases: int, activations: int) -> dict[str, int]:
    return {
        "bits": bits,
        "input_bits": inputs,
        "weight_integer_bits": weights,
        "bias_integer_bits": biases,
        "activation_integer_bits": activations,
    }


USUAL = widths(6, 8, 1, 2, 2)
LAYERS: list[Layer] = [(RANDOM.uniform(-1, 1, size), RANDOM.uniform(-1, 1, size[1])) for size in ((3, 4), (4, 2))]


def refused(data: bytes, words: str, scheme: dict[str, int] | None = None) -> None:
    with pytest.raises(UnknownFormError) as raised:
        read_keras(data, USUAL if scheme is None else scheme)
    assert words in str(raised.value), raised.value


# -- what is computed


def quantized(value: float, bits: int, integers: int) -> Fraction:
    """The nearest number of so many bits, of two the one away from zero."""
    unit = Fraction(1, 2 ** (bits - integers))
    nearest = math.floor(abs(Fraction(value)) / unit + Fraction(1, 2)) * (-1 if value < 0 else 1)
    limit = 1 << (bits - 1)
    return min(max(nearest, -limit), limit - 1) * unit


def expected(layers: Sequence[Layer], scheme: dict[str, int], x: Sequence[int]) -> list[int]:
    """The scheme of docs/semantics.md in exact numbers; the outputs in units of their last bit."""
    bits, inputs, weights, biases, activations = scheme.values()
    value = [Fraction(v, 2**inputs) for v in x]
    unit = Fraction(1, 2 ** (bits - activations))
    for number, (kernel, bias) in enumerate(layers):
        sums = [
            sum(
                (quantized(w, bits, weights) * v for w, v in zip(column, value, strict=True)),
                quantized(b, bits, biases),
            )
            for column, b in zip(kernel.T.tolist(), bias.tolist(), strict=True)
        ]
        last = number == len(layers) - 1
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if last else (0, 2**bits - 1)
        value = [min(max(math.floor(a / unit + Fraction(1, 2)), low), high) * unit for a in sums]
    return [int(v / unit) for v in value]


def found(reading: Reading, x: NDArray[Any]) -> list[list[int]]:
    values = [x.astype(np.float64)]
    for part in reading.parts[1:]:
        operand = values[part.operands[0]]
        if part.map is not None:
            values.append(part.map([operand], False))
        else:
            assert part.steps
            values.append(stepped(part.steps[0], operand).astype(np.float64))
        assert (part.low <= values[-1]).all() and (values[-1] <= part.high).all()
    result: list[list[int]] = values[reading.output].astype(int).tolist()
    return result


def agrees(layers: Sequence[Layer], scheme: dict[str, int]) -> None:
    largest, size = 2 ** scheme["input_bits"] - 1, len(layers[0][0])
    reading = read_keras(file_of(layers), scheme)
    source = reading.parts[0]
    assert source.low.tolist() == [0] * size and source.high.tolist() == [largest] * size
    x = RANDOM.integers(0, largest + 1, (8, size))
    x[0], x[1] = 0, largest
    assert found(reading, x) == [expected(layers, scheme, one) for one in x.tolist()]


@pytest.mark.parametrize(
    "scheme",
    [
        USUAL,
        widths(4, 4, 2, 2, 1),
        widths(8, 4, 1, 3, 4),
        widths(16, 16, 1, 2, 2),
        widths(1, 1, 1, 1, 0),
        widths(16, 2, 16, 16, 16),
        widths(8, 1, 7, 8, 7),
    ],
)
def test_fixed_point_of_all_widths(scheme: dict[str, int]) -> None:
    for scale in (1, 2 ** scheme["weight_integer_bits"]):
        agrees([(kernel * scale, bias * scale) for kernel, bias in LAYERS], scheme)
    agrees(LAYERS[:1], scheme)


@pytest.mark.parametrize("scheme", [USUAL, widths(8, 8, 4, 4, 4)])
def test_numbers_that_are_delicate_to_round(scheme: dict[str, int]) -> None:
    """Ties and their neighbours, the ends, and what is far beyond or far below them."""
    ties = np.arange(-41, 42, 2) / 64
    near = np.concatenate([ties, np.nextafter(ties, 9), np.nextafter(ties, -9), ties * 16])
    values = np.concatenate([near, [1e300, -1e300, 2.0**17, -(2.0**20), 1e-300, -1e-300, 0.0, -0.0, 1, -1]])
    agrees([(values[None], values)], scheme)
    for dtype in ("f2", "f4"):
        agrees([(ties.astype(dtype)[None], ties.astype(dtype))], scheme)


@pytest.mark.parametrize(
    ("scheme", "fits"),
    [
        (widths(4, 2, 4, 4, 2), True),
        (widths(4, 2, 4, 4, 1), False),
        (widths(4, 2, 4, 2, 4), True),
        (widths(4, 2, 4, 1, 4), False),
        (widths(4, 2, 4, 1, 1), False),
    ],
)
def test_sums_have_no_fewer_places_than_what_is_made_of_them(scheme: dict[str, int], fits: bool) -> None:
    if fits:
        agrees(LAYERS[:1], scheme)
    else:
        refused(file_of(LAYERS[:1]), "a layer whose sums have fewer binary places", scheme)


def test_widths_that_are_not_known() -> None:
    refused(file_of(LAYERS), "bit widths other than the five known ones", {"bits": 6})
    refused(file_of(LAYERS), "bit widths other than the five known ones", USUAL | {"more": 1})


@pytest.mark.parametrize(
    "weights",
    [np.ones((3, 1), int), np.array([["a"]] * 3, "S1"), np.ones((3, 1), np.longdouble), np.ones((3, 1), complex)],
)
def test_weights_are_floats_of_at_most_64_bits(weights: NDArray[Any]) -> None:
    refused(file_of([(weights, np.zeros(1))]), "weights that are no finite numbers of at most 64 bits")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_are_finite(value: float) -> None:
    for layer in ((np.full((3, 1), value), np.zeros(1)), (np.zeros((3, 1)), np.array([value]))):
        refused(file_of([layer]), "weights that are no finite numbers")


# -- where weights are


def same(change: Callable[[h5py.File], None]) -> None:
    """The change makes no other network."""
    x = RANDOM.integers(0, 256, (5, 3))
    assert found(read_keras(file_of(LAYERS, change), USUAL), x) == found(read_keras(file_of(LAYERS), USUAL), x)


def with_an_idle_layer(file: h5py.File) -> None:
    file.attrs["layer_names"] = ["dense_0", "flatten", "dense_1"]
    file.create_group("flatten").attrs["weight_names"] = np.zeros(0, "S1")


def in_a_group(file: h5py.File) -> None:
    group = file.create_group("model_weights")
    for name in ("dense_0", "dense_1"):
        file.move(name, f"model_weights/{name}")
    group.attrs["layer_names"] = file.attrs["layer_names"]
    del file.attrs["layer_names"]


def in_pieces(file: h5py.File) -> None:
    """And beside other attributes whose names begin or end alike."""
    del file.attrs["layer_names"]
    file.attrs["layer_names0"], file.attrs["layer_names1"] = ["dense_0"], ["dense_1"]
    file.attrs["layer_names_of"], file.attrs["other_names0"], file.attrs["other_names7"] = "them", ["x"], ["y"]


@pytest.mark.parametrize("change", [with_an_idle_layer, in_a_group, in_pieces])
def test_where_names_and_weights_may_be(change: Callable[[h5py.File], None]) -> None:
    same(change)


def twice_named(file: h5py.File) -> None:
    file.attrs["layer_names0"] = ["dense_0"]


def with_a_gap(file: h5py.File) -> None:
    del file.attrs["layer_names"]
    file.attrs["layer_names0"], file.attrs["layer_names2"] = ["dense_0"], ["dense_1"]


def without_a_layer(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.zeros(0, "S1")
    del file["dense_0"], file["dense_1"]


def with_a_weight_that_nobody_names(file: h5py.File) -> None:
    file["dense_1/gamma"] = np.zeros(2)


def outside(file: h5py.File) -> None:
    del file["dense_0/bias"]
    file.create_dataset("dense_0/bias", (4,), "f8", external=[("/dev/zero", 0, 32)])


def virtual(file: h5py.File) -> None:
    del file["dense_0/bias"]
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "bias", (4,))
    file["dense_0"].create_virtual_dataset("bias", layout)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (twice_named, "'layer_names' in two forms at once, or with gaps"),
        (with_a_gap, "'layer_names' in two forms at once, or with gaps"),
        (without_a_layer, "weights that belong to no dense layer"),
        (with_a_weight_that_nobody_names, "weights that belong to no dense layer"),
        (outside, "weights that are not in the file"),
        (virtual, "weights that are not in the file"),
    ],
)
def test_weights_that_are_elsewhere(change: Callable[[h5py.File], None], words: str) -> None:
    refused(file_of(LAYERS, change), words)


# -- what the file says of activations

DENSE = ("Dense", {"activation": "relu"})
LAST: tuple[str, dict[str, Any]] = ("Dense", {"activation": "linear"})
PLAIN: tuple[str, dict[str, Any]] = ("Dense", {"activation": None})
RELU: tuple[str, dict[str, Any]] = ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0})


def stating(*layers: tuple[str, dict[str, Any]], listed: bool = False) -> Callable[[h5py.File], None]:
    """Stated as Keras does now or, ``listed``, as it did first."""

    def change(file: h5py.File) -> None:
        named = [{"class_name": name, "config": config} for name, config in layers]
        file.attrs["model_config"] = json.dumps({"config": named if listed else {"layers": named}})

    return change


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    "layers",
    [
        [DENSE, LAST],
        [DENSE, PLAIN],
        [DENSE, ("Dense", {})],
        [("InputLayer", {}), ("Flatten", {}), DENSE, ("Dropout", {"rate": 0.5}), LAST],
        [PLAIN, RELU, LAST],
        [PLAIN, ("Activation", {"activation": "relu"}), PLAIN],
        [DENSE, RELU, ("Activation", {"activation": "linear"}), LAST, ("Activation", {"activation": "linear"})],
        [RELU, DENSE, PLAIN],
    ],
)
def test_activations_that_are_those_of_the_scheme(layers: list[tuple[str, dict[str, Any]]], listed: bool) -> None:
    same(stating(*layers, listed=listed))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_layer_but_the_last_has_a_relu(count: int) -> None:
    layers = [*[(np.eye(3), np.ones(3))] * (count - 1), LAYERS[0]]
    assert len(read_keras(file_of(layers, stating(*[DENSE] * (count - 1), LAST)), USUAL).parts) == 1 + 2 * count
    for dense in {0, 1, 2, 3} - {count - 1}:
        refused(file_of(layers, stating(*[DENSE] * dense, LAST)), "activations ")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([DENSE], "activations relu"),
        ([LAST], "activations linear"),
        ([DENSE, DENSE, LAST], "activations relu, relu, linear"),
        ([LAST, LAST], "activations linear, linear"),
        ([DENSE, DENSE], "activations relu, relu"),
        ([DENSE, PLAIN, RELU], "activations relu, relu"),
        ([DENSE, PLAIN, ("Activation", {"activation": "relu"})], "activations relu, relu"),
        ([("Dense", {"activation": "tanh"}), RELU, LAST], "activations tanh, linear"),
        ([PLAIN, ("ReLU", {"max_value": 6.0}), LAST], "a ReLU with a ceiling, a slope or a threshold"),
        ([PLAIN, ("ReLU", {"negative_slope": 0.1}), LAST], "a ReLU with a ceiling, a slope or a threshold"),
        ([PLAIN, ("ReLU", {"threshold": 1}), LAST], "a ReLU with a ceiling, a slope or a threshold"),
        ([DENSE, LAST, ("Activation", {"activation": "softmax"})], "a layer of class Activation"),
        ([DENSE, ("Conv2D", {"activation": "relu"}), LAST], "a layer of class Conv2D"),
        ([DENSE, ("Conv2D", {"activation": "linear"}), LAST], "a layer of class Conv2D"),
        ([DENSE, ("L" * 50, {}), LAST], "a layer of class " + "L" * 40),
    ],
)
def test_activations_that_are_others(layers: list[tuple[str, dict[str, Any]]], words: str) -> None:
    refused(file_of(LAYERS, stating(*layers)), words)
