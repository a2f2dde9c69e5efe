"""Operands of quantized operators: scales, zero points, constants of codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, NodeError
from netproof.formats.onnx.quantized.values import ENDS, INT32, Dequantized, Quantization

FLOAT = 1
_SMALLEST = float(np.finfo(np.float32).tiny)
#: types of constants that stand for weights and biases, by the numbers ONNX gives them, and their ranges
_CONSTANTS = {**ENDS, INT32: (-(2**31), 2**31 - 1)}


def scales(call: Call, number: int) -> NDArray[np.float32]:
    """An operand of known scales ``[n]``: positive, normal float32 numbers."""
    if call.optional(number) is None:
        raise NodeError(f"its scale (operand {number}) is missing", "quantize the network again")
    array = call.constant(number)
    if call.kind(number) not in (0, FLOAT) or array.dtype != np.float64:
        raise NodeError(f"its scale (operand {number}) is not float32", "quantize the network again")
    single = array.astype(np.float32)
    if single.ndim > 1 or not single.size or bool((single != array).any() | np.isnan(array).any()):
        raise NodeError(f"its scale (operand {number}) is no list of float32 numbers", "quantize the network again")
    if not bool((np.isfinite(single) & (single >= _SMALLEST)).all()):
        bad = float(single[~(np.isfinite(single) & (single >= _SMALLEST))][0])
        raise NodeError(
            f"its scale (operand {number}) is {bad:g}, no positive normal float32 number", "quantize it again"
        )
    return np.asarray(single.reshape(-1), np.float32)


def zeros(call: Call, number: int, count: int, kind: int) -> tuple[NDArray[np.int64], int]:
    """An operand of known zero points ``[count]`` and their type; 0 of type ``kind`` where there is none."""
    if call.optional(number) is None:
        return np.zeros(count, np.int64), kind
    array, found = call.constant(number), call.kind(number) or kind
    if found not in _CONSTANTS or array.dtype != np.int64:
        raise NodeError(
            f"its zero point (operand {number}) is of ONNX type {found}; known are int8 and uint8", "quantize it again"
        )
    low, high = _CONSTANTS[found]
    if (call.operator, number) == ("QGemm", 5) and array.shape != call.constant(4).shape:
        problem = f"its zero point (operand 5) has shape {array.shape}, its scale {call.constant(4).shape}"
        raise NodeError(problem, "give them one shape, which runtimes need here")
    if array.ndim > 1 or array.size not in (1, count) or bool(((array < low) | (array > high)).any()):
        raise NodeError(f"its zero point (operand {number}) is no code, or not one for each scale", "quantize it again")
    return np.broadcast_to(array.reshape(-1), (count,)), found


def quantization(call: Call, scale: int, zero: int, kind: int) -> Quantization:
    """One scale and one zero point, of codes of 8 bits; ``kind`` where the zero point does not tell the type."""
    found = scales(call, scale)
    if len(found) != 1:
        raise NodeError(f"it has {len(found)} scales where one is known", "quantize activations per tensor")
    zero_point, type_ = zeros(call, zero, 1, kind)
    if type_ not in ENDS:
        raise NodeError(f"codes of ONNX type {type_}; known are int8 and uint8", "quantize it to 8 bits")
    return Quantization(found[0], int(zero_point[0]), type_, _are_listed(call, scale, zero))


def constant(call: Call, number: int, scale: int, zero: int, axis: int) -> Dequantized:
    """A constant operand of codes with its scales."""
    raw, found = call.constant(number), scales(call, scale)
    kind = call.kind(number)
    if raw.dtype != np.int64 or kind not in _CONSTANTS:
        raise NodeError(
            f"a constant (operand {number}) of ONNX type {kind}; known are int8, uint8 and int32",
            "quantize it to 8 bits",
        )
    low, high = _CONSTANTS[kind]
    if bool(((raw < low) | (raw > high)).any()):
        raise NodeError(f"a constant (operand {number}) holds numbers beyond its type", "quantize it again")
    zero_points, type_ = zeros(call, zero, len(found), kind)
    if type_ != kind:
        raise NodeError("codes and their zero point have two types, which ONNX does not allow", "quantize it again")
    if kind == INT32 and bool((zero_points != 0).any()):
        raise NodeError("a zero point of 32 bits that is not 0", "quantize it again")
    rank = raw.ndim
    if len(found) > 1:
        axis += rank if axis < 0 else 0
        if not 0 <= axis < rank or raw.shape[axis] != len(found):
            raise NodeError(f"{len(found)} scales along axis {axis} of {raw.shape}", "quantize it again")
    call.translation.allocate(2 * raw.size)
    along = [1] * rank
    if len(found) > 1:
        along[axis] = len(found)
    shape = tuple(along)
    numbers = ((raw - zero_points.reshape(shape)).astype(np.float32) * found.reshape(shape)).astype(np.float32)
    listed = _are_listed(call, scale, zero)
    return Dequantized(numbers.astype(np.float64), raw, found, zero_points, axis, kind, listed)


def _are_listed(call: Call, *numbers: int) -> bool:
    """Whether one of a scale and its zero point is no scalar."""
    return any(call.constant(number).ndim > 0 for number in numbers if call.optional(number) is not None)


def is_listed(*hows: Quantization | None) -> bool:
    """Whether a scale or a zero point is a list of one."""
    return any(how is not None and how.listed for how in hows)


def check_scalars(listed: bool) -> None:
    """Refuse lists of one scale where runtimes do: of the operators of codes for sums, products and averages."""
    if listed:
        raise NodeError(
            "scales or zero points are lists of one number, which onnxruntime's operators of codes do not take here",
            "store them as scalars",
        )
