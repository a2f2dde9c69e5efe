"""The words of a VNN-LIB file as SMT-LIB has them, and where they stand.

White space is space, tab, line feed and carriage return; a comment runs from ``;`` to the end of its line. Neither begins
inside a string (``"..."``, a quote in it doubled) or a quoted symbol (``|...|``). Characters that no word may have are
refused wherever they stand, comments, strings and quoted symbols excepted.

Source: C. Barrett, P. Fontaine, C. Tinelli, *The SMT-LIB Standard, Version 2.6*, section 3.1.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NoReturn

from netproof.errors import FormatError
from netproof.formats.clock import Clock

#: white space and comments, which are no words, or one word. What follows a string or a quoted symbol directly, or a
#: quote that follows a word directly, is taken with it, and refused.
_WORD = re.compile(
    r"[ \t\r\n]+|;[^\r\n]*"
    r'|([()]|[^ \t\r\n();"|]+["|]?|"[^"]*(?:""[^"]*)*"[^ \t\r\n();]?|\|[^|\\]*\|[^ \t\r\n();]?|["|])'
)
#: a parenthesis, a symbol or number, a keyword, a binary or hexadecimal, a string, a quoted symbol
_KNOWN = re.compile(
    r"[()]|[A-Za-z0-9~!@$%^&*_+=<>.?/-]+|:[A-Za-z0-9~!@$%^&*_+=<>.?/-]+|#b[01]+|#x[0-9A-Fa-f]+"
    r'|"[^"]*(?:""[^"]*)*"|\|[^|\\]*\|'
)
#: symbols that are the same with and without bars; what else stands between bars is none that netproof knows
_BARRED = re.compile(r"\|([XY]_[0-9]+|and|or|true|false|Real|[<>]=?|[=+*/-])\|", re.ASCII)
_HINT = "correct the file, or write it again as VNN-LIB 1.0"
#: what is wrong with VNN-LIB 2, and the hint
LATER_VERSION = ("is VNN-LIB of a later version", "give the property in VNN-LIB 1.0")
#: beyond that a file is refused
_MOST_WORDS = 6_000_000
#: characters of a text that are taken apart between two looks at the clock, and matches where no line ends nearby
_PART, _MATCHES = 1 << 19, 1 << 16


def words_of(
    pattern: re.Pattern[str], path: str | Path, text: str, most: int, clock: Clock, several_lines: str
) -> list[str]:
    """The words of a text: what the pattern's group finds, one match behind the other.

    Parameters
    ----------
    pattern : every character belongs to a match, and no match goes on behind a line feed, but for those with ``several_lines``
    most : words
    several_lines : characters that words have in which lines may end

    Raises
    ------
    FormatError : more words than that
    TimeLimitError : the clock's deadline is over
    """
    words: list[str] = []
    at, by_lines = 0, not any(mark in text for mark in several_lines)
    while at < len(text):
        clock.look()
        end = (text.find("\n", at + _PART) + 1 if by_lines else 0) or len(text)
        if end - at <= 4 * _PART:
            words.extend(filter(None, pattern.findall(text, at, end)))
            at = end
        else:  # one long line, or one that ends inside of a word: no more than so many words
            found = list(itertools.islice(pattern.finditer(text, at), _MATCHES))
            words.extend(filter(None, (match.group(1) for match in found)))
            at = found[-1].end() if found else len(text)
        if len(words) > most:
            raise FormatError(path, f"has more than {most} words", "split the file")
    return words


class Tokens:
    """All words of a text, by number; their places are looked up only when something is wrong with one.

    Attributes
    ----------
    words : in the order of the text, comments left out; ``|X_0|`` as ``X_0``

    Raises
    ------
    FormatError : a word that is none, a string or quoted symbol that is never closed, too many words
    TimeLimitError : the clock's deadline is over
    """

    def __init__(self, path: str | Path, text: str, clock: Clock) -> None:
        self._path = path
        self._text = text
        self.words = words_of(_WORD, path, text, _MOST_WORDS, clock, several_lines='"|')
        strange = {word for word in clock.each(set(self.words)) if not _KNOWN.fullmatch(word)}
        if strange:
            self._refuse(next(number for number, word in enumerate(self.words) if word in strange))
        if "|" in text:
            self.words = [_BARRED.sub(r"\1", word) if word[0] == "|" else word for word in self.words]

    def __len__(self) -> int:
        return len(self.words)

    def word(self, number: int) -> str:
        """A word; raises :class:`FormatError` behind the last one."""
        if number >= len(self.words):
            self.fail(len(self.words), "the file ends in the middle of an expression: a ')' is missing")
        return self.words[number]

    def place(self, number: int) -> tuple[int, int]:
        """Line and column of a word, both from 1; of the end of the text where there is none of that number."""
        found = (match for match in _WORD.finditer(self._text) if match.group(1))
        match = next(itertools.islice(found, number, None), None)
        start = len(self._text.rstrip()) if match is None else match.start()
        line = self._text.count("\n", 0, start) + 1
        return line, start - (self._text.rfind("\n", 0, start) + 1) + 1

    def fail(self, number: int, problem: str, hint: str = _HINT) -> NoReturn:
        """Raise a :class:`FormatError` about a word."""
        line, column = self.place(number)
        raise FormatError(self._path, f"line {line}, column {column}: {problem}", hint)

    def _refuse(self, number: int) -> NoReturn:
        word = self.words[number]
        if "vnnlib-version" in self.words[:number]:
            self.fail(self.words.index("vnnlib-version"), *LATER_VERSION)
        if word == '"':
            self.fail(number, "this string is never closed")
        if word == "|":
            self.fail(number, "this quoted symbol is never closed, or has a backslash in it")
        if word[0] in '"|':
            self.fail(number, f"{printable(word[-1])} follows a string or quoted symbol without a space")
        if word[-1] in '"|':
            self.fail(number, f"a {word[-1]} follows {printable(word[:-1])} without a space")
        odd = next((c for c in word if not _KNOWN.fullmatch(c) and c not in ":#"), word[0])
        self.fail(number, f"the character U+{ord(odd):04X} in {printable(word)} is none that VNN-LIB has")


def printable(word: str) -> str:
    """A word of a file, fit for a message of one line."""
    shown = "".join(c if c.isprintable() else "?" for c in word[:40])
    return f"'{shown}...'" if len(word) > 40 else f"'{shown}'"
