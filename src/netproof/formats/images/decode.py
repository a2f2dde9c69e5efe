"""Decoding one PNG, JPEG, BMP or PNM file into 8-bit channels, with its size known before it is unpacked."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError

#: what Pillow may take a file for; its other formats are none that images of a data set come in
FORMATS = ("PNG", "JPEG", "BMP", "PPM")
#: no image that a network takes has more pixels
_MOST_PIXELS = 1 << 22


def decode_image(source: str | Path, data: bytes, *, channels: int = 3) -> NDArray[np.uint8]:
    """``[channels, rows, columns]``: colours for 3 channels, brightness for 1.

    Pixels of JPEG files are what the installed Pillow and libjpeg make of them, which can differ by a grey level
    from one release to another. Raises :class:`FormatError` for what is no image, damaged or too large.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise FormatError(
                        source, f"is an image of {image.width}x{image.height} pixels", "give images of a data set"
                    )
                pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"), np.uint8)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FormatError(source, "is an image of enormous size", "give images of a data set") from None
    except UnidentifiedImageError:
        raise FormatError(source, f"is no image ({', '.join(FORMATS)} are known)", "convert it, or remove it") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError) as error:
        detail = " ".join(str(error).split())[:80]
        raise FormatError(source, f"is a damaged image ({detail})", "download or copy it again") from None
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)
