"""The words of a VNN-LIB file, and where they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from netproof.errors import FormatError

#: a comment, or a word: a parenthesis, or anything up to a space, parenthesis or comment
_WORD = re.compile(r";[^\n]*|([()]|[^\s();]+)")
_MEND = "correct the file, or write it again as VNN-LIB 1.0"


class Tokens:
    """All words of a text, by number; their places are looked up only when something is wrong with one.

    Attributes
    ----------
    words : in the order of the text, comments left out
    """

    def __init__(self, path: str | Path, text: str) -> None:
        self._path = path
        self._text = text
        self.words: list[str] = [word for word in _WORD.findall(text) if word]

    def __len__(self) -> int:
        return len(self.words)

    def word(self, number: int) -> str:
        """A word; raises :class:`FormatError` behind the last one."""
        if number >= len(self.words):
            self.fail(len(self.words), "the file ends in the middle of an expression: a ')' is missing")
        return self.words[number]

    def place(self, number: int) -> tuple[int, int]:
        """Line and column of a word, both from 1; of the end of the text where there is none of that number."""
        start = len(self._text.rstrip())
        for at, match in enumerate(m for m in _WORD.finditer(self._text) if m.group(1)):
            if at == number:
                start = match.start()
                break
        line = self._text.count("\n", 0, start) + 1
        return line, start - (self._text.rfind("\n", 0, start) + 1) + 1

    def fail(self, number: int, problem: str, mend: str = _MEND) -> NoReturn:
        """Raise a :class:`FormatError` about a word."""
        line, column = self.place(number)
        raise FormatError(self._path, f"line {line}, column {column}: {problem}", mend)


def printable(word: str) -> str:
    """A word of a file as it can stand in a message of one line."""
    shown = "".join(c if c.isprintable() else "?" for c in word[:40])
    return f"'{shown}...'" if len(word) > 40 else f"'{shown}'"
