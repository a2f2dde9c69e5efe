"""Leaves of another tool: what a file may say, to the last number; trees that are the same however leaves are ordered; what is grown of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netproof.certificate.real import leaves as tool
from netproof.certificate.real import outside
from netproof.certificate.real.contents import CROWN, FORMS, LEAF
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.leaves import Leaf, Split, Trees, read_leaves
from netproof.errors import FormatError, NoEvidenceError
from soundness.real_evidence import chain, property_text


def file_of(folder: Path, *leaves: Any, start: str = "") -> Path:
    path = folder / "l.json"
    path.write_text(start + json.dumps({"format": tool.FORMAT, "leaves": leaves}), encoding="utf-8")
    return path


# -- files


def test_what_a_file_says(tmp_path: Path):
    most, large = (1 << 31) - 1, 2**50 - 1
    given = {
        "part": most, "case": 2, "splits": [[0, 1, "<="], [most, most, ">=", -large]],
        "slopes": [[1, 2, 0.25], [1, 3, -2]], "multipliers": [[2, 0, 0]], "weights": [0, large, 0.5],
    }  # fmt: skip
    read = read_leaves(file_of(tmp_path, given, {}, start="\ufeff"))
    splits = Split(0, 1, False, 0.0), Split(most, most, True, -float(large))
    assert read == [
        Leaf(most, 2, splits, {(1, 2): 0.25, (1, 3): -2.0}, {(2, 0): 0.0}, (0.0, float(large), 0.5)),
        Leaf(0, None, (), {}, {}, ()),
    ]
    assert all(type(number) is float for number in (*read[0].weights, read[0].splits[1].point))


TRIPLES = "are triples [relu, feature, value]"
SPLIT = "a split is [relu, feature, '<=' or '>=', point]"
INDEX, NUMBER = "an index that is none", "a number that is none, or of 2^50 or more"


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        (3, "it is no object of case, multipliers, part, slopes, splits, weights"),
        (["case"], "it is no object of case, multipliers, part, slopes, splits, weights"),
        ({"more": 1}, "it is no object of case, multipliers, part, slopes, splits, weights"),
        *(({name: wrong}, INDEX) for name in ("case", "part") for wrong in (-1, True, 0.0, "0", 1 << 31)),
        *(({name: {}}, f"its {name} are no list") for name in ("splits", "slopes", "multipliers", "weights")),
        *(
            ({"splits": [wrong]}, SPLIT)
            for wrong in (3, "ab<", {"0": 1, "1": 2, "2": 3}, [1, 0], [1, 0, "="], [1, 0, ["<="]], [1, 0, "<=", 0.0, 0.0])
        ),
        *(({"splits": [[*wrong, ">="]]}, INDEX) for wrong in ([-1, 0], [0, -1], [True, 0], [0, False], [1 << 31, 0])),
        *(({"splits": [[1, 0, ">=", wrong]]}, NUMBER) for wrong in ("0", True, None, 2**50, -(2.0**50), 1e300, 10**400)),
        *(
            ({name: [wrong]}, f"{name} {TRIPLES}")
            for name in ("slopes", "multipliers")
            for wrong in (3, "abc", {"0": 1, "1": 2, "2": 3}, [1, 0], [1, 0, 0.0, 0.0])
        ),
        *(
            ({name: [[1, 0, 0.5], [1, 1, 0.5], [1, 0, 0.25]]}, f"{name} with a feature that is there twice")
            for name in ("slopes", "multipliers")
        ),
        ({"slopes": [[1, 1.0, 0.5]]}, INDEX),
        ({"slopes": [[1, 1, "a"]]}, NUMBER),
        ({"multipliers": [[1, 0, -1e-9]]}, "a weight or a multiplier below 0"),
        ({"case": 0, "weights": [1.0, -1e-9]}, "a weight or a multiplier below 0"),
        ({"weights": [1.0]}, "weights without the case they are about"),
        ({"splits": [[1, 0, ">="]] * 4}, "more than 3 splits"),
    ],
)  # fmt: skip
def test_what_is_said_of_leaves_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: Any, problem: str):
    monkeypatch.setattr(tool, "DEEPEST", 3)
    with pytest.raises(FormatError) as caught:
        read_leaves(file_of(tmp_path, {"splits": [[1, 0, ">="]] * 3}, leaf))
    assert caught.value.problem == f"leaf 1: {problem}"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_for_numbers_are_no_json(tmp_path: Path, word: str):
    path = file_of(tmp_path, {"splits": [[1, 0, ">=", 0.5]]})
    path.write_text(path.read_text().replace("0.5", word))
    with pytest.raises(FormatError, match="is no JSON document of leaves"):
        read_leaves(path)


def test_a_document_has_its_two_fields_and_no_others(tmp_path: Path):
    for document in ([], {"format": tool.FORMAT}, {"leaves": [{}]}, {"format": tool.FORMAT, "leaves": [{}], "more": 1}):
        (tmp_path / "l.json").write_text(json.dumps(document))
        with pytest.raises(FormatError, match="is no document of the format 'netproof-leaves-1'"):
            read_leaves(tmp_path / "l.json")
    for leaves in ([], {}, 3, {"0": {}}):
        (tmp_path / "l.json").write_text(json.dumps({"format": tool.FORMAT, "leaves": leaves}))
        with pytest.raises(FormatError, match="has no list of 1 to 1048576 leaves"):
            read_leaves(tmp_path / "l.json")


def test_files_and_lists_have_a_greatest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = file_of(tmp_path, {}, {})
    monkeypatch.setattr(tool, "_LONGEST", path.stat().st_size)
    monkeypatch.setattr(tool, "_MOST_LEAVES", 2)
    assert len(read_leaves(path)) == 2
    monkeypatch.setattr(tool, "_MOST_LEAVES", 1)
    with pytest.raises(FormatError, match="has no list of 1 to 1 leaves"):
        read_leaves(path)
    monkeypatch.setattr(tool, "_LONGEST", path.stat().st_size - 1)
    with pytest.raises(FormatError, match=f"{path.stat().st_size - 1}"):
        read_leaves(path)


# -- trees


def leaf(*splits: tuple[int, int, bool, float], **given: Any) -> Leaf:
    return Leaf(
        0, None, tuple(Split(*one) for one in splits), given.get("slopes", {}), given.get("multipliers", {}), ()
    )


def trees() -> Trees:
    return Trees((3, 2), 2, Deadline("leaves"))


def test_the_root_is_what_most_leaves_name_and_of_equals_the_first():
    made = trees()
    # Feature 0 of ReLU 2 is named by three leaves; of ReLU 1, feature 1 at 0 and at 1, and an input by two.
    low, high = (2, 0, False, 0.0), (2, 0, True, 0.0)
    root = made.root([leaf(low, (1, 1, False, 0.0)), leaf(low, (1, 1, True, 0.0)), leaf(high)])
    trace = made.trace()
    assert trace.splits[root] == (1, 0, 0.0, 1, 2) and trace.splits[1] == (0, 1, 0.0, 3, 4)
    assert sorted(trace.refuted) == [2, 3, 4] and (trace.sizes, trace.common) == ((3, 2), ("crown",))
    made = trees()
    made.root([leaf((1, 2, True, 0.0), (1, 1, True, 1.0), (1, 1, False, 2.0), (0, 1, True, 5.0))])
    assert made.trace().splits[0][:3] == (-1, 1, 5.0)
    made = trees()
    made.root([leaf((1, 2, True, 0.0), (1, 1, False, 2.0), (1, 1, True, 1.0))])
    assert made.trace().splits[0][:3] == (0, 1, 1.0)


def test_a_split_that_a_leaf_names_twice_counts_once():
    made = trees()
    twice = leaf((1, 2, True, 0.0), (1, 2, True, 0.0), (1, 2, True, 0.0))
    made.root([twice, leaf((2, 1, True, 0.0)), leaf((2, 1, False, 0.0))])
    assert made.trace().splits[0][:3] == (1, 1, 0.0)


def test_what_no_leaf_covers_has_no_record():
    made = trees()
    made.root([leaf((1, 0, True, 0.0))])
    trace = made.trace()
    assert (trace.splits, sorted(trace.refuted), trace.open) == ({0: (0, 0, 0.0, 1, 2)}, [2], {})
    made = trees()
    assert made.root([]) == 0 and not made.trace().splits and not made.trace().refuted


def test_of_leaves_of_one_cell_the_first_refutes_it():
    made = trees()
    made.root([leaf(slopes={(1, 0): 0.5}), leaf(slopes={(1, 1): 0.25})])
    assert made.trace().open[0].tolist() == [0] and made.trace().refuted[0].slope.tolist() == [0.5]


def test_features_are_counted_through_all_relus_in_ascending_order():
    made = trees()
    made.root([leaf(slopes={(2, 1): 0.5, (1, 2): 0.25}, multipliers={(2, 0): 3.0, (1, 2): 1.0})])
    found = made.trace().refuted[0]
    assert made.trace().open[0].tolist() == [2, 3, 4] and found.added.tolist() == [1.0, 3.0, 0.0]
    assert found.slope[[0, 2]].tolist() == [0.25, 0.5] and math.isnan(found.slope[1])


def test_trees_have_a_greatest_size(monkeypatch: pytest.MonkeyPatch):
    pair = [leaf((1, 0, True, 0.0)), leaf((1, 0, False, 0.0), (1, 1, True, 0.0))]
    # Nodes: the root, its halves, and those of the lower one. Splits gone through: 1 + 2, and then 1.
    monkeypatch.setattr(tool, "_MOST_NODES", 5)
    monkeypatch.setattr(tool, "_MOST_STEPS", 4)
    trees().root(pair)
    monkeypatch.setattr(tool, "_MOST_STEPS", 3)
    with pytest.raises(FormatError, match="stand in no tree of this size"):
        trees().root(pair)
    monkeypatch.setattr(tool, "_MOST_STEPS", 4)
    monkeypatch.setattr(tool, "_MOST_NODES", 4)
    with pytest.raises(FormatError, match="trees are too large"):
        trees().root(pair)


@pytest.mark.parametrize("place", [(1, 2), (2, 1)])
def test_the_last_features_and_inputs_are_there(place: tuple[int, int]):
    trees().root([leaf((*place, True, 0.0), (0, 1, True, 0.0), slopes={place: 0.5}, multipliers={place: 0.5})])


# -- what is grown of them


NETWORK = chain([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.25]])
PROPERTY = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 5.0), ((1.0,), 6.0)], [((-1.0,), 0.5)]])


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """How growers are asked; every tree becomes a leaf, whose row is its number."""
    asked: list[SimpleNamespace] = []

    class Grower:
        def __init__(self, maker, goals, places, trace) -> None:
            self.told = SimpleNamespace(maker=maker, goals=goals, places=places, trace=trace)

        def grow(self, cells, seeds) -> None:
            self.told.cells, self.told.seeds = cells, seeds
            asked.append(self.told)
            for seed in seeds:
                seed.kind = LEAF
                for claim in seed.claims:
                    claim.row = claim.goal

    monkeypatch.setattr(outside, "Grower", Grower)
    return asked


def made_of(*leaves: Leaf, property_: bytes = PROPERTY, **given: Any):
    return outside.certificate_of_leaves(NETWORK, property_, leaves, source="a/b.json", **given)


def test_leaves_without_a_case_are_one_tree_of_all_goals(grown):
    made = made_of(leaf(slopes={(1, 1): 0.5}), producer="who")
    (told,) = grown
    (seed,) = told.seeds
    assert [(claim.goal, claim.trace) for claim in seed.claims] == [(0, 0), (1, 0)]
    assert seed.open.tolist() == [1] and seed.sides == {}
    assert [goal.last for goal in told.goals] == [3, 3] and [len(goal.constraints) for goal in told.goals] == [2, 1]
    assert [(p.place.tolist(), p.scale.tolist()) for p in told.places] == [([0, 1], [1.0, 1.0]), ([0], [1.0])]
    assert told.trace.refuted[0].slope.tolist() == [0.5] and told.maker.width == 2
    assert {name: made.arrays[name].tolist() for name in ("cases", "tree", "stages", "stage", "kind", "leaf_row")} == {
        "cases": [2], "tree": [0, 0], "stages": [2], "stage": [FORMS, CROWN], "kind": [LEAF], "leaf_row": [0, 1],
    }  # fmt: skip
    assert (made.claim, made.inputs, made.outputs, made.name, made.producer) == ("unsat", 2, 1, "b.json", "who")


def test_leaves_of_cases_are_trees_of_their_own(grown):
    about = Leaf(0, 1, (Split(1, 0, True, 0.0),), {}, {}, (1.0,))
    made = made_of(leaf(multipliers={(1, 0): 1.0}), about)
    (told,) = grown
    assert [[(claim.goal, claim.trace) for claim in seed.claims] for seed in told.seeds] == [[(0, 0)], [(1, 1)]]
    # What has no case is a leaf of every tree.
    assert sorted(told.trace.refuted) == [0, 1] and not told.trace.splits
    assert [seed.open.tolist() for seed in told.seeds] == [[0], [0]]
    assert made.arrays["tree"].tolist() == [0, 1] and made.arrays["kind"].tolist() == [LEAF, LEAF]


def test_each_part_has_its_own_stages_and_leaves(grown):
    boxes = (f"(and (>= X_0 {low}) (<= X_0 {high}) (>= X_1 -1.0) (<= X_1 1.0))" for low, high in ((-1, 0), (0, 1)))
    names = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0"))
    property_ = f"{names}(assert (or {' '.join(boxes)}))(assert (>= Y_0 5.0))".encode()
    about = Leaf(1, 0, (Split(1, 0, True, 0.0),), {}, {}, ())
    made = made_of(about, property_=property_)
    assert [len(told.trace.splits) for told in grown] == [0, 1]
    assert [told.cells.upper[0, 0] for told in grown] == [0.0, 1.0]
    assert made.arrays["stages"].tolist() == [2, 2] and made.arrays["cases"].tolist() == [1, 1]
    assert made.arrays["tree"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (Leaf(1, None, (), {}, {}, ()), "names a part or case that the property has not"),
        (Leaf(0, 2, (), {}, {}, ()), "names a part or case that the property has not"),
        (Leaf(0, 0, (), {}, {}, (1.0,)), "has other weights than the 2 of case 0"),
        (Leaf(0, 1, (), {}, {}, (1.0, 1.0)), "has other weights than the 1 of case 1"),
    ],
)
def test_leaves_about_something_else_are_refused(grown, wrong: Leaf, problem: str):
    with pytest.raises(FormatError) as caught:
        made_of(leaf(), wrong)
    assert (caught.value.source, caught.value.problem) == ("a/b.json", problem) and not grown


def test_weights_are_of_the_constraints_of_their_case(grown):
    made_of(Leaf(0, 0, (), {}, {}, (1.0, 2.0)), Leaf(0, 1, (), {}, {}, (3.0,)), Leaf(0, 1, (), {}, {}, ()))
    assert [grown[0].trace.refuted[node].weight.tolist() for node in (0, 1)] == [[1.0, 2.0], [3.0]]


def test_a_case_of_no_constraints_has_a_width_of_1(grown):
    box = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0"))
    box += "".join(f"(assert (>= X_{i} -1.0))(assert (<= X_{i} 1.0))" for i in range(2))
    made_of(Leaf(0, 0, (), {}, {}, (1.0,)), property_=box.encode())
    assert grown[0].maker.width == 1 and grown[0].places[0].place.tolist() == [0]


def test_the_deadline_is_looked_at_wherever_the_work_is(grown, monkeypatch: pytest.MonkeyPatch):
    looks = []
    real = outside.evaluation_of
    monkeypatch.setattr(outside, "evaluation_of", lambda *given: looks.append(given[3]) or real(*given))
    made_of(leaf(), deadline=math.inf)
    deadline = grown[0].maker.deadline
    assert deadline == Deadline("a/b.json", math.inf) and looks == [deadline.look]
    with pytest.raises(NoEvidenceError, match="takes more time"):
        made_of(leaf(), deadline=0.0)


def test_a_property_without_parts_has_nothing_to_grow(grown, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        outside, "read_property", lambda *given: SimpleNamespace(parts=(), inputs=2, outputs=1, compares=False)
    )
    assert not any(len(values) for values in made_of().arrays.values()) and not grown
    other = SimpleNamespace(parts=(), inputs=2, outputs=2, compares=False)
    monkeypatch.setattr(outside, "read_property", lambda *given: other)
    with pytest.raises(FormatError, match="is about another network"):
        made_of()


def test_what_is_open_is_what_the_leaf_at_each_root_names(grown):
    made_of(Leaf(0, 0, (), {}, {}, ()), Leaf(0, 1, (), {(1, 1): 0.5}, {}, ()))
    assert [seed.open.tolist() for seed in grown[0].seeds] == [[], [1]]
    made_of(leaf())
    assert grown[1].seeds[0].open.tolist() == []
    assert all(told.seeds[0].open.dtype == np.int64 for told in grown)


def test_documents_of_another_format_or_with_a_field_twice(tmp_path: Path):
    path = file_of(tmp_path, {})
    assert len(read_leaves(path)) == 1
    text = path.read_text()
    path.write_text(text.replace("leaves-1", "leaves-2"))
    with pytest.raises(FormatError, match="is no document of the format"):
        read_leaves(path)
    for twice in ('"leaves": [], "leaves"', '"format": "x", "leaves"'):
        path.write_text(text.replace('"leaves"', twice))
        with pytest.raises(FormatError, match="is no JSON document of leaves"):
            read_leaves(path)
    path.write_text(json.dumps({"format": tool.FORMAT, "leaves": [{}]}).replace("{}", '{"part": 0, "part": 0}'))
    with pytest.raises(FormatError, match="is no JSON document of leaves"):
        read_leaves(path)


def test_every_node_of_a_tree_looks_at_the_deadline():
    looks: list[int] = []
    deadline: Any = SimpleNamespace(source="leaves", look=lambda: looks.append(0))
    Trees((3, 2), 2, deadline).root([leaf((1, 0, True, 0.0)), leaf((1, 0, False, 0.0))])
    assert len(looks) == 3
