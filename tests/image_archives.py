"""Archives of images for tests, laid out like the published ones, written independently of netproof's readers."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def random_images(count: int, shape: tuple[int, ...] = (3, 32, 32), seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


def python2_pickle(content: Mapping[str, object]) -> bytes:
    """What cPickle of Python 2 makes of a dictionary of text, numbers, lists of them, and uint8 arrays (protocol 2)."""
    return b"\x80\x02}q\x01(" + b"".join(_string(key) + _value(value) for key, value in content.items()) + b"u."


def _string(text: str) -> bytes:
    raw = text.encode("latin-1")
    return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw


def _value(value: object) -> bytes:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"]q\x02(" + b"".join(map(_value, value)) + b"e"
    assert isinstance(value, np.ndarray) and value.dtype == np.uint8
    shape = b"(" + b"".join(map(_value, value.shape)) + b"t"
    empty = b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"
    kind = b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = value.tobytes()
    return empty + b"(K\x01" + shape + kind + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"


def tar_gz(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def cifar100_members(images: NDArray[np.uint8], labels: Sequence[int], classes: Sequence[str]) -> dict[str, bytes]:
    """Training and test set alike."""
    rows = images.reshape(len(images), -1)
    part = python2_pickle(
        {
            "filenames": [f"image_{n}.png" for n in range(len(rows))],
            "batch_label": "testing batch 1 of 1",
            "fine_labels": list(labels),
            "coarse_labels": [0] * len(rows),
            "data": rows,
        }
    )
    meta = python2_pickle({"fine_label_names": list(classes), "coarse_label_names": ["all"]})
    return {"cifar-100-python/meta": meta, "cifar-100-python/test": part, "cifar-100-python/train": part}


def cifar10_members(images: NDArray[np.uint8], labels: Sequence[int], classes: Sequence[str]) -> dict[str, bytes]:
    """Every batch holds the same images."""
    part = python2_pickle({"data": images.reshape(len(images), -1), "labels": list(labels)})
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    meta = python2_pickle({"label_names": list(classes), "num_vis": 3072})
    return {f"cifar-10-batches-py/{name}": part for name in names} | {"cifar-10-batches-py/batches.meta": meta}


def encoded(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """An image ``[3, rows, columns]`` as a file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, kind, quality=95)
    return stream.getvalue()


def tiny_imagenet_members(
    classes: Sequence[str], training: Mapping[str, bytes], validation: Mapping[str, tuple[str, bytes]]
) -> dict[str, bytes]:
    """``training`` gives images by ``class/name``, ``validation`` class and image by name."""
    root = "tiny-imagenet-200"
    annotations = "".join(f"{name}\t{label}\t0\t0\t62\t62\n" for name, (label, _) in validation.items())
    members = {
        f"{root}/wnids.txt": "".join(f"{name}\n" for name in classes).encode(),
        f"{root}/val/val_annotations.txt": annotations.encode(),
    }
    for name, data in training.items():
        label, _, file = name.partition("/")
        members[f"{root}/train/{label}/images/{file}"] = data
    members |= {f"{root}/val/images/{name}": data for name, (_, data) in validation.items()}
    return members


def zip_file(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path
