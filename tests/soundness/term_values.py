"""An interpreter of terms, from the definitions of SMT-LIB's bit-vectors, for many assignments at once.

Values are NumPy int64, unsigned, so terms may have up to 62 bits; Booleans are 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from netproof.exact.smt.terms import Op, Terms

Integers = NDArray[np.int64]


def signed(value: Integers, width: int) -> Integers:
    return value - ((value >> (width - 1)) << width)


def _arithmetic(op: Op, args: list[Integers], width: int) -> Integers:
    if op is Op.NEGATE:
        return -args[0]
    first, second = args
    if op is Op.ADD:
        return first + second
    if op is Op.SUBTRACT:
        return first - second
    if op is Op.MASK:
        return first & second
    assert op is Op.MULTIPLY and width <= 31
    return first * second


def term_values(terms: Terms, variables: Mapping[str, Integers], count: int) -> list[Integers]:
    """The value of every term under ``count`` assignments ``[count]`` of the variables; checks the sorts as it goes."""
    values: list[Integers] = []
    for number in range(len(terms)):
        op, width, operands, indices = terms[number]
        assert 0 <= width <= 62, "too wide for this interpreter"
        assert all(o < number for o in operands)
        args = [values[o] for o in operands]
        widths = [terms.width(o) for o in operands]
        everything = (1 << width) - 1
        if op is Op.VARIABLE:
            value = variables[terms.variables[indices[0]]]
            assert ((value >= 0) & (value <= everything)).all()
        elif op is Op.NUMERAL:
            assert 0 <= indices[0] <= everything and width > 0
            value = np.full(count, indices[0])
        elif op in (Op.TRUE, Op.FALSE):
            value = np.full(count, int(op is Op.TRUE))
        elif op in (Op.NOT, Op.AND, Op.OR):
            assert width == 0 and not any(widths)
            value = 1 - args[0] if op is Op.NOT else (np.min(args, 0) if op is Op.AND else np.max(args, 0))
        elif op is Op.ITE:
            assert widths == [0, width, width]
            value = np.where(args[0] == 1, args[1], args[2])
        elif op in (Op.EQUAL, Op.SIGNED_LE, Op.UNSIGNED_LE):
            assert width == 0 and widths[0] == widths[1] > 0
            if op is Op.SIGNED_LE:
                args = [signed(a, widths[0]) for a in args]
            value = (args[0] == args[1] if op is Op.EQUAL else args[0] <= args[1]).astype(np.int64)
        elif op is Op.CONCAT:
            assert width == sum(widths)
            value = (args[0] << widths[1]) | args[1]
        elif op is Op.EXTRACT:
            high, low = indices
            assert 0 <= low <= high < widths[0] and width == high - low + 1
            value = (args[0] >> low) & everything
        elif op in (Op.SIGN_EXTEND, Op.ZERO_EXTEND):
            assert width == widths[0] + indices[0] and indices[0] > 0
            value = (signed(args[0], widths[0]) if op is Op.SIGN_EXTEND else args[0]) & everything
        else:
            assert all(w == width for w in widths) and width > 0
            value = _arithmetic(op, args, width) & everything
        values.append(value)
    return values
