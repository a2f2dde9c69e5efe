"""Second reader of quantized ONNX networks, QOperator files and QDQ files, as ``onnxruntime`` or the standard computes them.

Codes are parts of the reading, less their zero points. Of a QDQ file that onnxruntime computes, activations have to be of
``uint8``, of which it fuses every group that is read here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.onnx import attributes, correlation_of, matrix, needed, pads_of, plus
from netproof.certificate.second_reading.qonnx.read import DOMAINS, read_qonnx
from netproof.certificate.second_reading.quantized import rounding
from netproof.certificate.second_reading.quantized.values import ENDS, Codes, How, Known, Open, Real, Value
from netproof.certificate.second_reading.reading import Floats, Map, Reading, Steps, UnknownFormError, Wholes

_UINT8, _INT8, _INT32, _FLOAT = 2, 3, 6, 1
_SOFTMAX = ("Softmax", "LogSoftmax", "QLinearSoftmax")
_MOVING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
_NOTHING = ("Identity", "Dropout")
#: operators of the standard among those that begin with Q
_STANDARD = ("QuantizeLinear", "QLinearConv", "QLinearMatMul")


def read_quantized(data: bytes, runtime: str, deadline: float = math.inf) -> Reading:
    """The network in ``data`` by a rule, a final softmax left out; raises :class:`UnknownFormError`."""
    import onnx
    from google.protobuf.message import DecodeError

    if runtime not in rounding.RUNTIMES:
        raise UnknownFormError(f"the runtime '{runtime[:40]}'")
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise UnknownFormError("no ONNX model") from None
    if any(node.domain in DOMAINS for node in model.graph.node):
        return read_qonnx(model, deadline)
    return _Reader(model.graph, runtime, deadline).read()


class _Reader:
    def __init__(self, graph: Any, runtime: str, deadline: float = math.inf) -> None:
        from onnx import TensorProto, numpy_helper

        self._graph, self._runtime = graph, runtime
        self._reading = Reading(deadline=deadline)
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                tensors[node.output[0]] = attributes(node)["value"]
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors.values()):
            raise UnknownFormError("numbers in other files")
        self._constants: dict[str, NDArray[Any]] = {n: numpy_helper.to_array(t) for n, t in tensors.items()}
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(value.name for value in graph.output)
        self._values: dict[str, Value] = {}
        (self._source,) = (value for value in graph.input if value.name not in tensors)
        #: names of the floats that the file takes
        self._floats = {self._source.name}

    def read(self) -> Reading:
        graph = self._graph
        kind = self._source.type.tensor_type
        self._shape = tuple(d.dim_value or (1 if not axis else 0) for axis, d in enumerate(kind.shape.dim))
        if kind.elem_type in ENDS:
            self._values[self._source.name] = self._start(kind.elem_type)
            self._floats.clear()
        last = graph.output[0].name
        for node in needed(graph, {self._source.name, *self._constants}):
            if node.op_type in _SOFTMAX and node.output[0] == last:
                last = node.input[0]
                break
            if any(node.output[1:]):
                raise UnknownFormError("an operator of several results")
            if node.op_type in _NOTHING and node.input[0] in self._floats:
                self._floats.add(node.output[0])
            else:
                self._values[node.output[0]] = self._value(node)
        found = self._values[last]
        codes = found.codes if isinstance(found, Real) else found
        if not isinstance(codes, Codes):
            raise UnknownFormError("an output that is not quantized")
        self._reading.end(codes.part, codes.offset)
        return self._reading

    def _start(self, kind: int) -> Codes:
        if self._reading.parts:
            raise UnknownFormError("an input that is quantized twice")
        return Codes(self._reading.add_input(math.prod(self._shape), *ENDS[kind]), self._shape, kind, 0)

    # -- operands

    def _array(self, node: Any, number: int) -> NDArray[Any] | None:
        """A constant as the file has it; None where it is left out."""
        if number >= len(node.input) or not node.input[number]:
            return None
        return self._constants[node.input[number]]

    def _how(self, node: Any, number: int, kind: int) -> How:
        """Scale and zero point of codes, operands ``number`` and the next."""
        scale, zero = self._array(node, number), self._array(node, number + 1)
        if scale is None or scale.size != 1 or scale.dtype != np.float32:
            raise UnknownFormError("scales of activations other than one float32 number")
        if zero is None:
            return How(np.float32(scale.reshape(-1)[0]), 0, kind)
        found = {np.dtype(np.uint8): _UINT8, np.dtype(np.int8): _INT8}.get(zero.dtype)
        if found is None or zero.size != 1:
            raise UnknownFormError("zero points of activations other than one of 8 bits")
        return How(np.float32(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]), found)

    def _known(self, node: Any, number: int, axis: int) -> Known:
        """A constant with its scales and zero points, operands ``number`` to ``number + 2``."""
        codes, scale, zero = (self._array(node, number + k) for k in range(3))
        if (
            codes is None
            or scale is None
            or scale.ndim > 1
            or scale.dtype != np.float32
            or codes.dtype.kind not in "iu"
        ):
            raise UnknownFormError("weights that are no codes with float32 scales")
        numbers = codes.astype(np.int64)
        if zero is not None:
            spread = [1] * codes.ndim
            if zero.size > 1:
                spread[axis] = zero.size
            numbers = numbers - zero.astype(np.int64).reshape(spread)
        return Known(numbers, scale.reshape(-1), axis % max(codes.ndim, 1))

    def _codes(self, node: Any, number: int) -> tuple[Codes, How]:
        """A value that a QOperator takes."""
        value = self._values.get(node.input[number])
        if not isinstance(value, Codes):
            raise UnknownFormError(f"operand {number} of {node.op_type}")
        how = self._how(node, number + 1, value.kind)
        if how.kind != value.kind:
            raise UnknownFormError("codes and zero points of two types")
        return value, how

    def _real(self, node: Any, number: int) -> tuple[Codes, How]:
        """A value that an operator of a QDQ file takes."""
        value = self._values.get(node.input[number])
        if not isinstance(value, Real) or not (value.direct or self._runtime == "integer-ideal"):
            raise UnknownFormError(f"operand {number} of {node.op_type}")
        if value.how.kind != _UINT8 and self._runtime == "onnxruntime":
            raise UnknownFormError("activations of int8 in a QDQ file, which onnxruntime fuses in part")
        return value.codes, value.how

    def _less(self, codes: Codes, zero: int) -> Codes:
        if codes.offset == zero:
            return codes
        part = self._reading.add_map(plus(np.array(float(codes.offset - zero))), codes.part)
        return replace(codes, part=part, offset=zero)

    # -- operators

    def _value(self, node: Any) -> Value:
        known: dict[str, Callable[[Any], Value]] = {
            "QuantizeLinear": self._quantize, "DequantizeLinear": self._dequantize, "Conv": self._convolution,
            "Gemm": self._gemm, "MatMul": self._product, "Add": self._sum, "GlobalAveragePool": self._mean,
            "Relu": self._clip, "Clip": self._clip, "QLinearConv": self._q_convolution, "QLinearMatMul": self._q_product,
            "QGemm": self._q_gemm, "QLinearAdd": self._q_sum, "QLinearGlobalAveragePool": self._q_mean,
        }  # fmt: skip
        operator = node.op_type
        wanted = ("com.microsoft",) if operator.startswith("Q") and operator not in _STANDARD else ("", "ai.onnx")
        if node.domain not in wanted:
            raise UnknownFormError(f"{operator[:40]} of another domain")
        if operator in _NOTHING:
            return self._values[node.input[0]]
        if operator in _MOVING:
            return self._moved(node)
        if operator not in known:
            raise UnknownFormError(f"the operator {operator[:40]}")
        return known[operator](node)

    def _quantize(self, node: Any) -> Value:
        if node.attribute:
            raise UnknownFormError("a QuantizeLinear with attributes")
        how = self._how(node, 1, _UINT8)
        if node.input[0] in self._floats:
            return replace(self._start(how.kind), rounded=True)
        value = self._values.get(node.input[0])
        if isinstance(value, Open):
            self._taken_once(node)
            if how.kind != _UINT8 and self._runtime == "onnxruntime":
                raise UnknownFormError("a result of int8 in a QDQ file, which onnxruntime fuses in part")
            for low, high in value.clips:
                self._without_effect(how, low, high)
            return replace(value.close(how), rounded=True)
        if isinstance(value, Real):
            self._check_one_pair(value, how)
            return replace(self._changed(value, how), rounded=True)
        raise UnknownFormError("a QuantizeLinear of codes, or of constants")

    def _dequantize(self, node: Any) -> Value:
        stated = attributes(node)
        if set(stated) - {"axis"}:
            raise UnknownFormError("a DequantizeLinear with attributes")
        value = self._values.get(node.input[0])
        if value is None:
            return self._known(node, 0, stated.get("axis", 1))
        if not isinstance(value, Codes):
            raise UnknownFormError("a DequantizeLinear of no codes")
        how = self._how(node, 1, value.kind)
        if how.kind != value.kind:
            raise UnknownFormError("codes and zero points of two types")
        return Real(value, how)

    def _taken_once(self, node: Any) -> None:
        if self._uses[node.input[0]] != 1:
            raise UnknownFormError("sums that several operators take")

    @staticmethod
    def _without_effect(how: How, low: float, high: float) -> None:
        least, largest = (float(np.float32(end - how.zero) * how.scale) for end in ENDS[how.kind])
        if low > least or high < largest:
            raise UnknownFormError("a ReLU or Clip with an effect")

    def _check_one_pair(self, value: Real, how: How) -> None:
        """What is quantized, dequantized and quantized again, onnxruntime quantizes once, for what both ranges have in common."""
        again = value.codes.rounded or not value.direct
        if self._runtime == "onnxruntime" and again and how.kind == value.how.kind and how != value.how:
            raise UnknownFormError("a value that is quantized twice in a row, by two scales or zero points")

    def _clip(self, node: Any) -> Value:
        value = self._values.get(node.input[0])
        if not isinstance(value, Open) or node.attribute:
            raise UnknownFormError(f"a {node.op_type} of what is rounded")
        self._taken_once(node)
        ends = [0.0, math.inf]
        if node.op_type == "Clip":
            given = [self._array(node, number) for number in (1, 2)]
            ends = [
                default if array is None else float(array.reshape(-1)[0])
                for array, default in zip(given, (-math.inf, math.inf), strict=True)
            ]
        return replace(value, clips=(*value.clips, (ends[0], ends[1])))

    def _changed(self, value: Real, how: How) -> Codes:
        """Codes of what other codes stand for."""
        codes, before = value.codes, value.how
        change = rounding.of_change(self._runtime, (before.scale, before.zero), (how.scale, how.zero))
        low, high = (end - how.zero for end in ENDS[how.kind])

        def one(number: int) -> int:
            return max(low, min(high, change(number + codes.offset)))

        part = self._reading.parts[codes.part]
        met = range(int(part.low.min()), int(part.high.max()) + 1)
        if codes.kind == how.kind and all(one(a) + how.zero == a + codes.offset for a in met):
            return codes
        return Codes(self._reading.add_steps(_each(one), codes.part), codes.shape, how.kind, how.zero)

    def _moved(self, node: Any) -> Value:
        value = self._values.get(node.input[0])
        if isinstance(value, Real):
            moved = self._moved_codes(node, value.codes)
            return Real(moved, value.how, direct=False)
        if not isinstance(value, Codes):
            raise UnknownFormError(f"{node.op_type} of no codes")
        return self._moved_codes(node, value)

    def _moved_codes(self, node: Any, codes: Codes) -> Codes:
        index: NDArray[Any] = np.arange(math.prod(codes.shape)).reshape(codes.shape)
        index = self._rearranged(node, index)
        order = index.reshape(-1)
        if np.array_equal(order, np.arange(order.size)):
            return replace(codes, shape=index.shape)
        part = self._reading.add_map(lambda x, _: x[0][:, order], codes.part)
        return replace(codes, part=part, shape=index.shape)

    def _rearranged(self, node: Any, index: NDArray[Any]) -> NDArray[Any]:
        stated, array = attributes(node), self._array(node, 1)
        if node.op_type == "Transpose":
            turned: NDArray[Any] = index.transpose(stated.get("perm", list(range(index.ndim))[::-1]))
            return turned
        if node.op_type == "Flatten":
            return index.reshape(math.prod(index.shape[: stated.get("axis", 1)]), -1)
        if node.op_type == "Reshape":
            if array is None or stated.get("allowzero", 0):
                raise UnknownFormError("a Reshape to a shape that is not known")
            return index.reshape([n if n else index.shape[i] for i, n in enumerate(array.tolist())])
        axes = stated.get("axes") if array is None else array.tolist()
        if axes is None:
            raise UnknownFormError(f"{node.op_type} of axes that are not stated")
        if node.op_type == "Squeeze":
            return index.squeeze(tuple(axes))
        widened: NDArray[Any] = np.expand_dims(index, tuple(axes))
        return widened

    # -- products

    def _convolution(self, node: Any) -> Value:
        codes, how = self._real(node, 0)
        weight = self._weight(node, 1, 0)
        return Open(self._closing(node, codes, how, weight, self._bias(node, 2, how, weight), self._correlated))

    def _gemm(self, node: Any) -> Value:
        stated = attributes(node)
        if stated.get("alpha", 1.0) != 1 or stated.get("beta", 1.0) != 1 or stated.get("transA", 0):
            raise UnknownFormError("a Gemm with factors, or of a transposed value")
        codes, how = self._real(node, 0)
        weight = self._weight(node, 1, 0 if stated.get("transB", 0) else 1)
        bias = self._bias(node, 2, how, weight)
        turned = weight if stated.get("transB", 0) else Known(weight.codes.T, weight.scale)
        return Open(self._closing(node, codes, how, turned, bias, self._multiplied))

    def _product(self, node: Any) -> Value:
        codes, how = self._real(node, 0)
        weight = self._weight(node, 1, 1)
        return Open(self._closing(node, codes, how, Known(weight.codes.T, weight.scale), None, self._multiplied))

    def _weight(self, node: Any, number: int, axis: int) -> Known:
        """A constant whose scales, where there are several, are along an axis."""
        value = self._values.get(node.input[number])
        if not isinstance(value, Known):
            raise UnknownFormError(f"weights of {node.op_type} that no DequantizeLinear gives")
        if len(value.scale) > 1 and value.axis != axis:
            raise UnknownFormError(f"weights of {node.op_type} with scales along another axis")
        return value

    def _bias(self, node: Any, number: int, how: How, weight: Known) -> Floats | None:
        if number >= len(node.input) or not node.input[number]:
            return None
        value = self._weight(node, number, 0)
        if not bool((value.scale == (how.scale * weight.scale).astype(np.float32)).all()):
            raise UnknownFormError("a bias of another scale than its products")
        return value.codes.reshape(-1).astype(np.float64)

    def _q_convolution(self, node: Any) -> Value:
        codes, how = self._codes(node, 0)
        weight = self._known(node, 3, 0)
        close = self._closing(node, codes, how, weight, self._whole_bias(node, 8), self._correlated)
        return close(self._how(node, 6, codes.kind))

    def _q_product(self, node: Any) -> Value:
        codes, how = self._codes(node, 0)
        weight = self._known(node, 3, 1)
        close = self._closing(node, codes, how, Known(weight.codes.T, weight.scale), None, self._multiplied)
        return close(self._how(node, 6, codes.kind))

    def _q_gemm(self, node: Any) -> Value:
        stated = attributes(node)
        if stated.get("alpha", 1.0) != 1 or stated.get("transA", 0) or self._array(node, 7) is None:
            raise UnknownFormError("a QGemm with a factor, of a transposed value, or of floats")
        codes, how = self._codes(node, 0)
        turned = bool(stated.get("transB", 0))
        weight = self._known(node, 3, 0 if turned else 1)
        weight = weight if turned else Known(weight.codes.T, weight.scale)
        return self._closing(node, codes, how, weight, self._whole_bias(node, 6), self._multiplied)(
            self._how(node, 7, codes.kind)
        )

    def _whole_bias(self, node: Any, number: int) -> Floats | None:
        array = self._array(node, number)
        if array is not None and array.dtype != np.int32:
            raise UnknownFormError("a bias that is not of int32")
        return None if array is None else array.reshape(-1).astype(np.float64)

    def _correlated(self, node: Any, codes: Codes, weight: Floats) -> tuple[Map, tuple[int, ...]]:
        stated, axes = attributes(node), weight.ndim - 2
        stride, dilation = stated.get("strides", [1] * axes), stated.get("dilations", [1] * axes)
        kernel, groups = weight.shape[2:], stated.get("group", 1)
        if len(codes.shape) != weight.ndim or axes < 1 or codes.shape[0] != 1:
            raise UnknownFormError(f"a convolution of {codes.shape} by {weight.shape}")
        if stated.get("kernel_shape", list(kernel)) != list(kernel) or groups * weight.shape[1] != codes.shape[1]:
            raise UnknownFormError("a convolution whose shapes do not fit")
        pads = pads_of(stated, codes.shape[2:], kernel, stride, dilation)
        return correlation_of(weight, codes.shape, stride, dilation, pads, groups)

    def _multiplied(self, node: Any, codes: Codes, weight: Floats) -> tuple[Map, tuple[int, ...]]:
        if weight.ndim != 2 or not codes.shape or {math.prod(codes.shape), codes.shape[-1]} != {weight.shape[1]}:
            raise UnknownFormError(f"a product of {codes.shape} and {weight.T.shape}")
        return matrix(weight.T), (*codes.shape[:-1], len(weight))

    def _closing(
        self,
        node: Any,
        codes: Codes,
        how: How,
        weight: Known,
        bias: Floats | None,
        mapped: Callable[[Any, Codes, Floats], tuple[Map, tuple[int, ...]]],
    ) -> Callable[[How], Codes]:
        """What rounds the sums of products, once it is known how."""
        codes = self._less(codes, how.zero)
        map_, shape = mapped(node, codes, weight.codes.astype(np.float64))
        outputs = len(weight.codes)
        if len(weight.scale) not in (1, outputs) or (bias is not None and len(bias) != outputs):
            raise UnknownFormError(f"{len(weight.scale)} scales for {outputs} outputs")
        added = None if bias is None else np.repeat(bias, math.prod(shape) // outputs)

        def close(result: How) -> Codes:
            sums = self._reading.add_map(map_, codes.part)
            if added is not None:
                sums = self._reading.add_map(plus(added), sums)
            rounds = [
                self._clamped(rounding.of_product(self._runtime, how.scale, scale, result.scale), result)
                for scale in weight.scale
            ]
            return Codes(self._reading.add_steps(rounds, sums), shape, result.kind, result.zero)

        return close

    @staticmethod
    def _clamped(one: rounding.Round, result: How) -> Steps:
        low, high = (end - result.zero for end in ENDS[result.kind])
        return _each(lambda value: max(low, min(high, one(value))))

    # -- sums and means

    def _sum(self, node: Any) -> Value:
        return Open(lambda result: self._added([self._real(node, number) for number in (0, 1)], result))

    def _q_sum(self, node: Any) -> Value:
        operands = [self._codes(node, number) for number in (0, 3)]
        return self._added(operands, self._how(node, 6, operands[0][0].kind))

    def _added(self, operands: Sequence[tuple[Codes, How]], result: How) -> Codes:
        (a, first), (b, second) = operands
        if a.shape != b.shape or len({a.kind, b.kind, result.kind}) != 1:
            raise UnknownFormError("a sum of values of two shapes or types")
        rule = rounding.of_sum(
            self._runtime, (first.scale, first.zero), (second.scale, second.zero), (result.scale, result.zero)
        )
        low, high = ENDS[result.kind]

        def both(x: int, y: int) -> int:
            return max(low, min(high, rule(x + a.offset, y + b.offset))) - result.zero

        return Codes(self._reading.add_pair(both, a.part, b.part), a.shape, result.kind, result.zero)

    def _mean(self, node: Any) -> Value:
        codes, how = self._real(node, 0)
        return Open(lambda result: self._averaged(codes, how, result))

    def _q_mean(self, node: Any) -> Value:
        if attributes(node).get("channels_last", 0):
            raise UnknownFormError("channels on the last axis")
        codes, how = self._codes(node, 0)
        return self._averaged(codes, how, self._how(node, 3, codes.kind))

    def _averaged(self, codes: Codes, how: How, result: How) -> Codes:
        channels, count = math.prod(codes.shape[:2]), math.prod(codes.shape[2:])
        if len(codes.shape) < 3 or codes.kind != result.kind:
            raise UnknownFormError(f"a mean of {codes.shape}, or to another type")
        codes = self._less(codes, how.zero)
        sums = self._reading.add_map(lambda x, _: x[0].reshape(len(x[0]), channels, count).sum(2), codes.part)
        mean = rounding.of_mean(self._runtime, count, how.scale, result.scale)
        part = self._reading.add_steps(self._clamped(mean, result), sums)
        shape = (*codes.shape[:2], *(1 for _ in codes.shape[2:]))
        return Codes(part, shape, result.kind, result.zero)


def _each(one: Callable[[int], int]) -> Steps:
    def steps(values: Wholes) -> Wholes:
        return np.array([one(int(value)) for value in values.tolist()], dtype=object)

    return steps
