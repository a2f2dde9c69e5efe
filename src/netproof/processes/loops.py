"""Loops over numbers, compiled where numba is there to do it."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

Loop = Callable[..., Any]

#: sums in any order, and fused multiplications
_FAST = {"contract", "reassoc", "nsz"}


def compiled(functions: Sequence[Loop], *, exactly: bool = False) -> tuple[Loop, ...] | None:
    """Plain Python functions on arrays, compiled and kept; None where numba is missing or has no place to keep what it compiles.

    They may call those before them. With ``exactly`` they compute operation by operation what is written, otherwise sums in any
    order and with fused multiplications, for what is only proposed and is evaluated elsewhere.

    Compiling takes a few seconds, once on a machine, and loading what was compiled half a second, once in a process.
    """
    try:
        import numba
    except (ImportError, OSError):
        # not there, or its library cannot be loaded, for want of memory perhaps
        return None
    if numba.config.DISABLE_JIT:
        return None
    known: dict[str, Loop] = {}
    try:
        for function in functions:
            # A function that is compiled calls what was compiled by the name that it was written with.
            assert isinstance(function, types.FunctionType)
            linked = types.FunctionType(function.__code__, {**function.__globals__, **known}, function.__name__)
            known[function.__name__] = numba.njit(
                cache=True, fastmath=set() if exactly else _FAST, error_model="numpy"
            )(linked)
    except RuntimeError:
        # no folder that it may write to: compiling anew in every process is not worth it
        return None
    return tuple(known.values())
