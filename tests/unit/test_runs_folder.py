"""The folder of a run: lock, record, append, resume, repair."""

from __future__ import annotations

import errno
import json
import os

import pytest

from netproof.benchmarks.perceptron import BENCHMARKS
from netproof.errors import InputError
from netproof.files import durable
from netproof.runs.folder import RunFolder
from netproof.runs.plan import pending
from netproof.runs.record import RunRecord
from netproof.runs.rows import Row

NAMES = {"a", "b", "c"}


def record(benchmark="bench", **files):
    return RunRecord(benchmark, {"network": "00", **files}).started({"timeout": 1.0})


def lines(folder):
    return (folder / "results.csv").read_text().splitlines()


def test_rows_are_there_at_once_and_witnesses_first(tmp_path):
    folder = tmp_path / "deep" / "run"
    with RunFolder(folder, record(), NAMES) as results:
        assert lines(folder) == ["instance,verdict,seconds,method,evidence"]
        results.append(Row("a", "robust", 0.25, "bound"))
        assert lines(folder)[1:] == ["a,robust,0.250000,bound,"]
        row = results.append(Row("b", "vulnerable", 0.5, "attack"), {"input": [1, 2]})
        assert row.evidence == "witnesses/b.json"
        assert json.loads((folder / row.evidence).read_text()) == {"input": [1, 2]}
        assert lines(folder)[2] == "b,vulnerable,0.500000,attack,witnesses/b.json"
        results.ended(1.5)
    with RunFolder(folder, record(), NAMES) as results:
        assert set(results.rows) == {"a", "b"}
    invocations = json.loads((folder / "run.json").read_text())["invocations"]
    assert [i["wall_seconds"] for i in invocations] == [1.5, None]
    assert not list(folder.rglob("*.tmp"))


def test_torn_line_is_dropped_before_anything_is_added(tmp_path):
    with RunFolder(tmp_path, record(), NAMES) as results:
        results.append(Row("a", "robust", 0.25, "bound"))
    with (tmp_path / "results.csv").open("a") as stream:
        stream.write("b,vulner")
    with RunFolder(tmp_path, record(), NAMES) as results:
        assert set(results.rows) == {"a"}
        results.append(Row("b", "robust", 0.25, "bound"))
    assert lines(tmp_path)[1:] == ["a,robust,0.250000,bound,", "b,robust,0.250000,bound,"]


def test_a_retry_replaces_its_row_when_the_run_closes(tmp_path):
    with RunFolder(tmp_path, record(), NAMES) as results:
        results.append(Row("a", "timeout", 1, "search", "limit=1"))
        results.append(Row("b", "robust", 1, "bound"))
    with RunFolder(tmp_path, record(), NAMES) as results:
        results.append(Row("a", "robust", 2, "search"))
        assert len(lines(tmp_path)) == 4
    assert sorted(lines(tmp_path)[1:]) == ["a,robust,2.000000,search,", "b,robust,1.000000,bound,"]


def test_another_benchmark_is_refused(tmp_path):
    with RunFolder(tmp_path, record("one"), NAMES) as results:
        results.append(Row("a", "robust", 1, "bound"))
    before = (tmp_path / "run.json").read_text(), lines(tmp_path)
    with pytest.raises(InputError, match="holds results of benchmark 'one', not of 'two'"):
        RunFolder(tmp_path, record("two"), NAMES)
    with pytest.raises(InputError, match="other files: images, network differ"):
        RunFolder(tmp_path, RunRecord("one", {"network": "11", "images": "22"}), NAMES)
    assert before == ((tmp_path / "run.json").read_text(), lines(tmp_path))


def test_a_run_without_results_may_change_its_files(tmp_path):
    with RunFolder(tmp_path, record(), NAMES):
        pass
    with RunFolder(tmp_path, RunRecord("bench", {"network": "11"}), NAMES):
        pass
    assert RunRecord.read(tmp_path).files == {"network": "11"}


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not empty and holds no benchmark run"):
        RunFolder(tmp_path, record(), NAMES)
    assert not (tmp_path / "results.csv").exists()


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path):
    with RunFolder(tmp_path, record(), NAMES) as first:
        with pytest.raises(InputError, match=f"process {os.getpid()}"):
            RunFolder(tmp_path, record(), NAMES)
        first.append(Row("a", "robust", 1, "bound"))
    with RunFolder(tmp_path, record(), NAMES) as later:
        assert set(later.rows) == {"a"}


def test_refusal_gives_the_lock_back(tmp_path):
    with RunFolder(tmp_path, record("one"), NAMES) as results:
        results.append(Row("a", "robust", 1, "bound"))
    with pytest.raises(InputError):
        RunFolder(tmp_path, record("two"), NAMES)
    with RunFolder(tmp_path, record("one"), NAMES):
        pass


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_that_cannot_be_a_folder(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder(tmp_path / place, record(), NAMES)


def test_full_disk_keeps_what_was_written(tmp_path, monkeypatch):
    results = RunFolder(tmp_path, record(), NAMES)
    results.append(Row("a", "robust", 1, "bound"))

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "write", full)
        with pytest.raises(InputError, match=r"No space left on device.*resumes"):
            results.append(Row("b", "robust", 1, "bound"))
    results.close()
    with RunFolder(tmp_path, record(), NAMES) as again:
        assert set(again.rows) == {"a"}


def test_full_disk_in_the_middle_of_a_line(tmp_path, monkeypatch):
    results = RunFolder(tmp_path, record(), NAMES)
    write = os.write
    calls = []

    def nearly_full(descriptor, data):
        calls.append(data)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:5])

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "write", nearly_full)
        with pytest.raises(InputError, match="No space left"):
            results.append(Row("a", "robust", 1, "bound"))
    results.close()
    with RunFolder(tmp_path, record(), NAMES) as again:
        assert again.rows == {}


def test_a_failed_sync_is_reported(tmp_path, monkeypatch):
    failing = durable.AppendedFile(tmp_path / "f")

    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable.os, "fsync", broken)
    failing.append("one\n")
    with pytest.raises(InputError, match="Input/output error"):
        failing.close()


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "d.json"
    durable.write_json(path, {"a": 1})

    def broken(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable.os, "fsync", broken)
    with pytest.raises(InputError, match="No space left"):
        durable.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and [p.name for p in tmp_path.iterdir()] == ["d.json"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "names no benchmark"),
        ('{"benchmark": 3}', "names no benchmark"),
        ('{"benchmark": "b", "files": {"network": 1}}', "table of hashes"),
        ('{"benchmark": "b", "files": {}, "invocations": {}}', "list of objects"),
    ],
)
def test_damaged_record(tmp_path, text, problem):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        RunRecord.read(tmp_path)


def test_no_record(tmp_path):
    with pytest.raises(InputError, match="holds no benchmark run"):
        RunRecord.read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        RunRecord.read(tmp_path / "none")


def instances(*names):
    from netproof.benchmarks.base import Instance

    return [Instance(name, "network", "group", 0) for name in names]


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        (None, ["m-1-eps-1", "m-11-eps-1", "m-2-eps-2"]),
        ("m-1-eps-1", ["m-1-eps-1"]),
        ("1-eps-1", ["m-1-eps-1", "m-11-eps-1"]),
        ("*-eps-2", ["m-2-eps-2"]),
        ("m-?-*", ["m-1-eps-1", "m-2-eps-2"]),
        ("m-[12]-*", ["m-1-eps-1", "m-2-eps-2"]),
    ],
)
def test_select(pattern, chosen):
    assert [i.name for i in BENCHMARKS[0].select(instances("m-1-eps-1", "m-11-eps-1", "m-2-eps-2"), pattern)] == chosen


def test_select_nothing():
    with pytest.raises(InputError, match=r"no instance matches 'x'.*for example m-1-eps-1"):
        BENCHMARKS[0].select(instances("m-1-eps-1"), "x")


def test_what_is_done_again(tmp_path):
    rows = {
        "robust": Row("robust", "robust", 1, ""),
        "misclassified": Row("misclassified", "misclassified", 1, ""),
        "kept": Row("kept", "vulnerable", 1, "", "witnesses/kept.json"),
        "lost": Row("lost", "vulnerable", 1, "", "witnesses/lost.json"),
        "timeout": Row("timeout", "timeout", 1, "", "limit=10"),
        "unknown": Row("unknown", "unknown", 1, "", "limit=10; reason=memory"),
        "error": Row("error", "error", 1, "", "its worker died"),
    }
    (tmp_path / "witnesses").mkdir()
    (tmp_path / "witnesses" / "kept.json").write_text("{}")
    todo = instances(*rows, "new")
    assert [i.name for i in pending(todo, rows, 10, tmp_path)] == ["lost", "error", "new"]
    assert [i.name for i in pending(todo, rows, 11, tmp_path)] == ["lost", "timeout", "unknown", "error", "new"]
