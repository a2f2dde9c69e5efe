"""Ways to run the engine of float networks: what it would choose by itself, decided from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from netproof.search.real import decide as verify_real
from netproof.search.real import rounds
from netproof.search.real.programs import split as programs

#: ways to run the engine on a random case, chosen by its number: attack or not, and what stands for the engine's choices
TRAITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "blind": {"attack": False},
    "signs": {"attack": False, "REAL.few_inputs": -1, "REAL.some_inputs": -1},
    "inputs": {"attack": False, "REAL.few_inputs": 1 << 30},
    "boxes": {"attack": False, "REAL.few_inputs": -1, "REAL.many_features": -1},
    "rounds": {
        "attack": False,
        "REAL.few_inputs": -1,
        "REAL.some_inputs": -1,
        "ROUND.easy": 0,
        "PROGRAM.most_features": -1,
    },
    "programs": {"attack": False, "REAL.few_inputs": -1, "REAL.some_inputs": -1, "ROUND.easy": 0},
    "cells": {
        "attack": False,
        "REAL.few_inputs": -1,
        "REAL.some_inputs": -1,
        "ROUND.easy": 0,
        "PROGRAM.most_features": -1,
        "ROUND.search_share": 0.0,
        "ROUND.worthwhile": -1.0,
    },
    "one round": {
        "attack": False,
        "REAL.few_inputs": -1,
        "REAL.some_inputs": -1,
        "ROUND.easy": 0,
        "PROGRAM.most_features": -1,
        "ROUND.begin_share": -1.0,
    },
}
_MODULES = {"REAL": verify_real, "ROUND": rounds, "PROGRAM": programs}


@contextmanager
def choices(trait: dict[str, Any]) -> Iterator[None]:
    """The engine with other constants than its own."""
    own = [(name, module, getattr(module, name)) for name, module in _MODULES.items()]
    try:
        for name, module, effort in own:
            chosen = {key.split(".")[1]: value for key, value in trait.items() if key.startswith(f"{name}.")}
            setattr(module, name, replace(effort, **chosen))
        yield
    finally:
        for name, module, effort in own:
            setattr(module, name, effort)
