"""From float weights to the integer graph, against a second writing of the scheme in Python fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import classify, random_layers
from netproof.errors import ExactnessError, FormatError, InputError
from netproof.formats.fixed_point import FixedPoint, fixed_point_graph, quantize
from netproof.graph.graph import Graph
from netproof.operators.affine.linear import Linear


def by_fractions(value: float, bits: int, integer_bits: int) -> int:
    scaled = Fraction(value) * (1 << (bits - integer_bits))
    rounded = math.floor(abs(scaled) + Fraction(1, 2)) * (1 if scaled >= 0 else -1)
    return min(max(rounded, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def linear_at(graph: Graph, node: int) -> Linear:
    operator = graph.nodes[node].operator
    assert isinstance(operator, Linear)
    return operator


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.floats(-4, 4, width=32), st.integers(1, 16), st.data())
def test_quantize_rounds_half_away_from_zero_and_saturates(value: float, bits: int, data: st.DataObject) -> None:
    integer_bits = data.draw(st.integers(0, bits))
    assert int(quantize(np.array([value]), bits, integer_bits)[0]) == by_fractions(value, bits, integer_bits)


def test_quantize_ties_and_ends() -> None:
    def at_6_bits(*values: float) -> list[int]:
        found: list[int] = quantize(np.array(values, np.float32), 6, 1).tolist()
        return found

    assert at_6_bits(0.5 / 32, 1.5 / 32, 2.5 / 32) == [1, 2, 3]
    assert at_6_bits(-0.5 / 32, -1.5 / 32, -2.5 / 32) == [-1, -2, -3]
    assert at_6_bits(0.49 / 32, -0.49 / 32, 0.0, -0.0) == [0, 0, 0, 0]
    assert at_6_bits(31 / 32, 1.0, 9.0, -1.0, -33 / 32, -9.0) == [31, 31, 31, -32, -32, -32]
    assert at_6_bits(31.49 / 32, 31.5 / 32) == [31, 31]
    # The float64 next to a tie: adding one half to it is rounded up to 1.
    below = np.nextafter(0.5, 0)
    assert quantize(np.array([below, -below, 0.5, -0.5]) / 32, 6, 1).tolist() == [0, 0, 1, -1]


def test_quantize_bears_the_largest_floats() -> None:
    """pytest turns the warning of an overflow into an error."""
    for dtype in (np.float16, np.float32, np.float64, np.longdouble):
        big = np.finfo(dtype).max
        assert quantize(np.array([big, -big], dtype), 16, 0).tolist() == [32767, -32768]
    assert quantize(np.array([1e-320, -1e-320]), 6, 1).tolist() == [0, 0]


def test_default_scheme_against_a_second_writing() -> None:
    layers = random_layers((5, 7, 6, 4), seed=1)
    graph = fixed_point_graph(layers, FixedPoint(), "test")
    x = np.random.default_rng(0).integers(0, 256, (500, 5))
    y = graph.evaluate(torch.from_numpy(x).double())
    assert (y.argmax(-1).numpy() == classify(layers, x)).mean() > 0.99  # argmax of torch leaves ties open
    first = (y == y.amax(-1, keepdim=True)).double().cumsum(-1)
    assert (((first == 1) & (y == y.amax(-1, keepdim=True))).int().argmax(-1).numpy() == classify(layers, x)).all()


@pytest.mark.parametrize("widths", [FixedPoint(), FixedPoint(4, 8, 2, 2, 2), FixedPoint(8, 4, 1, 3, 4), FixedPoint(3)])
def test_accumulators_hidden_values_and_outputs(widths: FixedPoint) -> None:
    """Every node against the scheme in real numbers: integers over powers of two."""
    layers = random_layers((3, 4, 3), seed=2)
    graph = fixed_point_graph(layers, widths, "test")
    x = np.random.default_rng(0).integers(0, 1 << widths.input_bits, (50, 3))
    values = graph.values(torch.from_numpy(x).double())
    unit = Fraction(1, 1 << widths.input_bits)
    activation_unit = Fraction(1, 1 << (widths.bits - widths.activation_integer_bits))
    for row in range(len(x)):
        real = [int(e) * unit for e in x[row]]
        for number, (kernel, bias) in enumerate(layers):
            weight_unit = Fraction(1, 1 << (widths.bits - widths.weight_integer_bits))
            bias_unit = Fraction(1, 1 << (widths.bits - widths.bias_integer_bits))
            sums = [
                sum(
                    by_fractions(float(kernel[i, j]), widths.bits, widths.weight_integer_bits) * weight_unit * real[i]
                    for i in range(len(real))
                )
                + by_fractions(float(bias[j]), widths.bits, widths.bias_integer_bits) * bias_unit
                for j in range(kernel.shape[1])
            ]
            rounded = [math.floor(s / activation_unit + Fraction(1, 2)) for s in sums]
            last = number == len(layers) - 1
            low, high = (
                (-(1 << (widths.bits - 1)), (1 << (widths.bits - 1)) - 1) if last else (0, (1 << widths.bits) - 1)
            )
            clipped = [min(max(r, low), high) for r in rounded]
            assert values[2 + 2 * number][row].tolist() == clipped
            real = [c * activation_unit for c in clipped]


def test_the_graph_is_a_chain_of_named_nodes() -> None:
    graph = fixed_point_graph(random_layers((3, 4, 2), seed=0), FixedPoint(), "test")
    assert [node.name for node in graph.nodes] == ["input", "dense1", "hidden1", "dense2", "outputs"]
    assert linear_at(graph, 1).weight.shape == (4, 3)
    assert all(float(t.abs().max()) <= 32 for t in (linear_at(graph, 1).weight, linear_at(graph, 3).weight))


@pytest.mark.parametrize(
    "widths",
    [
        {"bits": 0},
        {"bits": -1},
        {"bits": 17},
        {"bits": 6.0},
        {"bits": "6"},
        {"input_bits": 0},
        {"input_bits": 53},
        {"weight_integer_bits": 7},
        {"bias_integer_bits": -1},
        {"bits": 1},
        {"activation_integer_bits": 64},
    ],
)
def test_bit_widths_that_are_none(widths: dict[str, int]) -> None:
    with pytest.raises(InputError) as raised:
        FixedPoint(**widths)
    assert raised.value.source == "bit widths" and raised.value.hint


@pytest.mark.parametrize(
    "widths",
    [
        FixedPoint(bits=8, input_bits=1, weight_integer_bits=8, activation_integer_bits=0),
        FixedPoint(bits=16, input_bits=1, weight_integer_bits=15, bias_integer_bits=0, activation_integer_bits=15),
    ],
)
def test_requantization_that_would_add_bits(widths: FixedPoint) -> None:
    with pytest.raises(FormatError) as raised:
        fixed_point_graph(random_layers((3, 4, 2), seed=0), widths, "odd.h5")
    assert raised.value.source == "odd.h5"
    assert "layer 1: its accumulator has" in raised.value.problem


def test_bit_widths_that_overflow_are_refused() -> None:
    """16-bit inputs and weights leave room for 2**21 of them in one sum."""
    wide = FixedPoint(bits=16, input_bits=16, weight_integer_bits=1, bias_integer_bits=2, activation_integer_bits=2)
    fits, too_many = ((np.full((n, 1), -1, np.float32), np.zeros(1, np.float32)) for n in ((1 << 21), (1 << 21) + 64))
    fixed_point_graph([fits], wide, "wide.h5")
    with pytest.raises(ExactnessError) as raised:
        fixed_point_graph([too_many], wide, "wide.h5")
    assert raised.value.source == "wide.h5"
    assert "node 'dense1' (linear) can reach" in raised.value.problem and raised.value.hint
