"""Better multipliers, step by step: where they begin, how far each step goes, and what is kept, by hand-worked numbers."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import NONE, Evaluation, Slopes
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real.grown.steps import Descent, Multipliers
from network_shapes import Shape, cells_of
from soundness.real_evidence import chain


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float64)


class Told(Descent):
    """A descent whose bounds, and what they leave, are told beforehand; notes which multipliers it asked about."""

    def __init__(self, *bends: tuple[str, int], values: Any = (), excess: Any = (), arriving: Any = ()) -> None:
        shape: Any = Shape(*bends)
        self.network = shape.network
        self._begin = np.cumsum([0, *self.network.sizes]).tolist()
        self._kinds, self._planes, self._pairs = [kind for kind, _ in bends], {}, {}
        self.values, self.excess, self.arriving = list(values), list(excess), arriving
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def _at(self, cells, objective, slope, added):
        self.asked.append((slope.copy(), added.copy()))
        value = np.array(self.values.pop(0)) if self.values else np.zeros(len(slope))
        arriving = np.array(self.arriving) if len(self.arriving) else np.zeros(slope.shape)
        return Multipliers(value, slope, added, arriving, np.full(slope.shape, len(self.asked)))

    def _moved(self, cells, objective, slope, added):
        return self._at(cells, objective, slope, added), np.array(self.excess.pop(0))


def test_rows_begin_with_the_rule_and_what_is_said_of_features():
    """The rule's slope is 1 where a range reaches farther above 0 than below."""
    cells = cells_of([(-1.0, 2.0), (-2.0, 1.0)], [(-1.0, 2.0)], [(-2.0, 1.0), (-1.0, 3.0)])
    objective: Any = SimpleNamespace(constant=np.zeros(2))
    descent = Told((RELU, 2), ("sigmoid", 1), (RELU, 2))
    bare = descent.started(cells, objective, None)
    assert bare.slope[:, [0, 1, 3, 4]].tolist() == [[1.0, 0.0, 0.0, 1.0]] * 2 and np.isnan(bare.slope[:, 2]).all()
    assert bare.added.tolist() == [[0.0] * 5] * 2
    lower = rows([np.nan, 0.25], [0.5, np.nan])
    said = Slopes(
        (lower, rows([0.75], [np.nan]), None), (None, None, rows([3.0, 0.0], [0.0, -4.0])), np.zeros(2, np.bool_)
    )
    found = descent.started(cells, objective, said)
    assert found.slope[:, [0, 1, 3, 4]].tolist() == [[1.0, 0.25, 0.0, 1.0], [0.5, 0.0, 0.0, 1.0]]
    assert found.slope[0, 2] == 0.75 and np.isnan(found.slope[1, 2])
    assert found.added.tolist() == [[0.0, 0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0, -4.0]]


def adam(first: float, second: float) -> float:
    """How far the second step goes, in parts of its length."""
    m = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    s = (0.999 * 0.001 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
    return m / math.sqrt(s)


#: open with a negative value that arrives, closed and split, open with a positive one, closed and not split, open and split
RANGES = [(-1.0, 1.0), (0.0, 2.0), (-1.0, 1.0), (0.0, 2.0), (-1.0, 1.0)]
ARRIVING = [[-2.0, 4.0, 3.0, -1.0, -8.0]]
SPLIT = np.array([[False, True, False, False, True]])


def ran(values: list[list[float]], excess: list[Any], steps: int, slope: list[float], start: float = 5.0):
    descent = Told((RELU, 5), values=values, excess=excess, arriving=ARRIVING)
    cells, objective = cells_of(RANGES), SimpleNamespace(coefficients={3: None})
    begun = Multipliers(np.array([start]), rows(slope), np.zeros((1, 5)), np.array(ARRIVING), np.zeros((1, 5)))
    return descent, descent.run(cells, objective, begun, SPLIT, steps)  # type: ignore[arg-type]


def test_two_steps():
    """Of a slope the bound's is what arrives by what is left, of what is added what is left; each step begins with a length of 0.02,
    in parts of the largest that arrives, 8, and is a tenth shorter than the one before."""
    excess = [rows([1.0, -3.0, 9.0, 9.0, -2.0]), rows([0.5, 6.0, 9.0, 9.0, -1.0])]
    descent, found = ran([[4.0], [6.0], [3.0]], excess, 2, [0.5] * 5)
    one = [0.5 + 0.02, 0.5, 0.5, 0.5, 0.5 - 0.02]
    two = [one[0] - 0.018 * adam(-2.0, -1.0), 0.5, 0.5, 0.5, one[4] - 0.018 * adam(16.0, 8.0)]
    added = [0.02 * 8, 0.02 * 8 - 0.018 * 8 * adam(-3.0, 6.0)]
    slopes, others = (np.concatenate(part) for part in zip(*descent.asked, strict=True))
    assert slopes == pytest.approx(rows([0.5] * 5, one, two), abs=1e-12)
    assert others == pytest.approx(rows([0.0] * 5, *([0.0, x, 0.0, 0.0, 0.0] for x in added)), abs=1e-12)
    assert found.value.tolist() == [3.0] and found.slope == pytest.approx(rows(two)) and found.handed[0, 0] == 3


@pytest.mark.parametrize(
    ("values", "start", "best"),
    [([4.0, 6.0, 4.5], 5.0, 1), ([6.0, 4.0, 4.0], 5.0, 2), ([6.0, 5.0, 5.5], 5.0, 0), ([6.0, 7.0, 4.0], 5.0, 3)],
)
def test_the_best_rows_on_the_way_are_kept(values: list[float], start: float, best: int):
    _, found = ran([[one] for one in values], [np.ones((1, 5))] * 2, 2, [0.5] * 5, start)
    assert found.value.tolist() == [[start, *values][best]] and found.handed[0, 0] == best


def test_slopes_stay_from_0_to_1():
    descent, _ = ran([[6.0]] * 2, [rows([1.0, 0.0, 0.0, 0.0, -1.0])], 1, [0.99, 0.5, 0.5, 0.5, 0.01])
    assert descent.asked[1][0].tolist() == [[1.0, 0.5, 0.5, 0.5, 0.0]]


def test_rows_of_another():
    one, other = (Multipliers(np.full(2, x), *(np.full((2, 3), x + n) for n in range(4))) for x in (0.0, 10.0))
    mixed = one.replaced(np.array([True, False]), other)
    assert mixed.value.tolist() == [10.0, 0.0]
    for n, name in enumerate(("slope", "added", "arriving", "handed")):
        assert getattr(mixed, name).tolist() == [[10.0 + n] * 3, [0.0 + n] * 3]


def test_slopes_of_curves_begin_with_the_rule_s_and_move_between_their_ends():
    """The rule's slope is what is handed on by what arrives. All that arrives moves a curve's, by parts of how far apart its ends are."""
    descent = Told(("sigmoid", 4), values=[[6.0]] * 2, excess=[np.ones((1, 4))], arriving=[[-2.0, 3.0, 0.0, -2.0]])
    cells, objective = cells_of([(-1.0, 2.0)] * 4), SimpleNamespace(coefficients={3: None})
    slope = rows([np.nan, np.nan, np.nan, 0.15])
    begun = Multipliers(
        np.array([5.0]), slope, np.zeros((1, 4)), np.array(descent.arriving), rows([-0.4, 0.6, 9.0, -0.4])
    )
    descent.run(cells, objective, begun, np.zeros((1, 4), np.bool_), 1)  # type: ignore[arg-type]
    least = math.exp(-2.0) / (1 + math.exp(-2.0)) ** 2
    part = 0.02 * (0.25 - least)
    assert descent.asked[0][0] == pytest.approx(rows([0.2, 0.2, least, 0.15]), abs=1e-6)
    assert descent.asked[1][0] == pytest.approx(rows([0.2 + part, 0.2 - part, least, 0.15 + part]), abs=1e-6)


def test_little_that_arrives_moves_little_and_closed_relus_have_no_slopes():
    descent = Told((RELU, 3), values=[[6.0]] * 2, excess=[np.ones((1, 3))], arriving=[[-0.5, 0.5, -0.25]])
    cells, objective = cells_of([(-1.0, 0.0), (-1.0, 1.0), (0.0, 2.0)]), SimpleNamespace(coefficients={3: None})
    begun = Multipliers(
        np.array([5.0]), rows([0.5] * 3), np.zeros((1, 3)), np.array(descent.arriving), np.zeros((1, 3))
    )
    descent.run(cells, objective, begun, np.array([[False, False, True]]), 1)  # type: ignore[arg-type]
    assert descent.asked[1][0].tolist() == [[0.5] * 3]
    assert descent.asked[1][1] == pytest.approx(rows([0.0, 0.0, -0.02 * 0.5]), abs=1e-12)


@pytest.mark.parametrize("bend", [RELU, "sigmoid", PRODUCT])
def test_what_goes_forwards_is_the_slope_of_what_is_bounded(bend: str):
    """One feature of each bend, and what comes behind it: the corner, what exceeds what attains the maximum, and both together."""
    descent = Told((bend, 2))
    shape = SimpleNamespace(forward=lambda x: 2.0 * x, offset=np.array([1.0, -1.0]))
    nodes = [SimpleNamespace(operands=(), operator=None, bend="", size=2), SimpleNamespace(operands=(0,), operator=shape, bend="", size=2),
             SimpleNamespace(operands=(1,), operator=None, bend=bend, size=1 if bend == PRODUCT else 2)]  # fmt: skip
    last = SimpleNamespace(
        operands=(2,), operator=SimpleNamespace(forward=lambda x: seen.append(x) or x, offset=None), bend="", size=1
    )
    seen: list[np.ndarray] = []
    descent.network = SimpleNamespace(nodes=[*nodes, last, None])  # type: ignore[assignment]
    cells = cells_of([(-1.0, 3.0), (-3.0, 2.0)])
    cells = type(cells)(rows([-1.0, -2.0]), rows([1.0, 2.0]), cells.low, cells.high, ())
    # The upper end where the corner's coefficient is above 0: inputs are 1 and -2, and 3 and -5 arrive.
    descent._corner = rows([0.5, 0.0])
    v, s = {RELU: ([1.0, -2.0], [0.25, -1.0]), "sigmoid": ([1.0, 0.0], [0.5, 1.0]), PRODUCT: ([2.0, 2.0], [0.5, -1.0])}[
        bend
    ]
    descent._seen = [(rows(v), rows(s))]
    excess = descent._forward(cells, 3, [rows([0.5, 0.5])], [rows([0.0, 0.0])])
    # relu(a) - a/4 is largest at 3; -2 relu(a) + a at 0. sigmoid(a) - a/2 at -1, -a at -3. 2 x y - x/2 + y: at 3 and 2.
    at = {RELU: [3.0, 0.0], "sigmoid": [-1.0, -3.0], PRODUCT: [3.0, 2.0]}[bend]
    assert excess[0] == pytest.approx(rows([3.0 - at[0], -5.0 - at[1]])) and len(excess) == 1
    behind = {
        RELU: [3.0, 0.5 * -5.0],
        "sigmoid": [1 / (1 + math.e) + 0.5 * 4.0, 1 / (1 + math.exp(3.0))],
        # Of x the slope is s / v, 1/4, of y -1/2; nothing exceeds of x, and -7 of y.
        PRODUCT: [6.0 + 0.25 * 0.0 - 0.5 * -7.0],
    }[bend]
    assert seen[0] == pytest.approx(rows(behind), abs=1e-9)


class Bounded(Descent):
    """A descent whose bound is told, and notes by which rows it was asked for."""

    def __init__(self) -> None:
        Told.__init__(self, (RELU, 1), ("sigmoid", 2), (PRODUCT, 2))  # type: ignore[arg-type]
        self.network.inputs = 1
        self.numbers: Any = SimpleNamespace(upper=lambda *ends: np.array(ends).sum(0))

    def bound(self, cells, rows, objective, slopes, planes):  # type: ignore[override]
        assert planes == NONE
        self.told = rows, slopes
        self._seen[1] = np.full((len(rows), 2), 3.0), np.full((len(rows), 2), 4.0)
        return np.arange(len(rows)) * 1.0, np.ones(len(rows))


@pytest.mark.parametrize("count", [1, 2])
def test_by_which_rows_the_checker_s_bound_is_asked_for(count: int):
    """Of products no slope is chosen, nor of bends of which none is known; what is added nowhere is left out. Without a node
    on the way to the objective what arrives is 0."""
    cells = cells_of([(-1.0, 1.0)], [(-1.0, 1.0)] * 2, [(-1.0, 1.0)] * 2).take(np.zeros(count, np.int64))
    descent, objective = Bounded(), SimpleNamespace()
    slope, added = np.tile(rows([0.5, np.nan, np.nan, 0.25, 0.75]), (2, 1)), np.zeros((2, 5))
    added[1, 3] = 2.0
    found = descent._at(cells, objective, slope, added)  # type: ignore[arg-type]
    asked, slopes = descent.told
    assert asked.tolist() == [[0, 0], [0, 1]][count - 1] and asked.dtype == np.int64
    assert slopes.lower[0].tolist() == [[0.5], [0.5]] and slopes.lower[1:] == (None, None)
    assert slopes.added[:2] == (None, None) and slopes.added[2].tolist() == [[0.0, 0.0], [2.0, 0.0]]
    assert slopes.flat.tolist() == [False, False] and slopes.flat.dtype == np.bool_
    assert found.value.tolist() == [1.0, 2.0] and found.slope is slope and found.added is added
    assert found.arriving.tolist() == [[0.0, 3.0, 3.0, 0.0, 0.0]] * 2
    assert found.handed.tolist() == [[0.0, 4.0, 4.0, 0.0, 0.0]] * 2
    slope[0, 1] = 0.125
    descent._at(cells, objective, slope, added)  # type: ignore[arg-type]
    assert descent.told[1].lower[1][0, 0] == 0.125 and np.isnan(descent.told[1].lower[1][1]).all()


def test_what_arrives_at_a_product_arrives_at_both_factors(monkeypatch: pytest.MonkeyPatch):
    descent = Bounded()
    descent._seen = [None] * 3  # type: ignore[list-item]
    monkeypatch.setattr(Evaluation, "_bent", lambda self, k, i, v, *others: (handed, "share"))
    handed = rows([1.0, 2.0, 3.0, 4.0])
    assert descent._bent(2, 6, rows([5.0, 6.0])) == (handed, "share")
    assert [part.tolist() for part in descent._seen[2]] == [[[5.0, 6.0, 5.0, 6.0]], [[1.0, 2.0, 3.0, 4.0]]]
    handed = rows([1.0, 2.0])
    descent._bent(1, 4, rows([5.0, 6.0]))
    assert [part.tolist() for part in descent._seen[1]] == [[[5.0, 6.0]], [[1.0, 2.0]]]


def test_of_a_relu_whose_range_ends_at_0_nothing_goes_forwards():
    """What arrives at it is below 0 by 3, and its slope would be 1/2 if it were open."""
    descent, seen = Told((RELU, 1)), []
    bend = SimpleNamespace(operands=(0,), operator=None, bend=RELU, size=1)
    last = SimpleNamespace(
        operands=(1,), operator=SimpleNamespace(forward=lambda x: seen.append(x) or x, offset=None), bend="", size=1
    )
    descent.network = SimpleNamespace(nodes=[None, bend, last])  # type: ignore[assignment]
    cells = cells_of([(-1.0, 0.0)])
    cells.lower[:], cells.upper[:] = -3.0, -3.0
    descent._corner, descent._seen = rows([1.0]), [(rows([-2.0]), rows([0.0]))]
    excess = descent._forward(cells, 2, [rows([0.5])], [rows([0.0])])
    assert seen[0].tolist() == [[0.0]] and excess[0].tolist() == [[-2.0]]


def test_a_descent_looks_at_the_deadline_of_what_it_is_made_of():
    evaluation = Evaluation(
        read_network(chain([[[1.0]], [[1.0]]], [[0.0], [0.0]]), 1, Float64(), "n"), Float64(), lambda: None
    )
    assert Descent(evaluation).look is evaluation.look
