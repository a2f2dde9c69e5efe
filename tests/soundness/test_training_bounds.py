"""The bounds that train a network, against points of the boxes and against the bounds that verify it."""

from __future__ import annotations

import pytest
import torch

from differential.test_onnx_random import Maker
from netproof.bounds.crown import crown_lines
from netproof.bounds.dual import evaluate_dual
from netproof.bounds.objective import Objective
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.training.architectures import architecture
from netproof.training.bound import margin_bounds
from netproof.training.export import onnx_model
from netproof.training.trainable import TrainableNetwork, trainable
from onnx_models import model, save


def residual(tmp_path, seed: int) -> TrainableNetwork:
    layout = architecture(("small", "medium")[seed % 2]).reduced(0.03, input_shape=(3, 9, 9), classes=4)
    return trainable(tmp_path / "net.onnx", onnx_model(layout.build(seed).eval()))


def other(tmp_path, seed: int) -> TrainableNetwork:
    maker = Maker(seed)
    shape = maker.shape
    for _ in range(3 + seed % 4):
        maker.grow()
    maker.finish()
    path = save(tmp_path / "net.onnx", model(maker.nodes, shape, maker.constants))
    return trainable(path, path.read_bytes())


def boxes(network: TrainableNetwork, seed: int, radius: float = 0.02):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, network.inputs, generator=generator)
    return generator, x, x - radius, x + radius, torch.randint(network.outputs, (3,), generator=generator)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", [residual, other])
def test_margins_at_points_are_within_the_bound(tmp_path, make, seed):
    network = make(tmp_path, seed)
    generator, x, lower, upper, label = boxes(network, seed)
    graph = network.batch_graph(x, update=False)[0] if seed % 2 else network.graph()
    with torch.no_grad():
        points = lower + torch.rand(200, *x.shape, generator=generator) * (upper - lower)
        points[:100] = torch.where(points[:100] > x, upper, lower)
        y = graph.evaluate(points)
        margins = y - y.gather(2, label.expand(200, -1)[..., None])
        size = y.abs().max()
        for beta in (0.0, 0.4, 1.0):
            bound = margin_bounds(graph, lower, upper, label, beta)
            assert bool((margins <= bound + 1e-4 * (1 + size + bound.abs())).all())
            assert bool((bound.gather(1, label[:, None]) == 0).all())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [residual, other])
def test_the_bound_is_that_of_the_engine(tmp_path, make, seed):
    network = make(tmp_path, seed)
    _, _, lower, upper, label = boxes(network, seed)
    light = network.graph()
    exact = light.to(torch.float64)
    with torch.no_grad():
        for row in range(3):
            mine = [margin_bounds(light, lower, upper, label, beta)[row].double() for beta in (1.0, 0.0)]
            region = box_region(exact, lower[row : row + 1].double(), upper[row : row + 1].double())
            every = torch.eye(network.outputs).double()
            c = every - every[label[row]]
            objective = Objective({len(exact.nodes) - 1: c}, torch.zeros(len(c)).double())
            relaxation = Relaxation(exact, region)
            crown = crown_lines(relaxation, objective).value
            # Intervals are multiplier 0 at the activations that the objective reaches first, and anything below.
            interval = evaluate_dual(relaxation, objective, lambda k, v: torch.zeros_like(v)).value
            for bound, engine in zip(mine, (crown, interval), strict=True):
                assert torch.allclose(bound, engine, rtol=1e-3, atol=1e-3 * float(1 + engine.abs().max()))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_bound_has_the_gradient_of_its_value(tmp_path, beta):
    network = residual(tmp_path, 1)
    _, _, lower, upper, label = boxes(network, 0, radius=0.01)

    def loss() -> torch.Tensor:
        return margin_bounds(network.graph(), lower, upper, label, beta).sum()

    loss().backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)
    length = sum(float((g * g).sum()) for g in gradients)
    before, step = float(loss().detach()), 1e-3 * abs(float(loss().detach())) / length
    with torch.no_grad():
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.sub_(step * gradient)
    fallen = before - float(loss().detach())
    assert fallen == pytest.approx(step * length, rel=0.15)
