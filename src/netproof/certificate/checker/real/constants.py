"""What a network's file states outright: tensors and attributes, as the package onnx hands them over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netproof.certificate.checker.real.operators import Array

if TYPE_CHECKING:
    import onnx

#: types of numbers that a network computes with, by ONNX's codes
FLOATS = {1: np.float32, 11: np.float64}
_SWITCHES = ("count_include_pad", "transB")


class UnknownError(Exception):
    """Says what is not read."""


def constant_of(tensor: onnx.TensorProto) -> Array:
    """The numbers of a tensor that is in the file itself; raises :class:`UnknownError`."""
    import onnx.numpy_helper

    if tensor.data_location or tensor.external_data:
        raise UnknownError("values in a file beside the model")
    # A dimension of -1 would be whatever is left.
    if any(extent < 0 for extent in tensor.dims):
        raise UnknownError("a constant of negative size")
    if tensor.data_type not in (*FLOATS, 6, 7):
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
    if entry.type == kinds.INTS:
        return list(entry.ints)
    if entry.type == kinds.STRING:
        return entry.s.decode("utf-8", "replace")
    if entry.type == kinds.TENSOR:
        return constant_of(entry.t)
    raise UnknownError(f"the attribute '{entry.name[:40]}'")
