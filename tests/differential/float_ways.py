"""Ways to run the engine of float networks: what it would choose by itself, decided from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netproof.search.real import decide as verify_real
from netproof.search.real import rounds

#: ways to run the engine on a random case, chosen by its number: attack or not, and what stands for the engine's choices
TRAITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "blind": {"attack": False},
    "signs": {"attack": False, "verify_real._FEW_INPUTS": -1, "verify_real._SOME_INPUTS": -1},
    "inputs": {"attack": False, "verify_real._FEW_INPUTS": 1 << 30},
    "boxes": {"attack": False, "verify_real._FEW_INPUTS": -1, "verify_real._MANY_FEATURES": -1},
    "rounds": {"attack": False, "verify_real._FEW_INPUTS": -1, "verify_real._SOME_INPUTS": -1, "rounds._EASY": 0},
    "cells": {
        "attack": False,
        "verify_real._FEW_INPUTS": -1,
        "verify_real._SOME_INPUTS": -1,
        "rounds._EASY": 0,
        "rounds._SEARCH_SHARE": 0.0,
        "rounds._WORTHWHILE": -1.0,
    },
    "one round": {
        "attack": False,
        "verify_real._FEW_INPUTS": -1,
        "verify_real._SOME_INPUTS": -1,
        "rounds._EASY": 0,
        "rounds._BEGIN_SHARE": -1.0,
    },
}
_MODULES = {"verify_real": verify_real, "rounds": rounds}


@contextmanager
def choices(trait: dict[str, Any]) -> Iterator[None]:
    """The engine with other constants than its own."""
    places = [(_MODULES[name.split(".")[0]], name.split(".")[1], value) for name, value in trait.items() if "." in name]
    own = [(module, name, getattr(module, name)) for module, name, _ in places]
    try:
        for module, name, value in places:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in own:
            setattr(module, name, value)
