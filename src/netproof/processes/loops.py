"""Loops over numbers, compiled where numba is there to do it."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Loop = Callable[..., Any]

#: sums in any order, and fused multiplications
_FAST = {"contract", "reassoc", "nsz"}


def compiled(functions: Sequence[Loop], *, exactly: bool = False, called: int = 0) -> tuple[Loop, ...] | None:
    """Plain Python functions on arrays, compiled and kept; None where numba is missing or has no place to keep what it compiles.

    They may call those before them. With ``exactly`` they compute operation by operation what is written, otherwise sums in any
    order and with fused multiplications, for what is only proposed and is evaluated elsewhere. The first ``called`` of them are
    called by those after them alone, and are compiled in less time for that.

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
    digest = hashlib.sha256()
    try:
        for function in functions:
            # A function that is compiled calls what was compiled by the name that it was written with.
            assert isinstance(function, types.FunctionType)
            linked = types.FunctionType(function.__code__, {**function.__globals__, **known}, function.__name__)
            # What is kept of a function has those in it that it calls, and numba looks at its own file alone.
            digest.update(_text_of(function))
            linked.__qualname__ = f"{function.__name__}_{digest.hexdigest()[:16]}"
            known[function.__name__] = numba.njit(
                cache=True,
                fastmath=set() if exactly else _FAST,
                error_model="numpy",
                no_cpython_wrapper=len(known) < called,
            )(linked)
    except RuntimeError:
        # no folder that it may write to: compiling anew in every process is not worth it
        return None
    return tuple(known.values())


def is_kept(loop: Loop) -> bool:
    """Whether something that was compiled of a function of :func:`compiled` is kept, so that it is only loaded."""
    folder = getattr(getattr(loop, "stats", None), "cache_path", None)
    name = getattr(getattr(loop, "py_func", None), "__qualname__", None)
    return folder is not None and name is not None and any(Path(folder).glob(f"*.{name}-*.nbi"))


def _text_of(function: types.FunctionType) -> bytes:
    """What a function computes: its code, and the numbers of its module that it takes."""
    code, names = function.__code__, function.__globals__
    numbers = [(name, names[name]) for name in code.co_names if isinstance(names.get(name), (int, float, str, tuple))]
    constants = [constant for constant in code.co_consts if not isinstance(constant, types.CodeType)]
    return code.co_code + repr((constants, code.co_names, code.co_varnames, numbers)).encode()
