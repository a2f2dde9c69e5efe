"""Reader for properties in VNN-LIB 1.0, plain or gzip, as the competitions' files use it.

A file declares ``X_0 ..`` and ``Y_0 ..`` and asserts formulas of ``and``, ``or`` and comparisons of linear
expressions. All asserts together are brought into a disjunction of conjunctions; what each conjunction
says of single inputs becomes its box, and conjunctions with one box stay together.

Source: VNN-LIB, https://www.vnnlib.org; the rules of VNN-COMP 2021 to 2024.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from netproof.errors import FormatError
from netproof.formats.files import read_bytes
from netproof.formats.vnnlib_formulas import And, Atom, Bounds, Formula, Or, parts_of
from netproof.formats.vnnlib_tokens import Tokens, printable
from netproof.host import on_own_terms
from netproof.property import LinearConstraint, Property

_SIZE_LIMIT = 1 << 26
_DEEPEST = 64
_LARGEST_EXPONENT = 400
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?\Z", re.ASCII)
_VARIABLE = re.compile(r"([XY])_(0|[1-9]\d{0,8})\Z", re.ASCII)
_COMPARISONS = ("<=", ">=", "<", ">", "=", "==")
#: commands that say nothing about the property
_IGNORED = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")

#: an expression in parentheses: the number of its opening word, then what is inside (words by their number)
_Nested = list["int | _Nested"]


@on_own_terms
def read_vnnlib(path: str | Path) -> Property:
    """Read a property.

    Raises
    ------
    FormatError : missing or damaged file; with line and column: what is no VNN-LIB, undeclared variables, numbers
        that are none or beyond float64, products of variables, an empty box, an input without a bound
    """
    data = read_bytes(path, "property file", limit=_SIZE_LIMIT)
    return _Reader(path, data.decode("utf-8", "replace")).read()


class _Reader:
    def __init__(self, path: str | Path, text: str) -> None:
        self._path = path
        self._tokens = Tokens(path, text)
        self._declared: dict[str, set[int]] = {"X": set(), "Y": set()}
        self._numbers: dict[str, Fraction] = {}
        self._bounds = Bounds()
        self._formulas: list[Formula] = []

    def read(self) -> Property:
        words, at = self._tokens.words, 0
        while at < len(words):
            simple = self._simple_bound(at)
            at = simple if simple else self._statement(at)
        counts = []
        for letter, kind in (("X", "input"), ("Y", "output")):
            found = self._declared[letter]
            if not found:
                raise FormatError(self._path, f"declares no {kind} {letter}_0", "give a VNN-LIB 1.0 property")
            if max(found) != len(found) - 1:
                missing = next(i for i in range(len(found)) if i not in found)
                raise FormatError(
                    self._path,
                    f"declares {letter}_{max(found)} but not {letter}_{missing}",
                    "declare all variables from 0 on",
                )
            counts.append(len(found))
        inputs, outputs = counts
        parts = parts_of(self._tokens, self._path, inputs, self._bounds, self._formulas)
        return Property(str(self._path), inputs, outputs, parts)

    def _simple_bound(self, at: int) -> int:
        """Take ``(assert (<= X_3 0.5))`` in one step, as most of a file is; 0 where something else stands there."""
        words = self._tokens.words[at : at + 8]
        if len(words) < 8 or words[1] != "assert" or words[6] != ")" or words[7] != ")" or words[0] != "(":
            return 0
        _, _, opening, comparison, variable, number, _, _ = words
        if opening != "(" or comparison not in ("<=", ">=") or variable[:2] != "X_" or number in "()":
            return 0
        name = _VARIABLE.match(variable)
        if name is None or not _NUMBER.match(number):
            return 0
        index = self._variable(at + 4)[1]
        value = self._number(at + 5)
        if comparison == ">=":
            self._bounds.raise_lower(index, value, at + 2)
        else:
            self._bounds.lower_upper(index, value, at + 2)
        return at + 8

    def _statement(self, at: int) -> int:
        tokens = self._tokens
        if tokens.words[at] != "(":
            tokens.fail(at, f"{printable(tokens.words[at])} where a command in parentheses should begin")
        nested, after = self._nest(at)
        if len(nested) < 2 or not isinstance(nested[1], int):
            tokens.fail(at, "an expression without a command")
        command = tokens.words[nested[1]]
        if command in ("declare-const", "declare-fun"):
            self._declare(nested, command)
        elif command == "assert":
            if len(nested) != 3:
                tokens.fail(at, "an assert has one formula")
            self._assert(nested[2])
        elif command == "vnnlib-version":
            tokens.fail(at, "is VNN-LIB of a later version", "give the property in VNN-LIB 1.0")
        elif command not in _IGNORED:
            tokens.fail(nested[1], f"unknown command {printable(command)}; known are declare-const and assert")
        return after

    def _nest(self, at: int) -> tuple[_Nested, int]:
        """The expression that begins at a word, and the number of the word after it."""
        words = self._tokens.words
        open_: list[_Nested] = []
        while True:
            word = self._tokens.word(at)
            if word == "(":
                if len(open_) == _DEEPEST:
                    self._tokens.fail(at, f"parentheses are nested more than {_DEEPEST} deep")
                open_.append([at])
            elif word == ")":
                done = open_.pop()
                if not open_:
                    return done, at + 1
                open_[-1].append(done)
            else:
                open_[-1].append(at)
            at += 1
            if at == len(words):
                # The outermost one that is still open is where a reader looks first.
                self._tokens.fail(int(open_[0][0]), "this '(' is never closed")  # type: ignore[arg-type]

    def _declare(self, nested: _Nested, command: str) -> None:
        tokens, words = self._tokens, self._tokens.words
        start = nested[0]
        assert isinstance(start, int)
        parts = nested[2:]
        if command == "declare-fun" and len(parts) == 3:
            if not isinstance(parts[1], list) or len(parts[1]) != 1:
                tokens.fail(start, "a function of arguments is declared, only constants are known")
            del parts[1]
        if len(parts) != 2 or not all(isinstance(part, int) for part in parts):
            tokens.fail(start, "a declaration is (declare-const X_0 Real)")
        name, kind = parts
        assert isinstance(name, int) and isinstance(kind, int)
        match = _VARIABLE.match(words[name])
        if match is None:
            tokens.fail(
                name, f"{printable(words[name])} is no variable: inputs are X_0, X_1, ..., outputs Y_0, Y_1, ..."
            )
        if words[kind] != "Real":
            tokens.fail(kind, f"{printable(words[kind])} where 'Real' should stand")
        found, index = self._declared[match.group(1)], int(match.group(2))
        if index in found:
            tokens.fail(name, f"{words[name]} is declared twice")
        found.add(index)

    def _assert(self, expression: int | _Nested) -> None:
        formula = self._formula(expression)
        stack = [formula]
        while stack:  # what holds in any case: bounds of single inputs go straight to the box
            part = stack.pop()
            if isinstance(part, And):
                stack.extend(reversed(part.parts))
            elif not (isinstance(part, Atom) and self._bounds.take(part)):
                self._formulas.append(part)

    def _formula(self, expression: int | _Nested) -> Formula:
        tokens = self._tokens
        if isinstance(expression, int):
            word = tokens.words[expression]
            if word in ("true", "false"):
                return And(()) if word == "true" else Or(())
            tokens.fail(expression, f"{printable(word)} where a formula should stand")
        start, *parts = expression
        assert isinstance(start, int)
        head = tokens.words[parts[0]] if parts and isinstance(parts[0], int) else ""
        if head in ("and", "or"):
            inner = tuple(self._formula(part) for part in parts[1:])
            return And(inner) if head == "and" else Or(inner)
        if head in _COMPARISONS:
            if len(parts) != 3:
                tokens.fail(start, f"'{head}' compares two expressions, here are {len(parts) - 1}")
            return self._comparison(head, self._linear(parts[1]), self._linear(parts[2]), start)
        if not head:
            tokens.fail(start, "an expression without an operator")
        known = ", ".join(("and", "or", *_COMPARISONS[:5]))
        return tokens.fail(start, f"unknown operator {printable(head)} in a formula; known are {known}")

    def _comparison(self, head: str, left: _Linear, right: _Linear, at: int) -> Formula:
        if head in ("=", "=="):
            return And((Atom((left - right).at_least_zero(False), at), Atom((right - left).at_least_zero(False), at)))
        greater, lesser = (left, right) if head[0] == ">" else (right, left)
        return Atom((greater - lesser).at_least_zero(head in ("<", ">")), at)

    def _linear(self, expression: int | _Nested) -> _Linear:
        tokens = self._tokens
        if isinstance(expression, int):
            word = tokens.words[expression]
            if word[0] in "XY":
                return _Linear({self._variable(expression): Fraction(1)}, Fraction(0))
            return _Linear({}, self._number(expression))
        start, *parts = expression
        assert isinstance(start, int)
        head = tokens.words[parts[0]] if parts and isinstance(parts[0], int) else ""
        if head not in ("+", "-", "*", "/") or len(parts) < 2:
            tokens.fail(start, "where a linear expression (a number, a variable, or + - * of them) should stand")
        terms = [self._linear(part) for part in parts[1:]]
        if head in ("+", "-"):
            total = _Linear({}, Fraction(0))
            for number, term in enumerate(terms):
                total.add(term, -1 if head == "-" and (number > 0 or len(terms) == 1) else 1)
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
        return total

    def _variable(self, at: int) -> tuple[str, int]:
        word = self._tokens.words[at]
        match = _VARIABLE.match(word)
        if match is None:
            self._tokens.fail(at, f"{printable(word)} is neither a variable nor a number")
        letter, index = match.group(1), int(match.group(2))
        if index not in self._declared[letter]:
            self._tokens.fail(at, f"{word} is not declared")
        return letter, index

    def _number(self, at: int) -> Fraction:
        word = self._tokens.words[at]
        known = self._numbers.get(word)
        if known is not None:
            return known
        match = _NUMBER.match(word)
        if match is None:
            self._tokens.fail(at, f"{printable(word)} is neither a variable nor a number")
        exponent = match.group(1) or "0"
        # Before anything of that length is computed with.
        if len(word) > 4 * _LARGEST_EXPONENT or len(exponent) > 5 or abs(int(exponent)) > _LARGEST_EXPONENT:
            self._tokens.fail(at, f"the number {printable(word)} has too many digits or too large an exponent")
        value = Fraction(word)
        if abs(value) > Fraction(1.7976931348623157e308):
            self._tokens.fail(at, f"the number {printable(word)} is beyond the range of float64")
        self._numbers[word] = value
        return value


class _Linear:
    """A linear expression in the variables, with exact coefficients."""

    __slots__ = ("coefficients", "constant")

    def __init__(self, coefficients: dict[tuple[str, int], Fraction], constant: Fraction) -> None:
        self.coefficients = coefficients
        self.constant = constant

    def add(self, other: _Linear, factor: int) -> None:
        """Add a multiple of another one to this one."""
        for variable, value in other.coefficients.items():
            self.coefficients[variable] = self.coefficients.get(variable, Fraction(0)) + factor * value
        self.constant += factor * other.constant

    def __sub__(self, other: _Linear) -> _Linear:
        difference = _Linear(dict(self.coefficients), self.constant)
        difference.add(other, -1)
        return difference

    def times(self, factor: Fraction) -> _Linear:
        return _Linear(
            {variable: factor * value for variable, value in self.coefficients.items()}, factor * self.constant
        )

    def at_least_zero(self, strict: bool) -> LinearConstraint:
        """The constraint that this is at least (or more than) 0."""
        items = sorted((variable, value) for variable, value in self.coefficients.items() if value)
        return LinearConstraint(
            tuple((i, value) for (letter, i), value in items if letter == "X"),
            tuple((i, value) for (letter, i), value in items if letter == "Y"),
            -self.constant,
            strict,
        )
