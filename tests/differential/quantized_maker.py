"""Random quantized ONNX networks, as QOperator files and as QDQ files: structure, scales with ties, zero points at both ends, per-channel weights, saturation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KINDS = {"uint8": (0, 255), "int8": (-128, 127)}
_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


@dataclass(frozen=True)
class Tensor:
    """A tensor of codes: its name, shape, scale and zero point."""

    name: str
    shape: tuple[int, ...]
    scale: np.float32
    zero: int


class RandomQuantized:
    """A random network; ``form`` is ``"qoperator"`` or ``"qdq"``; ``exact`` int8 has powers of two for scales."""

    def __init__(self, seed: int, form: str, *, exact_int8: bool = False) -> None:
        self.rng = np.random.default_rng([seed, form == "qdq"])
        self.form = form
        # onnxruntime on x86 fuses chains of int8 alone; a few are tried.
        self.kind = "int8" if self.rng.random() < (0.5 if form == "qoperator" else 0.4) else "uint8"
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.count = 0
        self.exact = self.rng.random() < 0.3
        if exact_int8:
            self.kind, self.exact = "int8", True
        self.dequantized: dict[str, str] = {}
        self._make()

    # -- parts

    def bytes(self) -> bytes:
        tensors = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        floats = self.form == "qdq"
        kind = TensorProto.FLOAT if floats else _TYPES[self.kind]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", kind, list(self.input.shape))],
            [helper.make_tensor_value_info("y", kind, None)],
            tensors,
        )
        opsets = [helper.make_opsetid("", int(self.opset)), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 8
        return model.SerializeToString()

    def scale(self) -> np.float32:
        if self.exact:
            return np.float32(2.0 ** self.rng.integers(-7, 0))
        return np.float32(np.exp(self.rng.uniform(-5, 0)))

    def zero(self) -> int:
        low, high = KINDS[self.kind]
        return int(self.rng.choice([low, high, (low + high + 1) // 2, self.rng.integers(low, high + 1)]))

    def name(self, what: str = "t") -> str:
        self.count += 1
        return f"{what}{self.count}"

    def constant(self, array: Any) -> str:
        name = self.name("c")
        self.constants[name] = np.asarray(array)
        return name

    def pair(self, scale: Any, zero: Any, kind: str | None = None) -> list[str]:
        return [
            self.constant(np.asarray(scale, np.float32)),
            self.constant(np.asarray(zero, np.dtype(kind or self.kind))),
        ]

    def fresh(self, shape: tuple[int, ...], like: Tensor | None = None) -> Tensor:
        scale, zero = (self.scale(), self.zero()) if like is None else (like.scale, like.zero)
        return Tensor(self.name(), shape, scale, zero)

    def float_of(self, tensor: Tensor) -> str:
        """The dequantized tensor; each taker has a DequantizeLinear of its own, or all share one."""
        if tensor.name in self.dequantized and self.rng.random() < 0.7:
            return self.dequantized[tensor.name]
        name = self.name("f")
        self.nodes.append(
            helper.make_node(
                "DequantizeLinear", [self.handed_on(tensor.name), *self.pair(tensor.scale, tensor.zero)], [name]
            )
        )
        self.dequantized[tensor.name] = name = self.handed_on(name)
        return name

    def handed_on(self, value: str) -> str:
        """A value, now and then behind an operator that does nothing."""
        if self.rng.random() < 0.9:
            return value
        self.nodes.append(helper.make_node("Identity", [value], [self.name("i")]))
        return str(self.nodes[-1].output[0])

    def quantize(self, value: str, tensor: Tensor) -> Tensor:
        self.nodes.append(
            helper.make_node(
                "QuantizeLinear", [self.handed_on(value), *self.pair(tensor.scale, tensor.zero)], [tensor.name]
            )
        )
        return tensor

    def quantized_constant(self, codes: np.ndarray, scale: Any, zero: Any, axis: int | None = None) -> str:
        name = self.name("w")
        more = {} if axis is None else {"axis": axis}
        pair = [self.constant(np.asarray(scale, np.float32)), self.constant(np.asarray(zero, codes.dtype))]
        self.nodes.append(helper.make_node("DequantizeLinear", [self.constant(codes), *pair], [name], **more))
        return name

    # -- the network

    def _make(self) -> None:
        rng = self.rng
        self.opset = int(rng.choice([12, 13, 15, 17, 19, 21]))
        if rng.random() < 0.7:
            shape = (1, int(rng.integers(1, 4)), int(rng.integers(3, 7)), int(rng.integers(3, 7)))
        else:
            shape = (1, int(rng.integers(2, 12)))
        self.input = Tensor("x" if self.form == "qoperator" else self.name(), shape, self.scale(), self.zero())
        if self.form == "qdq":
            self.quantize("x", self.input)
        made = [self.input]
        for _ in range(int(rng.integers(2, 7))):
            before = made[-1] if rng.random() < 0.8 else made[int(rng.integers(len(made)))]
            image = [self._convolution, self._convolution, self._pool, self._average, self._add, self._constant]
            image += [self._leaky, self._move, self._concat, self._clip, self._everywhere]
            flat = [self._product, self._product, self._add, self._constant, self._leaky, self._concat, self._clip]
            options = image if len(before.shape) == 4 else flat
            option = self._again if rng.random() < 0.06 else options[int(rng.integers(len(options)))]
            found = option(before, made)
            if found is not None:
                made.append(found)
        last = made[-1]
        if len(last.shape) == 4 and rng.random() < 0.6:
            last = self._flattened(last)
            last = self._product(last, made)
        if len(made) == 1 or (last.scale == self.input.scale and last.zero == self.input.zero):
            last = self._constant(last, made)
        if self.form == "qdq":
            self.nodes.append(
                helper.make_node("DequantizeLinear", [last.name, *self.pair(last.scale, last.zero)], ["y"])
            )
        else:
            self.nodes.append(helper.make_node("Identity", [last.name], ["y"]))

        # By nodes that give nothing to the output onnxruntime decides what it fuses, too.
        if self.kind == "int8" or self.rng.random() < 0.5:
            self._prune()

    def _prune(self) -> None:
        wanted, kept = {"y"}, []
        for node in reversed(self.nodes):
            if node.output[0] in wanted:
                wanted.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]

    def _weights(self, shape: tuple[int, ...], axis: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = self.rng
        unsigned = self.kind == "uint8" and rng.random() < 0.2
        kind = np.uint8 if unsigned else np.int8
        low, high = (0, 256) if unsigned else (-127, 128)
        codes = rng.integers(low, high, shape)
        if rng.random() < 0.2:
            codes = np.where(rng.random(shape) < 0.5, low, high - 1)
        zero = int(rng.integers(100, 156)) if unsigned else int(rng.choice([0, 0, 0, rng.integers(-20, 20)]))
        fan = max(1, math.prod(shape) // channels)

        def one() -> Any:
            return 2.0 ** rng.integers(-9, -5) if self.exact else np.exp(rng.uniform(-8, -5)) / math.sqrt(fan) * 2

        if rng.random() < 0.6 and (self.form == "qoperator" or self.opset >= 13):
            scale = np.array([one() for _ in range(channels)], np.float32)
            return codes.astype(kind), scale, np.full(channels, zero, kind)
        return codes.astype(kind), np.array(one(), np.float32), np.array(zero, kind)

    def _bias(self, channels: int) -> np.ndarray | None:
        if self.rng.random() < 0.25:
            return None
        return self.rng.integers(-4000, 4000, channels).astype(np.int32)

    def _rescaled(self, before: Tensor, scale: np.ndarray, fan: int, shape: tuple[int, ...]) -> Tensor:
        """A result whose scale makes most sums fit, some saturate."""
        after = self.fresh(shape)
        if self.exact:
            return after
        typical = float(before.scale) * float(np.mean(scale)) * 70 * 70 * math.sqrt(fan) / 60
        return Tensor(after.name, shape, np.float32(typical * np.exp(self.rng.uniform(-1, 1))), after.zero)

    def _convolution(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        rng = self.rng
        _, channels, height, width = before.shape
        kernel = int(rng.choice([1, 2, 3]))
        stride, dilation = int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 2]))
        pads = [int(rng.integers(0, 2)) for _ in range(4)]
        reach = dilation * (kernel - 1) + 1
        extents = [
            (extent + pads[axis] + pads[axis + 2] - reach) // stride + 1 for axis, extent in enumerate((height, width))
        ]
        if min(extents) < 1:
            return None
        group = channels if rng.random() < 0.3 else 1
        outputs = channels * int(rng.integers(1, 3)) if group > 1 else int(rng.integers(1, 5))
        shape = (outputs, channels // group, kernel, kernel)
        codes, scale, zero = self._weights(shape, 0, outputs)
        bias = self._bias(outputs)
        after = self._rescaled(before, scale, math.prod(shape[1:]), (1, outputs, *extents))
        more = {"pads": pads, "strides": [stride] * 2, "dilations": [dilation] * 2, "group": group}
        more["kernel_shape"] = [kernel] * 2
        return self._products("Conv", "QLinearConv", before, after, codes, scale, zero, bias, 0, more)

    def _products(
        self,
        operator: str,
        fused: str,
        before: Tensor,
        after: Tensor,
        codes: np.ndarray,
        scale: np.ndarray,
        zero: np.ndarray,
        bias: np.ndarray | None,
        axis: int,
        more: dict[str, Any],
    ) -> Tensor:
        if self.form == "qoperator":
            weights = [self.constant(codes), self.constant(scale), self.constant(zero)]
            operands = [before.name, *self.pair(before.scale, before.zero), *weights]
            result = self.pair(after.scale, after.zero)
            if fused == "QGemm":
                operands += ["" if bias is None else self.constant(bias), *result]
            else:
                operands += [*result, *([] if bias is None else [self.constant(bias)])]
            domain = "com.microsoft" if fused == "QGemm" else ""
            self.nodes.append(helper.make_node(fused, operands, [after.name], domain=domain, **more))
            return after
        operands = [self.float_of(before), self.quantized_constant(codes, scale, zero, axis if scale.ndim else None)]
        if bias is not None:
            product = np.asarray(before.scale * scale, np.float32)
            if self.rng.random() < 0.2:
                # Floats, which onnxruntime quantizes itself.
                operands.append(self.constant((bias * product + 0.3 * product).astype(np.float32)))
            else:
                operands.append(
                    self.quantized_constant(bias, product, np.zeros_like(product, np.int32), 0 if scale.ndim else None)
                )
        value = self.name("f")
        self.nodes.append(helper.make_node(operator, operands, [value], **more))
        low = KINDS[self.kind][0]
        if after.zero == low and self.rng.random() < 0.5:
            clipped = self.name("f")
            self.nodes.append(helper.make_node("Relu", [value], [clipped]))
            value = clipped
        return self.quantize(value, after)

    def _product(self, before: Tensor, made: list[Tensor]) -> Tensor:
        rng = self.rng
        inputs, outputs = before.shape[1], int(rng.integers(1, 8))
        gemm, turned = rng.random() < 0.7, rng.random() < 0.5
        shape = (outputs, inputs) if gemm and turned else (inputs, outputs)
        axis = 0 if gemm and turned else 1
        codes, scale, zero = self._weights(shape, axis, outputs)
        after = self._rescaled(before, scale, inputs, (1, outputs))
        if not gemm:
            return self._products("MatMul", "QLinearMatMul", before, after, codes, scale, zero, None, 1, {})
        more = {"transB": 1} if turned else {}
        return self._products("Gemm", "QGemm", before, after, codes, scale, zero, self._bias(outputs), axis, more)

    def _unary(self, operator: str, before: Tensor, after: Tensor, **more: Any) -> Tensor:
        if self.form == "qoperator":
            channels_last = {"channels_last": 0} if "Pool" in operator else {}
            operands = [before.name, *self.pair(before.scale, before.zero), *self.pair(after.scale, after.zero)]
            self.nodes.append(
                helper.make_node(
                    f"QLinear{operator}", operands, [after.name], domain="com.microsoft", **more, **channels_last
                )
            )
            return after
        value = self.name("f")
        self.nodes.append(helper.make_node(operator, [self.float_of(before)], [value], **more))
        return self.quantize(value, after)

    def _near(self, before: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A result of about the operand's range."""
        after = self.fresh(shape)
        scale = np.float32(float(before.scale) * np.exp(self.rng.uniform(-0.7, 0.7)))
        return Tensor(after.name, shape, before.scale if self.exact else scale, after.zero)

    def _average(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        kernel = int(self.rng.choice([2, 3]))
        pads = [int(self.rng.integers(0, 2)) for _ in range(4)]
        extents = [e + pads[i] + pads[i + 2] - kernel + 1 for i, e in enumerate(before.shape[2:])]
        if min(extents) < 1:
            return None
        after = self._near(before, (*before.shape[:2], *extents))
        more = {"kernel_shape": [kernel] * 2, "pads": pads, "count_include_pad": int(self.rng.integers(0, 2))}
        return self._unary("AveragePool", before, after, **more)

    def _everywhere(self, before: Tensor, made: list[Tensor]) -> Tensor:
        """A mean over all places, now and then by a window that is as large as the image."""
        if self.rng.random() < 0.5:
            more = {"kernel_shape": list(before.shape[2:]), "strides": self.rng.integers(1, 4, 2).tolist()}
            return self._unary("AveragePool", before, self._near(before, (*before.shape[:2], 1, 1)), **more)
        return self._unary("GlobalAveragePool", before, self._near(before, (*before.shape[:2], 1, 1)))

    def _leaky(self, before: Tensor, made: list[Tensor]) -> Tensor:
        if self.rng.random() < 0.3:
            low = KINDS[self.kind][0]
            after = Tensor(self.name(), before.shape, np.float32(1 / 256), low)
            return self._unary("Sigmoid", before, after)
        return self._unary(
            "LeakyRelu", before, self._near(before, before.shape), alpha=float(self.rng.choice([0.0, 0.1, 0.25]))
        )

    def _same(self, operator: str, before: Tensor, shape: tuple[int, ...], extra: list[str], **more: Any) -> Tensor:
        """An operator that moves codes."""
        after = self.fresh(shape, before)
        if self.form == "qoperator":
            self.nodes.append(helper.make_node(operator, [before.name, *extra], [after.name], **more))
            return after
        value = self.name("f")
        self.nodes.append(helper.make_node(operator, [self.float_of(before), *extra], [value], **more))
        return self.quantize(value, after)

    def _pool(self, before: Tensor, made: list[Tensor]) -> Tensor:
        kernel, stride = int(self.rng.choice([2, 3])), int(self.rng.choice([1, 2]))
        extents = [(e - kernel) // stride + 1 if e >= kernel else 1 for e in before.shape[2:]]
        if min(before.shape[2:]) < kernel:
            return self._move(before, made)
        shape = (*before.shape[:2], *extents)
        return self._same("MaxPool", before, shape, [], kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def _move(self, before: Tensor, made: list[Tensor]) -> Tensor:
        if self.rng.random() < 0.5:
            order = [0, *(1 + self.rng.permutation(len(before.shape) - 1)).tolist()]
            return self._same("Transpose", before, tuple(before.shape[i] for i in order), [], perm=order)
        pads = [0, 0, *self.rng.integers(0, 2, 2).tolist(), 0, 0, *self.rng.integers(0, 2, 2).tolist()]
        shape = tuple(e + pads[i] + pads[i + 4] for i, e in enumerate(before.shape))
        fill = np.array(before.zero, np.dtype(self.kind)) if self.form == "qoperator" else np.array(0, np.float32)
        extra = [self.constant(np.array(pads, np.int64)), self.constant(fill)]
        return self._same("Pad", before, shape, extra)

    def _flattened(self, before: Tensor) -> Tensor:
        return self._same("Flatten", before, (1, math.prod(before.shape)), [])

    def _again(self, before: Tensor, made: list[Tensor]) -> Tensor:
        """What codes stand for, quantized by another scale."""
        value = self.float_of(before)
        if self.rng.random() < 0.3:
            self.nodes.append(helper.make_node("Relu", [value], [self.name("f")]))
            value = str(self.nodes[-1].output[0])
        return self.quantize(value, self._near(before, before.shape))

    def _clip(self, before: Tensor, made: list[Tensor]) -> Tensor:
        low, high = sorted(self.rng.integers(*KINDS[self.kind], 2).tolist())
        kind = np.dtype(self.kind)
        after = self.fresh(before.shape, before)
        extra = [self.constant(np.array(low, kind)), self.constant(np.array(high, kind))]
        self.nodes.append(helper.make_node("Clip", [before.name, *extra], [after.name]))
        return after

    def _add(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        others = [t for t in made if t.shape == before.shape and t is not before]
        if not others:
            return None
        other = others[int(self.rng.integers(len(others)))]
        return self._pair("Add", before, other.name, other, before.shape)

    def _constant(self, before: Tensor, made: list[Tensor]) -> Tensor:
        rng = self.rng
        rank = len(before.shape)
        shapes = [before.shape, (before.shape[1], *[1] * (rank - 2)), ()]
        shape = shapes[int(rng.integers(3))]
        operator = str(rng.choice(["Add", "Mul"]))
        low, high = KINDS[self.kind]
        zero = self.zero() if operator == "Add" else low
        codes = rng.integers(low, high + 1, shape).astype(np.dtype(self.kind))
        other = Tensor("", shape, self.scale(), zero)
        return self._pair(operator, before, None, other, before.shape, np.asarray(codes))

    def _pair(
        self, operator: str, first: Tensor, name: str | None, second: Tensor, shape: tuple[int, ...],
        codes: np.ndarray | None = None,
    ) -> Tensor:  # fmt: skip
        after = self._near(first, shape)
        if operator == "Mul":
            scale = np.float32(float(first.scale) * float(second.scale) * 60)
            after = Tensor(
                after.name, shape, np.float32(2.0 ** round(math.log2(scale))) if self.exact else scale, after.zero
            )
        turned = self.rng.random() < 0.3
        if self.form == "qoperator":
            parts = [
                [first.name, *self.pair(first.scale, first.zero)],
                [name or self.constant(codes), *self.pair(second.scale, second.zero)],
            ]
            parts = parts[::-1] if turned else parts
            operands = [*parts[0], *parts[1], *self.pair(after.scale, after.zero)]
            self.nodes.append(helper.make_node(f"QLinear{operator}", operands, [after.name], domain="com.microsoft"))
            return after
        other = self.float_of(second) if name else self.quantized_constant(codes, second.scale, second.zero)
        both = [self.float_of(first), other]
        value = self.name("f")
        self.nodes.append(helper.make_node(operator, both[::-1] if turned else both, [value]))
        return self.quantize(value, after)

    def _concat(self, before: Tensor, made: list[Tensor]) -> Tensor:
        parts = [*[t for t in made if t.shape == before.shape][-2:], before]
        shape = (1, before.shape[1] * len(parts), *before.shape[2:])
        after = self.fresh(shape, before if self.rng.random() < 0.3 else None)
        if self.form == "qoperator":
            operands = self.pair(after.scale, after.zero)
            for part in parts:
                operands += [part.name, *self.pair(part.scale, part.zero)]
            self.nodes.append(helper.make_node("QLinearConcat", operands, [after.name], domain="com.microsoft", axis=1))
            return after
        value = self.name("f")
        self.nodes.append(helper.make_node("Concat", [self.float_of(p) for p in parts], [value], axis=1))
        return self.quantize(value, after)
