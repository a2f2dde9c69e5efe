"""The checker at its edges: every comparison has a certificate on either side of it.

All on one network, ``y = f(x)`` with ``f`` -1 below 2, 0 below 5, 2 below 8, and 3 from there on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import netproof
from netproof.certificate.bundle import Bundle
from netproof.certificate.checker import cases as cases_module
from netproof.certificate.checker import check as check_module
from netproof.certificate.checker import evaluate as evaluate_module
from netproof.certificate.checker import refute as refute_module
from netproof.certificate.checker.cases import Cases, query_of
from netproof.certificate.checker.check import Checked, check
from netproof.certificate.checker.evaluate import LIMIT, ExactNetwork, Stairs
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts, Region
from netproof.certificate.contents import BoxProperty, Certificate, RobustnessProperty, arrays_of
from netproof.certificate.format import encode, is_intact, write
from netproof.certificate.witness import WitnessDocument
from netproof.errors import CertificateError, ProofError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum

EMPTY, LEAF, CUT, SPLIT, POINTS = range(5)
THRESHOLDS, BASE = [2.0, 5.0, 5.0, 8.0], -1.0


def f(a: int) -> int:
    return int(BASE) + sum(t <= a for t in THRESHOLDS)


def floats(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def network(upper: int = 9, *, inputs: int = 1, stairs: Staircase | None = None, last: bool = True) -> Network:
    """``y_i = f(x_i)`` for every input, or ``y_i = x_i`` where ``last`` is false."""
    builder = GraphBuilder(Arithmetic.INTEGER, (inputs,))
    eye = torch.eye(inputs, dtype=torch.float64)
    node = builder.add("linear", Linear(eye, torch.zeros(inputs, dtype=torch.float64)), builder.input)
    node = builder.add("steps", stairs or Staircase(floats(*THRESHOLDS)[None], floats(BASE)), node)
    if not last:
        builder.add("again", Linear(eye, torch.zeros(inputs, dtype=torch.float64)), node)
    lower = torch.zeros(inputs, dtype=torch.float64)
    return Network(builder.build(), "here", "0" * 64, lower, lower + upper)


def proof(net: Network, cases: Sequence[Sequence[tuple[Sequence[int], int]]], **arrays: Any) -> Certificate:
    """A certificate of cases, each a list of ``(coefficients, threshold)``, on the whole box."""
    rows = [row for case in cases for row in case]
    given = {
        "lower": net.lower.long().numpy(),
        "upper": net.upper.long().numpy(),
        "coefficients": [c for coefficients, _ in rows for c in coefficients],
        "threshold": [threshold for _, threshold in rows],
        "form": [0] * len(cases),
        "kept": [net.inputs],
        "kept_feature": list(range(net.inputs)),
    }
    count = len(arrays.get("row_exponent", ()))
    given["row_s"] = [0] * (count * net.inputs)
    made = arrays_of(**given | arrays)
    return Certificate("0" * 64, {}, net.inputs, net.outputs, "unsat", BoxProperty(tuple(map(len, cases))), made)


def refused(
    certificate: Certificate | Bundle | WitnessDocument | Path,
    net: Network,
    words: str,
    kind: type = ProofError,
    **more: Any,
) -> None:
    with pytest.raises(kind) as raised:
        check(certificate, net, **more)
    assert words in raised.value.problem, raised.value.problem  # type: ignore[attr-defined]


# -- leaves, cuts, splits


def test_a_leaf_needs_a_bound_below_0() -> None:
    net, row = network(), {"kind": [LEAF], "leaf_row": [0], "row_exponent": [0], "row_mu": [1]}
    assert check(proof(net, [[([1], 4)]], **row), net).leaves == 1
    refused(
        proof(net, [[([1], 3)]], **row),
        net,
        "node 0 (level 0, case 0): a leaf, for which row 0 gives the bound 0, not below 0",
    )
    refused(proof(net, [[([1], 4)]], **row | {"row_mu": [0]}), net, "gives the bound 0, not below 0")
    refused(
        proof(net, [[([1], 4)]], **row | {"row_mu": [-1]}), net, "a leaf, for which no exact bound follows from row 0"
    )
    # The bound is in units of 2^-p.
    refused(proof(net, [[([1], 2)]], **row | {"row_exponent": [1]}), net, "gives the bound 0.5, not below 0")


def test_multipliers_beyond_a_case_are_not_admissible() -> None:
    net = network()
    two = [[([1], 4)], [([1], 4), ([1], 4)]]
    row = {"kind": [LEAF, LEAF], "leaf_row": [0, 1], "row_exponent": [0, 0]}
    assert check(proof(net, two, **row, row_mu=[1, 0, 0, 1]), net).leaves == 2
    refused(
        proof(net, two, **row, row_mu=[1, 1, 0, 1]), net, "node 0 (level 0, case 0): a leaf, for which no exact bound"
    )
    refused(
        proof(net, two, **row, row_mu=[1, 0, 1, -1]), net, "node 1 (level 0, case 1): a leaf, for which no exact bound"
    )


@pytest.mark.parametrize(
    ("case", "side", "end", "holds"),
    [(([1], 3), 0, 8, True), (([1], 3), 0, 9, False), (([-1], 1), 1, 1, True), (([-1], 1), 1, 0, False)],
)
def test_cuts_go_as_far_as_they_are_proved(case: tuple[list[int], int], side: int, end: int, holds: bool) -> None:
    net = network()
    cut = {
        "cut_activation": [1], "cut_feature": [0], "cut_side": [side], "cut_end": [end], "cut_row": [0],
        "row_exponent": [0], "row_mu": [1],
    }  # fmt: skip
    made = proof(net, [[case]], kind=[CUT, EMPTY], cut_count=[1], **cut)
    where = "below" if side == 0 else "above"
    said = "node 1 (level 1, case 0): the region is not empty"
    if not holds:
        said = f"node 0 (level 0, case 0): a cut {where} {end} at feature 0 of activation 1, for which row 0 gives the bound 0"
    refused(made, net, said)


def test_what_is_cut_off_to_the_last_is_empty() -> None:
    net = network()
    cut = {"cut_activation": [1], "cut_feature": [0], "cut_row": [0], "row_exponent": [0], "row_mu": [1]}
    for case, side, end, fits in (
        (([1], 4), 0, 10, True),
        (([1], 4), 0, 9, False),
        (([-1], 2), 1, -1, True),
        (([-1], 2), 1, 0, False),
    ):
        made = proof(net, [[case]], kind=[CUT, EMPTY], cut_count=[1], cut_side=[side], cut_end=[end], **cut)
        if fits:
            assert check(made, net).cuts == 1
        else:
            refused(made, net, "node 1 (level 1, case 0): the region is not empty")


def split(net: Network, activation: int, point: int) -> Certificate:
    """``y >= 2`` and ``y <= 0``: row 0 refutes it for ``x`` up to 4, row 1 from 5 on."""
    return proof(
        net, [[([1], 2), ([-1], 0)]], kind=[SPLIT, LEAF, LEAF], leaf_row=[0, 1], row_exponent=[0, 0], row_mu=[1, 0, 0, 1],
        split_activation=[activation], split_feature=[0], split_point=[point],
    )  # fmt: skip


@pytest.mark.parametrize("activation", [0, 1])
def test_both_halves_of_a_split_are_looked_at(activation: int) -> None:
    net = network()
    assert check(split(net, activation, 5), net).splits == 1
    refused(split(net, activation, 4), net, "node 2 (level 1, case 0): a leaf, for which row 1 gives the bound 0")
    refused(split(net, activation, 6), net, "node 1 (level 1, case 0): a leaf, for which row 0 gives the bound 0")


@pytest.mark.parametrize("activation", [0, 1])
def test_memory_for_regions_is_estimated_to_the_byte(activation: int) -> None:
    net = network()
    # Two nodes, two ends of 8 bytes, thrice; the input counts where it is split.
    needed = 3 * 2 * 16 * (2 if activation == 0 else 1)
    check(split(net, activation, 5), net, memory=needed)
    refused(
        split(net, activation, 5),
        net,
        f"has trees 2 nodes wide, whose regions need {needed} bytes",
        CertificateError,
        memory=needed - 1,
    )


def test_portions_do_not_change_what_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    right, wrong = (split(net, 0, point) for point in (5, 4))
    for at_once in (1, 2):
        monkeypatch.setattr(refute_module, "_AT_ONCE", at_once)
        monkeypatch.setattr(check_module, "_CUTS_AT_ONCE", at_once)
        check(right, net)
        refused(wrong, net, "node 2 (level 1, case 0)")


def test_common_cuts_build_on_each_other() -> None:
    """No input has ``x >= 10``; the second group follows only after the first."""
    net = network()
    common = {
        "cut_activation": [1, 1], "cut_feature": [0, 0], "cut_side": [1, 1], "cut_row": [0, 0], "row_exponent": [0],
        "row_mu": [0], "kind": [LEAF], "leaf_row": [1],
    }  # fmt: skip
    common |= {"row_exponent": [0, 0], "row_mu": [0, 1], "row_s": [-1, 0]}
    # Row 0: -x <= 9 at the box's end: phi = max a = 9 against v = -s a ... the bound of the part [e + 1, 9] is
    # max(-x) + max(a) over the part, and below 0 nowhere: with s = -1 it is 0 at best.
    refused(
        proof(net, [[([1], 4)]], common=[1, 1], cut_end=[8, 7], **common), net, "common cuts, group 0: a cut above 8"
    )
    # An empty part needs no row, and a region once cut is what the next group is checked on.
    assert check(proof(net, [[([1], 4)]], common=[1, 1], cut_end=[9, 9], **common), net).cuts == 2
    with_mu = common | {"cut_row": [1, 1]}
    refused(
        proof(net, [[([1], 4)]], common=[1, 1], cut_end=[9, 8], **with_mu),
        net,
        "group 1: a cut above 8 at feature 0 of activation 1, for which no exact bound",
    )


# -- points


def test_a_box_of_points_has_at_most_4096() -> None:
    for inputs, upper, fits in ((2, 63, True), (1, 4095, True), (1, 4096, False)):
        net = network(upper, inputs=inputs)
        case = [([1, *[0] * (inputs - 1)], 4)]
        made = proof(net, [case], kind=[POINTS])
        if fits:
            assert check(made, net).points == 1
        else:
            refused(made, net, "node 0 (level 0, case 0): its box has 4097 points, more than 4096")


def test_all_points_together(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    made = proof(net, [[([1], 4)]] * 2, kind=[POINTS, POINTS])
    monkeypatch.setattr(check_module, "_ALL_POINTS", 20)
    check(made, net)
    monkeypatch.setattr(check_module, "_ALL_POINTS", 19)
    refused(made, net, "node 1 (level 0, case 1): with it more than 19 points are to be evaluated")


def test_every_point_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one point at which the case holds, wherever it is in the order, also when points come in portions."""
    for at_once in (5, 1000):
        monkeypatch.setattr(refute_module, "_AT_ONCE", at_once)
        for x0, x1 in itertools.product(range(4), range(3)):
            stairs = Staircase(floats(x0, x0 + 1, x1, x1 + 1).reshape(2, 2), floats(0, 0))
            net = network(3, inputs=2, stairs=stairs)
            net = replace(net, upper=floats(3, 2))
            # y_i is 1 exactly at x_i: the case says so of both, by y_i >= 1 and y_i <= 1.
            case = [([1, 0], 1), ([-1, 0], -1), ([0, 1], 1), ([0, -1], -1)]
            refused(
                proof(net, [case], kind=[POINTS]), net, "node 0 (level 0, case 0): one of its points meets the case"
            )
            check(proof(net, [[*case, ([1, 1], 3)]], kind=[POINTS]), net)


# -- what a certificate names


@pytest.mark.parametrize(
    "arrays",
    [
        {"kept": [2], "kept_feature": [0, 0]},
        {"kept": [2], "kept_feature": [1, 0]},
        {"kept": [1], "kept_feature": [2]},
        {"kept": [1], "kept_feature": [-1]},
        {"kept": [3], "kept_feature": [0, 1, 2]},
        {"kept": [1, 1], "kept_feature": [0, 0]},
        {"kept": [], "kept_feature": []},
        {"kind": [SPLIT, POINTS, POINTS], "split_activation": [0], "split_feature": [2], "split_point": [1]},
        {"kind": [SPLIT, POINTS, POINTS], "split_activation": [1], "split_feature": [2], "split_point": [1]},
        {"kind": [SPLIT, POINTS, POINTS], "split_activation": [1], "split_feature": [-1], "split_point": [1]},
        {"kind": [CUT, POINTS], "cut_count": [1], "cut_feature": [2], "row_exponent": [0], "row_mu": [0],
         "cut_activation": [1], "cut_side": [0], "cut_end": [0], "cut_row": [0]},
    ],
)  # fmt: skip
def test_features_that_are_not_there(arrays: dict[str, Any]) -> None:
    net = network(3, inputs=2)
    arrays = {"kind": [POINTS]} | arrays
    arrays |= {"row_s": [0] * len(arrays.get("kept_feature", [0, 0])) * len(arrays.get("row_exponent", ()))}
    refused(
        proof(net, [[([1, 0], 4)]], **arrays), net, "names features that the network does not have", CertificateError
    )
    for kept in ([], [0], [1], [0, 1]):
        check(proof(net, [[([1, 0], 4)]], kind=[POINTS], kept=[len(kept)], kept_feature=kept), net)


def test_another_network_than_the_certificates() -> None:
    net = network()
    made = proof(net, [[([1], 4)]], kind=[POINTS])
    assert isinstance(check(made, net), Checked)
    for changed, words in (
        ({"network_sha256": "1" * 64}, "is about the network with SHA-256 111"),
        ({"scheme": {"bits": 6}}, "reads the network with {'bits': 6}, here it was read with {}"),
    ):
        refused(replace(made, **changed), net, words, CertificateError)  # type: ignore[arg-type]
    wide = network(inputs=2)
    refused(made, wide, "is about 1 inputs and 1 outputs, the network has 2 and 2", CertificateError)
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    builder.add("relu", ReLU(), builder.input)
    real = Network(builder.build(), "real", "0" * 64, net.lower, net.upper)
    refused(made, real, "speaks of integers, real computes real numbers", CertificateError)


def test_a_box_beyond_the_inputs() -> None:
    net = network()
    for lower, upper, fits in ((0, 9, True), (-1, 9, False), (0, 10, False), (5, 4, False)):
        made = proof(net, [[([1], 4)]], kind=[POINTS], lower=[lower], upper=[upper])
        if fits:
            check(made, net)
        else:
            refused(made, net, "has an unusable property", CertificateError)


def test_classes_are_named_from_the_label() -> None:
    """Three outputs; the label's own is left out."""
    net = network(inputs=3)
    arrays = arrays_of(image=[0, 9, 0], form=[0, 0], kept=[0], kind=[EMPTY, EMPTY])
    made = Certificate("0" * 64, {}, 3, 3, "unsat", RobustnessProperty(1, 0), arrays)
    refused(made, net, "node 0 (level 0, class 0 instead of 1): the region is not empty")
    one = replace(made, arrays=dict(made.arrays) | {"kind": arrays_of(kind=[POINTS, EMPTY])["kind"]})
    refused(one, net, "node 1 (level 0, class 2 instead of 1): the region is not empty")
    wrong = replace(made, property=RobustnessProperty(0, 0))
    refused(wrong, net, "the network takes the image itself for class 1, not 0")


# -- order cases


def order(net: Network, rows: Sequence[tuple[Sequence[int], int]]) -> Certificate:
    return proof(net, [list(rows)], form=[1], kind=[POINTS])


def test_what_the_order_form_admits() -> None:
    shared = network(inputs=3)
    check(order(shared, [([1, -1, 0], 5)]), shared)
    refusal = "has a case in the order form that does not admit it"
    for rows in (
        [([1, -1, 0], 5), ([1, -1, 0], 5)],
        [([2, -1, 0], 9)],
        [([1, -2, 0], 9)],
        [([1, 1, 0], 9)],
        [([-1, -1, 0], 9)],
        [([1, 0, 0], 9)],
        [([1, -1, 1], 9)],
        [([1, -1, 2], 12)],
    ):
        refused(order(shared, rows), shared, refusal, CertificateError)
    rows = [([1, -1], 9)]
    one_level = floats(2, 5), floats(2, 6)
    for stairs, fits in (
        (Staircase(torch.stack([one_level[0]] * 2), floats(0, 0)), True),
        (Staircase(torch.stack(one_level), floats(0, 0)), False),
        (Staircase(torch.stack([one_level[0]] * 2), floats(0, 1)), False),
        (Staircase(torch.zeros(1, 0, dtype=torch.float64), floats(0)), False),
        (Staircase(floats(3)[None], floats(0)), True),
    ):
        net = network(inputs=2, stairs=stairs)
        if fits:
            check(order(net, rows), net)
        else:
            refused(order(net, rows), net, refusal, CertificateError)
    last_is_affine = network(inputs=2, last=False)
    refused(order(last_is_affine, rows), last_is_affine, refusal, CertificateError)


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_the_difference_of_an_order_case(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """``d`` as docs/certificates.md defines it, and the cut, for every range and margin."""
    monkeypatch.setattr(cases_module, "_BLOCK", block)
    net = network(inputs=2)
    levels = len(THRESHOLDS)

    def threshold(i: int) -> float:
        return -math.inf if i <= 0 else math.inf if i > levels else THRESHOLDS[i - 1]

    for margin in range(-5, 6):
        query = query_of(order(net, [([1, -1], margin)]), net, "order")
        exact = ExactNetwork(net, "order")
        cases = Cases(exact, query, np.array([1]), "order")
        ranges = [(low, high) for low in range(10) for high in range(low, 10)]
        low, high = (floats(*[r[i] for r in ranges]) for i in (0, 1))
        found = cases.difference(torch.zeros(len(ranges), dtype=torch.int64), low, high).tolist()
        for (first, last), d in zip(ranges, found, strict=True):
            i0, i1 = f(first) + 1, f(last) + 1
            terms = [threshold(i + margin) - threshold(i + 1) + 1 for i in range(i0, i1 + 1) if i + margin <= levels]
            assert d == min(terms, default=math.inf), (margin, first, last)
        # The cut: no pair of values that meets the case is lost, and the ends are as stated.
        region = cases.close(exact.whole(query.lower, query.upper), torch.tensor([0]))
        meeting = [(p, q) for p in range(10) for q in range(10) if f(p) - f(q) >= margin]
        for p, q in meeting:
            assert region.low[0][0, 0] <= p <= region.high[0][0, 0] and region.low[0][0, 1] <= q <= region.high[0][0, 1]
        if meeting:
            assert region.low[0][0, 0] == min(p for p, _ in meeting) and region.high[0][0, 1] == max(
                q for _, q in meeting
            )
        else:
            assert bool(region.empty())


def test_bounds_of_an_order_case_follow_the_range_that_is_cut() -> None:
    """A cut at ``q`` changes the difference, one at ``p`` does not; the box, and with it the rest, stays."""
    net = network(inputs=2)
    levels, p_high, q_low = len(THRESHOLDS), 6, 1

    def threshold(i: int) -> float:
        return -math.inf if i <= 0 else math.inf if i > levels else THRESHOLDS[i - 1]

    finite = 0
    for margin in (1, 2, 3):
        made = proof(
            net,
            [[([1, -1], margin)]],
            form=[1],
            kind=[POINTS],
            lower=[2, q_low],
            upper=[p_high, 8],
            row_exponent=[1],
            row_mu=[2],
        )
        query, exact = query_of(made, net, "order"), ExactNetwork(net, "order")
        cases = Cases(exact, query, made.arrays["form"], "order")
        region = exact.whole(query.lower, query.upper)
        wanted = [(f_, side, end) for f_ in (0, 1) for side in (0, 1) for end in range(-1, 11)]
        zero = torch.zeros(len(wanted), dtype=torch.int64)
        feature, side, end = (torch.tensor(column) for column in zip(*wanted, strict=True))
        cuts = Cuts(zero, zero + 1, feature, side, end.double())
        found = Rows(made, exact, cases).bounds(region, torch.tensor([0]), cuts, zero.numpy()).tolist()
        for (feature_, side_, end_), bound in zip(wanted, found, strict=True):
            low, high = ((2, p_high), (q_low, 8))[feature_]
            part = (low, min(high, end_ - 1)) if side_ == 0 else (max(low, end_ + 1), high)
            first, last = part if feature_ == 1 else (q_low, 8)
            terms = [
                threshold(i + margin) - threshold(i + 1) + 1
                for i in range(f(first) + 1, f(last) + 2)
                if i + margin <= levels
            ]
            d = min(terms, default=math.inf)
            if part[0] > part[1] or d == math.inf:
                assert bound == -math.inf
            elif d == -math.inf:
                assert bound == math.inf
            else:
                finite += 1
                assert bound == (2 * (p_high - q_low) - 2 * d) / 2
    assert finite > 40


# -- staircases


@pytest.mark.parametrize("block", [1, 2, 5, 1 << 15])
@pytest.mark.parametrize(("channels", "size"), [(1, 3), (2, 2), (3, 3)])
def test_conjugates_by_enumeration(monkeypatch: pytest.MonkeyPatch, block: int, channels: int, size: int) -> None:
    monkeypatch.setattr(evaluate_module, "_BLOCK", block)
    rows = [THRESHOLDS, [0.0, 0.0, 3.0, 9.0], [-4.0, 1.0, 1.0, 1.0]][:channels]
    bases = [-1.0, 4.0, 0.0][:channels]
    stairs = Stairs(Staircase(floats(*itertools.chain(*rows)).reshape(channels, -1), floats(*bases)), size)
    assert (stairs.levels, stairs.channels) == (len(THRESHOLDS), channels)
    ranges = [(low, high) for low in range(-6, 12, 2) for high in range(low, 12, 3)]
    prices = list(itertools.product((-3, 0, 2), (-2, -1, 0, 1, 3)))
    for feature in range(size):
        row, base = rows[feature % channels], bases[feature % channels]
        at = torch.tensor(feature)
        assert (
            float(stairs.threshold(torch.tensor(0), at)) == -LIMIT
            and float(stairs.threshold(torch.tensor(5), at)) == LIMIT
        )
        assert [float(stairs.threshold(torch.tensor(i), at)) for i in range(1, 5)] == row
        points = floats(*range(-8, 14))
        counts = [sum(t <= a for t in row) for a in range(-8, 14)]
        assert stairs.level(points, at).tolist() == counts
        v, s, low, high = (floats(*column) for column in zip(*[(*p, *r) for p in prices for r in ranges], strict=True))
        phi, image = stairs.conjugate(v, s, low, high, at)
        for number, ((vi, si), (first, last)) in enumerate(itertools.product(prices, ranges)):
            values = [base + sum(t <= a for t in row) for a in range(first, last + 1)]
            assert phi[number] == max(vi * y - si * a for y, a in zip(values, range(first, last + 1), strict=True))
            assert image[number] == max(abs(values[0]), abs(values[-1]))


# -- regions


def test_regions_move_inwards_only() -> None:
    region = Region(floats(0, 0)[None], floats(9, 9)[None], (floats(1, 2)[None],), (floats(5, 6)[None],)).repeated(
        2, shared=False
    )
    taken = region.take(torch.tensor([1, 0, 1]))
    assert len(region) == 2 and len(taken) == 3

    def made(*cuts: tuple[int, int, int, int, float]) -> Cuts:
        columns = list(zip(*cuts, strict=True))
        return Cuts(*(torch.tensor(c) for c in columns[:4]), floats(*columns[4]))

    taken.restrict(
        made(
            (0, 0, 1, 0, 3),
            (0, 0, 1, 0, 2),
            (1, 0, 0, 1, 12),
            (2, 1, 1, 1, 4),
            (2, 1, 1, 1, 5),
            (1, 1, 0, 0, 0),
            (2, 1, 0, 0, 5),
        )
    )
    assert taken.lower.tolist() == [[0, 3], [0, 0], [0, 0]] and taken.upper.tolist() == [[9, 9]] * 3
    assert taken.low[0].tolist() == [[1, 2], [1, 2], [5, 2]] and taken.high[0].tolist() == [[5, 6], [5, 6], [5, 4]]
    assert region.low[0].tolist() == [[1, 2]] * 2 and region.high[0].tolist() == [[5, 6]] * 2
    assert taken.empty().tolist() == [False] * 3  # an interval of one point is none
    taken.restrict(made((2, 1, 0, 0, 6), (1, 0, 0, 0, 10)))
    assert taken.empty().tolist() == [False, True, True]
    both = Region.concatenate([region, taken])
    assert len(both) == 5 and both.empty().tolist() == [False, False, False, True, True]


def test_a_shared_box_stays_one() -> None:
    region = Region(floats(0)[None], floats(9)[None], (floats(1)[None],), (floats(5)[None],)).repeated(3, shared=True)
    assert region.lower.shape == (1, 1) and len(region) == 3 and len(region.take(torch.tensor([0, 2]))) == 2
    both = Region.concatenate([region, region.take(torch.tensor([1]))])
    assert len(both) == 4 and both.lower.shape == (1, 1) and both.shared


def test_intervals_are_the_tightest_of_integers() -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    node = builder.add("linear", Linear(floats(2, -3, -1, 0).reshape(2, 2), floats(5, -7)), builder.input)
    builder.add("steps", Staircase(floats(*THRESHOLDS)[None], floats(BASE)), node)
    net = Network(builder.build(), "here", "0" * 64, floats(1, 2), floats(4, 8))
    region = ExactNetwork(net, "here").whole(net.lower, net.upper)
    assert region.low[0].tolist() == [[2 - 24 + 5, -4 - 7]] and region.high[0].tolist() == [[8 - 6 + 5, -1 - 7]]


@pytest.mark.parametrize("seed", range(5))
def test_bounds_of_a_node_that_is_used_twice(seed: int) -> None:
    """The bound, and the sum of absolute values beside it, written out for ``y = W1 h - W2 h`` with ``h = f(W0 x)``."""
    random = np.random.default_rng(seed)

    def linear(rows: int, columns: int) -> Linear:
        return Linear(*(torch.from_numpy(random.integers(-5, 6, n)).double() for n in ((rows, columns), (rows,))))

    first, left, right = linear(3, 2), linear(2, 3), linear(2, 3)
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    hidden = builder.add(
        "f", Staircase(floats(*THRESHOLDS)[None], floats(BASE)), builder.add("0", first, builder.input)
    )
    builder.add("y", Sum((1, -1)), builder.add("1", left, hidden), builder.add("2", right, hidden))
    net = Network(builder.build(), "here", "0" * 64, floats(-3, 0), floats(1, 4))
    exact = ExactNetwork(net, "here")
    region = exact.whole(net.lower, net.upper)
    v, s = (torch.from_numpy(random.integers(-4, 5, (1, n))).double() for n in (2, 3))
    found = exact.backward(region, {len(net.graph.nodes) - 1: (v, v.abs())}, [s])

    handed = v @ left.weight - v @ right.weight
    weights = v.abs() @ (left.weight.abs() + right.weight.abs())
    low, high = region.low[0], region.high[0]
    phi, image = exact.stairs[0].conjugate(handed, s, low, high, torch.arange(3))
    price = s @ first.weight
    box = (price.clamp(min=0) * net.upper + price.clamp(max=0) * net.lower).sum()
    value = v @ (left.bias - right.bias) + phi.sum() + s @ first.bias + box
    size = v.abs() @ (left.bias.abs() + right.bias.abs()) + (weights * image).sum() + s.abs() @ first.bias.abs()
    size = size + (s.abs() * torch.maximum(low.abs(), high.abs())).sum()
    size = size + 2 * (s.abs() @ first.weight.abs() @ torch.maximum(net.lower.abs(), net.upper.abs()))
    assert torch.equal(found.value, value) and torch.equal(found.size, size) and torch.equal(found.v[0], handed)


def test_common_cuts_where_the_last_node_is_affine() -> None:
    """A row without ``mu`` hands the output nothing."""
    net = network(last=False)
    common = {
        "common": [1], "cut_activation": [1], "cut_feature": [0], "cut_side": [1], "cut_end": [8], "cut_row": [0],
        "row_exponent": [0], "row_mu": [0], "kind": [POINTS],
    }  # fmt: skip
    words = "common cuts, group 0: a cut above 8 at feature 0 of activation 1, for which row 0 gives the bound 0, not below 0"
    refused(proof(net, [[([1], 4)]], **common), net, words)


# -- witnesses


def witness(x: int, case: tuple[list[int], int], lower: int = 2, upper: int = 8) -> Certificate:
    coefficients, threshold = case
    arrays = arrays_of(lower=[lower], upper=[upper], coefficients=coefficients, threshold=[threshold], witness=[x])
    return Certificate("0" * 64, {}, 1, 1, "sat", BoxProperty((1,)), arrays)


def test_witnesses_at_the_ends() -> None:
    net = network()
    for x, inside in ((1, False), (2, True), (8, True), (9, False)):
        if inside:
            checked = check(witness(x, ([1], f(x))), net)
            assert (checked.claim, checked.nodes, checked.leaves) == ("sat", 0, 0)
            refused(witness(x, ([1], f(x) + 1)), net, "the output at the witness meets none of the cases")
        else:
            refused(witness(x, ([1], f(x))), net, "the witness is not in the input set")


@pytest.mark.parametrize("changed", [{"output": (0, 2)}, {"predicted": 0}, {"changed": 1}, {"largest_change": 4}, {}])
def test_what_a_witness_document_says(changed: dict[str, Any]) -> None:
    net = network(inputs=2)
    arrays = arrays_of(image=[2, 2], witness=[1, 5])
    made = Certificate("0" * 64, {}, 2, 2, "sat", RobustnessProperty(0, 3), arrays)
    document = WitnessDocument(made, (-1, 2), 1, 2, 3)
    if not changed:
        assert check(document, net).claim == "sat"
        return
    refused(
        replace(document, **changed), net, "the witness is one, but its output, class or changes are not those stated"
    )


# -- files


def test_what_makes_a_file_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    path = tmp_path / "c.cert"
    synced: list[int] = []
    monkeypatch.setattr("netproof.files.opened.os.fsync", synced.append)
    made = proof(net, [[([1], 4)]], kind=[POINTS])
    write(path, made)
    assert is_intact(path) and len(synced) == 1
    write(path, made, durable=False)
    assert is_intact(path) and len(synced) == 1
    data = path.read_bytes()
    assert data == encode(made)
    path.write_bytes(data[:-1])
    assert not is_intact(path)
    path.write_bytes(b"\0" + data[1:])
    assert not is_intact(path) and not is_intact(tmp_path / "none")


def test_bit_widths_are_written_in_one_order() -> None:
    net = network()
    made = proof(net, [[([1], 4)]], kind=[POINTS])
    one, other = (replace(made, scheme=dict(items)) for items in ([("b", 1), ("a", 2)], [("a", 2), ("b", 1)]))
    assert encode(one) == encode(other) and b'"scheme":{"a":2,"b":1}' in encode(one)


def test_the_public_names() -> None:
    net = network()
    made = proof(net, [[([1], 4)]], kind=[POINTS])
    assert netproof.check(made, net).second_reading == ""
