"""Trees as the arrays of a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netproof.certificate.real.contents import LEAF, SPLIT, Forest
from netproof.errors import NoEvidenceError

if TYPE_CHECKING:
    from netproof.certificate.real.grown.seeds import Seed


def split_of(seed: Seed) -> tuple[int, int, int, int]:
    """A seed's split as entries of arrays."""
    assert seed.split is not None
    k, feature, point = seed.split
    return (k + 1, feature, *dyadic(point))


def splits_of(seeds: Sequence[Seed]) -> Forest:
    """Splits of seeds, as the checker takes them."""
    none = np.zeros(len(seeds), np.int64)
    parts = zip(*(split_of(seed) for seed in seeds), strict=True)
    relu, feature, point, exponent = (np.array(x, np.int64) for x in parts)
    return Forest(none, none, none, none, none, relu, feature, point, exponent)


def dyadic(value: float) -> tuple[int, int]:
    """Whole numbers ``m`` and ``e`` of at least 0 with ``m 2^-e`` equal to a float."""
    if abs(value) >= 2.0**53:
        raise NoEvidenceError("a split", "a number is too large for a certificate")
    numerator, denominator = value.as_integer_ratio()
    return numerator, denominator.bit_length() - 1


def written(roots: Sequence[Seed]) -> dict[str, list[int]]:
    """The arrays of grown trees, level by level; subtrees of empty cells are left out."""
    arrays: dict[str, list[int]] = {
        name: []
        for name in (
            "kind", "rule", "leaf_row", "split_relu", "split_feature", "split_point", "split_exponent",
        )
    }  # fmt: skip
    level = list(roots)
    while level:
        below: list[Seed] = []
        for seed in level:
            arrays["kind"].append(seed.kind)
            arrays["rule"].append(seed.rule)
            if seed.kind == LEAF:
                arrays["leaf_row"].extend(claim.row for claim in seed.claims)
            elif seed.kind == SPLIT:
                assert seed.children is not None
                entries = split_of(seed)
                for name, value in zip(
                    ("split_relu", "split_feature", "split_point", "split_exponent"), entries, strict=True
                ):
                    arrays[name].append(value)
                below.extend(seed.children)
        level = below
    return arrays
