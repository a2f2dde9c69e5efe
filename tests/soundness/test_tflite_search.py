"""Verdicts about TensorFlow Lite files against all inputs of a box, evaluated one by one."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import netproof
from differential.tflite_maker import RandomNetwork
from netproof import Settings, Verdict, verify
from netproof.bounds.region import box_region
from netproof.effort.integer import HALVES, INTEGER
from netproof.errors import InputError
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import Deployed, read_deployed
from netproof.graph.budget import Budget
from netproof.network import Kept
from netproof.processes import clock
from netproof.query import Conjunction, Query
from netproof.search.integer import boxes, engine
from netproof.search.proofs import assemble
from netproof.search.proofs.log import ProofLog

RUNTIMES = ("tflm", "xnnpack", "litert-ref")


def points_of(center: np.ndarray, free: list[int], reach: int) -> np.ndarray:
    """Every input of a box that is ``reach`` wide around ``center`` where it is free."""
    steps = [range(max(-128, int(center[i]) - reach), min(127, int(center[i]) + reach) + 1) for i in free]
    points = []
    for values in itertools.product(*steps):
        point = center.copy()
        point[free] = values
        points.append(point)
    return np.array(points, np.int8)


def scores_of(deployed: Deployed, points: np.ndarray) -> np.ndarray:
    return evaluate(deployed, points.reshape(-1, *deployed.input.shape[1:])).scores.astype(int)


def asked(network: netproof.Network, points: np.ndarray, coefficients: np.ndarray, threshold: int) -> Query:
    """Is there one of the points with ``coefficients . y >= threshold``?"""
    ends = [torch.from_numpy(end.astype(np.float64)) for end in (points.min(0), points.max(0))]
    row = torch.from_numpy(coefficients.astype(np.float64))[None]
    return Query(network, *ends, (Conjunction(row, torch.tensor([float(threshold)], dtype=torch.float64)),))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_verdict_is_what_all_points_say(runtime, tmp_path):
    path = tmp_path / "network.tflite"
    settings = Settings(timeout=20)
    found = {Verdict.SAT: 0, Verdict.UNSAT: 0}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        path.write_bytes(RandomNetwork(500 + seed).bytes())
        try:
            deployed = read_deployed(path, runtime)
        except InputError:
            continue
        center = rng.integers(-128, 128, deployed.network.inputs)
        free = rng.choice(len(center), 3, replace=False).tolist()
        points = points_of(center, free, int(rng.integers(1, 4)))
        scores = scores_of(deployed, points)
        first, second = rng.choice(scores.shape[1], 2, replace=False)
        coefficients = np.zeros(scores.shape[1], int)
        coefficients[[first, second]] = 1, -1
        margins = scores @ coefficients
        # Just reached, and just not; of what is given to a softmax, where there is one.
        network = replace(deployed.network, kept=Kept.VALUES)
        for threshold in (int(margins.max()), int(margins.max()) + 1):
            result = verify(asked(network, points, coefficients, threshold), settings)
            expected = Verdict.SAT if bool((margins >= threshold).any()) else Verdict.UNSAT
            assert result.verdict in (expected, Verdict.TIMEOUT, Verdict.UNKNOWN), (seed, threshold)
            found[expected] += result.verdict is expected
            if result.witness is not None:
                x = result.witness.input.numpy().astype(np.int8)[None]
                assert bool((x >= points.min(0)).all() and (x <= points.max(0)).all())
                assert int((scores_of(deployed, x) @ coefficients)[0]) >= threshold
    assert min(found.values()) >= 3


@pytest.mark.parametrize(("codes", "runtime"), [("uint8", "xnnpack"), ("int16", "tflm")])
def test_every_verdict_about_other_codes_is_what_all_points_say(codes, runtime, tmp_path):
    path = tmp_path / "network.tflite"
    ends = np.iinfo(codes)
    found = {Verdict.SAT: 0, Verdict.UNSAT: 0}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        path.write_bytes(RandomNetwork(700 + seed, ("conv", "dense", "relu"), codes).bytes())
        try:
            deployed = read_deployed(path, runtime)
        except InputError:
            continue
        center = rng.integers(ends.min // 2 + 5, ends.max // 2 - 5, deployed.network.inputs)
        free = rng.choice(len(center), 2, replace=False)
        points = np.repeat(center[None], 49, 0)
        points[:, free] += np.array(list(itertools.product(range(-3, 4), repeat=2))) * (40 if codes == "int16" else 3)
        corners = np.array(list(itertools.product(*(range(points[:, i].min(), points[:, i].max() + 1) for i in free))))
        points = np.repeat(center[None], len(corners), 0)
        points[:, free] = corners
        points = points[:: max(1, len(points) // 400)] if codes == "int16" else points
        scores = scores_of(deployed, points.astype(codes))
        coefficients = np.zeros(scores.shape[1], int)
        coefficients[:2] = 1, -1
        margins = scores @ coefficients
        network = replace(deployed.network, kept=Kept.VALUES)
        # Above all points there is nothing (of 16 bits not all are looked at); what one of them attains is there.
        for threshold in (int(margins.max()), int(margins.max()) + 1):
            result = verify(asked(network, points, coefficients, threshold), Settings(timeout=20))
            if result.verdict is Verdict.SAT:
                assert result.witness is not None
                witness = result.witness.input.numpy().astype(codes)[None]
                assert (scores_of(deployed, witness) @ coefficients)[0] >= threshold
            else:
                assert threshold > margins.max() or result.verdict is not Verdict.UNSAT
            found[result.verdict] = found.get(result.verdict, 0) + 1
    assert found[Verdict.SAT] >= 3 and found[Verdict.UNSAT] >= 1, found


def test_halves_of_boxes_decide_what_all_points_say(tmp_path, monkeypatch):
    """As graphs of thousands of features are searched; what is refuted has a certificate that the checker takes."""
    monkeypatch.setattr(boxes, "HALVES", replace(HALVES, features=0, rows=4))
    path, evidence = tmp_path / "network.tflite", tmp_path / "c.npcert"
    found, checked, halved = {Verdict.SAT: 0, Verdict.UNSAT: 0}, 0, 0
    # Among the first hundred these are not decided by the first bound.
    for seed in (27, 32, 49, 70, 71, 97):
        rng = np.random.default_rng(seed)
        path.write_bytes(RandomNetwork(900 + seed, ("conv", "depthwise", "dense", "add")).bytes())
        deployed = read_deployed(path, RUNTIMES[seed % 3])
        center = rng.integers(-128, 128, deployed.network.inputs)
        points = points_of(center, rng.choice(len(center), 3, replace=False).tolist(), 6)
        scores = scores_of(deployed, points)
        coefficients = np.zeros(scores.shape[1], int)
        coefficients[rng.choice(scores.shape[1], 2, replace=False)] = 1, -1
        margins = scores @ coefficients
        network = replace(deployed.network, kept=Kept.VALUES)
        for threshold in (int(margins.max()), int(margins.max()) + 1):
            query = asked(network, points, coefficients, threshold)
            if query.misclassified:
                continue
            log = ProofLog(network.graph)
            region = box_region(network.graph, query.lower[None], query.upper[None])
            outcome = boxes.BoxSearch(query, region, Settings(), log).run(clock.now() + 1000)
            assert outcome.verdict is (Verdict.SAT if threshold <= margins.max() else Verdict.UNSAT), (seed, threshold)
            found[outcome.verdict] += 1
            halved += outcome.subproblems > 2
            if outcome.witness is not None:
                x = outcome.witness.input.numpy().astype(np.int8)[None]
                assert bool((x >= points.min(0)).all() and (x <= points.max(0)).all())
                assert int((scores_of(deployed, x) @ coefficients)[0]) >= threshold
            elif 2 < outcome.subproblems < 100:
                result = verify(query, Settings(timeout=1000, proofs=True))
                assert result.verdict is Verdict.UNSAT and result.proof is not None
                netproof.write_certificate(evidence, netproof.certificate_of(query, result))
                assert netproof.check(evidence, network).claim == "unsat"
                checked += 1
    assert min(found.values()) >= 4 and halved >= 6 and checked >= 3, (found, halved, checked)


@pytest.mark.skipif("NETPROOF_DATA" not in os.environ, reason="NETPROOF_DATA is not set")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_whole_domain_of_hello_world(runtime):
    deployed = read_deployed(Path(os.environ["NETPROOF_DATA"]) / "int8" / "hello_world_int8.tflite", runtime)
    points = np.arange(-128, 128, dtype=np.int8)[:, None]
    scores = scores_of(deployed, points)[:, 0]
    one = np.array([1])
    for row, threshold in ((one, scores.max()), (-one, -scores.min())):
        for more, verdict in ((0, Verdict.SAT), (1, Verdict.UNSAT)):
            result = verify(asked(deployed.network, points, row, int(threshold) + more), Settings(timeout=20))
            assert result.verdict is verdict


def test_little_memory_decides_the_same(tmp_path, monkeypatch):
    """Roots in parts, and few subproblems and candidates at a time, as for graphs of many features."""
    path, verdicts = tmp_path / "network.tflite", set()
    for seed in range(6):
        path.write_bytes(RandomNetwork(seed, ("conv", "add")).bytes())
        network = netproof.load(path)
        image = torch.randint(-128, 128, (network.inputs,), generator=torch.Generator().manual_seed(seed)).double()
        if network.kept is Kept.NOTHING:
            continue
        query = netproof.robustness(network, image, int(network.classify(image)), 1 + seed % 3)
        expected = verify(query, Settings(timeout=8))
        with monkeypatch.context() as small:
            small.setattr(engine, "INTEGER", replace(INTEGER, bounded=Budget(1, whole=True)))
            found = verify(query, Settings(timeout=8))
        if expected.verdict.decided and found.verdict.decided:
            assert found.verdict == expected.verdict
            verdicts.add(found.method)
    assert verdicts


def test_ends_that_multipliers_just_prove_are_taken_back_in_a_certificate(tmp_path, monkeypatch):
    """Sums of up to 2^22, most of whose range is cut off: on that part the grid of the evaluation is too coarse for the very end."""
    path, evidence = tmp_path / "n.tflite", tmp_path / "c.npcert"
    path.write_bytes(RandomNetwork(300091).bytes())
    network = netproof.load(path, runtime="xnnpack")
    image = [92, -117, -58, -47, -71, -63, -61, 65, 13, -22]
    query = netproof.robustness(network, image, 0, 35)
    result = verify(query, Settings(proofs=True))
    assert result.verdict is Verdict.UNSAT and result.proof is not None
    netproof.write_certificate(evidence, netproof.certificate_of(query, result))
    checked = netproof.check(evidence, network)
    assert checked.claim == "unsat" and checked.cuts > 10
    # The same ends as the search's: one of them is not proved, and with it the empty ranges that the verdict rests on.
    monkeypatch.setattr(assemble, "_BACK", (0.0,))
    assert verify(query, Settings(proofs=True)).proof is None
