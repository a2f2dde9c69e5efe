"""Planes of a certificate, from those that a search put in the place of chords, with few digits.

Nobody has to believe them: any numbers make a plane, and how high it stands the checker finds by itself, on its own ranges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.contents import PLANE_EXPONENTS, Integers
from netproof.certificate.real.grown.bent import near
from netproof.result import PlanesAbove

#: binary digits after the point, at least, and the share of its distance from a ReLU that fewer of them may add to a plane
_DIGITS, _SHARE = 10, 2.0**-12


def arrays_of_planes(evaluation: Evaluation, cells: Cells, planes: Sequence[PlanesAbove]) -> dict[str, Integers]:
    """A set as arrays of a certificate, but for how many planes it has."""
    network = evaluation.network
    sizes = [network.nodes[i].size for i in network.bends]
    begin = np.cumsum([0, network.inputs, *sizes])
    ends = zip(cells.low, cells.high, network.bends, strict=True)
    own = (near(network.nodes[i].bend, high[0]) - near(network.nodes[i].bend, low[0]) for low, high, i in ends)
    width = abs(np.concatenate([cells.upper[0] - cells.lower[0], *own]))
    parts: dict[str, list[Integers]] = {name: [] for name in _NAMES}
    for above in planes:
        if network.nodes[network.bends[above.k]].bend != RELU or any(k >= above.k for k, *_ in above.onto):
            continue
        row = np.concatenate([np.zeros(0, np.int64), *(one[1] for one in above.onto)])
        column = np.concatenate([np.zeros(0, np.int64), *(begin[k + 1] + at for k, _, at, _ in above.onto)])
        value = np.concatenate([np.zeros(0), *(one[3] for one in above.onto)])
        # Every entry may raise the plane by its rounding times the width of what it is over.
        reach = np.bincount(row, width[column], len(above.feature))
        low, high = cells.low[above.k][0, above.feature], cells.high[above.k][0, above.feature]
        gap = np.where((low < 0) & (high > 0), -low * high / (high - low), np.inf)
        _, power = np.frexp(reach / (_SHARE * gap))
        exponent = np.clip(power - 1, _DIGITS, PLANE_EXPONENTS).astype(np.int64)
        entry = np.rint(np.ldexp(value, exponent[row])).astype(np.int64)
        order = np.lexsort((column, row))
        order = order[entry[order] != 0]
        row, column, entry = row[order], column[order], entry[order]
        step = np.diff(column, prepend=0)
        first = np.flatnonzero(np.diff(row, prepend=-1))
        step[first] = column[first] + 1
        count = np.bincount(row, minlength=len(above.feature))
        right, left = (
            np.rint(np.ldexp(np.clip(x, 0, 1024), exponent)).astype(np.int64) for x in (above.right, above.left)
        )
        k = np.full(len(above.feature), above.k + 1, np.int64)
        entries = (k, above.feature, exponent, right, left, count, step, entry)
        for name, values in zip(_NAMES, entries, strict=True):
            parts[name].append(values)
    return {name: np.concatenate([np.zeros(0, np.int64), *some]) for name, some in parts.items()}


_NAMES = (
    "plane_relu", "plane_feature", "plane_exponent", "plane_right", "plane_left", "plane_entries", "plane_step", "plane_value",
)  # fmt: skip
