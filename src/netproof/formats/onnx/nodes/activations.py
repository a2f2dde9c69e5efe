"""ONNX operators that are activations."""

from __future__ import annotations

import math
import sys

from netproof.formats.onnx.call import Call, NodeError, Translate, Value
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.base import Activation

#: the largest numbers of float16, float32 and float64, by the numbers ONNX gives these types
_LARGEST = {10: 65504.0, 1: (2.0 - 2.0**-23) * 2.0**127, 11: sys.float_info.max}


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


OPERATORS: dict[str, Translate] = {
    "Abs": _abs,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
}
