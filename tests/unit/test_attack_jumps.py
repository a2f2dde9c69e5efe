"""Attacks on networks with jumps, whose slopes are those of something smoother, and on many cases."""

from __future__ import annotations

import math
import time

import pytest
import torch

from netproof.attack import real
from netproof.attack.real import FloatAttack
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction, Query
from netproof.search.real import decide
from netproof.settings import Settings


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_slopes_of_steps_do_not_depend_on_the_size_of_their_arguments(size: float) -> None:
    a = torch.tensor([[0.01, -1.0, 3.0], [2.0, -0.1, 0.5]])
    slopes = []
    for factor in (1.0, size):
        given = (factor * a).requires_grad_(True)
        value = Step(-1.0, 0.0, 1.0).evaluate(given)
        assert torch.equal(value.detach(), a.sign())
        slopes.append(torch.autograd.grad(value.sum(), given)[0] * factor)
    assert torch.allclose(*slopes, rtol=1e-4)
    # An argument near the jump pulls most, in every row.
    assert slopes[0].argmax(1).tolist() == [0, 1]
    assert float(slopes[0][0, 0]) > 50 * float(slopes[0][0, 2])


def test_a_step_of_zeros_has_slopes() -> None:
    zero = torch.zeros(2, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(Step(-1.0, 0.0, 1.0).evaluate(zero).sum(), zero)
    assert bool((torch.isfinite(slope) & (slope > 0)).all())


def test_the_nearest_cases_are_attacked_first(monkeypatch) -> None:
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    builder.add("out", Linear(torch.eye(2).double(), torch.zeros(2).double()), builder.input)
    unbounded = torch.full((2,), torch.inf, dtype=torch.float64)
    network = Network(graph=builder.build(), path="net", sha256="", lower=-unbounded, upper=unbounded)
    ends = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    condition = tuple(
        Conjunction(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([lacks]).double())
        for lacks in (9.0, 3.0, 1.5, 5.0)
    )
    query = Query(network, *ends, condition)
    attack = FloatAttack(query, Conditions.of(network.graph, condition), 0)
    asked: list[int] = []
    monkeypatch.setattr(attack, "_ascend", lambda case, *rest: asked.extend(case.tolist()))
    monkeypatch.setattr(type(attack._replayer), "possible", True)
    every = torch.arange(4)
    assert attack.ascend(every, 2, 3, math.inf) is None and asked == [0, 1, 2, 3]
    asked.clear()
    monkeypatch.setattr(type(real.REAL_ATTACK.batch), "rows", lambda *given: 1)
    assert attack.ascend(every, 2, 3, math.inf) is None
    # By what they lack for the size of their thresholds: 1 of 2.5, 2.5 of 4, 4.5 of 6, 8.5 of 10.
    assert asked == [2, 1, 3, 0]
    asked.clear()
    attack.ascend(every, 2, 3, time.monotonic())
    assert asked == [2]


def test_signs_are_attacked_with_all_effort_before_ranges(monkeypatch) -> None:
    """Towards the nearest cases alone, and where nothing jumps not at all."""
    tried: list[tuple[list[int], int, int]] = []
    monkeypatch.setattr(
        FloatAttack, "ascend", lambda self, case, restarts, steps, _: tried.append((case.tolist(), restarts, steps))
    )
    for operator in (Step(-1.0, 0.0, 1.0), ReLU()):
        builder = GraphBuilder(Arithmetic.REAL, (2,))
        builder.add("out", operator, builder.input)
        unbounded = torch.full((2,), torch.inf, dtype=torch.float64)
        network = Network(graph=builder.build(), path="net", sha256="", lower=-unbounded, upper=unbounded)
        ends = torch.full((2,), -1.0, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        condition = tuple(
            Conjunction(torch.tensor([[1.0, 1.0]]).double(), torch.tensor([least]).double())
            for least in (1.9, 0.5, 1.0)
        )
        tried.clear()
        decide.verify_real(Query(network, *ends, condition), Settings(timeout=20.0))
        assert tried[0] == ([0, 1, 2], *decide.REAL.quick)
        early = [([1, 2], *decide.REAL.long)]
        assert tried[1:2] == early if isinstance(operator, Step) else early[0] not in tried
