"""What an argument is, in words, and which of the known words one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from numbers import Number

from netproof.arguments.numbers import scalar

_LONGEST = 40
#: names that Python has for what people call otherwise
_KINDS = {
    "str": "text",
    "NoneType": "nothing",
    "list": "a list",
    "tuple": "a tuple",
    "dict": "a dict",
    "bytes": "bytes",
}


def printable(text: str) -> str:
    """A text in one line that a terminal, a log or an XML file takes as it is: what would steer one is written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def plainly(value: object) -> str:
    """A value as a sentence has it; its type where that is not possible, of a number of thousands of digits for instance."""
    try:
        return f"{value}"
    except Exception:  # noqa: BLE001 - whatever a foreign class does
        return f"{_article(type(value).__name__)} {type(value).__name__}"


def shown(value: object, longest: int = _LONGEST) -> str:
    """A value as Python writes it, numbers plainly, in one line and cut; its type where it cannot be written."""
    value = scalar(value)
    try:
        text = str(value) if isinstance(value, Number) else repr(value)
    except Exception:  # noqa: BLE001 - whatever a foreign class does, its object is still the wrong one
        return f"{_article(type(value).__name__)} {type(value).__name__}"
    text = printable(" ".join(text.split()))
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def described(value: object) -> str:
    """What a value is, and which: ``3``, ``text ('x.onnx')``, ``nothing (None)``, ``a Sequential``."""
    name = type(value).__name__
    if isinstance(value, Number):
        return shown(value)
    if isinstance(value, str | bytes | list | tuple | dict) or value is None:
        return f"{_KINDS.get(name, f'{_article(name)} {name}')} ({shown(value)})"
    if isinstance(value, type):
        return f"the class {value.__name__}, not an object of it"
    return f"{_article(name)} {name}"


def _article(name: str) -> str:
    return "an" if name[:1].lower() in set("aeiou") or name == "ndarray" else "a"


def listed(words: Iterable[str], last: str = "or") -> str:
    """Words as a sentence has them: ``a, b or c``."""
    *first, end = list(words)
    return f"{', '.join(first)} {last} {end}" if first else end


def meant(word: object, known: Iterable[str], others: Mapping[object, str] | None = None) -> str:
    """A hint: the known word that was probably meant, or all there are.

    ``others`` has words that are known elsewhere by what they are called here.
    """
    words = list(known)
    every = f"give {'one of ' if len(words) > 2 else ''}{listed(words)}"
    near = _other(word, others or {})
    if near is None and isinstance(word, str):
        small = {one.lower(): one for one in words}
        found = difflib.get_close_matches(word.strip().lower(), small, 1, 0.6)
        near = small[found[0]] if found else None
    return f"did you mean '{near}'? ({every})" if near is not None and len(words) > 1 else every


def _other(word: object, others: Mapping[object, str]) -> str | None:
    try:
        return others.get(word.strip().lower() if isinstance(word, str) else word)
    except TypeError:  # what has no hash is no word
        return None
