"""The bound, its error term, and the rules that make ranges: docs/certificates.md, *Networks over the real numbers*.

A *cell* is a set of inputs: those of a box at which the operand of every ReLU lies in its range. Ranges are float64 numbers,
rounded outward, and are only ever made smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.curved.bends import Bends, Said
from netproof.certificate.checker.real.nodes import PRODUCT, RELU, Node, RealNetwork
from netproof.certificate.checker.real.numbers import LARGEST, TINY, Float64, gamma, middle_of, unit_of
from netproof.certificate.checker.real.operators import Affine, Array
from netproof.certificate.checker.real.relus import Ranges, leans, rectified
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS
from netproof.errors import InputError

Floats = NDArray[np.float64]
Index = NDArray[np.int64]
#: center, slopes for every input (None for 0) and radius of values: ``center + slopes . t +- radius``
Form = tuple[Array, Array | None, Array]
#: multipliers and their share in the bound, its weight in the error, and what is handed on to other nodes
Handed = tuple[Array, Array, Floats, Iterable[tuple[int, Array]]]
#: the first two of single features, from what arrives, the ranges and what a row says
Alone = Callable[..., tuple[Array, Array]]


class Beside(Protocol):
    """What bounds features of a ReLU in another way than each alone."""

    def handed(self, numbers: Float64, v: Array, ranges: Ranges, said: Said, alone: Alone) -> Handed:
        """What becomes of all that arrives."""


#: by ReLUs
Above = Mapping[int, Beside]
NONE: Above = {}

#: numbers of an array that is worked on at once, few enough for a processor's cache, and of the linear forms of cells
_AT_ONCE, _FORMS = 1 << 16, 1 << 26
#: products of a network that is evaluated in fractions besides
_PRODUCTS = 1 << 16
_AT_ONCE_EXACTLY = 1 << 10  # of an exact arithmetic, in which each number takes long


@dataclass(frozen=True, eq=False)
class Cells:
    """``C`` cells.

    Attributes
    ----------
    lower, upper : ``[C, inputs]``, the boxes
    low, high : ``[C, n]`` for every ReLU, the ranges of its operand
    size : ``[1, n]`` for every node, one for all cells: what no value there exceeds, and no partial sum of it
    """

    lower: Floats
    upper: Floats
    low: tuple[Floats, ...]
    high: tuple[Floats, ...]
    size: tuple[Floats, ...]

    def __len__(self) -> int:
        return len(self.lower)

    def take(self, rows: Index | NDArray[np.bool_]) -> Cells:
        """Some cells."""
        low, high = (tuple(x[rows] for x in ends) for ends in (self.low, self.high))
        return Cells(self.lower[rows], self.upper[rows], low, high, self.size)

    @staticmethod
    def join(parts: Sequence[Cells]) -> Cells:
        """All cells of several, which are parts of one."""
        if any(part.size is not parts[0].size for part in parts):
            raise ValueError("cells of several sizes")
        lower, upper = (np.concatenate(ends) for ends in zip(*((one.lower, one.upper) for one in parts), strict=True))
        low, high = (
            tuple(np.concatenate(ends) for ends in zip(*some, strict=True))
            for some in zip(*((one.low, one.high) for one in parts), strict=True)
        )
        return Cells(lower, upper, low, high, parts[0].size)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Which have an interval without a number in it."""
        found = np.asarray((self.lower > self.upper).any(1))
        for low, high in zip(self.low, self.high, strict=True):
            found = found | (low > high).any(1)
        return found


@dataclass(frozen=True, eq=False)
class Slopes:
    """What rows of multipliers say of features: ``[R, n]`` for every ReLU, or None for nothing.

    ``lower`` is the slope where what arrives is negative, NaN for that of the rule; ``added`` is added to the multiplier.
    Rows ``flat``, ``[R]``, have no multipliers but those that are added.
    """

    lower: tuple[Floats | None, ...]
    added: tuple[Floats | None, ...]
    flat: NDArray[np.bool_]

    def take(self, rows: Index) -> Slopes:
        """Some rows."""
        lower, added = (tuple(None if x is None else x[rows] for x in part) for part in (self.lower, self.added))
        return Slopes(lower, added, self.flat[rows])


@dataclass(frozen=True, eq=False)
class Objective:
    """``sum of coefficients . values + constant``: by node ``[R, n]``, and ``[R]``, in the arithmetic."""

    coefficients: Mapping[int, Array]
    constant: Array

    def take(self, rows: Index) -> Objective:
        """Some rows."""
        return Objective({node: c[rows] for node, c in self.coefficients.items()}, self.constant[rows])


class Evaluation:
    """A network in an arithmetic; ``look`` is called before every part of the work, and may raise; ``fractions`` makes the same in
    fractions, for what rounding leaves open."""

    def __init__(
        self,
        network: RealNetwork,
        numbers: Float64,
        look: Callable[[], None] = lambda: None,
        fractions: Callable[[], Evaluation] | None = None,
    ) -> None:
        self.network, self.numbers, self.look, self._fractions = network, numbers, look, fractions
        #: affine maps by their nodes
        self._maps = {i: n.operator for i, n in enumerate(network.nodes) if n.operator is not None}
        self.operands = network.operands
        #: which nodes have a bend before them
        self._curved: list[bool] = []
        for node in network.nodes:
            self._curved.append(any(self._curved[i] or bool(network.nodes[i].bend) for i in node.operands))
        self._bends = Bends(numbers)
        longest = [0.0]
        for node in network.nodes[1:]:
            own = 2 if node.operator is None else node.operator.terms
            longest.append(max(longest[i] for i in node.operands) + own + 2)
        users = max(np.bincount([i for n in network.nodes for i in n.operands], minlength=1))
        widest = max(node.size for node in network.nodes)
        # The longest chain of sums, in each of which values of several users may be added; the sum over the features of a
        # node; one for every node whose share is added; and those of single terms.
        terms = max(longest) + len(network.nodes) * float(users + 1) + widest + 64
        self.gamma = 0.0 if numbers.exact else gamma(terms)
        # With planes or pairs: sums over their features, and a share more at whatever is bent, from everything that is bent behind it.
        self._wider = 0.0 if numbers.exact else gamma(terms + widest + 2.0 * len(network.bends))

    @cached_property
    def _absolute(self) -> dict[int, Affine]:
        """The maps with the absolute values of their coefficients."""
        return {i: operator.absolute() for i, operator in self._maps.items()}

    @cached_property
    def exact(self) -> Evaluation | None:
        """In fractions, where these can tell more: of ReLUs alone, and not too many products."""
        products = sum(node.size * node.operator.terms for node in self.network.nodes if node.operator is not None)
        kinds = {self.network.nodes[i].bend for i in self.network.bends}
        if self._fractions is None or products > _PRODUCTS or kinds - {RELU}:
            return None
        try:
            return self._fractions()
        except InputError:  # of numbers that are none, as roots
            return None

    # Ranges.

    def root(self, lower: Floats, upper: Floats) -> Cells:
        """A box as one cell, ``[inputs]`` each, with the ranges of intervals."""
        endless = tuple(np.full((1, size), np.inf) for size in self.network.sizes)
        whole = Cells(lower[None], upper[None], tuple(-x for x in endless), endless, ())
        return self.derive(whole, INTERVALS)

    def derive(self, cells: Cells, rule: int, *, sized: bool = False) -> Cells:
        """The cells with the ranges that a rule leaves; with their sizes as they are where they are ``sized``."""
        if rule in (FORMS, BOTH):
            most = max(1, _FORMS // (self.network.inputs * sum(node.size for node in self.network.nodes)))
            few = (np.arange(at, min(at + most, len(cells))) for at in range(0, max(1, len(cells)), most))
            cells = Cells.join([self._forms(cells.take(some)) for some in few])
        low, high, none = list(cells.low), list(cells.high), np.zeros((1, 1))
        parts = [self._loaded(cells.lower, cells.upper)]
        # What no value exceeds in a cell none exceeds in its parts.
        sizes = list(cells.size) if sized else [_largest(cells.lower, cells.upper)]
        k = 0
        for i, node in enumerate(self.network.nodes[1:], 1):
            self.look()
            if node.operator is not None:
                if not sized:
                    sizes.append(self._size(i, [sizes[j] for j in node.operands]))
                parts.append(self._affine(i, [parts[j] for j in node.operands], sizes[i]))
                continue
            (operand,) = node.operands
            middle, _, reach = parts[operand]
            above, below = self.numbers.upper(middle + reach, none), -self.numbers.upper(reach - middle, none)
            if not self.numbers.exact:
                # What is known exactly is not rounded outward.
                above, below = (np.where(reach == 0, middle, end) for end in (above, below))
            high[k], low[k] = np.minimum(high[k], above), np.maximum(low[k], below)
            if rule in (CROWN, BOTH):
                known = replace(cells, low=tuple(low), high=tuple(high), size=tuple(sizes))
                low[k], high[k] = self._refined(known, k, operand)
            if not sized:
                sizes[operand] = np.maximum(sizes[operand], _largest(low[k], high[k]))
            parts.append(self._loaded(*self._image(k, node, low[k], high[k], sizes, sized=sized)))
            k += 1
        return replace(cells, low=tuple(low), high=tuple(high), size=cells.size if sized else tuple(sizes))

    def _image(
        self, k: int, node: Node, low: Floats, high: Floats, sizes: list[Floats], *, sized: bool
    ) -> tuple[Floats, Floats]:
        """What a bend's values stay between; their size goes into ``sizes`` where it is not known."""
        ends = np.maximum(low, 0.0), np.maximum(high, 0.0)
        if node.bend != RELU:
            ends = self._bends.image(k, node.bend, low, high)
        size = _largest(*ends)
        if not sized:
            # Bands of parts of a cell may reach a little beyond its own.
            sizes.append(size if node.bend in (RELU, PRODUCT) else 2 * size)
        elif not self.numbers.exact:
            size = sizes[self.network.bends[k]]
            ends = np.maximum(ends[0], -size), np.minimum(ends[1], size)
        return ends

    def opens(self, k: int, low: Floats, high: Floats) -> NDArray[np.bool_]:
        """Of which features of a bend it makes a difference that ranges are no smaller."""
        return (low < 0) & (high > 0) if self.network.nodes[self.network.bends[k]].bend == RELU else low < high

    def _loaded(self, lower: Floats, upper: Floats) -> Form:
        """Intervals as forms."""
        middle, reach = middle_of(lower, upper)
        return self.numbers.load(middle), None, self.numbers.load(reach)

    def _size(self, i: int, sizes: list[Floats]) -> Floats:
        """The size of an affine map's value."""
        if self.numbers.exact:
            return np.zeros((1, self.network.nodes[i].size))
        size = self._summed(i, sizes) * (1 + 4 * gamma(self._maps[i].terms + 16)) + TINY
        return np.where(size < LARGEST, size, np.inf)

    def _summed(self, i: int, sizes: list[Array]) -> Array:
        """The sizes of all terms of an affine map's value, given those of what it is a map of."""
        size, own = self._absolute[i].forward(*sizes), self._maps[i].offset_size
        return size if own is None else size + own

    def _affine(self, i: int, parts: list[Form], size: Floats | None = None) -> Form:
        """The form of an affine map's value; ``size`` is that of the value where it is known."""
        operator, (centers, slopes, radii) = self._maps[i], tuple(zip(*parts, strict=True))
        center, radius, slope = operator.forward(*centers), self._absolute[i].forward(*radii), None
        center = center if operator.offset is None else center + operator.offset
        if slopes[0] is not None:
            cells, inputs = slopes[0].shape[:2]
            slope = operator.forward(*(s.reshape(cells * inputs, -1) for s in slopes)).reshape(cells, inputs, -1)
        if not self.numbers.exact:
            size = self._summed(i, [abs(c) + self._reach(s, r) for c, s, r in parts]) if size is None else size
            if slope is not None or any(r.any() for r in radii) or not self._is_exact(i, centers, size):
                radius = radius + (4 * gamma(operator.terms + 16) * size + TINY)
        return center, slope, radius

    def _is_exact(self, i: int, values: Sequence[Floats], size: Floats) -> bool:
        """Whether nothing is rounded in an affine map's value: all that is added up is of whole units, and less than ``2^53`` of them."""
        operator = self._maps[i]
        factor = 0 if operator.coefficients is None else min(0, unit_of(operator.coefficients))
        unit = factor + min(map(unit_of, values))
        unit = unit if operator.offset is None else min(unit, unit_of(operator.offset))
        return operator.stated and unit > -500 and bool((size < math.ldexp(1.0, min(unit, 500) + 53)).all())

    def _refined(self, cells: Cells, k: int, operand: int) -> tuple[Floats, Floats]:
        """The ranges of one ReLU with both ends of those that hold 0 bounded by CROWN."""
        low, high = cells.low[k].copy(), cells.high[k].copy()
        if not self._curved[operand]:
            return low, high
        # First the end that is nearer to 0: where that gives the sign away the other one is of no use.
        for upper in (~leans(low, high), leans(low, high)):
            cell, feature = self.opens(k, low, high).nonzero()
            up = upper[cell, feature]
            value = self.ends(cells, operand, cell, feature, np.where(up, 1.0, -1.0))
            high[cell[up], feature[up]] = np.minimum(high[cell[up], feature[up]], value[up])
            down = ~up
            low[cell[down], feature[down]] = np.maximum(low[cell[down], feature[down]], -value[down])
        return low, high

    def ends(self, cells: Cells, node: int, cell: Index, feature: Index, sign: Floats) -> Floats:
        """Upper bounds by CROWN of ``sign`` times features of a node, one for each cell and feature given: ``[R]``."""
        found = np.full(len(cell), np.inf)
        for rows in self.portions(len(cell)):
            c = np.zeros((len(rows), self.network.nodes[node].size))
            c[np.arange(len(rows)), feature[rows]] = sign[rows]
            objective = Objective({node: self.numbers.load(c)}, self.numbers.load(np.zeros(len(rows))))
            found[rows] = self.numbers.upper(*self.bound(cells, cell[rows], objective))
        return found

    def portions(self, rows: int) -> list[Index]:
        """So many rows in parts that are worked on at once."""
        at_once = _AT_ONCE_EXACTLY if self.numbers.exact else _AT_ONCE
        most = max(1, at_once // max(node.size for node in self.network.nodes))
        return [np.arange(at, min(at + most, rows)) for at in range(0, rows, most)]

    def _forms(self, cells: Cells) -> Cells:
        """Ranges of ``center + slopes . t +- radius``, ``t`` in ``[-1, 1]^inputs``, carried forward."""
        numbers, inputs = self.numbers, self.network.inputs
        low, high = list(cells.low), list(cells.high)
        middle, reach = middle_of(cells.lower, cells.upper)
        slopes = np.zeros((len(cells), inputs, inputs))
        slopes[:, np.arange(inputs), np.arange(inputs)] = reach
        forms: list[Form] = [(numbers.load(middle), numbers.load(slopes), numbers.load(np.zeros_like(middle)))]
        none, unit = np.zeros(1), 0 if numbers.exact else 2.0**-50
        k = 0
        for i, node in enumerate(self.network.nodes[1:], 1):
            self.look()
            if node.operator is not None:
                forms.append(self._affine(i, [forms[j] for j in node.operands]))
                continue
            center, slope, radius = forms[node.operands[0]]
            width = self._reach(slope, radius)
            slack = abs(center) * unit
            high[k] = np.minimum(high[k], numbers.upper(center + width + slack, none))
            low[k] = np.maximum(low[k], -numbers.upper(width + slack - center, none))
            t, least, most = self._line(k, node, low[k], high[k])
            middle = least / 2 + most / 2
            half = np.where(least == 0, middle, np.nextafter(np.maximum(most - middle, middle - least), np.inf))
            factor, middle, half = numbers.load(t), numbers.load(middle), numbers.load(half)
            extra = 16 * unit * (_folded(abs(factor) * (abs(center) + width), node.size) + half + abs(middle)) + TINY
            extra = np.where(least < most, extra, 0 * half) if unit else 0 * half
            radius = _folded(abs(factor) * radius, node.size) + half + extra
            center = _folded(factor * center, node.size) + middle
            forms.append((center, None if slope is None else _folded(slope * factor[:, None], node.size), radius))
            k += 1
        return replace(cells, low=tuple(low), high=tuple(high))

    def _line(self, k: int, node: Node, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Slopes of a line, and what a bend's value less that stays between."""
        if node.bend != RELU:
            return self._bends.line(k, node.bend, low, high)
        # max(a, 0) - t a is from 0 to the larger of its ends.
        is_open = (low < 0) & (high > 0)
        safe = np.where(is_open, high - low, 1.0)
        t = np.where(is_open, np.maximum(high, 0.0) / safe, (low >= 0) * 1.0)
        t = np.clip(np.nan_to_num(t), 0.0, 1.0)
        rise = np.where(is_open, np.maximum(-t * low, (1 - t) * high) * (1 + 2.0**-50) + TINY, 0.0)
        return t, 0.0 * rise, rise

    def _reach(self, slopes: Array | None, radius: Array) -> Array:
        total: Array = radius if slopes is None else abs(slopes).sum(1) + radius
        return total if self.numbers.exact or slopes is None else total * (1 + gamma(slopes.shape[1] + 8)) + TINY

    # The bound.

    def refutations(
        self, cells: Cells, cell: Index, objective: Objective, slopes: Slopes | None = None, beside: Above = NONE
    ) -> Floats:
        """Upper bounds of objectives, one for each row, on the cells given for them, ``[R]``; what is ``beside`` single features holds on all of these."""
        found = np.full(len(cell), np.inf)
        for rows in self.portions(len(cell)):
            part = None if slopes is None else slopes.take(rows)
            found[rows] = self.numbers.upper(*self.bound(cells, cell[rows], objective.take(rows), part, beside))
        return found

    def bound(
        self, cells: Cells, cell: Index, objective: Objective, slopes: Slopes | None = None, beside: Above = NONE
    ) -> tuple[Array, Floats]:
        """Values of the bound and what rounding may have taken from them (0 where nothing is rounded): ``[R]`` each."""
        network, numbers = self.network, self.numbers
        pending: dict[int, Array] = {}
        value = objective.constant
        weighed = np.zeros(len(cell))

        def hand(node: int, v: Array) -> None:
            pending[node] = pending[node] + v if node in pending else v

        k = len(network.bends)
        for i, node in reversed(list(enumerate(network.nodes))):
            self.look()
            if i in objective.coefficients:
                weighed += self._weigh(cells, i, objective.coefficients[i])
                hand(i, objective.coefficients[i])
            v = pending.pop(i, None)
            if v is not None and not numbers.exact and not np.isfinite(cells.size[i]).all():
                weighed = weighed + np.inf  # by what is so large underflow may be multiplied
            if node.bend:
                k -= 1
                added = None if slopes is None else slopes.added[k]
                if v is None and added is None and k not in beside:
                    continue
                v = numbers.load(np.zeros((len(cell), node.size))) if v is None else v
                given = None if slopes is None else slopes.lower[k]
                flat = None if slopes is None or not slopes.flat.any() else slopes.flat
                if node.bend == RELU:
                    ranges, said = Ranges.taken(cells.low[k], cells.high[k], cell), (given, added, flat)
                    if k in beside:
                        s, share, weight, parts = beside[k].handed(numbers, v, ranges, said, partial(self._relu, k))
                        weighed = weighed + weight
                        for before, part in parts:
                            hand(before, part)
                    else:
                        s, share = self._relu(k, v, ranges, *said)
                else:
                    s, share = self._bent(k, i, v, cells, cell, (given, added, flat))
                value = value + share
                weighed += self._weigh(cells, node.operands[0], s)
                hand(node.operands[0], s)
            elif v is None:
                continue
            elif node.operator is None:
                value = value + self._box(v, *(x if len(x) == 1 else x[cell] for x in (cells.lower, cells.upper)))
            else:
                offset = node.operator.offset
                value = value if offset is None else value + v @ offset
                for operand, part in zip(node.operands, node.operator.adjoint(v), strict=True):
                    hand(operand, part)
        return value, self._error(weighed, objective.constant, self._wider if beside else self.gamma)

    def _bent(self, k: int, i: int, v: Array, cells: Cells, cell: Index, said: Said) -> tuple[Array, Array]:
        """The same as :meth:`_relu` of other bends, node ``i``."""
        bend, (low, high), lines = self.network.nodes[i].bend, (cells.low[k], cells.high[k]), None
        if bend != PRODUCT:
            lines = self._bends.lines(k, bend, low, high)
        # Of rows that are one for each cell, or all of one cell, the ranges are those of the cells.
        if len(low) > 1 and not np.array_equal(cell, np.arange(len(low))):
            low, high, lines = low[cell], high[cell], None if lines is None else lines.take(cell)
        s, share = self._bends.bound(bend, v, (low, high), lines, said)
        if lines is not None and not self.numbers.exact:
            # Of what is larger than the size of values the error term says nothing.
            share = np.where((np.maximum(-lines.least, lines.most) <= cells.size[i]).all(1), share, np.inf)
        return s, share

    def _relu(self, _: int, v: Array, ranges: Ranges, *said: Any) -> tuple[Array, Array]:
        """What a ReLU, of which the number is given, hands on, and its share in the bound."""
        return rectified(self.numbers, v, ranges, *said)

    def _box(self, v: Array, lower: Floats, upper: Floats) -> Array:
        """``max v . x`` over boxes."""
        if self.numbers.exact:
            best: Array = self.numbers.maximum(v * self.numbers.load(lower), v * self.numbers.load(upper)).sum(1)
            return best
        middle, reach = middle_of(lower, upper)
        if len(middle) == 1:
            return np.asarray(v @ middle[0] + abs(v) @ reach[0])
        return np.asarray((v * middle).sum(1) + (abs(v) * reach).sum(1))

    def _weigh(self, cells: Cells, node: int, source: Array) -> Floats:
        """``|source| . size`` for each row; 0 where nothing is rounded."""
        return np.zeros(len(source)) if self.numbers.exact else np.asarray(abs(source) @ cells.size[node][0])

    def _error(self, weighed: Floats, constant: Array, unit: float) -> Floats:
        if self.numbers.exact:
            return weighed
        error = unit * (10 * weighed + 2 * abs(constant)) * (1 + 2.0**-20) + TINY
        # Beyond that underflow is not accounted for; what is not a number compares as false.
        return np.where(weighed < LARGEST, error, np.inf)


def _folded(values: Array, size: int) -> Array:
    """The halves of the last axis added up where there are two."""
    return values if values.shape[-1] == size else values[..., :size] + values[..., size:]


def _largest(lower: Floats, upper: Floats) -> Floats:
    """A little more than the absolute values in intervals ``[C, n]``, all cells together, ``[1, n]``; nothing below 2^-500."""
    largest: Floats = np.maximum(abs(lower), abs(upper)).max(0, keepdims=True)
    return np.where(largest < LARGEST, np.maximum(largest, TINY) * (1 + 2.0**-40), np.inf)
