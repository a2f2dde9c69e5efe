"""Local robustness of float networks: what a radius means, exactly, and what is refused; of both kinds, boxes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import netproof
from netproof.demo.digits import load_digits
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.local_robustness import exact_number, robustness
from netproof.network import Network
from netproof.operators.affine.linear import Linear
from netproof.query import Query, Verdict, sample_of


def identity(*shape: int, arithmetic: Arithmetic = Arithmetic.REAL) -> Network:
    """A network whose outputs are its inputs; one of integers takes 0 to 255."""
    size = int(np.prod(shape))
    builder = GraphBuilder(arithmetic, shape)
    builder.add("same", Linear(torch.eye(size).double(), torch.zeros(size).double()), builder.input)
    integer = arithmetic is Arithmetic.INTEGER
    lower = torch.full((size,), 0.0 if integer else -torch.inf, dtype=torch.float64)
    return Network(builder.build(), "identity", "0" * 64, lower, torch.full_like(lower, 255 if integer else torch.inf))


def box_of(query: Query) -> list[tuple[Fraction, Fraction]]:
    assert query.part is not None
    return list(zip(query.part.box.lower, query.part.box.upper, strict=True))


def assert_tight(query: Query) -> None:
    """The query's own box holds the exact one, and no smaller float64 box does."""
    for (low, high), below, above in zip(box_of(query), query.lower.tolist(), query.upper.tolist(), strict=True):
        assert Fraction(below) <= low < Fraction(np.nextafter(below, np.inf))
        assert Fraction(np.nextafter(above, -np.inf)) < high <= Fraction(above)


@pytest.mark.parametrize(
    ("radius", "exact"),
    [
        ("2/255", Fraction(2, 255)),
        ("0.1", Fraction(1, 10)),
        (0.1, Fraction(0.1)),
        ("1E-3", Fraction(1, 1000)),
        (" 2 / 255 ", Fraction(2, 255)),
        (Fraction(1, 3), Fraction(1, 3)),
        (Decimal("0.1"), Fraction(1, 10)),
        (np.float32(0.1), Fraction(float(np.float32(0.1)))),
        (torch.tensor(0.5), Fraction(1, 2)),
        (np.int64(3), Fraction(3)),
        (0, Fraction(0)),
    ],
)
def test_a_radius_is_taken_exactly(radius, exact):
    assert exact_number(radius) == exact
    query = robustness(identity(3), [1.5, 0.25, -7.0], 0, radius)
    assert box_of(query) == [(v - exact, v + exact) for v in (Fraction(3, 2), Fraction(1, 4), Fraction(-7))]
    assert_tight(query)
    sample = sample_of(query)
    assert sample.image.tolist() == [1.5, 0.25, -7.0] and sample.label == 0 and sample.radius is None
    assert query.name == f"radius {radius}"


@pytest.mark.parametrize(
    "radius", [-1, -1e-300, "x", "", "1/0", "nan", float("nan"), float("inf"), "1e99999999", [1, 2], "0.1.2", 1j]
)
def test_what_is_no_radius(radius):
    with pytest.raises(QueryError, match="the radius is") as raised:
        robustness(identity(3), [1.5, 0.25, -7.0], 0, radius, name="sample 7")
    assert raised.value.source == "sample 7"


def test_the_condition_is_that_another_output_is_as_large():
    query = robustness(identity(3), [0.0, 1.0, 0.5], 1, "1/4")
    assert [c.coefficients.tolist() for c in query.condition] == [[[1, -1, 0]], [[0, -1, 1]]]
    assert all(c.threshold.tolist() == [0] and c.strict is None for c in query.condition)
    tie = [Fraction(0), Fraction(3, 4), Fraction(3, 4)]
    assert query.admits(tie, tie)
    above = [Fraction(0), Fraction(3, 4), Fraction(3, 4) - Fraction(1, 10**30)]
    assert not query.admits(above, above)


@pytest.mark.parametrize("seed", range(20))
def test_pixels_become_inputs_by_rational_arithmetic(seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (3, 2, 2), dtype=np.uint8)
    mean, std = ("0.4914", 0.4822, Fraction(4465, 10000)), (Decimal("0.2023"), "0.1994", 0.25)
    query = robustness(identity(1, 3, 2, 2), image, 0, "8/255", scale="1/255", mean=mean, std=std)
    exact = [exact_number(m) for m in mean], [exact_number(s) for s in std]
    expected, inputs = [], []
    for channel in range(3):
        m, s = exact[0][channel], exact[1][channel]
        for p in image[channel].reshape(-1).tolist():
            low, high = max(Fraction(p - 8, 255), Fraction(0)), min(Fraction(p + 8, 255), Fraction(1))
            expected.append(((low - m) / s, (high - m) / s))
            inputs.append(float((Fraction(p, 255) - m) / s))
    assert box_of(query) == expected and sample_of(query).image.tolist() == inputs
    assert_tight(query)
    floats = image / np.float32(255)
    unclipped = robustness(identity(1, 3, 2, 2), floats, 0, "8/255", mean=mean, std=std)
    value = Fraction(float(floats[0, 0, 0]))
    assert box_of(unclipped)[0][0] == (value - Fraction(8, 255) - exact[0][0]) / exact[1][0]
    clipped = robustness(identity(1, 3, 2, 2), floats, 0, 2, mean="0.5", clip=(0, "1.5"))
    assert set(box_of(clipped)) == {(Fraction(-1, 2), Fraction(1))}
    at_the_ends = robustness(identity(2), [1.0, 3.0], 0, 1, clip=(1, 3))
    assert box_of(at_the_ends) == [(1, 2), (2, 3)]


def test_where_the_channels_are():
    numbers = (0, 100)
    first = robustness(identity(1, 2, 3), np.zeros((2, 3)), 0, 1, mean=numbers)
    assert [-low - 1 for low, _ in box_of(first)] == [0, 0, 0, 100, 100, 100]
    last = robustness(identity(1, 3, 2), np.zeros((3, 2)), 0, 1, mean=numbers)
    assert [-low - 1 for low, _ in box_of(last)] == [0, 100, 0, 100, 0, 100]
    flat = robustness(identity(1, 2, 3), np.zeros(6), 0, 1, mean=torch.tensor(numbers), std=np.array([1.0]))
    assert box_of(flat) == box_of(first)
    by_the_image = robustness(identity(6), np.zeros((2, 3)), 0, 1, mean=numbers)
    assert box_of(by_the_image) == box_of(first)
    spread = robustness(identity(1, 2, 3), np.zeros((2, 3)), 0, 1, mean=1, std=(1, 2))
    assert [low for low, _ in box_of(spread)] == [-2, -2, -2, -1, -1, -1]
    with pytest.raises(QueryError, match=r"for 2 channels, the image has shape \(1,\)"):
        robustness(identity(1), [0.5], 0, 1, mean=numbers)


def test_tensors_of_every_kind():
    for image in (
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        torch.tensor([1, 2]),
    ):
        assert box_of(robustness(identity(2), image, 0, 1)) == [(0, 2), (1, 3)]
    # Grey levels end at 0.
    levels = torch.tensor([1, 255], dtype=torch.uint8)
    assert box_of(robustness(identity(2), levels, 0, 2, scale=1)) == [(0, 3), (253, 255)]


def test_a_witness_is_held_to_the_exact_box():
    """The lower end, a little above 1/2, is rounded down to 1/2: a float that the exact box does not hold."""
    inside = Fraction(1, 2) + Fraction(1, 10**30)
    query = robustness(identity(2), [0.5, 1.0], 1, Fraction(1, 2) - Fraction(1, 10**30))
    assert query.lower[1] == 0.5 and box_of(query)[1][0] == inside
    assert not query.admits([Fraction(1), Fraction(1, 2)], [Fraction(1), Fraction(1, 2)])
    half = [Fraction(999, 1000), inside]
    assert query.admits(half, half)


@pytest.fixture(scope="module")
def trained() -> Network:
    torch.manual_seed(5)
    return netproof.from_torch(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3)), (1, 3))


def test_verdicts_turn_between_a_proof_and_a_witness(trained):
    """On one network: proved radii stay unsat at sample points, and what is sat is a witness of the exact box."""
    point = [0.25, 0.5, 0.75]
    label = int(trained.classify(torch.tensor(point, dtype=torch.float64)))
    verdicts = []
    random = np.random.default_rng(1)
    for radius in ("1/1000", "1/10", "1", "10"):
        query = robustness(trained, point, label, radius)
        result = netproof.verify(query)
        verdicts.append(result.verdict)
        if result.verdict is Verdict.SAT:
            assert result.witness is not None
            x = result.witness.numbers
            assert all(abs(v - Fraction(p)) <= Fraction(radius) for v, p in zip(x, point, strict=True))
            assert int(result.witness.output.argmax()) != label
        else:
            moved = torch.tensor(point) + float(Fraction(radius)) * torch.from_numpy(random.uniform(-1, 1, (200, 3)))
            assert (trained.classify(moved.double()) == label).all()
    assert verdicts[0] is Verdict.UNSAT and verdicts[-1] is Verdict.SAT
    assert netproof.verify(robustness(trained, point, (label + 1) % 3, "1/1000")).verdict is Verdict.MISCLASSIFIED


def test_radius_0_is_the_point_alone(trained):
    """A point that no float32 input is: decided at its exact self."""
    label = int(trained.classify(torch.full((3,), 1 / 3, dtype=torch.float64)))
    asked = robustness(trained, np.full(3, 85, np.uint8), label, 0, scale="1/255")
    assert box_of(asked) == [(Fraction(1, 3), Fraction(1, 3))] * 3
    assert netproof.verify(asked).verdict is Verdict.UNSAT


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        ({"image": [1.0, 2.0]}, "the image has 2 values, the network takes 3", "data set"),
        ({"image": [1.0, np.nan, 0.0]}, "NaN or infinite", "finite"),
        ({"image": np.array([1, 2, 3], np.uint8)}, "the image is uint8", 'scale="1/255"'),
        ({"image": torch.tensor([1, 2, 3], dtype=torch.uint8)}, "the image is uint8", "scale=1"),
        ({"label": 3}, "label 3 is not an output", "labels"),
        ({"label": 0.5}, "label 0.5 is not an output", "the number of the class"),
        ({"radius": None}, "neither a radius nor a box", "one of the two"),
        ({"box": ([0.0] * 3, [1.0] * 3)}, "a radius and a box", "one of the two"),
        ({"radius": None, "box": ([0.0] * 3, [1.0] * 3), "mean": 0}, "the network's own inputs", "leave mean out"),
        ({"radius": None, "box": ([0.0] * 2, [1.0] * 2)}, "the box has shape (2,)", "one lower and one upper"),
        ({"scale": 0}, "scale or std is not above 0", "positive"),
        ({"std": (1, -1, 1)}, "scale or std is not above 0", "positive"),
        ({"std": 0}, "scale or std is not above 0", "positive"),
        ({"mean": "a"}, "mean is 'a'", "1/255"),
        ({"std": "1e-400"}, "std is '1e-400'", "between 2^-400 and 2^400"),
        ({"scale": "1e999"}, "scale is '1e999'", "between 2^-400 and 2^400"),
        ({"image": [1e308, 0.0, 0.0], "std": "1e-100"}, "values beyond float64", "scale"),
        ({"mean": ()}, "mean has no number", "channel"),
        ({"mean": (1, 2), "std": (1, 2, 3)}, "mean has 2 numbers, std 3", "as many"),
        ({"mean": (1, 2)}, "mean and std are for 2 channels, the image has shape (3,)", "one number"),
        ({"clip": (0, 1)}, "the image has values outside clip, 1 to 3", "scale * value"),
        ({"clip": (2, 9)}, "the image has values outside clip, 1 to 3", "scale * value"),
        ({"clip": (0, "b")}, "clip is 'b'", "1/255"),
        ({"clip": (9, 1)}, "clip is from 9 to 1, which nothing is between", "least value first"),
    ],
)
def test_what_is_refused(given, problem, hint):
    asked = {"image": [1.0, 2.0, 3.0], "label": 2, "radius": 0.5, **given}
    with pytest.raises(QueryError) as raised:
        robustness(identity(3), **asked)
    assert problem in raised.value.problem and hint in raised.value.hint


def integers(**given):
    return robustness(identity(3, arithmetic=Arithmetic.INTEGER), [1, 2, 3], 2, **given)


@pytest.mark.parametrize("radius", [0.5, "2/255", Fraction(1, 2), Decimal("1.5"), "x"])
def test_a_network_of_integers_has_whole_radii(radius):
    with pytest.raises(QueryError) as raised:
        integers(radius=radius)
    assert raised.value.problem in (f"the radius is {radius!r}", f"the radius is {radius}")
    more = ": 2 for 2/255 of the range of inputs" if radius == "2/255" else ""
    assert raised.value.hint == "give a whole number of grey levels, 0 or more" + more


@pytest.mark.parametrize("radius", [4, 4.0, "4", np.uint8(4), Fraction(4), torch.tensor(4)])
def test_whole_radii_of_any_type(radius):
    query = integers(radius=radius)
    assert query.upper.tolist() == [5, 6, 7] and sample_of(query).radius == 4 and query.part is None


def test_a_radius_beyond_the_range_asks_about_all_of_it():
    network = identity(3, arithmetic=Arithmetic.INTEGER)
    query = robustness(network, [1, 2, 3], 2, 10**400)
    assert query.lower.tolist() == [0] * 3 and query.upper.tolist() == [255] * 3
    around_zero = replace(network, lower=network.lower - 9, upper=network.lower + 9)
    query = robustness(around_zero, [-9, 0, 9], 2, 17)
    assert query.lower.tolist() == [-9, -9, -8] and query.upper.tolist() == [8, 9, 9]


@pytest.mark.parametrize("given", [{"scale": 1}, {"mean": 0}, {"std": 1}, {"clip": (0, 255)}])
def test_a_network_of_integers_takes_grey_levels_as_they_are(given):
    with pytest.raises(QueryError, match=f"takes grey levels as they are; leave {next(iter(given))} out"):
        integers(radius=1, **given)


def test_a_box_of_ones_own():
    query = integers(box=([0, 2, 3], [1, 2, 9]))
    assert query.lower.tolist() == [0, 2, 3] and query.upper.tolist() == [1, 2, 9]
    assert [int(c.threshold[0]) for c in query.condition] == [0, 0] and sample_of(query).radius is None
    assert not query.misclassified and netproof.verify(query).verdict is Verdict.UNSAT
    with pytest.raises(QueryError, match="not integers"):
        integers(box=([0, 2, 2.5], [1, 2, 9]))
    with pytest.raises(QueryError, match="the image has values that are not integers from 0 to 255"):
        robustness(query.network, [0.5, 2, 3], 2, box=([0, 2, 3], [1, 2, 9]))
    assert query.name == "box"
    real = robustness(identity(3), [0.0, 0.0, 1.0], 2, box=(np.zeros(3, np.float32), torch.ones(3)), name="mine")
    assert real.lower.tolist() == [0, 0, 0] and real.upper.tolist() == [1, 1, 1] and real.part is None
    assert real.name == "mine" and sample_of(real).image.tolist() == [0, 0, 1]


def test_what_the_caller_does_to_an_image_later_changes_nothing():
    image, low = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    queries = [robustness(identity(3), image, 0, 1), robustness(identity(3), image, 0, box=(low, low + 9))]
    tensor, ends = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    queries += [robustness(identity(3), tensor, 0, 1), robustness(identity(3), tensor, 0, box=(ends, ends + 9))]
    for values in (image, low, tensor, ends):
        values[:] = 5
    assert all(sample_of(query).image.tolist() == [1, 2, 3] for query in queries)
    assert queries[1].lower.tolist() == queries[3].lower.tolist() == [0, 0, 0]


def test_the_largest_radius_is_one_of_grey_levels():
    digits = load_digits()
    asked = digits.network, digits.images[7], int(digits.labels[7])
    for limit in (2, np.int64(2), 2.0):
        found = netproof.largest_radius(*asked, limit=limit)
        assert (found.radius, found.exact) == (2, False) and found.reason == "only radii up to 2 were looked at"
    for limit in (-1, 1.5, "x", float("nan")):
        with pytest.raises(QueryError, match=r"the limit is .*; give a whole number of grey levels, 0 or more"):
            netproof.largest_radius(*asked, limit=limit)
