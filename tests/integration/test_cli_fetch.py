"""``netproof fetch`` as a user types it, from a server on the loopback interface."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal

import pytest

from conftest import assert_refused
from loopback import loopback
from netproof.benchmarks import public
from netproof.benchmarks.public import Collection, PublicFile
from netproof.files.digests import Digest
from netproof.files.download import Patience

FILES = {f"onnx/net{n}.onnx": random.Random(n).randbytes(50_000 + n) for n in range(3)} | {"list.csv": b"a,b,1\n"}


def git(data: bytes) -> Digest:
    return Digest("git", hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with loopback() as served:
        served.files = {f"some/base/{path}": data for path, data in FILES.items()}
        files = tuple(PublicFile(path, git(data), None) for path, data in FILES.items())
        small = Collection("small", "a few files", served.url + "some/base/", files)
        monkeypatch.setattr(public, "collections", lambda: {"small": small})
        monkeypatch.setattr(
            public.fetch, "__kwdefaults__", public.fetch.__kwdefaults__ | {"patience": Patience(2, 0.0, 5.0)}
        )
        yield served


def test_everything_is_fetched_once(cli, site, tmp_path):
    ran = cli("fetch", "small")
    folder = tmp_path / "cache" / "netproof" / "small"
    assert ran.code == 0 and ran.out == f"small: 4 files verified in {folder}, 4 of them new\n"
    assert "4 of 4 files" in ran.err
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    asked = len(site.requests)
    assert cli("fetch", "small").out.endswith("0 of them new\n") and len(site.requests) == asked


def test_a_cut_download_goes_on_with_the_same_command(cli, site, tmp_path):
    site.cuts = [50_000, 40_000, 0, 0]
    assert_refused(
        cli("fetch", "small", "--data", tmp_path), "net1.onnx", "40000 bytes have arrived", "same command again"
    )
    assert (tmp_path / "small" / "onnx" / "net1.onnx.part").stat().st_size == 40_000
    ran = cli("fetch", "small", "--data", tmp_path, "--json")
    assert ran.code == 0 and "bytes=40000-" in [asked for _, asked in site.requests]
    found = json.loads(ran.out)
    assert [file["downloaded"] for file in found["files"]] == [False, True, True, True]


def test_a_wrong_file_is_refused(cli, site, tmp_path):
    site.files["some/base/onnx/net0.onnx"] = b"something else"
    assert_refused(cli("fetch", "small", "--data", tmp_path), "net0.onnx", "not the published file", "--url")
    assert not list((tmp_path / "small" / "onnx").iterdir())


def test_a_wrong_file_in_its_place_is_kept(cli, site, tmp_path):
    (tmp_path / "small" / "onnx").mkdir(parents=True)
    mine = tmp_path / "small" / "onnx" / "net0.onnx"
    mine.write_text("mine")
    assert_refused(cli("fetch", "small", "--data", tmp_path), "net0.onnx", "is there already", "move it away")
    assert mine.read_text() == "mine"


def test_another_base_and_some_of_the_files(cli, site, tmp_path):
    site.files = {path.replace("some/base", "mirror"): data for path, data in site.files.items()}
    assert_refused(cli("fetch", "small", "--data", tmp_path), "404", "--url")
    for base in ("mirror", "mirror/"):
        ran = cli("fetch", "small", "--data", tmp_path / base.strip("/"), "--url", site.url + base, "--only", "*.onnx")
        assert ran.code == 0 and "3 files" in ran.out
    assert_refused(cli("fetch", "small", "--only", "*.txt"), "matches none")
    assert_refused(cli("fetch", "small", "--data", tmp_path / "x", "--url", "file:///"), "no http or https URL")


def test_names(cli):
    listed = cli("fetch")
    assert listed.code == 0 and all(name in listed.out for name in public.collections())
    assert {entry["name"] for entry in json.loads(cli("fetch", "--json").out)} == set(public.collections())
    assert_refused(cli("fetch", "nothing"), "known: cifar100_tinyimagenet_resnet")


def test_stopping_keeps_what_has_arrived(cli, site, tmp_path, monkeypatch):
    from netproof.cli.terminal import progress

    def stop(self, done, text, **more):
        if done > 1000 and site.requests[-1][0].endswith("net1.onnx"):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(progress._Lines, "show", stop)
        ran = cli("fetch", "small", "--data", tmp_path)
    assert ran.code == 128 + signal.SIGTERM and ran.out == ""
    assert "stopped by SIGTERM: 1 of 4 files are there; run the same command again" in ran.err
    part = tmp_path / "small" / "onnx" / "net1.onnx.part"
    assert FILES["onnx/net1.onnx"].startswith(part.read_bytes()) and part.stat().st_size > 1000
    assert cli("fetch", "small", "--data", tmp_path).out.endswith("3 of them new\n")
