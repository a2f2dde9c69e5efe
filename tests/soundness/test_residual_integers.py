"""Residual networks of integers, from the file to the certificate, against every input tried out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import netproof
from netproof.bounds.region import box_region
from netproof.certificate.checker.check import check
from netproof.certificate.contents import RobustnessProperty
from netproof.certificate.make import certificate_of
from netproof.errors import NetproofError
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import robustness
from netproof.operators.affine.linear import Linear
from netproof.query import Query
from netproof.search.integer.presolve import presolve
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import integer_session
from soundness.random_networks import floats
from soundness.residual_networks import Residual, random_residual, truth

seeds = pytest.mark.parametrize("seed", range(4))
LIMIT = Settings(timeout=600.0, proofs=True)
BLIND = Settings(timeout=600.0, attack=False, proofs=True)


def asked(random: np.random.Generator, net: Residual, network: netproof.Network, count: int) -> list[tuple[Query, str]]:
    """Queries with their true verdicts."""
    queries = []
    for _ in range(count):
        image = random.integers(0, net.largest + 1, int(np.prod(net.shape)))
        label, radius = int(net.classes(image[None])[0]), int(random.integers(0, 4))
        if random.random() < 0.1:
            label = int(random.integers(len(net.linear[1])))
        verdict, _ = truth(net, image, label, radius)
        queries.append((robustness(network, torch.from_numpy(image), label, radius), verdict))
    return queries


@seeds
def test_the_file_is_read_as_it_is_computed(tmp_path: Path, seed: int) -> None:
    """By netproof, by a runtime, and by NumPy, on every input."""
    random = np.random.default_rng([1, seed])
    for _ in range(5):
        net = random_residual(random)
        path, points = net.save(tmp_path), net.points()
        expected = net.outputs(points)
        network = netproof.load(path)
        assert network.graph.arithmetic is Arithmetic.INTEGER
        assert (network.lower == 0).all() and (network.upper == net.largest).all()
        assert torch.equal(network.graph.evaluate(floats(points)), floats(expected))
        images = points.reshape(-1, *net.shape).astype(np.uint8)
        runtime = integer_session(path.read_bytes())
        assert (runtime.run(None, {"input": images})[0] == expected).all()


@pytest.mark.parametrize("settings", [LIMIT, BLIND], ids=["attacks", "blind"])
@pytest.mark.parametrize("seed", [1])
def test_verdicts_are_the_truth_and_certificates_prove_them(tmp_path: Path, seed: int, settings: Settings) -> None:
    random = np.random.default_rng([2, seed])
    outcomes: Counter[str] = Counter()
    for _ in range(4):
        net = random_residual(random)
        network = netproof.load(net.save(tmp_path))
        queries = asked(random, net, network, 6)
        for position, result in enumerate(verify([query for query, _ in queries], settings)):
            query, verdict = queries[position]
            assert result.verdict.for_robustness == verdict
            outcomes[verdict] += 1
            if verdict == "misclassified":
                continue
            certificate = certificate_of(query, result)
            assert certificate is not None
            checked = check(certificate, network)
            assert checked.claim == {"robust": "unsat", "vulnerable": "sat"}[verdict]
    assert min(outcomes[v] for v in ("robust", "vulnerable")) > 3


@seeds
def test_a_network_of_one_output_is_robust_and_the_proof_says_so(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng([6, seed])
    for _ in range(6):
        net = random_residual(random, classes=1)
        network = netproof.load(net.save(tmp_path))
        image = torch.from_numpy(random.integers(0, net.largest + 1, int(np.prod(net.shape))))
        queries = [robustness(network, image, 0, radius) for radius in range(3)]
        for position, result in enumerate(verify(queries, BLIND)):
            assert result.verdict.for_robustness == "robust"
            certificate = certificate_of(queries[position], result)
            assert certificate is not None
            assert check(certificate, network).claim == "unsat"


@seeds
def test_a_proof_of_less_is_no_proof_of_more(tmp_path: Path, seed: int) -> None:
    """The largest radius that holds, claimed for the first that does not: the checker finds where."""
    random = np.random.default_rng([3, seed])
    tried = 0
    for _ in range(12):
        net = random_residual(random)
        network = netproof.load(net.save(tmp_path))
        image = random.integers(0, net.largest + 1, int(np.prod(net.shape)))
        label = int(net.classes(image[None])[0])
        verdicts = [truth(net, image, label, radius)[0] for radius in range(4)]
        if "vulnerable" not in verdicts:
            continue
        first = verdicts.index("vulnerable")
        query = robustness(network, torch.from_numpy(image), label, first - 1)
        (result,) = verify([query], LIMIT)
        certificate = certificate_of(query, result)
        assert certificate is not None
        check(certificate, network)
        wrong = dataclasses.replace(certificate, property=RobustnessProperty(label, first))
        with pytest.raises(NetproofError):
            check(wrong, network)
        tried += 1
    assert tried >= 3


@seeds
def test_presolve_leaves_the_same_function(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng([4, seed])
    smaller = 0
    for _ in range(12):
        net = random_residual(random)
        graph = netproof.load(net.save(tmp_path)).graph
        image = random.integers(0, net.largest + 1, int(np.prod(net.shape)))
        _, near = truth(net, image, 0, 1)
        region = box_region(graph, floats(near.min(0))[None], floats(near.max(0))[None])
        outputs = torch.from_numpy(np.sort(random.choice(graph.output.size, 2, replace=False)))
        solved = presolve(graph, region, outputs)
        small = floats(near)[:, solved.kept[0]]
        assert torch.equal(solved.restore_input(small), floats(near))
        values, whole = solved.graph.values(small), graph.values(floats(near))
        for index, old in zip(solved.graph.activations, graph.activations, strict=True):
            assert torch.equal(values[index], whole[old][:, solved.kept[old]])
            smaller += len(solved.kept[old]) < graph.nodes[old].size
        assert torch.equal(values[-1], floats(net.outputs(near))[:, outputs])
        assert any(isinstance(node.operator, Linear) for node in solved.graph.nodes[1:])
    assert smaller > 5


@pytest.mark.parametrize("engine", ["smt", "milp"])
@pytest.mark.parametrize("seed", range(2))
def test_exact_engines_agree(tmp_path: Path, seed: int, engine: str) -> None:
    random = np.random.default_rng([5, seed])
    outcomes: Counter[str] = Counter()
    for _ in range(4):
        net = random_residual(random)
        network = netproof.load(net.save(tmp_path))
        queries = asked(random, net, network, 4)
        for position, result in enumerate(verify([q for q, _ in queries], Settings(timeout=600.0, engine=engine))):
            assert result.verdict.for_robustness == queries[position][1], result.reason
            outcomes[queries[position][1]] += 1
    assert outcomes["robust"] and outcomes["vulnerable"]
