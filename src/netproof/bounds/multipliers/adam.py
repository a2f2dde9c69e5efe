"""Adam on a batch of bounds: one loop, whatever it is that is chosen.

Every choice gives a valid bound, so the steps (Kingma and Ba, ICLR 2015) may go where they like, and the best point of each
row is kept. Rows whose bound is as low as it has to be leave the batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.effort.bounding import Rates
from netproof.processes import clock

if TYPE_CHECKING:
    from jaxtyping import Float, Int64


class Parametrization(ABC):
    """A batch of bounds as a function of parameters.

    Attributes
    ----------
    parameters : ``[B, n]`` each; steps replace the entries, and never write into a tensor
    lengths : how far a step moves each parameter: a number, or ``[B, 1]`` for every row its own
    """

    def __init__(
        self, parameters: Sequence[Float[Tensor, "B _"]], lengths: Sequence[float | Float[Tensor, "B 1"]]
    ) -> None:
        self.parameters = list(parameters)
        self.lengths = list(lengths)

    @abstractmethod
    def bound(self, *, onward: bool) -> Float[Tensor, " B"]:
        """The bounds at the parameters, ``[B]``; :meth:`gradient` is asked for afterwards only if ``onward``."""

    @abstractmethod
    def gradient(self) -> Sequence[Float[Tensor, "B _"] | None]:
        """Derivatives of the bounds just given, shaped like the parameters; None for one that none of them depends on."""

    def project(self) -> None:  # noqa: B027 (most may be anything)
        """Called after every step: bring the parameters to where they mean something."""

    def take(self, rows: Int64[Tensor, " _"]) -> None:
        """Go on with these rows alone; the gradient is that of the bounds given before."""
        self.parameters = [part[rows] for part in self.parameters]
        self.lengths = [length[rows] if isinstance(length, Tensor) else length for length in self.lengths]


class ByAutograd(Parametrization):
    """One whose gradient is PyTorch's."""

    _gradient: list[Tensor | None]

    @abstractmethod
    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        """The bounds at other parameters of the same shapes, ``[B]``."""

    def needed(self) -> Sequence[bool]:
        """For each parameter whether bounds can depend on it."""
        return [True] * len(self.parameters)

    def bound(self, *, onward: bool) -> Float[Tensor, " B"]:
        asked = [
            part.detach().requires_grad_(onward and needed)
            for part, needed in zip(self.parameters, self.needed(), strict=True)
        ]
        with torch.set_grad_enabled(onward):
            value = self.value(asked)
        self._gradient = [None] * len(asked)
        # Where nothing that can be chosen lies behind the objective there is no gradient.
        if value.requires_grad:
            which = [i for i, part in enumerate(asked) if part.requires_grad]
            found = torch.autograd.grad(value.sum(), [asked[i] for i in which], allow_unused=True)
            for i, part in zip(which, found, strict=True):
                self._gradient[i] = part
        return value.detach()

    def gradient(self) -> Sequence[Float[Tensor, "B _"] | None]:
        return self._gradient

    def take(self, rows: Int64[Tensor, " _"]) -> None:
        super().take(rows)
        self._gradient = [None if part is None else part[rows] for part in self._gradient]


@dataclass(frozen=True)
class Until:
    """When to stop.

    Attributes
    ----------
    steps : so many at most
    goal : a row with a bound below is done
    deadline : of ``clock.now()``; no step begins that would not end before, with as much time again for what follows
    """

    steps: int
    goal: float = -math.inf
    deadline: float = math.inf


def minimize(
    run: Parametrization, rates: Rates, until: Until
) -> tuple[list[Float[Tensor, "B _"]], Float[Tensor, " B"]]:
    """Lower the bounds of a batch; the best parameters of each row, shaped as they were, and the bounds there, ``[B]``."""
    best = [part.clone() for part in run.parameters]
    moments = _Moments(len(best))
    begun = clock.now()
    reached = run.bound(onward=until.steps > 0)
    value = torch.where(torch.isnan(reached), torch.inf, reached)
    rows = torch.arange(len(value), device=value.device)
    for step in range(until.steps):
        done = value[rows] < until.goal
        count, ended = int(done.sum()), clock.now()
        if count == len(rows) or ended + 2 * (ended - begun) >= until.deadline:
            break
        begun = ended
        if count >= rates.compact * len(rows):
            kept = (~done).nonzero()[:, 0]
            rows = rows[kept]
            run.take(kept)
            moments.take(kept)
        gradient = run.gradient()
        if all(part is None for part in gradient):
            break
        moments.move(run, gradient, rates, step)
        run.project()
        reached = run.bound(onward=step + 1 < until.steps)
        gained = (reached < value[rows]).nonzero()[:, 0]
        target = rows[gained]
        value[target] = reached[gained]
        for part, now in zip(best, run.parameters, strict=True):
            part[target] = now[gained]
    return best, value


class _Moments:
    """Decaying means of the gradient and of its square, from the first gradient of a parameter on."""

    def __init__(self, count: int) -> None:
        self._of: list[tuple[Tensor, Tensor] | None] = [None] * count

    def take(self, rows: Int64[Tensor, " _"]) -> None:
        self._of = [None if both is None else (both[0][rows], both[1][rows]) for both in self._of]

    def move(self, run: Parametrization, gradient: Sequence[Tensor | None], rates: Rates, step: int) -> None:
        """One step, the ``step``-th from 0."""
        shrink = rates.shrink**step
        bias_first, bias_second = 1 - rates.first ** (step + 1), 1 - rates.second ** (step + 1)
        for i, g in enumerate(gradient):
            if g is None:
                continue
            first, second = self._of[i] or (torch.zeros_like(g), torch.zeros_like(g))
            first.mul_(rates.first).add_(g, alpha=1 - rates.first)
            second.mul_(rates.second).addcmul_(g, g, value=1 - rates.second)
            self._of[i] = first, second
            root = second.div(bias_second).sqrt_().add_(rates.tiny)
            length, part = run.lengths[i], run.parameters[i]
            if isinstance(length, Tensor):
                run.parameters[i] = part - first.div(bias_first).div_(root).mul_(shrink * length)
            else:
                run.parameters[i] = part.addcdiv(first, root, value=-length * shrink / bias_first)
