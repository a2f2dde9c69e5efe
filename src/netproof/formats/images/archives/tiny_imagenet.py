"""Reader for ``tiny-imagenet-200.zip``: 200 classes of 64x64 images, of which networks see the centre.

Nothing is unpacked to disk, so what members are called does not matter: only those that the archive's own lists
name are looked at, each up to a size that no image of it has.

Source: Stanford CS231n, http://cs231n.stanford.edu/tiny-imagenet-200.zip.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from netproof.errors import FormatError
from netproof.files.opened import open_file
from netproof.formats.images.decode import decode_image
from netproof.formats.images.set import ImageSet, check_published, crop_window

Split = Literal["train", "val"]

#: SHA-256 of the published archive
SHA256 = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
_ROOT = "tiny-imagenet-200"
_PACKED_LIMIT, _MOST_MEMBERS = 1 << 29, 200_000
_LIST_LIMIT, _IMAGE_LIMIT = 1 << 22, 1 << 18
_SIZE = 64
_WORDNET_ID = re.compile(r"n\d{8}\Z", re.ASCII)
_IMAGE_NAME = re.compile(r"[A-Za-z0-9_]{1,64}\.JPEG\Z", re.ASCII)


def read_tiny_imagenet(path: str | Path, split: Split = "val", *, crop: int = 56, check: bool = True) -> ImageSet:
    """Images ``[N, 3, crop, crop]``, class by class, and inside a class by file name.

    This is the order of torchvision's ``ImageFolder`` over folders of classes, which the published properties
    count in. The validation images are the test set of the benchmark, as the labels of the test images are secret.

    Parameters
    ----------
    path : the archive as published
    split : the training or the validation images
    crop : how large a centre of the images is kept
    check : whether the archive has to have the published SHA-256

    Raises
    ------
    FormatError : missing, truncated or foreign archives; another SHA-256; members that are missing or no images
    InputError : a crop that does not fit
    """
    path = Path(path)
    window = crop_window(path, (_SIZE, _SIZE), crop)
    if check:
        check_published(path, "TinyImageNet archive", (SHA256,), limit=_PACKED_LIMIT)
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _Reader(path, archive).read(split, window)
    except FileNotFoundError:
        raise FormatError(path, "no such TinyImageNet archive", "check the path") from None
    except IsADirectoryError:
        raise FormatError(path, "is a folder, not a zip archive", "name the file inside it") from None
    except (
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
        MemoryError,
    ):
        raise FormatError(path, "is no zip archive, or a truncated or damaged one", "download it again") from None
    except OSError as error:
        raise FormatError(
            path, f"cannot be read ({error.strerror or error})", "check the path and its permissions"
        ) from None


class _Reader:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        if len(archive.infolist()) > _MOST_MEMBERS:
            raise FormatError(path, f"has more than {_MOST_MEMBERS} members", "this is not TinyImageNet")

    def read(self, split: Split, window: tuple[slice, ...]) -> ImageSet:
        names = self._lines(f"{_ROOT}/wnids.txt")
        classes = sorted(set(names))
        if not classes or len(classes) != len(names) or not all(_WORDNET_ID.match(name) for name in classes):
            raise FormatError(
                self._path, "its wnids.txt is no list of different WordNet ids", "give the archive as published"
            )
        members = self._validation(classes) if split == "val" else self._training(classes)
        if not members:
            raise FormatError(self._path, f"has no {split} images", "give the archive as published")
        height, width = (part.stop - part.start for part in window)
        images = np.empty((len(members), 3, height, width), np.uint8)
        for number, (_, member) in enumerate(members):
            image = decode_image(f"{self._path}: {member}", self._member(member, _IMAGE_LIMIT))
            if image.shape != (3, _SIZE, _SIZE):
                raise FormatError(
                    f"{self._path}: {member}",
                    f"is an image of {image.shape[2]}x{image.shape[1]} pixels, not {_SIZE}x{_SIZE}",
                    "give the archive as published",
                )
            images[number] = image[:, window[0], window[1]]
        labels = np.array([label for label, _ in members], np.int64)
        return ImageSet(images, labels, tuple(classes), str(self._path))

    def _validation(self, classes: list[str]) -> list[tuple[int, str]]:
        """Label and member of every validation image, in the order of their classes and names."""
        label_of = {name: label for label, name in enumerate(classes)}
        found = []
        for number, line in enumerate(self._lines(f"{_ROOT}/val/val_annotations.txt"), start=1):
            image, _, rest = line.partition("\t")
            label = label_of.get(rest.partition("\t")[0])
            if label is None or not _IMAGE_NAME.match(image):
                raise FormatError(
                    self._path,
                    f"line {number} of its val_annotations.txt is not 'image<tab>class'",
                    "give the archive as published",
                )
            found.append((label, image))
        if len(set(found)) != len(found):
            raise FormatError(
                self._path, "its val_annotations.txt lists an image twice", "give the archive as published"
            )
        listed = {f"{_ROOT}/val/images/{image}" for _, image in found}
        held = (name for name in self._archive.namelist() if name.startswith(f"{_ROOT}/val/images/"))
        for member in held:
            if found and member not in listed and not member.endswith("/"):
                raise FormatError(
                    self._path,
                    f"its val_annotations.txt does not list '{member[:80]}'",
                    "give the archive as published",
                )
        return [(label, f"{_ROOT}/val/images/{image}") for label, image in sorted(found)]

    def _training(self, classes: list[str]) -> list[tuple[int, str]]:
        label_of = {name: label for label, name in enumerate(classes)}
        found = []
        for member in self._archive.namelist():
            parts = member.split("/")
            if len(parts) == 5 and parts[:2] == [_ROOT, "train"] and parts[3] == "images" and parts[4]:
                label = label_of.get(parts[2])
                if label is None or not _IMAGE_NAME.match(parts[4]):
                    raise FormatError(
                        self._path, f"has a member '{member[:80]}' of no class", "give the archive as published"
                    )
                found.append((label, member))
        missing = set(range(len(classes))) - {label for label, _ in found}
        if missing:
            raise FormatError(self._path, f"has no images of class {classes[min(missing)]}", "download it again")
        return sorted(found)

    def _lines(self, member: str) -> list[str]:
        text = self._member(member, _LIST_LIMIT).decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _member(self, name: str, limit: int) -> bytes:
        try:
            with self._archive.open(name) as stream:
                data = stream.read(limit + 1)
        except KeyError:
            raise FormatError(self._path, f"has no member {name}", "give the archive as published") from None
        if len(data) > limit:
            raise FormatError(self._path, f"its member {name} is larger than {limit} bytes", "download it again")
        return data
