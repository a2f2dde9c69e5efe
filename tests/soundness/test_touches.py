"""Strict constraints at exact equality: rational bounds hold, decide touches, and refute nothing that is attained."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.rational import bound
from netproof.bounds.rational.bound import RationalGraph
from netproof.bounds.rational.pieces import ZERO, Lower, Pieces
from netproof.bounds.rational.program import Line, is_refuted
from netproof.bounds.region import box_region
from netproof.formats.load import load
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.property import Box, LinearConstraint, Property, PropertyPart
from netproof.search.real.touch import Touch, _exact_box, ended
from onnx_models import model, node, save
from soundness.real_networks import double, evaluate, network_of, rational

EVER = 1e18


def dyadic(generator, *shape, scale=8, most=16):
    """Multiples of 1 / ``scale``."""
    return torch.randint(-most, most + 1, shape, generator=generator).double() / scale


def graph_of(generator, sizes, activation=None, residual=False):
    builder = GraphBuilder(Arithmetic.REAL, (sizes[0],))
    value = builder.input
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        value = builder.add(f"l{number}", Linear(dyadic(generator, after, before), dyadic(generator, after)), value)
        if number < len(sizes) - 2:
            value = builder.add(f"r{number}", activation or ReLU(), value)
    return builder.build()


def line_maximum(graph, low, high):
    """The exact largest value of the only output of a graph with one input: at an end, or where a pre-activation is 0."""
    points = [low, high]
    for _ in range(len(graph.activations)):
        points = sorted(set(points))
        found = []
        for a, b in itertools.pairwise(points):
            for index in graph.activations:
                operand = graph.nodes[index].operands[0]
                first, second = (evaluate(graph, [x])[operand] for x in (a, b))
                found += [a + (b - a) * p / (p - q) for p, q in zip(first, second, strict=True) if p * q < 0]
        points += found
    return max(evaluate(graph, [x])[-1][0] for x in points)


FUNCTIONS = [
    ReLU(),
    Abs(),
    LeakyReLU(0.25),
    LeakyReLU(-0.5),
    LeakyReLU(2.0),
    Clip(-0.5, 0.75),
    Clip(0.0, 1.0),
    Clip(-math.inf, 0.5),
    Clip(0.25, math.inf),
    Clip(0.0, 3.4028234663852886e38),
]


@pytest.mark.parametrize("operator", FUNCTIONS, ids=repr)
def test_pieces_are_the_function_they_are_made_of(operator):
    pieces = Pieces.of(operator)
    assert pieces is not None
    points = [Fraction(i, 8) for i in range(-24, 25)]
    values = rational(operator.evaluate(double([float(a) for a in points])))
    assert [pieces.at(a) for a in points] == values
    for low, high in itertools.product((-3, -1, 0, Fraction(1, 4), 1), (-1, 0, Fraction(1, 4), Fraction(3, 4), 3)):
        if low > high:
            continue
        within = Fraction(low), Fraction(high)
        inner = [(a, value) for a, value in zip(points, values, strict=True) if low <= a <= high]
        assert pieces.image(within) == (min(v for _, v in inner), max(v for _, v in inner))
        for v, lower in itertools.product((Fraction(-2), Fraction(1, 3)), Lower):
            s, most = pieces.relax(v, within, lower)
            assert most == max(v * value - s * a for a, value in inner), "attained on the grid, which holds the bends"
        if not pieces.inside(within):
            slope, constant, before, after = pieces.piece(within)
            assert all(slope * a + constant == value for a, value in inner)
            assert before is None or before <= low
            assert after is None or high <= after


@pytest.mark.parametrize(
    ("operator", "coefficient", "threshold"),
    [
        (Clip(1.0, 2.0), -1.0, -1.0),
        (Clip(1.0, 2.0), 1.0, 2.0),
        (Clip(-0.5, 3.4028234663852886e38), -1.0, 0.5),
        (Clip(-math.inf, 0.5), 1.0, 0.5),
        (Abs(), -1.0, 0.0),
        (Abs(), 1.0, 4.0),
        (LeakyReLU(-0.5), -1.0, 0.0),
        (LeakyReLU(2.0), -1.0, 8.0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("size", [2, 12])
def test_an_activation_touches_its_end(operator, coefficient, threshold, size):
    """Beyond the end lies nothing, at the end lies something; with few inputs, and with more than boxes are split for."""
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    mixed = builder.add("mixed", Linear(torch.eye(size).double(), torch.zeros(size).double()), builder.input)
    builder.add("y", operator, mixed)
    row = double([[coefficient] + [0.0] * (size - 1)])
    box = torch.full((size,), -4.0).double(), torch.full((size,), 4.0).double()
    network = network_of(builder.build())
    beyond = Query(network, *box, (Conjunction(row, double([threshold]), strict=torch.tensor([True])),))
    assert verify(beyond, Settings(timeout=600.0)).verdict is Verdict.UNSAT
    reached = Query(network, *box, (Conjunction(row, double([threshold])),))
    assert verify(reached, Settings(timeout=0.3)).verdict is not Verdict.UNSAT


def test_a_touch_along_a_diagonal_is_split_where_it_bends():
    """``2 max(x, y) < x + y`` nowhere, but with equality on a whole line: no box around that closes by itself."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    difference = builder.add("d", Linear(double([[-1.0, 1.0]]), double([0.0])), builder.input)
    positive = builder.add("p", ReLU(), difference)
    builder.add("y", Linear(double([[2.0]]), double([0.0])), positive)
    network = network_of(builder.build())
    # 2 (x + relu(y - x)) < x + y
    rows = double([[-1.0]]), double([0.0]), double([[-1.0, 1.0]])
    box = double([-4.0, -4.0]), double([4.0, 4.0])
    asked = Query(network, *box, (Conjunction(*rows, strict=torch.tensor([True])),))
    result = verify(asked, Settings(timeout=600.0))
    assert (result.verdict, result.method) == (Verdict.UNSAT, "bound")
    assert verify(Query(network, *box, (Conjunction(*rows),)), Settings(timeout=0.3)).verdict is not Verdict.UNSAT


@pytest.mark.parametrize("seed", range(16))
def test_rational_bounds_hold_for_every_point(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = [(2, 3, 1), (3, 4, 3, 2), (1, 2, 2, 1)][seed % 3]
    graph = graph_of(generator, sizes, FUNCTIONS[seed % len(FUNCTIONS)])
    form = RationalGraph.of(graph)
    assert form is not None
    lower = dyadic(generator, sizes[0])
    upper = lower + dyadic(generator, sizes[0]).abs()
    box = list(zip(rational(lower), rational(upper), strict=True))
    region = box_region(graph, lower[None], upper[None])
    known = [
        list(zip(low[0].tolist(), high[0].tolist(), strict=True))
        for low, high in zip(region.range_lower, region.range_upper, strict=True)
    ]
    ranges = form.ranges(box, known)
    assert ranges is not None
    c, d = rational(dyadic(generator, sizes[-1])), rational(dyadic(generator, sizes[0]))
    last = len(graph.nodes) - 1
    objective = {last: dict(enumerate(c)), 0: dict(enumerate(d))}
    bounds = [form.bound(objective, Fraction(1, 3), box, ranges, lower) for lower in Lower]
    corners = torch.randint(0, 2, (40, sizes[0]), generator=generator).double()
    inner = torch.randint(0, 9, (40, sizes[0]), generator=generator).double() / 8
    for share in torch.cat([corners, inner]):
        x = rational(lower + share * (upper - lower))
        values = evaluate(graph, x)
        for index, mine in zip(graph.activations, ranges, strict=True):
            operand = graph.nodes[index].operands[0]
            assert all(low <= a <= high for a, (low, high) in zip(values[operand], mine, strict=True))
        reached = sum((a * b for a, b in zip(c, values[-1], strict=True)), Fraction(1, 3))
        reached += sum((a * b for a, b in zip(d, x, strict=True)), ZERO)
        assert all(bound >= reached for bound in bounds)


def strictly_above(graph, lower, upper, threshold, strict=True):
    marks = torch.tensor([strict])
    condition = (Conjunction(double([[1.0]]), double([threshold]), strict=marks),)
    return Query(network_of(graph), double(lower), double(upper), condition)


@pytest.mark.parametrize("seed", range(24))
def test_the_largest_value_is_attained_and_nothing_is_above_it(seed):
    generator = torch.Generator().manual_seed(seed)
    graph = graph_of(generator, [(1, 3, 1), (1, 2, 2, 1)][seed % 2])
    low, high = Fraction(-1), Fraction(1)
    top = line_maximum(graph, low, high)
    quick = Settings(timeout=600.0, attack=False)
    if Fraction(float(top)) == top:
        assert verify(strictly_above(graph, [-1.0], [1.0], float(top)), quick).verdict is Verdict.UNSAT
        short = Settings(timeout=0.3, attack=False)
        assert verify(strictly_above(graph, [-1.0], [1.0], float(top), False), short).verdict is not Verdict.UNSAT
    beneath = float(top)
    while Fraction(beneath) >= top:
        beneath = float(torch.nextafter(double(beneath), double(-EVER)))
    below = strictly_above(graph, [-1.0], [1.0], beneath)
    assert verify(below, Settings(timeout=0.3, attack=False)).verdict is not Verdict.UNSAT


@pytest.mark.parametrize("seed", range(8))
def test_a_strict_constraint_makes_no_other_one_strict(seed):
    """Both at what is attained, or one of them far below it: only a strict one at the largest value holds nowhere."""
    generator = torch.Generator().manual_seed(seed)
    graph = graph_of(generator, (1, 3, 1))
    top = line_maximum(graph, Fraction(-1), Fraction(1))
    if Fraction(float(top)) != top:
        return
    for marks, away, refuted in (
        ((False, True), (0, 5), False),
        ((True, False), (5, 0), False),
        ((True, False), (0, 5), True),
    ):
        thresholds = double([float(top) - shift for shift in away])
        condition = (Conjunction(double([[1.0], [1.0]]), thresholds, strict=torch.tensor(marks)),)
        query = Query(network_of(graph), double([-1.0]), double([1.0]), condition)
        touch = Touch.of(query, graph)
        region = box_region(graph, query.lower[None], query.upper[None])
        assert touch.refutes(region, 0, [0], time.monotonic() + 60.0, bends=9) == [refuted]


def corner_maximum(graph, lower, upper):
    """The exact largest value of the only output over a box of few inputs, by linear programs over all signs."""
    form = RationalGraph.of(graph)
    box = list(zip(map(Fraction, lower), map(Fraction, upper), strict=True))
    sizes = [graph.nodes[i].size for i in graph.activations]
    found = []
    for signs in itertools.product((False, True), repeat=sum(sizes)):
        at, ranges = 0, []
        for size in sizes:
            ranges.append([(ZERO, Fraction(1)) if s else (Fraction(-1), ZERO) for s in signs[at : at + size]])
            at += size
        values, sides = form.lines(len(box), ranges)
        found += vertices(values[-1][0], sides, box)
    return max(found)


def vertices(objective, lines, box):
    """Values of the objective at all vertices of a polygon in the plane."""
    sides = [Line((Fraction(1), ZERO), -box[0][0]), Line((Fraction(-1), ZERO), box[0][1])]
    sides += [Line((ZERO, Fraction(1)), -box[1][0]), Line((ZERO, Fraction(-1)), box[1][1]), *lines]
    for p, q in itertools.combinations(sides, 2):
        determinant = p.slope[0] * q.slope[1] - p.slope[1] * q.slope[0]
        if determinant:
            x = (p.slope[1] * q.constant - q.slope[1] * p.constant) / determinant
            y = (q.slope[0] * p.constant - p.slope[0] * q.constant) / determinant
            if all(s.slope[0] * x + s.slope[1] * y + s.constant >= 0 for s in sides):
                yield objective.slope[0] * x + objective.slope[1] * y + objective.constant


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_value_over_the_plane(seed):
    generator = torch.Generator().manual_seed(seed)
    graph = graph_of(generator, (2, 3, 1))
    top = corner_maximum(graph, [-1.0, -1.0], [1.0, 1.0])
    box = [-1.0, -1.0], [1.0, 1.0]
    if Fraction(float(top)) == top:
        above = strictly_above(graph, *box, float(top))
        assert verify(above, Settings(timeout=600.0, attack=False)).verdict is Verdict.UNSAT
        reached = strictly_above(graph, *box, float(top), False)
        assert verify(reached, Settings(timeout=0.5, attack=False)).verdict is not Verdict.UNSAT


@pytest.mark.parametrize("seed", range(200))
def test_rational_programs_are_decided_as_their_vertices_say(seed):
    generator = torch.Generator().manual_seed(seed)
    box = [(Fraction(-1), Fraction(1)), (Fraction(0), Fraction(2))]
    numbers = rational(dyadic(generator, 18, scale=4, most=8))
    lines = [Line(tuple(numbers[3 * i : 3 * i + 2]), numbers[3 * i + 2]) for i in range(1 + seed % 5)]
    slope = Line(tuple(numbers[15:17]), ZERO)
    found = list(vertices(slope, lines, box))
    if not found:
        assert is_refuted(slope, lines, box, strict=False)
        return
    top = max(found)
    for shift, strict, refuted in ((0, False, False), (0, True, True), (1, False, False), (-1, False, True)):
        objective = Line(slope.slope, Fraction(shift, 10**9) - top)
        assert is_refuted(objective, lines, box, strict=strict) is refuted


def test_two_strict_constraints_that_contradict_each_other():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    builder.add("y", Linear(double([[0.1, 0.7], [0.3, -0.2]]), double([0.0, 0.1])), builder.input)
    graph = builder.build()
    both = Conjunction(double([[1.0, -1.0], [-1.0, 1.0]]), double([0.0, 0.0]), strict=torch.tensor([True, True]))
    asked = Query(network_of(graph), double([-1, -1]), double([1, 1]), (both,))
    assert verify(asked, Settings(timeout=600.0, attack=False)).verdict is Verdict.UNSAT
    weak = Query(network_of(graph), double([-1, -1]), double([1, 1]), (Conjunction(both.coefficients, both.threshold),))
    assert verify(weak, Settings(timeout=0.5, attack=False)).verdict is not Verdict.UNSAT


def test_graphs_without_a_rational_form():
    def small(operator, size=1):
        builder = GraphBuilder(Arithmetic.REAL, (size,))
        builder.add("node", operator, builder.input)
        return builder.build()

    one = torch.ones(1, dtype=torch.float64)
    assert RationalGraph.of(small(ReLU())) is not None
    assert RationalGraph.of(small(Sigmoid())) is None
    assert RationalGraph.of(small(Abs())) is not None
    assert RationalGraph.of(small(LeakyReLU(1.5))) is not None
    assert RationalGraph.of(small(LeakyReLU(-0.5))) is not None
    assert RationalGraph.of(small(Clip(0.0, 6.0))) is not None
    # Constant, and the identity.
    assert RationalGraph.of(small(Clip(1.0, 1.0))) is None
    assert RationalGraph.of(small(Clip(-math.inf, math.inf))) is None
    assert RationalGraph.of(small(Scale(1, one, one))) is not None
    assert RationalGraph.of(small(Scale(1, one, one, roundings=1))) is None
    assert RationalGraph.of(small(Scale(1, one, one, shift_error=one))) is None
    wide = Linear(torch.ones(64, 64, dtype=torch.float64), torch.zeros(64, dtype=torch.float64))
    assert RationalGraph.of(small(wide, 64)) is None


def test_a_network_whose_output_is_its_input_with_constraints_on_both():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    graph = builder.build()
    box = double([0.0, 0.0]), double([1.0, 1.0])

    def asked(threshold):
        # y_0 + x_1 >= threshold, of which 2 is the most there is
        row = Conjunction(double([[1.0, 0.0]]), double([threshold]), double([[0.0, 1.0]]))
        return Query(network_of(graph), *box, (row,))

    short = Settings(timeout=1.0, attack=False)
    assert verify(asked(2.0), short).verdict is not Verdict.UNSAT
    assert verify(asked(2.001), short).verdict is Verdict.UNSAT


@pytest.mark.parametrize("threshold", [-1e-9, -1e-4, -1.0])
def test_what_intervals_of_the_output_settle_needs_no_search(threshold):
    generator = torch.Generator().manual_seed(3)
    builder = GraphBuilder(Arithmetic.REAL, (4,))
    value = builder.add("l", Linear(dyadic(generator, 8, 4), dyadic(generator, 8)), builder.input)
    value = builder.add("r", ReLU(), value)
    value = builder.add("o", Linear(dyadic(generator, 1, 8), dyadic(generator, 1)), value)
    builder.add("y", ReLU(), value)
    graph = builder.build()
    row = Conjunction(double([[-1.0]]), double([-threshold]))
    asked = Query(network_of(graph), double([-1] * 4), double([1] * 4), (row,))
    result = verify(asked, Settings(timeout=600.0, attack=False))
    assert (result.verdict, result.method) == (Verdict.UNSAT, "bound")


@pytest.mark.parametrize(("inputs", "constraints"), [(40, 30), (6, 200)])
def test_rational_numbers_do_not_pass_over_the_time_limit(monkeypatch, inputs, constraints):
    """Programs and bounds that would take minutes, by a clock that goes on by a second whenever it is looked at."""
    generator = torch.Generator().manual_seed(5)
    graph = graph_of(generator, (inputs, 20))
    rows = Conjunction(
        dyadic(generator, constraints, 20),
        torch.zeros(constraints, dtype=torch.float64),
        strict=torch.ones(constraints, dtype=torch.bool),
    )
    end = torch.ones(inputs, dtype=torch.float64)
    touch = Touch.of(Query(network_of(graph), -end, end, (rows,) * 3), graph)
    clock = itertools.count()
    monkeypatch.setattr("netproof.search.real.touch.time.monotonic", lambda: next(clock))
    region = box_region(graph, -end[None], end[None])
    assert touch.refutes(region, 0, [0, 1, 2], 1e4, bends=6) == [False] * 3
    assert next(clock) < 20


def single(generator, *shape):
    """Random float32 numbers."""
    return torch.randn(shape, generator=generator).double()


def next_to(network, top, **settings):
    """What is found of thresholds that are reached, passed by, and missed by less than float64 can tell: by ``>=``, ``>``, ``>=``."""
    box = Box((Fraction(-1),) * network.inputs, (Fraction(1),) * network.inputs)
    found = []
    for threshold, strict in ((top, False), (top - TINY, True), (top + TINY, False)):
        constraint = LinearConstraint((), ((0, Fraction(1)),), threshold, strict)
        asked = Property("p", network.inputs, 1, (PropertyPart(box, ((constraint,),)),))
        found.append(verify(asked, Settings(timeout=600.0, **settings), network=network).verdict)
    return found


TINY = Fraction(1, 1 << 70)


@pytest.mark.parametrize("seed", range(8))
def test_numbers_of_float32_that_miss_a_threshold_by_less_than_float64_can_tell(seed):
    generator = torch.Generator().manual_seed(seed)
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    hidden = builder.add("l", Linear(single(generator, 5, 2), single(generator, 5)), builder.input)
    hidden = builder.add("r", ReLU(), hidden)
    builder.add("y", Linear(single(generator, 1, 5), single(generator, 1)), hidden)
    graph = builder.build()
    top = corner_maximum(graph, [-1, -1], [1, 1])
    reached, passed, missed = next_to(network_of(graph), top, attack=False)
    assert reached is not Verdict.UNSAT and passed is not Verdict.UNSAT and missed is Verdict.UNSAT


@pytest.mark.parametrize("operator", [ReLU(), Abs()], ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_the_same_of_more_inputs_than_boxes_are_split_for(seed, operator):
    """Sums of functions of one input each, whose largest values are at an end or where it bends."""
    generator, size = torch.Generator().manual_seed(seed), 12
    slope, shift, weight = (single(generator, size) for _ in range(3))
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    hidden = builder.add("l", Linear(slope.diag(), shift), builder.input)
    hidden = builder.add("r", operator, hidden)
    builder.add("y", Linear(weight[None], double([0.0])), hidden)
    graph, pieces, top = builder.build(), Pieces.of(operator), Fraction(0)
    for a, b, w in zip(*map(rational, (slope, shift, weight)), strict=True):
        top += max(w * end for end in pieces.image((min(b - a, b + a), max(b - a, b + a))))
    reached, passed, missed = next_to(network_of(graph), top, attack=False)
    assert reached is not Verdict.UNSAT and passed is not Verdict.UNSAT and missed is Verdict.UNSAT


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("low", ["0.1", "0.2", "0.25", "0.3"])
def test_a_place_in_a_table_stands_for_all_of_its_inputs(tmp_path, low, strict):
    """Ends that are no floats are rounded outward, and the place that is looked up is one of these: what the property states of that input
    leaves nothing of it, and yet the place stands for inputs that there are."""
    width = 2.0**-12
    constants = {
        "table": np.array([[0.0], [5.0]], np.float32), "first": np.array(0), "second": np.array([1]),
        "w": np.ones((1, 3), np.float32), "b": np.array([-0.3, -0.3 - width, -0.3 - 2 * width], np.float32),
        "v": np.array([[1 / width], [-2 / width], [1 / width]], np.float32),
    }  # fmt: skip
    nodes = [
        node("Gather", ["x", "first"], ["a"], axis=1), node("Cast", ["a"], ["n"], to=7), node("Gather", ["table", "n"], ["t"], axis=0),
        node("Gather", ["x", "second"], ["c"], axis=1), node("MatMul", ["c", "w"], ["d"]), node("Add", ["d", "b"], ["e"]),
        node("Relu", ["e"], ["f"]), node("MatMul", ["f", "v"], ["g"]), node("Add", ["g", "t"]),
    ]  # fmt: skip
    network = load(save(tmp_path / "n.onnx", model(nodes, (1, 2), constants)))
    # 1 at 0.3 + width, between two points that an attack begins from, and 0 elsewhere
    constraint = LinearConstraint((), ((0, Fraction(1)),), Fraction(1, 2), strict)
    box = Box((Fraction(low), Fraction(0)), (Fraction("0.9"), Fraction(1)))
    asked = Property("p", 2, 1, (PropertyPart(box, ((constraint,),)),))
    assert verify(asked, Settings(timeout=600.0), network=network).verdict is Verdict.SAT


def test_exact_ends_are_those_of_queries_about_all_that_is_stated():
    box = Box((Fraction(1, 3), Fraction(1, 3)), (Fraction(2, 3), Fraction(1)))
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    builder.add("y", Linear(double([[1.0, 1.0]]), double([0.0])), builder.input)
    constraint = LinearConstraint((), ((0, Fraction(1)),), Fraction(1))
    asked = Property("p", 2, 1, (PropertyPart(box, ((constraint,),)),))
    (query,) = asked.queries(network_of(builder.build()))
    whole = [(Fraction(1, 3), Fraction(2, 3)), (Fraction(1, 3), Fraction(1))]
    assert _exact_box(query) == whole
    below = float(query.lower[0])
    for lower, upper in (
        (query.lower, torch.cat([query.lower[:1], query.upper[1:]])),  # a point, rounded out of what is stated
        (query.lower - 1.0, query.upper),
        (query.lower, query.upper + double([1.0, 0.0])),
    ):
        found = _exact_box(replace(query, lower=lower, upper=upper))
        own = [(Fraction(float(a)), Fraction(float(b))) for a, b in zip(lower, upper, strict=True)]
        assert found[0] == own[0] and found[1] == (whole[1] if lower is query.lower else own[1])
    assert Fraction(below) < Fraction(1, 3)
    assert _exact_box(Query(query.network, query.lower, query.upper, query.condition))[0] == (
        Fraction(below), Fraction(float(query.upper[0])),
    )  # fmt: skip


@pytest.mark.parametrize("is_strict", [None, False, True])
@pytest.mark.parametrize("refuted", [False, True])
@pytest.mark.parametrize("witness", [None, "witness"])
def test_what_is_no_witness_is_left_to_rational_numbers_unless_equality_refutes(is_strict, refuted, witness):
    order = []
    touch = None if is_strict is None else SimpleNamespace(is_strict=is_strict)

    def refutes(given):
        order.append("touch")
        assert given is touch
        return refuted

    found = ended(touch, refutes, lambda: order.append("attack") or witness)
    if is_strict is None:
        assert order == ["attack"] and found == (False, witness)
    elif is_strict:
        assert order == (["touch"] if refuted else ["touch", "attack"])
        assert found == ((True, None) if refuted else (False, witness))
    else:
        assert order == (["attack"] if witness else ["attack", "touch"])
        assert found == ((False, witness) if witness else (refuted, None))


def test_a_wide_layer_is_read_a_few_features_at_a_time(monkeypatch):
    """The rows are those of the layer; no square of its width is laid out."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    bias = torch.randn(300, generator=generator, dtype=torch.float64)
    shapes = []
    adjoint = Linear.adjoint
    monkeypatch.setattr(Linear, "adjoint", lambda self, v: shapes.append(tuple(v.shape)) or adjoint(self, v))
    monkeypatch.setattr(bound, "RATIONAL", replace(bound.RATIONAL, entries=3000))
    found = bound.rational_affine(Linear(weight, bias), [2], 300)
    assert found is not None
    (rows,), offset = found
    assert [[row[i] for i in range(2)] for row in rows] == [[Fraction(a) for a in row] for row in weight.tolist()]
    assert offset == tuple(map(Fraction, bias.tolist()))
    assert shapes == [(10, 300)] * 30
    monkeypatch.setattr(bound, "RATIONAL", replace(bound.RATIONAL, numbers=599))
    assert bound.rational_affine(Linear(weight, bias), [2], 300) is None
