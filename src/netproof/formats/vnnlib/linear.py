"""Numbers and linear expressions of VNN-LIB, exactly."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from fractions import Fraction

from netproof.formats.vnnlib.formulas import And, Atom, Formula, Or
from netproof.formats.vnnlib.tokens import Tokens, printable
from netproof.property import LinearConstraint

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?\Z", re.ASCII)
VARIABLE = re.compile(r"([XY])_(0|[1-9]\d{0,8})\Z", re.ASCII)
_LARGEST_EXPONENT = 400
_LARGEST = Fraction(sys.float_info.max)
#: digits of numerators and denominators, in bits: those of all numbers that are read, and to spare
_MOST_BITS = 1 << 13

_ZERO, _ONE, _MINUS_ONE = Fraction(0), Fraction(1), Fraction(-1)

#: an expression in parentheses: the number of its opening word, then what is inside (words by their number)
Nested = list["int | Nested"]


def _decimal(word: str) -> Fraction:
    """A number without exponent; three times as fast as ``Fraction(word)``."""
    whole, _, decimals = word.partition(".")
    return Fraction(int(whole + decimals), 10 ** len(decimals))


class LinearForm:
    """A linear expression in the variables, with exact coefficients."""

    __slots__ = ("coefficients", "constant")

    def __init__(self, coefficients: dict[tuple[str, int], Fraction], constant: Fraction) -> None:
        self.coefficients = coefficients
        self.constant = constant

    def add(self, other: LinearForm, factor: int) -> None:
        """Add a multiple of another expression to this one."""
        for variable, value in other.coefficients.items():
            self.coefficients[variable] = self.coefficients.get(variable, Fraction(0)) + factor * value
        self.constant += factor * other.constant

    def __sub__(self, other: LinearForm) -> LinearForm:
        difference = LinearForm(dict(self.coefficients), self.constant)
        difference.add(other, -1)
        return difference

    def times(self, factor: Fraction) -> LinearForm:
        return LinearForm(
            {variable: factor * value for variable, value in self.coefficients.items()}, factor * self.constant
        )


class LinearReader:
    """Reads numbers, variables and linear expressions of them.

    Parameters
    ----------
    tokens : the words
    declared : the numbers of the variables, by letter
    """

    def __init__(self, tokens: Tokens, declared: dict[str, set[int]]) -> None:
        self._tokens = tokens
        self._declared = declared
        #: what words were found to be: numbers of any size, those in the range of float64, declared variables
        self._numbers: dict[str, Fraction] = {}
        self._in_range: dict[str, Fraction] = {}
        self._variables: dict[str, tuple[str, int]] = {}
        #: constraints between two words; files with many boxes say the same of most inputs in each
        self._constraints: dict[tuple[str, str, bool], LinearConstraint] = {}

    def compared(self, head: str, left: LinearForm, right: LinearForm, at: int) -> Formula:
        """``left head right``; what equality and its opposite consist of is put together.

        Raises
        ------
        FormatError : numbers beyond float64
        """
        strict = head in ("<", ">", "distinct")
        if head in ("=", "==", "distinct"):
            both = tuple(
                Atom(self._of_difference(one - two, strict, at), at) for one, two in ((left, right), (right, left))
            )
            return Or(both) if head == "distinct" else And(both)
        greater, lesser = (left, right) if head[0] == ">" else (right, left)
        return Atom(self._of_difference(greater - lesser, strict, at), at)

    def quick(self, head: str, left: Nested | int, right: Nested | int, at: int) -> Formula | None:
        """The same of two words, as most comparisons are; None where that does not say everything."""
        if head == "distinct":
            return None
        greater, lesser = (left, right) if head[0] == ">" else (right, left)
        constraint = self._simple(greater, lesser, head in ("<", ">"))
        if constraint is None:
            return None
        if head in ("=", "=="):
            opposite = self._simple(lesser, greater, False)
            return None if opposite is None else And((Atom(opposite, at), Atom(constraint, at)))
        return Atom(constraint, at)

    def _of_difference(self, difference: LinearForm, strict: bool, at: int) -> LinearConstraint:
        items = sorted((variable, value) for variable, value in difference.coefficients.items() if value)
        threshold = -difference.constant
        self._check(at, [value for _, value in items], threshold)
        return LinearConstraint(
            tuple((i, value) for (letter, i), value in items if letter == "X"),
            tuple((i, value) for (letter, i), value in items if letter == "Y"),
            threshold,
            strict,
        )

    def _simple(self, greater: Nested | int, lesser: Nested | int, strict: bool) -> LinearConstraint | None:
        """The constraint between two words, as most are; None where no variable is left in it."""
        if not isinstance(greater, int) or not isinstance(lesser, int):
            return None
        words = self._tokens.words
        key = words[greater], words[lesser], strict
        known = self._constraints.get(key)
        if known is not None:
            return known
        terms, threshold = [], _ZERO
        for at, one, sign in ((greater, _ONE, -1), (lesser, _MINUS_ONE, 1)):
            if words[at][0] in "XY":
                terms.append((self.variable(at), one))
            else:
                number = self.number(at)
                threshold = number if sign > 0 else -number
        if not terms or (terms[0][0] == terms[-1][0] and len(terms) == 2):
            return None
        terms.sort()
        found = LinearConstraint(
            tuple([(i, value) for (letter, i), value in terms if letter == "X"]),
            tuple([(i, value) for (letter, i), value in terms if letter == "Y"]),
            threshold,
            strict,
        )
        self._constraints[key] = found
        return found

    def variable(self, at: int) -> tuple[str, int]:
        """The letter and the number of a declared variable; raises :class:`FormatError` where a word is none."""
        word = self._tokens.words[at]
        known = self._variables.get(word)
        if known is not None:
            return known
        match = VARIABLE.match(word)
        if match is None:
            self._tokens.fail(at, f"{printable(word)} is neither a variable nor a number")
        letter, index = match.group(1), int(match.group(2))
        if index not in self._declared[letter]:
            self._tokens.fail(at, f"{word} is not declared")
        self._variables[word] = letter, index
        return letter, index

    def number(self, at: int) -> Fraction:
        """A number within the range of float64; raises :class:`FormatError` where a word is none."""
        word = self._tokens.words[at]
        known = self._in_range.get(word)
        if known is not None:
            return known
        value = self._any_number(at)
        if abs(value) > _LARGEST:
            self._tokens.fail(at, f"the number {printable(word)} is beyond the range of float64")
        self._in_range[word] = value
        return value

    def _any_number(self, at: int) -> Fraction:
        """A number of any size that can be written down: divided by another one it may be an ordinary one."""
        word = self._tokens.words[at]
        known = self._numbers.get(word)
        if known is not None:
            return known
        match = NUMBER.match(word)
        if match is None:
            self._tokens.fail(at, f"{printable(word)} is neither a variable nor a number")
        exponent = match.group(1) or "0"
        # Before anything of that length is computed with.
        if len(word) > 4 * _LARGEST_EXPONENT or len(exponent) > 5 or abs(int(exponent)) > _LARGEST_EXPONENT:
            self._tokens.fail(at, f"the number {printable(word)} has too many digits or too large an exponent")
        value = Fraction(word) if match.group(1) else _decimal(word)
        self._numbers[word] = value
        return value

    @staticmethod
    def is_variable(word: str) -> bool:
        """Whether a word is the name of an input or an output, declared or not."""
        return VARIABLE.match(word) is not None

    def term(self, at: int) -> LinearForm:
        """A word that is a number or a variable."""
        if self._tokens.words[at][0] in "XY":
            return LinearForm({self.variable(at): Fraction(1)}, Fraction(0))
        return LinearForm({}, self._any_number(at))

    def computed(self, head: str, terms: Sequence[LinearForm], start: int) -> LinearForm:
        """``+``, ``-``, ``*`` or ``/`` of linear expressions; raises :class:`FormatError` where that is not linear."""
        tokens = self._tokens
        if head in ("+", "-"):
            total = LinearForm({}, Fraction(0))
            for number, term in enumerate(terms):
                total.add(term, -1 if head == "-" and (number > 0 or len(terms) == 1) else 1)
                self._check_size(start, total, term)
            return total
        total = terms[0]
        for term in terms[1:]:
            if head == "*":
                if total.coefficients and term.coefficients:
                    tokens.fail(start, "variables are multiplied, only linear expressions are known")
                total = term.times(total.constant) if term.coefficients else total.times(term.constant)
            else:
                if term.coefficients or not term.constant:
                    tokens.fail(start, "division by something else than a number other than 0")
                total = total.times(1 / term.constant)
            self._check_size(start, total, total)
        return total

    def _check_size(self, at: int, total: LinearForm, changed: LinearForm) -> None:
        """Refuse numbers with more digits than anybody writes, before they grow on."""
        values = (total.constant, *(total.coefficients[variable] for variable in changed.coefficients))
        if any(max(v.numerator.bit_length(), v.denominator.bit_length()) > _MOST_BITS for v in values):
            self._tokens.fail(at, "the numbers of this expression come to more than 2400 digits")

    def _check(self, at: int, coefficients: list[Fraction], threshold: Fraction) -> None:
        """Refuse what no engine could take: numbers beyond float64, coefficients that share no denominator."""
        ends = [threshold / coefficients[0]] if len(coefficients) == 1 else []
        if any(abs(value) > _LARGEST for value in (*coefficients, threshold, *ends)):
            self._tokens.fail(at, "a number of this comparison is beyond the range of float64")
        common = 1
        for value in coefficients:
            common = math.lcm(common, value.denominator)
            if common.bit_length() > _MOST_BITS:
                self._tokens.fail(at, "the coefficients of this comparison have no common denominator of 2400 digits")
