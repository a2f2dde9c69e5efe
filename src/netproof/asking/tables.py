"""The words of a file of promises: which there are, and what each of them takes.

A value is looked at by itself here, before anything is made of it; what several say together is looked at in ``promises.py``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

from netproof.arguments.numbers import exact_number
from netproof.arguments.words import described, listed, meant, printable, shown
from netproof.asking.reach import check_radius
from netproof.errors import FormatError, InputError
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.images.sources import SPLITS
from netproof.local_robustness import check_norm
from netproof.pictures.form import LAYOUTS
from netproof.settings import Settings

WIDTHS = tuple(FixedPoint().as_dict())
LIMITS = ("timeout", "memory", "seed", "engine", "device")
#: the least number of GiB that a search can do with
_LEAST_MEMORY = 0.001
_NUMBER = "give a number: 0.5 or '1/255'"


class Fault(Exception):  # noqa: N818 - no error yet: whoever knows the file and the table makes one of it
    """What is wrong with a value, and what to write instead."""

    def __init__(self, problem: str, hint: str) -> None:
        self.problem, self.hint = problem, hint
        super().__init__(problem)


def _text(value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise Fault(f"is {described(value)}", "give text")


def _flag(value: object) -> None:
    if not isinstance(value, bool):
        raise Fault(f"is {described(value)}", "give true or false")


def _whole(least: int) -> Callable[[object], None]:
    def check(value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Fault(f"is {described(value)}", "give a whole number")
        if value < least:
            raise Fault(f"is {value}", f"give {least} or more")

    return check


def _number(value: object, *, positive: bool = False) -> None:
    number = exact_number(value) if isinstance(value, int | float | str) else None
    if number is None:
        raise Fault(f"is {described(value)}", _NUMBER)
    if positive and number <= 0:
        raise Fault(f"is {value}", "give a number above 0")


def _positive(value: object) -> None:
    _number(value, positive=True)


def _per_channel(check: Callable[[object], None]) -> Callable[[object], None]:
    def checked(value: object) -> None:
        if isinstance(value, list):
            if not value:
                raise Fault("has no number", "give one, or one per channel")
            for one in value:
                check(one)
        else:
            check(value)

    return checked


def _ends(value: object) -> None:
    if not isinstance(value, list):
        raise Fault(f"is {described(value)}", "give the least and the largest value: [0, 1]")
    if len(value) != 2:
        raise Fault(f"has {len(value)} numbers", "give the least and the largest value: [0, 1]")
    for one in value:
        _number(one)
    low, high = (exact_number(one) for one in value)
    if low is not None and high is not None and low > high:
        raise Fault(f"is {shown(value)}, which nothing is between", "give the least value first")


def _index(value: object) -> None:
    numbers = value if isinstance(value, list) else [value]
    if not numbers:
        raise Fault("names no image", "give numbers of images, from 0, or all = true")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise Fault(f"has {described(number)}, which is no number of an image", "give whole numbers from 0")
        if number < 0:
            raise Fault(f"has {number}", "count images from 0")
    twice = [number for place, number in enumerate(numbers) if number in numbers[:place]]
    if twice:
        raise Fault(f"names image {twice[0]} twice", "name each image once")


def _radius(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Fault(f"is {described(value)}", "give '2/255', '0.01', or whole grey levels as 2 or '2grey'")
    try:
        check_radius(str(value), "eps")
    except InputError as error:
        raise Fault(f"is {described(value)}", error.hint) from None


def _norm(value: object) -> None:
    try:
        check_norm(value, "norm")
    except InputError as error:
        raise Fault(f"is {described(value)}", error.hint) from None


def _one_of(*words: str, **others: str) -> Callable[[object], None]:
    def check(value: object) -> None:
        if not isinstance(value, str) or value not in words:
            raise Fault(f"is {described(value)}", meant(value, words, dict(others.items())))

    return check


def _runtime(value: object) -> None:
    from netproof.formats.onnx.quantized.rules.rule import RULES
    from netproof.formats.tflite.rules.runtime import RUNTIMES

    _one_of(*RUNTIMES, *RULES)(value)


def _requirement(value: object) -> None:
    words = value if isinstance(value, list) else [value]
    if not words:
        raise Fault("names none", "give text, or leave it out")
    for word in words:
        _text(word)
    twice = [word for place, word in enumerate(words) if word in words[:place]]
    if twice:
        raise Fault(f"names {shown(twice[0])} twice", "name each once")


def _seconds(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault(f"is {described(value)}", "give a number of seconds: 60")
    if not 0 < value < math.inf:
        raise Fault(f"is {value}", "give a positive number of seconds, not without an end")


def _gibibytes(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault(f"is {described(value)}", "give a number of GiB: 2")
    if not _LEAST_MEMORY <= value < 1 << 20:
        raise Fault(f"is {value}", f"give a number of GiB, {_LEAST_MEMORY} or more")


def _setting(word: str) -> Callable[[object], None]:
    def check(value: object) -> None:
        try:
            Settings(**{word: value})  # type: ignore[arg-type]
        except InputError as error:
            raise Fault(f"is {described(value)}", error.hint) from None

    return check


def _width(word: str) -> Callable[[object], None]:
    def check(value: object) -> None:
        _whole(0)(value)
        try:
            # The other widths are as wide as they can be, so that they are nothing to this one.
            FixedPoint(**{"bits": 16, word: value})  # type: ignore[arg-type]
        except InputError as error:
            raise Fault(f"is {described(value)}", error.hint) from None

    return check


#: words about images, and those of every promise
OF_IMAGES: Mapping[str, Callable[[object], None]] = {
    "images": _text, "labels": _text, "label": _whole(0), "index": _index, "all": _flag, "eps": _radius, "norm": _norm,
    "target": _whole(0), "top": _whole(1), "scale": _positive, "mean": _per_channel(_number), "std": _per_channel(_positive),
    "clip": _ends, "layout": _one_of(*LAYOUTS, nchw="chw", nhwc="hwc"), "split": _one_of(*SPLITS), "crop": _whole(1),
    "unchecked": _flag,
}  # fmt: skip
OF_EVERY: Mapping[str, Callable[[object], None]] = {
    "network": _text, "property": _text, "runtime": _runtime, "expect": _text, "requirement": _requirement,
    **{word: _width(word) for word in WIDTHS},
    "timeout": _seconds, "memory": _gibibytes, **{word: _setting(word) for word in LIMITS[2:]},
}  # fmt: skip
#: words of which a query has one: where a table names one, its defaults have nothing to say about the other
ALTERNATIVES = (("label", "labels"), ("index", "all"), ("target", "top"))


def check_words(place: str, table: Mapping[str, Any], *, by_property: bool) -> None:
    """Refuse words that are not known, or whose values are none of theirs; raises :class:`FormatError`."""
    known = OF_EVERY if by_property else {**OF_EVERY, **OF_IMAGES}
    for word, value in table.items():
        check = known.get(word)
        if check is None:
            why = ", of images, stands beside a property" if word in OF_IMAGES else " is not known"
            raise FormatError(place, f"'{printable(word)[:40]}'{why}", _near(word, known))
        try:
            check(value)
        except Fault as fault:
            raise FormatError(place, f"'{word}' {fault.problem}", fault.hint) from None


def _near(word: str, known: Mapping[str, object]) -> str:
    found = difflib.get_close_matches(word.lower(), known, 1)
    return f"did you mean '{found[0]}'?" if found else f"known are {listed(sorted(known), 'and')}"
