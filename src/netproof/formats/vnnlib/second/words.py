"""The words of a VNN-LIB 2.0 file, and where they stand.

Source: the grammar of VNN-LIB 2.0 (`github.com/VNNLIB/VNNLIB-Standard`, ``syntax.cf``): white space is space, tab, line feed,
carriage return and form feed; a comment runs from ``;`` to the end of its line; numbers have no exponent and no sign but a minus.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NoReturn

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.vnnlib.tokens import printable, words_of

#: white space and comments, which are no words, or one word; at last, whatever is none
_WORD = re.compile(
    r"[ \t\r\n\f]+|;[^\n]*"
    r"|([()\[\],+*]|<[0-9]+\.[0-9]+>|-?[0-9]+(?:\.[0-9]+)?(?![.\w])|[<>]=?|[!=]=|-"
    r'|[A-Za-z][A-Za-z0-9_]*(?:-[a-z]+)*|"(?:[^"\\\n]|\\["\\nt])*"'
    r"|[^ \t\r\n\f;()\[\],]+)",
    re.ASCII,
)
_KNOWN = re.compile(
    r"[()\[\],+*-]|<[0-9]+\.[0-9]+>|-?[0-9]+(?:\.[0-9]+)?|[<>]=?|[!=]="
    r'|[A-Za-z][A-Za-z0-9_]*(?:-[a-z]+)*|"(?:[^"\\\n]|\\["\\nt])*"',
    re.ASCII,
)
#: a number as other languages have it
_FOREIGN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_MOST_WORDS = 8_000_000
_HINT = "correct the file; the standard's grammar says what may stand where"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
VERSION = re.compile(r"<([0-9]{1,9})\.([0-9]{1,9})>", re.ASCII)


class Words:
    """All words of a text, by number; their places are looked up only when something is wrong with one.

    Raises
    ------
    FormatError : a word that is none, too many words
    TimeLimitError : the clock's deadline is over
    """

    def __init__(self, path: str | Path, text: str, clock: Clock) -> None:
        self.path = path
        self._text = text
        self.words = words_of(_WORD, path, text, _MOST_WORDS, clock, several_lines="")
        strange = {word for word in clock.each(set(self.words)) if not _KNOWN.fullmatch(word)}
        if strange:
            self._refuse(next(number for number, word in enumerate(self.words) if word in strange))

    def place(self, number: int) -> tuple[int, int]:
        """Line and column of a word, both from 1; of the end of the text where there is none of that number."""
        found = (match for match in _WORD.finditer(self._text) if match.group(1))
        match = next(itertools.islice(found, number, None), None)
        start = len(self._text.rstrip()) if match is None else match.start()
        return self._text.count("\n", 0, start) + 1, start - (self._text.rfind("\n", 0, start) + 1) + 1

    def fail(self, number: int, problem: str, hint: str = _HINT) -> NoReturn:
        """Raise a :class:`FormatError` about a word."""
        line, column = self.place(number)
        raise FormatError(self.path, f"line {line}, column {column}: {problem}", hint)

    def _refuse(self, number: int) -> NoReturn:
        word = self.words[number]
        if _FOREIGN.fullmatch(word):
            plain = "digits, and a point between digits; no exponent, no plus sign"
            self.fail(number, f"{printable(word)} is no number of VNN-LIB 2.0", f"write it out: {plain}")
        if word == "=":
            self.fail(number, "'=' is no word of VNN-LIB 2.0", "write '=='")
        if word[0] == '"':
            self.fail(number, "this string is never closed")
        self.fail(number, f"{printable(word)} is no word of VNN-LIB 2.0")
