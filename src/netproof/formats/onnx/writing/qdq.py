"""Writer for ONNX files in QDQ form: float operators between DequantizeLinear and QuantizeLinear, as onnxruntime fuses them.

The file takes floats, which its first node quantizes to grey levels, and gives floats. Activations are ``uint8``, which
onnxruntime fuses completely; weights are ``int8``. The same network gives the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netproof.formats.codes_writer import CodesWriter, Product, Stored
from netproof.formats.onnx.writing.model import FLOAT, INT8, INT32, UINT8, OnnxModel

#: the code of level 0 of a value that can be negative
_MIDDLE = 128


class QdqWriter(CodesWriter):
    """Builds a file that takes ``[batch, channels, rows, columns]``, grey levels times the scale of the input, and gives ``[batch, n]``."""

    def __init__(self, name: str, input_shape: tuple[int, int, int], input_fraction: int, weight_fraction: int) -> None:
        super().__init__(name, input_shape, input_fraction, weight_fraction)
        self._onnx = OnnxModel(name, FLOAT, ["batch", *input_shape], FLOAT)
        #: the floats that stand for an activation
        self._floats: dict[str, str] = {}
        self._quantized(self.input, self._onnx.input)

    def _how(self, of: Stored) -> list[str]:
        """Scale and zero point of a value, once per file."""
        zero = _MIDDLE if of.signed else 0
        return [
            self._onnx.scalar(f"scale.{of.fraction}", of.scale, FLOAT),
            self._onnx.scalar(f"zero.{zero}", zero, UINT8),
        ]

    def _quantized(self, name: str, x: str) -> None:
        how = self._how(self.values[name])
        codes = self._onnx.node("QuantizeLinear", f"{name}.codes", [x, *how])
        self._floats[name] = self._onnx.node("DequantizeLinear", f"{name}.value", [codes, *how])

    def _dequantized(self, name: str, codes: NDArray[np.int64], scale: float, kind: int) -> str:
        onnx = self._onnx
        how = [onnx.scalar(f"{name}.scale", scale, FLOAT), onnx.scalar(f"{name}.zero", 0, kind)]
        return onnx.node("DequantizeLinear", name, [onnx.stored(f"{name}.codes", codes, kind), *how])

    def write_product(self, name: str, product: Product) -> None:
        of = self.values[product.x]
        scale = float(self.weight_scale)
        operands = [
            self._floats[product.x],
            self._dequantized(f"{name}.weight", product.weight, scale, INT8),
            self._dequantized(f"{name}.bias", product.bias, of.scale * scale, INT32),
        ]
        if product.weight.ndim == 4:
            top, bottom, left, right = product.padding
            attributes: dict[str, object] = {
                "kernel_shape": list(product.weight.shape[2:]),
                "pads": [top, left, bottom, right],
                "strides": [product.stride] * 2,
            }
            found = self._onnx.node("Conv", f"{name}.product", operands, **attributes)
        else:
            found = self._onnx.node("Gemm", f"{name}.product", operands, transB=1)
        self._quantized(name, found)

    def write_sum(self, name: str, x: str, y: str) -> None:
        self._quantized(name, self._onnx.add(f"{name}.sum", self._floats[x], self._floats[y]))

    def write_flattened(self, name: str, x: str) -> None:
        self._quantized(name, self._onnx.flatten(f"{name}.moved", self._floats[x]))

    def model(self, output: str, outputs: int) -> bytes:
        return self._onnx.model_of(self._floats[output], ["batch", outputs])
