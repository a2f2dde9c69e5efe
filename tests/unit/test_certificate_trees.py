"""The checker on trees of many nodes, on certificates of several parts, and on networks of two activations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netproof.certificate.bundle import Bundle
from netproof.certificate.checker import check as check_module
from netproof.certificate.checker import refute as refute_module
from netproof.certificate.checker.cases import query_of
from netproof.certificate.checker.check import _Proof, check
from netproof.certificate.contents import BoxProperty, Certificate, RobustnessProperty, arrays_of
from netproof.certificate.format import write
from netproof.errors import CertificateError, ProofError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from unit.test_certificate_pieces import CUT, EMPTY, LEAF, POINTS, SPLIT, floats, network, proof, refused

Cut = tuple[int, int, int, int, int]  # activation, feature, side, end, row


def columns(cuts: Sequence[Cut]) -> dict[str, list[int]]:
    names = ("cut_activation", "cut_feature", "cut_side", "cut_end", "cut_row")
    return {name: [cut[i] for cut in cuts] for i, name in enumerate(names)}


# -- a level of nodes of every kind


def high(count: int, least: int = 8) -> list[Cut]:
    """``x_i >= least`` for the first inputs, which row ``i`` proves up to 8 where ``y_i >= 3`` is asked."""
    return [(1, i, 0, least, i) for i in range(count)]


#: the trees' cuts by node
CUTS = {0: high(1), 1: high(3), 4: high(2), 8: high(2)}


def forest(cuts: dict[int, list[Cut]] = CUTS) -> tuple[Certificate, Network]:
    """``y_i >= 3`` for ``i < n`` and ``sum y_i < 3 n``, for several ``n``: ``y_i >= 3`` only from ``x_i = 8`` on.

    Rows 0 to 2 have the multiplier 1 for ``y_i >= 3``, rows 3 to 5 for the sum of 1 to 3 outputs, row 6 for ``y_0 >= 4``,
    row 7 none. One root is split at an ``x_0`` that is not there. Absent constraints hold everywhere.
    """
    net = network(inputs=3)

    def case(count: int) -> list[tuple[list[int], int]]:
        ones = [([int(j == i) for j in range(3)], 3) for i in range(count)]
        blank = [([0, 0, 0], 0)] * (3 - count)
        return [*ones, *blank, *([([-int(j < n) for j in range(3)], 1 - 3 * n) for n in (1, 2, 3)]), ([1, 0, 0], 4)]

    common: list[Cut] = [(1, 2, 1, 9, 7)]
    made = proof(
        net,
        [case(n) for n in (1, 3, 1, 2, 2, 1)],
        **columns([*common, *itertools.chain(*cuts.values())]),
        lower=[7] * 3,
        common=[1],
        cut_count=[len(c) for c in cuts.values()],
        kind=[CUT, CUT, LEAF, SPLIT, CUT, POINTS, LEAF, LEAF, CUT, EMPTY, LEAF, LEAF],
        leaf_row=[6, 3, 5, 4, 4],
        split_activation=[0], split_feature=[0], split_point=[10],
        row_exponent=[0] * 8,
        row_mu=[int(row == i) for row in range(8) for i in range(7)],
    )  # fmt: skip
    return made, net


@pytest.fixture(params=[(1, 0), (2, 4), (1024, 1 << 18)], ids=lambda p: f"{p[0]} nodes, {p[1]} cuts")
def portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many nodes and cuts are taken together, which must not change what is proved."""
    monkeypatch.setattr(refute_module, "_AT_ONCE", request.param[0])
    monkeypatch.setattr(check_module, "_CUTS_AT_ONCE", request.param[1])
    return request.param


def test_nodes_of_every_kind_on_one_level(portions: tuple[int, int]) -> None:
    checked = check(*forest())
    assert (checked.nodes, checked.leaves, checked.cuts, checked.splits, checked.points) == (12, 5, 9, 1, 1)


@pytest.mark.parametrize(("node", "number"), [(node, i) for node, cuts in CUTS.items() for i in range(len(cuts))])
def test_one_false_cut_among_many_is_found(portions: tuple[int, int], node: int, number: int) -> None:
    """It goes one too far, or is not the one that its row proves."""
    case, level = {8: (3, 1)}.get(node, (node, 0))
    for end, row in ((9, number), (8, (number + 1) % 3)):
        cuts = {n: list(c) for n, c in CUTS.items()}
        cuts[node][number] = (1, number, 0, end, row)
        refused(
            *forest(cuts),
            f"node {node} (level {level}, case {case}): a cut below {end} at feature {number} of activation 1, "
            f"for which row {row} gives the bound 0, not below 0",
        )


@pytest.mark.parametrize(("node", "leaf"), [(0, 6), (1, 7), (4, 10), (8, 11)])
def test_every_cut_of_a_node_is_applied_to_its_child(portions: tuple[int, int], node: int, leaf: int) -> None:
    """Where one of its cuts goes less far, what is left is not refuted."""
    for number, cut in enumerate(CUTS[node]):
        cuts = {n: list(c) for n, c in CUTS.items()}
        cuts[node][number] = (*cut[:3], 7, cut[4])
        case, level = {8: (3, 2)}.get(node, (node, 1))
        refused(*forest(cuts), f"node {leaf} (level {level}, case {case}): a leaf, for which row")


def test_the_first_of_several_false_cuts_is_named() -> None:
    cuts = dict(CUTS) | {4: [(1, 1, 0, 9, 1), (1, 0, 0, 9, 0)]}
    refused(*forest(cuts), "node 4 (level 0, case 4): a cut below 9 at feature 1")


@pytest.mark.parametrize("kind", [EMPTY, LEAF, CUT, SPLIT, POINTS])
def test_what_is_below_an_empty_region_is_proved_whatever_it_is(kind: int) -> None:
    """Row 0 refutes that ``y_0 >= 3`` below 8, row 1 nothing. There is nothing from 8 on in the first box."""
    net = network(inputs=2)
    splits = 1 + (kind == SPLIT)
    made: dict[str, Any] = {
        "kind": [SPLIT, LEAF, kind, *[EMPTY] * {CUT: 1, SPLIT: 2}.get(kind, 0)],
        "leaf_row": [0, 1][: 1 + (kind == LEAF)], "row_exponent": [0, 0], "row_mu": [1, 0],
        "split_activation": [0] * splits, "split_feature": [0] * splits, "split_point": [8] * splits,
        **(columns([(1, 1, 0, 5, 1)]) | {"cut_count": [1]} if kind == CUT else {}),
    }  # fmt: skip
    check(proof(net, [[([1, 0], 3)]], upper=[7, 9], **made), net)
    at = 4 if kind == SPLIT else 2
    with pytest.raises(ProofError, match=f"node {at} "):
        check(proof(net, [[([1, 0], 3)]], upper=[9, 9], **made), net)


def test_a_portion_is_as_large_as_memory_allows(portions: tuple[int, int]) -> None:
    """It has one node at least, and never more nodes, nor more cuts in several nodes, than are taken together."""
    most_nodes, most_cuts = portions
    made, net = forest()
    parts = _Proof(made, query_of(made, net, "forest"), "forest")
    count = [len(CUTS.get(node, ())) for node in range(12)]
    for start, stop in itertools.combinations(range(13), 2):
        found = list(itertools.islice(parts._portions(start, stop), 13))
        assert [first for first, _ in found] + [stop] == [start] + [last for _, last in found]
        for first, last in found:
            assert first < last <= first + most_nodes
            assert last == first + 1 or sum(count[first:last]) <= most_cuts
            full = last == first + most_nodes or sum(count[first : last + 1]) > most_cuts
            assert full or last == stop


# -- networks of two activations, and of none


def twice() -> Network:
    """``y = f(a)`` with ``a = x - x``: intervals know no more of ``a`` than ``-9 <= a <= 9``; ``f`` rises at -3 and 4."""
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    node = builder.add("copies", Linear(floats(1, 1)[:, None], floats(0, 0)), builder.input)
    node = builder.add("same", Staircase(floats(*range(1, 10))[None], floats(0)), node)
    node = builder.add("difference", Linear(floats(1, -1)[None], floats(0)), node)
    builder.add("f", Staircase(floats(-3, 4)[None], floats(0)), node)
    return Network(builder.build(), "here", "0" * 64, floats(0), floats(9))


def common(groups: Sequence[Sequence[Cut]]) -> Certificate:
    """``y >= 2`` refuted by row 2, on the region that common cuts leave; row 0 proves ``a <= 0``, row 1 nothing."""
    return proof(
        twice(), [[([1], 2)]], kept=[2, 1], kept_feature=[0, 1, 0],
        kind=[LEAF], leaf_row=[2], row_exponent=[0] * 3, row_mu=[0, 0, 1], row_s=[1, -1, 1, 0, 0, 0, 0, 0, 0],
        common=[len(group) for group in groups], **columns(list(itertools.chain(*groups))),
    )  # fmt: skip


def test_common_cuts_narrow_what_the_trees_and_later_groups_start_from() -> None:
    net, proved, repeated = twice(), (2, 0, 1, 0, 0), (2, 0, 1, 0, 1)
    assert check(common([[proved]]), net).cuts == 1
    refused(common([]), net, "node 0 (level 0, case 0): a leaf, for which row 2 gives the bound 0")
    # What is cut off once is cut off without a proof afterwards: in a later group, not in the same.
    check(common([[proved], [repeated]]), net)
    unproved = "a cut above 0 at feature 0 of activation 2, for which row 1 gives the bound 0"
    refused(common([[proved, repeated]]), net, f"common cuts, group 0: {unproved}")
    refused(common([[repeated], [proved]]), net, f"common cuts, group 0: {unproved}")
    refused(common([[], [repeated]]), net, f"common cuts, group 1: {unproved}")


def linear(weight: Sequence[int], upper: Sequence[int]) -> Network:
    """``y = weight . x``."""
    builder = GraphBuilder(Arithmetic.INTEGER, (len(weight),))
    builder.add("linear", Linear(floats(*weight)[None], floats(0)), builder.input)
    return Network(builder.build(), "here", "0" * 64, floats(*[0] * len(weight)), floats(*upper))


@pytest.mark.parametrize("at_once", [1, 5, 1024])
def test_points_of_three_inputs(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Each point has an output of its own, ``8 x_0 + 4 x_1 + x_2``, and none but these has one."""
    monkeypatch.setattr(refute_module, "_AT_ONCE", at_once)
    net = linear((8, 4, 1), (1, 1, 3))
    arrays: dict[str, Any] = {"kind": [POINTS], "kept": [], "kept_feature": []}
    for y in range(16):
        refused(proof(net, [[([1], y), ([-1], -y)]], **arrays), net, "one of its points meets the case")
    check(proof(net, [[([1], 16)]], **arrays), net)


def test_points_are_those_of_the_nodes_own_box() -> None:
    net = network()
    halves: dict[str, Any] = {
        "kind": [SPLIT, POINTS, POINTS], "split_activation": [0], "split_feature": [0], "split_point": [5],
    }  # fmt: skip
    refused(proof(net, [[([1], 2)]], **halves), net, "node 2 (level 1, case 0): one of its points meets the case")
    refused(proof(net, [[([-1], 0)]], **halves), net, "node 1 (level 1, case 0): one of its points meets the case")
    # From 2 to 4 f is 0, and nowhere else.
    check(proof(net, [[([1], 1)]], kind=[POINTS], lower=[2], upper=[4]), net)
    check(proof(net, [[([-1], 1)]], kind=[POINTS], lower=[2], upper=[4]), net)


def test_no_more_than_2_to_the_24_points_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "_MOST_POINTS", 1 << 30)
    net = linear((1,), (1 << 24,))
    made = proof(net, [[([1], 1 << 25)]], kind=[POINTS], kept=[], kept_feature=[])
    refused(made, net, "node 0 (level 0, case 0): with it more than 16777216 points are to be evaluated")


def test_regions_without_activations_are_boxes() -> None:
    """Every case has one of its own, which counts in the memory that is needed."""
    net = linear((1,), (9,))
    two = {
        "kind": [LEAF, LEAF],
        "row_exponent": [0],
        "row_mu": [1],
        "kept": [],
        "kept_feature": [],
        "row_s": [],
        "leaf_row": [0, 0],
    }
    made = proof(net, [[([1], 10)], [([1], 11)]], **two)
    assert check(made, net, memory=3 * 2 * 16).leaves == 2
    words = "has trees 2 nodes wide, whose regions need 96 bytes"
    refused(made, net, words, CertificateError, memory=95)
    refused(proof(net, [[([1], 10)], [([1], 9)]], **two), net, "node 1 (level 0, case 1): a leaf, for which row 0")
    nothing = two | {"row_mu": [0]}
    refused(proof(net, [[([1], 10)], [([1], 11)]], **nothing), net, "row 0 gives the bound 0, not below 0")


def test_a_network_without_nodes_gives_its_input() -> None:
    net = Network(GraphBuilder(Arithmetic.INTEGER, (1,)).build(), "here", "0" * 64, floats(0), floats(9))
    leaf = {
        "kind": [LEAF],
        "row_exponent": [0],
        "row_mu": [1],
        "kept": [],
        "kept_feature": [],
        "row_s": [],
        "leaf_row": [0],
    }
    assert check(proof(net, [[([1], 10)]], **leaf), net).leaves == 1
    refused(proof(net, [[([1], 9)]], **leaf), net, "row 0 gives the bound 0")
    refused(
        proof(net, [[([1], 10)]], **leaf | {"form": [1]}),
        net,
        "a case in the order form that does not",
        CertificateError,
    )


def test_the_class_of_a_single_output_cannot_change() -> None:
    """There is no case, so nothing to refute but false common cuts."""
    net = network()
    arrays: dict[str, Any] = {
        "image": [4], "kept": [1], "kept_feature": [0], "row_exponent": [0], "row_s": [0], "common": [1],
    }  # fmt: skip
    for end, fits in ((9, True), (8, False)):
        made = arrays_of(**arrays, **columns([(1, 0, 1, end, 0)]))
        certificate = Certificate("0" * 64, {}, 1, 1, "unsat", RobustnessProperty(0, 2), made)
        if fits:
            assert check(certificate, net, memory=0).nodes == 0
        else:
            made["cut_end"][0] = 5
            refused(certificate, net, "common cuts, group 0: a cut above 5 at feature 0 of activation 1")


# -- certificates of several parts


def part(*, lower: int = 0, threshold: int = 4, claim: str = "unsat") -> Certificate:
    """``y >= threshold`` from ``lower`` on, where 3 is the largest ``y``."""
    made = proof(
        network(), [[([1], threshold)]], kind=[LEAF], leaf_row=[0], row_exponent=[0], row_mu=[1], lower=[lower]
    )
    return replace(made, claim=claim)


def test_every_part_has_to_be_proved() -> None:
    net = network()
    first, second = part(), part(lower=1)
    checked = check(Bundle((first, second)), net)
    assert checked.claim == "unsat" and checked.leaves == 2
    # What is said of the whole is said of the first part.
    assert checked.certificate is first and float(checked.query.lower) == 0
    assert [p.certificate for p in checked.parts] == [first, second]
    for wrong in (0, 1, 2):
        parts = [part(threshold=4 - (number == wrong)) for number in range(3)]
        with pytest.raises(
            ProofError, match=rf"part {wrong}: does not prove its claim: node 0 \(level 0, case 0\): a leaf"
        ):
            check(Bundle(tuple(parts)), net)


def test_parts_that_make_no_bundle_are_not_usable() -> None:
    net = network()
    refused(Bundle((part(),)), net, "is inconsistent: it has fewer than two parts", CertificateError)
    arrays = arrays_of(lower=[0], upper=[9], coefficients=[1], threshold=[3], witness=[9])
    witness = Certificate("0" * 64, {}, 1, 1, "sat", BoxProperty((1,)), arrays)
    assert check(witness, net).claim == "sat"
    refused(Bundle((part(), witness)), net, "is inconsistent: part 1 claims 'sat'", CertificateError)


def test_a_certificate_is_consistent_wherever_it_comes_from() -> None:
    """Row -1 would be the last one."""
    net = network()
    made = proof(net, [[([1], 4)]], kind=[LEAF], leaf_row=[-1], row_exponent=[0], row_mu=[1])
    refused(made, net, "is inconsistent: an entry of array 'leaf_row' is -1", CertificateError)


def test_memory_for_reading_is_bounded(tmp_path: Path) -> None:
    """What 68 entries take to be read is far more than the region does."""
    net, path = network(), tmp_path / "c.npcert"
    write(path, proof(net, [[([1], 4)]], kind=[POINTS], row_exponent=[0] * 20, row_mu=[0] * 20))
    needed = 8 * (4 + 3 + 60 + 1) + 64 * (1 + 20 + 1)
    assert check(path, net, memory=needed).query.name == str(path)
    refused(path, net, f"needs {needed} bytes to be read", CertificateError, memory=needed - 1)


def test_how_long_it_took_is_said_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (part(), Bundle((part(), part()))):
        clock = iter((100.0, 103.5))
        monkeypatch.setattr(check_module, "time", SimpleNamespace(perf_counter=lambda clock=clock: next(clock)))
        checked = check(given, network())
        assert checked.seconds == 3.5
        assert all(p.seconds == 0 for p in checked.parts)
