"""Properties of networks: queries that ask no less, and witnesses that are held to the exact numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Kept, Network
from netproof.operators.affine.linear import Linear
from netproof.property import Box, LinearConstraint, Property, PropertyPart, float_above, float_below

few = settings(deadline=None, derandomize=True, database=None, max_examples=200)
fractions = st.fractions(max_denominator=10**12) | st.floats(allow_nan=False, allow_infinity=False).map(Fraction)


def network(inputs: int = 2, outputs: int = 2) -> Network:
    builder = GraphBuilder(Arithmetic.REAL, (1, inputs))
    weight = torch.zeros(outputs, inputs, dtype=torch.float64)
    builder.add("y", Linear(weight, weight[:, 0]), builder.input)
    everything = torch.full((inputs,), torch.inf, dtype=torch.float64)
    return Network(builder.build(), "net.onnx", "0" * 64, -everything, everything)


def constraint(
    *outputs: tuple[int, str], at_least: str = "0", inputs: tuple[tuple[int, str], ...] = ()
) -> LinearConstraint:
    return LinearConstraint(
        tuple((i, Fraction(c)) for i, c in inputs), tuple((j, Fraction(d)) for j, d in outputs), Fraction(at_least)
    )


def property_of(*condition: tuple[LinearConstraint, ...]) -> Property:
    box = Box((Fraction("-0.1"), Fraction("0.2")), (Fraction("0.1"), Fraction("0.3")))
    return Property("p.vnnlib", 2, 2, (PropertyPart(box, condition),))


@few
@given(fractions)
def test_float64_ends_are_the_nearest_outside(value):
    below, above = float_below(value), float_above(value)
    assert Fraction(below) <= value <= Fraction(above)
    assert below == above or math.nextafter(below, math.inf) == above


def test_numbers_beyond_float64_end_at_infinity():
    assert float_above(Fraction(10) ** 400) == math.inf
    assert float_below(Fraction(10) ** 400) == np.finfo(np.float64).max
    assert float_below(-(Fraction(10) ** 400)) == -math.inf
    assert float_below(Fraction(1, 10**400)) == 0.0 < float_above(Fraction(1, 10**400))


@few
@given(fractions, fractions)
def test_float32_ends_are_the_nearest_inside(one, other):
    low, high = min(one, other), max(one, other)
    (lower,), (upper,) = Box((low,), (high,)).inner_float32
    assert lower.dtype == np.float32
    with np.errstate(over="ignore"):
        before, after = np.nextafter(lower, np.float32(-np.inf)), np.nextafter(upper, np.float32(np.inf))
    if np.isfinite(lower):
        assert Fraction(float(lower)) >= low
    if np.isfinite(before):
        assert Fraction(float(before)) < low
    if np.isfinite(upper):
        assert Fraction(float(upper)) <= high
    if np.isfinite(after):
        assert Fraction(float(after)) > high


def test_query_has_the_outer_box_and_weaker_thresholds():
    asked = property_of((constraint((0, "1"), (1, "-1"), at_least="0.1"),), (constraint((1, "-1"), at_least="-7"),))
    (query,) = asked.queries(network())
    assert Fraction(float(query.lower[0])) <= Fraction("-0.1") and Fraction(float(query.upper[1])) >= Fraction("0.3")
    first, second = query.condition
    assert first.coefficients.tolist() == [[1.0, -1.0]] and second.coefficients.tolist() == [[0.0, -1.0]]
    assert (
        Fraction(float(first.threshold[0]))
        <= Fraction("0.1")
        < Fraction(float(first.threshold[0])) + Fraction(1, 10**16)
    )
    assert second.threshold.tolist() == [-7.0]
    assert query.part is asked.parts[0] and query.name == "p.vnnlib"
    assert first.input_coefficients is None


def test_coefficients_become_exact_by_scaling():
    (query,) = property_of((constraint((0, "0.1"), (1, "-0.25"), at_least="0.3"),)).queries(network())
    (conjunction,) = query.condition
    assert conjunction.coefficients.tolist() == [[2.0, -5.0]] and conjunction.threshold.tolist() == [6.0]
    with pytest.raises(QueryError, match="more digits than float64 holds"):
        property_of((constraint((0, "0.12345678901234567"), (1, "1.1")),)).queries(network())
    with pytest.raises(QueryError, match="more digits than float64 holds"):
        property_of((constraint((0, "1e300"), (1, "1e-300")),)).queries(network())
    # A power of two needs no scaling, however large.
    (query,) = property_of((constraint((0, str(2**80))),)).queries(network())
    assert query.condition[0].coefficients[0, 0] == 2.0**80


def test_constraints_on_inputs_come_along():
    (query,) = property_of((constraint((0, "1"), inputs=((1, "-2"),)), constraint((1, "1")))).queries(network())
    (conjunction,) = query.condition
    assert conjunction.input_coefficients is not None
    assert conjunction.input_coefficients.tolist() == [[0.0, -2.0], [0.0, 0.0]]
    y, x = torch.tensor([1.0, 1.0]).double(), torch.tensor([0.0, 0.5]).double()
    assert bool(conjunction.holds(y, x)) and not bool(conjunction.holds(y, 2 * x))
    with pytest.raises(ValueError, match="not given"):
        conjunction.holds(y)


def test_a_condition_that_always_holds():
    (query,) = property_of(()).queries(network())
    assert bool(query.condition[0].holds(torch.zeros(2, dtype=torch.float64)))


def test_witnesses_are_held_to_the_exact_numbers():
    asked = property_of((constraint((0, "1"), at_least="0.1"),))
    tenth = Fraction(float(np.float32(0.1)))  # a little more than 0.1
    assert tenth > Fraction(1, 10)
    assert asked.holds([0.0, 0.25], [float(tenth), 0.0])
    assert not asked.holds([float(tenth), 0.25], [1.0, 0.0])
    assert not asked.holds([0.0, 0.25], [0.0999999, 0.0])
    assert not asked.holds([0.0, 0.25], [math.nan, 0.0]) and not asked.holds([0.0, 0.25], [math.inf, 0.0])
    assert not asked.holds([math.nan, 0.25], [1.0, 0.0])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"), [(3, 2, "2 inputs, the network in net.onnx has 3"), (2, 1, "2 outputs")]
)
def test_other_sizes_than_the_network(inputs, outputs, message):
    with pytest.raises(QueryError, match=message):
        property_of(()).queries(network(inputs, outputs))


def test_without_its_softmax_a_network_answers_comparisons_only():
    order = replace(network(), kept=Kept.ORDER)
    assert property_of((constraint((0, "1"), (1, "-1")), constraint((0, "-3"), (1, "3")))).queries(order)
    for wrong in (
        constraint((0, "1"), at_least="0.5"),
        constraint((0, "1"), (1, "-1"), at_least="0.1"),
        constraint((0, "2"), (1, "-1")),
        constraint((0, "1"), inputs=((0, "-1"),)),
    ):
        with pytest.raises(QueryError, match="softmax"):
            property_of((wrong,)).queries(order)


def test_boxes_have_finite_ends():
    box = Box((Fraction(0), -(Fraction(10) ** 400)), (Fraction(1), Fraction(0)))
    with pytest.raises(QueryError, match="infinite"):
        Property("p.vnnlib", 2, 2, (PropertyPart(box, ((),)),)).queries(network())


def test_several_boxes_are_several_queries():
    one = property_of((constraint((0, "1")),))
    two = Property("p.vnnlib", 2, 2, one.parts * 2)
    assert [query.name for query in two.queries(network())] == ["p.vnnlib, box 1 of 2", "p.vnnlib, box 2 of 2"]


def test_integer_queries_refuse_constraints_on_inputs():
    from netproof.query import Conjunction, Query

    integral = GraphBuilder(Arithmetic.INTEGER, (2,))
    integral.add("y", Linear(torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)), integral.input)
    zero = torch.zeros(2, dtype=torch.float64)
    net = Network(integral.build(), "net.h5", "0" * 64, zero, zero + 3)
    mixed = Conjunction(torch.ones(1, 2).double(), torch.zeros(1).double(), torch.ones(1, 2).double())
    with pytest.raises(QueryError, match="speaks of the input"):
        Query(net, zero, zero + 1, (mixed,))
    with pytest.raises(QueryError, match="one column per network input"):
        Query(network(), zero, zero + 1, (replace(mixed, input_coefficients=torch.ones(1, 3).double()),))


def test_an_end_that_is_there_many_times_is_converted_once(monkeypatch):
    from netproof import property as property_module

    zero, third = Fraction(0), Fraction(1, 3)
    converted = []

    def below(value: Fraction) -> float:
        converted.append(value)
        return float_below(value)

    monkeypatch.setattr(property_module, "float_below", below)
    monkeypatch.setattr(property_module, "float_above", lambda value: -float_below(-value))
    lower, upper = Box((zero, third, zero, zero), (third, third, zero, third)).outer
    assert converted == [zero, third]
    assert lower.tolist() == [0.0, float_below(third), 0.0, 0.0]
    assert upper.tolist() == [float_above(third), float_above(third), 0.0, float_above(third)]


def test_ends_of_single_inputs():
    one, two = Fraction(1), Fraction(-2)
    assert LinearConstraint(((3, one),), (), Fraction(5)).end == (3, True, 5)
    assert LinearConstraint(((3, two),), (), Fraction(5)).end == (3, False, Fraction(-5, 2))
    assert LinearConstraint(((3, one),), ((0, one),), Fraction(5)).end is None
    assert LinearConstraint(((3, one), (4, one)), (), Fraction(5)).end is None
    assert LinearConstraint((), ((0, one),), Fraction(5)).end is None
