"""Prices of upper planes (:mod:`netproof.bounds.multipliers.planes`), chosen by Adam for one objective on a whole region."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.adam import ByAutograd, Until, minimize
from netproof.bounds.multipliers.planes import Planes, Sparse
from netproof.bounds.multipliers.sign_steps import Mixed
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.effort.bounding import PLANE
from netproof.graph.graph import Graph
from netproof.graph.pass_back import pass_back
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


def planed(dual: SignDual, dual32: SignDual, mixed: Mixed, width: int, rounding: Rounding, until: Until) -> SignDual:
    """The dual with planes that are good for one objective.

    Parameters
    ----------
    dual : of a region of one row, float64, without planes
    dual32 : the same, where prices are chosen
    mixed : the objective under weights ``[1, width]`` of its constraints, in float32
    rounding : of the region

    Returns
    -------
    ``dual`` itself where no activation is fit for planes
    """
    made = {k: _MadeOf.of(dual, k) for k, which in enumerate(dual.index) if len(which)}
    layers = {k: one.to(torch.float32, dual32.device) for k, one in made.items() if one is not None}
    if not layers:
        return dual
    found, _ = minimize(_Prices(dual32, mixed, width, layers), PLANE.rates, until)
    planes = {}
    for place, k in enumerate(layers):
        price, p, q = (part[0].to("cpu", torch.float64) for part in found[2 + 3 * place : 5 + 3 * place])
        whole = _whole(dual, k, _priced(made[k], price), p, q, rounding)
        if whole is not None:
            planes[k] = whole
    return replace(dual, planes=planes)


@dataclass(frozen=True, eq=False)
class _MadeOf:
    """What the unstable features of an activation are made of, ``m`` of them.

    Attributes
    ----------
    weights : per node before it ``[m, n]``
    bias, lower, upper, left, right : ``[m]``, with the ranges and the slopes of the two lines
    center, radius : per node ``[n]``, of the box of its values
    """

    weights: dict[int, Sparse]
    bias: Tensor
    lower: Tensor
    upper: Tensor
    left: Tensor
    right: Tensor
    center: dict[int, Tensor]
    radius: dict[int, Tensor]

    @classmethod
    def of(cls, dual: SignDual, k: int) -> _MadeOf | None:
        """None where a matrix would be too large."""
        graph, which = dual.graph, dual.index[k]
        operand = graph.nodes[graph.activations[k]].operands[0]
        if len(which) * graph.widest > PLANE.largest:
            return None
        matrix, bias = _matrices(graph, operand, which)
        weights = {node: Sparse.of(one) for node, one in matrix.items()}
        if sum(len(one.value) for one in weights.values()) > PLANE.entries:
            return None
        ends = list(itertools.accumulate(dual.sizes, initial=0))
        mine = slice(ends[k], ends[k + 1])
        boxes = {node: _box(dual, node) for node in weights}
        return cls(
            weights,
            bias,
            dual.lower[mine],
            dual.upper[mine],
            dual.left[mine],
            dual.right[mine],
            {node: (low + high) / 2 for node, (low, high) in boxes.items()},
            {node: (high - low) / 2 for node, (low, high) in boxes.items()},
        )

    def to(self, dtype: torch.dtype, device: torch.device) -> _MadeOf:
        def moved(parts: dict[int, Tensor]) -> dict[int, Tensor]:
            return {node: part.to(device, dtype) for node, part in parts.items()}

        return _MadeOf(
            {node: one.to(dtype, device) for node, one in self.weights.items()},
            self.bias.to(device, dtype),
            self.lower.to(device, dtype),
            self.upper.to(device, dtype),
            self.left.to(device, dtype),
            self.right.to(device, dtype),
            moved(self.center),
            moved(self.radius),
        )

    def chord(self) -> Tensor:
        low, high = self.left * self.lower, self.right * self.upper
        return (high - low) / (self.upper - self.lower)

    def offset(self, price: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """The largest values of the neurons above the planes, as far as prices of their ends tell, without an account of rounding."""
        right, left = self.right - p, self.left + q
        above, below = right * self.bias + p * self.upper, left * self.bias - q * self.lower
        for (node, one), mine in zip(self.weights.items(), _parts(self.weights, price), strict=True):
            above = above + _largest(one, (right[one.row] - mine) * one.value, self.center[node], self.radius[node])
            below = below + _largest(one, (left[one.row] - mine) * one.value, self.center[node], self.radius[node])
        return torch.maximum(above, below)


def _largest(one: Sparse, value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    """``max { matrix @ h : h in the box }``, ``[m]``, by the entries of the matrix."""
    reached = value * center[one.column] + value.abs() * radius[one.column]
    return value.new_zeros(one.shape[0]).index_add(0, one.row, reached)


def _parts(weights: dict[int, Sparse], price: Tensor) -> Sequence[Tensor]:
    return torch.split(price, [len(one.value) for one in weights.values()])


def _priced(made: _MadeOf | None, price: Tensor) -> dict[int, Sparse]:
    assert made is not None
    parts = _parts(made.weights, price)
    return {
        node: one.with_values(mine * one.value) for (node, one), mine in zip(made.weights.items(), parts, strict=True)
    }


def _matrices(graph: Graph, operand: int, feature: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    """A node's features as affine functions of the input and of activations before it: per node ``[m, n]``, and ``[m]``."""
    c = torch.zeros(len(feature), graph.nodes[operand].size, dtype=torch.float64)
    c[torch.arange(len(feature)), feature] = 1.0
    constant = torch.zeros(len(feature), dtype=torch.float64)
    found: dict[int, Tensor] = {}

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor | None]:
        nonlocal constant
        operator = graph.nodes[index].operator
        if isinstance(operator, Affine):
            constant = constant + operator.offset(v)
            return operator.adjoint(v)
        found[index] = v
        return (None,)

    onto_input = pass_back(graph, {operand: c}, hand_on)
    if onto_input is not None:
        found[0] = onto_input
    return found, constant


def _box(dual: SignDual, node: int) -> tuple[Tensor, Tensor]:
    """The range of the input, or of an activation's values, ``[n]`` each."""
    region = dual.region
    if node == 0:
        return region.lower[0], region.upper[0]
    k = dual.graph.activations.index(node)
    low, high = dual.graph.activation(node).output_range(region.range_lower[k], region.range_upper[k])
    return low[0], high[0]


class _Trial(Planes):
    """Planes of one row whose prices may still change."""

    def __init__(self, made: _MadeOf, price: Tensor, p: Tensor, q: Tensor) -> None:
        self._made = _priced(made, price)
        self.offset, self.size = made.offset(price, p, q), None

    def shares(self, v: Tensor) -> dict[int, Tensor]:
        """Of one row."""
        return {
            node: v.new_zeros(one.shape[1]).index_add(0, one.column, v[0, one.row] * one.value)[None]
            for node, one in self._made.items()
        }


class _Prices(ByAutograd):
    """Slopes of lower lines, weights of constraints, and of every layer prices of its planes and of the ends of its ranges."""

    def __init__(self, dual: SignDual, mixed: Mixed, width: int, layers: dict[int, _MadeOf]) -> None:
        self._dual, self._mixed, self._layers = dual, mixed, layers
        self._row = torch.zeros(1, dtype=torch.int64, device=dual.device)
        self._side = torch.zeros(1, len(dual), dtype=torch.int8, device=dual.device)
        parameters = [dual.crown_alpha()[None].clone(), dual.lower.new_zeros(1, width)]
        for made in layers.values():
            chord = made.chord()
            share = 0.0 if list(made.weights) == [0] else PLANE.ends
            rows = torch.cat([one.row for one in made.weights.values()])
            parameters += [chord[rows][None], (made.right - chord)[None] * share, (chord - made.left)[None] * share]
        super().__init__(parameters, [PLANE.slopes, PLANE.weights, *[PLANE.prices] * (len(parameters) - 2)])

    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        alpha, theta, *prices = parameters
        trial: dict[int, Planes] = {
            k: _Trial(made, *(part[0] for part in prices[3 * place : 3 * place + 3]))
            for place, (k, made) in enumerate(self._layers.items())
        }
        objective = self._mixed(self._row, torch.softmax(theta, -1))
        return replace(self._dual, planes=trial).bound(objective, self._side, alpha, torch.zeros_like(alpha)).value

    def project(self) -> None:
        alpha, theta, *prices = self.parameters
        alpha = torch.minimum(torch.maximum(alpha, self._dual.left), self._dual.right)
        for place in range(0, len(prices), 3):
            prices[place + 1], prices[place + 2] = prices[place + 1].clamp(min=0), prices[place + 2].clamp(min=0)
        self.parameters = [alpha, theta, *prices]


def _whole(
    dual: SignDual,
    k: int,
    onto: dict[int, Sparse],
    p: Float64[Tensor, " m"],
    q: Float64[Tensor, " m"],
    rounding: Rounding,
) -> Planes | None:
    """Planes whose offsets hold in real arithmetic, whatever the prices; None where there are no finite ones."""
    graph, region, which = dual.graph, dual.region, dual.index[k]
    operand = graph.nodes[graph.activations[k]].operands[0]
    ends = list(itertools.accumulate(dual.sizes, initial=0))
    mine = slice(ends[k], ends[k + 1])
    lower, upper, left, right = (part[mine] for part in (dual.lower, dual.upper, dual.left, dual.right))
    p, q = p.clamp(min=0), q.clamp(min=0)

    def box_only(k: int, v: Tensor) -> tuple[None, Tensor]:
        low, high = graph.activation(graph.activations[k]).output_range(region.range_lower[k], region.range_upper[k])
        return None, v.clamp(min=0) @ high[0] + v.clamp(max=0) @ low[0]

    offset = []
    for rows in torch.split(torch.arange(len(which)), PLANE.rows):
        sides = []
        for slope, constant in ((right - p, p * upper), (left + q, -(q * lower))):
            c = torch.zeros(len(rows), graph.nodes[operand].size, dtype=torch.float64)
            c[torch.arange(len(rows)), which[rows]] = slope[rows]
            coefficients = {operand: c}
            for node, one in onto.items():
                coefficients[node] = -one.rows(rows)
            # Two roundings of slope and constant each; the first counts with the size of what it is multiplied with.
            error = 2.0**-51 * (constant.abs() + (p + q + 1) * torch.maximum(upper, -lower))[rows]
            objective = Objective(coefficients, constant[rows], error)
            sides.append(bound_backwards(dual.relaxation, objective, box_only, rounding).value)
        offset.append(torch.maximum(*sides))
    whole = torch.cat(offset)
    size = whole.abs()
    for node, one in onto.items():
        size = size + one.row_sums(rounding.magnitude[node])
    size = size * (1 + 2 * rounding.gamma)
    if not bool(torch.isfinite(whole).all() and torch.isfinite(size).all()):
        return None
    return Planes(onto, whole, size)
