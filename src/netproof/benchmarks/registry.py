"""The benchmarks netproof knows."""

from __future__ import annotations

import difflib

from netproof.benchmarks import perceptron, vnncomp
from netproof.benchmarks.base import Benchmark
from netproof.benchmarks.vnncomp import PREFIX, folder_benchmark
from netproof.errors import InputError

_ALL: tuple[Benchmark, ...] = (*perceptron.BENCHMARKS, *vnncomp.BENCHMARKS)


def benchmarks() -> tuple[Benchmark, ...]:
    """All benchmarks, in the order in which ``netproof bench list`` prints them."""
    return _ALL


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name, or of a folder (``vnncomp:DIR``); raises :class:`InputError`."""
    if name.startswith(PREFIX):
        return folder_benchmark(name)
    for known in _ALL:
        if known.name == name:
            return known
    near = difflib.get_close_matches(name, [known.name for known in _ALL], 2, 0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    hint = f"{meant}'netproof bench list' has all; a folder of VNN-COMP is {PREFIX}DIR"
    raise InputError(name[:80], "no benchmark has this name", hint)
