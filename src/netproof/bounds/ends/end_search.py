"""Ends of ranges by branch and bound: every end of a feature's range is searched for by splits of its own.

The aim is that of ranges by integer programming (Tjeng et al., ICLR 2019) and of the refinement in alpha-beta-CROWN,
with the bound of this project: alpha- and beta-CROWN on hundreds of parts at once, each a part of the region for *one*
end of *one* feature. What holds on a part is used for nothing but the maximum over all parts of the same end.

Searches go by bounds in float32. What is proven is evaluated in float64 once a part needs no splitting, and at the end for those that
are still open: half of all parts are split again, so that nobody would ever ask for theirs.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.deciding.pace import Pace
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.leaves import Leaves
from netproof.bounds.look_ahead import Tries
from netproof.bounds.loops.point import SignPoint
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import optimize_signs
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.branching import choose_split
from netproof.effort.bounding import END, SplitEffort
from netproof.rows import Slots


class EndSearch:
    """Searches for both ends of the ranges of a graph's outputs, side by side, the worst parts of each first.

    End ``j`` is the largest value of output ``j``, end ``n + j`` that of its negative.

    Parameters
    ----------
    dual : of the graph and the region, float64
    lower, upper : ``[n]``, float64, ranges of the outputs that are known to hold
    side : ``[m]`` int8, the part of the region that is meant, by sides of its unstable features; None for all of it
    memory : bytes that parts waiting to be split may occupy; beyond, the search rests
    device : where multipliers are optimized and splits are chosen; all else is done, and kept, on the CPU

    Attributes
    ----------
    bound : ``[2 n]``, proven upper bounds of all ends, as of the last call
    attained : ``[2 n]``, the largest values seen, as float32 computes them (a guide and no proof)
    count : parts bounded so far
    is_far : whether ends of outputs are searched for that are known to be never negative, too
    """

    def __init__(
        self,
        dual: SignDual,
        lower: Tensor,
        upper: Tensor,
        side: Tensor | None = None,
        memory: int = 256 << 20,
        device: torch.device | str = "cpu",
    ) -> None:
        graph, region = dual.graph, dual.region
        self.is_far = False
        self._slopes: Tensor | None = None
        self._graph, self._dual = graph, dual
        self._dual32 = self._dual.to(torch.float32, device)
        self._rounding = Rounding.of(graph, region)
        self._side = torch.zeros(len(self._dual), dtype=torch.int8) if side is None else side
        self._part = side is not None
        self._memory = memory
        self._n = n = len(lower)
        self._width = (upper - lower).repeat(2)
        self._rows = END.batch.rows(graph, END.tensors)
        self.bound = torch.cat([upper, -lower])
        #: bounds as searches see them
        self._guide = self.bound
        self.attained = torch.full_like(self.bound, -torch.inf)
        self.count = 0
        self._open: Slots[Leaves] = Slots()
        #: the largest bound of parts that were put aside
        self._floor = torch.full_like(self.bound, -torch.inf)
        self._done: list[Leaves] = []
        self._left = 0
        self._started = torch.zeros(2 * n, dtype=torch.bool)
        #: parts whose bounds are not proven, and how long proofs take
        self._unproven, self._pace = 0, Pace()
        self._spent = torch.zeros(2 * n, dtype=torch.int64)
        self._see_points((region.lower + region.upper) / 2)

    @property
    def unstable(self) -> tuple[Tensor, ...]:
        """Of every activation the features whose sign is not known."""
        return self._dual.index

    @property
    def closed(self) -> Tensor:
        """``[2 n]`` bool: ends of outputs of which enough is known, as far as searches see it."""
        return self._known(self._guide)

    def _known(self, bound: Tensor) -> Tensor:
        """``[2 n]`` bool: ends of outputs of which such bounds of all ends tell the sign, and with that all that is wanted."""
        never_positive, never_negative = bound[: self._n] <= 0, bound[self._n :] <= 0
        return (never_positive if self.is_far else never_positive | never_negative).repeat(2)

    def go_far(self) -> None:
        """Search for ends of outputs that are known to be never negative, too, and for all ends to be nearer to what is attained."""
        self.is_far = True

    def begin_with(self, slopes: Tensor | None) -> None:
        """Begin ends with slopes of lower lines, ``[2 n, m]`` float32, NaN where none is known; None for none at all."""
        self._slopes = slopes

    def keep(self, size: int) -> None:
        """Keep so many bytes of parts that are done with, for :meth:`parts`."""
        self._left = size

    def parts(self) -> Leaves | None:
        """What all bounds rest on, parts that cover the region for every end; None where not all of them were kept."""
        if self._left <= 0 or not bool(self._started.any()):
            return None
        return Leaves.concatenate([*self._done, self._open.read(self._open.slots)])

    def tighten(self, wanted: Tensor, deadline: float) -> None:
        """Search for the ends of outputs ``wanted`` ``[n]`` bool, with more and more splits for each, or to the deadline."""
        wanted = wanted.repeat(2)
        most = END.first
        while most <= END.last:
            # Ends beyond 0 where no value has been seen: if they get there, the other end does not matter.
            self._run((wanted & (self.attained < 0)).nonzero()[:, 0], most, deadline)
            seen = self.attained > 0
            both = (seen[: self._n] & seen[self._n :]).repeat(2)
            self._run((wanted & both).nonzero()[:, 0], most, deadline)
            self._run(wanted.nonzero()[:, 0], most // 4, deadline)
            if self._resting(deadline):
                break
            most *= 2
        self._prove()

    def run(self, end: Tensor, most: int, deadline: float) -> None:
        """Search for ends (numbers) until ``most`` parts in all have been split for each, or to the deadline."""
        self._run(end, most, deadline)
        self._prove()

    def _run(self, end: Tensor, most: int, deadline: float) -> None:
        """The same, without a proof of what is open yet."""
        end = end[~self.closed[end]]
        if not len(end):
            return
        new = end[~self._started[end]]
        if len(new):
            self._start(new, deadline)
        allowed = torch.zeros(2 * self._n, dtype=torch.int64)
        allowed[end] = most
        while True:
            target, slots, owner, value = self._settle()
            waiting = (self._spent < allowed)[owner].nonzero()[:, 0]
            if self._resting(deadline):
                return
            if not len(waiting):
                # What is good enough in float32 may not be in float64.
                if not self._prove_enough(1):
                    return
                continue
            picked = slots[waiting[_worst(owner[waiting], value[waiting], max(1, self._rows // 2))]]
            batch = self._open.read(picked)
            self._open.remove(picked)
            self._spent.index_add_(0, batch.owner, torch.ones_like(batch.owner))
            # What steps leave undone adds up from split to split.
            deep = (batch.side != WHOLE).sum(1) >= END.deep
            for some, effort in ((~deep, END.shallowly), (deep, END.deeply)):
                if bool(some.any()):
                    self._split(batch.take(some), target, effort, deadline)

    def _resting(self, deadline: float) -> bool:
        late = time.monotonic() + self._pace.ahead(self._unproven) >= deadline
        return not len(self._open) or self._open.bytes > self._memory or late

    def _target(self) -> Tensor:
        """Parts bounded by this are good enough: the sign is known, or the end is almost attained."""
        near = self.attained + (END.nearer if self.is_far else END.near) * self._width
        known = torch.zeros_like(near)
        if self.is_far:
            known[self._n :] = near[self._n :].clamp(max=0.0)
        return torch.maximum(torch.where(self.attained < 0, known, near), self._floor)

    def _start(self, end: Tensor, deadline: float) -> None:
        """Bound ends on the whole region, as many of them as there is time for."""
        crown, slopes = self._dual32.crown_alpha().cpu(), self._slopes
        steps = END.root_steps if slopes is None else END.warm_steps
        done = 0
        for part in torch.split(end, self._rows):
            if done and time.monotonic() >= deadline:
                break
            done += len(part)
            rows = len(part), len(self._dual32)
            side, beta = self._side.expand(rows).clone(), torch.zeros(rows, dtype=torch.float32)
            alpha = crown.expand(rows).clone() if slopes is None else slopes[part].where(~slopes[part].isnan(), crown)
            whole = Leaves(part, side, alpha, beta, self.bound[part], self.bound[part])
            found = self._bound(whole, steps, self._target(), deadline)
            slots = self._open.add(found)
            if not self._pace.is_known:
                # That tells how much time has to be left for proofs.
                self._prove_some(slots[: END.proven_first])
            with torch.no_grad():
                device = self._dual32.device
                choice, asked = (
                    found.choice().to(torch.float32, device),
                    self._objective(part.to(device), torch.float32),
                )
                self._see(self._dual32.bound(asked, side.to(device), choice.alpha, choice.beta))
        end = end[:done]
        self._started[end] = True
        self._settle()

    def _settle(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take down what all parts together show, and put aside those that need no splitting.

        Returns the targets, and slots, owners and values of the parts that may be split.
        """
        self._prove_enough(max(1, self._rows // 4))
        slots = self._open.slots
        rows = self._open.by_slot
        owner, value, proven = rows.owner[slots], rows.value[slots], rows.proven[slots]
        self._guide = self._worst_of(owner, value)
        target = self._target()
        enough, sure = value <= target[owner], value >= proven
        # Where the sign is known for certain by the other end, what is known of a part will do.
        of_no_use = self._known(self._worst_of(owner, proven))[owner] & (self._guide[owner] > 0)
        done = enough & sure | of_no_use
        self._put_aside(owner[done], proven[done])
        if self._left > 0 and bool(done.any()):
            self._keep(self._open.read(slots[done]))
        self._open.remove(slots[done])
        self._unproven = int((~sure & ~done).sum())
        left = ~enough & ~self.closed[owner] & ~done
        return target, slots[left], owner[left], value[left]

    def _worst_of(self, owner: Tensor, value: Tensor) -> Tensor:
        """Bounds of all ends by those of open parts."""
        worst = self._floor.scatter_reduce(0, owner, value, "amax")
        return torch.where(self._started, torch.minimum(self.bound, worst), self.bound)

    def _prove(self) -> None:
        """Prove the bounds of all open parts, and take down what they prove together."""
        slots = self._open.slots
        if not len(slots):
            self.bound = self._guide = self._worst_of(slots, self.bound[slots])
            return
        rows = self._open.by_slot
        unknown = slots[rows.value[slots] < rows.proven[slots]]
        for some in torch.split(unknown, self._rows) if len(unknown) else ():
            self._prove_some(some)
        self.bound = self._guide = self._worst_of(rows.owner[slots], rows.proven[slots])
        self._settle()

    def _prove_enough(self, least: int) -> bool:
        """Prove the bounds of parts that need no splitting if there are so many; whether there were."""
        slots, rows = self._open.slots, self._open.by_slot
        value = rows.value[slots]
        waiting = (value <= self._target()[rows.owner[slots]]) & (value < rows.proven[slots])
        if int(waiting.sum()) < least:
            return False
        for some in torch.split(slots[waiting], self._rows):
            self._prove_some(some)
        return True

    def _prove_some(self, slots: Tensor) -> None:
        """Prove the bounds of open parts."""
        proven = self._proven(self._open.read(slots))
        rows = self._open.by_slot
        rows.proven[slots] = rows.value[slots] = proven

    def _proven(self, leaves: Leaves) -> Tensor:
        """What the multipliers of parts prove, or what was known of them before: of a part's parent it holds on the part, too."""
        begun, double = time.monotonic(), leaves.choice().to(torch.float64)
        objective = self._objective(leaves.owner, torch.float64)
        value = self._dual.bound(objective, leaves.side, double.alpha, double.beta, self._rounding).value
        self._pace.took(len(leaves), time.monotonic() - begun)
        return torch.minimum(value.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf), leaves.proven)

    def _keep(self, leaves: Leaves) -> None:
        self._left -= leaves.bytes
        self._done = [*self._done, leaves] if self._left > 0 else []

    def _put_aside(self, owner: Tensor, value: Tensor) -> None:
        self._floor = self._floor.scatter_reduce(0, owner, value, "amax")

    def _split(self, batch: Leaves, target: Tensor, effort: SplitEffort, deadline: float) -> None:
        """Bound both halves of every part; what parts without an unstable feature are bounded by is final."""
        owner, goal = self._asked(batch.owner, target)

        def objective(rows: Tensor) -> Objective:
            return self._objective(owner[rows], torch.float32, goal[rows])

        chosen = choose_split(
            self._dual32, objective, batch.side, batch.choice(), Tries(effort.look_ahead, 2 * self._rows)
        )
        self._see(chosen.point)
        feature, splittable = chosen.feature, chosen.splittable
        stuck = batch.take((~splittable).nonzero()[:, 0])
        if len(stuck):
            final = self._bound(stuck, END.leaf_steps, target, deadline)
            proven = self._proven(final)
            final = replace(final, value=proven, proven=proven)
            self._put_aside(final.owner, proven)
            if self._left > 0:
                self._keep(final)
        rows = splittable.nonzero()[:, 0]
        if not len(rows):
            return
        halves, whole = [], batch.take(rows)
        for half in (LEFT, RIGHT):
            one = batch.take(rows)
            at = torch.arange(len(rows)), feature[rows]
            one.side[at] = half
            one.beta[at] = 0.0
            halves.append(one)
        found = self._bound(Leaves.concatenate(halves), effort.steps, target, deadline, chosen.halves)
        # Where a half is no better than the whole, it is the multipliers of the whole that show what is known.
        worse = (found.value.view(2, -1) >= whole.value).any(0) & (whole.value < whole.proven)
        if bool(worse.any()):
            found.proven.view(2, -1)[:, worse] = self._proven(whole.take(worse))
        self._open.add(found)

    def _bound(
        self, leaves: Leaves, steps: int, target: Tensor, deadline: float, begun: SignPoint | None = None
    ) -> Leaves:
        """The same parts with better multipliers, and what float32 makes of them; ``begun`` is what it makes of those they have."""
        self.count += len(leaves)
        owner = leaves.owner
        owner32, goal = self._asked(owner, target)
        choice, value = optimize_signs(
            self._dual32,
            lambda rows, _: self._objective(owner32[rows], torch.float32, goal[rows]),
            leaves.side,
            leaves.choice(),
            Until(steps, -END.margin * float(self._width[owner].median()), deadline),
            begun,
        )
        # Of what float32 cannot hold float64 may know more.
        guide = (value.double() + goal.cpu().double()).where(torch.isfinite(value), -torch.inf)
        return Leaves(owner, leaves.side, choice.alpha, choice.beta, torch.minimum(guide, leaves.value), leaves.proven)

    def _asked(self, owner: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Owners and their targets, as a search in float32 takes them and where it is done."""
        return owner.to(self._dual32.device), target[owner].to(self._dual32.device, torch.float32)

    def _objective(self, end: Tensor, dtype: torch.dtype, goal: Tensor | None = None) -> Objective:
        """The objectives of ends, less a goal where there is one, on the device that the numbers of the ends are on."""
        sign = torch.where(end < self._n, 1.0, -1.0).to(dtype)
        c = sign.new_zeros(len(end), self._n)
        c[torch.arange(len(end), device=end.device), end % self._n] = sign
        constant = sign.new_zeros(len(end)) if goal is None else -goal
        return Objective({len(self._graph.nodes) - 1: c}, constant)

    def _see(self, point: SignPoint) -> None:
        """Evaluate the points at which bounds are attained."""
        region = self._dual32.region
        self._see_points(torch.where(point.input_coefficients > 0, region.upper, region.lower))

    def _see_points(self, x: Tensor) -> None:
        """Evaluate points ``[B, n_input]`` of the region."""
        values = self._dual32.graph.values(x.to(self._dual32.device, torch.float32))
        value = values[-1]
        if self._part:
            operands = [values[self._graph.nodes[i].operands[0]] for i in self._graph.activations]
            a = torch.cat([one[:, which] for one, which in zip(operands, self._dual32.index, strict=True)], 1)
            value = value[(a * self._side.to(a.device) >= 0).all(1)]
            if not len(value):
                return
        largest = torch.cat([value.amax(0), -value.amin(0)]).to(self.attained)
        # What float32 cannot hold is no guide.
        self.attained = torch.maximum(self.attained, torch.where(torch.isfinite(largest), largest, -torch.inf))


def _worst(owner: Tensor, value: Tensor, most: int) -> Tensor:
    """Rows: of every owner the part with the largest value, then the second, until there are enough."""
    order = value.argsort(descending=True, stable=True)
    by_owner = order[owner[order].argsort(stable=True)]
    sorted_owner = owner[by_owner]
    first = torch.ones(len(owner), dtype=torch.bool)
    first[1:] = sorted_owner[1:] != sorted_owner[:-1]
    position = torch.arange(len(owner))
    rank = position - torch.cummax(torch.where(first, position, 0), 0).values
    return by_owner[rank.argsort(stable=True)[:most]]
