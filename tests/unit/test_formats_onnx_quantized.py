"""Quantized ONNX files: what is read, what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import netproof
from netproof.errors import InputError
from netproof.formats.onnx.quantized.deployed import Deployed
from netproof.formats.onnx.quantized.evaluate import evaluate
from netproof.formats.onnx.read import read_deployed
from netproof.network import Kept
from onnx_models import assert_agrees
from quantized_models import MICROSOFT, Model, dense


def read(path: Path, runtime: str | None = None) -> Deployed:
    deployed = read_deployed(path, runtime)
    assert deployed is not None
    return deployed


def refused(path: Path, *parts: str, runtime: str | None = None) -> None:
    with pytest.raises(InputError) as caught:
        netproof.load(path, runtime=runtime)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 900, message
    for part in parts:
        assert part in message, message


# -- what is read


def test_the_rule_is_in_the_network(tmp_path):
    path = dense().save(tmp_path / "n.onnx")
    network = netproof.load(path)
    assert network.runtime == "onnxruntime" and network.content == path.read_bytes() and network.kept is Kept.VALUES
    assert (float(network.lower[0]), float(network.upper[0])) == (0, 255)
    assert netproof.load(path, runtime="integer-ideal").runtime == "integer-ideal"
    signed = netproof.load(dense(kind="int8").save(tmp_path / "s.onnx"))
    assert (float(signed.lower[0]), float(signed.upper[0])) == (-128, 127)


def test_one_layer_by_hand(tmp_path):
    model = dense(3)
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    weight, bias = (
        next(a for a in model.constants.values() if a.dtype == kind and a.ndim) for kind in (np.int8, np.int32)
    )
    x = np.random.default_rng(0).integers(0, 256, (50, 6))
    acc = (x - 130) @ weight.astype(int).T + bias
    expected = np.clip(np.rint(acc / 256), -77, 178) + 77
    assert np.array_equal(network.graph.evaluate(torch.from_numpy(x.astype(float))).numpy(), expected)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_both_forms_are_one_function(tmp_path, kind):
    one, other = (read(dense(2, form=form, kind=kind).save(tmp_path / f"{form}.onnx")) for form in ("qoperator", "qdq"))
    x = np.random.default_rng(0).integers(-128, 128, (60, 6)) + (128 if kind == "uint8" else 0)
    assert np.array_equal(evaluate(one, x)[0], evaluate(other, x)[0])
    assert other.input is not None and other.dequantized is not None and one.input is None
    assert "the file takes floats" in " ".join(other.network.notes)


def test_codes_between_quantize_and_dequantize_may_be_clipped(tmp_path):
    """As Brevitas writes activations of fewer than 8 bits, and weights."""
    model = dense(form="qdq")
    clipped = model.node("Clip", ["q", model.constant(np.uint8(100)), model.constant(np.uint8(163))], "clipped")
    next(node for node in model.nodes if node.output[0] == "d").input[0] = clipped
    weight = next(node for node in model.nodes if node.output[0] == "w")
    low, high = (model.constant(np.int8(end)) for end in (-31, 31))
    weight.input[0] = model.node("Clip", [weight.input[0], low, high], "narrow")
    order = ["q", "clipped", "d", "narrow", "w", "b", "f", "p", "y"]
    model.nodes.sort(key=lambda node: order.index(node.output[0]))
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    inside = torch.tensor([[100.0] * 6, [163.0] * 6]).double()
    beyond = torch.tensor([[0.0] * 6, [255.0] * 6]).double()
    assert torch.equal(network.graph.evaluate(inside), network.graph.evaluate(beyond))


def test_a_softmax_at_the_end_is_left_out(tmp_path):
    model = dense(form="qdq")
    model.nodes[-1].output[0] = "scores"
    model.node("Softmax", ["scores"], "y")
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    assert network.kept is Kept.CLASS
    small = dense()
    small.nodes[-1].output[0] = "scores"
    small.node(
        "QLinearSoftmax", ["scores", *small.how(2.0**-3, 77), *small.how(1 / 256, 0)], "y", MICROSOFT, axis=1, opset=13
    )
    network = netproof.load(small.save(tmp_path / "s.onnx"))
    assert network.kept is Kept.CLASS
    small.nodes[-1].input[1] = small.constant(np.float32(2.0**-20))
    assert netproof.load(small.save(tmp_path / "s.onnx")).kept is Kept.NOTHING


def test_floats_between_elementwise_operators_are_computed_as_they_are(tmp_path):
    """A ReLU whose QuantizeLinear keeps negative numbers is not fused; by itself it is a table of codes."""
    model = Model((1, 5))
    model.quantize("x", 0.1, 120, "q")
    model.dequantize("q", 0.1, 120, "d")
    model.node("Relu", ["d"], "r")
    model.node("Mul", ["r", model.constant(np.float32(1.7))], "m")
    model.quantize("m", 0.3, 10, "p")
    model.dequantize("p", 0.3, 10, "y")
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    codes = np.arange(0, 255, 51)
    numbers = np.maximum((codes - 120).astype(np.float32) * np.float32(0.1), 0) * np.float32(1.7)
    expected = np.clip(np.rint(numbers / np.float32(0.3)), -10, 245) + 10
    assert network.graph.evaluate(torch.from_numpy(codes.astype(float))).tolist() == expected.tolist()


# -- processors


def test_products_that_some_processors_cut_off(tmp_path):
    unsafe = dense()
    assert any("without VNNI" in said for said in netproof.load(unsafe.save(tmp_path / "n.onnx")).processors)
    for name, array in unsafe.constants.items():
        if array.dtype == np.int8 and array.ndim == 2:
            unsafe.constants[name] = (array // 2).astype(np.int8)
    assert netproof.load(unsafe.save(tmp_path / "n.onnx")).processors == ()
    assert netproof.load(dense(kind="int8").save(tmp_path / "n.onnx")).processors == ()
    assert netproof.load(unsafe.save(tmp_path / "n.onnx"), runtime="integer-ideal").processors is None


def test_two_weights_decide_whether_sums_are_cut_off(tmp_path):
    def said(weights: list[int]) -> bool:
        model = Model((1, len(weights)), "uint8")
        codes = model.constant(np.array([weights], np.int8))
        operands = ["x", *model.how(1, 0), codes, *model.how(1, 0, "int8"), "", *model.how(512, 0)]
        model.node("QGemm", operands, "y", MICROSOFT, transB=1)
        return bool(netproof.load(model.save(tmp_path / "n.onnx")).processors)

    assert not said([64, 64, 0]) and said([64, 65, 0]) and said([64, 0, 65])
    assert not said([127, -127, 1]) and not said([-64, -64]) and said([-64, -65])


def test_sums_that_arm_rounds_otherwise(tmp_path):
    model = Model((1, 4), "uint8")
    relu = model.node("Clip", ["x", model.constant(np.uint8(3)), model.constant(np.uint8(200))], "c")
    model.node("QLinearAdd", ["x", *model.how(0.5, 0), relu, *model.how(0.5, 0), *model.how(1, 0)], "y", MICROSOFT)
    (said,) = netproof.load(model.save(tmp_path / "n.onnx")).processors
    assert "64-bit ARM rounds 'y' by another rule" in said


def test_codes_of_int8_that_x86_has_in_uint8(tmp_path):
    model = Model((1, 1, 6, 6))
    model.quantize("x", 0.5, 12, "q", "int8")
    model.dequantize("q", 0.5, 12, "d", "int8")
    model.node("AveragePool", ["d"], "f", kernel_shape=[3, 3])
    model.quantize("f", 0.3, 11, "p", "int8")
    model.dequantize("p", 0.3, 11, "y", "int8")
    (said,) = netproof.load(model.save(tmp_path / "n.onnx")).processors
    assert "uint8 on x86 and, as sources have it, int8 on 64-bit ARM" in said and "'p'" in said


# -- what is refused


def edit(change: Callable[[Model], object], form: str = "qoperator", **more: object) -> Callable[[Path], Path]:
    def save(path: Path) -> Path:
        model = dense(form=form, **more)  # type: ignore[arg-type]
        change(model)
        return model.save(path)

    return save


def operand(output: str, number: int, array: object) -> Callable[[Model], None]:
    """Another constant as an operand of the node that gives ``output``; None leaves it out."""

    def change(model: Model) -> None:
        node = next(node for node in model.nodes if node.output[0] == output)
        node.input[number] = "" if array is None else model.constant(array)

    return change


def attribute(output: str, **attributes: object) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        node = next(node for node in model.nodes if node.output[0] == output)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())

    return change


def renamed(output: str, operator: str, domain: str = "") -> Callable[[Model], None]:
    def change(model: Model) -> None:
        node = next(node for node in model.nodes if node.output[0] == output)
        node.op_type, node.domain = operator, domain

    return change


def float_weights(model: Model) -> None:
    node = next(node for node in model.nodes if node.output[0] == "w")
    node.op_type = "Identity"
    del node.input[:]
    node.input.append(model.constant(np.ones((4, 6), np.float32)))


def two_quantizations(model: Model) -> None:
    model.nodes[-1].output[0] = "y0"
    model.quantize("x", 0.25, 1, "q2")
    model.dequantize("q2", 0.25, 1, "d2")
    model.weights(np.ones((6, 4), np.int8), 0.5, "w2")
    model.node("MatMul", ["d2", "w2"], "m")
    model.quantize("m", 1, 1, "m1")
    model.dequantize("m1", 1, 1, "m2")
    model.node("Add", ["y0", "m2"], "s")
    model.quantize("s", 1, 1, "y1")
    model.dequantize("y1", 1, 1, "y")


def softmax_in_the_middle(model: Model) -> None:
    model.node("Softmax", ["d"], "soft")
    next(node for node in model.nodes if node.op_type == "Gemm").input[0] = "soft"
    model.nodes.insert(2, model.nodes.pop())


def nothing_of_nothing(model: Model) -> None:
    model.nodes[-1].output[0] = "y0"
    model.node("Identity", [], "y")


def sums_of_large_ratio(model: Model) -> None:
    model.nodes[-1].output[0] = "y0"
    operands = ["y0", *model.how(1.0, 3), "y0", *model.how(2.0**-30, 3), *model.how(2.0**-21, 5)]
    model.node("QLinearAdd", operands, "y", MICROSOFT)


def products_beyond_32_bits(model: Model) -> None:
    model.nodes[-1].output[0] = "y0"
    constant = model.constant(np.full((1, 4), 200, np.uint8))
    model.node(
        "QLinearMul", ["y0", *model.how(1.0, 3), constant, *model.how(1e10, 3), *model.how(1e-10, 5)], "y", MICROSOFT
    )


def numbers_beyond_float32(model: Model) -> None:
    model.nodes[-1].output[0] = "y0"
    model.node("QLinearLeakyRelu", ["y0", *model.how(3e38, 3), *model.how(1.0, 3)], "y", MICROSOFT)


BAD = {
    "nothing of nothing": (edit(nothing_of_nothing), "has 0 operands; at opset 13 it has 1 at least"),
    "sums of a large ratio": (edit(sums_of_large_ratio), "2**20 times the scale of the result"),
    "products beyond 32 bits": (edit(products_beyond_32_bits), "a number beyond 32 bits"),
    "numbers beyond float32": (edit(numbers_beyond_float32), "numbers beyond float32"),
    "scale 0": (edit(operand("y", 1, np.float32(0))), "its scale (operand 1) is 0, no positive normal"),
    "scale NaN": (edit(operand("y", 1, np.float32("nan"))), "its scale (operand 1)"),
    "scale infinite": (edit(operand("y", 7, np.float32("inf"))), "is inf, no positive normal"),
    "scale negative": (edit(operand("y", 1, np.float32(-1))), "is -1, no positive normal"),
    "scale denormal": (edit(operand("y", 1, np.float32(1e-40))), "no positive normal"),
    "scale missing": (edit(operand("y", 1, None)), "its scale (operand 1) is missing"),
    "scale float64": (edit(operand("y", 1, np.array(0.1, np.float64))), "is not float32"),
    "scales of activations": (edit(operand("y", 1, np.ones(6, np.float32))), "it has 6 scales where one is known"),
    "quotient of scales": (edit(operand("y", 7, np.float32(1e38))), "quotient of its scales"),
    "zero point of another type": (edit(operand("y", 2, np.int8(0))), "two types"),
    "zero point of 16 bits": (edit(operand("y", 2, np.int16(0))), "of ONNX type 5; known are int8 and uint8"),
    "zero points": (edit(operand("y", 2, np.zeros(3, np.uint8))), "its zero point (operand 2)"),
    "weights of 16 bits": (edit(operand("y", 3, np.ones((4, 6), np.int16))), "of ONNX type 5"),
    "weights of another shape": (edit(operand("y", 3, np.ones((4, 5), np.int8))), "weights (5, 4) on (1, 6)"),
    "weights with several zero points": (
        edit(lambda m: (operand("y", 4, np.ones(4, np.float32))(m), operand("y", 5, np.arange(4, dtype=np.int8))(m))),
        "several zero points",
    ),
    "unsigned weights on signed codes": (
        edit(lambda m: (operand("y", 3, np.ones((4, 6), np.uint8))(m), operand("y", 5, np.uint8(0))(m)), kind="int8"),
        "signed codes with unsigned weights",
    ),
    "a result of another type": (edit(operand("y", 8, np.int8(0))), "two types"),
    "no scale of the result": (edit(operand("y", 7, None)), "it gives floats"),
    "a bias of floats": (edit(operand("y", 6, np.ones(4, np.float32))), "no list of int32"),
    "a bias of 16 bits": (edit(operand("y", 6, np.ones(4, np.int16))), "no list of int32"),
    "a bias of another length": (edit(operand("y", 6, np.ones(3, np.int32))), "for 4 channels"),
    "sums beyond 32 bits": (edit(operand("y", 6, np.full(4, 2**31 - 1, np.int32))), "leave 32 bits"),
    "alpha": (edit(attribute("y", alpha=2.0)), "an alpha that is not 1"),
    "an unknown attribute": (edit(attribute("y", gamma=2.0)), "the attribute 'gamma', which is not known"),
    "an attribute twice": (edit(attribute("y", transB=1)), "other operands, results or attributes"),
    "an operator of another domain": (edit(renamed("y", "QGemm", "com.example")), "of domain 'com.example'"),
    "an operator of no domain": (edit(renamed("y", "QGemm")), "an operator of domain ''"),
    "an unknown quantized operator": (edit(renamed("y", "QLinearReduceMean", MICROSOFT)), "not known"),
    "the version of a domain": (edit(lambda m: m.domains.update({MICROSOFT: 2})), "version 2 of 'com.microsoft' is stated"),
    "a domain that is not stated": (edit(lambda m: m.domains.clear()), "no version of 'com.microsoft'"),
    "an opset": (edit(lambda m: setattr(m, "opset", 99)), "opset 99"),
    "a dynamic axis": (edit(lambda m: setattr(m, "shape", (1, "n"))), "axis 1 of its input 'x' is dynamic"),
    "floats into a QOperator": (
        edit(lambda m: (setattr(m, "kind", "float32"), setattr(m, "result", "uint8"))), "operand 0"
    ),
    "dequantized with another type": (edit(operand("d", 2, np.int8(0)), "qdq"), "ONNX"),
    "blocks": (edit(attribute("d", block_size=2), "qdq"), "block_size"),
    "weights of floats": (edit(float_weights, "qdq"), "no constant that DequantizeLinear gives"),
    "the scale of a bias": (edit(operand("b", 1, np.float32(2.0**-10)), "qdq"), "the scale of its bias"),
    "alpha of a Gemm": (edit(attribute("f", alpha=0.5), "qdq"), "alpha or beta"),
    "transA": (edit(attribute("f", transA=1), "qdq"), "transA"),
    "a result that is not quantized": (
        edit(lambda m: (m.nodes.__delitem__(slice(5, 7)), m.nodes[-1].output.__setitem__(0, "y")), "qdq"),
        "no quantized value of the input",
    ),
    "an input quantized in two ways": (edit(two_quantizations, "qdq"), "quantized in two ways"),
    "a softmax in the middle": (edit(softmax_in_the_middle, "qdq"), "not known on quantized values"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refusals(name, tmp_path):
    save, said = BAD[name]
    refused(save(tmp_path / "n.onnx"), said)


def test_what_onnxruntime_does_not_fuse(tmp_path):
    """What something else takes as well, codes of int8 in a branch, a clip with an effect, what is flattened between."""
    clipped = dense(form="qdq")
    for number in (1, 2):  # with powers of two no float is rounded, and it does not matter
        clipped.nodes[-number].input[1] = clipped.constant(np.float32(0.13))
    clipped.node("Relu", ["f"], "r")
    next(node for node in clipped.nodes if node.output[0] == "p").input[0] = "r"
    clipped.nodes.insert(5, clipped.nodes.pop())
    path = clipped.save(tmp_path / "n.onnx")
    refused(path, "does not fuse it here", "no power of two")
    network = netproof.load(path, runtime="integer-ideal")
    assert float(network.graph.evaluate(torch.zeros(1, 6).double()).min()) >= 77
    # A node that gives nothing to the output keeps onnxruntime from fusing all the same.
    taken = dense(form="qdq")
    taken.node("Neg", ["f"], "unused")
    refused(taken.save(tmp_path / "n.onnx"), "taken by something else as well")
    taken = dense(form="qdq", kind="int8")
    taken.node("Neg", ["d"], "unused")
    refused(taken.save(tmp_path / "n.onnx"), "a file with nodes that its output does not depend on")
    near = dense(form="qdq")
    for number in (1, 2):
        near.nodes[-number].input[2] = near.constant(np.uint8(0))
    near.node("Clip", ["f", near.constant(np.float32(1e-7))], "r")
    next(node for node in near.nodes if node.output[0] == "p").input[0] = "r"
    near.nodes.insert(5, near.nodes.pop())
    refused(near.save(tmp_path / "n.onnx"), "by less than float32's epsilon")
    flat = dense(form="qdq")
    flat.node("Flatten", ["d"], "flat")
    next(node for node in flat.nodes if node.op_type == "Gemm").input[0] = "flat"
    flat.nodes.insert(2, flat.nodes.pop())
    refused(flat.save(tmp_path / "n.onnx"), "does not come from DequantizeLinear at once")


def test_runtimes_that_are_not_for_such_a_file(tmp_path):
    path = dense().save(tmp_path / "n.onnx")
    refused(path, "none that is known for quantized ONNX files", runtime="xnnpack")
    plain = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(plain, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "f.onnx")
    refused(tmp_path / "f.onnx", "which is not quantized", runtime="onnxruntime")


def test_truncated_and_changed_files_are_refused_in_one_line(tmp_path):
    data = dense(form="qdq").save(tmp_path / "n.onnx").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "changed.onnx"
    for k in range(300):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        path.write_bytes(bytes(changed[: int(rng.integers(1, len(changed) + 1))] if k % 3 == 0 else changed))
        try:
            netproof.load(path)
        except InputError as refusal:
            assert "\n" not in str(refusal)


def test_weights_alone_make_a_network_of_floats(tmp_path):
    """DequantizeLinear of constants, and nothing else: float32 weights, as every runtime makes them."""
    rng = np.random.default_rng(0)
    model = Model((1, 6))
    codes, scale = rng.integers(-127, 128, (5, 6)).astype(np.int8), np.exp(rng.uniform(-5, -2, 5))
    model.weights(codes, scale, "w", axis=0)
    model.weights(rng.integers(-1000, 1000, 5).astype(np.int32), 0.01, "b")
    model.node("Gemm", ["x", "w", "b"], "h", transB=1)
    model.node("Relu", ["h"], "r")
    model.weights(rng.integers(0, 256, (5, 3)).astype(np.uint8), 0.02, "v", zero=128)
    model.node("MatMul", ["r", "v"], "y")
    path = model.save(tmp_path / "n.onnx")
    network = assert_agrees(path, [rng.normal(size=(1, 6)).astype(np.float32) for _ in range(5)])
    assert network.runtime == "" and not network.graph.arithmetic.value.startswith("int")
    weight = network.graph.nodes[1].operator.weight  # type: ignore[attr-defined]
    assert np.array_equal(weight.numpy(), codes.astype(np.float32) * scale.astype(np.float32)[:, None])
    model.nodes[0].input[1] = model.constant(np.float32(0))
    refused(model.save(tmp_path / "n.onnx"), "its scale (operand 1) is 0")


@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_a_window_of_the_whole_image_is_a_mean_over_all_places(form, tmp_path):
    """By hand: half of the sum 23 is 11.5, which goes to 12 before the zero point is added, and would go to 184 with it."""
    extents, scale = (1, 1, 1, 2), float(np.float32(0.3))
    model = Model(extents, "uint8" if form == "qoperator" else "float32")
    attributes = {"kernel_shape": [1, 2], "strides": [1, 1]}
    if form == "qoperator":
        model.node(
            "QLinearAveragePool", ["x", *model.how(scale, 0), *model.how(scale, 173)], "y", MICROSOFT, **attributes
        )
    else:
        model.quantize("x", scale, 0, "q")
        model.dequantize("q", scale, 0, "d")
        model.node("AveragePool", ["d"], "f", **attributes)
        model.quantize("f", scale, 173, "p")
        model.dequantize("p", scale, 173, "y")
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    assert network.graph.evaluate(torch.tensor([19.0, 4.0], dtype=torch.float64)).tolist() == [185]


# -- files that onnxruntime refuses


def runs(path: Path) -> bool:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
        session.run(None, {given.name: np.zeros(given.shape, kinds[given.type])})
    except Exception:  # noqa: BLE001 - whatever it says
        return False
    return True


def pooled(*, listed: tuple[int, ...] = (), fewer: int = 0) -> Model:
    """A sum, an average and an average everywhere; some operands of each as lists of one, or left out at the end."""
    model = Model((1, 2, 4, 4), "uint8")
    how = {number: model.how(0.5, 3) for number in (0, 1, 2, 3)}
    alone = any(place % 2 for place in listed)  # the zero point alone, or both
    how[listed] = [
        model.constant(np.array(0.5 if alone else [0.5], np.float32)),
        model.constant(np.array([3], np.uint8)),
    ]

    def at(place: int) -> list[str]:
        return how[listed] if place in listed else how[0]

    model.node("QLinearAdd", ["x", *at(0), "x", *at(1), *at(2)], "s", MICROSOFT)
    model.node("QLinearAveragePool", ["s", *at(3), *at(4)], "a", MICROSOFT, kernel_shape=[2, 2])
    operands = ["a", *how[0], *how[1]]
    model.node("QLinearGlobalAveragePool", operands[: len(operands) - fewer], "y", MICROSOFT, channels_last=0)
    return model


def in_floats(operator: str, listed: tuple[int, ...] = ()) -> Model:
    """A sum, product or average between QuantizeLinear and DequantizeLinear, whose scales can be lists of one."""
    model = Model((1, 2, 4, 4))

    def at(place: int, scale: float) -> list[str]:
        shape = (1,) if place in listed else ()
        return [model.constant(np.full(shape, scale, np.float32)), model.constant(np.full(shape, 3, np.uint8))]

    model.node("QuantizeLinear", ["x", *at(0, 0.5)], "q")
    model.node("DequantizeLinear", ["q", *at(0, 0.5)], "d")
    more = {"kernel_shape": [2, 2]} if operator == "AveragePool" else {}
    if operator == "Mul":
        model.weights(np.full((1, 2, 4, 4), 5, np.uint8), np.float32(0.5), "k")
    model.node(operator, ["d"] if more else ["d", "k" if operator == "Mul" else "d"], "r", **more)
    model.node("QuantizeLinear", ["r", *at(1, 2.0)], "p")
    model.node("DequantizeLinear", ["p", *at(1, 2.0)], "y")
    return model


@pytest.mark.parametrize("place", range(5))
def test_scales_that_are_lists_are_refused_where_runtimes_do(place, tmp_path):
    path = tmp_path / "n.onnx"
    assert runs(pooled().save(path)) and netproof.load(path).outputs == 2
    assert not runs(pooled(listed=(place,)).save(path))
    refused(path, "lists of one number", "store them as scalars")


@pytest.mark.parametrize("operator", ["Add", "Mul", "AveragePool"])
def test_scales_that_are_lists_between_floats(operator, tmp_path):
    path = tmp_path / "n.onnx"
    assert runs(in_floats(operator).save(path)) and netproof.load(path).outputs
    for place in (0, 1):
        assert not runs(in_floats(operator, (place,)).save(path))
        refused(path, "lists of one number")
    # A rule that makes no other operators of them.
    assert netproof.load(path, runtime="integer-ideal").outputs


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_scales_that_are_lists_of_what_is_not_fused(operator, tmp_path):
    """A ReLU with an effect: onnxruntime computes floats, and takes lists."""
    path = tmp_path / "n.onnx"
    model = in_floats(operator, (0, 1))
    place = next(number for number, node in enumerate(model.nodes) if node.output[0] == "p")
    model.nodes.insert(place, helper.make_node("Relu", ["r"], ["r0"]))
    model.nodes[place + 1].input[0] = "r0"
    assert runs(model.save(path)) and netproof.load(path).outputs == 32


def test_zero_points_that_runtimes_need(tmp_path):
    path = tmp_path / "n.onnx"
    assert not runs(pooled(fewer=1).save(path))
    refused(path, "its zero point (operand 4) is missing")
    model = dense()
    del model.nodes[0].input[-1]
    model.save(path)
    refused(path, "its zero point (operand 8) is missing")
    for operator in ("QLinearConv", "QLinearMatMul"):
        model = Model((1, 1, 3, 3) if operator == "QLinearConv" else (1, 3), "uint8")
        weight = np.ones((1, 1, 2, 2) if operator == "QLinearConv" else (3, 2), np.int8)
        operands = ["x", *model.how(0.5, 3), model.constant(weight), *model.how(0.5, 0, "int8"), *model.how(4.0, 1)]
        model.node(operator, operands, "y")
        assert runs(model.save(path)) and netproof.load(path).inputs
        del model.nodes[0].input[-1]
        assert not runs(model.save(path))
        refused(path, "has 7 operands; at opset 13 it has 8 at least")


def test_a_zero_point_of_another_shape_than_its_scale(tmp_path):
    path = tmp_path / "n.onnx"
    for scale, zero in (((4,), (4,)), ((4,), ()), ((), (1,)), ((), ())):
        model = dense()
        weight = model.nodes[0].input[4:6]
        model.constants |= {weight[0]: np.full(scale, 2.0**-6, np.float32), weight[1]: np.zeros(zero, np.int8)}
        assert runs(model.save(path)) is (scale == zero)
        if scale == zero:
            assert netproof.load(path).outputs == 4
        else:
            refused(path, f"its zero point (operand 5) has shape {zero}, its scale {scale}")


def test_types_behind_quantized_operators(tmp_path):
    """A Flatten of opset 7 takes floats alone, and what a sum of codes gives are bytes."""
    path = tmp_path / "n.onnx"
    for opset, right in ((7, False), (13, True)):
        model = Model((1, 2, 2), "uint8")
        model.opset = opset
        model.node("QLinearAdd", ["x", *model.how(0.5, 3), "x", *model.how(0.5, 3), *model.how(1.0, 3)], "s", MICROSOFT)
        model.node("Flatten", ["s"], "y")
        assert runs(model.save(path)) is right
        if right:
            assert netproof.load(path).outputs == 4
        else:
            refused(path, "Flatten", "uint8")


def test_a_bias_of_a_convolution_is_a_list(tmp_path):
    path = tmp_path / "n.onnx"
    for shape in ((2,), (1, 2)):
        model = Model((1, 1, 3, 3))
        model.quantize("x", 0.5, 3, "q")
        model.dequantize("q", 0.5, 3, "d")
        model.weights(np.ones((2, 1, 2, 2), np.int8), 0.5, "w")
        model.weights(np.ones(shape, np.int32), 0.25, "b")
        model.node("Conv", ["d", "w", "b"], "c")
        model.quantize("c", 4.0, 1, "p")
        model.dequantize("p", 4.0, 1, "y")
        assert runs(model.save(path)) is (len(shape) == 1)
        if len(shape) == 1:
            assert netproof.load(path).inputs == 9
        else:
            refused(path, "a bias of shape (1, 2), which is no list")


def test_a_bias_of_floats_is_quantized_where_it_is_a_list(tmp_path):
    """onnxruntime quantizes lists of floats, and leaves products in floats that have a matrix of one row beside them."""
    import onnxruntime

    path = tmp_path / "n.onnx"
    rng = np.random.default_rng(4)
    weight, bias = rng.integers(-100, 100, (24, 16)).astype(np.int8), rng.normal(0, 0.3, 16).astype(np.float32)
    inputs = rng.integers(0, 256, (200, 24)).astype(np.uint8)
    found = {}
    for shape in ((16,), (1, 16)):
        model = Model((1, 24))
        model.quantize("x", 0.05, 120, "q")
        model.dequantize("q", 0.05, 120, "d")
        model.weights(weight, 0.02, "w")
        model.node("Gemm", ["d", "w", model.constant(bias.reshape(shape))], "g")
        model.quantize("g", 0.3, 110, "p")
        model.dequantize("p", 0.3, 110, "y")
        model.save(path)
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        floats = ((inputs.astype(np.float32) - 120) * np.float32(0.05))[:, None]
        found[shape] = np.concatenate([session.run(None, {"x": x})[0] for x in floats])
        if len(shape) == 1:
            deployed = read_deployed(path)
            assert deployed is not None
            codes = evaluate(deployed, inputs)[0].reshape(200, 16).astype(np.float32)
            assert np.array_equal((codes - 110) * np.float32(0.3), found[shape])
        else:
            refused(path, "a bias of floats of shape (1, 16)")
    assert (found[(16,)] != found[(1, 16)]).any()
