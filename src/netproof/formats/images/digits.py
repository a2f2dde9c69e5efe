"""The handwritten digits that scikit-learn ships, as images of any size.

1797 images of 8x8 pixels from the UCI machine learning repository, ink from 0 to 16; enlarged (bilinear), and the same
in all three channels. They stand in for CIFAR where its archive is not at hand.
"""

from __future__ import annotations

import numpy as np

from netproof.errors import InputError
from netproof.formats.images.set import ImageSet

#: how these images are named in the place of a path
NAME = "sklearn:digits"
_SIZE = 32
#: every so many images one is kept for testing
_HELD_OUT = 4


def read_digits(split: str, *, size: int = _SIZE) -> ImageSet:
    """The images of one part: ``test`` is every fourth one, ``train`` the rest. ``[N, 3, size, size]``.

    Raises :class:`InputError` where scikit-learn is not installed, or for a size that is none.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            NAME, "needs scikit-learn, which is not installed", "install it: pip install scikit-learn"
        ) from None
    from PIL import Image

    if not 8 <= size <= 1024:
        raise InputError(NAME, f"cannot be {size}x{size} pixels", "give a size from 8 to 1024")
    data = load_digits()
    chosen = np.arange(len(data.target)) % _HELD_OUT == _HELD_OUT - 1
    if split == "train":
        chosen = ~chosen
    grey = np.round(data.images[chosen] * 255 / 16).astype(np.uint8)
    enlarged = [np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BILINEAR)) for each in grey]
    images = np.repeat(np.stack(enlarged)[:, None], 3, axis=1)
    classes = tuple(str(digit) for digit in range(10))
    return ImageSet(np.ascontiguousarray(images), data.target[chosen].astype(np.int64), classes, NAME)
