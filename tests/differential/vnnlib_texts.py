"""Random property files in the whole syntax of SMT-LIB, for readers to agree on.

Strings, quoted symbols and comments hold parentheses, quotes, semicolons and asserts; formulas have constants, empty
boxes, equalities and strict bounds; numbers are such that points lie exactly on many a bound.
"""

from __future__ import annotations

import random
from fractions import Fraction

_NUMBERS = ("0", "1", "2", "0.5", "0.25", "1.0", "00.5"[1:], "0.125", "3", "1.50", "0.333")
_TRAPS = (
    "(assert (>= Y_0 1000.0))",
    ")",
    "(",
    "; no comment",
    "assert",
    "(exit)",
    "(check-sat)",
    "X_0",
    " ",
    "\n",
    "\r\n",
    "\t",
    "é",
    "\u2028",
    "(assert false)",
)


class TextMaker:
    """One property: ``inputs`` variables ``X_i`` and ``outputs`` variables ``Y_j``."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.inputs, self.outputs = self._random.randint(1, 3), self._random.randint(1, 2)

    def text(self) -> str:
        """The file; SMT-LIB throughout, so that solvers read it too."""
        pick = self._random
        lines = [self._declaration(name) for name in self.names()]
        asserts = []
        for i in range(self.inputs):
            low, high = sorted(pick.choice((-1, 0, 0, 1, 2)) for _ in range(2))
            if pick.random() < 0.05:
                low, high = high, low
            asserts += [self._bound(f"X_{i}", ">=", low), self._bound(f"X_{i}", "<=", high)]
        asserts += [self._formula(pick.randint(0, 3)) for _ in range(pick.randint(0, 3))]
        pick.shuffle(asserts)
        lines += [f"(assert {formula})" for formula in asserts]
        for _ in range(pick.randint(0, 3)):
            lines.insert(pick.randint(0, len(lines)), self._said())
        if pick.random() < 0.5:
            lines.insert(0, "(set-logic QF_LRA)")
        if pick.random() < 0.5:
            lines.append("(check-sat)")
        return "".join(self._spaced(line) + self._space() for line in lines)

    def names(self) -> list[str]:
        return [f"X_{i}" for i in range(self.inputs)] + [f"Y_{j}" for j in range(self.outputs)]

    def point(self) -> list[Fraction]:
        """Values of all variables, most of them numbers that formulas have, too."""
        values = [Fraction(number) for number in (*_NUMBERS, "-1", "-0.5", "-2", "-0.25")]
        return [self._random.choice(values) for _ in self.names()]

    def _declaration(self, name: str) -> str:
        shown = f"|{name}|" if self._random.random() < 0.2 else name
        return self._random.choice((f"(declare-const {shown} Real)", f"(declare-fun {shown} () Real)"))

    def _bound(self, name: str, head: str, end: int) -> str:
        mirrored = {">=": "<=", "<=": ">="}[head]
        number = str(end) if end >= 0 else f"(- {-end})"
        return self._random.choice((f"({head} {name} {number})", f"({mirrored} {number} {name})"))

    def _variable(self) -> str:
        name = self._random.choice(self.names())
        return f"|{name}|" if self._random.random() < 0.1 else name

    def _term(self, depth: int) -> str:
        pick = self._random
        number = pick.choice(_NUMBERS)
        if depth == 0:
            return pick.choice((self._variable(), self._variable(), number, f"(- {number})"))
        one, two = self._term(depth - 1), self._term(depth - 1)
        return pick.choice(
            (
                f"(+ {one} {two})",
                f"(- {one} {two})",
                f"(- {one})",
                f"(* {number} {one})",
                f"(* {one} (- {number}))",
                f"(/ {one} {pick.choice(('2', '4.0', '(- 0.5)', '3'))})",
                f"(+ {one} {number} {two})",
                f"(- {number} {one} {two})",
            )
        )

    def _formula(self, depth: int) -> str:
        pick = self._random
        if depth == 0:
            if pick.random() < 0.08:
                return pick.choice(("true", "false", "(<= 1 0.5)", "(< 0 0.0)", "(= 0.5 0.50)", "(>= 2 1.0)"))
            if pick.random() < 0.4:
                head, name, number = pick.choice(("<=", ">=", "<", ">", "=")), self._variable(), pick.choice(_NUMBERS)
                return f"({head} {name} {number})" if pick.random() < 0.5 else f"({head} {number} {name})"
            return f"({pick.choice(('<=', '>=', '<', '>', '='))} {self._term(pick.randint(0, 2))} {self._term(1)})"
        parts = " ".join(self._formula(pick.randint(0, depth - 1)) for _ in range(pick.randint(1, 3)))
        return f"({pick.choice(('and', 'or'))} {parts})"

    def _said(self) -> str:
        """A command that says nothing, or a comment, with something in it that looks as if it did."""
        pick = self._random
        traps = "".join(pick.choice(_TRAPS) for _ in range(pick.randint(1, 4)))
        comment = f";{pick.choice(('', '|', chr(34)))}{traps}".replace("\n", " ").replace("\r", " ")
        return pick.choice(
            (
                f'(set-info :notes "{traps}")',
                f'(set-info :notes "a ""{traps}"" |")',
                f'(set-info :source |{traps}"|)',
                f"{comment}\n",
                f"{comment}\r\n",
                f"(set-info :status unknown) {comment}\n",
                "(set-option :print-success false)",
                '(set-info :smt-lib-version 2.6)(set-info :license "")',
            )
        )

    def _space(self) -> str:
        return self._random.choice((" ", "\n", "\r\n", "\t", "", "\n\n"))

    def _spaced(self, line: str) -> str:
        """More white space and comments around parentheses, where that changes nothing."""
        if '"' in line or "|" in line or ";" in line or self._random.random() < 0.6:
            return line
        return line.replace("(", self._random.choice(("( ", "(\n", "(;(\n", " (\t"))).replace(")", " )")


_DAMAGE = (
    '"', '""', "|", "||", ";", "(", ")", " ", "\n", "\\", "X_0", "|X_0|", "Y_0", "1", "-", ".", "assert", "and", "or", "<=",
    "(exit)", "(check-sat)", "true", "=", "\t", ":a", "#x1", ";|", '"|"', "e", "0", "!", "", "", "", "",
)  # fmt: skip


def damaged(text: str, seed: int) -> str:
    """A text with a few pieces put in or cut out, most of which readers refuse, and some of which say something else."""
    pick = random.Random(seed)
    for _ in range(pick.randint(1, 3)):
        at, cut = pick.randint(0, len(text)), pick.choice((0, 0, 0, 1, 1, 2, 5))
        text = text[:at] + pick.choice(_DAMAGE) + text[at + cut :]
    return text
