"""Until when evidence may be made: one clock, at which every part of the work looks."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from netproof.errors import NoEvidenceError


@dataclass(frozen=True)
class Deadline:
    """A time by which evidence has to be made.

    Attributes
    ----------
    source : how errors call what was asked
    at : by ``time.monotonic()``
    """

    source: str
    at: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self.at

    def look(self) -> None:
        """Raise :class:`NoEvidenceError` where it has passed."""
        if self.is_over:
            raise NoEvidenceError(self.source, "making it takes more time than it may")
