"""Windows over codes: means and maxima."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import per_channel
from netproof.formats.onnx.call import Call, NodeError, Variable
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.operators.products import is_exact
from netproof.formats.onnx.quantized.processors import Processors
from netproof.formats.onnx.quantized.rules import arithmetic
from netproof.formats.onnx.quantized.rules.rule import Rule
from netproof.formats.onnx.quantized.values import INT8, Codes, Quantization, Sums
from netproof.formats.onnx.windows import Windows
from netproof.formats.tflite.staircases import staircase_between
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.sum import Sum

Whole = NDArray[np.int64]
Singles = NDArray[np.float32]
#: half a unit in the last place of float32, and how much more is allowed for
_UNIT, _MARGIN = 2.0**-24, 1.05
#: levels of a maximum at the most
_MOST_STEPS = 1 << 12
#: how many sums of floats are looked into
_MOST_SUMS = 1 << 24
#: cells of a window at the most
_MOST_CELLS = 1 << 12


def windows_of(build: Build, call: Call, codes: Codes) -> Windows:
    """The windows of a pooling node over a value that stands for its operand."""
    call.operands[0] = Variable(codes.node, codes.shape)
    return Windows(call)


def mean_everywhere(
    build: Build,
    rule: Rule,
    processors: Processors,
    name: str,
    codes: Codes,
    hows: tuple[Quantization, Quantization],
    computed: int,
) -> Codes:
    """``QLinearGlobalAveragePool``: the mean over all places of each channel."""
    operand, result = hows
    if len(codes.shape) < 3:
        raise NodeError(f"{codes.shape} has no axes to pool over", "export the network again")
    extents = codes.shape[2:]
    count = math.prod(extents)
    shape = (*codes.shape[:2], *(1 for _ in extents))
    sums = _sums(build, name, codes, operand, extents, tuple(1 for _ in extents), tuple((0, 0) for _ in extents), shape)
    scale = arithmetic.mean_scale(count, operand.scale, result.scale)
    if rule.fused and not (2.0**-32 <= float(scale) < 256 and count < 1 << 24):
        raise NodeError(f"the quotient of its scales is {float(scale):g}, which runtimes refuse", "quantize it again")
    if rule.fused:
        differing = _differing(sums, result, scale)
        if differing:
            processors.on_arm.append((printable(name), differing))

    def mean(sums: Whole) -> Whole:
        return rule.mean(sums, count, operand.scale, result.scale)

    return build.rounded(name, sums, 1, mean, result, computed)


def _differing(sums: Sums, result: Quantization, scale: np.float32) -> int:
    """On how many sums the rule of 64-bit ARM gives another code than that of x86: those between thresholds of both."""
    low, high = (np.array([int(end)]) for end in (sums.low.min(), sums.high.max()))
    least, largest = (end - result.zero for end in result.ends)
    one, other = (
        staircase_between(lambda acc, of=of: np.clip(of(acc, scale), least, largest), low, high)  # type: ignore[misc]
        for of in (arithmetic.averaged, arithmetic.averaged_by_multiplier)
    )
    if one.levels != other.levels or not torch.equal(one.base, other.base):
        return int((one.base - other.base).abs().max()) + abs(one.levels - other.levels)
    return int((one.thresholds - other.thresholds).abs().sum())


def _sums(
    build: Build,
    name: str,
    codes: Codes,
    how: Quantization,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    shape: tuple[int, ...],
    dilation: tuple[int, ...] | None = None,
) -> Sums:
    """Sums over windows, the channels samples of a convolution with one."""
    weight = torch.ones((1, 1, *kernel), dtype=torch.float64)
    operator = Convolution(
        weight,
        None,
        (1, *codes.shape[2:]),
        stride,
        padding,
        tuple(1 for _ in kernel) if dilation is None else dilation,
        samples=math.prod(codes.shape[:2]),
    )
    return build.products(name, operator, build.less(codes, how.zero), shape)


def mean(
    build: Build,
    rule: Rule,
    processors: Processors,
    call: Call,
    codes: Codes,
    hows: tuple[Quantization, Quantization],
    name: str,
    computed: int,
) -> Codes:
    """``QLinearAveragePool``: onnxruntime adds floats up row by row, and divides; one window of everything is :func:`mean_everywhere`."""
    operand, result = hows
    windows = windows_of(build, call, codes)
    if (
        windows.kernel == codes.shape[2:]
        and windows.dilation == (1,) * len(windows.kernel)
        and not any(map(any, windows.padding))
    ):
        # onnxruntime adds whole numbers up here, in every form of such a node.
        return mean_everywhere(build, rule, processors, name, codes, hows, computed)
    axes = range(len(windows.kernel))
    counted = call.flag("count_include_pad")
    overhangs = [windows.overhang(axis) for axis in axes]
    if any(overhangs) or (counted and call.flag("ceil_mode")):
        raise NodeError("ceil_mode with windows that overhang, which runtimes do not agree on")
    if max(windows.dilation) > 1:
        raise NodeError("a mean over windows with dilations, which onnxruntime leaves out of account")
    cells = np.ones((), np.int64)
    for axis in axes:
        cells = cells[..., None] * windows.inside(axis).sum(1)
    sums = _sums(build, name, codes, operand, windows.kernel, windows.stride, windows.padding, windows.shape)
    each = per_channel(np.broadcast_to(cells.astype(np.float64), windows.shape), windows.shape).astype(np.int64)
    each = each[:1] if bool((each == each[0]).all()) else each
    shift = 128 if result.kind == INT8 and computed != INT8 else 0
    if shift and rule.fused:
        processors.signed.append(printable(name))
    reach = tuple(end - operand.zero for end in codes.largest)
    if math.prod(windows.kernel) > _MOST_CELLS:
        raise NodeError(f"a mean over windows of {windows.kernel}", "use a mean over all places")
    low, high = int(sums.low.min()), int(sums.high.max())
    found: dict[int, Whole] = {}
    tried = 0
    for count in sorted(set(each.tolist())):
        divisor = math.prod(windows.kernel) if counted else count
        one = _Mean(rule, hows, count, divisor, result.zero + shift)
        inside = np.clip(np.arange(low, high + 1), count * reach[0], count * reach[1])
        found[count] = one.codes((reach[0], reach[1]), inside, _MOST_SUMS - tried)
        tried += one.tried
    counts = np.array(sorted(found))
    table, which = np.stack([found[count] for count in counts.tolist()]), np.searchsorted(counts, each)[:, None]
    return build.rounded(name, sums, len(each), lambda acc: table[which, acc - low], result, computed)


class _Mean:
    """The mean of windows that have so many cells, as a function of the sum of their codes.

    onnxruntime adds the floats of the cells up, one after the other, divides by their number, then by the scale, and adds
    the zero point, each one float32 operation. ``divisor`` is that number, padding counted where the node says so.
    """

    def __init__(
        self, rule: Rule, hows: tuple[Quantization, Quantization], cells: int, divisor: int, zero: int
    ) -> None:
        self._rule = rule
        self._operand, self._result = hows
        self._cells, self._divisor, self._zero = cells, divisor, zero
        #: how many sums of floats were looked into
        self.tried = 0

    def codes(self, reach: tuple[int, int], sums: Whole, most: int) -> Whole:
        """Codes less the zero point for sums of codes from ``reach[0]`` to ``reach[1]``, each less its zero point.

        At most ``most`` sums of floats are looked into for that.

        Raises
        ------
        NodeError : where they are no function of the sum
        """
        operand, result = self._operand.scale, self._result.scale
        if not self._rule.fused:
            return self._rule.mean(sums, self._divisor, operand, result)
        if max(abs(end) for end in reach) * self._cells * float(operand) / float(result) >= 2.0**30:
            raise NodeError("its operand has a scale too large for the scale of its result", "quantize it again")
        exact: NDArray[np.float64] = (
            sums.astype(np.float64) * (float(operand) / float(result) / self._divisor) + self._zero
        )
        codes = np.rint(exact).astype(np.int64) - self._zero
        low, high = (end + self._zero - self._result.zero for end in self._result.ends)
        near = np.abs(exact - np.floor(exact) - 0.5) <= self._error(reach, sums, exact)
        near &= (exact > low - 1) & (exact < high + 1)
        if bool(near.any()) and not is_exact(operand, result, np.float32(self._divisor)):
            least, largest = self._between(reach, most)
            codes = np.where(near, least[sums - self._cells * reach[0]], codes)
            open_ = near & (least != largest)[sums - self._cells * reach[0]]
            if bool(open_.any()):
                raise NodeError(
                    f"onnxruntime adds floats up here, and for {int(open_.sum())} of {len(sums)} sums of codes their order "
                    "decides how the mean is rounded",
                    "give the mean another scale than its operand has, or name the runtime 'integer-ideal'",
                )
        return np.asarray(codes, np.int64)

    def _error(self, reach: tuple[int, int], sums: Whole, exact: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much the float mean can be beside the exact one, in codes.

        Every operation is off by half a unit in the last place of its result at most. A partial sum of ``j`` cells is at most
        ``j`` largest ones, and no further from the whole sum than the cells that are left.
        """
        largest, count = max(abs(end) for end in reach), self._cells
        j = np.arange(2, count + 1)[:, None]
        partial = np.minimum(j * largest, np.abs(sums)[None] + (count - j) * largest).sum(0)
        each = float(self._operand.scale) / float(self._result.scale) / self._divisor
        size = (count * largest + partial + 2 * np.abs(sums)) * each
        return np.asarray(_MARGIN * _UNIT * (size + np.abs(exact)))

    def _between(self, reach: tuple[int, int], most: int) -> tuple[Whole, Whole]:
        """The least and the largest code less the zero point for every sum of codes, the least sum first."""
        values = arithmetic.dequantized(np.arange(reach[0], reach[1] + 1), self._operand.scale, 0)
        place, total = np.arange(len(values)), values
        for _ in range(self._cells - 1):
            self.tried += len(total) * len(values)
            if self.tried > most:
                raise NodeError(
                    "onnxruntime adds more floats up here than can be looked into", "name the runtime 'integer-ideal'"
                )
            places = (place[:, None] + np.arange(len(values))[None]).reshape(-1)
            totals = (total[:, None] + values[None]).astype(np.float32).reshape(-1)
            # One entry for each sum of codes and float that it can come to.
            both = np.unique((places << 32) | totals.view(np.uint32).astype(np.int64))
            place, total = both >> 32, (both & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
        mean = total / np.float32(self._divisor) / self._result.scale + np.float32(self._zero)
        low, high = (end + self._zero - self._result.zero for end in self._result.ends)
        codes = np.clip(arithmetic.nearest(mean), low, high).astype(np.int64) - self._zero
        count = self._cells * (len(values) - 1) + 1
        least, largest = np.full(count, 1 << 20), np.full(count, -(1 << 20))
        np.minimum.at(least, place, codes)
        np.maximum.at(largest, place, codes)
        return least, largest


def largest(build: Build, call: Call, codes: Codes, name: str) -> Codes:
    """``MaxPool``: the largest code of each window, one axis at a time."""
    if call.flag("storage_order"):
        raise NodeError("the positions of the maxima are asked for, column by column")
    value = maxima(build, windows_of(build, call, codes), codes, name)
    return Codes(value.node, value.shape, value.low, value.high, codes.kind, codes.offset, codes.computed)


def maxima(build: Build, windows: Windows, value: Sums, name: str) -> Sums:
    """The largest whole number of each window, one axis at a time."""
    for axis in range(len(windows.kernel)):
        positions, inside = windows.positions(axis), windows.inside(axis)
        # A place in the padding counts for nothing: another place of the window stands in for it.
        first = positions[np.arange(len(positions)), inside.argmax(1)]
        places = np.where(inside, positions, first[:, None])
        value = _largest(build, f"{name}/axis{axis}", value, axis + 2, places)
    return value


def _largest(build: Build, name: str, value: Sums, axis: int, places: NDArray[np.int64]) -> Sums:
    """The maxima of ``places[i]`` along an axis, by halves: ``max(a, b) = a + relu(b - a)``, the ReLU a staircase."""
    build.translation.allocate(2 * places.shape[1] * len(places) * (value.size // max(value.shape[axis], 1)))
    whole = np.arange(value.size).reshape(value.shape)
    index = np.moveaxis(np.take(whole, places.T, axis), axis, 0)
    rises = int((value.high.max() - value.low.min()).item())
    if rises > _MOST_STEPS:
        raise NodeError(f"a maximum of numbers that differ by up to {rises}", "quantize them to fewer bits")
    steps = torch.arange(1, rises + 1, dtype=torch.float64)[None]
    relu = Staircase(steps, torch.zeros(1, dtype=torch.float64))
    for level in itertools.count():
        if len(index) == 1:
            return build.selected(f"{name}/{level}", value, index[0])
        half = len(index) // 2
        first = build.selected(f"{name}/{level}/a", value, index[:half])
        second = build.selected(f"{name}/{level}/b", value, index[half : 2 * half])
        rise = build.affine(f"{name}/{level}/rise", Sum((1, -1)), (second, first), first.shape)
        excess = _steps(build, f"{name}/{level}/relu", relu, rise)
        total = build.affine(f"{name}/{level}/larger", Sum((1, 1)), (first, excess), first.shape)
        # What the sum's ranges forget: it is one of the two.
        larger = Sums(
            total.node, total.shape, torch.maximum(first.low, second.low), torch.maximum(first.high, second.high)
        )
        if len(index) % 2:
            rest = build.selected(f"{name}/{level}/rest", value, index[-1:])
            shape = (half + 1, *larger.shape[1:])
            both = Concatenate((larger.size, rest.size))
            value = build.affine(f"{name}/{level}/all", both, (larger, rest), shape)
        else:
            value = larger
        index = np.arange(value.size).reshape(value.shape)
    raise AssertionError


def _steps(build: Build, name: str, staircase: Staircase, value: Sums) -> Sums:
    build.translation.reserve(value.shape)
    build.translation.ledger.nodes(1)
    node = build.translation.builder.add(printable(name), staircase, value.node)
    low, high = staircase.output_range(value.low, value.high)
    return Sums(node, value.shape, low, high)
