"""Small quantized ONNX models for tests, node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "float32": TensorProto.FLOAT}
MICROSOFT = "com.microsoft"


class Model:
    """A model from ``x`` to ``y`` whose nodes and constants are added one by one."""

    def __init__(self, shape: tuple[Any, ...], kind: str = "float32", result: str | None = None) -> None:
        self.shape, self.kind, self.result = shape, kind, result or kind
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.opset = 13
        self.domains: dict[str, int] = {MICROSOFT: 1}

    def constant(self, array: Any, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def how(self, scale: float, zero: int, kind: str = "uint8") -> list[str]:
        return [self.constant(np.float32(scale)), self.constant(np.array(zero).astype(kind))]

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(
                operator, inputs, [output], name=f"n{len(self.nodes)}_{output}", domain=domain, **attributes
            )
        )
        return output

    def quantize(self, value: str, scale: float, zero: int, output: str, kind: str = "uint8") -> str:
        return self.node("QuantizeLinear", [value, *self.how(scale, zero, kind)], output)

    def dequantize(self, value: str, scale: float, zero: int, output: str, kind: str = "uint8") -> str:
        return self.node("DequantizeLinear", [value, *self.how(scale, zero, kind)], output)

    def weights(self, codes: np.ndarray, scale: Any, output: str, zero: Any = 0, **attributes: Any) -> str:
        zeros = np.broadcast_to(np.asarray(zero), np.shape(scale)).astype(codes.dtype)
        operands = [self.constant(codes), self.constant(np.asarray(scale, np.float32)), self.constant(zeros)]
        return self.node("DequantizeLinear", operands, output, **attributes)

    def proto(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", _TYPES[self.kind], list(self.shape))],
            [helper.make_tensor_value_info("y", _TYPES[self.result], None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(d, v) for d, v in self.domains.items())]
        made = helper.make_model(graph, opset_imports=opsets)
        made.ir_version = 9
        return made

    def save(self, path: Path) -> Path:
        path.write_bytes(self.proto().SerializeToString())
        return path


def dense(seed: int = 0, *, inputs: int = 6, outputs: int = 4, form: str = "qoperator", kind: str = "uint8") -> Model:
    """One layer ``x W' + b``, whose scales are powers of two: sums hit halves."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    bias = rng.integers(-3000, 3000, outputs).astype(np.int32)
    zeros = (130, 77) if kind == "uint8" else (2, -51)
    if form == "qoperator":
        model = Model((1, inputs), kind)
        operands = ["x", *model.how(2.0**-5, zeros[0], kind), model.constant(codes), *model.how(2.0**-6, 0, "int8")]
        operands += [model.constant(bias), *model.how(2.0**-3, zeros[1], kind)]
        model.node("QGemm", operands, "y", MICROSOFT, transB=1)
        return model
    model = Model((1, inputs))
    model.quantize("x", 2.0**-5, zeros[0], "q", kind)
    model.dequantize("q", 2.0**-5, zeros[0], "d", kind)
    model.weights(codes, 2.0**-6, "w")
    model.weights(bias, 2.0**-11, "b")
    model.node("Gemm", ["d", "w", "b"], "f", transB=1)
    model.quantize("f", 2.0**-3, zeros[1], "p", kind)
    model.dequantize("p", 2.0**-3, zeros[1], "y", kind)
    return model
