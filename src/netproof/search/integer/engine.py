"""Branch and bound on one query."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import DualPoint, evaluate_dual
from netproof.bounds.envelope.layer import first_layer
from netproof.bounds.envelope.ranges import are_worth_it, tighten_by_envelopes
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.interior import InteriorResult, InteriorSolver, has_interior_solver
from netproof.bounds.multipliers.ranges import Parameters, better, crown_parameters, optimize
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.reduce import reduce_ranges
from netproof.bounds.ranges.tighten import tighten_by_program
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import conditions_of, order_conditions
from netproof.effort.integer import DIVE, INTEGER, Effort
from netproof.errors import ExactnessError
from netproof.graph.loose import loose_activations
from netproof.processes import clock
from netproof.query import Conjunction, Query, Verdict
from netproof.rows import Rows
from netproof.search.integer.attacks import Attacker
from netproof.search.integer.dive import Diver
from netproof.search.integer.envelopes import Enveloped, Enveloper, alike
from netproof.search.integer.points import MOST_POINTS, all_points, points_in
from netproof.search.integer.presolve import presolve
from netproof.search.integer.splits import Splitter
from netproof.search.integer.work import Work
from netproof.search.outcome import Outcome
from netproof.search.proofs.log import CommonCuts, ConditionalCuts, Multiplied, ProofLog
from netproof.search.subproblems import Subproblems
from netproof.search.tree import WorstFirst
from netproof.settings import Settings


@dataclass(frozen=True, eq=False)
class _Bounded(Rows):
    """Open subproblems with their exact bounds, and the linear program's points where it was solved.

    Where envelopes were used (of all rows or of none), ``point`` is what they bound, without the first layer.
    """

    batch: Subproblems
    point: DualPoint
    program: InteriorResult | None
    envelopes: Enveloped | None = None


class Search:
    """One query's branch and bound.

    Parameters
    ----------
    query : the query
    region : its root region, one row, on the query's own graph
    open_cases : positions in ``query.condition`` that are not refuted yet
    settings, effort : limits and work per subproblem
    log : where to record what is proved, if anywhere
    """

    def __init__(
        self,
        query: Query,
        region: Region,
        open_cases: Sequence[int],
        settings: Settings,
        effort: Effort | None = None,
        log: ProofLog | None = None,
    ) -> None:
        self._settings, self._effort = settings, effort or Effort()
        attacked = self._effort.attacked
        conditions = [query.condition[i] for i in open_cases]
        named = torch.stack([(c.coefficients != 0).any(0) for c in conditions]).any(0)
        outputs = named.nonzero()[:, 0] if bool(named.any()) else torch.arange(query.network.outputs)
        # Intervals of maps taken together say more than those of one after the other, which are what a proof has.
        dense = log is None or not loose_activations(query.network.graph)
        self._presolved = presolve(query.network.graph, region, outputs, dense=dense)
        kept = self._presolved.kept[-1]
        self._graph = self._presolved.graph
        # Searching in float32 is faster; every decision is made in float64 on the graph itself.
        self._graph32 = self._graph.to(torch.float32)
        # Outputs that are left may share a staircase where all of the query's do not; a proof is told on its own graph.
        in_order = order_conditions(query.network.graph, conditions) is not None
        form = conditions_of if in_order else Conditions.of
        self._cases: Conditions = form(
            self._graph, [Conjunction(c.coefficients[:, kept], c.threshold) for c in conditions]
        )
        self._attacker = Attacker(query, self._presolved, self._cases, settings.seed)
        self._interior = InteriorSolver(self._graph) if has_interior_solver(self._graph) else None
        self._tree: WorstFirst[Subproblems] = WorstFirst(settings.memory, log)
        self._proof_log = log
        # Of the last activation only the range matters. With two hidden layers, too, envelopes of the first pay for themselves, since
        # they make the ranges of the second; what a certificate could not hold is not used for a proof.
        used = log is None or first_layer(query.network.graph) is not None
        self._layer = first_layer(self._graph) if used else None
        self._enveloper: Enveloper | None = None
        layers = len(self._graph.activations)
        # With one hidden layer linear programs close few of the first subproblems that envelopes have been used on; their points are
        # what attacks begin at. Later, where ranges have been cut often, they close most.
        self._programs_from = INTEGER.programs_from if self._interior is not None else math.inf
        if layers > 2 or (settings.attack and not attacked):
            self._programs_from = 0
        if self._layer is not None and (
            layers == 2 or (layers <= INTEGER.enveloped and are_worth_it(self._graph, self._layer))
        ):
            self._enveloper = Enveloper(self._graph, self._graph32, self._layer, self._cases, long=attacked)
        self._diver: Diver | None = None
        if self._settings.attack and self._interior is not None:
            self._diver = Diver(self._graph, self._cases, self._interior, self._attacker, self._effort.iterations)
        if log is not None:
            log.work_on(self._presolved, open_cases)
        # subproblems per case, until its search begins anew
        self._spent = torch.zeros(len(self._cases), dtype=torch.float32)
        self._work = Work(self._enveloper is not None, attacked)
        if self._enveloper is not None:
            self._work.first_dive = INTEGER.first_dive
            pool = self._enveloper.pool
            self._tree.beside = lambda: pool.bytes
        #: subproblems whose tensors are in memory at a time
        self._rows = INTEGER.bounded.rows(self._graph, INTEGER.tensors)
        self._splitter = Splitter(self._cases, self._effort.look_ahead, self._rows, log)
        self._deadline = math.inf
        self._cornered = not settings.attack or attacked

    def run(self, deadline: float) -> Outcome:
        """Search until decided, or until ``clock.now()`` reaches ``deadline``."""
        case = torch.arange(len(self._cases))
        if self._enveloper is None or len(self._graph.activations) > 2:
            found = self._corners(case, deadline)
            if found is not None:
                return self._sat(found, "attack")
        region = self._presolved.region
        self._deadline = deadline
        found = self._process_roots(self._root(case, region))
        if found is None and len(self._tree) and self._interior is not None and len(self._graph.activations) > 2:
            # Not closed at once: tighter ranges of the deeper layers are worth their price now.
            case = self._cases_of(self._tree.pop(len(self._tree)))
            region = self._with_tighter_ranges(region, deadline)
            found = self._process_roots(self._root(case, region))
        if found is not None:
            # The point where a bound is attained, replayed: as where the root is bounded before any search, an attack.
            return self._sat(found, "attack")
        if not len(self._tree):
            return Outcome(Verdict.UNSAT, self._tree.count, method="bound")
        if self._settings.attack and not self._effort.attacked:
            found = self._attacker.approach(torch.unique(self._tree.peek(len(self._tree)).case), deadline)
            if found is not None:
                return self._sat(found, "attack")
        self._work.root = self._tree.count
        return self._tree.search(
            lambda batch: self._step(batch, region, deadline),
            min(self._effort.batch, self._rows),
            deadline,
            lambda: self._end_by_enumeration(region),
        )

    def _corners(self, case: Tensor, deadline: float) -> Tensor | None:
        """A witness by corner search, the first time that it is asked for.

        With one hidden layer that is when envelopes have left a root open: they refute most of what corners would be looked for
        in, in vain, and corners take a third of the time that envelopes do.
        """
        if self._cornered:
            return None
        self._cornered = True
        return self._attacker.corners(case, deadline)

    def _with_tighter_ranges(self, region: Region, deadline: float) -> Region:
        """The root's region with ranges of the deeper layers that hold whatever the case; by envelopes those of the second, if they apply."""
        listener = None if self._proof_log is None else CommonCuts(self._proof_log)
        first = 1
        if self._layer is not None and are_worth_it(self._graph, self._layer):
            region = tighten_by_envelopes(self._graph, self._layer, region, deadline=deadline, listener=listener)
            first = 2
        return tighten_by_program(self._graph, region, first=first, deadline=deadline, listener=listener)

    def _step(self, batch: Subproblems, region: Region, deadline: float) -> Outcome | None:
        """Bound a batch and split what stays open; attacks and restarts when it is time for them."""
        if self._settings.attack and self._work.is_time_to_align(self._tree.count):
            found = self._attacker.align(batch.case, self._work.align(), deadline)
            if found is not None:
                return self._sat(found, "attack")
        found = self._process(batch)
        if found is None and self._interior is not None:
            stubborn = (self._spent >= self._work.until_restart).nonzero()[:, 0]
            if len(stubborn):
                self._spent[stubborn] = -torch.inf
                self._work.first_dive = 0.0
                found = self._restart(stubborn, region, deadline)
        if found is not None:
            return self._sat(found, "search")
        found = self._dive(deadline)
        return None if found is None else self._sat(found, "attack")

    def _end_by_enumeration(self, region: Region) -> Outcome | None:
        """Decide what is open by evaluating every point of the box, where there are few and the search is long."""
        if self._tree.count < INTEGER.long or points_in(region) > MOST_POINTS:
            return None
        case = torch.unique(self._tree.pop(len(self._tree)).case)
        found = self._attacker.replay(all_points(region))
        if found is not None:
            return self._sat(found, "enumeration")
        if self._proof_log is not None:
            self._proof_log.point(self._root(case, region).node)
        return Outcome(Verdict.UNSAT, self._tree.count, method="enumeration")

    def _dive(self, deadline: float) -> Tensor | None:
        """Do the work that dives have coming to them, on the one under way or a new one."""
        if self._diver is None or not len(self._tree):
            return None
        found = None
        while found is None and self._work.is_time_to_dive(self._tree.count, self._diver.share):
            if clock.now() >= deadline:
                break
            if not self._diver.running:
                if len(self._tree) < INTEGER.dive_from * DIVE.beam and not self._work.enveloped:
                    break
                self._diver.begin(self._tree.peek(DIVE.beam))
            self._work.dive()
            found = self._diver.advance(deadline)
        return found

    def _restart(self, case: Tensor, region: Region, deadline: float) -> Tensor | None:
        """Begin anew from the roots of those of the cases that are open, their ranges tightened as far as each allows.

        Only points that meet a case matter to it, and for those linear programs give much smaller
        ranges: worth a few hundred solves where a search grows long.
        """
        if not len(self._tree):
            return None
        still_open = self._tree.pop(len(self._tree))
        chosen = torch.isin(still_open.case, case)
        self._tree.add(still_open.take((~chosen).nonzero()[:, 0]))
        case = self._cases_of(still_open.take(chosen))
        if not len(case):
            return None
        roots = self._root(case, region)
        rows, shrunk = self._cases.confined(roots.case, roots.region)
        roots = replace(roots.take(rows), region=shrunk)
        parts = []
        for row in torch.arange(len(roots)):
            root = roots.take(row[None])
            required = self._cases.objective(root.case, root.region)
            if self._graph.output.operands[0] in required.coefficients:
                with contextlib.suppress(ExactnessError):
                    root = self._tighten(root, required, deadline)
            if not bool(root.region.empty()):
                parts.append(root)
        return self._process_roots(Subproblems.concatenate(parts)) if parts else None

    def _tighten(self, root: Subproblems, required: Objective, deadline: float) -> Subproblems:
        """A root (one row) with its ranges tightened under its case."""
        if self._proof_log is None:
            return replace(root, region=tighten_by_program(self._graph, root.region, required, deadline=deadline))
        parts = self._cases.objective_parts(root.case, root.region)
        listener = ConditionalCuts(self._proof_log, int(root.node), parts)
        region = tighten_by_program(self._graph, root.region, required, deadline=deadline, listener=listener)
        node = torch.tensor([listener.end()])
        if bool(region.empty()):
            # Empty by itself, or because intervals leave the requirement no value from 0 up.
            self._proof_log.leaf(node, Multiplied([None] * len(self._graph.activations), parts))
        return replace(root, region=region, node=node)

    def _root(self, case: Tensor, region: Region) -> Subproblems:
        """Root subproblems of cases on a one-row region; their multipliers are found when they are processed."""
        row, region = self._cases.roots(case, region.take(torch.zeros(len(case), dtype=torch.int64)))
        case = case[row]
        first = self._cases.first_alike(case, region)
        kept = (first == torch.arange(len(first))).nonzero()[:, 0]
        node = torch.zeros_like(case)
        if self._proof_log is not None:
            node = self._proof_log.root(case, self._cases.windows(case, region), first)
        case, region, node = case[kept], region.take(kept), node[kept]
        zeros = tuple(torch.zeros(r.shape, dtype=torch.float32) for r in region.range_lower)
        infinite = torch.full((len(case),), torch.inf, dtype=torch.float64)
        return Subproblems(case, region, Parameters(zeros, zeros), infinite, node, torch.full_like(case, -1))

    def _sat(self, witness: Tensor, method: str) -> Outcome:
        return self._tree.sat(self._attacker.witness(witness), method)

    def _process_roots(self, roots: Subproblems) -> Tensor | None:
        """As :meth:`_process`, of roots; of a large graph in parts, and what time does not allow stays open."""
        for rows in torch.split(torch.arange(len(roots)), self._rows):
            if int(rows[0]) and clock.now() >= self._deadline:
                self._tree.add(roots.take(torch.arange(int(rows[0]), len(roots))))
                return None
            found = self._process(roots.take(rows) if len(rows) < len(roots) else roots, root=True)
            if found is not None:
                return found
        return None

    def _process(self, batch: Subproblems, *, root: bool = False) -> Tensor | None:
        """Bound a batch; what stays open is split into the frontier. Returns a witness if one turns up."""
        pool = None if self._enveloper is None else self._enveloper.pool
        # What the first part tells of envelopes is for the next batch: the others have prices that are to be used.
        enveloper = self._enveloper if self._work.enveloped else None
        for part in alike(batch, self._presolved.region, pool, enveloped=enveloper is not None):
            found = self._process_alike(part, enveloper if part.region.lower.shape[0] == 1 else None, root=root)
            if found is not None:
                return found
        return None

    def _process_alike(self, batch: Subproblems, enveloper: Enveloper | None, *, root: bool) -> Tensor | None:
        """As :meth:`_process`, of subproblems that can be bounded together."""
        self._tree.count += len(batch)
        self._spent += torch.bincount(batch.case, minlength=len(self._cases))
        rows, region = self._cases.confined(batch.case, batch.region)
        batch = replace(self._left(batch, rows), region=region)
        if not len(rows):
            return None
        found, inherits = None, bool((batch.prices >= 0).any())
        if enveloper is not None and inherits and self._tree.count - self._work.root < self._programs_from:
            bounded = self._refute_by_envelopes(batch, batch.parameters.beta, enveloper)
        else:
            bounded = self._refute(batch, root, enveloped=enveloper is not None)
            found = self._replay(bounded)
            if found is None and enveloper is not None and len(bounded.batch):
                s = bounded.batch.parameters.beta if inherits else bounded.point.s
                bounded = self._refute_by_envelopes(bounded.batch, s, enveloper, bounded.program)
        if found is None and bounded.envelopes is not None:
            found = self._replay(bounded)
        if found is None and root and len(bounded.batch):
            found, bounded = self._after_envelopes(bounded)
        if found is None:
            found = self._near(bounded, descending=root)
        if found is not None or not len(bounded.batch):
            return found
        # Where the box is a single point, the replay has settled it.
        box = bounded.batch.region
        several = (box.lower < box.upper).any(-1).expand(len(bounded.batch))
        rows = several.nonzero()[:, 0]
        if self._proof_log is not None:
            self._proof_log.point(bounded.batch.node[~several])
        if not len(rows):
            return None
        bounded = bounded.take(rows)
        if bounded.envelopes is not None and self._enveloper is not None:
            region = self._enveloper.reduce(bounded.batch.region, bounded.envelopes.point)
        else:
            region = reduce_ranges(bounded.point)
        if self._proof_log is not None:
            parts = self._cases.objective_parts(bounded.batch.case, bounded.batch.region)
            prices = None if bounded.envelopes is None else bounded.envelopes.stored
            by = Multiplied(bounded.point.s, parts, prices)
            self._proof_log.reduction(bounded.batch.node, bounded.batch.region, region, by)
        batch = replace(bounded.batch, region=region, value=bounded.point.value)
        if bounded.envelopes is not None and self._enveloper is not None:
            self._tree.add(self._splitter.by_envelopes(batch, bounded.envelopes, self._enveloper))
        else:
            self._tree.add(self._splitter.by_bounds(batch, bounded.program, self._deadline))
        return None

    def _after_envelopes(self, bounded: _Bounded) -> tuple[Tensor | None, _Bounded]:
        """What is done at roots that envelopes leave open: corners, and the linear program."""
        found = self._corners(torch.unique(bounded.batch.case), self._deadline)
        if found is None and bounded.program is None and self._interior is not None:
            program, _, rows = self._program(bounded.batch, bounded.batch.parameters.beta, self._interior)
            bounded = replace(bounded, program=program).take(rows)
            found = self._replay(bounded)
        return found, bounded

    def _replay(self, bounded: _Bounded) -> Tensor | None:
        """A witness among the points that attain bounds."""
        if not len(bounded.batch):
            return None
        points = [bounded.point.x]
        if bounded.program is not None:
            points.append(bounded.program.x.round())
        if bounded.envelopes is not None:
            points.append(bounded.envelopes.middle.round())
        return self._attacker.replay(torch.cat(points))

    def _near(self, bounded: _Bounded, *, descending: bool) -> Tensor | None:
        """A witness near the linear programs' points, which have few inputs that are no whole numbers."""
        if not self._settings.attack or bounded.program is None or not len(bounded.batch):
            return None
        best = bounded.program.value.argsort(descending=True)[: DIVE.beam]
        x, case = bounded.program.x[best], bounded.batch.case[best]
        return self._attacker.near(x, case, self._deadline, descending=descending)

    def _refute(self, batch: Subproblems, root: bool, *, enveloped: bool) -> _Bounded:
        """Improve multipliers and keep the subproblems whose exact bound is not negative.

        Where envelopes follow at a root, CROWN is all they need to begin with: they close most of what this and the linear
        program would have closed, and in less time.
        """
        if bool((batch.prices >= 0).any()) and self._interior is not None:
            # What their parents' envelopes left of multipliers is where the program starts from.
            return self._refute_by_program(batch, list(batch.parameters.beta), self._interior)
        bounded = self._refute_first_order(batch, root, enveloped=enveloped)
        if self._interior is None or not len(bounded.batch) or (root and enveloped):
            return bounded
        return self._refute_by_program(bounded.batch, bounded.point.s, self._interior)

    def _refute_by_program(self, batch: Subproblems, s: Sequence[Tensor | None], interior: InteriorSolver) -> _Bounded:
        """What the linear program leaves open of subproblems."""
        program, exact, rows = self._program(batch, s, interior)
        if not bool((batch.prices >= 0).any()):
            zeros = tuple(torch.zeros_like(m, dtype=torch.float32) for m in program.s)
            batch = replace(batch, parameters=Parameters(zeros, tuple(m.float() for m in program.s)))
        return _Bounded(self._left(batch, rows), exact.take(rows), program.take(rows))

    def _program(
        self, batch: Subproblems, s: Sequence[Tensor | None], interior: InteriorSolver
    ) -> tuple[InteriorResult, DualPoint, Tensor]:
        """The linear programs of subproblems from multipliers ``s``, the bounds at theirs, and the rows these leave open."""
        relaxation = Relaxation(self._graph, batch.region)
        objective = self._cases.objective(batch.case, batch.region)
        start = [
            torch.zeros_like(low) if m is None else m.double()
            for m, low in zip(s, batch.region.range_lower, strict=True)
        ]
        program = interior.solve(relaxation, objective, start, self._effort.iterations, INTEGER.goal)
        exact, _ = evaluate_exact(relaxation, objective, program.s)
        return program, exact, self._still_open(batch, exact)

    def _refute_by_envelopes(
        self,
        batch: Subproblems,
        s: Sequence[Tensor | None],
        enveloper: Enveloper,
        program: InteriorResult | None = None,
    ) -> _Bounded:
        """What envelopes leave open of subproblems from multipliers ``s``, all of which have their parents' prices to start from, or none.

        What the linear program gives is a worse start than the parent's multipliers, however much better its bound.
        """
        inherits = bool((batch.prices >= 0).any())
        inherited = enveloper.pool.take(batch.prices) if inherits else None
        low = batch.region.range_lower
        start = [torch.zeros_like(r) if m is None else m for m, r in zip(s, low, strict=True)]
        found = enveloper.bound(batch.case, batch.region, start, inherited)
        above = found.point.above.s
        beta = tuple(m.float() if new is None else new.float() for m, new in zip(start, above, strict=True))
        taken = torch.full_like(batch.prices, -1)
        zeros = tuple(torch.zeros_like(m) for m in beta)
        batch = replace(batch, parameters=Parameters(zeros, beta), prices=taken)
        rows = self._still_open(batch, found.point.above, found.stored)
        if program is not None:
            self._work.compare(program.value, found.point.above.value, len(rows))
        return _Bounded(batch, found.point.above, program, found).take(rows)

    def _refute_first_order(self, batch: Subproblems, root: bool, *, enveloped: bool) -> _Bounded:
        """The better of CROWN's and the parent's multipliers, improved by first-order steps where no envelopes follow."""
        region, objective = batch.region, self._cases.objective(batch.case, batch.region)
        region32 = region.to(torch.float32)
        work = Relaxation(self._graph32, region32), objective.to(torch.float32)
        start = crown_parameters(*work)
        if root:
            for price in self._cases.prices(batch.case, region32):
                start = better(start, crown_parameters(*work, price))
            steps = 0 if enveloped else self._effort.root_steps
        else:
            inherited = evaluate_dual(*work, batch.parameters.multipliers()).value
            start = better(start, (batch.parameters, inherited))
            steps = self._effort.steps if self._interior is None else 0
        parameters = optimize(*work, start[0], Until(steps, INTEGER.goal))[0] if steps else start[0]
        # The decision: multipliers on a grid, the bound evaluated without rounding.
        relaxation = Relaxation(self._graph, region)
        double = Parameters(tuple(a.double() for a in parameters.alpha), tuple(b.double() for b in parameters.beta))
        point = evaluate_dual(relaxation, objective, double.multipliers())
        exact, _ = evaluate_exact(relaxation, objective, point.s)
        rows = self._still_open(batch, exact)
        return _Bounded(self._left(replace(batch, parameters=parameters), rows), exact.take(rows), None)

    def _still_open(self, batch: Subproblems, exact: DualPoint, prices: StoredPrices | None = None) -> Tensor:
        """The rows that an exact bound does not refute; the others go on record."""
        if self._proof_log is not None:
            refuted = (exact.value < 0).nonzero()[:, 0]
            parts = self._cases.objective_parts(batch.case[refuted], batch.region.take(refuted))
            of_refuted = None if prices is None else prices.take(refuted)
            self._proof_log.leaf(batch.node[refuted], Multiplied(exact.take(refuted).s, parts, of_refuted))
        return (exact.value >= 0).nonzero()[:, 0]

    def _cases_of(self, batch: Subproblems) -> Tensor:
        """The cases of subproblems that are begun anew; what parents have kept for them goes."""
        self._left(batch, torch.arange(0))
        case: Tensor = torch.unique(batch.case)
        return case

    def _left(self, batch: Subproblems, rows: Tensor) -> Subproblems:
        """Some rows of a batch; what parents have kept for the others goes."""
        gone = torch.ones(len(batch), dtype=torch.bool).index_fill_(0, rows, False)
        if self._enveloper is not None:
            self._enveloper.pool.released(batch.take(gone))
        return batch.take(rows)
