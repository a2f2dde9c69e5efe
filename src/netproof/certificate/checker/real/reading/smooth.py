"""Operators that are smooth functions of values, products of two of them, and what is made of these."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from netproof.certificate.checker.real.nodes import PRODUCT
from netproof.certificate.checker.real.operators import Scale
from netproof.certificate.checker.real.reading.constants import WIDEST, UnknownError, check_size, folded
from netproof.certificate.checker.real.reading.pieces import Pieces
from netproof.certificate.checker.real.reading.values import Operand, Operator, Value, axes_of, grid_of

#: operators that are functions of single numbers, without attributes
CURVES = {
    "Atan": "atan", "Cos": "cos", "Erf": "erf", "Exp": "exp", "HardSwish": "hardswish", "Log": "log", "Mish": "mish",
    "Reciprocal": "reciprocal", "Sigmoid": "sigmoid", "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign",
    "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip


class Smooth(Pieces):
    """Values, and all operators."""

    def operators(self) -> dict[str, Operator]:
        """What is known, by name."""
        root, logarithm = partial(self.curve, "sqrt"), partial(self.curve, "log")
        normed: dict[str, tuple[Any, Any]] = {
            "ReduceL1": (self.absolute, None), "ReduceL2": (partial(self.curve, "square"), root),
            "ReduceLogSum": (None, logarithm), "ReduceLogSumExp": (partial(self.curve, "exp"), logarithm),
            "ReduceSumSquare": (partial(self.curve, "square"), None),
        }  # fmt: skip
        return {
            **super().operators(),
            **{kind: partial(self.curve, bend) for kind, bend in CURVES.items()},
            **{kind: partial(self.normed, *parts) for kind, parts in normed.items()},
            "Celu": self.celu, "Div": self.divide, "Elu": self.elu, "Gelu": self.gelu, "LayerNormalization": self.layer,
            "LogSoftmax": self.log_softmax, "Mul": self.multiply, "Pow": self.power, "Selu": self.selu, "Softmax": self.softmax,
            "Swish": self.swish,
        }  # fmt: skip

    def curve(self, bend: str, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._bend(self._value(operands), bend)

    def gelu(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        curve = {"none": "gelu", "tanh": "gelu tanh"}.get(attributes.pop("approximate", "none"))
        if curve is None:
            raise UnknownError("an approximation of Gelu")
        return self.curve(curve, operands, attributes)

    def elu(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        return self._elu(self._value(operands), attributes.pop("alpha", 1.0))

    def selu(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        alpha = attributes.pop("alpha", float(np.float32(1.67326319217681884765625)))
        gamma = attributes.pop("gamma", float(np.float32(1.05070102214813232421875)))
        return self._scaled(self._elu(self._value(operands), alpha), gamma)

    def celu(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """``alpha elu(x / alpha)``."""
        value, alpha = self._value(operands), attributes.pop("alpha", 1.0)
        if not 2.0**-100 < alpha < 2.0**100:
            raise UnknownError("the width of a Celu")
        return self._scaled(self._bend(self._shared(value, alpha), "elu"), alpha)

    def _elu(self, value: Value, alpha: float) -> Value:
        """Above 0 ``x``, below ``alpha (e^x - 1)``: ``alpha`` times the curve of 1, and the rest of a ReLU."""
        bent = self._bend(value, "elu")
        if alpha == 1:
            return bent
        rest = self._numbers.load(np.ones(1)) - self._numbers.load(np.full(1, alpha))
        ramp = self._scaled(self._rectified(value), np.repeat(rest, math.prod(value.shape)), roundings=1)
        return self._summed(self._scaled(bent, alpha), ramp)

    def swish(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        if attributes.pop("alpha", 1.0) != 1.0:
            raise UnknownError("a Swish by another factor than 1")
        return self.curve("swish", operands, attributes)

    def power(self, operands: list[Any], _: dict[str, Any]) -> Value:
        base, exponent = operands
        known = {1.0: "", 2.0: "square", 3.0: "cube", 0.5: "sqrt", -1.0: "reciprocal"}
        power = 0.0 if isinstance(exponent, Value) or exponent.size != 1 else float(exponent.sum())
        if not isinstance(base, Value) or exponent.ndim > len(base.shape) or power not in known:
            raise UnknownError("the exponent of a Pow")
        return self._bend(base, known[power]) if known[power] else base

    def multiply(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        first, second = operands
        if not isinstance(first, Value) and not isinstance(second, Value):
            known = folded("Mul", first, second)
            if known is not None:
                return known
            first = self._value([first])
        if isinstance(first, Value) and isinstance(second, Value):
            return self._product(first, second)
        value, factor = (first, second) if isinstance(first, Value) else (second, first)
        shape = np.broadcast_shapes(first.shape, second.shape)
        scale = self._spread(factor, shape)
        return self._affine(Scale(len(scale), scale, None), [self._expanded(value, shape)], shape)

    def divide(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        first, second = operands
        if isinstance(second, Value):
            return self.multiply([first, self._bend(second, "reciprocal")], {})
        if not isinstance(first, Value) and first.dtype.kind == "i":
            known = folded("Div", first, second)
            if known is not None:
                return known
        shape = np.broadcast_shapes(first.shape, second.shape)
        divisor = self._spread(second, shape)
        if not all(2.0**-400 < abs(d) < 2.0**400 for d in self._numbers.near(divisor).tolist()):
            raise UnknownError("a division by 0, or by what is as large or small as this")
        return self._shared(self._expanded(first, shape), divisor)

    def _product(self, first: Value, second: Value) -> Value:
        """The products of the numbers of two values, which are brought to one shape."""
        # A value times its logistic function is one curve.
        for one, other in ((first, second), (second, first)):
            node = self._nodes[other.node]
            if node.bend == "sigmoid" and node.operands == (one.node,) and one.shape == other.shape:
                return self._bend(one, "swish")
        if (first.node, first.shape) == (second.node, second.shape):
            return self._bend(first, "square")
        shape = np.broadcast_shapes(first.shape, second.shape)
        size = math.prod(shape)
        check_size((2, size))
        both = self._arranged(
            [first, second], lambda *xs: np.concatenate([np.broadcast_to(x, shape).reshape(-1) for x in xs])
        )
        return self._add(None, (self._value([both]).node,), shape, size, PRODUCT)

    def choose(self, mask: Value, first: Operand, second: Operand) -> Operand:
        """The first where a truth value is 1, the second where it is 0."""
        return self.add([second, self.multiply([mask, self.add([first, second], {}, -1)], {})], {})

    def matmul_of_values(self, first: Value, second: Value) -> Operand:
        """Products of rows and columns, added up."""
        (*_, rows, inner), (*_, also, columns) = first.shape, second.shape
        before = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
        if inner != also or math.prod((*before, rows, columns, inner)) > WIDEST:
            raise UnknownError("a product of matrices that do not fit, or of this size")
        whole = (*before, rows, columns, inner)
        left = np.broadcast_to(grid_of(first)[..., :, None, :], whole)
        right = np.broadcast_to(np.swapaxes(grid_of(second), -1, -2)[..., None, :, :], whole)
        product = self._product(self._moved(first, left), self._moved(second, right))
        return self._added(product, whole[:-1])

    def softmax(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """``1 / (1 + sum over j /= i of e^(x_j - x_i))``."""
        value = self._value(operands)
        rank = len(value.shape)
        (axis,) = axes_of([attributes.pop("axis", -1 if self._opset >= 13 else 1)], rank, "Softmax")
        grid = np.moveaxis(grid_of(value), axis, -1)
        count = grid.shape[-1]
        if grid.size * count > WIDEST or count < 2 or (self._opset < 13 and axis != rank - 1):
            raise UnknownError("a Softmax of this size, or of this axis")
        others = np.array([[j for j in range(count) if j != i] for i in range(count)])
        there, here = grid[..., others], np.repeat(grid[..., None], count - 1, -1)
        rise = self._bend(self._summed(self._moved(value, there), self._moved(value, here), -1), "exp")
        share = self._bend(self._added(rise, grid.shape, 1.0, 1.0), "reciprocal")
        found = self._moved(share, np.moveaxis(np.arange(grid.size).reshape(grid.shape), -1, axis))
        if grid.size == count:
            self._before_softmax[found.node] = value.node
        return found

    def log_softmax(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        share = self.softmax(operands, attributes)
        found = self._bend(share, "log")
        if share.node in self._before_softmax:
            self._before_softmax[found.node] = self._before_softmax[share.node]
        return found

    def normed(self, before: Any, after: Any, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """A function of a sum of functions over axes."""
        axes, keeps = self._axes(operands, attributes, 18, "norm")
        value = self._value(operands[:1])
        total = self._reduced(value if before is None else before([value], {}), axes, keeps=keeps)
        return total if after is None else self._value([after([total], {})])

    def layer(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        """What is left of a value without its mean over the last axes, divided by its size."""
        value, epsilon = self._value(operands[:1]), attributes.pop("epsilon", float(np.float32(1e-5)))
        (axis,) = axes_of([attributes.pop("axis", -1)], len(value.shape), "LayerNormalization")
        if attributes.pop("stash_type", 1) != 1 or not 2 <= len(operands) <= 3:
            raise UnknownError("the operands of a LayerNormalization")
        axes = list(range(axis, len(value.shape)))
        rest = self._value([self.add([value, self._reduced(value, axes, mean=True)], {}, -1)])
        spread = self._scaled(self._reduced(self._bend(rest, "square"), axes, mean=True), 1.0, epsilon)
        found = self.multiply([self.divide([rest, self._bend(spread, "sqrt")], {}), operands[1]], {})
        return found if len(operands) < 3 else self.add([found, operands[2]], {})
