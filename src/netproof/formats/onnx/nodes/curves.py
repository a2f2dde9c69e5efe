"""ONNX operators that are curves: exponentials, powers, waves, and the smooth relatives of ReLU."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Value, finite
from netproof.operators.activations.curves.exponentials import Elu, Exp, Log, Softplus
from netproof.operators.activations.curves.gates import Gelu, HardSwish, Mish, Silu
from netproof.operators.activations.curves.periodic import Cos, Sin
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.curves.saturating import Atan, Erf, Softsign
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
    if approximate != "none":
        raise NodeError(f"a GELU approximated by '{approximate}'", "export it with approximate='none', or as its parts")
    return Gelu()


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
    return _curve(lambda _: Power(0.5))(call)


def _power(call: Call) -> Value:
    value, exponents = call.operand(0), call.constant(1).astype(np.float64)
    if not exponents.size or bool((exponents != exponents.flat[0]).any()) or not math.isfinite(exponents.flat[0]):
        raise NodeError("a power with several exponents", "export it with one exponent")
    if len(np.broadcast_shapes(value.shape, exponents.shape)) != len(value.shape) or exponents.size not in (
        1,
        math.prod(value.shape),
    ):
        raise NodeError(f"exponents {exponents.shape} for {value.shape}", "export it with one exponent")
    exponent = float(exponents.flat[0])
    if exponent == 0:
        return Constant(np.ones(value.shape))
    if exponent == 1:
        return value
    base = call.variable(0)
    result = call.add(Power(exponent), (base.node,), base.shape)
    if exponent in (2.0, -1.0):
        call.translation.formulas.applied({2.0: "square", -1.0: "reciprocal"}[exponent], base.node, result.node)
    return result


def _reciprocal(call: Call) -> Value:
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
