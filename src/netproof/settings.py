"""The settings of a search: limits, engine, device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netproof.errors import InputError

#: the engines a query can be given to: ``auto`` and ``bab`` are the search by dual bounds
ENGINES = ("auto", "bab", "smt", "milp")
#: what a device may be called, as a regular expression
DEVICES = r"cpu|auto|cuda(:(0|[1-9][0-9]?))?"


def check_device_name(name: str) -> None:
    """Raise :class:`netproof.errors.InputError` for what cannot be the name of a device, there or not."""
    if not re.fullmatch(DEVICES, name):
        problem = f"no device is called {name[:40]!r}"
        raise InputError("--device", problem, "give cpu, cuda, cuda:N, or auto for a GPU where there is one")


@dataclass(frozen=True)
class Settings:
    """How hard to try. The defaults suit every network; nothing here affects what a verdict means.

    Attributes
    ----------
    timeout : seconds for one query, after which its verdict is ``timeout``
    memory : bytes the open subproblems of one query and the record of its proof (or an external solver) may
        occupy, after which it is ``unknown``; of a query on a real network its bounds count too, and one that
        needs more at the least is refused with an :class:`netproof.errors.InputError`
    attack : look for witnesses before and between bounds
    seed : of every random choice; the same seed gives the same search
    engine : one of :data:`ENGINES`; the exact engines take ``timeout`` and ``memory`` and nothing else of this
    device : where the search on real networks works in float32: ``cpu``; a GPU, ``cuda`` or ``cuda:N``; or ``auto``, a GPU
        where there is one. What decides is computed on the CPU in any case, and so are integer networks and the exact
        engines, which take no GPU that is asked for by name
    proofs : keep what is needed for a certificate of ``unsat`` (:attr:`netproof.Result.proof`), which the search
        by dual bounds alone can give
    """

    timeout: float = 600.0
    memory: int = 2 << 30
    attack: bool = True
    seed: int = 0
    engine: str = "auto"
    proofs: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise InputError("settings", f"the time limit is {self.timeout}", "give a positive number of seconds")
        if not 0 <= self.seed < 1 << 63:
            raise InputError("settings", f"the seed is {self.seed}", "give a whole number from 0 to 2^63 - 1")
        if self.engine not in ENGINES:
            raise InputError("--engine", f"no engine is called '{self.engine}'", f"give one of {', '.join(ENGINES)}")
        if self.proofs and self.engine not in ("auto", "bab"):
            raise InputError("--engine", f"engine '{self.engine}' gives no certificates", "use auto, or ask for none")
        check_device_name(self.device)
        if self.device not in ("cpu", "auto") and self.engine not in ("auto", "bab"):
            raise InputError("--device", f"engine '{self.engine}' works on the CPU alone", "leave it out, or use auto")
        if self.memory < 1 << 20:
            raise InputError("settings", f"the memory limit is {self.memory} bytes", "give at least one MiB")
