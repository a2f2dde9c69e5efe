"""The largest radius at which a sample is robust, over the real numbers: between a proof and a witness."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from netproof.errors import QueryError
from netproof.local_robustness import Number, distance, exact_number, robustness
from netproof.network import Network
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.radius import RadiusResult
from netproof.search.verify import verify
from netproof.settings import Settings

_LEVELS = 255
#: the first radius asked about is such a share of the largest
_FIRST = 256
#: radii on the grid of the accuracy, at the most
_MOST_STEPS = 1 << 40


def bracketed_radius(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    settings: Settings,
    *,
    limit: Number | None,
    accuracy: Number | None,
    arguments: Mapping[str, Any],
) -> RadiusResult:
    """As :func:`netproof.search.radius.largest_radius`, which says the rest, for a network over the real numbers.

    Radii are multiples of the accuracy. They are doubled until something other than a proof comes back, then bisected. A
    radius that is not decided in half of the time that is left is given up for smaller ones. Where a witness lies is
    measured exactly, so that it can be far inside the radius that was asked about.
    """
    begun = time.monotonic()
    step, widest, whole = _extents(image, limit, accuracy, arguments)
    steps = math.ceil(widest / step)

    def query(number: int) -> Query:
        radius = min(number * step, widest)
        return robustness(network, image, label, radius, **arguments, name=f"radius {radius}")

    def far(witness: Witness) -> Fraction:
        return distance(network, image, witness.numbers, **arguments)

    start = query(0)
    if start.misclassified:
        return RadiusResult(-1, None, None, True, time.monotonic() - begun, 1)
    first = verify(start, settings)
    if first.verdict is Verdict.SAT:
        return RadiusResult(-1, first.witness, Fraction(0), True, time.monotonic() - begun, 1)
    if first.verdict is not Verdict.UNSAT:
        return RadiusResult(-1, None, None, False, time.monotonic() - begun, 1, first.reason or "no answer in time")
    proved, proof, hard = 0, first, steps + 1
    refuted: Fraction | None = None
    witness: Witness | None = None
    queries, undecided = 1, ""
    while proved + 1 < hard:
        remaining = settings.timeout - (time.monotonic() - begun)
        if remaining <= 0:
            undecided = "the time limit was reached"
            break
        number = _next(proved, hard, steps)
        queries += 1
        share = remaining if number == proved + 1 else remaining / 2
        result = verify(query(number), replace(settings, timeout=share))
        if result.verdict is Verdict.UNSAT:
            proved, proof = number, result
        elif result.verdict is Verdict.SAT and result.witness is not None:
            at = far(result.witness)
            if refuted is None or at < refuted:
                refuted, witness = at, result.witness
            # A witness at the very end of the range lies on the last step, however long that is.
            hard = min(hard, number, math.ceil(at / step))
        else:
            hard, undecided = number, result.reason or "no answer in time"
    largest = min(proved * step, widest)
    exact = (refuted is not None and refuted - largest <= step) or (whole and proved == steps)
    if not exact and not undecided:
        undecided = f"only radii up to {widest} were looked at"
    return RadiusResult(
        largest,
        witness,
        refuted,
        exact,
        time.monotonic() - begun,
        queries,
        "" if exact else undecided,
        _kept(proof, settings),
    )


def _kept(proof: Result, settings: Settings) -> Result | None:
    return proof if settings.proofs else None


def _next(proved: int, hard: int, steps: int) -> int:
    """The step to ask about next."""
    if hard <= steps:
        return (proved + hard) // 2
    return min(max(2 * proved, steps // _FIRST, 1), steps)


def _extents(
    image: ArrayLike | Tensor, limit: Number | None, accuracy: Number | None, arguments: Mapping[str, Any]
) -> tuple[Fraction, Fraction, bool]:
    """The step between radii, the largest one, and whether that is all there is; raises :class:`QueryError`."""
    grey = getattr(image, "dtype", None) in (torch.uint8, np.uint8)
    scale = exact_number(arguments["scale"]) if arguments["scale"] is not None else Fraction(1)
    unit = (scale or Fraction(1)) if grey else Fraction(1)
    step = unit / 10 if accuracy is None and grey else exact_number("0.001" if accuracy is None else accuracy)
    if step is None or step <= 0:
        raise QueryError("radius", f"the accuracy is {accuracy}", "give a number above 0, in the unit of the radius")
    range_ = _range(arguments["clip"], unit * _LEVELS if grey else None)
    widest = (range_ or Fraction(1)) if limit is None else exact_number(limit)
    if widest is None or widest < 0:
        raise QueryError("radius", f"the limit is {limit}", "give a number, 0 or more, in the unit of the radius")
    if widest / step > _MOST_STEPS:
        raise QueryError("radius", f"the accuracy is {accuracy}, of radii up to {widest}", "give a larger accuracy")
    return step, widest if range_ is None else min(widest, range_), range_ is not None and widest >= range_


def _range(clip: tuple[Number, Number] | None, levels: Fraction | None) -> Fraction | None:
    """The width of all that values can be; None where there is no limit."""
    if clip is None:
        return levels
    low, high = (exact_number(end) for end in clip)
    return None if low is None or high is None else max(high - low, Fraction(0))
