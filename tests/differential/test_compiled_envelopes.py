"""Compiled steps on envelopes against the tensors that they stand for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.bounds.dual import crown, evaluate_dual, given
from netproof.bounds.envelope import compiled
from netproof.bounds.envelope.bound import EnvelopePoint, evaluate_above, evaluate_envelopes
from netproof.bounds.envelope.compiled import CompiledCopies, Kernels, compiled_kernels
from netproof.bounds.envelope.copies import Copies
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.envelope.steps import improve
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.effort.envelope import Schedule
from soundness.regions import random_objective
from soundness.test_envelopes import random_prices, shared_situation


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    found = compiled_kernels()
    if found is None:
        pytest.skip("numba is not installed, or compiles nothing here")
    return found


class Prepared:
    """One batch in float32, with stored prices and the bound at them."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        at, box = shared_situation(random, rows=6)
        objective = random_objective(random, at)
        exact = Relaxation(at.graph, at.region)
        s = evaluate_dual(exact, objective, crown(exact.hulls)).s
        region = at.region.to(torch.float32)
        self.relaxation = Relaxation(at.graph.to(torch.float32), region)
        self.box: LayerBox = box.layer.to(torch.float32).on_box(region.lower[:1], region.upper[:1])
        self.objective: Objective = objective.to(torch.float32)
        self.s = [torch.zeros_like(r) if m is None else m.float() for m, r in zip(s, region.range_lower, strict=True)]
        stored = StoredPrices.of(random_prices(random, 6, box, (0.01, 1.0, 30.0)).float())
        self.prices, self.order = stored.values(torch.float32), stored.order()
        self.above = evaluate_above(self.relaxation, self.objective, given(self.s))
        received = self.above.v[0]
        self.received = torch.zeros_like(region.range_lower[0]) if received is None else received

    def copies(self, kernels: Kernels | None) -> Copies:
        region = self.relaxation.region
        if kernels is None:
            return Copies(self.prices, self.box, region)
        return CompiledCopies(self.prices, self.box, region, kernels)

    def point(self, copies: Copies) -> EnvelopePoint:
        work = (self.relaxation, self.box, self.objective, given(self.s), self.prices, self.order)
        return evaluate_envelopes(*work, copies.level_values)


def close(ours: Tensor, theirs: Tensor) -> bool:
    if not len(theirs):
        return not len(ours)
    scale = theirs.abs().amax().clamp(min=1.0)
    return torch.allclose(ours / scale, theirs / scale, rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("seed", range(12))
def test_levels_are_worth_the_same(kernels: Kernels, seed: int) -> None:
    at = Prepared(seed)
    ours, theirs = at.point(at.copies(kernels)), at.point(at.copies(None))
    assert torch.equal(torch.isneginf(ours.levels), torch.isneginf(theirs.levels))
    there = torch.isfinite(theirs.levels)
    assert close(ours.levels[there], theirs.levels[there])
    assert close(ours.argument[there], theirs.argument[there])
    assert close(ours.value, theirs.value)


@pytest.mark.parametrize("seed", range(12))
def test_steps_lead_to_the_same_prices(kernels: Kernels, seed: int) -> None:
    at = Prepared(seed)
    ours, theirs = at.copies(kernels), at.copies(None)
    point = at.point(theirs)
    for copies in (ours, theirs):
        copies.begin(point)
    width = 0.5
    for count in range(6):
        if count == 3:
            # some rows have ended
            rows = torch.tensor([0, 2, 5])
            for copies in (ours, theirs):
                copies.take(rows)
            at.received, direct = at.received[rows], at.above.input_coefficients[rows]
        else:
            direct = at.above.input_coefficients if count < 3 else direct
        found, expected = (copies.step(at.received, direct, width) for copies in (ours, theirs))
        # Where nothing arrives nothing is paid, and smoothing is narrower than float32 can tell.
        matters = at.received != 0
        for mine, other in zip(found, expected, strict=True):
            assert close(mine[matters], other[matters])
        assert close(ours.middle, theirs.middle)
        assert close(ours.prices, theirs.prices)
        assert not torch.equal(theirs.prices, at.prices[: len(theirs.prices)])
        width *= 0.9


@pytest.mark.parametrize("seed", range(4))
def test_bounds_end_as_low(kernels: Kernels, seed: int) -> None:
    at = Prepared(seed)
    plan = (Schedule(30, 0.5, 0.9, -float("inf")), Schedule(20, 0.06, 0.96, -float("inf")))
    long, short = (
        improve(at.relaxation, at.box, at.objective, at.prices, at.s, plan, long=long) for long in (True, False)
    )
    assert close(long.value, short.value)


def test_without_numba_steps_are_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert compiled.compiled_kernels.__wrapped__() is None


def test_where_numba_cannot_be_loaded_steps_are_tensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise OSError('cannot allocate memory')")
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert compiled.compiled_kernels.__wrapped__() is None


def test_where_numba_may_not_compile_steps_are_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert compiled.compiled_kernels.__wrapped__() is None


def test_where_compiled_code_cannot_be_kept_steps_are_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba", reason="numba is not installed")

    def refuse(**_: object) -> object:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(numba, "njit", refuse)
    assert compiled.compiled_kernels.__wrapped__() is None
