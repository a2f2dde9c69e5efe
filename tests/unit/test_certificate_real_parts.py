"""How a certificate about a float network is put together: which record is about which box and case, what is asked of which tool.

The tools themselves, which grow trees and find ranges, are tried elsewhere; here others stand in their places.
"""

from __future__ import annotations

import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from netproof import Verdict
from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Constraint, Part
from netproof.certificate.real import make as tool
from netproof.certificate.real.contents import EXPONENTS, LIMB, MOST_LIMBS, NAMES, TENS
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.rows import Row, RowTable
from netproof.certificate.real.grown.seeds import Limits
from netproof.errors import NoEvidenceError
from netproof.property import LinearConstraint
from netproof.result import Refutation, Result, Trace
from soundness.real_evidence import chain, property_text

ONE = Fraction(1)
#: |x|, of two ReLUs
NETWORK = chain([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
#: is |x| on [-1, 1] at least 2, or 3?
PROPERTY = property_text([-1.0], [1.0], 1, [[((1.0,), 2.0)], [((1.0,), 3.0)]])


def above(threshold, *, inputs=(), outputs=((0, ONE),), strict=False) -> Constraint:
    return Constraint(inputs, outputs, Fraction(threshold), strict)


def same(constraint: Constraint) -> LinearConstraint:
    return LinearConstraint(constraint.inputs, constraint.outputs, constraint.threshold, constraint.strict)


def trace(**given) -> Trace:
    empty: dict[str, object] = {
        "sizes": (2,), "roots": {}, "splits": {}, "refuted": {}, "open": {}, "ranges": {}, "common": (),
    }  # fmt: skip
    return Trace(**{**empty, **given})


def result(verdict=Verdict.UNSAT, **given) -> Result:
    return Result(verdict, 0.0, "search", **given)


# -- the whole


@pytest.fixture
def proved(monkeypatch) -> list[tuple]:
    """Proofs that are asked for; each is of nothing."""
    asked: list[tuple] = []

    def prove(*given):
        asked.append(given)
        return tool.arrays_of(kind=[7])

    monkeypatch.setattr(tool, "_proof", prove)
    return asked


QUESTION = SimpleNamespace(name="the question", parts=())


def evidence(found: Result, **given):
    return tool.evidence_of(NETWORK, PROPERTY, QUESTION, found, **given)  # type: ignore[arg-type]


def witness(value) -> SimpleNamespace:
    return SimpleNamespace(numbers=(Fraction(value),))


def test_a_refutation_is_stated_with_its_proof(proved):
    # What is beside a verdict of 'unsat' is no witness.
    for found in (result(), result(witness=witness(1))):
        made = evidence(found, producer="a test")
        assert (made.claim, made.name, made.producer, made.inputs, made.outputs) == (
            "unsat",
            "the question",
            "a test",
            1,
            1,
        )
        assert made.arrays["kind"].tolist() == [7]
    assert evidence(result()).producer == ""
    asked, evaluation, question, found, deadline = proved[0]
    assert len(asked.parts) == 1 and question is QUESTION and found.verdict is Verdict.UNSAT
    assert deadline == Deadline("the question") and evaluation.look == deadline.look


def test_it_is_made_until_the_deadline(proved, monkeypatch):
    now = time.monotonic()
    evidence(result(), deadline=now + 1e6)
    _, evaluation, *_, deadline = proved[0]
    assert deadline.at == now + 1e6
    monkeypatch.setattr("netproof.certificate.real.deadline.time.monotonic", lambda: now + 2e6)
    with pytest.raises(NoEvidenceError, match=r"the question.*takes more time than it may"):
        evaluation.look()


@pytest.mark.parametrize(
    ("found", "said"),
    [(result(Verdict.SAT), "it is 'sat'"), (result(Verdict.UNKNOWN, witness=witness(1)), "'unknown'")],
)
def test_what_is_neither_has_no_evidence(proved, found, said):
    with pytest.raises(NoEvidenceError, match=f"^the question: .*{said}"):
        evidence(found)
    assert not proved


def test_a_witness_is_stated_where_it_is_one_over_the_real_numbers():
    data = property_text([-1.0], [1.0], 1, [[((1.0,), 0.5)]])
    for value, is_one in (
        (Fraction(-1, 2), True),
        (Fraction(1, 2) - Fraction(1, 1 << 60), False),
        (Fraction(2), False),
    ):
        found = result(Verdict.SAT, witness=witness(value))
        if not is_one:
            with pytest.raises(NoEvidenceError, match=r"^the question: .*over the real numbers"):
                tool.evidence_of(NETWORK, data, QUESTION, found)  # type: ignore[arg-type]
            continue
        made = tool.evidence_of(NETWORK, data, QUESTION, found)  # type: ignore[arg-type]
        assert made.claim == "sat" and made.arrays["witness"].tolist() == [-1] and not len(made.arrays["kind"])
        assert check_real(made, NETWORK, data, arithmetic="rational")


def test_a_property_that_the_checker_does_not_read_has_no_evidence():
    with pytest.raises(NoEvidenceError, match=r"^the question: .*the property"):
        tool.evidence_of(NETWORK, b"(assert", QUESTION, result())  # type: ignore[arg-type]


def test_each_number_of_a_witness_has_its_own_digits():
    arrays = tool._witness([Fraction(1, 2), Fraction(3), Fraction(0), Fraction(2**48, 5)], "w")
    assert {name: values.tolist() for name, values in arrays.items() if name.startswith("witness")} == {
        "witness": [1, 3, 0, 2], "witness_limbs": [1, 1, 0, 2], "witness_two": [1, 0, 0, 0], "witness_ten": [0, 0, 0, 1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("most", "too_many"),
    [
        (Fraction(2 ** (LIMB * MOST_LIMBS) - 1), Fraction(2 ** (LIMB * MOST_LIMBS))),
        (Fraction(1, 5**TENS), Fraction(1, 5 ** (TENS + 1))),
        (Fraction(1, 2**EXPONENTS), Fraction(1, 2 ** (EXPONENTS + 1))),
    ],
)
def test_witnesses_have_as_many_digits_as_a_certificate_holds(most, too_many):
    assert tool._witness([most], "w")
    with pytest.raises(NoEvidenceError, match="more digits"):
        tool._witness([too_many], "w")


# -- its parts


class Parts:
    """In the place of parts: what was asked about each, rows that they add, and the first of them that fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple] = []
        self.fail = 0
        monkeypatch.setattr(tool, "_Part", self)

    def __call__(self, *given):
        self.asked.append(given)
        return self

    def arrays(self) -> dict[str, list[int]]:
        part, _, _, maker = self.asked[-1]
        number = len(self.asked)
        maker.table.number(Row(number, False, (1,) * maker.width, *(np.zeros(0, np.int64),) * 3))
        if number <= self.fail:
            raise NoEvidenceError("part", f"failure {number}")
        return {"cases": [len(part.cases)], "kind": [number, number]}


@pytest.fixture
def parts(monkeypatch) -> Parts:
    return Parts(monkeypatch)


def box(low, high) -> SimpleNamespace:
    return SimpleNamespace(lower=(Fraction(low),), upper=(Fraction(high),))


def question_of(*boxes) -> SimpleNamespace:
    """Questions about boxes; None is a query that states none."""
    queries = [SimpleNamespace(part=None if b is None else SimpleNamespace(box=b)) for b in boxes]
    return SimpleNamespace(name="q", parts=queries)


#: one case of one constraint
ABOVE = ((above(1),),)


def asked_of(*boxes, cases=ABOVE) -> SimpleNamespace:
    return SimpleNamespace(parts=[SimpleNamespace(lower=b.lower, upper=b.upper, cases=cases) for b in boxes])


EVALUATION, PROGRAMS, DEADLINE = object(), object(), Deadline("q")


def proof(asked, question, found: Result, deadline=DEADLINE):
    return tool._proof_by(PROGRAMS, asked, EVALUATION, question, found, deadline)  # type: ignore[arg-type]


def test_every_part_is_proved_by_the_record_of_its_box(parts):
    first, second = box(0, 1), box(Fraction(1, 3), 1)
    records = trace(), trace(common=("crown",))
    found = result(parts=tuple(result(trace=one) for one in records))
    question = question_of(second, first)
    arrays = proof(asked_of(first, second), question, found)
    assert [given[1] for given in parts.asked] == [question.parts[1], question.parts[0]]
    assert [given[2] for given in parts.asked] == [records[1], records[0]]
    assert arrays["cases"].tolist() == [1, 1] and arrays["kind"].tolist() == [1, 1, 2, 2]
    assert arrays["row_exponent"].tolist() == [1, 2]
    assert {name for name, values in arrays.items() if len(values)} == {
        "cases", "kind", "row_exponent", "row_base", "row_mu", "row_count", "row_planes", "row_pairs",
    }  # fmt: skip


def test_one_part_has_the_result_s_own_record(parts):
    found = result(trace=trace(), parts=(result(), result()))
    proof(asked_of(box(0, 1)), question_of(box(0, 1)), found)
    ((part, _, record, maker),) = parts.asked
    assert part.lower == (Fraction(0),) and record is found.trace
    assert (
        maker.evaluation is EVALUATION
        and maker.deadline is DEADLINE
        and maker.programs is PROGRAMS
        and maker.width == 1
    )


@pytest.mark.parametrize(
    ("lengths", "width"), [((), 1), ((0,), 1), ((1,), 1), ((1, 3, 2), 3), ((2, 0), 2)]
)  # fmt: skip
def test_rows_weigh_as_many_constraints_as_the_longest_case_has(parts, lengths, width):
    cases = tuple((above(1),) * length for length in lengths)
    arrays = proof(asked_of(box(0, 1), cases=cases), question_of(box(0, 1)), result(trace=trace()))
    assert parts.asked[0][3].width == width and len(arrays["row_mu"]) == width


@pytest.mark.parametrize(
    ("boxes", "found", "said"),
    [
        ([box(0, 1), box(1, 2)], result(trace=trace(), parts=(result(trace=trace()),)), "no record of every box"),
        ([box(0, 2)], result(trace=trace()), "reads other boxes"),
        ([None], result(trace=trace()), "reads other boxes"),
        ([box(0, 1)], result(), "left no record"),
    ],
)
def test_what_has_no_record_has_no_evidence(parts, boxes, found, said):
    with pytest.raises(NoEvidenceError, match=f"^q: .*{said}"):
        proof(asked_of(box(0, 1)), question_of(*boxes), found)
    assert not parts.asked


def test_ranges_of_the_record_are_done_without_where_they_fail(parts):
    parts.fail = 1
    known = trace(box=((np.zeros(2), np.ones(2)),), common=("crown",))
    arrays = proof(asked_of(box(0, 1)), question_of(box(0, 1)), result(trace=known))
    assert [given[2].box for given in parts.asked] == [known.box, ()] and parts.asked[1][2].common == ("crown",)
    assert parts.asked[1][:2] == parts.asked[0][:2] and parts.asked[1][3] is parts.asked[0][3]
    # Of what failed no row is left.
    assert arrays["row_exponent"].tolist() == [2] and arrays["kind"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("fail", "known", "deadline", "tries"),
    [(1, (), DEADLINE, 1), (1, (1,), Deadline("q", 0.0), 1), (2, (1,), DEADLINE, 2)],
)
def test_but_not_twice_nor_late_nor_where_there_were_none(parts, fail, known, deadline, tries):
    parts.fail = fail
    with pytest.raises(NoEvidenceError, match=f"failure {tries}"):
        proof(asked_of(box(0, 1)), question_of(box(0, 1)), result(trace=trace(box=known)), deadline)
    assert len(parts.asked) == tries


def test_programs_are_of_this_network_and_end_with_the_proof(monkeypatch):
    seen = []

    class Opened:
        def __init__(self, evaluation):
            seen.append(evaluation)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            seen.append("ended")

    monkeypatch.setattr(tool, "Programs", Opened)
    monkeypatch.setattr(tool, "_proof_by", lambda *given: given)
    given = tool._proof("asked", "evaluation", "question", "result", "deadline")  # type: ignore[arg-type]
    assert given[1:] == ("asked", "evaluation", "question", "result", "deadline") and isinstance(given[0], Opened)
    assert seen == ["evaluation", "ended"]


# -- one part


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """Records are made of what can be told apart, which is no record's form."""
    asked: list[tuple] = []
    monkeypatch.setattr(tool, "check_record", lambda *given: asked.append(given))
    return asked


def evaluation_of(**given) -> SimpleNamespace:
    network = {"sizes": (2,), "inputs": 1, "bends": (), "nodes": (0, 1, 2)}
    look = lambda: None  # noqa: E731 - one that can be told from others
    return SimpleNamespace(network=SimpleNamespace(**{**network, **given}), look=look, numbers="numbers")


def part_of(cases, condition, record=None, evaluation=None):
    part = Part((Fraction(-1),), (Fraction(3, 2),), tuple(map(tuple, cases)))
    query = SimpleNamespace(
        name="q",
        part=SimpleNamespace(condition=[tuple(map(same, case)) for case in condition]),
        network=SimpleNamespace(graph="graph"),
    )
    maker = SimpleNamespace(evaluation=evaluation or evaluation_of(), table=RowTable())
    return tool._Part(part, query, record or trace(), maker)  # type: ignore[arg-type]


def places_of(made) -> list[tuple[list[int], list[float]]]:
    return [(places.place.tolist(), places.scale.tolist()) for places in made._places]


A, B = above(1), above(2, outputs=((0, Fraction(1, 3)), (1, Fraction(-1, 2))))
OF_INPUTS = above(1, inputs=((0, ONE),), outputs=())
OF_BOTH = above(1, inputs=((0, ONE),))


@pytest.mark.parametrize("constraint", [A, B, OF_INPUTS, OF_BOTH, above(1, strict=True), above(0), above(-3)])
def test_cases_are_those_of_the_search_by_what_they_say(constraint, told):
    made = part_of([[constraint], [A, B]], [[B, A], [constraint]])
    assert made._cases == [1, 0] and told == [(made._trace, 1, "q")]
    own = 6.0 if constraint is B else 1.0
    # Of the second one the constraints of the search are in the other order, and of the first the first is repeated.
    assert places_of(made) == [([0, 0], [own, own]), ([1, 0], [6.0, 1.0])]
    other = above(
        constraint.threshold, inputs=constraint.inputs, outputs=constraint.outputs, strict=not constraint.strict
    )
    with pytest.raises(NoEvidenceError, match=r"^q: .*reads other cases"):
        part_of([[other]], [[constraint]])


def test_short_cases_repeat_their_first_constraint():
    made = part_of([[B, A]], [[B, A], [above(k) for k in range(5)]])
    assert places_of(made) == [([0, 1, 0, 0, 0], [6.0, 1.0, 6.0, 6.0, 6.0])]


def false(threshold) -> Constraint:
    return above(threshold, outputs=())


def test_what_says_nothing_of_the_network_is_looked_away_from():
    made = part_of([[false(-1), A], [A, false(0), B], [false(5), B]], [[B], [A, B], [A]])
    assert made._cases == [2, 1, 0]
    assert places_of(made) == [([1, 1], [1.0, 1.0]), ([0, 2], [1.0, 6.0]), ([1, 1], [6.0, 6.0])]


@pytest.mark.parametrize("threshold", [Fraction(1, 2), 1, 7])
def test_a_case_that_is_false_by_itself_is_in_no_search(threshold):
    made = part_of([[A, false(threshold), B], [A]], [[A]])
    assert made._cases == [-1, 0] and places_of(made) == [([0, 1, 2], [1.0, 1.0, 1.0]), ([0], [1.0])]


@pytest.mark.parametrize("more", [(), (false(0),), (false(-1),)])
def test_one_that_is_not_false_by_itself_has_to_be_in_it(more):
    with pytest.raises(NoEvidenceError, match="reads other cases"):
        part_of([[*more, B]], [[A]])


def test_a_case_that_always_holds_has_a_place():
    made = part_of([[]], [[]])
    assert made._cases == [0] and places_of(made) == [([0], [1.0])]
    assert places_of(part_of([[], [A, B]], [[], [A, B]]))[0] == ([0, 0], [1.0, 1.0])
    assert part_of([[A], [A, B]], [[A, B], [A]])._cases == [1, 0]


def test_records_about_other_activations_are_aligned(monkeypatch):
    asked = []
    monkeypatch.setattr(tool, "aligned", lambda *given: asked.append(given) or trace(common=("aligned",)))
    own = trace()
    evaluation = evaluation_of()
    assert part_of([[A]], [[A]], own, evaluation)._trace is own and not asked
    record = trace(sizes=(1, 1))
    assert part_of([[A]], [[A]], record, evaluation)._trace.common == ("aligned",)
    ((given, graph, network, lower, upper, look),) = asked
    assert (given, graph, network, look) == (record, "graph", evaluation.network, evaluation.look)
    assert lower.tolist() == [-1.0] and upper.tolist() == [1.5]


class Tools:
    """In the places of what finds ranges: in what order they are asked, and with what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple] = []
        self.trees: dict[str, list[int]] = {"tree": [4], "kind": [5, 6]}
        monkeypatch.setattr(tool, "root_of", lambda *given: self.tell("root", given))
        monkeypatch.setattr(tool, "staged", lambda _, cells, arrays, known: self.tell("staged", (cells, known), arrays))
        for name in ("lemmas", "divided"):
            monkeypatch.setattr(tool, f"add_{name}", self.adding(name))
        monkeypatch.setattr(tool, "add_lined", lambda maker, cells, arrays: self.tell("lined", (maker, cells), arrays))
        monkeypatch.setattr(tool._Part, "_trees", lambda _, cells: self.tell("trees", (cells,)) and self.trees)

    def adding(self, name: str):
        return lambda maker, cells, known, arrays: self.tell(name, (maker, cells, known), arrays)

    def tell(self, name: str, given: tuple, arrays: dict[str, list[int]] | None = None) -> str:
        self.asked.append((name, given))
        if arrays is not None:
            arrays["stage"].append(len(self.asked))
        return f"cells of {name}"

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.asked]


@pytest.fixture
def tools(monkeypatch) -> Tools:
    return Tools(monkeypatch)


def refuted(*means: str) -> Trace:
    """A record in which the cases have been refuted at their roots; an empty word: not there."""
    return trace(
        roots={case: 10 + case for case in range(len(means))},
        refuted={10 + case: Refutation(one, np.ones(1)) for case, one in enumerate(means) if one},
        ends=("ends",), divided=("divided",), box=("box",),
    )  # fmt: skip


def test_ranges_are_found_step_by_step(tools):
    made = part_of([[A], [B]], [[A], [B]], refuted("intervals", "crown"))
    arrays = made.arrays()
    assert tools.order == ["root", "staged", "lemmas", "divided", "trees"]
    given = dict(tools.asked)
    assert given["root"] == (made._evaluation, made._part)
    assert given["staged"] == ("cells of root", ("box",))
    assert given["lemmas"] == (made._maker, "cells of staged", ("ends",))
    assert given["divided"] == (made._maker, "cells of lemmas", ("divided",))
    assert given["trees"] == ("cells of divided",)
    assert arrays["cases"] == [2] and arrays["stages"] == [3] and arrays["stage"] == [2, 3, 4]
    assert arrays["tree"] == [4] and arrays["kind"] == [5, 6]
    assert set(arrays) == {name for name in NAMES if not name.startswith(("witness", "row"))}


@pytest.mark.parametrize(
    ("record", "ranges"),
    [
        (refuted("intervals", "intervals"), False),
        (refuted("intervals", ""), True),
        (refuted("crown", "crown"), True),
        (trace(roots={0: 10}, refuted={10: Refutation("intervals", np.ones(1))}), True),
    ],
)
def test_where_intervals_do_no_ranges_are_found(tools, record, ranges):
    arrays = part_of([[A], [B]], [[A], [B]], record).arrays()
    assert ("staged" in tools.order) == ranges and arrays["stages"] == [3 * ranges]


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("bends", [("Relu",), ("Relu", "sigmoid")])
@pytest.mark.parametrize("closed", [False, True])
def test_lines_are_for_curves_of_many_inputs_that_nothing_else_closes(tools, monkeypatch, more, bends, closed):
    monkeypatch.setattr(tool._Part, "_is_closed", lambda _, cells: closed and cells == "cells of lemmas")
    nodes = [SimpleNamespace(bend=tool.RELU if bend == "Relu" else bend) for bend in bends]
    evaluation = evaluation_of(inputs=tool.FEW_INPUTS + more, bends=tuple(range(len(nodes))), nodes=nodes)
    made = part_of([[A]], [[A]], refuted("crown"), evaluation)
    made.arrays()
    lined = bool(more) and len(bends) == 2 and not closed
    assert ("lined" in tools.order) == lined
    if lined:
        assert dict(tools.asked)["lined"] == (made._maker, "cells of lemmas")
        assert dict(tools.asked)["divided"][1] == "cells of lined"


@pytest.mark.parametrize(
    ("thresholds", "closed"),
    [
        ([[3]], True),
        ([[1]], False),
        ([[2.5], [3]], True),
        ([[3], [1]], False),
        ([[1], [3]], False),
        ([[-9, 3]], True),
        ([[]], False),
    ],
)
def test_single_constraints_close_a_part_by_the_rules_alone(thresholds, closed):
    evaluation = Evaluation(read_network(NETWORK, 1, Float64(), "n"), Float64())
    cases = [[above(Fraction(t)) for t in case] for case in thresholds]
    made = part_of(cases, cases, evaluation=evaluation)
    assert made._is_closed(evaluation.root(np.array([-1.0]), np.array([1.0]))) == closed


@pytest.mark.parametrize(("least", "closed"), [(-0.25, True), (0.0, False), (0.5, False)])
def test_what_closes_is_a_bound_below_0(least, closed):
    asked = []

    class Bounded(Evaluation):
        def refutations(self, cells, cell, objective, slopes=None):
            asked.append((cells, cell, objective))
            return np.array([7.0, least])

    evaluation = Bounded(read_network(NETWORK, 1, Float64(), "n"), Float64())
    made = part_of([[A, above(5)]], [[A, above(5)]], evaluation=evaluation)
    assert made._is_closed("cells") == closed  # type: ignore[arg-type]
    ((cells, cell, objective),) = asked
    assert cells == "cells" and cell.tolist() == [0, 0] and cell.dtype == np.int64
    assert objective.constant.tolist() == [-1.0, -5.0]
    assert {node: rows.tolist() for node, rows in objective.coefficients.items()} == {3: [[1.0], [1.0]]}


class Grown:
    """In the place of what grows trees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list = []
        monkeypatch.setattr(tool, "Grower", lambda *given: self.asked.append(given) or self)
        monkeypatch.setattr(tool, "written", lambda seeds: {"kind": [len(seed.claims) for seed in seeds]})

    def grow(self, cells, seeds) -> None:
        self.asked.append((cells, seeds))


def test_trees_are_grown_from_the_record_of_each_case_and_those_of_boxes_together(monkeypatch):
    grown = Grown(monkeypatch)
    constraints = [above(k + 1) for k in range(8)]
    record = trace(
        roots={0: 10, 1: 11, 2: 12, 3: 13, 4: 14, 6: 16, 7: 17},
        # by a sign, by boxes, by boxes, refuted all the same, not at all, (no root), by boxes, by a sign of the first ReLU
        splits={
            10: (1, 0, 0.0, 20, 21), 11: (-1, 0, 0.5, 22, 23), 12: (-1, 0, 0.5, 24, 25), 13: (-1, 0, 0.5, 26, 27),
            16: (-1, 0, 0.25, 28, 29), 17: (0, 1, 0.0, 30, 31),
        },
        refuted={13: Refutation("crown", np.ones(1))},
        open={10: np.array([3, 4]), 11: np.array([5])},
    )  # fmt: skip
    made = part_of([[c] for c in constraints], [[c] for c in constraints], record, evaluation_of(nodes=(0, 1, 2, 3)))
    arrays = made._trees("cells")  # type: ignore[arg-type]
    (maker, goals, places, given, limits), (cells, seeds) = grown.asked
    assert limits == Limits()
    assert maker is made._maker and places is made._places and given is record and cells == "cells"
    assert [(goal.constraints, goal.last) for goal in goals] == [((c,), 3) for c in constraints]
    assert arrays == {"tree": [0, 1, 1, 2, 3, 4, 1, 5], "kind": [1, 3, 1, 1, 1, 1]}
    claims = [[(claim.goal, claim.trace) for claim in seed.claims] for seed in seeds]
    assert claims == [[(0, 10)], [(1, 11), (2, 12), (6, 16)], [(3, 13)], [(4, 14)], [(5, None)], [(7, 17)]]
    assert [seed.open.tolist() for seed in seeds] == [[3, 4], [5], [], [], [], []]
    assert all(seed.open.dtype == np.int64 and seed.sides == {} for seed in seeds)


@pytest.mark.parametrize("number", [Fraction(1, 6), Fraction(5), Fraction(-3, 4)])
def test_a_search_multiplies_until_coefficients_are_whole(number):
    assert tool._scale(same(above(1, inputs=((0, number),)))) == number.denominator
