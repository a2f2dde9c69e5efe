"""The exact engines by name; each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from netproof.errors import InputError
from netproof.exact.base import Engine

#: where each engine is
_HOME = {"smt": ("netproof.exact.smt.engine", "SmtEngine"), "milp": ("netproof.exact.milp.engine", "MilpEngine")}


def exact_engine(name: str) -> Engine | None:
    """The engine of that name; None for those that are the dual search (``auto``, ``bab``).

    Raises
    ------
    InputError : an engine this version of netproof does not have
    """
    if name not in _HOME:
        return None
    module, kind = _HOME[name]
    if find_spec(module.rpartition(".")[0]) is None:
        raise InputError("--engine", f"engine '{name}' is not available in this version", "use auto, bab or smt")
    return cast("Engine", getattr(import_module(module), kind)())
