"""The axes of an image, from those that its file has to those that a network takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError

#: how a network can take the colours of an image: channel by channel, or pixel by pixel
LAYOUTS = ("chw", "hwc")
_COLOURS = (1, 3)


def fits(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether values of one shape can only be meant for another one of the same size: but for axes of one entry they are equal, or one is flat."""
    found, wanted = (tuple(extent for extent in one if extent != 1) for one in (given, shape))
    return found == wanted or len(found) <= 1 or len(wanted) <= 1


@dataclass(frozen=True)
class InputForm:
    """What a network's input shape says of the images it takes.

    Attributes
    ----------
    shape : of an input, without the batch axis
    channels : 1 or 3; None where the shape is that of no image
    size : rows and columns, None where they are not known
    layout : one of :data:`LAYOUTS`; empty where it is not known, or makes no difference
    """

    shape: tuple[int, ...]
    channels: int | None
    size: tuple[int, int] | None
    layout: str

    @classmethod
    def of(cls, input_shape: tuple[int, ...], layout: str | None = None) -> InputForm:
        """The form that a shape tells; ``layout`` says what it does not. Raises :class:`InputError`."""
        if layout is not None and layout not in LAYOUTS:
            raise InputError("--layout", f"is '{layout[:40]}'", f"give {' or '.join(LAYOUTS)}")
        shape = tuple(input_shape[1:]) if len(input_shape) > 1 and input_shape[0] == 1 else tuple(input_shape)
        told = _told(shape)
        if told is not None:
            if layout is not None and told.layout not in ("", layout):
                problem = f"is {layout}, the network's input {'x'.join(map(str, shape))} is {told.layout}"
                raise InputError("--layout", problem, "leave it out")
            return told
        size = math.prod(shape)
        for channels in _COLOURS:
            side = math.isqrt(size // channels)
            if size == channels * side * side and sum(extent != 1 for extent in shape) <= 1:
                return cls(shape, channels, (side, side), "" if channels == 1 else layout or "")
        return cls(shape, None, None, layout or "")

    def arranged(self, picture: NDArray[Any], axes: str, source: str) -> NDArray[Any]:
        """An image in the network's order, with channels as an axis of their own where there are several.

        Parameters
        ----------
        picture : an image of any shape
        axes : ``chw`` where that is what it is, empty where its shape has to tell
        source : as errors call it

        Raises
        ------
        InputError : another size or number of channels than the network takes, or an order that nobody knows
        """
        if picture.size != math.prod(self.shape):
            raise InputError(
                source,
                f"its images have {picture.size} values ({'x'.join(map(str, picture.shape))}), the network takes "
                f"{math.prod(self.shape)} ({'x'.join(map(str, self.shape))})",
                "use images of the data set the network was trained on",
            )
        if not fits(picture.shape, self.shape) and self.channels == 1:
            problem = f"its images have shape {'x'.join(map(str, picture.shape))}, the network takes "
            raise InputError(
                source, problem + "x".join(map(str, self.shape)), "give images of that shape, or flat ones"
            )
        if picture.ndim == 1 or self.channels == 1 or (not axes and picture.shape == self.shape):
            return picture
        given = axes or _order(picture.shape)
        if self.channels is None or not given:
            if not axes and sum(extent != 1 for extent in picture.shape) <= 1:
                return picture
            raise InputError(
                source,
                f"its images have shape {'x'.join(map(str, picture.shape))}, the network takes "
                f"{'x'.join(map(str, self.shape))}",
                "give an array of the network's own shape",
            )
        if not self.layout:
            problem = f"its images have colours, and the network's input {'x'.join(map(str, self.shape))} does not tell"
            raise InputError(source, f"{problem} in which order", "give --layout chw or --layout hwc")
        first = picture if given == "chw" else picture.transpose(2, 0, 1)
        if self.size is not None and first.shape != (self.channels, *self.size):
            expected = f"{self.size[1]}x{self.size[0]} pixels in {self.channels} channels"
            problem = f"its images are {first.shape[2]}x{first.shape[1]} pixels in {first.shape[0]} channels"
            raise InputError(source, f"{problem}, the network takes {expected}", "give images of that size")
        return np.ascontiguousarray(first if self.layout == "chw" else first.transpose(1, 2, 0))

    def planes(self, values: NDArray[Any]) -> NDArray[Any] | None:
        """An input ``[n]`` as an image to look at, ``[rows, columns]`` or ``[rows, columns, 3]``; None where it is none."""
        if self.channels is None or self.size is None or values.size != self.channels * math.prod(self.size):
            return None
        if self.channels == 1:
            return values.reshape(self.size)
        if self.layout == "hwc":
            return values.reshape(*self.size, 3)
        return np.ascontiguousarray(values.reshape(3, *self.size).transpose(1, 2, 0))


def _told(shape: tuple[int, ...]) -> InputForm | None:
    """What a shape tells by itself."""
    if len(shape) == 2 and min(shape) > 1:
        return InputForm(shape, 1, (shape[0], shape[1]), "")
    if len(shape) != 3 or sum(extent != 1 for extent in shape) <= 1:
        return None
    order = _order(shape)
    if not order:
        return None
    channels, *size = shape if order == "chw" else (shape[2], *shape[:2])
    return InputForm(shape, channels, (size[0], size[1]), "" if channels == 1 else order)


def _order(shape: tuple[int, ...]) -> str:
    """The order of axes that a shape can only have: empty where it could be either, or neither."""
    if len(shape) != 3:
        return ""
    first, last = shape[0] in _COLOURS, shape[2] in _COLOURS
    return "" if first == last else "chw" if first else "hwc"
