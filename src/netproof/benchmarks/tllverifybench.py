"""Two-level lattice networks (Ferlez and Shoukry).

Source: VNN-COMP 2022, benchmark ``tllverifybench``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="tllverifybench",
    description="VNN-COMP 2022: 16 instances on two-level lattices, 2 inputs",
    lists=("vnncomp/tllverifybench/instances.csv",),
)
