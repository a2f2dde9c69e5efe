"""Images with labels for training and for benchmarks: what kind a path is, is told by its name, or by being a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netproof.errors import FormatError, InputError
from netproof.formats.images.archives.cifar import read_cifar
from netproof.formats.images.archives.tiny_imagenet import read_tiny_imagenet
from netproof.formats.images.digits import NAME as DIGITS
from netproof.formats.images.digits import read_digits
from netproof.formats.images.folder import LIST, is_numbered, read_image_folder
from netproof.formats.images.idx import read_images, read_labels
from netproof.formats.images.samples import check_labels
from netproof.formats.images.set import ImageSet

#: how the two parts of a data set can be called
SPLITS = ("train", "test")
#: how the names of archives end
_CIFAR, _TINY_IMAGENET = (".tar.gz", ".tgz"), ".zip"
#: what scikit-learn's digits are enlarged to by default, and the centre of TinyImageNet's images
_DIGITS_SIZE, _TINY_IMAGENET_CROP = 32, 56


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
    if is_labelled(path):
        if labels is not None:
            raise InputError(labels, f"{path} has labels of its own", "leave the labels out")
        found = read_labelled(path, split=split, crop=crop, check=check)
        if path.is_dir() and not (path / LIST).is_file():
            _check_order(path, found.classes)
        return found
    if labels is None:
        raise InputError(path, "comes without labels", "give an archive, a folder, or IDX images with IDX labels")
    found = _read_idx(path, labels)
    return found if crop is None else found.cropped(crop)


def is_labelled(path: Path) -> bool:
    """Whether sources of this kind have labels of their own: scikit-learn's digits, folders of classes, archives."""
    return str(path) == DIGITS or path.is_dir() or path.name.lower().endswith((*_CIFAR, _TINY_IMAGENET))


def read_labelled(
    path: Path,
    *,
    split: str,
    crop: int | None,
    check: bool,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
) -> ImageSet:
    """The images of a source that has labels of its own (:func:`is_labelled`).

    Arguments and errors are those of :func:`read_image_set`; ``channels`` (1 or 3) and ``size`` (rows and columns) are what is
    wanted of images that are decoded or drawn.
    """
    training = split == "train"
    if str(path) == DIGITS:
        if size is not None and size[0] != size[1]:
            raise InputError(DIGITS, f"are square, the network takes {size[0]}x{size[1]} pixels", "give other images")
        found = read_digits(split, size=_DIGITS_SIZE if size is None else size[0])
    elif path.is_dir():
        return read_image_folder(path, crop=crop, channels=channels or 3)
    elif path.name.lower().endswith(_TINY_IMAGENET):
        kept = _TINY_IMAGENET_CROP if crop is None else crop
        return read_tiny_imagenet(path, "train" if training else "val", crop=kept, check=check)
    else:
        found = read_cifar(path, "train" if training else "test", check=check)
    return found if crop is None else found.cropped(crop)


def _check_order(path: Path, classes: tuple[str, ...]) -> None:
    """Refuse folders called by numbers that are not their labels: in order of names ``10`` comes before ``2``.

    Whether such a folder holds the class of its number or that of its place, nobody can tell.
    """
    if is_numbered(classes) and [int(name) for name in classes] != list(range(len(classes))):
        raise FormatError(
            path,
            f"its folders are called by numbers that are not those of classes in order: {', '.join(classes)[:60]}",
            f"list them in {LIST}, one a line, in the order of the classes",
        )


def _read_idx(path: Path, labels: str | Path) -> ImageSet:
    images, numbers = read_images(path), read_labels(labels)
    check_labels(len(numbers), len(images), labels, path)
    classes = tuple(str(number) for number in range(int(numbers.max(initial=0)) + 1))
    return ImageSet(images[:, None], numbers.astype(np.int64), classes, str(path), named=False)
