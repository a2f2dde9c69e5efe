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

from netproof.bounds.backward import Beside, Maximum, bound_in_stages, box_maximum
from netproof.bounds.joint.pairs import Pairs
from netproof.bounds.loops.compiled import SignLoops
from netproof.bounds.loops.kernels import Block, Joined, Lines, Rows
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


@dataclass(frozen=True, eq=False)
class Passed:
    """A bound, and what its derivatives are found by.

    Attributes
    ----------
    value : ``[B]``
    arrived : ``[B, m]``, what arrived at unstable features
    coefficients : ``[B, n]``, the form in the input
    stages : what is still to be bounded before every activation
    """

    value: Float[Tensor, " B"]
    arrived: Float[Tensor, "B m"]
    coefficients: Float[Tensor, "#B n"]
    stages: dict[int, Objective]
    rows: Rows
    reached: frozenset[int]


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
        self._lines, self._joined = [], {}
        for k, (first, last) in enumerate(itertools.pairwise(ends)):
            parts = (part[first:last].contiguous().numpy() for part in (*pieces.slopes, *pieces.chords))
            paired = np.zeros(last - first, dtype=np.bool_)
            if k in pieces.pairs:
                pairs = pieces.pairs[k]
                paired[pairs.members.numpy()] = True
                quadrant = pairs.corners.sign().to(torch.int8).transpose(1, 2).contiguous().numpy()
                self._joined[k] = Joined(pairs.members.numpy(), pairs.table.numpy(), quadrant, PAIR.smoothed)
            self._lines.append(Lines(pieces.index[k].numpy(), pieces.closed[k].numpy(), *parts, paired, first))

    def bound(
        self,
        objective: Objective,
        side: Int8[Tensor, "#B m"],
        alpha: Float[Tensor, "#B m"],
        beta: Float[Tensor, "#B m"],
    ) -> Passed:
        """Bound objectives on parts of the region, as :meth:`netproof.bounds.multipliers.signs.SignDual.bound` does."""
        graph, count = self._pieces.relaxation.graph, max(len(objective), len(side), len(alpha), len(beta))
        given = (_array(part.expand(count, -1)) for part in (side, alpha.detach(), beta.detach()))
        arrived, handed = np.zeros((2, count, side.shape[1]), dtype=np.float32)
        rows, reached = Rows(*given, arrived, handed), set[int]()

        def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor | Beside | None]:
            reached.add(k)
            if not len(self._lines[k].which):
                return v * self._pieces.closed[k], None
            value, s = np.zeros(count), torch.empty(count, v.shape[1])
            self._loops.hand_on(_array(v.expand(count, -1)), rows, self._lines[k], s.numpy(), value)
            if k in self._joined:
                joined = self._joined[k]
                self._loops.join(rows, self._lines[k], joined, value, _block(joined))
            return s, torch.from_numpy(value.astype(np.float32))

        lines, stages = bound_in_stages(self._pieces.relaxation, objective, activate, self._pieces.maximum)
        v = lines.coefficients
        if v.ndim < 2 or v.shape[-1] != graph.input.size:
            v = v.expand(count, graph.input.size)
        value = lines.value.expand(count)
        return Passed(value, torch.from_numpy(arrived), v, stages, rows, frozenset(reached))

    def gradient(self, passed: Passed) -> tuple[Float[Tensor, "B m"], Float[Tensor, "B m"]]:
        """Derivatives of bounds by ``alpha`` and ``beta``."""
        rows, pieces = passed.rows, self._pieces
        graph, region = pieces.relaxation.graph, pieces.relaxation.region
        found = np.zeros((2, *rows.side.shape), dtype=np.float32)
        if not passed.reached:
            return torch.from_numpy(found[0]), torch.from_numpy(found[1])
        if pieces.maximum is box_maximum:
            center, radius = halves(region.lower, region.upper)
            x = torch.addcmul(center, passed.coefficients.sign(), radius)
        else:
            x = pieces.maximum.at(passed.coefficients, region)
        x = x.expand(len(rows.side), -1)
        values: dict[int, Tensor] = {0: x}
        k = -1
        for index, node in enumerate(graph.nodes[: graph.activations[max(passed.reached)] + 1]):
            if not node.operands:
                continue
            is_affine = isinstance(node.operator, Affine)
            k += not is_affine
            if any(operand not in values for operand in node.operands) or not (is_affine or k in passed.reached):
                continue
            if is_affine:
                values[index] = node.operator.forward(*(values[operand] for operand in node.operands))
                continue
            z = values[node.operands[0]]
            values[index] = self._handed_back(k, z, rows, found)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    def _handed_back(self, k: int, z: Tensor, rows: Rows, found: Any) -> Tensor:
        lines = self._lines[k]
        if not len(lines.which):
            return z * self._pieces.closed[k]
        image = torch.empty(z.shape)
        passed = np.zeros((len(z), len(lines.which), 2) if k in self._joined else (0, 0, 2), dtype=np.float32)
        if k in self._joined:
            self._loops.join_back(rows, lines, self._joined[k], passed, _block(self._joined[k]))
        self._loops.hand_back(_array(z), rows, lines, passed, image.numpy(), (found[0], found[1]))
        return image


def _block(joined: Joined) -> Block:
    whole = np.empty(_AT_ONCE, dtype=np.int32)
    v, w, s, t, best, total, unit = (np.empty(_AT_ONCE, dtype=np.float32) for _ in range(7))
    values = np.empty((joined.table.shape[2], _AT_ONCE), dtype=np.float32)
    held = np.empty(_AT_ONCE, dtype=np.int8)
    return Block(v, w, s, t, values, best, total, unit, held, whole, whole.view(np.float32))


def _array(values: Tensor) -> Any:
    """The tensor's own memory, where its numbers lie in a row."""
    return values.contiguous().numpy()
