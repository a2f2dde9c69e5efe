"""Numbers that are looked up by whole numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.curve_hull import CurveHull
from netproof.operators.hulls.hull import Hull

if TYPE_CHECKING:
    from jaxtyping import Float

#: places of a table whose rows are looked at for one range; where there are more, nothing is known of what is there
MOST_PLACES = 1 << 10
#: numbers of rows that are kept; what is found beyond is found anew each time
_KEPT = 1 << 24


@dataclass(eq=False)
class _Memory:
    """Rows that were found, by their places; those equal to others are the others."""

    rows: dict[tuple[int, ...], Tensor | None] = field(default_factory=dict)
    equal: dict[bytes, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Table(Activation):
    """The row that stands at whole numbers: ``f(k_1, ..., k_s, 0, ..., 0) = (0, ..., 0, row(trunc k_1, ..., trunc k_s))``.

    The first ``s`` features of the operand are what is looked up, the others of the result what is found; operand and result are
    of one size, as of any activation. A place with no row has no value: NaN, and ranges without ends.

    Nothing is rounded. The hull is the range of every feature, whatever was looked up, so that bounds are good where ranges
    hold one place, or places with equal rows (:mod:`netproof.search.real.tables`).

    Parameters
    ----------
    limits : ``s`` numbers from whose magnitude on there is no value, since runtimes wrap around there
    row : the row at a place, ``[n]`` float64 and finite, or None where there is none; always the same for the same place
    chosen : the features of rows that are wanted, ``[r]``; None for all of them
    memory : of rows that were found, which the parts of a table share
    """

    limits: tuple[float, ...]
    row: Callable[[tuple[int, ...]], Tensor | None]
    chosen: Tensor | None = None
    memory: _Memory = field(default_factory=_Memory, repr=False)
    name = "table"
    coupled = True

    def to(self, dtype: torch.dtype, device: torch.device) -> Table:
        return self

    def describe(self) -> str:
        return f"looked up by {len(self.limits)} whole numbers"

    def at(self, place: tuple[int, ...]) -> Tensor | None:
        """The row at a place, all of it; None where there is none."""
        if any(abs(number) >= limit for number, limit in zip(place, self.limits, strict=True)):
            return None
        if place in self.memory.rows:
            return self.memory.rows[place]
        row = self.row(place)
        if row is not None:
            known = self.memory.equal.get(row.numpy().tobytes())
            if known is None and (len(self.memory.equal) + 1) * row.numel() > _KEPT:
                return row
            row = self.memory.equal.setdefault(row.numpy().tobytes(), row) if known is None else known
        self.memory.rows[place] = row
        return row

    def _found(self, row: Tensor | None, features: int, nothing: float) -> Tensor:
        found = torch.full((features,), nothing, dtype=torch.float64)
        found[: len(self.limits)] = 0.0
        if row is not None:
            found[len(self.limits) :] = row if self.chosen is None else row[self.chosen]
        return found

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        count, features = len(self.limits), a.shape[-1]
        looked_up = a.detach()[..., :count].to("cpu", torch.float64).reshape(-1, count).tolist()
        rows = [
            self.at(tuple(math.trunc(number) for number in numbers)) if all(map(math.isfinite, numbers)) else None
            for numbers in looked_up
        ]
        if not rows:
            return torch.zeros_like(a)
        found = torch.stack([self._found(row, features, math.nan) for row in rows])
        return found.to(a).reshape(a.shape)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        features, count = lower.shape[-1], len(self.limits)
        ends = [end.to("cpu", torch.float64).reshape(-1, features) for end in (lower, upper)]
        known: dict[tuple[tuple[float, float], ...], tuple[Tensor, Tensor]] = {}
        found = []
        for low, high in zip(ends[0][:, :count].tolist(), ends[1][:, :count].tolist(), strict=True):
            sides = tuple(zip(low, high, strict=True))
            if sides not in known:
                known[sides] = self._between(sides, features)
            found.append(known[sides])
        if not found:
            return lower, upper
        least, most = (torch.stack([pair[i] for pair in found]).to(lower).reshape(lower.shape) for i in range(2))
        empty = (lower > upper).any(-1, keepdim=True)
        return torch.where(empty, torch.inf, least), torch.where(empty, -torch.inf, most)

    def _between(self, sides: Sequence[tuple[float, float]], features: int) -> tuple[Tensor, Tensor]:
        """The least and the largest of every feature of the rows between ends."""
        nothing = self._found(None, features, -math.inf), self._found(None, features, math.inf)
        if not all(math.isfinite(end) for side in sides for end in side):
            return nothing
        places = [range(math.trunc(low), math.trunc(high) + 1) for low, high in sides]
        if math.prod(len(some) for some in places) > MOST_PLACES:
            return nothing
        least = most = last = None
        for place in itertools.product(*places):
            row = self.at(place)
            if row is None:
                return nothing
            if row is last:
                continue
            found, last = self._found(row, features, 0.0), row
            least = found if least is None else torch.minimum(least, found)
            most = found if most is None else torch.maximum(most, found)
        return nothing if least is None or most is None else (least, most)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        low, high = self.output_range(lower, upper)
        argument = torch.stack([lower, upper])
        return CurveHull(argument, torch.stack([high, high]), argument, torch.stack([low, low]))

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """NaN: between places there is no number at which both parts would have one less."""
        return torch.full_like(near + lower + upper, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return torch.zeros_like(a)

    def closed(self, features: Tensor, size: int) -> Tensor:
        every: Tensor = torch.unique(torch.cat([torch.arange(len(self.limits)).to(features), features]))
        return every

    def select(self, features: Tensor, size: int) -> Table:
        count = len(self.limits)
        wanted = features[features >= count] - count
        chosen = wanted if self.chosen is None else self.chosen[wanted]
        return Table(self.limits, self.row, chosen, self.memory)

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
