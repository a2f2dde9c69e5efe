"""Questions about the shares that a final softmax gives, and not about their order alone."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import netproof
from netproof.network import Kept
from netproof.property import Box, LinearConstraint, Property, PropertyPart
from onnx_models import model, node, run_onnxruntime, save

WEIGHT = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32).astype(np.float64)


def network(tmp_path, operator="Softmax", classes=4):
    weight = WEIGHT if classes == 4 else np.zeros((3, classes))
    nodes = [node("Gemm", ["x", "w"], ["g"]), node(operator, ["g"], ["s"], axis=1), node("Identity", ["s"])]
    return netproof.load(save(tmp_path / "net.onnx", model(nodes, (1, 3), {"w": weight})))


def asked(network, outputs, threshold):
    box = Box((Fraction(0),) * 3, (Fraction(1),) * 3)
    rows = tuple((k, Fraction(c)) for k, c in outputs.items())
    condition = ((LinearConstraint((), rows, Fraction(threshold)),),)
    return Property("asked", 3, network.outputs, (PropertyPart(box, condition),)).question(network)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_thresholds(operator, tmp_path):
    known = network(tmp_path, operator)
    assert known.kept is Kept.ORDER
    whole = known.complete
    x = np.random.default_rng(1).random((200, 3)).astype(np.float32)
    theirs = np.array(run_onnxruntime(known.content, [row[None] for row in x]))
    assert np.allclose(whole.graph.evaluate(torch.from_numpy(x).double()).numpy(), theirs, atol=1e-6)
    corners = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T.astype(np.float32)
    best = max(row[1] for row in run_onnxruntime(known.content, [c[None] for c in corners]))
    settings = netproof.Settings(timeout=20)
    found = netproof.verify(asked(known, {1: 1}, best - 1e-3), settings)
    assert found.verdict is netproof.Verdict.SAT and float(found.witness.output[1]) >= best - 1e-3
    assert netproof.verify(asked(known, {1: 1}, best + 1e-3), settings).verdict is netproof.Verdict.UNSAT
    # No share is above 1, all together are 1.
    most = 1 if operator == "Softmax" else 0
    assert netproof.verify(asked(known, {1: 1}, most + 1e-9), settings).verdict is netproof.Verdict.UNSAT


def test_order_is_asked_of_the_operands_all_the_same(tmp_path):
    known = network(tmp_path)
    question = asked(known, {1: 1, 0: -1}, 0)
    assert question.parts[0].network is known
    assert asked(known, {1: 1, 0: -1}, 0.25).parts[0].network is known.complete


def test_a_softmax_of_many_outputs_is_left_out_for_good(tmp_path):
    known = network(tmp_path, classes=300)
    assert known.kept is Kept.ORDER and known.complete is None
    with pytest.raises(netproof.NetproofError, match="softmax"):
        asked(known, {0: 1}, math.pi)


@pytest.mark.parametrize("boxes", [2, 5])
def test_boxes_of_one_property_may_ask_about_order_and_about_shares(boxes, tmp_path):
    known = network(tmp_path)
    corners = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T.astype(np.float32)
    shares = np.array([row for c in corners for row in run_onnxruntime(known.content, [c[None]])]).reshape(-1, 4)
    box = Box((Fraction(0),) * 3, (Fraction(1),) * 3)

    def part(outputs, threshold):
        rows = tuple((k, Fraction(c)) for k, c in outputs.items())
        return PropertyPart(box, ((LinearConstraint((), rows, Fraction(float(threshold))),),))

    order = [part({0: 1, 1: -1}, 0), part({1: 1, 0: -1}, 0)]
    highest, settings = shares[:, 1].max(), netproof.Settings(timeout=20)
    for threshold, verdict in ((highest + 1e-3, netproof.Verdict.UNSAT), (highest - 1e-3, netproof.Verdict.SAT)):
        # One point, and the order that it does not have.
        point = corners[int(shares[:, 1].argmin())]
        where = Box(tuple(map(Fraction, point.tolist())), tuple(map(Fraction, point.tolist())))
        below = PropertyPart(where, order[int(shares[shares[:, 1].argmin(), 0] > shares[:, 1].min())].condition)
        for parts in (
            [below, *[part({1: 1}, threshold)] * (boxes - 1)],
            [*[part({1: 1}, threshold)] * (boxes - 1), below],
        ):
            question = Property("asked", 3, known.outputs, tuple(parts)).question(known)
            assert {one.network for one in question.parts} == {known, known.complete}
            found = netproof.verify(question, settings)
            assert found.verdict is verdict
            if found.witness is not None:
                assert float(found.witness.output[1]) >= threshold
