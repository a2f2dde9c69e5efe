"""Reader for the archives of CIFAR-10 and CIFAR-100, ``cifar-10-python.tar.gz`` and ``cifar-100-python.tar.gz``.

Nothing is unpacked to disk: the tar is read as a stream, only members of the known names are looked at, and how much
gzip may unpack to is bounded.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.files.opened import open_file
from netproof.formats.images.archives.pickled import read_cifar_pickle
from netproof.formats.images.set import ImageSet, check_published

Split = Literal["train", "test"]

#: SHA-256 of the published archives
SHA256 = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
}
#: both unpack to 186 MB, and consist of some ten members
_PACKED_LIMIT, _UNPACKED_LIMIT, _MOST_MEMBERS = 1 << 28, 1 << 28, 100
_CHUNK = 1 << 20
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Layout:
    """Where an archive keeps things."""

    title: str
    meta: str
    splits: Mapping[str, tuple[str, ...]]
    labels: str
    names: str


_LAYOUTS = (
    _Layout(
        "CIFAR-10",
        "cifar-10-batches-py/batches.meta",
        {
            "train": tuple(f"cifar-10-batches-py/data_batch_{n}" for n in range(1, 6)),
            "test": ("cifar-10-batches-py/test_batch",),
        },
        "labels",
        "label_names",
    ),
    _Layout(
        "CIFAR-100",
        "cifar-100-python/meta",
        {"train": ("cifar-100-python/train",), "test": ("cifar-100-python/test",)},
        "fine_labels",
        "fine_label_names",
    ),
)


def read_cifar(path: str | Path, split: Split = "test", *, check: bool = True) -> ImageSet:
    """The images ``[N, 3, 32, 32]`` of an archive, in its order, with the fine labels of CIFAR-100.

    Parameters
    ----------
    path : the archive as published
    split : the training or the test images
    check : whether the archive has to have the published SHA-256

    Raises
    ------
    FormatError : missing, truncated or foreign archives; another SHA-256; members that are missing, too large or
        hold something else
    """
    path = Path(path)
    if check:
        check_published(path, "CIFAR archive", tuple(SHA256.values()), limit=_PACKED_LIMIT)
    members = _read_members(path, split)
    layout = next((known for known in _LAYOUTS if known.meta in members), None)
    if layout is None:
        wanted = " nor ".join(f"{known.meta} ({known.title})" for known in _LAYOUTS)
        raise FormatError(path, f"has neither {wanted}", "give the python version of the archive, with all its members")
    missing = next((name for name in layout.splits[split] if name not in members), None)
    if missing:
        raise FormatError(path, f"has no member {missing}", "download it again")
    meta = read_cifar_pickle(f"{path}: {layout.meta}", members[layout.meta])
    names = meta.get(layout.names)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise FormatError(f"{path}: {layout.meta}", f"has no list '{layout.names}'", "give the archive as published")
    parts = [_batch(f"{path}: {name}", members[name], layout.labels) for name in layout.splits[split]]
    return ImageSet(
        images=np.concatenate([part[0] for part in parts]),
        labels=np.concatenate([part[1] for part in parts]),
        classes=tuple(name if isinstance(name, str) else name.decode("latin-1") for name in names),
        source=str(path),
    )


class _Bounded:
    """A stream that ends in an error where it gives more than a bound, as the bomb behind a small gzip does."""

    def __init__(self, stream: gzip.GzipFile, path: Path) -> None:
        self._stream, self._path, self._left = stream, path, _UNPACKED_LIMIT

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise FormatError(
                self._path, f"unpacks to more than {_UNPACKED_LIMIT} bytes", "this is no CIFAR archive; check the path"
            )
        return data


def _read_members(path: Path, split: Split) -> dict[str, bytes]:
    """The members that a split needs, by name; those that a layout has not got are left out."""
    wanted = {name for layout in _LAYOUTS for name in (layout.meta, *layout.splits[split])}
    found: dict[str, bytes] = {}
    try:
        with (
            open_file(path) as file,
            gzip.GzipFile(fileobj=file) as unpacked,
            tarfile.open(fileobj=cast("IO[bytes]", bounded := _Bounded(unpacked, path)), mode="r|") as archive,
        ):
            for number, member in enumerate(archive):
                if number == _MOST_MEMBERS:
                    raise FormatError(
                        path, f"has more than {_MOST_MEMBERS} members", "this is no CIFAR archive; check the path"
                    )
                name = member.name.removeprefix("./")
                if name not in wanted:
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise FormatError(path, f"its member {name} is no ordinary file", "download it again")
                found[name] = stream.read()
            while bounded.read(_CHUNK):  # to the end, where gzip keeps its checksum
                pass
    except FileNotFoundError:
        raise FormatError(path, "no such CIFAR archive", "check the path") from None
    except IsADirectoryError:
        raise FormatError(path, "is a folder, not a CIFAR archive", "name the file inside it") from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError, MemoryError):
        raise FormatError(
            path, "is no gzipped tar archive, or a truncated or damaged one", "download it again"
        ) from None
    except OSError as error:
        raise FormatError(
            path, f"cannot be read ({error.strerror or error})", "check the path and its permissions"
        ) from None
    return found


def _batch(source: str, data: bytes, labels_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels of one pickle."""
    content = read_cifar_pickle(source, data)
    images, labels = content.get("data"), content.get(labels_key)
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != _PIXELS:
        raise FormatError(source, f"has no array 'data' of {_PIXELS} bytes per image", "give the archive as published")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 1 << 16 for label in labels):
        raise FormatError(source, f"has no list '{labels_key}' of class numbers", "give the archive as published")
    if len(labels) != len(images):
        raise FormatError(
            source, f"has {len(images)} images and {len(labels)} labels", "it is damaged: download it again"
        )
    # A row holds the red plane, then the green one, then the blue one.
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)
