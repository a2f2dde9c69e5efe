"""Which ends of ranges a certificate states, and how far."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.real.grown.ends import _lemma


def lemma(low, high, bound, *, upper, cost=0.0):
    """The lemma about the second feature of a layer, of which so much is known, and an end's parts show ``bound``."""
    cells = SimpleNamespace(low=[np.array([[0.0, low]])], high=[np.array([[0.0, high]])])
    maker = SimpleNamespace(evaluation=SimpleNamespace(operands=[7]))
    return _lemma(maker, cells, SimpleNamespace(k=0, feature=1, upper=upper, bound=bound), cost)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.0, 2.0), (0.25, 2.0)])
def test_a_lower_end_counts_whether_the_feature_may_be_negative_or_not(low, high):
    found = lemma(low, high, -0.5, upper=False)
    assert found.sign == -1
    assert 0.5 - 2.0**-19 <= found.end < 0.5


@pytest.mark.parametrize(
    ("low", "high", "bound"), [(-2.0, 0.0, 1.5), (-2.0, -1.0, 1.5), (1.0, 1.0, -1.0), (-1.0, 2.0, math.inf)]
)
def test_what_nothing_rests_on_is_not_stated(low, high, bound):
    assert lemma(low, high, bound, upper=False) is None


def test_what_costs_less_than_the_sign_is_the_sign():
    assert lemma(-1.0, 2.0, -0.01, upper=False, cost=0.02).end == 0.0
    assert lemma(0.0, 2.0, -0.5, upper=False, cost=0.02).end == pytest.approx(0.46, abs=1e-5)
