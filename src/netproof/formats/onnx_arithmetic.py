"""ONNX operators that add and multiply elementwise: of values with constants, and of constants among themselves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx_call import Call, Constant, NodeError, Shape, Translate, Value, Variable, finite, tensor_of
from netproof.formats.onnx_shapes import expanded
from netproof.graph.rounding import gamma, is_power_of_two, rounded_up, safe_factor
from netproof.operators.batch_norm import BatchNorm
from netproof.operators.scale import Scale
from netproof.operators.sum import Sum

#: constants of more numbers are not compared with exact fractions one by one
_LARGEST_FOLD = 1 << 20


def per_channel(array: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    """A constant broadcast to ``shape``, as one number for each of equally long runs of its features."""
    aligned = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    leading = len(shape)
    while leading and aligned.shape[leading - 1] == 1:
        leading -= 1
    channels = np.broadcast_to(aligned, (*shape[:leading], *[1] * (len(shape) - leading)))
    return np.ascontiguousarray(channels).reshape(-1)


def scaled(
    call: Call, value: Variable, scale: NDArray[np.float64] | float, shift: NDArray[np.float64] | float, part: str = ""
) -> Variable:
    """``scale * value + shift`` with constants that broadcast to the value's shape; exact."""
    return _scaled(call, value, scale, shift, value.shape, 0, part)


def _scaled(
    call: Call,
    value: Value,
    scale: NDArray[np.float64] | float,
    shift: NDArray[np.float64] | float,
    shape: Shape,
    roundings: int,
    part: str = "",
) -> Variable:
    parts = [finite(np.asarray(p, np.float64), "a constant operand") for p in (scale, shift)]
    value = expanded(call, value, shape, "expanded")
    assert isinstance(value, Variable)
    if not value.size or (bool((parts[0] == 1).all()) and bool((parts[1] == 0).all())):
        return value
    factor, added = (tensor_of(per_channel(p, shape)) for p in parts)
    exact = is_power_of_two(factor)
    operator = Scale(value.size, factor, added, 0 if exact else roundings)
    return call.add(operator, (value.node,), shape, part)


def add(call: Call, left: Value, right: Value, sign: int = 1, part: str = "") -> Value:
    """``left + right``, or ``left - right`` with sign -1, broadcast."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    if isinstance(left, Variable) and isinstance(right, Constant):
        return _scaled(call, left, 1.0, sign * finite(right.array, "a constant operand"), shape, 0, part)
    if isinstance(left, Constant) and isinstance(right, Variable):
        return _scaled(call, right, float(sign), finite(left.array, "a constant operand"), shape, 0, part)
    if isinstance(left, Variable) and isinstance(right, Variable):
        wide = [expanded(call, v, shape, f"expanded{i}") for i, v in enumerate((left, right))]
        nodes = tuple(v.node for v in wide if isinstance(v, Variable))
        return call.add(Sum((1, sign)), nodes, shape, part)
    assert isinstance(left, Constant) and isinstance(right, Constant)
    return folded(call, np.add if sign > 0 else np.subtract, left.array, right.array)


def folded(
    call: Call, function: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]], left: NDArray[Any], right: NDArray[Any]
) -> Constant:
    """A function of two constants. Of floats only where the result is exact: the claim is about the file's numbers."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    call.translation.reserve(shape)
    if left.dtype != np.float64:
        return Constant(function(left, right))
    a, b = np.broadcast_arrays(finite(left, "a constant"), finite(right, "a constant"))
    result = finite(function(a, b), "the result")
    if result.size > _LARGEST_FOLD or not all(
        Fraction(float(z)) == function(Fraction(float(x)), Fraction(float(y)))  # type: ignore[arg-type]
        for x, y, z in zip(a.flat, b.flat, result.flat, strict=True)
    ):
        raise NodeError("float constants are combined, which rounds them", "fold constants before export")
    return Constant(result)


def _add(call: Call) -> Value:
    return add(call, call.operand(0), call.operand(1))


def _sub(call: Call) -> Value:
    return add(call, call.operand(0), call.operand(1), -1)


def _sum(call: Call) -> Value:
    total = call.operand(0)
    for number in range(1, len(call.operands)):
        total = add(call, total, call.operand(number), part=str(number))
    return total


def _neg(call: Call) -> Value:
    value = call.operand(0)
    return Constant(-value.array) if isinstance(value, Constant) else scaled(call, value, -1.0, 0.0)


def _mul(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(left, Constant) and isinstance(right, Constant):
        return folded(call, np.multiply, left.array, right.array)
    if isinstance(left, Constant):
        left, right = right, left
    if not isinstance(right, Constant):
        raise NodeError("two values that depend on the input are multiplied")
    shape = np.broadcast_shapes(left.shape, right.shape)
    return _scaled(call, left, finite(right.array, "a constant operand"), 0.0, shape, 0)


def _div(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(right, Variable):
        raise NodeError("something is divided by a value that depends on the input")
    if bool((right.array == 0).any()):
        raise NodeError("a division by 0", "repair the network")
    if isinstance(left, Constant):
        if left.array.dtype == np.int64:
            quotient = np.abs(left.array) // np.abs(right.array)
            return Constant(np.sign(left.array) * np.sign(right.array) * quotient)
        return folded(call, np.divide, left.array, right.array)
    shape = np.broadcast_shapes(left.shape, right.shape)
    # One rounding, in the reciprocal; none for powers of two.
    divisor = finite(right.array, "a constant operand")
    if not safe_factor(tensor_of(divisor)):
        raise NodeError("a divisor is too large or too small", "repair the network")
    reciprocal = 1 / divisor
    return _scaled(call, left, reciprocal, 0.0, shape, 1)


def _batch_normalization(call: Call) -> Value:
    value = call.variable(0)
    if call.outputs > 1 or call.flag("training_mode") or not call.flag("spatial", default=True):
        raise NodeError("batch normalization in training mode, or not per channel", "export it in evaluation mode")
    gain, bias, mean, variance = (call.numbers(i).reshape(-1) for i in range(1, 5))
    if len(value.shape) < 2 or {len(p) for p in (gain, bias, mean, variance)} != {value.shape[1]}:
        raise NodeError(f"its parameters are not for the channels of {value.shape}", "export the network again")
    epsilon = call.number("epsilon", 1e-5)
    spread = variance + epsilon
    if not bool((spread > 0).all()):
        raise NodeError("a variance is not positive", "retrain or repair the network")
    if not all(safe_factor(tensor_of(part)) for part in (gain, mean, spread)):
        raise NodeError("its parameters are too large or too small to be multiplied", "retrain or repair the network")
    # Roundings: the sum under the root (the root halves it), the root, the quotient.
    scale = gain / np.sqrt(spread)
    product = mean * scale
    shift = bias - product
    error = rounded_up(torch.from_numpy(np.abs(product) * gamma(4) + np.abs(shift) * gamma(1)))
    samples = value.shape[0]
    operator = BatchNorm(
        value.size,
        tensor_of(np.tile(scale, samples)),
        tensor_of(np.tile(shift, samples)),
        3,
        error.repeat(samples),
        gain=tensor_of(gain),
        bias=tensor_of(bias),
        mean=tensor_of(mean),
        variance=tensor_of(variance),
        epsilon=epsilon,
    )
    return call.add(operator, (value.node,), value.shape)


def _of_constants(function: Callable[..., NDArray[Any]], count: int) -> Translate:
    """An operator that is known for integers and truth values only: arithmetic of shapes."""

    def translate(call: Call) -> Value:
        arrays = [call.constant(number) for number in range(count)]
        if any(array.dtype == np.float64 for array in arrays):
            raise NodeError(
                "it is known for the arithmetic of shapes only, here are floats", "fold constants before export"
            )
        call.translation.reserve(np.broadcast_shapes(*(array.shape for array in arrays)))
        return Constant(np.asarray(function(*arrays)))

    return translate


def _mod(call: Call) -> Value | tuple[Value, ...]:
    """The sign of the result is that of the divisor, and with ``fmod`` that of the dividend."""
    if not bool(np.all(call.constant(1))):
        raise NodeError("a division by zero", "export the network again")
    return _of_constants(np.fmod if call.flag("fmod") else np.mod, 2)(call)


OPERATORS: dict[str, Translate] = {
    "Add": _add,
    "And": _of_constants(np.logical_and, 2),
    "BatchNormalization": _batch_normalization,
    "Div": _div,
    "Equal": _of_constants(np.equal, 2),
    "Greater": _of_constants(np.greater, 2),
    "Less": _of_constants(np.less, 2),
    "Mod": _mod,
    "Mul": _mul,
    "Neg": _neg,
    "Not": _of_constants(np.logical_not, 1),
    "Sub": _sub,
    "Sum": _sum,
    "Where": _of_constants(np.where, 3),
}
