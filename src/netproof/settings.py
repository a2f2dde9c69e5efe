"""The one settings object."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How hard to try. The defaults suit every network; nothing here affects what a verdict means.

    Attributes
    ----------
    timeout : seconds for one query, after which its verdict is ``timeout``
    memory : bytes the open subproblems of one query (and the record of its proof) may occupy, after which it
        is ``unknown``
    attack : look for witnesses before and between bounds
    seed : of every random choice; the same seed gives the same search
    proofs : keep what is needed for a certificate of ``unsat`` (:attr:`netproof.Result.proof`)
    """

    timeout: float = 600.0
    memory: int = 2 << 30
    attack: bool = True
    seed: int = 0
    proofs: bool = False

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise InputError("settings", f"the time limit is {self.timeout}", "give a positive number of seconds")
        if not 0 <= self.seed < 1 << 63:
            raise InputError("settings", f"the seed is {self.seed}", "give a whole number from 0 to 2^63 - 1")
        if self.memory < 1 << 20:
            raise InputError("settings", f"the memory limit is {self.memory} bytes", "give at least one MiB")
