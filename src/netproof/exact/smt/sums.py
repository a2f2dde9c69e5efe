"""Linear layers: weighted sums of integers.

A product with a constant weight is written in canonical signed digits (Reitwiese, *Advances in
Computers* 1, 1960): ``7 x = 8 x - x``, so shifts and a few additions. Of a weight only the odd part
``u`` of its magnitude is multiplied; its power of two is a shift and its sign turns an addition
into a subtraction. Neurons whose weights of an input share an odd part therefore share the product.
The items of a sum, ``+-2**k v`` each, are added in pairs of neighbours, pairs of pairs, and so on, the smallest
weights first: numbers of like size keep the additions narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netproof.exact.smt.integers import Integer, Integers
from netproof.exact.smt.options import EncodingOptions


@dataclass(frozen=True)
class Shifted:
    """A number ``offset + part``; constants stand in ``offset`` alone, with ``part`` None."""

    offset: int
    part: Integer | None = None

    @property
    def low(self) -> int:
        return self.offset + (self.part.low if self.part else 0)

    @property
    def high(self) -> int:
        return self.offset + (self.part.high if self.part else 0)


@dataclass(frozen=True)
class _Item:
    """A summand ``sign * 2**shift * value``."""

    negative: bool
    shift: int
    value: Integer


def canonical_digits(value: int) -> list[tuple[int, int]]:
    """``(sign, position)`` of the nonzero digits of ``value > 0``, no two of them neighbours, lowest first."""
    digits = []
    position = 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            digits.append((sign, position))
            value -= sign
        value >>= 1
        position += 1
    return digits


class Sums:
    """Makes weighted sums in the way the options say."""

    def __init__(self, integers: Integers, options: EncodingOptions) -> None:
        self._integers = integers
        self._options = options

    def weighted(self, operands: Sequence[Shifted], weights: Sequence[int], bias: int) -> Shifted:
        """``bias + sum_i weights[i] * operands[i]``, the constant part of it in the offset."""
        offset = bias + sum(w * x.offset for w, x in zip(weights, operands, strict=True))
        factors = [
            (w, x.part)
            for w, x in zip(weights, operands, strict=True)
            if x.part is not None and (w or not self._options.prune_zeros)
        ]
        if self._options.balanced_sums:
            factors.sort(key=lambda factor: abs(factor[0]))
        items = [self._product(part, w) for w, part in factors]
        if not items:
            return Shifted(offset)
        total = self._balanced(items) if self._options.balanced_sums else self._chain(items)
        return Shifted(offset, self._plain(total))

    def _product(self, x: Integer, weight: int) -> _Item:
        integers = self._integers
        if not weight:
            return _Item(False, 0, integers.scaled(x, 0))
        if not self._options.shift_constants:
            return _Item(False, 0, integers.scaled(x, weight))
        magnitude = abs(weight)
        shift = (magnitude & -magnitude).bit_length() - 1
        return _Item(weight < 0, shift, self._multiple(x, magnitude >> shift))

    def _multiple(self, x: Integer, factor: int) -> Integer:
        """``factor * x`` for an odd positive factor."""
        integers = self._integers
        if factor == 1:
            return x
        if (x.low, x.high) == (0, 1):
            # One bit: the product is the factor or nothing, which needs no adder.
            return integers.masked(integers.terms.extract(x.term, 0, 0), factor)
        *digits, (_, highest) = canonical_digits(factor)  # the highest digit is positive
        total = integers.shifted_left(x, highest)
        for sign, position in reversed(digits):
            part = integers.shifted_left(x, position)
            total = integers.add(total, part) if sign > 0 else integers.subtract(total, part)
        # The range of a sum of correlated parts is wider than that of the multiple; keep the latter.
        low, high = x.low * factor, x.high * factor
        return Integer(integers.resized(total, integers.width(low, high)), low, high)

    def _balanced(self, items: list[_Item]) -> _Item:
        while len(items) > 1:
            paired = [self._added(a, b) for a, b in zip(items[::2], items[1::2], strict=False)]
            items = paired + items[len(items) & ~1 :]
        return items[0]

    def _chain(self, items: list[_Item]) -> _Item:
        total = items[0]
        for item in items[1:]:
            total = self._added(total, item)
        return total

    def _added(self, a: _Item, b: _Item) -> _Item:
        integers = self._integers
        shift = min(a.shift, b.shift)
        left = integers.shifted_left(a.value, a.shift - shift)
        right = integers.shifted_left(b.value, b.shift - shift)
        if a.negative == b.negative:
            return _Item(a.negative, shift, integers.add(left, right))
        if a.negative:
            left, right = right, left
        return _Item(False, shift, integers.subtract(left, right))

    def _plain(self, item: _Item) -> Integer:
        value = self._integers.shifted_left(item.value, item.shift)
        return self._integers.negate(value) if item.negative else value
