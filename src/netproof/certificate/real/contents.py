"""What a certificate about a network of real numbers holds: docs/certificates.md, *Networks over the real numbers*."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

#: the arrays, in the order in which a file holds them
NAMES = (
    "witness", "witness_limbs", "witness_two", "witness_ten",
    "cases", "tree", "stages", "stage",
    "lemma_count", "lemma_relu", "lemma_feature", "lemma_side", "lemma_end", "lemma_exponent",
    "plane_count", "plane_relu", "plane_feature", "plane_exponent", "plane_right", "plane_left", "plane_entries",
    "plane_step", "plane_value",
    "pair_count", "pair_relu", "pair_first", "pair_second", "pair_exponent", "pair_end", "pair_row",
    "kind", "rule", "leaf_row",
    "split_relu", "split_feature", "split_point", "split_exponent",
    "row_exponent", "row_base", "row_mu", "row_count", "row_feature", "row_slope", "row_added", "row_planes",
    "row_pairs",
)  # fmt: skip
_WITNESS = NAMES[:4]
#: those of files of version 4, which have no pairs, and of version 3, which have no planes either
WITHOUT_PAIRS = tuple(name for name in NAMES if not name.startswith("pair_") and name != "row_pairs")
WITHOUT_PLANES = tuple(name for name in WITHOUT_PAIRS if not name.startswith("plane_") and name != "row_planes")

#: values of ``stage``: rules of ranges, lemmas with trees of their own, sets of planes, and sets of pairs
INTERVALS, FORMS, CROWN, BOTH, LEMMAS, PLANES, PAIRS = 1, 2, 3, 4, 5, 6, 7
RULES = ("none", "intervals", "linear forms", "CROWN", "linear forms and CROWN")
#: values of ``kind``
EMPTY, LEAF, SPLIT = 0, 1, 2
KINDS = ("empty", "leaf", "split")
#: the most levels that trees have
DEEPEST = 1 << 14
#: the largest exponents of two: of rows, and of single numbers; of ten: of witnesses
ROW_EXPONENTS, EXPONENTS, TENS = 60, 1100, 400
#: the same of planes, so that one less the price of an end is a float64; the largest price, and the farthest step between columns
PLANE_EXPONENTS, PRICES, STEPS = 40, 1 << 50, 1 << 40
#: the largest exponent of pairs, and how far ends of theirs are from 0, so that all corners are float64 numbers
PAIR_EXPONENTS, PAIR_ENDS = 60, 1 << 40
#: numerators of witnesses are written in limbs of so many bits, and at most so many of them
LIMB, MOST_LIMBS = 48, 64


@dataclass(frozen=True, eq=False)
class RealCertificate:
    """The content of a certificate file.

    Attributes
    ----------
    network_sha256, property_sha256 : hashes of both files' (decompressed) contents, 64 hexadecimal digits each
    inputs, outputs : how many the property declares
    claim : ``"unsat"`` or ``"sat"``
    arrays : int64, one-dimensional, one for each of :data:`NAMES`; :func:`arrays_of` makes them
    name, producer : free text
    """

    network_sha256: str
    property_sha256: str
    inputs: int
    outputs: int
    claim: Literal["unsat", "sat"]
    arrays: Mapping[str, Integers]
    name: str = ""
    producer: str = ""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees that are proved together, their nodes level by level, the roots first.

    Attributes
    ----------
    kind, rule : ``[N]``, of all nodes
    child : ``[N]``, of split nodes the position of the first of their two children
    owner : ``[N]``, the root that it stands below
    row : ``[N]``, of leaves where their rows begin in ``rows``, one for each goal of their root
    relu, feature, point, exponent : ``[N]``, of split nodes; 0 for the input, else which ReLU from 1
    """

    kind: Integers
    rule: Integers
    child: Integers
    owner: Integers
    row: Integers
    relu: Integers
    feature: Integers
    point: Integers
    exponent: Integers
    rows: Integers = field(default_factory=lambda: np.zeros(0, np.int64))


class Taken:
    """Entries of arrays, taken one after the other."""

    def __init__(self, arrays: Mapping[str, Integers]) -> None:
        self._arrays = arrays
        self._at = dict.fromkeys(arrays, 0)

    def take(self, name: str, count: int) -> Integers:
        """The next entries of an array; raises ``ValueError`` where there are fewer."""
        start = self._at[name]
        if count > len(self._arrays[name]) - start:
            raise ValueError(f"array '{name}' ends early")
        self._at[name] += count
        return self._arrays[name][start : start + count]

    def one(self, name: str) -> int:
        """The next entry."""
        return int(self.take(name, 1)[0])

    def forest(self, goals: Sequence[int]) -> Forest:
        """The trees of as many roots as there are numbers of goals, one for each."""
        kinds: list[Integers] = []
        owners = [np.arange(len(goals))]
        while len(owners[-1]):
            kinds.append(self.take("kind", len(owners[-1])))
            owners.append(np.repeat(owners[-1][kinds[-1] == SPLIT], 2))
            if len(kinds) > DEEPEST:
                raise ValueError(f"trees have more than {DEEPEST} levels")
        kind, owner = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (kinds, owners))
        is_split, is_leaf = kind == SPLIT, kind == LEAF
        child, row = np.zeros(len(kind), np.int64), np.zeros(len(kind), np.int64)
        child[is_split] = len(goals) + 2 * np.arange(int(is_split.sum()))
        counts = np.asarray(goals, np.int64)[owner[is_leaf]]
        row[is_leaf] = np.cumsum(counts) - counts
        parts = []
        for name in ("split_relu", "split_feature", "split_point", "split_exponent"):
            part = np.zeros(len(kind), np.int64)
            part[is_split] = self.take(name, int(is_split.sum()))
            parts.append(part)
        relu, feature, point, exponent = parts
        rows = self.take("leaf_row", int(counts.sum()))
        return Forest(kind, self.take("rule", len(kind)), child, owner, row, relu, feature, point, exponent, rows)

    def left(self) -> Iterator[str]:
        """The arrays of which entries are left."""
        return (name for name, values in self._arrays.items() if self._at[name] < len(values))


def arrays_of(**given: object) -> dict[str, Integers]:
    """All of a certificate's arrays: those given, the others empty, and rows without planes and pairs where nothing is said of them."""
    unknown = set(given) - set(NAMES)
    if unknown:
        raise ValueError(f"a certificate has no array '{min(unknown)}'")
    for name in ("row_planes", "row_pairs"):
        given.setdefault(name, np.zeros(np.asarray(given.get("row_exponent", ())).size, np.int64))
    return {name: np.ascontiguousarray(np.asarray(given.get(name, ()), np.int64).reshape(-1)) for name in NAMES}


def fault_of(certificate: RealCertificate) -> str:
    """What is inconsistent in the sizes and codes of a certificate; empty where nothing is.

    Whether the trees are some is left to who takes them.
    """
    arrays = certificate.arrays
    size = {name: len(values) for name, values in arrays.items()}
    if certificate.claim == "sat":
        limbs = _beyond(arrays, _ranges_of(size)[:3])
        expected = {name: certificate.inputs * (name in _WITNESS) for name in NAMES}
        expected["witness"] = 0 if limbs else int(arrays["witness_limbs"].sum())
        wrong = next((name for name in NAMES if size[name] != expected[name]), "")
        return limbs or (f"array '{wrong}' has {size[wrong]} entries" if wrong else "")
    rows, splits = size["row_exponent"], int((arrays["kind"] == SPLIT).sum())
    lemmas = ("lemma_relu", "lemma_feature", "lemma_side", "lemma_end", "lemma_exponent")
    equal: list[tuple[Sequence[str], int]] = [
        (_WITNESS, 0),
        (("stages",), size["cases"]),
        (lemmas, size["lemma_relu"]),
        (("rule",), size["kind"]),
        (("split_relu", "split_feature", "split_point", "split_exponent"), splits),
        (("tree",), int(np.minimum(arrays["cases"], size["tree"] + 1).sum())),
        (("row_count", "row_base", "row_planes", "row_pairs"), rows),
        (("row_slope", "row_added"), size["row_feature"]),
        (("lemma_count",), int((arrays["stage"] == LEMMAS).sum())),
        (("plane_count",), int((arrays["stage"] == PLANES).sum())),
        (("plane_feature", "plane_exponent", "plane_right", "plane_left", "plane_entries"), size["plane_relu"]),
        (("plane_value",), size["plane_step"]),
        (("pair_count",), int((arrays["stage"] == PAIRS).sum())),
        (("pair_first", "pair_second", "pair_exponent"), size["pair_relu"]),
        (("pair_end", "pair_row"), 4 * size["pair_relu"]),
    ]
    for names, count in equal:
        for name in names:
            if size[name] != count:
                return f"array '{name}' has {size[name]} entries where there must be {count}"
    fault = _beyond(arrays, _ranges_of(size))
    # Sums of entries that were just bounded: no overflow.
    sums = (
        ("row_count", "row_feature"),
        ("stages", "stage"),
        ("lemma_count", "lemma_relu"),
        ("plane_count", "plane_relu"),
        ("plane_entries", "plane_step"),
        ("pair_count", "pair_relu"),
    )
    for name, of in sums:
        if not fault and int(arrays[name].sum()) != size[of]:
            fault = f"array '{of}' has {size[of]} entries where there must be {int(arrays[name].sum())}"
    if not fault and size["row_mu"] % max(1, rows):
        fault = "array 'row_mu' has not the same number of entries for every row"
    return fault


def _ranges_of(size: Mapping[str, int]) -> list[tuple[str, int, int]]:
    rows = size["row_exponent"]
    return [
        ("witness_limbs", 0, MOST_LIMBS),
        ("witness_two", 0, EXPONENTS),
        ("witness_ten", 0, TENS),
        ("cases", 0, size["tree"]),
        ("tree", 0, size["tree"] - 1),
        ("stages", 0, size["stage"]),
        ("stage", INTERVALS, PAIRS),
        ("lemma_count", 1, max(1, size["lemma_relu"])),
        ("plane_count", 1, max(1, size["plane_relu"])),
        ("plane_exponent", 0, PLANE_EXPONENTS),
        ("plane_right", 0, PRICES),
        ("plane_left", 0, PRICES),
        ("plane_entries", 0, size["plane_step"]),
        ("plane_step", 1, STEPS),
        ("row_planes", 0, size["plane_count"]),
        ("pair_count", 1, max(1, size["pair_relu"])),
        ("pair_exponent", 0, PAIR_EXPONENTS),
        ("pair_end", -PAIR_ENDS, PAIR_ENDS),
        ("pair_row", 0, rows),
        ("row_pairs", 0, size["pair_count"]),
        ("lemma_side", 0, 1),
        ("lemma_exponent", 0, EXPONENTS),
        ("kind", EMPTY, SPLIT),
        ("rule", 0, BOTH),
        ("leaf_row", 0, rows - 1),
        ("split_exponent", 0, EXPONENTS),
        ("row_exponent", 0, ROW_EXPONENTS),
        ("row_base", 0, 1),
        ("row_mu", 0, 1 << 53),
        ("row_count", 0, size["row_feature"]),
    ]


def _beyond(arrays: Mapping[str, Integers], ranges: Sequence[tuple[str, int, int]]) -> str:
    for name, least, most in ranges:
        values = arrays[name]
        if len(values) and not least <= values.min() <= values.max() <= most:
            return f"an entry of array '{name}' is {int(values.min() if values.min() < least else values.max())}"
    return ""
