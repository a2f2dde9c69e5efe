"""What writes a network of integers layer by layer, whatever the format."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class IntegerWriter(Protocol):
    """Builds a file with one input and one output; every method but :meth:`model` returns the name of a value.

    Values are activations of at most 8 bits, or wide accumulators, which are products and sums before they are requantized.
    """

    @property
    def input(self) -> str:
        """The name of the input, whose values are unsigned."""

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
        """Cross-correlation with ``weight`` ``[C_out, C_in, k, k]``, then ``bias`` ``[C_out]`` added.

        ``padding`` is that of rows above and below, of columns on the left and on the right.
        """

    def linear(self, name: str, x: str, weight: NDArray[np.int64], bias: NDArray[np.int64]) -> str:
        """``x W' + b`` with ``weight`` ``[n_out, n_in]``."""

    def flatten(self, name: str, x: str) -> str:
        """All axes of a sample as one, channels first."""

    def shifted(self, name: str, x: str, shift: int) -> str:
        """An activation times ``2**shift``."""

    def add(self, name: str, x: str, y: str) -> str:
        """The sum of two values."""

    def requantize(self, name: str, x: str, shift: int, low: int, high: int) -> str:
        """``clip(floor((x + 2**shift / 2) / 2**shift), low, high)``."""

    def model(self, output: str, outputs: int) -> bytes:
        """The file whose result is the value ``output``, of so many features."""
