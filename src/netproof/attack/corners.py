"""Attack: follow a surrogate gradient from corner to corner of the input box."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from netproof.attack.ball import BallSteps
from netproof.effort.integer import INTEGER_ATTACK
from netproof.graph.graph import Graph
from netproof.operators.base import Activation, Affine
from netproof.processes import clock


class Goal(Protocol):
    """What an attack tries to bring about at the outputs."""

    def gradient(self, case: Tensor, start: Tensor) -> dict[int, Tensor]:
        """Direction of improvement in node values: node index to ``[B, n]``; ``start`` ``[B]`` numbers the start."""
        ...

    def deficiency(self, value: Tensor, case: Tensor) -> Tensor:
        """How far ``value`` ``[B, M, n]`` (of the output, or the operand of a final activation) is from
        meeting case ``case[b]``: ``[B, M]``, 0 where it meets it."""
        ...


def surrogate_values(graph: Graph, x: Tensor, hardness: float) -> list[Tensor]:
    """Node values with every activation replaced by its surrogate."""
    values = [x]
    for node in graph.nodes[1:]:
        operands = [values[i] for i in node.operands]
        if isinstance(node.operator, Affine):
            values.append(node.operator.forward(*operands))
        else:
            assert isinstance(node.operator, Activation)
            values.append(node.operator.surrogate(operands[0], hardness))
    return values


def corner_search(
    graph: Graph,
    goal: Goal,
    lower: Tensor,
    upper: Tensor,
    case: Tensor,
    generator: torch.Generator,
    steps: int = 50,
    deadline: float = math.inf,
    ball: BallSteps | None = None,
) -> Tensor:
    """Corners of the box that come close to meeting the goal: ``[B, n_input]``, one per entry of ``case``.

    From random corners, repeatedly step to the corner that the gradient points to. The slopes of
    the activations are widened far beyond where they are really nonzero, and narrowed as the
    search goes on, so that saturated neurons still pull. Stops early when ``clock.now()`` reaches ``deadline``. In a ball the
    points are whole ones that go as far as it lets them, instead of corners.
    """
    batch = case.shape[0]
    coin = torch.rand(batch, lower.numel(), generator=generator, dtype=lower.dtype)
    x = torch.where(coin < 0.5, lower, upper)
    # Starts know nothing of one another: of a large graph only so many are kept in memory at a time.
    size = INTEGER_ATTACK.corners.rows(graph, INTEGER_ATTACK.corner_tensors)
    for start in range(0, batch, size):
        part = slice(start, start + size)
        pull = goal.gradient(case[part], torch.arange(start, min(start + size, batch)))
        x[part] = _walk(graph, pull, lower, upper, x[part], steps, deadline, ball)
    return x


def _walk(
    graph: Graph,
    pull: dict[int, Tensor],
    lower: Tensor,
    upper: Tensor,
    x: Tensor,
    steps: int,
    deadline: float,
    ball: BallSteps | None,
) -> Tensor:
    """The corners where walks from corners ``[B, n_input]`` end, pulled in directions of node values."""
    pull = {node: v.to(x.dtype) for node, v in pull.items()}
    for step in range(steps):
        if clock.now() >= deadline:
            break
        widening = max(0.0, 6.0 * (1 - step / (0.7 * steps)))
        values = surrogate_values(graph, x, 0.0)
        received = received_at(graph, 0, pull, values, widening, above=4 * widening)
        corner = torch.where(received > 0, upper, lower) if ball is None else ball.whole(received, lower, upper)
        before, x = x, corner
        if widening == 0 and torch.equal(x, before):
            break  # and would stay there
    return x


def received_at(
    graph: Graph,
    target: int,
    pull: dict[int, Tensor],
    values: list[Tensor],
    widening: float | Tensor,
    *,
    above: float | Tensor | None = None,
) -> Tensor:
    """What a node receives of a pull on nodes above it, ``[B, n]``, through slopes of activations that are widened.

    Parameters
    ----------
    values : of all nodes
    widening : of slopes, in steps of an activation, or ``[B, 1]``
    above : that of all activations but the first, where it is another
    """
    received = dict(pull)
    for index in range(len(graph.nodes) - 1, target, -1):
        node = graph.nodes[index]
        v = received.pop(index, None)
        if v is None:
            continue
        if isinstance(node.operator, Affine):
            passed = node.operator.adjoint(v)
        else:
            assert isinstance(node.operator, Activation)
            width = widening if above is None or index == graph.activations[0] else above
            passed = (node.operator.surrogate_slope(values[node.operands[0]], width) * v,)
        for operand, share in zip(node.operands, passed, strict=True):
            received[operand] = received[operand] + share if operand in received else share
    return received.get(target, torch.zeros_like(values[target]))
