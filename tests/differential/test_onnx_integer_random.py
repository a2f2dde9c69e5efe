"""Random networks of integers in ONNX: netproof's graph and a runtime compute the same numbers, whatever is combined."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof.bounds.region import box_region, node_intervals
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import FormatError
from onnx_models import integer_session

SHAPE = (2, 3, 3)
LARGEST = 9


@dataclass
class Drawing:
    """Nodes drawn so far; every value by name with its shape, wide ones (int32) and narrow ones (uint8) apart."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    wide: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    narrow: list[tuple[str, tuple[int, ...]]] = field(default_factory=lambda: [("x", SHAPE)])

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def number(self, low: int, high: int) -> str:
        return self.constant(np.array(self.random.integers(low, high), np.int32))

    def node(self, operator: str, *operands: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(operands), [name], **attributes))
        return name

    def pick(self, values: list[tuple[str, tuple[int, ...]]]) -> tuple[str, tuple[int, ...]]:
        return values[self.random.integers(len(values))]

    def step(self) -> None:
        kind = self.random.integers(9)
        if kind <= 1 or not self.wide:
            self.product()
        elif kind == 2:
            self.requantize()
        elif kind == 3:
            self.add_values()
        else:
            name, shape = self.pick(self.wide)
            made = {
                4: lambda: self.node("Add", name, self.number(-40, 40)),
                5: lambda: self.node("Mul", self.number(1, 4), name),
                6: lambda: self.node("Clip", name, self.number(-30, 1), self.number(1, 60)),
                7: lambda: self.node("Div", self.node("Relu", name), self.number(1, 9)),
                8: lambda: self.node("Add", name, self.constant(self.bias(shape))),
            }[int(kind)]()
            self.wide.append((made, shape))

    def bias(self, shape: tuple[int, ...]) -> np.ndarray:
        channels = (shape[0], 1, 1) if len(shape) == 3 else shape
        return self.random.integers(-30, 30, (1, *channels)).astype(np.int32)

    def product(self) -> None:
        name, shape = self.pick(self.narrow)
        if len(shape) == 3 and self.random.random() < 0.7:
            outputs, kernel, stride = int(self.random.integers(1, 4)), int(self.random.integers(1, 4)), 1
            weight = self.random.integers(-5, 6, (outputs, shape[0], kernel, kernel)).astype(np.int8)
            pad = kernel // 2
            extents = [e + 2 * pad - kernel + 1 for e in shape[1:]]
            made = self.node("ConvInteger", name, self.constant(weight), pads=[pad] * 4, strides=[stride] * 2)
            self.wide.append((made, (outputs, *extents)))
            return
        if len(shape) == 3:
            name, shape = self.node("Flatten", name), (int(np.prod(shape)),)
        weight = self.random.integers(-5, 6, (shape[0], int(self.random.integers(1, 5)))).astype(np.int8)
        self.wide.append((self.node("MatMulInteger", name, self.constant(weight)), (weight.shape[1],)))

    def requantize(self) -> None:
        name, shape = self.pick(self.wide)
        shift = int(self.random.integers(0, 5))
        top = int(self.random.integers(1, 8))
        value = self.node("Add", name, self.constant(np.array((1 << shift) // 2, np.int32)))
        zero = self.constant(np.array(0, np.int32))
        value = self.node("Clip", value, zero, self.constant(np.array((top + 1 << shift) - 1, np.int32)))
        value = self.node("Div", value, self.constant(np.array(1 << shift, np.int32)))
        value = self.node("Cast", value, to=TensorProto.UINT8)
        self.narrow.append((value, shape))
        self.wide.append((self.node("Cast", value, to=TensorProto.INT32), shape))

    def add_values(self) -> None:
        name, shape = self.pick(self.wide)
        others = [other for other, its in self.wide if its == shape]
        other = others[self.random.integers(len(others))]
        self.wide.append((self.node(["Add", "Sub"][self.random.integers(2)], name, other), shape))

    def model(self) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [self.wide[-1][0]], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", *SHAPE])],
            [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
            initializer=self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
        made.ir_version = 8
        helper.set_model_props(made, {"netproof.input_range": f"0 {LARGEST}"})
        return made


@pytest.mark.parametrize("seed", range(4))
def test_the_graph_is_what_the_runtime_computes(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng([7, seed])
    options = onnxruntime.SessionOptions()
    # Of integers, the runtime's fusion of Relu and Clip gives up.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    agreed = 0
    for _ in range(25):
        drawing = Drawing(random)
        for _ in range(int(random.integers(3, 25))):
            drawing.step()
        path = tmp_path / "net.onnx"
        path.write_bytes(drawing.model().SerializeToString())
        try:
            network = netproof.load(path)
        except FormatError as error:
            assert "\n" not in str(error)
            continue
        assert confirm(network)
        images = random.integers(0, LARGEST + 1, (40, *SHAPE)).astype(np.uint8)
        runtime = integer_session(path.read_bytes(), options)
        expected = runtime.run(None, {"x": images})[0].reshape(40, -1)
        x = torch.from_numpy(images.reshape(40, -1)).double()
        values = network.graph.values(x)
        assert (values[-1].numpy() == expected).all()
        region = box_region(network.graph, network.lower[None], network.upper[None])
        for value, (low, high) in zip(values, node_intervals(network.graph, region), strict=True):
            assert ((value >= low) & (value <= high)).all()
        agreed += 1
    assert agreed > 10
