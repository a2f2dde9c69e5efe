"""What a search ends with, before it is a result."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from netproof.result import Verdict, Witness


@dataclass(frozen=True, eq=False)
class Outcome:
    """A verdict and what goes with it.

    Attributes
    ----------
    subproblems : how many were bounded
    witness : with ``sat``
    bound : where it is undecided, the largest bound of what is open
    reason : why it is undecided
    left : where it is undecided, the open cases by their numbers; None where others need not be asked
    method : the step that settled it
    """

    verdict: Verdict
    subproblems: int
    witness: Witness | None = None
    bound: float | None = None
    reason: str = ""
    left: Tensor | None = None
    method: str = "search"
