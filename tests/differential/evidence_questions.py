"""Networks with a witness on the edge of a box, and properties that it meets by nothing to spare (``evidence_campaign.py``)."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from soundness.real_evidence import Builder, Digits, certificate, chain, property_text, values_at, values_of

#: operators that networks with smooth functions have
BENDS = (
    "Atan", "Cos", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSwish", "LayerNormalization", "Log", "LogSoftmax", "Max",
    "Mish", "Mul", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Softsign", "Sqrt", "Tanh",
)  # fmt: skip


class Question:
    """A network with a witness on the edge of a box, and a property that the witness meets by nothing to spare."""

    inputs: int
    sizes: list[int]
    network: bytes
    #: of every bend its kind, how many values it gives, and its operand by what is before it, 0 for what only other maps lead to
    bends: list[str]
    values: list[int]
    slopes: list[np.ndarray]
    #: the network in float64, and the box as a cell
    evaluation: Evaluation
    root: Cells
    #: whether no map is before the first bend
    _is_bare = False

    def __init__(self, rng: np.random.Generator) -> None:
        self._make(rng)
        self._look()
        # So that bends of the inputs are bent in some boxes.
        center = rng.normal(size=self.inputs) * (2.0**-5 if self._is_bare else 1.0)
        center = self._bent_near(rng, center) if rng.random() < 0.4 else center
        # A point, or a box whose best corner is known by trying all of them: bounds are attained there or not at all. Of few bends both
        # sides are reached but in the largest.
        reach = float(rng.choice([0.0, 2.0**-20, 2.0**-4, 0.5]))
        lower, upper = center - reach, center + reach
        self.lower, self.upper = lower.tolist(), upper.tolist()
        with np.errstate(all="ignore"):
            self.root = self.evaluation.root(lower, upper)
        self.threshold = max(map(self.value, self._points()))
        self.property = self.asking(self.threshold)
        self.easier = self.asking(self.threshold + 1 + abs(self.threshold))

    def _bent_near(self, rng: np.random.Generator, center: np.ndarray) -> np.ndarray:
        """A point next to which as many features of the first bend as there are inputs change their sign, where there is one near 0."""
        operand = self.evaluation.network.operands[0]
        offset = np.array(values_at(self.network, [0.0] * self.inputs, Digits())[operand], np.float64)
        some = rng.permutation(len(offset))[: self.inputs]
        try:
            found = np.linalg.solve(self.slopes[0][some], -offset[some])
        except np.linalg.LinAlgError:  # fewer features, or maps of one another
            return center
        near = found + rng.normal(size=self.inputs) * float(rng.choice([0.0, 2.0**-24, 2.0**-7]))
        return near if abs(found).max() < 8 else center

    def value(self, x: list[float]) -> Fraction:
        """The output at a point, or a little less."""
        return values_of(self.network, x)[0]

    def _points(self) -> list[list[float]]:
        """Corners of the box."""
        ends = zip(self.lower, self.upper, strict=True)
        return [list(point) for point in itertools.product(*(sorted({low, high}) for low, high in ends))]

    def _make(self, rng: np.random.Generator) -> None:
        self.inputs, hidden = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        sizes = [self.inputs, hidden, hidden, 1] if rng.random() < 0.7 else [self.inputs, hidden, 1]
        self.sizes = sizes[1:-1]
        spread = float(rng.choice([0.0, 4.0, 16.0]))
        tiny = float(rng.choice([1.0, 1.0, 1e-30, 1e-300]))
        weights, biases = [], []
        for before, after in itertools.pairwise(sizes):
            weights.append(
                rng.normal(size=(after, before)) * 10.0 ** (spread * (rng.random((after, before)) - 0.5)) * tiny
            )
            biases.append(rng.normal(size=after) * 10.0 ** float(rng.choice([0.0, -8.0, -16.0])))
        bends = [("Relu", {})] * 7 + [("Abs", {}), ("LeakyRelu", {"alpha": 0.1}), ("LeakyRelu", {"alpha": -2.5})]
        self.bend, attributes = bends[int(rng.integers(10))]
        if rng.random() < 0.2:
            self._is_bare = True
            weights[0], biases[0] = np.eye(self.inputs), np.zeros(self.inputs)
            weights[1] = (
                weights[1][:, : self.inputs] if hidden >= self.inputs else np.ones((len(weights[1]), self.inputs))
            )
            self.sizes[0] = self.inputs
            self.network = bare(weights, biases, self.bend, attributes)
            return
        self.network = chain(weights, biases, bend=self.bend, **attributes)

    def _look(self) -> None:
        network = read_network(self.network, self.inputs, Float64(), "network")
        self.evaluation = Evaluation(network, Float64())
        self.bends, self.slopes = [network.nodes[i].bend for i in network.bends], []
        self.values = [network.nodes[i].size for i in network.bends]
        begin = np.cumsum([0, self.inputs, *self.values]).tolist()
        places = {0: 0, **dict(zip(network.bends, begin[1:], strict=False))}
        for k, operand in enumerate(network.operands):
            node, found = network.nodes[operand], np.zeros((network.nodes[operand].size, begin[k + 1]))
            pairs = [(operand, np.eye(node.size))]
            if node.operator is not None:
                pairs = list(zip(node.operands, node.operator.adjoint(np.eye(node.size)), strict=True))
            for before, part in pairs:
                if before in places:
                    found[:, places[before] : places[before] + part.shape[1]] += part
            self.slopes.append(found)

    def asking(self, threshold: Fraction) -> bytes:
        text = property_text(self.lower, self.upper, 1, [[((1.0,), 0.0)]]).decode()
        digits = threshold.denominator.bit_length() - 1
        written = str(abs(threshold.numerator) * 5**digits).rjust(digits + 1, "0")
        number = ("-" if threshold < 0 else "") + (f"{written[:-digits]}.{written[-digits:]}" if digits else written)
        return (text[: text.rindex("(assert")] + f"(assert (>= Y_0 {number}))\n").encode()

    def claimed(self, given):
        """A certificate of the false claim."""
        return certificate(self.network, self.property, self.inputs, 1, **given)

    @property
    def is_short(self) -> bool:
        """Whether its numbers are such as the checker reads."""
        return self.threshold.denominator.bit_length() < 900


def bare(weights: list[np.ndarray], biases: list[np.ndarray], bend: str, attributes: dict[str, float]) -> bytes:
    """A network that begins with bends of its inputs."""
    made = Builder([1, len(weights[0])], dtype=np.float64)
    at = "x"
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        bent = made.node(bend, at, **attributes)
        at = made.node("Gemm", bent, made.constant(weight), made.constant(bias), transB=1)
    return made.bytes(at)


class CrossedQuestion(Question):
    """``u relu(a) + v relu(b) + l . x`` where the sum and the difference of ``a`` and ``b`` are one input each, so that a pair says all
    there is of them, and its bound comes to the largest value of the box exactly."""

    def _make(self, rng: np.random.Generator) -> None:
        self.inputs, self.bend = 2, "Relu"
        p, q = 2.0 ** rng.integers(-3, 4, size=2) * rng.choice([-1.0, 1.0], size=2)
        self._inner = np.array([[p, q], [p, -q]])
        self._offset = np.rint(rng.normal(size=2) * 2**20) / 2**20 * rng.integers(0, 2)
        self._outer, self._past = rng.normal(size=2), rng.normal(size=2) * rng.integers(0, 2)
        self._outer = abs(self._outer) if rng.random() < 0.5 else self._outer
        made = Builder([1, 2], dtype=np.float64)
        both = made.node("Gemm", "x", made.constant(self._inner), made.constant(self._offset), transB=1)
        bent = made.node("MatMul", made.node("Relu", both), made.constant(self._outer[:, None]))
        self.network = made.bytes(made.node("Add", bent, made.node("MatMul", "x", made.constant(self._past[:, None]))))
        self.sizes = [2]

    def value(self, x: list[Fraction]) -> Fraction:
        def dot(numbers: np.ndarray, values: list[Fraction]) -> Fraction:
            return sum((Fraction(c) * v for c, v in zip(numbers.tolist(), values, strict=True)), Fraction(0))

        operands = [dot(row, x) + Fraction(c) for row, c in zip(self._inner, self._offset.tolist(), strict=True)]
        return dot(self._outer, [max(a, Fraction(0)) for a in operands]) + dot(self._past, x)

    def _points(self) -> list[list[Fraction]]:
        """Where two of the box's edges and of the lines at which a sign changes meet: the value is linear between."""
        lines = [(*row, -c) for row, c in zip(self._inner.tolist(), self._offset.tolist(), strict=True)]
        for i, unit in enumerate(((1.0, 0.0), (0.0, 1.0))):
            lines += [(*unit, self.lower[i]), (*unit, self.upper[i])]
        found = []
        for (a, b, s), (c, d, t) in itertools.combinations([[Fraction(x) for x in line] for line in lines], 2):
            across = a * d - b * c
            if across:
                found.append([(s * d - b * t) / across, (a * t - c * s) / across])
        return [
            x for x in found if all(low <= e <= high for low, e, high in zip(self.lower, x, self.upper, strict=True))
        ]


class SmoothQuestion(Question):
    """The same of a network with smooth functions and products."""

    def value(self, x: list[float]) -> Fraction:
        # 60 digits are more than 150 binary ones.
        value = values_of(self.network, x, Digits())[0]
        unit = Fraction(2) ** (math.frexp(abs(float(value)) or 1.0)[1] - 113)
        return (value // unit - 1) * unit

    def _make(self, rng: np.random.Generator) -> None:
        self.inputs, hidden = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        made = Builder([1, self.inputs], dtype=np.float64, opset=20)
        spread = float(rng.choice([0.0, 2.0, 8.0]))

        def dense(at: str, before: int, after: int, shift: float = 0.0) -> str:
            weight = rng.normal(size=(before, after)) * 10.0 ** (spread * (rng.random((before, after)) - 0.5))
            bias = rng.normal(size=after) * 10.0 ** float(rng.choice([0.0, -8.0])) + shift
            return made.node("Gemm", at, made.constant(weight), made.constant(bias))

        def bent(at: str, count: int) -> str:
            self.bend = str(rng.choice(BENDS))
            if self.bend in ("Mul", "Div", "Max"):
                other = dense("x", self.inputs, count)
                return made.node(
                    self.bend, at, made.node("Exp", made.node("Tanh", other)) if self.bend == "Div" else other
                )
            if self.bend in ("Log", "Sqrt", "Reciprocal"):
                return made.node(self.bend, made.node("Add", made.node("Softplus", at), made.constant(0.125)))
            if self.bend == "LayerNormalization":
                return made.node(self.bend, at, made.constant(rng.normal(size=count)), epsilon=0.01)
            if self.bend == "Pow":
                return made.node("Pow", at, made.constant(float(rng.choice([2.0, 3.0]))))
            return made.node(self.bend, at)

        at = bent(dense("x", self.inputs, hidden), hidden)
        if rng.random() < 0.6:
            at = bent(dense(at, hidden, hidden), hidden)
        self.network = made.bytes(dense(at, hidden, 1))
        self.sizes = list(read_network(self.network, self.inputs, Float64(), "network").sizes)
