"""Pairs of a record as arrays of a certificate: which are written, in which order, and how far their ends are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.joint.pairs import made_pairs
from netproof.certificate.real.grown.rows import RowTable
from netproof.certificate.real.grown.seeds import Maker
from netproof.result import PairsBeside
from soundness.real_evidence import Builder, chain

#: a, b, c are x + y, x - y, and what is never above 0; behind them their sums and differences
NETWORK = chain(
    [[[1.0, 1.0], [1.0, -1.0], [0.5, 0.5]], [[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]], [[1.0, 1.0]]],
    [[0.0, 0.0, -1.5], [-1.0, 0.25], [0.0]],
)


@pytest.fixture
def maker() -> Maker:
    evaluation = Evaluation(read_network(NETWORK, 2, Float64(), "n"), Float64())
    return Maker(evaluation, RowTable(), 1, Deadline("a test", float("inf")))


def cells(maker: Maker):
    return maker.evaluation.root(-np.ones(2), np.ones(2))


def beside(k: int, *pairs: tuple[int, int], opened=(), slope=0.5, bound: float = -np.inf) -> PairsBeside:
    """Pairs of which the search found so much; by default more than any row shows."""
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    numbers = np.array(opened, np.int64)
    slopes = np.full((len(first), 4, len(numbers)), slope, np.float32)
    return PairsBeside(k, first, second, numbers, slopes, np.full((len(first), 4), bound))


def test_ends_are_next_above_what_rows_show(maker):
    made = made_pairs(maker, cells(maker), (beside(0, (0, 1)),))
    assert made.arrays["pair_relu"].tolist() == [1] and made.arrays["pair_exponent"].tolist() == [18]
    # Sums and differences of x + y and x - y reach to 2.
    ends = made.arrays["pair_end"] * 2.0**-18
    assert (ends > 2.0).all() and ends == pytest.approx([2.0] * 4, abs=2.0**-16)
    assert made.arrays["pair_row"].tolist() == [1, 2, 3, 4] and len(made.rows) == 4


def test_the_smaller_number_is_first_and_ends_are_turned_with_it(maker):
    skewed = replace(beside(0, (1, 0)), bound=np.array([[np.inf, np.inf, -np.inf, np.inf]]))
    made = made_pairs(maker, cells(maker), (skewed,))
    assert (made.arrays["pair_first"].tolist(), made.arrays["pair_second"].tolist()) == ([0], [1])
    # What was b - a to the search is now a - b.
    assert made.arrays["pair_row"].tolist() == [0, 0, 0, 1] and made.arrays["pair_end"].tolist()[:3] == [0, 0, 0]
    assert made.pairs[0].first.tolist() == [1]


def test_pairs_come_in_ascending_order_and_only_with_open_ranges(maker):
    made = made_pairs(maker, cells(maker), (beside(1, (0, 1)), beside(0, (1, 2), (0, 1))))
    # The third feature is closed.
    assert made.arrays["pair_relu"].tolist() == [1, 2] and made.arrays["pair_first"].tolist() == [0, 0]
    assert [one.first.tolist() for one in made.pairs] == [[0], [0]]


def test_ends_that_the_search_did_not_better_have_no_rows(maker):
    made = made_pairs(maker, cells(maker), (beside(0, (0, 1), bound=4.0), beside(1, (0, 1), bound=np.inf)))
    assert not made.arrays["pair_row"].any() and not made.arrays["pair_end"].any() and not made.rows


@pytest.mark.parametrize(("bound", "exponent"), [(2.3, 3), (2.13, 6), (-np.inf, 6)])
def test_more_digits_where_fewer_lose_more_than_a_little(maker, bound, exponent):
    """Of ``-d - e``, which is ``0.75 - 2 relu(a)``, the bound is 0.75 and four times the slope: 0.35 has three eighths in three digits,
    22 64ths in six, and in ten more than that again."""
    wanted = np.array([[np.inf, bound, np.inf, np.inf]])
    made = made_pairs(maker, cells(maker), (replace(beside(1, (0, 1), opened=(0, 1), slope=0.35), bound=wanted),))
    assert [row.exponent for row in made.rows] == [exponent]
    assert made.arrays["pair_end"][1] * 2.0 ** -made.arrays["pair_exponent"][0] == pytest.approx(
        {3: 2.25, 6: 2.125}[exponent], abs=1e-4
    )


def test_other_bends_have_no_pairs(maker):
    made = Builder([1, 2], dtype=np.float64)
    at = made.node("Sigmoid", made.node("MatMul", "x", made.constant([[1.0, 1.0], [1.0, -1.0]])))
    data = made.bytes(made.node("MatMul", at, made.constant([[1.0], [1.0]])))
    curved = replace(maker, evaluation=Evaluation(read_network(data, 2, Float64(), "n"), Float64()))
    assert made_pairs(curved, cells(curved), (beside(0, (0, 1)),)).arrays["pair_relu"].tolist() == []
