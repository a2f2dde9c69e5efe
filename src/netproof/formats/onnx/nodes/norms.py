"""Normalizations and norms, as the sums, roots and products that they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import add, scaled
from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Value, Variable, normalized
from netproof.formats.onnx.linear import along_axis, reduced
from netproof.formats.onnx.nodes.products import product
from netproof.formats.onnx.shapes import joined
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.curves.exponentials import Exp, Log
from netproof.operators.activations.curves.powers import Power

#: types as ONNX numbers them
FLOAT32, FLOAT64 = 1, 11


def _normalized(call: Call, value: Variable, axes: Sequence[int], epsilon: float, *, centred: bool = True) -> Variable:
    """``(x - mean) / sqrt(variance + epsilon)`` over axes; without the mean where it is not ``centred``."""
    shape = tuple(1 if axis in axes else extent for axis, extent in enumerate(value.shape))
    spread = value
    if centred:
        mean = reduced(call, value, list(axes), shape, mean=True, part="mean")
        centre = add(call, value, mean, -1, "centred")
        assert isinstance(centre, Variable)
        spread = centre
    square = call.add(Power(2.0), (spread.node,), value.shape, "square")
    variance = reduced(call, square, list(axes), shape, mean=True, part="variance")
    safe = scaled(call, variance, 1.0, epsilon, "epsilon")
    inverse = call.add(Power(-0.5), (safe.node,), shape, "deviation")
    call.translation.defined.add(inverse.node)
    return product(call, spread, inverse, "normalized")


def _affine(call: Call, value: Variable, scale: NDArray[np.float64], bias: NDArray[np.float64] | float) -> Variable:
    return scaled(call, scaled(call, value, scale, 0.0, "scale"), 1.0, bias, "bias")


def _check_results(call: Call) -> None:
    if not call.number("epsilon", 1e-5) > 0:
        raise NodeError("an epsilon that is not above 0", "repair the network")
    if call.integer("stash_type", FLOAT32) not in (FLOAT32, FLOAT64):
        raise NodeError("means and deviations rounded to fewer bits (stash_type)", "export it with floats")


def _layer(call: Call) -> Value:
    _check_results(call)
    value = call.variable(0)
    rank = len(value.shape)
    (axis,) = normalized([call.integer("axis", -1)], rank)
    scale = call.numbers(1)
    bias = call.numbers(2) if call.optional(2) is not None else 0.0
    inner = _normalized(call, value, range(axis, rank), call.number("epsilon", 1e-5))
    return _affine(call, inner, scale, bias)


def _root_mean_square(call: Call) -> Value:
    _check_results(call)
    value = call.variable(0)
    rank = len(value.shape)
    (axis,) = normalized([call.integer("axis", -1)], rank)
    inner = _normalized(call, value, range(axis, rank), call.number("epsilon", 1e-5), centred=False)
    return scaled(call, inner, call.numbers(1), 0.0, "scale")


def _instance(call: Call) -> Value:
    _check_results(call)
    value, scale, bias = call.variable(0), call.numbers(1), call.numbers(2)
    rank = len(value.shape)
    if rank < 3 or {scale.shape, bias.shape} != {(value.shape[1],)}:
        raise NodeError(f"its parameters are not for the channels of {value.shape}", "export the network again")
    inner = _normalized(call, value, range(2, rank), call.number("epsilon", 1e-5))
    column = (-1, *[1] * (rank - 2))
    return _affine(call, inner, scale.reshape(column), bias.reshape(column))


def _group(call: Call) -> Value:
    _check_results(call)
    value, scale, bias = call.variable(0), call.numbers(1), call.numbers(2)
    groups, rank = call.integer("num_groups", 0), len(value.shape)
    # Of each group until opset 21, of each channel from then on.
    wanted = groups if call.opset < 21 else value.shape[1] if rank > 1 else 0
    if rank < 3 or groups < 1 or value.shape[1] % groups or {scale.shape, bias.shape} != {(wanted,)}:
        raise NodeError(f"{groups} groups with parameters {scale.shape} for {value.shape}", "export the network again")
    grouped = Variable(value.node, (value.shape[0], groups, math.prod(value.shape[1:]) // groups))
    inner = _normalized(call, grouped, (2,), call.number("epsilon", 1e-5))
    repeat = 1 if call.opset >= 21 else value.shape[1] // groups
    column = (-1, *[1] * (rank - 2))
    parts = [np.repeat(part, repeat).reshape(column) for part in (scale, bias)]
    return _affine(call, Variable(inner.node, value.shape), *parts)


def _axes(call: Call, value: Value, since: int = 18) -> tuple[list[int], tuple[int, ...]] | None:
    """Axes of a reduction and the shape of its result; None where it does nothing."""
    rank = len(value.shape)
    axes = call.axes(rank, 1, since)
    if not axes:
        if call.flag("noop_with_empty_axes"):
            return None
        axes = list(range(rank))
    kept = call.flag("keepdims", default=True)
    return axes, tuple((1 if a in axes else e) for a, e in enumerate(value.shape) if kept or a not in axes)


def _over_some(call: Call, what: str) -> tuple[Variable, list[int], tuple[int, ...]]:
    """The operand of a reduction, its axes and the shape of its result; refuses one that does nothing."""
    value = call.variable(0)
    found = _axes(call, value)
    if found is None:
        raise NodeError(f"{what} over no axes", "export the network again")
    return value, *found


def _norm(power: int, *, root: bool) -> Translate:
    """ReduceL1, ReduceL2, ReduceSumSquare."""

    def translate(call: Call) -> Value:
        value, axes, shape = _over_some(call, "a norm")
        inner = call.add(Abs() if power == 1 else Power(2.0), (value.node,), value.shape, "power")
        total = reduced(call, inner, axes, shape, mean=False, part="sum" if root else "")
        return call.add(Power(0.5), (total.node,), shape) if root else total

    return translate


def _logarithm(*, exponentials: bool) -> Translate:
    """ReduceLogSum, ReduceLogSumExp."""

    def translate(call: Call) -> Value:
        value, axes, shape = _over_some(call, "a logarithm of a sum")
        inner = call.add(Exp(), (value.node,), value.shape, "exp") if exponentials else value
        total = reduced(call, inner, axes, shape, mean=False, part="sum")
        return call.add(Log(), (total.node,), shape)

    return translate


def _reduce_product(call: Call) -> Value:
    """The product of entries along axes, by halves."""
    value = call.operand(0)
    found = _axes(call, value)
    if found is None:
        return value
    axes, shape = found
    if isinstance(value, Constant):
        return _known_product(call, value.array, axes, shape)
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    count = math.prod(value.shape[axis] for axis in axes)
    if not count:
        raise NodeError("a product of nothing", "export the network again")
    moved = call.rearrange(value, lambda array: array.transpose([*axes, *rest]).reshape(count, -1), "moved")
    assert isinstance(moved, Variable)
    index, level = np.arange(moved.size).reshape(moved.shape), 0
    while len(index) > 1:
        half, odd = divmod(len(index), 2)
        left, right = (call.select(moved, part, part=f"{level}/{name}") for name, part in zip("ab", (index[:half], index[half : 2 * half]), strict=True))  # fmt: skip
        pairs = product(call, left, right, f"{level}/product")
        rows: list[Value] = [pairs]
        if odd:
            rows.append(call.select(moved, index[-1:], part=f"{level}/rest"))
        moved = joined(call, rows, np.concatenate)
        index, level = np.arange(moved.size).reshape(moved.shape), level + 1
    return Variable(moved.node, shape)


def _known_product(call: Call, array: NDArray[Any], axes: list[int], shape: tuple[int, ...]) -> Constant:
    """A product of known integers: of extents, in the arithmetic of shapes."""
    if array.dtype != np.int64:
        raise NodeError("a product of float constants", "fold constants before export")
    if array.size > 64 or math.prod(max(1, abs(int(number))) for number in array.reshape(-1)) >= 2**63:
        raise NodeError("integers are multiplied beyond 64 bits", "fold constants before export")
    call.make(shape)
    return Constant(array.prod(tuple(axes)).reshape(shape))


def _local_response(call: Call) -> Value:
    """``x / (bias + alpha / size * s)^beta`` with ``s`` the squares of channels next to ``x``, added up (Krizhevsky et al., 2012)."""
    value = call.variable(0)
    size = call.integer("size", 0)
    alpha, beta, bias = call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("bias", 1.0)
    if len(value.shape) < 2 or not size > 0 or not (alpha >= 0 and beta > 0 and bias > 0):
        raise NodeError(f"a size of {size}, an alpha, beta and bias of {alpha:g}, {beta:g}, {bias:g} for {value.shape}")
    channels = np.arange(value.shape[1])
    call.translation.allocate(4 * len(channels) ** 2)
    apart = channels[:, None] - channels[None]
    near = np.abs(apart) <= size // 2
    square = call.add(Power(2.0), (value.node,), value.shape, "square")
    weight: NDArray[np.float64] = np.where(near, alpha / size, 0.0)
    total = along_axis(call, square, 1, weight, 1, "sum")
    base = scaled(call, total, 1.0, bias, "bias")
    inverse = call.add(Power(-beta), (base.node,), value.shape, "inverse")
    return product(call, value, inverse)


def _lp_normalization(call: Call) -> Value:
    value = call.variable(0)
    power, rank = call.integer("p", 2), len(value.shape)
    (axis,) = normalized([call.integer("axis", -1)], rank)
    if power not in (1, 2):
        raise NodeError(f"a norm of order {power}")
    shape = tuple(1 if number == axis else extent for number, extent in enumerate(value.shape))
    inner = call.add(Abs() if power == 1 else Power(2.0), (value.node,), value.shape, "power")
    total = reduced(call, inner, [axis], shape, mean=False, part="sum")
    inverse = call.add(Power(-1.0 if power == 1 else -0.5), (total.node,), shape, "inverse")
    return product(call, value, inverse)


OPERATORS: dict[str, Translate] = {
    "GroupNormalization": _group,
    "InstanceNormalization": _instance,
    "LRN": _local_response,
    "LayerNormalization": _layer,
    "LpNormalization": _lp_normalization,
    "RMSNormalization": _root_mean_square,
    "ReduceL1": _norm(1, root=False),
    "ReduceL2": _norm(2, root=True),
    "ReduceLogSum": _logarithm(exponentials=False),
    "ReduceLogSumExp": _logarithm(exponentials=True),
    "ReduceProd": _reduce_product,
    "ReduceSumSquare": _norm(2, root=False),
}
