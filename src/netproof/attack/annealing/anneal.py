"""Attack: change single inputs until the integers fall into place, as a compiled loop.

As :mod:`netproof.attack.align` does with tensors, for chains of dense layers: activations become tables over whole numbers, so that
a proposal takes a fifth of a microsecond on a network of 64 neurons. One chain at a time, which changes at once what it accepts, goes many
times as far in the same time; and how near chains end says how likely it is that there is nothing to find.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.attack.annealing import chain
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import OrderConditions
from netproof.effort.integer import ANNEAL
from netproof.graph.graph import Graph
from netproof.operators.affine.linear import Linear
from netproof.operators.base import Activation
from netproof.processes import clock
from netproof.processes.loops import Loop, compiled

#: a weight and a bias
_Layer = tuple[Tensor, Tensor]
#: accumulators and changes are kept as int32
_MOST = 2.0**30


@functools.cache
def compiled_chain() -> Loop | None:
    """:func:`netproof.attack.annealing.chain.go_on`, compiled; None where that is not possible."""
    found = compiled([chain.look_up, chain.shortfall, chain.measure, chain.drawn, chain.go_on])
    return None if found is None else found[-1]


@dataclass(frozen=True, eq=False)
class Chain:
    """Where a chain ended: a point ``[n_input]`` of the box (float32), whether it meets the case, and how far from that it is."""

    x: Tensor
    found: bool
    deficiency: float


class Annealer:
    """Chains on one graph, towards the cases of one goal.

    Parameters
    ----------
    layers, activations : from the input up, float64; as many activations as layers, or one less
    goal : its cases
    loop : :func:`netproof.attack.annealing.chain.go_on`, compiled or as it is
    """

    def __init__(self, layers: list[Linear], activations: list[Activation], goal: Conditions, loop: Loop) -> None:
        self._layers, self._activations, self._goal, self._loop = layers, activations, goal, loop
        self._columns = layers[0].weight.T.numpy().astype(np.int32)

    @classmethod
    def of(cls, graph: Graph, goal: Conditions, loop: Loop | None) -> Annealer | None:
        """None where the graph is no chain of a few dense layers and activations, or nothing was compiled."""
        layers: list[Linear] = []
        activations: list[Activation] = []
        for index, node in enumerate(graph.nodes[1:], start=1):
            if node.operands != (index - 1,):
                return None
            if isinstance(node.operator, Linear) and len(layers) == len(activations):
                layers.append(node.operator)
            elif isinstance(node.operator, Activation) and len(layers) > len(activations):
                activations.append(node.operator)
            else:
                return None
        sizes = [layer.weight.shape[0] for layer in layers]
        if loop is None or not activations or len(layers) < 2 or max(sizes) > ANNEAL.most_neurons:
            return None
        if len(layers) > ANNEAL.most_layers or float(layers[0].weight.abs().max()) > ANNEAL.most_weight:
            return None
        return cls(layers, activations, goal, loop)

    def anneal(
        self,
        lower: Tensor,
        upper: Tensor,
        x: Tensor,
        case: int,
        proposals: int,
        generator: torch.Generator,
        deadline: float = math.inf,
    ) -> Chain | None:
        """A chain from a point ``[n_input]`` of a box ``[n_input]``, whole numbers, towards a case.

        Staircases harden from ramps to themselves on the way, and the temperature falls. Ends where the case is met, which is as
        the network itself computes but for float32, and when ``clock.now()`` reaches ``deadline``. None where tables would be too
        large.
        """
        ends, goal = self._ends(case)
        tables = self._tables(lower.double(), upper.double(), ends)
        if tables is None:
            return None
        free = (lower < upper).nonzero()[:, 0]
        varied = tuple(part.numpy().astype(np.int32) for part in (free, lower[free], upper[free]))
        point = x.numpy().astype(np.int32)
        a = self._layers[0].forward(x.double()[None])[0].numpy().astype(np.int32)
        stack = _stacked(ends)
        values = np.zeros((2, stack[1].shape[1]), dtype=np.float32)
        random = torch.randint(1, 1 << 32, (1,), generator=generator).numpy()
        found, deficiency = False, math.inf
        stages = ANNEAL.stages if len(free) else 1
        for stage in range(stages):
            share = stage / max(stages - 1, 1)
            temperature = ANNEAL.hottest * (ANNEAL.coldest / ANNEAL.hottest) ** share
            soft = tables.ramps + np.float32(share) * (tables.steps - tables.ramps)
            numbers = proposals // stages if len(free) else 0, temperature, np.float32(ANNEAL.near)
            where = soft, tables.steps, tables.layout
            found, deficiency = self._loop(self._columns, varied, stack, where, goal, point, a, values, random, numbers)
            if found or clock.now() >= deadline:
                break
        return Chain(torch.from_numpy(point).to(x.dtype), bool(found), float(deficiency))

    def closest(
        self,
        lower: Tensor,
        upper: Tensor,
        x: Tensor,
        case: Tensor,
        generator: torch.Generator,
        deadline: float = math.inf,
        most: float = math.inf,
    ) -> Tensor | None:
        """A point at which one of the cases is met, or None, as where there is no case.

        Begins from points ``[B, n_input]``, row ``b`` towards ``case[b]``, the most promising first, and goes on to longer chains, of
        ``most`` proposals, where one came near.
        """
        chosen = dict(zip(case.flip(0).tolist(), x.flip(0), strict=True))  # of each case the first
        towards = list(dict.fromkeys(case.tolist()))[: ANNEAL.cases]
        nearest = math.inf
        for proposals, near in ANNEAL.lengths:
            if not towards or nearest > near or proposals > most or clock.now() >= deadline:
                return None
            ends: list[tuple[float, int]] = []
            for one in towards:
                chain = self.anneal(lower, upper, chosen[one], one, proposals, generator, deadline)
                if chain is None:
                    return None
                if chain.found:
                    return chain.x
                ends.append((chain.deficiency, one))
            nearest, best = min(ends)
            towards = [best]
        return None

    def _ends(self, case: int) -> tuple[list[_Layer], tuple[NDArray[np.float32], int]]:
        """Weights and biases above the first layer, the last as the case looks at it, and how it does."""
        above = [(layer.weight.double(), layer.bias.double()) for layer in self._layers[1:]]
        weight, bias = above[-1]
        if isinstance(self._goal, OrderConditions):
            rows, thresholds, margin = self._goal.compared(case)
            return [*above[:-1], (weight[rows], bias[rows])], (thresholds.float().numpy(), margin)
        coefficients, threshold = self._goal.outputs[case].double(), self._goal.threshold[case].double()
        nothing = np.zeros(0, dtype=np.float32), 0
        if len(self._activations) == len(self._layers):
            return [*above, (coefficients, -threshold)], nothing
        return [*above[:-1], (coefficients @ weight, coefficients @ bias - threshold)], nothing

    def _tables(self, lower: Tensor, upper: Tensor, ends: list[_Layer]) -> _Tables | None:
        """Tables of the activations below the last of these layers, for inputs in a box."""
        first = self._layers[0]
        layers = [(first.weight.double(), first.bias.double()), *ends[:-1]]
        ramps: list[Tensor] = []
        steps: list[Tensor] = []
        layout, start = [], 0
        for operator, (weight, bias) in zip(self._activations, layers, strict=False):
            middle, reach = weight @ ((lower + upper) / 2) + bias, weight.abs() @ ((upper - lower) / 2)
            least, most = float((middle - reach).min().floor()), float((middle + reach).max().ceil())
            shared = all(values.shape[:1] in ((), (1,)) for _, values in operator.parameters())
            features = 1 if shared else len(bias)
            if not max(-least, most) < _MOST or (most - least + 1) * features > ANNEAL.largest:
                return None
            arguments = torch.arange(least, most + 1, dtype=torch.float64)[:, None].expand(-1, features)
            ramp, step = (operator.surrogate(arguments, hardness) for hardness in (0.0, 1.0))
            layout.append((start, 0 if shared else len(ramp), int(least), len(ramp)))
            start += ramp.numel()
            ramps.append(ramp.T.reshape(-1))
            steps.append(step.T.reshape(-1))
            lower, upper = (end.expand(len(bias)) for end in _ends_of(ramp, step))
        return _Tables(torch.cat(ramps).float().numpy(), torch.cat(steps).float().numpy(), np.array(layout, np.int32))


def _ends_of(*values: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each column."""
    every = torch.cat(values)
    return every.amin(0), every.amax(0)


@dataclass(frozen=True, eq=False)
class _Tables:
    """Activations at whole numbers, as ramps and as they are, end to end, and where each lies."""

    ramps: NDArray[np.float32]
    steps: NDArray[np.float32]
    layout: NDArray[np.int32]


def _stacked(ends: list[_Layer]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Layers, padded to one size."""
    sizes = [ends[0][0].shape[1], *(len(bias) for _, bias in ends)]
    most = max(sizes)
    weights, biases = np.zeros((len(ends), most, most), dtype=np.float32), np.zeros((len(ends), most), dtype=np.float32)
    for layer, (weight, bias) in enumerate(ends):
        weights[layer, : weight.shape[0], : weight.shape[1]] = weight.float().numpy()
        biases[layer, : len(bias)] = bias.float().numpy()
    return weights, biases, np.array(sizes, dtype=np.int32)
