"""Random integer networks and queries as plain NumPy, evaluated without netproof; cases to and from JSON."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction, Query

Integers = NDArray[np.int64]

#: boxes of no more points are enumerated
ENUMERABLE = 50_000
_SAMPLE = 2000


@dataclass(frozen=True)
class Layer:
    """``W x + b``, then per channel ``base + #{k : thresholds[k] <= a}`` (``[C, K]`` and ``[C]``) or nothing."""

    weight: Integers
    bias: Integers
    thresholds: Integers | None
    base: Integers | None

    def evaluate(self, x: Integers) -> Integers:
        """``[N, n_in]`` to ``[N, n_out]``."""
        a = x @ self.weight.T + self.bias
        if self.thresholds is None or self.base is None:
            return a
        every = a.shape[1] // len(self.base)
        counted = [np.searchsorted(self.thresholds[j // every], a[:, j], side="right") for j in range(a.shape[1])]
        return np.stack(counted, 1) + self.base.repeat(every)


@dataclass(frozen=True)
class Case:
    """A network, the range of its inputs, and a query: a box with a condition, or a robustness query.

    ``condition`` holds ``(C, r)`` pairs; it is empty where ``image`` is given, whose class ``label`` must not
    change within ``radius``.
    """

    name: str
    layers: tuple[Layer, ...]
    lower: Integers
    upper: Integers
    box: tuple[Integers, Integers]
    condition: tuple[tuple[Integers, Integers], ...] = ()
    image: Integers | None = None
    label: int = 0
    radius: int = 0

    @property
    def points(self) -> float:
        """How many inputs the box holds."""
        return float(np.prod((self.box[1] - self.box[0] + 1).astype(float)))

    def outputs(self, x: Integers) -> Integers:
        for layer in self.layers:
            x = layer.evaluate(x)
        return x

    def meets(self, x: Integers) -> NDArray[np.bool_]:
        """Which of the inputs ``[N, n]`` are witnesses."""
        y = self.outputs(x)
        if self.image is not None:
            met = y.argmax(1) != self.label
        else:
            met = np.zeros(len(x), np.bool_)
            for rows, level in self.condition:
                met |= (y @ rows.T >= level).all(1)
        return met & ((x >= self.box[0]) & (x <= self.box[1])).all(1)

    def query(self) -> Query:
        builder = GraphBuilder(Arithmetic.INTEGER, (len(self.lower),))
        node = builder.input
        for number, layer in enumerate(self.layers):
            node = builder.add(f"linear{number}", Linear(_floats(layer.weight), _floats(layer.bias)), node)
            if layer.thresholds is not None and layer.base is not None:
                node = builder.add(f"steps{number}", Staircase(_floats(layer.thresholds), _floats(layer.base)), node)
        graph = builder.build()
        lower, upper = _floats(self.lower), _floats(self.upper)
        check_exact(graph, lower, upper)
        network = Network(graph, self.name, "0" * 64, lower, upper)
        if self.image is not None:
            return robustness(network, self.image, self.label, self.radius, name=self.name)
        condition = tuple(Conjunction(_floats(rows), _floats(level)) for rows, level in self.condition)
        return Query(network, _floats(self.box[0]), _floats(self.box[1]), condition, self.name)

    def save(self, file: Path) -> None:
        """Write the case as JSON."""
        document = {
            "name": self.name,
            "layers": [
                {
                    "weight": _lists(x.weight),
                    "bias": _lists(x.bias),
                    "thresholds": _lists(x.thresholds),
                    "base": _lists(x.base),
                }
                for x in self.layers
            ],
            "lower": _lists(self.lower),
            "upper": _lists(self.upper),
            "box": [_lists(end) for end in self.box],
            "condition": [{"coefficients": _lists(rows), "threshold": _lists(level)} for rows, level in self.condition],
            "image": _lists(self.image),
            "label": self.label,
            "radius": self.radius,
        }
        file.write_text(json.dumps(document) + "\n")

    @staticmethod
    def load(file: Path) -> Case:
        """Read what :meth:`save` wrote."""
        document = json.loads(file.read_text())
        layers = []
        for layer in document["layers"]:
            bias, base = _array(layer["bias"]), layer["base"]
            thresholds = None if base is None else _array(layer["thresholds"]).reshape(len(base), -1)
            weight = _array(layer["weight"]).reshape(len(bias), -1)
            layers.append(Layer(weight, bias, thresholds, None if base is None else _array(base)))
        return Case(
            document["name"],
            tuple(layers),
            _array(document["lower"]),
            _array(document["upper"]),
            (_array(document["box"][0]), _array(document["box"][1])),
            tuple((_array(c["coefficients"]), _array(c["threshold"])) for c in document["condition"]),
            None if document["image"] is None else _array(document["image"]),
            document["label"],
            document["radius"],
        )


def box_points(lower: Integers, upper: Integers) -> Integers:
    """Every integer point of a box: ``[N, n]``."""
    axes = [range(int(low), int(high) + 1) for low, high in zip(lower, upper, strict=True)]
    return np.array(list(itertools.product(*axes)), np.int64).reshape(-1, len(axes))


def some_points(random: np.random.Generator, box: tuple[Integers, Integers]) -> Integers:
    """Every point of a box that is enumerable, else a sample, half of it corners."""
    lower, upper = box
    if np.prod((upper - lower + 1).astype(float)) <= ENUMERABLE:
        return box_points(lower, upper)
    inner = random.integers(lower, upper + 1, (_SAMPLE, len(lower)))
    corners = np.where(random.random((_SAMPLE, len(lower))) < 0.5, lower, upper)
    return np.concatenate([inner, corners])


def random_case(seed: int, number: int) -> Case:
    """Case ``number`` of a campaign: the same for the same seed."""
    random = np.random.default_rng([seed, number])
    bits = int(random.integers(2, 9))
    inputs = int(random.integers(1, 7))
    most = (1 << int(random.integers(1, 9))) - 1
    lower = random.choice([0, 0, 0, 1, -2, -128], inputs).astype(np.int64)
    upper = lower + most
    layers, value = [], random.integers(lower, upper + 1, (512, inputs))
    depth = int(random.integers(1, 5))
    for position in range(depth):
        layer = _random_layer(random, value, bits, last=position == depth - 1)
        layers.append(layer)
        value = layer.evaluate(value)
    centre = random.integers(lower, upper + 1)
    # A tiny box, one that can still be enumerated, or a large one.
    wanted = float(random.choice([10.0, 200.0, 5_000.0, ENUMERABLE, 1e6, 1e9], p=[0.1, 0.2, 0.3, 0.2, 0.1, 0.1]))
    radius = max(1, int((wanted ** (1 / inputs) - 1) / 2))
    name = f"case {seed}-{number}"
    made = tuple(layers)
    if random.random() < 0.4 and value.shape[1] > 1:
        return _robustness_case(random, name, made, (lower, upper), radius)
    ends = np.maximum(centre - radius, lower), np.minimum(centre + radius, upper)
    case = Case(name, made, lower, upper, ends)
    y = case.outputs(some_points(random, ends))
    condition = tuple(_conjunction(random, y, len(made) > 1) for _ in range(int(random.integers(1, 4))))
    return Case(name, made, lower, upper, ends, condition)


def _robustness_case(
    random: np.random.Generator, name: str, layers: tuple[Layer, ...], ends: tuple[Integers, Integers], radius: int
) -> Case:
    """Of a few images the one nearest to a change of class: most are far from one."""
    lower, upper = ends
    probe = Case(name, layers, lower, upper, ends)
    images = random.integers(lower, upper + 1, (16, len(lower)))
    y = np.sort(probe.outputs(images), 1)
    image = images[int((y[:, -1] - y[:, -2]).argsort(kind="stable")[int(random.integers(0, 8))])]
    label = int(probe.outputs(image[None])[0].argmax())
    box = np.maximum(image - radius, lower), np.minimum(image + radius, upper)
    return Case(name, layers, lower, upper, box, (), image, label, radius)


def _random_layer(random: np.random.Generator, value: Integers, bits: int, *, last: bool) -> Layer:
    size = int(random.integers(2, 6 if last else 9))
    reach = int(random.integers(1, (1 << (bits - 1)) + 1))
    weight = random.integers(-reach, reach, (size, value.shape[1]), endpoint=True)
    weight[random.random(weight.shape) < random.choice([0.0, 0.3])] = 0
    a = value @ weight.T
    bias = -np.rint(a.mean(0)).astype(np.int64) + random.integers(-reach, reach, size, endpoint=True)
    a = a + bias
    if last and random.random() < 0.2:
        return Layer(weight, bias, None, None)
    thresholds, base = _random_steps(random, a, bits, last=last)
    return Layer(weight, bias, thresholds, base)


def _random_steps(random: np.random.Generator, a: Integers, bits: int, *, last: bool) -> tuple[Integers, Integers]:
    """A staircase for accumulators like ``a``: fixed point or general, shared, grouped or per feature."""
    size = a.shape[1]
    low, high = int(a.min()) - 2, int(a.max()) + 3
    if random.random() < 0.5:
        # Rounding half up after a shift; a small shift saturates, a large one leaves few levels in use.
        bottom = -(1 << (bits - 1)) if last else 0
        exact = np.log2(max(high - low, 2)) - bits
        shift = max(0, int(np.rint(exact + random.choice([-2, -1, 0, 1]))))
        level = np.arange(bottom + 1, bottom + (1 << bits))
        return (level * (1 << shift) - (1 << shift) // 2)[None], np.array([bottom])
    channels = int(random.choice([1, size, 2 if size % 2 == 0 else size]))
    base = random.integers(-3, 3, channels)
    count = int(random.integers(1, (1 << min(bits, 6)) + 1))
    kind = random.random()
    if kind < 0.3:  # equidistant, every channel its own
        start = random.integers(low, high, channels)
        step = random.integers(1, max(2, (high - low) // count + 2), channels)
        return start[:, None] + step[:, None] * np.arange(count), base
    thresholds = np.sort(random.integers(low, high, (channels, count)), 1)
    if kind < 0.5:  # jumps by several levels
        thresholds = np.sort(thresholds[:, : max(1, count // 3)].repeat(3, 1), 1)
    return thresholds, base


def _conjunction(random: np.random.Generator, y: Integers, order: bool) -> tuple[Integers, Integers]:
    """``(C, r)`` that asks for about as much as the points with outputs ``y`` have to give: met by few, or missed narrowly."""
    size = y.shape[1]
    count = int(random.choice([1, 1, 2, 3]))
    rows = random.integers(-3, 4, (count, size))
    if order and size > 1 and random.random() < 0.4:
        first, second = random.choice(size, 2, replace=False)
        rows = np.zeros((1, size), np.int64)
        rows[0, first], rows[0, second] = 1, -1
    elif random.random() < 0.2:  # an equation
        rows = np.concatenate([rows[:1], -rows[:1]])
        level = y[int(random.integers(len(y)))] @ rows.T
        move = int(random.integers(0, 2))
        return rows, level + np.array([move, -move])
    level = rows @ y[int(random.integers(len(y)))]
    others = (y @ rows[1:].T >= level[1:]).all(1)
    level[0] = (y[others] @ rows[0]).max() + int(random.random() < 0.65)
    return rows, level


def _floats(values: Integers):  # type: ignore[no-untyped-def]
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).double()


def _lists(values: Integers | None) -> Sequence[object] | None:
    return None if values is None else values.tolist()


def _array(values: object) -> Integers:
    return np.array(values, np.int64)
