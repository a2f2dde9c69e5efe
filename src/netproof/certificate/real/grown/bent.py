"""Bends of networks for whoever makes evidence: values nearby, and what the lines of bounds leave open."""

from __future__ import annotations

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.checker.real.curved.curves import CURVES, Lines
from netproof.certificate.checker.real.nodes import PRODUCT, RELU


def near(bend: str, x: Floats) -> Floats:
    """Values of a bend at points ``[B, n]``, but for rounding."""
    if bend == RELU:
        return np.maximum(x, 0.0)
    if bend == PRODUCT:
        return np.asarray(np.multiply(*np.split(x, 2, axis=1)))
    with np.errstate(all="ignore"):
        low, high = CURVES[bend].ends(x)
        return np.asarray(low / 2 + high / 2)


def misses(evaluation: Evaluation, cells: Cells, k: int) -> Floats:
    """By how much the lines below and above a bend other than a ReLU differ in the middle of every range, ``[C, m]``."""
    bend, (low, high) = evaluation.network.nodes[evaluation.network.bends[k]].bend, (cells.low[k], cells.high[k])
    if bend == PRODUCT:
        # Of either factor, so that the wider one is split.
        x, y = np.split(high - low, 2, axis=1)
        size = np.maximum(abs(low), abs(high))
        share = np.concatenate([x / (size[:, : x.shape[1]] + 1e-300), y / (size[:, x.shape[1] :] + 1e-300)], 1)
        return np.asarray(np.tile(x * y, 2) * (1 + share / (1 + share)))
    lines = Lines.over(CURVES[bend], low, high, evaluation.numbers.ends)
    middle = low / 2 + high / 2
    return np.asarray((lines.above[0] + lines.below[0]) * middle + lines.above[1] + lines.below[1])
