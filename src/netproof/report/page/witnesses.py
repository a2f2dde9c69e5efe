"""Small pictures of a witness: image, difference, witness, each a PNG of one pixel per value."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.pictures.difference import difference_colours
from netproof.pictures.form import InputForm

#: no witness document is longer, and no picture has more values
_LONGEST, _MOST_VALUES = 1 << 26, 1 << 18
_LARGEST = 255
#: colours of a picture's palette: enough for a thumbnail, a third of the bytes
_COLOURS = 32


@dataclass(frozen=True)
class Thumbnails:
    """Three pictures as addresses that hold them.

    Attributes
    ----------
    before, difference, after : ``data:image/png;base64,...``
    width, height : in pixels
    said : in words what changed
    """

    before: str
    difference: str
    after: str
    width: int
    height: int
    said: str

    @property
    def size(self) -> int:
        """Characters on a page."""
        return len(self.before) + len(self.difference) + len(self.after)


def thumbnails(path: Path) -> Thumbnails | None:
    """The pictures of a witness's document; None where its input is no image. Raises :class:`FormatError`."""
    try:
        document = json.loads(read_bytes(path, "witness", limit=_LONGEST))
        after = _array(document["input"])
        before = (
            _array(document["image"])
            if "image" in document
            else (_array(document["lower"]) + _array(document["upper"])) / 2
        )
        shape = tuple(int(extent) for extent in document.get("shape", [after.size]))
        if before.shape != after.shape or after.size > _MOST_VALUES:
            raise ValueError("its image and its input do not fit")
        form = InputForm.of(shape)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, InputError) as error:
        problem = f"is no witness that can be drawn ({str(error)[:60]})"
        raise FormatError(path, problem, "run the benchmark again") from None
    integer = document.get("arithmetic") == "integer"
    said = _said(document, before, after, integer=integer)
    if integer:
        # Codes of signed inputs begin at -128, which is pixel 0.
        shift = 128.0 if before.min() < 0 else 0.0
        before, after = before + shift, after + shift
    else:
        least, largest = min(before.min(), after.min()), max(before.max(), after.max())
        before, after = ((part - least) * (_LARGEST / ((largest - least) or 1.0)) for part in (before, after))
    pictures = [form.planes(np.rint(part).clip(0, _LARGEST).astype(np.int64)) for part in (before, after)]
    if pictures[0] is None or pictures[1] is None:
        return None
    change = form.planes((after - before) * 1000)
    assert change is not None
    colours = difference_colours(np.rint(change).astype(np.int64))
    rows, columns = pictures[0].shape[:2]
    return Thumbnails(_address(pictures[0]), _address(colours), _address(pictures[1]), columns, rows, said)


def _array(values: Any) -> NDArray[np.float64]:
    found = np.array(values, np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise ValueError("a list in it is no list of numbers")
    return found


def _said(document: dict[str, Any], before: NDArray[np.float64], after: NDArray[np.float64], *, integer: bool) -> str:
    # An image is kept with more digits than an input of a float network has.
    moved = before != after if integer else before.astype(np.float32) != after.astype(np.float32)
    changed, largest = int(moved.sum()), float(np.abs(after - before).max())
    unit = (" grey level" if largest == 1 else " grey levels") if integer else ""
    said = f"{changed} of {before.size} values changed, by at most {largest:.4g}{unit}"
    if isinstance(document.get("class"), int) and isinstance(document.get("label"), int):
        said = f"class {document['class']} instead of {document['label']}; {said}"
    return said


def _address(pixels: NDArray[np.int64]) -> str:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8)))
    if image.mode == "RGB":
        image = image.quantize(_COLOURS)
    encoded = BytesIO()
    image.save(encoded, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
