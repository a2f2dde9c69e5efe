"""Small float networks as ONNX bytes, properties as text, and certificates about them made by hand."""

from __future__ import annotations

import hashlib
import itertools
from fractions import Fraction

import mpmath
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from netproof.certificate.checker.real.bound import Slopes
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.numbers import Rational
from netproof.certificate.real.contents import LEAF, RealCertificate, arrays_of


class Builder:
    """An ONNX graph, made node by node."""

    def __init__(self, shape, *, dtype=np.float32, opset=17) -> None:
        self.dtype, self.opset = dtype, opset
        self.kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
        self.nodes, self.constants = [], []
        self.input = helper.make_tensor_value_info("x", self.kind, shape)

    def constant(self, values, dtype=None):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype or self.dtype), name))
        return name

    def node(self, kind, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def bytes(self, output: str) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [self.input],
            [helper.make_tensor_value_info(output, self.kind, None)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model.SerializeToString()


def perceptron(rng: np.random.Generator, sizes=(3, 6, 6, 2), *, spread=0.0, dtype=np.float32, bend="Relu") -> bytes:
    """A perceptron whose weights differ by ``spread`` orders of magnitude."""
    made = Builder([1, sizes[0]], dtype=dtype)
    at = "x"
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        weight = rng.normal(size=(after, before)) * 10.0 ** (spread * (rng.random((after, before)) - 0.5))
        at = made.node("Gemm", at, made.constant(weight), made.constant(rng.normal(size=after) * 0.3), transB=1)
        if number < len(sizes) - 2:
            at = made.node(bend, at)
    return made.bytes(at)


def attention(rng: np.random.Generator) -> bytes:
    """Two tokens that look at each other, normalized by their size."""
    made = Builder([1, 4], dtype=np.float64)
    tokens = made.node("Reshape", "x", made.constant([2, 2], np.int64))

    def dense(at, shape=(2, 2)):
        return made.node("MatMul", at, made.constant(rng.normal(size=shape)))

    scores = made.node("MatMul", dense(tokens), made.node("Transpose", dense(tokens)))
    mixed = made.node("MatMul", made.node("Softmax", scores, axis=-1), dense(tokens))
    size = made.node("ReduceMean", made.node("Pow", mixed, made.constant(2.0)), axes=[-1])
    scaled = made.node("Div", mixed, made.node("Sqrt", made.node("Add", size, made.constant(0.5))))
    return made.bytes(dense(made.node("Reshape", scaled, made.constant([1, 4], np.int64)), (4, 2)))


def gated(rng: np.random.Generator) -> bytes:
    """``(W x) sigmoid(V x)``, and the quotient of two such."""
    made = Builder([1, 3], dtype=np.float64)

    def dense(at, before, after, bias=0.0):
        return made.node(
            "Gemm", at, made.constant(rng.normal(size=(before, after))), made.constant(np.full(after, bias))
        )

    first = made.node("Mul", dense("x", 3, 4), made.node("Sigmoid", dense("x", 3, 4)))
    below = made.node("Exp", dense(first, 4, 3))
    return made.bytes(dense(made.node("Div", dense(first, 4, 3), below), 3, 2))


def residual(rng: np.random.Generator, *, size=4, channels=3, normalized=True) -> bytes:
    """A small residual network: convolutions with strides, groups and pads, a sum, an average, and a matrix."""
    made = Builder([1, 2, size, size])

    def conv(at, into, out, kernel, groups=1, **attributes):
        weight = rng.normal(size=(out, into // groups, kernel, kernel)) / (kernel * into) ** 0.5
        bias = made.constant(rng.normal(size=out) * 0.2)
        return made.node("Conv", at, made.constant(weight), bias, group=groups, **attributes)

    def norm(at, count):
        if not normalized:
            return at
        numbers = rng.normal(size=(3, count)), rng.random(count) + 0.5
        constants = [made.constant(part) for part in (*numbers[0], numbers[1])]
        return made.node("BatchNormalization", at, *constants, epsilon=1e-3)

    first = made.node("Relu", norm(conv("x", 2, channels, 3, pads=[1, 1, 1, 1]), channels))
    second = made.node("Relu", conv(first, channels, channels, 3, groups=channels, pads=[1, 1, 1, 1]))
    both = made.node("Add", conv(second, channels, channels, 1), first)
    third = made.node("Relu", norm(both, channels))
    fourth = conv(third, channels, 4, 2, strides=[2, 2], pads=[0, 1, 1, 0])
    pooled = made.node("AveragePool", made.node("Relu", fourth), kernel_shape=[2, 2])
    flat = made.node("Flatten", pooled)
    # The size of what is pooled depends on that of the input.
    height = ((size + 1 - 2) // 2 + 1) - 1
    matrix = made.constant(rng.normal(size=(4 * height * height, 2)))
    return made.bytes(made.node("Sub", made.node("MatMul", flat, matrix), made.constant([0.25, -0.5])))


def decimal(value: float) -> str:
    """A float as a decimal, exactly."""
    fraction = Fraction(value)
    digits, power = fraction.denominator.bit_length() - 1, fraction.numerator
    text = str(abs(power) * 5**digits).rjust(digits + 1, "0")
    whole, rest = (text[:-digits], text[-digits:]) if digits else (text, "0")
    return f"{'-' if value < 0 else ''}{whole}.{rest}"


def property_text(lower, upper, outputs: int, cases) -> bytes:
    """A property: a box, and cases of constraints ``(coefficients, threshold)``, ``c . y >= t``."""
    lines = [f"(declare-const X_{i} Real)" for i in range(len(lower))]
    lines += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        lines += [f"(assert (>= X_{i} {decimal(low)}))", f"(assert (<= X_{i} {decimal(high)}))"]
    written = []
    for case in cases:
        parts = []
        for coefficients, threshold in case:
            terms = " ".join(f"(* {decimal(c)} Y_{j})" for j, c in enumerate(coefficients))
            parts.append(f"(>= (+ {terms}) {decimal(threshold)})")
        written.append(f"(and {' '.join(parts)})")
    return ("\n".join([*lines, f"(assert (or {' '.join(written)}))"]) + "\n").encode()


def certificate(network: bytes, property_: bytes, inputs: int, outputs: int, claim="unsat", **given) -> RealCertificate:
    """A certificate of the arrays given: by default of one leaf for one case, by a row of CROWN."""
    arrays = {
        "cases": [1],
        "tree": [0],
        "stages": [0],
        "kind": [LEAF],
        "rule": [0],
        "leaf_row": [0],
        "row_exponent": [0],
        "row_base": [0],
        "row_mu": [1],
        "row_count": [0],
    }
    if claim == "sat":
        arrays = {}
    return RealCertificate(
        hashlib.sha256(network).hexdigest(),
        hashlib.sha256(property_).hexdigest(),
        inputs,
        outputs,
        claim,
        arrays_of(**{**arrays, **given}),
    )


def run(network: bytes, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes for rows of inputs, one by one."""
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = [d if isinstance(d, int) and d > 0 else 1 for d in given.shape]
    dtype = np.float64 if "double" in given.type else np.float32
    return np.concatenate(
        [session.run(None, {given.name: row.astype(dtype).reshape(shape)})[0].reshape(1, -1) for row in x]
    )


def loaded(network: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(network)


def chain(weights, biases, dtype=np.float64, bend="Relu", **attributes) -> bytes:
    """Matrices one after the other with ReLUs, or what else is one ReLU to the checker, in between."""
    made = Builder([1, len(weights[0][0])], dtype=dtype)
    at = "x"
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        at = made.node("Gemm", at, made.constant(weight), made.constant(bias), transB=1)
        if number < len(weights) - 1:
            at = made.node(bend, at, **attributes)
    return made.bytes(at)


def values_at(network: bytes, x, numbers=None) -> list[list[Fraction]]:
    """The values of all nodes at a float input, exactly unless another arithmetic is asked for."""
    numbers = numbers or Rational()
    model = read_network(network, len(x), numbers, "network")
    values = [numbers.load(np.array([x]))]
    for node in model.nodes[1:]:
        parts = [values[i] for i in node.operands]
        if node.operator is None:
            values.append(bent(node.bend, parts[0]))
            continue
        value = node.operator.forward(*parts)
        values.append(value if node.operator.offset is None else value + node.operator.offset)
    return [[exactly(v) for v in value[0]] for value in values]


def values_of(network: bytes, x, numbers=None) -> list[Fraction]:
    """The outputs at a float input, exactly unless another arithmetic is asked for."""
    return values_at(network, x, numbers)[-1]


#: 60 digits, and functions in as many
DIGITS = mpmath.MPContext()
DIGITS.dps = 60
FUNCTIONS = {
    "atan": DIGITS.atan,
    "cos": DIGITS.cos,
    "cube": lambda x: x**3,
    "elu": lambda x: DIGITS.expm1(x) if x < 0 else +x,
    "erf": DIGITS.erf,
    "exp": DIGITS.exp,
    "floor": DIGITS.floor,
    "gelu": lambda x: x / 2 * DIGITS.erfc(-x / DIGITS.sqrt(2)),
    "gelu tanh": lambda x: (
        x / (1 + DIGITS.exp(-2 * DIGITS.sqrt(2 / DIGITS.pi) * (x + DIGITS.mpf(44715) / 10**6 * x**3)))
    ),
    "hardswish": lambda x: x * min(max(x / 6 + DIGITS.mpf(1) / 2, 0), 1),
    "log": DIGITS.log,
    "mish": lambda x: x * DIGITS.tanh(DIGITS.log1p(DIGITS.exp(x))),
    "reciprocal": lambda x: 1 / x,
    "sigmoid": lambda x: 1 / (1 + DIGITS.exp(-x)),
    "side": DIGITS.sign,
    "sign": DIGITS.sign,
    "sin": DIGITS.sin,
    "softplus": lambda x: DIGITS.log1p(DIGITS.exp(x)) if x < 0 else x + DIGITS.log1p(DIGITS.exp(-x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "sqrt": DIGITS.sqrt,
    "square": lambda x: x * x,
    "swish": lambda x: x / (1 + DIGITS.exp(-x)),
    "tanh": DIGITS.tanh,
    "within": lambda x: +x,
}


class Digits(Rational):
    """Numbers of 60 digits."""

    def load(self, values):
        return self._each(np.asarray(values, np.float64), DIGITS.mpf)

    def fraction(self, value):
        return DIGITS.mpf(value.numerator) / value.denominator

    def root(self, values):
        return self._each(values, DIGITS.sqrt)


def some_slopes(rng: np.random.Generator, rows: int, features) -> tuple[Slopes | None, ...]:
    """None; slopes of half of the features; and what is added to those by the rule, or to none."""
    given = tuple(np.where(rng.random((rows, n)) < 0.5, np.nan, rng.normal(size=(rows, n))) for n in features)
    added = tuple(rng.normal(size=(rows, n)) * 0.1 for n in features)
    none = (None,) * len(features)
    return None, Slopes(given, none, np.zeros(rows, np.bool_)), Slopes(none, added, rng.random(rows) < 0.5)


def exactly(value) -> Fraction:
    """A number of 60 digits, or a fraction, as a fraction."""
    if not isinstance(value, mpmath.ctx_mp_python._mpf):
        return Fraction(value)
    sign, mantissa, exponent, _ = value._mpf_
    return Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** exponent


def bent(bend: str, x):
    """A bend of numbers ``[B, n]``."""
    if bend == RELU:
        return np.maximum(x, 0)
    if bend == PRODUCT:
        return np.multiply(*np.split(x, 2, axis=1))
    return Rational._each(x, FUNCTIONS[bend])
