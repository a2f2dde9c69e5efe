"""ONNX operators that are matrix products, convolutions (transposed ones, too) and means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import add, exactly, largest, scaled
from netproof.formats.onnx.call import (
    Call,
    Constant,
    NodeError,
    Translate,
    Value,
    Variable,
    finite,
    normalized,
    tensor_of,
)
from netproof.formats.onnx.nodes.products import matrix_product
from netproof.formats.onnx.shapes import expanded
from netproof.formats.onnx.windows import Padding, padding_of
from netproof.graph.rounding import is_power_of_two
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.transposed_convolution import TransposedConvolution


def _matmul(call: Call) -> Value:
    return multiplied_matrices(call, call.operand(0), call.operand(1))


def multiplied_matrices(call: Call, left: Value, right: Value) -> Value:
    """``left @ right`` as NumPy understands it, of constants, values, or one of each."""
    if isinstance(left, Constant) and isinstance(right, Constant):
        left = call.lifted(left)
    if isinstance(left, Variable) and isinstance(right, Variable):
        formulas = call.translation.formulas
        if (
            formulas.of_the_reals
            and len(right.shape) > 1
            and left.shape
            and formulas.shares.get(left.node) == left.shape[-1]
        ):
            return _weighted_mean(call, left, right)
        return matrix_product(call, left, right)
    if isinstance(left, Variable):
        assert isinstance(right, Constant)
        return _product(call, left, finite(right.array, "operand 1"))
    assert isinstance(left, Constant) and isinstance(right, Variable)
    # W x = (x' W')', and a vector is the column it is multiplied as.
    weight = finite(left.array, "operand 0")
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


def _weighted_mean(call: Call, shares: Variable, right: Variable) -> Value:
    """``shares @ right`` of rows that add up to 1, as the mean of ``right`` and what is different from it.

    The same for any number in place of the mean. But what all rows of ``right`` have in common is not multiplied by shares
    that vary one by one, for all that a bound knows, so that it does not vary at all.
    """
    rank = len(right.shape)
    shape = (*right.shape[:-2], 1, right.shape[-1])
    mean = reduced(call, right, [rank - 2], shape, mean=True, part="mean")
    centred = add(call, right, mean, -1, "centred")
    assert isinstance(centred, Variable)
    product = matrix_product(call, shares, centred, "weighted")
    return add(call, product, mean)


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
        product: Value = _product(call, left, right.array, part=part)
    elif isinstance(left, Constant) and isinstance(right, Variable):
        turned = transposed(right, True, "turned")
        assert isinstance(turned, Variable)
        product = transposed(_product(call, turned, left.array.T, part=part), True, "back")
    elif isinstance(left, Constant) and isinstance(right, Constant):
        product = _product(call, call.lifted(left), right.array, part=part)
    elif isinstance(left, Variable) and isinstance(right, Variable):
        product = matrix_product(call, left, right)
    else:
        raise NodeError("operands that are no floats", "export the network again")
    if alpha != 1:
        assert isinstance(product, Variable)
        # After the sums, as runtimes do: what becomes of very small and very large ones is seen in the graph as it is stored.
        product = scaled(call, product, alpha, 0.0, f"{part}/alpha" if part else "alpha")
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
    exact = exactly(call, np.multiply, array, np.array(factor))
    if exact is None:
        raise NodeError("float constants are combined, which rounds them", "fold constants before export")
    return exact


def _conv(call: Call) -> Value:
    value, weight, axes = _convolved(call)
    bias = _bias(call, weight, weight.shape[0])
    stride, dilation = call.extents("strides", axes, 1, 1), call.extents("dilations", axes, 1, 1)
    padding = padding_of(call, value.shape[2:], weight.shape[2:], stride, dilation)
    call.translation.reserve(tuple(extent + sum(p) for extent, p in zip(value.shape[2:], padding, strict=True)))
    operator = Convolution(
        tensor_of(weight), bias, value.shape[1:], stride, padding, dilation, call.integer("group", 1), value.shape[0]
    )
    return call.add(operator, (value.node,), (value.shape[0], *operator.sample_shape))


def _convolved(call: Call) -> tuple[Variable, NDArray[np.float64], int]:
    """Operand, kernel and number of axes of a convolution, transposed or not."""
    value, weight = call.variable(0), call.numbers(1)
    axes = weight.ndim - 2
    if not 1 <= axes <= 3 or len(value.shape) != weight.ndim:
        raise NodeError(f"a kernel {weight.shape} over {value.shape}; known are one to three axes")
    kernel = call.integers("kernel_shape")
    if kernel is not None and tuple(kernel) != weight.shape[2:]:
        raise NodeError(
            f"its kernel_shape {kernel} is not that of the weight {weight.shape}", "export the network again"
        )
    return value, weight, axes


def _bias(call: Call, weight: NDArray[np.float64], channels: int) -> torch.Tensor | None:
    """The optional third operand, one number per channel of the result."""
    if call.optional(2) is None:
        return None
    bias = tensor_of(call.numbers(2))
    if bias.shape != (channels,):
        raise NodeError(f"a bias {tuple(bias.shape)} for a kernel {weight.shape}", "export the network again")
    return bias


def _conv_transpose(call: Call) -> Value:
    value, weight, axes = _convolved(call)
    group = call.integer("group", 1)
    if group < 1 or weight.shape[0] != value.shape[1] or value.shape[1] % group:
        raise NodeError(
            f"a kernel {weight.shape} in {group} groups for {value.shape[1]} channels", "export the network again"
        )
    bias = _bias(call, weight, weight.shape[1] * group)
    stride, dilation = call.extents("strides", axes, 1, 1), call.extents("dilations", axes, 1, 1)
    more = call.extents("output_padding", axes, 0, 0)
    if any(extra >= step for extra, step in zip(more, stride, strict=True)):
        raise NodeError(f"an output_padding {more} that is not below the strides {stride}", "export the network again")
    whole = tuple(
        step * (extent - 1) + spread * (size - 1) + 1 + extra
        for step, extent, spread, size, extra in zip(
            stride, value.shape[2:], dilation, weight.shape[2:], more, strict=True
        )
    )
    # All of it is computed before the paddings are cut off.
    call.translation.reserve((value.shape[0], weight.shape[1] * group, *whole))
    padding = _cut_off(call, value.shape[2:], whole, stride)
    operator = TransposedConvolution(
        tensor_of(weight), bias, value.shape[1:], stride, padding, dilation, more, group, value.shape[0]
    )
    return call.add(operator, (value.node,), (value.shape[0], *operator.sample_shape))


def _cut_off(call: Call, extents: tuple[int, ...], whole: tuple[int, ...], stride: tuple[int, ...]) -> Padding:
    """What a transposed convolution cuts off a result of extents ``whole``, ``(before, after)`` of each axis."""
    automatic, wanted = call.text("auto_pad", "NOTSET"), call.integers("output_shape")
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise NodeError(f"auto_pad '{automatic}'", "export it with explicit pads")
    if automatic != "NOTSET" and call.has("pads"):
        raise NodeError(f"auto_pad '{automatic}' together with pads, which ONNX excludes", "export it with pads alone")
    if not wanted and automatic in ("NOTSET", "VALID"):
        pads = call.integers("pads") or [0] * 2 * len(whole)
        if len(pads) != 2 * len(whole) or min(pads) < 0:
            raise NodeError(f"paddings {pads} for {len(whole)} axes", "export the network again")
        padding = tuple(zip(pads[: len(whole)], pads[len(whole) :], strict=True))
        if any(extent <= sum(pair) for extent, pair in zip(whole, padding, strict=True)):
            raise NodeError(f"paddings {pads} that cut off all of a result {whole}", "export the network again")
        return padding
    # Until opset 11 ONNX described something else than what runtimes compute at every opset.
    old = call.opset < 11
    if wanted is None or not wanted:
        if old and max(stride) > 1:
            raise NodeError(
                f"auto_pad '{automatic}' with strides {stride}, which runtimes and ONNX understand differently before "
                "opset 11",
                "export it with explicit pads",
            )
        wanted = [extent * step for extent, step in zip(extents, stride, strict=True)]
    elif len(wanted) != len(whole) or min(wanted) < 1:
        raise NodeError(f"its output_shape is {wanted} for {len(whole)} axes", "export the network again")
    totals = [extent - asked for extent, asked in zip(whole, wanted, strict=True)]
    if min(totals) < 0:
        raise NodeError(f"a result of {wanted}, larger than the {list(whole)} that it computes", "export it with pads")
    if old and call.has("output_shape") and any(total % 2 for total in totals):
        raise NodeError(
            f"an output_shape {wanted} that leaves odd paddings {totals}, which runtimes and ONNX understand differently "
            "before opset 11",
            "export it with explicit pads",
        )
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    return tuple(zip(small, large, strict=True) if automatic == "SAME_UPPER" else zip(large, small, strict=True))


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
            if value.array.dtype == np.float64:
                return reduced(call, call.lifted(value), axes, shape, mean=mean)
            if mean:
                raise NodeError("a mean of integers, which are rounded", "fold constants before export")
            array = value.array.astype(np.int64)
            if array.size and largest(array) * array.size >= 2**63:
                raise NodeError("integers are added beyond 64 bits", "fold constants before export")
            return Constant(array.sum(tuple(axes)).reshape(shape))
        return reduced(call, value, axes, shape, mean=mean)

    return translate


def along_axis(
    call: Call,
    value: Variable,
    axis: int,
    weight: NDArray[np.float64],
    roundings: int,
    part: str = "",
    *,
    interpolates: bool = False,
) -> Variable:
    """A matrix ``[before, after]`` applied along one axis; ``interpolates`` says whether a runtime works it out itself."""
    prefix = f"{part}/" if part else ""
    moved = call.rearrange(value, lambda array: np.moveaxis(array, axis, -1), f"{prefix}moved")
    assert isinstance(moved, Variable)
    rows, shape = moved.size // weight.shape[0], (*moved.shape[:-1], weight.shape[1])
    call.make(shape)
    call.translation.allocate(weight.size)
    operator = BlockLinear(tensor_of(weight.T)[None], rows, shape, roundings, interpolates)
    product = call.add(operator, (moved.node,), shape, f"{prefix}product")
    back = call.rearrange(product, lambda array: np.moveaxis(array, -1, axis), part)
    assert isinstance(back, Variable)
    return back


def reduced(
    call: Call, value: Variable, axes: list[int], shape: tuple[int, ...], *, mean: bool, part: str = ""
) -> Variable:
    """Sum or mean over axes: one row of equal numbers applied to every block."""
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    moved = call.rearrange(value, lambda array: array.transpose([*rest, *axes]), f"{part}/moved" if part else "moved")
    assert isinstance(moved, Variable)
    count = math.prod(value.shape[axis] for axis in axes)
    if not count or not value.size:
        raise NodeError("a sum or mean of nothing", "export the network again")
    weight = torch.full((1, count), 1 / count if mean else 1.0, dtype=torch.float64)
    roundings = 0 if is_power_of_two(weight) else 1
    rows = value.size // count
    operator = _linear(weight, roundings) if rows == 1 else BlockLinear(weight[None], rows, shape, roundings)
    return call.add(operator, (moved.node,), shape, part)


def _global_average_pool(call: Call) -> Value:
    value = call.variable(0)
    if len(value.shape) < 3:
        raise NodeError(f"{value.shape} has no axes to average over", "export the network again")
    axes = normalized(list(range(2, len(value.shape))), len(value.shape))
    return reduced(call, value, axes, (*value.shape[:2], *[1] * len(axes)), mean=True)


OPERATORS: dict[str, Translate] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "MatMul": _matmul,
    "ReduceMean": _reduce(mean=True, since=18),
    "ReduceSum": _reduce(mean=False, since=13),
}
