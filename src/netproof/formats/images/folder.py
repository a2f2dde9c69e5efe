"""Reader for a folder of images by class: one folder per class, images in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.files.opened import read_bytes
from netproof.formats.images.decode import decode_image
from netproof.formats.images.set import ImageSet, crop_window

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")
#: the optional list of classes, one folder name per line, in the order of the labels
LIST = "classes.txt"
_FILE_LIMIT, _MOST_BYTES = 1 << 26, 1 << 32


def read_image_folder(path: str | Path, *, crop: int | None = None, channels: int = 3) -> ImageSet:
    """Images ``[N, channels, rows, columns]``, class by class, and inside a class by file name.

    The classes are the folders in order of their names, or those that ``classes.txt`` in the folder lists. All
    images have to be of one size, at least after the crop; files with other endings than those of images are left.

    Parameters
    ----------
    path : the folder
    crop : how large a centre of the images is kept (default: all of them)
    channels : 3 for colours, 1 for brightness

    Raises
    ------
    FormatError : a folder that is missing or has no class; a class that is missing or has no images; files that
        are no images; images of different sizes, or too many
    InputError : a crop that does not fit
    """
    path = Path(path)
    classes = _classes(path)
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = _images(path / name)
        for file in files:
            image = decode_image(file, read_bytes(file, "image", limit=_FILE_LIMIT), channels=channels)
            if crop is not None:
                rows, columns = crop_window(file, image.shape[1:], crop)
                image = np.ascontiguousarray(image[:, rows, columns])
            if images and image.shape != images[0].shape:
                first, other = ("x".join(map(str, shape[:0:-1])) for shape in (images[0].shape, image.shape))
                raise FormatError(
                    file, f"is {other} pixels, the images before it are {first}", "give images of one size, or a crop"
                )
            images.append(image)
            if len(images) * image.size > _MOST_BYTES:
                raise FormatError(path, f"holds more than {_MOST_BYTES} bytes of images", "give fewer of them")
        labels += [label] * len(files)
    return ImageSet(np.stack(images), np.array(labels, np.int64), tuple(classes), str(path))


def is_numbered(classes: Sequence[str]) -> bool:
    """Whether folders are called by numbers."""
    return all(name.isascii() and name.isdigit() for name in classes)


def _classes(path: Path) -> list[str]:
    if not path.is_dir():
        problem = "is a file, not a folder" if path.exists() else "no such folder of images"
        raise FormatError(path, problem, "name the folder that holds one folder per class")
    listed = path / LIST
    if not listed.is_file():
        try:
            classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and entry.name[0] != ".")
        except OSError as error:
            raise FormatError(path, f"cannot be read ({error.strerror})", "check its permissions") from None
        if not classes:
            raise FormatError(
                path,
                "has no folder in it, and no image",
                f"put images there ({', '.join(SUFFIXES)}), or one folder of them per class",
            )
        return classes
    lines = read_bytes(listed, "list of classes", limit=1 << 20).decode("utf-8-sig", "replace").splitlines()
    classes = [line.strip() for line in lines if line.strip()]
    if not classes or len(set(classes)) != len(classes):
        raise FormatError(listed, "lists no class, or one twice", "give one folder name per line")
    for name in classes:
        if Path(name).name != name or name in (".", ".."):
            raise FormatError(
                listed, f"'{name[:60]}' is no name of a folder beside it", "give one folder name per line"
            )
        if not (path / name).is_dir():
            raise FormatError(path / name, f"the folder of this class is missing ({LIST} lists it)", "copy it again")
    return classes


def _images(folder: Path) -> list[Path]:
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise FormatError(folder, f"cannot be read ({error.strerror})", "check its permissions") from None
    if not files:
        raise FormatError(folder, "has no images of its class in it", f"put some there ({', '.join(SUFFIXES)})")
    return files
