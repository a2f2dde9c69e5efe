"""Alpha- and beta-CROWN: Adam on the multipliers of open features."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.dual import Objective
from netproof.bounds.multipliers.signs import SignDual
from netproof.rows import Rows

_ALPHA_STEP, _BETA_STEP, _WEIGHT_STEP, _DECAY = 0.1, 0.05, 0.1, 0.98
#: rows are dropped from the batch once this share of it is done
_COMPACT_SHARE = 0.2

#: the objective of rows (indices) under weights ``[B, m]`` of their constraints, all of it where the dual is
Mixed = Callable[[Tensor, Tensor], Objective]


@dataclass(frozen=True, eq=False)
class Choice(Rows):
    """What is chosen for every row.

    Attributes
    ----------
    alpha, beta : ``[B, m]`` (:meth:`netproof.bounds.multipliers.signs.SignDual.bound`)
    theta : ``[B, c]``, logarithms of the weights of constraints, up to a constant
    """

    alpha: Tensor
    beta: Tensor
    theta: Tensor

    @property
    def weight(self) -> Tensor:
        return torch.softmax(self.theta, -1)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.alpha, self.beta, self.theta


def optimize_signs(
    dual: SignDual,
    mixed: Mixed,
    side: Tensor,
    start: Choice,
    steps: int,
    *,
    goal: float = 0.0,
    scale: float = 1.0,
    deadline: float = math.inf,
) -> tuple[Choice, Tensor]:
    """Lower the bounds of a batch; rows below ``goal`` are done and leave it.

    The work is done on the dual's device. Returns the best choice of each row and its bound, ``[B]``, on the device
    that ``start`` is on.
    """
    home, side, start = side.device, side.to(dual.device), start.to(start.alpha.dtype, dual.device)
    rows = torch.arange(len(side), device=side.device)
    best = Choice(*(part.clone() for part in start.parts))
    value = torch.full((len(side),), torch.inf, dtype=start.alpha.dtype, device=side.device)
    now = [part.clone() for part in start.parts]
    several = start.theta.shape[1] > 1
    steps = steps if several or start.alpha.shape[1] else 0  # otherwise there is nothing to choose
    first = [torch.zeros_like(part) for part in now]
    second = [torch.zeros_like(part) for part in now]
    lengths = [_ALPHA_STEP, _BETA_STEP, _WEIGHT_STEP]
    part_side = side
    begun = time.monotonic()
    for step in range(steps + 1):
        wanted = [True, bool((part_side != 0).any()), several]
        for part, needed in zip(now, wanted, strict=True):
            part.requires_grad_(needed and step < steps)
        with torch.set_grad_enabled(step < steps):
            objective = mixed(rows, torch.softmax(now[2], -1))
            point = dual.bound(objective, part_side, now[0], now[1])
            gradient: list[Tensor | None] = [None] * 3
            # Where nothing open lies behind the objective there is nothing to choose.
            free = point.value.requires_grad
            if free:
                given = torch.autograd.grad(point.value.sum(), [p for p in now if p.requires_grad], allow_unused=True)
                remaining = iter(given)
                gradient = [next(remaining) if p.requires_grad else None for p in now]
        reached = point.value.detach()
        now = [part.detach() for part in now]
        gained = (reached < value[rows]).nonzero()[:, 0]
        target = rows[gained]
        value[target] = reached[gained]
        for kept, part in zip(best.parts, now, strict=True):
            kept[target] = part[gained]
        done = value[rows] < goal
        # The next step takes as long as this one, and so does what is still to be done with the result.
        ended = time.monotonic()
        if not free or bool(done.all()) or ended + 2 * (ended - begun) >= deadline:
            break
        begun = ended
        with torch.no_grad():
            for i, g in enumerate(gradient):
                if g is None:
                    continue
                first[i].mul_(0.9).add_(g, alpha=0.1)
                second[i].mul_(0.999).addcmul_(g, g, value=0.001)
                length = scale * lengths[i] * _DECAY**step / (1 - 0.9 ** (step + 1))
                root = second[i].div(1 - 0.999 ** (step + 1)).sqrt_().add_(1e-8)
                now[i] = now[i].addcdiv(first[i], root, value=-length)
            now[0] = torch.minimum(torch.maximum(now[0], dual.left), dual.right)
            now[1].clamp_(min=0)
        if float(done.sum()) >= _COMPACT_SHARE * len(rows):
            kept_rows = (~done).nonzero()[:, 0]
            rows, part_side = rows[kept_rows], part_side[kept_rows]
            now, first, second = ([part[kept_rows] for part in parts] for parts in (now, first, second))
    return best.to(value.dtype, home), value.to(home)
