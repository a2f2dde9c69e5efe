"""Writer for fixed-point networks in ONNX that are integers throughout: the same network gives the same bytes.

The operators are those of the standard that compute in integers without rounding, so a runtime evaluates such a
file bit for bit as :mod:`netproof.formats.onnx.integer` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.integer import INPUT_RANGE
from netproof.formats.onnx.writing.model import INT8, INT32, UINT8, OnnxModel

#: NumPy's types of the constants
_TYPES: dict[int, type[np.signedinteger[Any]]] = {INT8: np.int8, INT32: np.int32}


class IntegerOnnxWriter(OnnxModel):
    """Builds a model of integers with one input (unsigned 8-bit values) and one output (32 bits).

    Every method but :meth:`model` appends nodes and returns the name of a value. Accumulators are 32 bits wide, what
    :meth:`requantize` gives is 8 bits wide where it is not signed.

    Parameters
    ----------
    name : of the graph
    input_shape : of one sample, the batch axis left out
    largest_input : what a value of the input is at most; the least is 0
    """

    def __init__(self, name: str, input_shape: Sequence[int], largest_input: int) -> None:
        super().__init__(name, UINT8, ["batch", *input_shape], INT32)
        self._largest_input = largest_input

    def convolution(
        self,
        name: str,
        x: str,
        weight: NDArray[np.int64],
        bias: NDArray[np.int64],
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> str:
        """Cross-correlation of 8-bit values with ``weight`` ``[C_out, C_in, k, k]``, then ``bias`` ``[C_out]`` added.

        ``padding`` is that of rows above and below, of columns on the left and on the right.
        """
        top, bottom, left, right = padding
        operands = [x, self._whole(f"{name}.weight", weight, INT8)]
        shape = {"kernel_shape": list(weight.shape[2:]), "pads": [top, left, bottom, right], "strides": [stride] * 2}
        products = self.node("ConvInteger", f"{name}.products", operands, **shape)
        return self.add(name, products, self._whole(f"{name}.bias", bias.reshape(1, -1, 1, 1), INT32))

    def linear(self, name: str, x: str, weight: NDArray[np.int64], bias: NDArray[np.int64]) -> str:
        """``x W' + b`` of 8-bit values with ``weight`` ``[n_out, n_in]``."""
        operands = [x, self._whole(f"{name}.weight", weight.T, INT8)]
        products = self.node("MatMulInteger", f"{name}.products", operands)
        return self.add(name, products, self._whole(f"{name}.bias", bias.reshape(1, -1), INT32))

    def shifted(self, name: str, x: str, shift: int) -> str:
        """8-bit values as accumulators, times ``2**shift``."""
        wide = self.node("Cast", f"{name}.wide", [x], to=INT32)
        return self.node("Mul", name, [wide, self._number(1 << shift)])

    def requantize(self, name: str, x: str, shift: int, low: int, high: int) -> str:
        """``clip(floor((x + 2**shift / 2) / 2**shift), low, high)``, 8 bits wide where ``low`` is at least 0."""
        # Division rounds towards zero, so it is left numbers from 0 up: those above the lowest level.
        half = (1 << shift) // 2
        lifted = self.node("Add", f"{name}.lifted", [x, self._number(half - (low << shift))])
        top = ((high - low + 1) << shift) - 1
        value = self.node("Clip", f"{name}.clipped", [lifted, self._number(0), self._number(top)])
        if shift:
            value = self.node("Div", f"{name}.divided", [value, self._number(1 << shift)])
        if low:
            value = self.node("Add", f"{name}.levels", [value, self._number(low)])
        return value if low < 0 else self.node("Cast", name, [value], to=UINT8)

    def model(self, output: str, outputs: int) -> bytes:
        """The model whose result is the value ``output``, ``[batch, outputs]``."""
        return self.model_of(output, ["batch", outputs], {INPUT_RANGE: f"0 {self._largest_input}"})

    def _number(self, value: int) -> str:
        return self._whole(f"number.{value}", np.array(value), INT32)

    def _whole(self, name: str, array: NDArray[np.int64], kind: int) -> str:
        """Store whole numbers, which have to be within the type's."""
        if array.size and not np.iinfo(_TYPES[kind]).min <= array.min() <= array.max() <= np.iinfo(_TYPES[kind]).max:
            raise ValueError(f"'{name}' has numbers beyond its type")
        return self.stored(name, array, kind)
