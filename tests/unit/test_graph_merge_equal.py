"""Equal nodes become one, and a difference of equal values 0; what only looks equal stays apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, numpy_helper

from netproof.formats.onnx.read import read_onnx
from netproof.graph.equality import same_graph
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.merge_equal import merge_equal
from netproof.graph.passes.simplify import simplify
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from onnx_models import model, node, random_inputs, run_netproof, run_onnxruntime, save


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def linear(seed: int) -> Linear:
    generator = torch.Generator().manual_seed(seed)
    return Linear(torch.randn(3, 2, generator=generator, dtype=torch.float64), tensor(1, 2, 3))


def towers(one: list, other: list, signs: tuple[int, ...] = (1, -1)) -> Graph:
    """Two chains of operators from the input, added."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    ends = []
    for number, chain in enumerate((one, other)):
        at = builder.input
        for depth, operator in enumerate(chain):
            at = builder.add(f"{number}/{depth}", operator, at)
        ends.append(at)
    builder.add("sum", Sum(signs), *ends)
    return builder.build()


def test_difference_of_equal_towers_is_zero():
    graph = merge_equal(towers([linear(0), ReLU(), Scale(3, tensor(3), tensor(1))],
                               [linear(0), ReLU(), Scale(3, tensor(3), tensor(1))]))  # fmt: skip
    assert [n.operator.name for n in graph.nodes] == ["input", "select"]
    assert graph.output.shape == (3,)
    assert graph.evaluate(tensor(5, torch.inf)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("signs", "names", "factor"),
    [((1, 1), ["input", "linear", "relu", "scale"], 2), ((-1, -1), ["input", "linear", "relu", "scale", "scale"], -2)],
)
def test_sum_of_equal_towers_is_a_factor(signs, names, factor):
    graph = towers([linear(0), ReLU()], [linear(0), ReLU()], signs)
    merged = merge_equal(graph)
    assert [n.operator.name for n in merged.nodes] == names
    x = torch.randn(5, 2, dtype=torch.float64)
    assert torch.equal(merged.evaluate(x), factor * merged.values(x)[2])
    assert torch.equal(merged.evaluate(x), graph.evaluate(x))
    last = merged.output.operator
    assert isinstance(last, Scale) and last.roundings == 0


def test_factors_of_a_sum_of_many():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    a, b = builder.add("a", ReLU(), 0), builder.add("b", ReLU(), 0)
    c = builder.add("c", Scale(2, tensor(5), tensor(0)), 0)
    builder.add("y", Sum((1, 1, -1, 1, -1, -1)), a, b, c, 0, 0, c)
    graph = builder.build()
    merged = merge_equal(graph)
    x = torch.randn(7, 2, dtype=torch.float64)
    assert torch.allclose(merged.evaluate(x), graph.evaluate(x))
    assert sorted(n.operator.name for n in merged.nodes) == ["input", "relu", "scale", "scale", "scale", "sum"]


def test_sums_in_another_order_are_equal():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    a, b = builder.add("a", ReLU(), 0), builder.add("b", Clip(0, 1), 0)
    one, other = builder.add("one", Sum((1, -1)), a, b), builder.add("other", Sum((-1, 1)), b, a)
    builder.add("y", Sum((1, -1)), one, other)
    assert [n.operator.name for n in merge_equal(builder.build()).nodes] == ["input", "select"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([linear(0)], [linear(1)]),
        ([Clip(0, 1)], [Clip(0, 2)]),
        ([ReLU()], [Clip(0, 1)]),
        ([Linear(linear(0).weight, tensor(1, 2, 3))], [Linear(linear(0).weight, tensor(1, 2, 4))]),
        ([Select(torch.tensor([0, 1]), 2, (2,))], [Select(torch.tensor([1, 0]), 2, (2,))]),
        ([Scale(2, tensor(3), tensor(0))], [Scale(2, tensor(3, 3), tensor(0))]),  # equal, but not in form
        ([Scale(2, tensor(1 / 3), tensor(0), 1)], [Scale(2, tensor(1 / 3), tensor(0), 1)]),
        ([Scale(2, tensor(1), tensor(0), 0, tensor(1e-9))], [Scale(2, tensor(1), tensor(0), 0, tensor(1e-9))]),
    ],
)
def test_what_is_not_known_to_be_equal_stays(one, other):
    graph = towers(one, other)
    assert merge_equal(graph) is graph


def test_rounded_operators_are_equal_where_they_are_one():
    third = Scale(2, tensor(1 / 3), tensor(0), 1)
    assert [n.operator.name for n in merge_equal(towers([third], [third])).nodes] == ["input", "select"]


def test_batch_norms_tell_what_they_are_computed_from():
    def norm(variance: float) -> BatchNorm:
        parts = {"gain": tensor(1), "bias": tensor(0), "mean": tensor(0), "variance": tensor(variance), "epsilon": 0.0}
        return BatchNorm(2, tensor(0.5), tensor(0), 3, tensor(1e-16), **parts)

    assert len(merge_equal(towers([norm(4.0)], [norm(4.0)])).nodes) == 2
    # Numbers that round to one scale; their difference is not 0.
    assert len(merge_equal(towers([norm(4.0)], [norm(4.0 + 2.0**-50)])).nodes) == 4


def test_many_nodes_of_one_outline():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    ends = [builder.add(f"{i}", Scale(2, tensor(1), tensor(float(i % 7))), 0) for i in range(40)]
    builder.add("y", Sum((1,) * 40), *ends)
    graph = builder.build()
    merged = simplify(graph)
    assert sum(n.operator.name == "sum" for n in merged.nodes) == 1
    assert len(merged.nodes) == 1 + 7 + 1  # seven scales, each with its factor taken in
    x = torch.randn(3, 2, dtype=torch.float64)
    assert torch.allclose(merged.evaluate(x), graph.evaluate(x))


def test_graphs_are_the_same_by_value():
    assert same_graph(towers([linear(0)], [linear(1)]), towers([linear(0)], [linear(1)]))
    assert not same_graph(towers([linear(0)], [linear(1)]), towers([linear(1)], [linear(0)]))
    assert not same_graph(towers([ReLU()], []), towers([ReLU()], [ReLU()]))


# -- files


def twin(kind: str) -> tuple[list, dict[str, np.ndarray]]:
    """A network and a copy of it, whose constants have other names, and their difference."""
    nodes, constants = [], {}
    random = np.random.default_rng(0)
    numbers = {
        "w": random.normal(size=(4, 6)), "b": random.normal(size=6), "c": np.array([3.0, 7.0, 11.0, 5.0, 9.0, 13.0]),
        "g": np.ones(6) * 1.3, "m": random.normal(size=6), "v": random.random(6) + 0.5,
    }  # fmt: skip
    for t in "ab":
        constants |= {f"{name}{t}": array for name, array in numbers.items()}
        nodes.append(node("Gemm", ["x", f"w{t}", f"b{t}"], [f"h{t}"]))
        nodes.append(node("Relu", [f"h{t}"], [f"r{t}"]))
        step = {
            "div": [node("Div", [f"r{t}", f"c{t}"], [f"o{t}"])],
            "norm": [node("BatchNormalization", [f"r{t}", *(f"{p}{t}" for p in "gbmv")], [f"o{t}"])],
            "mean": [node("ReduceMean", [f"r{t}"], [f"o{t}"], axes=[1])],
            "sigmoid": [node("Sigmoid", [f"r{t}"], [f"o{t}"])],
        }[kind]
        nodes += step
    return [*nodes, node("Sub", ["oa", "ob"])], constants


@pytest.mark.parametrize("kind", ["div", "norm", "mean", "sigmoid"])
def test_twins_in_a_file(kind, tmp_path):
    nodes, constants = twin(kind)
    graph = read_onnx(save(tmp_path / "net.onnx", model(nodes, (1, 4), constants))).graph
    assert [n.operator.name for n in graph.nodes] == ["input", "select"]


def test_divisors_with_one_reciprocal(tmp_path):
    """Two float64 numbers whose reciprocals round to one: their quotients are not equal."""
    divisor = next(d for d in (1.9 + k * 2.0**-52 for k in range(60)) if 1 / d == 1 / (d + 2.0**-52))
    made = model([node("Div", ["x", "c"], ["a"]), node("Div", ["x", "d"], ["b"]), node("Sub", ["a", "b"])], (1, 2))
    for name, value in (("c", divisor), ("d", divisor + 2.0**-52)):
        made.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    for value in (made.graph.input[0], made.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    graph = read_onnx(save(tmp_path / "net.onnx", made)).graph
    assert [n.operator.name for n in graph.nodes] == ["input", "scale", "scale", "sum"]


def test_towers_that_share_constants_only_in_part(tmp_path):
    nodes, constants = twin("sigmoid")
    constants["bb"] = constants["bb"] + np.array([0, 0, 0, 0, 0, 0.5])
    path = save(tmp_path / "net.onnx", model(nodes, (1, 4), constants))
    inputs = random_inputs((1, 4))
    for mine, theirs in zip(
        run_netproof(read_onnx(path), inputs), run_onnxruntime(path.read_bytes(), inputs), strict=True
    ):
        assert np.abs(mine - theirs).max() < 1e-5 and np.abs(theirs).max() > 0


def test_twins_of_integers(tmp_path):
    """Networks of integers, too: the difference of two equal accumulators is 0."""
    nodes = []
    for t in "ab":
        nodes.append(node("MatMulInteger", ["x", f"w{t}"], [f"p{t}"]))
        nodes.append(node("Relu", [f"p{t}"], [f"r{t}"]))
    weight = np.array([[1, -2], [3, 4]], np.int8)
    made = model([*nodes, node("Sub", ["ra", "rb"])], (1, 2), {"wa": weight, "wb": weight}, opset=14)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    graph = read_onnx(save(tmp_path / "net.onnx", made)).graph
    assert graph.arithmetic is Arithmetic.INTEGER
    assert [n.operator.name for n in graph.nodes] == ["input", "select"]
    assert graph.evaluate(tensor(7, 9)).tolist() == [0, 0]
