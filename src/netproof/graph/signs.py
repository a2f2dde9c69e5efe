"""What is known of the signs of values whatever the input is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from netproof.operators.base import Activation, Affine

if TYPE_CHECKING:
    from netproof.graph.graph import Node

#: how far back operands are looked at
_DEPTH = 24


def never_negative(nodes: Sequence[Node], index: int) -> bool:
    """Whether no feature of a node is negative for any input at all: a sum of squares, an exponential, what a ReLU gives.

    False where it is not known.
    """
    return _never_negative(nodes, index, _DEPTH, {})


def _never_negative(nodes: Sequence[Node], index: int, depth: int, known: dict[int, bool]) -> bool:
    if index not in known:
        operands = nodes[index].operands
        above = depth > 0 and all(_never_negative(nodes, operand, depth - 1, known) for operand in operands)
        known[index] = bool(operands) and _keeps_above(nodes, index, above)
    return known[index]


def _filled(nodes: Sequence[Node], index: int, number: float) -> list[torch.Tensor]:
    """One number in the place of all operands of a node."""
    return [torch.full((1, nodes[operand].size), number, dtype=torch.float64) for operand in nodes[index].operands]


def _is_constant(nodes: Sequence[Node], index: int) -> bool:
    """Whether an affine node has the same numbers whatever its operands are, as constants that became nodes have."""
    operator = nodes[index].operator
    return isinstance(operator, Affine) and bool((operator.forward_absolute(*_filled(nodes, index, 1.0)) == 0).all())


def _keeps_above(nodes: Sequence[Node], index: int, above: bool) -> bool:
    """Whether a node is never negative; ``above`` says whether its operands are not."""
    node, operator = nodes[index], nodes[index].operator
    if isinstance(operator, Affine):
        if not any(nodes[operand].operands for operand in node.operands) and _is_constant(nodes, index):
            return bool((operator.forward(*_filled(nodes, index, 0.0)) >= 0).all())
        numbers = (parameter for _, parameter in operator.parameters())
        if not above or not all(bool((parameter >= 0).all()) for parameter in numbers):
            return False
        # Of signs that are no parameters: a difference.
        ones = _filled(nodes, index, 1.0)
        same = operator.forward_linear(*ones) == operator.forward_absolute(*ones)
        return bool((same & (operator.forward(*(0 * one for one in ones)) >= 0)).all())
    if not isinstance(operator, Activation):
        return False
    ends = torch.full((2, node.size), torch.inf, dtype=torch.float64)
    low, _ = operator.output_range(torch.zeros_like(ends[0]) if above else -ends[0], ends[1])
    return bool((low >= 0).all())
