"""Downloads: cut, resumed, refused, wrong, with the disk full; all from a server on the loopback interface."""

from __future__ import annotations

import errno
import hashlib
import random
import socket
import subprocess
import sys

import pytest

from loopback import loopback
from netproof.benchmarks import public
from netproof.errors import FormatError, InputError
from netproof.files import download as module
from netproof.files.digests import Digest
from netproof.files.download import Patience, download

DATA = random.Random(0).randbytes(300_000)
DIGEST = Digest("sha256", hashlib.sha256(DATA).hexdigest())
SWIFT = Patience(attempts=3, pause=0.0, timeout=5.0)


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with loopback() as served:
        served.files["file"] = DATA
        yield served


def get(site, target, **options):
    options = {"patience": SWIFT} | options
    download(site.url + "file", target, options.pop("digest", DIGEST), **options)


def part(target):
    return target.with_name(target.name + ".part")


def test_a_file_arrives_and_progress_is_told(site, tmp_path):
    target, told = tmp_path / "new" / "folder" / "file", []
    get(site, target, report=lambda done, total: told.append((done, total)))
    assert target.read_bytes() == DATA and not part(target).exists()
    assert told[-1] == (len(DATA), len(DATA)) and told == sorted(told)
    assert site.requests == [("file", None)]


def test_cut_connections_go_on_where_they_ended(site, tmp_path):
    site.cuts = [100_000, 50_000, 1]
    get(site, tmp_path / "file", size=len(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [asked for _, asked in site.requests] == [None, "bytes=100000-", "bytes=150000-", "bytes=150001-"]


def test_a_later_call_goes_on(site, tmp_path):
    target = tmp_path / "file"
    site.cuts = [70_000, 0, 0, 0]
    with pytest.raises(InputError, match=r"cut \(70000 bytes have arrived\); run the same command again"):
        get(site, target)
    assert part(target).read_bytes() == DATA[:70_000] and not target.exists()
    site.cuts = []
    get(site, target)
    assert target.read_bytes() == DATA and site.requests[-1] == ("file", "bytes=70000-")


def test_servers_without_ranges_begin_anew(site, tmp_path):
    site.ranges = False
    site.cuts = [100_000]
    get(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    assert site.requests == [("file", None), ("file", "bytes=100000-")]


def test_answers_with_another_range_are_not_appended(site, tmp_path):
    site.cuts, site.shift = [100_000], 7
    get(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    assert [asked for _, asked in site.requests] == [None, "bytes=100000-", None]


def test_a_part_that_is_whole_needs_no_bytes(site, tmp_path):
    for size in (len(DATA), None):
        target = tmp_path / f"file{size}"
        part(target).write_bytes(DATA)
        get(site, target, size=size)
        assert target.read_bytes() == DATA
    assert site.requests == [("file", f"bytes={len(DATA)}-")]


@pytest.mark.parametrize("size", [None, len(DATA)])
@pytest.mark.parametrize("old", [b"x" * 1000, DATA[:500] + b"?" + DATA[501:2000], DATA + b"more"])
def test_a_part_of_something_else_is_thrown_away(site, tmp_path, old, size):
    target = tmp_path / "file"
    part(target).write_bytes(old)
    get(site, target, size=size)
    assert target.read_bytes() == DATA and not part(target).exists()


def test_the_wrong_file_is_refused_and_removed(site, tmp_path):
    site.files["file"] = DATA[:-1] + b"?"
    for size in (None, len(DATA)):
        with pytest.raises(FormatError, match=r"is not the published file: it has SHA-256 [0-9a-f]{64}, not "):
            get(site, tmp_path / "file", size=size)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [DATA[:-1], DATA + b"!", b""])
def test_a_file_of_another_size_is_refused_before_it_is_taken(site, tmp_path, content):
    site.files["file"] = content
    with pytest.raises(FormatError, match=f"is {len(content)} bytes, the published file is {len(DATA)}"):
        get(site, tmp_path / "file", size=len(DATA))
    assert list(tmp_path.iterdir()) == []


def test_endless_answers_are_ended(site, tmp_path):
    site.announce = False
    site.files["file"] = DATA * 3
    with pytest.raises(FormatError, match="sends more than"):
        get(site, tmp_path / "file", size=len(DATA))
    assert not (tmp_path / "file").exists()


def test_answers_without_a_length_are_taken(site, tmp_path):
    site.announce = False
    get(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_answers_without_a_length_that_are_cut_go_on(site, tmp_path):
    """The published size tells that something is missing, where the server does not."""
    site.announce, site.cuts = False, [100_000]
    get(site, tmp_path / "file", size=len(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [asked for _, asked in site.requests] == [None, "bytes=100000-"]


def test_busy_servers_are_asked_again(site, tmp_path):
    site.statuses = [503, 429]
    get(site, tmp_path / "file")
    assert len(site.requests) == 3
    site.statuses = [500] * 9
    with pytest.raises(InputError, match=r"answers 500 .*run the same command again"):
        get(site, tmp_path / "other")
    assert len(site.requests) == 6 and not part(tmp_path / "other").exists()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_refusals_are_final(site, tmp_path, status):
    site.statuses = [status]
    with pytest.raises(InputError, match=f"answers {status} .*another copy with --url"):
        get(site, tmp_path / "file")
    assert len(site.requests) == 1


def test_redirects_are_followed_to_http_alone(site, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    site.redirects["file"] = site.url + "moved"
    site.files["moved"] = DATA
    get(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    for other in (secret.as_uri(), "ftp://127.0.0.1/file"):
        site.redirects["file"] = other
        with pytest.raises(InputError):
            get(site, tmp_path / "again")
        assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "x", "http://[", "http:///x", "http://\n/"]
)
def test_what_is_no_address_is_refused(tmp_path, url):
    with pytest.raises(InputError):
        download(url, tmp_path / "file", DIGEST, patience=SWIFT)
    assert list(tmp_path.iterdir()) == []


def test_nobody_answers(tmp_path, monkeypatch):
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{idle.getsockname()[1]}/file"
        with pytest.raises(InputError, match=r"cannot be reached .*run the same command again"):
            download(url, tmp_path / "file", DIGEST, patience=SWIFT)


def test_silence_counts_as_cut(tmp_path, monkeypatch):
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(InputError, match="timed out"):
            download(url, tmp_path / "file", DIGEST, patience=Patience(2, 0.0, 0.05))


class FullDisk:
    """A file that takes so many bytes and no more."""

    def __init__(self, stream, room):
        self.stream, self.room = stream, room

    def write(self, data):
        taken = data[: self.room]
        self.room -= len(taken)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.stream.write(taken)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def test_a_full_disk_keeps_what_has_arrived(site, tmp_path, monkeypatch):
    target, original = tmp_path / "file", module._Download.__init__

    def full(self, url, part, stream, *rest):
        original(self, url, part, FullDisk(stream, 123_456), *rest)

    with monkeypatch.context() as patch:
        patch.setattr(module._Download, "__init__", full)
        with pytest.raises(
            InputError, match=r"file.part: cannot be written \(No space left.*free some space"
        ) as caught:
            get(site, target)
    assert "\n" not in str(caught.value)
    assert part(target).read_bytes() == DATA[:123_456] and not target.exists()
    get(site, target)
    assert target.read_bytes() == DATA and site.requests[-1] == ("file", "bytes=123456-")


def test_folders_that_cannot_be_written_are_named(site, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*change the folder with --data"):
        get(site, tmp_path / "file" / "below")


def test_a_second_process_is_kept_out(site, tmp_path):
    target = tmp_path / "file"
    code = f"import fcntl,sys; f = open({str(part(target))!r}, 'ab'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(InputError, match="another netproof is downloading it"):
            get(site, target)
    get(site, target)
    assert target.read_bytes() == DATA


def test_git_names_a_blob_by_its_size_and_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    # `echo hello | git hash-object --stdin`
    assert Digest("git", "").of(path).value == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert Digest("sha256", "").of(path).value == hashlib.sha256(b"hello\n").hexdigest()


def test_the_published_hashes_of_the_networks_are_known():
    known = {file.path: file.digest for file in public.collection("cifar100_tinyimagenet_resnet").files}
    for name, digest in (
        ("CIFAR100_resnet_small", "ac022601633ac7d953af97f71d33afdfa95102d8"),
        ("CIFAR100_resnet_medium", "60baf1981559acd2f295829280b624883398e5a3"),
        ("CIFAR100_resnet_large", "d71b7635a75ea9168dc2e1c59b4860d5c5ea8ca8"),
        ("CIFAR100_resnet_super", "66cd09522983bfdd9f4c8c05eaa5cfb8c9cc9298"),
        ("TinyImageNet_resnet_medium", "a998b41a706d9204e4ed0d46f2f1791ac9e89c37"),
    ):
        assert known[f"onnx/{name}.onnx"] == Digest("git", digest)
    assert len(known) == 5 + 1 + 5 + 98
    for each in public.collections().values():
        assert each.base.startswith("http") and each.base.endswith("/")
        for file in each.files:
            assert len(file.digest.value) == (40 if file.digest.kind == "git" else 64)
            assert ".." not in file.path and not file.path.startswith("/")


def test_the_hashes_are_those_of_the_data_here(published_data, tmp_path):
    import gzip

    wanted = public.collection("cifar100_tinyimagenet_resnet")
    folder = published_data / wanted.name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    for file in wanted.matching("[!o]*"):
        source = folder / file.path
        data = (
            source.read_bytes()
            if source.exists()
            else gzip.decompress(source.with_name(source.name + ".gz").read_bytes())
        )
        copy = tmp_path / "copy"
        copy.write_bytes(data)
        assert len(data) == file.size and file.digest.of(copy) == file.digest, file.path
