"""What unstable features hand on, with derivatives written out.

It is a few products and sums, of a few hundred numbers a row, and most of all time is spent here and in convolutions. So masks are numbers
(0 and 1: products with them are exact), for a product takes PyTorch a twentieth of what ``where`` takes on a CPU; and the derivatives
of what has two cases are products with masks as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float, Int8, Int64


class Sides(NamedTuple):
    """The parts that are bounded, by sides of unstable features.

    Attributes
    ----------
    sign : ``[B, m]``, -1, 0 or 1
    whole : ``[B, m]``, 1 where there is no split, else 0
    piece : ``[B, m]``, the slope on the side of a split, 0 where there is none
    """

    sign: Float[Tensor, "#B m"]
    whole: Float[Tensor, "#B m"]
    piece: Float[Tensor, "#B m"]

    @classmethod
    def of(cls, side: Int8[Tensor, "#B m"], left: Float[Tensor, " m"], right: Float[Tensor, " m"]) -> Sides:
        """For ``side`` -1, 0 or 1 and the slopes on both sides, all of them finite."""
        sign = side.to(left.dtype)
        on_right, on_left = sign.clamp(min=0), (-sign).clamp(min=0)
        # Sums of which at most one summand is not 0.
        return cls(sign, 1 - on_right - on_left, on_right * right + on_left * left)


def lower_lines(
    alpha: Float[Tensor, "#B m"],
    beta: Float[Tensor, "#B m"],
    ends: tuple[Float[Tensor, " m"], Float[Tensor, " m"]],
    sides: Sides,
) -> tuple[Float[Tensor, "#B m"], Float[Tensor, "#B m"]]:
    """Slopes of lower lines, and what is added to multipliers after a split; differentiable in ``alpha`` and ``beta``.

    Parameters
    ----------
    alpha, beta : brought to where they may be
    ends : the least and the largest slope
    """
    return _LowerLines.apply(alpha, beta, ends, sides)  # type: ignore[no-any-return, no-untyped-call]


class _LowerLines(torch.autograd.Function):
    """At the ends of its range ``alpha`` has the derivative inside: a step that leads out is taken back afterwards."""

    @staticmethod
    def forward(
        ctx: Any, alpha: Tensor, beta: Tensor, ends: tuple[Tensor, Tensor], sides: Sides
    ) -> tuple[Tensor, Tensor]:
        ctx.sides, ctx.shapes = sides, (alpha.shape, beta.shape)
        below = torch.minimum(torch.maximum(alpha, ends[0]), ends[1])
        return below * sides.whole + sides.piece, beta.clamp(min=0) * sides.sign

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        sides, (shape, other) = ctx.sides, ctx.shapes
        alpha = (gradients[0] * sides.whole).sum_to_size(shape) if ctx.needs_input_grad[0] else None
        beta = (gradients[1] * sides.sign).sum_to_size(other) if ctx.needs_input_grad[1] else None
        return alpha, beta, None, None


class Upper(NamedTuple):
    """What does not depend on multipliers of an activation.

    Attributes
    ----------
    above, offset : ``[B, m]``, slopes of upper lines and their values at 0
    planed : ``[B, m]``, 1 where planes are in the place of upper lines, else 0; None where there are none
    closed : ``[n]``, slopes of stable features, 0 at unstable ones
    which : ``[m]``, the unstable features
    """

    above: Float[Tensor, "#B m"]
    offset: Float[Tensor, "#B m"]
    planed: Float[Tensor, "#B m"] | None
    closed: Float[Tensor, " n"]
    which: Int64[Tensor, " m"]


def hand_on(
    v: Float[Tensor, "#B n"],
    below: Float[Tensor, "#B m"],
    added: Float[Tensor, "#B m"],
    upper: Upper,
    raised: Float[Tensor, "#B m"] | None = None,
) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"], Float[Tensor, "B m"], Float[Tensor, "B m"]]:
    """Multipliers of an activation, what its chords add, what its planes are for, and what arrived at unstable features.

    Parameters
    ----------
    v : what arrives at the activation
    below, added : slopes of lower lines, and what is added to multipliers
    raised : what is added to slopes of upper lines

    Returns
    -------
    ``[B, n]``, ``[B]``, ``[B, m]`` (zeros where there are no planes), ``[B, m]``; differentiable in all four, but for the last,
    which has no derivative.
    """
    return _HandOn.apply(v, below, added, raised, upper)  # type: ignore[no-any-return, no-untyped-call]


class _HandOn(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, below: Tensor, added: Tensor, raised: Tensor | None, upper: Upper
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        open_v = v.index_select(1, upper.which)
        up = open_v.clamp(min=0)
        down = open_v - up
        rows = max(len(v), len(below))
        s = v * upper.closed
        if len(s) != rows:
            s = s.expand(rows, -1).clone()
        above = upper.above if raised is None else upper.above + raised
        s.index_copy_(1, upper.which, (up * above + down * below + added).expand(rows, -1))
        ctx.save_for_backward(up, down, below, above)
        ctx.upper, ctx.shapes = upper, (v.shape, added.shape, () if raised is None else raised.shape)
        ctx.mark_non_differentiable(open_v)
        planed = up.new_zeros(()).expand_as(up) if upper.planed is None else up * upper.planed
        return s, feature_sum(up * upper.offset), planed, open_v

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        up, down, below, above = ctx.saved_tensors
        upper, (shape, other, third) = ctx.upper, ctx.shapes
        s, value, planed, _ = gradients
        open_s = s.index_select(1, upper.which)
        v = None
        if ctx.needs_input_grad[0]:
            gained = open_s * (above - below) + value[:, None] * upper.offset
            if upper.planed is not None:
                gained = gained + planed * upper.planed
            open_v = torch.addcmul(open_s * below, up.sign(), gained)
            v = (s * upper.closed).index_copy_(1, upper.which, open_v).sum_to_size(shape)
        lower = (open_s * down).sum_to_size(below.shape) if ctx.needs_input_grad[1] else None
        beside = open_s.sum_to_size(other) if ctx.needs_input_grad[2] else None
        higher = (open_s * up).sum_to_size(third) if ctx.needs_input_grad[3] else None
        return v, lower, beside, higher, None
