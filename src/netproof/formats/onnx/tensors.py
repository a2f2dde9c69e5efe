"""Constant tensors of an ONNX file as arrays: floats in float64, which holds them exactly, the rest in int64 or bool."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError
from netproof.formats.onnx.container.external import EXTERNAL, Surroundings
from netproof.formats.onnx.container.text import printable

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
    16: ("bfloat16", "int32_data"),
}
#: fields that hold values; a tensor has at most one of them
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data", "raw_data")


def read_tensor(path: Path, tensor: onnx.TensorProto, around: Surroundings) -> NDArray[Any]:
    """The array in a tensor; ``around`` reads what lies in a file beside the network's.

    Raises
    ------
    FormatError : an unknown type, a shape and data that disagree, two kinds of data, numbers beyond their type,
        external data that is missing or elsewhere; more than can be handled
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
    # NumPy has no bfloat16; its bits are the upper half of a float32's.
    kind = np.dtype("uint16" if name == "bfloat16" else name)
    given = [held for held in _FIELDS if len(getattr(tensor, held))]
    outside = tensor.data_location == EXTERNAL
    if tensor.HasField("segment") or len(given) > (0 if outside else 1) or (len(tensor.external_data) and not outside):
        raise FormatError(path, f"{what} has its numbers in more than one place", "export the network again")
    try:
        around.ledger.allocate(8 * count)
    except ExhaustedError as no:
        raise FormatError(path, f"{what}: {no.problem}", no.hint) from None
    if outside:
        data: bytes | memoryview | None = around.content(tensor, what)
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
        values = _listed(path, np.array(held), name, what)
    if name == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
        kind = values.dtype
    wide = np.float64 if kind.kind == "f" else np.bool_ if kind.kind == "b" else np.int64
    with np.errstate(invalid="ignore"):  # a signalling NaN stays a NaN, which is refused where it matters
        return values.astype(wide).reshape(shape)


def _listed(path: Path, held: NDArray[Any], name: str, what: str) -> NDArray[Any]:
    """Values of a type from the list that holds them, which is one of a wider type."""
    if name in ("float32", "float64"):
        return held.astype(name)
    # Half precision travels as the integers that have its bits.
    halves = ("float16", "bfloat16")
    least, largest = (0, 1) if name == "bool" else type_range("uint16" if name in halves else name)
    if held.size and not (least <= int(held.min()) and int(held.max()) <= largest):
        raise FormatError(
            path, f"{what} holds numbers beyond {name}, {least} to {largest}", "it is damaged: export the network again"
        )
    if name == "bfloat16":
        return held.astype(np.uint16)
    return held.astype(np.uint16).view(np.float16) if name == "float16" else held.astype(name)


def type_range(name: str) -> tuple[int, int]:
    """The least and the largest number of an integer type, by NumPy's name of it."""
    limits = np.iinfo(name)
    return int(limits.min), int(limits.max)


def type_name(kind: int) -> str:
    """NumPy's name of a type that ONNX numbers ``kind``; empty where it is none of those that are read."""
    return _KINDS.get(kind, ("", ""))[0]
