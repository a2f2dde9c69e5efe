"""Windows that slide over an image: padding as ONNX states it, and pooling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import per_channel
from netproof.formats.onnx.call import Call, NodeError, Translate, Value, Variable, tensor_of
from netproof.graph.rounding import is_power_of_two
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum

Padding = tuple[tuple[int, int], ...]


def padding_of(
    call: Call, extents: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Padding:
    """Padding ``(before, after)`` of each axis, from ``pads`` or ``auto_pad``."""
    automatic = call.text("auto_pad", "NOTSET")
    pads = call.integers("pads") or [0] * 2 * len(extents)
    if len(pads) != 2 * len(extents) or min(pads) < 0:
        raise NodeError(f"paddings {pads} for {len(extents)} axes", "export the network again")
    stated = tuple(zip(pads[: len(extents)], pads[len(extents) :], strict=True))
    if automatic == "NOTSET":
        return stated
    padding = _automatic(automatic, extents, kernel, stride, dilation)
    # ONNX excludes both together; some runtimes refuse that, others go by one of the two.
    if call.has("pads") and stated != padding:
        raise NodeError(f"auto_pad '{automatic}' together with other pads, {pads}", "export it with pads alone")
    return padding


def _automatic(
    automatic: str,
    extents: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Padding:
    if automatic == "VALID":
        return ((0, 0),) * len(extents)
    if automatic not in ("SAME_UPPER", "SAME_LOWER"):
        raise NodeError(f"auto_pad '{automatic}'", "export it with explicit pads")
    if max(dilation) > 1:
        raise NodeError(f"auto_pad '{automatic}' with dilations, which runtimes refuse", "export it with explicit pads")
    padding = []
    for extent, size, step, spread in zip(extents, kernel, stride, dilation, strict=True):
        total = (-(-extent // step) - 1) * step + spread * (size - 1) + 1 - extent
        if total < -1:  # by one is a pixel at the end that no window reaches, in every runtime
            raise NodeError(f"auto_pad '{automatic}' with strides {stride} so much larger than its windows")
        total = max(0, total)
        small = total // 2
        padding.append((small, total - small) if automatic == "SAME_UPPER" else (total - small, small))
    return tuple(padding)


class Windows:
    """The windows of a pooling node, one axis at a time.

    Attributes
    ----------
    value : what is pooled, ``[N, C, *extents]``
    kernel, stride, dilation, padding : per axis
    counts : windows along each axis, with ``ceil_mode`` also those that begin inside and end beyond the padding
    """

    def __init__(self, call: Call) -> None:
        self.value = call.variable(0)
        if len(self.value.shape) < 3:
            raise NodeError(f"{self.value.shape} has no axes to pool over", "export the network again")
        extents = self.value.shape[2:]
        axes = len(extents)
        if call.integers("kernel_shape") is None:
            raise NodeError("no kernel_shape", "export the network again")
        self.kernel = call.extents("kernel_shape", axes, 1, 1)
        self.stride = call.extents("strides", axes, 1, 1)
        self.dilation = call.extents("dilations", axes, 1, 1)
        self.padding = padding_of(call, extents, self.kernel, self.stride, self.dilation)
        upwards, automatic = call.flag("ceil_mode"), call.text("auto_pad", "NOTSET") != "NOTSET"
        self.counts: list[int] = []
        for axis, extent in enumerate(extents):
            before, after = self.padding[axis]
            room = extent + before + after - self.dilation[axis] * (self.kernel[axis] - 1) - 1
            if room < 0 or before >= self._reach(axis) or after >= self._reach(axis):
                raise NodeError(f"a window of {self.kernel} does not fit {extents} padded by {self.padding}")
            if upwards and automatic and room % self.stride[axis]:
                raise NodeError("ceil_mode together with auto_pad, which runtimes and ONNX understand differently")
            count = (-(-room // self.stride[axis]) if upwards else room // self.stride[axis]) + 1
            if (count - 1) * self.stride[axis] >= extent + before:
                count -= 1  # a window that begins in the padding behind the end has nothing in it
            self.counts.append(count)
            call.translation.allocate(4 * count * self.kernel[axis])
            if not bool(self.inside(axis).any(1).all()):
                raise NodeError(f"a window of {self.kernel} on {extents} padded by {self.padding} holds nothing")
        self.shape = (*self.value.shape[:2], *self.counts)
        call.translation.reserve(self.shape)

    def _reach(self, axis: int) -> int:
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def positions(self, axis: int) -> NDArray[np.int64]:
        """``[windows, kernel]``: which entry of the axis each place of each window is; out of range in the padding."""
        starts = np.arange(self.counts[axis]) * self.stride[axis] - self.padding[axis][0]
        return starts[:, None] + np.arange(self.kernel[axis])[None] * self.dilation[axis]

    def inside(self, axis: int) -> NDArray[np.bool_]:
        """``[windows, kernel]``: which places are none of the padding."""
        positions = self.positions(axis)
        return (positions >= 0) & (positions < self.value.shape[axis + 2])

    def overhang(self, axis: int) -> int:
        """How far the last window reaches beyond the padded end."""
        last = int(self.positions(axis).max()) + 1
        return max(0, last - self.value.shape[axis + 2] - self.padding[axis][1])


def _max_pool(call: Call) -> Value:
    if call.flag("storage_order"):
        raise NodeError("the positions of the maxima are asked for, column by column")
    windows = Windows(call)
    value = windows.value
    # Axis by axis: windows that overlap share the maxima along the other axes.
    for axis in range(len(windows.kernel)):
        positions, inside = windows.positions(axis), windows.inside(axis)
        # A place in the padding counts for nothing: another place of the window stands in for it.
        first = positions[np.arange(len(positions)), inside.argmax(1)]
        value = maximum_along(call, value, axis + 2, np.where(inside, positions, first[:, None]), f"axis{axis}")
    return value


def maximum_along(call: Call, value: Variable, axis: int, places: NDArray[np.int64], part: str) -> Variable:
    """The maximum of ``places[i]`` along an axis, for every ``i``, by halves: ``max(a, b) = a + relu(b - a)``."""
    kernel = places.shape[1]
    if kernel == 1:
        taken = call.rearrange(value, lambda array: np.take(array, places[:, 0], axis), part)
        assert isinstance(taken, Variable)
        return taken
    # [kernel, ...] with the windows where the axis was: what is left of each window lies along the first axis.
    call.translation.allocate(2 * kernel * len(places) * (value.size // max(value.shape[axis], 1)) + value.size)
    whole = np.arange(value.size).reshape(value.shape)
    index = np.moveaxis(np.take(whole, places.T, axis), axis, 0)
    for level in itertools.count():
        half, odd = divmod(len(index), 2)
        if not half:
            break
        name = f"{part}/{level}"
        first = call.select(value, index[:half], part=f"{name}/a")
        second = call.select(value, index[half : 2 * half], part=f"{name}/b")
        rise = call.add(Sum((1, -1)), (second.node, first.node), first.shape, f"{name}/difference")
        excess = call.add(ReLU(), (rise.node,), first.shape, f"{name}/relu")
        larger = call.add(Sum((1, 1)), (first.node, excess.node), first.shape, f"{name}/maximum")
        if odd:  # the one that is left over goes on with the maxima
            rest = call.select(value, index[-1:], part=f"{name}/rest")
            value = call.add(
                Concatenate((larger.size, rest.size)),
                (larger.node, rest.node),
                (half + 1, *larger.shape[1:]),
                f"{name}/all",
            )
        else:
            value = larger
        index = np.arange(value.size).reshape(value.shape)
    return Variable(value.node, value.shape[1:])


def _global_max_pool(call: Call) -> Value:
    value = call.variable(0)
    if len(value.shape) < 3:
        raise NodeError(f"{value.shape} has no axes to pool over", "export the network again")
    for axis in range(2, len(value.shape)):
        value = maximum_along(call, value, axis, np.arange(value.shape[axis])[None], f"axis{axis - 2}")
    return value


def _average_pool(call: Call) -> Value:
    windows = Windows(call)
    value, axes = windows.value, range(len(windows.kernel))
    counted = call.flag("count_include_pad")
    overhangs = [windows.overhang(axis) for axis in axes]
    if counted and any(overhangs):
        raise NodeError("ceil_mode together with count_include_pad, which runtimes do not agree on")
    numbers = np.ones(())
    for axis in axes:
        inside = windows.inside(axis)
        along = np.full(len(inside), windows.kernel[axis]) if counted else inside.sum(1)
        numbers = numbers[..., None] * along
    even = bool((numbers == numbers.flat[0]).all())
    # The channels are samples of a convolution with one channel: no channel mixes with another.
    weight = torch.full((1, 1, *windows.kernel), 1 / float(numbers.flat[0]) if even else 1.0, dtype=torch.float64)
    padding = tuple((before, after + over) for (before, after), over in zip(windows.padding, overhangs, strict=True))
    operator = Convolution(
        weight,
        None,
        (1, *value.shape[2:]),
        windows.stride,
        padding,
        windows.dilation,
        samples=math.prod(value.shape[:2]),
        roundings=0 if is_power_of_two(weight) else 1,
    )
    total = call.add(operator, (value.node,), windows.shape, "" if even else "sum")
    if even:
        return total
    shares = tensor_of(per_channel(np.broadcast_to(1 / numbers, windows.shape), windows.shape))
    zero = torch.zeros(1, dtype=torch.float64)
    return call.add(Scale(total.size, shares, zero, 1), (total.node,), windows.shape)


OPERATORS: dict[str, Translate] = {
    "AveragePool": _average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
}
