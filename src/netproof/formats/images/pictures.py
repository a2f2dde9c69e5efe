"""One door for images of every kind, with or without labels, whatever the network takes.

Where a file leaves it open (an image file, a folder, scikit-learn's digits), colours and size are those that are asked for.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.arguments.words import printable
from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes, read_start
from netproof.formats.images.arrays import (
    archived,
    images_of,
    labels_of,
    numbers,
    read_whole_numbers,
)
from netproof.formats.images.decode import decode_image
from netproof.formats.images.folder import LIST, SUFFIXES, is_numbered
from netproof.formats.images.idx import is_idx, read_idx, read_labels
from netproof.formats.images.samples import check_labels
from netproof.formats.images.set import crop_window
from netproof.formats.images.sources import SPLITS, is_labelled, read_labelled

#: names of arrays in a ``.npz`` file, one of which is there
_IMAGES = ("images", "inputs", "x_test", "x", "X", "data")
_LABELS = ("labels", "y_test", "y", "targets", "label")
_FILE_LIMIT = 1 << 26
_DIGITS = re.compile(r"([0-9]{1,18})")
_KINDS = "give IDX, PNG, JPEG, BMP or PNM, .npy, .npz, a folder of images, or the archive of CIFAR or TinyImageNet"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images as their source has them.

    Attributes
    ----------
    values : ``[N, ...]``, integers or floats
    labels : of the images, ``[N]``; None where there are none
    axes : ``chw`` where each image is ``[channels, rows, columns]``; empty where it is whatever the array has
    source : as errors call it
    classes : how many there are, where labels are places in a list of names; None where labels are numbers of their own
    """

    values: NDArray[Any]
    labels: NDArray[np.int64] | None
    axes: str
    source: str
    classes: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def digest(self) -> str:
        """The SHA-256 of all values and labels."""
        found = hashlib.sha256(f"{self.values.dtype.str} {self.values.shape}".encode())
        found.update(np.ascontiguousarray(self.values).tobytes())
        found.update(b"" if self.labels is None else self.labels.tobytes())
        return found.hexdigest()


def read_pictures(
    path: str | Path,
    labels: str | Path | None = None,
    *,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    split: str = "test",
    crop: int | None = None,
    check: bool = True,
) -> Pictures:
    """Read images, and labels where there are any.

    Parameters
    ----------
    path : IDX images, a PNG, JPEG, BMP or PNM file, a folder of these (one folder per class, named by its number or listed
        in the order of names; or files without labels), an array (``.npy``) or an archive of arrays (``.npz``) ``[N, ...]``, an archive of CIFAR or TinyImageNet, or
        ``sklearn:digits``
    labels : IDX, ``.npy``, or text with one whole number on every line; of sources that have none of their own
    channels, size : of what is decoded or drawn: 1 or 3, and rows and columns; None where nothing is known
    split, crop, check : as for :func:`netproof.formats.images.sources.read_image_set`

    Raises
    ------
    FormatError, InputError : see the readers; labels that are not wanted, or not one for each image
    """
    path = Path(path)
    if split not in SPLITS:
        raise InputError("--split", f"is '{split}'", f"give {' or '.join(SPLITS)}")
    if is_labelled(path) and not (path.is_dir() and _is_flat(path)):
        if labels is not None:
            raise InputError(labels, f"{path} has labels of its own", "leave --labels out")
        found = read_labelled(path, split=split, crop=crop, check=check, channels=channels, size=size)
        if not len(found):
            raise InputError(found.source, "holds no images", "give others")
        numbered = path.is_dir() and not (path / LIST).is_file() and is_numbered(found.classes)
        classes = np.array([int(name) for name in found.classes] if numbered else range(len(found.classes)), np.int64)
        if len(set(classes.tolist())) < len(classes):
            raise FormatError(path, "has two folders of one number", f"list the folders of all classes in {LIST}")
        count = len(found.classes) if path.is_dir() and not numbered else None
        return Pictures(_in(channels, found.images), classes[found.labels], "chw", found.source, count)
    values, own, axes = _unlabelled(path, channels)
    if not len(values):
        raise InputError(path, "holds no images", "give a file with at least one")
    if crop is not None:
        if axes != "chw" and values.ndim != 3:
            raise InputError("--crop", f"{path} does not say which axes are rows and columns", "cut the array yourself")
        rows, columns = crop_window(path, values.shape[-2:], crop)
        values = np.ascontiguousarray(values[..., rows, columns])
    if labels is not None and own is not None:
        raise InputError(labels, f"{path} has labels of its own", "leave --labels out")
    if labels is not None:
        _check_order(path)
        own = labels_in(Path(labels))
    if own is not None:
        check_labels(len(own), len(values), path if labels is None else labels, path)
    return Pictures(values, own, axes, str(path))


def _unlabelled(path: Path, channels: int | None) -> tuple[NDArray[Any], NDArray[np.int64] | None, str]:
    """Images, labels if the source has any, and axes."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return np.stack(_decoded(_files_in(path), channels)), None, "chw"
    if suffix in SUFFIXES:
        return np.stack(_decoded([path], channels)), None, "chw"
    if suffix == ".npy":
        return images_of(numbers(path, read_bytes(path, "array file")), path), None, ""
    if suffix == ".npz":
        images, labels = archived(path, _IMAGES), archived(path, _LABELS, alone=False)
        if images is None:
            raise FormatError(path, f"has no array called {', '.join(_IMAGES[:-1])} or {_IMAGES[-1]}", "rename it")
        return images_of(images, path), None if labels is None else labels_of(labels, path), ""
    # Neither a folder nor a known ending: whoever has a file of another kind is told which there are.
    if not is_idx(read_start(path, "file or folder of images", 4)):
        raise FormatError(path, "is no file of images of a kind that is known", _KINDS)
    images = read_idx(path)
    if images.ndim < 2:
        raise FormatError(path, "has 1 dimension(s), images have 3", "give the images file (idx3)")
    return images, None, ""


def _files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _check_order(path: Path) -> None:
    """Refuse files whose order by names is another one than by the numbers in them: nobody knows which of the two labels are in."""
    last: dict[tuple[str, ...], tuple[list[int], str]] = {}
    for file in _files_in(path) if path.is_dir() else []:
        parts = _DIGITS.split(file.name)
        # Names that differ in their numbers alone.
        words, numbers = (*parts[::2],), [int(part) for part in parts[1::2]]
        before, name = last.get(words, (numbers, ""))
        if before > numbers:
            problem = f"has '{printable(name)}' before '{printable(file.name)}' by their names, and behind it by their numbers"
            hint = "give all numbers in the names as many digits: 02 and 10"
            raise FormatError(path, f"{problem}: labels could be in either order", hint)
        last[words] = numbers, file.name


def _is_flat(folder: Path) -> bool:
    """Whether a folder has images in it, and no folder of a class."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise FormatError(folder, f"cannot be read ({error.strerror})", "check its permissions") from None
    classes = any(entry.is_dir() and entry.name[0] != "." for entry in entries)
    return not classes and any(entry.suffix.lower() in SUFFIXES for entry in entries)


def _decoded(files: list[Path], channels: int | None) -> list[NDArray[np.uint8]]:
    images: list[NDArray[np.uint8]] = []
    for file in files:
        image = decode_image(file, read_bytes(file, "image", limit=_FILE_LIMIT), channels=channels or 3)
        if images and image.shape != images[0].shape:
            first, other = ("x".join(map(str, shape[1:])) for shape in (images[0].shape, image.shape))
            raise FormatError(file, f"is {other} pixels, the images before it are {first}", "give images of one size")
        images.append(image)
    return images


def _in(channels: int | None, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same in one channel where that is wanted and all are alike."""
    if channels == 1 and images.shape[1] == 3 and bool((images == images[:, :1]).all()):
        return np.ascontiguousarray(images[:, :1])
    return images


def labels_in(path: Path) -> NDArray[np.int64]:
    """The labels in a file, ``[N]``: IDX, ``.npy``, or text; raises :class:`FormatError`."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return labels_of(read_whole_numbers(path), path)
    if suffix not in (".txt", ".csv"):
        return read_labels(path).astype(np.int64)
    lines = read_bytes(path, "list of labels", limit=_FILE_LIMIT).decode("utf-8-sig", "replace").splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            if not (line.strip().isascii() and line.strip().isdigit() and len(line.strip()) < 10):
                raise FormatError(path, f"line {number} is no label", "write one whole number on every line")
            found.append(int(line))
    return np.array(found, np.int64)
