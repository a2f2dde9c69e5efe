"""``netproof bench`` as a user types it, on a small data folder."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from conftest import assert_refused, write_idx


def rows(folder):
    with (folder / "results.csv").open() as stream:
        return {row["instance"]: row for row in csv.DictReader(stream)}


def bench(cli, data, *options, name="qnn-mnist"):
    return cli("bench", "run", name, "--data", data.folder, *options)


@pytest.fixture
def copied(tiny_data, tmp_path):
    """A data folder that a test may damage."""
    from dataclasses import replace

    shutil.copytree(tiny_data.folder, tmp_path / "data")
    return replace(tiny_data, folder=tmp_path / "data")


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_verdict_is_right(cli, tiny_data, tmp_path, jobs):
    out = tmp_path / "out"
    ran = bench(cli, tiny_data, "--out", out, "--jobs", jobs)
    assert ran.code == 0, ran.err
    found = rows(out)
    assert {name: row["verdict"] for name, row in found.items()} == dict(tiny_data.truth)
    for name, row in found.items():
        assert float(row["seconds"]) >= 0
        if row["verdict"] == "vulnerable":
            assert row["evidence"] == f"witnesses/{name}.json"
            document = json.loads((out / row["evidence"]).read_text())
            moved = np.abs(np.array(document["input"]) - np.array(document["image"]))
            assert moved.max() <= int(name.rsplit("-", 1)[1]) and document["class"] != document["label"]
        elif row["verdict"] == "misclassified":
            assert row["evidence"].startswith("predicted=")
        else:
            assert row["evidence"] == ""
    assert "390 of 390 correctly classified samples decided" in ran.out
    assert "agrees on all 400" in ran.out
    assert "400/400" in ran.err and "\x1b" not in ran.err + ran.out


def test_with_workers_the_command_itself_needs_no_pytorch(tiny_data, tmp_path):
    code = "import sys; sys.modules['torch'] = None\nfrom netproof.cli.main import main; main()"
    options = ("--data", tiny_data.folder, "--out", tmp_path, "--jobs", 2, "--only", "mnist-1?-eps-1", "--check")
    command = [sys.executable, "-c", code, "bench", "run", "qnn-mnist", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {name: row["verdict"] for name, row in rows(tmp_path).items()} == {
        name: tiny_data.truth[name] for name in (f"mnist-{k}-eps-1" for k in range(10, 20))
    }


def test_results_file_and_record(cli, tiny_data, tmp_path):
    import hashlib

    from netproof.runs.machine import available_cores

    bench(cli, tiny_data, "--out", tmp_path / "out", "--only", "mnist-1*-eps-1", "--timeout", 7)
    lines = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert lines[0] == "instance,verdict,seconds,method,evidence" and len(lines) == 12
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["benchmark"] == "qnn-mnist"
    assert record["files"]["network"] == hashlib.sha256(tiny_data.network.read_bytes()).hexdigest()
    (invocation,) = record["invocations"]
    assert invocation["settings"] == {
        "timeout": 7.0,
        "seed": 0,
        "engine": "auto",
        "device": "cpu",
        "jobs": 1,
        "only": "mnist-1*-eps-1",
    }
    assert invocation["machine"]["cores"] == available_cores() and invocation["wall_seconds"] > 0


def test_default_folder(cli, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench(cli, tiny_data, "--only", "mnist-7-eps-1").code == 0
    assert list(rows(tmp_path / "results" / "qnn-mnist")) == ["mnist-7-eps-1"]


@pytest.mark.parametrize("name", ["qnn-fashion-mnist", "qnn-qvip-p1-4", "qnn-qvip-p3-6"])
def test_the_other_benchmarks_run(cli, tiny_data, tmp_path, name):
    ran = bench(cli, tiny_data, "--out", tmp_path / "out", "--only", "-1-eps-1", name=name)
    assert ran.code == 0 and len(rows(tmp_path / "out")) == 1
    assert cli("bench", "show", tmp_path / "out", "--data", tiny_data.folder).code == 0


def test_resume_asks_only_what_is_open(cli, tiny_data, tmp_path):
    out = tmp_path / "out"
    bench(cli, tiny_data, "--out", out, "--only", "eps-1")
    before = (out / "results.csv").read_text()
    ran = bench(cli, tiny_data, "--out", out, "--only", "eps-1")
    assert "0 instances to answer, 100 answered before" in ran.err
    assert (out / "results.csv").read_text() == before
    ran = bench(cli, tiny_data, "--out", out)
    assert "300 instances to answer, 100 answered before" in ran.err
    assert (out / "results.csv").read_text().startswith(before)
    assert {name: row["verdict"] for name, row in rows(out).items()} == dict(tiny_data.truth)


def test_torn_line_is_answered_again(cli, tiny_data, tmp_path):
    out = tmp_path / "out"
    bench(cli, tiny_data, "--out", out, "--only", "eps-1")
    path = out / "results.csv"
    path.write_text(path.read_text()[:-9])
    ran = bench(cli, tiny_data, "--out", out, "--only", "eps-1")
    assert "1 instances to answer, 99 answered before" in ran.err
    assert len(path.read_text().splitlines()) == 101
    assert {n: r["verdict"] for n, r in rows(out).items()} == {n: v for n, v in tiny_data.truth.items() if "eps-1" in n}


def test_undecided_is_tried_again_only_with_more_time(cli, tiny_data, tmp_path, monkeypatch):
    import netproof.search.verify as engine
    from netproof.query import Result, Verdict

    real, asked = engine.as_decided, []

    def gives_up(queries, settings):
        for position, query in enumerate(queries):
            asked.append(query.name)
            yield position, Result(Verdict.TIMEOUT, settings.timeout, "search", bound=4.0)

    monkeypatch.setattr(engine, "as_decided", gives_up)
    out = tmp_path / "out"
    options = ("--out", out, "--only", "mnist-1?-eps-1")
    assert bench(cli, tiny_data, *options, "--timeout", 5).code == 0
    assert len(asked) == 10 and rows(out)["mnist-12-eps-1"]["evidence"] == "limit=5; bound=4"
    bench(cli, tiny_data, *options, "--timeout", 5)
    bench(cli, tiny_data, *options, "--timeout", 4)
    assert len(asked) == 10
    monkeypatch.setattr(engine, "as_decided", real)
    ran = bench(cli, tiny_data, *options, "--timeout", 6)
    assert "10 instances to answer" in ran.err
    found = rows(out)
    assert len(found) == 10 == len((out / "results.csv").read_text().splitlines()) - 1
    assert all(found[name]["verdict"] == tiny_data.truth[name] for name in found)


def test_what_a_defect_left_open_is_always_tried_again(cli, tiny_data, tmp_path, monkeypatch):
    import netproof.search.verify as engine
    from netproof.query import Result, Verdict

    def breaks(queries, settings):
        for position in range(len(queries)):
            yield position, Result(Verdict.UNKNOWN, 0.1, "smt", reason="the solver died (SIGKILL)", retryable=True)

    out = tmp_path / "out"
    options = ("--out", out, "--only", "mnist-1?-eps-1", "--timeout", 5)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "as_decided", breaks)
        assert bench(cli, tiny_data, *options).code == 0
    assert rows(out)["mnist-12-eps-1"]["evidence"] == "reason=the solver died (SIGKILL)"
    assert "10 instances to answer" in bench(cli, tiny_data, *options).err
    assert all(row["verdict"] == tiny_data.truth[name] for name, row in rows(out).items())


def test_contradiction_is_loud_and_exits_1(cli, copied, tmp_path):
    table = copied.folder / "qnn" / "published-aaai2021.csv"
    index, radius = copied.first("robust")
    table.write_text(table.read_text().replace(f"mnist,{index},{radius},robust", f"mnist,{index},{radius},vulnerable"))
    out = tmp_path / "out"
    name = f"mnist-{index}-eps-{radius}"
    for ran in (
        bench(cli, copied, "--out", out, "--only", name),
        cli("bench", "show", out, "--data", copied.folder),
    ):
        assert ran.code == 1
        assert f"{name}: netproof says robust, published is vulnerable" in ran.out
        assert "CHECK FAILED" in ran.err
    ran = cli("bench", "show", out, "--data", copied.folder, "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["disagreements"] == [{"instance": name, "netproof": "robust", "published": "vulnerable"}]


def test_json(cli, tiny_data, tmp_path):
    out = tmp_path / "out"
    run = json.loads(bench(cli, tiny_data, "--out", out, "--json").out)
    show = json.loads(cli("bench", "show", out, "--data", tiny_data.folder, "--json").out)
    assert run == show
    assert run["decided"] == 400 and run["undecided"] == [] and run["compared"] == 400
    assert [b["name"] for b in run["blocks"]] == [
        "samples 0-99, radius 1", "samples 100-199, radius 2", "samples 200-299, radius 3", "samples 300-399, radius 4",
    ]  # fmt: skip
    listed = json.loads(cli("bench", "list", "--data", tiny_data.folder, "--json").out)
    assert [b["name"] for b in listed][:4] == ["qnn-mnist", "qnn-fashion-mnist", "qnn-qvip-p1-4", "qnn-qvip-p3-6"]
    # The folder of this test holds the data of these four and of no other.
    assert [b["available"] for b in listed] == [True] * 4 + [False] * (len(listed) - 4)
    assert all((b["missing"] is None) == b["available"] for b in listed)


def test_show_without_published_data_says_so(cli, copied, tmp_path):
    bench(cli, copied, "--out", tmp_path / "out", "--only", "mnist-1-eps-1")
    (copied.folder / "qnn" / "published-aaai2021.csv").unlink()
    ran = cli("bench", "show", tmp_path / "out", "--data", copied.folder)
    assert ran.code == 0
    assert "nothing to compare with" in ran.err and "published-aaai2021.csv" in ran.err
    assert "published" not in ran.out


def test_list_names_what_is_missing(cli, tmp_path):
    ran = cli("bench", "list", "--data", tmp_path)
    assert ran.code == 0 and "qnn/mnist_mlp.h5" in ran.out and str(tmp_path) in ran.out


def test_data_from_the_environment_and_from_the_cache(cli, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NETPROOF_DATA", raising=False)
    arguments = ("bench", "run", "qnn-mnist", "--only", "mnist-1-eps-1", "--out")
    assert_refused(cli(*arguments, tmp_path / "a"), "qnn/mnist_mlp.h5", str(tmp_path / "netproof"), "--data")
    assert not (tmp_path / "a").exists()
    monkeypatch.setenv("NETPROOF_DATA", str(tiny_data.folder))
    assert cli(*arguments, tmp_path / "b").code == 0
    monkeypatch.delenv("NETPROOF_DATA")
    (tmp_path / "netproof").symlink_to(tiny_data.folder)
    assert cli(*arguments, tmp_path / "c").code == 0


def test_foreign_folder_is_refused(cli, tiny_data, tmp_path):
    out = tmp_path / "out"
    bench(cli, tiny_data, "--out", out, "--only", "mnist-1-eps-1")
    ran = bench(cli, tiny_data, "--out", out, name="qnn-qvip-p1-4")
    assert_refused(ran, str(out), "benchmark 'qnn-mnist', not of 'qnn-qvip-p1-4'", "--out")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.tex").write_text("")
    assert_refused(bench(cli, tiny_data, "--out", tmp_path / "thesis"), "main.tex", "--out")
    assert_refused(cli("bench", "show", tmp_path / "thesis"), str(tmp_path / "thesis"), "holds no benchmark run")


def test_results_of_another_network_are_not_mixed(cli, copied, tiny_data, tmp_path):
    out = tmp_path / "out"
    bench(cli, copied, "--out", out, "--only", "mnist-1-eps-1")
    shutil.copy(copied.folder / "qnn" / "fashion-mnist_mlp.h5", copied.network)
    assert_refused(bench(cli, copied, "--out", out), str(out), "network differ")


@pytest.mark.parametrize("jobs", [1, 2])
def test_damaged_network_of_a_benchmark(cli, copied, tmp_path, jobs):
    copied.network.write_bytes(copied.network.read_bytes()[:500])
    ran = bench(cli, copied, "--out", tmp_path / "out", "--jobs", jobs)
    assert ran.code == 2 and "Traceback" not in ran.err
    last = ran.err.splitlines()[-1]
    assert last.startswith(f"error: {copied.network}") and "damaged HDF5" in last
    # the file repaired, the same command works
    shutil.copy(copied.folder / "qnn" / "fashion-mnist_mlp.h5", copied.network)
    assert bench(cli, copied, "--out", tmp_path / "out", "--only", "mnist-1-eps-1").code != 2


def test_one_bad_sample_does_not_end_the_run(cli, copied, tmp_path):
    from netproof.formats.images.idx import read_labels

    labels = read_labels(copied.labels).copy()
    labels[3] = 9
    write_idx(copied.labels, labels)
    out = tmp_path / "out"
    ran = bench(cli, copied, "--out", out, "--only", "mnist-?-eps-1")
    assert ran.code == 1 and "1 instance(s) failed, mnist-3-eps-1 first" in ran.err
    found = rows(out)
    assert found["mnist-3-eps-1"]["verdict"] == "error" and "label 9" in found["mnist-3-eps-1"]["evidence"]
    assert found["mnist-4-eps-1"]["verdict"] == copied.truth["mnist-4-eps-1"]


def test_a_defect_in_one_query_does_not_end_the_run(cli, tiny_data, tmp_path, monkeypatch):
    import netproof.search.verify as engine

    real = engine.as_decided

    def breaks(queries, settings):
        for position, result in real(queries, settings):
            if queries[position].name == "mnist-5-eps-1":
                raise RuntimeError("out of\nluck")
            yield position, result

    monkeypatch.setattr(engine, "as_decided", breaks)
    out = tmp_path / "out"
    assert bench(cli, tiny_data, "--out", out, "--only", "mnist-?-eps-1").code == 1
    found = rows(out)
    assert found["mnist-5-eps-1"]["evidence"] == "RuntimeError: out of luck" and len(found) == 10
    assert all(found[n]["verdict"] == tiny_data.truth[n] for n in found if n != "mnist-5-eps-1")
    monkeypatch.setattr(engine, "as_decided", real)
    assert bench(cli, tiny_data, "--out", out, "--only", "mnist-?-eps-1").code == 0


def test_a_witness_that_does_not_replay_is_no_verdict(cli, tiny_data, tmp_path, monkeypatch):
    import torch

    import netproof.search.verify as engine
    from netproof.query import Result, Verdict, Witness, sample_of

    def lies(queries, settings):
        for position, question in enumerate(queries):
            (query,) = question.parts
            x = sample_of(query).image.long()
            output = query.network.graph.evaluate(x.double()).to(torch.int64)
            yield position, Result(Verdict.SAT, 0.1, "attack", witness=Witness(x, output))

    monkeypatch.setattr(engine, "as_decided", lies)
    ran = bench(cli, tiny_data, "--out", tmp_path / "out", "--only", "mnist-1-eps-1")
    assert ran.code == 1
    assert rows(tmp_path / "out")["mnist-1-eps-1"]["verdict"] == "error" and "does not replay" in ran.out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--jobs", 0), ("--jobs", "1 or more")),
        (("--timeout", -2), ("--timeout", "positive")),
        (("--only", "cifar"), ("--only", "no instance matches 'cifar'", "mnist-0-eps-1")),
        (("--data", "no/such/place"), ("no/such/place", "no such folder", "--data")),
        (("--jobs", "many"), ("--jobs", "see 'netproof bench run --help'")),
    ],
)
def test_unusable_options_are_one_line(cli, tiny_data, tmp_path, options, parts):
    assert_refused(bench(cli, tiny_data, "--out", tmp_path / "out", *options), *parts)
    assert not (tmp_path / "out").exists()


def test_unknown_benchmark(cli):
    assert_refused(cli("bench", "run", "mnist"), "mnist", "did you mean mnist_fc or qnn-mnist?")


def test_unwritable_folder(cli, tiny_data, tmp_path):
    (tmp_path / "file").write_text("")
    ran = bench(cli, tiny_data, "--out", tmp_path / "file" / "out")
    assert_refused(ran, "file/out", "cannot be written", "--out")


def test_damaged_results(cli, tiny_data, tmp_path):
    out = tmp_path / "out"
    bench(cli, tiny_data, "--out", out, "--only", "mnist-?-eps-1")
    path = out / "results.csv"
    path.write_text(path.read_text().replace("mnist-4-eps-1,", "mnist-4-eps-1,very "))
    for ran in (bench(cli, tiny_data, "--out", out), cli("bench", "show", out, "--data", tiny_data.folder)):
        assert_refused(ran, "results.csv", "line 6", "no verdict is called")
    (out / "run.json").write_text("{")
    assert_refused(cli("bench", "show", out), "run.json", "not JSON")


def test_damaged_published_table(cli, copied, tmp_path):
    (copied.folder / "qnn" / "published-aaai2021.csv").write_text("dataset,index,radius,verdict\nmnist,1\n")
    assert_refused(bench(cli, copied, "--out", tmp_path / "out"), "published-aaai2021.csv", "line 2")
    assert not (tmp_path / "out").exists()


def test_integer_networks_take_no_gpu(cli, tiny_data, tmp_path):
    out = tmp_path / "out"
    ran = cli("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", out, "--device", "cuda")
    assert_refused(ran, "--device: the networks of qnn-mnist are integer networks", "give auto")
    assert not out.exists()
