"""The MNIST half of the AAAI 2021 benchmark.

T. A. Henzinger, M. Lechner, D. Zikelic, *Scalable Verification of Quantized Neural Networks*,
AAAI 2021: 400 samples, a 784-64-32 perceptron (32 outputs, the first ten of them classes) with
6-bit weights and activations.
"""

from __future__ import annotations

from netproof.benchmarks.perceptron import MNIST, PerceptronBenchmark

BENCHMARK = PerceptronBenchmark(
    name="qnn-mnist",
    description="AAAI 2021: 400 MNIST samples, 6-bit perceptron 784-64-32, radius 1 to 4",
    images=MNIST,
    network="qnn/mnist_mlp.h5",
    bits=6,
    authors="AAAI 2021",
    table="qnn/published-aaai2021.csv",
)
