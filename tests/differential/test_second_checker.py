"""The checker in another language (``checkers/rust``) against the first one: certificate by certificate the same answer.

It is built where a Rust compiler is there; both work in exact arithmetic here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from differential.evidence_campaign import Question, by_chance, damaged
from differential.pair_cases import CHANGED, PAIR, TWO_SETS, UNREACHED, PairQuestion, crossed, turned
from differential.plane_cases import PlaneQuestion, spoiled
from netproof import Settings, Verdict
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.container import pack, unpack
from netproof.certificate.real.contents import (
    INTERVALS,
    LEAF,
    LEMMAS,
    NAMES,
    PLANES,
    SPLIT,
    WITHOUT_PAIRS,
    WITHOUT_PLANES,
)
from netproof.certificate.real.format import VERSIONS, decode, encode
from netproof.certificate.real.make import evidence_of
from netproof.errors import NetproofError
from soundness.real_evidence import Builder, certificate, perceptron, property_text
from soundness.test_real_evidence import asked, close_property
from soundness.test_real_handed_down import boxes, handed_down

ROOT = Path(__file__).parents[2]


def first(made, network: bytes, property_: bytes) -> bool:
    try:
        check_real(decode(encode(made)), network, property_, arithmetic="rational")
    except NetproofError:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_both_accept_what_searches_leave(second, tmp_path, seed):
    rng = np.random.default_rng(seed)
    inputs, radius, beyond = ((2, 2.0, 0.05), (12, 0.1, 0.1))[seed % 2]
    network = perceptron(rng, (inputs, 6, 6, 2))
    property_ = close_property(rng, network, inputs, 2, radius, beyond)
    question = asked(tmp_path, network, property_)
    result = verify(question)
    if result.verdict is not Verdict.UNSAT:
        pytest.skip("sampling missed the largest value")
    made = evidence_of(network, property_, question, result)
    assert second(encode(made), network, property_) and first(made, network, property_)


def test_both_accept_ranges_that_boxes_hand_down(second, tmp_path, monkeypatch):
    given = boxes(tmp_path, (3, 8, 8, 2), 1, 1.5)
    plain, made = handed_down(monkeypatch, *given)
    assert made.arrays["rule"].tolist() != plain.arrays["rule"].tolist()
    assert second(encode(made), *given[:2]) and first(made, *given[:2])


def verify(question):
    from netproof.search.verify import verify as decide

    return decide(question, Settings(timeout=20.0, proofs=True))


def test_both_give_the_same_answer_to_certificates_by_chance(second):
    answers, seen = [], set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        question = Question(rng)
        if not question.is_short:
            continue
        seen.add(question.bend)
        for property_, limit in ((question.property, False), (question.easier, True)):
            made = certificate(question.network, property_, question.inputs, 1, **by_chance(rng, question))
            for one in (made, replace(made, arrays=damaged(rng, made).arrays)):
                try:
                    data = encode(one)
                except ValueError:
                    continue
                mine = first(one, question.network, property_)
                assert second(data, question.network, property_) == mine
                assert limit or not mine
                answers.append(mine)
    assert len(answers) > 150 and sum(answers) > 10 and seen == {"Relu", "Abs", "LeakyRelu"}


@pytest.mark.parametrize(
    ("kind", "what", "least"), [(PlaneQuestion, "plane", 1), (PairQuestion, "pair", 10)], ids=["planes", "pairs"]
)
def test_both_give_the_same_answer_to_certificates_with_sets(second, kind, what, least):
    """Next to what they prove, above and below; with one entry or some changed; and about as many of either answer."""
    answers, needed = [], 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        question = kind(rng)
        given = question.arrays()
        threshold = question.nearly(given)
        # Of pairs whose ends do not hold there is none.
        assert threshold is not None or what == "pair"
        for off, is_spoiled in ((1e-9, False), (-1e-9, False), (1e-9, True), (100.0, True)):
            made, property_ = question.made(given, (threshold or 0.0) + off)
            if is_spoiled:
                made = spoiled(rng, made, what)
            try:
                data = encode(made)
            except ValueError:
                continue
            mine = first(made, question.network, property_)
            assert second(data, question.network, property_) == mine, (seed, off, is_spoiled)
            assert is_spoiled or (off > 0 and threshold is not None) or not mine
            answers.append(mine)
            if mine and not is_spoiled:
                none = np.zeros_like(made.arrays[f"row_{what}s"])
                made = replace(made, arrays=made.arrays | {f"row_{what}s": none})
                needed += not first(made, question.network, property_)
    assert len(answers) > 200 and 0.2 < sum(answers) / len(answers) < 0.8 and needed > least


#: of ``relu(x_0 + x_1) <= x_0 + 1``
PLANE = {
    "stages": [1],
    "stage": [PLANES],
    "plane_count": [1],
    "plane_relu": [1],
    "plane_feature": [0],
    "plane_exponent": [0],
    "plane_right": [0],
    "plane_left": [0],
    "plane_entries": [1],
    "plane_step": [1],
    "plane_value": [1],
    "row_planes": [1],
}
TWICE = {name: values * 2 for name, values in PLANE.items() if name.startswith("plane_")}
LEMMA = {
    "lemma_count": [1],
    "lemma_relu": [1],
    "lemma_feature": [0],
    "lemma_side": [1],
    "lemma_end": [2],
    "lemma_exponent": [0],
}
TWO = {"kind": [LEAF] * 2, "rule": [0] * 2, "leaf_row": [0, 1]}
ROWS = {"row_exponent": [0] * 2, "row_base": [0] * 2, "row_count": [0] * 2}


def above_two(text: str = "", *, threshold: float = 1.5) -> tuple[bytes, bytes]:
    """``relu(x_0 + x_1) - x_0`` on ``[-1, 1]^2``, which comes to 1, and to 2 by the chord."""
    made = Builder([1, 2])
    bent = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0], [1.0]])))
    network = made.bytes(made.node("Sub", bent, made.node("MatMul", "x", made.constant([[1.0], [0.0]]))))
    return network, text.encode() or property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), threshold)]])


@pytest.mark.parametrize(
    ("changed", "is_proof"),
    [
        ({}, True),
        ({"row_planes": [0]}, False),
        ({"row_planes": [2]}, False),
        ({"row_planes": [-1]}, False),
        ({"row_planes": [1, 0]}, False),
        ({"row_planes": []}, False),
        ({"plane_relu": [0]}, False),
        ({"plane_relu": [2]}, False),
        ({"plane_relu": [-1]}, False),
        ({"plane_feature": [1]}, False),
        ({"plane_feature": [-1]}, False),
        ({"plane_feature": [2**52]}, False),
        ({"plane_count": [0]}, False),
        ({"plane_count": [2]}, False),
        ({"plane_count": [2**52]}, False),
        ({"plane_count": [1, 1]}, False),
        ({"plane_exponent": [41]}, False),
        ({"plane_exponent": [-1]}, False),
        ({"plane_exponent": [40], "plane_value": [1 << 40]}, True),
        ({"plane_exponent": [40], "plane_value": [1 << 40], "plane_right": [(1 << 50) + 1]}, False),
        ({"plane_exponent": [40], "plane_value": [1 << 40], "plane_left": [(1 << 50) + 1]}, False),
        # Prices beyond 1 are some, if not good ones.
        ({"plane_right": [1 << 50]}, False),
        ({"plane_right": [-1]}, False),
        ({"plane_left": [-1]}, False),
        ({"plane_entries": [0]}, False),
        ({"plane_entries": [2]}, False),
        ({"plane_entries": [2**52]}, False),
        ({"plane_entries": [0], "plane_step": [], "plane_value": []}, False),
        ({"plane_entries": [2], "plane_step": [1, 1], "plane_value": [1, 0]}, True),
        ({"plane_entries": [2], "plane_step": [1, 2], "plane_value": [1, 0]}, False),
        ({"plane_entries": [2], "plane_step": [1, 0], "plane_value": [1, 0]}, False),
        ({"plane_step": [0]}, False),
        ({"plane_step": [-1]}, False),
        ({"plane_step": [3]}, False),
        ({"plane_step": [(1 << 40) + 1]}, False),
        ({"plane_step": [1, 1]}, False),
        ({"plane_value": [1, 1]}, False),
        ({"plane_value": []}, False),
        # Two above the same feature; two sets of them.
        (TWICE | {"plane_count": [2]}, False),
        (TWICE | {"stages": [2], "stage": [PLANES] * 2, "row_planes": [2]}, True),
        (TWICE | {"stages": [2], "stage": [PLANES] * 2, "row_planes": [2], "plane_value": [0, 1]}, True),
        (TWICE | {"stages": [2], "stage": [PLANES] * 2, "row_planes": [1], "plane_value": [0, 1]}, False),
        (TWICE | {"stages": [2], "stage": [PLANES] * 2, "row_planes": [3]}, False),
        # A stage of planes, and no planes.
        ({name: [] for name in PLANE if name.startswith("plane_")}, False),
        ({"stages": [0], "stage": []}, False),
        ({"stages": [2], "stage": [PLANES, INTERVALS]}, True),
        # A row of base 1 has them, too.
        ({"row_base": [1]}, True),
        # Rows of lemmas name sets of stages before them.
        (LEMMA | TWO | ROWS | {"stages": [2], "stage": [PLANES, LEMMAS], "row_mu": [0, 1], "row_planes": [1, 1]}, True),
        (LEMMA | TWO | ROWS | {"stages": [2], "stage": [LEMMAS, PLANES], "row_mu": [0, 1], "row_planes": [0, 1]}, True),
        (
            LEMMA | TWO | ROWS | {"stages": [2], "stage": [LEMMAS, PLANES], "row_mu": [0, 1], "row_planes": [1, 1]},
            False,
        ),
        # A row that no leaf has.
        (ROWS | {"row_mu": [1, 0], "row_planes": [1, 0]}, True),
        (ROWS | {"row_mu": [1, 0], "row_planes": [1, 2]}, False),
    ],
)
def test_both_refuse_planes_that_are_none(second, changed, is_proof):
    network, property_ = above_two()
    evidence = certificate(network, property_, 2, 1, **PLANE | changed)
    assert first(evidence, network, property_) == second(encode(evidence), network, property_) == is_proof


def test_sets_of_planes_are_those_of_a_part(second):
    """Two parts of one box and another: a row of the second one names a set of its own."""
    head = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    box = "(and (>= X_0 {0}) (<= X_0 {1}) (>= X_1 {0}) (<= X_1 {1}) (>= Y_0 1.5))"
    network, property_ = above_two(f"{head}(assert (or {box.format('-1', '1')} {box.format('-1', '0.875')}))")
    parts = {"cases": [1, 1], "tree": [0, 0], **TWO, **ROWS, "row_mu": [1, 1]}
    both = {**TWICE, "stages": [1, 1], "stage": [PLANES] * 2}
    one = {"stages": [1, 0], "stage": [PLANES]}
    later = {**TWICE, "stages": [0, 2], "stage": [PLANES] * 2}
    for given, rows, is_proof in (
        (both, [1, 1], True),
        (both, [1, 2], False),
        (both, [0, 1], False),
        (one, [1, 1], False),
        (one, [1, 0], False),
        (later, [0, 2], False),
        (later, [1, 2], False),
        (later, [2, 1], False),
    ):
        evidence = certificate(network, property_, 2, 1, **PLANE | given | parts | {"row_planes": rows})
        mine = first(evidence, network, property_)
        assert second(encode(evidence), network, property_) == mine == is_proof, (given, rows)
    # An empty leaf is proved, whatever is said of it: by a row with a set that its part does not have, too.
    below = {"split_relu": [0], "split_feature": [0], "split_exponent": [0]}
    trees = {"kind": [SPLIT, LEAF, LEAF, LEAF], "rule": [0] * 4, "leaf_row": [0, 1, 0]}
    sets = {name: values * 3 for name, values in PLANE.items() if name.startswith("plane_")}
    sets |= {"stages": [1, 2], "stage": [PLANES] * 3, "row_planes": [1, 2]}
    for point, is_proof in ((9, True), (0, False)):
        given = PLANE | parts | sets | trees | below | {"split_point": [point]}
        evidence = certificate(network, property_, 2, 1, **given)
        assert second(encode(evidence), network, property_) == first(evidence, network, property_) == is_proof


def test_entries_are_such_as_there_are_where_nothing_depends_on_them(second):
    """A rule of a node below one that is empty, and a weight of a row that no leaf has."""
    network, property_ = above_two(threshold=2.5)
    below = {"kind": [SPLIT, LEAF, LEAF], "split_relu": [0], "split_feature": [0], "split_point": [9]}
    below |= {"split_exponent": [0], "leaf_row": [0, 1], **ROWS}
    for rule, weight, is_proof in ((4, 2, True), (5, 2, False), (-1, 2, False), (4, -1, False)):
        made = certificate(network, property_, 2, 1, **below, rule=[0, 0, rule], row_mu=[1, weight])
        assert second(encode(made), network, property_) == first(made, network, property_) == is_proof


@pytest.mark.parametrize("kinds", [["Relu"], ["LeakyRelu"], ["Relu", "Relu"]])
def test_a_plane_over_what_it_is_above(second, kinds):
    """``relu(x) <= m x + o`` with the operand ``x`` among the columns: as good as nothing of it takes as good as all of ``o``."""
    graph, at = Builder([1, 1]), "x"
    for kind in kinds:
        at = graph.node(kind, at)
    network = graph.bytes(at)
    given = {"plane_relu": [len(kinds)], "plane_exponent": [40], "plane_step": [len(kinds)]}
    # The value 1 is reached, and the chord proves no more.
    for threshold, is_proof in ((0.25, False), (1.0, False), (1.25, True)):
        property_ = property_text([-1.0], [1.0], 1, [[((1.0,), threshold)]])
        made = certificate(network, property_, 1, 1, **PLANE | given)
        assert second(encode(made), network, property_) == first(made, network, property_) == is_proof


@pytest.mark.parametrize(("changed", "is_proof"), CHANGED)
def test_both_refuse_pairs_that_are_none(second, changed, is_proof):
    network, property_ = crossed()
    evidence = certificate(network, property_, 2, 1, **PAIR | changed)
    assert first(evidence, network, property_) == second(encode(evidence), network, property_) == is_proof


def test_sets_of_pairs_are_those_of_a_part(second):
    """Two parts of one box and another, of which each has a set, or one has."""
    head = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    box = "(and (>= X_0 {0}) (<= X_0 {1}) (>= X_1 {0}) (<= X_1 {1}) (>= Y_0 3.25))"
    network, property_ = crossed(f"{head}(assert (or {box.format('-1', '1')} {box.format('-1', '0.875')}))")
    parts = {"cases": [1, 1], "tree": [0, 0], **TWO, "leaf_row": [0, 2], "row_exponent": [0] * 3, "row_base": [0] * 3}
    parts |= {"row_mu": [1, 0, 1], "row_count": [0] * 3}
    both = TWO_SETS | {"stages": [1, 1]}
    for given, rows, is_proof in (
        (both, [1, 0, 1], True),
        (both, [1, 0, 2], False),
        (both, [1, 0, 0], False),
        (both, [1, 1, 1], False),
        ({"stages": [1, 0]}, [1, 0, 1], False),
        (TWO_SETS | {"stages": [0, 2]}, [1, 0, 1], False),
        (TWO_SETS | {"stages": [0, 2]}, [0, 0, 2], False),
    ):
        evidence = certificate(network, property_, 2, 1, **PAIR | given | parts | {"row_pairs": rows})
        assert second(encode(evidence), network, property_) == first(evidence, network, property_) == is_proof, rows


def test_a_cell_without_corners_is_refuted_whatever_is_asked(second):
    """``a + b`` is at least 1/2, so not both are below 0: by a row without weights, where the pair is known."""
    network, _ = crossed()
    property_ = property_text([0.25, -1.0], [1.0, 1.0], 1, [[((1.0,), 5.25)]])
    tree = {"kind": [SPLIT, SPLIT, LEAF, LEAF, LEAF], "rule": [0] * 5, "leaf_row": [0, 2, 0]}
    tree |= {"split_relu": [1, 1], "split_feature": [0, 1], "split_exponent": [3] * 2}
    rows = {"row_exponent": [0] * 3, "row_base": [0] * 3, "row_mu": [1, 0, 0], "row_count": [0] * 3}
    pairs = {"pair_exponent": [2], "pair_end": [8, -2, 8, 8]}
    for point, named, is_proof in (
        ([0, 0], 1, True),
        ([0, 0], 0, False),
        ([-1, -1], 1, True),
        ([1, 0], 1, False),
        ([0, 1], 1, False),
    ):
        given = {**PAIR, **pairs, **tree, **rows, "split_point": point, "row_pairs": [1, 0, named]}
        made = certificate(network, property_, 2, 1, **given)
        assert second(encode(made), network, property_) == first(made, network, property_) == is_proof, point


@pytest.mark.parametrize(
    ("changed", "is_proof"),
    [
        ({}, True),
        # Beside a row that adds something there, of another leaf.
        (
            {"row_exponent": [0, 0, 0, 60], "row_count": [0, 0, 1, 1], "row_feature": [0, 2]}
            | {"row_slope": [0, 0], "row_added": [1, 1]},
            True,
        ),
        ({"row_pairs": [0] * 4}, False),
    ],
)
def test_a_cell_without_corners_is_refuted_where_nothing_comes_to_its_relu(second, changed, is_proof):
    """By a row of a lemma about the ReLU before."""
    network, property_ = turned()
    made = certificate(network, property_, 2, 1, **UNREACHED | changed)
    assert second(encode(made), network, property_) == first(made, network, property_) == is_proof


def test_files_are_of_the_first_version_that_has_what_they_say(second):
    network, property_ = crossed(threshold=4.5)
    pairs = certificate(network, property_, 2, 1, **PAIR)
    planes = certificate(network, property_, 2, 1, **PLANE | {"row_planes": [0]})
    header = json.loads(unpack(encode(pairs), "certificate", VERSIONS).header)
    assert VERSIONS == (3, 4, 5)
    for made, version in ((certificate(network, property_, 2, 1), 3), (planes, 4), (pairs, 5)):
        assert int.from_bytes(encode(made)[8:12], "little") == version
        for number, names in ((3, WITHOUT_PLANES), (4, WITHOUT_PAIRS), (5, NAMES)):
            header["arrays"] = [[name, len(made.arrays[name])] for name in names]
            text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
            for other in (2, 3, 4, 5, 6):
                again = pack(other, text, np.concatenate([made.arrays[name] for name in names]))
                assert second(again, network, property_) == (other == number == version), (version, number, other)


def test_both_refuse_what_one_part_or_case_proves_of_another(second):
    """By the same tree, row and place, of cases of which one has a witness; and of no constraints, which all inputs meet."""
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    head = "(declare-const X_0 Real)(declare-const Y_0 Real)"
    box = head + "(assert (>= X_0 0.0))(assert (<= X_0 1.0))"
    parts = head + "(assert (or (and (>= X_0 0) (<= X_0 1) (>= Y_0 2)) (and (>= X_0 3) (<= X_0 4) (>= Y_0 {}))))"
    two = {"kind": [LEAF] * 2, "rule": [0] * 2, "leaf_row": [0] * 2}
    for text, given, is_true in (
        (parts.format(5), {"cases": [1, 1], "tree": [0, 0], "stages": [0, 0], **two}, True),
        (parts.format(3), {"cases": [1, 1], "tree": [0, 0], "stages": [0, 0], **two}, False),
        (box + "(assert (or (>= Y_0 2) (>= Y_0 3)))", {"cases": [2], "tree": [0, 1], **two}, True),
        (box + "(assert (or (>= Y_0 2) (>= Y_0 0.5)))", {"cases": [2], "tree": [0, 1], **two}, False),
        (box + "(assert (or (>= Y_0 0.5) (>= Y_0 2)))", {"cases": [2], "tree": [0, 1], **two}, False),
        (box, {}, False),
        (box + "(assert (or (>= Y_0 2) (and)))", {"cases": [2], "tree": [0, 0], "leaf_row": [0, 0]}, False),
        (box + "(assert (>= Y_0 2))", {}, True),
        # White space that SMT-LIB does not have.
        (box + "(assert\x0b(>= Y_0 2))", {}, False),
        (box + "(assert (>=\x0cY_0 2))", {}, False),
    ):
        property_ = text.encode()
        evidence = certificate(network, property_, 1, 1, **given)
        assert second(encode(evidence), network, property_) == first(evidence, network, property_) == is_true, text


def test_damaged_bytes_are_refused(second):
    rng = np.random.default_rng(1)
    question = Question(rng)
    data = encode(certificate(question.network, question.easier, question.inputs, 1))
    for _ in range(30):
        broken = bytearray(data)
        broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
        assert not second(bytes(broken), question.network, question.easier)
        assert not second(data[: int(rng.integers(len(data)))], question.network, question.easier)
    assert not second(data, question.network + b"\0", question.easier)
    assert not second(data, question.network, question.property)


def test_its_own_tests_pass(tmp_path):
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("there is no Rust compiler")
    done = subprocess.run(
        [cargo, "test", "--offline", "--quiet"],
        cwd=ROOT / "checkers" / "rust",
        env={**os.environ, "CARGO_TARGET_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_that_say_something_twice_are_refused(second):
    """Protocol buffers merge what is there twice, or take the last: nothing of that is meant by a network."""
    made = Builder([1, 1])
    network = made.bytes(made.node("Gemm", "x", made.constant([[1.0]]), transB=1))
    property_ = (
        b"(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= Y_0 2))"
    )
    assert second(encode(certificate(network, property_, 1, 1)), network, property_)
    model = onnx.load_model_from_string(network)

    def changed(change) -> bytes:
        other = onnx.ModelProto.FromString(network)
        change(other)
        return other.SerializeToString()

    def twice(other) -> None:
        other.graph.node[0].attribute.append(other.graph.node[0].attribute[0])

    def of_a_type(other) -> None:
        other.graph.node[0].attribute[0].type = onnx.AttributeProto.FLOAT

    def two_values(other) -> None:
        other.graph.node[0].attribute[0].f = 2.0

    def two_initializers(other) -> None:
        other.graph.initializer.append(other.graph.initializer[0])

    def a_batch(other) -> None:
        other.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2

    def no_switch(other) -> None:
        other.graph.node[0].attribute[0].i = 2

    merged = network + onnx.ModelProto(graph=onnx.GraphProto(name="again")).SerializeToString()
    assert onnx.load_model_from_string(merged).graph.node == model.graph.node
    for data in (merged, *map(changed, (twice, of_a_type, two_values, two_initializers, a_batch, no_switch))):
        assert not second(encode(certificate(data, property_, 1, 1)), data, property_)
