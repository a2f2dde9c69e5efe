"""``run.json``: whose results a folder holds, also where an earlier netproof wrote it."""

from __future__ import annotations

import json

import pytest

from netproof.benchmarks.base import ABSENT
from netproof.errors import InputError
from netproof.runs.folder import RunFolder
from netproof.runs.record import RunRecord
from netproof.runs.rows import Row

FILES = {"instances": "1", "network a/n.onnx": "2", "property a/p.vnnlib": "3", "property b/p.vnnlib": "4"}
LISTED = {"n-p": "line 1: a/n.onnx a/p.vnnlib", "n-p-2": "line 2: a/n.onnx b/p.vnnlib"}


def record(files=FILES, listed=LISTED, doubtful=()):
    return RunRecord("bench", files, (), listed, frozenset(doubtful)).started({"timeout": 1.0})


def old(tmp_path, files):
    """A folder as versions wrote it that named files without their folders, and did not say what instances stand for."""
    with RunFolder(tmp_path, RunRecord("bench", files).started({}), LISTED) as results:
        results.append(Row("n-p", "unsat", 1, "bound"))
    assert "instances" not in json.loads((tmp_path / "run.json").read_text())


def test_what_names_stand_for_is_on_record(tmp_path):
    with RunFolder(tmp_path, record(), LISTED) as results:
        results.append(Row("n-p", "unsat", 1, "bound"))
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["instances"] == LISTED and document["files"] == FILES
    with RunFolder(tmp_path, record(), LISTED) as results:
        assert set(results.rows) == {"n-p"}
    changed = {**LISTED, "n-p": "line 2: a/n.onnx b/p.vnnlib"}
    with pytest.raises(InputError, match=r"another list: 'n-p' is line 1: a/n.onnx a/p.vnnlib there, line 2: .* here"):
        RunFolder(tmp_path, record(listed=changed), LISTED)
    with pytest.raises(InputError, match=r"'n-p-2' is line 2: a/n.onnx b/p.vnnlib there, none here"):
        RunFolder(tmp_path, record(listed={"n-p": LISTED["n-p"]}), LISTED)


def test_a_changed_file_is_noticed_in_either_folder(tmp_path):
    with RunFolder(tmp_path, record(), LISTED) as results:
        results.append(Row("n-p", "unsat", 1, "bound"))
    for role in FILES:
        with pytest.raises(InputError, match=f"other files: {role} differ"):
            RunFolder(tmp_path, record({**FILES, role: "9"}), LISTED)


def test_many_changed_files_are_one_line(tmp_path):
    files = {f"property {k:03}.vnnlib": "1" for k in range(200)}
    with RunFolder(tmp_path, record(files), LISTED) as results:
        results.append(Row("n-p", "unsat", 1, "bound"))
    with pytest.raises(InputError, match=r"004\.vnnlib and 195 more differ"):
        RunFolder(tmp_path, record(dict.fromkeys(files, "2")), LISTED)


def test_a_folder_of_an_earlier_version_is_gone_on_with(tmp_path):
    files = {"instances": "1", "network a/n.onnx": "2", "property a/p.vnnlib": "3", "property b/q.vnnlib": ABSENT}
    old(tmp_path, {"instances": "1", "network n.onnx": "2", "property p.vnnlib.gz": "3", "property q.vnnlib": "4"})
    with RunFolder(tmp_path, record(files), LISTED) as results:
        assert set(results.rows) == {"n-p"}
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["files"] == {**files, "property b/q.vnnlib": "4"} and document["instances"] == LISTED


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"instances": "1", "network n.onnx": "2", "property p.vnnlib": "4"}, "files of one name .* property p.vnnlib"),
        ({"instances": "1", "network n.onnx": "8", "property p.vnnlib": "4"}, "files of one name"),
    ],
)
def test_a_folder_of_an_earlier_version_that_mixed_files_up_is_refused(tmp_path, files, said):
    old(tmp_path, files)
    with pytest.raises(InputError, match=f"is of an earlier netproof.*{said}.*; give another folder with --out"):
        RunFolder(tmp_path, record(), LISTED)


def test_a_folder_of_an_earlier_version_with_another_file_is_refused(tmp_path):
    files = {"instances": "1", "network a/n.onnx": "2"}
    old(tmp_path, {"instances": "1", "network n.onnx": "9"})
    with pytest.raises(InputError, match=r"other files: network a/n.onnx differ"):
        RunFolder(tmp_path, record(files), LISTED)


def test_a_folder_of_an_earlier_version_that_mixed_instances_up_is_refused(tmp_path):
    files = {"instances": "1", "network n.onnx": "2"}
    old(tmp_path, files)
    with pytest.raises(InputError, match="could give one name to two instances, such as 'n-p-2'; give another folder"):
        RunFolder(tmp_path, record(files, doubtful={"n-p-2", "n-p-3"}), LISTED)


def test_a_record_whose_instances_are_no_names(tmp_path):
    (tmp_path / "run.json").write_text('{"benchmark": "b", "files": {}, "invocations": [], "instances": [1]}')
    with pytest.raises(InputError, match="its 'instances' is not a table of names"):
        RunRecord.read(tmp_path)


def test_what_was_asked_adds_up_and_stays_unknown_where_it_was():
    def of(asked, only):
        return RunRecord("bench", FILES, asked=asked).started({"only": only})

    assert of(("a", "b"), "x").continued(of(("b", "c"), "y")).asked == ("a", "b", "c")
    assert of(None, "x").continued(of(("b",), "y")).asked is None
    assert of(None, "x").continued(of(("a", "b"), None)).asked == ("a", "b")
    assert of(None, None).asked_of(["a"]) == ("a",) and of(None, "x").asked_of(["a"]) is None
