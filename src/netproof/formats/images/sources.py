"""One door for every kind of image data: the kind is told by what the path is called, or that it is a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netproof.errors import FormatError, InputError
from netproof.formats.images.archives.cifar import read_cifar
from netproof.formats.images.archives.tiny_imagenet import read_tiny_imagenet
from netproof.formats.images.digits import NAME as DIGITS
from netproof.formats.images.digits import read_digits
from netproof.formats.images.folder import read_image_folder
from netproof.formats.images.idx import read_images, read_labels
from netproof.formats.images.set import ImageSet

#: how the two parts of a data set can be called
SPLITS = ("train", "test")
_TINY_IMAGENET_CROP = 56


def read_image_set(
    path: str | Path,
    labels: str | Path | None = None,
    *,
    split: str = "test",
    crop: int | None = None,
    check: bool = True,
) -> ImageSet:
    """Read images and labels.

    Parameters
    ----------
    path : an archive of CIFAR-10 or CIFAR-100 (``.tar.gz``), TinyImageNet (``.zip``), a folder of images by class,
        IDX images, or ``sklearn:digits``
    labels : IDX labels, which belong to IDX images and to nothing else
    split : ``train`` or ``test`` (of TinyImageNet, the validation images); other data has but one part
    crop : how large a centre of the images is kept (default: 56 for TinyImageNet, else all)
    check : whether a published archive has to have its published SHA-256

    Raises
    ------
    FormatError, InputError : see the readers; labels that are missing or not wanted; an unknown split
    """
    path = Path(path)
    if split not in SPLITS:
        raise InputError("the split", f"is '{split}'", f"give {' or '.join(SPLITS)}")
    name = path.name.lower()
    digits = str(path) == DIGITS
    kind = next((suffix for suffix in (".tar.gz", ".tgz", ".zip") if name.endswith(suffix)), "")
    if (kind or digits or path.is_dir()) and labels is not None:
        raise InputError(labels, f"{path} has labels of its own", "leave the labels out")
    if digits:
        found = read_digits(split)
        return found if crop is None else found.cropped(crop)
    if path.is_dir():
        return read_image_folder(path, crop=crop)
    if kind == ".zip":
        size = _TINY_IMAGENET_CROP if crop is None else crop
        return read_tiny_imagenet(path, "train" if split == "train" else "val", crop=size, check=check)
    if kind:
        found = read_cifar(path, "train" if split == "train" else "test", check=check)
    else:
        if labels is None:
            raise InputError(path, "comes without labels", "give an archive, a folder, or IDX images with IDX labels")
        found = _read_idx(path, labels)
    return found if crop is None else found.cropped(crop)


def _read_idx(path: Path, labels: str | Path) -> ImageSet:
    images, numbers = read_images(path), read_labels(labels)
    if len(images) != len(numbers):
        raise FormatError(
            labels, f"has {len(numbers)} labels for {len(images)} images", "give those that belong to them"
        )
    classes = tuple(str(number) for number in range(int(numbers.max(initial=0)) + 1))
    return ImageSet(images[:, None], numbers.astype(np.int64), classes, str(path), named=False)
