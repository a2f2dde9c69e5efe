"""Smooth functions of one value: rigorous values at points, and the band between straight pieces that holds all of a range.

On a piece ``[a, b]`` whose derivative stays within ``[g, G]``, ``m`` the slope of its chord, the function differs from the chord by at
most ``(b - a) (G - m) (m - g) / (G - g)``: the difference is 0 at both ends, and its slope within ``[g - m, G - m]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ends = tuple[Floats, Floats]

#: pieces of a range, steps towards the line that is lowest in its middle, and ranges that are worked on at once
PIECES, _STEPS, _AT_ONCE = 32, 8, 1 << 12
#: the largest float32 number, within which what is clipped at one end has to stay
_MAX = float(np.finfo(np.float32).max)
#: relative errors of values and absolute ones, more than any rounding here, and those of slopes
_VALUE, _SLOPE, _TINY = 2.0**-46, 2.0**-40, 2.0**-500
#: ln 2 in two parts, of which a multiple of the first by up to 2^11 is exact
_LOG2 = float.fromhex("0x1.62e42fefap-1"), float.fromhex("0x1.cf79abc9e3b3ap-40")
#: pi / 2 in three parts in the same way, multiples by up to 2^20; beyond, sine and cosine are not evaluated
_HALF_PI = tuple(map(float.fromhex, ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69")))
_FARTHEST = 2.0**20


def _wider(y: Floats, error: Any = 0.0) -> Ends:
    slack = abs(y) * _VALUE + error + _TINY
    return y - slack, y + slack


def exponential(x: Floats) -> Ends:
    """``2^k e^r``, by Taylor's polynomial: what is left of it is below ``0.35^18 / 17!``."""
    inside = np.clip(x, -700.0, 700.0)
    k = np.rint(inside / math.log(2))
    r = (inside - k * _LOG2[0]) - k * _LOG2[1]
    total = np.ones_like(r)
    for n in range(17, 0, -1):
        total = 1 + total * r / n
    low, high = _wider(np.ldexp(total, k.astype(np.int32)))
    return np.where(x < -700, 0.0, low), np.where(x > 700, np.inf, high)


def logarithm(x: Floats) -> Ends:
    """``y + log(x / e^y)`` for a ``y`` nearby, whatever finds it."""
    y = np.log(x)
    ends = [(x - e) / e for e in reversed(exponential(y))]
    # log(1 + t) lies between t - t^2 and t where t is small.
    close = (abs(y) < 600) & (ends[0] > -0.1) & (ends[1] < 0.1)
    slack = abs(y) * _VALUE + 2 * _VALUE
    low, high = y + ends[0] - ends[0] ** 2 - slack, y + ends[1] + slack
    return np.where(close, low, -np.inf), np.where(close, high, np.inf)


def sigmoid(x: Floats) -> Ends:
    low, high = exponential(-x)
    return 1 / (1 + high) * (1 - _VALUE), np.minimum(1 / (1 + low) * (1 + _VALUE), 1.0)


def tangent(x: Floats) -> Ends:
    low, high = sigmoid(2 * x)
    return np.maximum(2 * low - 1 - _VALUE, -1.0), np.minimum(2 * high - 1 + _VALUE, 1.0)


def softplus(x: Floats) -> Ends:
    """``max(x, 0) + log(1 + e^-|x|)``."""
    rest, (low, high) = np.maximum(x, 0.0), exponential(-abs(x))
    low, high = logarithm(1 + np.maximum(low, 0.0))[0], logarithm(1 + high)[1]
    return np.maximum(_wider(rest + low, _VALUE)[0], rest), _wider(rest + high, _VALUE)[1]


def error_function(x: Floats) -> Ends:
    """``2 / sqrt(pi) e^-x^2 sum 2^n x^(2n+1) / (2n+1)!!``, all of one sign; beyond 6 less than ``e^-36`` is missing."""
    inside = np.minimum(abs(x), 6.0)
    # Terms shrink by 2 x^2 / (2 n + 1), at last by less than a quarter.
    total = np.zeros_like(inside)
    for n in range(160, -1, -1):
        total = 1 + total * 2 * inside**2 / (2 * n + 3)
    low, high = exponential(-(inside**2))
    factor = 2 / math.sqrt(math.pi) * inside * total
    ends = factor * low * (1 - 8 * _VALUE), np.minimum(factor * high * (1 + 8 * _VALUE) + _TINY, 1.0)
    ends = ends[0], np.where(abs(x) > 6, 1.0, ends[1])
    return np.where(x < 0, -ends[1], ends[0]), np.where(x < 0, -ends[0], ends[1])


def sine(x: Floats, turned: int = 0) -> Ends:
    """By quarters of a circle; with ``turned`` quarters added."""
    inside = np.clip(x, -_FARTHEST, _FARTHEST)
    k = np.rint(inside / _HALF_PI[0])
    r = ((inside - k * _HALF_PI[0]) - k * _HALF_PI[1]) - k * _HALF_PI[2]
    odd, even = np.ones_like(r), np.ones_like(r)
    for n in range(21, 1, -2):
        odd, even = 1 - odd * r * r / (n * (n - 1)), 1 - even * r * r / ((n - 1) * (n - 2))
    quarter = np.mod(k + turned, 4)
    y = np.where(quarter % 2 == 0, odd * r, even) * np.where(quarter >= 2, -1.0, 1.0)
    far = abs(x) > _FARTHEST
    return np.where(far, -1.0, np.maximum(y - _VALUE, -1.0)), np.where(far, 1.0, np.minimum(y + _VALUE, 1.0))


def _times(x: Floats, ends: Ends) -> Ends:
    """``x`` times what lies between ends."""
    products = x * ends[0], x * ends[1]
    return _wider(np.minimum(*products))[0], _wider(np.maximum(*products))[1]


def _normal(x: Floats) -> Ends:
    """The normal distribution's function."""
    low, high = error_function(x / math.sqrt(2))
    # The argument's rounding is worth less than its size, as the slope falls faster than 1 / |x|.
    return np.maximum((1 + low) / 2 - _VALUE, 0.0), np.minimum((1 + high) / 2 + _VALUE, 1.0)


def arctangent(x: Floats) -> Ends:
    """By ``atan(x) = 2 atan(x / (1 + sqrt(1 + x^2)))`` twice, of ``1 / |x|`` beyond 1, and what is left of the series below ``0.2^35``."""
    size = abs(x)
    r = np.where(size > 1, 1 / np.maximum(size, 1.0), size)
    for _ in range(2):
        r = r / (1 + np.sqrt(1 + r * r))
    total = np.zeros_like(r)
    for n in range(33, 0, -2):
        total = 1 / n - r * r * total
    y = 4 * r * total
    y = np.where(size > 1, math.pi / 2 - y, y)
    low, high = _wider(np.copysign(y, x))
    return np.maximum(low, -2.0), np.minimum(high, 2.0)


def _elu(x: Floats) -> Ends:
    """``e^x - 1`` below 0, ``x`` above."""
    low, high = (_wider(e - 1, _VALUE)[side] for side, e in enumerate(exponential(np.minimum(x, 0.0))))
    return np.where(x < 0, low, x), np.where(x < 0, high, x)


def _mish(x: Floats) -> Ends:
    """``x tanh(log(1 + e^x))``."""
    low, high = (tangent(end)[side] for side, end in enumerate(softplus(x)))
    return _times(x, (low, high))


def _mish_slope(x: Floats, _: Floats) -> Floats:
    t = tangent(softplus(x)[1])[1]
    return np.asarray(t + x * _logistic(x) * (1 - t * t))


#: the factor of an approximation of Gelu, and of the cube in it
_RATE, _CUBE = 2 * math.sqrt(2 / math.pi), 0.044715


def _approximate(x: Floats) -> Ends:
    """``x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``."""
    z = np.clip(_RATE * (x + _CUBE * x**3), -2000.0, 2000.0)
    (low, high), slack = sigmoid(z), (1 + abs(z)) * 2.0**-49
    return _times(x, (low * (1 - slack), high * (1 + slack)))


def _approximate_slope(x: Floats, _: Floats) -> Floats:
    g = _logistic(np.clip(_RATE * (x + _CUBE * x**3), -2000.0, 2000.0))
    return np.asarray(g + x * g * (1 - g) * _RATE * (1 + 3 * _CUBE * x * x))


def _everywhere(low: Floats, high: Floats) -> NDArray[np.bool_]:
    return np.isfinite(low) & np.isfinite(high)


def _positive(low: Floats, high: Floats) -> NDArray[np.bool_]:
    return (low > 0) & np.isfinite(high)


def _near(low: Floats, high: Floats) -> NDArray[np.bool_]:
    return (low >= -_FARTHEST) & (high <= _FARTHEST)


def _density(x: Floats) -> Floats:
    return exponential(-(x**2) / 2)[1] / math.sqrt(2 * math.pi)


def _logistic(x: Floats) -> Floats:
    return sigmoid(x)[1]


def _exact(y: Floats) -> Ends:
    """Of a function that rounds to nearest."""
    return np.nextafter(y, -np.inf), np.nextafter(y, np.inf)


@dataclass(frozen=True)
class Curve:
    """A function.

    Attributes
    ----------
    ends : two numbers that hold its value, for every point
    slope : the derivative at points, by the value there, but for an error of :data:`_SLOPE` in parts of it, and of that times
        ``besides``, which is 0 where it is found without a sum that could cancel
    ball : its value on a ball of Arb's
    turns : where the derivative turns, at a point and within 2^-20 of it, and the derivative there; in between it only rises or falls
    period : after which all turns come again
    defined : on which ranges it is there
    """

    ends: Callable[[Floats], Ends]
    slope: Callable[[Floats, Floats], Floats]
    ball: Callable[[Any], Any]
    turns: tuple[tuple[float, float], ...] = ()
    period: float = math.inf
    defined: Callable[[Floats, Floats], NDArray[np.bool_]] = _everywhere
    #: of what jumps its pieces over ranges: where each begins and ends, ``[2, k, n]``, and what it is below and above at both
    pieces: Callable[[Floats, Floats], tuple[Floats, Floats, Floats]] | None = None
    besides: float = 1.0

    def slopes(self, a: Floats, b: Floats, at_a: Floats, at_b: Floats) -> Ends:
        """Between what the derivative stays on pieces."""
        low, high = np.minimum(at_a, at_b), np.maximum(at_a, at_b)
        for point, value in self.turns:
            first, last = (a - point - 2.0**-20) / self.period, (b - point + 2.0**-20) / self.period
            within = (first <= 0) & (last >= 0) if math.isinf(self.period) else np.ceil(first) <= np.floor(last)
            low, high = np.where(within, np.minimum(low, value), low), np.where(within, np.maximum(high, value), high)
        slack = (_SLOPE * (self.besides + abs(end)) + _TINY for end in (low, high))
        return low - next(slack), high + next(slack)


def _sides(low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """-1 below 0, 1 above, and at 0 anything between."""
    zero = np.clip(0.0, low, high)
    value = np.stack([np.where(low <= 0, -1.0, 1.0), np.where(high >= 0, 1.0, -1.0)])
    value = np.stack([value, value])
    return np.stack([np.stack([low, zero]), np.stack([zero, high])]), value, value


def _signs(low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """The same, and 0 at 0."""
    ends, *_ = _sides(low, high)
    value = np.sign(np.stack([low, high]))
    return ends, np.stack([value, value]), np.stack([value, value])


def _stairs(low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """The largest whole number; where there are many steps what is between ``x - 1`` and ``x``."""
    first, steps = np.floor(low), np.arange(PIECES)[:, None]
    few = np.floor(high) - first < PIECES
    ends = np.stack([np.where(few, np.clip(first + steps + k, low, high), (low, high)[k]) for k in range(2)])
    value = np.minimum(first + steps, np.floor(high))
    below, above = (np.where(few, value, end) for end in (np.nextafter(ends - 1, -np.inf), ends))
    return ends, below, above


_ROOT = math.sqrt(2)
#: by names of their own
CURVES = {
    "sigmoid": Curve(sigmoid, lambda x, y: y * (1 - y), lambda x: 1 / (1 + (-x).exp()), ((0.0, 0.25),)),
    "atan": Curve(arctangent, lambda x, y: 1 / (1 + x * x), lambda x: x.atan(), ((0.0, 1.0),)),
    "elu": Curve(
        _elu,
        lambda x, y: np.where(x < 0, exponential(np.minimum(x, 0.0))[1], 1.0),
        lambda x: x if x >= 0 else x.expm1(),
    ),
    "floor": Curve(
        lambda x: (np.floor(x), np.floor(x)),
        lambda x, y: 0 * x,
        lambda x: x.floor(),
        defined=lambda low, high: (low > -(2.0**40)) & (high < 2.0**40),
        pieces=_stairs,
    ),
    "gelu tanh": Curve(
        _approximate,
        _approximate_slope,
        lambda x: x / (1 + (-2 * (2 / x.pi()).sqrt() * (x + x**3 * 44715 / 10**6)).exp()),
        ((1.4185040087908284, 1.1289930686587718), (-1.4185040087908284, -0.1289930686587718)),
    ),
    "hardswish": Curve(
        # Below 0 by a sum that is exact where it cancels.
        lambda x: _times(x, _wider(np.clip((x + 3) / 6, 0.0, 1.0))),
        lambda x, y: np.where(abs(x) < 3, x / 3 + 0.5, (x > 0) * 1.0),
        lambda x: 0 * x if x <= -3 else x if x >= 3 else x * (x + 3) / 6,
        ((-3.0, 0.0), (-3.0, -0.5), (3.0, 1.0), (3.0, 1.5)),
    ),
    "mish": Curve(
        _mish,
        _mish_slope,
        lambda x: x * x.exp().log1p().tanh(),
        ((-2.2563763963607931, -0.11252612238946256), (1.4905711794854285, 1.0884981612517279)),
    ),
    "side": Curve(
        lambda x: (np.where(x > 0, 1.0, -1.0), np.where(x < 0, -1.0, 1.0)),
        lambda x, y: 0 * x,
        lambda x: x.sgn(),
        pieces=_sides,
    ),
    "sign": Curve(lambda x: (np.sign(x), np.sign(x)), lambda x, y: 0 * x, lambda x: x.sgn(), pieces=_signs),
    "within": Curve(
        lambda x: (x, x), lambda x, y: 0 * x + 1, lambda x: x, defined=lambda low, high: (low >= -_MAX) & (high <= _MAX)
    ),
    "tanh": Curve(tangent, lambda x, y: 1 - y * y, lambda x: x.tanh(), ((0.0, 1.0),)),
    "exp": Curve(exponential, lambda x, y: y, lambda x: x.exp(), besides=0.0),
    "log": Curve(logarithm, lambda x, y: 1 / x, lambda x: x.log(), defined=_positive, besides=0.0),
    "softplus": Curve(softplus, lambda x, y: _logistic(x), lambda x: x.exp().log1p()),
    "erf": Curve(
        error_function,
        lambda x, y: 2 / math.sqrt(math.pi) * exponential(-(x**2))[1],
        lambda x: x.erf(),
        ((0.0, 2 / math.sqrt(math.pi)),),
    ),
    "gelu": Curve(
        lambda x: _times(x, _normal(x)),
        lambda x, y: _normal(x)[1] + x * _density(x),
        lambda x: x / 2 * (1 + (x / (0 * x + 2).sqrt()).erf()),
        ((_ROOT, 1.1289041451851548), (-_ROOT, -0.1289041451851548)),
    ),
    "swish": Curve(
        lambda x: _times(x, sigmoid(x)),
        lambda x, y: _logistic(x) * (1 + x * (1 - _logistic(x))),
        lambda x: x / (1 + (-x).exp()),
        ((2.39935728052, 1.0998393201288669), (-2.39935728052, -0.0998393201288669)),
    ),
    "softsign": Curve(
        lambda x: _wider(x / (1 + abs(x))),
        lambda x, y: 1 / (1 + abs(x)) ** 2,
        lambda x: x / (1 + abs(x)),
        ((0.0, 1.0),),
    ),
    "sin": Curve(
        sine,
        lambda x, y: sine(x, 1)[1],
        lambda x: x.sin(),
        ((0.0, 1.0), (math.pi, -1.0)),
        period=2 * math.pi,
        defined=_near,
    ),
    "cos": Curve(
        lambda x: sine(x, 1),
        lambda x, y: -sine(x)[1],
        lambda x: x.cos(),
        ((math.pi / 2, -1.0), (-math.pi / 2, 1.0)),
        period=2 * math.pi,
        defined=_near,
    ),
    "sqrt": Curve(
        lambda x: _exact(np.sqrt(x)),
        lambda x, y: 0.5 / y,
        lambda x: x.sqrt(),
        defined=lambda low, high: (low >= 0) & np.isfinite(high),
        besides=0.0,
    ),
    "reciprocal": Curve(
        lambda x: _exact(1 / x),
        lambda x, y: -1 / x**2,
        lambda x: 1 / x,
        defined=lambda low, high: low * high > 0,
        besides=0.0,
    ),
    "square": Curve(lambda x: _wider(x * x), lambda x, y: 2 * x, lambda x: x * x, besides=0.0),
    "cube": Curve(lambda x: _wider(x * x * x), lambda x, y: 3 * x * x, lambda x: x * x * x, ((0.0, 0.0),), besides=0.0),
}


class Band:
    """A curve over ranges ``[low, high]``, ``[n]`` each: between two ends of a piece, and nowhere else, it lies below the line through
    what is ``above`` them and above that through what is ``below``. Where it is not defined these are infinite.

    Attributes
    ----------
    x, below, above : ``[2 PIECES, n]``, of every piece both ends
    """

    def __init__(self, curve: Curve, low: Floats, high: Floats, ends: Callable[[Curve, Floats], Ends]) -> None:
        self._curve, self._ends = curve, ends
        high = np.maximum(low, high)
        sure = curve.defined(low, high)
        if curve.pieces is not None:
            x, *values = curve.pieces(low, high)
            self.x, below, above = (part.reshape(-1, len(low)) for part in (x, *values))
            self.below, self.above = np.where(sure, below, -np.inf), np.where(sure, above, np.inf)
            return
        columns = np.arange(len(low))
        #: of both ends of every piece the point, the value from below and above, and the slope
        parts, gap = np.zeros((2, PIECES, 4, len(low))), np.zeros((PIECES, len(low)))
        for side, x in enumerate((low, high)):
            parts[side, 0] = self._at(np.where(sure, x, 1.0))
        gap[0] = self._gap(parts[:, 0])
        for piece in range(1, PIECES):
            # The piece with the largest gap is halved.
            worst = gap[:piece].argmax(0)
            first, last = parts[:, worst, :, columns].transpose(1, 2, 0)
            middle = self._at(first[0] / 2 + last[0] / 2)
            parts[0, piece], parts[1, piece] = middle, last
            parts[1, worst, :, columns] = middle.T
            gap[piece], gap[worst, columns] = self._gap(parts[:, piece]), self._gap(np.stack([first, middle]))
        self.x, below, above = (parts[:, :, n].reshape(2 * PIECES, -1) for n in range(3))
        gap = np.concatenate([gap, gap])
        self.below = np.where(sure, np.nextafter(below - gap, -np.inf), -np.inf)
        self.above = np.where(sure, np.nextafter(above + gap, np.inf), np.inf)

    def _at(self, x: Floats) -> Floats:
        """The point, the value from below and above, and the slope: ``[4, n]``."""
        below, above = self._ends(self._curve, x)
        return np.stack([x, below, above, self._curve.slope(x, below / 2 + above / 2)])

    def _gap(self, ends: Floats) -> Floats:
        """How far the function may be from the chord of a piece with such ends, ``[2, 4, n]``."""
        (a, low_a, high_a, slope_a), (b, low_b, high_b, slope_b) = ends
        width = (b - a) * (1 + _VALUE)
        g, most = self._curve.slopes(a, b, slope_a, slope_b)
        chord = (low_b - high_a) / width, (high_b - low_a) / width
        slack = _VALUE * np.maximum(*map(abs, chord))
        parts = np.minimum(most - chord[0] + slack, most - g), np.minimum(chord[1] - g + slack, most - g)
        small, large = np.minimum(*parts), np.maximum(np.maximum(*parts), _TINY)
        found = width * np.maximum(small, 0.0) / (1 + small / large) * (1 + _SLOPE) + _TINY
        return np.where(width > 0, np.where(np.isnan(found), np.inf, found), 0.0)

    def line(self, sign: int) -> Ends:
        """Slopes ``p`` and numbers ``e``, ``[n]``, such that ``sign f(a) <= p a + e``, lowest near the middle of the range."""
        y = self.above if sign > 0 else -self.below
        columns, half = np.arange(y.shape[1]), len(self.x) // 2
        middle = self.x[0] / 2 + self.x[half:].max(0) / 2
        left, right = 0 * columns, half + self.x[half:].argmax(0)
        slope = np.zeros(y.shape[1])
        for _ in range(_STEPS):
            width = self.x[right, columns] - self.x[left, columns]
            slope = (y[right, columns] - y[left, columns]) / np.where(width > 0, width, np.inf)
            slope = np.where(abs(slope) < np.inf, slope, 0.0)
            best = (y - slope * self.x).argmax(0)
            before = self.x[best, columns] <= middle
            left, right = np.where(before, best, left), np.where(before, right, best)
        slack = 2.0**-50 * (abs(y) + abs(slope * self.x)) + _TINY
        return slope, (y - slope * self.x + slack).max(0)


@dataclass(frozen=True, eq=False)
class Lines:
    """Of a curve over ranges, all of the shape of these: ``-(below[0] a + below[1]) <= f(a) <= above[0] a + above[1]``, and what
    no value is below and above."""

    below: Ends
    above: Ends
    least: Floats
    most: Floats

    def take(self, rows: NDArray[np.int64]) -> Lines:
        """Of some ranges."""
        below, above = ((one[0][rows], one[1][rows]) for one in (self.below, self.above))
        return Lines(below, above, self.least[rows], self.most[rows])

    @staticmethod
    def over(curve: Curve, low: Floats, high: Floats, ends: Callable[[Curve, Floats], Ends]) -> Lines:
        """The lines of a curve over ranges."""
        flat, found = (low.reshape(-1), high.reshape(-1)), []
        for at in range(0, max(1, low.size), _AT_ONCE):
            low_, high_ = (x[at : at + _AT_ONCE] for x in flat)
            band = Band(curve, low_, high_, ends)
            found.append((*band.line(-1), *band.line(1), band.below.min(0), band.above.max(0)))
        parts = [np.concatenate(part).reshape(low.shape) for part in zip(*found, strict=True)]
        return Lines((parts[0], parts[1]), (parts[2], parts[3]), parts[4], parts[5])
