"""Error terms of passes that compute new numbers from those of the file, in float64.

``u = 2**-53``; a sum or product of two float64 numbers is rounded by at most ``u`` of itself as long as it
does not fall below the normal numbers, and ``gamma_k = k u / (1 - k u)`` bounds ``k`` roundings on top of
each other (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIT = 2.0**-53
#: products whose factors are at least this large do not leave the normal numbers
_SMALLEST = 2.0**-500
_LARGEST = 2.0**500


def gamma(k: int) -> float:
    """``gamma_k``, rounded up."""
    return k * UNIT / (1 - k * UNIT) * (1 + 4 * UNIT)


def rounded_up(bound: Tensor) -> Tensor:
    """A bound that was computed by a few operations on numbers that are not negative, made safe."""
    return bound * (1 + 2.0**-48)


def safe_factor(values: Tensor) -> bool:
    """Whether products of two such numbers stay among the normal numbers (0 is harmless), so that ``u`` holds."""
    size = values.abs()
    return bool(((size == 0) | ((size >= _SMALLEST) & (size <= _LARGEST))).all())


def is_power_of_two(values: Tensor) -> bool:
    """Whether all of them are 0 or plus or minus a power of two, by which multiplication does not round."""
    mantissa, _ = torch.frexp(values)
    return bool(((mantissa.abs() == 0.5) | (values == 0)).all())
