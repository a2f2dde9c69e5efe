"""Products and quotients of two values that depend on the input."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, NodeError, Shape, Variable
from netproof.formats.onnx.nodes.formulas import ZERO
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.pairs.product import Product
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.scale import Scale


def places(value: Variable, shape: Shape) -> NDArray[np.int64]:
    """The features of a value, broadcast to a shape."""
    return np.broadcast_to(np.arange(value.size).reshape(value.shape), shape)


def product(call: Call, left: Variable, right: Variable, part: str = "") -> Variable:
    """``left * right``, broadcast; a square where both are one value."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    formulas = call.translation.formulas
    if left == right:
        square = call.add(Power(2.0), (left.node,), shape, part)
        formulas.applied("square", left.node, square.node)
        return square
    gate = formulas.gated(left.node, right.node) if left.shape == right.shape else None
    if gate is not None:
        function, node, factor = gate
        whole = factor == 1
        gated = call.add(function, (node,), shape, part if whole else f"{part}/gate" if part else "gate")
        result = gated if whole else multiplied(call, gated, factor, part)
        if isinstance(function, Power):
            formulas.applied({2.0: "square", 3.0: "cube"}[function.exponent], node, gated.node)
            formulas.scaled(gated.node, result.node, factor, ZERO)
        return result
    call.make(shape)
    call.translation.allocate(2 * math.prod(shape))
    made = sums_of_products(call, left, right, places(left, shape), places(right, shape), 1, shape, part)
    if left.shape == right.shape:
        formulas.multiplied(left.node, right.node, made.node)
    return made


def multiplied(call: Call, value: Variable, factor: Fraction, part: str = "") -> Variable:
    """A value times a number, which is rounded where float64 does not hold it."""
    near = torch.tensor([float(factor)], dtype=torch.float64)
    scale = Scale(value.size, near, torch.zeros(1, dtype=torch.float64), 0 if Fraction(float(factor)) == factor else 1)
    return call.add(scale, (value.node,), value.shape, part)


def sums_of_products(
    call: Call,
    left: Variable,
    right: Variable,
    of_left: NDArray[np.int64],
    of_right: NDArray[np.int64],
    count: int,
    shape: Shape,
    part: str = "",
) -> Variable:
    """Sums of ``count`` products each, whose factors are the features of two values in order: ``[n * count]`` each to ``shape``."""
    prefix = f"{part}/" if part else ""
    numbers = 2 * of_left.size
    call.translation.reserve((numbers,))
    call.translation.allocate(2 * numbers)
    if left.node == right.node:
        both, first = Variable(left.node, (left.size,)), 0
    else:
        sizes = (left.size, right.size)
        both = call.add(Concatenate(sizes), (left.node, right.node), (sum(sizes),), f"{prefix}both")
        first = left.size
    index = np.stack([of_left.reshape(-1), of_right.reshape(-1) + first], -1).reshape(-1)
    pairs = call.select(both, index, part=f"{prefix}pairs")
    products = call.add(Product(), (pairs.node,), (numbers,), f"{prefix}products")
    # Both features of a pair have its product.
    halves = torch.full((1, 1, 2 * count), 0.5, dtype=torch.float64)
    return call.add(BlockLinear(halves, math.prod(shape), shape), (products.node,), shape, part)


def matrix_product(call: Call, left: Variable, right: Variable, part: str = "") -> Variable:
    """``left @ right`` as NumPy understands it."""
    if not left.shape or not right.shape:
        raise NodeError("a matrix product with a scalar", "export the network again")
    vector, column = len(left.shape) == 1, len(right.shape) == 1
    a = (1, *left.shape) if vector else left.shape
    b = (*right.shape, 1) if column else right.shape
    if a[-1] != b[-2]:
        raise NodeError(f"{left.shape} and {right.shape} cannot be multiplied", "export the network again")
    batch = np.broadcast_shapes(a[:-2], b[:-2])
    rows, inner, columns = a[-2], a[-1], b[-1]
    result = [*batch, *([] if vector else [rows]), *([] if column else [columns])]
    whole = (*batch, rows, columns, inner)
    call.make(whole)
    call.translation.allocate(2 * math.prod(whole))
    first = np.arange(left.size).reshape(*a[:-2], rows, 1, inner)
    second = np.arange(right.size).reshape(b).swapaxes(-1, -2)[..., None, :, :]
    return sums_of_products(
        call, left, right, np.broadcast_to(first, whole), np.broadcast_to(second, whole), inner, tuple(result), part
    )


def reciprocal(call: Call, value: Variable, part: str = "") -> Variable:
    """``1 / value``."""
    result = call.add(Power(-1.0), (value.node,), value.shape, part)
    call.translation.formulas.applied("reciprocal", value.node, result.node)
    return result
