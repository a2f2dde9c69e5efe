"""Networks of one operator, or of few, that the checker of float networks reads, or does not."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RealNetwork
from netproof.certificate.checker.real.numbers import Float64
from soundness.real_evidence import Builder

RNG = np.random.default_rng(11)


def some(*shape: int) -> np.ndarray:
    """Numbers of which no two are alike."""
    return RNG.normal(size=shape).astype(np.float32)


def one(kind: str, shape, *constants, opset: int = 17, **attributes) -> bytes:
    """A network of one operator, of the input and of constants behind it (None for one left out)."""
    made = Builder(shape, opset=opset)
    names = ["" if c is None else made.constant(c, getattr(c, "dtype", None)) for c in constants]
    return made.bytes(made.node(kind, "x", *names, **attributes))


def behind(kind: str, shape, constant, **attributes) -> bytes:
    """The same with the constant in front."""
    made = Builder(shape)
    return made.bytes(made.node(kind, made.constant(constant), "x", **attributes))


def added(network: bytes, constant) -> bytes:
    """The same with a constant added to the end, whose shape has to be that of the value."""
    model = onnx.load_model_from_string(network)
    (last,) = model.graph.output
    model.graph.initializer.append(onnx.numpy_helper.from_array(constant, "added"))
    model.graph.node.append(helper.make_node("Add", [last.name, "added"], ["sum"]))
    last.name = "sum"
    return model.SerializeToString()


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def normalization(shape, channels: int, opset: int = 17, **attributes) -> bytes:
    numbers = [some(channels), some(channels), some(channels), abs(some(channels)) + np.float32(0.1)]
    return one("BatchNormalization", shape, *numbers, opset=opset, **attributes)


def constants_by_node(shape=(1, 3)) -> bytes:
    made = Builder(list(shape))
    factor = helper.make_tensor("t", TensorProto.FLOAT, [3], some(3).tolist())
    return made.bytes(made.node("Mul", "x", made.node("Constant", value=factor)))


def folded(kind: str, of: np.ndarray, value: str = "Add", **attributes) -> bytes:
    """A constant that an operator of shapes made."""
    made = Builder([1, *of.shape[::-1]] if kind == "Transpose" else [1, of.size])
    extra = [made.constant(attributes.pop("to"), np.int64)] if "to" in attributes else []
    return made.bytes(made.node(value, "x", made.node(kind, made.constant(of), *extra, **attributes)))


def read(network: bytes, inputs: int = 3) -> RealNetwork:
    return read_network(network, inputs, Float64(), "network")
