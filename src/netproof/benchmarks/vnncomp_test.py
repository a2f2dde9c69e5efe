"""Tiny instances.

Source: VNN-COMP 2022, benchmark ``test``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="test",
    description="VNN-COMP 2022: 5 tiny instances that every tool must answer",
    lists=("vnncomp/test/instances.csv",),
)
