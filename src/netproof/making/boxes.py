"""Boxes around 8-bit images in the normalized inputs that networks take, and the way back.

All of it is float32 arithmetic in a fixed order, so that the published properties come out digit by digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError

_LEVELS = 256


@dataclass(frozen=True)
class Normalization:
    """``(pixel / 255 - mean) / std`` per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise InputError(
                "the normalization",
                f"has {len(self.mean)} means and {len(self.std)} standard deviations",
                "give one of each per channel",
            )
        if not np.isfinite([*self.mean, *self.std]).all() or min(self.std) <= 0:
            raise InputError(
                "the normalization", f"is mean {self.mean}, std {self.std}", "give finite means and positive deviations"
            )
        with np.errstate(all="ignore"):
            ends = self.apply(np.array([0, 1], np.float32)[:, None, None, None])
        if not np.isfinite(ends).all() or (ends[0] >= ends[1]).any():
            raise InputError(
                "the normalization",
                f"is mean {self.mean}, std {self.std}, by which pixels are no different float32 numbers",
                "give means and deviations of pixels in [0, 1]",
            )

    @property
    def channels(self) -> int:
        return len(self.mean)

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalize values in [0, 1], ``[..., C, H, W]``."""
        mean = np.array(self.mean, np.float32)[:, None, None]
        std = np.array(self.std, np.float32)[:, None, None]
        normalized: NDArray[np.float32] = (values - mean) / std
        return normalized


CIFAR100 = Normalization((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761))
TINY_IMAGENET = Normalization((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262))


def normalized_image(image: NDArray[np.uint8], normalization: Normalization) -> NDArray[np.float32]:
    """An image ``[..., C, H, W]`` as the network takes it; raises :class:`InputError` for other channels."""
    return normalization.apply(_unit(image, normalization))


def image_box(
    image: NDArray[np.uint8], radius: float, normalization: Normalization
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """All images within ``radius`` (of values in [0, 1]) of an 8-bit image, cut to [0, 1] and normalized.

    Parameters
    ----------
    image : ``[..., C, H, W]``
    radius : from 0 to 1; rounded to float32, as every step is

    Returns lower and upper ends, float32, of the image's shape. Raises :class:`InputError` for a radius that is none
    or another number of channels.
    """
    if not 0 <= radius <= 1:
        raise InputError("the radius", f"is {radius:g}", "give a number from 0 to 1, where 1 is the range of a pixel")
    values, step = _unit(image, normalization), np.float32(radius)
    zero, one = np.float32(0), np.float32(1)
    lower, upper = np.clip(values - step, zero, one), np.clip(values + step, zero, one)
    return normalization.apply(lower), normalization.apply(upper)


def recover_image(
    lower: NDArray[np.float32], upper: NDArray[np.float32], radius: float, normalization: Normalization
) -> NDArray[np.uint8]:
    """The one 8-bit image ``[C, H, W]`` whose box this is: the inverse of :func:`image_box`, exactly.

    Each grey level of a channel has its own pair of ends, and only that pair is taken for it. Raises
    :class:`InputError` where ends belong to no level, or a radius so large that levels share theirs.
    """
    if lower.shape != upper.shape or lower.ndim != 3 or len(lower) != normalization.channels:
        raise InputError("the box", f"has shapes {lower.shape} and {upper.shape}", "give [C, H, W] of these channels")
    levels = np.arange(_LEVELS, dtype=np.uint8)
    lows, highs = image_box(np.tile(levels, (normalization.channels, 1))[:, None], radius, normalization)
    image = np.empty(lower.shape, np.uint8)
    for channel in range(normalization.channels):
        known = _pairs(lows[channel, 0], highs[channel, 0])
        order = np.argsort(known)
        known = known[order]
        if (known[1:] == known[:-1]).any():
            raise InputError("the radius", f"of {radius:g} gives several grey levels one box", "give a smaller one")
        asked = _pairs(lower[channel], upper[channel])
        place = np.minimum(np.searchsorted(known, asked), _LEVELS - 1)
        strange = known[place] != asked
        if strange.any():
            row, column = np.argwhere(strange)[0]
            raise InputError(
                "the box",
                f"from {lower[channel, row, column]!s} to {upper[channel, row, column]!s} at channel {channel}, row "
                f"{row}, column {column} is that of no 8-bit pixel",
                "give the radius and the normalization that it was made with",
            )
        image[channel] = levels[order][place]
    return image


def _unit(image: NDArray[np.uint8], normalization: Normalization) -> NDArray[np.float32]:
    if image.dtype != np.uint8 or image.ndim < 3 or image.shape[-3] != normalization.channels:
        raise InputError(
            "the image",
            f"is {image.dtype} of shape {image.shape}",
            f"give 8-bit images [C, H, W] of {normalization.channels} channels, as the normalization has",
        )
    unit: NDArray[np.float32] = image.astype(np.float32) / np.float32(255)
    return unit


def _pairs(lower: NDArray[np.float32], upper: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Both ends as one integer, equal where both are the same number (0 and -0 are)."""
    low, high = ((ends.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64) for ends in (lower, upper))
    pairs: NDArray[np.uint64] = (low << np.uint64(32)) | high
    return pairs
