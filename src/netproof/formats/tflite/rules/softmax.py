"""Softmax on 8-bit codes, as runtimes compute it: in fixed point, or by a table of float32 exponentials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.formats.tflite.rules.fixed_point import LARGEST, exponential, product, reciprocal, shifted
from netproof.formats.tflite.rules.multiplier import multipliers


@dataclass(frozen=True)
class SoftmaxScales:
    """The scale of the operand, ``beta``, scale and zero point of the result."""

    input: np.float32
    beta: np.float32
    output: np.float32
    zero: int


#: codes ``[N, k]`` to codes ``[N, k]``
Softmax = Callable[[NDArray[np.int64], SoftmaxScales], NDArray[np.int64]]


def softmax_in_fixed_point(codes: NDArray[np.int64], scales: SoftmaxScales) -> NDArray[np.int64]:
    """The reference kernel, TensorFlow Lite Micro and (as read) CMSIS-NN. The result has scale 1/256, zero point -128."""
    real = min(float(scales.beta) * float(scales.input) * (1 << 26), float(LARGEST))
    (multiplier,), (left,) = (part.tolist() for part in multipliers(np.array([real])))
    least = -math.floor(31 * (1 << 26) / (1 << left))
    result = np.full(codes.shape, -128, np.int64)
    for row, found in zip(codes.tolist(), result, strict=True):
        top = max(row)
        parts = [exponential(product((c - top) << left, multiplier), 5) if c - top >= least else -1 for c in row]
        total = sum(shifted(part, 12) for part in parts if part >= 0)
        headroom = 32 - total.bit_length()
        inverse = reciprocal(((total << headroom) & 0xFFFFFFFF) - (1 << 31))
        shift = 12 - headroom + 31 - 8
        for i, part in enumerate(parts):
            if part >= 0:
                found[i] = max(-128, min(127, shifted(product(inverse, part), shift) - 128))
    return result


def softmax_by_table(codes: NDArray[np.int64], scales: SoftmaxScales) -> NDArray[np.int64]:
    """LiteRT's optimized kernel on x86: float32 exponentials, added one after another in float32."""
    step = np.float32(-scales.input * scales.beta)
    table = np.array([math.exp(float(np.float32(step * np.float32(k)))) for k in range(256)]).astype(np.float32)
    terms = table[codes.max(-1, keepdims=True) - codes]
    total = np.zeros(terms.shape[0], np.float32)
    for k in range(terms.shape[1]):
        total = total + terms[:, k]
    inverse = np.float32(1.0) / (total * scales.output)
    share = (terms * inverse[:, None]).astype(np.float64)
    return np.asarray(np.clip(np.floor(share + 0.5).astype(np.int64) + scales.zero, -128, 127))
