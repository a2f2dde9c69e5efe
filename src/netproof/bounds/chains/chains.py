"""Which graphs are chains of dense layers side by side, and their numbers as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from netproof.bounds.chains.kernels import Asked, Layers, Lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear

#: sizes are filled up to a multiple of this, for vector instructions
_LANES = 8


@dataclass(frozen=True, eq=False)
class Chains:
    """A graph whose output is what several chains make of the input, one after the other.

    Attributes
    ----------
    graph : float64
    linear : of every chain the nodes of its linear layers, between which there is nothing but ReLUs; all have the same number
    size : ``N``, at least as large as any layer and the input
    """

    graph: Graph
    linear: tuple[tuple[int, ...], ...]
    size: int

    @classmethod
    def of(cls, graph: Graph) -> Chains | None:
        """The chains of a graph; None where it is made of anything else, or a node is part of several."""
        output = graph.output
        ends = output.operands if isinstance(output.operator, Concatenate) else (len(graph.nodes) - 1,)
        linear = [_chain(graph, end) for end in ends]
        found = tuple(chain for chain in linear if chain is not None)
        if len(found) < len(ends) or len(found[0]) < 2 or any(len(chain) != len(found[0]) for chain in found):
            return None
        nodes = [node for chain in found for node in chain]
        if len(set(nodes)) < len(nodes):
            return None
        widest = max(graph.widest if len(ends) == 1 else 0, *(graph.nodes[i].size for i in (0, *nodes)))
        return cls(graph, found, -(-widest // _LANES) * _LANES)

    def __len__(self) -> int:
        return len(self.linear)

    @property
    def depth(self) -> int:
        """How many linear layers each chain has: ``K``."""
        return len(self.linear[0])

    def layers(self, rounding: Rounding) -> Layers:
        """The numbers, with prices by the account of a region that holds all boxes they are used on.

        The account is of sums by blocks. Here sums are taken one term after the other, and prices are larger by as much as
        there are more roundings: a product and a sum for each of ``N`` terms of an adjoint and of the last sum, a few
        for each layer, and what weights were rounded before.
        """
        shape = (len(self), self.depth, self.size)
        weight, bias, price = np.zeros((*shape, self.size)), np.zeros(shape), np.zeros(shape)
        roundings = 0
        for c, chain in enumerate(self.linear):
            for k, node in enumerate(chain):
                operator = self.graph.nodes[node].operator
                assert isinstance(operator, Linear)
                rows, columns = operator.weight.shape
                weight[c, k, :rows, :columns] = operator.weight.numpy()
                bias[c, k, :rows] = operator.bias.numpy()
                price[c, k, :rows] = rounding.price(node).numpy()
                roundings = max(roundings, operator.roundings)
        whole = gamma(4 * self.size + 8 * self.depth * len(self) + self.graph.terms + roundings + 128)
        more = max(1.0, whole / rounding.gamma)
        across = np.ascontiguousarray(weight.transpose(0, 1, 3, 2))
        return Layers(weight, across, bias, price * more, np.float64(2 * whole))

    def asked(
        self,
        rounding: Rounding,
        layers: Layers,
        outputs: torch.Tensor,
        inputs: torch.Tensor | None,
        threshold: torch.Tensor,
    ) -> Asked:
        """Rows ``outputs @ y + inputs @ x - threshold`` of cases: ``[N, m, n_output]``, ``[N, m, n_input]``, ``[N, m]``."""
        cases, width = threshold.shape
        rows = cases * width
        flat = outputs.reshape(rows, -1)
        by_chain = np.zeros((rows, len(self), self.size))
        error = np.zeros(rows)
        start = 0
        for c, chain in enumerate(self.linear):
            size = self.graph.nodes[chain[-1]].size
            by_chain[:, c, :size] = flat[:, start : start + size].numpy()
            error += np.abs(by_chain[:, c]) @ layers.price[c, -1]
            start += size
        own = np.zeros((rows, self.graph.input.size))
        if inputs is not None:
            own[:] = inputs.reshape(rows, -1).numpy()
            error += np.abs(own) @ rounding.price(0).numpy() * (float(layers.unit) / rounding.gamma)
        case = np.repeat(np.arange(cases), width)
        return Asked(by_chain, own, -threshold.reshape(-1).numpy().copy(), error * (1 + 2.0**-40), case)

    def lines(self) -> Lines:
        """Room for lines on one box."""
        shape = (len(self), self.depth - 1, self.size)
        return Lines(np.zeros(shape), np.zeros(shape), np.zeros((3, *shape)), np.zeros((*shape, self.graph.input.size)))

    def ranges(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        """The ranges of a region's only row: ``[C, K - 1, N]`` each."""
        lower, upper = np.zeros((2, len(self), self.depth - 1, self.size))
        place = {self.graph.nodes[index].operands[0]: k for k, index in enumerate(self.graph.activations)}
        for c, chain in enumerate(self.linear):
            for k, node in enumerate(chain[:-1]):
                size = self.graph.nodes[node].size
                lower[c, k, :size] = region.range_lower[place[node]][0].numpy()
                upper[c, k, :size] = region.range_upper[place[node]][0].numpy()
        return lower, upper


def _chain(graph: Graph, end: int) -> tuple[int, ...] | None:
    """The linear layers that lead from the input to a node, in this order; None where there is anything but ReLUs between them."""
    found = []
    while True:
        node = graph.nodes[end]
        if not isinstance(node.operator, Linear):
            return None
        found.append(end)
        (before,) = node.operands
        if before == 0:
            return tuple(reversed(found))
        if not isinstance(graph.nodes[before].operator, ReLU):
            return None
        (end,) = graph.nodes[before].operands
