"""Products bounded together: the largest value of a quadratic form, and tangent planes, against samples and fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch

from netproof.bounds.boxes import box_lines
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import Form, form_ranges, ranges_and_forms
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.hulls.joint_hull import JointHull, largest_on_cube
from netproof.operators.hulls.pair_hull import paired


def exactly(values: torch.Tensor) -> list[Fraction]:
    return [Fraction(value) for value in values.flatten().tolist()]


def form_at(matrix: torch.Tensor, t: torch.Tensor) -> Fraction:
    size = len(t)
    m, at = exactly(matrix), exactly(t)
    return sum((m[i * size + j] * at[i] * at[j] for i in range(size) for j in range(size)), Fraction(0))


@pytest.mark.parametrize("seed", range(12))
def test_no_point_of_the_cube_is_above(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = 1 + seed % 5
    raw = torch.randn(6, size, size, generator=generator, dtype=torch.float64)
    raw[1] = raw[1] @ raw[1].mT  # never negative
    raw[2] = -raw[2] @ raw[2].mT  # never positive
    raw[3] = torch.outer(raw[3, 0], raw[3, 0]) * 1e-9
    raw[4] *= 10.0 ** torch.randn(size, size, generator=generator, dtype=torch.float64)
    raw[5] = 0.0
    form = (raw + raw.mT) / 2
    bound = largest_on_cube(form)
    assert bool((bound >= 0).all())
    t = torch.rand(40, size, generator=generator, dtype=torch.float64) * 2 - 1
    t[::2] = torch.where(t[::2] < 0, -1.0, 1.0)
    for matrix, most in zip(form, exactly(bound), strict=True):
        assert max(form_at(matrix, one) for one in t) <= most
    # Nothing is lost of what is never positive, and next to nothing of a square, whose largest value is at a corner.
    assert float(bound[2]) <= 1e-12 * float(form[2].abs().sum())
    assert float(bound[5]) <= 1e-100
    assert float(bound[3]) <= float(form[3].abs().sum()) * (1 + 1e-12)


def test_entries_count_where_eigenvalues_are_worse() -> None:
    """``2 t_1 t_2`` next to three numbers that nothing depends on: 2, where the largest eigenvalue says 5."""
    form = torch.zeros(1, 5, 5, dtype=torch.float64)
    form[0, 0, 1] = form[0, 1, 0] = 1.0
    assert 2.0 <= float(largest_on_cube(form)) <= 2.0 + 1e-12


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_what_is_no_number_has_no_bound(number: float) -> None:
    form = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    form[1, 2, 2] = number
    bound = largest_on_cube(form)
    assert 3.0 <= float(bound[0]) <= 3.0 + 1e-12 and float(bound[1]) == torch.inf


def hull_of(seed: int, pairs: int, inputs: int) -> tuple[JointHull, torch.Tensor, torch.Generator]:
    """A hull of two rows with forms of whole numbers over powers of two, points ``[S, 2, 2 n]`` that these forms hold, and what drew them."""
    generator = torch.Generator().manual_seed(seed)

    def whole(*shape: int) -> torch.Tensor:
        return torch.randint(-8, 9, shape, generator=generator).double() / 4

    center, slopes, radius = whole(2, 2 * pairs), whole(2, inputs, 2 * pairs), whole(2, 2 * pairs).abs() / 4
    reach = slopes.abs().sum(1) + radius
    hull = JointHull(center - reach, center + reach, center, slopes, radius)
    t = torch.randint(-4, 5, (60, 2, inputs), generator=generator).double() / 4
    e = torch.randint(-2, 3, (60, 2, 2 * pairs), generator=generator).double() / 2
    t[::3], e[::3] = torch.where(t[::3] < 0, -1.0, 1.0), torch.where(e[::3] < 0, -1.0, 1.0)
    return hull, center + torch.einsum("sbv,bvn->sbn", t, slopes) + e * radius, generator


@pytest.mark.parametrize("seed", range(16))
def test_no_point_of_the_forms_is_above_the_plane(seed: int) -> None:
    pairs, inputs = 2 + seed % 4, 1 + seed % 3
    hull, a, generator = hull_of(seed, pairs, inputs)
    v = torch.randint(-4, 5, (2, 5, 2 * pairs), generator=generator).double() / 2
    v[:, 0] = 1.0
    s, value = hull.relax_rows(v)
    assert s.shape == v.shape and value.shape == v.shape[:2]
    for row, objective in itertools.product(range(2), range(5)):
        weight, given = exactly(v[row, objective]), exactly(s[row, objective])
        most = Fraction(float(value[row, objective]))
        for point in a[:, row]:
            at = exactly(point)
            product = sum((weight[i] + weight[i + 1]) * at[i] * at[i + 1] for i in range(0, 2 * pairs, 2))
            # Up to what the account of rounding covers, which the hull leaves to it.
            assert product - sum(p * q for p, q in zip(given, at, strict=True)) <= most + Fraction(1, 10**12)
    one_by_one, bounds = hull.relax(v[:, 1])
    assert torch.equal(one_by_one, s[:, 1]) and torch.equal(bounds, value[:, 1])
    # One row for many objectives.
    same, most = hull.take(torch.tensor([0])).relax(v[0])
    assert torch.allclose(same, s[0]) and torch.allclose(most, value[0])


def quadratic(matrix: torch.Tensor, bent: bool = False) -> Graph:
    """``x' P x``, as a file writes it: the entries of ``P x`` times those of ``x``, added up; ``bent`` puts ReLUs before one of both."""
    size = len(matrix)
    zero = torch.zeros(size, dtype=torch.float64)
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    times = builder.add("times", Linear(matrix, zero), builder.input)
    x = builder.input
    if bent:
        x = builder.add(
            "bent", ReLU(), builder.add("moved", Linear(torch.eye(size, dtype=torch.float64), zero + 0.25), x)
        )
    both = builder.add("both", Concatenate((size, size)), x, times)
    index = paired(torch.arange(size), size + torch.arange(size))
    products = builder.add("products", Product(), builder.add("pairs", Select(index, 2 * size, (2 * size,)), both))
    halves = torch.full((1, 2 * size), 0.5, dtype=torch.float64)
    builder.add("out", Linear(halves, torch.zeros(1, dtype=torch.float64)), products)
    return builder.build()


def bounds(graph: Graph, lower: torch.Tensor, upper: torch.Tensor, together: bool) -> torch.Tensor:
    """Lower and upper bounds of the output on boxes: ``[B, 2]``."""
    region = box_region(graph, lower, upper)
    region, forms = ranges_and_forms(graph, region) if together else (form_ranges(graph, region), None)
    assert together == (forms is not None)
    c = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).expand(len(lower), 2, 1)
    objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(len(lower), 2, dtype=torch.float64))
    value = box_lines(Relaxation(graph, region, forms), objective, Rounding.of(graph, region)).value
    return value * torch.tensor([-1.0, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_quadratic_forms_of_networks(seed: int, bent: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = 2 + seed % 3
    root = torch.randint(-4, 5, (size, size), generator=generator).double()
    matrix = root @ root.mT if seed % 2 else root
    graph = quadratic(matrix, bent)
    center = torch.randint(-8, 9, (5, size), generator=generator).double() / 8
    radius = torch.randint(1, 9, (5, size), generator=generator).double() / 8
    lower, upper = center - radius, center + radius
    found = bounds(graph, lower, upper, together=True)
    t = torch.randint(-8, 9, (50, 1, size), generator=generator).double() / 8
    m = exactly(matrix)
    for x in center + t * radius:
        for row, point in enumerate(x):
            at = exactly(point)
            first = [max(value + Fraction(1, 4), Fraction(0)) if bent else value for value in at]
            value = sum(first[i] * m[i * size + j] * at[j] for i in range(size) for j in range(size))
            assert Fraction(float(found[row, 0])) <= value <= Fraction(float(found[row, 1]))


def test_what_is_never_negative_is_not_below_its_tangent_plane() -> None:
    matrix = torch.tensor([[4.0, -3.0, 1.0], [-3.0, 4.0, -2.0], [1.0, -2.0, 2.0]], dtype=torch.float64)
    graph = quadratic(matrix)
    center, radius = (
        torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64),
        torch.full((1, 3), 0.25, dtype=torch.float64),
    )
    together = bounds(graph, center - radius, center + radius, together=True)
    apart = bounds(graph, center - radius, center + radius, together=False)
    slope = 2 * matrix @ center[0]
    tangent = float(center[0] @ matrix @ center[0] - (slope.abs() * radius[0]).sum())
    assert tangent - 1e-9 <= float(together[0, 0]) <= tangent
    assert float(apart[0, 0]) < tangent - 0.1 and float(together[0, 1]) <= float(apart[0, 1])
    # At the minimum that leaves 0, less than rounding, where product by product it is below -1.
    zero = torch.zeros_like(center)
    assert -1e-9 <= float(bounds(graph, zero - 1, zero + 1, together=True)[0, 0]) <= 0
    assert float(bounds(graph, zero - 1, zero + 1, together=False)[0, 0]) < -1


def test_rows_of_crown_know_forms_as_well() -> None:
    graph = quadratic(torch.eye(2, dtype=torch.float64) + 1)
    one = torch.ones(2, 2, dtype=torch.float64)
    region, forms = ranges_and_forms(graph, box_region(graph, -one, one))
    objective = Objective({len(graph.nodes) - 1: -one[:, :1]}, torch.zeros(2, dtype=torch.float64))
    value = crown_lines(Relaxation(graph, region, forms), objective, Rounding.of(graph, region)).value
    assert bool((value >= 0).all()) and bool((value <= 1e-9).all())
    taken = Relaxation(graph, region, forms).take(torch.tensor([1]))
    assert isinstance(taken.hulls[0], JointHull)


def test_forms_of_rows_in_which_different_numbers_of_inputs_vary() -> None:
    """Put together they bound each row as they did apart, as where some boxes of a batch are formed anew."""
    generator = torch.Generator().manual_seed(3)
    root = torch.randint(-4, 5, (3, 3), generator=generator).double()
    graph = quadratic(root @ root.mT, bent=True)
    center = torch.randint(-8, 9, (4, 3), generator=generator).double() / 8
    radius = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 0.25], [0.5, 0.25, 0.125], [0.25, 0.5, 0.0]]).double()
    parts = [
        ranges_and_forms(graph, box_region(graph, (center - radius)[i], (center + radius)[i])) for i in ([0, 1], [2, 3])
    ]
    counts = [
        next(form for form in forms if form is not None).slopes.shape[1] for _, forms in parts if forms is not None
    ]
    assert counts == [1, 3]
    region = Region.concatenate([region for region, _ in parts])
    forms = tuple(
        None if one is None or other is None else Form.concatenate([one, other])
        for one, other in zip(*(forms for _, forms in parts if forms is not None), strict=True)
    )
    c = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).expand(4, 2, 1)
    objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(4, 2, dtype=torch.float64))
    found = box_lines(Relaxation(graph, region, forms), objective, Rounding.of(graph, region)).value
    apart = bounds(graph, center - radius, center + radius, together=True) * torch.tensor([-1.0, 1.0]).double()
    assert torch.allclose(found, apart, rtol=1e-12, atol=1e-12)
