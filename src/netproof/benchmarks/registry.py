"""The benchmarks netproof knows."""

from __future__ import annotations

from netproof.benchmarks import qnn_fashion_mnist, qnn_mnist, qnn_qvip_p1_4, qnn_qvip_p3_6
from netproof.benchmarks.base import Benchmark
from netproof.errors import InputError

_ALL: tuple[Benchmark, ...] = (
    qnn_mnist.BENCHMARK,
    qnn_fashion_mnist.BENCHMARK,
    qnn_qvip_p1_4.BENCHMARK,
    qnn_qvip_p3_6.BENCHMARK,
)


def benchmarks() -> tuple[Benchmark, ...]:
    """All of them, in the order ``netproof bench list`` prints."""
    return _ALL


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name; raises :class:`InputError` listing what is known."""
    for known in _ALL:
        if known.name == name:
            return known
    raise InputError(name, "no benchmark has this name", f"known: {', '.join(b.name for b in _ALL)}")
