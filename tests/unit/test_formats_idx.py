"""IDX files: what is read, and every way in which a file can be bad."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import write_idx
from netproof.errors import FormatError
from netproof.files import opened
from netproof.files.opened import read_bytes
from netproof.formats.images import idx

Reader = Callable[[Path], object]


def header(*sizes: int, kind: int = 8, dimensions: int | None = None) -> bytes:
    count = len(sizes) if dimensions is None else dimensions
    return bytes([0, 0, kind, count]) + b"".join(size.to_bytes(4, "big") for size in sizes)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "images", np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4))


def refused(read: Reader, path: Path, *parts: str) -> None:
    """A FormatError that names the file, one of the problems, and a hint; in one line."""
    with pytest.raises(FormatError) as raised:
        read(path)
    assert str(path) in raised.value.source
    assert raised.value.problem and raised.value.hint
    assert "\n" not in str(raised.value)
    for part in parts:
        assert part in str(raised.value)


def test_values_and_shape(images: Path) -> None:
    array = idx.read_images(images)
    assert array.dtype == np.uint8
    assert array.tolist() == np.arange(24).reshape(2, 3, 4).tolist()


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.booleans())
def test_written_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, shape: list[int], compress: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if compress else "a")
    idx.write_idx(path, array)
    again = idx.read_idx(path)
    assert again.shape == array.shape and (again == array).all()
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == compress


def test_gzip_is_told_by_content_and_not_by_name(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain-name"
    path.write_bytes(gzip.compress(images.read_bytes()))
    assert idx.read_images(path).shape == (2, 3, 4)
    path = tmp_path / "name.gz"
    path.write_bytes(images.read_bytes())
    assert idx.read_images(path).shape == (2, 3, 4)


def test_several_gzip_members_are_one_file(images: Path, tmp_path: Path) -> None:
    data = images.read_bytes()
    path = tmp_path / "two.gz"
    path.write_bytes(gzip.compress(data[:9]) + gzip.compress(data[9:]))
    assert idx.read_images(path).shape == (2, 3, 4)


def test_the_same_array_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    array = np.ones((2, 2, 2), np.uint8)
    for name in ("a.gz", "b.gz"):
        idx.write_idx(tmp_path / name, array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_no_images_and_no_labels_are_arrays_too(tmp_path: Path) -> None:
    assert idx.read_images(write_idx(tmp_path / "i", np.zeros((0, 28, 28), np.uint8))).shape == (0, 28, 28)
    assert idx.read_labels(write_idx(tmp_path / "l", np.zeros(0, np.uint8))).shape == (0,)


def test_images_and_labels_are_told_apart(images: Path, tmp_path: Path) -> None:
    labels = write_idx(tmp_path / "labels", np.zeros(5, np.uint8))
    refused(idx.read_images, labels, "has 1 dimension(s), images have 3")
    refused(idx.read_labels, images, "has 3 dimensions, labels have 1")


def test_missing_file_folder_and_what_is_no_name(tmp_path: Path) -> None:
    refused(idx.read_idx, tmp_path / "none", "no such IDX file")
    refused(idx.read_idx, tmp_path, "is a folder")
    refused(idx.read_idx, tmp_path / ("x" * 5000), "cannot be read")
    with pytest.raises(FormatError, match="is no file name"):
        idx.read_idx("nul\0byte")


def test_a_file_is_no_folder(images: Path) -> None:
    refused(idx.read_idx, images / "below", "cannot be read")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(images: Path) -> None:
    images.chmod(0)
    refused(idx.read_idx, images, "permission")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_failing_reads(images: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(opened, "open_file", fail)
    refused(idx.read_idx, images, error.strerror or "", "permissions")


def test_every_truncation(images: Path, tmp_path: Path) -> None:
    data = images.read_bytes()
    path = tmp_path / "cut"
    for keep in range(len(data)):
        path.write_bytes(data[:keep])
        refused(idx.read_idx, path)


def test_every_truncation_of_gzip(images: Path, tmp_path: Path) -> None:
    data = gzip.compress(images.read_bytes(), mtime=0)
    path = tmp_path / "cut.gz"
    for keep in range(len(data)):
        path.write_bytes(data[:keep])
        refused(idx.read_idx, path)


def test_every_damaged_byte_of_gzip(images: Path, tmp_path: Path) -> None:
    """Either the content is unharmed (a flag of the header) or the damage is found: gzip has a checksum."""
    data = gzip.compress(images.read_bytes(), mtime=0)
    path = tmp_path / "bad.gz"
    harmless = 0
    for position in range(len(data)):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                assert (idx.read_images(path) == idx.read_images(images)).all()
                harmless += 1
            except FormatError as error:
                assert error.source == str(path)
    assert harmless < 4 * 10  # nothing but parts of the ten bytes of the header


@pytest.mark.parametrize("seed", range(5))
def test_random_damage_never_shows_another_exception(images: Path, tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = images.read_bytes()
    path = tmp_path / "damaged"
    for _ in range(100):
        damaged = bytearray(data)
        for position in random.integers(0, 20, random.integers(1, 6)):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        try:
            array = idx.read_idx(path)
        except FormatError as error:
            assert error.source == str(path)
        else:
            assert array.size == 24


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not an IDX file"),
        (b"PK\3\4 a zip file", "not an IDX file"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX file"),
        (b"This is a note.", "not an IDX file"),
        (header(2, kind=0x0D) + bytes(8), "IDX type 0x0d"),
        (header(2, kind=0x09) + bytes(2), "IDX type 0x09"),
        (bytes([0, 0, 8, 0]), "cut short"),
        (header(2, dimensions=3), "cut short"),
        (header(5) + bytes(4), "says 5 values, it holds 4"),
        (header(5) + bytes(6), "says 5 values, it holds 6"),
        (header(2, 2, 2), "says 2x2x2 values, it holds 0"),
        (header(*[0xFFFFFFFF] * 3) + bytes(24), "4294967295x4294967295x4294967295"),
        # Products that are right modulo 2**64, or 0: arithmetic of fixed width would be taken in.
        (header(1 << 31, 1 << 31, 4), "says 2147483648x2147483648x4 values, it holds 0"),
        (header(0, 0xFFFFFFFF, 0xFFFFFFFF), "sizes nothing has"),
        (header(*[1] * 70) + b"a", "70 dimensions"),
        (header(*[1] * 255) + b"a", "255 dimensions"),
    ],
)
def test_foreign_and_lying_files(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    refused(idx.read_idx, path, problem)
    (tmp_path / "file.gz").write_bytes(gzip.compress(data))
    refused(idx.read_idx, tmp_path / "file.gz", problem)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(FormatError, match="is larger than 65536 bytes"):
        read_bytes(path, "IDX file", limit=1 << 16)
    (tmp_path / "plain").write_bytes(bytes(1000))
    with pytest.raises(FormatError, match="is larger than 999 bytes"):
        read_bytes(tmp_path / "plain", "IDX file", limit=999)
    assert len(read_bytes(tmp_path / "plain", "IDX file", limit=1000)) == 1000
