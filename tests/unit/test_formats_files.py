"""Writing files: whole or not at all, and never in the place of what is no file."""

from __future__ import annotations

import gzip
import os
import stat
import threading
from pathlib import Path

import pytest

from netproof.errors import FormatError, InputError
from netproof.files import opened as files
from netproof.files.durable import write_text
from netproof.files.opened import NoFileError, open_file, read_bytes, read_raw, read_start, whole_file, write_bytes


@pytest.mark.parametrize("how", ["bytes", "text"])
def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path, how: str):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    if how == "bytes":
        write_bytes(pipe, b"one two")
    else:
        write_text(pipe, ["one ", "two"])
    reader.join(30)
    assert got == [b"one two"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode) and [p.name for p in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("read", [read_bytes, read_raw, lambda path, what: read_start(path, what, 4)])
def test_a_pipe_is_not_read_and_not_waited_for(tmp_path: Path, read):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said: list[str] = []

    def wait() -> None:
        try:
            read(pipe, "list of labels")
        except FormatError as error:
            said.append(str(error))

    reader = threading.Thread(target=wait, daemon=True)
    reader.start()
    reader.join(30)
    assert said == [f"{pipe}: is a pipe or a device, no list of labels; save what it gives as a file"]
    with pytest.raises(NoFileError):
        open_file(Path("/dev/null"))
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(3):
        with pytest.raises(NoFileError):
            open_file(pipe)
    if before:  # and what was opened to find out is closed again
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_link_stays_and_its_file_is_written(tmp_path: Path):
    target, link = tmp_path / "file", tmp_path / "link"
    target.write_text("old")
    link.symlink_to("file")
    write_text(link, ["new"])
    assert link.is_symlink() and target.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link"]


def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    with pytest.raises(InputError, match="cannot be written"), whole_file(path) as stream:
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path, b"")


def test_gzip_that_unpacks_to_far_more_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_UNPACKED", 50_000)
    path = tmp_path / "file.gz"
    for content in (bytes(50_000), os.urandom(1000) * 80):  # little, or not much more than it is
        path.write_bytes(gzip.compress(content))
        assert read_bytes(path, "data file") == content
    path.write_bytes(gzip.compress(bytes(50_001)))
    with pytest.raises(InputError, match=r"is gzip of \d+ bytes that unpacks to more than 50000; this is no data file"):
        read_bytes(path, "data file")
    with pytest.raises(InputError, match="is larger than 1000 bytes"):
        read_bytes(path, "data file", limit=1000)
