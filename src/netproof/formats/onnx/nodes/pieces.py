"""ONNX operators that consist of straight pieces: maxima and minima, PReLU, hard sigmoid, steps, floors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import add, per_channel, scaled
from netproof.formats.onnx.call import Call, Constant, NodeError, Shape, Translate, Value, Variable, finite, tensor_of
from netproof.formats.onnx.shapes import expanded
from netproof.formats.onnx.windows import maximum_along
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.scale import Scale


def larger(call: Call, left: Value, right: Value, sign: int, part: str = "") -> Value:
    """The larger (``sign`` 1) or the smaller (-1) of two values, broadcast."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    prefix = f"{part}/" if part else ""
    if isinstance(left, Constant) and isinstance(right, Constant):
        call.make(shape)
        return Constant((np.maximum if sign > 0 else np.minimum)(left.array, right.array))
    if isinstance(left, Constant):
        left, right = right, left
    left = expanded(call, left, shape, f"{prefix}expanded")
    assert isinstance(left, Variable)
    if isinstance(right, Constant):
        return _limited(call, left, right.array, sign, part)
    right = expanded(call, right, shape, f"{prefix}expanded2")
    assert isinstance(right, Variable)
    # max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b).
    first, second = (right, left) if sign > 0 else (left, right)
    rise = add(call, first, second, -1, f"{prefix}difference")
    assert isinstance(rise, Variable)
    excess = call.add(ReLU(), (rise.node,), shape, f"{prefix}relu")
    return add(call, left, excess, sign, part)


def _limited(call: Call, value: Variable, limits: NDArray[np.float64], sign: int, part: str) -> Variable:
    if limits.dtype != np.float64 or bool(np.isnan(limits).any()):
        raise NodeError("a limit that is not a number", "repair the network")
    if bool((limits == -sign * math.inf).all()):
        return value
    finite(limits, "a limit")
    if bool((limits == limits.flat[0]).all()):
        limit = float(limits.flat[0])
        clip = Clip(limit, math.inf) if sign > 0 else Clip(-math.inf, limit)
        return call.add(ReLU() if (limit, sign) == (0.0, 1) else clip, (value.node,), value.shape, part)
    prefix = f"{part}/" if part else ""
    # max(a, c) = c + relu(a - c), min(a, c) = c - relu(c - a).
    excess = scaled(call, value, float(sign), -sign * limits, f"{prefix}difference")
    bent = call.add(ReLU(), (excess.node,), value.shape, f"{prefix}relu")
    return scaled(call, bent, float(sign), limits, part)


def _several(sign: int) -> Translate:
    def translate(call: Call) -> Value:
        value = call.operand(0)
        for number in range(1, len(call.operands)):
            value = larger(call, value, call.operand(number), sign, f"{number}" if len(call.operands) > 2 else "")
        return value

    return translate


def _reduced(sign: int) -> Translate:
    """ReduceMax or ReduceMin, whose axes are an operand from opset 18 on."""

    def translate(call: Call) -> Value:
        value = call.operand(0)
        rank = len(value.shape)
        axes = call.axes(rank, 1, 18)
        if not axes:
            if call.flag("noop_with_empty_axes"):
                return value
            axes = list(range(rank))
        if any(not value.shape[axis] for axis in axes):
            raise NodeError("a maximum or minimum of nothing", "export the network again")
        kept = call.flag("keepdims", default=True)
        shape: Shape = tuple((1 if a in axes else e) for a, e in enumerate(value.shape) if kept or a not in axes)
        if isinstance(value, Constant):
            array = value.array
            return Constant((array.max(tuple(axes)) if sign > 0 else array.min(tuple(axes))).reshape(shape))
        if sign < 0:
            value = scaled(call, value, -1.0, 0.0, "negative")
        for axis in sorted(axes):
            value = maximum_along(call, value, axis, np.arange(value.shape[axis])[None], f"axis{axis}")
        result = Variable(value.node, shape)
        return result if sign > 0 else scaled(call, result, -1.0, 0.0)

    return translate


def _prelu(call: Call) -> Value:
    value, slopes = call.variable(0), call.numbers(1)
    if np.broadcast_shapes(value.shape, slopes.shape) != value.shape:
        raise NodeError(f"slopes {slopes.shape} for {value.shape}", "export the network again")
    if bool((slopes == slopes.flat[0]).all()):
        slope = float(slopes.flat[0])
        return call.add(ReLU() if slope == 0 else LeakyReLU(slope), (value.node,), value.shape)
    # slope a + (1 - slope) relu(a): the hull of each is that of the ReLU.
    bent = call.add(ReLU(), (value.node,), value.shape, "relu")
    rest = 1 - slopes
    exact = bool(((1 - rest) == slopes).all() and (np.abs(slopes) >= 2.0**-20).all() and (np.abs(slopes) < 2).all())
    share = tensor_of(per_channel(rest, value.shape))
    zero = torch.zeros(1, dtype=torch.float64)
    part = call.add(Scale(value.size, share, zero, 0 if exact else 1), (bent.node,), value.shape, "share")
    return add(call, scaled(call, value, slopes, 0.0, "slopes"), part)


def _hard_sigmoid(call: Call) -> Value:
    value = call.variable(0)
    alpha, beta = call.number("alpha", 0.2), call.number("beta", 0.5)
    line = scaled(call, value, alpha, beta, "line")
    result = call.add(Clip(0.0, 1.0), (line.node,), value.shape)
    call.translation.formulas.hard(value.node, result.node, alpha, beta)
    return result


def _thresholded(call: Call) -> Value:
    value, threshold = call.variable(0), call.number("alpha", 1.0)
    above = scaled(call, value, 1.0, -threshold, "above")
    bent = call.add(ReLU(), (above.node,), value.shape, "relu")
    step = call.add(Step(0.0, 0.0, 1.0), (above.node,), value.shape, "step")
    return add(call, bent, scaled(call, step, threshold, 0.0, "jump"))


def _sign(call: Call) -> Value:
    value = call.operand(0)
    if isinstance(value, Constant):
        return Constant(np.sign(value.array))
    return call.add(Step(-1.0, 0.0, 1.0), (value.node,), value.shape)


def _rounded(function: Callable[[NDArray[np.float64]], NDArray[np.float64]], sign: int) -> Translate:
    """Floor (sign 1) or Ceil (-1)."""

    def translate(call: Call) -> Value:
        value = call.operand(0)
        if isinstance(value, Constant):
            return Constant(function(finite(value.array, "the constant")))
        if sign > 0:
            return call.add(Floor(), (value.node,), value.shape)
        down = call.add(Floor(), (scaled(call, value, -1.0, 0.0, "negative").node,), value.shape, "floor")
        return scaled(call, down, -1.0, 0.0)

    return translate


OPERATORS: dict[str, Translate] = {
    "Ceil": _rounded(np.ceil, -1),
    "Floor": _rounded(np.floor, 1),
    "HardSigmoid": _hard_sigmoid,
    "Max": _several(1),
    "Min": _several(-1),
    "PRelu": _prelu,
    "ReduceMax": _reduced(1),
    "ReduceMin": _reduced(-1),
    "Sign": _sign,
    "ThresholdedRelu": _thresholded,
}
