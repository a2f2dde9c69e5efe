"""Planes for tests: above the ReLUs of a network whose operands are affine in what one bend, or the input, gives."""

from __future__ import annotations

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.planes.above import Planes, Sets
from netproof.certificate.real.contents import Taken, arrays_of


def plane_arrays(
    evaluation: Evaluation, cells: Cells, rng: np.random.Generator, spread: float = 0.2
) -> dict[str, list[int]]:
    """A set of planes near the chords over the ranges of one cell: ``m`` is the operand's row times numbers near the chord's slope."""
    network = evaluation.network
    sizes = [network.nodes[i].size for i in network.bends]
    begin = np.cumsum([0, network.inputs, *sizes])
    found: dict[str, list[int]] = {}

    def say(**values: list[int]) -> None:
        for name, entries in values.items():
            found.setdefault(f"plane_{name}", []).extend(entries)

    for k, operand in enumerate(evaluation.operands):
        node = network.nodes[operand]
        before = node.operands[0] if len(node.operands) == 1 else -1
        if before < 0 or (before and before not in network.bends) or node.operator is None:
            continue
        first = begin[network.bends.index(before) + 1] if before else 0
        (matrix,) = node.operator.adjoint(np.eye(node.size))
        low, high = cells.low[k][0], cells.high[k][0]
        for feature in np.flatnonzero((low < 0) & (high > 0)).tolist():
            chord = high[feature] / (high[feature] - low[feature])
            at = np.flatnonzero(matrix[feature])
            share = chord + spread * rng.normal(size=len(at))
            value = np.rint(matrix[feature, at] * share * 2.0**20).astype(int)
            at, value = at[value != 0], value[value != 0]
            p, q = (max(0, int(end * 2**20)) for end in (1 - chord, chord))
            say(relu=[k + 1], feature=[feature], exponent=[20], right=[p], left=[q], entries=[len(at)])
            say(step=np.diff(first + at, prepend=-1).tolist(), value=value.tolist())
    return {"plane_count": [len(found.get("plane_relu", []))], **found}


def planes_on(evaluation: Evaluation, cells: Cells, rng: np.random.Generator, spread: float = 0.2) -> dict[int, Planes]:
    """The same as the checker has them on one cell."""
    sets = Sets("a test")
    sets.add(Taken(arrays_of(**plane_arrays(evaluation, cells, rng, spread))), evaluation, cells)
    return dict(sets.planes(1))
