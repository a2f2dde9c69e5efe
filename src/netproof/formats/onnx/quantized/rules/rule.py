"""The rules by which a quantized ONNX file can be read, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError
from netproof.formats.onnx.quantized.rules import arithmetic, exact

Whole = NDArray[np.int64]
Singles = NDArray[np.float32]
Three = tuple[np.float32, np.float32, np.float32]
Zeros = tuple[int, int, int]


@dataclass(frozen=True)
class Rule:
    """What is computed.

    Attributes
    ----------
    name, title : for the command line, and in words
    fused : whether only groups are read that onnxruntime fuses into one operator of integers
    product : sums ``[C, K]`` of products with the scales of input, weights ``[C]`` and result, rounded, before the zero point
    add, multiply : raw codes of a pair with their scales and zero points, with the zero point of the result
    mean : sums of codes less their zero points with their number, their scale and the result's, before the zero point
    number : a float32 constant as this rule computes with it
    dequantize : what codes stand for, with their scale and zero point
    quantize : numbers to codes, with scale, zero point and the least and the largest code
    """

    name: str
    title: str
    fused: bool
    product: Callable[[Whole, np.float32, Singles, np.float32], Whole]
    add: Callable[[Whole, Whole, Three, Zeros], Whole]
    multiply: Callable[[Whole, Whole, Three, Zeros], Whole]
    mean: Callable[[Whole, int, np.float32, np.float32], Whole]
    number: Callable[[float], Any]
    dequantize: Callable[[Whole, np.float32, int], NDArray[Any]]
    quantize: Callable[[NDArray[Any], np.float32, int, tuple[int, int]], Whole]


def product_scale(operand: np.float32, weight: Singles, result: np.float32) -> Singles:
    """``s_x s_w / s_y`` in float32 throughout, ``[C]``."""
    with np.errstate(all="ignore"):
        return np.asarray(operand * weight / result, np.float32)


def _product_in_single(acc: Whole, operand: np.float32, weight: Singles, result: np.float32) -> Whole:
    scale = product_scale(operand, weight, result)
    with np.errstate(over="ignore"):
        return arithmetic.clamped_whole(acc.astype(np.float32) * scale[:, None])


def _product_exact(acc: Whole, operand: np.float32, weight: Singles, result: np.float32) -> Whole:
    ratios = [exact.fraction(operand) * exact.fraction(w) / exact.fraction(result) for w in weight]
    rows = np.broadcast_to(acc, (len(ratios), acc.shape[1]))
    return np.stack([exact.scaled(row, ratio) for row, ratio in zip(rows, ratios, strict=True)])


def _added_exact(a: Whole, b: Whole, scales: Three, zeros: Zeros) -> Whole:
    first, second, result = (exact.fraction(scale) for scale in scales)
    return exact.combined([(a - zeros[0], first / result), (b - zeros[1], second / result)]) + zeros[2]


def _multiplied_exact(a: Whole, b: Whole, scales: Three, zeros: Zeros) -> Whole:
    first, second, result = (exact.fraction(scale) for scale in scales)
    return exact.times((a - zeros[0]) * (b - zeros[1]), first * second / result) + zeros[2]


def _mean_in_single(sums: Whole, count: int, operand: np.float32, result: np.float32) -> Whole:
    return arithmetic.averaged(sums, arithmetic.mean_scale(count, operand, result))


def _mean_exact(sums: Whole, count: int, operand: np.float32, result: np.float32) -> Whole:
    return exact.scaled(sums, exact.fraction(operand) / exact.fraction(result) * Fraction(1, count))


ONNXRUNTIME = Rule(
    "onnxruntime",
    "onnxruntime on x86 with its default optimizations, which fuse DequantizeLinear, an operator and QuantizeLinear",
    True,
    _product_in_single,
    arithmetic.added,
    arithmetic.multiplied,
    _mean_in_single,
    np.float32,
    arithmetic.dequantized,
    arithmetic.quantized,
)
IDEAL = Rule(
    "integer-ideal",
    "the ONNX standard's formulas in exact numbers, rounded once, halves to even",
    False,
    _product_exact,
    _added_exact,
    _multiplied_exact,
    _mean_exact,
    Fraction,
    exact.dequantized,
    exact.quantized,
)
RULES = {rule.name: rule for rule in (ONNXRUNTIME, IDEAL)}


def rule_of(name: str | None) -> Rule:
    """The rule of a name, onnxruntime's where there is none; raises :class:`InputError`."""
    found = RULES.get(ONNXRUNTIME.name if name is None else name)
    if found is None:
        raise InputError(
            "runtime", f"'{str(name)[:40]}' is none that is known for quantized ONNX files", f"give {', '.join(RULES)}"
        )
    return found
