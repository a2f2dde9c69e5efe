"""What is kept of rounding: every term of it is needed somewhere, and none of it outlives the ranges it is made of.

Everything is compared with rational arithmetic. The directed networks below have values that cancel, so that what one
term is there for is larger than all others together.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.boxes import box_lines, refine_with_account
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import form_ranges
from netproof.bounds.ranges.refine import refine_layer, refine_ranges
from netproof.bounds.ranges.refine_alpha import refine_by_alpha
from netproof.bounds.region import Region, box_region, node_intervals, point_region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.measure.scale import Margins, measure_root
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from soundness.real_networks import double, evaluate, network_of, random_graph, rational

U = Fraction(1, 2**53)


def gamma(k: int) -> Fraction:
    return k * U / (1 - k * U)


def chain(*operators, inputs=1) -> Graph:
    builder = GraphBuilder(Arithmetic.REAL, (inputs,))
    at = builder.input
    for number, operator in enumerate(operators):
        at = builder.add(f"{number}", operator, at)
    return builder.build()


def line(weight, bias, **more) -> Linear:
    return Linear(double(weight), double(bias), **more)


def query(graph: Graph, lower, upper, rows, thresholds) -> Query:
    return Query(network_of(graph), lower, upper, (Conjunction(double(rows), double(thresholds)),))


def bounds(graph: Graph, region: Region, c, constant=0.0, account=None) -> tuple[Fraction, Fraction]:
    """An upper bound of ``c . y + constant`` by CROWN and by a dual evaluation."""
    objective = Objective({len(graph.nodes) - 1: double([c])}, double([constant]))
    relaxation, account = Relaxation(graph, region), account or Rounding.of(graph, region)
    by_crown = crown_lines(relaxation, objective, account).value
    by_dual = evaluate_dual(relaxation, objective, crown(relaxation.hulls), account).value
    return Fraction(float(by_crown)), Fraction(float(by_dual))


def point(graph: Graph, x) -> Region:
    return box_region(graph, double([x]), double([x]))


def reached(graph: Graph, x, c, constant=0.0) -> Fraction:
    y = evaluate(graph, rational(double(x)))[-1]
    return sum((Fraction(a) * b for a, b in zip(c, y, strict=True)), Fraction(constant))


def test_the_objective_is_a_source():
    """A single affine map whose output is what its own rounding left: no activation has any part in it."""
    short = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        weight, x = torch.randn(2, 8, generator=generator).double(), torch.randn(8, generator=generator).double()
        c = torch.randn(2, generator=generator).double()
        graph = chain(Linear(weight, -(weight @ x)), inputs=8)
        region = point(graph, x.tolist())
        truth = reached(graph, x.tolist(), c.tolist())
        assert min(bounds(graph, region, c.tolist())) >= truth
        objective = Objective({1: c[None]}, torch.zeros(1, dtype=torch.float64))
        plain = Fraction(float(crown_lines(Relaxation(graph, region), objective).value))
        short += plain < truth - Fraction(4 * 2.0**-53 * float(abs(plain)))
    assert short > 10  # what float64 alone says is wrong by more than a rounding of the result


def test_multipliers_are_sources():
    """Values behind the ReLU are small, and what cancels before it is large."""
    short = 0
    for seed in range(20):
        x = float(torch.rand(1, generator=torch.Generator().manual_seed(seed)).double())
        weight = 1e16 / 3
        graph = chain(line([[weight]], [4096.0 - weight * x]), ReLU(), line([[1.0]], [0.0]))
        region = point(graph, [x])
        truth = reached(graph, [x], [1.0])
        account = Rounding.of(graph, region)
        assert float(account.weigh(3, double([[1.0]]))) < 1e-6
        objective = Objective({3: double([[1.0]])}, double([0.0]))
        plain = Fraction(float(crown_lines(Relaxation(graph, region), objective).value))
        short += plain < truth - Fraction(1, 1000)
        assert min(bounds(graph, region, [1.0])) >= truth
    assert short > 2


@pytest.mark.parametrize("value", [0.3, -0.3])
def test_the_constant_rounds_too(value):
    """The last sum loses all of a small value beside a large constant."""
    graph = chain(line([[1.0]], [0.0]))
    for constant in (2.0**53, -(2.0**53)):
        region = point(graph, [value])
        assert min(bounds(graph, region, [1.0], constant)) >= reached(graph, [value], [1.0], constant)


def test_numbers_below_the_smallest_count():
    graph = chain(line([[1e-200]], [0.0]))
    region = point(graph, [1e-200])
    assert min(bounds(graph, region, [1.0])) >= Fraction(1e-200) ** 2 > 0


def test_what_is_below_the_smallest_number_may_be_made_large_again():
    """Every value between is 0 in float64, and so is what its rounding is measured by; the last one is not."""
    first = [8.986616599916125e-164, 1.5920089159513229e-164]
    last = [6.971408312084403e284, -1.3954160097308277e285]
    x = [5.25391212955949e-166, 1.4816660898222374e-165]
    graph = chain(line([[first[0], 0.0], [0.0, first[1]]], [0.0, 0.0]), line([last], [0.0]), inputs=2)
    region = point(graph, x)
    for c in ([1.0], [-1.0]):
        truth = reached(graph, x, c)
        assert 2.0**-400 < abs(truth) < 2.0**-100
        assert min(bounds(graph, region, c)) >= truth
        verdict = verify(query(graph, double(x), double(x), [c], [0.0]), Settings(timeout=60.0, attack=False)).verdict
        assert truth < 0 or verdict is not Verdict.UNSAT


@pytest.mark.parametrize("ends", [(0.0, 5e-324), (-5e-324, 0.0), (5e-324, 1e-323), (-1e-323, 5e-324)])
@pytest.mark.parametrize("operators", [(), (ReLU(), line([[1.0]], [0.0]))])
def test_boxes_of_the_smallest_numbers_are_no_points(ends, operators):
    """Half of the smallest number is 0, and a large weight makes all the difference."""
    for weight in (1e300, -3.3e290):
        graph = chain(line([[weight]], [0.0]), *operators)
        region = box_region(graph, double([[ends[0]]]), double([[ends[1]]]))
        for c in ([1.0], [-1.0]):
            truth = max(reached(graph, [x], c) for x in (*ends, 0.0) if ends[0] <= x <= ends[1])
            assert min(bounds(graph, region, c)) >= truth
            objective = Objective({len(graph.nodes) - 1: double([[c]])}, double([[0.0]]))
            by_rows = box_lines(Relaxation(graph, region), objective, Rounding.of(graph, region)).value
            assert Fraction(float(by_rows)) >= truth
            for at, x in enumerate(ends):
                value = evaluate(graph, [Fraction(x)])
                for (low, high), mine in zip(node_intervals(graph, region), value, strict=True):
                    assert Fraction(float(low)) <= mine[0] <= Fraction(float(high)), at
            if truth > 0:
                asked = query(graph, double([ends[0]]), double([ends[1]]), [c], [float(truth) * 0.9])
                assert verify(asked, Settings(timeout=60.0, attack=False)).verdict is not Verdict.UNSAT


def test_rounding_of_the_smallest_inputs_counts():
    """An error in parts of the input is no number, and what a condition makes of the input is one."""
    graph = chain(line([[0.0, 0.0]], [0.0]), inputs=2)
    generator, short = torch.Generator().manual_seed(0), 0
    for factor in torch.rand(20, generator=generator).double().tolist():
        x, c = [5e-324 * 7, 5e-324 * 11], [factor * 1e300 * 11, -factor * 1e300 * 7]
        region = point(graph, x)
        truth = sum((Fraction(a) * Fraction(b) for a, b in zip(c, x, strict=True)), Fraction(0))
        objective = Objective({0: double([c]), 1: double([[1.0]])}, double([0.0]))
        relaxation, account = Relaxation(graph, region), Rounding.of(graph, region)
        short += Fraction(float(crown_lines(relaxation, objective).value)) < truth
        for value in (
            crown_lines(relaxation, objective, account).value,
            evaluate_dual(relaxation, objective, crown(relaxation.hulls), account).value,
        ):
            assert Fraction(float(value)) >= truth
    assert short > 2


def test_there_is_no_bound_where_underflow_meets_large_values():
    """``c w`` is no normal number, and ``x`` makes what it lost more than any relative error of the result."""
    graph = chain(line([[3e-24]], [0.0]))
    region = point(graph, [1e300])
    truth = reached(graph, [1e300], [1e-299])
    objective = Objective({1: double([[1e-299]])}, double([0.0]))
    plain = Fraction(float(crown_lines(Relaxation(graph, region), objective).value))
    assert abs(plain - truth) > truth / 10**4
    account = Rounding.of(graph, region)
    assert bool(torch.isinf(account.magnitude[0]).all()) and bool(torch.isinf(account.magnitude[1]).all())
    value = crown_lines(Relaxation(graph, region), objective, account).value
    assert bool(torch.isposinf(value).all())


def test_what_is_no_number_is_no_bound():
    account = Rounding.of(chain(line([[1.0]], [0.0])), point(chain(line([[1.0]], [0.0])), [1.0]))
    values = double([float("nan"), float("inf"), -float("inf")])
    zero = torch.zeros(3, dtype=torch.float64)
    assert bool(torch.isposinf(account.total(values, zero, zero)).all())
    assert bool(torch.isposinf(account.total(zero, zero, values[:2].repeat(2)[:3])).all())


def test_an_error_of_the_objective_is_added():
    graph = chain(line([[1.0]], [0.0]), ReLU(), line([[1.0]], [0.0]))
    region = point(graph, [1.0])
    relaxation, account = Relaxation(graph, region), Rounding.of(graph, region)

    def bound(error):
        return crown_lines(relaxation, Objective({3: double([[1.0]])}, double([0.0]), error), account).value

    assert float(bound(double([0.25]))) >= 1.25 and float(bound(None)) < 1.0 + 1e-9


ERROR = 1e-3


@pytest.mark.parametrize(
    "shape", ["own", "carried", "first of a sum", "second of a sum", "before a relu", "behind a relu"]
)
def test_offsets_that_are_off_count(shape):
    """The bound holds for every network whose biases are as far off as its operators say."""

    def built(shift: float, error: float) -> Graph:
        builder = GraphBuilder(Arithmetic.REAL, (2,))
        off = line([[1.0, 2.0], [-1.0, 1.0]], [0.5 + shift, 3.0 - shift], bias_error=double([error, error]))
        other = line([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
        if shape == "own":
            builder.add("off", off, builder.input)
        elif shape == "carried":
            at = builder.add("select", Select(torch.tensor([1, 0]), 2, (2,)), builder.add("off", off, builder.input))
            builder.add("next", line([[3.0, -2.0]], [1.0]), at)
        elif "sum" in shape:
            one, two = builder.add("off", off, builder.input), builder.add("other", other, builder.input)
            pair = (one, two) if shape.startswith("first") else (two, one)
            builder.add("sum", Sum((1, -1) if shape.startswith("first") else (1, 1)), *pair)
        elif shape == "before a relu":
            builder.add("out", line([[1.0, -1.0]], [0.0]), builder.add("relu", ReLU(), builder.add("off", off, 0)))
        else:
            builder.add("off", off, builder.add("relu", ReLU(), builder.add("other", other, 0)))
        return builder.build()

    graph = built(0.0, ERROR)
    x = [1.0, 2.0]
    for shift in (ERROR, -ERROR):
        moved = built(shift, 0.0)
        outputs = moved.output.size
        for c in torch.eye(outputs, dtype=torch.float64).tolist():
            for sign in (1.0, -1.0):
                signed = [sign * value for value in c]
                claims = bounds(graph, point(graph, x), signed)
                truth = reached(moved, x, signed)
                assert min(claims) >= truth
                assert max(claims) <= truth + Fraction(20 * ERROR)


def test_weights_that_were_rounded_count():
    """Numbers that went through a billion roundings are off in the seventh digit."""
    k = 10**9
    off = float(gamma(k)) * 0.999
    for shape in ("last", "first"):
        plain, moved = [[1.0]], [[1.0 + off]]

        def built(weight, roundings, shape=shape):
            rounded = line(weight, [0.0], roundings=roundings)
            other = line([[1.0]], [0.0])
            return chain(*((other, ReLU(), rounded) if shape == "last" else (rounded, ReLU(), other)))

        graph = built(plain, k)
        assert min(bounds(graph, point(graph, [1.0]), [1.0])) >= reached(built(moved, 0), [1.0], [1.0])


def wide_graph(generator, spread=16.0) -> Graph:
    return random_graph(generator, (3, 5, 5, 5, 2), spread=spread, residual=True)


@pytest.mark.parametrize("seed", range(12))
def test_an_account_is_what_it_says(seed):
    """Each number of it against its definition, in rational arithmetic: never below, and hardly above."""
    generator = torch.Generator().manual_seed(seed)
    graph = wide_graph(generator) if seed % 4 else random_graph(generator, (3, 4, 4, 2), activation=Sigmoid())
    center = torch.randn(2, 3, generator=generator).double() * 10.0 ** (seed % 3)
    region = box_region(graph, center - 0.5, center + 0.5)
    account = Rounding.of(graph, region)
    # All products on any way backwards, and the additions over the features of a node.
    longest = [0] * len(graph.nodes)
    for index in range(len(graph.nodes) - 1, 0, -1):
        node = graph.nodes[index]
        if isinstance(node.operator, Linear | Sum):
            for operand in node.operands:
                longest[operand] = max(longest[operand], longest[index] + node.operator.terms()[1] + 1)
    terms = max(longest) + max(node.size for node in graph.nodes)
    assert gamma(terms) <= Fraction(account.gamma) <= gamma(2 * terms + 300)
    magnitude = [rational(part) for part in account.magnitude]
    grown = 1 + Fraction(account.gamma)
    total = Fraction(0)
    k = 0
    for index, node in enumerate(graph.nodes):
        own = magnitude[index]
        total += sum(own)
        if index == 0:
            needed = [
                max(abs(a) for a in column)
                for column in zip(*map(rational, (*region.lower, *region.upper)), strict=True)
            ]
        elif isinstance(node.operator, Linear):
            below = magnitude[node.operands[0]]
            needed = [
                sum((abs(w) * m for w, m in zip(rational(row), below, strict=True)), abs(Fraction(b)))
                for row, b in zip(node.operator.weight, node.operator.bias.tolist(), strict=True)
            ]
        elif isinstance(node.operator, Sum):
            needed = [sum(column) for column in zip(*(magnitude[i] for i in node.operands), strict=True)]
        else:
            ends = (*region.range_lower[k], *region.range_upper[k])
            largest = [max(abs(a) for a in column) for column in zip(*map(rational, ends), strict=True)]
            assert all(m >= a for m, a in zip(magnitude[node.operands[0]], largest, strict=True))
            image = node.operator.output_range(region.range_lower[k], region.range_upper[k])
            extra = Fraction(2.0**-50)
            needed = [
                extra + max(abs(a) for a in column)
                for column in zip(*map(rational, (*image[0], *image[1])), strict=True)
            ]
            k += 1
        slack = 1 + 100 * Fraction(account.gamma)
        assert all(m >= a for m, a in zip(own, needed, strict=True))
        if index + 1 == len(graph.nodes) or not isinstance(graph.nodes[index + 1].operator, ReLU | Sigmoid):
            assert all(m <= a * slack for m, a in zip(own, needed, strict=True))
        source = torch.randn(3, node.size, generator=generator).double()
        for row, price in zip(source, rational(account.weigh(index, source)), strict=True):
            least = 15 * Fraction(account.gamma) * sum(abs(a) * m for a, m in zip(rational(row), own, strict=True))
            assert least <= price <= 2 * least
    assert total / grown <= Fraction(account.total_magnitude) <= total * grown
    value, constant, weighed = double([2.0, -3.0]), double([0.5, 1e6]), double([1e-3, 0.0])
    upper = account.total(value, constant, weighed)
    for got, v, e, w in zip(*map(rational, (upper, value, constant, weighed)), strict=True):
        assert got >= v + w + Fraction(account.gamma) * (abs(v) + abs(e)) + Fraction(2.0**-500) * (w == 0)
        assert got <= v + 2 * w + 4 * Fraction(account.gamma) * (abs(v) + abs(e)) + 3 * U * abs(v)


def test_an_account_is_drawn_up_in_pieces():
    generator = torch.Generator().manual_seed(7)
    graph = wide_graph(generator)
    region = box_region(graph, -torch.ones(1, 3).double(), torch.ones(1, 3).double())
    whole = Rounding.of(graph, region)
    pieces = Rounding.begun(graph, region)
    for node in (0, 2, 1, 4, 5, len(graph.nodes) - 1):
        pieces = pieces.up_to(graph, region, node)
        assert len(pieces.magnitude) > node
    assert len(pieces.magnitude) == len(pieces.offset) == len(graph.nodes)
    assert all(torch.equal(a, b) for a, b in zip(pieces.magnitude, whole.magnitude, strict=True))
    assert pieces.total_magnitude == pytest.approx(whole.total_magnitude, rel=1e-12) and pieces.gamma == whole.gamma
    with pytest.raises(ValueError, match="float64"):
        Rounding.begun(graph, region.to(torch.float32))


def test_no_rows_have_an_account():
    graph = chain(line([[1.0]], [0.0]), ReLU())
    region = box_region(graph, double([[0.0]]), double([[1.0]])).take(torch.zeros(0, dtype=torch.int64))
    assert len(region) == 0 and Rounding.of(graph, region).total_magnitude < 2.1


def test_ranges_that_are_not_known_yet_are_not_looked_at():
    """An account of the nodes before an activation, whatever the ranges behind it are."""
    graph = chain(line([[1.0]], [0.0]), ReLU(), line([[1.0]], [0.0]), ReLU(), line([[1.0]], [0.0]))
    region = box_region(graph, double([[1.0]]), double([[2.0]]))
    unknown = double([[float("inf")]])
    region = region.with_range(1, -unknown, unknown)
    account = Rounding.begun(graph, region).up_to(graph, region, 3)
    assert account.total_magnitude < 9 and len(account.magnitude) == 4
    high = refine_layer(graph, region, 1, account).range_upper[1]
    assert 2.0 <= float(high) < 2.0 + 1e-9
    assert bool(torch.isinf(account.up_to(graph, region, 4).magnitude[4]).all())


def cancelling(depth: int, factor=1000.0, activation=None, inputs=1) -> Graph:
    """The sum of the inputs, as long as it is positive, layer by layer as ``factor * h - (factor - 1) * h``."""
    layers = [line([[1.0] * inputs] * 2, [0.0, 0.0])]
    for _ in range(depth):
        layers += [activation or ReLU(), line([[factor, 1 - factor]] * 2, [0.0, 0.0])]
    return chain(*layers, inputs=inputs)


@pytest.mark.parametrize("depth", [8, 80])
@pytest.mark.parametrize("propagate", [propagate_intervals, form_ranges])
def test_ranges_of_deep_networks_do_not_follow_intervals(depth, propagate):
    """Intervals become infinite, and CROWN's ranges stay: so do magnitudes, if each layer's are those of its ranges."""
    graph = cancelling(depth, 1e4)
    region = box_region(graph, double([[1.0]]), double([[2.0]]))
    assert float(region.range_upper[-1].max()) > 1e21
    if depth == 80:
        assert bool(torch.isinf(region.range_upper[-1]).all())
    refined = refine_ranges(graph, region, propagate=propagate)
    for low, high in zip(refined.range_lower, refined.range_upper, strict=True):
        assert float(low.min()) > 0.8 and float(low.max()) <= 1.0
        assert float(high.min()) >= 2.0 and float(high.max()) < 64 * 2.1
    claims = bounds(graph, refined, [1.0, 0.0])
    assert min(claims) >= 2 and max(claims) < Fraction(22, 10)


@pytest.mark.parametrize("refine", ["boxes", "alpha", "splits"])
def test_no_refinement_carries_an_old_account_along(refine):
    """Whichever way ranges are found, the error term is that of the ranges before them."""
    graph = cancelling(8 if refine == "alpha" else 20)
    region = box_region(graph, double([[1.0], [1.0]]), double([[2.0], [1.5]]))
    if refine == "boxes":
        refined, account = refine_with_account(graph, region)
        assert account.total_magnitude < 64 * 4100.0 * 2 * 21
        assert bool((refined.range_upper[-1] < double([[2.01], [1.51]])).all())
        assert refine_with_account(graph, region, account)[1] is account
        return
    one = region.take(torch.tensor([0]))
    if refine == "alpha":
        one = propagate_intervals(graph, refine_layer(graph, one, 1, Rounding.of(graph, one)))
        refined = refine_by_alpha(graph, one, 2, float("inf"))
    else:
        refined = SplitRefiner(graph).refine(refine_ranges(graph, one), 1.0)
    assert float(refined.range_upper[-1].max()) < 2.01


@pytest.mark.parametrize("inputs", [1, 12])
@pytest.mark.parametrize("kind", ["relu", "clip"])
def test_questions_about_deep_networks_are_decided(inputs, kind):
    """Whichever search takes them: boxes, signs or ranges."""
    graph = cancelling(40, 1e4, Clip(0.0, 1e200) if kind == "clip" else None, inputs)
    lower, upper = double([1.0] + [0.0] * (inputs - 1)), double([2.0] + [0.0] * (inputs - 1))
    settings = Settings(timeout=60.0, attack=False)
    assert verify(query(graph, lower, upper, [[1.0, 0.0]], [2.1]), settings).verdict is Verdict.UNSAT
    short = replace(settings, timeout=1.0)
    assert verify(query(graph, lower, upper, [[1.0, 0.0]], [1.999]), short).verdict is not Verdict.UNSAT


def test_what_overflows_behind_takes_nothing_from_what_is_before():
    """A second output too large for a bound, computed behind the first."""
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    first = builder.add("first", line([[1.0]], [-1.5]), builder.input)
    middle = builder.add("middle", line([[1.0]], [0.25]), builder.add("relu", ReLU(), first))
    top = builder.add("top", ReLU(), middle)
    builder.add(
        "beyond", line([[1e300]], [0.0]), builder.add("next", ReLU(), builder.add("big", line([[1e200]], [0.0]), top))
    )
    graph = builder.build()
    region = box_region(graph, double([[1.0]]), double([[2.0]]))
    account = Rounding.of(graph, region)
    finite = [bool(torch.isfinite(part).all()) for part in account.magnitude]
    assert finite[: top + 1] == [True] * (top + 1) and not any(finite[top + 1 :])


@pytest.mark.parametrize("seed", range(6))
def test_deep_ranges_hold_every_point(seed):
    """Weights of several orders of magnitude, layer upon layer."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, (3, *[4] * 9, 2), spread=float(seed % 3) * 3, residual=seed % 2 == 1)
    center = torch.randn(1, 3, generator=generator).double()
    radius = torch.rand(1, 3, generator=generator).double() * 10.0 ** -(seed % 4)
    lower, upper = center - radius, center + radius
    region = box_region(graph, lower, upper)
    refined = [refine_ranges(graph, region, propagate=way) for way in (propagate_intervals, form_ranges)]
    refined += [refine_with_account(graph, region)[0], refine_by_alpha(graph, refined[0], 3, float("inf"))]
    spread = torch.rand(20, 3, generator=generator, dtype=torch.float64)
    spread[:12] = spread[:12].round()
    accounts = [Rounding.of(graph, one) for one in refined]
    c = torch.randn(2, generator=generator).double().tolist()
    claims = [min(bounds(graph, one, c)) for one in refined]
    for x in torch.minimum(torch.maximum(lower + spread * (upper - lower), lower), upper):
        values = evaluate(graph, rational(x))
        for one, account, claim in zip(refined, accounts, claims, strict=True):
            for k, index in enumerate(graph.activations):
                value = values[graph.nodes[index].operands[0]]
                ends = rational(one.range_lower[k][0]), rational(one.range_upper[k][0])
                assert all(a <= v <= b for a, v, b in zip(ends[0], value, ends[1], strict=True))
            for value, magnitude in zip(values, account.magnitude, strict=True):
                assert all(abs(v) <= m for v, m in zip(value, rational(magnitude), strict=True))
            assert sum(Fraction(a) * y for a, y in zip(c, values[-1], strict=True)) <= claim


def test_margins_are_those_without_an_error_term():
    """On a network of 24 layers whose intervals are thousands of times as wide as its ranges."""
    generator = torch.Generator().manual_seed(3)
    layers = []
    for _ in range(24):
        turned = torch.linalg.qr(torch.randn(12, 12, generator=generator).double())[0]
        layers += [line((1.4 * turned).tolist(), (0.1 * torch.rand(12, generator=generator).double()).tolist()), ReLU()]
    graph = chain(*layers, line(torch.randn(5, 12, generator=generator).double().tolist(), [0.0] * 5), inputs=12)
    x = torch.rand(12, generator=generator).double()

    def margins(*, error_term):
        (end,) = [step for step in measure_root(graph, x, 0.01, error_term=error_term) if isinstance(step, Margins)]
        return end.lower

    rigorous, plain = margins(error_term=True), margins(error_term=False)
    assert bool((rigorous < plain).all())
    assert bool(((plain - rigorous) < 1e-4 * plain.abs()).all())


def test_overflowing_intervals_have_ends():
    """Neither what is not a number, nor an infinity that the value does not exceed."""
    huge = 1.7e308
    graph = chain(line([[1.0]], [0.0]), ReLU(), line([[0.5]], [0.0]), ReLU(), line([[4.0], [-4.0]], [0.0, 0.0]), ReLU())
    for lower, upper in ((huge, huge), (-huge, huge), (-huge, -huge)):
        region = box_region(graph, double([[lower]]), double([[upper]]))
        regions = [region, form_ranges(graph, region), refine_ranges(graph, region)]
        for x in (lower, upper):
            values = evaluate(graph, [Fraction(x)])
            for low, high in (pair for one in regions for pair in node_intervals(graph, one)[:1]):
                assert float(low) <= x <= float(high)
            for one in regions:
                assert not bool(one.empty().any())
                for k, index in enumerate(graph.activations):
                    for value, a, b in zip(
                        values[graph.nodes[index].operands[0]],
                        one.range_lower[k][0].tolist(),
                        one.range_upper[k][0].tolist(),
                        strict=True,
                    ):
                        assert a == -float("inf") or Fraction(a) <= value
                        assert b == float("inf") or value <= Fraction(b)
                        assert a < float("inf") and b > -float("inf")


def test_points_have_ranges_of_no_width():
    graph = cancelling(2)
    region = point_region(graph, double([[1.5]]))
    assert all(torch.equal(a, b) for a, b in zip(region.range_lower, region.range_upper, strict=True))
    assert region.range_lower[1].tolist() == [[1.5, 1.5]]


@pytest.mark.parametrize("seed", range(4))
def test_a_dual_evaluation_needs_its_error_term(seed):
    """Multipliers of any kind: where values cancel float64 alone is too low in every other case, and never with the term."""
    generator = torch.Generator().manual_seed(seed)
    short = 0
    for _ in range(15):
        weight = torch.randn(4, 4, generator=generator).double() * 1e6
        x = torch.randn(4, generator=generator).double()
        bias = 3.0 - weight @ x
        graph = chain(Linear(weight, bias), ReLU(), line([[1.0, -1.0, 1.0, -1.0]], [0.0]), inputs=4)
        region = point(graph, x.tolist())
        relaxation, account = Relaxation(graph, region), Rounding.of(graph, region)
        objective = Objective({3: double([[1.0]])}, double([0.0]))
        plain = Fraction(float(evaluate_dual(relaxation, objective, crown(relaxation.hulls)).value))
        truth = reached(graph, x.tolist(), [1.0])
        short += plain < truth
        assert Fraction(float(evaluate_dual(relaxation, objective, crown(relaxation.hulls), account).value)) >= truth
    assert short > 2


def test_an_evaluation_reads_the_ends_of_ranges():
    """However far out: products with them round, whatever values there can be."""
    graph = chain(line([[1.0]], [0.0]), ReLU(), line([[1.0]], [0.0]))
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    region = region.with_range(0, double([[-1e6]]), region.range_upper[0])
    assert float(Rounding.of(graph, region).magnitude[1]) >= 1e6
