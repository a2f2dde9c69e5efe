"""Certificates of leaves that another tool could have left: made where the leaves lead to one, and accepted by the checker.

And whatever leaves say, what is written proves its claim: the checker's bounds alone close anything.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from netproof import Settings, Verdict
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real.contents import LEAF, SPLIT
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.leaves import FORMAT, Leaf, Split, Trees, _beyond, read_leaves
from netproof.certificate.real.outside import certificate_of_leaves
from netproof.errors import FormatError, NoEvidenceError
from netproof.search.verify import verify
from soundness.real_evidence import chain, perceptron, property_text
from soundness.test_real_evidence import asked, close_property


def written(path, leaves, form=FORMAT):
    path.write_text(json.dumps({"format": form, "leaves": leaves}))
    return path


def made_of(path, network, property_):
    return certificate_of_leaves(network, property_, read_leaves(path), source="leaves")


def leaves_of(trace, case: int, width: int, scale: float):
    """What a search recorded about a case, as another tool would write it."""
    begin = np.cumsum([0, *trace.sizes])
    found, stack = [], [(trace.roots[case], [], trace.open[trace.roots[case]])]
    while stack:
        node, splits, opened = stack.pop()
        opened = trace.open.get(node, opened)
        if node in trace.refuted:
            one = trace.refuted[node]
            # Shorter conjunctions repeat their first constraint.
            weight = (one.weight[:width] * scale).tolist()
            weight[0] += float(one.weight[width:].sum()) * scale
            leaf = {"case": case, "splits": splits, "weights": weight}
            if one.slope is not None:
                relu = np.searchsorted(begin, opened, side="right")
                places = [[int(k), int(n - begin[k - 1])] for k, n in zip(relu, opened, strict=True)]
                leaf["slopes"] = [[*place, float(v)] for place, v in zip(places, one.slope, strict=True)]
                named = {(relu, feature) for relu, feature, *_ in splits}
                leaf["multipliers"] = [
                    [*place, max(float(v), 0.0)]
                    for place, v in zip(places, one.added, strict=True)
                    if tuple(place) in named
                ]
            found.append(leaf)
            continue
        k, feature, point, lower, upper = trace.splits[node]
        stack.append((lower, [*splits, [k + 1, feature, "<=", point]], opened))
        stack.append((upper, [*splits, [k + 1, feature, ">=", point]], opened))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_leaves_of_a_search_make_a_certificate(tmp_path, seed):
    rng = np.random.default_rng(seed)
    network = perceptron(rng, (12, 10, 10, 10, 2))
    property_ = close_property(rng, network, 12, 2, 0.3, 0.05)
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=30.0, proofs=True))
    if result.verdict is not Verdict.UNSAT:
        pytest.skip("sampling missed the largest value")
    query = question.parts[0]
    widths = [len(case) for case in query.part.condition]
    leaves = []
    for case in (widths.index(1), widths.index(2)):
        values = [c for one in query.part.condition[case] for _, c in one.outputs]
        leaves += leaves_of(result.trace, case, widths[case], float(math.lcm(*(c.denominator for c in values))))
    made = made_of(written(tmp_path / "leaves.json", leaves), network, property_)
    check_real(decode(encode(made)), network, property_)
    kind = made.arrays["kind"]
    assert len(leaves) > 4 and int((kind == LEAF).sum()) <= 2 * len(leaves)
    # Without what the leaves say of multipliers it takes more of them, or is given up.
    bare = [{"case": leaf["case"], "splits": []} for leaf in leaves[:1]]
    try:
        other = made_of(written(tmp_path / "bare.json", bare), network, property_)
    except NoEvidenceError:
        return
    check_real(decode(encode(other)), network, property_)
    assert int((other.arrays["kind"] == LEAF).sum()) >= int((kind == LEAF).sum())


NETWORK = chain(
    [[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]]
)  # |x0 + x1| and more: at most 2 on the box


def test_boxes_are_leaves_too(tmp_path):
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.125)], [((1.0,), 2.5)]])
    leaves = [
        {"splits": [[0, 0, ">=", 0.5]]},
        {"splits": [[0, 0, "<=", 0.5], [0, 1, "<=", 0.25]]},
        {"splits": [[0, 0, "<=", 0.5], [0, 1, ">=", 0.25]]},
    ]
    made = made_of(written(tmp_path / "l.json", leaves), NETWORK, property_)
    found = check_real(decode(encode(made)), NETWORK, property_, arithmetic="rational")
    # The halves that rules do not close are split further.
    assert made.arrays["split_relu"][0] == 0 and found.counts.splits >= 2


def test_what_no_leaf_covers_is_looked_at(tmp_path):
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.125)]])
    for leaves in ([{"splits": [[1, 0, ">="]]}], [{"case": 0, "splits": [[1, 1, "<=", 0.0]], "slopes": [[1, 0, 0.5]]}]):
        made = made_of(written(tmp_path / "l.json", leaves), NETWORK, property_)
        check_real(decode(encode(made)), NETWORK, property_)
        assert SPLIT in made.arrays["kind"]


def test_false_claims_have_none(tmp_path):
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 1.9)]])
    for leaves in (
        [{"splits": []}],
        [{"splits": [[1, 0, ">="]]}, {"splits": [[1, 0, "<="]]}],
        [{"case": 0, "splits": [[1, 0, ">="]], "multipliers": [[1, 0, 1e9]], "weights": [1]}],
        [{"splits": [[1, 0, ">=", 5.0]]}],
    ):
        with pytest.raises(NoEvidenceError):
            made_of(written(tmp_path / "l.json", leaves), NETWORK, property_)


def test_halves_take_what_belongs_to_them():
    low, high = Split(1, 0, is_upper=False, point=0.0), Split(1, 0, is_upper=True, point=0.0)
    other = Split(2, 0, is_upper=True, point=0.0)
    assert _beyond((low, other), low) == (other,) and _beyond((low, other), high) is None
    assert _beyond((other,), low) == _beyond((other,), high) == (other,)
    wide, narrow = Split(1, 0, is_upper=False, point=2.0), Split(1, 0, is_upper=False, point=-2.0)
    assert _beyond((wide,), low) == () and _beyond((wide,), high) == (wide,)
    assert _beyond((narrow,), low) == (narrow,) and _beyond((narrow,), high) is None


def test_leaves_that_stand_in_no_tree_take_no_time(monkeypatch):
    monkeypatch.setattr("netproof.certificate.real.leaves._MOST_STEPS", 1 << 14)
    leaves = [
        Leaf(0, None, tuple(Split(1, 2 * i + j, is_upper=True, point=0.0) for j in range(2)), {}, {}, ())
        for i in range(32)
    ]
    with pytest.raises(FormatError, match="in no tree"):
        Trees((64,), 2, Deadline("leaves")).root(leaves)
    # A tree of the same leaves, one below the other, is none of these.
    chained = [
        Leaf(
            0,
            None,
            (*(Split(1, j, is_upper=False, point=0.0) for j in range(i)), Split(1, i, is_upper=True, point=0.0)),
            {},
            {},
            (),
        )
        for i in range(32)
    ]
    Trees((64,), 2, Deadline("leaves")).root(chained)


BAD = {
    "is no JSON document": ["{", "[" * 100_000, '{"format": "netproof-leaves-1", "format": "x", "leaves": []}', "\xff"],
    "is no document of the format": ["[]", '{"format": "netproof-leaves-2", "leaves": [{}]}', "{}"],
    "has no list of 1": ['{"format": "netproof-leaves-1", "leaves": []}', '{"format": "netproof-leaves-1", "leaves": {}}'],
    "leaf 1: ": [
        json.dumps({"format": FORMAT, "leaves": [{}, leaf]})
        for leaf in (
            3, {"more": 1}, {"case": -1}, {"case": True}, {"case": 0.0}, {"part": "0"}, {"splits": 3}, {"splits": [3]},
            {"splits": [[1, 0, "="]]}, {"splits": [[1, 0, ["<="]]]}, {"splits": [[1, 0, ">=", "0"]]}, {"splits": [[1, 0, ">=", 1e300]]},
            {"slopes": [[1, 0]]}, {"slopes": [[1, 0, 1.0], [1, 0, 1.0]]}, {"multipliers": [[1, 0, -1.0]]},
            {"case": 0, "weights": [-1.0]}, {"weights": [1.0]}, {"splits": [[1, 0, ">="]] * 20_000},
            {"splits": [[10**400, 0, ">="]]}, {"splits": [[1, 0, ">=", 10**400]]},
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize("problem", BAD)
def test_what_is_no_file_of_leaves_is_refused(tmp_path, problem):
    for text in BAD[problem]:
        (tmp_path / "l.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(FormatError, match=problem):
            read_leaves(tmp_path / "l.json")
    (tmp_path / "l.json").write_text('{"format": "netproof-leaves-1", "leaves": [{"splits": [[1, 0, ">=", NaN]]}]}')
    with pytest.raises(FormatError):
        read_leaves(tmp_path / "l.json")


@pytest.mark.parametrize(
    "leaf",
    [
        {"part": 1},
        {"case": 1},
        {"splits": [[2, 0, ">="]]},
        {"splits": [[1, 2, ">="]]},
        {"splits": [[0, 2, ">="]]},
        {"slopes": [[0, 0, 1.0]]},
        {"multipliers": [[3, 0, 1.0]]},
        {"case": 0, "weights": [1.0, 1.0]},
    ],
)
def test_leaves_about_another_network_or_property_are_refused(tmp_path, leaf):
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.125)]])
    path = written(tmp_path / "l.json", [leaf])
    with pytest.raises(FormatError):
        made_of(path, NETWORK, property_)


def test_finding_the_tree_ends_at_the_deadline():
    apart = [Leaf(0, None, (Split(1, feature, is_upper=True, point=0.0),), {}, {}, ()) for feature in range(40)]
    with pytest.raises(NoEvidenceError, match="more time"):
        Trees([40], 2, Deadline("leaves", 0.0)).root(apart)


def test_leaves_of_several_parts_make_one_certificate():
    """Each part takes its own leaves, and no other's: the first is one cell, the second is halved where its leaves say so."""
    network = chain([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.25]])
    boxes = (f"(and (>= X_0 {low}) (<= X_0 {high}) (>= X_1 -1.0) (<= X_1 1.0))" for low, high in ((-1, 0), (0, 1)))
    names = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0"))
    property_ = f"{names}(assert (or {' '.join(boxes)}))(assert (>= Y_0 5.0))".encode()
    leaves = [
        Leaf(0, None, (), {}, {}, ()),
        *(Leaf(1, 0, (Split(0, 1, is_upper, 0.25),), {}, {}, (1.0,)) for is_upper in (False, True)),
    ]
    made = certificate_of_leaves(network, property_, leaves, source="leaves")
    check_real(decode(encode(made), "made"), network, property_)
    assert made.arrays["kind"].tolist() == [LEAF, SPLIT, LEAF, LEAF]
    assert (made.arrays["split_relu"].tolist(), made.arrays["split_point"].tolist()) == ([0], [1])
    assert made.arrays["stages"].sum() == len(made.arrays["stage"]) and len(made.arrays["stages"]) == 2


def test_leaves_for_a_property_of_another_network():
    network = chain([[[1.0, 1.0]], [[1.0]]], [[0.0], [0.0]])
    asked_of_it = property_text([-1.0] * 2, [1.0] * 2, 2, [[((1.0, 0.0), 2.5)]])
    with pytest.raises(FormatError, match="is about another network"):
        certificate_of_leaves(network, asked_of_it, [Leaf(0, None, (), {}, {}, ())], source="leaves")
