"""Float operators between DequantizeLinear and QuantizeLinear: what they are once a QuantizeLinear closes the group."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, Constant, NodeError, Value
from netproof.formats.onnx.quantized.operators import pairs, points, pooling, products
from netproof.formats.onnx.quantized.operators.moving import concatenated
from netproof.formats.onnx.quantized.values import INT8, Codes, Dequantized, Open, Quantization, Real, Sums

if TYPE_CHECKING:
    from netproof.formats.onnx.quantized.read import Reader


def _plain(call: Call, number: int) -> tuple[Real, Quantization]:
    """An operand that one DequantizeLinear gives."""
    value = call.operand(number)
    if not isinstance(value, Real):
        raise NodeError(
            f"operand {number} is no dequantized value of the input",
            "quantize every value between two operators, or write the network as one of floats",
        )
    if value.plain is None:
        raise NodeError(
            f"operand {number} does not come from DequantizeLinear at once, and onnxruntime does not fuse it",
            "quantize every value between two operators",
        )
    return value, value.plain


def _weights(call: Call, number: int, axis: int) -> products.Weights:
    value = call.operand(number)
    if not isinstance(value, Dequantized):
        raise NodeError(
            f"operand {number} is no constant that DequantizeLinear gives", "quantize weights and activations alike"
        )
    return products.weights_of(value, axis)


def _bias(
    reader: Reader, call: Call, how: Quantization, weight: products.Weights
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    value = call.optional(2)
    if value is None:
        return None
    if not isinstance(value, Constant):
        raise NodeError("a bias that depends on the input")
    if call.operator == "Conv" and len(value.shape) != 1:
        raise NodeError(f"a bias of shape {value.shape}, which is no list", "store one number for each channel")
    if isinstance(value, Dequantized):
        return products.bias_of(call, value, how.scale, weight.scale, len(weight.raw))
    if not reader.rule.fused:
        raise NodeError("a bias of floats, which no formula quantizes", "quantize the bias, or read for 'onnxruntime'")
    return products.bias_of(call, value.array, how.scale, weight.scale, len(weight.raw))


def _convolution(reader: Reader, call: Call) -> Value:
    real, how = _plain(call, 0)
    weight = _weights(call, 1, 0)
    bias = _bias(reader, call, how, weight)
    products.check_saturation(reader.processors, call.name, real.codes, how, weight)
    sums = products.convolution(reader.build, call, real.codes, how, weight, bias)
    return _open(reader, call, sums, real, how, weight, last=False)


def _matmul(reader: Reader, call: Call) -> Value:
    real, how = _plain(call, 0)
    weight = _weights(call, 1, 1)
    products.check_saturation(reader.processors, call.name, real.codes, how, weight)
    sums = products.matrix(reader.build, call, real.codes, how, weight, None)
    return _open(reader, call, sums, real, how, weight, last=True)


def _gemm(reader: Reader, call: Call) -> Value:
    if call.flag("transA") or call.number("alpha", 1.0) != 1 or call.number("beta", 1.0) != 1:
        raise NodeError("transA, or an alpha or beta that is not 1", "export it as a plain product")
    real, how = _plain(call, 0)
    if len(real.shape) != 2:
        raise NodeError(f"{real.shape} is no matrix", "export the network again")
    weight = _weights(call, 1, 0 if call.flag("transB") else 1)
    bias = _bias(reader, call, how, weight)
    products.check_saturation(reader.processors, call.name, real.codes, how, weight)
    sums = products.matrix(reader.build, call, real.codes, how, weight, bias)
    return _open(reader, call, sums, real, how, weight, last=True)


def _open(
    reader: Reader, call: Call, sums: Sums, real: Real, how: Quantization, weight: products.Weights, *, last: bool
) -> Open:
    def close(result: Quantization, name: str, computed: int) -> Codes:
        scales = (how.scale, weight.scale, result.scale)
        return products.requantized(reader.build, reader.rule, name, sums, scales, result, computed, last=last)

    def unfused(result: Quantization, name: str, computed: int, clip: tuple[float, float]) -> Codes:
        return _unrounded(reader, close, result, name, computed, clip)

    def fused(computed: int) -> bool:
        kinds = real.codes.computed, computed
        signed = weight.kind == INT8 if call.operator == "Gemm" else False
        return kinds[0] == kinds[1] and (kinds[0] != INT8 or signed)

    exact = products.is_exact_in_floats(real.codes, how, weight, call.optional(2))
    return Open(-1, sums.shape, call.operator, close, fused, unfused if exact else None)


def _unrounded(
    reader: Reader,
    close: Callable[[Quantization, str, int], Codes],
    result: Quantization,
    name: str,
    computed: int,
    clip: tuple[float, float],
) -> Codes:
    """Codes of floats in which nothing was rounded: what a fused operator gives, where the quotient by the scale is exact too."""
    if not products.is_exact(result.scale):
        raise NodeError(
            "onnxruntime on x86 does not fuse it here, and the scale of its result is no power of two",
            "quantize activations to uint8, or with scales that are powers of two, or name the runtime 'integer-ideal'",
        )
    return reader.clipped(close(result, name, computed), result, clip, name)


def _pair(product: bool) -> Callable[[Reader, Call], Value]:
    def translate(reader: Reader, call: Call) -> Value:
        values = [call.operand(number) for number in (0, 1)]
        if any(isinstance(v, Constant) and not isinstance(v, Dequantized) for v in values):
            return _with_number(reader, call, product)
        shape = np.broadcast_shapes(*(value.shape for value in values))
        call.translation.reserve(shape)
        if any(isinstance(v, Open) for v in values):
            raise NodeError("an operand is not quantized", "quantize every value between two operators")
        reals = [v for v in values if isinstance(v, Real)]
        if any(real.how is not None and not real.direct for real in reals):
            raise NodeError(
                "an operand was moved since it was dequantized, and whether onnxruntime fuses that is not known",
                "quantize every value between two operators",
            )
        operands: list[tuple[Codes | Dequantized, Quantization]] = []
        for number, value in enumerate(values):
            if isinstance(value, Dequantized):
                if value.quantization is None:
                    raise NodeError(f"operand {number} has several scales, or 32 bits", "quantize it per tensor")
                operands.append((value, value.quantization))
            elif isinstance(value, Real) and value.plain is not None:
                operands.append((value.codes, value.plain))
        kinds = {v.computed if isinstance(v, Codes) else v.kind for v, _ in operands}

        def close(result: Quantization, name: str, computed: int) -> Codes:
            if len(operands) != 2:
                return unfused(result, name, computed, (-math.inf, math.inf))
            first, second = operands
            return pairs.combined(
                reader.build, reader.rule, reader.processors, name, product, (first, second), result, computed
            )

        def unfused(result: Quantization, name: str, computed: int, clip: tuple[float, float]) -> Codes:
            known = next((v for v in values if isinstance(v, Dequantized)), None)
            if known is not None and reals:
                return pairs.in_floats_with_constant(
                    reader.build, reader.rule, name, product, (reals[0], known), result, computed, clip
                )
            if product or len(reals) != 2:
                raise NodeError("two values that depend on the input are multiplied", "only constants are multiplied")
            return pairs.in_floats(reader.build, reader.rule, name, (reals[0], reals[1]), result, computed, clip)

        return Open(
            -1,
            shape,
            call.operator,
            close,
            lambda computed: len(operands) == 2 and kinds == {computed},
            unfused,
        )

    return translate


def _with_number(reader: Reader, call: Call, product: bool) -> Value:
    """A sum or product with one float: a function of each code."""
    number = 0 if isinstance(call.operand(1), Constant) else 1
    real, array = call.operand(number), call.constant(1 - number)
    if not isinstance(real, Real) or array.size != 1 or array.dtype != np.float64 or array.ndim > len(real.shape):
        raise NodeError("a value and several floats are combined without being quantized", "quantize the constant")
    constant = reader.rule.number(float(array.reshape(-1)[0]))
    if not math.isfinite(float(constant)):
        raise NodeError("a constant that is NaN or infinite", "repair the network")
    if reader.rule.fused and constant == (1 if product else 0):
        # onnxruntime leaves it out, or does not: no group may begin with it.
        return replace(real, direct=False)
    with np.errstate(all="ignore"):
        table = real.table * constant if product else real.table + constant
    return _function(real, table)


def _function(real: Real, table: NDArray[Any]) -> Real:
    if not bool(np.isfinite(table.astype(np.float64)).all()):
        raise NodeError("a number beyond float32", "repair the network")
    return replace(real, table=table.astype(real.table.dtype), how=None, clip=None)


def _relu(reader: Reader, call: Call) -> Value:
    return _clipped(reader, call, 0.0, math.inf)


def _clip(reader: Reader, call: Call) -> Value:
    ends = [-math.inf, math.inf]
    for number, name in enumerate(("min", "max")):
        if call.opset < 11:
            ends[number] = call.number(name, 0.0) if call.has(name) else ends[number]
        elif call.optional(number + 1) is not None:
            array = call.constant(number + 1)
            if array.size != 1 or math.isnan(float(array.reshape(-1)[0])):
                raise NodeError(f"its {name} is not one number", "export the network again")
            ends[number] = float(array.reshape(-1)[0])
    if ends[0] > ends[1]:
        raise NodeError(f"it clips to {ends[0]:g} .. {ends[1]:g}", "repair the network")
    return _clipped(reader, call, *ends)


def _clipped(reader: Reader, call: Call, low: float, high: float) -> Value:
    value = call.operand(0)
    if isinstance(value, Codes):
        least, largest = value.ends
        ends = max(low, least), min(high, largest)
        return points.clipped(reader.build, value, int(ends[0]), int(ends[1]), call.name)
    if isinstance(value, Real):
        table = value.table
        if low > -math.inf:
            table = np.maximum(table, reader.rule.number(low))
        if high < math.inf:
            table = np.minimum(table, reader.rule.number(high))
        return replace(_function(value, table), clip=(low, high))
    if isinstance(value, Open):
        if value.clip is not None or value.moved:
            raise NodeError(
                "two operators follow on one that is not quantized, and onnxruntime fuses one", "quantize in between"
            )
        return replace(value, clip=(low, high))
    raise NodeError("its operand is no quantized value", "quantize the network again")


def _leaky_relu(reader: Reader, call: Call) -> Value:
    value = call.operand(0)
    if not isinstance(value, Real):
        raise NodeError("its operand is not dequantized", "quantize every value between two operators")
    return _function(value, points.leaky(reader.rule, value.table, call.number("alpha", 0.01)))


def _curve(reader: Reader, call: Call) -> Value:
    real = call.operand(0)
    if not isinstance(real, Real):
        raise NodeError("its operand is not dequantized", "quantize every value between two operators")

    def close(result: Quantization, name: str, computed: int) -> Codes:
        return points.curve(name, reader.build, real, result, call.operator, computed)

    # Fused or not, the table has the same codes.
    return Open(-1, real.shape, call.operator, close, lambda _: True)


def _average(reader: Reader, call: Call) -> Value:
    real, how = _plain(call, 0)
    shape = pooling.windows_of(reader.build, call, real.codes).shape

    def close(result: Quantization, name: str, computed: int) -> Codes:
        return pooling.mean(
            reader.build, reader.rule, reader.processors, call, real.codes, (how, result), name, computed
        )

    return Open(-1, shape, call.operator, close, lambda computed: real.codes.computed == computed)


def _average_everywhere(reader: Reader, call: Call) -> Value:
    real, how = _plain(call, 0)
    shape = (*real.shape[:2], *(1 for _ in real.shape[2:]))

    def close(result: Quantization, name: str, computed: int) -> Codes:
        return pooling.mean_everywhere(
            reader.build, reader.rule, reader.processors, name, real.codes, (how, result), computed
        )

    def unfused(result: Quantization, name: str, computed: int, clip: tuple[float, float]) -> Codes:
        return _unrounded(reader, close, result, name, computed, clip)

    places = math.prod(real.shape[2:])
    # A sum of floats that rounds nothing, and a quotient that does not either.
    exact = products.is_exact(how.scale, np.float32(places)) and 255 * places < products.SINGLE
    return Open(
        -1, shape, call.operator, close, lambda computed: real.codes.computed == computed, unfused if exact else None
    )


def _largest(reader: Reader, call: Call) -> Value:
    value = call.operand(0)
    if isinstance(value, Codes):
        return pooling.largest(reader.build, call, value, call.name)
    if not isinstance(value, Real):
        raise NodeError("its operand is not quantized", "quantize every value between two operators")
    if bool((value.table[1:] < value.table[:-1]).any()):
        raise NodeError("a maximum of what falls as codes rise")
    codes = pooling.largest(reader.build, call, value.codes, call.name)
    kept = 12 <= call.opset < 22 and codes.computed == codes.kind and reader.fusing.is_taken_once(call, 0)
    return replace(value, shape=codes.shape, codes=codes, direct=value.direct and kept, paired=False)


def _concatenation(reader: Reader, call: Call) -> Value:
    values = [call.operand(number) for number in range(len(call.operands))]
    codes = [value for value in values if isinstance(value, Codes)]
    if len(codes) == len(values):
        return concatenated(reader.build, call, call.name, codes)
    reals = [value for value in values if isinstance(value, Real)]
    if len(reals) != len(values):
        raise NodeError("values of several kinds are joined", "quantize all of them")

    def close(result: Quantization, name: str, computed: int) -> Codes:
        parts = [reader.quantized(real, result, f"{name}/part{i}", computed) for i, real in enumerate(reals)]
        return concatenated(reader.build, call, name, parts)

    axis = call.integer("axis", 1)
    shape = list(reals[0].shape)
    shape[axis] = sum(real.shape[axis] for real in reals)
    # Each part is rounded by itself, fused or not.
    return Open(-1, tuple(shape), call.operator, close, lambda _: True)


OPERATORS: dict[str, Callable[[Reader, Call], Value]] = {
    "Add": _pair(False),
    "AveragePool": _average,
    "Clip": _clip,
    "Concat": _concatenation,
    "Conv": _convolution,
    "Gemm": _gemm,
    "GlobalAveragePool": _average_everywhere,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "MaxPool": _largest,
    "Mul": _pair(True),
    "Relu": _relu,
    "Sigmoid": _curve,
    "Tanh": _curve,
}
