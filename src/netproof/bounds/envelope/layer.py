"""The first layer of a graph on one box: what every pre-activation is made of.

Write ``a_j = w_j . x + b_j`` for the operand of the first activation, affine in the input. Measured from the corner of
the box at which it is least,

    a_j = least_j + sum_i reach_ji z_i,    reach_ji = |w_ji| (U_i - L_i),    0 <= z_i <= 1,

where ``z_i`` is the share of the way that input ``i`` has gone from that corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.effort.envelope import ENVELOPE
from netproof.graph.graph import Arithmetic, Graph
from netproof.operators.activations.staircase import Staircase
from netproof.operators.base import Affine


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The first layer of an integer graph, as dense rows.

    Attributes
    ----------
    node : index of the activation
    weight, bias : ``[m, n]`` and ``[m]``
    before, after : ``[m, K + 1]``, first and last integer at which the staircase is at each of its levels, infinite at the ends
    images : ``[m, K + 1]``, the values there
    step : ``[m]``, the common difference of the thresholds
    """

    node: int
    weight: Tensor
    bias: Tensor
    before: Tensor
    after: Tensor
    images: Tensor
    step: Tensor

    def to(self, dtype: torch.dtype) -> FirstLayer:
        """The same in another dtype (rounded: fit for searching)."""
        tensors = (self.weight, self.bias, self.before, self.after, self.images, self.step)
        return FirstLayer(self.node, *(part.to(dtype) for part in tensors))

    def on_box(self, lower: Tensor, upper: Tensor) -> LayerBox:
        """The layer on a box of one row, ``[1, n]`` each."""
        swing = self.weight * (upper - lower)
        corner = torch.where(self.weight > 0, lower, upper)
        return LayerBox(self, swing, swing.abs(), (self.weight * corner).sum(-1) + self.bias)


@dataclass(frozen=True, eq=False)
class LayerBox:
    """A first layer on a box.

    Attributes
    ----------
    swing : ``[m, n]``, how far each input moves each pre-activation on its way from its lower to its upper end
    reach : ``[m, n]``, the absolute values
    least : ``[m]``, the smallest pre-activations
    """

    layer: FirstLayer
    swing: Tensor
    reach: Tensor
    least: Tensor


def first_layer(graph: Graph) -> FirstLayer | None:
    """The first layer, or None where envelopes do not apply.

    They do where the graph computes integers, everything reads the input through its first activation, a
    staircase with equidistant thresholds, and the layer is of moderate size.
    """
    if graph.arithmetic is not Arithmetic.INTEGER or not graph.activations:
        return None
    node = graph.activations[0]
    staircase = graph.activation(node)
    if not isinstance(staircase, Staircase) or staircase.step is None:
        return None
    if not 1 <= staircase.levels <= ENVELOPE.most_levels:
        return None
    size, inputs = graph.nodes[node].size, graph.input.size
    if size * inputs > ENVELOPE.most_weights or not _only_way(graph, node):
        return None
    rows, bias = torch.eye(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    at = graph.nodes[node].operands[0]
    while at:
        operator = graph.nodes[at].operator
        assert isinstance(operator, Affine)
        bias = bias + operator.offset(rows)
        (rows,) = operator.adjoint(rows)
        (at,) = graph.nodes[at].operands
    channel = torch.arange(size) // (size // staircase.base.shape[0])
    thresholds, base = staircase.thresholds[channel], staircase.base[channel]
    end = thresholds.new_full((size, 1), torch.inf)
    return FirstLayer(
        node,
        rows.contiguous(),
        bias,
        torch.cat([-end, thresholds], 1),
        torch.cat([thresholds - 1, end], 1),
        base[:, None] + torch.arange(staircase.levels + 1, dtype=base.dtype),
        staircase.step[channel],
    )


def _only_way(graph: Graph, node: int) -> bool:
    """Whether a chain of affine nodes of one operand leads from the input to a node, and nothing else reads them."""
    chain = {node}
    at = graph.nodes[node].operands[0]
    while at:
        if not isinstance(graph.nodes[at].operator, Affine) or len(graph.nodes[at].operands) != 1:
            return False
        chain.add(at)
        (at,) = graph.nodes[at].operands
    before = (chain | {0}) - {node}
    return all(i in chain or not before & set(other.operands) for i, other in enumerate(graph.nodes))
