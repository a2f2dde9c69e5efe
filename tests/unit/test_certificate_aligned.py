"""Records in terms of another network's ReLUs: what belongs together is found by its values, and everything else of a record follows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real import aligned as tool
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.relu import ReLU
from netproof.result import DividedEnd, Ends, Refutation, Trace
from soundness.real_evidence import Builder

#: where the clip of the graph has its kinks
LOW, HIGH = -0.25, 0.75


def columns_of_network(x: np.ndarray) -> np.ndarray:
    """Seven features: one that is small, one that is always 0, both ends of a clip, and others."""
    a = x[:, 1] - x[:, 0]
    return np.stack(
        [(x[:, 0] - 5) / 1024, x[:, 1] - 5, 0 * a, x[:, 0] + x[:, 1] - 10, a - LOW, HIGH - np.maximum(a, LOW), 3 * x[:, 0] - x[:, 1]],
        1,
    )  # fmt: skip


def columns_of_graph(x: np.ndarray) -> np.ndarray:
    """Eight features, some of them those of the network times a power of two."""
    n = columns_of_network(x)
    return np.stack(
        [2 * n[:, 3], n[:, 2], 4 * n[:, 0], n[:, 1] / 2, n[:, 3] / 4, 8 * n[:, 6], x[:, 1] - x[:, 0], np.full(len(x), np.inf)], 1
    )  # fmt: skip


class Compared:
    """A graph and a network of which the values are given, and the points at which these are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, graph, network, sizes=((3, 3, 2), (3, 4)), inputs=2) -> None:
        self.points: list[np.ndarray] = []
        self.looks = 0
        operators = [ReLU()] * (len(sizes[0]) - 1) + [Clip(LOW, HIGH)]
        nodes = [SimpleNamespace(size=size, operator=one) for size, one in zip(sizes[0], operators, strict=True)]
        self.graph = SimpleNamespace(nodes=nodes, activations=tuple(range(len(nodes))))
        self.network = SimpleNamespace(sizes=sizes[1])
        self.box = np.full(inputs, 3.0), np.full(inputs, 7.0)
        for name, of, parts in (("graph", graph, sizes[0]), ("network", network, sizes[1])):
            monkeypatch.setattr(tool, f"_operands_of_{name}", self.asking(of, parts))

    def asking(self, of, parts):
        def operands(_, x):
            self.points.append(x)
            return np.split(of(x), np.cumsum(parts)[:-1], axis=1)

        return operands

    def look(self) -> None:
        self.looks += 1

    def aligned(self, **given) -> Trace:
        sizes = tuple(node.size for node in self.graph.nodes)
        empty = {
            "sizes": sizes,
            "roots": {},
            "splits": {},
            "refuted": {},
            "open": {},
            "ranges": {},
            "common": ("crown",),
        }
        return tool.aligned(Trace(**{**empty, **given}), self.graph, self.network, *self.box, self.look)


@pytest.fixture
def compared(monkeypatch) -> Compared:
    return Compared(monkeypatch, columns_of_graph, columns_of_network)


def test_splits_are_where_the_values_are(compared):
    found = compared.aligned(
        roots={0: 0},
        splits={
            0: (-1, 1, 0.5, 1, 2),
            1: (0, 0, 6.0, 3, 4),
            2: (2, 0, LOW, 5, 6),
            3: (2, 0, HIGH, 7, 8),
            4: (0, 1, 0.0, 9, 10),
            5: (1, 1, 1.5, 11, 12),
            6: (1, 0, -1.0, 13, 14),
            7: (2, 1, 0.0, 15, 16),
            8: (0, 2, 1.0, 17, 18),
            9: (2, 0, 0.5, 19, 20),
        },
        refuted={3: Refutation("crown", np.ones(1))},
        ranges={1: "crown"},
        box=((np.zeros(8), np.ones(8)),),
    )
    # What is always 0, what is no number and what is nowhere is left out; below the upper end of a clip its halves are exchanged.
    assert found.splits == {
        0: (-1, 1, 0.5, 1, 2),
        1: (1, 0, 3.0, 3, 4),
        2: (1, 1, 0.0, 5, 6),
        3: (1, 2, 0.0, 8, 7),
        5: (1, 0, 6.0, 11, 12),
        6: (0, 1, -2.0, 13, 14),
        8: (0, 0, 0.25, 17, 18),
    }
    assert (
        found.sizes == (3, 4) and found.roots == {0: 0} and found.ranges == {1: "crown"} and found.common == ("crown",)
    )
    assert list(found.refuted) == [3] and found.box == () and found.ends == () and found.divided == ()
    assert compared.looks >= 8 and len(compared.points) == 2


def test_open_features_are_numbered_anew_each_once(compared):
    found = compared.aligned(open={4: np.arange(8), 5: np.array([5, 0])})
    assert {node: numbers.tolist() for node, numbers in found.open.items()} == {
        4: [3, -1, 0, 1, -1, 6, -1, -1],
        5: [6, 3],
    }
    assert all(numbers.dtype == np.int64 for numbers in found.open.values())


def ends(k: int, feature: list[int], opened: list[int]) -> Ends:
    shape = len(feature), len(opened)
    slope = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    return Ends(
        k, np.array(feature), np.arange(len(feature)) % 2 == 0, np.array(opened), slope, np.array(feature) + 1.0
    )


def test_ends_are_of_the_ends_there(compared):
    found = compared.aligned(
        ends=(
            ends(0, [2, 1], [5, 1, 3, 2, 0]),
            ends(1, [1, 2, 2], [0, 2]),
            ends(1, [0, 2], [0]),
            ends(0, [1], [0]),
            ends(1, [0, 0], [4]),
        )
    )
    # Of ends that are in several ReLUs there, or in none, nothing is kept.
    first, second, third = found.ends
    assert (first.k, first.feature.tolist(), first.upper.tolist(), first.bound.tolist()) == (0, [0], [True], [0.75])
    assert first.open.tolist() == [0, 1, 3, 6] and first.slope.tolist() == [[3.0, 2.0, 4.0, 0.0]]
    assert (second.k, second.feature.tolist(), second.upper.tolist()) == (1, [3, 3], [False, True])
    assert second.bound.tolist() == [0.375, 0.375]
    assert second.open.tolist() == [0, 3] and second.slope.tolist() == [[3.0, 2.0], [5.0, 4.0]]
    assert (third.k, third.feature.tolist(), third.bound.tolist()) == (0, [1, 1], [2.0, 2.0])
    assert third.open.tolist() == [] and third.slope.shape == (2, 0)


def divided(k: int, feature: int, unstable: list[int], number: int) -> DividedEnd:
    row = np.arange(len(unstable))
    parts = (
        (np.stack([row, -row]) + number).astype(np.int8),
        *((np.stack([row, row]) + number + step).astype(np.float32) for step in (0.5, 0.25)),
    )
    return DividedEnd(k, feature, number % 2 == 0, 16.0 + number, np.array(unstable), *parts)


def test_divided_ends_are_kept_where_all_of_what_was_split_is_there(compared):
    found = compared.aligned(
        divided=(
            divided(0, 0, [2, 3], 1),
            divided(0, 1, [2, 3], 2),
            divided(1, 0, [5, 1], 3),
            divided(1, 2, [5, 0, 2], 4),
            divided(0, 2, [3], 5),
            divided(1, 1, [3], 6),
        )
    )
    # In the order of the ReLUs there.
    assert [(end.k, end.feature, end.upper, end.bound) for end in found.divided] == [
        (0, 0, False, 21.0 / 4),
        (1, 0, False, 17.0 / 2),
        (1, 3, True, 20.0 / 8),
    ]
    assert [end.unstable.tolist() for end in found.divided] == [[1], [0, 1], [0, 3, 6]]
    first, second, third = found.divided
    assert second.side.tolist() == [[1, 2], [1, 0]] and second.slope.tolist() == [[1.5, 2.5]] * 2
    assert third.side.tolist() == [[6, 5, 4], [2, 3, 4]] and third.slope.tolist() == [[6.5, 5.5, 4.5]] * 2
    assert third.added.tolist() == [[6.25, 5.25, 4.25]] * 2 and first.added.tolist() == [[5.25], [5.25]]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shift", [3e-8, -3e-8])
@pytest.mark.parametrize("point", [0, 5])
def test_values_are_close_in_parts_of_their_size(monkeypatch, point, shift, sign):
    def column(x: np.ndarray) -> np.ndarray:
        # Of any sign at the first point, by which it is looked up.
        return (sign * np.sign(x[0, 0]) * (x[:, :1] - 0.25) + 0.25) / 64

    for factor, is_there in ((1.0, True), (10.0, False)):

        def moved(x: np.ndarray, factor: float = factor) -> np.ndarray:
            found = 4 * column(x)
            found[point] += factor * shift * abs(found).max()
            return found

        compared = Compared(monkeypatch, moved, column, ((1,), (1,)), 1)
        found = compared.aligned(open={0: np.array([0])})
        assert found.open[0].tolist() == [0 if is_there else -1]


def test_points_are_in_the_box_and_around_it(monkeypatch):
    compared = Compared(monkeypatch, lambda x: x[:, :1], lambda x: x[:, :1], ((1,), (1,)), 4000)
    compared.aligned()
    first, second = compared.points
    assert first is second and first.shape[1] == 4000 and len(first) >= 6 and len(first) % 2 == 0
    within, around = np.split(first, 2)
    assert 3.0 <= within.min() < 3.01 and 6.99 < within.max() <= 7.0 and abs(within.mean() - 5.0) < 0.1
    assert abs(around.mean() - 5.0) < 0.2 and abs(around.std() - 5.0) < 0.2
    assert (np.ptp(first, axis=0) > 0).all()


@pytest.mark.parametrize(
    ("sizes", "own", "there", "is_aligned"),
    [
        ((3, 2), (3, 2), (4, 2), True),
        ((3, 3), (3, 3), (1,), True),
        ((3, 2), (2, 3), (4, 2), False),
        ((3, 4), (3, 4), (1,), False),
        ((3, 2), (3, 2), (4, 3), False),
        ((3, 4), (2,), (4, 3), False),
    ],
)
def test_records_about_other_graphs_or_too_many_features_say_nothing(monkeypatch, sizes, own, there, is_aligned):
    asked = []
    made = SimpleNamespace(trace=lambda: "aligned")
    monkeypatch.setattr(tool, "_MOST", 6)
    monkeypatch.setattr(tool, "_Aligned", lambda *given: asked.append(given) or made)
    nodes = [SimpleNamespace(size=9), *(SimpleNamespace(size=size) for size in own)]
    graph = SimpleNamespace(nodes=nodes, activations=tuple(range(1, len(nodes))))
    network = SimpleNamespace(sizes=there)
    trace = Trace(sizes, {0: 0}, {0: (-1, 0, 0.0, 1, 2)}, {}, {}, {}, ("crown",))
    given = trace, graph, network, np.zeros(1), np.ones(1), len
    found = tool.aligned(*given)  # type: ignore[arg-type]
    assert (found == "aligned") == is_aligned
    if is_aligned:
        assert asked == [given]
    else:
        assert (found.sizes, found.common, found.roots, found.splits) == (there, ("crown",), {}, {}) and not asked


def test_tens_of_thousands_of_features_are_not_too_many():
    assert tool._MOST >= 1 << 14


def test_values_of_a_graph_that_do_not_depend_on_the_input():
    import torch

    values = [torch.zeros(3, 1), torch.tensor([[1.0, 2.0]]), torch.arange(6.0).reshape(3, 2)]
    nodes = [SimpleNamespace(operands=(at,)) for at in (0, 1, 2)]
    graph = SimpleNamespace(nodes=nodes, activations=(1, 2), values=lambda x: values if x.shape == (3, 1) else [])
    found = tool._operands_of_graph(graph, np.zeros((3, 1)))  # type: ignore[arg-type]
    assert [one.tolist() for one in found] == [[[1.0, 2.0]] * 3, values[2].tolist()]


def test_values_of_a_network_are_what_it_computes():
    made = Builder([1, 2], dtype=np.float64)
    first = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0, 0.0], [2.0, -1.0]])))
    second = made.node("Relu", made.node("Gemm", first, made.constant([[1.0], [-3.0]]), made.constant([0.5])))
    network = read_network(made.bytes(made.node("Add", second, made.constant([1.0]))), 2, Float64(), "n")
    one, other = tool._operands_of_network(network, np.array([[1.0, 1.0], [1.0, -2.0]]))
    assert one.tolist() == [[3.0, -1.0], [-3.0, 2.0]] and other.tolist() == [[3.5], [-5.5]]
