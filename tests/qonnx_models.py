"""Small QONNX models for tests, and what they are in exact numbers, node by node as the operators are defined."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


class QonnxModel:
    """A model from ``x`` to ``y`` whose nodes and constants are added one by one."""

    def __init__(self, shape: tuple[int, ...], domain: str = DOMAIN) -> None:
        self.shape, self.domain = shape, domain
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.metadata: dict[str, str] = {}

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def single(self, number: Any) -> str:
        return self.constant(np.asarray(number, np.float32))

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"n{len(self.nodes)}", domain=domain, **attributes)
        )
        return output

    def quant(
        self, value: str, output: str, scale: Any, bits: int, *, zero: int = 0, signed: int = 1, narrow: int = 0,
        mode: str = "ROUND", operator: str = "Quant",
    ) -> str:  # fmt: skip
        operands = [value, self.single(scale), self.single(zero), self.single(bits)]
        return self.node(operator, operands, output, self.domain, signed=signed, narrow=narrow, rounding_mode=mode)

    def save(self, path: Path) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(self.domain, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        for key, value in self.metadata.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        path.write_bytes(model.SerializeToString())
        return path

    def exact(self, x: np.ndarray) -> np.ndarray:
        """The output for an input of fractions."""
        values: dict[str, np.ndarray] = {name: exactly(array) for name, array in self.constants.items()}
        values["x"] = x
        for node in self.nodes:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            operands = [values[name] for name in node.input]
            values[node.output[0]] = _OPERATORS[node.op_type](attributes, *operands)
        return values["y"]


def exactly(array: np.ndarray) -> np.ndarray:
    found = np.empty(array.size, object)
    found[:] = [Fraction(float(number)) for number in array.reshape(-1)]
    return found.reshape(array.shape)


def _sign(x: Fraction) -> int:
    return (x > 0) - (x < 0)


ROUNDED: dict[str, Callable[[Fraction], int]] = {
    "ROUND": round,
    "HALF_EVEN": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "UP": lambda x: _sign(x) * math.ceil(abs(x)),
    "DOWN": math.trunc,
    "HALF_UP": lambda x: _sign(x) * math.floor(abs(x) + Fraction(1, 2)),
    "HALF_DOWN": lambda x: _sign(x) * math.ceil(abs(x) - Fraction(1, 2)),
}


def _map(function: Callable[[Fraction], Any], array: np.ndarray) -> np.ndarray:
    found = np.empty(array.size, object)
    found[:] = [Fraction(function(x)) for x in array.reshape(-1)]
    return found.reshape(array.shape)


def _ends(bits: int, signed: int, narrow: int) -> tuple[int, int]:
    return (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)


def _quant(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray, bits: np.ndarray) -> np.ndarray:
    y = x / scale + zero
    width = int(bits.reshape(-1)[0])
    if width == 1 and a["signed"]:
        y = _map(lambda v: 1 if v >= 0 else -1, y)
    else:
        low, high = _ends(width, a["signed"], a["narrow"])
        y = _map(ROUNDED[a["rounding_mode"].decode()], np.minimum(np.maximum(y, low), high))
    return (y - zero) * scale


def _trunc(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray, *rest: np.ndarray) -> np.ndarray:
    numbers = [part.reshape(-1)[0] for part in rest]
    y = _map(round, x / scale + zero)
    mode = ROUNDED[a["rounding_mode"].decode()]
    if len(rest) == 2:
        return (_map(mode, y / Fraction(2) ** (int(numbers[0]) - int(numbers[1]))) - zero) * scale
    ratio = numbers[1] / scale.reshape(-1)[0]
    low, high = _ends(int(numbers[2]), a["signed"], a["narrow"])
    y = _map(mode, np.minimum(np.maximum(y / ratio, low), high))
    return (y - zero / ratio) * numbers[1]


def _thresholds(a: dict[str, Any], x: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    moved = np.moveaxis(x, 1, -1)
    count = (moved[..., None] >= thresholds).sum(-1)
    return np.moveaxis(_map(lambda v: v, count), -1, 1) * Fraction(a.get("out_scale", 1.0)) + Fraction(
        a.get("out_bias", 0.0)
    )


def _normalized(a: dict[str, Any], x: np.ndarray, *parts: np.ndarray) -> np.ndarray:
    gain, bias, mean, variance = (part.reshape(-1, *[1] * (x.ndim - 2)) for part in parts)
    root = _map(
        lambda v: Fraction(math.isqrt(v.numerator), math.isqrt(v.denominator)), variance + Fraction(a["epsilon"])
    )
    return (x - mean) / root * gain + bias


def _conv(a: dict[str, Any], x: np.ndarray, w: np.ndarray) -> np.ndarray:
    outputs, _, height, width = w.shape
    pads = a.get("pads", [0, 0, 0, 0])
    wide = np.pad(x[0], ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=Fraction(0))
    extents = [wide.shape[1] - height + 1, wide.shape[2] - width + 1]
    found = np.empty((1, outputs, *extents), object)
    for o in range(outputs):
        for i in range(extents[0]):
            for j in range(extents[1]):
                found[0, o, i, j] = (wide[:, i : i + height, j : j + width] * w[o]).sum()
    return found


def _largest(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    size = a["kernel_shape"][0]
    parts = [x[:, :, i :: 1, j :: 1][:, :, : x.shape[2] - size + 1, : x.shape[3] - size + 1] for i in range(size) for j in range(size)]  # fmt: skip
    return np.maximum.reduce(parts)


_OPERATORS: dict[str, Callable[..., np.ndarray]] = {
    "Add": lambda a, x, y: x + y,
    "BatchNormalization": _normalized,
    "BipolarQuant": lambda a, x, s: _map(lambda v: 1 if v >= 0 else -1, x) * s,
    "Conv": _conv,
    "Div": lambda a, x, y: x / y,
    "Flatten": lambda a, x: x.reshape(1, -1),
    "Gemm": lambda a, x, w, b: x @ w.T + b,
    "IntQuant": _quant,
    "MatMul": lambda a, x, w: x @ w,
    "MaxPool": _largest,
    "Mul": lambda a, x, y: x * y,
    "MultiThreshold": _thresholds,
    "Quant": _quant,
    "Relu": lambda a, x: np.maximum(x, Fraction(0)),
    "Sub": lambda a, x, y: x - y,
    "Transpose": lambda a, x: x.transpose(a["perm"]),
    "Trunc": _trunc,
}
