"""Cart pole, lunar lander and Dubins rejoin.

Source: VNN-COMP 2022, benchmark ``rl_benchmarks``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="rl_benchmarks",
    description="VNN-COMP 2022: 296 instances on controllers from reinforcement learning",
    lists=("vnncomp/rl_benchmarks/instances.csv",),
)
