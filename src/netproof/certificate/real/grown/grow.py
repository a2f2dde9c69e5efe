"""Trees of a certificate, grown along the record of a search.

Everything is evaluated as the checker does it, by the checker: a node is closed where the checker's own bound closes it. Where
what a search left does not, better ranges are asked for, and then the cell is split once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Floats, Objective, Slopes
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.relus import leans
from netproof.certificate.checker.real.tree import Goal, Prover, Rows, objective_of
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, LEAF, SPLIT
from netproof.certificate.real.grown.bent import misses
from netproof.certificate.real.grown.program import Dual, Programs
from netproof.certificate.real.grown.rows import Row, RowTable, Wish, arrays_of_rows
from netproof.certificate.real.grown.seeds import NO_LIMITS, Claim, Limits, Maker, Places, Seed, joined, put
from netproof.certificate.real.grown.staged import FEW_INPUTS as _FORMS
from netproof.certificate.real.grown.steps import Descent, Multipliers
from netproof.certificate.real.grown.wishes import Wishes, begun
from netproof.certificate.real.grown.written import splits_of
from netproof.errors import NoEvidenceError
from netproof.result import Trace

#: binary digits after the point that are tried, one after the other
_DIGITS = (3, 6, 10, 16, 24, 40)
#: the order in which they are: whether it is worth going on is asked by the finest
_ORDER = (3, 6, 40, 10, 16, 24)
#: cells of which a bound is asked at once, and numbers of their linear forms
_BATCH, _NUMBERS = 512, 1 << 23
#: numbers of values of cells that are gone through at once where there are no forms
_VALUES = 1 << 19
#: where a network has more inputs, boxes are not split
FEW_INPUTS = 16
#: numbers of values that multipliers are improved of at once, and binary digits of those that they begin with
_ROWS, _FINE = 1 << 18, 40
#: where more features are open CROWN's ranges of a cell are found after so many splits beyond the record
_MANY, _EVERY = 500, 4
#: by how much a program's solution has to miss a ReLU for its range to be split
_LEAST_GAP = 1e-9
#: how often a cell is split beyond what a search did, and how many cells of a part, of boxes and of others
_BEYOND, _MOST_BEYOND = 14, {True: 20_000, False: 400}
#: the same where linear programs say what to split, and cells of which they are asked
_BEYOND_BY_PROGRAMS, _MOST_PROGRAMS = 200, 2000
#: where boxes can be split, the most ReLUs of a network whose programs are asked first, and splits before those of others are
_AT_ONCE, _LATE = 64, 8


class Grower:
    """Grows the trees of one part.

    Parameters
    ----------
    maker : what it is grown with
    goals : of the trees
    places : for each goal, what the weights of the record are about
    trace : the record
    limits : what it may cost
    """

    def __init__(
        self,
        maker: Maker,
        goals: Sequence[Goal],
        places: Sequence[Places],
        trace: Trace,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._evaluation, self._table, self._width = maker.evaluation, maker.table, maker.width
        self._source, self._deadline, self._sets = maker.source, maker.deadline, maker.sets
        # Of ends of ranges many are tried, of which few are needed.
        small = limits.each is None and maker.programs is not None and maker.programs.are_small
        self._programs = maker.programs if small else None
        self._asked = 0
        self._goals, self._places, self._trace = goals, places, trace
        self._sizes = self._evaluation.network.sizes
        self._begin = np.cumsum([0, *self._sizes])
        self._inputs = self._evaluation.network.inputs
        is_handed = limits.hands_down and self._inputs <= _FORMS
        self._handed = {node for node, rule in trace.ranges.items() if is_handed and rule == "crown"}
        self._most = _MOST_BEYOND[self._inputs <= FEW_INPUTS] if limits.most is None else limits.most
        widest = max(node.size for node in self._evaluation.network.nodes)
        numbers = _NUMBERS // self._inputs if self._inputs <= _FORMS else _VALUES
        self._batch = max(1, min(_BATCH, numbers // widest))
        self._few = max(1, _ROWS // widest)
        self._descents: dict[tuple[int, int], Descent] = {}
        self.beyond = 0
        self._each = limits.each
        self._tried: Counter[int] = Counter()
        self.failed: set[int] = set()
        network = self._evaluation.network
        bent = [network.nodes[i].bend == RELU for i in network.bends]
        #: of every feature whether it arrives at a ReLU, and whether it arrives at a curve
        self._straight = np.repeat(np.array(bent, np.bool_), self._sizes)
        is_curve = [network.nodes[i].bend not in (RELU, PRODUCT) for i in network.bends]
        self._chosen = np.repeat(np.array(is_curve, np.bool_), self._sizes)
        self._wishes = Wishes(places, trace, self._straight)

    def grow(self, root: Cells, roots: Sequence[Seed]) -> None:
        """Grow trees from their roots; raises :class:`NoEvidenceError` where one does not close."""
        self._width_of_root = root.upper[0] - root.lower[0]
        low, high = (np.concatenate([np.zeros(0), *(x[0] for x in ends)]) for ends in (root.low, root.high))
        self._open_at_root = self._is_open(low, high)
        self._open = int(self._open_at_root.sum())
        stack = [(list(roots), root.take(np.zeros(len(roots), np.int64)))] if roots else []
        # What the record refutes on all levels is closed together: a rule costs hardly more on a hundred cells than on ten.
        waiting: list[tuple[list[Seed], Cells]] = []
        while stack or waiting:
            self._deadline.look()
            held = sum(len(seeds) for seeds, _ in waiting)
            if not stack or held >= self._batch:
                seeds = [seed for some, _ in waiting for seed in some]
                cells = Cells.join([some for _, some in waiting])
                waiting.clear()
                for at in range(0, len(seeds), self._batch):
                    some = np.arange(at, min(at + self._batch, len(seeds)))
                    stack.extend(self._closed(seeds[at : at + self._batch], cells.take(some)))
                continue
            seeds, cells = stack.pop()
            if len(seeds) > self._batch:
                stack.append((seeds[self._batch :], cells.take(np.arange(self._batch, len(seeds)))))
                seeds, cells = seeds[: self._batch], cells.take(np.arange(self._batch))
            seeds, cells = self._alive(seeds, cells)
            is_inner = np.array([self._is_inner(seed) for seed in seeds], np.bool_)
            for kind in (True, False):
                some = np.flatnonzero(is_inner == kind)
                mine, theirs = [seeds[i] for i in some.tolist()], cells.take(some)
                if mine and kind:
                    stack.append(self._split(mine, self._inherited(mine, theirs)))
                elif mine:
                    waiting.append((mine, theirs))

    def _inherited(self, seeds: list[Seed], cells: Cells) -> Cells:
        """Cells of inner nodes, with the ranges that the record found there, where these are handed down."""
        if self._handed:
            found = [any(c.trace in self._handed for c in seed.claims if c.trace is not None) for seed in seeds]
            self._ranged(seeds, cells, np.flatnonzero(found), BOTH)
        return cells

    def _alive(self, seeds: list[Seed], cells: Cells) -> tuple[list[Seed], Cells]:
        """Those that are still to be refuted: cells that are not empty, of goals that are not given up."""
        alive = np.flatnonzero(~cells.empty & ~np.array([self._is_lost(seed) for seed in seeds], np.bool_))
        return [seeds[i] for i in alive.tolist()], cells.take(alive)

    def _closed(self, seeds: list[Seed], cells: Cells) -> list[tuple[list[Seed], Cells]]:
        """Make leaves of seeds; the halves of those that are none."""
        seeds, cells = self._alive(seeds, cells)
        if not seeds:
            return []
        self._close(seeds, cells)
        at = [i for i, seed in enumerate(seeds) if seed.kind == SPLIT]
        return [self._split([seeds[i] for i in at], cells.take(np.array(at)))] if at else []

    def _is_inner(self, seed: Seed) -> bool:
        return any(self._is_split(claim) for claim in seed.claims)

    def _is_split(self, claim: Claim) -> bool:
        return claim.trace is not None and claim.trace not in self._trace.refuted and claim.trace in self._trace.splits

    def _close(self, seeds: list[Seed], cells: Cells) -> None:
        """Make leaves of seeds, or splits where no bound does; cells get the ranges that a split begins with."""
        left: NDArray[np.int64] = np.arange(len(seeds))
        rules = (0, FORMS, BOTH) if self._inputs <= _FORMS else (0, CROWN)
        for rule in rules:
            wanted = np.array([i for i in left.tolist() if self._is_worth(rule, seeds[i])], np.int64)
            if not len(wanted):
                continue
            if rule == rules[-1]:
                # What stays open is split with these ranges: the same rule then comes to better ones than from those of the whole.
                mine = self._ranged(seeds, cells, wanted, rule)
            else:
                mine = self._evaluation.derive(cells.take(wanted), rule, sized=True) if rule else cells.take(wanted)
            empty = mine.empty
            for i in wanted[empty].tolist():
                seeds[i].rule = rule
            alive = np.flatnonzero(~empty)
            some, mine = [seeds[i] for i in wanted[alive].tolist()], mine.take(alive)
            self._bound(some, mine, rule)
            if self._inputs > FEW_INPUTS and self._open and self._each != 0:
                self._improve(some, mine, rule)
            closed = {*wanted[empty].tolist(), *(i for i in left.tolist() if seeds[i].kind == LEAF)}
            left = np.array([i for i in left.tolist() if i not in closed], np.int64)
            if not len(left):
                return
        asked = [i for i in left.tolist() if self._programs_for(seeds[i]) is not None]
        self._ranged(seeds, cells, np.array([i for i in asked if seeds[i].rule != rules[-1]], np.int64), rules[-1])
        seeds, cells = self._programmed([seeds[i] for i in left.tolist()], cells.take(left))
        if seeds:
            self._choose(seeds, cells)

    def _ranged(self, seeds: list[Seed], cells: Cells, which: NDArray[np.int64], rule: int) -> Cells:
        """Some of the cells with the ranges that a rule leaves, which they have from here on, whatever becomes of their seeds."""
        mine = cells.take(which)
        if len(which):
            mine = self._evaluation.derive(mine, rule, sized=True)
            put(cells, which, mine)
        for i in which.tolist():
            seeds[i].rule = rule
        return mine

    def _programs_for(self, seed: Seed) -> Programs | None:
        """The linear programs that are asked about a seed that no bound closes; None where none are."""
        first = self._inputs > FEW_INPUTS or self._begin[-1] <= _AT_ONCE
        return self._programs if first or seed.beyond >= _LATE else None

    def _programmed(self, seeds: list[Seed], cells: Cells) -> tuple[list[Seed], Cells]:
        """Close seeds by linear programs, or split them where their solutions are farthest from the network; those that are left."""
        left = []
        for i, seed in enumerate(seeds):
            programs = self._programs_for(seed)
            if programs is None:
                left.append(i)
                continue
            self._deadline.look()
            self._asked += 1
            gap = None if self._asked > _MOST_PROGRAMS else self._solved(programs, seed, cells, i)
            if seed.kind == LEAF:
                continue
            if gap is None or seed.beyond >= _BEYOND_BY_PROGRAMS:
                left.append(i)
                continue
            widest = int(gap.argmax())
            k = int(np.searchsorted(self._begin, widest, side="right")) - 1
            seed.kind, seed.split = SPLIT, (k, widest - int(self._begin[k]), 0.0)
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
        low, high = (part[0] for part in joined(one))
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

    def _is_worth(self, rule: int, seed: Seed) -> bool:
        """Whether a rule is tried. On large networks CROWN costs more than hundreds of rows, and splits come first."""
        if rule and self._each == 0:
            return False
        if rule == CROWN and self._inputs > _FORMS and self._open > _MANY:
            return self._each is None and seed.beyond % _EVERY == _EVERY - 1
        return self._starts(seed) <= rule

    def _improve(self, seeds: list[Seed], cells: Cells, rule: int) -> None:
        """Close seeds that are left by better multipliers than those of the record; what is found is where their halves begin."""
        left = [i for i, seed in enumerate(seeds) if seed.kind != LEAF]
        still: set[int] = set()
        for at in range(0, len(left), self._few):
            some = left[at : at + self._few]
            pairs = [(i, claim) for i in some for claim in seeds[i].claims]
            mine = cells.take(np.array([i for i, _ in pairs]))
            low, high = joined(mine)
            wishes = [self._wishes.of(seeds[i], claim, low[n], high[n])[-1] for n, (i, claim) in enumerate(pairs)]
            is_open = (low < 0) & (high > 0)
            found = self._descended(
                [claim for _, claim in pairs], wishes, mine, self._open_at_root & self._straight & ~is_open
            )
            named = (is_open & (found.slope != leans(low, high)) & (found.arriving < 0)) | (found.added != 0)
            named = np.where(self._straight, named, self._chosen & (low < high) & np.isfinite(found.slope))
            for n, (i, claim) in enumerate(pairs):
                if not found.value[n] < 0:
                    still.add(i)
                numbers = np.flatnonzero(named[n])
                claim.wish = replace(
                    wishes[n], flat=False, feature=numbers, slope=found.slope[n, numbers], added=found.added[n, numbers]
                )
                claim.found = found.arriving[n].astype(np.float32), found.handed[n].astype(np.float32)
        closing = [i for i in left if i not in still]
        if closing:
            self._bound([seeds[i] for i in closing], cells.take(np.array(closing)), rule)

    def _descended(
        self, claims: list[Claim], wishes: list[Wish], cells: Cells, split: NDArray[np.bool_]
    ) -> Multipliers:
        """The best rows on the way from wishes, one for each cell, each with its planes and pairs."""
        which = np.array([wish.sets for wish in wishes])
        parts, order = [], []
        for sets in np.unique(which, axis=0).tolist():
            some = np.flatnonzero((which == sets).all(1))
            mine, rows = cells.take(some), [wishes[n].rounded(_FINE) for n in some.tolist()]
            objective, slopes = self._asked_of([claims[n] for n in some.tolist()], rows)
            descent = self._descent((sets[0], sets[1]))
            parts.append(descent.run(mine, objective, descent.started(mine, objective, slopes), split[some]))
            order.append(some)
        return Multipliers.joined(parts).take(np.argsort(np.concatenate(order)))

    def _descent(self, sets: tuple[int, int]) -> Descent:
        """What makes rows with some planes and pairs better."""
        if sets not in self._descents:
            self._descents[sets] = Descent(self._evaluation, self._sets.named(*sets) if self._sets else {})
        return self._descents[sets]

    def _asked_of(self, claims: Sequence[Claim], rows: Sequence[Row]) -> tuple[Objective, Slopes | None]:
        """What claims ask, by rows, one for each."""
        mixtures = []
        for claim, row in zip(claims, rows, strict=True):
            weights = np.zeros(self._width, np.int64)
            weights[: len(row.mu)] = row.mu
            mixture = self._goals[claim.goal].mixed(weights, row.exponent)
            assert mixture is not None
            mixtures.append(mixture)
        found = Rows(arrays_of_rows(rows, self._width), self._sizes)
        objective = objective_of(mixtures, self._evaluation.network, self._evaluation.numbers)
        return objective, found.slopes(np.arange(len(rows)))

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
        low, high = joined(cells)
        wishes = [self._wishes.of(seeds[i], claim, low[i], high[i]) for i, claim in pairs]
        for turn in range(max(map(len, wishes), default=0)):
            at = [n for n, (_, claim) in enumerate(pairs) if claim.row < 0 and turn < len(wishes[n])]
            exact: dict[int, Row] = {}
            for digits in _ORDER:
                if digits != _ORDER[0]:
                    at = [n for n in at if pairs[n][1].row < 0 and not wishes[n][turn].is_plain]
                if not at:
                    break
                rows = [wishes[n][turn].rounded(digits) for n in at]
                cell = np.array([pairs[n][0] for n in at])
                value = self._values([pairs[n][1] for n in at], cells.take(cell), rows)
                good = [(n, row) for n, row, bound in zip(at, rows, value.tolist(), strict=True) if bound < 0]
                if digits == _DIGITS[-1]:
                    # What no digits close fewer ones hardly do.
                    exact, at = dict(good), [n for n, _ in good]
                    continue
                for n, row in good:
                    pairs[n][1].row = self._table.number(row)
            for n, row in exact.items():
                if pairs[n][1].row < 0:
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
        prover.sets = self._sets or prover.sets
        goals = [self._goals[claim.goal] for claim in claims]
        value, strict = prover.bounds(cells, goals, np.array([claim.goal for claim in claims]), row, "what is tried")
        # Where it is enough 0 counts as less.
        return np.where(strict & (value == 0), -np.finfo(np.float64).tiny, value)

    def _choose(self, seeds: list[Seed], cells: Cells) -> None:
        """Splits of seeds that no bound closes, where the record has none."""
        if self._each is not None:
            seeds, cells = self._hopeful(seeds, cells, self._each)
            if not seeds:
                return
        self.beyond += len(seeds)
        if self.beyond > self._most or any(seed.beyond >= _BEYOND for seed in seeds):
            raise NoEvidenceError(self._source, "the checker's bound does not close what the search closed")
        if self._inputs <= FEW_INPUTS:
            width = np.where(self._width_of_root > 0, self._width_of_root, np.inf)
            feature = ((cells.upper - cells.lower) / width).argmax(1)
            at = np.arange(len(seeds)), feature
            point = cells.lower[at] / 2 + cells.upper[at] / 2
            for seed, one, where in zip(seeds, feature.tolist(), point.tolist(), strict=True):
                seed.kind, seed.split = SPLIT, (-1, one, where)
            return
        if not self._begin[-1]:
            raise NoEvidenceError(self._source, "a network without activations has nothing to split")
        gaps = self._gaps(seeds, cells)
        best = gaps.argmax(1)
        for row, (seed, number) in enumerate(zip(seeds, best.tolist(), strict=True)):
            if not gaps[row, number] > 0 and self._each is not None:
                self.failed.add(seed.claims[0].goal)
                continue
            if not gaps[row, number] > 0:
                raise NoEvidenceError(self._source, "a cell without unstable neurons stays open")
            k = int(np.searchsorted(self._begin, number, side="right")) - 1
            feature, point = number - int(self._begin[k]), 0.0
            if not self._straight[number]:
                point = float(cells.low[k][row, feature] / 2 + cells.high[k][row, feature] / 2)
            seed.kind, seed.split = SPLIT, (k, feature, point)

    def _is_open(self, low: Floats, high: Floats) -> NDArray[np.bool_]:
        """Of which of all features the ranges, ``[..., features]``, leave something open."""
        return np.where(self._straight, (low < 0) & (high > 0), low < high)

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
        low, high = joined(cells)
        is_open = (low < 0) & (high > 0)
        width = np.where(is_open, high - low, 1.0)
        missed, arriving = np.where(is_open, -low * high / width, 0.0), np.zeros(low.shape)
        for k in np.flatnonzero(
            [size and not self._straight[at] for size, at in zip(self._sizes, self._begin, strict=False)]
        ):
            missed[:, self._begin[k] : self._begin[k + 1]] = misses(self._evaluation, cells, int(k))
        for i, seed in enumerate(seeds):
            claim = seed.claims[0]
            if claim.found is None:
                row = self._wishes.of(seed, claim, low[i], high[i])[0].rounded(_FINE)
                one = self._descent(row.sets).started(cells.take(np.array([i])), *self._asked_of([claim], [row]))
                claim.found = one.arriving[0], one.handed[0]
            arriving[i] = claim.found[0]
        return np.asarray(abs(arriving) * missed)

    def _split(self, seeds: list[Seed], cells: Cells) -> tuple[list[Seed], Cells]:
        """The halves of seeds, the lower ones first."""
        halves: tuple[list[Seed], list[Seed]] = ([], [])
        for seed in seeds:
            known = [claim.trace for claim in seed.claims if claim.trace is not None and self._is_split(claim)]
            if known:
                k, feature, point, *_ = self._trace.splits[known[0]]
                seed.split, seed.kind = (k, feature, point), SPLIT
            assert seed.split is not None
            k, feature, point = seed.split
            for which, side in enumerate((-1, 1)):
                claims = [self._half(claim, seed.split, which) for claim in seed.claims]
                for claim, above in zip(claims, seed.claims, strict=True):
                    claim.wish = (
                        begun(above, int(self._begin[k]) + feature, which)
                        if k >= 0 and point == 0 and self._straight[int(self._begin[k]) + feature]
                        else above.wish
                    )
                sides = seed.sides if k < 0 else {**seed.sides, int(self._begin[k]) + feature: side}
                first = claims[0].trace
                opened = seed.open if first is None else self._trace.open.get(first, seed.open)
                halves[which].append(Seed(claims, opened, sides, seed.beyond + (not known)))
            seed.children = halves[0][-1], halves[1][-1]
            for claim in seed.claims:
                claim.wish = claim.found = None
        forest = splits_of(seeds)
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
