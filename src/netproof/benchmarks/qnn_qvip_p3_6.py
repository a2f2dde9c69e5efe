"""P3-6 of QVIP: two hidden layers, 6 bits.

Y. Zhang et al., *QVIP: An ILP-based Formal Verification Approach for Quantized Neural Networks*,
ASE 2022.
"""

from __future__ import annotations

from netproof.benchmarks.perceptron import MNIST, PerceptronBenchmark

BENCHMARK = PerceptronBenchmark(
    name="qnn-qvip-p3-6",
    description="ASE 2022 (QVIP, P3-6): 400 MNIST samples, 6-bit perceptron 784-64-32-10, radius 1 to 4",
    images=MNIST,
    network="qnn/qvip/mnist_2blk_64_32_in_8_qu_6.h5",
    bits=6,
)
