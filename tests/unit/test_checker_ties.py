"""Ranges that reach as far above 0 as below: whoever adds up in another order comes to the same lines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.relus import Ranges, leans, rectified


@pytest.mark.parametrize("size", [1e-290, 0.37, 1.0, 1e290])
@pytest.mark.parametrize("units", range(-6, 7))
def test_a_tie_is_one_however_sums_are_rounded(size, units):
    low, high = np.array([[-size * (1 + units * 2.0**-52)]]), np.array([[size]])
    assert not leans(low, high)
    s, share = rectified(Float64(), np.array([[-1.0]]), Ranges(low, high))
    # Below a ReLU that does not lean upwards there is the line 0.
    assert s == 0 and share == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 1 + 2.0**-20, True),
        (-1.0, 1 - 2.0**-20, False),
        (-1.0, 1 + 2.0**-28, True),
        (-1.0, math.inf, True),
        (-math.inf, 1.0, False),
    ],
)
def test_what_leans(low, high, expected):
    assert bool(leans(np.array([low]), np.array([high]))[0]) is expected
