"""Every proof a search leaves is accepted by the checker, which shares nothing with it; and every witness."""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pytest
import torch

from netproof.certificate.check import check
from netproof.certificate.format import decode, encode
from netproof.certificate.make import certificate_of
from netproof.errors import QueryError
from netproof.query import Conjunction, Query, Result, Verdict, robustness
from netproof.search.engine import Effort, Search
from netproof.search.radius import largest_radius
from netproof.search.verify import verify, verify_many
from netproof.settings import Settings
from soundness.random_networks import Layer, RandomNetwork, floats, random_network, random_query, tight_query, witnesses

PROOFS = Settings(timeout=120.0, attack=False, proofs=True)
#: hardly any work per subproblem, so that proofs consist of splits
TINY = Effort(root_steps=0, steps=0, iterations=1, batch=3, look_ahead=1)
NAMES = ("empty", "leaf", "cut", "split", "points")


def certify(net: RandomNetwork, query: Query, result: Result) -> Counter[str]:
    """Check the certificate of a result as a file would have it; how many nodes of each kind it has."""
    assert result.verdict is (Verdict.SAT if len(witnesses(net, query)) else Verdict.UNSAT)
    data = encode(certificate_of(query, result))
    certificate = decode(data)
    assert check(certificate, query.network).claim == result.verdict.value
    kinds = Counter(NAMES[kind] for kind in certificate.arrays["kind"].tolist())
    return kinds + Counter(common=len(certificate.arrays["common"]))


@pytest.mark.parametrize("seed", range(6))
def test_general_queries(seed: int) -> None:
    random = np.random.default_rng([31, seed])
    kinds: Counter[str] = Counter()
    for _ in range(15):
        net = random_network(random)
        network = net.network()
        asked = [random_query(random, net, network) for _ in range(8)]
        for position, result in verify_many(asked, PROOFS):
            kinds += certify(net, asked[position], result)
    assert kinds["leaf"] > 5 and kinds["split"] > 5


@pytest.mark.parametrize("restart", [0, 2, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_searches_that_split_much(seed: int, restart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netproof.search.engine._RESTART", restart)
    monkeypatch.setattr("netproof.search.verify.Search", functools.partial(Search, effort=TINY))
    random = np.random.default_rng([32, seed])
    kinds: Counter[str] = Counter()
    for _ in range(12):
        net = random_network(random, bits=6, layers=int(random.integers(1, 4)))
        network = net.network()
        for query in (tight_query(random, net, network) for _ in range(3)):
            kinds += certify(net, query, verify(query, PROOFS))
    assert min(kinds["leaf"], kinds["split"]) > 10
    assert kinds["cut"] > 0 or seed != 1  # range cuts are left out where no leaf needs them


@pytest.mark.parametrize("effort", [None, TINY], ids=["usual", "tiny"])
@pytest.mark.parametrize("seed", range(4))
def test_robustness(seed: int, effort: Effort | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Order cases: windows, outputs that saturate, rivals that ask the same."""
    monkeypatch.setattr("netproof.search.engine._RESTART", 2)
    monkeypatch.setattr("netproof.search.verify.Search", functools.partial(Search, effort=effort))
    random = np.random.default_rng([33, seed])
    robust = 0
    kinds: Counter[str] = Counter()
    for _ in range(12):
        layers = int(random.integers(2, 4))
        net = random_network(random, layers=layers, final=str(random.choice(["shift", "shared"])))
        network = net.network()
        asked = []
        for _ in range(6):
            image = torch.from_numpy(random.integers(net.lower, net.upper + 1))
            asked.append(robustness(network, image, int(network.classify(image.double())), int(random.integers(5))))
        for position, result in verify_many(asked, PROOFS):
            kinds += certify(net, asked[position], result)
            robust += result.verdict is Verdict.UNSAT
    assert robust > 10 and kinds["common"] > 0


def test_boxes_split_to_points() -> None:
    """Where only integrality is left, inputs are split down to single points: an even sum is not odd."""
    weight = np.array([[2, 2]], dtype=np.int64)
    net = RandomNetwork((Layer(weight, np.array([0]), None),), np.array([0, 0]), np.array([2, 2]))
    odd = Conjunction(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([3.0, -3.0]).double())
    query = Query(net.network(), floats(net.lower), floats(net.upper), (odd,))
    kinds = certify(net, query, verify(query, PROOFS))
    assert kinds["leaf"] > 3 and kinds["split"] > 2


def test_the_same_query_gives_the_same_file() -> None:
    random = np.random.default_rng(35)
    for _ in range(10):
        net = random_network(random)
        query = tight_query(random, net, net.network())
        files = [encode(certificate_of(query, verify(query, PROOFS))) for _ in range(2)]
        assert files[0] == files[1]


def test_a_radius_comes_with_its_proof() -> None:
    random = np.random.default_rng(36)
    for _ in range(10):
        net = random_network(random, bits=7, final="shift")
        network = net.network()
        image = torch.from_numpy(random.integers(net.lower, net.upper + 1))
        label = int(network.classify(image.double()))
        found = largest_radius(network, image, label, PROOFS)
        assert found.proved is not None and found.proved.verdict is Verdict.UNSAT
        certify(net, robustness(network, image, label, found.radius), found.proved)


def test_without_a_proof_there_is_no_certificate() -> None:
    random = np.random.default_rng(37)
    net = random_network(random, final="shift")
    query = robustness(net.network(), torch.from_numpy(net.lower), 0, 0)
    label = int(query.network.classify(query.image))
    query = robustness(query.network, query.image, label, 0)
    with pytest.raises(QueryError, match="has no proof"):
        certificate_of(query, verify(query))
    with pytest.raises(QueryError, match="timeout"):
        certificate_of(query, Result(Verdict.TIMEOUT, 0.0, "search"))
