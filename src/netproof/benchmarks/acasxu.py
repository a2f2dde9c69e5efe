"""Collision avoidance (Katz et al., CAV 2017).

Source: VNN-COMP 2022, benchmark ``acasxu``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="acasxu",
    description="VNN-COMP 2022: ACAS Xu: 186 instances on 45 collision avoidance networks, 5 inputs",
    lists=("vnncomp/acasxu/instances.csv",),
)
