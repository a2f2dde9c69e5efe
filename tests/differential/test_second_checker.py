"""The checker in another language (``checkers/rust``) against the first one: certificate by certificate the same answer.

It is built where a Rust compiler is there; both work in exact arithmetic here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from differential.evidence_campaign import Question, by_chance, damaged
from netproof import Settings, Verdict
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real.contents import LEAF
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.make import evidence_of
from netproof.errors import NetproofError
from soundness.real_evidence import Builder, certificate, perceptron
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
