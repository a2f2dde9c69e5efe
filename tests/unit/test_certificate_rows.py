"""What one row of multipliers refutes, and what a case implies: forms side by side, cuts beyond a range, the largest sums."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from netproof.certificate.checker import evaluate as evaluate_module
from netproof.certificate.checker.cases import Cases, query_of
from netproof.certificate.checker.check import check
from netproof.certificate.checker.evaluate import ExactNetwork, Stairs
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts, Region
from netproof.certificate.contents import Certificate, RobustnessProperty, arrays_of
from netproof.errors import CertificateError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from unit.test_certificate_pieces import BASE, CUT, EMPTY, LEAF, POINTS, THRESHOLDS, f, floats, network, proof, refused


def order_case(net: Network, margin: int, **arrays: object) -> tuple[Certificate, ExactNetwork, Cases]:
    """``y_0 - y_1 >= margin`` in the order form."""
    made = proof(net, [[([1, -1], margin)]], form=[1], kind=[POINTS], **arrays)
    exact = ExactNetwork(net, "order")
    return made, exact, Cases(exact, query_of(made, net, "order"), made.arrays["form"], "order")


def bound_of_whole(net: Network, margin: int, mu: int) -> float:
    """What ``mu`` alone bounds on the whole box."""
    box = {"lower": net.lower.long().numpy(), "upper": net.upper.long().numpy()}
    made, exact, cases = order_case(net, margin, row_exponent=[0], row_mu=[mu], **box)
    at = torch.zeros(1, dtype=torch.int64)
    whole = Cuts(at, at - 1, at, at, at.double())
    return float(Rows(made, exact, cases).bounds(exact.whole(net.lower, net.upper), at, whole, at.numpy()))


# -- sums up to 2^52


@pytest.mark.parametrize(("coefficient", "threshold", "upper"), [(1, 13, 9), (9, -7, 1)])
def test_thresholds_count_in_the_sum_that_must_stay_exact(coefficient: int, threshold: int, upper: int) -> None:
    """``|coefficient y| + |threshold|`` is 16 here, with ``y`` up to 3 or always -1, so that ``mu`` has to stay below 2^48."""
    net = network()
    for mu, exact in ((2**48 - 1, True), (2**48, False)):
        case = [([coefficient], threshold)]
        made = proof(net, [case], kind=[LEAF], leaf_row=[0], row_exponent=[0], row_mu=[mu], upper=[upper])
        if exact:
            assert check(made, net).leaves == 1
        else:
            refused(made, net, "a leaf, for which no exact bound follows from row 0")


@pytest.mark.parametrize(
    ("margin", "difference", "p_high", "q"),
    [(2, 4, 5, (0, 1)), (0, -2, 3, (2, 4))],
)
def test_differences_count_in_the_sum_that_must_stay_exact(
    margin: int, difference: int, p_high: int, q: tuple[int, int]
) -> None:
    """``2 (|p| + |q|) + |d|`` is 16 here, so that ``mu`` has to stay below 2^48."""
    assert 2 * (p_high + q[1]) + abs(difference) == 16
    net = replace(network(inputs=2), lower=floats(0, q[0]), upper=floats(p_high, q[1]))
    for mu in (1, 2**48 - 1):
        assert bound_of_whole(net, margin, mu) == mu * (p_high - q[0] - difference)
    assert bound_of_whole(net, margin, 2**48) == math.inf


# -- cuts


@pytest.mark.parametrize(
    ("case", "box", "side", "end"),
    [(([-1], 0), (5, 9), 1, 2), (([1], 3), (2, 7), 0, 12)],
)
def test_what_is_cut_off_is_a_part_of_the_range(
    case: tuple[list[int], int], box: tuple[int, int], side: int, end: int
) -> None:
    """All of it, where the new end is beyond the other one; what is between them is not looked at."""
    net = network(20)
    cut = {"cut_activation": [1], "cut_feature": [0], "cut_side": [side], "cut_end": [end], "cut_row": [0]}
    row = {"row_exponent": [0], "row_mu": [1], "lower": [box[0]], "upper": [box[1]]}
    assert check(proof(net, [[case]], kind=[CUT, EMPTY], cut_count=[1], **cut, **row), net).cuts == 1


def test_cuts_of_hidden_features_leave_the_difference_as_it_is() -> None:
    """``d`` is that of the range of ``a_q``, whatever is cut at feature ``q`` of an activation before."""
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    eye, zero = torch.eye(2, dtype=torch.float64), floats(0, 0)
    node = builder.add("first", Linear(eye, zero), builder.input)
    node = builder.add("same", Staircase(floats(*range(1, 10))[None], floats(0)), node)
    node = builder.add("second", Linear(eye, zero), node)
    builder.add("f", Staircase(floats(*THRESHOLDS)[None], floats(BASE)), node)
    net = Network(builder.build(), "here", "0" * 64, zero, floats(9, 9))
    made, exact, cases = order_case(
        net, 2, row_exponent=[0], row_mu=[1], row_s=[0] * 4, kept=[2, 2], kept_feature=[0, 1, 0, 1]
    )
    ends = range(1, 9)
    zeros = torch.zeros(2 * len(ends), dtype=torch.int64)
    feature = torch.tensor([0] * len(ends) + [1] * len(ends))
    cuts = Cuts(zeros, zeros + 1, feature, zeros, torch.tensor([*ends, *ends]).double())
    found = Rows(made, exact, cases).bounds(exact.whole(net.lower, net.upper), torch.tensor([0]), cuts, zeros.numpy())
    # h_0 - h_1 - d with d = 1, where 0 <= h <= end - 1 is cut off.
    assert found.tolist() == [end - 1 - 0 - 1 for end in ends] + [9 - 0 - 1] * len(ends)


def test_one_row_for_many_nodes() -> None:
    net = network()
    rows = {"kind": [LEAF] * 3, "leaf_row": [0] * 3, "row_exponent": [0], "row_mu": [1]}
    assert check(proof(net, [[([1], 4)], [([1], 5)], [([1], 6)]], **rows), net).leaves == 3
    for wrong in range(3):
        cases = [[([1], 4 - (number == wrong))] for number in range(3)]
        refused(proof(net, cases, **rows), net, f"node {wrong} (level 0, case {wrong}): a leaf, for which row 0")


# -- cases


def test_every_case_has_a_form_of_its_own() -> None:
    """In the order form ``y_0 + y_1 >= 6`` would be read as another case, which cannot hold."""
    net = network(inputs=2)
    leaf = {"form": [1, 0], "kind": [POINTS, LEAF], "leaf_row": [0], "row_exponent": [0], "row_mu": [1]}
    assert check(proof(net, [[([1, -1], 5)], [([1, 1], 7)]], **leaf), net).leaves == 1
    refused(
        proof(net, [[([1, -1], 5)], [([1, 1], 6)]], **leaf), net, "node 1 (level 0, case 1): a leaf, for which row 0"
    )


def test_a_row_for_more_constraints_than_the_last_case_has() -> None:
    net = network()
    made = proof(
        net,
        [[([1], 4), ([1], 4)], [([1], 4)]],
        kind=[LEAF, LEAF],
        leaf_row=[0, 0],
        row_exponent=[0],
        row_mu=[1, 1],
    )
    refused(made, net, "node 1 (level 0, case 1): a leaf, for which no exact bound follows from row 0")


def test_a_single_output_has_no_order() -> None:
    net = network()
    for coefficient in (1, -1):
        made = proof(net, [[([coefficient], 4)]], form=[1], kind=[POINTS])
        refused(made, net, "has a case in the order form that does not admit it", CertificateError)


def test_a_closure_loses_no_more_and_no_less_than_the_case_rules_out() -> None:
    """For every part of the ranges; and the region that it is the closure of stays as it is."""
    net = network(inputs=2)
    ranges = list(itertools.combinations_with_replacement((0, 2, 4, 5, 7, 9), 2))
    parts = list(itertools.product(ranges, repeat=2))
    ends = torch.tensor(parts, dtype=torch.float64)
    case = torch.zeros(len(parts), dtype=torch.int64)
    for margin in range(-4, 6):
        _, _, cases = order_case(net, margin)
        low, high = ends[..., 0].contiguous(), ends[..., 1].contiguous()
        region = Region(low * 0, low * 0 + 9, (low,), (high,))
        closed = cases.close(region, case)
        assert torch.equal(low, ends[..., 0]) and torch.equal(high, ends[..., 1])
        for i, ((p_low, p_high), (q_low, q_high)) in enumerate(parts):
            p = [a for a in range(p_low, p_high + 1) if f(a) >= f(q_low) + margin]
            q = [a for a in range(q_low, q_high + 1) if f(p_high) >= f(a) + margin]
            assert bool(closed.empty()[i]) == (not p or not q)
            if p and q:
                assert closed.low[0][i].tolist() == [p[0], q_low] and closed.high[0][i].tolist() == [p_high, q[-1]]


def test_a_query_is_named_after_its_certificate() -> None:
    net = network(inputs=2)
    image = Certificate("0" * 64, {}, 2, 2, "unsat", RobustnessProperty(0, 0), arrays_of(image=[9, 0]))
    for made in (proof(net, [[([1, 0], 4)]]), image):
        assert query_of(made, net, "there").name == "there"


# -- networks


def test_other_operators_than_affine_ones_and_staircases_are_not_checked() -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    builder.add("relu", ReLU(), builder.input)
    net = Network(builder.build(), "here", "0" * 64, floats(0), floats(9))
    made = proof(net, [[([1], 10)]], kind=[POINTS])
    refused(made, net, "cannot be checked on 'relu' nodes", CertificateError)


@pytest.mark.parametrize("block", [1, 2])
def test_pieces_of_one_range(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """However many of the pieces of a staircase are looked at together."""
    monkeypatch.setattr(evaluate_module, "_BLOCK", block)
    stairs = Stairs(Staircase(floats(*range(1, 10))[None], floats(0)), 1)
    for v, s in ((-2.0, -1.0), (1.0, 0.0), (1.0, 3.0)):
        for low, high in itertools.combinations_with_replacement(range(10), 2):
            phi, _ = stairs.conjugate(floats(v), floats(s), floats(low), floats(high), torch.tensor([0]))
            assert float(phi) == max(v * a - s * a for a in range(low, high + 1))
