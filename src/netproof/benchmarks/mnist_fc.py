"""Local robustness of MNIST perceptrons.

Source: VNN-COMP 2022, benchmark ``mnist_fc``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="mnist_fc",
    description="VNN-COMP 2022: 90 instances on perceptrons of 256 x 2, 4 and 6, MNIST",
    lists=("vnncomp/mnist_fc/instances.csv",),
)
