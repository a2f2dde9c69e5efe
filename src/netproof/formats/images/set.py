"""Images with their labels, as every reader of image data gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError, InputError
from netproof.files.opened import NoFileError, open_file

_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and what they show.

    Attributes
    ----------
    images : ``[N, channels, rows, columns]``, 8-bit
    labels : ``[N]``, each the index of a class
    classes : their names, in the order of the labels
    source : where they came from, as errors call it
    named : whether the classes have names of their own, or are called by their labels
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    source: str
    named: bool = True

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            raise FormatError(
                self.source,
                f"holds images {self.images.shape} and labels {self.labels.shape}, which do not go together",
                "give the images and their own labels",
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise FormatError(
                self.source,
                f"has labels from {int(self.labels.min())} to {int(self.labels.max())} for {len(self.classes)} classes",
                "it is damaged: download or copy it again",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def cropped(self, size: int) -> ImageSet:
        """The centres of the images, ``size`` by ``size``; raises :class:`InputError` where they are smaller."""
        rows, columns = self.images.shape[2:]
        window = crop_window(self.source, (rows, columns), size)
        return replace(self, images=np.ascontiguousarray(self.images[:, :, window[0], window[1]]))


def check_same_classes(judged: ImageSet, trained: ImageSet) -> None:
    """Refuse test images whose labels stand for other classes than those of the images trained on.

    Names are compared where both sets have them, as far as both reach. Raises :class:`InputError`.
    """
    if not (judged.named and trained.named):
        return
    for label, (mine, other) in enumerate(zip(judged.classes, trained.classes, strict=False)):
        if mine != other:
            raise InputError(
                judged.source,
                f"its class {label} is {mine[:60]!r}, that of the images to train on ({trained.source}) is {other[:60]!r}",
                "give images of the same classes, in the same order",
            )


def crop_window(source: str | Path, extents: Sequence[int], size: int) -> tuple[slice, ...]:
    """The slices that cut out a centre of ``size``; raises :class:`InputError`.

    Where the margin is odd, the half pixel is rounded to even, as torchvision's ``CenterCrop`` does.
    """
    if not 0 < size <= min(extents):
        raise InputError(
            source,
            f"its images are {'x'.join(map(str, extents))}, they have no centre of {size}x{size}",
            "give a crop that fits",
        )
    starts = [round((extent - size) / 2) for extent in extents]
    return tuple(slice(start, start + size) for start in starts)


def file_sha256(path: str | Path, what: str, *, limit: int) -> str:
    """The SHA-256 of a file, read in pieces; raises :class:`FormatError` where it cannot be read or is too large."""
    path, digest, size = Path(path), hashlib.sha256(), 0
    try:
        with open_file(path) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if size > limit:
                    raise FormatError(path, f"is larger than {limit} bytes", f"this is no {what}; check the path")
    except FileNotFoundError:
        raise FormatError(path, f"no such {what}", "check the path") from None
    except IsADirectoryError:
        raise FormatError(path, f"is a folder, no {what}", "name the file inside it") from None
    except NoFileError:
        raise FormatError(path, f"is a pipe or a device, no {what}", "save what it gives as a file") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from None
    return digest.hexdigest()


def check_published(path: str | Path, what: str, known: Sequence[str], *, limit: int) -> None:
    """Refuse a file whose SHA-256 is none of those ``known``; raises :class:`FormatError`."""
    found = file_sha256(path, what, limit=limit)
    if found not in known:
        raise FormatError(
            path,
            f"its SHA-256 is {found[:16]}..., not that of the published {what}",
            "it is truncated or another file: download it again, or read it unchecked (--unchecked)",
        )
