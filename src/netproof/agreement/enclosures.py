"""A network of floats at the codes of a network of integers, and both together, over the real numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.bounds.backward import Lines
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, box_region, node_intervals, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.errors import InputError
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Meaning, Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum
from netproof.perturbations.base import Whole

Floats = NDArray[np.float64]

#: numbers of all nodes that are held at a time
_NUMBERS = 1 << 23


def _exact(number: Fraction, path: str) -> Tensor:
    """A fraction that float64 holds; raises :class:`InputError` for others."""
    held = float(number)
    if Fraction(held) != number:
        raise InputError(path, "has a scale or a zero point that float64 does not hold", "quantize it again")
    return torch.tensor([held], dtype=torch.float64)


def _meant(builder: GraphBuilder, name: str, size: int, meaning: Meaning, node: int, path: str) -> int:
    """What codes of a node stand for."""
    return builder.add(name, Scale(size, _exact(meaning.scale, path), _exact(meaning.shift, path)), node)


def _tower(builder: GraphBuilder, graph: Graph, start: int, name: str) -> int:
    at = {0: start}
    for index, node in enumerate(graph.nodes[1:], 1):
        at[index] = builder.add(f"{node.name} ({name})", node.operator, *(at[i] for i in node.operands))
    return at[len(graph.nodes) - 1]


class Enclosed:
    """The outputs of a network of floats whose input is what codes stand for, in the intervals that they lie in over the real numbers.

    Parameters
    ----------
    real : the network
    codes : what its inputs are given for codes
    """

    def __init__(self, real: Network, codes: Meaning) -> None:
        builder = GraphBuilder(Arithmetic.REAL, real.input_shape)
        start = _meant(builder, "what codes stand for", real.inputs, codes, builder.input, real.path)
        _tower(builder, real.graph, start, "floats")
        self.graph = builder.build()
        self._at_once = max(1, _NUMBERS // sum(node.size for node in self.graph.nodes))

    def intervals(self, inputs: Whole) -> tuple[Floats, Floats]:
        """The least and the largest that outputs can be at codes ``[N, n_input]``: ``[N, n_output]`` each, rounding included."""
        low, high = [], []
        for part in torch.split(torch.from_numpy(inputs.astype(np.float64)), self._at_once):
            ends = node_intervals(self.graph, box_region(self.graph, part, part))[-1]
            low.append(ends[0])
            high.append(ends[1])
        return torch.cat(low).numpy(), torch.cat(high).numpy()

    def about(self, inputs: Whole) -> Floats:
        """Outputs as float64 has them, ``[N, n_output]``."""
        parts = torch.split(torch.from_numpy(inputs.astype(np.float64)), self._at_once)
        return torch.cat([self.graph.evaluate(part) for part in parts]).numpy()


class Difference:
    """What the outputs of a network of integers stand for, less the outputs of one of floats, on boxes of codes.

    Both are one graph over the real numbers with one input, so that what depends on the input in the same way cancels. A staircase
    there is bounded on whole numbers alone. That is enough, because at inputs of whole numbers it has nothing else in front.
    """

    def __init__(self, integer: Network, real: Network, inputs: Meaning, outputs: Meaning) -> None:
        builder = GraphBuilder(Arithmetic.REAL, integer.input_shape)
        whole = _tower(builder, integer.graph, builder.input, "integers")
        start = _meant(builder, "what codes stand for", real.inputs, inputs, builder.input, real.path)
        floats = _tower(builder, real.graph, start, "floats")
        meant = _meant(builder, "what outputs stand for", integer.outputs, outputs, whole, integer.path)
        builder.add("difference", Sum((1, -1)), meant, floats)
        self.graph = builder.build()
        behind: list[bool] = []
        for i, node in enumerate(self.graph.nodes):
            behind.append(i in self.graph.activations or any(behind[operand] for operand in node.operands))
        #: where nothing is in front of an activation but affine maps, no bound is better than its interval
        self._refined = [k for k, i in enumerate(self.graph.activations) if behind[self.graph.nodes[i].operands[0]]]

    def bounded(self, low: Whole, high: Whole) -> Lines:
        """Upper bounds of every output's difference and of its negative on a box of codes ``[n]``, rigorous: ``[2 n_output]``."""
        ends = (torch.from_numpy(end.astype(np.float64))[None] for end in (low, high))
        graph, region = self.graph, self._whole(box_region(self.graph, *ends))
        for k in self._refined:
            region = self._refine(region, k)
        size = graph.output.size
        eye = torch.eye(size, dtype=torch.float64)
        return self._lines(region, len(graph.nodes) - 1, torch.cat([eye, -eye]))

    def _lines(self, region: Region, node: int, rows: Tensor) -> Lines:
        objective = Objective({node: rows}, torch.zeros(len(rows), dtype=torch.float64))
        return crown_lines(Relaxation(self.graph, region), objective, Rounding.of(self.graph, region))

    def _refine(self, region: Region, k: int) -> Region:
        """The region with the ranges of an activation by CROWN."""
        operand = self.graph.nodes[self.graph.activations[k]].operands[0]
        low, high = region.range_lower[k], region.range_upper[k]
        wide = (high > low)[0].nonzero()[:, 0]
        if not len(wide):
            return region
        rows = torch.zeros(len(wide), low.shape[1], dtype=torch.float64)
        rows[torch.arange(len(wide)), wide] = 1.0
        top, bottom = (self._lines(region, operand, sign * rows).value for sign in (1, -1))
        high = high.scatter(1, wide[None], torch.minimum(high[:, wide], top[None]))
        low = low.scatter(1, wide[None], torch.maximum(low[:, wide], -bottom[None]))
        return self._whole(propagate_intervals(self.graph, region.with_range(k, low, high)))

    def _whole(self, region: Region) -> Region:
        """The region with ranges of staircases cut to whole numbers: others have no input of whole numbers in them."""
        pairs = [
            (low.ceil(), high.floor()) if isinstance(self.graph.nodes[i].operator, Staircase) else (low, high)
            for i, low, high in zip(self.graph.activations, region.range_lower, region.range_upper, strict=True)
        ]
        found = replace(
            region, range_lower=tuple(low for low, _ in pairs), range_upper=tuple(high for _, high in pairs)
        )
        return propagate_intervals(self.graph, found)
