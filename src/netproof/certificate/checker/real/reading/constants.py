"""What a network's file states outright: tensors and attributes, as the package onnx hands them over; and arithmetic of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netproof.certificate.checker.real.operators import Array

if TYPE_CHECKING:
    import onnx

#: types of numbers that a network computes with, by ONNX's codes, and the others of constants: whole numbers and truth values
FLOATS, OTHERS = {1: np.float32, 11: np.float64}, {6: np.int32, 7: np.int64, 9: np.bool_}
_SWITCHES = ("count_include_pad", "transA", "transB", "keepdims", "upper")
#: features of one value at most, a window's padding included, and of all values together
WIDEST, LARGEST = 1 << 24, 1 << 27
#: whole numbers whose sums and products no type is too small for
_MOST = 1 << 31


class UnknownError(Exception):
    """Says what is not read."""


def check_size(shape: tuple[int, ...]) -> None:
    """Raise :class:`UnknownError` for more numbers than one value may have."""
    # Products of extents are never too large for Python, sizes of arrays are for NumPy.
    if math.prod(int(extent) for extent in shape) > WIDEST:
        raise UnknownError("its size")


def constant_of(tensor: onnx.TensorProto) -> Array:
    """The numbers of a tensor that is in the file itself; raises :class:`UnknownError`."""
    import onnx.numpy_helper

    if tensor.data_location or tensor.external_data:
        raise UnknownError("values in a file beside the model")
    # A dimension of -1 would be whatever is left.
    if any(extent < 0 for extent in tensor.dims):
        raise UnknownError("a constant of negative size")
    if tensor.data_type not in (*FLOATS, *OTHERS):
        raise UnknownError(f"constants of type {tensor.data_type}")
    array: Array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnknownError("a constant that is not finite")
    return array


def attribute_of(entry: onnx.AttributeProto) -> Any:
    """An attribute's value; raises :class:`UnknownError`."""
    import onnx

    kinds = onnx.AttributeProto
    if sum(one.name not in ("name", "type", "doc_string") for one, _ in entry.ListFields()) > 1:
        raise UnknownError(f"several values of the attribute '{entry.name[:40]}'")
    # What else a switch would mean than 0 or 1, runtimes do not agree on.
    if entry.type == kinds.INT and (entry.name not in _SWITCHES or entry.i in (0, 1)):
        return entry.i
    if entry.type == kinds.FLOAT and math.isfinite(entry.f):
        return float(entry.f)
    if entry.type == kinds.FLOATS and all(map(math.isfinite, entry.floats)):
        return list(entry.floats)
    if entry.type == kinds.INTS:
        return list(entry.ints)
    if entry.type == kinds.STRING:
        return entry.s.decode("utf-8", "replace")
    if entry.type == kinds.TENSOR:
        return constant_of(entry.t)
    raise UnknownError(f"the attribute '{entry.name[:40]}'")


def whole(constant: Any, name: str) -> list[int]:
    """Whole numbers; none where they are left out."""
    if not isinstance(constant, np.ndarray) or constant.ndim != 1 or (constant.dtype.kind != "i" and constant.size):
        raise UnknownError(f"{name} by what is no constant")
    return [int(number) for number in constant]


def cast(constant: Array, kind: int) -> Array:
    """A constant in another type, which has to hold it; raises :class:`UnknownError`."""
    target = (FLOATS | OTHERS).get(kind)
    if target is None:
        raise UnknownError(f"a cast to type {kind}")
    with np.errstate(all="ignore"):
        found: Array = constant.astype(target)
        same = (found.astype(constant.dtype) == constant) & (found == constant)
    if not same.all():
        raise UnknownError("a cast that changes a constant")
    return found


def folded(kind: str, first: Array, second: Array) -> Array | None:
    """The sum, difference, product or quotient of constants, where it is exact; None for floats where it may not be."""
    check_size(np.broadcast_shapes(first.shape, second.shape))
    if first.dtype.kind == second.dtype.kind == "i":
        small = all((abs(x.astype(np.float64)) < _MOST).all() for x in (first, second))
        if not small or (kind == "Div" and ((first < 0).any() or (second <= 0).any())):
            raise UnknownError("whole numbers that are as large, or negative and divided")
        a, b = first.astype(np.int64), second.astype(np.int64)
        return np.asarray({"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide}[kind](a, b))
    if first.dtype.kind != "f" or second.dtype.kind != "f":
        raise UnknownError("an operator of constants of other types")
    if kind == "Mul" and all((x.astype(np.float32) == x).all() for x in (first, second)):
        # Twice 24 digits are fewer than 53, and the exponents fit.
        return np.multiply(first, second, dtype=np.float64)
    if kind not in ("Add", "Sub"):
        return None
    x, y = first.astype(np.float64), second.astype(np.float64) * (-1 if kind == "Sub" else 1)
    total = x + y
    part = total - x
    # What rounding took from the sum (D. Knuth, *The Art of Computer Programming*, 4.2.2, theorem B).
    return total if np.isfinite(total).all() and not ((x - (total - part)) + (y - part)).any() else None
