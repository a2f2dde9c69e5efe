"""The dual bound of a piecewise linear graph, with multipliers for unstable features only.

On a small box most features of ReLU layers are affine: their best multiplier is ``slope * v``, and ``phi`` is 0 there.
What is left to choose, to split and to remember is a few hundred numbers among ten thousand. The parametrization is
that of alpha- and beta-CROWN (Xu et al., ICLR 2021; Wang et al., NeurIPS 2021): at an unstable feature

    s = chord * v  where v points to the chord,   s = alpha * v  elsewhere,   alpha between the two slopes,

and after a split to one side of 0, where the function is the line ``slope * a``, ``s = slope * v + beta`` with
``beta >= 0`` on the right side and ``<= 0`` on the left one (so that ``phi`` is 0 again). Every such choice is a
choice of multipliers of :mod:`netproof.bounds.dual`, whose bound this is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import Beside, Maximum, bound_backwards, bound_in_stages, box_maximum
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.joint.pairs import Pairs
from netproof.bounds.loops.compiled import SignLoops
from netproof.bounds.loops.passing import Passing, Pieces
from netproof.bounds.loops.point import SignPoint
from netproof.bounds.multipliers.planes import Planes
from netproof.bounds.multipliers.relaxed import Sides, Upper, hand_on, lower_lines
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Graph
from netproof.operators.hulls.kink_hull import KinkHull
from netproof.operators.sums import feature_product

if TYPE_CHECKING:
    from jaxtyping import Float, Int8, Int64


#: sides of a split: not split, left of 0 (the piece ``left * a``), right of it
WHOLE, LEFT, RIGHT = 0, -1, 1


def is_piecewise_linear(graph: Graph, region: Region) -> bool:
    """Whether every activation is one with a single convex kink at 0 (ReLU, absolute value, leaky ReLU with a slope of at most 1)."""
    for i, low, high in zip(graph.activations, region.range_lower, region.range_upper, strict=True):
        hull = graph.activation(i).hull(low, high)
        if not isinstance(hull, KinkHull) or hull.left > hull.right:
            return False
    return True


@dataclass(frozen=True, eq=False)
class SignDual:
    """The unstable features of a one-row region and how to bound objectives on its parts.

    Attributes
    ----------
    relaxation : in one dtype, on one device
    index : per activation the unstable features, ``[m_k]``
    closed : per activation the slope of every stable feature (anything at unstable ones), ``[n_k]``
    lower, upper : ranges of the unstable features of all activations, one after the other, ``[m]``
    left, right : slopes of the two pieces, ``[m]``
    sizes : numbers of unstable features per activation
    planes : of unstable features of some activations, in place of their chords
    maximum : over the inputs that count, all of the box by default
    pairs : of unstable features of some activations that are bounded together
    loops : by which bounds in float32 on the CPU are computed; None for tensors
    """

    relaxation: Relaxation
    index: tuple[Int64[Tensor, " _"], ...]
    closed: tuple[Float[Tensor, " _"], ...]
    lower: Float[Tensor, " m"]
    upper: Float[Tensor, " m"]
    left: Float[Tensor, " m"]
    right: Float[Tensor, " m"]
    planes: Mapping[int, Planes] = field(default_factory=dict)
    maximum: Maximum = box_maximum
    pairs: Mapping[int, Pairs] = field(default_factory=dict)
    loops: SignLoops | None = None

    @classmethod
    def of(
        cls, graph: Graph, region: Region, maximum: Maximum = box_maximum, loops: SignLoops | None = None
    ) -> SignDual:
        """For a region of one row, on a graph that :func:`is_piecewise_linear`."""
        index, closed, lower, upper, left, right = [], [], [], [], [], []
        for i, range_low, range_high in zip(graph.activations, region.range_lower, region.range_upper, strict=True):
            hull = graph.activation(i).hull(range_low, range_high)
            assert isinstance(hull, KinkHull)
            low, high = range_low[0], range_high[0]
            which = ((low < 0) & (high > 0)).nonzero()[:, 0]
            index.append(which)
            closed.append(torch.where(low + high > 0, low.new_full((), hull.right), low.new_full((), hull.left)))
            lower.append(low[which])
            upper.append(high[which])
            left.append(torch.full_like(lower[-1], hull.left))
            right.append(torch.full_like(lower[-1], hull.right))

        def whole(parts: list[Tensor]) -> Tensor:
            return torch.cat(parts) if parts else region.lower.new_zeros(0)

        relaxation = Relaxation(graph, region)
        known = tuple(index), tuple(closed), whole(lower), whole(upper), whole(left), whole(right)
        return cls(relaxation, *known, maximum=maximum, loops=loops)

    def __len__(self) -> int:
        return self.lower.shape[0]

    @property
    def graph(self) -> Graph:
        return self.relaxation.graph

    @property
    def region(self) -> Region:
        return self.relaxation.region

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.lower.device

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(which) for which in self.index)

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> SignDual:
        """The same in another dtype, for searching, and where that is done."""
        target = torch.device(device)

        def moved(part: Tensor) -> Tensor:
            return part.to(target, dtype)

        return SignDual(
            self.relaxation.to(dtype, target),
            tuple(which.to(target) for which in self.index),
            tuple(map(moved, self.closed)),
            moved(self.lower),
            moved(self.upper),
            moved(self.left),
            moved(self.right),
            {k: planes.to(dtype, target) for k, planes in self.planes.items()},
            self.maximum,
            {k: pairs.to(dtype, target) for k, pairs in self.pairs.items()},
            self.loops,
        )

    def part(self, side: Int8[Tensor, " m"]) -> Region:
        """The region cut to sides of unstable features, ``[m]`` int8."""
        ends = list(itertools.accumulate(self.sizes, initial=0))
        region = self.region
        for k, which in enumerate(self.index):
            mine = side[ends[k] : ends[k + 1]]
            low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
            low[0, which[mine == RIGHT]] = 0.0
            high[0, which[mine == LEFT]] = 0.0
            region = region.with_range(k, low, high)
        return region

    def chords(self) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Slope and value at 0 of the line over each unstable range, ``[m]``."""
        low, high = self.left * self.lower, self.right * self.upper
        slope = (high - low) / (self.upper - self.lower)
        return slope, high - slope * self.upper

    def crown_alpha(self) -> Float[Tensor, " m"]:
        """CROWN's choice of the lower line, ``[m]``."""
        return torch.where(self.lower + self.upper > 0, self.right, self.left)

    @cached_property
    def passing(self) -> Passing | None:
        """Bounds by loops; None where it is to be tensors."""
        plain = self.lower.dtype == torch.float32 and self.device.type == "cpu" and not self.planes and len(self)
        if self.loops is None or not plain:
            return None
        slopes = self.left, self.right
        pieces = Pieces(self.relaxation, self.maximum, self.pairs, self.index, self._only_closed, slopes, self.chords())
        return Passing(pieces, self.loops)

    @cached_property
    def begun(self) -> list[SignDual]:
        """For every activation what is needed to bound objectives of its node and nodes before it."""
        return [
            replace(
                self,
                index=self.index[: k + 1],
                closed=self.closed[: k + 1],
                lower=self.lower[:m],
                upper=self.upper[:m],
                left=self.left[:m],
                right=self.right[:m],
                pairs={j: one for j, one in self.pairs.items() if j <= k},
            )
            for k, m in enumerate(itertools.accumulate(self.sizes))
        ]

    def bound(
        self,
        objective: Objective,
        side: Int8[Tensor, "#B m"],
        alpha: Float[Tensor, "#B m"],
        beta: Float[Tensor, "#B m"],
        rounding: Rounding | None = None,
        stages: dict[int, Objective] | None = None,
    ) -> SignPoint:
        """Bound objectives on parts of the region.

        Parameters
        ----------
        objective : ``B`` rows
        side : ``[B, m]`` int8, the part: ``WHOLE``, ``LEFT`` or ``RIGHT`` for every unstable feature
        alpha : ``[B, m]``, slopes of lower lines; brought between the two slopes
        beta : ``[B, m]``, of at least 0 where a feature is split; brought there. What is added to the slope of the upper line where
            one that is not belongs to a pair, and used nowhere else
        rounding : of a region that holds this one; the value is then an upper bound in real arithmetic
        stages : where to leave what is still to be bounded before every activation, without an account of rounding
        """
        if self.passing is not None and rounding is None and not _asks_for_derivatives(objective, alpha, beta):
            return self.passing.bound(objective, side, alpha, beta, stages)
        chord, offset = self.chords()
        sides = Sides.of(side, self.left, self.right)
        above = sides.whole * chord + sides.piece
        lower = lower_lines(alpha, beta, (self.left, self.right), sides)
        both = [torch.split(part, list(self.sizes), 1) for part in (*lower, above, sides.whole * offset, *sides)]
        raised = torch.split(beta * sides.whole, list(self.sizes), 1) if self.pairs else ()
        arriving = [above.new_zeros(len(above), size) for size in self.sizes]
        impossible: list[Tensor] = []

        def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor | Beside | None]:
            if not len(self.index[k]):
                return v * self.closed[k], None
            below, added, above, offset, sign, whole, piece = (part[k] for part in both)
            if k in self.pairs:
                single = self._single[k]
                upper = Upper(above, offset * single, None, self._only_closed[k], self.index[k])
                s, value, _, arriving[k] = hand_on(v, below, added, upper, raised[k] * (1 - single))
                together, error, none = self._together(k, v, s, sign, rounding)
                if none is not None:
                    impossible.append(none)
                return s, Beside(value + together, {}, error)
            if k not in self.planes:
                upper = Upper(above, offset, None, self._only_closed[k], self.index[k])
                s, value, _, arriving[k] = hand_on(v, below, added, upper)
                return s, value
            upper = Upper(piece, torch.zeros_like(offset), whole, self._only_closed[k], self.index[k])
            s, _, planed, arriving[k] = hand_on(v, below, added, upper)
            planes = self.planes[k]
            error = None if rounding is None else planes.error(planed, rounding)
            return s, Beside(feature_product(planed, planes.offset), planes.shares(planed), error)

        if stages is None:
            lines = bound_backwards(self.relaxation, objective, activate, rounding, maximum=self.maximum)
        else:
            lines, found = bound_in_stages(self.relaxation, objective, activate, self.maximum)
            stages.update(found)
        v = torch.cat(arriving, 1) if arriving else torch.zeros_like(above)
        value = lines.value
        for none in impossible:
            value = value.masked_fill(none, -torch.inf)
        return SignPoint(value, v, lines.coefficients)

    def _together(
        self, k: int, v: Tensor, s: Tensor, sign: Tensor, rounding: Rounding | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What pairs of an activation add to the bound, how far that may be off, and which parts hold no point."""
        pairs = self.pairs[k]
        which = self.index[k][pairs.members]
        own_v, own_s = v.index_select(1, which), s.index_select(1, which)
        value, none = pairs.largest(own_v, own_s, sign[:, pairs.members].to(torch.int8))
        return value, None if rounding is None else pairs.error(own_v, own_s), none

    @cached_property
    def raises(self) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """The least and the largest that is worth adding to slopes of upper lines, ``[m]``; 0 but in pairs."""
        chord, _ = self.chords()
        member = torch.cat(
            [
                1 - self._single[k] if k in self.pairs else self.lower.new_zeros(size)
                for k, size in enumerate(self.sizes)
            ]
        )
        return (self.left - chord) * member, (self.right - chord) * member

    @cached_property
    def _single(self) -> dict[int, Tensor]:
        """Per activation with pairs 1 for unstable features in none of them, else 0."""
        return {
            k: self.lower.new_ones(self.sizes[k]).index_fill(0, pairs.members, 0.0) for k, pairs in self.pairs.items()
        }

    @cached_property
    def _only_closed(self) -> tuple[Tensor, ...]:
        """Slopes of stable features, 0 at unstable ones."""
        return tuple(closed.index_fill(0, which, 0.0) for closed, which in zip(self.closed, self.index, strict=True))


def _asks_for_derivatives(objective: Objective, *multipliers: Tensor) -> bool:
    """Whether PyTorch is to keep what derivatives need."""
    given = *multipliers, objective.constant, *objective.coefficients.values()
    return torch.is_grad_enabled() and any(part.requires_grad for part in given)
