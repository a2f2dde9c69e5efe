"""Local robustness at radii found by binary search.

Source: VNN-COMP 2022, benchmark ``oval21``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="oval21",
    description="VNN-COMP 2022: 30 instances on convolutional networks, CIFAR-10",
    lists=("vnncomp/oval21/instances.csv",),
)
