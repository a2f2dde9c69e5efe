"""The parts that a second reader makes: ranges, order, and whole numbers of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netproof.certificate.second_reading.reading import Floats, Reading, Wholes, stepped


def test_a_reading_of_nothing_gives_back_its_input() -> None:
    reading = Reading()
    assert reading.add_input(3, -2, 5) == 0 and reading.output == 0 and reading.needed() == [0]
    assert reading.parts[0].low.tolist() == [-2] * 3 and reading.parts[0].high.tolist() == [5] * 3


def test_only_what_the_output_depends_on_is_needed() -> None:
    def sum_(operands: Sequence[Floats], absolute: bool) -> Floats:
        result: Floats = np.sum(operands, axis=0)
        return result

    reading = Reading()
    reading.add_input(1, 0, 9)
    a, b = reading.add_map(sum_, 0), reading.add_steps(np.abs, 0)
    c = reading.add_map(sum_, a, 0)
    for output, needed in ((0, [0]), (a, [0, a]), (b, [0, b]), (c, [0, a, c])):
        reading.output = output
        assert reading.needed() == needed


def test_ranges_of_affine_maps_are_exact() -> None:
    """The offset once, every coefficient with the end that its sign asks for."""
    weight, offset = np.array([[2.0, -3.0], [-1.0, 0.0]]), np.array([7.0, -50.0])

    def map_(operands: Sequence[Floats], absolute: bool) -> Floats:
        result: Floats = operands[0] @ np.abs(weight).T if absolute else operands[0] @ weight.T + offset
        return result

    reading = Reading()
    reading.add_input(2, -4, 5)
    part = reading.parts[reading.add_map(map_, 0)]
    assert (part.low.tolist(), part.high.tolist()) == ([7 - 8 - 15, -50 - 5], [7 + 10 + 12, -50 + 4])


def test_steps_compute_in_numbers_of_any_size() -> None:
    def steps(a: Wholes) -> Wholes:
        result: Wholes = (a * 2**60 + 1) // 2**60
        return result

    values = np.array([[2.0**50, -(2.0**50)], [0.0, 2.0**50]])
    assert stepped(steps, values).tolist() == values.tolist()
    reading = Reading()
    reading.add_input(2, -(2**50), 2**50)
    part = reading.parts[reading.add_steps(steps, 0)]
    assert part.low.tolist() == [-(2**50)] * 2 and part.high.tolist() == [2**50] * 2 and part.low.dtype == np.float64
