"""ONNX operators that are activations, and the softmax at a network's end."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import replace

from netproof.formats.onnx.call import Call, NodeError, Translate, Value, Variable
from netproof.formats.onnx.nodes.formulas import Formulas
from netproof.formats.onnx.nodes.norms import softmax
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.network import Kept
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.base import Activation

#: the largest numbers of float16, float32 and float64, by the numbers ONNX gives these types
_LARGEST = {10: 65504.0, 1: (2.0 - 2.0**-23) * 2.0**127, 11: sys.float_info.max}

#: outputs of a softmax that is kept, too: their differences are as many as their square
_SMALL = 256


def _applied(call: Call, activation: Activation) -> Value:
    value = call.variable(0)
    return call.add(activation, (value.node,), value.shape)


def _abs(call: Call) -> Value:
    return _noted(call, Abs(), "abs")


def _relu(call: Call) -> Value:
    return _applied(call, ReLU())


def _leaky_relu(call: Call) -> Value:
    alpha = call.number("alpha", 0.01)
    return _applied(call, ReLU() if alpha == 0 else LeakyReLU(alpha))


def _clip(call: Call) -> Value:
    # An end that is not given is that of the type: what a runtime clips to, float32's for all types in old files.
    most = _LARGEST[call.kind(0) if call.opset >= 11 else 1]
    ends = [-most, most]
    for number, name in enumerate(("min", "max")):
        if call.opset < 11:
            if call.has(name):
                ends[number] = call.number(name, 0.0)
        elif call.optional(number + 1) is not None:
            array = call.constant(number + 1)
            if array.size != 1 or array.ndim > 1 or math.isnan(float(array.reshape(()))):
                raise NodeError(f"its {name} is not one number", "export the network again")
            ends[number] = float(array.reshape(()))
    low, high = ends
    if low > high:
        raise NodeError(f"it clips to [{low:g}, {high:g}], where every value is {high:g}", "repair the network")
    if (low, high) == (-math.inf, math.inf):
        return call.operand(0)
    return _applied(call, ReLU() if (low, high) == (0.0, math.inf) else Clip(low, high))


def _noted(call: Call, activation: Activation, formula: str) -> Value:
    """An activation that may be a part of a gate."""
    value = call.variable(0)
    result = call.add(activation, (value.node,), value.shape)
    call.translation.formulas.applied(formula, value.node, result.node)
    return result


def _sigmoid(call: Call) -> Value:
    return _noted(call, Sigmoid(), "sigmoid")


def _tanh(call: Call) -> Value:
    return _noted(call, Tanh(), "tanh")


def _alone(call: Call, value: Variable, axes: Sequence[int]) -> Graph:
    """The softmax as a graph of its own, for questions about more than the order of its results."""
    other = copy.copy(call)
    other.translation = replace(
        call.translation, builder=GraphBuilder(Arithmetic.REAL, value.shape), formulas=Formulas(), made_by={}
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
    "Abs": _abs,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax,
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Tanh": _tanh,
}
