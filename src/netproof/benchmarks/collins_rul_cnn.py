"""Remaining useful life.

Source: VNN-COMP 2022, benchmark ``collins_rul_cnn``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="collins_rul_cnn",
    description="VNN-COMP 2022: 62 instances on remaining useful life of machines, convolutional",
    lists=("vnncomp/collins_rul_cnn/instances.csv",),
)
