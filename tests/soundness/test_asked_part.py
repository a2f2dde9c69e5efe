"""Networks cut down to what the outputs asked about depend on: verdicts and witnesses are those of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.attack.real import FloatAttack
from netproof.conditions.conditions import Conditions
from netproof.formats.load import load
from netproof.network import Network
from netproof.search.real import decide
from onnx_models import model, node, save

SIDE = 8


def network(seed: int, folder: Path) -> Network:
    """Two convolutions, of which each output sees a window of 5 by 5 inputs of 64."""
    rng = np.random.default_rng(seed)
    constants = {"w": rng.normal(size=(2, 1, 3, 3)), "b": rng.normal(size=2), "v": rng.normal(size=(2, 2, 3, 3))}
    nodes = [node("Conv", ["x", "w", "b"], ["a"]), node("Relu", ["a"], ["h"]), node("Conv", ["h", "v"], ["c"])]
    made = model([*nodes, node("Flatten", ["c"])], (1, 1, SIDE, SIDE), constants)
    return load(save(folder / f"{seed}.onnx", made))


def asked(network: Network, outputs: list[int], threshold: float, radius: float) -> Query:
    rows = torch.zeros(len(outputs), network.outputs, dtype=torch.float64)
    rows[torch.arange(len(outputs)), outputs] = torch.tensor([1.0, -1.0], dtype=torch.float64)[: len(outputs)]
    center = torch.linspace(-1, 1, SIDE * SIDE, dtype=torch.float64).float().double()
    thresholds = torch.full((len(outputs),), threshold, dtype=torch.float64)
    return Query(network, center - radius, center + radius, (Conjunction(rows, thresholds),))


def largest(query: Query, row: int = 0) -> float:
    """The most that samples and ascent give the first constraint."""
    graph = query.network.graph
    x = (
        query.lower
        + torch.rand(64, len(query.lower), generator=torch.Generator().manual_seed(0)) * (query.upper - query.lower)
    ).double()
    best = -torch.inf
    for _ in range(60):
        x = x.detach().requires_grad_(True)
        value = graph.evaluate(x) @ query.condition[0].coefficients[row]
        best = max(best, float(value.detach().max()))
        (slope,) = torch.autograd.grad(value.sum(), x)
        x = torch.minimum(torch.maximum(x + 0.1 * slope.sign() * (query.upper - query.lower), query.lower), query.upper)
    return best


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every network is large enough; how many outputs the parts that were taken have."""
    sizes: list[int] = []
    of_part = Conditions.of_part

    def noted(self: Conditions, part: object) -> Conditions:
        found = of_part(self, part)  # type: ignore[arg-type]
        sizes.append(found.graph.input.size)
        return found

    monkeypatch.setattr(decide, "REAL", replace(decide.REAL, cropped_from=0))
    monkeypatch.setattr(Conditions, "of_part", noted)
    return sizes


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_are_those_of_the_whole(
    seed: int, cut: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is attained is never refuted, and what is a little further is decided as it is without the cut."""
    net = network(seed, tmp_path)
    output = (7 * seed + 3) % net.outputs
    most = largest(asked(net, [output], 0.0, 0.1))
    below, above = asked(net, [output], most - 1e-6, 0.1), asked(net, [output], most + 0.1 * abs(most) + 0.2, 0.1)
    assert verify(below, Settings(timeout=2, attack=False)).verdict is not Verdict.UNSAT
    found = verify(above, Settings(timeout=60)).verdict
    assert cut == [25, 25]
    monkeypatch.setattr(decide, "REAL", replace(decide.REAL, cropped_from=1 << 30))
    assert found.decided and found is verify(above, Settings(timeout=60)).verdict
    assert cut == [25, 25]


@pytest.mark.parametrize("seed", range(4))
def test_points_of_the_part_are_witnesses_of_the_whole(
    seed: int, cut: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found where bounds are attained, since nothing climbs; and replayed on all of the network."""
    net = network(seed, tmp_path)
    output = (5 * seed + 20) % net.outputs
    most = largest(asked(net, [output], 0.0, 0.4))
    monkeypatch.setattr(FloatAttack, "ascend", lambda *_: None)
    query = asked(net, [output], most - 0.05 * abs(most) - 0.01, 0.4)
    result = verify(query, Settings(timeout=30))
    assert result.verdict is Verdict.SAT
    assert result.witness is not None
    x = result.witness.input.double()
    assert bool(((x >= query.lower) & (x <= query.upper)).all())
    assert float(net.graph.evaluate(x[None])[0, output]) >= float(query.condition[0].threshold[0]) - 1e-5
    assert cut == [25]


def test_what_speaks_of_inputs_is_asked_of_the_whole(cut: list[int], tmp_path: Path) -> None:
    query = asked(network(1, tmp_path), [0], 0.0, 0.1)
    (conjunction,) = query.condition
    inputs = torch.zeros(1, SIDE * SIDE, dtype=torch.float64)
    inputs[0, -1] = 1.0
    threshold = torch.tensor([1e3], dtype=torch.float64)
    both = replace(query, condition=(replace(conjunction, input_coefficients=inputs, threshold=threshold),))
    assert verify(both, Settings(timeout=5)).verdict is Verdict.UNSAT
    assert not cut


def test_outputs_of_two_places_keep_both_windows(cut: list[int], tmp_path: Path) -> None:
    net = network(2, tmp_path)
    assert verify(asked(net, [0, 31], 1e3, 0.1), Settings(timeout=5)).verdict is Verdict.UNSAT
    assert cut == []  # the windows in two corners are most of the network
    assert verify(asked(net, [0, 1], 1e3, 0.1), Settings(timeout=5)).verdict is Verdict.UNSAT
    assert cut == [30]
