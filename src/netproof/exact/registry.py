"""The exact engines by name; each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.exact.base import Engine

#: where each engine is
_HOME = {"smt": ("netproof.exact.smt", "engine", "SmtEngine"), "milp": ("netproof.exact.milp", "engine", "MilpEngine")}


def check_engine(name: str) -> None:
    """Refuse an engine that this version of netproof does not have; raises :class:`InputError`. Imports no engine."""
    if name in _HOME and find_spec(_HOME[name][0]) is None:
        raise InputError("--engine", f"engine '{name}' is not available in this version", "use auto, bab or smt")


def exact_engine(name: str) -> Engine | None:
    """The engine of that name; None for those that are the dual search (``auto``, ``bab``).

    Raises
    ------
    InputError : an engine that this version of netproof does not have
    """
    check_engine(name)
    if name not in _HOME:
        return None
    package, module, kind = _HOME[name]
    return cast("Engine", getattr(import_module(f"{package}.{module}"), kind)())
