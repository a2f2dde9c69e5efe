"""The benchmarks netproof knows."""

from __future__ import annotations

from netproof.benchmarks import (
    acasxu,
    cifar10_resnet,
    cifar_biasfield,
    collins_rul_cnn,
    mnist_fc,
    oval21,
    qnn_fashion_mnist,
    qnn_mnist,
    qnn_qvip_p1_4,
    qnn_qvip_p3_6,
    rl_benchmarks,
    sri_resnet_a,
    sri_resnet_b,
    tllverifybench,
    vnncomp_test,
)
from netproof.benchmarks.base import Benchmark
from netproof.benchmarks.vnncomp import PREFIX, folder_benchmark
from netproof.errors import InputError

_ALL: tuple[Benchmark, ...] = (
    qnn_mnist.BENCHMARK,
    qnn_fashion_mnist.BENCHMARK,
    qnn_qvip_p1_4.BENCHMARK,
    qnn_qvip_p3_6.BENCHMARK,
    acasxu.BENCHMARK,
    mnist_fc.BENCHMARK,
    oval21.BENCHMARK,
    rl_benchmarks.BENCHMARK,
    collins_rul_cnn.BENCHMARK,
    tllverifybench.BENCHMARK,
    cifar_biasfield.BENCHMARK,
    vnncomp_test.BENCHMARK,
    cifar10_resnet.BENCHMARK,
    sri_resnet_a.BENCHMARK,
    sri_resnet_b.BENCHMARK,
)


def benchmarks() -> tuple[Benchmark, ...]:
    """All of them, in the order ``netproof bench list`` prints."""
    return _ALL


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name, or of a folder (``vnncomp:DIR``); raises :class:`InputError` listing what is known."""
    if name.startswith(PREFIX):
        return folder_benchmark(name)
    for known in _ALL:
        if known.name == name:
            return known
    raise InputError(name, "no benchmark has this name", f"known: {', '.join(b.name for b in _ALL)}; or {PREFIX}DIR")
