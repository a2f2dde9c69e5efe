"""QOperator nodes: operators of codes with their scales and zero points beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netproof.formats.onnx.call import Call, NodeError
from netproof.formats.onnx.quantized.operands import check_scalars, constant, is_listed, quantization
from netproof.formats.onnx.quantized.operators import pairs, points, pooling, products
from netproof.formats.onnx.quantized.operators.moving import concatenated
from netproof.formats.onnx.quantized.values import INT8, INT32, Codes, Dequantized, Quantization, real_of

if TYPE_CHECKING:
    from netproof.formats.onnx.quantized.read import Reader


def _codes(call: Call, number: int) -> Codes:
    value = call.operand(number)
    if not isinstance(value, Codes):
        raise NodeError(f"operand {number} is no tensor of codes that depends on the input", "quantize it again")
    return value


def _operand(call: Call, number: int) -> tuple[Codes, Quantization]:
    """Codes with the scale and the zero point behind them."""
    codes = _codes(call, number)
    return codes, _checked(quantization(call, number + 1, number + 2, codes.kind), codes.kind)


def _checked(how: Quantization, kind: int) -> Quantization:
    if how.kind != kind:
        raise NodeError("codes and their zero point have two types, which runtimes refuse", "quantize it again")
    return how


def _result(call: Call, number: int, kind: int) -> Quantization:
    """The quantization of a result, of the operand's type."""
    return _checked(quantization(call, number, number + 1, kind), kind)


def _weights(call: Call, number: int, axis: int, codes: Codes) -> products.Weights:
    found = products.weights_of(constant(call, number, number + 1, number + 2, axis), axis)
    if codes.kind == INT8 and found.kind != INT8:
        raise NodeError("signed codes with unsigned weights, which runtimes refuse", "quantize it again")
    return found


def _convolution(reader: Reader, call: Call) -> Codes:
    codes, how = _operand(call, 0)
    weight = _weights(call, 3, 0, codes)
    result = _result(call, 6, codes.kind)
    bias = None
    if call.optional(8) is not None:
        array = call.constant(8)
        if array.dtype != np.int64 or array.ndim != 1:
            raise NodeError("its bias is no list of int32 numbers", "quantize the network again")
        bias = products.bias_of(call, array, how.scale, weight.scale, len(weight.raw))
    products.check_saturation(reader.processors, call.name, codes, how, weight)
    sums = products.convolution(reader.build, call, codes, how, weight, bias)
    return products.requantized(
        reader.build,
        reader.rule,
        call.name,
        sums,
        (how.scale, weight.scale, result.scale),
        result,
        codes.kind,
        last=False,
    )


def _matmul(reader: Reader, call: Call) -> Codes:
    codes, how = _operand(call, 0)
    weight = _weights(call, 3, 1, codes)
    return _product(reader, call, codes, how, weight, _result(call, 6, codes.kind), None)


def _gemm(reader: Reader, call: Call) -> Codes:
    if call.flag("transA") or call.number("alpha", 1.0) != 1:
        raise NodeError("transA, or an alpha that is not 1", "export it as a plain product")
    codes, how = _operand(call, 0)
    if len(codes.shape) != 2:
        raise NodeError(f"{codes.shape} is no matrix", "export the network again")
    weight = _weights(call, 3, 0 if call.flag("transB") else 1, codes)
    if call.optional(7) is None:
        raise NodeError("its result has no scale: it gives floats", "quantize the result as well")
    array = None if call.optional(6) is None else call.constant(6)
    if array is not None and (array.dtype != np.int64 or call.kind(6) not in (0, INT32)):
        raise NodeError("its bias is no list of int32 numbers", "quantize the network again")
    bias = products.bias_of(call, array, how.scale, weight.scale, len(weight.raw))
    return _product(reader, call, codes, how, weight, _result(call, 7, codes.kind), bias)


def _product(
    reader: Reader,
    call: Call,
    codes: Codes,
    how: Quantization,
    weight: products.Weights,
    result: Quantization,
    bias: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None,
) -> Codes:
    products.check_saturation(reader.processors, call.name, codes, how, weight)
    sums = products.matrix(reader.build, call, codes, how, weight, bias)
    scales = (how.scale, weight.scale, result.scale)
    return products.requantized(reader.build, reader.rule, call.name, sums, scales, result, codes.kind, last=True)


def _pair(product: bool) -> Callable[[Reader, Call], Codes]:
    def translate(reader: Reader, call: Call) -> Codes:
        operands: list[tuple[Codes | Dequantized, Quantization]] = []
        for number in (0, 3):
            value = call.operand(number)
            if isinstance(value, Codes):
                operands.append(_operand(call, number))
            else:
                known = constant(call, number, number + 1, number + 2, 0)
                how = known.quantization
                if how is None:
                    raise NodeError(f"operand {number} has several scales, or 32 bits", "quantize it per tensor")
                operands.append((known, how))
        kinds = {how.kind for _, how in operands}
        if len(kinds) > 1:
            raise NodeError("operands of two types, which runtimes refuse", "quantize it again")
        (kind,) = kinds
        result = _result(call, 6, kind)
        check_scalars(is_listed(result, *(how for _, how in operands)))
        return pairs.combined(
            reader.build, reader.rule, reader.processors, call.name, product, (operands[0], operands[1]), result, kind
        )

    return translate


def _concatenation(reader: Reader, call: Call) -> Codes:
    count, rest = divmod(len(call.operands) - 2, 3)
    if count < 1 or rest:
        raise NodeError(f"it has {len(call.operands)} operands, not 2 and 3 for each value", "quantize it again")
    first = _codes(call, 2)
    result = _result(call, 0, first.kind)
    parts = []
    for k in range(count):
        codes, how = _operand(call, 2 + 3 * k)
        parts.append(reader.quantized(real_of(reader.rule, codes, how), result, f"{call.name}/part{k}", codes.kind))
    if not call.has("axis"):
        raise NodeError("no attribute 'axis', which it needs", "quantize it again")
    return concatenated(reader.build, call, call.name, parts)


def _average(reader: Reader, call: Call) -> Codes:
    _channels_first(call)
    codes, how = _operand(call, 0)
    hows = (how, _result(call, 3, codes.kind))
    check_scalars(is_listed(*hows))
    return pooling.mean(reader.build, reader.rule, reader.processors, call, codes, hows, call.name, codes.kind)


def _average_everywhere(reader: Reader, call: Call) -> Codes:
    _channels_first(call)
    codes, how = _operand(call, 0)
    hows = (how, _result(call, 3, codes.kind))
    return pooling.mean_everywhere(reader.build, reader.rule, reader.processors, call.name, codes, hows, codes.kind)


def _channels_first(call: Call) -> None:
    if call.flag("channels_last"):
        raise NodeError("channels are on the last axis", "export it with channels first")


def _leaky_relu(reader: Reader, call: Call) -> Codes:
    codes, how = _operand(call, 0)
    real = real_of(reader.rule, codes, how)
    real = replace(real, table=points.leaky(reader.rule, real.table, call.number("alpha", 0.01)))
    return reader.quantized(real, _result(call, 3, codes.kind), call.name, codes.kind)


def _sigmoid(reader: Reader, call: Call) -> Codes:
    codes, how = _operand(call, 0)
    result = _result(call, 3, codes.kind)
    return points.curve(call.name, reader.build, real_of(reader.rule, codes, how), result, "Sigmoid", codes.kind)


#: operators, with the domain that has them, their attributes and the most operands
OPERATORS: dict[str, tuple[str, frozenset[str], int, Callable[[Reader, Call], Codes]]] = {
    "QLinearConv": ("", frozenset(), 9, _convolution),
    "QLinearMatMul": ("", frozenset(), 8, _matmul),
    "QGemm": ("com.microsoft", frozenset({"alpha", "transA", "transB"}), 9, _gemm),
    "QLinearAdd": ("com.microsoft", frozenset(), 8, _pair(False)),
    "QLinearMul": ("com.microsoft", frozenset(), 8, _pair(True)),
    "QLinearConcat": ("com.microsoft", frozenset({"axis"}), 1 << 10, _concatenation),
    "QLinearAveragePool": (
        "com.microsoft",
        frozenset({"auto_pad", "ceil_mode", "channels_last", "count_include_pad", "kernel_shape", "pads", "strides"}),
        5,
        _average,
    ),
    "QLinearGlobalAveragePool": ("com.microsoft", frozenset({"channels_last"}), 5, _average_everywhere),
    "QLinearLeakyRelu": ("com.microsoft", frozenset({"alpha"}), 5, _leaky_relu),
    "QLinearSigmoid": ("com.microsoft", frozenset(), 5, _sigmoid),
}
#: zero points that have to be stated, which they need not be elsewhere
NEEDED = {"QLinearConv": (2, 5, 7), "QLinearMatMul": (2, 5, 7), "QGemm": (2, 5, 8), "QLinearGlobalAveragePool": (2, 4)}
