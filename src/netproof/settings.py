"""The settings of a search: limits, engine, device."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction

from netproof.arguments.numbers import is_bool, scalar
from netproof.arguments.words import described, meant, shown
from netproof.errors import InputError

#: the engines a query can be given to: ``auto`` and ``bab`` are the search by dual bounds
ENGINES = ("auto", "bab", "smt", "milp")
#: what a device may be called, as a regular expression
DEVICES = r"cpu|auto|cuda(:(0|[1-9][0-9]?))?"
#: seconds that a search gets where reading took all of its time: it looks at the clock before anything else
_LEAST_TIME = 1e-3


def check_device_name(name: str) -> None:
    """Raise :class:`netproof.errors.InputError` for what cannot be the name of a device, there or not."""
    if not isinstance(name, str) or not re.fullmatch(DEVICES, name):
        problem = f"no device is called {shown(name)}"
        raise InputError("--device", problem, "give cpu, cuda, cuda:N, or auto for a GPU where there is one")


@dataclass(frozen=True)
class Settings:
    """How hard to try. The defaults suit every network; nothing here affects what a verdict means.

    Attributes
    ----------
    timeout : seconds for one query, after which its verdict is ``timeout``; ``math.inf`` for no limit
    memory : bytes, a whole number, the open subproblems of one query and the record of its proof (or an external solver) may
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
        object.__setattr__(self, "timeout", _seconds(self.timeout))
        for name in ("attack", "proofs"):
            value = scalar(getattr(self, name))
            if not isinstance(value, bool):
                raise InputError("settings", f"{name} is {described(value)}", "give True or False")
            object.__setattr__(self, name, value)
        seed = _whole(self.seed)
        if seed is None or not 0 <= seed < 1 << 63:
            raise InputError("settings", f"the seed is {_said(self.seed)}", "give a whole number from 0 to 2^63 - 1")
        object.__setattr__(self, "seed", seed)
        if not isinstance(self.engine, str) or self.engine not in ENGINES:
            raise InputError("--engine", f"no engine is called {shown(self.engine)}", meant(self.engine, ENGINES))
        if self.proofs and self.engine not in ("auto", "bab"):
            raise InputError("--engine", f"engine '{self.engine}' gives no certificates", "use auto, or ask for none")
        check_device_name(self.device)
        if self.device not in ("cpu", "auto") and self.engine not in ("auto", "bab"):
            raise InputError("--device", f"engine '{self.engine}' works on the CPU alone", "leave it out, or use auto")
        memory = _whole(self.memory)
        if memory is None:
            hint = "give a whole number of bytes: 2 << 30 for 2 GiB"
            raise InputError("settings", f"the memory limit is {_said(self.memory)}", hint)
        if memory < 1 << 20:
            raise InputError("settings", f"the memory limit is {memory} bytes", "give at least one MiB: 1 << 20")
        object.__setattr__(self, "memory", memory)

    def after(self, seconds: float) -> Settings:
        """The same with what is left of the time once so many seconds of it are spent: always some, with which a search
        looks at the clock and ends."""
        return replace(self, timeout=max(self.timeout - seconds, _LEAST_TIME))


def settings_of(given: object) -> Settings:
    """Settings as they are given, or the default ones for None; raises :class:`InputError` for anything else."""
    if given is None:
        return Settings()
    if isinstance(given, Settings):
        return given
    seconds = isinstance(given, int | float) and not is_bool(given)
    hint = (
        f"give netproof.Settings(timeout={given})" if seconds else "give netproof.Settings(timeout=60), or leave it out"
    )
    raise InputError("settings", f"is {described(given)}", hint)


def _seconds(given: object) -> float:
    value = scalar(given)
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise InputError("settings", f"the time limit is {described(value)}", "give a positive number of seconds: 60")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf if value > 0 else -math.inf
    if not seconds > 0:
        raise InputError("settings", f"the time limit is {value}", "give a positive number of seconds")
    return seconds


def _whole(given: object) -> int | None:
    value = scalar(given)
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        return None
    if not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def _said(value: object) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else described(value)
