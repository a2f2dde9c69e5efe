"""One stage of a chain, as loops over numbers, for a compiler. Plain Python on arrays, which :mod:`netproof.processes.loops` compiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int32]


def look_up(table: Floats, place: Whole, feature: Any, argument: Any) -> Any:
    """An activation at a whole number; beyond its table as at the end of it."""
    at = min(max(argument - place[2], 0), place[3] - 1)
    return table[place[0] + feature * place[1] + at]


def shortfall(thresholds: Floats, margin: Any, rival: Any, label: Any) -> Any:
    """How far two pre-activations are from an order of their levels, as :meth:`netproof.conditions.order.OrderConditions.deficiency`."""
    levels = len(thresholds) - 2
    below, beyond = 0, levels + 1
    while beyond - below > 1:
        middle = (below + beyond) // 2
        if thresholds[middle] <= rival:
            below = middle
        else:
            beyond = middle
    least = np.float32(np.inf)
    # The rival's own level, and the next one up, are the only ones that can be cheapest, and the top one, at which nothing is asked
    # of the label.
    for candidate in range(3):
        level = levels if candidate == 2 else min(max(below - margin + candidate, 0), levels)
        needed = min(max(level + margin, 0), levels + 1)
        lift = max(thresholds[needed] - rival, np.float32(0))
        drop = max(label - thresholds[level + 1] + np.float32(1), np.float32(0))
        least = min(least, lift + drop)
    return least


def measure(
    a: Whole,
    column: Whole,
    change: Any,
    layers: tuple[Floats, Floats, Whole],
    table: Floats,
    layout: Whole,
    goal: tuple[Floats, Any],
    values: Floats,
) -> Any:
    """How far a point is from the goal where the first layer makes ``a`` of it, and a multiple of a column more.

    ``values`` is ``[2, M]``, for what layers hand on; the others are as for :func:`go_on`.
    """
    weights, biases, sizes = layers
    thresholds, margin = goal
    for j in range(len(a)):
        values[0, j] = look_up(table, layout[0], j, a[j] + change * column[j])
    above = len(biases)
    for layer in range(above):
        for r in range(sizes[layer + 1]):
            total = biases[layer, r]
            for j in range(sizes[layer]):
                total += weights[layer, r, j] * values[0, j]
            values[1, r] = total
        if layer + 1 < above:
            for r in range(sizes[layer + 1]):
                nearest = np.int64(math.floor(values[1, r] + np.float32(0.5)))
                values[0, r] = look_up(table, layout[layer + 1], r, nearest)
    if len(thresholds):
        return shortfall(thresholds, margin, values[1, 0], values[1, 1])
    missing = np.float32(0)
    for r in range(sizes[above]):
        missing += max(-values[1, r], np.float32(0))
    return missing


def drawn(state: Any) -> Any:
    """The next of a sequence of numbers from 1 to 2^32 - 1 (xorshift, G. Marsaglia, *Journal of Statistical Software* 8, 2003)."""
    kept = np.int64(0xFFFFFFFF)
    state ^= (state << 13) & kept
    state ^= state >> 17
    return state ^ ((state << 5) & kept)


def go_on(
    columns: Whole,
    free: tuple[Whole, Whole, Whole],
    layers: tuple[Floats, Floats, Whole],
    tables: tuple[Floats, Floats, Whole],
    goal: tuple[Floats, Any],
    x: Whole,
    a: Whole,
    values: Floats,
    random: NDArray[np.int64],
    numbers: tuple[Any, Any, Any],
) -> tuple[Any, Any]:
    """Propose changes of single inputs, and accept them by the Metropolis rule.

    An input goes to either end of its range, or anywhere in it. What the network makes of that is computed with tables of its
    activations, those for this stage, and, where the chain has come near, with those of the activations themselves.

    Parameters
    ----------
    columns : ``[n, m]``, of the first layer's weight
    free : ``[k]`` each, inputs that vary and their ends
    layers : ``[L, M, M]``, ``[L, M]`` and ``[L + 1]``: weights and biases of the layers above the first, padded, and the numbers of
        values before and after each
    tables : for this stage and as they are, end to end, and ``[L, 4]``: where an activation's begin, how far those of
        neighbouring features are apart (0 where all share one), the first argument, and how many there are
    goal : thresholds ``T[0] = -inf, T[1..K], T[K + 1] = inf`` and a margin where the two last values are a rival's and a label's
        pre-activations (:class:`netproof.conditions.order.OrderConditions`); without thresholds last values have to be at least 0
    x, a : ``[n]`` and ``[m]``, the point and what the first layer makes of it; changed
    values : ``[2, M]``, to work with
    random : ``[1]``, the state of :func:`drawn`; changed
    numbers : proposals, the temperature, and how near is near

    Returns
    -------
    found : whether the point is one where the goal is met, by the activations themselves
    energy : how far the point is from the goal, by the tables of this stage
    """
    which, least, most = free
    soft, hard, layout = tables
    steps, temperature, near = numbers
    state = random[0]
    energy = measure(a, columns[0], 0, layers, soft, layout, goal, values)
    found = energy <= near and measure(a, columns[0], 0, layers, hard, layout, goal, values) <= 0
    for _ in range(0 if found else steps):
        state = drawn(state)
        pick = (state * len(which)) >> 32
        chosen = which[pick]
        state = drawn(state)
        kind = state & 3
        value = least[pick] if kind == 0 else most[pick]
        if kind > 1:
            value = least[pick] + (((state >> 2) * (most[pick] - least[pick] + 1)) >> 30)
        change = value - x[chosen]
        if change == 0:
            continue
        missing = measure(a, columns[chosen], change, layers, soft, layout, goal, values)
        if missing > energy:
            state = drawn(state)
            if state >= 4294967296.0 * math.exp((energy - missing) / temperature):
                continue
        energy = missing
        x[chosen] += change
        for j in range(len(a)):
            a[j] += change * columns[chosen, j]
        if energy <= near and measure(a, columns[chosen], 0, layers, hard, layout, goal, values) <= 0:
            found = True
            break
    random[0] = state
    return found, energy
