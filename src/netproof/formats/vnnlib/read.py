"""Reader for properties in VNN-LIB 1.0, plain or gzip, as the competitions' files use it.

A file declares ``X_0 ..`` and ``Y_0 ..`` and asserts formulas of comparisons of linear expressions
(:mod:`netproof.formats.vnnlib.terms`). All asserts together are brought into a disjunction of conjunctions; what each conjunction
says of single inputs becomes its box, and conjunctions with one box stay together.

Source: VNN-LIB, https://www.vnnlib.org; the rules of VNN-COMP 2021 to 2024; *The SMT-LIB Standard, Version 2.6*.
"""

from __future__ import annotations

from pathlib import Path

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.vnnlib.formulas import And, Atom, Bounds, Formula, parts_of
from netproof.formats.vnnlib.linear import NUMBER, VARIABLE, LinearReader, Nested
from netproof.formats.vnnlib.terms import TermReader
from netproof.formats.vnnlib.text import read_text
from netproof.formats.vnnlib.tokens import LATER_VERSION, Tokens, printable
from netproof.host import on_own_terms
from netproof.property import Property

#: commands that say nothing about the property, wherever they stand, and the numbers of arguments they have: with more,
#: a parenthesis may be missing, and an assert be among them
_IGNORED = {
    **dict.fromkeys(("set-logic", "echo", "get-info", "get-option", "get-value"), (1,)),
    **dict.fromkeys(("set-info", "set-option"), (1, 2)),
    **dict.fromkeys(("get-assertions", "get-assignment", "get-model", "get-proof"), (0,)),
    **dict.fromkeys(("get-unsat-assumptions", "get-unsat-core"), (0,)),
}
#: those of which the first is a keyword, ``:status`` for instance
_ATTRIBUTED = ("set-info", "set-option", "get-info", "get-option")


@on_own_terms
def read_vnnlib(path: str | Path, *, deadline: float | None = None) -> Property:
    """Read a property.

    Its ``parts`` are never none: of a property that is false for any numbers, the one part has an empty condition.

    Parameters
    ----------
    deadline : by :func:`time.monotonic`, looked at on the way

    Raises
    ------
    FormatError : missing or damaged file; with line and column: what is no VNN-LIB, commands and operators that are not
        known, undeclared variables, numbers that are none or beyond float64, products of variables, an empty box, an
        input without a bound; a file that is too large
    TimeLimitError : the deadline is over
    """
    return _Reader(path, read_text(path), deadline).read()


class _Reader:
    def __init__(self, path: str | Path, text: str, deadline: float | None) -> None:
        self._path = path
        self._clock = Clock(path, deadline)
        self._tokens = Tokens(path, text, self._clock)
        self._declared: dict[str, set[int]] = {"X": set(), "Y": set()}
        self._linear = LinearReader(self._tokens, self._declared)
        self._bounds = Bounds()
        self._formulas: list[Formula] = []
        self._terms = TermReader(self._tokens, self._linear, self._clock)
        self._over = ""  # the command that ends the question: check-sat, then exit

    def read(self) -> Property:
        words, at, looked = self._tokens.words, 0, 0
        while at < len(words):
            if at >= looked:
                self._clock.look()
                looked = at + 8192
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
        parts = parts_of(self._tokens, self._path, "X_{}".format, inputs, self._bounds, self._formulas, self._clock)
        return Property(str(self._path), inputs, outputs, parts)

    def _simple_bound(self, at: int) -> int:
        """Take ``(assert (<= X_3 0.5))`` in one step, as most of a file is; 0 where something else stands there."""
        words = self._tokens.words[at : at + 8]
        if len(words) < 8 or words[1] != "assert" or words[6] != ")" or words[7] != ")" or words[0] != "(":
            return 0
        _, _, opening, comparison, variable, number, _, _ = words
        if opening != "(" or comparison not in ("<=", ">=") or variable[:2] != "X_" or number in "()":
            return 0
        if self._over or VARIABLE.match(variable) is None or not NUMBER.match(number):
            return 0
        index = self._linear.variable(at + 4)[1]
        value = self._linear.number(at + 5)
        if comparison == ">=":
            self._bounds.raise_lower(index, value, at + 2)
        else:
            self._bounds.lower_upper(index, value, at + 2)
        return at + 8

    def _statement(self, at: int) -> int:
        tokens = self._tokens
        if self._over == "exit":
            tokens.fail(at, f"{printable(tokens.words[at])} stands after (exit), where nothing is asked", "remove it")
        if tokens.words[at] != "(":
            tokens.fail(at, f"{printable(tokens.words[at])} where a command in parentheses should begin")
        nested, after = self._nest(at)
        if len(nested) < 2 or not isinstance(nested[1], int):
            tokens.fail(at, "an expression without a command")
        command = tokens.words[nested[1]]
        if command in ("declare-const", "declare-fun", "assert"):
            if self._over:
                tokens.fail(
                    at,
                    f"this {command} stands after (check-sat), so it is part of another question",
                    "give one question per file, and (check-sat) at its end",
                )
            if command == "assert":
                if len(nested) != 3:
                    tokens.fail(at, "an assert has one formula")
                self._assert(nested[2])
            else:
                self._declare(nested, command)
        elif command == "define-fun":
            self._terms.define(nested)
        elif command in ("check-sat", "exit"):
            if len(nested) != 2:
                tokens.fail(at, f"{command} has no arguments")
            self._over = command
        elif command == "vnnlib-version":
            tokens.fail(at, *LATER_VERSION)
        elif command in _IGNORED:
            self._ignore(nested, command)
        else:
            tokens.fail(
                nested[1], f"unknown command {printable(command)}; known are declare-const, define-fun and assert"
            )
        return after

    def _ignore(self, nested: Nested, command: str) -> None:
        """Make sure that a command which says nothing has nothing else in it."""
        start, _, *arguments = nested
        assert isinstance(start, int)
        if len(arguments) not in _IGNORED[command]:
            counts = " or ".join(map(str, _IGNORED[command]))
            self._tokens.fail(start, f"{command} has {counts} arguments, here are {len(arguments)}")
        if command in _ATTRIBUTED:
            keyword = arguments[0]
            if not isinstance(keyword, int) or self._tokens.words[keyword][0] != ":":
                self._tokens.fail(start, f"{command} without a keyword such as :status")

    def _nest(self, at: int) -> tuple[Nested, int]:
        """The expression that begins at a word, and the number of the word after it."""
        words = self._tokens.words
        open_: list[Nested] = []
        while True:
            word = words[at]
            if word == "(":
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

    def _declare(self, nested: Nested, command: str) -> None:
        tokens, words = self._tokens, self._tokens.words
        start = nested[0]
        assert isinstance(start, int)
        parts = nested[2:]
        if command == "declare-fun" and len(parts) == 3:
            if not isinstance(parts[1], list) or len(parts[1]) != 1:
                tokens.fail(start, "a function of arguments is declared, only constants are known")
            del parts[1]
        elif command == "declare-fun":
            tokens.fail(start, "a declaration is (declare-fun X_0 () Real)")
        if len(parts) != 2 or not all(isinstance(part, int) for part in parts):
            tokens.fail(start, "a declaration is (declare-const X_0 Real)")
        name, kind = parts
        assert isinstance(name, int) and isinstance(kind, int)
        match = VARIABLE.match(words[name])
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

    def _assert(self, expression: int | Nested) -> None:
        formula = self._terms.formula(expression)
        stack = [formula]
        while stack:  # what holds in any case: bounds of single inputs go straight to the box
            part = stack.pop()
            if isinstance(part, And):
                stack.extend(reversed(part.parts))
            elif not (isinstance(part, Atom) and self._bounds.take(part)):
                self._formulas.append(part)
