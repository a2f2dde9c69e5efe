"""The passes of steps over all prices, as loops over numbers, for a compiler.

The same as :class:`netproof.bounds.envelope.copies.Copies` does with tensors: what is there some twenty passes over ``[B, m, n]`` is one pass to find where
the copies are, one to move the prices, and one to evaluate the bound. Plain Python on arrays, which :mod:`netproof.bounds.envelope.compiled` compiles; everything is float32, so that
loops become vector instructions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def locate(
    prices: Array,
    reach: Array,
    swing: Array,
    layer: tuple[Array, Array, Array, Array, Array, Array],
    received: Array,
    low: Array,
    high: Array,
    numbers: tuple[Any, Any, Any],
    stay: Array,
    rise: Array,
    found: tuple[Array, Array, Array, Array, Array, Array],
    pull: Array,
) -> None:
    """Where the copies of all neurons are, and what they are worth there.

    Parameters
    ----------
    prices : ``[B, m, n]``
    reach, swing : ``[m, n]``
    layer : ``[m]`` each, of :class:`~netproof.bounds.envelope.layer.LayerBox`: ``least``, the first threshold, the step, the value below it, the sum of
        the reaches; and ``[B, m]``, what a step pays
    received, low, high : ``[B, m]``, what neurons receive and their ranges
    numbers : the number of thresholds, the width of the smoothing, and the softness of the choice between copies
    stay, rise : ``[B, m]``, the corrections of the copies' marginal prices, which are corrected again
    found : ``[B, m]`` each, filled: the marginal prices of both copies, the share of the second, and of the conjugate value, argument and image
    pull : ``[B, n]``, filled: what the prices pay the point that all copies share
    """
    least, threshold, step, base, total, unit = layer
    levels, width, softness = numbers
    stay_price, rise_price, shares, value, argument, image = found
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    batch, neurons, inputs = prices.shape
    for b in range(batch):
        for i in range(inputs):
            pull[b, i] = zero
        for j in range(neurons):
            c, below, above = received[b, j], low[b, j], high[b, j]
            wide = width * unit[b, j]
            inverse = one / wide
            slope = c / step[j]
            old_stay, old_rise = stay[b, j], rise[b, j]
            first, second = old_stay, slope + old_rise
            first_base, second_base = first * inverse + half, second * inverse + half
            first_way = second_way = first_cost = second_cost = zero
            for i in range(inputs):
                price = prices[b, j, i]
                scaled = price * inverse
                moved = min(max(first_base - scaled, zero), one) * reach[j, i]
                other = min(max(second_base - scaled, zero), one) * reach[j, i]
                first_way += moved
                second_way += other
                first_cost += moved * price
                second_cost += other * price
                pull[b, i] += price * swing[j, i]
            # Staying where it is cheapest.
            at = least[j] + first_way
            there = min(max(at, below), above)
            level = min(max(np.floor((there - threshold[j]) / step[j]) + one, zero), levels)
            stays = c * (base[j] + level) - first_cost - old_stay * (there - at)
            # Along the slope, from threshold to threshold within the range; just before them where lower is better.
            lowest = min(max(np.floor((below - threshold[j]) / step[j]) + one, zero), levels)
            highest = min(max(np.floor((above - threshold[j]) / step[j]) + one, zero), levels)
            start = threshold[j] + lowest * step[j]
            if c <= zero:
                start -= one
            stop = start + (highest - lowest - one) * step[j]
            up = least[j] + second_way
            reached = min(max(up, start), stop)
            entered = min(max(np.floor((start - threshold[j]) / step[j]) + one, zero), levels)
            risen = entered + (reached - start) / step[j]
            rises = c * (base[j] + risen) - second_cost - second * (reached - up)
            share = zero
            mixed = level
            if stop >= start and ((c > zero and stop > there) or (c <= zero and start < there)):
                share = one / (one + math.exp(-(rises - stays) / (wide * total[j] * softness)))
                mixed = level + share * (risen - level)
            stay_price[b, j], rise_price[b, j], shares[b, j] = first, second, share
            value[b, j], argument[b, j], image[b, j] = stays, there, base[j] + mixed
            # Dual ascent on the corrections: up where a copy is below its range, down where it is above.
            gain = wide / total[j]
            if old_stay > zero:
                stay[b, j] = max(old_stay + gain * (below - at), zero)
            elif old_stay < zero:
                stay[b, j] = min(old_stay + gain * (above - at), zero)
            else:
                stay[b, j] = gain * (there - at)
            if old_rise > zero:
                rise[b, j] = max(old_rise + gain * (start - up), zero)
            elif old_rise < zero:
                rise[b, j] = min(old_rise + gain * (stop - up), zero)
            else:
                rise[b, j] = gain * (reached - up)


def move(
    prices: Array,
    last: Array,
    sign: Array,
    unit: Array,
    marginal: tuple[Array, Array, Array],
    shared: tuple[Array, Array, Array],
    numbers: tuple[Any, Any, Any],
    middle: Array,
) -> None:
    """Move the prices towards agreement of the copies with the point that all share.

    Parameters
    ----------
    prices, last : ``[B, m, n]``, of this step and of the one before without momentum, both changed
    sign : ``[m, n]``, of the swings
    unit : ``[B, m]``
    marginal : as :func:`locate` has found them: the marginal prices of the copies and the share of the second
    shared : ``[B, n]`` each: the pull of the prices, that of what reads the input past the layer, and the weight of each input
    numbers : width of the smoothing, length of the step in widths, 1 more than the momentum
    middle : ``[B, n]``, filled: the shared point
    """
    stay_price, rise_price, shares = marginal
    pull, direct, weight = shared
    width, length, ahead = numbers
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    batch, neurons, inputs = prices.shape
    for b in range(batch):
        for i in range(inputs):
            middle[b, i] = min(max((pull[b, i] + direct[b, i]) / (width * weight[b, i]) + half, zero), one)
        for j in range(neurons):
            wide = width * unit[b, j]
            inverse = one / wide
            first_base, second_base = stay_price[b, j] * inverse + half, rise_price[b, j] * inverse + half
            share, pace = shares[b, j], length * wide
            for i in range(inputs):
                price = prices[b, j, i]
                scaled = price * inverse
                copy = min(max(first_base - scaled, zero), one)
                copy += share * (min(max(second_base - scaled, zero), one) - copy)
                new = price + pace * (copy + sign[j, i] * (half - middle[b, i]) - half)
                before = last[b, j, i]
                prices[b, j, i] = before + ahead * (new - before)
                last[b, j, i] = new


def value_levels(
    order: NDArray[np.int64],
    prices: Array,
    reach: Array,
    layer: tuple[Array, Array, Array, Array, Array],
    received: Array,
    low: Array,
    high: Array,
    levels: Array,
    argument: Array,
    price: Array,
) -> None:
    """As :func:`netproof.bounds.envelope.bound.values_of_levels`, of the knapsacks of all neurons.

    Parameters
    ----------
    order : ``[B, m, n]``, the inputs by ascending price
    prices, reach : ``[B, m, n]`` and ``[m, n]``
    layer : ``least`` and the sum of the reaches, ``[m]``; the first and the last integer at each level and the values there, ``[m, K + 1]``
    received, low, high : ``[B, m]``
    levels, argument, price : ``[B, m, K + 1]``, filled
    """
    least, total, before, after, images = layer
    zero = np.float32(0)
    batch, neurons, inputs = prices.shape
    count = images.shape[1]
    for b in range(batch):
        for j in range(neurons):
            bottom, c = least[j], received[b, j]
            lowest, highest = max(low[b, j], bottom), min(high[b, j], bottom + total[j])
            # Where prices change their sign is the pre-activation of least cost.
            free = zero
            for i in range(inputs):
                if prices[b, j, i] < zero:
                    free += reach[j, i]
            taken = 0
            way = cost = zero
            at = order[b, j, 0]
            for h in range(count):
                start, stop = max(before[j, h], lowest), min(after[j, h], highest)
                if start > stop:
                    levels[b, j, h], argument[b, j, h], price[b, j, h] = -np.inf, bottom, prices[b, j, order[b, j, 0]]
                    continue
                there = min(max(bottom + free, start), stop)
                wanted = there - bottom
                while taken < inputs - 1 and way + reach[j, at] <= wanted:
                    way += reach[j, at]
                    cost += reach[j, at] * prices[b, j, at]
                    taken += 1
                    at = order[b, j, taken]
                margin = prices[b, j, at]
                levels[b, j, h] = c * images[j, h] - (cost + (wanted - way) * margin)
                argument[b, j, h], price[b, j, h] = there, margin
