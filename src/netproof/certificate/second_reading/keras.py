"""Second reader of Keras weights in HDF5: dense layers, in fixed point as docs/semantics.md has it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import Floats, Map, Reading, Steps, UnknownFormError, Wholes

if TYPE_CHECKING:
    import h5py

_WIDTHS = ("bits", "input_bits", "weight_integer_bits", "bias_integer_bits", "activation_integer_bits")
_IDLE = ("InputLayer", "Flatten", "Dropout")


def read_keras(data: bytes, widths: Mapping[str, int], deadline: float = math.inf) -> Reading:
    """The network in ``data`` with these bit widths; raises :class:`UnknownFormError`."""
    import h5py

    if set(widths) != set(_WIDTHS):
        raise UnknownFormError("bit widths other than the five known ones")
    bits, input_bits, weight_integers, bias_integers, activation_integers = (widths[name] for name in _WIDTHS)
    with h5py.File(io.BytesIO(data), "r") as file:
        layers = _layers(file)
        if "model_config" in file.attrs:
            _check_activations(json.loads(file.attrs["model_config"]), len(layers))
    reading = Reading(deadline=deadline)
    at = reading.add_input(len(layers[0][0]), 0, 2**input_bits - 1)
    # How many binary places a value has, and the weights, biases and activations of every layer.
    places = input_bits
    weight_places, bias_places, result_places = (
        bits - n for n in (weight_integers, bias_integers, activation_integers)
    )
    for number, (kernel, bias) in enumerate(layers):
        places += weight_places
        if places < result_places or places < bias_places:
            raise UnknownFormError("a layer whose sums have fewer binary places than what is made of them")
        weight = _fixed(kernel, bits, weight_places).astype(np.float64)
        offset = _fixed(bias, bits, bias_places).astype(np.float64) * 2.0 ** (places - bias_places)
        at = reading.add_map(_dense(weight, offset), at)
        last = number == len(layers) - 1
        least, largest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if last else (0, 2**bits - 1)
        at = reading.add_steps(_rounded(2 ** (places - result_places), least, largest), at)
        places = result_places
    reading.output = at
    return reading


def _layers(file: h5py.File) -> list[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Kernel ``[n_in, n_out]`` and bias of every layer that has weights."""
    import h5py

    root = file if any(name.startswith("layer_names") for name in file.attrs) else file["model_weights"]
    found: list[h5py.Dataset] = []
    root.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    if any(item.external or item.is_virtual for item in found):
        raise UnknownFormError("weights that are not in the file")
    layers = []
    for name in _names(root, "layer_names"):
        tensors = [root[name][weight] for weight in _names(root[name], "weight_names")]
        if tensors:
            kernel, bias = (np.asarray(tensor[()]) for tensor in tensors)
            layers.append((kernel, bias))
    if len(found) != 2 * len(layers) or not layers:
        raise UnknownFormError("weights that belong to no dense layer")
    return layers


def _names(holder: h5py.Group, attribute: str) -> list[str]:
    """A list of names, in one attribute or in numbered ones, never in both."""
    numbered = [key for key in holder.attrs if key[: len(attribute)] == attribute and key[len(attribute) :].isdigit()]
    keys = [attribute] if attribute in holder.attrs else [f"{attribute}{i}" for i in range(len(numbered))]
    if numbered and set(keys) != set(numbered):
        raise UnknownFormError(f"'{attribute}' in two forms at once, or with gaps")
    values = [value for key in keys for value in np.atleast_1d(holder.attrs[key]).ravel().tolist()]
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def _check_activations(model: Any, dense: int) -> None:
    """ReLU after every dense layer but the last, nothing after that, and no other layer that does anything."""
    config = model["config"]
    after: list[str] = []
    for layer in config if isinstance(config, list) else config["layers"]:
        kind, stated = layer["class_name"], layer["config"].get("activation") or "linear"
        if kind == "Dense":
            after.append(stated)
        elif any(layer["config"].get(field) for field in ("max_value", "negative_slope", "threshold")):
            raise UnknownFormError("a ReLU with a ceiling, a slope or a threshold")
        elif kind == "ReLU" or (kind == "Activation" and stated == "relu"):
            after[-1:] = ["relu"] if after[-1:] in (["linear"], ["relu"]) else after[-1:]
        elif kind not in _IDLE and not (kind == "Activation" and stated == "linear"):
            raise UnknownFormError(f"a layer of class {str(kind)[:40]}")
    if after != ["relu"] * (dense - 1) + ["linear"]:
        raise UnknownFormError(f"activations {', '.join(map(str, after))[:80]}")


def _fixed(values: NDArray[np.floating], bits: int, places: int) -> NDArray[np.int64]:
    """Numbers as multiples of ``2**-places``: the nearest, of two the one away from zero, within ``bits`` bits."""
    if values.dtype.kind != "f" or values.dtype.itemsize > 8 or not np.isfinite(values).all():
        raise UnknownFormError("weights that are no finite numbers of at most 64 bits")
    # Halves of the unit, whole ones: a product by a power of two is exact, and beyond 2**17 everything saturates.
    halves = np.floor(np.minimum(np.abs(values.astype(np.float64)), 2.0**17) * 2.0 ** (places + 1)).astype(np.int64)
    nearest = (halves + 1) // 2
    limit = 2 ** (bits - 1)
    signed: NDArray[np.int64] = np.where(values < 0, np.maximum(-nearest, -limit), np.minimum(nearest, limit - 1))
    return signed


def _dense(weight: Floats, offset: Floats) -> Map:
    def dense(operands: Sequence[Floats], absolute: bool) -> Floats:
        result: Floats = operands[0] @ np.abs(weight) if absolute else operands[0] @ weight + offset
        return result

    return dense


def _rounded(unit: int, least: int, largest: int) -> Steps:
    """The nearest multiple of ``unit`` (of two the larger), in units, kept between two ends."""

    def rounded(a: Wholes) -> Wholes:
        kept: Wholes = np.minimum(np.maximum((2 * a + unit) // (2 * unit), least), largest)
        return kept

    return rounded
