"""Integer networks for hostile questions: perceptrons in Keras HDF5 and graphs in integer ONNX, evaluated in Python's integers.

Only the writers of files are netproof's. What a file means is written down here once more: a layer of the fixed-point
scheme from its float weights, a node of the graph from its operator.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from netproof.formats.fixed_point import FixedPoint
from netproof.formats.keras.write import write_keras_h5
from netproof.formats.onnx.writing.integer import IntegerOnnxWriter
from netproof.formats.onnx.writing.model import INT8, INT32, UINT8

Numbers = list[int]
Ends = tuple[int, int]


@dataclass(frozen=True)
class Perceptron:
    """Layers ``(kernel [n_in, n_out], bias [n_out])`` of floats, and the bit widths they are quantized to."""

    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    widths: dict[str, int]

    @property
    def inputs(self) -> int:
        return int(self.layers[0][0].shape[0])

    @property
    def largest(self) -> int:
        return int((1 << self.widths["input_bits"]) - 1)

    def evaluate(self, x: Sequence[int]) -> Numbers:
        """docs/semantics.md, *The fixed-point scheme*, in fractions and integers."""
        bits, fraction = self.widths["bits"], self.widths["input_bits"]
        of_weights = bits - self.widths["weight_integer_bits"]
        of_biases = bits - self.widths["bias_integer_bits"]
        of_values = bits - self.widths["activation_integer_bits"]
        value = list(x)
        for number, (kernel, bias) in enumerate(self.layers):
            last = number == len(self.layers) - 1
            shift = fraction + of_weights - of_values
            low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if last else (0, (1 << bits) - 1)
            made = []
            for j in range(kernel.shape[1]):
                a = sum(_quantized(kernel[i, j], of_weights, bits) * v for i, v in enumerate(value))
                a += _quantized(bias[j], of_biases, bits) << (fraction + of_weights - of_biases)
                rounded = (a + ((1 << shift) >> 1)) >> shift
                made.append(min(max(rounded, low), high))
            value, fraction = made, of_values
        return value

    @property
    def read_with(self) -> FixedPoint:
        """The widths that the file is to be read with."""
        return FixedPoint(**self.widths)

    def write(self, folder: Path) -> Path:
        """The file."""
        path = folder / "net.h5"
        write_keras_h5(path, self.layers)
        (folder / "widths").write_text(f"{self.widths}\n")
        return path


def _quantized(value: Any, fraction: int, bits: int) -> int:
    """Rounded half away from zero after clipping."""
    scaled = Fraction(float(value)) * (1 << fraction)
    scaled = min(max(scaled, Fraction(-(1 << (bits - 1)))), Fraction((1 << (bits - 1)) - 1))
    size = int(abs(scaled) + Fraction(1, 2))
    return size if scaled >= 0 else -size


@dataclass(frozen=True)
class Step:
    """A node of an integer graph: operands are numbers of values (0: the input)."""

    op: str
    operands: tuple[int, ...]
    constants: tuple[NDArray[np.int64], ...] = ()
    options: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class IntegerGraph:
    """Steps on values of shape ``[1, n]`` or ``[1, C, H, W]``; the last but for ``output`` may be dead."""

    shape: tuple[int, ...]
    largest: int
    steps: tuple[Step, ...]
    output: int

    @property
    def inputs(self) -> int:
        return int(np.prod(self.shape))

    def evaluate(self, x: Sequence[int]) -> Numbers:
        values = [(self.shape, list(x))]
        for step in self.steps:
            values.append(_value(step, [values[i] for i in step.operands]))
        return values[self.output][1]

    @property
    def read_with(self) -> None:
        """No widths are needed to read the file."""

    def write(self, folder: Path) -> Path:
        """The file."""
        writer = IntegerOnnxWriter("question", self.shape, self.largest)
        names = [writer.input]
        for number, step in enumerate(self.steps):
            names.append(_written(writer, step, f"s{number}", [names[i] for i in step.operands]))
        path = folder / "net.onnx"
        made = onnx.load_from_string(writer.model(names[self.output], len(self.evaluate([0] * self.inputs))))
        made.graph.output[0].type.tensor_type.elem_type = self._kind(self.output)
        if any(step.op == "relu" for step in self.steps):  # of integers from opset 14 on
            made.opset_import[0].version = 14
        path.write_bytes(made.SerializeToString())
        return path

    def _kind(self, value: int) -> int:
        """The type that a value has in the file, as ONNX numbers it."""
        if value == 0:
            return UINT8
        step = self.steps[value - 1]
        if step.op == "narrow":
            return INT8 if step.options["signed"] else UINT8
        if step.op in ("identity", "flatten", "reshape"):
            return self._kind(step.operands[0])
        return UINT8 if step.op == "requantize" and step.options["low"] >= 0 else INT32


Value = tuple[tuple[int, ...], Numbers]


def _value(step: Step, values: Sequence[Value]) -> Value:
    (shape, a), o = values[0], step.options
    if step.op == "linear":
        weight, bias = step.constants
        return (len(bias),), [
            sum(int(w) * v for w, v in zip(row, a, strict=True)) + int(b) for row, b in zip(weight, bias, strict=True)
        ]
    if step.op == "convolution":
        return _convolved(step, shape, a)
    if step.op in ("add", "subtract"):
        sign = 1 if step.op == "add" else -1
        return shape, [p + sign * q for p, q in zip(a, values[1][1], strict=True)]
    if step.op == "shifted":
        return shape, [v << o["shift"] for v in a]
    if step.op == "requantize":
        half = (1 << o["shift"]) // 2
        return shape, [min(max((v + half) >> o["shift"], o["low"]), o["high"]) for v in a]
    if step.op == "plus":
        return shape, [v + o["by"] for v in a]
    if step.op == "times":
        return shape, [v * o["by"] for v in a]
    if step.op == "divide":
        return shape, [v // o["by"] for v in a]
    if step.op == "clip":
        return shape, [min(max(v, o["low"]), o["high"]) for v in a]
    if step.op == "relu":
        return shape, [max(v, 0) for v in a]
    if step.op in ("flatten", "reshape"):
        return (len(a),), a
    assert step.op in ("identity", "narrow", "widen"), step.op
    return shape, a


def _convolved(step: Step, shape: tuple[int, ...], a: Numbers) -> Value:
    weight, bias = step.constants
    stride, padding = step.options["stride"], step.options["padding"]
    channels, height, width = shape
    outputs, _, rows, columns = weight.shape
    extents = [(e + 2 * padding - k) // stride + 1 for e, k in ((height, rows), (width, columns))]
    made = []
    for out, i, j in itertools.product(range(outputs), *map(range, extents)):
        total = int(bias[out])
        for c, r, q in itertools.product(range(channels), range(rows), range(columns)):
            y, x = i * stride - padding + r, j * stride - padding + q
            if 0 <= y < height and 0 <= x < width:
                total += int(weight[out, c, r, q]) * a[(c * height + y) * width + x]
        made.append(total)
    return (outputs, *extents), made


def _written(writer: IntegerOnnxWriter, step: Step, name: str, names: Sequence[str]) -> str:
    """The node, or nodes, of a step."""
    o, x = step.options, names[0]

    def number(value: int) -> str:
        return writer.stored(f"{name}.{value}", np.array(value), INT32)

    if step.op == "linear":
        return writer.linear(name, x, *step.constants)
    if step.op == "convolution":
        return writer.convolution(name, x, *step.constants, stride=o["stride"], padding=(o["padding"],) * 4)
    if step.op == "add":
        return writer.add(name, *names)
    if step.op == "shifted":
        return writer.shifted(name, x, o["shift"])
    if step.op == "requantize":
        return writer.requantize(name, x, o["shift"], o["low"], o["high"])
    if step.op == "flatten":
        return writer.flatten(name, x)
    if step.op == "clip":
        return writer.node("Clip", name, [x, number(o["low"]), number(o["high"])])
    if step.op in ("plus", "times", "divide"):
        operator = {"plus": "Add", "times": "Mul", "divide": "Div"}[step.op]
        return writer.node(operator, name, [x, number(o["by"])])
    if step.op == "reshape":
        target = writer.stored(f"{name}.shape", np.array([1, -1]), 7)
        return writer.node("Reshape", name, [x, target])
    if step.op in ("narrow", "widen"):
        return writer.node("Cast", name, [x], to=INT32 if step.op == "widen" else INT8 if o["signed"] else UINT8)
    return writer.node({"subtract": "Sub", "relu": "Relu", "identity": "Identity"}[step.op], name, list(names))


def random_perceptron(random: np.random.Generator) -> Perceptron:
    """One to three layers, of weights that saturate, lie halfway between two integers, or vanish."""
    bits = int(random.choice([2, 3, 4, 6, 8]))
    integer_bits = [int(random.integers(0, min(bits, 3) + 1)) for _ in range(3)]
    widths = {"bits": bits, "input_bits": int(random.choice([1, 2, 3, 4, 8]))}
    for name, value in zip(("weight", "bias", "activation"), integer_bits, strict=True):
        widths[f"{name}_integer_bits"] = value
    sizes = [int(random.integers(1, 5))]
    sizes += [int(random.integers(1, 6)) for _ in range(int(random.integers(1, 4)))]
    # No layer may have to add bits, or to take some from its bias.
    of_weights, of_biases, of_values = (bits - number for number in integer_bits)
    for fraction in [widths["input_bits"], *([of_values] if len(sizes) > 2 else [])]:
        if fraction + of_weights < max(of_values, of_biases):
            widths |= {"weight_integer_bits": 0, "bias_integer_bits": max(integer_bits[1], 1)}
            widths["activation_integer_bits"] = max(integer_bits[2], 1)
    unit = 2.0 ** -(bits - widths["weight_integer_bits"])
    layers = []
    for before, after in itertools.pairwise(sizes):
        kernel = random.integers(-12, 13, (before, after)) * unit / 2
        if random.random() < 0.3:
            kernel = random.normal(size=(before, after)) * float(random.choice([unit, 1.0, 100.0]))
        kernel = kernel * (random.random(kernel.shape) < random.choice([1.0, 0.7, 0.3]))
        bias = random.normal(size=after) * float(random.choice([0.0, 0.2, 2.0]))
        layers.append((kernel.astype(np.float32), bias.astype(np.float32)))
    return Perceptron(tuple(layers), widths)


def random_graph(random: np.random.Generator) -> IntegerGraph:
    """A graph of integer ONNX, of one node up to a dozen."""
    return _GraphMaker(random).made()


class _GraphMaker:
    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.largest = int(random.choice([1, 3, 7, 15, 255]))
        image = random.random() < 0.35
        self.shape = tuple(int(n) for n in ((1, *random.integers(1, 3, 2)) if image else (random.integers(1, 5),)))
        self.steps: list[Step] = []
        #: shape, least and largest value, and whether it is 8 bits wide, of each value
        self.known: list[tuple[tuple[int, ...], Ends, bool]] = [(self.shape, (0, self.largest), True)]

    def made(self) -> IntegerGraph:
        random = self.random
        at = 0
        if random.random() < 0.12:  # the output is the input, or hardly more
            at = self.add(str(random.choice(["widen", "identity", "flatten", "reshape"])), at)
            if random.random() < 0.5:
                at = self.wide(at)
        else:
            for _ in range(int(random.integers(1, 4))):
                at = self.layer(at)
            if random.random() < 0.15:
                at = self.twin(at)
            if random.random() < 0.4:
                at = self.narrow(at)
            at = self.wide(at) if random.random() < 0.7 else at
        if len(self.known[at][0]) != 1:
            at = self.add("flatten", at)
        return IntegerGraph(self.shape, self.largest, tuple(self.steps), at)

    def add(self, op: str, *operands: int, constants: Sequence[NDArray[np.int64]] = (), **options: int) -> int:
        """Append a step; its range is found by intervals."""
        step = Step(op, operands, tuple(constants), options)
        shape, ends, _ = self.known[operands[0]]
        size = int(np.prod(shape))
        after, _ = _value(step, [(self.known[i][0], [self.known[i][1][0]] * size) for i in operands])
        if op in ("linear", "convolution"):
            weight, bias = step.constants
            rows = np.abs(weight.reshape(len(weight), -1)).sum(1) * max(abs(end) for end in ends)
            reach = int((rows + np.abs(bias)).max())
            ends = (-reach, reach)
        elif op in ("add", "subtract"):
            low, high = self.known[operands[1]][1]
            ends = (ends[0] + low, ends[1] + high) if op == "add" else (ends[0] - high, ends[1] - low)
        else:
            ends = tuple(_value(step, [((1,), [end])])[1][0] for end in ends)  # type: ignore[assignment]
        wide = op in ("linear", "convolution", "shifted", "widen") or (op == "requantize" and options["low"] < 0)
        narrow = op in ("narrow", "requantize") or self.known[operands[0]][2]
        self.steps.append(step)
        self.known.append((after, ends, narrow and not wide))
        return len(self.steps)

    def narrow(self, at: int) -> int:
        """Brought back to eight bits."""
        random, (_, (low, high), narrow) = self.random, self.known[at]
        if narrow:
            return at
        levels = int(random.choice([1, 3, 7, 15, 63]))
        way = random.random()
        if way < 0.5:
            need = max(0, (max(abs(low), abs(high)) // (levels + 1)).bit_length() + int(random.integers(-1, 2)))
            return self.add("requantize", at, shift=need, low=0, high=levels)
        if way < 0.6:
            at = self.add("relu", at) if random.random() < 0.5 else self.add("clip", at, low=-5, high=levels)
            low, high = self.known[at][1]
        if way < 0.8:
            at = self.add("plus", at, by=int(random.integers(-9, 10)))
        at = self.add("clip", at, low=int(random.integers(0, 3)), high=200)
        if random.random() < 0.6:
            at = self.add("divide", at, by=int(random.choice([1, 2, 3, 7, 50])))
        if random.random() < 0.3:
            at = self.add("plus", at, by=1)
        ends = self.known[at][1]
        return self.add("narrow", at, signed=int(ends[1] < 128 and random.random() < 0.3))

    def wide(self, at: int) -> int:
        return self.add("widen", at) if self.known[at][2] else at

    def layer(self, at: int) -> int:
        """A product, and what may follow it."""
        random = self.random
        at = self.narrow(at)
        shape, *_ = self.known[at]
        reach = int(random.choice([1, 3, 31]))
        outputs = int(random.integers(1, 5 if len(shape) == 1 else 3))
        if len(shape) == 3 and random.random() < 0.8:
            kernel = [int(random.integers(1, e + 1)) for e in shape[1:]]
            padding = int(random.integers(0, 2)) if min(kernel) > 1 else 0
            weight = self._weights(reach, (outputs, shape[0], *kernel))
            done = self.add(
                "convolution", at, constants=[weight, self._bias(weight)], stride=int(random.integers(1, 3)), padding=padding
            )  # fmt: skip
        else:
            flat = at if len(shape) == 1 else self.add("flatten", at)
            weight = self._weights(reach, (outputs, int(np.prod(shape))))
            done = self.add("linear", flat, constants=[weight, self._bias(weight)])
        if random.random() < 0.1:
            self.add("identity", done)  # dead
        alike = [
            k for k, (other, _, narrow) in enumerate(self.known) if k and other == self.known[done][0] and k != done
        ]  # fmt: skip
        if alike and random.random() < 0.4:  # a skip connection
            other = int(random.choice(alike))
            other = self.add("shifted", other, shift=int(random.integers(0, 4))) if self.known[other][2] else other
            operands = [done, other] if random.random() < 0.7 else [other, done]
            done = self.add(str(random.choice(["add", "subtract"])), *operands)
        if random.random() < 0.2:
            done = self.add("times", done, by=int(random.integers(1, 4)))
        return done

    def _weights(self, reach: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
        random = self.random
        weight = random.integers(-reach, reach + 1, shape) * (
            random.random(shape) < random.choice([1.0, 0.5, 0.0], p=[0.6, 0.37, 0.03])
        )
        return weight.astype(np.int64)

    def _bias(self, weight: NDArray[np.int64]) -> NDArray[np.int64]:
        most = int(np.abs(weight.reshape(len(weight), -1)).sum(1).max()) * max(1, self.largest // 2) + 1
        return self.random.integers(-most, most + 1, len(weight))

    def twin(self, at: int) -> int:
        """The value less itself, or twice."""
        if self.known[at][2]:
            at = self.add("widen", at)
        return self.add(str(self.random.choice(["subtract", "add"])), at, at)


IntegerNetwork = Perceptron | IntegerGraph


def random_integer_network(random: np.random.Generator) -> IntegerNetwork:
    return random_perceptron(random) if random.random() < 0.45 else random_graph(random)
