"""The bound, its error term, and the rules that make ranges: docs/certificates.md, *Networks over the real numbers*.

A *cell* is a set of inputs: those of a box at which the operand of every ReLU lies in its range. Ranges are float64 numbers,
rounded outward, and are only ever made smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.nodes import RealNetwork
from netproof.certificate.checker.real.numbers import LARGEST, TINY, Float64, gamma
from netproof.certificate.checker.real.operators import Affine, Array
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

#: numbers of an array that is worked on at once, few enough for a processor's cache, and of the linear forms of cells
_AT_ONCE, _FORMS = 1 << 16, 1 << 26
#: the same of an exact arithmetic, in which each of them takes long
_AT_ONCE_EXACTLY = 1 << 10


@dataclass(frozen=True, eq=False)
class Cells:
    """``C`` cells.

    Attributes
    ----------
    lower, upper : ``[C, inputs]``, the boxes
    low, high : ``[C, n]`` for every ReLU, the ranges of its operand
    size : ``[C, n]`` for every node, or ``[1, n]`` where one serves all: what no value there exceeds, and no partial sum of it
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
        # One that serves all goes on doing so.
        size = tuple(s if len(s) == 1 else s[rows] for s in self.size)
        size = self.size if all(len(s) == 1 for s in self.size) else size
        return Cells(
            self.lower[rows],
            self.upper[rows],
            tuple(x[rows] for x in self.low),
            tuple(x[rows] for x in self.high),
            size,
        )

    @staticmethod
    def join(parts: Sequence[Cells]) -> Cells:
        """All cells of several."""

        def sizes(part: Cells, i: int) -> Floats:
            return np.broadcast_to(part.size[i], (len(part), part.size[i].shape[1]))

        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        if all(part.size is first.size for part in parts) and all(len(one) == 1 for one in first.size):
            size = first.size
        else:
            size = tuple(np.concatenate([sizes(part, i) for part in parts]) for i in range(len(first.size)))
        return Cells(
            np.concatenate([part.lower for part in parts]),
            np.concatenate([part.upper for part in parts]),
            tuple(np.concatenate(one) for one in zip(*(part.low for part in parts), strict=True)),
            tuple(np.concatenate(one) for one in zip(*(part.high for part in parts), strict=True)),
            size,
        )

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
    """A network in an arithmetic."""

    def __init__(self, network: RealNetwork, numbers: Float64) -> None:
        self.network, self.numbers = network, numbers
        #: called before every part of the work, and may raise
        self.look: Callable[[], None] = lambda: None
        self._absolute = [None if n.operator is None else n.operator.absolute() for n in network.nodes]
        self.operands = network.operands
        #: which nodes have a ReLU before them
        self._curved: list[bool] = []
        for node in network.nodes:
            self._curved.append(any(self._curved[i] or network.nodes[i].is_relu for i in node.operands))
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
            few = (np.arange(at, min(at + most, len(cells))) for at in range(0, len(cells), most))
            cells = (
                Cells.join([self._forms(cells.take(some)) for some in few]) if len(cells) > most else self._forms(cells)
            )
        low, high = list(cells.low), list(cells.high)
        middle, reach = _middle(cells.lower, cells.upper)
        middles, reaches = [self.numbers.load(middle)], [self.numbers.load(reach)]
        # What no value exceeds in a cell none exceeds in its parts.
        sizes = list(cells.size) if sized else [_largest(cells.lower, cells.upper)]
        k = 0
        for i, (node, absolute) in enumerate(zip(self.network.nodes, self._absolute, strict=True)):
            self.look()
            if node.operator is not None and absolute is not None:
                if not sized:
                    sizes.append(self._size(node.operator, absolute, [sizes[j] for j in node.operands]))
                those, around = ([one[j] for j in node.operands] for one in (middles, reaches))
                value, radius = self._affine(node.operator, absolute, those, around, sizes[i])
                middles.append(value)
                reaches.append(radius)
            if node.operator is not None or not i:
                continue
            (operand,) = node.operands
            middle, reach = middles[operand], reaches[operand]
            none = np.zeros(middle.shape)
            high[k] = np.minimum(high[k], self.numbers.upper(middle + reach, none))
            low[k] = np.maximum(low[k], -self.numbers.upper(reach - middle, none))
            if rule in (CROWN, BOTH):
                known = replace(cells, low=tuple(low), high=tuple(high), size=tuple(sizes))
                low[k], high[k] = self._refined(known, k, operand)
            ends = np.maximum(low[k], 0.0), np.maximum(high[k], 0.0)
            middle, reach = _middle(*ends)
            middles.append(self.numbers.load(middle))
            reaches.append(self.numbers.load(reach))
            if not sized:
                sizes[operand] = np.maximum(sizes[operand], _largest(low[k], high[k]))
                sizes.append(_largest(*ends))
            k += 1
        size = cells.size if sized else tuple(sizes)
        return replace(cells, low=tuple(low), high=tuple(high), size=size)

    def _size(self, operator: Affine, absolute: Affine, sizes: list[Floats]) -> Floats:
        """The size of an affine map's value."""
        if self.numbers.exact:
            return np.zeros((1, operator.size))
        size, own = absolute.forward(*sizes), operator.offset_size
        size = (size if own is None else size + own) * (1 + 4 * gamma(operator.terms + 16)) + TINY
        return np.where(size < LARGEST, size, np.inf)

    def _affine(
        self, operator: Affine, absolute: Affine, middles: list[Array], reaches: list[Array], size: Floats
    ) -> tuple[Array, Array]:
        """Middle and reach of an affine map's value of a size."""
        value, reach = operator.forward(*middles), absolute.forward(*reaches)
        value = value if operator.offset is None else value + operator.offset
        error = 0 if self.numbers.exact else 4 * gamma(operator.terms + 16) * size + TINY
        return value, reach + error

    def _refined(self, cells: Cells, k: int, operand: int) -> tuple[Floats, Floats]:
        """The ranges of one ReLU with both ends of those that hold 0 bounded by CROWN."""
        low, high = cells.low[k].copy(), cells.high[k].copy()
        if not self._curved[operand]:
            return low, high
        # First the end that is nearer to 0: where that gives the sign away the other one is of no use.
        for upper in (low + high <= 0, low + high > 0):
            cell, feature = ((low < 0) & (high > 0)).nonzero()
            up = upper[cell, feature]
            value = self.ends(cells, operand, cell, feature, np.where(up, 1.0, -1.0))
            high[cell[up], feature[up]] = np.minimum(high[cell[up], feature[up]], value[up])
            down = ~up
            low[cell[down], feature[down]] = np.maximum(low[cell[down], feature[down]], -value[down])
        return low, high

    def ends(self, cells: Cells, node: int, cell: Index, feature: Index, sign: Floats) -> Floats:
        """Upper bounds by CROWN of ``sign`` times features of a node, one for each cell and feature given: ``[R]``."""
        found = np.full(len(cell), np.inf)
        for rows in self._portions(len(cell)):
            c = np.zeros((len(rows), self.network.nodes[node].size))
            c[np.arange(len(rows)), feature[rows]] = sign[rows]
            objective = Objective({node: self.numbers.load(c)}, self.numbers.load(np.zeros(len(rows))))
            found[rows] = self.numbers.upper(*self.bound(cells, cell[rows], objective))
        return found

    def _portions(self, rows: int) -> list[Index]:
        at_once = _AT_ONCE_EXACTLY if self.numbers.exact else _AT_ONCE
        most = max(1, at_once // max(node.size for node in self.network.nodes))
        return [np.arange(at, min(at + most, rows)) for at in range(0, rows, most)]

    def _forms(self, cells: Cells) -> Cells:
        """Ranges of ``center + slopes . t +- radius``, ``t`` in ``[-1, 1]^inputs``, carried forward."""
        numbers, inputs = self.numbers, self.network.inputs
        low, high = list(cells.low), list(cells.high)
        middle, reach = _middle(cells.lower, cells.upper)
        slopes = np.zeros((len(cells), inputs, inputs))
        slopes[:, np.arange(inputs), np.arange(inputs)] = reach
        forms = [(numbers.load(middle), numbers.load(slopes), numbers.load(np.zeros_like(middle)))]
        none, unit = np.zeros(1), 0 if numbers.exact else 2.0**-50
        k = 0
        for node, absolute in zip(self.network.nodes[1:], self._absolute[1:], strict=True):
            self.look()
            if node.operator is not None and absolute is not None:
                forms.append(self._affine_form(node.operator, absolute, [forms[i] for i in node.operands]))
                continue
            center, slope, radius = forms[node.operands[0]]
            width = self._reach(slope, radius)
            slack = abs(center) * unit
            high[k] = np.minimum(high[k], numbers.upper(center + width + slack, none))
            low[k] = np.maximum(low[k], -numbers.upper(width + slack - center, none))
            # Between lines of the slope t: max(a, 0) - t a is from 0 to the larger of its ends.
            is_open = (low[k] < 0) & (high[k] > 0)
            safe = np.where(is_open, high[k] - low[k], 1.0)
            t = np.where(is_open, np.maximum(high[k], 0.0) / safe, (low[k] >= 0) * 1.0)
            t = np.clip(np.nan_to_num(t), 0.0, 1.0)
            rise = np.where(is_open, np.maximum(-t * low[k], (1 - t) * high[k]) * (1 + 2.0**-50) + TINY, 0.0)
            half, factor = numbers.load(rise / 2), numbers.load(t)
            extra = 16 * unit * (factor * (abs(center) + width) + half) + TINY if unit else 0 * half
            radius = factor * radius + half + np.where(is_open, extra, 0 * half)
            forms.append((factor * center + half, slope * factor[:, None], radius))
            k += 1
        return replace(cells, low=tuple(low), high=tuple(high))

    def _affine_form(
        self, operator: Affine, absolute: Affine, parts: list[tuple[Array, Array, Array]]
    ) -> tuple[Array, Array, Array]:
        centers, slopes, radii = ([part[i] for part in parts] for i in range(3))
        cells, inputs = slopes[0].shape[:2]
        center = operator.forward(*centers)
        offset, own = operator.offset, operator.offset_size
        center = center if offset is None else center + offset
        slope = operator.forward(*(s.reshape(cells * inputs, -1) for s in slopes)).reshape(cells, inputs, -1)
        radius = absolute.forward(*radii)
        if not self.numbers.exact:
            size = absolute.forward(*(abs(c) + self._reach(s, r) for c, s, r in parts))
            size = size if own is None else size + own
            radius = radius + (4 * gamma(operator.terms + 16) * size + TINY)
        return center, slope, radius

    def _reach(self, slopes: Array, radius: Array) -> Array:
        total: Array = abs(slopes).sum(1) + radius
        return total if self.numbers.exact else total * (1 + gamma(slopes.shape[1] + 8)) + TINY

    # The bound.

    def refutations(self, cells: Cells, cell: Index, objective: Objective, slopes: Slopes | None = None) -> Floats:
        """Upper bounds of objectives, one for each row, on the cells given for them: ``[R]``."""
        found = np.full(len(cell), np.inf)
        for rows in self._portions(len(cell)):
            part = None if slopes is None else slopes.take(rows)
            found[rows] = self.numbers.upper(*self.bound(cells, cell[rows], objective.take(rows), part))
        return found

    def bound(
        self, cells: Cells, cell: Index, objective: Objective, slopes: Slopes | None = None
    ) -> tuple[Array, Floats]:
        """Values of the bound and what rounding may have taken from them (0 where nothing is rounded): ``[R]`` each."""
        network, numbers = self.network, self.numbers
        pending: dict[int, Array] = {}
        value = objective.constant
        weighed = np.zeros(len(cell))

        def hand(node: int, v: Array) -> None:
            pending[node] = pending[node] + v if node in pending else v

        k = len(network.relus)
        for i in range(len(network.nodes) - 1, 0, -1):
            self.look()
            node = network.nodes[i]
            if i in objective.coefficients:
                weighed += self._weigh(cells, cell, i, objective.coefficients[i])
                hand(i, objective.coefficients[i])
            if node.operator is None:
                k -= 1
                v, added = pending.pop(i, None), None if slopes is None else slopes.added[k]
                if v is None and added is None:
                    continue
                v = numbers.load(np.zeros((len(cell), node.size))) if v is None else v
                given = None if slopes is None else slopes.lower[k]
                ends = [x if len(x) == 1 else x[cell] for x in (cells.low[k], cells.high[k])]
                flat = None if slopes is None or not slopes.flat.any() else slopes.flat
                s, share = self._relu(k, v, ends, given, added, flat)
                value = value + share
                weighed += self._weigh(cells, cell, node.operands[0], s)
                hand(node.operands[0], s)
            elif i in pending:
                v, offset = pending.pop(i), node.operator.offset
                if offset is not None:
                    value = value + v @ offset
                for operand, part in zip(node.operands, node.operator.adjoint(v), strict=True):
                    hand(operand, part)
        if 0 in objective.coefficients:
            weighed += self._weigh(cells, cell, 0, objective.coefficients[0])
            hand(0, objective.coefficients[0])
        if 0 in pending:
            value = value + self._box(pending[0], *(x if len(x) == 1 else x[cell] for x in (cells.lower, cells.upper)))
        return value, self._error(weighed, objective.constant)

    def _relu(
        self,
        k: int,
        v: Array,
        ends: Sequence[Floats],
        given: Floats | None,
        added: Floats | None,
        flat: NDArray[np.bool_] | None,
    ) -> tuple[Array, Array]:
        """Multipliers ``[R, n]`` and the sum over features of ``max { v max(a, 0) - s a : a in the range }``, ``[R]``."""
        del k
        numbers, (low, high) = self.numbers, ends
        is_open = (low < 0) & (high > 0)
        near = numbers.near(v)
        # Where the function is one line and nothing is added the multiplier is the line's, and the maximum 0.
        plain = not numbers.exact and flat is None and added is None
        columns = np.flatnonzero(is_open.any(0)) if plain else np.arange(v.shape[1])
        s = None
        if 2 * len(columns) < v.shape[1]:
            s = np.where(low >= 0, near, 0.0)
            low, high, is_open = low[:, columns], high[:, columns], is_open[:, columns]
            v, near, given = v[:, columns], near[:, columns], None if given is None else given[:, columns]
        # With ends of 0 in the place of those beyond it: the lines of all three kinds of features at once.
        first, last = np.minimum(low, 0.0), np.maximum(high, 0.0)
        chord = last / (last - first + TINY)
        below = (low + high > 0) * 1.0
        if given is not None:
            below = np.where(is_open & ~np.isnan(given), given, below)
        rising = np.maximum(near, 0.0)
        part = chord * rising + below * (near - rising)
        if plain:
            best = np.maximum(np.maximum(-part * first, (v - part) * last), 0.0).sum(1)
            if s is None:
                return part, best
            s[:, columns] = part
            return s, best
        if flat is not None:
            part = np.where(flat[:, None], 0.0, part)
        if added is not None:
            part = part + added
        taken, best = numbers.load(part), None
        for corner in (low, high, np.minimum(np.maximum(low, 0.0), high)):
            a, h = numbers.load(corner), numbers.load(np.maximum(corner, 0.0))
            here = v * h - taken * a
            best = here if best is None else numbers.maximum(best, here)
        assert best is not None
        return taken, best.sum(1)

    def _box(self, v: Array, lower: Floats, upper: Floats) -> Array:
        """``max v . x`` over boxes."""
        best: Array
        if self.numbers.exact:
            best = self.numbers.maximum(v * self.numbers.load(lower), v * self.numbers.load(upper)).sum(1)
            return best
        middle, reach = _middle(lower, upper)
        if len(middle) > 1:
            best = (v * middle).sum(1) + (abs(v) * reach).sum(1)
            return best
        best = v @ middle[0] + abs(v) @ reach[0]
        return best

    def _weigh(self, cells: Cells, cell: Index, node: int, source: Array) -> Floats:
        """``|source| . size`` for each row; 0 where nothing is rounded."""
        if self.numbers.exact:
            return np.zeros(len(cell))
        size = cells.size[node]
        if len(size) == 1:
            return np.asarray(abs(source) @ size[0])
        return np.asarray((abs(source) * size[cell]).sum(1))

    def _error(self, weighed: Floats, constant: Array) -> Floats:
        if self.numbers.exact:
            return weighed
        error = self.gamma * (10 * weighed + 2 * abs(constant)) * (1 + 2.0**-20) + TINY
        # Beyond that underflow is not accounted for; what is not a number compares as false.
        return np.where(weighed < LARGEST, error, np.inf)


def _middle(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Middles, and reaches such that ``middle +- reach`` holds the interval."""
    middle = lower / 2 + upper / 2
    reach = np.maximum(upper - middle, middle - lower)
    return middle, np.maximum(np.nextafter(reach, math.inf), 0.0)


def _largest(lower: Floats, upper: Floats) -> Floats:
    """A little more than the absolute values in intervals; nothing below 2^-500."""
    largest: Floats = np.maximum(np.maximum(abs(lower), abs(upper)), TINY) * (1 + 2.0**-40)
    return largest
