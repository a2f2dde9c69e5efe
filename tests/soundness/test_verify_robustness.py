"""Local robustness and radii against every input tried out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.query import Verdict
from netproof.search.radius import largest_radius
from netproof.search.verify import verify
from netproof.settings import Settings
from soundness.random_networks import Integers, RandomNetwork, box_points, random_network

LIMIT = Settings(timeout=600.0)
BLIND = Settings(timeout=600.0, attack=False)
#: classifiers: outputs that can be compared, saturating ones with many ties among them
FINAL = ("shift", "shared", "general", "jumps", "constant", None)


def classes(net: RandomNetwork, x: Integers) -> Integers:
    """The first largest output of every input."""
    found: Integers = net.outputs(x).argmax(1)  # NumPy's is the first
    return found


def draw(random: np.random.Generator, **more: int) -> tuple[RandomNetwork, Network]:
    final = FINAL[random.integers(len(FINAL))]
    net = random_network(random, final=final, kinds=("shift", "general", "shared", "jumps"), **more)
    return net, net.network()


def sample(random: np.random.Generator, net: RandomNetwork) -> tuple[Integers, int, int]:
    """An image (often at the edge of the domain), a label that is mostly right, a radius."""
    image = random.integers(net.lower, net.upper + 1)
    if random.random() < 0.3:
        image = np.where(random.random(len(image)) < 0.5, net.lower, net.upper)
    label = int(classes(net, image[None])[0])
    if random.random() < 0.1:
        label = int(random.integers(len(net.layers[-1].bias)))
    return image, label, int(random.integers(0, 6))


def truth(net: RandomNetwork, image: Integers, label: int, radius: int) -> Verdict:
    if classes(net, image[None])[0] != label:
        return Verdict.MISCLASSIFIED
    near = box_points(np.maximum(image - radius, net.lower), np.minimum(image + radius, net.upper))
    return Verdict.UNSAT if (classes(net, near) == label).all() else Verdict.SAT


@pytest.mark.parametrize("attack", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_verdicts_are_the_truth(seed: int, attack: bool) -> None:
    random = np.random.default_rng([1, seed])
    outcomes: Counter[Verdict] = Counter()
    for _ in range(12):
        net, network = draw(random)
        samples = [sample(random, net) for _ in range(12)]
        asked = [robustness(network, torch.from_numpy(image), label, radius) for image, label, radius in samples]
        for position, result in enumerate(verify(asked, LIMIT if attack else BLIND)):
            image, label, radius = samples[position]
            assert result.verdict is truth(net, image, label, radius)
            outcomes[result.verdict] += 1
            if result.verdict is Verdict.SAT:
                assert result.witness is not None
                x = result.witness.input.numpy()
                assert (abs(x - image) <= radius).all() and ((x >= net.lower) & (x <= net.upper)).all()
                assert classes(net, x[None])[0] != label
                assert (result.witness.output.numpy() == net.outputs(x[None])[0]).all()
            else:
                assert result.witness is None
    assert min(outcomes[v] for v in (Verdict.SAT, Verdict.UNSAT, Verdict.MISCLASSIFIED)) > 3


def test_no_witness_is_found_by_bounds() -> None:
    """A bound at the root can be attained at a witness; what found it is its replay, and results say so."""
    random = np.random.default_rng(6)
    net, network = draw(random)
    image = random.integers(net.lower, net.upper + 1)
    label = int(classes(net, image[None])[0])
    for settings in (LIMIT, BLIND):
        result = verify(robustness(network, torch.from_numpy(image), label, 2), settings)
        assert (result.verdict, result.method) == (Verdict.SAT, "attack")


@pytest.mark.parametrize("seed", range(2))
def test_radius_zero_and_radii_beyond_the_domain(seed: int) -> None:
    random = np.random.default_rng([2, seed])
    for _ in range(10):
        net, network = draw(random)
        for radius in (0, 10_000):
            image, label, _ = sample(random, net)
            result = verify(robustness(network, torch.from_numpy(image), label, radius), BLIND)
            assert result.verdict is truth(net, image, label, radius)


@pytest.mark.parametrize("attack", [True, False])
@pytest.mark.parametrize("seed", [0, 2])
def test_largest_radii_are_exact(seed: int, attack: bool) -> None:
    """Robust at the radius, not at the next one, unless there is no next one."""
    random = np.random.default_rng([3, seed])
    kinds: Counter[str] = Counter()
    for _ in range(20):
        net, network = draw(random, bits=7)
        image, label, _ = sample(random, net)
        found = largest_radius(network, torch.from_numpy(image), label, LIMIT if attack else BLIND)
        widest = int((net.upper - net.lower).max())
        verdicts = [truth(net, image, label, radius) for radius in range(widest + 1)]
        assert found.exact and not found.reason
        if verdicts[0] is Verdict.MISCLASSIFIED:
            assert found.radius == -1 and found.witness is None and found.witness_radius is None
            kinds["misclassified"] += 1
            continue
        robust = max(r for r, verdict in enumerate(verdicts) if verdict is Verdict.UNSAT)
        assert found.radius == robust
        if robust == widest:
            assert found.witness is None and found.witness_radius is None
            kinds["robust everywhere"] += 1
        else:
            assert found.witness is not None and found.witness_radius == robust + 1
            x = found.witness.input.numpy()
            assert abs(x - image).max() == robust + 1 and classes(net, x[None])[0] != label
            kinds["found"] += 1
    assert kinds["found"] > 2 and kinds["robust everywhere"] > 0


@pytest.mark.parametrize("seed", range(2))
def test_radii_are_looked_at_up_to_the_limit(seed: int) -> None:
    random = np.random.default_rng([4, seed])
    for _ in range(15):
        net, network = draw(random, bits=7)
        image, label, _ = sample(random, net)
        limit = int(random.integers(1, 4))
        found = largest_radius(network, torch.from_numpy(image), label, LIMIT, limit=limit)
        widest = int((net.upper - net.lower).max())
        verdicts = [truth(net, image, label, radius) for radius in range(min(limit, widest) + 1)]
        if verdicts[0] is Verdict.MISCLASSIFIED:
            assert found.radius == -1
            continue
        assert found.radius == max(r for r, verdict in enumerate(verdicts) if verdict is Verdict.UNSAT)
        assert found.exact == (Verdict.SAT in verdicts or limit >= widest)
        assert found.exact or found.reason
