"""P1-4 of QVIP: one hidden layer, 4 bits.

Y. Zhang et al., *QVIP: An ILP-based Formal Verification Approach for Quantized Neural Networks*,
ASE 2022.
"""

from __future__ import annotations

from netproof.benchmarks.perceptron import MNIST, PerceptronBenchmark

BENCHMARK = PerceptronBenchmark(
    name="qnn-qvip-p1-4",
    description="ASE 2022 (QVIP, P1-4): 400 MNIST samples, 4-bit perceptron 784-64-10, radius 1 to 4",
    images=MNIST,
    network="qnn/qvip/mnist_1blk_64_in_8_qu_4.h5",
    bits=4,
)
