"""Branch and bound over the input box, for networks with few inputs (Wang et al., USENIX Security 2018).

Boxes are bounded in batches by CROWN with ranges of their own, and split in half where their bounds depend most on
an input. Boxes are cheap, and one with many unstable features is split at once. Where that closes little it would take too many halvings
until linear forms alone are tight, with more inputs and in deep networks in which forms lose much: from then on the ranges of every
box are refined, on top of those that its parent knew.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.backward import Lines, box_maximum
from netproof.bounds.boxes import box_lines, refine_with_account
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.intervals import interval_bound
from netproof.bounds.look_ahead import look_ahead
from netproof.bounds.multipliers.mixture import best_mixture
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import Form, form_ranges, ranges_and_forms, varying_inputs
from netproof.bounds.ranges.refine import refine_ranges, unstable_features
from netproof.bounds.region import Region, box_region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.real import BOX, TOUCH
from netproof.query import Verdict
from netproof.rows import Rows
from netproof.search.branching import Split
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Grounds, Means, one_constraint, split_cases
from netproof.search.real.problem import Problem
from netproof.search.tree import DepthFirst

#: more than what underflow takes from a distance
_TINY = 2.0**-500
#: why a search ends that is to go on otherwise
DO_NOT_CLOSE = "boxes do not close"


@dataclass(frozen=True, eq=False)
class Boxes(Rows):
    """Open boxes with the ranges known in them, the cases open there ``[B, N]`` bool, the largest bound, how often they were
    split, and the nodes ``[B, N]`` of boxes and cases in the record, if there is one; while they are bounded, the forms of factors."""

    region: Region
    cases: Tensor
    value: Tensor
    depth: Tensor
    node: Tensor | None = None
    forms: tuple[Form | None, ...] | None = None

    def __len__(self) -> int:
        return self.value.shape[0]

    @property
    def case(self) -> Tensor:
        """The cases that are open in any of the boxes, by their numbers."""
        return self.cases.any(0).nonzero()[:, 0]


class InputSplit:
    """Search on one query, all of it in float64 on the CPU."""

    def __init__(self, problem: Problem) -> None:
        self._graph = problem.graph
        self._constraints = problem.constraints
        self._attack = problem.attack
        self._touch = problem.touch
        self._record = problem.record
        #: what bounds near 0 are compared with
        self._size = 1 + float(problem.constraints.threshold.abs().max())
        graph, constraints = problem.graph, problem.constraints
        #: constraints that differ, coefficients and thresholds, and which of them every constraint of every case is
        self._different, self._which = _different(constraints)
        #: boxes on which all constraints are bounded at once, and boxes whose ranges are refined besides
        self._portion = BOX.bounded.rows(graph, self._different.shape[0])
        widest = max((graph.nodes[index].size for index in graph.activations), default=1)
        self._batch = min(self._portion, BOX.refined.rows(graph, 2 * min(widest, BOX.refined_features)))
        # Depth first, which keeps few boxes open: all have to be refuted in any order.
        self._tree: DepthFirst[Boxes] = DepthFirst(
            problem.memory, problem.record, stuck="a box cannot be split any further"
        )
        #: the account of rounding on the whole region
        self._rounding: Rounding | None = None
        #: whether that account adds next to nothing to the bounds of the whole region, so that parts need none of their own
        self._negligible: bool | None = None
        #: whether boxes with many unstable features get ranges of their own; None until some boxes have shown how far halving gets
        self._refining: bool | None = None

    def run(
        self, region: Region, case: Tensor, deadline: float, patience: float = math.inf, most: float = math.inf
    ) -> Outcome:
        """Decide cases (numbers) on a region of one row, or stop when ``time.monotonic()`` reaches ``deadline``.

        At ``patience``, and after ``most`` boxes, it stops too, for the reason :data:`DO_NOT_CLOSE`, unless a quarter of the region is
        closed by then.
        """
        self._rounding = Rounding.of(self._graph, region)
        cases = torch.zeros(1, len(self._constraints), dtype=torch.bool)
        cases[0, case] = True
        node = None
        if self._record is not None:
            node = torch.zeros_like(cases, dtype=torch.int64)
            node[0, case] = self._record.root(case, region)
        infinite = torch.full((1,), torch.inf, dtype=torch.float64)
        whole = Boxes(region, cases, infinite, torch.zeros(1, dtype=torch.float32), node)
        self._refining = None
        self._tree.add(whole)

        def judge() -> Outcome | None:
            if self._refining is None and self._tree.count >= BOX.formed:
                self._refining = self._tree.total(_volume) > 1 - BOX.worth and self._is_worth_refining(whole)
                # What is recorded goes on from its parts.
                if self._refining and self._record is None:
                    self._tree.begin_again(whole)
            late = time.monotonic() >= patience or self._tree.count >= most
            if late and self._tree.total(_volume) > 1 - BOX.worth:
                return self._tree.undecided(Verdict.UNKNOWN, DO_NOT_CLOSE)
            return None

        return self._tree.search(lambda batch: self._step(batch, deadline), self._batch, deadline, judge)

    def _step(self, batch: Boxes, deadline: float) -> Outcome | None:
        """Bound boxes, and halve those that stay open."""
        left, score, found = self._bound(batch, deadline)
        if found is not None or not len(left):
            return found
        narrow = left.region.upper - left.region.lower <= BOX.narrow * (1 + left.region.upper.abs())
        if bool(narrow.all(1).any()):
            self._tree.put_aside(left.case, left.value)
            return self._tree.stuck()
        split = _split(left, torch.where(narrow, -torch.inf, score))
        halves = _halves(left, split)
        if self._record is not None and left.node is not None:
            halves = replace(halves, node=split_cases(self._record, left.node, left.cases, split))
        self._tree.add(halves)
        return None

    def _bound(self, batch: Boxes, deadline: float) -> tuple[Boxes, Tensor, Outcome | None]:
        """The boxes that stay open, with scores ``[B, n_input]`` of splitting their inputs, or a witness."""
        self._tree.count += len(batch)
        region, forms = self._formed(propagate_intervals(self._graph, batch.region))
        # Until ranges are refined the account of the whole region will do, where it allows of any bound.
        rounding = self._rounding
        if rounding is None or not rounding.total_magnitude < math.inf:
            rounding = Rounding.of(self._graph, region)
        left, slopes = self._close(self._cut(replace(batch, forms=forms), region, Means.FORMS), rounding)
        graph = self._graph
        small = self._unstable(left.region) <= BOX.most_features
        # The ranges of the whole box are refined already.
        many = ~small & bool(self._refining) & (left.depth > 0)
        if time.monotonic() >= deadline:
            small, many = torch.zeros_like(small), torch.zeros_like(many)
        rows = (~small & ~many).nonzero()[:, 0]
        parts = [(left.take(rows), slopes[rows])]
        rows = small.nonzero()[:, 0]
        if len(rows):
            part = left.take(rows)
            region, refined = refine_with_account(graph, part.region, rounding if self._negligible else None)
            if part.forms is not None:
                # Of what is left of the boxes.
                region, forms = self._formed(region)
                part = replace(part, forms=forms)
            parts.append(self._close(self._cut(part, region, Means.CROWN), refined))
        # Boxes with many unstable features have too many objectives to be bounded side by side.
        for row in many.nonzero():
            part = left.take(row)
            region = refine_ranges(graph, part.region, deadline, form_ranges)
            parts.append(self._close(self._cut(part, region, Means.CROWN), Rounding.of(graph, region)))
        left, slopes = Boxes.concatenate([part for part, _ in parts]), torch.cat([part for _, part in parts])
        strict = self._touch is not None and self._touch.is_strict
        if strict:
            left, slopes = self._touched(left, slopes, deadline)
        if self._attack is not None and len(left):
            witness = self._try(left, slopes)
            if witness is not None:
                return left, slopes, witness
        if not strict:  # equality refutes nothing: what is no witness is left to rational numbers
            left, slopes = self._touched(left, slopes, deadline)
        return left, self._scores(left, slopes, rounding), None

    def _unstable(self, region: Region) -> Tensor:
        """How many features are unstable in each row: ``[B]``."""
        count = torch.zeros(len(region), dtype=torch.int64)
        for k in range(len(self._graph.activations)):
            count = count + unstable_features(self._graph, region, k).sum(1)
        return count

    def _is_worth_refining(self, whole: Boxes) -> bool:
        """Whether boxes halved until linear forms say as much as the refined ranges of the region do would cost more than such ranges.

        Forms are of second order: with boxes half as wide in each of ``V`` inputs, ``2^V`` times as many, their bound falls to about a
        quarter. A box costs them a pass for each input and one more, and refined ranges two for each unstable feature.
        """
        features, varying = int(self._unstable(whole.region).max()), varying_inputs(whole.region)
        if features <= BOX.most_features or self._rounding is None:
            return False
        if varying > BOX.few_inputs:
            return True
        plain = box_region(self._graph, whole.region.lower, whole.region.upper)
        refined = float(self._value(whole, self._rounding))
        formed = float(self._value(replace(whole, region=plain), Rounding.of(self._graph, plain)))
        if not refined < formed:
            return False
        halvings = varying * math.log(formed / refined, 4) if 0 < refined < formed < math.inf else math.inf
        return halvings > math.log2(2 * features / (varying + 1))

    def _touched(self, left: Boxes, slopes: Tensor, deadline: float) -> tuple[Boxes, Tensor]:
        """The boxes without those in which every open case is refuted in rational numbers, by a bound of 0 or next to it."""
        if self._touch is None:
            return left, slopes
        close = left.value <= BOX.touches * self._size
        kept = torch.ones(len(left), dtype=torch.bool)
        for row in close.nonzero()[: BOX.touched, 0].tolist():
            cases = left.cases[row].nonzero()[:, 0].tolist()
            kept[row] = not all(self._touch.refutes(left.region, row, cases, deadline, TOUCH.bends))
        if self._record is not None:
            self._refuted(left, left.cases & ~kept[:, None], Means.FRACTIONS)
        return left.take(kept), slopes[kept]

    def _scores(self, left: Boxes, slopes: Tensor, rounding: Rounding) -> Tensor:
        """How good it is to split each input: the best few by the reach of the lines are tried out."""
        width = left.region.upper - left.region.lower
        score = _reach(slopes, width)
        score = torch.where(left.cases[..., None], score, 0.0).sum(1)
        # On every other level only; on those between, the reach of the lines decides alone.
        at = (left.depth % 2 == 0).nonzero()[:, 0]
        tried = min(BOX.look_ahead, score.shape[1])
        if tried < 2 or not len(at):
            return score
        best, candidates = score[at].topk(tried, 1)

        def bound_halves(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
            one = torch.zeros(len(row), score.shape[1], dtype=score.dtype)
            one[torch.arange(len(row)), candidates[row, column]] = 1.0
            tried = left.take(at[row])
            value = self._value(_halves(tried, _split(tried, one)), rounding)
            return value[: len(row)], value[len(row) :]

        gain = -look_ahead(best > 0, bound_halves, max(1, self._portion // 2))
        score[at] = torch.full_like(score[at], -torch.inf).scatter(1, candidates, gain)
        return score

    def _value(self, batch: Boxes, rounding: Rounding) -> Tensor:
        """The largest bound of any open case by single constraints, with ranges of linear forms: ``[B]``."""
        constraints = self._constraints
        boxes, number, width = len(batch), len(constraints), constraints.width
        region, forms = self._formed(batch.region)
        lines = self._lines(Relaxation(self._graph, region, forms), rounding)
        value = lines.value.view(boxes, number, width).amin(-1)
        return torch.where(batch.cases, value, -torch.inf).amax(1)

    def _formed(self, region: Region) -> tuple[Region, tuple[Form | None, ...] | None]:
        """Ranges by linear forms, and those of factors; not where it is recorded, since certificates bound product by product."""
        if self._record is not None:
            return form_ranges(self._graph, region), None
        return ranges_and_forms(self._graph, region)

    def _lines(self, relaxation: Relaxation, rounding: Rounding) -> Lines:
        """CROWN's lines of every constraint on every box, ``N m`` objectives each."""
        lines = box_lines(relaxation, self._objectives(len(relaxation)), rounding)
        coefficients = lines.coefficients.expand(*lines.value.shape, -1)
        return Lines(
            *(part[:, self._which] for part in (lines.value, coefficients, lines.constant.expand_as(lines.value)))
        )

    def _objectives(self, boxes: int) -> Objective:
        """Every constraint that differs on every box: coefficients ``[B, R, n]`` by node, constants ``[B, R]``."""
        last, size = self._constraints.last, self._graph.output.size
        outputs, inputs, threshold = self._different[:, :size], self._different[:, size:-1], self._different[:, -1]
        coefficients = {last: outputs.expand(boxes, -1, -1)}
        if self._constraints.inputs is not None:
            coefficients[0] = inputs.expand(boxes, -1, -1)
        return Objective(coefficients, -threshold.expand(boxes, -1))

    def _flat(self, region: Region, rounding: Rounding) -> Tensor:
        """The bounds of intervals, which CROWN's fixed slopes can be above along a kink: ``[B, N, m]``, by single constraints."""
        value = interval_bound(Relaxation(self._graph, region), self._objectives(len(region)), rounding)
        return value[:, self._which].view(len(region), len(self._constraints), self._constraints.width)

    def _cut(self, batch: Boxes, region: Region, means: Means) -> Boxes:
        """The boxes with other ranges."""
        if self._record is not None and batch.node is not None:
            box, _ = batch.cases.nonzero(as_tuple=True)
            self._record.reduction(batch.node[batch.cases], batch.region.take(box), region.take(box), Grounds(means))
        return replace(batch, region=region)

    def _refuted(self, batch: Boxes, which: Tensor, means: Means, weight: Tensor | None = None) -> None:
        """Take down that cases ``which`` ``[B, N]`` bool are refuted in boxes, by weights ``[B, N, m]`` of their constraints."""
        if self._record is not None and batch.node is not None:
            self._record.leaf(batch.node[which], Grounds(means, None if weight is None else weight[which]))

    def _close(self, batch: Boxes, rounding: Rounding) -> tuple[Boxes, Tensor]:
        """The boxes that CROWN leaves open with given ranges, and the slopes ``[B, N, m, n_input]`` of their lines."""
        empty = batch.region.empty()
        if bool(empty.any()):
            self._refuted(batch, batch.cases & empty[:, None], Means.EMPTY)
            batch = batch.take(~empty)
        region = batch.region
        constraints, width = self._constraints, self._constraints.width
        boxes, number = len(region), len(constraints)
        relaxation = Relaxation(self._graph, region, batch.forms)
        lines = self._lines(relaxation, rounding)
        if self._negligible is None:
            plain = box_maximum(lines.constant, lines.coefficients, region)
            self._negligible = bool((lines.value - plain <= BOX.negligible * plain.abs()).all())
        single = lines.value.view(boxes, number, width)
        value = single.amin(-1)
        cases = batch.cases & (value >= 0)
        if self._record is not None:
            self._refuted(batch, batch.cases & ~cases, Means.CROWN, one_constraint(single))
        open_rows = cases.any(1).nonzero()[:, 0]
        if len(open_rows):
            part = batch.take(open_rows)
            flat = self._flat(part.region, rounding)
            value[open_rows] = torch.minimum(value[open_rows], flat.amin(-1))
            if self._record is not None:
                self._refuted(part, cases[open_rows] & ~(value[open_rows] >= 0), Means.INTERVALS, one_constraint(flat))
            cases = cases & (value >= 0)
        if width > 1 and bool(cases.any()):
            before = cases
            cases, value, weight = self._mix(relaxation, rounding, lines, cases, value)
            if self._record is not None:
                self._refuted(batch, before & ~cases, Means.CROWN, weight)
        slopes = lines.coefficients.view(boxes, number, width, -1)
        if self._record is None and bool(cases.any()):
            region, cases = _confined(region, cases, slopes, single)
        rows = cases.any(1).nonzero()[:, 0]
        largest = torch.where(cases, value, -torch.inf).amax(1)[rows]
        node = None if batch.node is None else batch.node[rows]
        forms = None if batch.forms is None else tuple(one if one is None else one.take(rows) for one in batch.forms)
        left = Boxes(region.take(rows), cases[rows], largest, batch.depth[rows], node, forms)
        return left, slopes[rows]

    def _mix(
        self, relaxation: Relaxation, rounding: Rounding, single: Lines, cases: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refute conjunctions by mixtures of their constraints, whose single lines are known; the weights ``[B, N, m]``, too."""
        box, case = cases.nonzero(as_tuple=True)
        width = self._constraints.width
        shape = (len(relaxation), len(self._constraints), width)
        part = relaxation.take(box)
        weight = best_mixture(
            single.coefficients.view(*shape, -1)[box, case],
            single.constant.view(shape)[box, case],
            part.region.lower,
            part.region.upper,
        )
        objective = self._constraints.mixed(case, weight)
        each = Objective({node: c[:, None] for node, c in objective.coefficients.items()}, objective.constant[:, None])
        lines = box_lines(part, each, rounding)
        mixed = lines.value[:, 0] + self._constraints.mixing_error(case, weight, rounding)
        value = value.clone()
        value[box, case] = torch.minimum(value[box, case], torch.where(torch.isfinite(mixed), mixed, torch.inf))
        weights = weight.new_zeros(shape)
        weights[box, case] = weight
        return cases & (value >= 0), value, weights

    def _try(self, left: Boxes, slopes: Tensor) -> Outcome | None:
        """Try the maximizers and the centre of each box."""
        assert self._attack is not None
        case = left.cases.to(torch.int8).argmax(1)
        low, high = left.region.lower, left.region.upper
        mean = slopes[torch.arange(len(left)), case].mean(1)
        points = torch.cat([torch.where(mean > 0, high, low), (low + high) / 2])
        witness = self._attack.try_points(points, case.repeat(2))
        return None if witness is None else self._tree.sat(witness)


def _reach(slopes: Tensor, width: Tensor) -> Tensor:
    """How far lines reach along each input, of the constraints ``[B, N, m, n]`` of every case: ``[B, N, n]``.

    Constraints that have to hold together say it in units of their own: each one's share counts as much as another's.
    """
    reach = slopes.abs() * width[:, None, None]
    total = reach.sum(-1, keepdim=True)
    return (reach / torch.where(total > 0, total, 1.0)).sum(2) * total.amax(2)


def _different(constraints: Conditions) -> tuple[Tensor, Tensor]:
    """Constraints that differ, ``[R, n_output + n_input + 1]``, and which of them each one of ``N m`` is: what all cases of a query
    ask for is bounded once."""
    inputs = constraints.inputs
    parts = [
        constraints.outputs,
        constraints.outputs[..., :0] if inputs is None else inputs,
        constraints.threshold[..., None],
    ]
    different, which = torch.unique(torch.cat(parts, -1).flatten(0, 1), dim=0, return_inverse=True)
    return different, which


def _confined(region: Region, cases: Tensor, slopes: Tensor, value: Tensor) -> tuple[Region, Tensor]:
    """The boxes without the ends on which no open case can be met, and the cases that are left.

    A constraint whose line has slopes ``c`` ``[B, N, m, n]`` and the bound ``b`` ``[B, N, m]`` on a box is met nowhere that is farther than
    ``b / |c_i|`` from the end at which the line is largest. Where a slope or a bound has overflowed it says nothing.
    """
    reach = value[..., None] / slopes.abs()
    reach = torch.where(torch.isfinite(slopes) & ~reach.isnan(), reach, torch.inf)
    reach = reach + (2.0**-50 * (reach + torch.maximum(region.lower.abs(), region.upper.abs())[:, None, None]) + _TINY)
    low, high = region.lower[:, None, None], region.upper[:, None, None]
    lower = torch.where(slopes > 0, high - reach, low).maximum(low).amax(2)
    upper = torch.where(slopes < 0, low + reach, high).minimum(high).amin(2)
    cases = cases & (lower <= upper).all(-1)
    lower = torch.where(cases[..., None], lower, torch.inf).amin(1)
    upper = torch.where(cases[..., None], upper, -torch.inf).amax(1)
    some = cases.any(1)[:, None]
    lower, upper = torch.where(some, lower, region.lower), torch.where(some, upper, region.upper)
    return replace(region, lower=lower, upper=upper), cases


def _volume(boxes: Boxes) -> float:
    """The share of the region that they are."""
    return float(torch.exp2(-boxes.depth.double()).sum())


def _split(boxes: Boxes, score: Tensor) -> Split:
    """Every box cut at the middle of the input with the best score."""
    chosen = score.argmax(1)
    at = (torch.arange(len(boxes)), chosen)
    low, high = (end.expand(len(boxes), -1)[at] for end in (boxes.region.lower, boxes.region.upper))
    return Split(torch.full_like(chosen, -1), chosen, (low + high) / 2)


def _halves(boxes: Boxes, split: Split) -> Boxes:
    """Both halves of every box, which is cut at inputs."""
    region = boxes.region
    at = (torch.arange(len(boxes)), split.feature)
    low, high = (end.expand(len(boxes), -1) for end in (region.lower, region.upper))
    lower, upper = low.clone(), high.clone()
    lower[at], upper[at] = split.point, split.point
    twice = boxes.take(torch.arange(len(boxes)).repeat(2))
    halves = Region(
        torch.cat([low, lower]),
        torch.cat([upper, high]),
        twice.region.range_lower,
        twice.region.range_upper,
    )
    # Forms are found anew.
    return Boxes(halves, twice.cases, twice.value, twice.depth + 1, twice.node)
