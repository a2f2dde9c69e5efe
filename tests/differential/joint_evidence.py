"""Sets of planes and of pairs for the campaign's certificates (``evidence_campaign.py``): good ones and others, and what is near them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation, Objective
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.tree import Rows
from netproof.certificate.real.contents import PAIR_EXPONENTS, PAIRS, PLANES, arrays_of

if TYPE_CHECKING:
    from differential.evidence_questions import Question

Arrays = dict[str, object]


def with_planes(rng: np.random.Generator, question: Question, given: Arrays) -> Arrays:
    """The same with one or two sets of planes before the stages or behind them, and rows that name some."""
    sets = [some for some in (planes_by_chance(rng, question) for _ in range(int(rng.integers(1, 3)))) if some]
    if not sets:
        return given
    return given | {
        **_with_stages(rng, given, [PLANES] * len(sets)),
        **arrays_of_planes(sets),
        "row_planes": _named(rng, given, len(sets)),
    }


def with_pairs(rng: np.random.Generator, question: Question, given: Arrays) -> Arrays:
    """The same with one or two sets of pairs before the stages or behind them, rows that name some, and rows that prove ends."""
    sets = [some for some in (pairs_by_chance(rng, question) for _ in range(int(rng.integers(1, 3)))) if some]
    if not sets:
        return given
    pairs, more = arrays_of_pairs(sets, np.size(given["row_exponent"]))
    named, count = _named(rng, given, len(sets)), np.size(more["row_exponent"])
    given = given | _with_stages(rng, given, [PAIRS] * len(sets)) | pairs
    if "row_planes" in given:
        # Both about one ReLU are refused, which is most of what there can be.
        planes = np.asarray(given["row_planes"])
        named = np.where((planes > 0) & (rng.random(len(planes)) < 0.8), 0, named)
        given["row_planes"] = np.append(planes, np.zeros(count, np.int64))
    for name, values in more.items():
        given[name] = np.append(np.asarray(given[name], np.int64), values)
    return given | {"row_pairs": np.append(named, np.zeros(count, np.int64))}


def _with_stages(rng: np.random.Generator, given: Arrays, sets: list[int]) -> Arrays:
    stages = list(given.get("stage", ()))
    first = len(sets) if rng.random() < 0.8 else 0
    return {"stages": [len(stages) + len(sets)], "stage": [*sets[:first], *stages, *sets[first:]]}


def _named(rng: np.random.Generator, given: Arrays, sets: int) -> np.ndarray:
    """A set for every row, or none for some."""
    return rng.integers(0 if rng.random() < 0.3 else 1, sets + 1, size=np.size(given["row_exponent"]))


#: ReLU from 1, feature, exponent, prices of both ends, and numbers by columns
Plane = tuple[int, int, int, int, int, dict[int, int]]


def planes_by_chance(rng: np.random.Generator, question: Question) -> list[Plane]:
    """Planes above most ReLUs, over what is before them: near the operand's own slopes, or anything."""
    found: list[Plane] = []
    begin = np.cumsum([0, question.inputs, *question.values])
    for k, slopes in enumerate(question.slopes, 1):
        for feature, row in enumerate(slopes):
            if question.bends[k - 1] != RELU or rng.random() < 0.2:
                continue
            exponent = int(rng.integers(0, 41))
            m = row * float(rng.choice([0.0, 0.5, 1.0, rng.random()])) * (rng.random(len(row)) < 0.8)
            if rng.random() < 0.4:
                m = m + rng.normal(size=len(row)) * 10.0 ** rng.integers(-9, 9, size=len(row))
            whole = np.rint(np.clip(np.nan_to_num(np.ldexp(m, exponent)), -(2.0**52), 2.0**52)).astype(np.int64)
            entries = {int(i): int(whole[i]) for i in np.flatnonzero(rng.random(begin[k]) < 0.9)}
            prices = rng.integers(0, 2, size=2) * 10.0 ** rng.integers(-6, 4, size=2) * rng.random(2)
            right, left = (int(min(np.ldexp(price, exponent), 2.0**50)) for price in prices)
            found.append((k, feature, exponent, right, left, entries))
    return found


def arrays_of_planes(sets: list[list[Plane]]) -> Arrays:
    """Sets of planes as arrays of a certificate."""
    planes = [one for some in sets for one in some]
    names = ("plane_relu", "plane_feature", "plane_exponent", "plane_right", "plane_left")
    return {
        "plane_count": [len(some) for some in sets],
        **{name: [one[place] for one in planes] for place, name in enumerate(names)},
        "plane_entries": [len(one[5]) for one in planes],
        "plane_step": [step for one in planes for step in np.diff([-1, *one[5]]).tolist()],
        "plane_value": [value for one in planes for value in one[5].values()],
    }


def moved_planes(rng: np.random.Generator, planes: list[Plane], step: float) -> list[Plane]:
    """Planes with other slopes and prices, not far away."""

    def other(number: int, least: int, most: int) -> int:
        return int(min(max(number * (1 + step * rng.normal()) + int(rng.integers(-1, 2)), least), most))

    return [
        (
            *one[:3],
            *(other(price, 0, 2**50) for price in one[3:5]),
            {column: other(value, -(2**52), 2**52) for column, value in one[5].items()},
        )
        for one in planes
    ]


#: signs of both features in the four ends
_SIGNS = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
#: binary digits of what rows that prove ends say
_DIGITS = 20


class Octagons(NamedTuple):
    """A set of pairs: ReLU from 1, features and exponent of each, ``[P, 4]``; ends and the set's own rows for these, from 1 or 0 for
    none, ``[P, 4]`` each; and what these rows say of all features, slopes and what is added, ``[rows, 2, n]``."""

    of: np.ndarray
    end: np.ndarray
    row: np.ndarray
    said: np.ndarray

    @property
    def rows(self) -> Arrays:
        """The rows as arrays of a certificate."""
        count, width = len(self.said), self.said.shape[2]
        whole = np.rint(self.said * 2.0**_DIGITS).astype(np.int64)
        return {
            "row_exponent": [_DIGITS] * count,
            "row_base": [0] * count,
            "row_mu": [0] * count,
            "row_count": [width] * count,
            "row_feature": np.tile(np.arange(width), count),
            "row_slope": whole[:, 0].reshape(-1),
            "row_added": whole[:, 1].reshape(-1),
        }


def pairs_by_chance(rng: np.random.Generator, question: Question, *, fine: bool = False) -> Octagons | None:
    """Pairs of most features of ReLUs whose ends are as near as rows by chance prove on the box, once in a while nearer, or the ranges'
    own. Units are anything from a part of the range on, or far below it."""
    found, (low, high) = [], (question.root.low, question.root.high)
    for k, bend in enumerate(question.bends):
        if bend != RELU:
            continue
        reach = np.maximum(abs(low[k][0]), abs(high[k][0]))
        some = rng.permutation(np.flatnonzero(reach < 2.0**38))
        members = some[: 2 * (len(some) // 2)].reshape(-1, 2)
        for first, second in sorted(np.sort(members, 1).tolist()):
            # Both ends of a range come to less than 2^39 units.
            most = int(np.clip(38 - math.frexp(reach[[first, second]].max())[1], 0, PAIR_EXPONENTS))
            exponent = most if fine else int(rng.integers(max(0, most - 40), most + 1))
            found.append((k + 1, first, second, exponent))
    if not found:
        return None
    said = rng.normal(size=(int(rng.integers(1, 4)), 2, sum(question.sizes)))
    said[:, 0] = np.rint(np.clip(said[:, 0] + 0.5, 0, 1))
    said[:, 1] *= 0.1 * (rng.random(said[:, 1].shape) < 0.1)
    return tightened(rng, question.evaluation, question.root, np.array(found), said, exact=fine)


def tightened(
    rng: np.random.Generator, by: Evaluation, cells: Cells, of: np.ndarray, said: np.ndarray, *, exact: bool = False
) -> Octagons:
    """Pairs with the ends that one row or another proves on a cell, some nearer than that unless they are to be ``exact``."""
    node, choice = np.array(by.operands)[of[:, 0] - 1], rng.integers(0, len(said), size=(len(of), 4))
    made = Octagons(of, np.zeros((len(of), 4), np.int64), choice + 1, said)
    rows, value = Rows(arrays_of(**made.rows), by.network.sizes), np.zeros((len(of), 4))
    with np.errstate(all="ignore"):
        for which, ((_, first, second, _), at) in enumerate(zip(of.tolist(), node.tolist(), strict=True)):
            c = np.zeros((4, by.network.nodes[at].size))
            c[:, [first, second]] = _SIGNS
            value[which] = by.refutations(
                cells, np.zeros(4, np.int64), Objective({at: c}, np.zeros(4)), rows.slopes(choice[which])
            )
        units = np.ceil(np.ldexp(value, of[:, 3:]))
    is_proved = (abs(units) < 2.0**39) & (rng.random(units.shape) < 0.9)
    # Nearer by a unit, or by a good part.
    nearer = np.ceil(abs(units) * 10.0 ** rng.uniform(-12, 1, size=units.shape)) * (rng.random(units.shape) < 0.3)
    nearer = 0 if exact or rng.random() < 0.7 else np.minimum(nearer, 2.0**38)
    end = np.where(is_proved, units - nearer, rng.integers(-5, 6, size=units.shape))
    return Octagons(of, end.astype(np.int64), np.where(is_proved, choice + 1, 0), said)


def moved_pairs(rng: np.random.Generator, question: Question, pairs: Octagons, step: float) -> Octagons:
    """The same pairs with ends that other rows prove, not far away."""
    said = pairs.said + step * rng.normal(size=pairs.said.shape) * [[[1.0], [0.1]]]
    said[:, 0] = np.clip(said[:, 0], 0, 1)
    return tightened(rng, question.evaluation, question.root, pairs.of, said)


def arrays_of_pairs(sets: list[Octagons], rows: int) -> tuple[Arrays, Arrays]:
    """Sets of pairs as arrays of a certificate, and the rows of their ends, which stand behind as many others."""
    own = np.cumsum([rows, *(len(some.said) for some in sets)])
    number = [np.where(some.row > 0, some.row + before, 0) for some, before in zip(sets, own[:-1], strict=True)]
    names = ("pair_relu", "pair_first", "pair_second", "pair_exponent")
    of = np.concatenate([some.of for some in sets])
    pairs: Arrays = {
        "pair_count": [len(some.of) for some in sets],
        **{name: of[:, place] for place, name in enumerate(names)},
        "pair_end": np.concatenate([some.end.reshape(-1) for some in sets]),
        "pair_row": np.concatenate([some.reshape(-1) for some in number]),
    }
    each = [some.rows for some in sets]
    return pairs, {name: np.concatenate([np.asarray(one[name], np.int64) for one in each]) for name in each[0]}
