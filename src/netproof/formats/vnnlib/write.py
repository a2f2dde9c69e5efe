"""Writer for robustness properties in VNN-LIB 1.0, in the layout of VNN-COMP's image benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def robustness_vnnlib(
    lower: NDArray[np.float32], upper: NDArray[np.float32], label: int, outputs: int, *, title: str
) -> str:
    """The property that some input of a box is not classified as ``label``.

    ``sat`` means that another output reaches the label's: a disjunction of ``Y_i >= Y_label`` over the other classes.
    A bound is written as the shortest decimal that reads back as the same float64, hence as the same float32.

    Parameters
    ----------
    lower, upper : the box, float32, any shape, finite; inputs are numbered in C order
    label : the class
    outputs : number of classes
    title : first word of the comment that heads the file
    """
    lows, highs = _decimals(lower), _decimals(upper)
    if len(lows) != len(highs) or not 0 <= label < outputs or not title.isprintable():
        raise ValueError("a box has as many lower as upper ends, a label is one of the outputs, a title one line")
    lines = [f"; {title} property with label: {label}.", ""]
    lines += [f"(declare-const X_{i} Real)" for i in range(len(lows))]
    lines += ["", ""]
    lines += [f"(declare-const Y_{i} Real)" for i in range(outputs)]
    lines += ["", "; Input constraints:"]
    for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
        lines += [f"(assert (<= X_{i} {high}))", f"(assert (>= X_{i} {low}))", ""]
    lines += ["", "; Output constraints:", "(assert (or"]
    lines += [f"\t(and (>= Y_{i} Y_{label}))" for i in range(outputs) if i != label]
    lines += ["))", ""]
    return "\n".join(lines)


def _decimals(values: NDArray[np.float32]) -> Sequence[str]:
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise ValueError("the ends of a box are finite float32 numbers")
    return [repr(value) for value in values.astype(np.float64).reshape(-1).tolist()]
