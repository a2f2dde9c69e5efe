"""Three arithmetics in which a bound is evaluated: float64 with an error term, balls, and fractions.

In all of them boxes, ranges and multipliers are float64 numbers; what is computed from them, coefficients and values, is
in the arithmetic. :meth:`upper` makes a float64 that is at least as large as what was meant.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from netproof.certificate.checker.real.curved.curves import Curve, Ends, Floats
from netproof.certificate.checker.real.operators import Array
from netproof.errors import InputError

NAMES = ("float64", "arb", "rational")
_UNIT = 2.0**-53
#: more than what underflow can take off a bound where no value reaches LARGEST (docs/certificates.md)
TINY = 2.0**-500
LARGEST = 2.0**400


def gamma(terms: float) -> float:
    """A relative error of so many roundings (Higham, *Accuracy and Stability of Numerical Algorithms*, lemma 3.1), rounded up."""
    return terms * _UNIT / (1 - terms * _UNIT) * (1 + 2.0**-40) if terms < 2.0**40 else math.inf


def above(value: Fraction) -> float:
    """The smallest float64 that is at least ``value``."""
    try:
        near = value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -float(np.finfo(np.float64).max)
    top, bottom = near.as_integer_ratio()
    return math.nextafter(near, math.inf) if top * value.denominator < value.numerator * bottom else near


def unit_of(values: Floats) -> int:
    """The exponent of a power of two of which all values are multiples."""
    mantissa, exponent = np.frexp(values[values != 0])
    if not np.isfinite(mantissa).all():
        return -(1 << 20)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    return int((exponent - 53 + np.log2((whole & -whole).astype(np.float64)).astype(np.int64)).min(initial=1 << 20))


def middle_of(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Middles, and reaches such that ``middle +- reach`` holds the interval."""
    middle = np.where(lower == upper, lower, lower / 2 + upper / 2)
    reach = np.maximum(upper - middle, middle - lower)
    return middle, np.where(lower == upper, 0.0, np.maximum(np.nextafter(reach, math.inf), 0.0))


class Float64:
    """Floating point; everything that rounding can do is in an error term that is added at the end."""

    name = "float64"
    exact = False

    def load(self, values: Array) -> Array:
        return np.asarray(values, np.float64)

    def fraction(self, value: Fraction) -> Any:
        """One number, rounded to nearest."""
        try:
            return value.numerator / value.denominator
        except OverflowError:
            return math.inf

    def root(self, values: Array) -> Array:
        """Square roots of numbers above 0."""
        return np.asarray(np.sqrt(values))

    def near(self, values: Array) -> Array:
        """float64 numbers nearby, to choose by."""
        return values

    def ends(self, curve: Curve, points: Floats) -> Ends:
        """float64 numbers that hold the values of a curve at points."""
        return curve.ends(points)

    def maximum(self, first: Array, second: Array) -> Array:
        """The larger of two, entry by entry."""
        larger: Array = np.maximum(first, second)
        return larger

    def upper(self, values: Array, error: Array) -> Array:
        """``values + error``, rounded up; infinite where there is no bound."""
        bound = np.nextafter(values + error, np.inf)
        return np.where(np.isfinite(values) & np.isfinite(error), bound, np.inf)


class Rational(Float64):
    """Fractions, for small networks."""

    name = "rational"
    exact = True

    def load(self, values: Array) -> Array:
        flat = np.asarray(values, np.float64)
        return self._each(flat, Fraction)

    def fraction(self, value: Fraction) -> Any:
        return value

    def root(self, values: Array) -> Array:
        def rooted(square: Fraction) -> Fraction:
            found = Fraction(math.isqrt(square.numerator), math.isqrt(square.denominator))
            if not found or found * found != square:
                problem = "a batch normalization divides by an irrational number"
                raise InputError("--arithmetic rational", problem, "use arb or float64")
            return found

        return self._each(values, rooted)

    def near(self, values: Array) -> Array:
        return self._each(values, self._float, np.float64)

    def upper(self, values: Array, error: Array) -> Array:
        del error
        return self._each(values, above, np.float64)

    @staticmethod
    def _float(value: Fraction) -> float:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf

    @staticmethod
    def _each(values: Array, function: Any, dtype: Any = object) -> Array:
        array = np.empty(values.size, dtype)
        array[:] = [function(value) for value in values.reshape(-1).tolist()]
        return array.reshape(values.shape)


class Ball(Rational):
    """Balls of 128 bits by Arb, through python-flint: midpoints with radii that hold every rounding."""

    name = "arb"
    bits = 128

    def __init__(self) -> None:
        try:
            import flint
        except ImportError:
            raise InputError(
                "--arithmetic arb", "needs python-flint, which is not installed", "pip install 'netproof[arb]'"
            ) from None
        flint.ctx.prec = self.bits
        self._arb = flint.arb

    def load(self, values: Array) -> Array:
        return self._each(np.asarray(values, np.float64), self._arb)

    def fraction(self, value: Fraction) -> Any:
        return self._arb(value.numerator) / self._arb(value.denominator)

    def root(self, values: Array) -> Array:
        return self._each(values, lambda value: value.sqrt())

    def near(self, values: Array) -> Array:
        return self._each(values, float, np.float64)

    def maximum(self, first: Array, second: Array) -> Array:
        larger: Array = np.frompyfunc(lambda a, b: a.max(b), 2, 1)(first, second)
        return larger

    def ends(self, curve: Curve, points: Floats) -> Ends:
        values = self._each(np.asarray(points), lambda x: curve.ball(self._arb(x)))
        return -self.upper(-values, points), self.upper(values, points)

    def upper(self, values: Array, error: Array) -> Array:
        del error

        def end(value: Any) -> float:
            top = value.upper()
            if not top.is_finite():
                return math.inf
            # Rounded to nearest, and one step on: never below.
            return math.nextafter(float(top), math.inf)

        return self._each(values, end, np.float64)


def arithmetic_of(name: str) -> Float64:
    """The arithmetic of a name; raises :class:`InputError` for others, and where a library is missing."""
    kinds: dict[str, type[Float64]] = {"float64": Float64, "rational": Rational, "arb": Ball}
    if name not in kinds:
        raise InputError("--arithmetic", f"'{name[:40]}' is no arithmetic", f"give one of {', '.join(NAMES)}")
    return kinds[name]()
