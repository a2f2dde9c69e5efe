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
from netproof.bounds.multipliers.sign_steps import Choice, Mixed, optimize_signs
from netproof.bounds.multipliers.signs import WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.effort.bounding import PLANE, SIGN_STEPS
from netproof.graph.affine_maps import affine_map

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int8


class Pricing:
    """Planes of one region, again and again for other parts of it, each time from the prices of the time before.

    Parameters
    ----------
    dual : of a region of one row, float64, without planes
    rounding : of the region
    device : where prices are chosen, in float32

    Attributes
    ----------
    gain : the share of the bound by chords that planes took off when they were chosen first; None before
    """

    def __init__(self, dual: SignDual, rounding: Rounding, device: torch.device | str = "cpu") -> None:
        self._dual, self._rounding = dual, rounding
        self._dual32 = dual.to(torch.float32, device)
        made = {k: _MadeOf.of(dual, k) for k, which in enumerate(dual.index) if len(which)}
        self._made = {k: one for k, one in made.items() if one is not None}
        self._layers = {k: one.to(torch.float32, self._dual32.device) for k, one in self._made.items()}
        self._prices = [part for one in self._layers.values() for part in one.start()]
        self.gain: float | None = None

    def __len__(self) -> int:
        """How many activations get planes."""
        return len(self._made)

    def fit(self, mixed: Mixed, side: Int8[Tensor, "B m"], start: Choice, until: Until) -> SignDual:
        """The dual with planes for which the bounds of some parts are small, as far as they are above 0, all together.

        Parameters
        ----------
        mixed : the objective of rows under weights of their constraints, in float32 on the device
        side : the parts
        start : multipliers of theirs to begin with
        """
        found, _ = minimize(self._run(mixed, side, start), PLANE.rates, until)
        self._prices = found[3:]
        planes = {}
        for place, (k, made) in enumerate(self._made.items()):
            price, p, q = (part[0].to("cpu", torch.float64) for part in self._prices[3 * place : 3 * place + 3])
            whole = _whole(self._dual, k, _priced(made, price), p, q, self._rounding)
            if whole is not None:
                planes[k] = whole
        dual = replace(self._dual, planes=planes)
        if self.gain is None:
            own = Choice(*(part.view(len(side), -1) for part in found[:3]))
            self.gain = self._gained(dual, mixed, side, (start, own), until)
        return dual

    def _run(self, mixed: Mixed, side: Tensor, start: Choice) -> _Prices:
        """From the prices of the time before."""
        return _Prices(self._dual32, mixed, side, start, self._layers, self._prices)

    def promises(self, mixed: Mixed, side: Tensor, start: Choice, until: Until) -> bool:
        """Whether planes are better than chords after a few steps: first ones lose, and where the loss is not won back soon it never is."""
        until = replace(until, steps=min(until.steps, PLANE.trial))
        planes = minimize(self._run(mixed, side, start), PLANE.rates, until)[1]
        chords = optimize_signs(self._dual32, mixed, side, start.to(torch.float32), until)[1]
        return float(planes.sum()) < float(chords.clamp(min=0).sum())

    def _gained(self, dual: SignDual, mixed: Mixed, side: Tensor, starts: tuple[Choice, Choice], until: Until) -> float:
        """What planes take off bounds by chords, each with slopes of their own: steps on prices leave slopes behind."""
        until = replace(until, steps=until.steps // 2)
        bounds = []
        for one, start in zip((self._dual32, dual.to(torch.float32, self._dual32.device)), starts, strict=True):
            value = optimize_signs(one, mixed, side, start.to(torch.float32), until)[1]
            bounds.append(float(value.clamp(min=0).sum()))
        before, after = bounds
        return 1 - after / before if before > 0 else 1.0


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
        """None where a matrix would be too large, or there is none, of features that are constants."""
        graph, which = dual.graph, dual.index[k]
        operand = graph.nodes[graph.activations[k]].operands[0]
        if len(which) * graph.widest > PLANE.largest:
            return None
        affine = affine_map(graph, operand, which)
        weights = {node: Sparse.of(one) for node, one in affine.matrices.items()}
        if not weights or sum(len(one.value) for one in weights.values()) > PLANE.entries:
            return None
        ends = list(itertools.accumulate(dual.sizes, initial=0))
        mine = slice(ends[k], ends[k + 1])
        boxes = {node: _box(dual, node) for node in weights}
        return cls(
            weights,
            affine.offset,
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

    def start(self) -> list[Tensor]:
        """Prices of chords, ``[1, ...]`` each. Over a box alone they need none of the ends of ranges."""
        low, high = self.left * self.lower, self.right * self.upper
        chord = (high - low) / (self.upper - self.lower)
        share = 0.0 if list(self.weights) == [0] else 1.0
        rows = torch.cat([one.row for one in self.weights.values()])
        return [chord[rows][None], (self.right - chord)[None] * share, (chord - self.left)[None] * share]

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


def _priced(made: _MadeOf, price: Tensor) -> dict[int, Sparse]:
    parts = _parts(made.weights, price)
    return {
        node: one.with_values(mine * one.value) for (node, one), mine in zip(made.weights.items(), parts, strict=True)
    }


def _box(dual: SignDual, node: int) -> tuple[Tensor, Tensor]:
    """The range of the input, or of an activation's values, ``[n]`` each."""
    region = dual.region
    if node == 0:
        return region.lower[0], region.upper[0]
    k = dual.graph.activations.index(node)
    low, high = dual.graph.activation(node).output_range(region.range_lower[k], region.range_upper[k])
    return low[0], high[0]


class _Trial(Planes):
    """Planes whose prices may still change."""

    def __init__(self, made: _MadeOf, price: Tensor, p: Tensor, q: Tensor) -> None:
        self._matrices = _priced(made, price)
        self.offset, self.size = made.offset(price, p, q), None

    def shares(self, v: Tensor) -> dict[int, Tensor]:
        if len(v) == 1:
            return {
                node: v.new_zeros(one.shape[1]).index_add(0, one.column, v[0, one.row] * one.value)[None]
                for node, one in self._matrices.items()
            }
        # Gradients of entries are sums over rows, which a product with the whole matrix takes at once.
        return {node: v @ one.dense() for node, one in self._matrices.items()}


class _Prices(ByAutograd):
    """What every part chooses for itself, and of every layer prices of its planes and of the ends of its ranges: all of it one row."""

    def __init__(
        self,
        dual: SignDual,
        mixed: Mixed,
        side: Tensor,
        start: Choice,
        layers: dict[int, _MadeOf],
        prices: Sequence[Tensor],
    ) -> None:
        self._dual, self._mixed, self._layers = dual, mixed, layers
        self._side, self._rows = side.to(dual.device), torch.arange(len(side), device=dual.device)
        own = [part.to(dual.device).reshape(1, -1) for part in start.to(torch.float32).parts]
        super().__init__([*own, *prices], [*SIGN_STEPS.lengths, *[PLANE.prices] * len(prices)])

    def needed(self) -> Sequence[bool]:
        return [True, bool((self._side != WHOLE).any()), self.parameters[2].shape[1] > len(self._rows)] + [True] * (
            len(self.parameters) - 3
        )

    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        alpha, beta, theta = (part.view(len(self._rows), -1) for part in parameters[:3])
        prices = [part[0] for part in parameters[3:]]
        trial: dict[int, Planes] = {
            k: _Trial(made, *prices[3 * place : 3 * place + 3]) for place, (k, made) in enumerate(self._layers.items())
        }
        objective = self._mixed(self._rows, torch.softmax(theta, -1))
        value = replace(self._dual, planes=trial).bound(objective, self._side, alpha, beta).value
        return value.clamp(min=0).sum()[None] if len(value) > 1 else value

    def project(self) -> None:
        alpha, beta, theta, *prices = self.parameters
        rows = alpha.view(len(self._rows), -1)
        alpha = torch.minimum(torch.maximum(rows, self._dual.left), self._dual.right).view(1, -1)
        for place in range(0, len(prices), 3):
            prices[place + 1], prices[place + 2] = prices[place + 1].clamp(min=0), prices[place + 2].clamp(min=0)
        self.parameters = [alpha, beta.clamp(min=0), theta, *prices]


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
    steep = torch.maximum(left.abs(), right.abs())

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
            error = 2.0**-51 * (constant.abs() + (p + q + steep) * torch.maximum(upper, -lower))[rows]
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
    return Planes(onto, whole, size, (p, q))
