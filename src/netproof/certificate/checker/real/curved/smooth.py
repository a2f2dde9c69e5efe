"""Operators that are smooth functions of values, and products of two of them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from netproof.certificate.checker.real.constants import UnknownError
from netproof.certificate.checker.real.moves import Moves, grid_of
from netproof.certificate.checker.real.nodes import PRODUCT
from netproof.certificate.checker.real.operators import Array, Dense, Scale, Sum
from netproof.certificate.checker.real.values import WIDEST, Value, value_of

#: operators that are functions of single numbers, without attributes
CURVES = {
    "Cos": "cos", "Erf": "erf", "Exp": "exp", "Log": "log", "Reciprocal": "reciprocal", "Sigmoid": "sigmoid", "Sin": "sin",
    "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip


class Smooth(Moves):
    """Values, and operators by the conventions of an operator set."""

    def curves(self) -> dict[str, Any]:
        """The operators that are curves, by name."""
        return {kind: partial(self.curve, bend) for kind, bend in CURVES.items()}

    def curve(self, bend: str, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._bend(value_of(operands, 1), bend)

    def gelu(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        if attributes.pop("approximate", "none") != "none":
            raise UnknownError("an approximation of Gelu")
        return self.curve("gelu", operands, attributes)

    def negative(self, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._scaled(value_of(operands, 1), -1.0)

    def power(self, operands: list[Any], _: dict[str, Any]) -> Value:
        base, exponent = operands
        known = {1.0: "", 2.0: "square", 3.0: "cube", 0.5: "sqrt", -1.0: "reciprocal"}
        power = 0.0 if isinstance(exponent, Value) or exponent.size != 1 else float(exponent.sum())
        if not isinstance(base, Value) or exponent.ndim > len(base.shape) or power not in known:
            raise UnknownError("the exponent of a Pow")
        return self._bend(base, known[power]) if known[power] else base

    def multiply(self, operands: list[Any], _: dict[str, Any]) -> Value:
        first, second = operands
        if isinstance(first, Value) and isinstance(second, Value):
            return self._product(first, second)
        value, factor = (first, second) if isinstance(first, Value) else (value_of([second], 1), first)
        scale = self._spread(factor, value.shape)
        return self._affine(Scale(len(scale), scale, None), [value], value.shape)

    def divide(self, operands: list[Any], _: dict[str, Any]) -> Value:
        first, second = operands
        if isinstance(second, Value):
            return self.multiply([first, self._bend(second, "reciprocal")], {})
        value = value_of([first], 1)
        divisor = self._spread(second, value.shape)
        if not all(2.0**-400 < abs(d) < 2.0**400 for d in self._numbers.near(divisor).tolist()):
            raise UnknownError("a division by 0, or by what is as large or small as this")
        return self._scaled(value, self._numbers.load(np.ones(len(divisor))) / divisor, roundings=2)

    def _product(self, first: Value, second: Value) -> Value:
        """The products of the numbers of two values, which are brought to one shape."""
        # A value times its logistic function is one curve.
        for one, other in ((first, second), (second, first)):
            node = self._nodes[other.node]
            if node.bend == "sigmoid" and node.operands == (one.node,) and one.shape == other.shape:
                return self._bend(one, "swish")
        shape = np.broadcast_shapes(first.shape, second.shape)
        size = math.prod(shape)
        if 2 * size > WIDEST:
            raise UnknownError("a product of this size")
        if first == second:
            return self._bend(first, "square")
        places, nothing = [np.broadcast_to(grid_of(x), shape).reshape(-1) for x in (first, second)], np.full(size, -1)
        halves = [
            self._moved(first, np.concatenate([places[0], nothing])),
            self._moved(second, np.concatenate([nothing, places[1]])),
        ]
        both = self._affine(Sum(2 * size, 1), halves, (2 * size,))
        return self._add(None, (both.node,), shape, size, PRODUCT)

    def matmul_of_values(self, first: Value, second: Value) -> Value:
        """Products of rows and columns, added up."""
        (*_, rows, inner), (*_, also, columns) = first.shape, second.shape
        before = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
        if inner != also or math.prod((*before, rows, columns, inner)) > WIDEST:
            raise UnknownError("a product of matrices that do not fit, or of this size")
        whole = (*before, rows, columns, inner)
        left = np.broadcast_to(grid_of(first)[..., :, None, :], whole)
        right = np.broadcast_to(np.swapaxes(grid_of(second), -1, -2)[..., None, :, :], whole)
        product = self._product(self._moved(first, left), self._moved(second, right))
        return self._added(product, whole[:-1], 1.0)

    def _added(self, value: Value, shape: tuple[int, ...], factor: float, shift: float = 0.0) -> Value:
        """The sum over the last axis, by a factor, and a number."""
        ones = self._numbers.load(np.full((value.shape[-1], 1), factor))
        dense = Dense(ones, self._numbers.load(np.full(math.prod(shape), shift)), math.prod(shape))
        return self._affine(dense, [value], shape)

    def softmax(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """``1 / (1 + sum over j /= i of e^(x_j - x_i))``."""
        value = value_of(operands, 1)
        rank = len(value.shape)
        axis = attributes.pop("axis", -1 if self._opset >= 13 else 1)
        if not -rank <= axis < rank or (self._opset < 13 and axis % rank != rank - 1):
            raise UnknownError("the axis of a Softmax")
        grid = np.moveaxis(grid_of(value), axis, -1)
        count = grid.shape[-1]
        if grid.size * count > WIDEST or count < 2:
            raise UnknownError("a Softmax of this size")
        others = np.array([[j for j in range(count) if j != i] for i in range(count)])
        there, here = grid[..., others], np.repeat(grid[..., None], count - 1, -1)
        parts = [self._moved(value, index) for index in (there, here)]
        rise = self._bend(self._affine(Sum(there.size, -1), parts, there.shape), "exp")
        share = self._bend(self._added(rise, grid.shape, 1.0, 1.0), "reciprocal")
        return self._moved(share, np.moveaxis(np.arange(grid.size).reshape(grid.shape), -1, axis))

    def reduce(self, operands: list[Any], attributes: dict[str, Any], *, mean: bool) -> Value | Array:
        value, named = value_of(operands[:1], 1), attributes.pop("axes", None)
        keeps, rank = attributes.pop("keepdims", 1), len(value.shape)
        if len(operands) > 1 and not isinstance(operands[1], Value) and operands[1].dtype.kind == "i":
            named = operands[1].reshape(-1).tolist()
        axes = sorted({axis % rank for axis in named or ()})
        if attributes.pop("noop_with_empty_axes", 0) or not axes or len(axes) != len(named) or len(operands) > 2:
            raise UnknownError("the axes of a sum")
        rest = [axis for axis in range(rank) if axis not in axes]
        grid = grid_of(value).transpose(*rest, *axes).reshape(*(value.shape[axis] for axis in rest), -1)
        count = grid.shape[-1]
        total = self._added(self._moved(value, grid), grid.shape[:-1], 1.0)
        if mean:
            divisor = self._numbers.load(np.full(math.prod(total.shape), float(count)))
            total = self._scaled(total, self._numbers.load(np.ones(len(divisor))) / divisor, roundings=2)
        shape = [1 if axis in axes else extent for axis, extent in enumerate(value.shape)] if keeps else total.shape
        return Value(total.node, tuple(shape))
