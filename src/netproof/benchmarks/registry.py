"""The benchmarks netproof knows."""

from __future__ import annotations

from netproof.benchmarks import perceptron, vnncomp
from netproof.benchmarks.base import Benchmark
from netproof.benchmarks.vnncomp import PREFIX, folder_benchmark
from netproof.errors import InputError

_ALL: tuple[Benchmark, ...] = (*perceptron.BENCHMARKS, *vnncomp.BENCHMARKS)


def benchmarks() -> tuple[Benchmark, ...]:
    """All benchmarks, in the order in which ``netproof bench list`` prints them."""
    return _ALL


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name, or of a folder (``vnncomp:DIR``); raises :class:`InputError` listing what is known."""
    if name.startswith(PREFIX):
        return folder_benchmark(name)
    for known in _ALL:
        if known.name == name:
            return known
    raise InputError(name, "no benchmark has this name", f"known: {', '.join(b.name for b in _ALL)}; or {PREFIX}DIR")
