"""Residual networks of ETH SRI, set b.

Source: VNN-COMP 2022, benchmark ``sri_resnet_b``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="sri_resnet_b",
    description="VNN-COMP 2022: 72 instances on a residual network, CIFAR-10",
    lists=("sri_resnet_b/instances.csv",),
)
