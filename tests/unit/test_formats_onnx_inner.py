"""Functions that a model defines, branches, and numbers of 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof.errors import FormatError
from netproof.formats.ledger import Ledger
from netproof.formats.onnx.call import NodeError, Translation, Variable
from netproof.formats.onnx.container.external import Surroundings
from netproof.formats.onnx.nodes.wholes import check_sizes
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.property import Box, LinearConstraint, Property, PropertyPart
from onnx_models import assert_agrees, model, node, random_inputs, save


def with_functions(nodes, functions, opset=13):
    made = model(nodes, (1, 3), {"w": np.arange(3.0)}, opset=opset)
    made.functions.extend(functions)
    for domain in {function.domain for function in functions}:
        made.opset_import.append(helper.make_opsetid(domain, 1))
    return made


def function(name, nodes, inputs=("a",), outputs=("b",), domain="local", opset=13, attributes=()):
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(domain, 1)]
    return helper.make_function(domain, name, list(inputs), list(outputs), nodes, opsets, list(attributes))


def call(name, inputs, outputs, domain="local", **attributes):
    return helper.make_node(name, inputs, outputs, domain=domain, **attributes)


def refused(path, *parts):
    with pytest.raises(FormatError) as caught:
        netproof.load(path)
    for part in parts:
        assert part in str(caught.value) and "\n" not in str(caught.value)


def test_functions_of_a_model(tmp_path):
    bend = function("Bend", [node("Relu", ["a"], ["r"]), node("Mul", ["r", "a"], ["b"])])
    twice = function("Twice", [call("Bend", ["a"], ["m"]), call("Bend", ["m"], ["b"])])
    made = with_functions([call("Twice", ["x"], ["t"]), node("Add", ["t", "w"])], [bend, twice])
    assert_agrees(save(tmp_path / "net.onnx", made), random_inputs((1, 3)))


def test_functions_that_are_refused(tmp_path):
    first = function("First", [call("Second", ["a"], ["b"])])
    second = function("Second", [call("First", ["a"], ["b"])])
    made = with_functions([call("First", ["x"], ["y"])], [first, second])
    refused(save(tmp_path / "cycle.onnx", made), "calls itself, or is nested too deeply")
    made = with_functions([call("Same", ["x"], ["y"])], [function("Same", [node("Relu", ["a"], ["b"])])] * 2)
    refused(save(tmp_path / "same.onnx", made), "defines the function 'Same' twice")
    # Each calls the one before it twice: a file of a few kilobytes, and 2^24 nodes.
    chain = [function("F0", [node("Relu", ["a"], ["b"])])]
    chain += [
        function(f"F{i}", [call(f"F{i - 1}", ["a"], ["m"]), call(f"F{i - 1}", ["m"], ["b"])]) for i in range(1, 25)
    ]
    refused(
        save(tmp_path / "bomb.onnx", with_functions([call("F24", ["x"], ["y"])], chain)),
        "more nodes than can be handled",
    )
    made = with_functions([call("Missing", ["x"], ["y"])], [function("Other", [node("Relu", ["a"], ["b"])])])
    refused(save(tmp_path / "missing.onnx", made), "(Missing of 1x3) is an unknown operator of domain 'local'")


def bent(attribute="slope", **stated):
    """A node whose attribute is one of the function around it."""
    made = helper.make_node("LeakyRelu", ["a"], ["b"], **stated)
    made.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name=attribute, type=onnx.AttributeProto.FLOAT))
    return made


def test_defaults_of_what_a_call_leaves_out(tmp_path):
    """Left out, an attribute is the function's default, not that of the operator inside (0.01)."""
    bend = function("Bend", [bent()])
    bend.attribute_proto.append(helper.make_attribute("slope", 0.3))
    outer = function("Outer", [call("Bend", ["a"], ["b"])])
    other = function("Other", [call("Bend", ["a"], ["b"])])
    other.node[0].attribute.append(
        onnx.AttributeProto(name="slope", ref_attr_name="steep", type=onnx.AttributeProto.FLOAT)
    )
    inputs = [*random_inputs((1, 3)), np.full((1, 3), -1.0, np.float32)]
    for nodes in (
        [call("Bend", ["x"], ["y"])],
        [call("Bend", ["x"], ["y"], slope=0.7)],
        [call("Outer", ["x"], ["y"])],
    ):
        assert_agrees(save(tmp_path / "net.onnx", with_functions(nodes, [bend, outer])), inputs)
    other.attribute_proto.append(helper.make_attribute("steep", 0.6))
    made = with_functions([call("Other", ["x"], ["y"])], [bend, other])
    assert_agrees(save(tmp_path / "handed on.onnx", made), inputs)
    # Whether the inner default holds depends on whether there is anything to hand on.
    del other.attribute_proto[:]
    other.attribute.append("steep")
    made = with_functions([call("Other", ["x"], ["y"], steep=0.5)], [bend, other])
    refused(save(tmp_path / "perhaps.onnx", made), "'Bend' hands on the attribute 'steep', which need not be there")


def test_overloads_of_a_function(tmp_path):
    first, second = (function("Some", [node(name, ["a"], ["b"])]) for name in ("Relu", "Neg"))
    first.overload, second.overload = "first", "second"
    for wanted in ("first", "second"):
        made = with_functions([call("Some", ["x"], ["y"])], [first, second])
        made.graph.node[0].overload = wanted
        made.ir_version = 10
        assert_agrees(save(tmp_path / "net.onnx", made), random_inputs((1, 3)))


def branching(condition_nodes, constants, then, otherwise, opset=13):
    """A model whose output is that of a branch."""

    def graph(nodes, name):
        values = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
        return helper.make_graph(nodes, name, [], values)

    branch = helper.make_node(
        "If", ["c"], ["i"], then_branch=graph(then, "then"), else_branch=graph(otherwise, "otherwise")
    )
    return model([*condition_nodes, branch, node("Neg", ["i"])], (1, 3), constants, opset=opset)


THEN, ELSE = [node("Relu", ["x"], ["out"])], [node("Mul", ["x", "w"], ["m"]), node("Add", ["m", "h"], ["out"])]


def test_a_branch_whose_condition_is_known(tmp_path):
    sizes = [node("Size", ["x"], ["n"]), node("Equal", ["n", "k"], ["c"]), node("Exp", ["x"], ["h"])]
    for k in (3, 4):
        made = branching(sizes, {"k": np.array(k), "w": np.arange(3.0)}, THEN, ELSE)
        network = assert_agrees(save(tmp_path / "net.onnx", made), random_inputs((1, 3)))
        assert ("relu" in [n.operator.name for n in network.graph.nodes]) == (k == 3)
    # A value of the graph around it, or a constant, as it is.
    made = branching([], {"c": np.array(False), "w": np.arange(3.0)}, THEN, [node("Identity", ["x"], ["out"])])
    assert_agrees(save(tmp_path / "net.onnx", made), random_inputs((1, 3)))


def test_branches_that_are_refused(tmp_path):
    depends = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Greater", ["s", "z"], ["c"]),
        node("Exp", ["x"], ["h"]),
    ]
    made = branching(depends, {"z": np.array(0.0), "w": np.arange(3.0)}, THEN, ELSE)
    refused(save(tmp_path / "net.onnx", made), "its condition is not known without the input")
    constants = {"c": np.array(True), "w": np.arange(3.0)}
    made = branching([], constants, [node("Relu", ["ghost"], ["out"])], [node("Identity", ["x"], ["out"])])
    refused(save(tmp_path / "net.onnx", made), "nothing gives the value 'ghost'")
    made = branching([], constants, [node("Relu", ["x"], ["out"], alpha=1.0)], [node("Identity", ["x"], ["out"])])
    refused(save(tmp_path / "net.onnx", made), "has the attribute 'alpha'")
    made = branching([], constants, [node("Relu", ["x"], ["out"])], [node("Identity", ["x"], ["out"])])
    del made.graph.node[0].attribute[1]
    refused(save(tmp_path / "net.onnx", made), "no attribute", "which it needs")


def of_integers(then, after, **constants):
    """A model whose branch gives integers, or truth values, and what is done with them behind it."""
    kind = TensorProto.BOOL if then.op_type == "Greater" else TensorProto.INT64
    branches = {}
    for name, one in (("then_branch", then), ("else_branch", node("Cast", ["x"], ["out"], to=kind))):
        value = helper.make_tensor_value_info("out", kind, None)
        branches[name] = helper.make_graph([one], name, [], [value])
    nodes = [helper.make_node("If", ["c"], ["i"], **branches), node("Identity", ["i"], ["j"]), *after]
    return model(nodes, (1, 3), {"c": np.array(True), **constants})


def test_what_stands_behind_a_branch_knows_that_it_is_about_integers(tmp_path):
    """An operator that means something else for integers is refused there as anywhere."""
    whole = node("Cast", ["x"], ["out"], to=TensorProto.INT64)
    last = node("Cast", ["k"], ["y"], to=TensorProto.FLOAT)
    inputs = [np.array([x], np.float32) for x in ([3.0, -3.0, 5.7], [0.5, -0.5, -7.9])]
    assert_agrees(save(tmp_path / "net.onnx", of_integers(whole, [node("Neg", ["j"], ["k"]), last])), inputs)
    truth = node("Greater", ["x", "w"], ["out"])
    both = of_integers(truth, [node("Identity", ["j"], ["k"]), last], w=np.zeros(3))
    assert_agrees(save(tmp_path / "net.onnx", both), inputs)
    for one in (node("ReduceMean", ["j"], ["k"], axes=[1]), node("Div", ["j", "two"], ["k"])):
        made = of_integers(whole, [one, last], two=np.array([2], np.int64))
        refused(save(tmp_path / "net.onnx", made), "an operand that depends on the input is an integer")
    doubled = [node("Add", ["j", "j"], ["t0"]), *(node("Add", [f"t{i}"] * 2, [f"t{i + 1}"]) for i in range(14))]
    made = of_integers(whole, [*doubled, node("Cast", ["t14"], ["y"], to=TensorProto.FLOAT)])
    refused(save(tmp_path / "net.onnx", made), "so large that runtimes may wrap around")
    mixed = of_integers(whole, [node("Add", ["j", "w"], ["k"]), last], w=np.zeros(3))
    refused(save(tmp_path / "net.onnx", mixed), "mixes operands of int64 and float32")


def test_a_value_whose_type_is_not_known_is_refused():
    translation = Translation(
        Path("net"), GraphBuilder(Arithmetic.REAL, (3,)), 13, Surroundings(Path("net"), Ledger(1)), {}
    )
    with pytest.raises(NodeError, match="whose type is not known"):
        check_sizes(node("Relu", ["x"]), [Variable(0, (3,))], (Variable(1, (3,)),), translation)


def test_names_inside_a_branch(tmp_path):
    """One name for one value, as ONNX has it: else its type, or its number, may be another's."""
    constants = {"c": np.array(True), "w": np.arange(3.0)}
    other = [node("Identity", ["x"], ["out"])]
    for name in ("x", "w", "h", "i", "y"):
        then = [node("Exp", ["x"], [name]), node("Relu", [name], ["out"])]
        made = branching([node("Abs", ["x"], ["h"])], constants, then, other)
        refused(save(tmp_path / "net.onnx", made), f"value '{name}' is given twice", "around it")
        # The branch that is not taken is a part of the file as well.
        made = branching([node("Abs", ["x"], ["h"])], constants, other, then)
        refused(save(tmp_path / "net.onnx", made), f"value '{name}' is given twice", "around it")
    then = [node("Exp", ["x"], ["t"]), node("Neg", ["x"], ["t"]), node("Relu", ["t"], ["out"])]
    refused(save(tmp_path / "net.onnx", branching([], constants, then, other)), "'t' is given twice", "there again")
    made = branching([], constants, [node("Add", ["x", "w"], ["out"])], other)
    made.graph.node[0].attribute[0].g.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    refused(save(tmp_path / "net.onnx", made), "value 'w' is given twice", "around it")


def test_branches_beside_one_another_may_have_the_same_names(tmp_path):
    """Of a node in one and a constant in the other the type is that of the branch that is taken."""
    cast = [node("Cast", ["x"], ["t"], to=TensorProto.INT64), node("Cast", ["t"], ["out"], to=TensorProto.FLOAT)]
    first = branching([], {"c": np.array(True)}, cast, [node("Identity", ["x"], ["out"])])
    again = branching([], {"c": np.array(True)}, [node("Mul", ["x", "t"], ["out"])], [node("Identity", ["x"], ["out"])])
    second = again.graph.node[0]
    (then,) = (attribute.g for attribute in second.attribute if attribute.name == "then_branch")
    then.initializer.append(numpy_helper.from_array(np.array([0.5], np.float32), "t"))
    second.output[0] = "k"
    del first.graph.node[1]
    first.graph.node.extend([second, node("Add", ["i", "k"])])
    assert_agrees(save(tmp_path / "net.onnx", first), [np.array([[3.75, -3.75, 0.5]], np.float32)])


def half(kind, weight, opset=13):
    """``relu(x w)`` with all numbers of a type of 16 bits."""
    tensor = (
        numpy_helper.from_array(weight.astype(np.float16), "w")
        if kind == TensorProto.FLOAT16
        else helper.make_tensor("w", kind, weight.shape, weight.reshape(-1).tolist())
    )
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], ["p"]), node("Relu", ["p"])],
        "half",
        [helper.make_tensor_value_info("x", kind, [1, 2])],
        [helper.make_tensor_value_info("y", kind, [1, 2])],
        [tensor],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


def test_float16_throughout(tmp_path):
    weight = np.array([[0.1, -1.5], [2.0, 0.75]])
    network = netproof.load(save(tmp_path / "net.onnx", half(TensorProto.FLOAT16, weight)))
    x = torch.tensor([0.5, 0.25], dtype=torch.float64)
    rounded = torch.from_numpy(weight.astype(np.float16).astype(np.float64))
    assert torch.equal(network.graph.evaluate(x), torch.relu(x @ rounded))
    box = Box((0, 0), (1, 1))

    def asked(threshold):
        condition = ((LinearConstraint((), ((0, 1),), threshold),),)
        return Property("asked", 2, 2, (PropertyPart(box, condition),)).question(network)

    found = netproof.verify(asked(2), netproof.Settings(timeout=20))
    assert found.verdict is netproof.Verdict.SAT
    # What is found is a number of the type, so that the runtime evaluated that very point.
    assert torch.equal(found.witness.input.half().float(), found.witness.input)
    assert netproof.verify(asked(3), netproof.Settings(timeout=20)).verdict is netproof.Verdict.UNSAT


def test_weights_of_16_bits_in_a_network_of_float32(tmp_path):
    weight = np.array([[0.1, -1.5], [2.0, 0.75]])
    for kind, stored in ((TensorProto.FLOAT16, np.float16), (TensorProto.BFLOAT16, None)):
        tensor = helper.make_tensor("h", kind, (2, 2), weight.reshape(-1).tolist())
        for raw in (False, True):
            made = model([node("Cast", ["h"], ["w"], to=1), node("MatMul", ["x", "w"])], (1, 2))
            if raw and kind == TensorProto.BFLOAT16:
                bits = (weight.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
                tensor = TensorProto(name="h", data_type=kind, dims=(2, 2), raw_data=bits.tobytes())
            made.graph.initializer.append(tensor)
            network = netproof.load(save(tmp_path / "net.onnx", made))
            if stored is not None:
                held = weight.astype(stored).astype(np.float64)
            else:
                held = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            x = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
            assert np.array_equal(network.graph.evaluate(x).numpy(), held)


def test_too_many_branches(tmp_path):
    """Each branch is cheap, but looks at all values around it."""
    made = branching([], {"c": np.array(True), "w": np.arange(3.0)}, THEN, [node("Identity", ["x"], ["out"])])
    one = made.graph.node[0]
    for number in range(300):
        more = made.graph.node.add()
        more.CopyFrom(one)
        more.output[0], more.name = f"i{number}", f"branch{number}"
    made.graph.node.append(helper.make_node("Sum", [f"i{number}" for number in range(300)] + ["y"], ["z"]))
    made.graph.output[0].name = "z"
    refused(save(tmp_path / "net.onnx", made), "more than 256 branches are taken")


def test_a_large_axis_is_not_interpolated(tmp_path):
    made = model([node("Resize", ["x", "", "", "s"], mode="linear")], (1, 1, 1 << 22), {"s": np.array([1, 1, 4000])})
    refused(save(tmp_path / "net.onnx", made), "than can be handled")
