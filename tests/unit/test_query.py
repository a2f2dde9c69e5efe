"""Queries: what they mean, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.errors import InputError, QueryError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.operators.affine.linear import Linear
from netproof.property import Box, PropertyPart
from netproof.query import Conjunction, Query, Question, Sample, Verdict, sample_of
from netproof.search.verify import verify
from netproof.settings import Settings


def identity(size: int = 3, low: float = 0, high: float = 255) -> Network:
    """A network whose outputs are its inputs."""
    builder = GraphBuilder(Arithmetic.INTEGER, (size,))
    builder.add("same", Linear(torch.eye(size).double(), torch.zeros(size).double()), builder.input)
    lower = torch.full((size,), low, dtype=torch.float64)
    return Network(builder.build(), "identity", "0" * 64, lower, torch.full_like(lower, high))


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def row(*values: float) -> torch.Tensor:
    return tensor(*values)[None]


#: a condition that no output meets
NOWHERE = (Conjunction(row(0, 0, 0), tensor(1)),)


def query(**changed: Any) -> Query:
    given = {
        "network": identity(),
        "lower": tensor(0, 0, 0),
        "upper": tensor(9, 9, 9),
        "condition": (Conjunction(row(1, 0, -1), tensor(1)),),
        "name": "mine",
    }
    return Query(**{**given, **changed})


@settings(deadline=None, derandomize=True, database=None, max_examples=100)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6))
def test_the_class_is_the_first_largest_output(values: list[int]) -> None:
    network = identity(len(values), -9, 9)
    assert int(network.classify(tensor(*values))) == values.index(max(values))
    batch = torch.stack([tensor(*values), tensor(*reversed(values))])
    assert network.classify(batch).tolist() == [values.index(max(values)), values[::-1].index(max(values))]


@settings(deadline=None, derandomize=True, database=None, max_examples=100)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=5), st.data())
def test_robustness_asks_for_every_other_class(values: list[int], data: st.DataObject) -> None:
    """The condition holds for exactly the inputs of another class, ties going to the lower index."""
    network = identity(len(values), 0, 9)
    label = values.index(max(values))
    asked = robustness(network, tensor(*values), label, 4)
    assert not asked.misclassified and asked.prediction == label
    size = len(values)
    moved = data.draw(st.lists(st.lists(st.integers(0, 9), min_size=size, max_size=size), min_size=1, max_size=20))
    for x in moved:
        near = all(abs(a - b) <= 4 for a, b in zip(x, values, strict=True))
        assert bool(asked.refuted_by(tensor(*x))) == (near and x.index(max(x)) != label)


def test_equal_outputs_count_as_the_lower_index() -> None:
    network = identity()
    assert int(network.classify(tensor(7, 7, 7))) == 0
    assert int(network.classify(tensor(6, 7, 7))) == 1
    low = robustness(network, tensor(5, 7, 0), 1, 1)
    assert [int(c.threshold[0]) for c in low.condition] == [0, 1]
    assert bool(low.refuted_by(tensor(6, 6, 0)))
    high = robustness(network, tensor(0, 7, 5), 1, 1)
    assert not bool(high.refuted_by(tensor(0, 6, 6)))


def test_the_box_is_cut_to_the_networks_range() -> None:
    asked = robustness(identity(), tensor(0, 250, 128), 1, 10)
    assert asked.lower.tolist() == [0, 240, 118]
    assert asked.upper.tolist() == [10, 255, 138]
    sample = sample_of(asked)
    assert sample.radius == 10 and sample.label == 1 and sample.image.tolist() == [0, 250, 128]


def test_radius_zero_is_the_image_alone() -> None:
    asked = robustness(identity(), tensor(1, 2, 3), 2, 0)
    assert torch.equal(asked.lower, asked.upper)
    assert not bool(asked.refuted_by(tensor(1, 2, 3)))


def test_a_wrong_label_is_misclassified() -> None:
    asked = robustness(identity(), tensor(1, 2, 3), 0, 1)
    assert asked.misclassified and asked.prediction == 2
    assert not query().misclassified


def test_images_of_any_shape_and_dtype() -> None:
    for image in (
        torch.tensor([[[1], [2]]], dtype=torch.uint8),
        torch.tensor([1, 2]),
        [1, 2],
        torch.tensor([1.0, 2.0]),
    ):
        asked = robustness(identity(2), image, 1, 1)  # type: ignore[arg-type]
        assert asked.lower.tolist() == [0, 1] and asked.lower.dtype == torch.float64


@pytest.mark.parametrize(
    ("image", "label", "radius", "problem"),
    [
        ((1, 2), 0, 1, "the image has 2 values, the network takes 3"),
        ((1, 2, 3, 4), 0, 1, "the image has 4 values"),
        ((1, 2, 256), 0, 1, "not integers from 0 to 255"),
        ((-1, 2, 3), 0, 1, "not integers from 0 to 255"),
        ((1, 2, 0.5), 0, 1, "not integers from 0 to 255"),
        ((1, 2, float("nan")), 0, 1, "not integers from 0 to 255"),
        ((1, 2, float("inf")), 0, 1, "not integers from 0 to 255"),
        ((1, 2, 3), 3, 1, "label 3 is not an output of the network (3 outputs)"),
        ((1, 2, 3), -1, 1, "label -1"),
        ((1, 2, 3), 2, -1, "the radius is -1"),
        ((1, 2, 3), 2, 1.5, "the radius is 1.5"),
        ((1, 2, 3), 2, float("inf"), "the radius is inf"),
        ((1, 2, 3), 2, float("nan"), "the radius is nan"),
    ],
)
def test_what_robustness_refuses(image: tuple[float, ...], label: int, radius: int, problem: str) -> None:
    with pytest.raises(QueryError) as raised:
        robustness(identity(), tensor(*image), label, radius, name="sample 7")
    assert problem in str(raised.value)
    assert raised.value.source == "sample 7" and raised.value.hint


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"lower": tensor(0, 0)}, "the box has shape (2,), the network takes (3,)"),
        ({"upper": tensor(9, 9, 9, 9)}, "the network takes (3,)"),
        ({"lower": tensor(0, 0, 0)[None]}, "the network takes (3,)"),
        ({"lower": tensor(0, 9, 0), "upper": tensor(9, 8, 9)}, "the input box is empty"),
        ({"lower": tensor(0, float("nan"), 0)}, "NaN"),
        ({"condition": (Conjunction(row(1, 0), tensor(1)),)}, "a constraint speaks of 2 outputs, the network has 3"),
    ],
)
def test_what_a_query_refuses(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(QueryError) as raised:
        query(**changed)
    assert problem in str(raised.value)
    assert raised.value.source == "mine" and raised.value.hint


@pytest.mark.parametrize(
    "changed",
    [
        {"condition": (Conjunction(row(1, 0, -1), tensor(1, 2)),)},
        {"condition": (Conjunction(tensor(1, 0, -1), tensor(1)),)},
        {"condition": (Conjunction(torch.zeros(0, 3).double(), tensor()),)},
        {"condition": (Conjunction(row(1, 0, float("nan")), tensor(1)),)},
        {"condition": (Conjunction(row(1, 0, -1), tensor(float("nan"))),)},
        {"condition": (Conjunction(row(1, 0, -1), tensor(float("inf"))),)},
        # Exact arithmetic needs integers: a third times three is not one in floating point.
        {"condition": (Conjunction(row(1 / 3, 0, -1), tensor(1)),)},
        {"condition": (Conjunction(row(1, 0, -1), tensor(0.1)),)},
        {"lower": tensor(0.5, 0, 0)},
        {"upper": tensor(9, float("inf"), 9)},
        # Beyond the network's own inputs nobody has established that float64 is exact.
        {"upper": tensor(9, 256, 9)},
        {"lower": tensor(-1, 0, 0)},
    ],
    ids=["heights differ", "no matrix", "no constraint", "NaN coefficient", "NaN threshold", "infinite threshold",
         "fraction in coefficient", "fraction in threshold", "fraction in box", "infinite box", "above", "below"],
)  # fmt: skip
def test_what_cannot_be_decided_exactly_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        query(**changed)


def test_a_conjunction_holds_where_every_constraint_does() -> None:
    both = Conjunction(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([2.0, 3.0]))
    y = torch.tensor([[2.0, 3.0], [1.0, 9.0], [9.0, 2.0], [5.0, 5.0]])
    assert both.holds(y).tolist() == [True, False, False, True]


def test_witnesses_lie_in_the_box_are_integers_and_meet_a_disjunct() -> None:
    asked = query(condition=(Conjunction(row(1, 0, 0), tensor(5)), Conjunction(row(0, 1, 0), tensor(9))))
    x = torch.tensor([[5, 0, 0], [0, 9, 0], [4, 8, 0], [10, 0, 0], [5.5, 0, 0]], dtype=torch.float64)
    assert asked.refuted_by(x).tolist() == [True, True, False, False, False]


def test_a_condition_that_nothing_meets_is_not_made_by_accident() -> None:
    with pytest.raises(QueryError, match="has no conjunction, so that nothing is asked"):
        query(condition=())
    with pytest.raises(QueryError, match="has no part, so that nothing is asked"):
        Question((), "nothing")
    falsehood = PropertyPart(Box((Fraction(0),) * 3, (Fraction(1),) * 3), ())
    assert not bool(query(condition=(), about=falsehood).refuted_by(tensor(5, 5, 5)))
    with pytest.raises(QueryError, match="has no conjunction"):
        query(condition=(), about=replace(falsehood, condition=((),)))
    with pytest.raises(QueryError, match="has no conjunction"):
        query(condition=(), about=Sample(tensor(5, 6, 7), 2))


def test_parts_of_a_question_are_on_one_network() -> None:
    one, other = query(), query(network=identity())
    with pytest.raises(QueryError, match="is about another network than the first part"):
        verify(Question((query(network=one.network, condition=NOWHERE), other), "two"))


def test_strict_constraints_over_the_integers_are_the_next_whole_number() -> None:
    strict = Conjunction(row(1, 0, 0), tensor(5), strict=torch.tensor([True]))
    asked = query(condition=(strict, Conjunction(row(0, 1, 0), tensor(5))))
    assert [c.threshold.tolist() for c in asked.condition] == [[6.0], [5.0]]
    assert all(c.strict is None for c in asked.condition)
    x = torch.tensor([[5, 0, 0], [6, 0, 0], [0, 5, 0]], dtype=torch.float64)
    assert asked.refuted_by(x).tolist() == [False, True, True]


def test_strict_constraints_over_the_reals_exclude_equality() -> None:
    both = Conjunction(row(1, 0, 0).repeat(2, 1), tensor(5, 4), strict=torch.tensor([False, True]))
    assert both.holds(torch.tensor([[5.0, 0, 0], [4.0, 0, 0]], dtype=torch.float64)).tolist() == [True, False]
    only = Conjunction(row(1, 0, 0), tensor(5), strict=torch.tensor([True]))
    assert only.holds(torch.tensor([[5.0, 0, 0], [5.5, 0, 0]], dtype=torch.float64)).tolist() == [False, True]


@pytest.mark.parametrize("marks", [torch.tensor([True, False]), torch.tensor([1.0])])
def test_marks_of_strict_constraints_fit_them(marks: torch.Tensor) -> None:
    with pytest.raises(QueryError, match="strict marks"):
        query(condition=(Conjunction(row(1, 0, 0), tensor(5), strict=marks),))


def test_an_answer_is_told_exactly() -> None:
    asked = query(condition=(Conjunction(row(1, 0, 0), tensor(5)),))
    inside = [Fraction(5), Fraction(6), Fraction(7)]
    assert asked.admits(inside, inside)
    assert not asked.admits(inside, [Fraction(49, 10), Fraction(6), Fraction(7)])
    assert not asked.admits([Fraction(10**6), Fraction(6), Fraction(7)], inside)


def test_a_query_is_about_a_sample_or_none() -> None:
    assert query().sample is None and not query().misclassified
    with pytest.raises(QueryError, match="is not about a sample"):
        sample_of(query())
    with pytest.raises(QueryError, match="the image has 2 values, the network takes 3"):
        query(about=Sample(tensor(1, 2), 0))


def test_verdicts_in_the_words_of_robustness() -> None:
    assert [v.for_robustness for v in Verdict] == [
        "vulnerable",
        "robust",
        "misclassified",
        "unknown",
        "timeout",
        "error",
    ]
    assert [v for v in Verdict if v.decided] == [Verdict.SAT, Verdict.UNSAT, Verdict.MISCLASSIFIED]


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"memory": 1000}])
def test_settings_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        Settings(**limits)
    assert raised.value.source == "settings" and raised.value.hint


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), "one", 0.5, -1])
def test_labels_and_radii_that_are_none_are_refused_by_name(odd: Any) -> None:
    with pytest.raises(QueryError, match="label"):
        robustness(identity(), [1, 2, 3], odd, 1)
    with pytest.raises(QueryError, match="radius"):
        robustness(identity(), [1, 2, 3], 2, odd)


def test_one_output_is_always_the_class() -> None:
    network = identity(1)
    asked = robustness(network, tensor(7), 0, 3)
    assert asked.condition == () and not asked.misclassified and not bool(asked.refuted_by(tensor(9)))
