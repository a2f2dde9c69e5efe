"""Attack: whole numbers near a real point.

A linear program's point meets conditions that its rounding just misses: every rounded input moves every
accumulator of the first layer. Two steps help. :func:`round_near` rounds one input after the other,
each to the side that keeps the sum of all moves small (greedy vector balancing; Spencer, *Balancing games*,
J. Combin. Theory B 1977). :func:`descend` then takes the best step of one grey level at a time, whether
it is an improvement or not, and does not take a step back for a while (tabu search; Glover, ORSA J. Comput. 1989).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.attack.align import first_layer, tail
from netproof.attack.corners import Goal
from netproof.effort.integer import INTEGER_ATTACK
from netproof.graph.graph import Graph
from netproof.processes import clock
from netproof.processes.loops import Loop, compiled

_Numbers = NDArray[np.float32]


@functools.cache
def compiled_balance() -> Loop | None:
    """:func:`balance`, compiled; None where that is not possible."""
    found = compiled([balance])
    return None if found is None else found[0]


def balance(
    columns: _Numbers, x: _Numbers, order: NDArray[np.int64], moved: _Numbers, rounded: _Numbers, near: Any
) -> None:
    """What :func:`round_near` does with inputs that are no whole numbers, one point after the other: plain Python, for a compiler.

    Parameters
    ----------
    columns : ``[n, m]``, of the weights
    x, order : ``[B, n]`` points, and in which order their inputs are rounded, ``[B, k]``
    moved, rounded : ``[B, m]`` and ``[B, n]``, how far accumulators have moved, and the points; both are changed
    near : inputs that are as near to whole numbers have been rounded
    """
    for b in range(len(x)):
        for feature in order[b]:
            at = x[b, feature]
            if abs(at - np.rint(at)) <= near:
                continue
            column = columns[feature]
            down = math.floor(at) - at
            along, norm = np.float32(0), np.float32(0)
            for j in range(len(column)):
                along += moved[b, j] * column[j]
                norm += column[j] * column[j]
            step = down + 1 if 2 * along + (2 * down + 1) * norm < 0 else down
            for j in range(len(column)):
                moved[b, j] += np.float32(step) * column[j]
            rounded[b, feature] += np.float32(step)


def round_near(
    weight: Tensor, lower: Tensor, upper: Tensor, x: Tensor, generator: torch.Generator, loop: Loop | None = None
) -> Tensor:
    """Round points so that ``weight @ x`` moves little: ``[B, n]``, integers of the box.

    Parameters
    ----------
    weight : ``[m, n]``
    lower, upper : ``[n]``, integers
    x : ``[B, n]`` real points; repeat a row for several roundings of it, each in another order
    generator : of the orders
    loop : :func:`compiled_balance`, or nothing, which takes ten times as long; rounding errors apart they give the same
    """
    x = torch.maximum(torch.minimum(x, upper), lower)
    whole = x.round()
    fractional = (x - whole).abs() > INTEGER_ATTACK.whole
    rounded = torch.where(fractional, x, whole)
    moved = (rounded - x) @ weight.T
    columns = weight.T.contiguous()
    key = torch.rand(x.shape, generator=generator, dtype=x.dtype) + fractional.to(x.dtype)
    order = key.argsort(1, descending=True)[:, : int(fractional.sum(1).max()) if len(x) else 0]
    if loop is not None and x.dtype == torch.float32:
        arrays = (part.contiguous().numpy() for part in (columns, x, order, moved))
        kept = rounded.contiguous()
        loop(*arrays, kept.numpy(), INTEGER_ATTACK.whole)
        return kept.round()
    norms = columns.square().sum(1)
    rows = torch.arange(len(x))
    for feature in order.T.contiguous():
        at = x[rows, feature]
        down = at.floor() - at
        column = columns[feature]
        # The square of the sum grows by this much more if the input goes up.
        extra = 2 * (moved * column).sum(1) + (2 * down + 1) * norms[feature]
        step = torch.where(fractional[rows, feature], down + (extra < 0).to(x.dtype), 0.0)
        moved = torch.addcmul(moved, step[:, None], column)
        rounded[rows, feature] += step
    return rounded.round()


def descend(
    graph: Graph,
    goal: Goal,
    lower: Tensor,
    upper: Tensor,
    x: Tensor,
    case: Tensor,
    generator: torch.Generator,
    steps: int,
    deadline: float,
) -> Tensor:
    """Points on which the goal's deficiency is 0, reached by steps of one from ``x`` ``[B, n]`` towards ``case``.

    ``x`` holds integers of the box. Returns ``[F, n]``, none where nothing was found within ``steps`` or
    when ``clock.now()`` reaches ``deadline``. The graph must satisfy
    :func:`netproof.attack.align.can_align`.
    """
    linear = first_layer(graph)
    columns = linear.weight.T
    change = torch.cat([columns, -columns])
    inputs, rows = len(lower), torch.arange(len(x))
    sign = torch.ones(2 * inputs, dtype=x.dtype)
    sign[inputs:] = -1
    x = x.clone()
    a = linear.forward(x)
    forbidden = torch.zeros(len(x), 2 * inputs, dtype=torch.float32)
    for step in range(steps):
        if clock.now() >= deadline:
            break
        deficiency = goal.deficiency(tail(graph, a[:, None], 1.0), case)[:, 0]
        if bool((deficiency <= 0).any()):
            return x[deficiency <= 0]
        possible = torch.cat([x < upper, x > lower], 1) & (forbidden <= step)
        after = goal.deficiency(tail(graph, a[:, None] + change, 1.0), case)
        # Whole numbers: half a unit of chance decides between equals and nothing else.
        after = after + torch.rand(after.shape, generator=generator, dtype=after.dtype) / 2
        chosen = torch.where(possible, after, torch.inf).argmin(1)
        usable = possible[rows, chosen]
        x[rows, chosen % inputs] += sign[chosen] * usable
        a = a + change[chosen] * usable[:, None]
        forbidden[rows, (chosen + inputs) % (2 * inputs)] = step + 1 + INTEGER_ATTACK.tenure
    return x[:0]
