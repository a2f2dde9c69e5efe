"""Random networks in ONNX, grown node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_models import node

KINDS = ("conv", "conv", "norm", "activation", "activation", "pool", "residual", "scale", "permute", "concat")


class Maker:
    """Grows a network node by node from the value ``x``, an image unless another shape is given."""

    def __init__(self, seed: int, shape: tuple[int, ...] | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.value = "x"
        self.shape = shape or (1, 2, int(self.random.integers(5, 9)), int(self.random.integers(5, 9)))
        self.start = self.shape

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def constant(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = (self.random.normal(size=shape) * scale + shift).astype(np.float32).astype(np.float64)
        return name

    def scalar(self, value: float) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(value, np.float32).astype(np.float64)
        return name

    def numbers(self, *values: float) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(values, np.float32).astype(np.float64)
        return name

    def integers(self, *values: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(values, np.int64)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(operator, inputs, [name], **attributes))
        return name

    def activation(self, operator: str, value: str, **attributes: Any) -> str:
        """An activation; the limits of a Clip are given like attributes."""
        if operator != "Clip":
            return self.add(operator, value, **attributes)
        return self.add("Clip", value, self.scalar(attributes["min"]), self.scalar(attributes["max"]))

    def grow(self, kinds: Sequence[str] = KINDS) -> None:
        channels, height, width = self.shape[1:]
        kind = self.pick(*kinds)
        if kind == "conv":
            kernel = self.pick(1, 2, 3)
            if min(height, width) < kernel:
                return
            outputs, stride, pad = self.pick(2, 4), self.pick(1, 2), self.pick(0, 1) if kernel > 1 else 0
            groups = self.pick(1, 2) if channels % 2 == 0 else 1
            weight = self.constant(outputs, channels // groups, kernel, kernel, scale=0.5)
            self.value = self.add(
                "Conv", self.value, weight, self.constant(outputs),
                strides=[stride] * 2, pads=[pad, 0, 0, pad], group=groups, kernel_shape=[kernel] * 2,
            )  # fmt: skip
            extents = [(e + pad - kernel) // stride + 1 for e in (height, width)]
            self.shape = (1, outputs, *extents)
        elif kind == "transposed":
            kernel, stride = self.pick(2, 3), self.pick(1, 2)
            outputs, groups = self.pick(2, 4), self.pick(1, 2) if channels % 2 == 0 else 1
            more, before = self.pick(*range(stride)), self.pick(0, 1)
            whole = [stride * (e - 1) + kernel + more for e in (height, width)]
            if max(whole) > 12:
                return
            weight = self.constant(channels, outputs // groups, kernel, kernel, scale=0.5)
            self.value = self.add(
                "ConvTranspose", self.value, weight, self.constant(outputs),
                strides=[stride] * 2, pads=[before, 0, 0, before], group=groups, output_padding=[more] * 2,
            )  # fmt: skip
            self.shape = (1, outputs, *(e - before for e in whole))
        elif kind == "norm":
            parts = [self.constant(channels), self.constant(channels), self.constant(channels)]
            variance = self.constant(channels, scale=0.1, shift=1.0)
            self.value = self.add("BatchNormalization", self.value, *parts, variance)
        elif kind == "activation":
            operator, options = self.pick(
                ("Relu", {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Sigmoid", {}), ("Tanh", {})
            )
            self.value = self.add(operator, self.value, **options)
        elif kind == "piecewise":
            operator, options = self.pick(
                ("Relu", {}),
                ("Relu", {}),
                ("Abs", {}),
                ("LeakyRelu", {"alpha": self.pick(0.1, -0.5, 2.5)}),
                ("Clip", {"min": -0.5, "max": 1.0}),
            )
            self.value = self.activation(operator, self.value, **options)
        elif kind == "pool" and min(height, width) >= 2:
            operator = self.pick("MaxPool", "AveragePool")
            stride = self.pick(1, 2)
            self.value = self.add(operator, self.value, kernel_shape=[2, 2], strides=[stride] * 2, pads=[0, 1, 0, 0])
            self.shape = (1, channels, (height - 2) // stride + 1, (width - 1) // stride + 1)
        elif kind == "residual":
            weight = self.constant(channels, channels, 3, 3, scale=0.3)
            inner = self.add("Relu", self.add("Conv", self.value, weight, pads=[1, 1, 1, 1]))
            self.value = self.add(self.pick("Add", "Sub"), *self.pick((inner, self.value), (self.value, inner)))
        elif kind == "scale":
            operator = self.pick("Add", "Sub", "Mul", "Div")
            shape = self.pick((channels, 1, 1), (1,), (height, width))
            self.value = self.add(operator, self.value, self.constant(*shape, scale=0.2, shift=1.5))
        elif kind == "permute":
            self.value = self.add("Transpose", self.value, perm=[0, 1, 3, 2])
            self.shape = (1, channels, width, height)
        elif kind == "concat":
            part = self.add("Slice", self.value, self.integers(0), self.integers(channels - 1), self.integers(1))
            self.value = self.add("Concat", part, self.value, axis=1)
            self.shape = (1, 2 * channels - 1, height, width)

    def finish(self) -> None:
        size = int(np.prod(self.shape))
        flat = self.add("Flatten", self.value)
        hidden = self.add("Gemm", flat, self.constant(size, 6, scale=size**-0.5), self.constant(6))
        last = self.add("Relu", hidden)
        self.nodes.append(node("MatMul", [last, self.constant(6, 3)], ["y"]))
