"""How far an evaluation in floating point may be from the function over the real numbers that a graph stands for.

A runtime computes ``v + e`` where the function has ``v``. For an affine map of ``n`` terms, evaluated in any order, with
fused multiplications and additions or without,

    |e| <= |A| |e_in| + gamma_n (|A| (|v_in| + |e_in|) + |b|) + n s

with ``gamma_n = n u / (1 - n u)``, ``u`` the unit roundoff of the type and ``s`` its smallest normal number, so that results
below it may be kept or set to 0 (Higham, *Accuracy and Stability of Numerical Algorithms*, sections 2.2 and 3.1). That holds where no
partial sum leaves the type: an infinity, and what comes of two of them, is near nothing. A
piecewise linear activation with slopes of at most ``L`` hands on ``L |e_in|``; of any other one nothing is used but its range
on ``[v - |e_in|, v + |e_in|]``, and of curves and of weights that a runtime works out itself nothing is known. Functions that are not computed by one operation (exponentials, roots) are taken to be
within 16 ``u`` of their own size, sigmoid and tanh within 16 ``u``: an assumption about the runtime, the only one here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.region import box_region, node_intervals
from netproof.graph.graph import Graph, Node
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.curves.curve import Curve
from netproof.operators.activations.curves.exponentials import Exp, Log
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.number import IsNumber
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select
from netproof.operators.base import Activation, Affine

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class FloatType:
    """A floating-point type.

    Attributes
    ----------
    unit : unit roundoff
    smallest, largest : normal number
    """

    unit: float
    smallest: float
    largest: float


#: by the names of VNN-LIB
FLOAT_TYPES = {
    "float64": FloatType(2.0**-53, 2.0**-1022, 2.0**1023),
    "float32": FloatType(2.0**-24, 2.0**-126, 2.0**127),
    "float16": FloatType(2.0**-11, 2.0**-14, 2.0**15),
}
#: roundings of any step that are not terms of its sum: of the number itself, of a bias, of what a runtime has folded into it
_FURTHER = 8
#: of units of a result: what a function is taken to be off by that is not computed by one operation
_FUNCTION = 16
#: what rounding in this account itself, in float64, may come to
_SAFE = 1 + 2.0**-20
#: largest slopes of activations that are continuous; for all others their range counts
_SLOPES: dict[type[Activation], float] = {ReLU: 1.0, Abs: 1.0, Clip: 1.0, Sigmoid: 0.25, Tanh: 1.0}
_WHOLE = 2.0**31
#: curves that a runtime has as one function
_CURVES = (Exp, Log, Power)
#: in a normalization, whose variance runtimes compute in several ways, of squares that cancel among others
_DEVIATION = Power(-0.5)
#: those that are evaluated without rounding
_EXACT = (ReLU, Abs, Clip, Step, Floor, IsNumber)


def deviations(
    graph: Graph, lower: Float[Tensor, " n"], upper: Float[Tensor, " n"], kind: FloatType
) -> tuple[Float[Tensor, " n_out"], Float[Tensor, " n_out"]]:
    """Bounds on what an evaluation of type ``kind`` is off by at the output, and on the size of the outputs themselves.

    Parameters
    ----------
    graph : over the real numbers, one operator for each that a runtime computes; float64
    lower, upper : the box of inputs, which are numbers of the type

    Returns
    -------
    Two tensors ``[n_out]``, infinite where nothing is known: where values may leave the type, or an operator has several operands that are
    not added up.
    """
    intervals = node_intervals(graph, box_region(graph, lower[None], upper[None]))
    off: list[Tensor] = [torch.zeros_like(lower)]
    sizes = [torch.maximum(low.abs(), high.abs())[0] for low, high in intervals]
    for index, node in enumerate(graph.nodes[1:], 1):
        if isinstance(node.operator, Affine):
            mine = _affine(node, node.operator, off, sizes, kind)
        elif len(node.operands) == 1 and isinstance(node.operator, Activation):
            operand = node.operands[0]
            low, high = (end[0] for end in intervals[operand])
            mine = _activation(node.operator, off[operand], low, high, kind)
        else:
            mine = torch.full((node.size,), torch.inf, dtype=lower.dtype)
        mine = mine * _SAFE
        off.append(torch.where(sizes[index] + mine < kind.largest, mine, torch.inf))
    return off[-1], sizes[-1]


def _affine(node: Node, operator: Affine, off: list[Tensor], sizes: list[Tensor], kind: FloatType) -> Tensor:
    before = operator.forward_absolute(*(off[i] for i in node.operands))
    if isinstance(operator, Select | Concatenate):
        constants = operator.offset_absolute()
        return before + kind.unit * constants  # a constant of float64 that the type may not have
    if (isinstance(operator, BlockLinear) and operator.interpolates) or _derived(operator, kind):
        return torch.full_like(before, torch.inf)
    count = operator.terms()[0] + operator.roundings + _FURTHER
    if count * kind.unit >= 0.5:
        return torch.full_like(before, torch.inf)
    size = operator.forward_absolute(*(sizes[i] + off[i] for i in node.operands)) + operator.offset_absolute()
    # The error of an offset that was computed is in units of 2^-53 of the numbers that it was computed of.
    size = size + operator.offset_error() * 2.0**53
    reached = _partial(operator, size)
    mine = before + count * kind.unit / (1 - count * kind.unit) * size + count * kind.smallest
    # Where every term has a 0 in it nothing is rounded, unless the other factor may be an infinity, by which 0 is no number.
    there = operator.forward_absolute(*((sizes[i] + off[i] != 0).to(before.dtype) for i in node.operands))
    nothing = (there + operator.offset_absolute() + operator.offset_error() == 0).expand_as(mine)
    mine = torch.where(reached < kind.largest, mine, torch.inf)
    return torch.where(nothing & torch.isfinite(before), torch.zeros_like(mine), mine)


def _partial(operator: Affine, size: Tensor) -> Tensor:
    """What the sums of an affine map may come to on their way, whose terms together have a ``size``.

    That is the size itself, but where all weights are one number: a mean is added up and divided then.
    """
    weight = dict(operator.parameters()).get("weight")
    if weight is None or not weight.numel():
        return size
    magnitudes = weight.abs()
    least = float(magnitudes.min())
    return size / least if 0 < least == float(magnitudes.max()) < 1 else size


def _derived(operator: Affine, kind: FloatType) -> bool:
    """Whether a number that a runtime works out of those in the file, as the scale of a batch norm, may be none of the type."""
    numbers = torch.cat(
        [tensor.abs().flatten() for _, tensor in operator.parameters()] or [torch.zeros(0, dtype=torch.float64)]
    )
    there = numbers[numbers > 0]
    return bool(operator.roundings and len(there) and not (kind.smallest <= there.min() and there.max() < kind.largest))


def _activation(operator: Activation, off: Tensor, low: Tensor, high: Tensor, kind: FloatType) -> Tensor:
    below, above = operator.output_range(low - off, high + off)
    size = torch.maximum(below.abs(), above.abs())
    if isinstance(operator, Product):
        return _product(off, torch.maximum(low.abs(), high.abs()), size, kind)
    known = isinstance(operator, _CURVES) and operator != _DEVIATION
    if isinstance(operator, Quotient) or (isinstance(operator, Curve) and not known):
        # What a graph has as one function a runtime may compute of several that cancel (1 + erf), or by another formula.
        return torch.full_like(off, torch.inf)
    if isinstance(operator, Curve):
        if isinstance(operator, Exp):
            # A softmax takes its largest operand off all of them before: the graph has their differences, which are as large.
            off = off + 2 * kind.unit * torch.maximum(low.abs(), high.abs()).max()
            below, above = operator.output_range(low - off, high + off)
        # Of these functions a slope is largest at one of the ends.
        ends = low - off, high + off
        steepest = torch.stack(
            [operator.slope(end, right=right).abs() for end in ends for right in (False, True)]
        ).amax(0)
        moved = torch.minimum(steepest * off, above - below)
        moved = torch.where(off == 0, torch.zeros_like(off), moved)
        moved = torch.where(moved.isnan(), torch.inf, moved)
        return moved + _FUNCTION * kind.unit * torch.maximum(below.abs(), above.abs()) + kind.smallest
    if isinstance(operator, Floor):
        # Of whole numbers beyond what 32 bits hold a runtime may make something else.
        off = torch.where(size < _WHOLE, off, torch.inf)
    slope = _SLOPES.get(type(operator))
    if isinstance(operator, LeakyReLU):
        slope = max(1.0, abs(operator.alpha))
    # Whatever the function is, its value and what is computed of it lie in the same range.
    moved = above - below if slope is None else torch.minimum(slope * off, above - below)
    if isinstance(operator, _EXACT):
        return torch.where(off == 0, torch.zeros_like(moved), moved)
    if isinstance(operator, Sigmoid | Tanh):
        # Runtimes cut their operands off where the function is next to its ends: small values are off by more than their size.
        size = torch.ones_like(size)
    return moved + _FUNCTION * kind.unit * size + kind.smallest


def _product(off: Tensor, size: Tensor, most: Tensor, kind: FloatType) -> Tensor:
    """What a product is off by whose factors are: ``|x| e_y + |y| e_x + e_x e_y``, and its own rounding; both of a pair alike."""
    (e_x, e_y), (x, y) = (off[0::2], off[1::2]), (size[0::2], size[1::2])
    moved = x * e_y + y * e_x + e_x * e_y
    moved = torch.where(moved.isnan(), torch.inf, moved)
    return moved.repeat_interleave(2) + 2 * kind.unit * most + kind.smallest
