"""ONNX operators that add and multiply elementwise: of values with constants, and of constants among themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import (
    Call,
    Constant,
    Masked,
    NodeError,
    Shape,
    Translate,
    Value,
    Variable,
    finite,
    tensor_of,
)
from netproof.formats.onnx.nodes.products import product, reciprocal
from netproof.formats.onnx.quantized.operands import constant
from netproof.formats.onnx.shapes import expanded
from netproof.graph.rounding import gamma, is_power_of_two, rounded_up, safe_factor
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum

#: types narrower than float64, by the numbers ONNX gives them
_NARROW = {1: np.float32, 10: np.float16}


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
    call.translation.allocate(2 * math.prod(shape) if any(p.size > 1 for p in parts) else 0)
    factor, added = (tensor_of(per_channel(p, shape)) for p in parts)
    exact = is_power_of_two(factor)
    operator = Scale(value.size, factor, added, 0 if exact else roundings)
    return call.add(operator, (value.node,), shape, part)


def add(call: Call, left: Value, right: Value, sign: int = 1, part: str = "") -> Value:
    """``left + right``, or ``left - right`` with sign -1, broadcast."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    if isinstance(left, Variable) and isinstance(right, Constant):
        shift = sign * finite(right.array, "a constant operand")
        return _noted(call, left, _scaled(call, left, 1.0, shift, shape, 0, part), 1, shift)
    if isinstance(left, Constant) and isinstance(right, Variable):
        shift = finite(left.array, "a constant operand")
        return _noted(call, right, _scaled(call, right, float(sign), shift, shape, 0, part), sign, shift)
    if isinstance(left, Variable) and isinstance(right, Variable):
        wide = [expanded(call, v, shape, f"expanded{i}") for i, v in enumerate((left, right))]
        first, second = (v.node for v in wide if isinstance(v, Variable))
        total = call.add(Sum((1, sign)), (first, second), shape, part)
        call.translation.formulas.added(first, second, sign, total.node)
        return total
    assert isinstance(left, Constant) and isinstance(right, Constant)
    return folded(call, np.add if sign > 0 else np.subtract, left.array, right.array)


def _noted(
    call: Call,
    value: Variable,
    result: Variable,
    factor: NDArray[np.float64] | int,
    shift: NDArray[np.float64] | int,
    *,
    divided: bool = False,
) -> Variable:
    """The result, with its formula noted where one number scales a value and one is added."""
    numbers = [np.asarray(part) for part in (factor, shift)]
    if result.shape == value.shape and all(part.size == 1 for part in numbers):
        scale, added = (Fraction(float(part.reshape(()))) for part in numbers)
        call.translation.formulas.scaled(value.node, result.node, 1 / scale if divided else scale, added)
    return result


def folded(call: Call, function: np.ufunc, left: NDArray[Any], right: NDArray[Any]) -> Value:
    """A function of two constants of one type, which is a constant where the result is exact in that type.

    Of floats the claim is about the file's numbers, which a runtime rounds: a result that is no float becomes a part of
    the graph (:meth:`Call.lifted`). Integers a runtime wraps around, so these have to be exact. (Integers of fewer than 64 bits
    are checked where all results are.)
    """
    if left.dtype == np.float64:
        if function is np.multiply and bool(np.isneginf(left).any() or np.isneginf(right).any()):
            return _masks(call, left, right)
        exact = exactly(call, function, left, right, call.kind(0))
        if exact is not None:
            return Constant(exact)
        if function is np.divide:
            return _quotient(call, call.lifted(Constant(left)), right)
        value = call.lifted(Constant(left))
        if function is np.multiply:
            return _scaled(call, value, right, 0.0, np.broadcast_shapes(left.shape, right.shape), 0)
        return add(call, value, Constant(right), 1 if function is np.add else -1)
    call.make(np.broadcast_shapes(left.shape, right.shape))
    ends = largest(left), largest(right)
    if (ends[0] * ends[1] if function is np.multiply else sum(ends)) >= 2**63:
        raise NodeError(
            "integers of 64 bits are combined, where runtimes may wrap around", "fold constants before export"
        )
    return Constant(function(left, right))


def _masks(call: Call, left: NDArray[np.float64], right: NDArray[np.float64]) -> Constant:
    """A mask, 0 and minus infinity, times positive numbers: itself."""
    if bool(np.isneginf(right).any()):
        left, right = right, left
    finite(right, "a constant operand")
    if not bool((np.isneginf(left) | (left == 0)).all() and (right > 0).all()):
        raise NodeError("minus infinity times something else than positive numbers", "repair the network")
    shape = np.broadcast_shapes(left.shape, right.shape)
    call.make(shape)
    return Constant(np.broadcast_to(left, shape).copy())


def largest(array: NDArray[Any]) -> int:
    """The largest magnitude of integers, as one that cannot overflow."""
    return max(abs(int(array.min())), abs(int(array.max()))) if array.size else 0


def exactly(
    call: Call, function: np.ufunc, left: NDArray[Any], right: NDArray[Any], kind: int = 11
) -> NDArray[np.float64] | None:
    """A sum, difference, product or quotient of finite floats; None where float64 or the type ``kind`` rounds it."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    call.make(shape)
    call.translation.allocate(4 * math.prod(shape))
    a, b = np.broadcast_arrays(finite(left, "a constant"), finite(right, "a constant"))
    with np.errstate(all="ignore"):  # what overflows is refused as not finite
        z = finite(np.asarray(function(a, b)), "the result")
        if function is np.add or function is np.subtract:
            other = z - a
            exact = (a - (z - other)) + ((b if function is np.add else -b) - other) == 0
        elif function is np.multiply:
            exact = _is_product(z, a, b)
        else:
            exact = _is_product(a, z, b)
        narrow = _NARROW.get(kind)
        exact &= True if narrow is None else z.astype(narrow).astype(np.float64) == z
    with np.errstate(over="ignore"):
        if narrow is not None and not bool(np.isfinite(z.astype(narrow)).all()):
            raise NodeError(
                "float constants are combined beyond the largest number of their type", "repair the network"
            )
    return z if bool(exact.all()) else None


def _is_product(z: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where ``z = a b`` exactly: the error of a product is a sum of products of halves (Dekker), if none underflows."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    error = ((a1 * b1 - z) + a1 * b2 + a2 * b1) + a2 * b2
    size = [np.abs(part) for part in (a, b)]
    tame = [(part >= 2.0**-400) & (part <= 2.0**400) for part in size]
    null = ((a == 0) | (b == 0)) & (z == 0)
    exact: NDArray[np.bool_] = null | (tame[0] & tame[1] & (z == a * b) & (error == 0))
    return exact


def _halves(a: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A float64 number as a sum of two of 26 bits (Veltkamp)."""
    wide = a * (2.0**27 + 1)
    high = wide - (wide - a)
    return high, a - high


def _add(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    for value, mask in ((left, right), (right, left)):
        if isinstance(value, Variable) and isinstance(mask, Constant) and mask.array.dtype == np.float64:
            absent = np.isneginf(mask.array)
            if bool(absent.any()):
                total = add(call, value, Constant(np.where(absent, 0.0, mask.array)))
                assert isinstance(total, Variable)
                call.translation.allocate(total.size)
                return Masked(total.node, total.shape, np.broadcast_to(absent, total.shape))
    return add(call, left, right)


def _sub(call: Call) -> Value:
    return add(call, call.operand(0), call.operand(1), -1)


def _sum(call: Call) -> Value:
    total = call.operand(0)
    for number in range(1, len(call.operands)):
        total = add(call, total, call.operand(number), part=str(number))
    return total


def _mean(call: Call) -> Value:
    count = len(call.operands)
    total = _sum(call)
    value = call.lifted(total) if isinstance(total, Constant) else total
    if count == 1:
        return total
    return _scaled(call, value, 1 / count, 0.0, value.shape, 1)


def _neg(call: Call) -> Value:
    value = call.operand(0)
    if isinstance(value, Variable):
        return scaled(call, value, -1.0, 0.0)
    if value.array.dtype == np.int64 and largest(value.array) >= 2**63:
        raise NodeError("the least integer of 64 bits is negated, which wraps around", "repair the network")
    return Constant(-value.array)


def _mul(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(left, Constant) and isinstance(right, Constant):
        return folded(call, np.multiply, left.array, right.array)
    if isinstance(left, Constant):
        left, right = right, left
    if isinstance(left, Variable) and isinstance(right, Variable):
        return product(call, left, right)
    assert isinstance(left, Variable) and isinstance(right, Constant)
    shape = np.broadcast_shapes(left.shape, right.shape)
    factor = finite(right.array, "a constant operand")
    return _noted(call, left, _scaled(call, left, factor, 0.0, shape, 0), factor, 0)


def _div(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(right, Variable):
        return _over_value(call, left, right)
    if bool((right.array == 0).any()):
        raise NodeError("a division by 0", "repair the network")
    if isinstance(left, Constant):
        if left.array.dtype == np.int64:
            if max(largest(left.array), largest(right.array)) >= 2**63:
                raise NodeError("the least integer of 64 bits is divided", "repair the network")
            call.make(np.broadcast_shapes(left.shape, right.shape))
            quotient = np.abs(left.array) // np.abs(right.array)
            return Constant(np.sign(left.array) * np.sign(right.array) * quotient)
        return folded(call, np.divide, left.array, right.array)
    return _quotient(call, left, right.array)


def _over_value(call: Call, left: Value, right: Variable) -> Variable:
    """A quotient of anything by a value."""
    if isinstance(left, Variable) and left == right:
        raise NodeError("a value is divided by itself", "repair the network")
    inverse = reciprocal(call, right, "reciprocal")
    if isinstance(left, Variable):
        return product(call, left, inverse)
    shape = np.broadcast_shapes(left.shape, right.shape)
    return _scaled(call, inverse, finite(left.array, "a constant operand"), 0.0, shape, 0)


def _quotient(call: Call, left: Variable, array: NDArray[Any]) -> Variable:
    """A value divided by constants that are not 0."""
    shape = np.broadcast_shapes(left.shape, array.shape)
    # One rounding, in the reciprocal; none for powers of two.
    divisor = finite(array, "a constant operand")
    if not safe_factor(tensor_of(divisor)):
        raise NodeError("a divisor is too large or too small", "repair the network")
    return _noted(call, left, _scaled(call, left, 1 / divisor, 0.0, shape, 1), divisor, 0, divided=True)


def _dequantize(call: Call) -> Value:
    """A constant of integers as the float32 numbers that ``DequantizeLinear`` makes of it, each one product."""
    if isinstance(call.operand(0), Variable):
        raise NodeError("a value of the input is dequantized in a network of floats", "quantize its input as well")
    if call.integer("block_size", 0):
        raise NodeError("scales of blocks", "quantize weights per tensor or per channel")
    return Constant(constant(call, 0, 1, 2, call.integer("axis", 1)).array)


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
        call.make(np.broadcast_shapes(*(array.shape for array in arrays)))
        return Constant(np.asarray(function(*arrays)))

    return translate


def _mod(call: Call) -> Value | tuple[Value, ...]:
    """The sign of the result is that of the divisor, and with ``fmod`` that of the dividend."""
    if not bool(np.all(call.constant(1))):
        raise NodeError("a division by zero", "export the network again")
    return _of_constants(np.fmod if call.flag("fmod") else np.mod, 2)(call)


OPERATORS: dict[str, Translate] = {
    "Add": _add,
    "BatchNormalization": _batch_normalization,
    "DequantizeLinear": _dequantize,
    "Div": _div,
    "Mean": _mean,
    "Mod": _mod,
    "Mul": _mul,
    "Neg": _neg,
    "Sub": _sub,
    "Sum": _sum,
}
