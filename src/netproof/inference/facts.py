"""What is true of every layer of a network of integers whatever the input: widths of sums, dead channels, codes that never come.

By intervals, so that whatever is said to be impossible is; what is said to be possible may not be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.graph.graph import Graph
from netproof.inference.plan import ranges_of
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear

#: what a pair of products is added in where processors multiply bytes by pairs
_PAIR = 1 << 15


@dataclass(frozen=True)
class LayerFacts:
    """A staircase and the map in front of it.

    Attributes
    ----------
    name, operator : of the map; ``linear``, ``convolution``, ``sum``, ...
    least, largest : what its result can be
    width : bits of a signed integer that holds the result
    any_order : bits that hold every partial sum as well, in whatever order products and offset are added; None for maps
        that are no sums of products
    pairs : whether two products of a byte (0 to 255) and a weight can leave 16 bits together, where operands fit into a byte;
        None elsewhere
    channels, dead : how many there are, and how many have one value whatever the input
    codes, unreachable : how many values the staircase has, and how many of them never come
    """

    name: str
    operator: str
    least: int
    largest: int
    width: int
    any_order: int | None
    pairs: bool | None
    channels: int
    dead: int
    codes: int
    unreachable: int


def width_of(least: int, largest: int) -> int:
    """Bits of the narrowest signed integer that holds both: ``-2**(b-1)`` to ``2**(b-1) - 1``."""
    return max(1 + largest.bit_length() if largest >= 0 else 1, 1 + (-least - 1).bit_length() if least < 0 else 1)


def layer_facts(graph: Graph, lower: Tensor, upper: Tensor) -> list[LayerFacts]:
    """Of every staircase that has a map in front, for inputs from ``lower`` to ``upper`` ``[n_input]``."""
    low, high = ranges_of(graph, lower, upper)
    found = []
    for index in graph.activations:
        node = graph.nodes[index]
        staircase, inner = node.operator, node.operands[0]
        if not isinstance(staircase, Staircase):
            continue
        operator = graph.nodes[inner].operator
        least, largest = int(low[inner].min()), int(high[inner].max())
        any_order, pairs = None, None
        if isinstance(operator, Linear | Convolution):
            operand = graph.nodes[inner].operands[0]
            size = torch.maximum(low[operand].abs(), high[operand].abs())
            most = int((operator.forward_absolute(size) + operator.offset_absolute()).max())
            any_order = width_of(-most, most)
            if float(high[operand].max() - low[operand].min()) <= 255:
                pairs = _pairs_leave(operator.weight)
        channels = _channels(staircase, operator, node.size)
        by_channel = low[index].reshape(channels, -1), high[index].reshape(channels, -1)
        base = int(staircase.base.min())
        codes = int(staircase.base.max()) + staircase.levels - base + 1
        met = torch.zeros(codes, dtype=torch.bool)
        for first, last in {(int(a), int(b)) for a, b in zip(low[index].tolist(), high[index].tolist(), strict=True)}:
            met[first - base : last - base + 1] = True
        found.append(
            LayerFacts(
                graph.nodes[inner].name, operator.name, least, largest, width_of(least, largest), any_order, pairs,
                channels, int((by_channel[0] == by_channel[1]).all(1).sum()), codes, int((~met).sum()),
            )
        )  # fmt: skip
    return found


def _channels(staircase: Staircase, operator: object, size: int) -> int:
    if isinstance(operator, Convolution):
        return operator.samples * operator.sample_shape[0]
    return size if isinstance(operator, Linear) else len(staircase.base)


def _pairs_leave(weight: Tensor) -> bool:
    """Whether 255 times the sum of two weights of one output can leave 16 bits."""
    rows = weight.reshape(len(weight), -1)
    if rows.shape[1] == 1:
        rows = torch.cat([rows, torch.zeros_like(rows)], 1)
    most, least = rows.topk(2, 1).values.sum(1), (-rows).topk(2, 1).values.sum(1)
    return bool((255 * most >= _PAIR).any() or (255 * least > _PAIR).any())
