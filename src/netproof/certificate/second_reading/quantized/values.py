"""What a value of a quantized ONNX file is: codes, what they stand for, or sums that nothing has rounded yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: the least and the largest code, by the number that ONNX gives the type
ENDS = {2: (0, 255), 3: (-128, 127)}


@dataclass(frozen=True)
class How:
    """Codes ``q`` of a type stand for ``scale (q - zero)``."""

    scale: np.float32
    zero: int
    kind: int


@dataclass(frozen=True, eq=False)
class Codes:
    """Part ``part`` of the reading has codes less ``offset``; ``rounded`` says that a QuantizeLinear gives them, moved since or not."""

    part: int
    shape: tuple[int, ...]
    kind: int
    offset: int
    rounded: bool = False


@dataclass(frozen=True, eq=False)
class Real:
    """What codes stand for; ``direct`` says that nothing has moved them since."""

    codes: Codes
    how: How
    direct: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape


@dataclass(frozen=True, eq=False)
class Open:
    """Sums that a QuantizeLinear rounds; ``clips`` are the ends of what they are clipped to before that."""

    close: Callable[[How], Codes]
    clips: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Known:
    """A constant of codes: what they are less their zero points, and scales ``[1]`` or one for each entry of an axis."""

    codes: NDArray[np.int64]
    scale: NDArray[np.float32]
    axis: int = 0


Value = Codes | Real | Open | Known
