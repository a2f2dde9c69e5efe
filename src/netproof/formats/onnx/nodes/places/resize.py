"""ONNX operators that resize images, and that move entries between channels and places."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import FLOATS, Call, NodeError, Translate, Value, Variable, normalized
from netproof.formats.onnx.linear import along_axis

#: a place in the operand of a place in the result: place, scale, extent of the operand, extent of the result
_Place = Callable[[int, Fraction, int, int], Fraction]
_HALF = Fraction(1, 2)

_PLACES: dict[str, _Place] = {
    "half_pixel": lambda x, scale, before, after: (x + _HALF) / scale - _HALF,
    "pytorch_half_pixel": lambda x, scale, before, after: (x + _HALF) / scale - _HALF if after > 1 else Fraction(0),
    "align_corners": lambda x, scale, before, after: (
        Fraction(x * (before - 1), after - 1) if after > 1 else Fraction(0)
    ),
    "asymmetric": lambda x, scale, before, after: x / scale,
}
_NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - _HALF),
    "round_prefer_ceil": lambda x: math.floor(x + _HALF),
    "floor": math.floor,
    "ceil": math.ceil,
}
#: extents beyond which a matrix for an axis is not made
_LONGEST = 1 << 12


def _resized(call: Call, scales: list[Fraction], extents: list[int], place: str, mode: str, nearest: str) -> Value:
    value = call.operand(0)
    if len(scales) != len(value.shape) or len(extents) != len(value.shape):
        raise NodeError(f"{len(scales)} scales for {len(value.shape)} axes", "export the network again")
    if min(scales, default=_HALF) <= 0 or min(extents, default=1) < 1 or max(extents, default=1) > _LONGEST:
        raise NodeError(f"a result of {extents}", "export the network again")
    if place not in _PLACES or nearest not in _NEAREST:
        raise NodeError(f"coordinates '{place}', rounded by '{nearest}'", "export it with half_pixel or asymmetric")
    if mode not in ("nearest", "linear"):
        raise NodeError(f"resizing of mode '{mode}'", "export it with mode 'nearest' or 'linear'")
    if tuple(extents) == value.shape and any(scale != 1 for scale in scales):
        raise NodeError(
            f"scales {[float(f'{float(scale):.6g}') for scale in scales]} that leave all extents as they are, which runtimes take "
            "for no change and ONNX does not",
            "leave it out",
        )
    for axis, (scale, after) in enumerate(zip(scales, extents, strict=True)):
        before = value.shape[axis]
        if scale == 1 and before == after:
            continue
        at = [_PLACES[place](x, scale, before, after) for x in range(after)]
        call.make((*value.shape[:axis], after, *value.shape[axis + 1 :]))
        if mode == "nearest":
            taken = [min(max(_NEAREST[nearest](x), 0), before - 1) for x in at]
            narrow = [Fraction(_narrow(place, x, scale, before, after)) for x in range(after)]
            if taken != [min(max(_NEAREST[nearest](x), 0), before - 1) for x in narrow]:
                raise NodeError(
                    f"entries so near the middle between two that float32 decides, at a scale of {float(scale):g}",
                    "export it with sizes",
                )
            value = call.rearrange(value, lambda array, a=axis, t=taken: np.take(array, t, a), f"axis{axis}")  # type: ignore[misc]
        else:
            if not isinstance(value, Variable):
                value = call.variable(0)
            call.translation.allocate(2 * before * after)
            value = along_axis(call, value, axis, *_linear(at, before), part=f"axis{axis}", interpolates=True)
    return value


def _narrow(place: str, x: int, scale: Fraction, before: int, after: int) -> float:
    """The place in the operand as runtimes compute it, in float32."""
    one, ratio, half = np.float32(x), np.float32(float(scale)), np.float32(0.5)
    if place == "asymmetric":
        return float(one / ratio)
    if place == "align_corners":
        return float(one * np.float32(before - 1) / np.float32(max(after - 1, 1)))
    if place == "pytorch_half_pixel" and after == 1:
        return 0.0
    return float((one + half) / ratio - half)


def _linear(at: list[Fraction], before: int) -> tuple[NDArray[np.float64], int]:
    """A matrix ``[before, after]`` of weights of both neighbours, and how often each is rounded."""
    weight = np.zeros((before, len(at)))
    rounded = 0
    for column, x in enumerate(at):
        inside = min(max(x, Fraction(0)), Fraction(before - 1))
        first = min(math.floor(inside), max(before - 2, 0))
        for place, share in ((first, 1 - (inside - first)), (min(first + 1, before - 1), inside - first)):
            if share:
                weight[place, column] += float(share)
                rounded = max(rounded, int(Fraction(float(share)) != share))
    return weight, rounded


def _extent(scale: Fraction, before: int) -> int:
    """The extent of a result, ``floor(scale * before)``, refused where the product in float32 has another one."""
    exact = math.floor(scale * before)
    if math.floor(float(np.float32(float(scale)) * np.float32(before))) != exact:
        raise NodeError(
            f"{before} entries at a scale of {float(scale):.9g} are so nearly a whole number that float32 decides",
            "export it with sizes",
        )
    return exact


def _check_smaller(scales: list[Fraction], extents: list[int], before: tuple[int, ...]) -> None:
    """Refuse what opset 10 leaves open: which neighbour is nearest where entries are left out. Runtimes take the next one there,
    where upsampling takes the one before."""
    for scale, after, extent in zip(scales, extents, before, strict=True):
        places = [x / scale for x in range(after)] if scale < 1 else []
        if any(math.floor(x) != min(math.ceil(x), extent - 1) for x in places):
            raise NodeError(
                f"entries left out at a scale of {float(scale):g}, of which opset 10 does not say which ones",
                "export it for opset 11 or later",
            )


def _check_last_entries(scales: list[Fraction], before: tuple[int, ...]) -> None:
    """Refuse corners of a result of no whole length: ONNX divides by ``scale * before - 1``, runtimes by what that is after rounding down."""
    for scale, extent in zip(scales, before, strict=True):
        length = scale * extent
        # The scale itself is a rounded number where it is no simple fraction.
        if abs(length - round(length)) > length / (1 << 22):
            raise NodeError(
                f"corners aligned of {extent} entries at a scale of {float(scale):.9g}, {float(length):.9g} entries",
                "export it with sizes",
            )


def _resize(call: Call) -> Value:
    value = call.operand(0)
    mode = call.text("mode", "nearest")
    old = call.opset < 11
    for name, usual in (("keep_aspect_ratio_policy", "stretch"), ("extrapolation_value", None)):
        if usual is not None and call.text(name, usual) != usual:
            raise NodeError(f"its {name} is '{call.text(name, usual)}'", "export it with sizes")
    if call.flag("antialias") or call.flag("exclude_outside"):
        raise NodeError("antialiasing, or weights without what lies outside", "export it without")
    axes = call.integers("axes")
    axes = normalized(list(range(len(value.shape))) if axes is None else axes, len(value.shape))
    scales, extents = [Fraction(1)] * len(value.shape), list(value.shape)
    given = call.optional(1 if old else 2)
    sizes = None if old else call.indices(3)
    if given is not None and 0 not in given.shape:
        numbers = call.numbers(1 if old else 2).reshape(-1)
        if sizes or len(numbers) != len(axes):
            raise NodeError(f"{len(numbers)} scales for {len(axes)} axes", "export the network again")
        for axis, number in zip(axes, numbers.tolist(), strict=True):
            scales[axis] = Fraction(number)
            extents[axis] = _extent(scales[axis], value.shape[axis])
    elif sizes is not None and len(sizes) == len(axes):
        for axis, extent in zip(axes, sizes, strict=True):
            extents[axis] = extent
            scales[axis] = Fraction(extent, max(value.shape[axis], 1))
    else:
        raise NodeError("neither scales nor sizes", "export the network again")
    if old and mode == "nearest":
        _check_smaller(scales, extents, value.shape)
    place = "asymmetric" if old else call.text("coordinate_transformation_mode", "half_pixel")
    nearest = "floor" if old else call.text("nearest_mode", "round_prefer_floor")
    if place == "align_corners":
        _check_last_entries(scales, value.shape)
    return _resized(call, scales, extents, place, mode, nearest)


def _upsample(call: Call) -> Value:
    value = call.operand(0)
    if call.opset < 9:
        numbers = [float(number) for number in call.attribute("scales", FLOATS).floats]
    else:
        numbers = call.numbers(1).reshape(-1).tolist()
    if len(numbers) != len(value.shape) or not all(math.isfinite(number) for number in numbers):
        raise NodeError(f"{len(numbers)} scales for {len(value.shape)} axes", "export the network again")
    scales = [Fraction(number) for number in numbers]
    extents = [_extent(scale, extent) for scale, extent in zip(scales, value.shape, strict=True)]
    return _resized(call, scales, extents, "asymmetric", call.text("mode", "nearest"), "floor")


def _blocks(call: Call) -> tuple[Value, int, tuple[int, ...]]:
    value, size = call.operand(0), call.integer("blocksize", 0)
    if len(value.shape) != 4 or size < 1:
        raise NodeError(f"blocks of {size} in {value.shape}", "export the network again")
    return value, size, value.shape


def _depth_to_space(call: Call) -> Value:
    value, size, (samples, channels, height, width) = _blocks(call)
    mode = call.text("mode", "DCR")
    if channels % size**2 or mode not in ("DCR", "CRD"):
        raise NodeError(f"blocks of {size} of {channels} channels, mode '{mode}'", "export the network again")
    rest = channels // size**2

    def moved(array: NDArray[np.int64]) -> NDArray[np.int64]:
        if mode == "DCR":
            order = array.reshape(samples, size, size, rest, height, width).transpose(0, 3, 4, 1, 5, 2)
        else:
            order = array.reshape(samples, rest, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
        return np.ascontiguousarray(order).reshape(samples, rest, height * size, width * size)

    return call.rearrange(value, moved)


def _space_to_depth(call: Call) -> Value:
    value, size, (samples, channels, height, width) = _blocks(call)
    mode = call.text("mode", "DCR")
    if height % size or width % size or mode not in ("DCR", "CRD"):
        raise NodeError(f"blocks of {size} in {value.shape}, mode '{mode}'", "export the network again")
    axes = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)

    def moved(array: NDArray[np.int64]) -> NDArray[np.int64]:
        order = array.reshape(samples, channels, height // size, size, width // size, size).transpose(axes)
        return np.ascontiguousarray(order).reshape(samples, channels * size**2, height // size, width // size)

    return call.rearrange(value, moved)


OPERATORS: dict[str, Translate] = {
    "DepthToSpace": _depth_to_space,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Upsample": _upsample,
}
