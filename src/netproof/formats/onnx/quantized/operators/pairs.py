"""Sums and products of two quantized values, or of one with a constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import NodeError
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.processors import Processors
from netproof.formats.onnx.quantized.rules import arithmetic
from netproof.formats.onnx.quantized.rules.rule import Rule
from netproof.formats.onnx.quantized.values import INT8, Codes, Dequantized, Quantization, Real, Sums, single
from netproof.formats.tflite.staircases import combination_of
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum

Whole = NDArray[np.int64]
#: raw codes of two operands to a raw code
Pairwise = Callable[[Whole, Whole], Whole]
Operand = tuple["Codes | Dequantized", Quantization]
_CODES = np.arange(256)
#: an operand's scale in units of the result's is below
_LARGEST_RATIO = 2.0**20
#: pairs of codes, all of which are looked at
_PAIRS = 1 << 16


def combined(
    build: Build,
    rule: Rule,
    processors: Processors,
    name: str,
    product: bool,
    operands: tuple[Operand, Operand],
    how: Quantization,
    computed: int,
) -> Codes:
    """``QLinearAdd`` or ``QLinearMul``, broadcast."""
    (first, a), (second, b) = operands
    build.translation.allocate(2 * _PAIRS)
    if not product and rule.fused and max(float(one.scale) / float(how.scale) for one in (a, b)) >= _LARGEST_RATIO:
        raise NodeError("an operand has 2**20 times the scale of the result, or more", "quantize it again")
    shape = np.broadcast_shapes(first.shape, second.shape)
    function = _function(rule, product, (a, b, how), first.shape, second.shape, computed)
    if not product and rule.fused:
        _note_arm(processors, name, (a, b, how), function)
    if product and rule.fused and how.kind == INT8 and computed != INT8:
        signed = _function(rule, product, (a, b, how), first.shape, second.shape, INT8)
        x, y = np.meshgrid(_CODES + a.ends[0], _CODES + b.ends[0], indexing="ij")
        if bool((signed(x, y) != function(x, y)).any()):
            processors.signed.append(printable(name))
    if isinstance(first, Codes) and isinstance(second, Codes):
        if product:
            raise NodeError("two values that depend on the input are multiplied", "only constants are multiplied")
        return _of_values(build, name, (first, second), (a, b), function, how, computed, shape)
    if isinstance(first, Codes):
        return _with_constant(build, name, first, cast("Dequantized", second), function, how, computed)
    if isinstance(second, Codes):
        return _with_constant(build, name, second, first, lambda x, y: function(y, x), how, computed)
    raise NodeError("both operands are constants", "fold constants before export")


def _function(
    rule: Rule,
    product: bool,
    hows: tuple[Quantization, Quantization, Quantization],
    first: tuple[int, ...],
    second: tuple[int, ...],
    computed: int,
) -> Pairwise:
    """The function of two raw codes, as the runtime computes it in the type that it has them in."""
    a, b, result = hows
    # Where onnxruntime has unsigned codes, its floats are those of unsigned codes.
    shift = 128 if result.kind == INT8 and computed != INT8 else 0
    # A single number that spans the other operand is taken for the second one.
    swapped = _is_spanned(first, second) and not _is_spanned(second, first)
    low, high = result.ends

    def of(x: Whole, y: Whole) -> Whole:
        pairs = [(x + shift, a), (y + shift, b)]
        if swapped:
            pairs.reverse()
        (p, one), (q, other) = pairs
        scales = (one.scale, other.scale, result.scale)
        zeros = (one.zero + shift, other.zero + shift, result.zero + shift)
        found = (rule.multiply if product else rule.add)(p, q, scales, zeros)
        return np.clip(found - shift, low, high)

    return of


def _is_spanned(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether single entries of one operand go with runs of the other's."""
    rank = max(len(one), len(other))
    mine, theirs = ((1,) * (rank - len(shape)) + shape for shape in (one, other))
    for m, t in zip(reversed(mine), reversed(theirs), strict=True):
        if m != 1 or t != 1:
            return m == 1
    return False


def _note_arm(
    processors: Processors, name: str, hows: tuple[Quantization, Quantization, Quantization], function: Pairwise
) -> None:
    a, b, result = hows
    x, y = np.meshgrid(_CODES + a.ends[0], _CODES + b.ends[0], indexing="ij")
    zeros = (a.zero, b.zero, result.zero)
    other = arithmetic.added_by_weights(x, y, (a.scale, b.scale, result.scale), zeros)
    if other is not None:
        count = int((np.clip(other, *result.ends) != function(x, y)).sum())
        if count:
            processors.on_arm.append((printable(name), count))


def _of_values(
    build: Build,
    name: str,
    operands: tuple[Codes, Codes],
    hows: tuple[Quantization, Quantization],
    function: Pairwise,
    how: Quantization,
    computed: int,
    shape: tuple[int, ...],
) -> Codes:
    left, right = (_CODES + value.ends[0] for value in operands)
    values = function(*np.meshgrid(left, right, indexing="ij"))
    ratio = (float(hows[0].scale), float(hows[1].scale))
    return _summed(build, name, operands, values, ratio, how, computed, shape)


def in_floats(
    build: Build,
    rule: Rule,
    name: str,
    reals: tuple[Real, Real],
    how: Quantization,
    computed: int,
    clip: tuple[float, float],
) -> Codes:
    """The sum of two values in floats, clipped and quantized, each an operation of its own."""
    first, second = reals
    values = _rounded(rule, first.table[:, None] + second.table[None, :], how, clip)
    ratio = tuple(abs(float(real.table[-1] - real.table[0])) / 255 for real in reals)
    shape = np.broadcast_shapes(first.shape, second.shape)
    return _summed(build, name, (first.codes, second.codes), values, (ratio[0], ratio[1]), how, computed, shape)


def in_floats_with_constant(
    build: Build,
    rule: Rule,
    name: str,
    product: bool,
    operands: tuple[Real, Dequantized],
    how: Quantization,
    computed: int,
    clip: tuple[float, float],
) -> Codes:
    """A value and a constant, added or multiplied in floats, clipped and quantized."""
    real, constant = operands
    if np.broadcast_shapes(real.shape, constant.shape) != real.shape:
        raise NodeError(f"a constant of shape {constant.shape} with a value {real.shape}", "export the network again")
    codes, places = np.unique(np.broadcast_to(constant.codes, real.shape).reshape(-1), return_inverse=True)
    numbers = rule.dequantize(codes, constant.scale[0], int(constant.zero[0]))[:, None]
    table = real.table[None] * numbers if product else real.table[None] + numbers
    tables = _rounded(rule, table, how, clip)
    return build.tabulated(name, real.codes, tables, places.reshape(-1), how, computed)


def _rounded(rule: Rule, numbers: NDArray[Any], how: Quantization, clip: tuple[float, float]) -> Whole:
    """Numbers clipped and quantized."""
    if clip[0] > -np.inf:
        numbers = np.maximum(numbers, rule.number(clip[0]))
    if clip[1] < np.inf:
        numbers = np.minimum(numbers, rule.number(clip[1]))
    return rule.quantize(numbers, how.scale, how.zero, how.ends)


def _summed(
    build: Build,
    name: str,
    operands: tuple[Codes, Codes],
    values: Whole,
    ratio: tuple[float, float],
    how: Quantization,
    computed: int,
    shape: tuple[int, ...],
) -> Codes:
    """A function of two codes, ``[256, 256]`` of raw codes, as a staircase of a combination of them."""
    first, second = operands
    offsets = (first.ends[0] - first.offset, second.ends[0] - second.offset)
    found = combination_of(values - how.zero, offsets, ratio)
    if found is None:
        raise NodeError(
            "it is no function of one combination of its operands", "quantize it with scales closer together"
        )
    weighted: list[Sums] = []
    for value, factor, part in ((first, found.first, "first"), (second, found.second, "second")):
        wide = build.expanded(f"{name}/{part}/expanded", value, shape)
        if factor != 1:
            scale = Scale(wide.size, single(factor), single(0))
            wide = build.affine(f"{name}/{part}", scale, (wide,), shape)
        weighted.append(wide)
    total = build.affine(name, Sum((1, 1)), tuple(weighted), shape)
    return build.steps(f"{name}/codes", found.steps, total, how, computed)


def _with_constant(
    build: Build,
    name: str,
    value: Codes,
    constant: Dequantized,
    function: Pairwise,
    how: Quantization,
    computed: int,
) -> Codes:
    shape = np.broadcast_shapes(value.shape, constant.shape)
    if shape != value.shape:
        raise NodeError(f"a constant of shape {constant.shape} with a value {value.shape}", "export the network again")
    numbers: NDArray[Any] = constant.codes.reshape(-1)
    places: NDArray[np.intp] = np.zeros(1, np.intp)
    if constant.codes.size != 1:
        spread = np.broadcast_to(constant.codes, shape).reshape(-1)
        numbers, places = np.unique(spread, return_inverse=True)
    rows, columns = np.broadcast_arrays(numbers[:, None], (_CODES + value.ends[0])[None])
    return build.tabulated(name, value, function(columns, rows), places.reshape(-1), how, computed)
