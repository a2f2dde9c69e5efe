"""What a certificate holds, and the sizes its arrays must have. See docs/certificates.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

#: the arrays, in the order in which a file holds them
NAMES = (
    "image", "lower", "upper", "coefficients", "threshold", "witness",
    "form", "kept", "kept_feature", "row_exponent", "row_mu", "row_s",
    "common", "kind", "leaf_row", "cut_count",
    "cut_activation", "cut_feature", "cut_side", "cut_end", "cut_row",
    "split_activation", "split_feature", "split_point",
    "price_row", "price_input", "price_difference",
)  # fmt: skip
#: those that only a file of version 2 has
PRICES = NAMES[NAMES.index("price_row") :]
#: those that only a proof has
_PROOF = NAMES[NAMES.index("form") :]

#: values of ``form``
LINEAR, ORDER = 0, 1
#: values of ``kind``
EMPTY, LEAF, CUT, SPLIT, POINTS = range(5)
KINDS = ("empty", "leaf", "cut", "split", "points")
#: the largest exponent of a row's grid
_EXPONENTS = 48
#: the most levels that trees have, and the most groups of common cuts
DEEPEST = 1 << 14
#: the most cuts of one node, and of one group of common cuts
MOST_CUTS = 1 << 20


@dataclass(frozen=True)
class RobustnessProperty:
    """The class of the array ``image`` does not change within ``radius``; the box and the cases follow."""

    label: int
    radius: int


@dataclass(frozen=True)
class ClassProperty:
    """The class of the array ``image`` does not change in the box of the arrays ``lower`` and ``upper``; the cases follow."""

    label: int


@dataclass(frozen=True)
class BoxProperty:
    """The box and the cases are in the arrays; ``constraints`` is how many constraints each case has."""

    constraints: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Certificate:
    """The content of a certificate file.

    Attributes
    ----------
    network_sha256 : hash of the network file's (decompressed) content, 64 hexadecimal digits
    scheme : the bit widths with which it is read
    inputs, outputs : how many the network has
    claim : ``"unsat"`` or ``"sat"``
    property : what is claimed not to happen (``unsat``), or to happen (``sat``)
    arrays : int64, one-dimensional, one for each of :data:`NAMES`; :func:`arrays_of` makes them
    name, producer : free text
    runtime : the rule by which the file is read, where several runtimes compute it differently; empty elsewhere
    """

    network_sha256: str
    scheme: Mapping[str, int]
    inputs: int
    outputs: int
    claim: Literal["unsat", "sat"]
    property: RobustnessProperty | ClassProperty | BoxProperty
    arrays: Mapping[str, Integers]
    name: str = ""
    producer: str = ""
    runtime: str = ""


@dataclass(frozen=True)
class Counts:
    """How many cases and constraints a property has; ``multipliers`` is ``M``, how many ``mu`` a row has."""

    cases: int
    constraints: int
    multipliers: int

    @classmethod
    def of(cls, certificate: Certificate) -> Counts:
        if not isinstance(certificate.property, BoxProperty):
            rivals = certificate.outputs - 1
            return cls(rivals, rivals, min(1, rivals))
        heights = certificate.property.constraints
        return cls(len(heights), sum(heights), max(heights, default=0))


def arrays_of(**given: object) -> dict[str, Integers]:
    """All of a certificate's arrays: those given (anything NumPy takes for integers), the others empty."""
    unknown = set(given) - set(NAMES)
    if unknown:
        raise ValueError(f"a certificate has no array '{min(unknown)}'")
    arrays = {}
    for name in NAMES:
        values = np.asarray(given.get(name, ()))
        if values.size and values.dtype.kind not in "biu":
            raise ValueError(f"array '{name}' is {values.dtype}, not integers")
        arrays[name] = np.ascontiguousarray(values.reshape(-1), np.int64)
    return arrays


def fault_of(certificate: Certificate) -> str:
    """What is inconsistent in the sizes, indices and codes of a certificate; empty where nothing is.

    Everything that can be told without the network: that the tree is one, that every row a leaf or a cut names is
    there. Features and activations are left to the checker.
    """
    arrays = certificate.arrays
    size = {name: len(values) for name, values in arrays.items()}
    counts = Counts.of(certificate)
    robustness = isinstance(certificate.property, RobustnessProperty)
    of_class = not isinstance(certificate.property, BoxProperty)
    proof = certificate.claim == "unsat"
    stated = {
        "image": certificate.inputs * of_class,
        "lower": certificate.inputs * (not robustness),
        "upper": certificate.inputs * (not robustness),
        "coefficients": 0 if of_class else counts.constraints * certificate.outputs,
        "threshold": 0 if of_class else counts.constraints,
        "witness": certificate.inputs * (not proof),
    }
    if not proof:
        stated |= dict.fromkeys(_PROOF, 0)
        return _missized(size, stated)
    for name, least, most in (
        ("form", LINEAR, ORDER),
        ("kept", 0, size["kept_feature"]),
        ("row_exponent", 0, _EXPONENTS),
        ("common", 0, MOST_CUTS),
        ("kind", EMPTY, POINTS),
        ("leaf_row", 0, size["row_exponent"] - 1),
        ("cut_count", 0, MOST_CUTS),
        ("cut_activation", 1, size["kept"]),
        ("cut_side", 0, 1),
        ("cut_row", 0, size["row_exponent"] - 1),
        ("split_activation", 0, size["kept"]),
        ("price_row", 0, size["row_exponent"] - 1),
        ("price_input", 0, certificate.inputs - 1),
    ):
        values = arrays[name]
        if len(values) and not least <= values.min() <= values.max() <= most:
            return f"an entry of array '{name}' is {int(values.min() if values.min() < least else values.max())}"
    if size["common"] > DEEPEST:
        return f"it has more than {DEEPEST} groups of common cuts"
    for name in ("price_row", "price_input"):
        if bool((np.diff(arrays[name]) <= 0).any()):
            return f"array '{name}' does not ascend"
    if size["price_row"] and not size["kept"]:
        return "it has prices of a network without activations"
    first = int(arrays["kept"][0]) if size["kept"] else 0
    kind = arrays["kind"]
    # Sums of entries that were just bounded: no overflow.
    kept, cuts = int(arrays["kept"].sum()), int(arrays["common"].sum()) + int(arrays["cut_count"].sum())
    stated |= {
        "form": counts.cases,
        "kept_feature": kept,
        "row_mu": size["row_exponent"] * counts.multipliers,
        "row_s": size["row_exponent"] * kept,
        "price_difference": size["price_row"] * size["price_input"] * first,
        "leaf_row": int((kind == LEAF).sum()),
        "cut_count": int((kind == CUT).sum()),
        **dict.fromkeys(("cut_activation", "cut_feature", "cut_side", "cut_end", "cut_row"), cuts),
        **dict.fromkeys(("split_activation", "split_feature", "split_point"), int((kind == SPLIT).sum())),
    }
    fault = _missized(size, stated)
    if not fault:
        try:
            levels_of(kind, counts.cases)
        except ValueError:
            fault = f"its nodes make no tree of every case, of at most {DEEPEST} levels"
    return fault


def children_of(kind: Integers) -> Integers:
    """How many children nodes of these kinds have."""
    return np.array([0, 0, 1, 2, 0], np.int64)[kind]


def _missized(size: Mapping[str, int], stated: Mapping[str, int]) -> str:
    for name, count in stated.items():
        if size[name] != count:
            return f"array '{name}' has {size[name]} entries where there must be {count}"
    return ""


def levels_of(kind: Integers, cases: int) -> list[tuple[int, int]]:
    """First node of each level of the trees and the one after its last; raises ``ValueError`` where they are none."""
    # ``reached[i]`` nodes are roots or children of the nodes before node i.
    reached = np.empty(len(kind) + 1, np.int64)
    reached[0] = cases
    np.cumsum(children_of(kind), out=reached[1:])
    reached[1:] += cases
    levels: list[tuple[int, int]] = []
    start, stop = 0, cases
    while start < stop <= len(kind) and len(levels) < DEEPEST:
        levels.append((start, stop))
        start, stop = stop, int(reached[stop])
    # The last level has no children, and no node is left.
    if not start == stop == len(kind):
        raise ValueError("the nodes make no trees")
    return levels
