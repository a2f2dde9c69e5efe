"""Lists of instances as benchmarks: every line an instance of its own, every file hashed under its path."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from netproof.benchmarks.base import ABSENT
from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.vnncomp import PREFIX, VnncompBenchmark, distinct_names, folder_benchmark
from netproof.errors import InputError
from netproof.formats import load

NOWHERE = DataFolders(())


def listed(folder, *lines: str) -> VnncompBenchmark:
    (folder / "instances.csv").write_text("".join(f"{line},10\n" for line in lines))
    return folder_benchmark(f"{PREFIX}{folder}")


@pytest.mark.parametrize(
    ("wished", "expected"),
    [
        (["n-p", "n-q"], ["n-p", "n-q"]),
        (["n-p", "n-p", "n-p"], ["n-p", "n-p-2", "n-p-3"]),
        (["n-p", "n-p-2", "n-p"], ["n-p", "n-p-2", "n-p-3"]),
        (["n-p", "n-p", "n-p-2"], ["n-p", "n-p-3", "n-p-2"]),
        (["n-p", "n-p", "n-p-2", "n-p-2", "n-p-2-2"], ["n-p", "n-p-3", "n-p-2", "n-p-2-3", "n-p-2-2"]),
        (["n-p", "N-P", "n-P"], ["n-p", "N-P-2", "n-P-3"]),
        (["N-P-2", "n-p", "n-p"], ["N-P-2", "n-p", "n-p-3"]),
        (["-rf-p", "=1+1-p", "..-p", "+a-p", "-"], ["_-rf-p", "_=1+1-p", "_..-p", "_+a-p", "_-"]),
        (["_-p", "-p"], ["_-p", "_-p-2"]),
    ],
)
def test_names(wished, expected):
    assert distinct_names(wished) == expected


def test_names_of_any_length_are_file_names_of_their_own():
    names = distinct_names(["a" * 300, "a" * 300, "a" * 299 + "b", "a" * 200, "a" * 201])
    assert len(set(names)) == 5 and names[3] == "a" * 200
    assert max(map(len, names)) <= 210


def test_many_equal_names_take_no_longer_each():
    names = distinct_names(["n-p"] * 20_000 + [f"n-p-{k}" for k in range(2, 20_000)])
    assert len(set(names)) == len(names) and names[20_000] == "n-p-2"


def test_instances_that_clean_names_would_confuse(tmp_path):
    lines = (
        "n.onnx,p.vnnlib", "n.onnx,p-2.vnnlib", "n.onnx,p.vnnlib", "sub/n.onnx,p.vnnlib", "N.onnx,p.vnnlib", "n.onnx,ä p.vnnlib",
        "n.onnx,ö p.vnnlib", "n.onnx,../p.vnnlib", "n-p.onnx,2.vnnlib", "n.onnx.gz,p.vnnlib.gz", '"n.onnx","a,b.vnnlib"',
    )  # fmt: skip
    instances = listed(tmp_path, *lines).instances(NOWHERE)
    names = [instance.name for instance in instances]
    assert len({name.lower() for name in names}) == len(lines)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._=+-]*", name) for name in names)
    assert names[:3] == ["n-p", "n-p-2", "n-p-3"] and "n-a_b" in names
    # What a table shows beside the block's name tells them apart, too.
    assert len({(instance.group, instance.sample) for instance in instances}) == len(lines)
    stands_for = listed(tmp_path, *lines).listed(NOWHERE)
    assert list(stands_for) == names
    assert stands_for["n-p-3"] == "line 3: n.onnx p.vnnlib" and stands_for["n-a_b"] == "line 11: n.onnx a,b.vnnlib"


def test_names_that_earlier_versions_gave_to_others(tmp_path):
    assert not listed(tmp_path, "n.onnx,p.vnnlib", "n.onnx,q.vnnlib", "n.onnx,p.vnnlib").doubtful(NOWHERE)
    mixed = listed(tmp_path, "n.onnx,p.vnnlib", "n.onnx,p-2.vnnlib", "n.onnx,p.vnnlib").doubtful(NOWHERE)
    assert mixed == {"n-p-2", "n-p-3"}
    assert listed(tmp_path, "n.onnx,p.vnnlib", "n.onnx,P.vnnlib").doubtful(NOWHERE) == {"n-P", "n-P-2"}


def test_files_of_one_name_in_two_folders_have_two_hashes(tmp_path):
    paths = [f"{folder}/{name}" for folder in ("a", "b") for name in ("n.onnx", "p.vnnlib", "q.vnnlib")]
    for number, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f"file {number}")
    (tmp_path / "b" / "q.vnnlib.gz").write_bytes(gzip.compress((tmp_path / "b" / "q.vnnlib").read_bytes()))
    (tmp_path / "b" / "q.vnnlib").unlink()
    benchmark = listed(
        tmp_path, "a/n.onnx,a/p.vnnlib", "./b//n.onnx,b/p.vnnlib", "a/n.onnx,b/q.vnnlib", "b/n.onnx,a/q.vnnlib", "a/n.onnx,no.vnnlib",
    )  # fmt: skip
    hashes = dict(benchmark.hashes(NOWHERE))
    assert hashes.pop("instances") == hashlib.sha256((tmp_path / "instances.csv").read_bytes()).hexdigest()
    assert hashes.pop("property no.vnnlib") == ABSENT
    kinds = {True: "network", False: "property"}
    assert hashes == {
        f"{kinds[path.endswith('onnx')]} {path}": hashlib.sha256(f"file {number}".encode()).hexdigest()
        for number, path in enumerate(paths)
    }
    with pytest.raises(InputError, match=r"no\.vnnlib: no such file \(line 5"):
        benchmark.files(NOWHERE)


def test_a_file_is_hashed_once_however_many_ask_for_it(tmp_path, monkeypatch):
    (tmp_path / "n.onnx").write_text("network")
    for k in range(3):
        (tmp_path / f"p{k}.vnnlib").write_text(f"property {k}")
    benchmark = listed(tmp_path, *(f"n.onnx,p{k}.vnnlib" for k in range(3)))
    read = []
    monkeypatch.setattr(
        "netproof.benchmarks.base.read_bytes", lambda path, what: read.append(path.name) or path.read_bytes()
    )
    benchmark.hashes(NOWHERE)
    assert sorted(read) == ["instances.csv", "n.onnx", "p0.vnnlib", "p1.vnnlib", "p2.vnnlib"]


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError("too deep"), KeyError("defect"), InputError("f", "p", "m")]
)
def test_whatever_a_network_does_to_its_reader_costs_its_own_instances(tmp_path, monkeypatch, error):
    benchmark = listed(tmp_path, "n.onnx,p.vnnlib", "m.onnx,p.vnnlib")
    monkeypatch.setattr(load, "load", lambda path, **_: (_ for _ in ()).throw(error))
    opened = benchmark.open(NOWHERE)  # reads nothing yet
    for instance in benchmark.instances(NOWHERE):
        assert not opened.prepare(instance)
        with pytest.raises(InputError, match="f: p; m" if isinstance(error, InputError) else "cannot be read"):
            opened.query(instance)
    assert not opened.networks
