"""Decoding one PNG, JPEG, BMP or PNM file into 8-bit channels, with its size known before it is unpacked."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError

if TYPE_CHECKING:
    from PIL import Image

#: what Pillow may take a file for; its other formats are none that images of a data set come in
FORMATS = ("PNG", "JPEG", "BMP", "PPM")
#: no image that a network takes has more pixels
_MOST_PIXELS = 1 << 22
_LEVELS = 255
#: how Pillow calls one bit, grey levels, a palette and colours, some with transparency; and numbers of more bits
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")
#: where a PNG says how many bits a channel has; which entry of EXIF says how an image is to be turned
_PNG_BITS = 24
_ORIENTATION = 0x0112
#: a portable pixmap's head, comments included, up to its largest number
_PNM = re.compile(rb"P[2356](?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+(\d{1,9})")


def decode_image(source: str | Path, data: bytes, *, channels: int = 3) -> NDArray[np.uint8]:
    """``[channels, rows, columns]``: colours for 3 channels, grey levels for 1.

    Pixels of JPEG files are what the installed Pillow and libjpeg make of them, which can differ by a grey level
    from one release to another. Raises :class:`FormatError` for what is no image, damaged or too large, and for what programs
    make different pixels of: 16 bits, transparency, several frames, inks, an orientation, and colours where grey is asked for.
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
                _check_plain(source, data, image)
                pixels = np.asarray(image.convert("RGB"), np.uint8).transpose(2, 0, 1)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FormatError(source, "is an image of enormous size", "give images of a data set") from None
    except UnidentifiedImageError:
        raise FormatError(source, f"is no image ({', '.join(FORMATS)} are known)", "convert it, or remove it") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError) as error:
        detail = " ".join(str(error).split())[:80]
        raise FormatError(source, f"is a damaged image ({detail})", "download or copy it again") from None
    if channels == 1:
        if not (pixels == pixels[:1]).all():
            problem = (
                "has colours, and what is asked for is one channel: programs weigh red, green and blue differently"
            )
            raise FormatError(source, problem, "make it grey as it is done where the network is used")
        pixels = pixels[:1]
    return np.ascontiguousarray(pixels)


def _check_plain(source: str | Path, data: bytes, image: Image.Image) -> None:
    """Refuse what has no pixels of 8 bits that everybody agrees on; raises :class:`FormatError`."""
    hint = "save it as grey levels or RGB of 8 bits"
    if image.mode in _DEEP or _largest_level(data) > _LEVELS:
        raise FormatError(source, "has more than 8 bits for a channel, which would have to be rounded somehow", hint)
    if image.mode not in _MODES:
        raise FormatError(source, f"is in {image.mode}, of which programs make different colours", hint)
    if getattr(image, "n_frames", 1) > 1:
        raise FormatError(source, "has several frames", "save the one that is meant")
    turned = image.getexif().get(_ORIENTATION, 1)
    if turned not in (0, 1):
        problem = f"says that it is to be turned (orientation {turned}), which some programs do and others do not"
        raise FormatError(source, problem, "save it as it is meant, without that")
    if image.has_transparency_data and np.asarray(image.convert("RGBA").getchannel("A")).min() < _LEVELS:
        raise FormatError(
            source, "is transparent in places, behind which there can be anything", "put it before a background"
        )


def _largest_level(data: bytes) -> int:
    """What the largest number of a channel is, as far as a file of more than 8 bits is decoded to 8 of them unasked."""
    if data.startswith(b"\x89PNG"):
        return (1 << data[_PNG_BITS]) - 1 if len(data) > _PNG_BITS else 0
    found = _PNM.match(data)
    return int(found[1]) if found else 0
