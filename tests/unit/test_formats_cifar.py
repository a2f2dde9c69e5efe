"""CIFAR's archives: good ones, and every way they can be bad. No pickle of theirs may run anything."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import sys
import tarfile

import numpy as np
import pytest

from image_archives import cifar10_members, cifar100_members, python2_pickle, random_images, tar_gz
from netproof.errors import FormatError
from netproof.formats.images.archives import cifar
from netproof.formats.images.archives import pickled as cifar_pickle
from netproof.formats.images.archives.cifar import read_cifar
from netproof.formats.images.archives.pickled import read_cifar_pickle
from netproof.formats.images.sources import read_image_set

CLASSES = [f"class{n}" for n in range(100)]
IMAGES = random_images(6)
LABELS = [3, 99, 0, 7, 42, 3]


def archive(tmp_path, **changes):
    """A CIFAR-100 archive with some members replaced (None: left out)."""
    members = cifar100_members(IMAGES, LABELS, CLASSES)
    for name, data in changes.items():
        members.pop(f"cifar-100-python/{name}", None)
        if data is not None:
            members[f"cifar-100-python/{name}"] = data
    return tar_gz(tmp_path / "cifar-100-python.tar.gz", members)


@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar100_is_read(tmp_path, split):
    found = read_cifar(archive(tmp_path), split, check=False)
    assert np.array_equal(found.images, IMAGES) and found.images.dtype == np.uint8
    assert found.labels.tolist() == LABELS and found.labels.dtype == np.int64
    assert found.classes == tuple(CLASSES)


def test_cifar10_is_read_batch_after_batch(tmp_path):
    path = tar_gz(tmp_path / "cifar-10-python.tar.gz", cifar10_members(IMAGES, [1, 2, 3, 4, 5, 9], CLASSES[:10]))
    test, train = (read_cifar(path, split, check=False) for split in ("test", "train"))
    assert np.array_equal(test.images, IMAGES) and test.labels.tolist() == [1, 2, 3, 4, 5, 9]
    assert np.array_equal(train.images, np.tile(IMAGES, (5, 1, 1, 1))) and len(train) == 30
    assert test.classes == tuple(CLASSES[:10])


def test_a_crop_is_the_centre(tmp_path):
    found = read_image_set(archive(tmp_path), crop=28, check=False)
    assert np.array_equal(found.images, IMAGES[:, :, 2:30, 2:30])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_todays_python_are_read(protocol):
    content = {"data": IMAGES.reshape(6, -1), b"labels": LABELS, "text": "x" * 300, "none": None, "large": 1 << 20}
    if protocol == 5:
        del content["data"]  # NumPy hands its arrays to protocol 5 in another way
    found = read_cifar_pickle("file", pickle.dumps(content, protocol))
    assert found["labels"] == LABELS and found["text"] == "x" * 300 and found["large"] == 1 << 20
    assert protocol == 5 or np.array_equal(found["data"], IMAGES.reshape(6, -1))


class Hostile:
    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, exec, open, getattr, __import__, np.load, bytearray])
def test_nothing_a_pickle_asks_for_is_run(tmp_path, function, protocol):
    victim = tmp_path / "victim"
    command = f"open({str(victim)!r}, 'w')" if function is not os.system else f"touch {victim}"
    data = pickle.dumps({"data": Hostile(function, command)}, protocol)
    with pytest.raises(FormatError, match="no CIFAR file"):
        read_cifar_pickle("file", data)
    with pytest.raises(FormatError, match="no CIFAR file"):
        read_cifar(archive(tmp_path, test=data), check=False)
    assert not victim.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"no pickle",
        b"\x80\x02].",
        b"\x80\x02}(U\x01aU\x01bu",
        b"\x80\x02}U\x01au.",
        b"\x80\x02}(]K\x01u.",
        b"\x80\x02}(U\x01aT\xff\xff\xff\x7fu.",
        b"\x80\x02}(U\x01aT\xff\xff\xff\xffu.",
        b"\x80\x02}h\x05.",
        b"\x80\x02cnumpy\nndarray\n.",
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x80\x02}K\x01b.",
        b"\x80\x02e.",
        b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    ],
)
def test_what_is_no_dictionary_is_refused(data):
    with pytest.raises(FormatError, match=r"^file: "):
        read_cifar_pickle("file", data)


def test_pickles_that_make_too_much_are_refused(monkeypatch):
    monkeypatch.setattr(cifar_pickle, "_MOST_OPCODES", 1000)
    for data in (b"\x80\x02" + b"K\x01" * 1000, b"\x80\x02]" + b"]a" * 500, b"\x80\x02]" + b"q\x00" * 1000):
        with pytest.raises(FormatError, match="too many values"):
            read_cifar_pickle("file", data)


@pytest.mark.parametrize(
    "data",
    [
        b"Nr\x00\x00\x00\x10.",
        b"Np268435456\n.",
        b"\x8e\x00\x00\x00\x00\x02\x00\x00\x00x.",
        b"\x8d\x00\x00\x00\x00\x02\x00\x00\x00x.",
        b"\x96\x00\x00\x00\x00\x02\x00\x00\x00x.",
        b"\x8b\xff\xff\xff\x7fx.",
        b"\x80\x04\x95\x00\x00\x00\x00\x00\x01\x00\x00N.",
        b"})" + b"\x85" * 1_000_000 + b"Ns.",
        b"})" + b"2\x86" * 60 + b"Ns.",
        b"I" + b"9" * 1_000_000 + b"\n.",
        b"]" * 1_000_000 + b"a" * 999_999 + b".",
        b"\x82\x01.",
        b"Pabc\n.",
        b"NQ.",
    ],
    ids=[
        "memo",
        "put",
        "bytes",
        "text",
        "bytearray",
        "long",
        "frame",
        "key",
        "doubled",
        "int",
        "lists",
        "extension",
        "id",
        "binid",
    ],
)
def test_pickles_that_would_take_an_unpickler_its_memory_or_its_life(data):
    if sys.platform.startswith("linux"):
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=r"^file: [^\n]*; give the archive as published$"):
        read_cifar_pickle("file", data)
    if sys.platform.startswith("linux"):
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # KiB


def test_damaged_pickles_are_refused_or_read_but_never_fail_otherwise():
    whole = python2_pickle({"labels": [1, 2, 3], "data": IMAGES[:1].reshape(1, -1)})
    source = random.Random(0)
    for length in range(0, len(whole), 61):
        with pytest.raises(FormatError):
            read_cifar_pickle("file", whole[:length])
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(160)] = source.randrange(256)
        try:
            read_cifar_pickle("file", bytes(data))
        except FormatError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": IMAGES.reshape(6, -1)}, "no list 'fine_labels'"),
        ({"fine_labels": LABELS}, "no array 'data'"),
        ({"data": IMAGES.reshape(12, -1), "fine_labels": LABELS * 2}, "no array 'data' of 3072"),
        ({"data": IMAGES.reshape(6, -1), "fine_labels": LABELS[:5]}, "6 images and 5 labels"),
        ({"data": IMAGES.reshape(6, -1), "fine_labels": [*LABELS[:5], 100]}, "labels from 0 to 100 for 100 classes"),
        ({"data": IMAGES.reshape(6, -1), "fine_labels": [*LABELS[:5], -1]}, "no list 'fine_labels'"),
        ({"data": IMAGES.reshape(6, -1), "fine_labels": ["a"] * 6}, "no list 'fine_labels'"),
        ({"data": "text", "fine_labels": LABELS}, "no array 'data'"),
    ],
)
def test_wrong_contents_are_refused(tmp_path, content, message):
    with pytest.raises(FormatError, match=message):
        read_cifar(archive(tmp_path, test=python2_pickle(content)), check=False)


def test_an_array_of_another_size_than_it_says_is_refused():
    data = python2_pickle({"data": IMAGES.reshape(6, -1)})
    assert data.count(b"(K\x06J\x00\x0c\x00\x00t") == 1
    with pytest.raises(FormatError, match="whose size is another"):
        read_cifar_pickle("file", data.replace(b"(K\x06J\x00\x0c\x00\x00t", b"(K\x07J\x00\x0c\x00\x00t"))


def test_missing_members_are_named(tmp_path):
    with pytest.raises(FormatError, match="no member cifar-100-python/test"):
        read_cifar(archive(tmp_path, test=None), check=False)
    with pytest.raises(FormatError, match=r"neither .*batches.meta \(CIFAR-10\) nor .*meta \(CIFAR-100\)"):
        read_cifar(archive(tmp_path, meta=None), check=False)


def test_other_hashes_are_refused_unless_told_otherwise(tmp_path):
    path = archive(tmp_path)
    with pytest.raises(FormatError, match=r"its SHA-256 is .* not that of the published CIFAR archive"):
        read_cifar(path)
    assert len(set(cifar.SHA256.values())) == 2 and all(len(value) == 64 for value in cifar.SHA256.values())


@pytest.mark.parametrize("keep", [0, 1, 9, 100, 0.5, 0.9, 0.999])
def test_truncated_archives_are_refused(tmp_path, keep):
    path = archive(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(FormatError, match=r"truncated or damaged|no member"):
        read_cifar(path, "train", check=False)
    with pytest.raises(FormatError, match="download it again"):
        read_cifar(path)


def test_damaged_archives_never_fail_otherwise(tmp_path):
    members = cifar100_members(IMAGES[:1], LABELS[:1], CLASSES)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    whole, source = raw.getvalue(), random.Random(1)
    path = tmp_path / "cifar.tar.gz"
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(3):
            data[source.randrange(1200)] = source.randrange(256)
        path.write_bytes(gzip.compress(bytes(data), 1))
        try:
            read_cifar(path, check=False)
        except FormatError as error:
            assert "\n" not in str(error)


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_UNPACKED_LIMIT", 1 << 20)
    path = tmp_path / "cifar-100-python.tar.gz"
    tar_gz(path, {"cifar-100-python/test": bytes(1 << 24)})
    assert path.stat().st_size < 1 << 16
    with pytest.raises(FormatError, match="unpacks to more than"):
        read_cifar(path, check=False)
    tar_gz(path, {f"file{n}": b"" for n in range(200)})
    with pytest.raises(FormatError, match="more than 100 members"):
        read_cifar(path, check=False)


def test_nothing_is_written_and_links_are_not_followed(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = inside / "cifar-100-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("../outside", "/outside", "cifar-100-python/../../outside"):
            tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("cifar-100-python/test")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    with pytest.raises(FormatError, match="is no ordinary file"):
        read_cifar(path, check=False)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cifar-100-python.tar.gz", "inside"]


def test_foreign_files_are_refused(tmp_path):
    with pytest.raises(FormatError, match="no such CIFAR archive"):
        read_cifar(tmp_path / "none.tar.gz")
    with pytest.raises(FormatError, match="no such CIFAR archive"):
        read_cifar(tmp_path / "none.tar.gz", check=False)
    for check in (True, False):
        with pytest.raises(FormatError, match="is a folder"):
            read_cifar(tmp_path, check=check)
    path = tmp_path / "text.tar.gz"
    path.write_bytes(gzip.compress(b"text" * 1000))
    with pytest.raises(FormatError, match="no gzipped tar archive"):
        read_cifar(path, check=False)
