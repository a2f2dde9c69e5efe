"""Writer for convolutional networks in ONNX: the same network gives the same bytes.

PyTorch's exporters differ between releases, fold constants as they see fit, and name what produced the file.
Here the graph is written node by node, so a file depends on nothing but the numbers in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.writing.model import FLOAT, INT64, OnnxModel

_BATCH_NORM_EPSILON = 1e-5


class OnnxWriter(OnnxModel):
    """Builds a model of float32 numbers with one input and one output.

    Every method appends one node and returns the name of its value. Arrays are stored as float32, little-endian.

    Parameters
    ----------
    name : of the graph
    input_shape : of one sample, the batch axis left out
    batch : whether the input has a batch axis, of 1
    """

    def __init__(self, name: str, input_shape: Sequence[int], *, batch: bool = True) -> None:
        super().__init__(name, FLOAT, [1, *input_shape] if batch else list(input_shape), FLOAT)

    def convolution(
        self,
        name: str,
        x: str,
        weight: NDArray[np.floating],
        bias: NDArray[np.floating] | None = None,
        *,
        stride: int = 1,
        padding: int = 0,
    ) -> str:
        """Cross-correlation with ``weight`` ``[C_out, C_in, k, k]`` and zero padding on all sides."""
        operands = [x, self.constant(f"{name}.weight", weight)]
        if bias is not None:
            operands.append(self.constant(f"{name}.bias", bias))
        kernel = list(weight.shape[2:])
        return self.node("Conv", name, operands, kernel_shape=kernel, pads=[padding] * 4, strides=[stride] * 2)

    def batch_normalization(
        self,
        name: str,
        x: str,
        scale: NDArray[np.floating],
        bias: NDArray[np.floating],
        mean: NDArray[np.floating],
        variance: NDArray[np.floating],
        epsilon: float = _BATCH_NORM_EPSILON,
    ) -> str:
        """``scale * (x - mean) / sqrt(variance + epsilon) + bias`` per channel."""
        parts = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
        operands = [x, *(self.constant(f"{name}.{part}", array) for part, array in parts.items())]
        return self.node("BatchNormalization", name, operands, epsilon=epsilon)

    def linear(self, name: str, x: str, weight: NDArray[np.floating], bias: NDArray[np.floating]) -> str:
        """``x W' + b`` with ``weight`` ``[n_out, n_in]``."""
        operands = [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.node("Gemm", name, operands, transB=1)

    def relu(self, name: str, x: str) -> str:
        return self.node("Relu", name, [x])

    def model(self, output: str, outputs: int) -> bytes:
        """The model whose result is the value ``output``, ``[1, outputs]``."""
        return self.model_of(output, [1, outputs])

    def constant(self, name: str, array: NDArray[np.floating]) -> str:
        """An array as float32; its name."""
        return self.stored(name, array, FLOAT)

    def integers(self, name: str, values: Sequence[int]) -> str:
        """A list of int64; its name."""
        return self.stored(name, np.array(values), INT64)
