"""Attack: steps along the sign of a surrogate gradient, from whole steps of the box down to single grey levels.

Projected sign steps (Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018) on a
network of integers, whose activations have no slopes to speak of: those of surrogates are widened far beyond where they are
nonzero, so that neurons that are saturated still pull, and narrowed as the walk goes on. Which of the many local
optima a walk ends in depends on how wide they are at first, and much less on where it begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.attack.corners import Goal, received_at, surrogate_values
from netproof.effort.integer import INTEGER_ATTACK
from netproof.graph.graph import Graph
from netproof.operators.base import Activation, Affine
from netproof.processes import clock
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Walked(Rows):
    """Where walks came closest.

    Attributes
    ----------
    x : ``[B, n]``, integers of the box
    deficiency : ``[B]``, that of the network itself there
    case, start : ``[B]`` int64, of each walk
    """

    x: Tensor
    deficiency: Tensor
    case: Tensor
    start: Tensor


def sign_walks(
    graph: Graph,
    goal: Goal,
    lower: Tensor,
    upper: Tensor,
    case: Tensor,
    start: Tensor,
    x: Tensor,
    steps: int,
    deadline: float = math.inf,
) -> Walked:
    """Walk from integers ``x`` ``[B, n]`` of the boxes towards cases.

    Parameters
    ----------
    lower, upper : ``[n]``, or ``[B, n]`` where every walk has a box of its own
    start : ``[B]``, numbers that say which of the goal's directions a walk takes, and how wide slopes are
    deadline : walks end when ``clock.now()`` reaches it
    """
    size = INTEGER_ATTACK.corners.rows(graph, INTEGER_ATTACK.corner_tensors)
    parts = []
    for rows in torch.split(torch.arange(len(case)), size):
        ends = [end if end.ndim == 1 else end[rows] for end in (lower, upper)]
        parts.append(_walk(graph, goal, ends[0], ends[1], case[rows], start[rows], x[rows], steps, deadline))
    return Walked.concatenate(parts)


def _walk(
    graph: Graph,
    goal: Goal,
    lower: Tensor,
    upper: Tensor,
    case: Tensor,
    start: Tensor,
    x: Tensor,
    steps: int,
    deadline: float,
) -> Walked:
    pull = {node: v.to(x.dtype) for node, v in goal.gradient(case, start).items()}
    widths = INTEGER_ATTACK.sign_widths
    widest = torch.tensor(widths, dtype=x.dtype)[start % len(widths)][:, None]
    width = upper - lower
    best, closest = x, torch.full((len(x),), torch.inf, dtype=x.dtype)
    for step in range(steps):
        if clock.now() >= deadline:
            break
        left = 1 - step / steps
        soft = surrogate_values(graph, x, 0.0)
        if step:
            best, closest = _closest(graph, goal, case, soft, x, best, closest)
        narrowed = widest * max(0.0, 1 - step / (INTEGER_ATTACK.sign_narrow * steps))
        received = received_at(graph, 0, pull, soft, narrowed)
        length = (width * (INTEGER_ATTACK.sign_first * left + INTEGER_ATTACK.sign_last)).ceil()
        x = torch.maximum(torch.minimum(torch.addcmul(x, length, received.sign()), upper), lower)
    best, closest = _closest(graph, goal, case, surrogate_values(graph, x, 0.0), x, best, closest)
    return Walked(best, closest, case, start)


def _closest(
    graph: Graph, goal: Goal, case: Tensor, soft: list[Tensor], x: Tensor, best: Tensor, closest: Tensor
) -> tuple[Tensor, Tensor]:
    """The better of points and of those that came closest so far."""
    deficiency = goal.deficiency(_watched(graph, soft)[:, None], case)[:, 0]
    nearer = deficiency < closest
    return torch.where(nearer[:, None], x, best), torch.where(nearer, deficiency, closest)


def _watched(graph: Graph, soft: list[Tensor]) -> Tensor:
    """What a goal looks at, the operand of a final activation or the output; up to the first activation values are the network's."""
    last = len(graph.nodes) - 1
    end = graph.output.operands[0] if last in graph.activations else last
    values = list(soft)
    begin = graph.activations[0] if graph.activations else len(values)
    for index in range(begin, end + 1):
        node = graph.nodes[index]
        operands = [values[i] for i in node.operands]
        operator = node.operator
        if isinstance(operator, Affine):
            values[index] = operator.forward(*operands)
        else:
            assert isinstance(operator, Activation)
            values[index] = operator.evaluate(operands[0])
    return values[end]


def received_by_first(graph: Graph, pull: dict[int, Tensor], x: Tensor) -> Tensor:
    """What the first activation receives of a pull on nodes at points ``[B, n]``, with slopes as they are: ``[B, m]``."""
    values = surrogate_values(graph, x, 0.0)
    pull = {node: v.to(x.dtype) for node, v in pull.items()}
    return received_at(graph, graph.activations[0], pull, values, 0.0)
