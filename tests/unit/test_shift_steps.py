"""A number added to the result goes into the staircase it leaves: the same function, in order form, for both readers."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from netproof import Settings, Verdict, verify
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.reading import Reading
from netproof.conditions.order import order_conditions
from netproof.errors import CertificateError
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.shift_steps import shift_steps
from netproof.network import Network
from netproof.operators.activations.requantize import Requantize
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.base import Affine
from netproof.query import Conjunction, Query

WEIGHT = [[3, -2], [-1, 4], [2, 2]]
THRESHOLDS, BASE = [-9.0, -4, 1, 5, 10], -3


def tensor(numbers: Any) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def graph_of(shift: Any, factor: Any = (1.0,), more: Affine | None = None) -> Graph:
    """Three outputs, ``factor * staircase + shift``, of two inputs."""
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    sums = builder.add("sums", Linear(tensor(WEIGHT), tensor([1.0, -2, 0])), builder.input)
    node = builder.add("codes", Requantize(tensor([THRESHOLDS]), tensor([float(BASE)])), sums)
    node = builder.add("shift", Scale(3, tensor(factor), tensor(shift)), node)
    if more is not None:
        builder.add("more", more, node)
    return builder.build()


POINTS = tensor(list(itertools.product(range(-6, 7), repeat=2)))


def test_it_is_the_same_function_and_leaves_one_staircase() -> None:
    before = graph_of([7.0])
    after = shift_steps(before)
    assert [node.operator.name for node in after.nodes] == ["input", "linear", "requantize"]
    assert torch.equal(before.evaluate(POINTS), after.evaluate(POINTS))
    row = Conjunction(tensor([[1.0, -1, 0]]), tensor([1.0]))
    assert order_conditions(before, [row]) is None
    assert order_conditions(after, [row]) is not None


@pytest.mark.parametrize(
    "kept",
    [
        graph_of([7.0], factor=[2.0]),
        graph_of([7.0], factor=[1.0, 1.0, -1.0]),
        graph_of([7.0, 7, 8]),
        graph_of([0.5]),
        graph_of([7.0], more=Linear(tensor([[1.0, 0, 1]]), tensor([0.0]))),
    ],
    ids=["factor", "factors", "shifts", "half", "behind"],
)
def test_anything_else_stays(kept: Graph) -> None:
    assert shift_steps(kept) is kept


def test_graphs_without_two_nodes_stay() -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    assert shift_steps(builder.build()).nodes[0] == builder.build().nodes[0]
    builder.add("shift", Scale(2, tensor([1.0]), tensor([1.0])), builder.input)
    assert len(shift_steps(builder.build()).nodes) == 2


def reading_of(shift: int, base: int = BASE) -> Reading:
    reading = Reading()
    first = reading.add_input(2, -6, 6)
    weight = np.array(WEIGHT, np.float64)

    def sums(x: Any, absolute: bool) -> Any:
        return x[0] @ (np.abs(weight) if absolute else weight).T + (0 if absolute else np.array([1.0, -2, 0]))

    def steps(values: Any) -> Any:
        return np.array([base + sum(value >= t for t in THRESHOLDS) for value in values.tolist()], dtype=object)

    reading.end(reading.add_steps(steps, reading.add_map(sums, first)), shift)
    return reading


@pytest.mark.parametrize("pass_", [shift_steps, lambda graph: graph])
def test_both_forms_are_compared_with_one_reading(monkeypatch: pytest.MonkeyPatch, pass_: Any) -> None:
    """Where the graph adds the number in its steps so does the reading, and nothing but the sum of both counts."""

    def compared(shift: float, reading: Reading) -> str:
        graph = pass_(graph_of([shift]))
        ends = tensor([-6.0, -6]), tensor([6.0, 6])
        monkeypatch.setattr(compare, "_read", lambda network, deadline=0.0: reading)
        return compare.confirm(Network(graph, "here", hashlib.sha256(b"it").hexdigest(), *ends, content=b"it"))

    assert compared(7, reading_of(7))
    for shift, base in ((6, BASE), (8, BASE), (0, BASE), (7, BASE + 1)):
        with pytest.raises(CertificateError, match="two different networks"):
            compared(7, reading_of(shift, base))


def test_a_reading_ends_in_steps_where_it_can() -> None:
    reading = reading_of(7)
    before = reading.parts[reading.output]
    reading.end_in_steps()
    part = reading.parts[reading.output]
    assert part.steps and len(reading.needed()) == 3
    assert np.array_equal(part.low, before.low) and np.array_equal(part.high, before.high)
    again = len(reading.parts)
    reading.end_in_steps()
    assert len(reading.parts) == again
    plain = Reading()
    plain.end(plain.add_input(2, 0, 9), 3)
    plain.end_in_steps()
    assert plain.parts[plain.output].map is not None


def test_a_function_of_two_values_ends_in_steps() -> None:
    reading = Reading()
    first = reading.add_input(2, 0, 3)
    other = reading.add_map(lambda x, absolute: x[0][:, ::-1], first)
    reading.end(reading.add_pair(lambda a, b: a + b, first, other), -5)
    reading.end_in_steps()
    part = reading.parts[reading.output]
    assert part.pair is not None and part.pair[1, 2] == 3 - 5
    assert part.low.tolist() == [-5, -5] and part.high.tolist() == [1, 1]


@pytest.mark.parametrize("shift", [7.0, -120.0])
def test_verdicts_and_certificates_are_what_all_points_say(shift: float) -> None:
    before, ends = graph_of([shift]), (tensor([-6.0, -6]), tensor([6.0, 6]))
    network = Network(shift_steps(before), "here", "0" * 64, *ends)
    values = before.evaluate(POINTS).numpy()
    found = {Verdict.SAT: 0, Verdict.UNSAT: 0}
    for rival, label in itertools.permutations(range(3), 2):
        difference = values[:, rival] - values[:, label]
        row = torch.zeros(1, 3, dtype=torch.float64)
        row[0, rival], row[0, label] = 1, -1
        for margin in (difference.max(), difference.max() + 1):
            query = Query(network, *ends, (Conjunction(row, tensor([float(margin)])),))
            result = verify(query, Settings(timeout=60, proofs=True))
            assert result.verdict is (Verdict.SAT if margin <= difference.max() else Verdict.UNSAT)
            found[result.verdict] += 1
            check(certificate_of(query, result), network)
    assert found == {Verdict.SAT: 6, Verdict.UNSAT: 6}
