"""Residual networks, radius 2/255 and 1/255.

Source: VNN-COMP 2021, benchmark ``cifar10_resnet``.
"""

from __future__ import annotations

from netproof.benchmarks.vnncomp import VnncompBenchmark

BENCHMARK = VnncompBenchmark(
    name="cifar10_resnet",
    description="VNN-COMP 2021: 72 instances on residual networks, CIFAR-10",
    lists=("cifar10_resnet/cifar10_resnet_instances.csv",),
)
