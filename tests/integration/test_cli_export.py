"""``netproof export smtlib`` and ``netproof bench export`` as a user types them."""

from __future__ import annotations

import hashlib
import os
import re

import pytest

from conftest import assert_refused

bitwuzla = pytest.importorskip("bitwuzla")


def sample(data, index, radius):
    return (data.network, "--images", data.images, "--labels", data.labels, "--index", index, "--eps", radius)


def status(text: str) -> str:
    parser = bitwuzla.Parser(bitwuzla.TermManager(), bitwuzla.Options())
    parser.parse(text.replace("(check-sat)", "").replace("(exit)", ""), False, False)
    return {bitwuzla.Result.SAT: "sat", bitwuzla.Result.UNSAT: "unsat"}[parser.bitwuzla().check_sat()]


@pytest.mark.parametrize(("verdict", "answer"), [("robust", "unsat"), ("vulnerable", "sat")])
@pytest.mark.parametrize("without", [(), ("drop-cases", "simplify-neurons"), ("share-terms", "minimal-widths")])
def test_one_query(cli, tiny_data, tmp_path, verdict, answer, without):
    index, radius = tiny_data.first(verdict)
    out = tmp_path / "query.smt2"
    switches = [part for name in without for part in ("--without", name)]
    ran = cli("export", "smtlib", *sample(tiny_data, index, radius), "--out", out, *switches)
    assert (ran.code, ran.out, ran.err) == (0, f"written to {out}\n", "")
    text = out.read_text()
    lines = text.splitlines()
    comments = "\n".join(line for line in lines if line.startswith(";"))
    assert str(tiny_data.network) in comments
    assert hashlib.sha256(tiny_data.network.read_bytes()).hexdigest() in comments
    assert f"sample {index}, radius {radius}" in comments and "property  another class" in comments
    assert all(name.replace("-", "_") in comments for name in without)
    assert "(set-logic QF_BV)" in lines and lines[-2:] == ["(check-sat)", "(exit)"]
    assert "set-info" not in text
    assert status(text) == answer
    assert [p.name for p in tmp_path.iterdir()] == ["query.smt2"]


def test_variables_are_named_by_layer_and_index(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("vulnerable")
    out = tmp_path / "query.smt2"
    cli("export", "smtlib", *sample(tiny_data, index, radius), "--out", out)
    text = out.read_text()
    declared = re.findall(r"\(declare-const (\S+) ", text)
    assert declared == [f"x0_{j}" for j in range(4)]
    for j in range(4):
        assert re.search(rf"^; input {j} = \d+ \+ x0_{j}$", text, re.MULTILINE)
    assert re.search(r"^\(define-fun n1_\d+ \(\) \(_ BitVec \d+\) ", text, re.MULTILINE)
    assert "0 input, 1 dense1, 2 hidden1" in text


def test_bit_widths_are_those_given(cli, tiny_data, tmp_path):
    out = tmp_path / "query.smt2"
    # With other widths it is another network, which need not classify the first sample rightly.
    codes = (cli("export", "smtlib", *sample(tiny_data, i, 1), "--out", out, "--bits", 5).code for i in range(1, 40))
    assert 0 in codes
    assert "bits 5, input_bits 8," in out.read_text()


def test_refusals(cli, tiny_data, tmp_path):
    query = sample(tiny_data, tiny_data.first("robust")[0], 1)
    out = tmp_path / "query.smt2"
    assert_refused(cli("export", "smtlib", *query, "--out", tmp_path), "--out", "folder")
    assert_refused(cli("export", "smtlib", *query, "--out", tmp_path / "no" / "q"), "there is no folder")
    assert_refused(cli("export", "smtlib", *query, "--out", out, "--without", "magic"), "--without", "drop-cases")
    assert_refused(cli("export", "smtlib", *query[:-1], -1, "--out", out), "--eps")
    wrong = sample(tiny_data, tiny_data.first("misclassified")[0], 1)
    assert_refused(cli("export", "smtlib", *wrong, "--out", out), "no class to keep")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(cli, tiny_data, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    index, radius = tiny_data.first("vulnerable")
    ran = cli("export", "smtlib", *sample(tiny_data, index, radius), "--out", tmp_path / "query.smt2")
    assert_refused(ran, "query.smt2", "No space left")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_the_old_file(tmp_path):
    from netproof.files.durable import write_text

    def parts():
        yield "new"
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_text(path, parts())
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_whole_benchmark(cli, tiny_data, tmp_path):
    folder = tmp_path / "a" / "files"
    ran = cli("bench", "export", "qnn-mnist", folder, "--data", tiny_data.folder, "--only", "mnist-?0-eps-1")
    names = [f"mnist-{i}0-eps-1" for i in range(1, 10)]
    kept = [name for name in names if tiny_data.truth[name] != "misclassified"]
    assert ran.code == 0 and f"{len(kept)} files" in ran.out and f"{len(names) - len(kept)} misclassified" in ran.out
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{name}.smt2" for name in kept)
    for name in kept:
        text = (folder / f"{name}.smt2").read_text()
        answer = {"robust": "unsat", "vulnerable": "sat"}[tiny_data.truth[name]]
        assert f"(set-info :status {answer})" in text
        assert status(text) == answer


def test_status_from_an_earlier_run(cli, tiny_data, tmp_path):
    arguments = ("--data", tiny_data.folder, "--only", "mnist-1-eps-1")
    assert cli("bench", "run", "qnn-qvip-p1-4", *arguments, "--out", tmp_path / "run").code == 0
    results = tmp_path / "run" / "results.csv"
    ran = cli("bench", "export", "qnn-qvip-p1-4", tmp_path / "without", *arguments)
    assert ran.code == 0 and "0 with a known status" in ran.out
    ran = cli("bench", "export", "qnn-qvip-p1-4", tmp_path / "with", *arguments, "--results", results)
    assert ran.code == 0
    known = results.read_text().splitlines()[1].split(",")[1] in ("robust", "vulnerable")
    assert ("(set-info :status" in "".join(p.read_text() for p in (tmp_path / "with").iterdir())) == known


def test_refusals_of_a_whole_benchmark(cli, tiny_data, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    arguments = ("bench", "export", "qnn-mnist")
    data = ("--data", tiny_data.folder, "--only", "mnist-1-eps-1")
    assert_refused(cli(*arguments, file, *data), str(file), "cannot be written")
    assert_refused(cli(*arguments, file / "under", *data), "cannot be written")
    assert_refused(cli(*arguments, tmp_path / "d", *data, "--results", tmp_path / "none.csv"), "--results")
    assert_refused(cli(*arguments, tmp_path / "d", *data, "--results", file.parent), "--results")
    assert_refused(cli(*arguments, tmp_path / "d", "--data", tiny_data.folder, "--only", "nothing"), "--only")
    other = tmp_path / "results.csv"
    opposite = {"robust": "vulnerable", "vulnerable": "robust"}[tiny_data.truth["mnist-1-eps-1"]]
    evidence = "witnesses/one.json" if opposite == "vulnerable" else ""
    other.write_text(f"instance,verdict,seconds,method,evidence\nmnist-1-eps-1,{opposite},1.0,x,{evidence}\n")
    assert_refused(cli(*arguments, tmp_path / "d", *data, "--results", other), "mnist-1-eps-1", "published")
    assert not (tmp_path / "d").exists()
