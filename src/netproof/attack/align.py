"""Attack: move single inputs until the integers fall into place.

Where a query is decided by a few units, corners of the box do not do: a witness needs every
accumulator on the right side of its threshold. Simulated annealing over single input values,
with the staircases hardening from ramps to themselves on the way, finds such points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.attack.corners import Goal
from netproof.effort.integer import INTEGER_ATTACK
from netproof.graph.graph import Graph
from netproof.operators.affine.linear import Linear
from netproof.operators.base import Activation, Affine
from netproof.processes import clock


@dataclass(frozen=True, eq=False)
class Alignment:
    """What came of annealing: candidate points (to be replayed exactly) and the smallest deficiency seen."""

    candidates: Tensor
    deficiency: float


def can_align(graph: Graph) -> bool:
    """Whether the first node is a linear layer, which alignment updates incrementally."""
    return (
        len(graph.nodes) > 1
        and isinstance(graph.nodes[1].operator, Linear)
        and all(node.operands and min(node.operands) >= 1 for node in graph.nodes[2:])
    )


def first_layer(graph: Graph) -> Linear:
    """The linear layer that alignment updates; see :func:`can_align`."""
    linear = graph.nodes[1].operator
    assert isinstance(linear, Linear)
    return linear


def align(
    graph: Graph,
    goal: Goal,
    lower: Tensor,
    upper: Tensor,
    x: Tensor,
    case: Tensor,
    generator: torch.Generator,
    steps: int,
    hardening: int,
    deadline: float,
) -> Alignment:
    """Anneal chains from starting points ``x`` ``[B, n_input]`` (integers), row ``b`` towards ``case[b]``.

    So many ``steps``, of ``hardening`` in which staircases would become themselves: while they are soft the chains come
    closest as often as later on.

    Each step proposes changes of single inputs and takes the first that the Metropolis rule
    accepts. Returns as soon as a chain's deficiency is 0 on the network itself, or when
    ``clock.now()`` reaches ``deadline``.
    """
    linear = first_layer(graph)
    columns = linear.weight.T.contiguous()
    free = (lower < upper).nonzero()[:, 0]
    least, width = lower[free], upper[free] - lower[free] + 1
    batch = x.shape[0]
    rows = torch.arange(batch)
    temperature = torch.tensor(INTEGER_ATTACK.temperatures, dtype=x.dtype)[rows % len(INTEGER_ATTACK.temperatures)][
        :, None
    ]
    x = x.clone()
    a = linear.forward(x)
    best = float("inf")
    for step in range(steps):
        if clock.now() >= deadline:
            break
        hardness = min(1.0, 1.15 * step / hardening)
        pick = torch.randint(len(free), (batch, INTEGER_ATTACK.proposals), generator=generator)
        uniform = torch.rand(batch, INTEGER_ATTACK.proposals, generator=generator, dtype=x.dtype)
        feature = free[pick]
        change = least[pick] + (uniform * width[pick]).floor() - x.gather(1, feature)
        change[:, 0] = 0  # the first proposal is to stay
        moved = torch.addcmul(a[:, None], change[..., None], columns[feature])
        energy = goal.deficiency(tail(graph, moved, hardness), case)
        chance = torch.exp((energy[:, :1] - energy) / temperature)
        accepted = torch.rand(batch, INTEGER_ATTACK.proposals, generator=generator, dtype=x.dtype) < chance
        accepted &= change != 0
        chosen = accepted.to(torch.int8).argmax(1)  # 0, to stay, where none is accepted
        x[rows, feature[rows, chosen]] += change[rows, chosen]
        a = moved[rows, chosen]
        if hardness > 0.2:
            true = goal.deficiency(tail(graph, a[:, None], 1.0), case)[:, 0]
            best = min(best, float(true.min()))
            if best <= 0:
                return Alignment(x[true <= 0], best)
    return Alignment(x[:0], best)


def tail(graph: Graph, a: Tensor, hardness: float) -> Tensor:
    """The value a goal looks at, from the first layer's value ``a`` ``[B, M, n_1]``: the operand of a final
    activation, or the output."""
    values = {1: a}
    last = len(graph.nodes) - 1
    for index, node in enumerate(graph.nodes[2:], start=2):
        operands = [values[i] for i in node.operands]
        if isinstance(node.operator, Affine):
            values[index] = node.operator.forward(*operands)
        elif index == last:
            return operands[0]
        else:
            assert isinstance(node.operator, Activation)
            values[index] = node.operator.surrogate(operands[0], hardness)
    return values[last]
