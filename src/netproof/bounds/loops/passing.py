"""Bounds of parts by signs and their derivatives, in two passes through the graph: back with coefficients, and forth with values.

A bound is a maximum over inputs and pieces. Its derivative by what arrives at a node is the value that the node has where that maximum is
attained, if activations are replaced by the lines that were taken: so one pass forth gives the derivatives by all multipliers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, bound_in_stages, box_maximum
from netproof.bounds.joint.pairs import Pairs
from netproof.bounds.loops.compiled import SignLoops
from netproof.bounds.loops.kernels import Block, Joined, Lines, Rows
from netproof.bounds.loops.point import SignPoint
from netproof.bounds.objective import Objective
from netproof.bounds.region import halves
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import PAIR
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from jaxtyping import Float, Int8, Int64


#: rows that pairs are bounded for side by side
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Pieces:
    """The unstable features of a region of one row, float32 on the CPU (:class:`netproof.bounds.multipliers.signs.SignDual`).

    Attributes
    ----------
    relaxation, maximum, pairs : of the dual
    index : per activation the unstable features
    closed : per activation the slopes of stable features, 0 at unstable ones
    slopes : left and right slopes, ``[m]`` each
    chords : slopes and values at 0 of the lines above, ``[m]`` each
    """

    relaxation: Relaxation
    maximum: Maximum
    pairs: Mapping[int, Pairs]
    index: tuple[Int64[Tensor, " _"], ...]
    closed: tuple[Float[Tensor, " _"], ...]
    slopes: tuple[Float[Tensor, " m"], Float[Tensor, " m"]]
    chords: tuple[Float[Tensor, " m"], Float[Tensor, " m"]]


class Passing:
    """Bounds by compiled loops.

    Parameters
    ----------
    pieces : what is bounded over
    loops : by :func:`netproof.bounds.loops.compiled.sign_loops`
    """

    def __init__(self, pieces: Pieces, loops: SignLoops) -> None:
        self._pieces, self._loops = pieces, loops
        ends = list(itertools.accumulate(map(len, pieces.index), initial=0))
        self._lines: list[Lines] = []
        self._joined: dict[int, Joined] = {}
        for k, (first, last) in enumerate(itertools.pairwise(ends)):
            left, right, chord, offset = (_array(part[first:last]) for part in (*pieces.slopes, *pieces.chords))
            paired = np.zeros(last - first, dtype=np.bool_)
            if k in pieces.pairs:
                pairs = pieces.pairs[k]
                paired[pairs.members.numpy()] = True
                quadrant = _array(pairs.corners.sign().to(torch.int8).transpose(1, 2))
                self._joined[k] = Joined(_array(pairs.members), _array(pairs.table), quadrant, PAIR.smoothed)
            which, closed = _array(pieces.index[k]), _array(pieces.closed[k])
            self._lines.append(Lines(which, closed, left, right, chord, offset, paired, first))

    def bound(
        self,
        objective: Objective,
        side: Int8[Tensor, "#B m"],
        alpha: Float[Tensor, "#B m"],
        beta: Float[Tensor, "#B m"],
        stages: dict[int, Objective] | None = None,
    ) -> SignPoint:
        """Bound objectives on parts of the region, as :meth:`netproof.bounds.multipliers.signs.SignDual.bound` does."""
        graph, count = self._pieces.relaxation.graph, max(len(objective), len(side), len(alpha), len(beta))
        arrived, handed = torch.zeros(2, count, side.shape[1], dtype=torch.float32).unbind(0)
        rows = _rows(count, (side, alpha, beta, arrived, handed))

        def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor | None]:
            if not len(self._lines[k].which):
                return v * self._pieces.closed[k], None
            value, s = np.zeros(count), torch.empty(count, v.shape[1], dtype=torch.float32)
            self._loops.hand_on(_array(v.expand(count, -1)), rows, self._lines[k], s.numpy(), value)
            if k in self._joined:
                self._loops.join(rows, self._lines[k], self._joined[k], value, _block(self._joined[k]))
            return s, torch.from_numpy(value.astype(np.float32))

        lines, found = bound_in_stages(self._pieces.relaxation, objective, activate, self._pieces.maximum)
        if stages is not None:
            stages.update(found)
        coefficients = lines.coefficients.expand(count, graph.input.size)
        return SignPoint(lines.value.expand(count), arrived, coefficients, handed)

    def gradient(
        self, point: SignPoint, side: Int8[Tensor, "B m"], alpha: Float[Tensor, "B m"], beta: Float[Tensor, "B m"]
    ) -> tuple[Float[Tensor, "B m"], Float[Tensor, "B m"]]:
        """Derivatives of bounds by ``alpha`` and ``beta``, by which they were found; all of them have rows of their own."""
        assert point.handed is not None
        pieces, count = self._pieces, len(side)
        graph, region = pieces.relaxation.graph, pieces.relaxation.region
        rows = _rows(count, (side, alpha, beta, point.v, point.handed))
        found = torch.zeros(2, *side.shape, dtype=torch.float32)
        if pieces.maximum is box_maximum:
            # Where a coefficient is 0 the derivative is that of tensors, by the centre, and not by a corner.
            center, radius = halves(region.lower, region.upper)
            x = torch.addcmul(center, point.input_coefficients.sign(), radius)
        else:
            x = pieces.maximum.at(point.input_coefficients, region)
        values, k = [x.expand(count, -1)], 0
        for node in graph.nodes[1 : graph.activations[-1] + 1]:
            operands = [values[i] for i in node.operands]
            if isinstance(node.operator, Affine):
                values.append(node.operator.forward(*operands))
            else:
                values.append(self._handed_back(k, operands[0], rows, found))
                k += 1
        return found[0], found[1]

    def _handed_back(self, k: int, z: Tensor, rows: Rows, found: Tensor) -> Tensor:
        lines = self._lines[k]
        if not len(lines.which):
            return z * self._pieces.closed[k]
        image = torch.empty(z.shape, dtype=torch.float32)
        passed = np.zeros((len(z), len(lines.which), 2) if k in self._joined else (0, 0, 2), dtype=np.float32)
        if k in self._joined:
            self._loops.join_back(rows, lines, self._joined[k], passed, _block(self._joined[k]))
        self._loops.hand_back(_array(z), rows, lines, passed, image.numpy(), (found[0].numpy(), found[1].numpy()))
        return image


def _rows(count: int, parts: tuple[Tensor, ...]) -> Rows:
    return Rows(*(_array(part.detach().expand(count, -1)) for part in parts))


def _block(joined: Joined) -> Block:
    whole = np.empty(_AT_ONCE, dtype=np.int32)
    v, w, s, t, best, total, unit = (np.empty(_AT_ONCE, dtype=np.float32) for _ in range(7))
    values = np.empty((joined.table.shape[2], _AT_ONCE), dtype=np.float32)
    held = np.empty(_AT_ONCE, dtype=np.int8)
    return Block(v, w, s, t, values, best, total, unit, held, whole, whole.view(np.float32))


def _array(values: Tensor) -> Any:
    """The tensor's own memory, where its numbers lie in a row."""
    return values.contiguous().numpy()
