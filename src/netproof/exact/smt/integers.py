"""Integers with known ranges as signed bit-vectors.

**Why no sum overflows.** An :class:`Integer` is a term of ``w`` bits with a range ``[low, high]``
such that ``-2**(w - 1) <= low <= high < 2**(w - 1)`` and the value it stands for lies in the range.
Ranges are Python integers, which do not overflow, and every operation derives the range of its result
from those of its operands by exact interval arithmetic *before* it chooses a width; the width is
at least :func:`signed_width` of that range. Operands are brought to the width of the result by sign
extension, or by dropping high bits. Addition, subtraction, negation and multiplication of bit-vectors
compute the result modulo ``2**w``, for which the operands matter modulo ``2**w`` only; and as the true
result lies between ``-2**(w - 1)`` and ``2**(w - 1) - 1``, its residue, read as two's complement,
is the result. Dropping the ``k`` lowest bits of two's complement divides by ``2**k``, rounded down.
"""

from __future__ import annotations

from dataclasses import dataclass

from netproof.exact.smt.terms import Terms


def signed_width(low: int, high: int) -> int:
    """The least ``w >= 1`` with ``-2**(w - 1) <= low`` and ``high < 2**(w - 1)``."""
    return max((-low - 1 if low < 0 else low).bit_length(), (-high - 1 if high < 0 else high).bit_length()) + 1


@dataclass(frozen=True)
class Integer:
    """A number in ``[low, high]``: ``term``, of at least ``signed_width(low, high)`` bits, read as two's complement."""

    term: int
    low: int
    high: int

    @property
    def constant(self) -> bool:
        return self.low == self.high


class Integers:
    """Arithmetic that keeps track of ranges.

    Parameters
    ----------
    terms : where terms are made
    decide : whether ranges may decide comparisons and choices
    """

    def __init__(self, terms: Terms, *, decide: bool = True) -> None:
        self.terms = terms
        self.decide = decide
        #: no result has fewer bits than this
        self.least_width = 1

    def width(self, low: int, high: int) -> int:
        return max(signed_width(low, high), self.least_width)

    def constant(self, value: int) -> Integer:
        return Integer(self.terms.numeral(value, self.width(value, value)), value, value)

    def resized(self, a: Integer, width: int) -> int:
        """The term of ``a`` with ``width`` bits: equal to it modulo ``2**width``."""
        has = self.terms.width(a.term)
        if width > has:
            return self.terms.sign_extend(a.term, width - has)
        return self.terms.extract(a.term, width - 1, 0)

    def add(self, a: Integer, b: Integer) -> Integer:
        low, high = a.low + b.low, a.high + b.high
        width = self.width(low, high)
        return Integer(self.terms.add(self.resized(a, width), self.resized(b, width)), low, high)

    def subtract(self, a: Integer, b: Integer) -> Integer:
        low, high = a.low - b.high, a.high - b.low
        width = self.width(low, high)
        return Integer(self.terms.subtract(self.resized(a, width), self.resized(b, width)), low, high)

    def negate(self, a: Integer) -> Integer:
        low, high = -a.high, -a.low
        return Integer(self.terms.negate(self.resized(a, self.width(low, high))), low, high)

    def shifted_left(self, a: Integer, by: int) -> Integer:
        """``a * 2**by``."""
        if by == 0:
            return a
        low, high = a.low << by, a.high << by
        shifted = Integer(self.terms.concat(a.term, self.terms.numeral(0, by)), low, high)
        return Integer(self.resized(shifted, self.width(low, high)), low, high)

    def shifted_right(self, a: Integer, by: int) -> Integer:
        """``floor(a / 2**by)``."""
        if by == 0:
            return a
        low, high = a.low >> by, a.high >> by
        # The bits above the lowest ``by`` must at least be the sign.
        width = max(self.terms.width(a.term), by + 1)
        shifted = Integer(self.terms.extract(self.resized(a, width), width - 1, by), low, high)
        return Integer(self.resized(shifted, self.width(low, high)), low, high)

    def scaled(self, a: Integer, factor: int) -> Integer:
        """``a * factor`` by ``bvmul``."""
        low, high = sorted((a.low * factor, a.high * factor))
        width = self.width(low, high)
        return Integer(self.terms.multiply(self.resized(a, width), self.terms.numeral(factor, width)), low, high)

    def masked(self, bit: int, value: int) -> Integer:
        """``value`` where the term ``bit``, of one bit, is 1, and 0 where it is 0."""
        low, high = min(value, 0), max(value, 0)
        width = self.width(low, high)
        term = self.terms.mask(self.terms.sign_extend(bit, width - 1), self.terms.numeral(value, width))
        return Integer(term, low, high)

    def at_least(self, a: Integer, bound: int) -> int:
        """The Boolean term ``a >= bound``."""
        if self.decide and (a.low >= bound or a.high < bound):
            return self.terms.truth(a.low >= bound)
        width = max(self.terms.width(a.term), signed_width(bound, bound))
        return self.terms.signed_le(self.terms.numeral(bound, width), self.resized(a, width))

    def at_most(self, a: Integer, bound: int) -> int:
        """The Boolean term ``a <= bound``."""
        return self.terms.negation(self.at_least(a, bound + 1))

    def not_less(self, a: Integer, b: Integer) -> int:
        """The Boolean term ``a >= b``."""
        if self.decide and (a.low >= b.high or a.high < b.low):
            return self.terms.truth(a.low >= b.high)
        width = max(self.terms.width(a.term), self.terms.width(b.term))
        return self.terms.signed_le(self.resized(b, width), self.resized(a, width))

    def clipped_below(self, a: Integer, bound: int) -> Integer:
        """``max(a, bound)``."""
        if self.decide and a.low >= bound:
            return a
        return self._chosen(self.at_least(a, bound), a, bound, max(a.low, bound), max(a.high, bound))

    def clipped_above(self, a: Integer, bound: int) -> Integer:
        """``min(a, bound)``."""
        if self.decide and a.high <= bound:
            return a
        return self._chosen(self.at_least(a, bound + 1), a, bound, min(a.low, bound), min(a.high, bound), swap=True)

    def _chosen(self, condition: int, a: Integer, bound: int, low: int, high: int, *, swap: bool = False) -> Integer:
        # Where ``a`` is chosen it lies in the range of the result, so dropping bits of it is exact there.
        # Both branches have the width of the result, for which the bound may be too wide where it is not chosen.
        width = self.width(low, high)
        branches = self.resized(a, width), self.terms.numeral(bound, width)
        then, otherwise = branches[::-1] if swap else branches
        return Integer(self.terms.ite(condition, then, otherwise), low, high)

    def chosen(self, condition: int, then: Integer, otherwise: Integer) -> Integer:
        """``then`` where the condition holds, else ``otherwise``."""
        low, high = min(then.low, otherwise.low), max(then.high, otherwise.high)
        width = self.width(low, high)
        return Integer(self.terms.ite(condition, self.resized(then, width), self.resized(otherwise, width)), low, high)
