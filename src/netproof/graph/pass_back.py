"""Coefficients of node values, passed backwards through a graph to its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from netproof.graph.graph import Graph
from netproof.operators.base import Affine


def pass_back(
    graph: Graph,
    coefficients: Mapping[int, Tensor],
    hand_on: Callable[[int, int, Tensor], Sequence[Tensor | None]],
    past: Mapping[int, int] | None = None,
    beside: dict[int, Tensor] | None = None,
    seen: Callable[[int, Mapping[int, Tensor]], None] | None = None,
) -> Tensor | None:
    """Pass coefficients of node values backwards to the input: what every backward pass has in common.

    Parameters
    ----------
    coefficients : what nodes start with, by index
    hand_on : called with a node's index, how many activations stand before it, and all that the node received;
        returns what it hands to each of its operands, None for nothing. Called from the last node on, for nodes that
        received something.
    past : nodes that hand to another one than their operands, one before these
    beside : where ``hand_on`` leaves what else it hands on, by the index of a node before its own; emptied after each call
    seen : told of every activation that received something, before it hands it on: its number, and what it and nodes before it
        received so far

    Returns
    -------
    what the input received, None where nothing reaches it
    """
    received = dict(coefficients)
    k = len(graph.activations)
    for index in range(len(graph.nodes) - 1, 0, -1):
        node = graph.nodes[index]
        if not isinstance(node.operator, Affine):
            k -= 1
        v = received.get(index)
        if v is None:
            continue
        if seen is not None and not isinstance(node.operator, Affine):
            seen(k, received)
        del received[index]
        shares = hand_on(index, k, v)
        del v
        operands = node.operands if past is None or index not in past else (past[index],)
        for operand, share in zip(operands, shares, strict=True):
            if share is None:
                continue
            received[operand] = received[operand] + share if operand in received else share
        if beside:
            for operand, share in beside.items():
                received[operand] = received[operand] + share if operand in received else share
            beside.clear()
    return received.get(0)
