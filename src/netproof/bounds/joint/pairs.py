"""Two unstable features bounded together, in place of a hull for each.

With multipliers ``s`` the bound has at every unstable feature ``phi = max { v f(a) - s a : l <= a <= u }``
(:mod:`netproof.bounds.dual`). Two of them together are never more than

    phi(v, s) = max { v_1 f(a_1) - s_1 a_1 + v_2 f(a_2) - s_2 a_2 : (a_1, a_2) in an octagon },

and often much less: the ends of both ranges are seldom attained at once, but there is where both chords are tight. (Convex hulls of
several ReLUs together are those of Singh et al., *Beyond the Single Neuron Convex Barrier for Neural Network Certification*, NeurIPS 2019,
and Mueller et al., *PRIMA*, POPL 2022; Ferrari et al., ICLR 2022, give their facets multipliers in branch and bound. Here the hull is never
written down: its support function is all that a bound needs.) As ``f`` is linear on both sides of 0, the maximum is attained at a
corner (:mod:`netproof.bounds.joint.corners`), whatever the signs of ``v`` are; after a split, at one on that side.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from netproof.effort.bounding import PAIR
from netproof.graph.rounding import gamma

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int8, Int64

#: more than nothing, in float32
_TINY = 1e-30
#: exponents below are as good as none, and what is smaller yet is no normal float32, with which everything is slow
_NONE = -60.0


class PairEnds(NamedTuple):
    """How far sums and differences of pairs reach, and by which slopes that was found.

    Attributes
    ----------
    largest : ``[P, 4]`` float64, the largest values of ``a + b``, ``-a - b``, ``a - b``, ``b - a``
    slope : ``[P, 4, m]`` float32, of lower lines of all unstable features of the activations before, one after the other
    """

    largest: Float64[Tensor, "P 4"]
    slope: Float[Tensor, "P 4 m"]


class Pairs:
    """Pairs of unstable features of one activation, no feature in two of them.

    Parameters
    ----------
    members : ``[2 P]``, first all first features, then all second ones, by their numbers among the unstable ones of the activation
    corners : ``[P, C, 2]``
    slopes : left and right slope of ``f``, ``[2 P]`` each
    ends : where it is recorded, how corners were found
    """

    def __init__(
        self,
        members: Int64[Tensor, " n"],
        corners: Float[Tensor, "P C 2"],
        slopes: tuple[Float[Tensor, " n"], Float[Tensor, " n"]],
        ends: PairEnds | None = None,
    ) -> None:
        self.members, self.corners, self.slopes, self.ends = members, corners, slopes, ends

    def __len__(self) -> int:
        return len(self.corners)

    def to(self, dtype: torch.dtype, device: torch.device) -> Pairs:
        left, right = (part.to(device, dtype) for part in self.slopes)
        return Pairs(self.members.to(device), self.corners.to(device, dtype), (left, right))

    def largest(
        self, v: Float[Tensor, "B n"], s: Float[Tensor, "B n"], side: Int8[Tensor, "#B n"]
    ) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"] | None]:
        """The sum of ``phi`` of all pairs ``[B]``, differentiable in ``v`` and ``s`` of the members, and which parts hold no point.

        ``side`` are the sides that members are split to. None where nothing is split.
        """
        banned = self._banned(side) if bool(side.any()) else None
        value = _Largest.apply(v, s, self.table, banned)  # type: ignore[no-untyped-call]
        return value, None if banned is None else banned.all(1).any(0).expand(len(value))

    def error(self, v: Float64[Tensor, "B n"], s: Float64[Tensor, "B n"]) -> Float64[Tensor, " B"]:
        """What rounding can have taken from :meth:`largest` for these very numbers: ``[B]``."""
        size = self.corners.abs().amax(1).T.reshape(-1)
        steep = torch.maximum(*(slope.abs() for slope in self.slopes))
        return 2 * gamma(len(size) + 16) * (v.abs() @ (steep * size) + s.abs() @ size)

    @cached_property
    def table(self) -> Float[Tensor, "P 4 C"]:
        """What ``v_1, v_2, -s_1, -s_2`` are multiplied with at every corner."""
        left, right = (part.view(2, len(self)).T[:, None] for part in self.slopes)
        image = torch.maximum(left * self.corners, right * self.corners)
        return torch.cat([image, self.corners], 2).transpose(1, 2).contiguous()

    def _banned(self, side: Int8[Tensor, "#B n"]) -> Bool[Tensor, "P C B"]:
        """Which corners are on the other side of a split."""
        sign = self.corners.sign().to(torch.int8)
        sides = side.view(len(side), 2, len(self)).permute(1, 2, 0)  # [2, P, B]
        first, second = (sign[:, :, i, None] * sides[i][:, None] < 0 for i in range(2))
        return first | second


class _Largest(torch.autograd.Function):
    """The largest value at any corner. Its derivative is smoothed: where a pair is bounded best several corners are equal, and steps by
    the derivative of one of them go back and forth."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, s: Tensor, table: Tensor, banned: Tensor | None) -> Tensor:
        rows = 0 if 0 in (len(v), len(s)) else max(len(v), len(s))
        both = torch.cat([part.expand(rows, -1).view(rows, 2, len(table)) for part in (v, -s)], 1).permute(2, 1, 0)
        # [P, C, B]: rows last, as reductions over a few numbers that lie together are slow
        value = torch.bmm(table.transpose(1, 2), both)
        if banned is not None:
            value = value.masked_fill(banned & ~banned.all(1, keepdim=True), -torch.inf)
        largest = value.amax(1, keepdim=True)
        if any(ctx.needs_input_grad[:2]):
            weight = value.sub_(largest).div_(PAIR.smoothed * largest.abs() + _TINY).clamp_(min=_NONE).exp_()
            ctx.save_for_backward(table, weight)
            ctx.shapes = v.shape, s.shape
        return largest[:, 0].sum(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, weight = ctx.saved_tensors
        pairs, rows = weight.shape[0], weight.shape[2]
        mean = torch.bmm(table, weight) * (gradients[0] / weight.sum(1, keepdim=True))
        of_v, of_s = mean.permute(2, 1, 0).reshape(rows, 2, 2 * pairs).unbind(1)
        return of_v.sum_to_size(ctx.shapes[0]), -of_s.sum_to_size(ctx.shapes[1]), None, None
