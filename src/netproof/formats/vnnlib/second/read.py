"""Reader for queries in VNN-LIB 2.0, plain or gzip.

The text is read once from left to right; an expression is put together when its closing parenthesis comes, so that nothing
recurses however deep it is nested.

Source: *The VNN-LIB 2.0 Standard* (`github.com/VNNLIB/VNNLIB-Standard`), chapter *Query Language*, and its grammar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NoReturn

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.vnnlib.formulas import LARGEST_FORM
from netproof.formats.vnnlib.second.declarations import Comparison, Connective, Formula, Statement, Variable
from netproof.formats.vnnlib.second.networks import NetworkReader
from netproof.formats.vnnlib.second.polynomials import Polynomial, TooLargeError, combined, constant, product
from netproof.formats.vnnlib.second.words import NAME, NUMBER, VERSION, Words
from netproof.formats.vnnlib.text import read_text
from netproof.formats.vnnlib.tokens import printable

#: versions of VNN-LIB that are read here, the oldest first
VERSIONS = ("2.0",)
_COMPARISONS = (">", "<", ">=", "<=", "==", "!=")
_ARITHMETIC = ("+", "-", "*")
#: alternations of and/or, one inside the other
_DEEPEST = 128
_LONGEST_NUMBER = 1600
#: terms that all expressions come to, those that are multiplied on the way included; words between two looks at the clock
_MOST_TERMS = 1 << 22
_BETWEEN = 4096


def read_statement(path: str | Path, *, deadline: float | None = None) -> Statement:
    """Read a query; networks and their files are not looked at.

    Raises
    ------
    FormatError : missing or damaged file; with line and column: what the grammar does not allow, undeclared variables,
        indices that do not fit, comparisons of different types, networks that refer to none or to one that refers on, a
        polynomial or a formula that is too large
    TimeLimitError : ``deadline``, by :func:`time.monotonic`, is over
    """
    return _Reader(path, read_text(path), Clock(path, deadline)).read()


@dataclass(slots=True)
class _Open:
    """An expression that is not closed yet: its operator, where it stands, and what is in it so far.

    ``depth`` is that of the formulas inside, those of the same operator taken up into it.
    """

    head: str
    at: int
    terms: list[Polynomial] = field(default_factory=list)
    formulas: list[Formula] = field(default_factory=list)
    depth: int = 0


class _Type:
    """The element type that everything in one comparison has, as far as it is known."""

    def __init__(self) -> None:
        self.variable: Variable | None = None
        #: literals before the first variable: their words
        self.literals: list[int] = []


class _Reader:
    def __init__(self, path: str | Path, text: str, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._words = Words(path, text, clock)
        self._variables: dict[str, Variable] = {}
        self._numbers: dict[str, Fraction] = {}
        self._comparisons = 0
        self._terms = 0
        self._looked = 0  # at the clock, before which word

    def read(self) -> Statement:
        words = self._words
        version = self._version()
        networks, at = NetworkReader(words, self._variables).read(4)
        formulas: list[Formula] = []
        while at < len(words.words):
            self._clock.look()
            formula, at = self._assertion(at)
            formulas.append(formula)
        if not formulas:
            raise FormatError(self._path, "asserts nothing", "give at least one (assert ...)")
        elements = sum(variable.size for variable in self._variables.values())
        return Statement(str(self._path), version, networks, tuple(formulas), elements)

    def _version(self) -> tuple[int, int]:
        words = self._words
        if words.words[:2] != ["(", "vnnlib-version"]:
            words.fail(0, "a query begins with (vnnlib-version <2.0>)")
        match = VERSION.fullmatch(words.words[2]) if len(words.words) > 2 else None
        if match is None:
            words.fail(2, "where a version such as <2.0> should stand")
        if words.words[3:4] != [")"]:
            words.fail(3, "where the ')' behind the version should stand")
        major, minor = int(match.group(1)), int(match.group(2))
        if f"{major}.{minor}" not in VERSIONS:
            words.fail(2, f"is VNN-LIB {major}.{minor}, netproof reads 1.0 and 2.0", "write it for one of these")
        return major, minor

    def _assertion(self, at: int) -> tuple[Formula, int]:
        words = self._words.words
        if words[at] != "(" or words[at + 1 : at + 2] != ["assert"]:
            if words[at] == "(" and words[at + 1 : at + 2] == ["declare-network"]:
                self._words.fail(at, "a network is declared behind an assert", "declare all networks first")
            self._words.fail(at, f"{printable(words[at])} where (assert ...) should begin")
        formula, at = self._formula(at + 2)
        if words[at : at + 1] != [")"]:
            self._words.fail(at, "an assert has one formula, and a ')' behind it")
        return formula, at + 1

    def _formula(self, at: int) -> tuple[Formula, int]:
        """The formula that begins at a word, and the number of the word after it."""
        words = self._words.words
        stack: list[_Open] = []
        type_ = _Type()
        while at < len(words):
            if at >= self._looked:
                self._clock.look()
                self._looked = at + _BETWEEN
            word = words[at]
            if word == "(":
                head = words[at + 1] if at + 1 < len(words) else ""
                self._check_head(head, at, stack[-1].head if stack else "assert")
                if head in _COMPARISONS:
                    type_ = _Type()
                stack.append(_Open(head, at))
                at += 2
            elif word == ")":
                if not stack:
                    self._words.fail(at, "where a formula should stand")
                done = stack.pop()
                at += 1
                if done.head in _ARITHMETIC:
                    stack[-1].terms.append(self._arithmetic(done))
                    continue
                formula = self._compared(done) if done.head in _COMPARISONS else self._connected(done)
                if not stack:
                    return formula, at
                self._put_into(stack[-1], formula, done)
            else:
                if not stack or stack[-1].head in ("and", "or"):
                    self._words.fail(at, f"{printable(word)} where a formula in parentheses should stand")
                term, at = self._term(at, type_)
                stack[-1].terms.append(term)
        return self._words.fail(at, "the file ends in the middle of an expression: a ')' is missing")

    def _check_head(self, head: str, at: int, around: str) -> None:
        logical = around in ("assert", "and", "or")
        known = (*_COMPARISONS, "and", "or") if logical else _ARITHMETIC
        if head not in known:
            what = "a formula" if logical else "an arithmetic expression"
            self._words.fail(at + 1, f"{printable(head)} where {what} should begin; known are {', '.join(known)}")

    def _term(self, at: int, type_: _Type) -> tuple[Polynomial, int]:
        """A number, or an element of a variable."""
        word = self._words.words[at]
        if NUMBER.fullmatch(word):
            if type_.variable is None:
                type_.literals.append(at)
            else:
                self._check_literal(at, type_.variable)
            return constant(self._number(word, at)), at + 1
        variable = self._variables.get(word)
        if variable is None and not NAME.fullmatch(word):
            self._words.fail(at, f"{printable(word)} where a number or a variable should stand")
        if variable is None:
            self._words.fail(at, f"{printable(word)} is not declared")
        if type_.variable is None:
            type_.variable = variable
            for literal in type_.literals:
                self._check_literal(literal, variable)
        elif type_.variable.type != variable.type:
            other = type_.variable
            self._words.fail(
                at, f"{word} is of type {variable.type}, {other.name} in the same comparison of type {other.type}"
            )
        return self._element(variable, at)

    def _element(self, variable: Variable, at: int) -> tuple[Polynomial, int]:
        words, shape = self._words.words, variable.shape
        place, begun = 0, at
        indices: list[str] = []
        at += 1
        if words[at : at + 1] == ["["]:
            while words[at : at + 1] == ([","] if indices else ["["]):
                indices.append(words[at + 1] if at + 1 < len(words) else "")
                at += 2
            if words[at : at + 1] != ["]"]:
                self._words.fail(at, f"the indices of {variable.name} are not closed by ']'")
            at += 1
        if len(indices) != len(shape):
            self._words.fail(
                begun,
                f"{variable.name} has {len(shape)} axes, here are {len(indices)} indices",
                "give one for each axis",
            )
        for axis, (index, extent) in enumerate(zip(indices, shape, strict=True)):
            if not index.isascii() or not index.isdigit() or len(index) > 18:
                self._words.fail(begun, f"{printable(index)} is no index", "give whole numbers from 0 on")
            if int(index) >= extent:
                self._words.fail(begun, f"index {int(index)} leaves axis {axis} of {variable.name}, which has {extent}")
            place = place * extent + int(index)
        return {(variable.first + place,): Fraction(1)}, at

    def _number(self, word: str, at: int) -> Fraction:
        value = self._numbers.get(word)
        if value is None:
            if len(word) > _LONGEST_NUMBER:
                self._words.fail(at, f"the number {printable(word)} has more than {_LONGEST_NUMBER} digits")
            whole, _, decimals = word.partition(".")
            value = self._numbers[word] = Fraction(int(whole + decimals), 10 ** len(decimals))
        return value

    def _check_literal(self, at: int, variable: Variable) -> None:
        """Refuse a literal of another family than a variable, as the standard's own checker does."""
        word = self._words.words[at]
        if variable.whole == ("." in word):
            written = "an integer" if variable.whole else "a number with a point, 1.0 for instance"
            self._words.fail(
                at, f"{printable(word)} is compared with {variable.name} of type {variable.type}", f"write {written}"
            )
        if word[0] == "-" and variable.type.startswith(("uint", "bool")):
            self._words.fail(at, f"{printable(word)} is compared with {variable.name} of type {variable.type}")

    def _arithmetic(self, done: _Open) -> Polynomial:
        terms = done.terms
        if not terms:
            self._words.fail(done.at, f"'{done.head}' of nothing")
        if done.head == "*":
            result = terms[0]
            for factor in terms[1:]:
                # Each term of a product takes four times the time of one that is added, and many of them can come to one.
                self._charge(done, 4 * len(result) * len(factor))
                result = self._made(done, partial(product, (result, factor)))
            return result
        minus = done.head == "-"
        signs = [-1] if minus and len(terms) == 1 else [1] + [-1 if minus else 1] * (len(terms) - 1)
        return self._made(done, lambda: combined(terms, signs))

    def _compared(self, done: _Open) -> Formula:
        if len(done.terms) != 2:
            self._words.fail(done.at, f"'{done.head}' compares two expressions, here are {len(done.terms)}")
        left, right = done.terms
        above = self._made(done, lambda: combined((left, right), (1, -1)))
        # The ends of inputs, of which large networks have hundreds of thousands, are no part of the normal form.
        self._comparisons += len(above) > 2 or sum(map(len, above)) != 1
        if self._comparisons > LARGEST_FORM:
            self._words.fail(
                done.at, f"there are more than {LARGEST_FORM} comparisons before this one", "split the file"
            )
        below = {monomial: -coefficient for monomial, coefficient in above.items()}
        at = done.at
        if done.head in ("==", "!="):
            strict = done.head == "!="
            return Connective(strict, (Comparison(above, strict, at), Comparison(below, strict, at)))
        return Comparison(above if done.head[0] == ">" else below, len(done.head) == 1, at)

    def _made(self, done: _Open, make: Callable[[], Polynomial]) -> Polynomial:
        try:
            result = make()
        except TooLargeError as error:
            return self._too_large(done, error)
        self._charge(done, len(result))
        return result

    def _charge(self, done: _Open, terms: int) -> None:
        """Count terms that are made; refuses more than can be handled, and looks at the clock where there are many at once."""
        self._terms += terms
        if self._terms > _MOST_TERMS:
            self._words.fail(
                done.at, "the expressions before this one come to more than 4 million terms", "split the file"
            )
        if terms > 64:
            self._clock.look()

    def _too_large(self, done: _Open, error: TooLargeError) -> NoReturn:
        self._words.fail(done.at, f"this expression {error}", "write it with fewer")

    def _connected(self, done: _Open) -> Formula:
        if not done.formulas:
            self._words.fail(done.at, f"'{done.head}' of nothing")
        return done.formulas[0] if len(done.formulas) == 1 else Connective(done.head == "or", tuple(done.formulas))

    def _put_into(self, around: _Open, formula: Formula, done: _Open) -> None:
        """Add a formula to the one around it, into which what has the same operator is taken up."""
        depth = done.depth
        if isinstance(formula, Connective):
            same = formula.any == (around.head == "or")
            around.formulas.extend(formula.parts if same else (formula,))
            if not same and len(done.formulas) != 1:
                depth += 1
        else:
            around.formulas.append(formula)
        around.depth = max(around.depth, depth)
        if around.depth > _DEEPEST:
            self._words.fail(done.at, f"and/or stand inside one another more than {_DEEPEST} deep", "flatten it")
