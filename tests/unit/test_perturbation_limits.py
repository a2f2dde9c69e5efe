"""Sets of very many inputs are counted as far as that is of use, and looking for an input in one can be ended."""

from __future__ import annotations

from itertools import combinations
from math import prod

import numpy as np
import pytest

from netproof.perturbations.base import MANY, Image, number_in_words
from netproof.perturbations.blocks import Patch
from netproof.perturbations.box import Inputs
from netproof.perturbations.levels import Brightness
from netproof.perturbations.single import Pixels


def image(size: int) -> Image:
    values = np.full(size, 7, np.int64)
    return Image(values, values * 0, values * 0 + 255, (size,))


def test_counts_end_where_they_are_of_no_use_any_more():
    of = image(20000)
    for perturbation in (Pixels(15000), Pixels(15000, 0), Pixels(1), Patch(1, 9000), Inputs(tuple(range(9000)))):
        perturbation.check(of)
        count = perturbation.count(of)
        few = {Pixels(15000, 0): 1, Pixels(1): 1 + 20000 * 255}.get(perturbation)
        assert count == few if few else MANY < count < 1 << 160
        assert len(number_in_words(count)) < 40


@pytest.mark.parametrize("most", range(1, 6))
def test_counts_of_few_values_are_exact(most):
    low, high = np.array([0, 3, 2, 0, 1]), np.array([2, 3, 5, 1, 9])
    of = Image(low.copy(), low, high, (5,))
    choices = (high - low).tolist()
    meant = sum(prod(part) for moved in range(most + 1) for part in combinations(choices, moved))
    assert Pixels(most).count(of) == meant


def test_looking_for_an_input_in_a_set_can_be_ended():
    def end() -> None:
        raise TimeoutError

    of = image(4)
    assert Brightness(3).contains(of, of.values + 2)
    with pytest.raises(TimeoutError):
        Brightness(3).contains(of, of.values + 2, end)
