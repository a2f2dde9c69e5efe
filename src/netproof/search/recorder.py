"""What a search says of itself while it goes on, whatever it splits and in whatever arithmetic.

A search is a tree of nodes, each of which asks one case on one part of the region. It says which nodes it splits, which it
refutes and by what, and which ranges it makes smaller there and by what; nothing else has to be known to check it. The
search of integer networks speaks to :class:`netproof.search.proofs.log.ProofLog`, from which certificates are made, those of
real networks to :class:`netproof.search.proofs.journal.Journal`. Where nothing is recorded, nothing is kept.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from torch import Tensor

from netproof.bounds.region import Region
from netproof.search.branching import Split

R_contra = TypeVar("R_contra", contravariant=True)


class Recorder(Protocol[R_contra]):
    """Where a search records itself; ``R_contra`` is what refutes several nodes, one in each row.

    Attributes
    ----------
    bytes : what the record occupies
    """

    @property
    def bytes(self) -> int: ...

    def split(self, node: Tensor, split: Split) -> Tensor:
        """Nodes ``[N]`` are split in two: the nodes of all lower halves, then of all upper halves, ``[2 N]``."""

    def leaf(self, node: Tensor, by: R_contra) -> None:
        """Nodes ``[N]`` are refuted."""

    def reduction(self, node: Tensor, before: Region, after: Region, by: R_contra) -> None:
        """Ranges at nodes ``[N]`` are cut: what is left out cannot meet the node's case, or cannot occur."""
