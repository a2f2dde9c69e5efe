"""Which neurons' known ranges are compared with the checker's, and by what: a rule that answers what it is told stands for it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.real.contents import CROWN
from netproof.certificate.real.grown import staged as tool

#: ends of three ReLUs, of which the middle one is asked about; sizes are such that the slack is a power of two
_LAYER, _SIZE = 1, 2.0**10
_SLACK = 2.0**-22


class Rule:
    """In the place of the checker's rule: what it was asked, and what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Cells] = []
        self.ends: tuple[np.ndarray, np.ndarray] | None = None
        monkeypatch.setattr(Evaluation, "_refined", lambda _, cells, k, operand: self.answer(cells, k))

    def answer(self, cells: Cells, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(cells)
        return (cells.low[k], cells.high[k]) if self.ends is None else self.ends


@pytest.fixture
def rule(monkeypatch) -> Rule:
    monkeypatch.setattr(tool, "_SAMPLE", 1000)
    return Rule(monkeypatch)


def row(values) -> np.ndarray:
    return np.array([values], np.float64)


def refined(before, known):
    """What is taken as ranges, whether it is so far believed, and the cells before."""
    size = np.full((1, len(before[0])), _SIZE)
    other = row(np.full(len(before[0]), 7.0))
    cells = Cells(
        row([0.0]), row([1.0]), (other, row(before[0]), 2 * other), (3 * other, row(before[1]), 4 * other), (size,) * 3
    )
    never = np.zeros(0), np.zeros(0)
    compared = tool._Compared.__new__(tool._Compared)
    compared._known, compared._agrees = [never, (np.array(known[0]), np.array(known[1])), never], True
    low, high = compared._refined(cells, _LAYER, 1)
    return low[0].tolist(), high[0].tolist(), compared._agrees, cells


def test_the_rule_is_asked_about_open_neurons_and_finds_the_other_layers_as_they_are(rule):
    #        open, by little  both      ends of 0        on, off, far on
    before = [-0.5, -2.0, -2.0, 0.0, -1.0, 0.25, -1.0, 2.0], [0.5, 0.25, 2.0, 1.0, 0.0, 0.5, -0.25, 3.0]
    closed = before[0], [0.0 if high > 0 else high for high in before[1]]
    *_, cells = refined(before, closed)
    (asked,) = rule.asked
    is_asked = asked.low[_LAYER][0] != 1.0
    assert is_asked.tolist() == [True, True, True, False, False, False, False, False]
    for end, own in ((asked.low[_LAYER], cells.low[_LAYER]), (asked.high[_LAYER], cells.high[_LAYER])):
        assert (end[0, is_asked] == own[0, is_asked]).all() and (end[0, ~is_asked] == 1.0).all()
    for ends, own in ((asked.low, cells.low), (asked.high, cells.high)):
        assert len(ends) == 3 and ends[0] is own[0] and ends[2] is own[2]


def test_half_of_the_sample_are_neurons_that_stay_open(rule, monkeypatch):
    """Three of two hundred that were open stay so, and those three are compared; not those that come to an end of 0."""
    monkeypatch.setattr(tool, "_SAMPLE", 6)
    many, few = 50, 3
    before = [-2.0] * (4 * many + few), [2.0] * (4 * many + few)
    ends = [(0.0, 2.0), (0.25, 2.0), (-2.0, 0.0), (-2.0, -0.5)]
    known = (
        [low for low, _ in ends for _ in range(many)] + [-0.5] * few,
        [high for _, high in ends for _ in range(many)] + [0.5] * few,
    )
    refined(before, known)
    is_asked = rule.asked[0].low[_LAYER][0] != 1.0
    assert is_asked[-few:].all() and is_asked[:-few].sum() == 3
    # And of few that were open, not more than half of what is compared are drawn a first time.
    rule.asked.clear()
    refined(([-2.0] * 9, [2.0] * 9), ([0.0] * 9, [2.0] * 9))
    assert (rule.asked[0].low[_LAYER][0] != 1.0).sum() == 3


def test_known_ends_are_taken_within_those_before_and_a_sign_lets_go_of_the_other_end(rule):
    before = [-1.0] * 8, [1.0] * 8
    known = (
        [-2.0, -0.5, -0.5, -0.25, -0.25, 0.0, 0.5, 0.0],
        [0.5, 2.0, 0.5, 0.0, -0.125, 0.25, 0.75, 0.0],
    )
    low, high, *_ = refined(before, known)
    #      cut  cut   both  off   off   on   on   both signs
    assert low == [-1.0, -0.5, -0.5, -1.0, -1.0, 0.0, 0.5, -1.0]
    assert high == [0.5, 1.0, 0.5, 0.0, -0.125, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("known", "own", "agrees"),
    [
        # neither sign: as far as the slack, and no further
        ((-0.5, 0.5), (-0.5 - _SLACK, 0.5), True),
        ((-0.5, 0.5), (-0.5 - 2 * _SLACK, 0.5), False),
        ((-0.5, 0.5), (-0.5, 0.5 + _SLACK), True),
        ((-0.5, 0.5), (-0.5, 0.5 + 2 * _SLACK), False),
        # both find that it is off, whatever the other end is
        ((-0.5, 0.0), (-9.0, 0.0), True),
        ((-0.5, -0.5), (-9.0, 0.0), True),
        ((-0.5, -0.5), (-9.0, -0.25), True),
        ((-0.5, 0.5), (-9.0, 0.0), False),
        ((-0.5, -0.5), (-9.0, 0.25), False),
        # both find that it is on
        ((0.0, 0.5), (0.0, 9.0), True),
        ((0.5, 0.75), (0.0, 9.0), True),
        ((0.5, 0.75), (0.25, 9.0), True),
        ((-0.5, 0.5), (0.0, 9.0), False),
        ((0.5, 0.75), (-0.25, 9.0), False),
        # one finds that it is on, the other that it is off
        ((0.5, 0.75), (-9.0, -8.0), False),
        ((-0.5, -0.25), (8.0, 9.0), False),
    ],
)
def test_what_agrees(rule, known, own, agrees):
    rule.ends = row([own[0], -8.0]), row([own[1], 8.0])
    # The second neuron was never open: whatever is said of it, it is not compared.
    before, said = ([-1.0, 2.0], [1.0, 3.0]), ([known[0], 2.5], [known[1], 2.5])
    assert refined(before, said)[2] == agrees


def test_after_a_layer_that_disagrees_nothing_is_compared_or_taken(rule):
    size = np.full((1, 2), _SIZE)
    cells = Cells(row([0.0]), row([1.0]), (row([-1.0, -1.0]),), (row([1.0, 1.0]),), (size,))
    compared = tool._Compared.__new__(tool._Compared)
    compared._known, compared._agrees = [(np.array([-0.5, -0.5]), np.array([0.5, 0.5]))], False
    low, high = compared._refined(cells, 0, 0)
    assert low is cells.low[0] and high is cells.high[0] and not rule.asked and not compared._agrees


@pytest.mark.parametrize("most", [2, 3])
def test_neurons_with_an_end_of_0_are_not_open(monkeypatch, most):
    """Nor are those that are on or off: of seven neurons two count."""
    low, high = row([-1.0, -0.5, 0.0, 0.25, -1.0, -1.0, 2.0]), row([0.5, 1.0, 1.0, 0.5, 0.0, -0.5, 3.0])
    cells = Cells(row([0.0]), row([1.0]), (low,), (high,), (np.ones((1, 7)),))
    derived = replace(cells)
    evaluation = SimpleNamespace(network=SimpleNamespace(inputs=tool.FEW_INPUTS + 1), derive=lambda c, rule: derived)
    taken = replace(cells)
    monkeypatch.setattr(tool, "_MANY", most)
    monkeypatch.setattr(tool, "_Compared", lambda _, known: SimpleNamespace(taken=lambda c: taken))
    arrays: dict[str, list[int]] = {"stage": []}
    found = tool.staged(evaluation, cells, arrays, [(low[0], high[0])])  # type: ignore[arg-type]
    assert found is (taken if most == 2 else derived) and arrays == {"stage": [CROWN]}
