"""Attack: bring the first layer's pre-activations to the thresholds that they just miss.

A staircase pays at its thresholds alone: of a point that is good for a network without rounding, every neuron of the
first layer wastes the way from its last threshold. Inputs are many and neurons few, and the inputs that hardly matter to the
outputs can move all pre-activations at once: by weighted least squares, the less an input matters the more it moves, again
and again from where the box has cut the moves off. What comes out are real points; :mod:`netproof.attack.lattice` makes
whole numbers of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.envelope.layer import FirstLayer
from netproof.effort.integer import INTEGER_ATTACK


def settle(layer: FirstLayer, lower: Tensor, upper: Tensor, x: Tensor, received: Tensor) -> Tensor:
    """Real points of the boxes near ``x`` ``[B, n]`` whose pre-activations are at thresholds as far as that is cheap.

    Parameters
    ----------
    layer : in the dtype of the points
    lower, upper : ``[n]``, or ``[B, n]``
    received : ``[B, m]``, what every neuron's value is worth; neurons that pay for more go up to a threshold, others down to just
        below one
    """
    if not len(x):
        return x
    lower, upper = lower.expand_as(x), upper.expand_as(x)
    a = x @ layer.weight.T + layer.bias
    between = (a >= layer.after[:, 0]) & (a <= layer.before[:, -1])
    # What a grey level of an input is worth where staircases are ramps.
    worth = ((received * between / layer.step) @ layer.weight).abs()
    worth = torch.where(lower < upper, worth, torch.inf)
    pool = min(INTEGER_ATTACK.settled, x.shape[1])
    price, cheap = worth.topk(pool, largest=False)
    columns = layer.weight.T[cheap]
    low, high, at = lower.gather(1, cheap), upper.gather(1, cheap), x.gather(1, cheap)
    rest = a - (at[:, None] @ columns)[:, 0]
    fixed = torch.isinf(price)
    mean = torch.where(fixed, 0.0, price).mean(1, keepdim=True).clamp(min=1e-9)
    mobility = torch.where(fixed, 0.0, (high - low) / (price + INTEGER_ATTACK.settle_floor * mean))
    # Neurons that are worth little may miss their thresholds.
    slack = INTEGER_ATTACK.settle_slack * mobility.mean(1, keepdim=True) / (received.abs() + 0.5) + 1e-3
    margin = INTEGER_ATTACK.settle_margin * layer.weight.square().sum(0).mean().sqrt()
    brake = torch.ones_like(at)
    for _ in range(INTEGER_ATTACK.settle_rounds):
        a = rest + (at[:, None] @ columns)[:, 0]
        moved = brake * mobility
        normal = (columns.transpose(1, 2) * moved[:, None]) @ columns + torch.diag_embed(slack)
        factor, failed = torch.linalg.cholesky_ex(normal)
        way = _nearest(layer, a, received, margin) - a
        solution = torch.cholesky_solve(way[..., None], factor)
        solution = torch.where((failed == 0)[:, None, None], solution, 0.0)
        new = at + moved * (columns @ solution)[..., 0]
        inside = torch.maximum(torch.minimum(new, high), low)
        brake = torch.where(new == inside, (brake * 1.5).clamp(max=1.0), brake * 0.2)
        at = inside
    return x.scatter(1, cheap, at)


def _nearest(layer: FirstLayer, a: Tensor, received: Tensor, margin: Tensor) -> Tensor:
    """Where each pre-activation should be: at the nearest end of a level that pays, or where it is, beyond the outermost."""
    first, step, top = layer.before[:, 1], layer.step, layer.images.shape[1] - 1
    up = received > 0
    level = torch.where(up, (a - margin - first) / step + 1, (a + 1 + margin - first) / step).round().clamp(0, top)
    start = first + (level - 1) * step + margin
    end = first + level * step - 1 - margin
    # Below the first threshold up means nothing, and above the last one any place is as good.
    start = torch.where(level == 0, a, torch.where(level == top, torch.maximum(a, start), start))
    end = torch.where(level == top, a, torch.where(level == 0, torch.minimum(a, end), end))
    return torch.where(received == 0, a, torch.where(up, start, end))
