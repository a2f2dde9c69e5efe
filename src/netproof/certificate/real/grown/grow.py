"""Trees of a certificate, grown along the record of a search.

Everything is evaluated as the checker does it, by the checker: a node is closed where the checker's own bound closes it. Where
what a search left does not, better ranges are asked for, and then the cell is split once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.tree import Goal, Prover, Rows
from netproof.certificate.real.contents import BOTH, CROWN, EMPTY, FORMS, LEAF, SPLIT, Forest, Integers
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.program import Dual, Programs
from netproof.certificate.real.grown.rows import Row, RowTable, Wish, arrays_of_rows
from netproof.certificate.real.grown.staged import FEW_INPUTS as _FORMS
from netproof.certificate.real.grown.written import split_of
from netproof.errors import NoEvidenceError
from netproof.result import Refutation, Trace

#: binary digits after the point that are tried, one after the other
_DIGITS = (3, 6, 10, 16, 24, 40)
#: cells of which a bound is asked at once, and numbers of their linear forms
_BATCH, _NUMBERS = 512, 1 << 23
#: where a network has more inputs, boxes are not split
_FEW_INPUTS = 16
#: by how much a program's solution has to miss a ReLU for its range to be split
_LEAST_GAP = 1e-9
#: how often a cell is split beyond what a search did, and how many cells of a part, of boxes and of others
_BEYOND, _MOST_BEYOND = 14, {True: 20_000, False: 400}
#: the same where linear programs say what to split, and cells of which they are asked
_BEYOND_BY_PROGRAMS, _MOST_PROGRAMS = 200, 2000
#: where boxes can be split, the most ReLUs of a network whose programs are asked first, and splits before those of others are
_AT_ONCE, _LATE = 64, 8


@dataclass(eq=False)
class Claim:
    """That a goal is refuted somewhere: which, the node of the search's record (None beyond it), what the record says of the node
    that it comes from, and the row that closes it, -1 until one does."""

    goal: int
    trace: int | None
    last: Refutation | None = None
    row: int = -1


@dataclass(eq=False)
class Seed:
    """A node to be grown.

    Attributes
    ----------
    claims : of all goals that are refuted there
    open : the features that were open there when ranges were last found
    sides : the features that were split since, 1 for the upper half and -1 for the lower one
    beyond : how often it was split without the record
    kind, rule, split, children : what becomes of it
    """

    claims: list[Claim]
    open: Integers
    sides: dict[int, int]
    beyond: int = 0
    kind: int = EMPTY
    rule: int = 0
    split: tuple[int, int, float] | None = None
    children: tuple[Seed, Seed] | None = None


@dataclass(frozen=True, eq=False)
class Places:
    """Of every weight in a record at which of its goal's constraints it is, and by what the search multiplied that; or that the
    goal is an end of a range, of which there is nothing to be weighed."""

    place: Integers
    scale: Floats
    is_end: bool = False

    def weights(self, recorded: Floats) -> Floats:
        """Weights of the goal's constraints, all of them together."""
        weight = np.zeros(int(self.place.max()) + 1)
        count = min(len(recorded), len(self.place))
        np.add.at(weight, self.place[:count], recorded[:count] * self.scale[:count])
        return weight


@dataclass(frozen=True, eq=False)
class Maker:
    """What trees are grown with: the network in float64, which looks at the deadline, the rows so far and how many weights they
    have, the deadline, and linear programs of the network's cells."""

    evaluation: Evaluation
    table: RowTable
    width: int
    deadline: Deadline
    programs: Programs | None = None

    @property
    def source(self) -> str:
        """How errors call what was asked."""
        return self.deadline.source


class _Watching(Evaluation):
    """Remembers the gaps of the last bound, of one row."""

    gaps: list[Floats]

    def _relu(
        self,
        k: int,
        v: Array,
        ends: Sequence[Floats],
        given: Floats | None,
        added: Floats | None,
        flat: NDArray[np.bool_] | None,
    ) -> tuple[Array, Array]:
        low, high = ends[0][0], ends[1][0]
        is_open = (low < 0) & (high > 0)
        width = np.where(is_open, high - low, 1.0)
        self.gaps[k] = np.where(is_open, abs(v[0]) * -low * high / width, 0.0)
        return super()._relu(k, v, ends, given, added, flat)


class Grower:
    """Grows the trees of one part.

    Parameters
    ----------
    maker : what it is grown with
    goals : of the trees
    places : for each goal, what the weights of the record are about
    trace : the record
    each : how many cells of every goal are split beyond the record before it is given up for itself, and put into ``failed``;
        None where all of them have to be refuted
    """

    def __init__(
        self, maker: Maker, goals: Sequence[Goal], places: Sequence[Places], trace: Trace, each: int | None = None
    ) -> None:
        self._evaluation, self._table, self._width = maker.evaluation, maker.table, maker.width
        self._source, self._deadline = maker.source, maker.deadline
        # Of ends of ranges many are tried, of which few are needed.
        small = each is None and maker.programs is not None and maker.programs.are_small
        self._programs = maker.programs if small else None
        self._asked = 0
        self._goals, self._places, self._trace = goals, places, trace
        self._sizes = self._evaluation.network.sizes
        self._begin = np.cumsum([0, *self._sizes])
        self._inputs = self._evaluation.network.inputs
        widest = max(node.size for node in self._evaluation.network.nodes)
        self._batch = max(1, min(_BATCH, _NUMBERS // (min(self._inputs, _FORMS) * widest)))
        self.beyond = 0
        self._each = each
        self._tried: Counter[int] = Counter()
        self.failed: set[int] = set()
        self._known: dict[tuple[object, ...], tuple[list[Wish], list[Wish]]] = {}

    def grow(self, root: Cells, roots: Sequence[Seed]) -> None:
        """Grow trees from their roots; raises :class:`NoEvidenceError` where one does not close."""
        self._width_of_root = root.upper[0] - root.lower[0]
        stack = [(list(roots), root.take(np.zeros(len(roots), np.int64)))] if roots else []
        while stack:
            seeds, cells = stack.pop()
            self._deadline.look()
            if len(seeds) > self._batch:
                rest = np.arange(self._batch, len(seeds))
                stack.append((seeds[self._batch :], cells.take(rest)))
                seeds, cells = seeds[: self._batch], cells.take(np.arange(self._batch))
            alive = np.flatnonzero(~cells.empty & ~np.array([self._is_lost(seed) for seed in seeds], np.bool_))
            seeds, cells = [seeds[i] for i in alive.tolist()], cells.take(alive)
            at = [i for i, seed in enumerate(seeds) if not self._is_inner(seed)]
            if at:
                self._close([seeds[i] for i in at], cells.take(np.array(at)))
            at = [i for i, seed in enumerate(seeds) if seed.kind == SPLIT or self._is_inner(seed)]
            if at:
                stack.append(self._split([seeds[i] for i in at], cells.take(np.array(at))))

    def _is_inner(self, seed: Seed) -> bool:
        return any(self._is_split(claim) for claim in seed.claims)

    def _is_split(self, claim: Claim) -> bool:
        return claim.trace is not None and claim.trace not in self._trace.refuted and claim.trace in self._trace.splits

    def _close(self, seeds: list[Seed], cells: Cells) -> None:
        """Make leaves of seeds, or splits where no bound does."""
        left: NDArray[np.int64] = np.arange(len(seeds))
        for rule in (0, FORMS, BOTH) if self._inputs <= _FORMS else (0, CROWN):
            wanted = np.array([i for i in left.tolist() if self._starts(seeds[i]) <= rule], np.int64)
            if not len(wanted):
                continue
            mine = cells.take(wanted)
            mine = self._evaluation.derive(mine, rule, sized=True) if rule else mine
            empty = mine.empty
            for i in wanted[empty].tolist():
                seeds[i].rule = rule
            alive = np.flatnonzero(~empty)
            self._bound([seeds[i] for i in wanted[alive].tolist()], mine.take(alive), rule)
            closed = {*wanted[empty].tolist(), *(i for i in left.tolist() if seeds[i].kind == LEAF)}
            left = np.array([i for i in left.tolist() if i not in closed], np.int64)
            if not len(left):
                return
        seeds, cells = self._programmed([seeds[i] for i in left.tolist()], cells.take(left))
        if seeds:
            self._choose(seeds, cells)

    def _programmed(self, seeds: list[Seed], cells: Cells) -> tuple[list[Seed], Cells]:
        """Close seeds by linear programs, or split them where their solutions are farthest from the network; those that are left."""
        first = self._inputs > _FEW_INPUTS or self._begin[-1] <= _AT_ONCE
        mine = [i for i, seed in enumerate(seeds) if first or seed.beyond >= _LATE]
        if self._programs is None or not mine:
            return seeds, cells
        rule = BOTH if self._inputs <= _FORMS else CROWN
        refined = self._evaluation.derive(cells.take(np.array(mine)), rule, sized=True)
        left = [i for i in range(len(seeds)) if i not in mine]
        for number, i in enumerate(mine):
            seed = seeds[i]
            self._deadline.look()
            self._asked += 1
            gap = None if self._asked > _MOST_PROGRAMS else self._solved(self._programs, seed, refined, number)
            seed.rule = rule if seed.kind == LEAF else 0
            if seed.kind == LEAF:
                continue
            if gap is None or seed.beyond >= _BEYOND_BY_PROGRAMS:
                left.append(i)
                continue
            widest = int(gap.argmax())
            k = int(np.searchsorted(self._begin, widest, side="right")) - 1
            seed.kind, seed.split = SPLIT, (k, widest - int(self._begin[k]), 0.0)
        left.sort()
        return [seeds[i] for i in left], cells.take(np.array(left, np.int64))

    def _solved(self, programs: Programs, seed: Seed, cells: Cells, row: int) -> Floats | None:
        """Make a seed a leaf by the duals of programs; otherwise, gaps at open features of one that does not close."""
        one = cells.take(np.array([row]))
        gap = None
        for claim in seed.claims:
            count = int(self._places[claim.goal].place.max()) + 1
            dual = programs.solved(cells, row, self._goals[claim.goal], count, self._deadline.at)
            claim.row = -1 if dual is None else self._by_dual(claim, one, dual)
            if claim.row < 0:
                gap = None if dual is None else dual.gap
                break
        if all(claim.row >= 0 for claim in seed.claims):
            seed.kind = LEAF
            return None
        for claim in seed.claims:
            claim.row = -1
        low, high = (np.concatenate([x[row] for x in part]) for part in (cells.low, cells.high))
        gap = None if gap is None else np.where((low < 0) & (high > 0), gap, 0.0)
        return gap if gap is not None and gap.max() > _LEAST_GAP else None

    def _by_dual(self, claim: Claim, cell: Cells, dual: Dual) -> int:
        """The number of a row of a program's dual, which refutes a claim on a cell; -1 where none does."""
        numbers = np.flatnonzero(dual.multiplier)
        none = np.zeros(len(numbers))
        for sign in (1, -1):
            wish = Wish(dual.weight, True, numbers, none, sign * dual.multiplier[numbers])
            for digits in _DIGITS[1:]:
                made = wish.rounded(digits)
                if self._values([claim], cell, [made])[0] < 0:
                    return self._table.number(made)
        return -1

    def _starts(self, seed: Seed) -> int:
        """The first rule that is worth trying."""
        if self._inputs > _FORMS:
            return 0
        if seed.beyond:
            return BOTH
        known = {self._trace.ranges.get(claim.trace) for claim in seed.claims if claim.trace is not None}
        if not known:
            return FORMS
        return BOTH if "crown" in known else 0 if known == {None} else FORMS

    def _bound(self, seeds: list[Seed], cells: Cells, rule: int) -> None:
        """Close seeds by rows that are as short as their bounds allow."""
        pairs = [(i, claim) for i, seed in enumerate(seeds) for claim in seed.claims]
        wishes = [self._wishes(seeds[i], claim, cells, i) for i, claim in pairs]
        for turn in range(max(map(len, wishes), default=0)):
            for digits in _DIGITS:
                at = [n for n, (_, claim) in enumerate(pairs) if claim.row < 0 and turn < len(wishes[n])]
                at = [n for n in at if digits == _DIGITS[0] or not wishes[n][turn].is_plain]
                if not at:
                    break
                rows = [wishes[n][turn].rounded(digits) for n in at]
                cell = np.array([pairs[n][0] for n in at])
                value = self._values([pairs[n][1] for n in at], cells.take(cell), rows)
                for n, row, bound in zip(at, rows, value.tolist(), strict=True):
                    if bound < 0:
                        pairs[n][1].row = self._table.number(row)
        for seed in seeds:
            if all(claim.row >= 0 for claim in seed.claims):
                seed.kind, seed.rule = LEAF, rule
                continue
            for claim in seed.claims:
                claim.row = -1

    def _values(self, claims: list[Claim], cells: Cells, rows: list[Row]) -> Floats:
        # Few rows are different, and of each its mixture is made once for every goal.
        tried = RowTable()
        row = np.array([tried.number(one) for one in rows])
        found = Rows(arrays_of_rows(tried.rows, self._width), self._sizes)
        prover = Prover(self._evaluation, found, self._source)
        goals = [self._goals[claim.goal] for claim in claims]
        return prover.bounds(cells, goals, np.array([claim.goal for claim in claims]), row, "what is tried")[0]

    def _wishes(self, seed: Seed, claim: Claim, cells: Cells, row: int) -> list[Wish]:
        """What may refute a claim on a cell, the likeliest first."""
        refutation = None if claim.trace is None else self._trace.refuted.get(claim.trace)
        refutation = refutation or claim.last
        plain, flat = self._plain(claim, refutation)
        if refutation is None or refutation.slope is None or refutation.added is None:
            return [*flat, *plain] if refutation is not None and refutation.means == "intervals" else [*plain, *flat]
        weight = plain[0].weight
        scale = 0.0 if refutation.weight is None else float(self._places[claim.goal].weights(refutation.weight).max())
        numbers, slope, added = seed.open, np.clip(refutation.slope, 0.0, 1.0), refutation.added.clip(min=0)
        if len(numbers) != len(slope):
            return plain
        side = np.array([seed.sides.get(int(n), 0) for n in numbers], np.float64)
        factor = (
            1.0
            if self._places[claim.goal].is_end
            else scale
            if scale > 0
            else float((added * abs(side)).max(initial=0.0)) or 1.0
        )
        added = added * side / factor
        low = np.concatenate([x[row] for x in cells.low])[numbers]
        high = np.concatenate([x[row] for x in cells.high])[numbers]
        rule = (low + high > 0) * 1.0
        slope = np.where(np.isnan(slope), rule, slope)
        # In ascending order, and without those that the network does not have.
        matters = numbers.argsort(kind="stable")
        named = ((low < 0) & (high > 0) & (slope != rule) | (added != 0)) & (numbers >= 0)
        matters = matters[named[matters]]
        mine = Wish(weight, False, numbers[matters], slope[matters], added[matters])
        return [*plain[:1], mine] if not (added != 0).any() else [mine]

    def _plain(self, claim: Claim, refutation: Refutation | None) -> tuple[list[Wish], list[Wish]]:
        """Wishes without slopes, with multipliers by the rule and without any; equal ones are the same."""
        weight = None if refutation is None or refutation.weight is None else refutation.weight.tobytes()
        key = claim.goal, claim.trace is None, weight
        if key not in self._known:
            weights = self._weights(claim, refutation)
            self._known[key] = [Wish(one) for one in weights], [Wish(one, flat=True) for one in weights]
        return self._known[key]

    def _weights(self, claim: Claim, refutation: Refutation | None) -> list[Floats]:
        """Weights of the goal's constraints."""
        places = self._places[claim.goal]
        if places.is_end:
            return [np.zeros(1)]
        count = int(places.place.max()) + 1
        singles = [np.eye(count)[i] for i in range(min(count, 8))]
        others = singles if count == 1 else [*singles, np.ones(count)]
        if refutation is None or refutation.weight is None:
            return others
        weight = places.weights(refutation.weight)
        weight = weight / weight.max() if weight.max() > 0 else weight
        # Beyond the record another one may be the one that does not hold.
        return [weight] if claim.trace is not None else [weight, *(w for w in others if (w != weight).any())]

    def _choose(self, seeds: list[Seed], cells: Cells) -> None:
        """Splits of seeds that no bound closes, where the record has none."""
        if self._each is not None:
            seeds, cells = self._hopeful(seeds, cells, self._each)
            if not seeds:
                return
        self.beyond += len(seeds)
        if self.beyond > _MOST_BEYOND[self._inputs <= _FEW_INPUTS] or any(seed.beyond >= _BEYOND for seed in seeds):
            raise NoEvidenceError(self._source, "the checker's bound does not close what the search closed")
        if self._inputs <= _FEW_INPUTS:
            width = np.where(self._width_of_root > 0, self._width_of_root, np.inf)
            feature = ((cells.upper - cells.lower) / width).argmax(1)
            at = np.arange(len(seeds)), feature
            point = cells.lower[at] / 2 + cells.upper[at] / 2
            for seed, one, where in zip(seeds, feature.tolist(), point.tolist(), strict=True):
                seed.kind, seed.split = SPLIT, (-1, one, where)
            return
        gaps = self._gaps(seeds, cells)
        best = gaps.argmax(1)
        for row, (seed, number) in enumerate(zip(seeds, best.tolist(), strict=True)):
            if not gaps[row, number] > 0 and self._each is not None:
                self.failed.add(seed.claims[0].goal)
                continue
            if not gaps[row, number] > 0:
                raise NoEvidenceError(self._source, "a cell without unstable neurons stays open")
            k = int(np.searchsorted(self._begin, number, side="right")) - 1
            seed.kind, seed.split = SPLIT, (k, number - int(self._begin[k]), 0.0)

    def _is_lost(self, seed: Seed) -> bool:
        return bool(self.failed) and seed.claims[0].goal in self.failed

    def _hopeful(self, seeds: list[Seed], cells: Cells, each: int) -> tuple[list[Seed], Cells]:
        """The seeds whose goals are not given up, which have one goal each."""
        for seed in seeds:
            goal = seed.claims[0].goal
            self._tried[goal] += 1
            if self._tried[goal] > each:
                self.failed.add(goal)
        left = [i for i, seed in enumerate(seeds) if not self._is_lost(seed)]
        self.beyond -= len(left)
        return [seeds[i] for i in left], cells.take(np.array(left, np.int64))

    def _gaps(self, seeds: list[Seed], cells: Cells) -> Floats:
        """By how much CROWN's lines miss every unstable feature, in terms of the bound: ``[B, features]`` (Bunel et al., JMLR 2020)."""
        watching = _Watching(self._evaluation.network, self._evaluation.numbers, self._deadline.look)
        rows = [self._wishes(seed, seed.claims[0], cells, i)[0].rounded(_DIGITS[2]) for i, seed in enumerate(seeds)]
        prover = Prover(watching, Rows(arrays_of_rows(rows, self._width), self._sizes), self._source)
        found = []
        for i in range(len(seeds)):
            watching.gaps = [np.zeros(size) for size in self._sizes]
            one = np.array([i])
            prover.bounds(cells.take(one), [self._goals[seeds[i].claims[0].goal]], one, one, "what is watched")
            found.append(np.concatenate(watching.gaps))
        return np.stack(found)

    def _split(self, seeds: list[Seed], cells: Cells) -> tuple[list[Seed], Cells]:
        """The halves of seeds, the lower ones first."""
        halves: tuple[list[Seed], list[Seed]] = ([], [])
        for seed in seeds:
            known = [claim.trace for claim in seed.claims if claim.trace is not None and self._is_split(claim)]
            if known:
                k, feature, point, *_ = self._trace.splits[known[0]]
                seed.split, seed.kind = (k, feature, point), SPLIT
            assert seed.split is not None
            k, feature, _ = seed.split
            for which, side in enumerate((-1, 1)):
                claims = [self._half(claim, seed.split, which) for claim in seed.claims]
                sides = seed.sides if k < 0 else {**seed.sides, int(self._begin[k]) + feature: side}
                first = claims[0].trace
                opened = seed.open if first is None else self._trace.open.get(first, seed.open)
                halves[which].append(Seed(claims, opened, sides, seed.beyond + (not known)))
            seed.children = halves[0][-1], halves[1][-1]
        forest = self._forest(seeds)
        prover = Prover(self._evaluation, Rows(arrays_of_rows([], self._width), self._sizes), self._source)
        return [*halves[0], *halves[1]], prover.halves(cells, np.arange(len(seeds)), forest, "what is made")

    def _half(self, claim: Claim, split: tuple[int, int, float], which: int) -> Claim:
        """What becomes of a claim in one half of a split."""
        if claim.trace is None:
            return Claim(claim.goal, None, claim.last)
        if self._is_split(claim):
            k, feature, point, *halves = self._trace.splits[claim.trace]
            # Where the record splits otherwise its node is still to be split.
            return Claim(claim.goal, halves[which] if (k, feature, point) == split else claim.trace)
        # What refuted all of it refutes the half, by ranges of the half.
        return Claim(claim.goal, None, self._trace.refuted.get(claim.trace, claim.last))

    @staticmethod
    def _forest(seeds: list[Seed]) -> Forest:
        """Splits of seeds, as the checker takes them."""
        splits = [split_of(seed) for seed in seeds]
        none = np.zeros(len(seeds), np.int64)
        relu, feature, point, exponent = (np.array(x, np.int64) for x in zip(*splits, strict=True))
        return Forest(none, none, none, none, none, relu, feature, point, exponent)
