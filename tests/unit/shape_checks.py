"""Run by ``test_shapes`` in a process of its own, in which every call's shapes are checked (``tests/shapes.py``).

Bounds of every kind on graphs of every operator: what goes through them must have the shapes that signatures say.
"""

from __future__ import annotations

import inspect
import math

import jaxtyping
import pytest
import torch
from torch import Tensor

from netproof.bounds.boxes import box_lines, refine_with_account
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import DualPoint, crown, evaluate_dual, given, relaxed_values
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.intervals import interval_bound
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.mixture import best_mixture, crown_mixture
from netproof.bounds.multipliers.ranges import crown_parameters, optimize
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual, is_piecewise_linear
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import form_ranges
from netproof.bounds.ranges.halves import Tried, Whole
from netproof.bounds.ranges.reduce import reduce_ranges
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.ranges.refine_alpha import refine_by_alpha
from netproof.bounds.ranges.tighten import tighten_ranges
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.held import Held
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.shares import Shares
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.staircase import Staircase
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Activation, Affine, Operator

#: one number per channel everywhere, and one set of thresholds for all
ACTIVATIONS: list[Activation] = [
    ReLU(),
    LeakyReLU(0.125),
    Abs(),
    Clip(-1.0, 2.0),
    Sigmoid(),
    Tanh(),
    Held(),
    Shares(2),
    Product(),
    Quotient(),
    Staircase(torch.tensor([[-9.0, 0.0, 4.0, 30.0]]).double(), torch.zeros(1).double()),
]
ROWS = 3


def whole(*shape: int) -> Tensor:
    """The same small whole numbers every time."""
    count = math.prod(shape)
    return (torch.arange(count, dtype=torch.float64) * 7 % 5 - 2).reshape(shape)


def every_affine(activation: Activation) -> Graph:
    """Every affine operator, with the activation three times among them."""
    arithmetic = Arithmetic.INTEGER if isinstance(activation, Staircase) else Arithmetic.REAL
    b = GraphBuilder(arithmetic, (1, 3, 3))
    flat = ((0, 0), (0, 0))
    at = b.add("convolution", Convolution(whole(2, 1, 2, 2), whole(2), (1, 3, 3), (1, 1), flat, (1, 1)), b.input)
    at = b.add("first", activation, at)
    at = b.add("up", TransposedConvolution(whole(2, 1, 2, 2), whole(1), (2, 2, 2), (1, 1), flat, (1, 1), (0, 0)), at)
    scaled = b.add("scale", Scale(9, whole(1) + 3, whole(1)), at)
    at = b.add("select", Select(torch.arange(9).flip(0), 9, (9,)), scaled)
    at = b.add("concatenate", Concatenate((9, 9)), at, scaled)
    at = b.add("second", activation, at)
    at = b.add("blocks", BlockLinear(whole(1, 2, 3), 6, (6, 2)), at)
    again = b.add("third", activation, at)
    at = b.add("sum", Sum((1, -1)), again, at)
    b.add("outputs", Linear(whole(4, 12), whole(4)), at)
    return b.build()


def concrete(kind: type) -> set[type[Operator]]:
    below = {one for child in kind.__subclasses__() for one in concrete(child)}
    return below if inspect.isabstract(kind) else below | {kind}


def test_every_operator_has_its_turn():
    used = {type(node.operator) for activation in ACTIVATIONS for node in every_affine(activation).nodes[1:]}
    # A batch norm is a scale with numbers of its own.
    assert used >= {
        one for one in concrete(Affine) | concrete(Activation) if one.__module__.startswith("netproof.")
    } - {BatchNorm}


def regions(graph: Graph) -> Region:
    low = whole(ROWS, graph.input.size)
    return box_region(graph, low, low + 1)


def shapes(point: DualPoint, graph: Graph) -> None:
    assert point.value.shape == (ROWS,) and point.x.shape == (ROWS, graph.input.size)
    assert len(relaxed_values(point)) == len(graph.nodes)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.name)
def test_bounds_of_every_operator(activation):
    graph = every_affine(activation)
    region, last = regions(graph), len(graph.nodes) - 1
    relaxation = Relaxation(graph, region)
    objective = Objective({last: whole(ROWS, 4)}, whole(ROWS))
    start, value = crown_parameters(relaxation, objective)
    best, lower = optimize(relaxation, objective, start, Until(3))
    assert bool((lower <= value).all())
    shapes(evaluate_dual(relaxation, objective, best.multipliers()), graph)
    shapes(evaluate_dual(relaxation, objective, crown(relaxation.hulls)).take(torch.arange(ROWS)), graph)
    several = Objective({last: whole(ROWS, 2, 4)}, whole(ROWS, 2))
    assert box_lines(relaxation, several).value.shape == interval_bound(relaxation, several).shape == (ROWS, 2)
    one = Relaxation(graph, region.take(torch.tensor([0])))
    assert crown_lines(one, objective).value.shape == (ROWS,)
    mixed = crown_mixture(relaxation, lambda weight: Objective({last: weight}, weight.sum(1)), whole(ROWS, 4))
    assert mixed.shape == (ROWS, 4)
    for k, index in enumerate(graph.activations):
        low, high = region.range_lower[k], region.range_upper[k]
        middle = (low + high) / 2
        f, hull = graph.activation(index), relaxation.hulls[k]
        points = f.evaluate(middle), f.surrogate(middle, 0.5), f.surrogate_slope(middle, 1.0), f.below(middle)
        assert all(one.shape == low.shape for one in (*points, f.split_point(middle, low, high)))
        assert hull.height(middle, middle).shape == hull.slope(middle, middle).shape == low.shape
        assert hull.superlevel(middle, middle, middle)[0].shape == low.shape


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.name)
def test_what_decides_and_what_makes_ranges_smaller(activation):
    graph = every_affine(activation)
    region, last = regions(graph), len(graph.nodes) - 1
    relaxation, objective = Relaxation(graph, region), Objective({last: whole(ROWS, 4)}, whole(ROWS), whole(ROWS).abs())
    start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
    if graph.arithmetic is Arithmetic.INTEGER:
        exact, exponent = evaluate_exact(relaxation, objective, start.s)
        assert exponent.shape == (ROWS,)
        assert len(reduce_ranges(exact)) == len(tighten_ranges(graph, region)) == ROWS
        return
    rounding = Rounding.of(graph, region)
    shapes(evaluate_dual(relaxation, objective, given(start.s), rounding), graph)
    assert crown_lines(relaxation, objective, rounding).value.shape == (ROWS,)
    assert len(refine_ranges(graph, region)) == len(form_ranges(graph, region)) == ROWS
    assert len(refine_with_account(graph, region)[0]) == ROWS
    one = region.take(torch.tensor([0]))
    if is_piecewise_linear(graph, one):
        dual = SignDual.of(graph, one)
        shape = ROWS, len(dual)
        side = torch.tensor([LEFT, 0, RIGHT], dtype=torch.int8)[:, None].expand(shape).clone()
        choice = Choice(dual.crown_alpha().expand(shape), torch.ones(shape).double(), torch.zeros(ROWS, 2).double())
        choice, value = optimize_signs(dual, lambda rows, _: objective.take(rows), side, choice, Until(3, 0.0))
        bound = dual.bound(objective, side, choice.alpha, choice.beta, rounding)
        assert bound.value.shape == value.shape == (ROWS,) and len(dual.part(side[0])) == 1
        feature = torch.zeros(ROWS, dtype=torch.int64)
        stages: dict[int, Objective] = {}
        point = dual.bound(objective, side, choice.alpha, choice.beta, stages=stages)
        parts = Whole(side, choice.alpha, choice.beta, point, stages)
        assert Tried(dual, parts, torch.arange(ROWS), feature).value.shape == (2, ROWS)
        assert len(refine_by_alpha(graph, one, 2, math.inf)) == len(SplitRefiner(graph).refine(one, 0.2)) == 1


def test_a_wrong_shape_is_noticed():
    two, three = torch.zeros(2, 3), torch.zeros(3, 3)
    wrong = [
        lambda: Region(two, torch.zeros(2, 4), (), ()),
        lambda: Region(two, two, (three,) * 2, (three,) * 2),
        lambda: Objective({0: two}, torch.zeros(3)),
        lambda: ReLU().output_range(two, three),
        lambda: Linear(whole(4, 12), whole(4)).offset(torch.zeros(2, 4, dtype=torch.int64)),
        lambda: best_mixture(torch.zeros(2, 5, 3), torch.zeros(2, 4), two, two),
    ]
    for call in wrong:
        with pytest.raises(jaxtyping.TypeCheckError):
            call()
