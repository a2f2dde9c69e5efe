"""Formulas of QF_BV as a graph of terms, independent of any solver.

The operators are those of SMT-LIB 2.6 (logic QF_BV) by their names there, and mean what they mean
there. Terms are numbered in the order in which they are made, so operands come before the terms
that use them, and whoever goes through the numbers in order needs no recursion.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

#: the width by which Boolean terms are known
BOOLEAN = 0


class Op(str, Enum):
    """The operators in use; :attr:`value` is the SMT-LIB name."""

    VARIABLE = "declare-const"
    NUMERAL = "bv"
    TRUE = "true"
    FALSE = "false"
    NOT = "not"
    AND = "and"
    OR = "or"
    ITE = "ite"
    EQUAL = "="
    SIGNED_LE = "bvsle"
    UNSIGNED_LE = "bvule"
    ADD = "bvadd"
    SUBTRACT = "bvsub"
    NEGATE = "bvneg"
    MULTIPLY = "bvmul"
    MASK = "bvand"
    CONCAT = "concat"
    EXTRACT = "extract"
    SIGN_EXTEND = "sign_extend"
    ZERO_EXTEND = "zero_extend"


_COMMUTATIVE = frozenset({Op.AND, Op.OR, Op.EQUAL, Op.ADD, Op.MULTIPLY, Op.MASK})


class Term(NamedTuple):
    """An operator and the earlier terms that it is applied to.

    Attributes
    ----------
    op : its operator
    width : its bits, or :data:`BOOLEAN`
    operands : numbers of earlier terms
    indices : what the operator is indexed by: the unsigned value of a numeral, the bits ``(high, low)`` of an
        extraction, how many bits an extension adds, the number of a variable's name
    """

    op: Op
    width: int
    operands: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()


class Terms:
    """A growing list of terms.

    Parameters
    ----------
    share : give a term that was made before instead of making it again (hash consing)

    The methods check nothing: operands of the same width are the caller's business
    (:mod:`netproof.exact.smt.integers` takes care of it), and constants are folded where that is one line.
    """

    def __init__(self, *, share: bool = True) -> None:
        self._terms: list[Term] = []
        self._known: dict[Term, int] = {}
        self._share = share
        self.variables: list[str] = []
        self.true = self._make(Term(Op.TRUE, BOOLEAN))
        self.false = self._make(Term(Op.FALSE, BOOLEAN))

    def __len__(self) -> int:
        return len(self._terms)

    def __getitem__(self, number: int) -> Term:
        return self._terms[number]

    def width(self, number: int) -> int:
        return self._terms[number].width

    def variable(self, name: str, width: int) -> int:
        """A new variable; names must differ."""
        self.variables.append(name)
        return self._make(Term(Op.VARIABLE, width, (), (len(self.variables) - 1,)))

    def numeral(self, value: int, width: int) -> int:
        """``value`` modulo ``2**width``."""
        return self._make(Term(Op.NUMERAL, width, (), (value % (1 << width),)))

    def truth(self, value: bool) -> int:
        return self.true if value else self.false

    def negation(self, a: int) -> int:
        if a in (self.true, self.false):
            return self.truth(a == self.false)
        return self._make(Term(Op.NOT, BOOLEAN, (a,)))

    def conjunction(self, parts: Sequence[int]) -> int:
        return self._junction(Op.AND, parts, self.true, self.false)

    def disjunction(self, parts: Sequence[int]) -> int:
        return self._junction(Op.OR, parts, self.false, self.true)

    def ite(self, condition: int, then: int, otherwise: int) -> int:
        if condition == self.true or then == otherwise:
            return then
        if condition == self.false:
            return otherwise
        return self._make(Term(Op.ITE, self.width(then), (condition, then, otherwise)))

    def equal(self, a: int, b: int) -> int:
        return self._make(Term(Op.EQUAL, BOOLEAN, (a, b)))

    def signed_le(self, a: int, b: int) -> int:
        return self._make(Term(Op.SIGNED_LE, BOOLEAN, (a, b)))

    def unsigned_le(self, a: int, b: int) -> int:
        return self._make(Term(Op.UNSIGNED_LE, BOOLEAN, (a, b)))

    def add(self, a: int, b: int) -> int:
        return self._make(Term(Op.ADD, self.width(a), (a, b)))

    def subtract(self, a: int, b: int) -> int:
        return self._make(Term(Op.SUBTRACT, self.width(a), (a, b)))

    def negate(self, a: int) -> int:
        return self._make(Term(Op.NEGATE, self.width(a), (a,)))

    def multiply(self, a: int, b: int) -> int:
        return self._make(Term(Op.MULTIPLY, self.width(a), (a, b)))

    def mask(self, a: int, b: int) -> int:
        return self._make(Term(Op.MASK, self.width(a), (a, b)))

    def concat(self, high: int, low: int) -> int:
        return self._make(Term(Op.CONCAT, self.width(high) + self.width(low), (high, low)))

    def extract(self, a: int, high: int, low: int) -> int:
        """Bits ``high`` to ``low``, both included."""
        if low == 0 and high == self.width(a) - 1:
            return a
        term = self._terms[a]
        if term.op is Op.NUMERAL:
            return self.numeral(term.indices[0] >> low, high - low + 1)
        return self._make(Term(Op.EXTRACT, high - low + 1, (a,), (high, low)))

    def sign_extend(self, a: int, by: int) -> int:
        term = self._terms[a]
        if by == 0:
            return a
        if term.op is Op.NUMERAL:
            return self.numeral(signed(term.indices[0], term.width), term.width + by)
        return self._make(Term(Op.SIGN_EXTEND, term.width + by, (a,), (by,)))

    def zero_extend(self, a: int, by: int) -> int:
        term = self._terms[a]
        if by == 0:
            return a
        if term.op is Op.NUMERAL:
            return self.numeral(term.indices[0], term.width + by)
        return self._make(Term(Op.ZERO_EXTEND, term.width + by, (a,), (by,)))

    def _junction(self, op: Op, parts: Sequence[int], neutral: int, absorbing: int) -> int:
        left = [part for part in dict.fromkeys(parts) if part != neutral]
        if absorbing in left:
            return absorbing
        if not left:
            return neutral
        return left[0] if len(left) == 1 else self._make(Term(op, BOOLEAN, tuple(left)))

    def _make(self, term: Term) -> int:
        if not self._share:
            self._terms.append(term)
            return len(self._terms) - 1
        if term.op in _COMMUTATIVE:
            term = term._replace(operands=tuple(sorted(term.operands)))
        number = self._known.setdefault(term, len(self._terms))
        if number == len(self._terms):
            self._terms.append(term)
        return number


def signed(value: int, width: int) -> int:
    """The two's complement reading of an unsigned value of ``width`` bits."""
    return value - (1 << width) if value >> (width - 1) else value
