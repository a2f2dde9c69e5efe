"""Random small integer networks, written down a second time in NumPy int64.

Everything a test compares netproof with comes from here and uses none of its operators: layers are
matrices, staircases are counted threshold by threshold (or follow the floor formula), boxes are enumerated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction, Query

Integers = NDArray[np.int64]

#: every form a staircase can take
KINDS = ("shift", "equidistant", "general", "jumps", "grouped", "shared", "constant", "single")


@dataclass(frozen=True)
class Steps:
    """A staircase of ``n`` features: thresholds ``[n, K]`` and base ``[n]``, or a fixed-point ``(shift, low, high)``.

    ``channels`` is how many of the rows netproof is told; each stands for ``n / channels`` features.
    """

    thresholds: Integers
    base: Integers
    channels: int
    fixed_point: tuple[int, int, int] | None = None

    def evaluate(self, a: Integers) -> Integers:
        """``[..., n]`` to ``[..., n]``."""
        if self.fixed_point is not None:
            shift, low, high = self.fixed_point
            return ((a + (1 << shift) // 2) >> shift).clip(low, high)
        return self.base + (self.thresholds <= a[..., None]).sum(-1)

    def operator(self) -> Staircase:
        if self.fixed_point is not None:
            return Staircase.fixed_point(*self.fixed_point)
        every = len(self.base) // self.channels
        return Staircase(
            torch.from_numpy(self.thresholds[::every].copy()).double(),
            torch.from_numpy(self.base[::every].copy()).double(),
        )


@dataclass(frozen=True)
class Layer:
    """``steps(W x + b)``; the last layer may have no steps."""

    weight: Integers
    bias: Integers
    steps: Steps | None


@dataclass(frozen=True)
class RandomNetwork:
    """Layers, and the box ``[lower, upper]`` of inputs they take at all."""

    layers: tuple[Layer, ...]
    lower: Integers
    upper: Integers

    def nodes(self, x: Integers) -> list[Integers]:
        """The value of every node of :meth:`graph`, in its order; ``x`` is ``[N, n_input]``."""
        values = [x]
        for layer in self.layers:
            values.append(values[-1] @ layer.weight.T + layer.bias)
            if layer.steps is not None:
                values.append(layer.steps.evaluate(values[-1]))
        return values

    def preactivations(self, x: Integers) -> list[Integers]:
        """The operand of every staircase, in order."""
        values = self.nodes(x)
        return [values[1 + 2 * k] for k, layer in enumerate(self.layers) if layer.steps is not None]

    def outputs(self, x: Integers) -> Integers:
        return self.nodes(x)[-1]

    def points(self) -> Integers:
        """Every input."""
        return box_points(self.lower, self.upper)

    def graph(self) -> Graph:
        builder = GraphBuilder(Arithmetic.INTEGER, (len(self.lower),))
        node = builder.input
        for number, layer in enumerate(self.layers):
            linear = Linear(torch.from_numpy(layer.weight).double(), torch.from_numpy(layer.bias).double())
            node = builder.add(f"linear{number}", linear, node)
            if layer.steps is not None:
                node = builder.add(f"steps{number}", layer.steps.operator(), node)
        graph = builder.build()
        check_exact(graph, floats(self.lower), floats(self.upper))
        return graph

    def network(self) -> Network:
        return Network(self.graph(), "random", "0" * 64, floats(self.lower), floats(self.upper))


def floats(values: Integers) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).double()


def box_points(lower: Sequence[int] | Integers, upper: Sequence[int] | Integers) -> Integers:
    """Every integer point of a box: ``[N, n]``."""
    axes = [range(int(low), int(high) + 1) for low, high in zip(lower, upper, strict=True)]
    return np.array(list(itertools.product(*axes)), dtype=np.int64).reshape(-1, len(axes))


def random_steps(random: np.random.Generator, kind: str, a: Integers) -> Steps:
    """A staircase for pre-activations like ``a`` ``[N, n]``: thresholds fall inside and a little outside their range."""
    features = a.shape[1]
    low, high = int(a.min()) - 2, int(a.max()) + 3
    levels = int(random.integers(2, 8))
    base = random.integers(-3, 3, features)
    if kind == "shift":
        shift = int(random.integers(0, 4))
        bottom = int(random.choice([0, -2, -8, -100]))
        return Steps(
            np.empty((features, 0), np.int64), base, 1, (shift, bottom, bottom + int(random.choice([1, 3, 7, 15, 120])))
        )
    if kind == "equidistant":
        start = random.integers(low, high, features)
        step = random.integers(1, max(2, (high - low) // levels + 1), features)
        return Steps(start[:, None] + step[:, None] * np.arange(levels), base, features)
    if kind == "constant":
        return Steps(np.empty((features, 0), np.int64), base, features)
    if kind == "single":
        return Steps(random.integers(low, high, (features, 1)), base, features)
    if kind == "jumps":
        few = np.sort(random.integers(low, high, (features, 3)), 1)
        return Steps(np.sort(few.repeat(random.integers(1, 4), 1), 1), base, features)
    thresholds = np.sort(random.integers(low, high, (features, levels)), 1)
    if kind == "shared":
        return Steps(thresholds[:1].repeat(features, 0), base[:1].repeat(features), 1)
    if kind == "grouped" and features % 2 == 0:
        half = features // 2
        return Steps(thresholds[:2].repeat(half, 0), base[:2].repeat(half), 2)
    return Steps(thresholds, base, features)


def random_network(
    random: np.random.Generator,
    *,
    bits: int = 8,
    layers: int | None = None,
    kinds: Sequence[str] = KINDS,
    final: str | None = "any",
    scale: int = 1,
) -> RandomNetwork:
    """One to three layers over a box of at most ``2**bits`` points.

    ``final`` is the kind of the last layer's staircase, None for none, ``"any"`` for either. ``scale`` multiplies
    the weights (and adds a little noise), so that accumulators become large.
    """
    inputs = int(random.integers(1, 5))
    width = max(1, min(4, bits // inputs))
    widths = random.integers(1, width + 1, inputs)
    lower = random.choice([0, 0, 1, -2], inputs).astype(np.int64)
    upper = lower + (1 << widths) - 1
    value = box_points(lower, upper)
    count = int(random.integers(1, 4)) if layers is None else layers
    made = []
    for number in range(count):
        last = number == count - 1
        size = int(random.integers(2, 6))
        reach = int(random.integers(1, 5))
        weight = random.integers(-reach, reach + 1, (size, value.shape[1]))
        if number == 0 and scale > 1:
            weight = weight * scale + random.integers(-2, 3, weight.shape)
        a = value @ weight.T
        # Biases that bring the accumulators near 0, where fixed-point staircases live.
        bias = -np.rint(a.mean(0)).astype(np.int64) + random.integers(-3, 4, size)
        a = a + bias
        kind = str(random.choice(kinds))
        if last and final != "any":
            steps = None if final is None else random_steps(random, final, a)
        elif last and random.random() < 0.4:
            steps = None
        else:
            steps = random_steps(random, kind, a)
        made.append(Layer(weight, bias, steps))
        value = a if steps is None else steps.evaluate(a)
    return RandomNetwork(tuple(made), lower, upper)


def random_box(random: np.random.Generator, net: RandomNetwork) -> tuple[Integers, Integers]:
    """A box inside the network's own."""
    ends = np.sort(random.integers(net.lower, net.upper + 1, (2, len(net.lower))), 0)
    return ends[0], ends[1]


def random_conjunction(
    random: np.random.Generator, net: RandomNetwork, box: tuple[Integers, Integers]
) -> tuple[Integers, Integers]:
    """``(C, r)`` asking for about as much as the box has to give: met by few points, or missed narrowly."""
    x = box_points(*box)
    y = net.outputs(x)
    form = random.random()
    one = y[int(random.integers(len(y)))]
    if form < 0.4:  # an order of two outputs, up to a margin
        rows = np.zeros((1, y.shape[1]), np.int64)
        first, second = random.choice(y.shape[1], 2, replace=False)
        rows[0, first], rows[0, second] = 1, -1
        return rows, (y @ rows.T).max(0) + random.integers(-1, 2, 1)
    if form < 0.6:  # an equation
        row = random.integers(-2, 3, (1, y.shape[1]))
        level = row @ one + random.integers(0, 2, 1)
        return np.concatenate([row, -row]), np.concatenate([level, -level])
    count = int(random.integers(1, 5))
    rows = random.integers(-3, 4, (count, y.shape[1]))
    level = rows @ one
    # Raise one constraint to what the points that meet the others can just reach, or one more.
    others = (y @ rows[1:].T >= level[1:]).all(1)
    level[0] = (y[others] @ rows[0]).max() + random.integers(0, 2)
    return rows, level


def random_query(random: np.random.Generator, net: RandomNetwork, network: Network) -> Query:
    """A disjunction of one to four conjunctions on a random box."""
    box = random_box(random, net)
    made = [random_conjunction(random, net, box) for _ in range(int(random.integers(1, 5)))]
    condition = tuple(Conjunction(floats(rows), floats(level)) for rows, level in made)
    return Query(network, floats(box[0]), floats(box[1]), condition)


def tight_query(random: np.random.Generator, net: RandomNetwork, network: Network) -> Query:
    """One or two conjunctions that ask, over the whole box, for exactly the most there is, or for one more."""
    y = net.outputs(net.points())
    condition = []
    for _ in range(int(random.integers(1, 3))):
        rows = random.integers(-2, 3, (int(random.integers(1, 3)), y.shape[1]))
        if random.random() < 0.4:
            first, second = random.choice(y.shape[1], 2, replace=False)
            rows = np.zeros((1, y.shape[1]), np.int64)
            rows[0, first], rows[0, second] = 1, -1
        level = rows @ y[random.integers(len(y))]
        others = (y @ rows[1:].T >= level[1:]).all(1)
        level[0] = (y[others] @ rows[0]).max() + int(random.random() < 0.7)
        condition.append(Conjunction(floats(rows), floats(level)))
    return Query(network, floats(net.lower), floats(net.upper), tuple(condition))


def witnesses(net: RandomNetwork, query: Query) -> Integers:
    """Every witness of the query, by trying every input: ``[N, n_input]``."""
    x = box_points(query.lower.long().numpy(), query.upper.long().numpy())
    return x[meets(net, query, x)]


def meets(net: RandomNetwork, query: Query, x: Integers) -> NDArray[np.bool_]:
    """Which of the inputs meet the query's condition."""
    y = net.outputs(x)
    met = np.zeros(len(x), bool)
    for conjunction in query.condition:
        rows, level = conjunction.coefficients.long().numpy(), conjunction.threshold.long().numpy()
        met |= (y @ rows.T >= level).all(1)
    return met
