"""How a graph of integers is evaluated on many inputs: which nodes together, in which numbers, in which order.

The reference is :meth:`netproof.graph.graph.Graph.evaluate` in float64. A plan takes another way where that way is proved to give
the same whole numbers, and the reference's own operators everywhere else:

* codes of 8 bits stay bytes; what lies before or behind one place or channel is looked at another way, not copied;
* a convolution or linear map and the staircase behind it are one kernel (:mod:`netproof.inference.products`);
* a staircase of a combination of two values is a table of all pairs (:mod:`netproof.inference.pairs`);
* a sum over all places is a sum of bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, Graph, Node
from netproof.host import own_terms
from netproof.inference.held import Held
from netproof.inference.pairs import Pair, pair_of
from netproof.inference.products import Product, product_of, whole_pieces
from netproof.inference.windows import Total, Windowed, by_window, filled
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.base import Activation, Affine

#: numbers of the widest node that are computed at a time, where some node takes the reference's way, and where none does
_SLOW, _FAST = 1 << 19, 1 << 20
#: where inputs differ from one in few places, so many times as many are evaluated at a time
_NEAR = 8


Step = Callable[[list[Held]], Held]


class Plan:
    """A graph of integers, prepared for many inputs.

    Parameters
    ----------
    graph : of integers
    lower, upper : ``[n_input]``, what inputs can be
    output : the node whose values are wanted, the last one by default
    source : what errors call the network

    Raises
    ------
    ExactnessError : sums beyond what float64 holds
    """

    def __init__(
        self, graph: Graph, lower: Tensor, upper: Tensor, output: int | None = None, source: str = "network"
    ) -> None:
        assert graph.arithmetic is Arithmetic.INTEGER
        with own_terms():
            self._graph = graph
            self.lower, self.upper = lower, upper
            self.output = len(graph.nodes) - 1 if output is None else output
            check_exact(graph, lower, upper, source)
            self._low, self._high = ranges_of(graph, lower, upper)
            self._needed = _needed(graph, self.output)
            self.steps: dict[int, tuple[Step, tuple[int, ...]]] = {}
            self._words: list[str] = []
            #: steps that can be taken for a part of an image, by node
            self.parts: dict[int, Product | Pair | Total] = {}
            self._compile()
            self._last = self._last_uses()
            widest = max(graph.nodes[i].size for i in self._needed)
            slow = self._words.count("float64") > 4
            #: inputs that are evaluated at a time: as many as kernels take at once, or a multiple of that
            self.batch = whole_pieces(max(1, min(4096, (_SLOW if slow else _FAST) // widest)))

    @property
    def words(self) -> str:
        """How many nodes go which way."""
        return ", ".join(f"{self._words.count(word)} {word}" for word in sorted(set(self._words)))

    def outputs(self, inputs: NDArray[np.integer] | Tensor) -> NDArray[np.int64]:
        """The output of inputs ``[N, n_input]`` (whole numbers in the network's range), ``[N, n_output]``."""
        with own_terms(), torch.no_grad():
            x = torch.as_tensor(inputs)
            parts = [self.run(part) for part in torch.split(x.reshape(len(x), -1), self.batch)]
            if not parts:
                return np.empty((0, self._graph.nodes[self.output].size), np.int64)
            return torch.cat(parts).numpy()

    def classes(self, inputs: NDArray[np.integer] | Tensor) -> NDArray[np.int64]:
        """The first largest output of inputs ``[N, n_input]``, ``[N]``."""
        return np.asarray(self.outputs(inputs).argmax(1), np.int64)

    def near(self, image: NDArray[np.int64]) -> Near:
        """An evaluation of inputs that are mostly as ``image`` ``[n_input]`` is."""
        return Near(self, image)

    def held(self, x: Tensor) -> Held:
        """Inputs ``[B, n_input]`` in the numbers in which they are computed with."""
        low, high = int(self._low[0].min()), int(self._high[0].max())
        return Held((x.to(torch.int16) - low).to(torch.uint8), low) if high - low <= 255 else Held(x.double())

    def values(self, x: Tensor) -> dict[int, Held]:
        """The values of all nodes that are computed, of inputs ``[B, n_input]``."""
        values = {0: self.held(x)}
        for node, (step, operands) in self.steps.items():
            values[node] = step([values[i] for i in operands])
        return values

    def run(self, x: Tensor) -> Tensor:
        """The output of one batch, ``[B, n_output]``."""
        values = {0: self.held(x)}
        for node, (step, operands) in self.steps.items():
            values[node] = step([values[i] for i in operands])
            for i in operands:
                if self._last[i] == node:
                    values.pop(i, None)
        return values[self.output].flat().to(torch.int64)

    # -- which way each node goes

    def _compile(self) -> None:
        users: dict[int, list[int]] = {}
        for i in self._needed:
            for operand in self._graph.nodes[i].operands:
                users.setdefault(operand, []).append(i)
        alone = {i for i, used in users.items() if len(used) == 1 and i != self.output}
        skipped: set[int] = set()
        for i in reversed(self._needed):
            if i == 0 or i in skipped:
                continue
            step, operands, inner, word = self._way(i, alone)
            self.steps[i] = (step, operands)
            self._words.append(word)
            skipped |= inner
        self.steps = dict(sorted(self.steps.items()))

    def _way(self, i: int, alone: set[int]) -> tuple[Step, tuple[int, ...], set[int], str]:
        """A step for a node, the nodes it takes, those that it computes on the way, and what to call it."""
        node = self._graph.nodes[i]
        operator = node.operator
        if isinstance(operator, Staircase) and node.operands[0] in alone:
            inner = node.operands[0]
            found = self._product(operator, self._graph.nodes[inner])
            if found is not None:
                self.parts[i] = found
                return _by_product(found), self._graph.nodes[inner].operands, {inner}, "in 8 bits"
            pair = self._pair(operator, inner, alone)
            if pair is not None:
                self.parts[i] = pair[0]
                return _by_pair(pair[0]), pair[1], pair[2], "by pairs"
        if isinstance(operator, Scale) and bool((operator.scale == 1).all()) and len(operator.shift) == 1:
            shift = int(operator.shift)
            return (lambda values: Held(values[0].numbers, values[0].low + shift)), node.operands, set(), "shift"
        if isinstance(operator, Select):
            moved = _moved(operator, self._low[node.operands[0]])
            if moved is not None:
                return moved, node.operands, set(), "order"
        if isinstance(operator, Convolution):
            total = total_of(operator)
            if total is not None:
                self.parts[i] = total
                return _by_total(total), node.operands, set(), "sum"
        return _reference(operator), node.operands, set(), "float64"

    def _product(self, staircase: Staircase, inner: Node) -> Product | None:
        if not isinstance(inner.operator, Convolution | Linear):
            return None
        operand = inner.operands[0]
        # Where padding is, there is a 0.
        low = min(0, int(self._low[operand].min()))
        high = max(0, int(self._high[operand].max()))
        return product_of(inner.operator, staircase, low, high)

    def _pair(self, staircase: Staircase, inner: int, alone: set[int]) -> tuple[Pair, tuple[int, ...], set[int]] | None:
        node = self._graph.nodes[inner]
        sources, factors, between = [], [], {inner}
        for operand, sign in zip(node.operands, getattr(node.operator, "signs", ()), strict=False):
            scale = self._graph.nodes[operand].operator
            factor = sign
            if isinstance(scale, Scale) and operand in alone and len(scale.scale) == 1 and not bool(scale.shift.any()):
                factor *= int(scale.scale)
                between.add(operand)
                operand = self._graph.nodes[operand].operands[0]  # noqa: PLW2901
            sources.append(operand)
            factors.append(factor)
        if len(sources) != 2:
            return None
        ends = [(int(self._low[i].min()), int(self._high[i].max())) for i in sources]
        pair = pair_of(staircase, (factors[0], factors[1]), (ends[0], ends[1]))
        return None if pair is None else (pair, tuple(sources), between)

    def _last_uses(self) -> dict[int, int]:
        last: dict[int, int] = {}
        for i, (_, operands) in self.steps.items():
            last |= dict.fromkeys(operands, i)
        return last


def ranges_of(graph: Graph, lower: Tensor, upper: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The least and the largest value of every feature by intervals, whole numbers."""
    low, high = [lower], [upper]
    for node in graph.nodes[1:]:
        operator = node.operator
        if isinstance(operator, Affine):
            center = operator.forward(*((low[i] + high[i]) / 2 for i in node.operands))
            radius = operator.forward_absolute(*((high[i] - low[i]) / 2 for i in node.operands))
            low.append(center - radius)
            high.append(center + radius)
        else:
            assert isinstance(operator, Activation)
            least, most = operator.output_range(low[node.operands[0]], high[node.operands[0]])
            low.append(least)
            high.append(most)
    return low, high


def _needed(graph: Graph, output: int) -> list[int]:
    wanted = {output}
    for i in range(output, -1, -1):
        if i in wanted:
            wanted.update(graph.nodes[i].operands)
    return sorted(wanted | {0})


def _reference(operator: object) -> Step:
    def step(values: list[Held]) -> Held:
        operands = [value.flat() for value in values]
        if isinstance(operator, Affine):
            return Held(operator.forward(*operands))
        assert isinstance(operator, Activation)
        return Held(operator.evaluate(operands[0]))

    return step


def _by_product(product: Product) -> Step:
    def step(values: list[Held]) -> Held:
        x = values[0].bytes(product.low).reshape(-1, *product.shape)
        levels = product(x.contiguous(memory_format=torch.channels_last))
        return Held(levels, product.base)

    return step


def _by_pair(pair: Pair) -> Step:
    def step(values: list[Held]) -> Held:
        a, b = (value.bytes(low) for value, low in zip(values, pair.low, strict=True))
        if a.shape != b.shape:
            a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
        elif a.ndim == 4:
            a, b = (part.contiguous(memory_format=torch.channels_last) for part in (a, b))
        return Held(pair(a, b), pair.base)

    return step


def _moved(operator: Select, low: Tensor) -> Step | None:
    """An index map that takes every feature somewhere, in the numbers in which they are."""
    index = operator.index
    if bool((index < 0).any()) or operator.fill is not None:
        return None
    view = _channels_moved(index) if len(index) == operator.size else None

    def step(values: list[Held]) -> Held:
        numbers = values[0].numbers
        flat = numbers.reshape(len(numbers), -1)
        if view is not None:
            places, channels = view
            # Channels last in memory and first in what is meant: nothing is copied.
            return Held(flat.reshape(-1, *places, channels).movedim(-1, 1), values[0].low)
        return Held(flat[:, index], values[0].low)

    return step


def _channels_moved(index: Tensor) -> tuple[tuple[int, int], int] | None:
    """Places and channels where an index map brings the channels of an image from the last axis to the first."""
    size = len(index)
    if size < 2 or int(index[0]) != 0:
        return None
    channels = int(index[1])
    if channels < 1 or size % channels:
        return None
    if not torch.equal(index, torch.arange(size).reshape(-1, channels).T.reshape(-1)):
        return None
    return (size // channels, 1), channels


def _by_total(total: Total) -> Step:
    def step(values: list[Held]) -> Held:
        numbers = values[0].numbers
        # Of four axes the second can be something else than the samples: what an index map turned.
        apart = numbers.ndim == 4 and numbers.shape[1] == total.samples
        summed = numbers.flatten(2) if apart else numbers.reshape(len(numbers), total.samples, total.places)
        exact = torch.int32 if values[0].is_bytes else torch.float64
        return Held(summed.sum(2, dtype=exact), values[0].low * total.places)

    return step


def total_of(operator: Convolution) -> Total | None:
    """A convolution that is the sum over all places of every sample; None for others."""
    weight = operator.weight
    whole = prod(operator.sample_shape) == 1
    covers = operator.kernel == operator.input_shape[1:] and not any(any(pair) for pair in operator.padding)
    if not (whole and covers and weight.shape[:2] == (1, 1) and bool((weight == 1).all()) and operator.bias is None):
        return None
    return Total(operator.samples, prod(operator.kernel))


class Near:
    """Inputs that are mostly as one input is: what does not depend on the difference is computed once.

    Parameters
    ----------
    plan : of the graph
    image : ``[n_input]``
    """

    def __init__(self, plan: Plan, image: NDArray[np.int64]) -> None:
        self._plan = plan
        with own_terms(), torch.no_grad():
            self._base = plan.values(torch.from_numpy(image)[None])

    def classes(self, inputs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first largest output of inputs ``[N, n_input]``, ``[N]``."""
        return np.asarray(self.outputs(inputs).argmax(1), np.int64)

    def outputs(self, inputs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The output of inputs ``[N, n_input]``, ``[N, n_output]``."""
        with own_terms(), torch.no_grad():
            x = torch.from_numpy(inputs)
            found, start = [], 0
            while start < len(x):
                part = self._part(x[start : start + _NEAR * self._plan.batch])
                # Where much differs, as many are taken at a time as are otherwise.
                part = self._plan.run(x[start : start + self._plan.batch]) if part is None else part
                found.append(part)
                start += len(part)
            return torch.cat(found).numpy() if found else self._plan.outputs(inputs)

    def _part(self, x: Tensor) -> Tensor | None:
        plan = self._plan
        values: dict[int, Held | Windowed] = {0: plan.held(x)}
        first = True
        for node, (step, operands) in plan.steps.items():
            given, base = [values[i] for i in operands], [self._base[i] for i in operands]
            part = plan.parts.get(node)
            found = None if part is None else by_window(part, given, base, self._base[node])
            if found is None and isinstance(part, Product) and first:
                return None
            first = first and not isinstance(part, Product)
            values[node] = step([filled(v, b) for v, b in zip(given, base, strict=True)]) if found is None else found
        output = plan.output
        return filled(values[output], self._base[output]).flat().to(torch.int64)


#: preparing a graph takes as long as hundreds of evaluations, and questions come by the dozen
_PLANS: WeakKeyDictionary[Graph, Plan] = WeakKeyDictionary()


def plan_of(graph: Graph, lower: Tensor, upper: Tensor, source: str = "network") -> Plan:
    """A plan, made once for a graph and a range of inputs; raises :class:`ExactnessError`."""
    known = _PLANS.get(graph)
    if known is None or not (torch.equal(known.lower, lower) and torch.equal(known.upper, upper)):
        known = _PLANS[graph] = Plan(graph, lower, upper, source=source)
    return known
