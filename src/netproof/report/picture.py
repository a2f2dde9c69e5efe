"""Pictures of witnesses: an image before, what changed, the image after.

Everything is drawn with Pillow on a white page: three panels, pixels enlarged to squares, a
caption under each. Pixel values are drawn as they are (0 black, 255 white), so a reader sees
what the network sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError
from netproof.pictures.difference import difference_colours

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

_PANEL = 288  #: panels are enlarged to about this many pixels
_GAP = 36
_MARGIN = 32
_INK = (28, 32, 38)
_QUIET = (98, 106, 117)
_FRAME = (198, 204, 212)
#: enlarged pixels of this size or more have room for a number
_NUMBER_ROOM = 24


@dataclass(frozen=True)
class Captions:
    """The words on a picture; an empty one leaves no gap. A line break starts a new line."""

    before: str = "original"
    difference: str = "difference"
    after: str = "adversarial"
    title: str = ""
    footer: str = ""


def draw_before_after(before: NDArray[Any], after: NDArray[Any], captions: Captions | None = None) -> Image:
    """Original, difference and adversarial image side by side, on one page.

    Parameters
    ----------
    before, after : ``[rows, columns]`` or ``[rows, columns, 3]`` integers from 0 to 255
    captions : the words

    Raises
    ------
    ValueError : arrays that are not two images of one shape
    """
    from PIL import Image, ImageDraw

    captions = captions or Captions()
    panels = draw_panels(before, after)
    title, text, small = _font(24), _font(18), _font(15)
    words = [captions.before, captions.difference, captions.after]
    width, height = panels[0].size
    # A narrow image under a long caption gets the caption's width.
    column = max(width, *(_extent(text, line)[0] for line in words))
    page_width = max(3 * column + 2 * _GAP, _extent(title, captions.title)[0], _extent(small, captions.footer)[0])
    top = _MARGIN + _block(title, captions.title, 16)
    below = top + height + 12
    footer = below + max(_block(text, line, 0) for line in words) + 18
    bottom = footer + _extent(small, captions.footer)[1] if captions.footer else footer - 18
    page = Image.new("RGB", (page_width + 2 * _MARGIN, bottom + _MARGIN), "white")
    draw = ImageDraw.Draw(page)

    draw.multiline_text((_MARGIN, _MARGIN), captions.title, _INK, title)
    start = _MARGIN + (page_width - 3 * column - 2 * _GAP) // 2
    for position, (panel, line) in enumerate(zip(panels, words, strict=True)):
        left = start + position * (column + _GAP) + (column - width) // 2
        page.paste(panel, (left, top))
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=_FRAME)
        draw.multiline_text((left + width // 2, below), line, _INK, text, anchor="ma", align="center")
    draw.multiline_text((_MARGIN, footer), captions.footer, _QUIET, small)
    return page


def draw_panels(before: NDArray[Any], after: NDArray[Any]) -> tuple[Image, Image, Image]:
    """The three panels by themselves: original, difference, adversarial.

    The difference of grey images is orange where the pixel became brighter and blue where it
    became darker, at full strength for the largest change; large enough pixels show the change in
    grey levels as a number. The difference of colour images is drawn per channel around mid-grey.
    Parameters and errors as for :func:`draw_before_after`.
    """
    from PIL import ImageDraw

    first, second = _as_image(before), _as_image(after)
    if first.shape != second.shape:
        raise ValueError(f"the images have different shapes, {first.shape} and {second.shape}")
    change = second - first
    scale = max(1, _PANEL // max(first.shape[:2]))
    difference = _enlarge(difference_colours(change), scale)
    if change.ndim == 2:
        _number(ImageDraw.Draw(difference), change, scale)
    return _enlarge(first, scale), difference, _enlarge(second, scale)


def write_picture(picture: Image, path: str | Path) -> None:
    """Write a PNG; raises :class:`InputError` where the file cannot be written."""
    encoded = BytesIO()
    picture.save(encoded, format="PNG", optimize=True)
    try:
        Path(path).write_bytes(encoded.getvalue())
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror or error})", "choose a folder you can write to"
        ) from None


def _as_image(pixels: NDArray[Any]) -> NDArray[np.int64]:
    pixels = np.asarray(pixels)
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not is_image or 0 in pixels.shape:
        raise ValueError(f"an image is [rows, columns] or [rows, columns, 3], not {pixels.shape}")
    if not ((pixels >= 0) & (pixels <= 255)).all():
        raise ValueError("an image has values outside 0..255")
    return pixels.astype(np.int64)


def _enlarge(pixels: NDArray[np.int64], scale: int) -> Image:
    """An RGB image in which every pixel is a square (nearest neighbour: nothing is blurred)."""
    from PIL import Image

    colours = np.broadcast_to(pixels[..., None], (*pixels.shape, 3)) if pixels.ndim == 2 else pixels
    squares = colours.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(np.ascontiguousarray(squares, np.uint8))


def _number(draw: ImageDraw, change: NDArray[np.int64], scale: int) -> None:
    """Write each change into its square, where there is room."""
    if scale < _NUMBER_ROOM:
        return
    font = _font(scale * 0.38)
    limit = max(1, int(np.abs(change).max()))
    for row, column in zip(*np.nonzero(change), strict=True):
        value = int(change[row, column])
        ink = "white" if abs(value) > 0.55 * limit else _INK
        centre = ((column + 0.5) * scale, (row + 0.5) * scale)
        draw.text(centre, f"{value:+d}", ink, font, anchor="mm")


def _font(size: float) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _extent(font: Font, text: str) -> tuple[int, int]:
    """Width and height of a block of lines."""
    from PIL import Image, ImageDraw

    if not text:
        return 0, 0
    _, _, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    return int(np.ceil(right)), int(np.ceil(bottom))


def _block(font: Font, text: str, gap: int) -> int:
    """Height of a block of lines with the gap after it; nothing for no text."""
    return _extent(font, text)[1] + gap if text else 0
