"""A graph and a second reading, both made by hand: which differences are told, and which are none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.reading import Floats, Map, Reading, Steps, Wholes
from netproof.errors import CertificateError, ProofError
from netproof.formats.load import load
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from quantized_models import dense

Matrix = Sequence[Sequence[int]]
IDENTITY = [[1, 0], [0, 1]]


def said(monkeypatch: pytest.MonkeyPatch, graph: Graph, reading: Reading) -> str:
    """What is said of a network, inputs 0 to 9, whose file is read so the second time."""
    monkeypatch.setattr(compare, "_read", lambda network, deadline=0.0: reading)
    lower = torch.zeros(graph.input.size, dtype=torch.float64)
    return confirm(Network(graph, "here", hashlib.sha256(b"it").hexdigest(), lower, lower + 9, content=b"it"))


def refused(monkeypatch: pytest.MonkeyPatch, graph: Graph, reading: Reading, words: str) -> None:
    with pytest.raises(CertificateError) as raised:
        said(monkeypatch, graph, reading)
    assert words in raised.value.problem, raised.value.problem


def linear(rows: Matrix, offset: Sequence[int] | None = None) -> Linear:
    bias = [0] * len(rows) if offset is None else offset
    return Linear(torch.tensor(rows, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64))


def stairs(*rows: Sequence[float], base: int = 0) -> Staircase:
    """One row of thresholds for every channel."""
    return Staircase(torch.tensor(rows, dtype=torch.float64), torch.full((len(rows),), float(base)).double())


def affine(*matrices: Matrix, offset: Sequence[int] | int = 0) -> Map:
    """The sum of one matrix times each operand, and an offset."""

    def map_(operands: Sequence[Floats], absolute: bool) -> Floats:
        result = np.zeros((len(operands[0]), len(matrices[0])))
        for matrix, operand in zip(matrices, operands, strict=True):
            weight = np.array(matrix, np.float64)
            result = result + operand @ (np.abs(weight) if absolute else weight).T
        return result if absolute else result + np.array(offset, np.float64)

    return map_


def above(*thresholds: int, base: int = 0) -> Steps:
    """How many of the thresholds are reached."""

    def steps(a: Wholes) -> Wholes:
        return base + sum(((a >= t).astype(object) for t in thresholds), np.zeros(a.shape, object))

    return steps


def read(size: int = 2) -> Reading:
    reading = Reading()
    reading.add_input(size, 0, 9)
    return reading


# -- affine maps


def graph_of_two(left: Matrix, right: Matrix, offset: Sequence[int]) -> Graph:
    """``left x + right h + offset`` with ``h`` the steps of ``x`` at 4."""
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    h = builder.add("h", stairs([4.0]), builder.input)
    x, y = builder.add("x", linear(left, offset), builder.input), builder.add("r", linear(right), h)
    builder.add("y", Sum((1, 1)), x, y)
    return builder.build()


@pytest.mark.parametrize(("most", "where"), [(1 << 23, "in all of their coefficients"), (0, "at 4 random points of 30-bit numbers")])  # fmt: skip
def test_every_coefficient_of_every_operand(monkeypatch: pytest.MonkeyPatch, most: int, where: str) -> None:
    """One number more, and one that is moved from an operand or the offset to another, make another map."""
    monkeypatch.setattr(compare, "_MOST_ENTRIES", most)
    numbers = np.array([1, -2, 3, 0, 5, 4, 7, -1, 6, 2])  # of the input, of the steps, and the offset

    def reading(all_: Any) -> Reading:
        made = read()
        h = made.add_steps(above(4), 0)
        left, right, offset = all_[:4].reshape(2, 2), all_[4:8].reshape(2, 2), all_[8:]
        made.output = made.add_map(affine(left.tolist(), right.tolist(), offset=offset.tolist()), 0, h)
        return made

    graph = graph_of_two([[1, -2], [3, 0]], [[5, 4], [7, -1]], [6, 2])
    assert said(monkeypatch, graph, reading(numbers)) == f"1 affine maps {where}, 1 step functions at every threshold"
    unit = np.eye(len(numbers), dtype=int)
    for i in range(len(numbers)):
        for j in range(i + 1):
            change = unit[i] - (unit[j] if i != j else 0)
            refused(monkeypatch, graph, reading(numbers + change), "the result is not the same")


def chain(weight: int, offset: int, then: int) -> tuple[Graph, Reading]:
    """``then * (weight * x + offset)``, and beside it the steps of ``x``, which make everything small again."""
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    a = builder.add("a", linear([[weight]], [offset]), builder.input)
    b = builder.add("b", linear([[then]]), a)
    h = builder.add("h", stairs([1.0]), b)
    builder.add("y", linear([[1]]), h)
    reading = read(1)
    b_ = reading.add_map(affine([[then]]), reading.add_map(affine([[weight]], offset=[offset]), 0))
    reading.output = reading.add_map(affine([[1]]), reading.add_steps(above(1), b_))
    return builder.build(), reading


@pytest.mark.parametrize(
    ("weight", "offset", "then", "bits"),
    [
        (1, 0, 1, 30),
        (2**20, 0, 1, 30),
        (2**21, 0, 1, 30),
        (2**21 + 1, 0, 1, 29),
        (-(2**22), 0, 1, 29),
        (2**30, 0, 1, 21),
        (2**35, 0, 1, 16),
        (2**17, 0, 2**18, 16),
        (2**34, -(2**34), 1, 16),
        (-(2**34), 2**34, 1, 16),
        (2**35 + 1, 0, 1, None),
        (-(2**35) - 1, 0, 1, None),
        (2**18, 0, -(2**18), None),
        (1, -(2**36), 1, None),
        (-(2**34), -(2**34) - 1, 1, None),
    ],
)
def test_points_are_as_large_as_sums_stay_exact(
    monkeypatch: pytest.MonkeyPatch, weight: int, offset: int, then: int, bits: int | None
) -> None:
    """Sums of absolute values at points of so many bits are at most 2^51; fewer than 16 bits tell too little."""
    monkeypatch.setattr(compare, "_MOST_ENTRIES", 0)
    graph, reading = chain(weight, offset, then)
    if bits:
        assert f"at 4 random points of {bits}-bit numbers" in said(monkeypatch, graph, reading)
    else:
        refused(monkeypatch, graph, reading, "has sums too large to compare two readings of it")


def test_other_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    builder.add("y", linear([[1, 1]]), builder.input)
    graph = builder.build()
    for inputs, outputs in ((2, 1), (3, 1), (2, 2), (1, 1)):
        reading = read(inputs)
        reading.output = reading.add_map(affine([[1] * inputs] * outputs), 0)
        if (inputs, outputs) == (2, 1):
            assert said(monkeypatch, graph, reading)
        else:
            refused(monkeypatch, graph, reading, "the number of inputs or outputs is not the same")


# -- steps


def stepping(operator: Staircase, size: int = 1) -> Graph:
    builder = GraphBuilder(Arithmetic.INTEGER, (size,))
    builder.add("h", operator, builder.input)
    return builder.build()


def steps_of(steps: Steps, size: int = 1) -> Reading:
    reading = read(size)
    reading.output = reading.add_steps(steps, 0)
    return reading


def test_every_threshold_that_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    right = steps_of(above(2, 5, 5, 8, base=-1))
    for thresholds in ([2, 5, 5, 8], [2, 5, 5, 8, 10], [2, 5, 5, 8, 20, 30]):
        assert said(monkeypatch, stepping(stairs(thresholds, base=-1)), right)
    # What lies below the least input is reached by all.
    assert said(monkeypatch, stepping(stairs([-7, 0, 2, 5, 5, 8], base=-3)), right)
    for wrong in ([3, 5, 5, 8], [1, 5, 5, 8], [2, 4, 5, 8], [2, 5, 6, 8], [2, 5, 5, 7], [2, 5, 5, 9], [2, 5, 8], [2, 5, 5, 8, 9]):  # fmt: skip
        refused(monkeypatch, stepping(stairs(wrong, base=-1)), right, "step function 1 is not the same")
    refused(monkeypatch, stepping(stairs([2, 5, 5, 8])), right, "step function 1 is not the same")
    # At one end alone.
    refused(monkeypatch, stepping(stairs([5], base=1)), steps_of(above(1, 5)), "step function 1 is not the same")
    refused(monkeypatch, stepping(stairs([5])), steps_of(above(5, 9)), "step function 1 is not the same")


def test_every_channel_has_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    right = steps_of(above(2, 5), 4)
    for rows in ([[2, 5]], [[2, 5]] * 2, [[2, 5]] * 4, [[2, 5], [2, 5], [2, 5], [2, 5]]):
        assert said(monkeypatch, stepping(stairs(*rows), 4), right)
    for rows in ([[2, 5], [2, 6]], [[2, 6], [2, 5]], [[2, 5], [2, 5], [2, 5], [3, 5]]):
        refused(monkeypatch, stepping(stairs(*rows), 4), right, "step function 1 is not the same")


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (2, 2), (4, 4), (2, 4)])
def test_an_operator_that_computes_something_else_than_its_thresholds(
    monkeypatch: pytest.MonkeyPatch, channels: int, size: int
) -> None:
    class Wrong(Staircase):
        where: Tensor

        def evaluate(self, a: Tensor) -> Tensor:
            return super().evaluate(a) + (a == 5) * self.where

    made, right = stairs(*[[2, 5]] * channels), steps_of(above(2, 5), size)
    for channel in range(channels):
        wrong = Wrong(made.thresholds, made.base)
        where = torch.arange(size) // (size // channels) == channel
        object.__setattr__(wrong, "where", where.double())
        refused(monkeypatch, stepping(wrong, size), right, "step function 1 is not the same")
        object.__setattr__(wrong, "where", torch.zeros(size).double())
        assert said(monkeypatch, stepping(wrong, size), right)


def test_which_step_function_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    node = builder.add("f", stairs([2, 5]), builder.input)
    node = builder.add("g", stairs([1]), builder.add("a", linear([[3]], [-1]), node))
    builder.add("y", linear([[1]]), node)
    for weight, threshold, words in (
        (3, 1, ""),
        (3, 3, "step function 2 is not the same"),
        (2, 1, "the affine map in front of step function 2 is not the same"),
    ):
        reading = read(1)
        a = reading.add_map(affine([[weight]], offset=[-1]), reading.add_steps(above(2, 5), 0))
        reading.output = reading.add_map(affine([[1]]), reading.add_steps(above(threshold), a))
        if not words:
            assert said(monkeypatch, builder.build(), reading)
        else:
            refused(monkeypatch, builder.build(), reading, words)


def test_the_first_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    builder.add("y", linear([[1]]), builder.add("h", stairs([4]), builder.input))
    reading = read(1)
    first = reading.add_steps(above(3), 0)
    second = reading.add_steps(above(1), reading.add_map(affine([[2]]), 0))
    reading.output = reading.add_map(affine([[1]], [[1]]), first, second)
    refused(monkeypatch, builder.build(), reading, "two different networks: step function 1 is not the same")


# -- activations that are the same


def weighed(*rows: Sequence[float], weights: Sequence[int]) -> Graph:
    """A sum of steps of one input, each with a weight."""
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    parts = [
        builder.add(f"w{i}", linear([[weight]]), builder.add(f"h{i}", stairs(row), builder.input))
        for i, (row, weight) in enumerate(zip(rows, weights, strict=True))
    ]
    builder.add("y", Sum((1,) * len(parts)), *parts)
    return builder.build()


def test_activations_that_are_one_function_stand_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sum of their weights counts, whatever becomes of them behind."""
    rows = [4, 20], [4], [4, 30]
    for count in (1, 3):
        for weights in ([7, 0, 0], [0, 0, 7], [1, 2, 4], [9, -1, -1]):
            for total in (7, 6):
                reading = read(1)
                made = [reading.add_steps(above(4), 0) for _ in range(count)]
                share = [[[1]]] * (count - 1) + [[[total - count + 1]]]
                reading.output = reading.add_map(affine(*share), *made)
                graph = weighed(*rows, weights=weights)
                if total == 7:
                    assert f"{count} step functions" in said(monkeypatch, graph, reading)
                else:
                    refused(monkeypatch, graph, reading, "the result is not the same")


def test_activations_that_are_not_the_same_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for weights in ([1, 2], [2, 1]):
        reading = read(1)
        parts = reading.add_steps(above(4), 0), reading.add_steps(above(6), 0)
        reading.output = reading.add_map(affine([[1]], [[2]]), *parts)
        graph = weighed([4], [6], weights=weights)
        if weights == [1, 2]:
            assert said(monkeypatch, graph, reading)
        else:
            refused(monkeypatch, graph, reading, "the result is not the same")


def test_steps_behind_activations_that_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def graph(first: int, second: int) -> Graph:
        """``g(first h + second h')`` with two activations ``h`` that are one, and ``g`` the steps at 3."""
        builder = GraphBuilder(Arithmetic.INTEGER, (1,))
        a, b = (builder.add(name, stairs([4]), builder.input) for name in "ab")
        a, b = builder.add("aw", linear([[first]]), a), builder.add("bw", linear([[second]]), b)
        builder.add("y", linear([[1]]), builder.add("g", stairs([3]), builder.add("s", Sum((1, 1)), a, b)))
        return builder.build()

    reading = read(1)
    a = reading.add_map(affine([[3]]), reading.add_steps(above(4), 0))
    reading.output = reading.add_map(affine([[1]]), reading.add_steps(above(3), a))
    assert said(monkeypatch, graph(1, 2), reading) and said(monkeypatch, graph(0, 3), reading)
    refused(monkeypatch, graph(1, 1), reading, "the affine map in front of step function 2 is not the same")


@pytest.mark.parametrize("weight", [1, 5])
def test_activations_that_are_the_same_only_as_far_as_one_range_goes(
    monkeypatch: pytest.MonkeyPatch, weight: int
) -> None:
    """Of two readings of one map, one has a wider range, and there one activation of three differs from the others."""
    reading = read(1)
    five = reading.add_map(affine([[5]]), 0)
    wide = reading.add_map(affine([[1]], [[-1]]), reading.add_map(affine([[1]], [[1]]), 0, five), five)
    assert (reading.parts[wide].low[0], reading.parts[wide].high[0]) == (-45, 54)
    narrow_steps, wide_steps = reading.add_steps(above(2), 0), reading.add_steps(above(2, 30), wide)
    reading.output = reading.add_map(affine([[1]], [[weight]]), narrow_steps, wide_steps)
    graph = weighed([2, 20], [2, 30], [2, 30], weights=[1, 1, 0])
    if weight == 1:
        assert "2 step functions" in said(monkeypatch, graph, reading)
    else:
        refused(monkeypatch, graph, reading, "the result is not the same")


# -- steps that the graph has not


def beside(*steps: tuple[int, Steps], low: int = 0) -> Reading:
    """The input less ``low`` times 1 and 0, and weighed steps of it."""
    reading = read(1)
    a = reading.add_map(affine([[1]], offset=[low]), 0)
    parts = [(weight, reading.add_steps(one, a)) for weight, one in steps]
    reading.output = reading.add_map(affine([[1]], *([[weight]] for weight, _ in parts)), a, *(p for _, p in parts))
    return reading


def shift(by: int) -> Graph:
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    builder.add("y", linear([[1]], [by]), builder.input)
    return builder.build()


def test_only_what_is_the_same_at_every_input_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "0 step functions" in said(monkeypatch, shift(0), beside((1, above(2, 5)), (-1, above(2, 5))))
    assert "0 step functions" in said(monkeypatch, shift(0), beside((1, above(2, 5)), (-1, above(2, 5, 10))))
    for other in (above(2), above(2, 6), above(2, 5, 9), above(2, 5, 0), above(3, 5), above(5, base=1)):
        refused(monkeypatch, shift(0), beside((1, above(2, 5)), (-1, other)), "step function 1 is not the same")
    refused(monkeypatch, shift(0), beside((1, above(2, 5)), (-2, above(2, 5))), "step function 1 is not the same")


def test_steps_are_compared_with_each_other_where_few_values_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for low in (-9, -4, 0):
        cancelling = beside((1, above(2, 5)), (-1, above(2, 5)), low=low)
        monkeypatch.setattr(compare, "_MOST_POINTS", 10)
        assert said(monkeypatch, shift(low), cancelling)
        monkeypatch.setattr(compare, "_MOST_POINTS", 9)
        refused(monkeypatch, shift(low), cancelling, "step function 1 is not the same")


# -- what is said of a file that cannot be read


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("two\n lines,\x1b and a bell\x07"), "of the first: two lines,  and a bell "),
        (KeyError(), "of the first: KeyError"),
        (OSError("x" * 150), "of the first: " + "x" * 100),
    ],
)
def test_errors_of_libraries_are_told_in_a_line(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    def fail(data: bytes, deadline: float) -> Reading:
        raise error

    monkeypatch.setattr(compare, "read_onnx", fail)
    graph, zero = shift(0), torch.zeros(1, dtype=torch.float64)
    network = Network(graph, "here", hashlib.sha256(b"it").hexdigest(), zero, zero, content=b"it")
    with pytest.raises(CertificateError) as raised:
        confirm(network)
    assert raised.value.problem.endswith(words) and raised.value.problem.isprintable()


# -- time


def test_every_step_of_a_second_reading_looks_at_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a clock that goes on with each look: wherever the deadline falls, reading or comparing ends there."""
    network = load(dense(1, inputs=4, outputs=3).save(tmp_path / "network.onnx"))
    now, looks = 0.0, 0

    def clock() -> float:
        nonlocal looks, now
        looks, now = looks + 1, now + 1
        return now

    monkeypatch.setattr("netproof.certificate.second_reading.reading.time.perf_counter", clock)
    assert "step functions" in compare._Comparison(network, compare._read(network, 1e9)).run()
    assert looks > 12
    for deadline in range(1, looks + 1):
        now = 0.0
        with pytest.raises(ProofError, match="the time limit was reached while its file was read a second time"):
            confirm(network, float(deadline))
    now = 0.0
    assert confirm(network, float(looks + 1))
