"""Multipliers with few digits: what makes a certificate small.

A bound is hardly ever so close to 0 that all digits of its multipliers matter. For every row the
coarsest of a few grids is taken on which the exact bound is still below 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import DualPoint
from netproof.bounds.envelope.bound import EnvelopePoint
from netproof.bounds.envelope.exact import evaluate_envelopes_exact
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions

#: bits of the largest multiplier of a row, tried in turn before the row is taken as it is
LEAF_BITS, CUT_BITS = (6, 9, 13, 20), (10, 16, 24)
#: the same of rows with prices, which are far smaller than the other multipliers
PRICED_BITS = (13, 16, 20, 24)
#: how much coarser than its own grid a row is tried in the end: the search took the finest grid that left room for its
#: sums, which may be larger on the query's own graph and region
_COARSER = (0, 1, 2, 4, 8)
#: multipliers are multiples of 2**-48 at the finest, and below 2**52 in these units
_FINEST, _LARGEST = 48, float(2**52)
#: prices are kept as 32-bit integers
_MOST_UNITS = float(2**31 - 1)

#: whether an exact evaluation at rows (indices) proves what these rows have to prove, ``[B]`` bool
Proves = Callable[[Tensor, DualPoint | EnvelopePoint], Tensor]


@dataclass(frozen=True, eq=False)
class Rounded:
    """Rows of multipliers in units of ``2**-exponent``, ``[B, 1 + n]`` and ``[B]``, int64; and whether they prove
    what they have to, ``[B]`` bool. ``prices``, if any, are ``[B, m, n]`` int32 in the same units."""

    units: Tensor
    exponent: Tensor
    proved: Tensor
    prices: Tensor | None = None

    @staticmethod
    def nothing(rows: Tensor) -> Rounded:
        """For rows of which nothing is proved yet."""
        count = len(rows)
        return Rounded(
            torch.zeros(rows.shape, dtype=torch.int64),
            torch.zeros(count, dtype=torch.int64),
            torch.zeros(count, dtype=torch.bool),
        )

    def put(self, rows: Tensor, other: Rounded) -> None:
        """Replace some rows."""
        self.units[rows], self.exponent[rows], self.proved[rows] = other.units, other.exponent, other.proved
        if self.prices is not None and other.prices is not None:
            self.prices[rows] = other.prices


def refutes(rows: Tensor, point: DualPoint | EnvelopePoint) -> Tensor:
    """Rows that have to refute their regions."""
    return point.value < 0


def round_rows(
    cases: Conditions,
    case: Tensor,
    constraint: Tensor,
    region: Region,
    rows: Tensor,
    bits: Sequence[int],
    proves: Proves,
    priced: tuple[LayerBox, Tensor] | None = None,
) -> Rounded:
    """Round rows ``[B, 1 + n]`` (``mu``, then ``s``) on their regions, as coarsely as they still prove what they have to.

    Parameters
    ----------
    case, constraint : ``[B]``, the case of each row and its constraint that ``mu`` is for
    bits : sizes of the largest multiplier to try; then come the row's own grid and somewhat coarser ones
    priced : the first layer on the regions' box, which they share, and the rows' prices ``[B, m, n]``
    """
    result = Rounded.nothing(rows)
    if priced is not None:
        result = replace(result, prices=torch.zeros(priced[1].shape, dtype=torch.int32))
    largest = torch.log2(rows.abs().amax(1).clamp(min=2.0**-30)).ceil() if len(rows) else rows.new_zeros(0)
    left = torch.arange(len(rows))
    for digits, coarser in (*((b, 0) for b in bits), *((None, c) for c in _COARSER)):
        if not len(left):
            break
        if digits is None:
            exponent = _own_grid(
                rows[left] if priced is None else torch.cat([rows[left], priced[1][left].flatten(1)], 1)
            )
            exponent = exponent - coarser
        else:
            exponent = (digits - largest[left]).clamp(max=_FINEST)
        scaled = (rows[left] * torch.exp2(exponent)[:, None]).round()
        prices = None
        if priced is not None:
            prices = (priced[0], (priced[1][left] * torch.exp2(exponent)[:, None, None]).round())
        # Any positive multiple of a row proves what the row proves.
        exponent = exponent.clamp(min=0)
        ok = _evaluate(cases, case[left], constraint[left], region.take(left), scaled, exponent, left, proves, prices)
        units = None if prices is None else prices[1][ok].to(torch.int32)
        proved = Rounded(scaled[ok].to(torch.int64), exponent[ok].to(torch.int64), ok[ok], units)
        result.put(left[ok], proved)
        left = left[~ok]
    return result


def _evaluate(
    cases: Conditions,
    case: Tensor,
    constraint: Tensor,
    region: Region,
    scaled: Tensor,
    exponent: Tensor,
    rows: Tensor,
    proves: Proves,
    priced: tuple[LayerBox, Tensor] | None,
) -> Tensor:
    values = scaled * torch.exp2(-exponent)[:, None]
    sizes = [cases.graph.nodes[i].size for i in cases.graph.activations]
    weight, s = values[:, 0], torch.split(values[:, 1:], sizes, 1) if sizes else ()
    objective = cases.weighted(case, constraint, weight, region)
    usable = torch.isfinite(objective.constant) & (weight >= 0) & (scaled.abs() < _LARGEST).all(1)
    objective = objective.with_constant(torch.where(usable, objective.constant, 0.0))
    point: DualPoint | EnvelopePoint
    relaxation = Relaxation(cases.graph, region)
    if priced is None:
        point, grid = evaluate_exact(relaxation, objective, list(s))
    else:
        box, prices = priced
        usable &= (prices.abs() < _MOST_UNITS).flatten(1).all(1)
        prices = prices * torch.exp2(-exponent)[:, None, None]
        point, grid = evaluate_envelopes_exact(relaxation, box, objective, list(s), prices)
    # On a coarser grid than the rows' own the evaluation would be of other rows.
    return usable & (grid >= exponent) & proves(rows, point)


def _own_grid(rows: Tensor) -> Tensor:
    """Smallest ``p`` for which the row is a multiple of ``2**-p``, ``[B]``; the finest where there is none."""
    exponent = torch.full((len(rows),), float(_FINEST), dtype=torch.float64)
    for p in range(_FINEST, -1, -1):
        scaled = rows * 2.0**p
        exponent = torch.where((scaled == scaled.round()).all(1), float(p), exponent)
    return exponent
