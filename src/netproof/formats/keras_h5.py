"""Reader for Keras HDF5 weights of multi-layer perceptrons.

Keras lists its layers in the attribute ``layer_names`` and each layer's tensors in
``weight_names``, kernel first; a whole model keeps the same under ``model_weights``. Nothing in
the file is executed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.formats.files import read_bytes
from netproof.formats.fixed_point import FixedPoint, fixed_point_graph
from netproof.network import Network

if TYPE_CHECKING:
    import h5py

Layer = tuple[NDArray[np.floating], NDArray[np.floating]]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = b"GCOL\1"
_MAX_PARAMETERS = 1 << 27


def read_keras_h5(path: str | Path, widths: FixedPoint | None = None) -> Network:
    """Read a multi-layer perceptron and quantize it.

    Parameters
    ----------
    path : an HDF5 weights file (or whole model) of dense layers
    widths : bit widths; the AAAI 2021 benchmark's where None

    Raises
    ------
    FormatError : missing, truncated or foreign file; layers that do not chain; NaN or infinite weights
    ExactnessError : bit widths with which accumulators leave float64's exact range
    """
    import hashlib

    widths = widths or FixedPoint()
    data = read_bytes(path, "network file")
    if not data.startswith(_SIGNATURE):
        raise FormatError(path, "is not an HDF5 file", "give Keras weights saved as .h5")
    _check_global_heaps(Path(path), data)
    graph = fixed_point_graph(_read_layers(Path(path), data), widths, path)
    lower = torch.zeros(graph.input.size, dtype=torch.float64)
    return Network(
        graph=graph,
        path=str(path),
        sha256=hashlib.sha256(data).hexdigest(),
        lower=lower,
        upper=lower + (1 << widths.input_bits) - 1,
        scheme=widths.as_dict(),
    )


def _read_layers(path: Path, data: bytes) -> list[Layer]:
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _layers_of(path, file)
    except FormatError:
        raise
    except (
        OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError,
        AssertionError, SystemError,
    ) as error:  # fmt: skip
        # h5py reports a damaged file by whichever of these its C library's failure maps to.
        detail = _printable(str(error).strip("'\"")) or type(error).__name__
        raise FormatError(path, f"is a damaged HDF5 file ({detail})", "download or copy it again") from None


def _layers_of(path: Path, file: h5py.File) -> list[Layer]:
    root = file.get("model_weights", file)
    if "layer_names" not in root.attrs:
        raise FormatError(path, "has no attribute 'layer_names'", "give weights that Keras saved as HDF5")
    layers: list[Layer] = []
    for name in _names(path, root, "layer_names"):
        group = root[name]
        tensors = [group[weight] for weight in _names(path, group, "weight_names")]
        if not tensors:
            continue  # dropout, flatten: nothing at inference
        if len(tensors) != 2 or len(tensors[0].shape) != 2 or tensors[1].shape != tensors[0].shape[1:]:
            shapes = ", ".join("x".join(map(str, t.shape)) for t in tensors)
            raise FormatError(
                path,
                f"layer '{_printable(name)}' has weights of shape {shapes}, not a kernel and a bias",
                "only networks of dense layers with bias are read from HDF5",
            )
        if tensors[0].size > _MAX_PARAMETERS:
            raise FormatError(
                path, f"layer '{_printable(name)}' claims {tensors[0].size} weights", "this is no usable network"
            )
        if layers and layers[-1][0].shape[1] != tensors[0].shape[0]:
            raise FormatError(
                path,
                f"layer '{_printable(name)}' takes {tensors[0].shape[0]} values, the layer before it gives "
                f"{layers[-1][0].shape[1]}",
                "only plain chains of dense layers are read from HDF5",
            )
        for part, tensor in zip(("kernel", "bias"), tensors, strict=True):
            if tensor.dtype.kind != "f":
                raise FormatError(
                    path,
                    f"layer '{_printable(name)}': its {part} is {tensor.dtype}, not floating point",
                    "give the float weights; netproof quantizes them itself",
                )
        if not all(t.id.get_storage_size() for t in tensors if t.size):
            # HDF5 would read it as zeros, however many the header claims.
            raise FormatError(path, f"layer '{_printable(name)}' holds no numbers", "save the weights again")
        kernel, bias = (np.asarray(t[()]) for t in tensors)
        for part, values in (("kernel", kernel), ("bias", bias)):
            if not np.isfinite(values).all():
                raise FormatError(
                    path, f"layer '{_printable(name)}': its {part} holds NaN or infinity", "retrain or repair it"
                )
        if 0 in kernel.shape:
            raise FormatError(path, f"layer '{_printable(name)}' has an empty kernel", "this is no usable network")
        layers.append((kernel, bias))
    if not layers:
        raise FormatError(path, "has no dense layer", "give the weights of a multi-layer perceptron")
    return layers


def _check_global_heaps(path: Path, data: bytes) -> None:
    """Refuse global heaps (where HDF5 keeps strings) whose objects do not follow each other up to its end.

    The HDF5 library (2.0) walks from object to object without a look at their sizes: one of 0, or near 2**64,
    keeps it going round for ever.
    """
    start = data.find(_HEAP)
    while start >= 0:
        end = start + int.from_bytes(data[start + 8 : start + 16], "little")
        at = start + 16
        while at + 16 <= min(end, len(data)):
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            # Free space (object 0) counts its own header of 16 bytes; an object does not, and is padded to 8.
            length = size if data[at : at + 2] == b"\0\0" else 16 + -(-size // 8) * 8
            if length < 16 or at + length > end:
                raise FormatError(path, "is a damaged HDF5 file (its heap of strings)", "download or copy it again")
            at += length
        start = data.find(_HEAP, start + 1)


def _printable(text: str) -> str:
    """Text from a file as it can stand in a message of one line."""
    return "".join(c if c.isprintable() else " " for c in text[:100]).strip()


def _names(path: Path, holder: h5py.Group, attribute: str) -> list[str]:
    """The strings in an attribute; none where it is missing or empty."""
    import h5py

    if attribute not in holder.attrs:
        return []
    kind = holder.attrs.get_id(attribute)
    if 0 in kind.shape:
        return []  # of whatever type: Keras writes no names as no floats
    # Asked before it is read: the HDF5 library crashes on some damaged attributes of other types.
    if h5py.check_string_dtype(kind.dtype) is None:
        raise FormatError(
            path, f"its attribute '{attribute}' holds {kind.dtype}, not names", "download or copy it again"
        )
    return [_text(name) for name in np.atleast_1d(holder.attrs[attribute]).ravel()]


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
