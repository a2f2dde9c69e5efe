"""Staircases of whole numbers that quantizers are, behind lines and bends: every threshold exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import NodeError
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.qonnx.rounding import Bound, whole_at_least
from netproof.formats.onnx.qonnx.values import Line, Scaled, Step
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.values import Sums
from netproof.formats.tflite.staircases import staircase_of, with_fitting_hull
from netproof.operators.affine.scale import Scale

#: thresholds beyond that are never met, or always
_FAR = 1 << 50
#: how near to a whole number a threshold with a root in it may be before 200 bits do not tell on which side it is
_DOUBT = Fraction(1, 1 << 100)
_MOST_THRESHOLDS = 1 << 19


def staircase(
    build: Build, name: str, value: Scaled, groups: int, base: int, levels: Sequence[Callable[[int], Bound]]
) -> Sums:
    """Whole numbers from ``base`` upwards: one more for every level whose bound the value is within.

    Parameters
    ----------
    groups : how many runs of features have bounds of their own
    levels : the bounds, nondecreasing, each a function of the run
    """
    count = _shared(value.groups, groups)
    if count * len(levels) > _MOST_THRESHOLDS:
        raise NodeError(f"{count} times {len(levels)} levels, more than can be handled", "use fewer bits")
    build.translation.allocate(16 * count * len(levels))
    signs = np.array([_direction(value.steps, g, count) for g in range(count)])
    source: Sums = value
    if bool((signs < 0).any()):
        factor = torch.from_numpy(np.where(signs < 0, -1.0, 1.0))
        turn = Scale(value.size, factor, torch.zeros(1, dtype=torch.float64))
        source = build.affine(f"{name}/sign", turn, (value,), value.shape)
    found = np.empty((count, len(levels)), np.int64)
    for g in range(count):
        for k, level in enumerate(levels):
            found[g, k] = _threshold(value, g, count, int(signs[g]), level(g * groups // count))
    steps = with_fitting_hull(staircase_of(found, base), value.size)
    build.translation.ledger.nodes(1)
    node = build.translation.builder.add(printable(f"{name}/levels"), steps, source.node)
    low, high = steps.output_range(source.low, source.high)
    return Sums(node, value.shape, low, high)


def _shared(one: int, other: int) -> int:
    return int(np.lcm(one, other))


def _of(part: NDArray[Any], group: int, count: int) -> Fraction:
    number: Fraction = part[group * len(part) // count]
    return number


def _direction(steps: Sequence[Step], group: int, count: int) -> int:
    """Whether the steps rise (1) or fall (-1)."""
    scales = [_of(step.scale, group, count) for step in steps if isinstance(step, Line)]
    return -1 if sum(scale < 0 for scale in scales) % 2 else 1


def _threshold(value: Scaled, group: int, count: int, sign: int, bound: Bound) -> int:
    """The least whole number ``n`` for which the steps on ``sign n`` are within a bound."""
    number, strict = bound
    least = True
    for step in reversed(value.steps):
        if isinstance(step, Line):
            scale, shift = _of(step.scale, group, count), _of(step.shift, group, count)
            if scale == 0:
                within = shift > number or (shift == number and not strict)
                met = within if least else shift < number or (shift == number and not strict)
                return -_FAR if met else _FAR
            number = (number - shift) / scale
            least = least if scale > 0 else not least
        elif least and (number < 0 or (number == 0 and not strict)):
            return -_FAR  # what is bent is never below 0
        elif not least and (number < 0 or (number == 0 and strict)):
            return _FAR
    # What is asked of x, as a question about the least of sign x.
    if least != (sign > 0):
        raise NodeError("a chain that neither rises nor falls", "export the network again")
    number = number * sign
    if value.approximate and 0 < abs(number - round(number)) < _DOUBT:
        raise NodeError("a threshold with a root in it lies too near a whole number", "quantize it again")
    return max(-_FAR, min(_FAR, whole_at_least((number, strict))))
