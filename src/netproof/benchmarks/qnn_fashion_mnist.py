"""The Fashion-MNIST half of the AAAI 2021 benchmark.

T. A. Henzinger, M. Lechner, D. Zikelic, *Scalable Verification of Quantized Neural Networks*,
AAAI 2021: 300 samples; the larger radii have 50 samples each.
"""

from __future__ import annotations

from netproof.benchmarks.perceptron import FASHION_MNIST, Block, PerceptronBenchmark

BENCHMARK = PerceptronBenchmark(
    name="qnn-fashion-mnist",
    description="AAAI 2021: 300 Fashion-MNIST samples, 6-bit perceptron 784-64-32, radius 1 to 4",
    images=FASHION_MNIST,
    network="qnn/fashion-mnist_mlp.h5",
    bits=6,
    blocks=(Block(0, 100, 1), Block(100, 200, 2), Block(200, 250, 3), Block(300, 350, 4)),
    authors="AAAI 2021",
    table="qnn/published-aaai2021.csv",
)
