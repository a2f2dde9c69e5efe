"""The softmax: in the middle of a network as the function that it is, at the end of one left out, and without masked entries."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from netproof.formats.onnx.arithmetic import scaled
from netproof.formats.onnx.call import Call, Masked, NodeError, Translate, Value, Variable
from netproof.formats.onnx.nodes.formulas import Formulas
from netproof.formats.onnx.shapes import joined
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.network import Kept
from netproof.operators.activations.curves.exponentials import Exp, Log
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.shares import Shares
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.sum import Sum

#: outputs of a softmax that is kept, too: their differences are as many as their square
_SMALL = 256


def softmax(call: Call, value: Variable, axes: Sequence[int], *, logarithm: bool, part: str = "") -> Variable:
    """``exp(x_i) / sum_j exp(x_j)`` over some axes, as ``1 / (1 + sum over the others of exp(x_j - x_i))``.

    In this form it has no product, no two exponentials vary apart that belong together, and bounds are between 0 and 1.
    (The form that Wei et al., *Convex Bounds on the Softmax Function with Applications to Robustness Verification*, AISTATS
    2023, find tighter than the quotient.)
    """
    axes = sorted(axes)
    prefix = f"{part}/" if part else ""
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    count = math.prod(value.shape[axis] for axis in axes)
    others = value.size // max(count, 1)
    call.make((others, count, max(count - 1, 0)))
    call.translation.allocate(4 * value.size * count)
    # [others, count]: the features that are normalized together.
    place = np.arange(value.size).reshape(value.shape).transpose([*rest, *axes]).reshape(others, count)
    if count == 1:
        total = scaled(call, value, 0.0, 1.0, f"{prefix}one")
    else:
        mine, other = np.nonzero(~np.eye(count, dtype=bool))
        first = call.select(value, place[:, other], part=f"{prefix}others")
        second = call.select(value, place[:, mine], part=f"{prefix}own")
        shape = (others, count, count - 1)
        difference = call.add(Sum((1, -1)), (first.node, second.node), shape, f"{prefix}difference")
        power = call.add(Exp(), (difference.node,), shape, f"{prefix}exp")
        ones = torch.ones(1, 1, count - 1, dtype=torch.float64)
        sums = call.add(
            BlockLinear(ones, others * count, (others, count)), (power.node,), (others, count), f"{prefix}sum"
        )
        total = scaled(call, sums, 1.0, 1.0, f"{prefix}total")
    inverse = np.empty(value.size, np.int64)
    inverse[place.reshape(-1)] = np.arange(value.size)
    if not logarithm:
        share = call.add(Power(-1.0), (total.node,), total.shape, f"{prefix}reciprocal")
        call.translation.defined.add(share.node)
        if count > 1 and call.translation.formulas.of_the_reals:
            share = call.add(Shares(count), (share.node,), total.shape, f"{prefix}shares")
            call.translation.defined.add(share.node)
    else:
        share = scaled(
            call, call.add(Log(), (total.node,), total.shape, f"{prefix}log"), -1.0, 0.0, f"{prefix}negative"
        )
    result = call.select(share, inverse.reshape(value.shape), part=f"{prefix}back")
    if not logarithm and axes == [len(value.shape) - 1]:
        call.translation.formulas.shares[result.node] = count
    return result


def _without(call: Call, value: Masked, axes: Sequence[int]) -> Variable:
    """A softmax whose entries at some places are minus infinity: that of the others, and 0 at these places."""
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    count = math.prod(value.shape[axis] for axis in axes)
    call.make((2, value.size))
    order = np.arange(value.size).reshape(value.shape).transpose([*rest, *axes]).reshape(-1, count)
    present = ~value.absent.transpose([*rest, *axes]).reshape(-1, count)
    numbers = present.sum(1)
    if not bool(numbers.all()):
        raise NodeError("a softmax of minus infinity alone, which is no number", "leave such rows out")
    found: list[Value] = []
    places = np.full(value.size, -1, np.int64)
    start = 0
    for number in np.unique(numbers):
        # Rows with as many entries that are there, and these alone.
        rows = numbers == number
        own = order[rows][present[rows]].reshape(-1, number)
        places[own.reshape(-1)] = start + np.arange(own.size)
        start += own.size
        chosen = call.select(Variable(value.node, value.shape), own, part=f"present{number}")
        found.append(softmax(call, chosen, (1,), logarithm=False, part=f"of{number}"))
    together = joined(call, found, lambda arrays: np.concatenate([array.reshape(-1) for array in arrays]))
    result = call.select(together, places.reshape(value.shape), part="in order")
    if list(axes) == [len(value.shape) - 1]:
        call.translation.formulas.shares[result.node] = count
    return result


def _alone(call: Call, value: Variable, axes: Sequence[int]) -> Graph:
    """The softmax as a graph of its own, for questions about more than the order of its results."""
    other = copy.copy(call)
    other.translation = replace(
        call.translation,
        builder=GraphBuilder(Arithmetic.REAL, value.shape),
        formulas=Formulas(),
        made_by={},
        defined=set(),
    )
    result = softmax(other, Variable(0, value.shape), axes, logarithm=call.operator == "LogSoftmax")
    return drop_dead(other.translation.builder.build(), result.node)


def _softmax(call: Call) -> Value:
    value = call.variable(0)
    rank = len(value.shape)
    axis = call.integer("axis", 1 if call.opset < 13 else -1)
    if not -rank <= axis < rank:
        raise NodeError(f"axis {axis} of {rank} axes", "export the network again")
    axis %= rank
    # Until opset 13 all axes from that one on were normalized together.
    axes = range(axis, rank) if call.opset < 13 else [axis]
    if isinstance(value, Masked):
        return _without(call, value, axes)
    if not call.final or math.prod(value.shape[one] for one in axes) != value.size:
        return softmax(call, value, axes, logarithm=call.operator == "LogSoftmax")
    call.translation.kept = Kept.ORDER
    if value.size <= _SMALL:
        call.translation.left_out = _alone(call, value, axes)
    call.translation.notes.append(
        f"the final {call.operator} is left out: the outputs shown are its inputs, which have the same order"
    )
    return Variable(value.node, value.shape)


OPERATORS: dict[str, Translate] = {
    "LogSoftmax": _softmax,
    "Softmax": _softmax,
}
