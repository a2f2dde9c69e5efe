"""Functions of one code: tables of what onnxruntime computes of what a code stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import NodeError
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.rules.rule import Rule
from netproof.formats.onnx.quantized.values import Codes, Quantization, Real

#: by how much a runtime's approximation of a curve may be off, in float32; measured ones are within a tenth of it
_CURVE = 4e-6


def quantized(build: Build, rule: Rule, real: Real, how: Quantization, name: str, computed: int) -> Codes:
    """``QuantizeLinear`` of numbers that codes stand for."""
    rounded = rule.quantize(real.table, how.scale, how.zero, how.ends)
    return _of_table(build, real.codes, rounded, how, name, computed)


def _of_table(
    build: Build, codes: Codes, table: NDArray[np.int64], how: Quantization, name: str, computed: int
) -> Codes:
    low, high = (end - codes.ends[0] for end in codes.largest)
    if codes.kind == how.kind and np.array_equal(
        table[low : high + 1], (np.arange(256) + codes.ends[0])[low : high + 1]
    ):
        return Codes(codes.node, codes.shape, codes.low, codes.high, codes.kind, codes.offset, computed)
    return build.tabulated(name, codes, table[None], np.zeros(1, np.intp), how, computed)


def clipped(build: Build, codes: Codes, low: int, high: int, name: str) -> Codes:
    """Codes clipped to a range, as the integers that they are."""
    raw = np.arange(256) + codes.ends[0]
    how = Quantization(np.float32(1), codes.offset, codes.kind)
    return _of_table(build, codes, np.clip(raw, low, high), how, name, codes.kind)


def leaky(rule: Rule, table: NDArray[Any], alpha: float) -> NDArray[Any]:
    """``LeakyRelu`` of numbers as a rule computes with them."""
    with np.errstate(over="ignore"):
        return np.where(table >= 0, table, rule.number(alpha) * table).astype(table.dtype)


def curve(name: str, build: Build, real: Real, how: Quantization, operator: str, computed: int) -> Codes:
    """``Sigmoid`` or ``Tanh``: the function itself to the nearest code, where no approximation can be decisive."""
    exact = real.table.astype(np.float64)
    values = 1 / (1 + np.exp(-np.clip(exact, -700, 700))) if operator == "Sigmoid" else np.tanh(exact)
    scaled = values / float(how.scale)
    doubt = _CURVE / float(how.scale) + 2.0**-22 * np.abs(scaled)
    low, high = (end - how.zero for end in how.ends)
    inside = (scaled > low - 1) & (scaled < high + 1)
    if bool((inside & (np.abs(scaled - np.floor(scaled) - 0.5) <= doubt)).any()):
        raise NodeError(
            "a value lies so near a half that it depends on how the runtime approximates it", "quantize it again"
        )
    table = np.clip(np.rint(scaled), low, high).astype(np.int64) + how.zero
    return _of_table(build, real.codes, table, how, name, computed)
