"""A radius as it is typed, and the unit it is in.

Pixels are counted in two ways, as grey levels (0 to 255) and as numbers from 0 to 1, and a number that could be meant in either
way would be a question that nobody asked. So a whole number is one of grey levels, a quotient or a decimal one of the values'
own unit, and what does not fit the network's inputs, or fits both readings, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from netproof.arguments.numbers import exact_number
from netproof.errors import InputError

_LEVELS = re.compile(r"(\d{1,9})\s*(?:grey|gray|g)(?:\s*levels?)?", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_LONGEST = 60
_NEAR = Fraction(1, 10**4)
#: no radius is larger: no float32 value is
_LARGEST = 10**38
#: grey levels of more digits are not written out
_SHOWN = 10**9


@dataclass(frozen=True)
class Unit:
    """What the values of images are counted in.

    Attributes
    ----------
    levels : how many steps of a grey level there are from the least to the largest input; None where values are no levels
    scale : of a network over the real numbers: what a value is multiplied by to become what radii are counted in; None over
        the integers, whose radii are whole grey levels
    """

    levels: int | None
    scale: Fraction | None = None

    @property
    def words(self) -> str:
        """What a number of this unit is called."""
        if self.scale is None:
            return "grey levels"
        if self.levels is None:
            return "in the unit of the images' values" + ("" if self.scale == 1 else f", scaled by {self.scale}")
        largest = self.levels * self.scale
        return f"of pixels from 0 to {largest}" if largest != self.levels else "grey levels"


@dataclass(frozen=True)
class Reach:
    """A radius.

    Attributes
    ----------
    value : in the unit that :func:`netproof.robustness` takes: whole grey levels of a network over the integers
    words : the radius with its unit, as results say it
    norm : what it is a radius in, one of :data:`netproof.local_robustness.NORMS`, or ``l0``, in which it is a number of values
    """

    value: Fraction
    words: str
    norm: str = "linf"

    @property
    def number(self) -> int | Fraction:
        """The same, as a whole number where it is one."""
        return int(self.value) if self.value.denominator == 1 else self.value


def reach_of(text: str, unit: Unit, option: str = "--eps", norm: str = "linf") -> Reach:
    """The radius that a text states; raises :class:`InputError` saying how to write what may have been meant.

    In another norm than the maximum's the unit is the same one: a grey level is what one value moves by.
    """
    found = _reach(text, unit, option)
    return found if norm == "linf" else Reach(found.value, f"{found.words} in {norm}", norm)


def reach_of_values(count: int) -> Reach:
    """A number of values that may become anything, as a radius in ``l0``."""
    return Reach(Fraction(count), f"{count} value{'' if count == 1 else 's'} in l0", "l0")


def check_radius(text: str, option: str = "--eps") -> None:
    """Refuse what is no radius whatever its unit; raises :class:`InputError`."""
    _stated(text.strip(), option)


def _stated(text: str, option: str) -> tuple[Fraction, bool]:
    """The number that a text states, and whether it says that these are grey levels."""
    levels = _LEVELS.fullmatch(text)
    value = Fraction(int(levels[1])) if levels else exact_number(text) if len(text) <= _LONGEST else None
    if value is None or value < 0:
        problem = f"the radius is '{text[:40]}'"
        raise InputError(option, problem, "give 0 or more: 2/255, 0.01, or whole grey levels as 2 or 2grey")
    if value > _LARGEST:
        raise InputError(option, f"the radius is '{text}', beyond all float32 values", "give 1e38 or less")
    return value, bool(levels)


def _reach(text: str, unit: Unit, option: str) -> Reach:
    text = text.strip()
    value, levels = _stated(text, option)
    whole = bool(_WHOLE.fullmatch(text))
    if unit.scale is None:
        found = value if levels or whole else _whole_levels(text, value, unit, option)
        return Reach(found, _level_words(int(found)))
    return _of_real_numbers(text, value, unit, option, whole=whole, levels=levels)


def _whole_levels(text: str, value: Fraction, unit: Unit, option: str) -> Fraction:
    """A share of the range of inputs as whole grey levels."""
    assert unit.levels is not None
    if value > 1 or (value == 1 and "/" not in text):
        problem = f"'{text}' could be grey levels or a share of the range of inputs"
        levels = f"{max(1, round(value))} for" if value < _SHOWN else "whole"
        raise InputError(option, problem, f"give {levels} grey levels, or a share of at most 1")
    found = value * unit.levels
    if found.denominator != 1:
        low, near = int(found), round(found)
        if near and abs(found - near) < _NEAR:
            # what a quotient is in floats
            problem = f"'{text}' is near {near} grey levels of {unit.levels}, and not equal"
            raise InputError(option, problem, f"give {near}, or {near}/{unit.levels} as text")
        problem = f"'{text}' of the range of inputs is {float(found):.6g} grey levels, and the network takes whole ones"
        raise InputError(option, problem, f"give {low} or {low + 1}, the grey levels on both sides")
    return found


def _of_real_numbers(text: str, value: Fraction, unit: Unit, option: str, *, whole: bool, levels: bool) -> Reach:
    scale = unit.scale
    assert scale is not None
    if levels:
        if unit.levels is None:
            problem = f"'{text}' are grey levels, and the images' values are none"
            raise InputError(option, problem, "give a decimal or a quotient, in the unit of the values")
        return Reach(value * scale, f"{_level_words(int(value))} ({value * scale} {unit.words})")
    if unit.levels is not None and scale == 1:
        if 0 < value < 1:
            problem = f"'{text}' is less than a grey level of inputs from 0 to {unit.levels}"
            share = value * unit.levels
            hint = f"give {float(share):.6g}" if share >= 1 else "give 1 or more"
            raise InputError(option, problem, f"{hint} for grey levels")
        return Reach(value, f"{text} grey level{'' if value == 1 else 's'}")
    if whole and value:
        problem = f"'{text}' could be grey levels or the unit of the values"
        grey = (
            f"{text}grey for grey levels"
            if unit.levels is not None
            else f"{text}/255 for grey levels of values from 0 to 1"
        )
        raise InputError(option, problem, f"give {grey}, or {text}.0 {unit.words}")
    said = text
    if unit.levels is not None and (value / scale).denominator == 1 and value / scale < _SHOWN:
        said += f" ({_level_words(int(value / scale))})"
    return Reach(value, f"{said} {unit.words}")


def _level_words(levels: int) -> str:
    return f"{levels} grey level{'' if levels == 1 else 's'}"
