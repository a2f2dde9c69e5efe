"""Every switch of the ablation takes hold: what stands in the place of a part is what the search, or a reader, comes across."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import netproof
from netproof.bounds.chains import kernels
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.search.real import rounds
from netproof.search.real.chains.compiled import compiled_walk
from performance.ablation import switched
from performance.queries import around_a_point, convolutional, filled, perceptron, residual_digit
from performance.ways import FEW, KINDS, MANY, TWO, WAYS, WIDE, Patch, concerned
from performance.wide import wide
from soundness.real_networks import network_of

Asked = netproof.Query | netproof.Question

#: nothing is looked for but proofs; limits are processor time
SETTINGS = netproof.Settings(timeout=30.0, seed=0, attack=False)


class ReachedError(Exception):
    """All that a way puts in the place of parts has been used, and has answered."""


def few_inputs() -> netproof.Query:
    return around_a_point(filled(perceptron((5, 24, 24, 24, 5), [nn.ReLU]), 1), (1, 5), 2, 0.3)


def many_boxes() -> netproof.Question:
    """Boxes of several sizes around one point, in which an output is asked to be above what it is."""
    network = few_inputs().network
    point = torch.full((5,), 0.5, dtype=torch.float64)
    row = torch.eye(5, dtype=torch.float64)[:1]
    level = network.graph.evaluate(point)[:1] + 2.0
    parts = [
        netproof.Query(network, point - size, point + size, (netproof.Conjunction(row, level),))
        for size in (0.1, 0.2, 0.3, 0.4, 0.6)
    ]
    return netproof.Question(tuple(parts), "many boxes")


def two_networks() -> netproof.Query:
    """A network and one with a little noise on its weights: can an output differ by more than some amount?"""
    generator, sizes = torch.Generator().manual_seed(3), (3, 16, 16, 2)
    weights = [torch.randn(after, before, generator=generator).double() for before, after in pairwise(sizes)]
    builder, ends = GraphBuilder(Arithmetic.REAL, (3,)), []
    for noise in (0.0, 0.02):
        at = builder.input
        for number, weight in enumerate(weights):
            numbers = weight + noise * torch.randn(weight.shape, generator=generator).double()
            at = builder.add("dense", Linear(numbers.float().double(), torch.zeros(len(weight)).double()), at)
            at = builder.add("relu", ReLU(), at) if number < len(weights) - 1 else at
        ends.append(at)
    builder.add("values", Concatenate((2, 2)), *ends)
    difference = netproof.Conjunction(torch.tensor([[1.0, 0.0, -1.0, 0.0]]).double(), torch.tensor([12.0]).double())
    return netproof.Query(network_of(builder.build()), -torch.ones(3).double(), torch.ones(3).double(), (difference,))


def signs() -> netproof.Query:
    """Convolutions on a box that is so wide that all means there are come to their turn."""
    return around_a_point(filled(convolutional(), 3), (1, 1, 8, 8), 3, 0.2)


def question_for(way: str) -> Asked:
    if way == "graphs as written":
        return residual_digit(3, 14)
    asks: dict[str, Callable[[], Asked]] = {
        MANY: many_boxes,
        FEW: few_inputs,
        TWO: two_networks,
        WIDE: lambda: wide(2).query,
    }
    return next((ask for kind, ask in asks.items() if kind in WAYS[way].kinds), signs)()


def watched(patches: list[Patch]) -> list[Patch]:
    """The same patches, which raise :class:`ReachedError` once all of them have been used."""
    used: set[int] = set()

    def use(number: int) -> None:
        used.add(number)
        if len(used) == len(patches):
            raise ReachedError

    return [(owner, name, _watched(other, vars(owner).get(name), functools.partial(use, number)))
            for number, (owner, name, other) in enumerate(patches)]  # fmt: skip


def _watched(other: Any, own: Any, use: Callable[[], None]) -> Any:
    """What takes the place of ``own``, and tells when it has answered; of a dataclass, when a field that is another one is read."""
    if isinstance(other, property):
        assert other.fget is not None

        def read(of: object) -> object:
            found = other.fget(of)
            use()
            return found

        return property(read, other.fset)
    if is_dataclass(other):
        changed = {field.name for field in fields(other) if getattr(other, field.name) != getattr(own, field.name)}

        class Told:
            def __getattr__(self, name: str) -> object:
                if name in changed:
                    use()
                return getattr(other, name)

        return Told()

    def called(*given: Any, **named: Any) -> Any:
        found = other(*given, **named)
        use()
        return found

    assert callable(own)
    return called


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("everything", "one rule of slopes")])
def test_a_switch_takes_hold(way, monkeypatch):
    monkeypatch.setattr(time, "monotonic", time.process_time)
    if way == "layers by turns":
        # A first round of ranges would be too long, so that there is one long one.
        monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, first_round=1e9, alpha_steps=2))
    with pytest.raises(ReachedError), switched(watched(WAYS[way].patches())):
        netproof.verify(question_for(way), SETTINGS)


def test_a_switch_of_what_is_not_come_across_does_not():
    with switched(watched(WAYS["no compiled chains"].patches())):
        assert netproof.verify(few_inputs(), SETTINGS).verdict is netproof.Verdict.UNSAT


def test_one_rule_of_slopes_is_compiled_by_itself():
    if compiled_walk() is None:
        pytest.skip("no numba here that could keep what it compiles")
    settings = replace(SETTINGS, timeout=600.0)  # some of it to compile in
    question = two_networks()
    every = netproof.verify(question, settings)
    with switched(WAYS["one rule of slopes"].patches()):
        assert kernels.RULES == 1
        one = netproof.verify(question, settings)
    assert kernels.RULES == 3
    assert one.verdict is every.verdict is netproof.Verdict.UNSAT
    assert one.subproblems > every.subproblems


def test_ways_concern_kinds():
    assert {kind for way in WAYS.values() for kind in way.kinds} == set(KINDS)
    assert concerned("wide", ["no pairs", "everything", "no programs"]) == ["everything", "no programs"]
    assert concerned("lsnc", ["no pairs", "no programs"]) == ["everything", "no pairs", "no programs"]
