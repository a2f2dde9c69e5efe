"""Softmax in the middle of a network, normalizations and norms, as the sums, roots and products that they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import add, scaled
from netproof.formats.onnx.call import Call, NodeError, Translate, Value, Variable, normalized
from netproof.formats.onnx.linear import reduced
from netproof.formats.onnx.nodes.products import product
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.curves.exponentials import Exp, Log
from netproof.operators.activations.curves.powers import Power
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.sum import Sum


def softmax(call: Call, value: Variable, axes: Sequence[int], *, logarithm: bool) -> Variable:
    """``exp(x_i) / sum_j exp(x_j)`` over some axes, as ``1 / (1 + sum over the others of exp(x_j - x_i))``.

    In this form it has no product, no two exponentials vary apart that belong together, and bounds are between 0 and 1.
    (The form that Wei et al., *Convex Bounds on the Softmax Function with Applications to Robustness Verification*, AISTATS
    2023, find tighter than the quotient.)
    """
    axes = sorted(axes)
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    count = math.prod(value.shape[axis] for axis in axes)
    others = value.size // max(count, 1)
    call.make((others, count, max(count - 1, 0)))
    call.translation.allocate(4 * value.size * count)
    # [others, count]: the features that are normalized together.
    place = np.arange(value.size).reshape(value.shape).transpose([*rest, *axes]).reshape(others, count)
    if count == 1:
        total = scaled(call, value, 0.0, 1.0, "one")
    else:
        mine, other = np.nonzero(~np.eye(count, dtype=bool))
        first = call.select(value, place[:, other], part="others")
        second = call.select(value, place[:, mine], part="own")
        shape = (others, count, count - 1)
        difference = call.add(Sum((1, -1)), (first.node, second.node), shape, "difference")
        power = call.add(Exp(), (difference.node,), shape, "exp")
        ones = torch.ones(1, 1, count - 1, dtype=torch.float64)
        sums = call.add(BlockLinear(ones, others * count, (others, count)), (power.node,), (others, count), "sum")
        total = scaled(call, sums, 1.0, 1.0, "total")
    inverse = np.empty(value.size, np.int64)
    inverse[place.reshape(-1)] = np.arange(value.size)
    if not logarithm:
        share = call.add(Power(-1.0), (total.node,), total.shape, "reciprocal")
    else:
        share = scaled(call, call.add(Log(), (total.node,), total.shape, "log"), -1.0, 0.0, "negative")
    result = call.select(share, inverse.reshape(value.shape), part="back")
    if not logarithm and axes == [len(value.shape) - 1]:
        call.translation.formulas.shares[result.node] = count
    return result


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
    return product(call, spread, inverse, "normalized")


def _affine(call: Call, value: Variable, scale: NDArray[np.float64], bias: NDArray[np.float64] | float) -> Variable:
    return scaled(call, scaled(call, value, scale, 0.0, "scale"), 1.0, bias, "bias")


def _check_results(call: Call) -> None:
    if not call.number("epsilon", 1e-5) > 0:
        raise NodeError("an epsilon that is not above 0", "repair the network")


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


def _norm(power: int, *, root: bool) -> Translate:
    """ReduceL1, ReduceL2, ReduceSumSquare."""

    def translate(call: Call) -> Value:
        value = call.variable(0)
        found = _axes(call, value)
        if found is None:
            raise NodeError("a norm over no axes", "export the network again")
        axes, shape = found
        inner = call.add(Abs() if power == 1 else Power(2.0), (value.node,), value.shape, "power")
        total = reduced(call, inner, axes, shape, mean=False, part="sum" if root else "")
        return call.add(Power(0.5), (total.node,), shape) if root else total

    return translate


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
    "LayerNormalization": _layer,
    "LpNormalization": _lp_normalization,
    "RMSNormalization": _root_mean_square,
    "ReduceL1": _norm(1, root=False),
    "ReduceL2": _norm(2, root=True),
    "ReduceSumSquare": _norm(2, root=False),
}
