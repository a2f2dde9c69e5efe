"""Building graphs, evaluating them, and refusing those that float64 cannot hold."""

from __future__ import annotations

import pytest
import torch

from netproof.errors import ExactnessError
from netproof.graph.exactness import EXACT_LIMIT, check_exact
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear


def linear(weight: list[list[float]], bias: list[float] | None = None) -> Linear:
    matrix = torch.tensor(weight, dtype=torch.float64)
    offset = torch.zeros(len(weight)) if bias is None else torch.tensor(bias)
    return Linear(matrix, offset.double())


def small() -> Graph:
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    node = builder.add("first", linear([[1, 2], [3, -4], [0, 1]], [0, 1, -1]), builder.input)
    node = builder.add("steps", Staircase.fixed_point(1, 0, 7), node)
    builder.add("second", linear([[1, -1, 2]], [5]), node)
    return builder.build()


def single(operator: Linear | Staircase, features: int = 1) -> Graph:
    builder = GraphBuilder(Arithmetic.INTEGER, (features,))
    builder.add("only", operator, builder.input)
    return builder.build()


def ends(low: float, high: float, features: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((features,), low, dtype=torch.float64), torch.full((features,), high, dtype=torch.float64)


def test_values_of_every_node_by_hand() -> None:
    values = small().values(torch.tensor([[2.0, 1.0], [0.0, 0.0]]).double())
    assert [v.tolist() for v in values] == [
        [[2, 1], [0, 0]],
        [[4, 3, 0], [0, 1, -1]],
        [[2, 2, 0], [0, 1, 0]],
        [[5], [4]],
    ]
    assert small().evaluate(torch.tensor([2.0, 1.0]).double()).tolist() == [5]


def test_nodes_are_in_order_and_activations_known() -> None:
    graph = small()
    assert [node.name for node in graph.nodes] == ["input", "first", "steps", "second"]
    assert [node.operands for node in graph.nodes] == [(), (0,), (1,), (2,)]
    assert [node.shape for node in graph.nodes] == [(2,), (3,), (3,), (1,)]
    assert graph.activations == (2,)
    assert graph.input.size == 2 and graph.output.size == 1
    assert isinstance(graph.activation(2), Staircase)


def test_shapes_that_do_not_fit_are_refused_where_they_are_added() -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (2, 3))
    with pytest.raises(ValueError, match="operand has 6 values, the weight takes 5"):
        builder.add("dense", linear([[1, 2, 3, 4, 5]]), builder.input)
    node = builder.add("dense", linear([[1] * 6] * 3), builder.input)
    with pytest.raises(ValueError, match="2 channels do not divide 3 features"):
        builder.add("steps", Staircase(torch.zeros(2, 1), torch.zeros(2)), node)
    with pytest.raises(ValueError, match="operand has 3 values, the weight takes 2"):
        builder.add("dense", linear([[1, 1]]), node)
    # What was refused is not in the graph.
    assert [node.name for node in builder.build().nodes] == ["input", "dense"]


def test_the_builder_may_go_on_after_a_graph_was_taken() -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    node = builder.add("dense", linear([[2]]), builder.input)
    graph = builder.build()
    builder.add("more", linear([[3]]), node)
    assert len(graph.nodes) == 2 and len(builder.build().nodes) == 3


def test_another_dtype_is_another_graph() -> None:
    graph = small()
    light = graph.to(torch.float32)
    x = torch.tensor([[2.0, 1.0]])
    assert light.evaluate(x).dtype == torch.float32
    assert light.evaluate(x).tolist() == graph.evaluate(x.double()).tolist()
    assert light.activations == graph.activations and light.arithmetic is graph.arithmetic
    assert graph.evaluate(x.double()).dtype == torch.float64


def test_exact_up_to_the_limit_and_refused_from_there() -> None:
    limit = int(EXACT_LIMIT)
    check_exact(single(linear([[1]], [limit - 1 - 255])), *ends(0, 255))
    with pytest.raises(ExactnessError, match=r"node 'only' \(linear\) can reach 4.5e\+15, beyond 2\^52"):
        check_exact(single(linear([[1]], [limit - 255])), *ends(0, 255))


def test_cancellation_does_not_hide_a_partial_sum() -> None:
    """The value is always 0; summing up, it passes the limit."""
    big = float(1 << 50)
    check_exact(single(linear([[big, -big]]), 2), *ends(0, 1, 2))
    with pytest.raises(ExactnessError):
        check_exact(single(linear([[big, -big]]), 2), *ends(3, 3, 2))
    with pytest.raises(ExactnessError):
        check_exact(single(linear([[0.0]], [float(1 << 52)])), *ends(0, 0))


def test_negative_inputs_count_by_their_magnitude() -> None:
    with pytest.raises(ExactnessError):
        check_exact(single(linear([[float(1 << 50)]])), *ends(-4, 0))


def test_a_staircase_brings_magnitudes_back() -> None:
    def graph(high: int) -> Graph:
        builder = GraphBuilder(Arithmetic.INTEGER, (1,))
        node = builder.add("first", linear([[float(1 << 30)]]), builder.input)
        node = builder.add("steps", Staircase.fixed_point(20, 0, high), node)
        builder.add("second", linear([[float(1 << 44)]]), node)
        return builder.build()

    check_exact(graph(255), *ends(0, 255))
    with pytest.raises(ExactnessError, match="'second'"):
        check_exact(graph(256), *ends(0, 255))


def test_the_source_is_named_and_a_mend_given() -> None:
    with pytest.raises(ExactnessError) as raised:
        check_exact(single(linear([[float(1 << 60)]])), *ends(0, 1), source="big.h5")
    assert raised.value.source == "big.h5"
    assert raised.value.hint


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["weight", "bias"])
def test_nan_and_infinity_are_not_exact(bad: float, place: str) -> None:
    graph = single(linear([[bad]]) if place == "weight" else linear([[1]], [bad]))
    with pytest.raises(ExactnessError):
        check_exact(graph, *ends(0, 1))


@pytest.mark.parametrize(
    "operator",
    [
        linear([[0.5]]),
        linear([[1]], [0.25]),
        Staircase(torch.tensor([[0.5]]).double(), torch.zeros(1).double()),
        Staircase(torch.tensor([[0.0, 0.5]]).double(), torch.zeros(1).double()),
        Staircase(torch.tensor([[0.0]]).double(), torch.tensor([0.5]).double()),
    ],
    ids=["weight", "bias", "threshold", "step", "base"],
)
def test_a_parameter_that_is_no_integer_is_refused(operator: Linear | Staircase) -> None:
    with pytest.raises(ExactnessError):
        check_exact(single(operator), *ends(0, 1))


def test_thresholds_beyond_the_limit_are_refused() -> None:
    """Counting subtracts them, and that must be exact, too."""
    far = torch.arange(3).double() * 2.0**59 - 2.0**60
    with pytest.raises(ExactnessError):
        check_exact(single(Staircase(far[None], torch.zeros(1).double())), *ends(-1, 1))
