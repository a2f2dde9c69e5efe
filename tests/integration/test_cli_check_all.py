"""``netproof check-all``: what a repository promises, and what a CI system is told of it."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from conftest import assert_refused


@pytest.fixture
def project(tiny_data, tmp_path):
    """A folder with the promises of tests; ``write(text)`` gives the file."""
    for path, name in ((tiny_data.network, "net.h5"), (tiny_data.images, "images"), (tiny_data.labels, "labels")):
        (tmp_path / name).write_bytes(path.read_bytes())

    def write(text, name="netproof.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def promise(data, verdict, name="digits", expect="robust", **more):
    index, radius = data.first(verdict)
    lines = [f"[queries.{name}]", 'network = "net.h5"', 'images = "images"', 'labels = "labels"', f"index = {index}"]
    lines += [
        f"eps = {radius}",
        f'expect = "{expect}"',
        *(f"{key} = {json.dumps(value)}" for key, value in more.items()),
    ]
    return "\n".join(lines) + "\n"


def test_promises_that_are_kept(cli, tiny_data, project, monkeypatch, tmp_path):
    project(
        "[defaults]\ntimeout = 30\n"
        + promise(tiny_data, "robust", requirement="REQ-1")
        + promise(tiny_data, "vulnerable", "known-weakness", "vulnerable", requirement=["REQ-2", "REQ-3"])
    )
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    ran = cli("check-all", "--junit", tmp_path / "a.xml")
    assert ran.code == 0 and "2 of 2 as promised" in ran.out and "[REQ-2, REQ-3]" in ran.out, ran
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert root.get("tests") == "2" and root.get("failures") == "0" and not list(root.iter("skipped"))
    assert {p.get("value") for p in root.iter("property")} == {"REQ-1", "REQ-2", "REQ-3"}


def test_a_promise_that_is_broken(cli, tiny_data, project, tmp_path):
    path = project(promise(tiny_data, "vulnerable", requirement="REQ-9") + promise(tiny_data, "robust", "fine"))
    ran = cli("check-all", "--config", path, "--junit", tmp_path / "a.xml")
    index, _ = tiny_data.first("vulnerable")
    assert ran.code == 1 and f"BROKEN  digits-{index} [REQ-9]: vulnerable" in ran.out
    assert ran.err == f"CHECK FAILED: digits-{index}: vulnerable, promised is robust\n"
    (failure,) = ET.parse(tmp_path / "a.xml").getroot().iter("failure")
    assert "promised is robust" in failure.get("message")
    assert cli("check-all", "--config", path, "--only", "fine").code == 0
    document = json.loads(cli("check-all", "--config", path, "--json").out)
    assert not document["kept"] and [a["kept"] for a in document["answers"]] == [False, True]


def test_an_undecided_answer_keeps_no_promise(cli, tiny_data, project, monkeypatch):
    import netproof.search.verify as engine
    from netproof.result import Result, Verdict

    monkeypatch.setattr(engine, "verify", lambda queries, _: [Result(Verdict.TIMEOUT, 1.0, "search") for _ in queries])
    ran = cli("check-all", "--config", project(promise(tiny_data, "robust")))
    assert ran.code == 1 and ": timeout" in ran.out


def test_properties_and_what_cannot_be_asked(cli, tiny_data, project, tmp_path):
    import numpy as np

    from onnx_models import model, node, save

    save(tmp_path / "net.onnx", model([node("MatMul", ["x", "w"])], (1, 2), {"w": np.eye(2, dtype=np.float32)}))
    declared = "".join(f"(declare-const {n} Real)\n" for n in ("X_0", "X_1", "Y_0", "Y_1"))
    box = "".join(f"(assert (>= X_{i} 0)) (assert (<= X_{i} 1))\n" for i in range(2))
    (tmp_path / "p.vnnlib").write_text(declared + box + "(assert (>= Y_0 2))\n")
    table = '[queries.bounded]\nnetwork = "net.onnx"\nproperty = "p.vnnlib"\n'
    assert cli("check-all", "--config", project(table)).code == 0
    (tmp_path / "damaged.onnx").write_bytes(b"\x08")
    ran = cli(
        "check-all", "--config", project(table.replace("net.onnx", "damaged.onnx")), "--junit", tmp_path / "a.xml"
    )
    assert ran.code == 1 and ": error (" in ran.out and "damaged.onnx" in ran.out
    assert len(list(ET.parse(tmp_path / "a.xml").getroot().iter("error"))) == 1


def test_promises_in_a_project_file(cli, tiny_data, project, monkeypatch, tmp_path):
    project(
        "[project]\nname = 'x'\n" + promise(tiny_data, "robust").replace("[queries", "[tool.netproof.queries"),
        "pyproject.toml",
    )
    monkeypatch.chdir(tmp_path)
    assert cli("check-all").code == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("promises nothing", "[queries.NAME]")),
        ("[queries.a", ("is no TOML", "mend that place")),
        ("[other]\n", ("'other' is no table",)),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\n", ("[queries.a]", "has no 'eps'")),
        ("[queries.a]\nnetwork = 'n'\n", ("has no 'images'",)),
        ("[queries.a]\nimages = 'i'\neps = 1\n", ("has no 'network'",)),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\nepsilon = 1\n", ("'epsilon' is not known", "did you mean 'eps'")),
        ("[queries.a]\nnetwork = 'n'\nproperty = 'p'\neps = 1\n", ("'eps'", "beside a property")),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = true\n", ("'eps' is True", "2/255")),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = 1\nexpect = 'unsat'\n", ("'expect' is 'unsat'", "did you mean 'robust'?")),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = 1\nindex = ['a']\n", ("'index' has",)),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = 1\ntimeout = -1\n", ("'timeout' is -1", "positive number of seconds")),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = 1\nbits = 70\n", ("'bits' is 70", "0 to 16")),
        ("[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = 1\nclip = [1]\n", ("'clip' has 1 numbers",)),
        ("queries = 3\n", ("promises nothing",)),
        ("[queries]\na = 3\n", ("'queries.a' is 3, and no table",)),
    ],
)  # fmt: skip
def test_files_that_are_none(cli, project, text, parts):
    assert_refused(cli("check-all", "--config", project(text)), "netproof.toml", *parts)


def test_faults_are_found_before_anything_is_asked(cli, tiny_data, project, monkeypatch):
    """The last table has the fault, and the first one is not verified."""
    import netproof.search.verify as engine

    monkeypatch.setattr(engine, "verify", lambda *_: pytest.fail("something was asked"))
    good = promise(tiny_data, "robust")
    other = '[queries.last]\nnetwork = "net.h5"\nimages = "images"\neps = 1\n'
    for more, parts in (
        ("index = [1, 1]\n", ("[queries.last]", "'index' names image 1 twice")),
        ("timeout = inf\n", ("[queries.last]", "'timeout' is inf")),
        ("labels = 'gone'\n", ("[queries.last]", "'labels' is", "gone, which is not there", "folder of this file")),
    ):
        assert_refused(cli("check-all", "--config", project(good + other + more)), "netproof.toml", *parts)


def test_what_is_read_is_not_overwritten(cli, tiny_data, project, monkeypatch, tmp_path):
    path = project(promise(tiny_data, "robust"))
    monkeypatch.chdir(tmp_path)
    for name in ("netproof.toml", "net.h5", "images", "labels"):
        before = (tmp_path / name).read_bytes()
        assert_refused(cli("check-all", "--junit", name), "--junit", f"{name} is what is read", "another name")
        assert (tmp_path / name).read_bytes() == before
    assert cli("check-all", "--config", path, "--junit", "new.xml").code == 0


def test_names_that_steer_terminals(cli, tiny_data, project, tmp_path):
    path = project(
        promise(tiny_data, "robust").replace("[queries.digits]", '[queries."a\\u001b[31m\\n\\u0000\\u202e<b>&"]')
        + 'requirement = "R\\u0007"\n'
    )
    ran = cli("check-all", "--config", path, "--junit", tmp_path / "a.xml")
    index, _ = tiny_data.first("robust")
    said = "a\\x1b[31m\\n\\x00\\u202e<b>&"
    assert ran.code == 0 and ran.out.startswith(f"kept    {said}-{index} [R\\x07]: robust") and ran.out.count("\n") == 2
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert root.find("testsuite").get("name") == said and root.find(".//testcase").get("name") == f"{said}-{index}"
    assert root.find(".//property").get("value") == "R\\x07"
    # In JSON names are what they are.
    (answer,) = json.loads(cli("check-all", "--config", path, "--json").out)["answers"]
    assert answer["promise"] == "a\x1b[31m\n\x00\u202e<b>&" and answer["requirements"] == ["R\x07"]


def test_no_file_and_no_such_promise(cli, tiny_data, project, monkeypatch, tmp_path):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert_refused(cli("check-all"), "there is no netproof.toml here or above", "--config")
    path = project(promise(tiny_data, "robust"))
    assert_refused(cli("check-all", "--config", path, "--only", "none"), "--only", "promises no 'none'", "digits")
    assert_refused(
        cli("check-all", "--config", project(promise(tiny_data, "robust") + promise(tiny_data, "robust", "other")), "--only", "digit"),
        "promises no 'digit'", "did you mean 'digits'?",
    )  # fmt: skip
    assert_refused(cli("check-all", "--config", tmp_path / "gone.toml"), "no such file of promises")


def test_assert_robust(tiny_data):
    import numpy as np

    from netproof.formats.images.idx import read_images, read_labels
    from netproof.testing import assert_robust

    robust, vulnerable = tiny_data.first("robust", 1)[0], tiny_data.first("vulnerable")
    (result,) = assert_robust(tiny_data.network, tiny_data.images, tiny_data.labels, eps=1, index=robust)
    assert result.verdict.for_robustness == "robust"
    with pytest.raises(AssertionError) as failed:
        assert_robust(
            tiny_data.network, tiny_data.images, tiny_data.labels, eps=vulnerable[1], index=[vulnerable[0], robust]
        )
    assert "1 of 2 images are not robust" in str(failed.value) or "2 of 2" in str(failed.value)
    assert f"image {vulnerable[0]} (label" in str(failed.value) and "after a change of" in str(failed.value)
    images, labels = read_images(tiny_data.images), read_labels(tiny_data.labels)
    assert_robust(tiny_data.network, images[robust : robust + 1], labels[robust : robust + 1], eps="1grey")
    wrong = tiny_data.first("misclassified")[0]
    assert_robust(tiny_data.network, tiny_data.images, labels, eps=0, index=wrong, allowed=("misclassified",))
    import netproof

    network = netproof.load(tiny_data.network)
    assert_robust(network, np.asarray(images[robust]).reshape(1, 4), eps=0)


def test_a_failing_test_shows_what_changed(tiny_data, tmp_path):
    # What a CI log has: the assertion's own words.
    import subprocess
    import sys

    index, radius = tiny_data.first("vulnerable")
    (tmp_path / "test_it.py").write_text(
        "from netproof.testing import assert_robust\n\n\ndef test_it():\n"
        f"    assert_robust({str(tiny_data.network)!r}, {str(tiny_data.images)!r}, {str(tiny_data.labels)!r}, eps={radius}, index={index})\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "test_it.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (
        ran.returncode == 1
        and f"AssertionError: 1 of 1 images are not robust at radius {radius} grey level" in ran.stdout
    )
