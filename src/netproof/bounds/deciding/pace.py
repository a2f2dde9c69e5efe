"""How much time has to be left for bounds that are evaluated at the end."""

from __future__ import annotations

import math


class Pace:
    """How long rows of a kind take side by side; rows alone take far longer each, so that the fastest batch counts."""

    def __init__(self) -> None:
        self._each = math.inf

    @property
    def is_known(self) -> bool:
        """Whether any have been timed."""
        return math.isfinite(self._each)

    def took(self, rows: int, seconds: float) -> None:
        """So many rows took so many seconds."""
        if rows:
            self._each = min(self._each, seconds / rows)

    def ahead(self, rows: int) -> float:
        """Seconds that so many rows will take; 0 where none have been timed."""
        return rows * self._each if self.is_known else 0.0
