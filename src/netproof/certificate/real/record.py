"""Whether a record of a search is about what it says it is: features that are there, numbers that are some, trees that end.

Nobody has to believe what a record says, but whoever follows it counts on its form. One that was damaged makes no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import NoEvidenceError
from netproof.result import DividedEnd, Ends, PairsBeside, Trace


def check_record(trace: Trace, inputs: int, source: str) -> None:
    """Raise :class:`NoEvidenceError` for a record that does not fit together; ``inputs`` is how many there are, ``source`` how errors call it."""
    fault = _fault(trace, inputs)
    if fault:
        raise NoEvidenceError(source, f"the search's record {fault}")


def _fault(trace: Trace, inputs: int) -> str:
    """What is wrong with a record; empty where nothing is."""
    sizes, total = trace.sizes, sum(trace.sizes)
    # Nodes that searches share say the same array.
    opened = {id(numbers): numbers for numbers in trace.open.values()}.values()
    if not all(_names(numbers, total) for numbers in opened) or not all(
        _is_there(k, feature, sizes, inputs) for k, feature, *_ in trace.splits.values()
    ):
        return "names features that are not there"
    for node, (_, _, point, *halves) in trace.splits.items():
        if not math.isfinite(point):
            return "splits at what is no number"
        # Nodes are numbered as they are made, so that no node comes below itself.
        if min(halves) <= node:
            return "has a node that stands below itself"
    for refutation in trace.refuted.values():
        slope, added = refutation.slope, refutation.added
        if slope is not None and added is not None and slope.shape != added.shape:
            return "has slopes and multipliers of other features"
        if not 0 <= refutation.planes <= len(trace.planes) or not 0 <= refutation.pairs <= len(trace.pairs):
            return "names planes or pairs that are not there"
    told = ((one.weight, one.added) for one in trace.refuted.values())
    if not _are_finite(part for parts in told for part in parts if part is not None):
        return "has multipliers that are no numbers"
    if trace.box and [(low.shape, high.shape) for low, high in trace.box] != [((n,), (n,)) for n in sizes]:
        return "has ranges of other features"
    if not all(_is_whole(one, sizes) for one in trace.ends) or not all(
        _is_divided(one, sizes) for one in trace.divided
    ):
        return "has ends of ranges of features that are not there, or about others than it names"
    if not all(_is_paired(one, sizes) for pairs in trace.pairs for one in pairs):
        return "has pairs of features that are not there, or about others than it names"
    return ""


def _is_there(k: int, feature: int, sizes: Sequence[int], inputs: int) -> bool:
    """Whether there is such a feature, of the inputs where ``k`` is -1."""
    return -1 <= k < len(sizes) and 0 <= feature < (inputs if k < 0 else sizes[k])


def _names(numbers: NDArray[Any], total: int) -> bool:
    """Whether these are numbers of features, each of them once."""
    if numbers.ndim != 1 or not (np.diff(numbers) > 0).all():
        return False
    return not len(numbers) or bool(numbers[0] >= 0 and numbers[-1] < total)


def _are_finite(parts: Iterable[NDArray[Any]]) -> bool:
    """Whether all of some arrays are numbers."""
    return all(np.isfinite(part).all() for part in parts)


def _is_whole(ends: Ends, sizes: Sequence[int]) -> bool:
    """Whether ends by slopes are of features that are there."""
    if not 0 <= ends.k < len(sizes) or not _names(ends.open, sum(sizes)):
        return False
    if ends.feature.ndim != 1 or ((ends.feature < 0) | (ends.feature >= sizes[ends.k])).any():
        return False
    count = ends.feature.shape
    shapes = (ends.upper.shape, ends.bound.shape, ends.slope.shape)
    return shapes == (count, count, (*count, len(ends.open))) and _are_finite([ends.slope])


def _is_paired(pairs: PairsBeside, sizes: Sequence[int]) -> bool:
    """Whether pairs are of features that are there, each of them in one."""
    named = (pairs.first, pairs.second, pairs.open)
    if not 0 <= pairs.k < len(sizes) or any(part.ndim != 1 or part.dtype.kind != "i" for part in named):
        return False
    both = np.sort(np.concatenate([pairs.first, pairs.second]))
    if not _names(pairs.open, sum(sizes)) or not _names(both, sizes[pairs.k]):
        return False
    count = len(pairs.first)
    shapes = pairs.second.shape, pairs.bound.shape, pairs.slope.shape
    return shapes == ((count,), (count, 4), (count, 4, len(pairs.open))) and _are_finite([pairs.slope])


def _is_divided(end: DividedEnd, sizes: Sequence[int]) -> bool:
    """Whether an end by parts is of a feature that is there."""
    # Of no inputs none is there: the input has no ends to be bounded.
    if not _is_there(end.k, end.feature, sizes, 0) or not _names(end.unstable, sum(sizes)):
        return False
    shape = (len(end.side), len(end.unstable))
    return all(part.shape == shape for part in (end.side, end.slope, end.added)) and _are_finite([end.added])
