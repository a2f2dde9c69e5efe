"""ONNX operators that are matrix products, convolutions and means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import add, exactly, largest
from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Value, Variable, normalized, tensor_of
from netproof.formats.onnx.shapes import expanded
from netproof.formats.onnx.windows import padding_of
from netproof.graph.rounding import is_power_of_two
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear


def _matmul(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(left, Variable) and isinstance(right, Variable):
        raise NodeError("two values that depend on the input are multiplied")
    if isinstance(left, Constant) and isinstance(right, Constant):
        raise NodeError("float constants are multiplied, which rounds them", "fold constants before export")
    if isinstance(left, Variable):
        return _product(call, left, call.numbers(1))
    assert isinstance(right, Variable)
    # W x = (x' W')', and a vector is the column it is multiplied as.
    weight = call.numbers(0)
    vector, row = len(right.shape) == 1, weight.ndim == 1
    if not weight.ndim or not right.shape:
        raise NodeError("a matrix product with a scalar", "export the network again")
    column = call.reshaped(right, (*right.shape, 1)) if vector else right
    turned = call.rearrange(column, lambda array: array.swapaxes(-1, -2), "transposed")
    assert isinstance(turned, Variable)
    product = _product(call, turned, (weight[None] if row else weight).swapaxes(-1, -2))
    result = call.rearrange(product, lambda array: array.swapaxes(-1, -2), "back")
    shape = list(result.shape)
    if vector:
        del shape[-1]
    if row:
        del shape[-1 if vector else -2]
    return call.reshaped(result, tuple(shape))


def _product(call: Call, left: Variable, weight: NDArray[np.float64], roundings: int = 0, part: str = "") -> Variable:
    """``left @ weight`` as NumPy understands it."""
    if not weight.ndim or not left.shape:
        raise NodeError("a matrix product with a scalar", "export the network again")
    vector, column = len(left.shape) == 1, weight.ndim == 1
    shape = (1, *left.shape) if vector else left.shape
    matrix = weight[:, None] if column else weight
    if shape[-1] != matrix.shape[-2]:
        raise NodeError(f"{left.shape} and {weight.shape} cannot be multiplied", "export the network again")
    batch = np.broadcast_shapes(shape[:-2], matrix.shape[:-2])
    result = [*batch, shape[-2], matrix.shape[-1]]
    inputs, outputs = matrix.shape[-2:]
    call.translation.reserve(tuple(result))
    if column:
        del result[-1]
    if vector:
        del result[-1 if column else -2]
    call.translation.allocate(matrix.size)
    if math.prod(matrix.shape[:-2]) == 1:
        # One matrix for all rows of the operand; batch axes of the constant only add axes of extent 1.
        rows = math.prod(shape[:-1])
        one = tensor_of(np.swapaxes(matrix.reshape(inputs, outputs), 0, 1))
        if rows == 1:
            return call.add(_linear(one, roundings), (left.node,), tuple(result), part)
        return call.add(BlockLinear(one[None], rows, tuple(result), roundings), (left.node,), tuple(result), part)
    wide = expanded(call, Variable(left.node, shape), (*batch, *shape[-2:]), "expanded")
    assert isinstance(wide, Variable)
    call.make((*batch, inputs, outputs))
    matrices = np.broadcast_to(matrix, (*batch, inputs, outputs)).reshape(-1, inputs, outputs)
    operator = BlockLinear(tensor_of(matrices.swapaxes(1, 2)), shape[-2], tuple(result), roundings)
    return call.add(operator, (wide.node,), tuple(result), part)


def _linear(weight: torch.Tensor, roundings: int = 0) -> Linear:
    return Linear(weight, torch.zeros(len(weight), dtype=torch.float64), roundings)


def _gemm(call: Call) -> Value:
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    left, right = call.operand(0), call.operand(1)
    if len(left.shape) != 2 or len(right.shape) != 2:
        raise NodeError(f"operands of {len(left.shape)} and {len(right.shape)} axes, not matrices", "export it again")

    def transposed(value: Value, wanted: bool, part: str) -> Value:
        return call.rearrange(value, lambda array: array.T, part) if wanted else value

    left = transposed(left, call.flag("transA"), "transposedA")
    right = transposed(right, call.flag("transB"), "transposedB")
    bias = call.optional(2)
    part = "product" if bias is not None else ""
    if isinstance(left, Variable) and isinstance(right, Constant):
        product: Value = _product(call, left, _times(call, alpha, right.array), part=part)
    elif isinstance(left, Constant) and isinstance(right, Variable):
        turned = transposed(right, True, "turned")
        assert isinstance(turned, Variable)
        product = transposed(_product(call, turned, _times(call, alpha, left.array).T, part=part), True, "back")
    else:
        raise NodeError("a product of two constants, or of two values that depend on the input")
    if bias is None or beta == 0:
        return product
    if isinstance(bias, Constant):
        bias = Constant(_times(call, beta, bias.array))
    elif beta != 1:
        raise NodeError("a bias that depends on the input and is scaled", "export it as Mul and Add")
    if np.broadcast_shapes(product.shape, bias.shape) != product.shape:
        raise NodeError(f"a bias {bias.shape} for a result {product.shape}", "export the network again")
    return add(call, product, bias)


def _times(call: Call, factor: float, array: NDArray[Any]) -> NDArray[np.float64]:
    """A constant multiplied; a product of two float32 numbers is exact in float64, any other is checked."""
    if factor == 1:
        return array
    call.make(array.shape)
    if bool((array.astype(np.float32) == array).all()) and np.float32(factor) == factor:
        return array * factor
    return exactly(call, np.multiply, array, np.array(factor))


def _conv(call: Call) -> Value:
    value, weight = call.variable(0), call.numbers(1)
    bias = None if call.optional(2) is None else tensor_of(call.numbers(2))
    if bias is not None and bias.shape != weight.shape[:1]:
        raise NodeError(f"a bias {tuple(bias.shape)} for a kernel {weight.shape}", "export the network again")
    axes = weight.ndim - 2
    if not 1 <= axes <= 3 or len(value.shape) != weight.ndim:
        raise NodeError(f"a kernel {weight.shape} over {value.shape}; known are one to three axes")
    kernel = call.integers("kernel_shape")
    if kernel is not None and tuple(kernel) != weight.shape[2:]:
        raise NodeError(
            f"its kernel_shape {kernel} is not that of the weight {weight.shape}", "export the network again"
        )
    stride, dilation = call.extents("strides", axes, 1, 1), call.extents("dilations", axes, 1, 1)
    padding = padding_of(call, value.shape[2:], weight.shape[2:], stride, dilation)
    call.translation.reserve(tuple(extent + sum(p) for extent, p in zip(value.shape[2:], padding, strict=True)))
    operator = Convolution(
        tensor_of(weight), bias, value.shape[1:], stride, padding, dilation, call.integer("group", 1), value.shape[0]
    )
    return call.add(operator, (value.node,), (value.shape[0], *operator.sample_shape))


def _reduce(mean: bool, since: int) -> Translate:
    """ReduceMean or ReduceSum, whose axes are an operand from opset ``since`` on."""

    def translate(call: Call) -> Value:
        value = call.operand(0)
        rank = len(value.shape)
        axes = call.axes(rank, 1, since)
        if not axes:
            if call.flag("noop_with_empty_axes"):
                return value
            axes = list(range(rank))
        kept = call.flag("keepdims", default=True)
        shape = tuple((1 if a in axes else e) for a, e in enumerate(value.shape) if kept or a not in axes)
        if isinstance(value, Constant):
            if value.array.dtype == np.float64 or mean:
                raise NodeError("float constants are added, which rounds them", "fold constants before export")
            array = value.array.astype(np.int64)
            if array.size and largest(array) * array.size >= 2**63:
                raise NodeError("integers are added beyond 64 bits", "fold constants before export")
            return Constant(array.sum(tuple(axes)).reshape(shape))
        return _reduced(call, value, axes, shape, mean)

    return translate


def _reduced(call: Call, value: Variable, axes: list[int], shape: tuple[int, ...], mean: bool) -> Variable:
    """Sum or mean over axes: one row of equal numbers applied to every block."""
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    moved = call.rearrange(value, lambda array: array.transpose([*rest, *axes]), "moved")
    assert isinstance(moved, Variable)
    count = math.prod(value.shape[axis] for axis in axes)
    if not count or not value.size:
        raise NodeError("a sum or mean of nothing", "export the network again")
    weight = torch.full((1, count), 1 / count if mean else 1.0, dtype=torch.float64)
    roundings = 0 if is_power_of_two(weight) else 1
    rows = value.size // count
    operator = _linear(weight, roundings) if rows == 1 else BlockLinear(weight[None], rows, shape, roundings)
    return call.add(operator, (moved.node,), shape)


def _global_average_pool(call: Call) -> Value:
    value = call.variable(0)
    if len(value.shape) < 3:
        raise NodeError(f"{value.shape} has no axes to average over", "export the network again")
    axes = normalized(list(range(2, len(value.shape))), len(value.shape))
    return _reduced(call, value, axes, (*value.shape[:2], *[1] * len(axes)), mean=True)


OPERATORS: dict[str, Translate] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "MatMul": _matmul,
    "ReduceMean": _reduce(mean=True, since=18),
    "ReduceSum": _reduce(mean=False, since=13),
}
