"""What was probably meant by a label or a radius that is none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from netproof.arguments.numbers import exact_number


def label_hint(label: object, number: int | None, outputs: int) -> str:
    """How to write a label, of which ``number`` is the whole number that it is, None where it is none."""
    if number is not None:
        hint = "check that labels and network belong together"
        return f"{hint}: classes are counted from 0" if number == outputs else hint
    values = np.asarray(label) if isinstance(label, list | tuple | np.ndarray) else None
    if values is not None and values.dtype.kind in "iufb" and values.size == outputs > 1:
        return "give the number of the class: of a one-hot label its argmax"
    return "give the number of the class, from 0"


def levels_hint(radius: object, widest: int) -> str:
    """How to write, in grey levels, a radius that is a share of the range of inputs."""
    hint = "give a whole number of grey levels, 0 or more"
    stated = exact_number(radius)
    if stated is None or stated < 0:
        return hint
    levels = round(stated * widest)
    # A float is near the quotient that it was computed from, not equal to it.
    near = 0 < stated <= 1 and levels and abs(stated * widest - levels) < Fraction(1, 10**4)
    return f"{hint}: {levels} for {levels}/{widest} of the range of inputs" if near else hint
