"""Reader for Keras HDF5 weights of multi-layer perceptrons.

Keras lists its layers in the attribute ``layer_names`` and each layer's tensors in
``weight_names``, kernel first; a whole model keeps the same under ``model_weights``, and says in ``model_config``
which function its layers are. Nothing in the file is executed, and nothing in it is passed over: a layer that is read
as none, and numbers that no name mentions, are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.files.opened import read_bytes
from netproof.formats.clock import Clock
from netproof.formats.fixed_point import FixedPoint, fixed_point_graph
from netproof.formats.keras.config import check_config
from netproof.formats.keras.hdf5 import Hdf5File, open_hdf5, printable
from netproof.network import Network

if TYPE_CHECKING:
    import h5py

#: what whole models keep beside their weights, and what says nothing about the function
_BESIDE_WEIGHTS = ("optimizer_weights",)
#: layers that do nothing where a network is used, by the names that Keras gives them
_IDLE = re.compile(r"(dropout|flatten|input|input_layer|re_lu|relu)(_[0-9]+)?")
_RELU = re.compile(r"(re_lu|relu)(_[0-9]+)?")


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """A layer of a file; one without weights (dropout, flatten) has no kernel and no bias.

    ``kernel`` is ``[n_in, n_out]``, ``bias`` ``[n_out]``, in the float type of the file.
    """

    name: str
    kernel: NDArray[np.floating] | None = None
    bias: NDArray[np.floating] | None = None


def read_keras_h5(path: str | Path, widths: FixedPoint | None = None, clock: Clock | None = None) -> Network:
    """Read a multi-layer perceptron and quantize it.

    Parameters
    ----------
    path : an HDF5 weights file (or whole model) of dense layers
    widths : bit widths; the AAAI 2021 benchmark's where None
    clock : looked at between layers; None stands for no deadline

    Raises
    ------
    FormatError : missing, truncated or foreign file; layers that do not chain; NaN or infinite weights; numbers that
        are not in the file, or that no name mentions; a ``model_config`` of another function
    ExactnessError : bit widths with which accumulators leave float64's exact range
    TimeLimitError : the clock's deadline is over
    """
    import hashlib

    widths, path = widths or FixedPoint(), Path(path)
    data = read_bytes(path, "network file")
    with open_hdf5(path, data) as file:
        layers = _layers_of(file, clock or Clock(path, None))
        _check_model(file, layers)
    dense = [(layer.kernel, layer.bias) for layer in layers if layer.kernel is not None and layer.bias is not None]
    graph = fixed_point_graph(dense, widths, path)
    lower = torch.zeros(graph.input.size, dtype=torch.float64)
    return Network(
        graph=graph,
        path=str(path),
        sha256=hashlib.sha256(data).hexdigest(),
        lower=lower,
        upper=lower + (1 << widths.input_bits) - 1,
        scheme=widths.as_dict(),
        content=data,
    )


def _layers_of(file: Hdf5File, clock: Clock) -> list[DenseLayer]:
    path, (inside, root) = file.path, _place_of_weights(file)
    names = file.names(root, "layer_names")
    _check_distinct(path, names, "layer")
    numbers, unread = 0, set(file.tensors)
    unread -= {name for name in unread if name.startswith(tuple(f"{other}/" for other in _BESIDE_WEIGHTS)) and inside}
    layers: list[DenseLayer] = []
    for name in clock.each(names):
        shown = printable(name)
        places = _places_of(file, inside, name)
        tensors = [file.tensors[place] for place in places]
        unread -= set(places)
        if not tensors:
            layers.append(DenseLayer(name))
            continue
        _check_shapes(path, shown, tensors, layers)
        numbers += sum(tensor.size for tensor in tensors)
        if numbers > file.most_numbers:
            raise FormatError(
                path,
                f"layer '{shown}' claims {tensors[0].size} weights, in a file of {len(file.data)} bytes",
                "this is no usable network",
            )
        kernel, bias = (
            file.numbers(tensor, f"layer '{shown}': its {part}")
            for part, tensor in zip(("kernel", "bias"), tensors, strict=True)
        )
        layers.append(DenseLayer(name, kernel, bias))
    _check_nothing_left(file, inside, names, unread)
    if all(layer.kernel is None for layer in layers):
        raise FormatError(path, "has no dense layer", "give the weights of a multi-layer perceptron")
    return layers


def _place_of_weights(file: Hdf5File) -> tuple[str, h5py.Group]:
    """Where the layers are: the beginning of their names, and the group that lists them."""
    inside, root = "", file.root
    stated = [name for name in root.attrs if name.startswith("layer_names")]
    if "model_weights" in file.groups:
        if stated:
            raise FormatError(
                file.path, "lists layers both at its top and under 'model_weights'", "save the weights again"
            )
        inside, root = "model_weights/", file.groups["model_weights"]
        beside = [name for name in file.root if name not in ("model_weights", *_BESIDE_WEIGHTS)]
        if beside:
            raise FormatError(file.path, f"holds '{printable(beside[0])}' beside its weights", "save the model again")
    if not any(name.startswith("layer_names") for name in root.attrs):
        raise FormatError(file.path, "has no attribute 'layer_names'", "give weights that Keras saved as HDF5")
    return inside, root


def _places_of(file: Hdf5File, inside: str, name: str) -> list[str]:
    """Where the tensors of a layer are, by its name."""
    group = file.groups.get(f"{inside}{name}") if name else None
    shown = printable(name)
    if group is None:
        raise FormatError(file.path, f"its layer '{shown}' is named and not there", "download or copy it again")
    weights = file.names(group, "weight_names")
    _check_distinct(file.path, weights, f"weight of layer '{shown}'")
    places = [f"{inside}{name}/{weight}" for weight in weights]
    for place, weight in zip(places, weights, strict=True):
        if place not in file.tensors:
            raise FormatError(
                file.path,
                f"layer '{shown}': its weight '{printable(weight)}' is named and not there",
                "download or copy it again",
            )
    return places


def _check_distinct(path: Path, names: list[str], what: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise FormatError(path, f"names the {what} '{printable(name)}' twice", "save the weights again")


def _check_shapes(path: Path, shown: str, tensors: list[h5py.Dataset], before: list[DenseLayer]) -> None:
    shapes: list[tuple[int, ...]] = [tuple(tensor.shape or ()) for tensor in tensors]
    if len(shapes) != 2 or len(shapes[0]) != 2 or shapes[1] != shapes[0][1:]:
        stated = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise FormatError(
            path,
            f"layer '{shown}' has weights of shape {stated}, not a kernel and a bias",
            "only networks of dense layers with bias are read from HDF5",
        )
    if 0 in shapes[0]:
        raise FormatError(path, f"layer '{shown}' has an empty kernel", "this is no usable network")
    given = [layer.kernel.shape[1] for layer in before if layer.kernel is not None]
    if given and given[-1] != shapes[0][0]:
        raise FormatError(
            path,
            f"layer '{shown}' takes {shapes[0][0]} values, the layer before it gives {given[-1]}",
            "only plain chains of dense layers are read from HDF5",
        )


def _check_nothing_left(file: Hdf5File, inside: str, names: list[str], unread: set[str]) -> None:
    """Refuse numbers and names of weights that belong to no layer: part of the network would be left out."""
    for place in sorted(unread):
        raise FormatError(
            file.path, f"holds '{printable(place)}', which none of its layers names", "save the weights again"
        )
    known = {f"{inside}{name}" for name in names} | {inside.rstrip("/")}
    for place, group in sorted(file.groups.items()):
        ours = place.startswith(inside) and place not in known
        if ours and any(name.startswith("layer_names") for name in group.attrs):
            raise FormatError(
                file.path, f"'{printable(place)}' lists layers of its own", "save a network without parts"
            )
        if ours and file.names(group, "weight_names"):
            raise FormatError(
                file.path, f"'{printable(place)}' names weights, and is none of the layers", "save the weights again"
            )


def _check_model(file: Hdf5File, layers: list[DenseLayer]) -> None:
    """What the file says its function is, in ``model_config`` or else by the names of layers, must be what is read."""
    stated = [name for name in file.root.attrs if name.startswith("model_config")]
    if stated:
        text = file.text(file.root, stated[0])
        if stated != ["model_config"] or len(text) != 1:
            raise FormatError(
                file.path, f"its attribute '{printable(stated[-1])}' is not one text", "save the model again"
            )
        shapes = [(layer.name, None if layer.kernel is None else layer.kernel.shape) for layer in layers]
        check_config(file.path, text[0], shapes)
        return
    dense = [number for number, layer in enumerate(layers) if layer.kernel is not None]
    for number, layer in enumerate(layers):
        if layer.kernel is not None:
            continue
        between = dense[0] < number < dense[-1]
        if not _IDLE.fullmatch(layer.name) or (_RELU.fullmatch(layer.name) and not between):
            raise FormatError(
                file.path,
                f"its layer '{printable(layer.name)}' has no weights, and nothing says what it does",
                "save the whole model, or dense layers with dropout and flatten alone",
            )
