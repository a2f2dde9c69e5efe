"""ONNX operators that are curves: exponentials, powers, waves, and the smooth relatives of ReLU."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Value, Variable, finite, tensor_of
from netproof.formats.onnx.shapes import expanded
from netproof.graph.rounding import is_power_of_two
from netproof.operators.activations.curves.exponentials import Elu, Exp, Log, Softplus
from netproof.operators.activations.curves.gates import Gelu, HardSwish, Mish, Silu, TanhGelu
from netproof.operators.activations.curves.periodic import Cos, Sin
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.curves.saturating import Atan, Erf, Softsign
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.scale import Scale
from netproof.operators.base import Activation


def _curve(make: Callable[[Call], Activation], formula: str = "") -> Callable[[Call], Value]:
    """An operator that is one activation; ``formula`` is what it is called where it may be part of a gate."""

    def translate(call: Call) -> Value:
        value = call.variable(0)
        result = call.add(make(call), (value.node,), value.shape)
        if formula:
            call.translation.formulas.applied(formula, value.node, result.node)
        return result

    return translate


def _gelu(call: Call) -> Activation:
    approximate = call.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise NodeError(f"a GELU approximated by '{approximate}'", "export it with approximate 'none' or 'tanh'")
    return Gelu() if approximate == "none" else TanhGelu()


def _swish(call: Call) -> Activation:
    rate = call.number("alpha", 1.0)
    if not rate > 0:
        raise NodeError(f"a swish of alpha {rate:g}, not above 0")
    return Silu(rate)


def _elu(call: Call) -> Activation:
    return Elu(call.number("alpha", 1.0))


def _selu(call: Call) -> Activation:
    gain = call.number("gamma", 1.05070102214813232421875)
    if not gain > 0:
        raise NodeError(f"a SELU of gamma {gain:g}, not above 0")
    return Elu(call.number("alpha", 1.67326319217681884765625), gain)


def _celu(call: Call) -> Activation:
    width = call.number("alpha", 1.0)
    if not width > 0:
        raise NodeError(f"a CELU of alpha {width:g}, not above 0")
    return Elu(width, 1.0, width)


def _root(call: Call) -> Value:
    value = call.operand(0)
    if isinstance(value, Constant):
        array = finite(value.array, "the constant")
        if bool((array < 0).any()):
            raise NodeError("the root of a negative number", "repair the network")
        root = np.sqrt(array)
        if bool((np.abs(root) < 2.0**24).all() and (root == np.floor(root)).all() and (root * root == array).all()):
            return Constant(root)
    operand = call.variable(0)
    return call.add(_power_of(call, operand, 0.5), (operand.node,), operand.shape)


def _power_of(call: Call, operand: Variable, exponent: float) -> Power:
    """A power of a value, with whether a root of a negative number may come up."""
    if exponent < 0 or exponent == math.floor(exponent):
        return Power(exponent)
    return Power(exponent, call.translation.builder.never_negative(operand.node))


def _power(call: Call) -> Value:
    if isinstance(call.operand(0), Constant) and isinstance(call.operand(1), Variable):
        return _exponential(call)
    value, exponents = call.operand(0), call.constant(1).astype(np.float64)
    if not exponents.size or not bool(np.isfinite(exponents).all()):
        raise NodeError("an exponent that is no number", "repair the network")
    value = expanded(call, value, np.broadcast_shapes(value.shape, exponents.shape), "expanded")
    if bool((exponents != exponents.flat[0]).any()):
        return _powers(call, value, np.broadcast_to(exponents, value.shape).reshape(-1))
    exponent = float(exponents.flat[0])
    if exponent == 0:
        return Constant(np.ones(value.shape))
    if exponent == 1:
        return value
    base = call.lifted(value) if isinstance(value, Constant) else value
    result = call.add(_power_of(call, base, exponent), (base.node,), base.shape)
    formula = {2.0: "square", 3.0: "cube", -1.0: "reciprocal"}.get(exponent)
    if formula is not None:
        call.translation.formulas.applied(formula, base.node, result.node)
    return result


def _powers(call: Call, value: Value, exponents: NDArray[np.float64]) -> Value:
    """Powers with an exponent for each feature: those with one exponent together, then all in their order."""
    base = call.lifted(value) if isinstance(value, Constant) else value
    order = np.empty(base.size, np.int64)
    nodes: list[int] = []
    sizes: list[int] = []
    for exponent in np.unique(exponents):
        places = np.flatnonzero(exponents == exponent)
        order[places] = np.arange(len(places)) + sum(sizes)
        sizes.append(len(places))
        if exponent == 0:
            chosen = call.select(base, np.full(len(places), -1, np.int64), np.ones(len(places)), "constant")
        else:
            chosen = call.select(base, places, part=f"to {exponent:g}")
        if exponent not in (0, 1):
            power = _power_of(call, chosen, float(exponent))
            chosen = call.add(power, (chosen.node,), chosen.shape, f"power {exponent:g}")
        nodes.append(chosen.node)
    both = call.add(Concatenate(tuple(sizes)), tuple(nodes), (base.size,), "all")
    return call.select(both, order.reshape(base.shape), part="in order")


def _exponential(call: Call) -> Value:
    """``c ** x`` of a positive number: ``exp(x log c)``, with the logarithm rounded."""
    value, base = call.variable(1), finite(call.constant(0), "the base")
    if base.size != 1 or float(base.flat[0]) <= 0:
        raise NodeError(
            "a power of several numbers, or of one that is not positive", "export it with one positive base"
        )
    # The logarithm of a double is within a unit in the last place: two of the units of Scale.
    rate = torch.tensor([math.log(float(base.flat[0]))], dtype=torch.float64)
    scaled = call.add(Scale(value.size, rate, torch.zeros_like(rate), 2), (value.node,), value.shape, "exponent")
    shape = np.broadcast_shapes(value.shape, base.shape)
    result = call.add(Exp(), (scaled.node,), value.shape)
    return call.reshaped(result, shape)


def _reciprocal(call: Call) -> Value:
    value = call.operand(0)
    if isinstance(value, Constant):
        array = finite(value.array, "the constant")
        if bool(array.all()) and is_power_of_two(tensor_of(array)):
            return Constant(1 / array)
    return _curve(lambda _: Power(-1.0), "reciprocal")(call)


OPERATORS: dict[str, Translate] = {
    "Atan": _curve(lambda _: Atan()),
    "Celu": _curve(_celu),
    "Cos": _curve(lambda _: Cos()),
    "Elu": _curve(_elu),
    "Erf": _curve(lambda _: Erf(), "erf"),
    "Exp": _curve(lambda _: Exp()),
    "Gelu": _curve(_gelu),
    "HardSwish": _curve(lambda _: HardSwish()),
    "Log": _curve(lambda _: Log()),
    "Mish": _curve(lambda _: Mish()),
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Selu": _curve(_selu),
    "Sin": _curve(lambda _: Sin()),
    "Softplus": _curve(lambda _: Softplus(), "softplus"),
    "Softsign": _curve(lambda _: Softsign()),
    "Sqrt": _root,
    "Swish": _curve(_swish),
}
