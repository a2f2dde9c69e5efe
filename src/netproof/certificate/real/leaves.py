"""Leaves that another verifier left: a JSON document (docs/certificates.md, *Leaves of another tool*), and the trees they stand in."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.real.contents import DEEPEST
from netproof.certificate.real.deadline import Deadline
from netproof.errors import FormatError
from netproof.files.opened import read_bytes
from netproof.result import Refutation, Trace

FORMAT = "netproof-leaves-1"
_LONGEST, _MOST_LEAVES, _MOST_NODES = 1 << 26, 1 << 20, 1 << 22
#: splits that are gone through on the way to the trees; leaves of no tree take exponentially many
_MOST_STEPS = 1 << 25
_FIELDS = {"part", "case", "splits", "slopes", "multipliers", "weights"}
_HINT = "see docs/certificates.md, 'Leaves of another tool'"


class Split(NamedTuple):
    """One side of a split: what arrives at a ReLU's feature (ReLU 0: an input) is at most ``point``, or at least."""

    relu: int
    feature: int
    is_upper: bool
    point: float


@dataclass(frozen=True)
class Leaf:
    """A cell that is refuted, and by what.

    Attributes
    ----------
    part, case : of the property; a case of None stands for all of the part
    splits : which the cell lies beyond
    slopes : of lower lines by ReLU (from 1) and feature
    multipliers : of the splits of features, of at least 0
    weights : of the case's constraints, of at least 0; none where that is left open
    """

    part: int
    case: int | None
    splits: tuple[Split, ...]
    slopes: dict[tuple[int, int], float]
    multipliers: dict[tuple[int, int], float]
    weights: tuple[float, ...]


def read_leaves(path: str | Path) -> list[Leaf]:
    """The leaves in a file; raises :class:`FormatError` for what is none, naming the leaf."""
    data = read_bytes(path, "file of leaves", limit=_LONGEST)
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise FormatError(path, "is no JSON document of leaves", _HINT) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or set(document) != {"format", "leaves"}:
        raise FormatError(path, f"is no document of the format '{FORMAT}' with 'leaves'", _HINT)
    leaves = document["leaves"]
    if not isinstance(leaves, list) or not 0 < len(leaves) <= _MOST_LEAVES:
        raise FormatError(path, f"has no list of 1 to {_MOST_LEAVES} leaves", _HINT)
    return [_read(path, number, leaf) for number, leaf in enumerate(leaves)]


def _read(path: str | Path, number: int, leaf: Any) -> Leaf:
    try:
        return _leaf(leaf)
    except (ValueError, TypeError, OverflowError) as error:
        what = str(error) if type(error) is ValueError else "a value of another type"
        raise FormatError(path, f"leaf {number}: {what}", _HINT) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field that is there twice")
    return found


def _refuse(text: str) -> float:
    raise ValueError(text)


def _leaf(leaf: Any) -> Leaf:
    if not isinstance(leaf, dict) or not set(leaf) <= _FIELDS:
        raise ValueError(f"it is no object of {', '.join(sorted(_FIELDS))}")
    case = leaf.get("case")
    splits = tuple(_split(entry) for entry in _list(leaf, "splits"))
    if len(splits) > DEEPEST:
        raise ValueError(f"more than {DEEPEST} splits")
    weights = tuple(_number(value) for value in _list(leaf, "weights"))
    multipliers = _by_feature(leaf, "multipliers")
    if any(value < 0 for value in (*weights, *multipliers.values())):
        raise ValueError("a weight or a multiplier below 0")
    if weights and case is None:
        raise ValueError("weights without the case they are about")
    part = _index(leaf.get("part", 0))
    return Leaf(part, None if case is None else _index(case), splits, _by_feature(leaf, "slopes"), multipliers, weights)


def _list(leaf: dict[str, Any], name: str) -> list[Any]:
    found = leaf.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"its {name} are no list")
    return found


def _split(entry: Any) -> Split:
    if not isinstance(entry, list) or len(entry) not in (3, 4) or entry[2] not in ("<=", ">="):
        raise ValueError("a split is [relu, feature, '<=' or '>=', point]")
    point = _number(entry[3]) if len(entry) == 4 else 0.0
    return Split(_index(entry[0]), _index(entry[1]), entry[2] == ">=", point)


def _by_feature(leaf: dict[str, Any], name: str) -> dict[tuple[int, int], float]:
    found = {}
    for entry in _list(leaf, name):
        if not isinstance(entry, list) or len(entry) != 3:
            raise ValueError(f"{name} are triples [relu, feature, value]")
        place = _index(entry[0]), _index(entry[1])
        if place in found:
            raise ValueError(f"{name} with a feature that is there twice")
        found[place] = _number(entry[2])
    return found


def _index(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise ValueError("an index that is none")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 2.0**50:
        raise ValueError("a number that is none, or of 2^50 or more")
    return float(value)


class Trees:
    """The trees that leaves stand in, as a record like that of a search.

    A tree is found from its leaves: the split that most of them name is the root's, those that do not name it stand on both
    sides. What no leaf covers has no record.

    Parameters
    ----------
    sizes : of the ReLUs
    deadline : which also says how errors call the file
    """

    def __init__(self, sizes: Sequence[int], inputs: int, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sizes = (inputs, *sizes)
        self._begin = [0, *np.cumsum(sizes).tolist()]
        self._source = deadline.source
        self._splits: dict[int, tuple[int, int, float, int, int]] = {}
        self._refuted: dict[int, Refutation] = {}
        self._open: dict[int, NDArray[Any]] = {}
        self._nodes = self._steps = 0

    def root(self, leaves: Sequence[Leaf]) -> int:
        """The node of a tree of leaves."""
        for leaf in leaves:
            places = [(s.relu, s.feature) for s in leaf.splits]
            for relu, feature in (*places, *leaf.slopes, *leaf.multipliers):
                if relu >= len(self._sizes) or feature >= self._sizes[relu]:
                    raise FormatError(
                        self._source, f"names feature {feature} of ReLU {relu}, which is not there", _HINT
                    )
            if any(relu == 0 for relu, _ in (*leaf.slopes, *leaf.multipliers)):
                raise FormatError(self._source, "gives an input a slope or a multiplier", _HINT)
        root = self._node()
        stack = [(root, [(leaf, leaf.splits) for leaf in leaves])]
        while stack:
            self._deadline.look()
            node, mine = stack.pop()
            whole = next((leaf for leaf, splits in mine if not splits), None)
            if whole is not None:
                self._refute(node, whole)
            elif mine:
                self._steps += sum(len(splits) for _, splits in mine)
                if self._steps > _MOST_STEPS:
                    raise FormatError(self._source, "has leaves that stand in no tree of this size", _HINT)
                named = Counter(place for _, splits in mine for place in {(s.relu, s.feature, s.point) for s in splits})
                relu, feature, point = min(named, key=lambda place: (-named[place], place))
                halves = self._node(), self._node()
                self._splits[node] = (relu - 1, feature, point, *halves)
                for half, is_upper in zip(halves, (False, True), strict=True):
                    side = Split(relu, feature, is_upper, point)
                    left = [(leaf, rest) for leaf, splits in mine if (rest := _beyond(splits, side)) is not None]
                    stack.append((half, left))
        return root

    def trace(self) -> Trace:
        """The record of all trees."""
        return Trace(tuple(self._sizes[1:]), {}, self._splits, self._refuted, self._open, {}, ("crown",))

    def _node(self) -> int:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise FormatError(
                self._source, "has leaves whose trees are too large", "give the leaves of one tree a case"
            )
        return self._nodes - 1

    def _refute(self, node: int, leaf: Leaf) -> None:
        weight = np.array(leaf.weights) if leaf.weights else None
        places = sorted({*leaf.slopes, *leaf.multipliers})
        if not places:
            self._refuted[node] = Refutation("crown", weight)
            return
        self._open[node] = np.array([self._begin[relu - 1] + feature for relu, feature in places])
        slope = np.array([leaf.slopes.get(place, math.nan) for place in places])
        added = np.array([leaf.multipliers.get(place, 0.0) for place in places])
        self._refuted[node] = Refutation("signs", weight, slope, added)


def _beyond(splits: tuple[Split, ...], side: Split) -> tuple[Split, ...] | None:
    """What of a leaf's splits is left to be done on one side of one; None where the leaf has no part in that side."""
    rest = []
    for split in splits:
        if (split.relu, split.feature) != (side.relu, side.feature):
            rest.append(split)
        elif split.is_upper != side.is_upper:
            if (split.point >= side.point) if split.is_upper else (split.point <= side.point):
                return None
            rest.append(split)
        elif (split.point > side.point) if split.is_upper else (split.point < side.point):
            rest.append(split)
    return tuple(rest)
