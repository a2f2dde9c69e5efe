"""What a search on a real network leaves of itself, in plain numbers: what evidence is made from.

It is made by :func:`netproof.search.proofs.traced.trace_of`, and nobody has to believe it: whoever makes evidence evaluates
everything again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Refutation:
    """What refutes a node.

    Attributes
    ----------
    means : by its name (:class:`netproof.search.proofs.journal.Means`)
    weight : of the constraints of the node's case; None where the means needs none
    slope, added : of the features that are open (:attr:`Trace.open`): slopes of lower lines, and multipliers of splits, of at
        least 0; None where the means needs none
    """

    means: str
    weight: Floats | None = None
    slope: Floats | None = None
    added: Floats | None = None


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of the search on one query.

    Attributes
    ----------
    sizes : numbers of features of all activations, which are numbered one activation after the other
    roots : of every case (its position in the query's condition) the node where its search began
    splits : of every node that was split the activation (-1 for the input), the feature, the point, and both halves
    refuted : by what nodes are refuted
    open : where ranges were found, from a node on, the features that these leave open
    ranges : by what ranges were found at nodes, by the name of the last means
    common : by what ranges of the whole box were found, one after the other
    """

    sizes: tuple[int, ...]
    roots: Mapping[int, int]
    splits: Mapping[int, tuple[int, int, float, int, int]]
    refuted: Mapping[int, Refutation]
    open: Mapping[int, NDArray[np.int64]]
    ranges: Mapping[int, str]
    common: tuple[str, ...]
