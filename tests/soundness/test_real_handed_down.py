"""Evidence in which the boxes that a search split hand down their ranges, as it comes about where leaves do not close by their own.

And what becomes of records that were damaged: no evidence, or some that the checker accepts.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from netproof import Settings, Verdict
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real import make
from netproof.certificate.real.contents import BOTH, LEAF, SPLIT
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.grown.grow import Grower
from netproof.certificate.real.make import evidence_of
from netproof.effort.real import ROUND
from netproof.errors import NetproofError, NoEvidenceError, ProofError
from netproof.result import DividedEnd, Ends, Refutation, Trace
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.verify import verify
from soundness.real_evidence import perceptron, property_text, run, values_of
from soundness.test_real_ends import parted
from soundness.test_real_evidence import a_search, asked, close_property


class SecondAttempt(Grower):
    """The first attempt fails, when all its trees are there."""

    def __init__(self, maker, goals, places, trace, limits) -> None:
        super().__init__(maker, goals, places, trace, limits)
        self._limits = limits

    def grow(self, root, roots) -> None:
        super().grow(root, roots)
        if self._limits.most is not None:
            raise NoEvidenceError("a part", "its trees stay open")


def handed_down(monkeypatch, *given):
    """Evidence by the first attempt, and by the second one."""
    plain = decode(encode(evidence_of(*given)))
    monkeypatch.setattr(make, "Grower", SecondAttempt)
    return plain, decode(encode(evidence_of(*given)))


def boxes(tmp_path, sizes, seed: int, radius: float):
    """A search that splits boxes, of which it finds ranges by CROWN."""
    rng = np.random.default_rng(seed)
    network = perceptron(rng, sizes)
    property_ = close_property(rng, network, sizes[0], 2, radius, 0.05)
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=20.0, proofs=True))
    assert result.verdict is Verdict.UNSAT and result.trace is not None and len(result.trace.splits) > 2
    assert all(k < 0 and result.trace.ranges[node] == "crown" for node, (k, *_) in result.trace.splits.items())
    return network, property_, question, result


@pytest.mark.parametrize(
    ("sizes", "seed", "radius"), [((2, 8, 8, 8, 2), 2, 2.0), ((3, 8, 8, 2), 1, 1.5), ((4, 8, 8, 2), 0, 1.0)]
)
def test_ranges_that_are_handed_down_are_those_that_the_checker_finds(tmp_path, monkeypatch, sizes, seed, radius):
    network, property_, question, result = boxes(tmp_path, sizes, seed, radius)
    plain, made = handed_down(monkeypatch, network, property_, question, result)
    for one, rule in ((plain, 0), (made, BOTH)):
        splits = one.arrays["kind"] == SPLIT
        assert splits.sum() > 2 and (one.arrays["rule"][splits] == rule).all()
    for arithmetic in ("float64", "arb", "rational"):
        counts = check_real(made, network, property_, arithmetic=arithmetic).counts
        assert counts.leaves and counts.splits == (made.arrays["kind"] == SPLIT).sum()
        assert counts.rules[BOTH] >= counts.splits and counts.closest <= 0


def test_ranges_of_the_boxes_around_it_are_what_a_leaf_needs(tmp_path, monkeypatch):
    """Leaves' bounds depend on them: without the rules of the nodes around them nothing of their own closes most."""
    network, property_, question, result = boxes(tmp_path, (2, 8, 8, 8, 2), 2, 2.0)
    _, made = handed_down(monkeypatch, network, property_, question, result)
    kept = check_real(made, network, property_).counts.closest
    bare = replace(made, arrays={**made.arrays, "rule": np.where(made.arrays["kind"] == SPLIT, 0, made.arrays["rule"])})
    try:
        lost = check_real(bare, network, property_).counts.closest
    except ProofError:
        lost = math.inf
    assert lost > kept


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_the_same_trees_prove_nothing_that_a_point_reaches(tmp_path, monkeypatch, arithmetic):
    network, property_, question, result = boxes(tmp_path, (3, 8, 8, 2), 1, 1.5)
    _, made = handed_down(monkeypatch, network, property_, question, result)
    box = question.parts[0].part.box
    lower, upper = ([float(end) for end in ends] for ends in (box.lower, box.upper))
    rng = np.random.default_rng(0)
    x = rng.uniform(lower, upper, size=(200, 3)).astype(np.float32).astype(np.float64)
    best = x[run(network, x)[:, 0].argmax()]
    top = float(values_of(network, best)[0])
    for below in (0.0, 1e-9, 0.5):
        case = [((1.0, 0.0), math.nextafter(top, -math.inf) - below)]
        reached = property_text(lower, upper, 2, [case, [((0.0, 1.0), 1000.0)] * 2])
        false = replace(made, property_sha256=hashlib.sha256(reached).hexdigest())
        with pytest.raises(ProofError):
            check_real(false, network, reached, arithmetic=arithmetic)


# -- damaged records


def other_end(rng: np.random.Generator, end: DividedEnd) -> DividedEnd:
    far = end.unstable.copy()
    far[rng.integers(len(far))] = rng.choice([-1, 10**6, end.k])
    ways = [
        {"unstable": far},
        {"unstable": end.unstable[:-1]},
        {"k": int(rng.choice([-1, end.k + 7]))},
        {"feature": int(rng.choice([-1, 1000]))},
        {"bound": float(rng.choice([np.nan, np.inf, -np.inf, -1e300, end.bound - 1.0]))},
        {"side": -end.side},
        {"side": end.side[:-1]},
        {"added": np.full(end.added.shape, rng.choice([np.nan, 1e30]), np.float32)},
        {"slope": np.full(end.slope.shape, rng.choice([np.nan, np.inf, -5.0]), np.float32)},
    ]
    return replace(end, **ways[rng.integers(len(ways))])


def other_ends(rng: np.random.Generator, ends: Ends) -> Ends:
    ways = [
        {"open": ends.open + 1000},
        {"open": ends.open[::-1].copy()},
        {"feature": ends.feature - 100},
        {"k": int(rng.choice([-1, ends.k + 7]))},
        {"bound": np.full(ends.bound.shape, rng.choice([np.nan, np.inf, -np.inf]))},
        {"slope": np.full(ends.slope.shape, rng.choice([np.nan, np.inf, 7.0]), np.float32)},
        {"slope": ends.slope[:, :-1]},
    ]
    return replace(ends, **ways[rng.integers(len(ways))])


def other_split(rng: np.random.Generator, split):
    k, feature, point, low, high = split
    ways = [
        (-1, feature + 1000, point, low, high),
        (k + 9, feature, point, low, high),
        (-2, feature, point, low, high),
        (k, -1, point, low, high),
        (k, feature, float(rng.choice([np.nan, np.inf, 1e200, 2.0**-1074])), low, high),
        (k, feature, point, high, low),
        (k, feature, point, high, high),
        (k, feature, point, 0, 0),
        (k, feature, point, low, 10**6),
    ]
    return ways[rng.integers(len(ways))]


def other_refutation(rng: np.random.Generator, by: Refutation) -> Refutation:
    weight = None if by.weight is None else by.weight.copy()
    if weight is not None:
        weight[rng.integers(len(weight))] = rng.choice([np.nan, np.inf, -1.0, 1e300, 0.0])
    added = None if by.added is None else np.full(by.added.shape, rng.choice([np.nan, np.inf, 1e300, -1.0]))
    slope = None if by.slope is None else np.full(by.slope.shape, rng.choice([np.nan, np.inf, 1e300, -1.0]))
    ways = [
        {"weight": weight},
        {"weight": None},
        {"weight": np.ones(9)},
        {"added": added},
        {"slope": slope},
        {"slope": None if by.slope is None else by.slope[:-1]},
        {"means": str(rng.choice(["intervals", "signs", "empty", "nothing"]))},
    ]
    return replace(by, **ways[rng.integers(len(ways))])


def damaged(rng: np.random.Generator, trace: Trace) -> Trace:
    """A record in which something is not what it was."""
    what = rng.choice(
        [name for name in ("splits", "refuted", "open", "divided", "ends", "box") if getattr(trace, name)]
    )
    found = getattr(trace, what)
    if what in ("splits", "refuted"):
        node = list(found)[rng.integers(len(found))]
        return replace(
            trace, **{what: {**found, node: (other_split if what == "splits" else other_refutation)(rng, found[node])}}
        )
    if what == "open":
        node = list(found)[rng.integers(len(found))]
        ways = [found[node] + 1000, found[node] - 1000, found[node][:-1], np.append(found[node], 0), found[node][::-1]]
        return replace(trace, open={**found, node: ways[rng.integers(len(ways))]})
    if what == "box":
        low, high = found[-1]
        ways = [found[:-1], (*found[:-1], (low[:-1], high)), tuple((high, low) for low, high in found)]
        ways.append((*found[:-1], (np.full(low.shape, np.nan), high)))
        return replace(trace, box=ways[rng.integers(len(ways))])
    at = int(rng.integers(len(found)))
    other = (other_end if what == "divided" else other_ends)(rng, found[at])
    return replace(trace, **{what: (*found[:at], other, *found[at + 1 :])})


@pytest.mark.parametrize("way", ["boxes", "signs", "ends", "parts"])
def test_a_damaged_record_makes_evidence_that_holds_or_none(tmp_path, monkeypatch, way):
    if way == "ends":
        monkeypatch.setattr("netproof.search.real.rounds.ROUND", replace(ROUND, easy=1))
        monkeypatch.setattr(ProgramSplit, "is_for", lambda *_: False)
    # What is refused by its form is what is looked at here, not how long the rest may take.
    monkeypatch.setattr("netproof.certificate.real.grown.grow._MOST_BEYOND", {True: 40, False: 40})
    monkeypatch.setattr("netproof.certificate.real.grown.program._FEATURES", 0)
    if way == "parts":
        network, property_, question, result = parted(tmp_path, monkeypatch)
    else:
        network, property_, question, result = a_search(tmp_path, "boxes" if way == "boxes" else "signs", 2)
    assert result.verdict is Verdict.UNSAT and result.trace is not None
    assert way != "ends" or result.trace.ends
    rng, held, refused = np.random.default_rng(7), 0, 0
    for _ in range(14 if way == "parts" else 40):
        other = replace(result, trace=damaged(rng, result.trace))
        try:
            made = evidence_of(network, property_, question, other)
        except NoEvidenceError:
            refused += 1
            continue
        check_real(decode(encode(made)), network, property_)
        held += 1
    assert held > 2 and refused > 2
    assert (evidence_of(network, property_, question, result).arrays["kind"] == LEAF).any()


def test_what_the_checker_s_parts_say_of_what_is_tried_makes_no_evidence(tmp_path, monkeypatch):
    network, property_, question, result = a_search(tmp_path, "boxes", 2)

    def failing(*_):
        raise ProofError("the name of it", "a row is none")

    monkeypatch.setattr(Grower, "grow", failing)
    with pytest.raises(NetproofError, match="a row is none") as found:
        evidence_of(network, property_, question, result)
    assert type(found.value) is NoEvidenceError and found.value.source == question.name
