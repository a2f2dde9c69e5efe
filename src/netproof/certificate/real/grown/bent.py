"""Bends of networks for whoever makes evidence: values nearby, and what the lines of bounds leave open."""

from __future__ import annotations

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.checker.real.curved.curves import CURVES, Lines
from netproof.certificate.checker.real.nodes import PRODUCT, RELU

#: points of a range at which a curve is evaluated
_POINTS = 17


def near(bend: str, x: Floats) -> Floats:
    """Values of a bend at points ``[B, n]``, but for rounding."""
    if bend == RELU:
        return np.maximum(x, 0.0)
    if bend == PRODUCT:
        return np.asarray(np.multiply(*np.split(x, 2, axis=1)))
    with np.errstate(all="ignore"):
        low, high = CURVES[bend].ends(x)
        return np.asarray(low / 2 + high / 2)


def slopes_of(bend: str, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Between what slopes of lines of a bend's operands are of use, over ranges; from 0 to 0 where nothing is to be chosen."""
    if bend == RELU:
        return np.zeros(low.shape), np.ones(low.shape)
    if bend == PRODUCT:
        return np.zeros(low.shape), np.zeros(low.shape)
    curve = CURVES[bend]
    with np.errstate(all="ignore"):
        least, most = curve.slopes(low, high, *(curve.slope(x, near(bend, x)) for x in (low, high)))
        is_known = np.isfinite(least) & np.isfinite(most)
        return np.where(is_known, least, 0.0), np.where(is_known, most, 0.0)


def attained(bend: str, v: Floats, s: Floats, low: Floats, high: Floats) -> Floats:
    """About where ``v f(a) - s a`` is largest over ranges, ``[R, m]``; ``v`` comes twice for products."""
    if bend == PRODUCT:
        n = s.shape[1] // 2
        corners = [np.concatenate([x[:, :n], y[:, n:]], 1) for x in (low, high) for y in (low, high)]
        reached = np.stack([v[:, :n] * near(bend, a) - (s * a)[:, :n] - (s * a)[:, n:] for a in corners])
        best = np.tile(reached.argmax(0), 2)
        return np.asarray(
            np.take_along_axis(np.stack([np.broadcast_to(a, s.shape) for a in corners]), best[None], 0)[0]
        )
    best, reached = np.broadcast_to(low, s.shape), np.full(s.shape, -np.inf)
    for share in np.linspace(0.0, 1.0, 3 if bend == RELU else _POINTS):
        a = np.clip(0.0, low, high) if bend == RELU and share == 0.5 else low + (high - low) * share
        here = v * near(bend, a) - s * a
        best, reached = np.where(here > reached, a, best), np.maximum(here, reached)
    return best


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
