"""Second reader of QONNX networks: between quantizers exact numbers, of which the levels are steps.

A product is one of whole numbers: of the levels of weights, and of what the value in front is made of, in the largest unit that its
channels have in common. The unit goes into the line behind the product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.onnx import attributes, correlation_of, matrix, needed, pads_of
from netproof.certificate.second_reading.qonnx.quantizers import quantizer_of, thresholded, truncated
from netproof.certificate.second_reading.qonnx.values import Fractions, Known, Value, fractions, largest_unit
from netproof.certificate.second_reading.reading import Floats, Map, Reading, UnknownFormError

#: domains of QONNX's operators
DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
_INPUT_TYPE = "netproof.input_type"
_QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")
#: known of constants alone
_OF_CONSTANTS = (
    "Shape", "Gather", "Unsqueeze", "Squeeze", "Concat", "Cast", "Pow", "Sqrt", "Div", "Add", "Sub", "Mul", "Reshape", "Transpose", "Flatten",
)  # fmt: skip
_LARGEST = 1 << 50
_DIGITS = 120


def read_qonnx(model: Any, deadline: float = math.inf) -> Reading:
    """The network of a model, a final softmax left out; raises :class:`UnknownFormError`."""
    return _Reader(model, deadline).read()


class _Reader:
    def __init__(self, model: Any, deadline: float) -> None:
        from onnx import numpy_helper

        self._graph, graph = model.graph, model.graph
        self._opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self._reading = Reading(deadline=deadline)
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                tensors[node.output[0]] = attributes(node)["value"]
        self._values: dict[str, Value | Known] = {
            name: Known(numpy_helper.to_array(tensor)) for name, tensor in tensors.items()
        }
        (self._source,) = (value for value in graph.input if value.name not in tensors)
        axes = self._source.type.tensor_type.shape.dim
        self._shape = tuple(d.dim_value or (1 if not axis else 0) for axis, d in enumerate(axes))
        #: shapes of what the file takes, before it is quantized
        self._floats = {self._source.name: self._shape}
        self._stated = next((entry.value for entry in model.metadata_props if entry.key == _INPUT_TYPE), "") or next(
            (
                pair.value
                for entry in graph.quantization_annotation
                if entry.tensor_name == self._source.name
                for pair in entry.quant_parameter_tensor_names
                if pair.key == "finn_datatype"
            ),
            "",
        )

    def read(self) -> Reading:
        if self._stated not in ("", "FLOAT32"):
            low, high, scale, shift = _numbers_of(self._stated)
            self._values[self._source.name] = self._start(low, high, scale, shift, self._shape)
            self._floats.clear()
        last = self._graph.output[0].name
        known = {name for name, value in self._values.items() if isinstance(value, Known)}
        for node in needed(self._graph, known | {self._source.name}):
            self._reading.look()
            if node.op_type in ("Softmax", "LogSoftmax") and node.output[0] == last:
                last = node.input[0]
                break
            if (
                node.input
                and node.input[0] in self._floats
                and node.op_type not in _QUANTIZERS
                and node.op_type != "Shape"
            ):
                self._before(node)
            else:
                self._values[node.output[0]] = self._value(node)
        self._end(self._values[last])
        return self._reading

    def _end(self, value: Value | Known) -> None:
        if not isinstance(value, Value):
            raise UnknownFormError("an output that does not depend on the input")
        line = value.line
        scales, shifts = set(line.scale.reshape(-1)), set(line.shift.reshape(-1))
        if len(scales) == len(shifts) == 1 and min(scales) > 0:
            # Whole numbers in one unit keep the order of outputs: they are the outputs.
            self._reading.output = value.part
            return
        unit = largest_unit([*scales, *shifts])
        factor, shift = (
            np.broadcast_to(np.asarray(part / unit), value.shape).reshape(-1) for part in (line.scale, line.shift)
        )
        if max(map(abs, [*factor, *shift])) >= _LARGEST:
            raise UnknownFormError("outputs without a common unit")
        times, plus = factor.astype(np.float64), shift.astype(np.float64)
        self._reading.output = self._reading.add_map(
            lambda x, absolute: x[0] * np.abs(times) if absolute else x[0] * times + plus, value.part
        )

    def _start(self, low: int, high: int, scale: Fraction, shift: Fraction, shape: tuple[int, ...]) -> Value:
        if self._reading.parts:
            raise UnknownFormError("an input that is quantized twice")
        part = self._reading.add_input(math.prod(shape), low, high)
        return Value(part, shape).then(fractions([scale]), fractions([shift]))

    def _before(self, node: Any) -> None:
        """What happens to the file's floats before they are quantized, which inputs are codes of."""
        name, shape = node.input[0], self._floats[node.input[0]]
        if node.op_type in ("Mul", "Div", "Add", "Sub") and isinstance(self._values.get(node.input[1]), Known):
            self._floats[node.output[0]] = shape
        elif node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"):
            index = self._rearranged(node, np.arange(math.prod(shape)).reshape(shape))
            self._floats[node.output[0]] = tuple(index.shape)
        else:
            raise UnknownFormError(f"{node.op_type[:40]} of what is not quantized yet, '{name[:40]}'")

    # -- nodes

    def _value(self, node: Any) -> Value | Known:
        operator, stated = node.op_type, attributes(node)
        given = [self._values.get(name) for name in node.input]
        if any(node.output[1:]):
            raise UnknownFormError("an operator of several results")
        if node.domain in DOMAINS:
            return self._quantized(node, stated, given)
        if node.domain not in ("", "ai.onnx"):
            raise UnknownFormError(f"{operator[:40]} of another domain")
        if operator == "Shape" or all(
            isinstance(value, Known) or not name for value, name in zip(given, node.input, strict=True)
        ):
            return self._constant(node, given)
        known: dict[str, Callable[[Any, dict[str, Any], list[Any]], Value]] = {
            "MatMul": self._product, "Gemm": self._gemm, "Conv": self._convolution, "BatchNormalization": self._normalized,
            "Relu": lambda _, __, operands: self._of(operands[0]).bent(), "Mul": self._times, "Div": self._over,
            "Add": lambda _, __, operands: self._plus(operands, 1), "Sub": lambda _, __, operands: self._plus(operands, -1),
        }  # fmt: skip
        if operator in known:
            return known[operator](node, stated, given)
        value = self._of(given[0])
        if operator in ("Identity", "Dropout"):
            return value
        return value.moved(self._rearranged(node, np.arange(value.size).reshape(value.shape)), self._reading)

    @staticmethod
    def _of(value: Value | Known | None) -> Value:
        if not isinstance(value, Value):
            raise UnknownFormError("an operand that does not depend on the input")
        return value

    def _quantized(self, node: Any, stated: dict[str, Any], given: list[Any]) -> Value | Known:
        operands = [self._array(node, number) for number in range(1, len(node.input))]
        if node.op_type not in _QUANTIZERS:
            raise UnknownFormError(f"the operator {node.op_type[:40]}")
        if node.op_type == "Trunc":
            return truncated(self._reading, self._of(given[0]), stated, operands)
        if node.op_type == "MultiThreshold":
            return thresholded(self._reading, self._of(given[0]), stated, operands[0])
        quantizer = quantizer_of(node.op_type, stated, operands)
        if isinstance(given[0], Known):
            return quantizer.constant(given[0].array)
        if node.input[0] not in self._floats:
            return quantizer.value(self._reading, self._of(given[0]))
        if quantizer.scale.size != 1:
            raise UnknownFormError("an input that is quantized by channels")
        unit, zero = quantizer.unit.reshape(-1)[0], quantizer.zero
        shape = self._floats[node.input[0]]
        if quantizer.signs:
            return self._start(0, 1, 2 * unit, -unit * (1 + zero), shape)
        return self._start(quantizer.low, quantizer.high, unit, -unit * zero, shape)

    def _array(self, node: Any, number: int) -> NDArray[Any]:
        value = self._values.get(node.input[number])
        if not isinstance(value, Known):
            raise UnknownFormError(f"operand {number} of {node.op_type[:40]} that is no constant")
        return value.array

    def _constant(self, node: Any, given: list[Any]) -> Known:
        """What the standard's own reference computes of constants."""
        from onnx import TensorProto, helper
        from onnx.reference import ReferenceEvaluator

        if node.op_type not in _OF_CONSTANTS:
            raise UnknownFormError(f"{node.op_type[:40]} of constants")
        if node.op_type == "Shape":
            name = node.input[0]
            value = self._values.get(name)
            shape = value.shape if isinstance(value, Value) else self._floats.get(name)
            return Known(np.array(given[0].array.shape if shape is None else shape, np.int64))
        if node.op_type == "Transpose" and given[0].whole is not None:
            turned = attributes(node).get("perm", list(range(given[0].array.ndim))[::-1])
            unit = given[0].unit
            unit = unit if unit.size == 1 else np.broadcast_to(unit, given[0].whole.shape).transpose(turned)
            return Known(given[0].array.transpose(turned), given[0].whole.transpose(turned), unit)
        if node.op_type == "Pow" and bool((given[1].array == 0.5).all()):
            return Known(np.sqrt(given[0].array.astype(np.float32)))
        names = [name for name in node.input if name]
        inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
        outputs = [helper.make_tensor_value_info(node.output[0], TensorProto.UNDEFINED, None)]
        graph = helper.make_graph([node], "one", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])
        (found,) = ReferenceEvaluator(model).run(None, {name: self._values[name].array for name in names})  # type: ignore[union-attr]
        return Known(np.asarray(found))

    def _rearranged(self, node: Any, index: NDArray[Any]) -> NDArray[Any]:
        stated, operator = attributes(node), node.op_type
        if operator in ("Identity", "Dropout"):
            return index
        if operator == "Transpose":
            turned: NDArray[Any] = index.transpose(stated.get("perm", list(range(index.ndim))[::-1]))
            return turned
        if operator == "Flatten":
            return index.reshape(math.prod(index.shape[: stated.get("axis", 1)]), -1)
        if operator == "Reshape" and not stated.get("allowzero", 0):
            wanted = self._array(node, 1).tolist()
            return index.reshape([n if n else index.shape[i] for i, n in enumerate(wanted)])
        if operator in ("Squeeze", "Unsqueeze"):
            axes = stated["axes"] if "axes" in stated else self._array(node, 1).tolist()
            return index.squeeze(tuple(axes)) if operator == "Squeeze" else np.expand_dims(index, tuple(axes))
        raise UnknownFormError(f"the operator {operator[:40]}")

    # -- lines

    def _times(self, node: Any, _: dict[str, Any], given: list[Any]) -> Value:
        value, other = given if isinstance(given[0], Value) else given[::-1]
        if not isinstance(other, Known):
            raise UnknownFormError("a product of two values")
        return self._of(value).then(scale=other.numbers)

    def _over(self, node: Any, _: dict[str, Any], given: list[Any]) -> Value:
        if not isinstance(given[1], Known):
            raise UnknownFormError("a quotient of values")
        return self._of(given[0]).then(scale=np.asarray(1 / given[1].numbers))

    def _plus(self, given: list[Any], sign: int) -> Value:
        first, second = given
        if isinstance(second, Known):
            return self._of(first).then(shift=np.asarray(sign * second.numbers))
        if isinstance(first, Known):
            minus = self._of(second) if sign > 0 else self._of(second).then(scale=fractions([-1]))
            return minus.then(shift=first.numbers)
        one, other = self._of(first), self._of(second)
        if one.shape != other.shape:
            raise UnknownFormError("a sum of values of two shapes")
        lines = one.line, other.line
        unit = largest_unit(number for line in lines for number in line.scale.reshape(-1))
        factors = [np.broadcast_to(np.asarray(line.scale / unit), one.shape).reshape(-1) for line in lines]
        if max(abs(number) for part in factors for number in part) >= _LARGEST:
            raise UnknownFormError("a sum of values without a common unit")
        left, right = (part.astype(np.float64) for part in factors)

        def both(operands: Any, absolute: bool) -> Floats:
            if absolute:
                return np.asarray(operands[0] * np.abs(left) + operands[1] * np.abs(right))
            return np.asarray(operands[0] * left + sign * operands[1] * right)

        part = self._reading.add_map(both, one.part, other.part)
        return Value(part, one.shape).then(fractions([unit]), np.asarray(lines[0].shift + sign * lines[1].shift))

    def _normalized(self, node: Any, stated: dict[str, Any], given: list[Any]) -> Value:
        value = self._of(given[0])
        if set(stated) - {"epsilon", "momentum", "spatial", "training_mode"} or not stated.get("spatial", 1):
            raise UnknownFormError("a normalization that is not per channel")
        if stated.get("training_mode", 0) or len(value.shape) < 2 or value.shape[0] != 1:
            raise UnknownFormError("a normalization in training mode, or of several samples")
        gain, bias, mean, variance = (fractions(self._array(node, k).astype(np.float64)) for k in range(1, 5))
        epsilon = Fraction(float(stated.get("epsilon", np.float64(1e-5))))
        shape = (1, value.shape[1], *(1,) * (len(value.shape) - 2))
        scale: Fractions = np.array([g / _root(v + epsilon) for g, v in zip(gain, variance, strict=True)], object)
        shift = np.asarray(bias - mean * scale, object)
        return value.then(scale.reshape(shape), shift.reshape(shape))

    # -- products

    def _product(self, node: Any, _: dict[str, Any], given: list[Any]) -> Value:
        return self._weighted(given, turned=False)

    def _gemm(self, node: Any, stated: dict[str, Any], given: list[Any]) -> Value:
        if stated.get("alpha", 1.0) != 1 or stated.get("beta", 1.0) != 1 or stated.get("transA", 0):
            raise UnknownFormError("a Gemm with factors, or of a transposed value")
        value = self._weighted(given, turned=bool(stated.get("transB", 0)))
        return value if len(given) < 3 or given[2] is None else value.then(shift=given[2].numbers)

    def _weighted(self, given: list[Any], *, turned: bool) -> Value:
        value, weight = self._of(given[0]), given[1]
        if not isinstance(weight, Known) or weight.array.ndim != 2:
            raise UnknownFormError("a product of two values")
        whole, unit = weight.weights(0 if turned else 1)
        rows = whole if turned else whole.T
        outputs, inputs = rows.shape
        if value.size != inputs or value.shape[-1] != inputs:
            raise UnknownFormError(f"a product of {value.shape} and {(inputs, outputs)}")
        line = value.line
        scale, shift = (np.broadcast_to(part, value.shape).reshape(-1) for part in (line.scale, line.shift))
        shared = largest_unit(scale)
        factors = np.asarray(scale / shared)
        added = (rows * shift[None]).sum(1) * unit
        part = self._reading.add_map(matrix(_held(rows * factors[None]).T), value.part)
        return Value(part, (*value.shape[:-1], outputs)).then(np.asarray(unit * shared), np.asarray(added))

    def _convolution(self, node: Any, stated: dict[str, Any], given: list[Any]) -> Value:
        value, weight = self._of(given[0]), given[1]
        if not isinstance(weight, Known) or len(value.shape) != weight.array.ndim or value.shape[0] != 1:
            raise UnknownFormError("a convolution of several samples, or by a value")
        line = value.line
        scales, shifts = set(line.scale.reshape(-1)), set(line.shift.reshape(-1))
        if len(scales) != 1 or shifts != {0}:
            raise UnknownFormError("a convolution of channels of several scales, or of what is shifted")
        whole, unit = weight.weights(0)
        axes, kernel = weight.array.ndim - 2, weight.array.shape[2:]
        stride, dilation = stated.get("strides", [1] * axes), stated.get("dilations", [1] * axes)
        if stated.get("kernel_shape", list(kernel)) != list(kernel):
            raise UnknownFormError("a convolution whose shapes do not fit")
        pads, groups = pads_of(stated, value.shape[2:], kernel, stride, dilation), stated.get("group", 1)
        shared = abs(scale := scales.pop()) or Fraction(1)
        map_: Map
        map_, shape = correlation_of(_held(whole * (scale / shared)), value.shape, stride, dilation, pads, groups)
        spread = (1, -1, *(1,) * axes)
        found = Value(self._reading.add_map(map_, value.part), shape).then(np.asarray(unit * shared).reshape(spread))
        if len(given) < 3 or given[2] is None:
            return found
        return found.then(shift=np.asarray(given[2].numbers).reshape(spread))


def _held(numbers: NDArray[Any]) -> Floats:
    """Whole numbers in float64."""
    if max((abs(number) for number in numbers.reshape(-1)), default=0) >= _LARGEST:
        raise UnknownFormError("weights without a common unit")
    return numbers.astype(np.float64)


def _root(number: Fraction) -> Fraction:
    """The square root, exactly where it is a fraction, and to many digits where it is none."""
    if number <= 0:
        raise UnknownFormError("a variance that is not positive")
    found = Fraction(math.isqrt(number.numerator), math.isqrt(number.denominator))
    if found * found == number:
        return found
    with localcontext() as context:
        context.prec = _DIGITS
        return Fraction((Decimal(number.numerator) / Decimal(number.denominator)).sqrt())


def _numbers_of(stated: str) -> tuple[int, int, Fraction, Fraction]:
    """Codes of one of QONNX's data types, and what a code is multiplied by and shifted to."""
    one, none = Fraction(1), Fraction(0)
    if stated in ("BIPOLAR", "BINARY"):
        return (0, 1, Fraction(2), -one) if stated == "BIPOLAR" else (0, 1, one, none)
    name, _, rest = stated.partition("<")
    if name == "FIXED" and rest.endswith(">"):
        bits, whole = map(int, rest[:-1].split(","))
        scale = Fraction(2) ** (whole - bits)
    elif stated.startswith(("INT", "UINT")):
        bits, scale = int(stated.rpartition("T")[2]), one
    else:
        raise UnknownFormError(f"the type {stated[:40]}")
    if not 1 <= bits <= 16:
        raise UnknownFormError(f"the type {stated[:40]}")
    return (
        (0, (1 << bits) - 1, scale, none)
        if stated.startswith("U")
        else (-(1 << bits - 1), (1 << bits - 1) - 1, scale, none)
    )
