"""Bias fields.

Source: VNN-COMP 2022, benchmark ``cifar_biasfield``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="cifar_biasfield",
    description="VNN-COMP 2022: 3 instances on bias fields over CIFAR-10 images, 16 inputs",
    lists=("vnncomp/cifar_biasfield/instances.csv",),
)
