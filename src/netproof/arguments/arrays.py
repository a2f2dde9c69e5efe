"""Arrays of numbers, of whatever kind they are given in, or a sentence about what stands there instead."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.arguments.words import described


class NoNumbersError(Exception):
    """What was given is no array of numbers.

    Attributes
    ----------
    problem, hint : as for :class:`netproof.errors.InputError`, which the caller makes of it, since it knows the argument's name
    """

    def __init__(self, problem: str, hint: str) -> None:
        self.problem, self.hint = problem, hint
        super().__init__(f"{problem}; {hint}")


def numbers_of(given: object) -> NDArray[Any]:
    """A copy, integers or floats of at most 64 bits in the machine's order of bytes, of any shape.

    Tensors of floats become float64; all others keep their type.

    Raises
    ------
    NoNumbersError : text, a path, None, an object without numbers; bools, complex numbers, dates, objects, long doubles; rows of
        different lengths; masked entries; tensors that are sparse, nested, quantized or without data
    """
    if isinstance(given, Tensor):
        return _of_tensor(given)
    if isinstance(given, str | bytes | PathLike):
        raise NoNumbersError(f"is {described(given)}", "give the values, as an array")
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise NoNumbersError("has entries that are masked out", "give an array in which every value counts")
    if given is None or isinstance(given, dict | set | frozenset | type):
        raise NoNumbersError(f"is {described(given)}", "give an array of numbers")
    try:
        array = np.array(given)
    except Exception as error:  # noqa: BLE001 - rows of different lengths, or whatever a foreign class does
        raise NoNumbersError(
            f"makes no array ({_reason(error)})", "give numbers in rows that are equally long"
        ) from None
    _check_kind(array, given)
    return array.astype(array.dtype.newbyteorder("="))


def _check_kind(array: NDArray[Any], given: object) -> None:
    kind, entries = array.dtype.kind, array.dtype.name
    if kind == "O":
        if array.ndim == 0:
            hint = "make a list of it first" if hasattr(given, "__next__") else "give an array of numbers"
            raise NoNumbersError(f"is {described(given)}", hint)
        raise NoNumbersError("has entries that are Python objects", "convert it to integers or floats: .astype(float)")
    if kind == "b":
        raise NoNumbersError(
            "has bools as entries",
            "say what True stands for: .astype(float) for 1.0, .astype(np.uint8) * 255 for white",
        )
    if kind not in "iuf":
        words = {"U": "text", "S": "bytes", "c": "complex numbers", "M": "dates", "m": "durations"}
        raise NoNumbersError(f"has {words.get(kind, entries)} as entries", "give integers or floats")
    if array.dtype.itemsize > 8:
        raise NoNumbersError(f"has entries of type {entries}", "convert them: .astype(np.float64)")


def _of_tensor(given: Tensor) -> NDArray[Any]:
    if given.is_nested or given.layout != torch.strided:
        raise NoNumbersError("is a tensor that is not dense", "convert it: .to_dense()")
    if given.device.type == "meta":
        raise NoNumbersError("is a tensor without data (device 'meta')", "give one with values")
    if given.is_quantized:
        raise NoNumbersError("is a quantized tensor", "give its numbers: .dequantize(), or .int_repr() for codes")
    if given.dtype == torch.bool or given.is_complex():
        return _refused_kind(given)
    try:
        values = given.detach().cpu()
        found: NDArray[Any] = (values.double() if values.is_floating_point() else values).numpy().copy()
    except Exception as error:  # noqa: BLE001 - a subclass of tensors can do anything
        raise NoNumbersError(f"is a tensor that cannot be read ({_reason(error)})", "give a plain one") from None
    return found


def _refused_kind(given: Tensor) -> NDArray[Any]:
    what, hint = ("bools", "say what True stands for: .float() for 1.0") if given.dtype == torch.bool else (
        "complex numbers", "give real ones",
    )  # fmt: skip
    raise NoNumbersError(f"has {what} as entries", hint)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
