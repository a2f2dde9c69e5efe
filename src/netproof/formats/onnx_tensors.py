"""Constant tensors of an ONNX file as arrays: floats in float64, which holds them exactly, the rest in int64 or bool."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.formats.files import read_bytes

if TYPE_CHECKING:
    import onnx

#: more numbers in one tensor than any network that could be verified has
LARGEST_TENSOR = 1 << 27

#: by the number ONNX gives the type: NumPy's name of it, and the field that holds its values where they are not raw
_KINDS = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"),
    12: ("uint32", "uint64_data"),
}
_EXTERNAL = 1


def read_tensor(path: Path, tensor: onnx.TensorProto) -> NDArray[Any]:
    """The array in a tensor.

    Raises
    ------
    FormatError : an unknown type, a shape and data that disagree, external data that is missing or elsewhere
    """
    what = f"tensor '{printable(tensor.name)}'"
    shape = tuple(tensor.dims)
    count = math.prod(shape)  # Python integers: a hostile shape cannot overflow
    if min(shape, default=0) < 0 or count > LARGEST_TENSOR:
        raise FormatError(path, f"{what} claims shape {'x'.join(map(str, shape))}", "this is no usable network")
    if tensor.data_type not in _KINDS:
        raise FormatError(
            path,
            f"{what} has elements of ONNX type {tensor.data_type}",
            f"known are {', '.join(name for name, _ in _KINDS.values())}",
        )
    name, field = _KINDS[tensor.data_type]
    kind = np.dtype(name)
    if tensor.data_location == _EXTERNAL:
        data: bytes | None = _external(path, tensor, what)
    else:
        data = tensor.raw_data if tensor.HasField("raw_data") else None
    if data is not None:
        if len(data) != count * kind.itemsize:
            raise FormatError(
                path,
                f"{what} of {count} {name} numbers holds {len(data)} bytes, not {count * kind.itemsize}",
                "it is truncated or damaged: download or copy it again",
            )
        values = np.frombuffer(data, kind.newbyteorder("<"))
    else:
        held = getattr(tensor, field)
        if len(held) != count:
            raise FormatError(
                path, f"{what} of shape {shape} holds {len(held)} numbers", "it is damaged: download or copy it again"
            )
        # Half precision travels as the integers that have its bits.
        values = np.array(held, np.uint16).view(np.float16) if name == "float16" else np.array(held).astype(kind)
    wide = np.float64 if kind.kind == "f" else np.bool_ if kind.kind == "b" else np.int64
    with np.errstate(invalid="ignore"):  # a signalling NaN stays a NaN, which is refused where it matters
        return values.astype(wide).reshape(shape)


def _external(path: Path, tensor: onnx.TensorProto, what: str) -> bytes:
    """The bytes of a tensor that lie in a file beside the network's."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    place = PurePosixPath(location)
    if not location or place.is_absolute() or ".." in place.parts or "\\" in location or "\0" in location:
        raise FormatError(
            path,
            f"{what} lies in '{printable(location)}', outside the network's folder",
            "keep external data beside the network",
        )
    try:
        offset, length = int(entries.get("offset", "0") or "0"), int(entries.get("length", "-1") or "-1")
    except ValueError:
        raise FormatError(path, f"{what} has external data at no place", "save the network again") from None
    try:
        data = read_bytes(path.parent / location, "external data of the network")
    except FormatError as error:
        raise FormatError(
            path, f"{what} lies in '{printable(location)}', which {_because(error)}", "put that file beside the network"
        ) from None
    if offset < 0 or offset > len(data) or length > len(data) - offset:
        raise FormatError(
            path, f"{what} lies beyond the end of '{printable(location)}'", "download or copy that file again"
        )
    return data[offset:] if length < 0 else data[offset : offset + length]


def _because(error: FormatError) -> str:
    return "is not there" if error.problem.startswith("no such") else error.problem


def embedded(path: Path, data: bytes) -> bytes:
    """The bytes of a model with the data beside it taken in, so that a runtime needs no folder to evaluate it."""
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(data)
    held = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    for tensor in (*model.graph.initializer, *held):
        if tensor.data_location == _EXTERNAL:
            tensor.raw_data = _external(path, tensor, f"tensor '{printable(tensor.name)}'")
            tensor.data_location = 0
            del tensor.external_data[:]
    return bytes(model.SerializeToString())


def external_files(path: Path, tensors: list[onnx.TensorProto]) -> list[Path]:
    """The files beside the network that hold tensors of it, each once, in the order of their names."""
    names = {
        entry.value
        for tensor in tensors
        if tensor.data_location == _EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(names)]


def printable(text: str | bytes) -> str:
    """Text from a file as it can stand in a message of one line; protobuf hands over as bytes what is no text."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text[:80])
