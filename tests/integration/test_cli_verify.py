"""``netproof verify``, benchmarks of VNN-COMP folders and the competition's scripts, as a user types them."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from conftest import assert_refused
from onnx_models import model, node, save

ROOT = Path(__file__).parents[2]


def box(low, high, inputs=2):
    return "".join(f"(assert (>= X_{i} {low}))(assert (<= X_{i} {high}))\n" for i in range(inputs))


def vnnlib(path, low, high, condition):
    declared = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "Y_0"))
    path.write_text(declared + box(low, high) + f"(assert {condition})\n")
    return path


@pytest.fixture
def files(tmp_path):
    """``y = |x0 + x1|`` on a few properties."""
    weights = {
        "w": np.array([[1.0, -1.0], [1.0, -1.0]]),
        "v": np.array([[1.0], [1.0]]),
    }
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    save(tmp_path / "net.onnx", model(nodes, (1, 2), weights))
    vnnlib(tmp_path / "low.vnnlib", -1, 1, "(<= Y_0 -0.001)")
    vnnlib(tmp_path / "high.vnnlib", -1, 1, "(>= Y_0 2.001)")
    vnnlib(tmp_path / "held.vnnlib", -1, 1, "(>= Y_0 1.9)")
    vnnlib(tmp_path / "decimal.vnnlib", "0.1", "0.1", "(and (>= Y_0 0.19) (<= Y_0 0.21))")
    vnnlib(tmp_path / "decimal_edge.vnnlib", "0.1", "0.1", "(>= Y_0 0.2000000001)")
    return tmp_path


def verdict(cli, files, name, *options):
    ran = cli("verify", files / "net.onnx", files / f"{name}.vnnlib", "--json", "--timeout", "600", *options)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_verdicts(cli, files):
    assert {name: verdict(cli, files, name)["verdict"] for name in ("low", "high", "held", "decimal")} == {
        "low": "unsat",
        "high": "unsat",
        "held": "sat",
        "decimal": "sat",
    }


def test_the_witness_is_one(cli, files):
    target = files / "witness.txt"
    document = verdict(cli, files, "held", "--witness", target)
    x = [Fraction(text) for text in document["witness"]["input"]]
    assert all(-1 <= value <= 1 and Fraction(float(np.float32(value))) == value for value in x)
    session = onnxruntime.InferenceSession(str(files / "net.onnx"), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.array([[float(v) for v in x]], np.float32)})[0][0]
    assert y >= 1.9 and Fraction(float(y)) == Fraction(document["witness"]["output"][0])
    text = target.read_text()
    assert text.startswith("((X_0 ") and text.count("(Y_0 ") == 1 and text.count("(") == text.count(")")


def test_a_box_without_float32_values_has_an_exact_witness(cli, files):
    document = verdict(cli, files, "decimal")
    assert document["witness"]["input"] == ["0.1", "0.1"]
    # What float32 rounds up to is no answer of the real function: 0.1 + 0.1 is 0.2.
    assert verdict(cli, files, "decimal_edge")["verdict"] == "unsat"


def test_text_and_bad_input(cli, files):
    assert cli("verify", files / "net.onnx", files / "low.vnnlib").out.startswith("unsat\n")
    (files / "three.vnnlib").write_text(
        (files / "low.vnnlib").read_text() + "(declare-const X_2 Real)(assert (>= X_2 0))(assert (<= X_2 1))"
    )
    (files / "nan.vnnlib").write_text((files / "low.vnnlib").read_text().replace("-0.001", "nan"))
    for name in ("three", "nan", "missing"):
        ran = cli("verify", files / "net.onnx", files / f"{name}.vnnlib")
        assert ran.code == 2 and ran.err.count("\n") == 1 and ran.err.startswith("error: "), ran.err


def test_a_folder_as_a_benchmark(cli, files):
    (files / "instances.csv").write_text("net.onnx,low.vnnlib,10\nnet.onnx,held.vnnlib,10\nnet.onnx,low.vnnlib,10\n")
    out = files / "out"
    ran = cli("bench", "run", f"vnncomp:{files}", "--out", out, "--timeout", "600")
    assert ran.code == 0, ran.err
    rows = [line.split(",")[:2] for line in (out / "results.csv").read_text().splitlines()[1:]]
    assert sorted(rows) == [["net-held", "sat"], ["net-low", "unsat"], ["net-low-2", "unsat"]]
    assert json.loads((out / "witnesses" / "net-held.json").read_text())["arithmetic"] == "real"
    assert cli("bench", "show", out).code == 0
    ran = cli("bench", "run", f"vnncomp:{files / 'nowhere'}")
    assert ran.code == 2 and "no such folder" in ran.err


def test_files_that_are_missing_cost_their_own_instances(cli, files):
    whole = {name: (files / name).read_bytes() for name in ("net.onnx", "low.vnnlib")}
    (files / "broken.onnx").write_bytes(whole["net.onnx"][:40])
    (files / "packed.onnx").write_bytes(gzip.compress(whole["net.onnx"])[:60])
    (files / "odd.vnnlib").write_text("(assert")
    (files / "instances.csv").write_text(
        "net.onnx,low.vnnlib,10\nnet.onnx,nowhere.vnnlib,10\nbroken.onnx,low.vnnlib,10\ngone.onnx,held.vnnlib,10\n"
        "packed.onnx,low.vnnlib,10\nnet.onnx,odd.vnnlib,10\nnet.onnx,held.vnnlib,10\n"
    )
    out = files / "out"

    def table():
        return {row["instance"]: row for row in csv.DictReader((out / "results.csv").read_text().splitlines())}

    for jobs in (1, 2):
        ran = cli("bench", "run", f"vnncomp:{files}", "--out", out, "--timeout", "600", "--jobs", jobs)
        assert ran.code == 1 and "5 instance(s) failed" in ran.err and "Traceback" not in ran.err, ran.err
        rows = table()
        assert {name: row["verdict"] for name, row in rows.items()} == {
            "net-low": "unsat", "net-held": "sat", "net-nowhere": "error", "broken-low": "error", "gone-held": "error",
            "packed-low": "error", "net-odd": "error",
        }  # fmt: skip
        reasons = {
            "net-nowhere": "nowhere.vnnlib: no such", "broken-low": "broken.onnx: is no ONNX model", "gone-held": "gone.onnx: no such",
            "packed-low": "packed.onnx: is damaged gzip", "net-odd": "odd.vnnlib",
        }  # fmt: skip
        assert all(part in rows[name]["evidence"] for name, part in reasons.items()), rows
    # What is put there later is answered; what was answered stays, whether or not its files do.
    (files / "nowhere.vnnlib").write_bytes(whole["low.vnnlib"])
    (files / "packed.onnx").write_bytes(gzip.compress(whole["net.onnx"]))
    (files / "low.vnnlib").unlink()
    assert cli("bench", "run", f"vnncomp:{files}", "--out", out, "--timeout", "600").code == 1
    rows = table()
    assert (rows["net-nowhere"]["verdict"], rows["net-low"]["verdict"]) == ("unsat", "unsat")
    assert "low.vnnlib: no such" in rows["packed-low"]["evidence"]
    (files / "low.vnnlib").write_text(whole["low.vnnlib"].decode() + "; another file\n")
    ran = cli("bench", "run", f"vnncomp:{files}", "--out", out, "--timeout", "600")
    assert_refused(ran, "holds results of other files: property low.vnnlib differ")


@pytest.mark.parametrize("content", ["", "net.onnx\n", "a,b,c\nnet.onnx,low.vnnlib,soon\n"])
def test_a_list_that_cannot_be_read_is_no_run(cli, files, content):
    (files / "instances.csv").write_text(content)
    assert_refused(cli("bench", "run", f"vnncomp:{files}", "--out", files / "out"), "instances.csv")
    assert not (files / "out").exists()


def test_a_run_on_float_networks_writes_certificates(cli, files):
    (files / "instances.csv").write_text("net.onnx,low.vnnlib,60\nnet.onnx,held.vnnlib,60\n")
    ran = cli("bench", "run", f"vnncomp:{files}", "--out", files / "out", "--proofs", files / "evidence", "--check")
    assert ran.code == 0 and "2 certificates in" in ran.err and "all of them checked" in ran.err
    for name in ("low", "held"):
        path = files / "evidence" / f"net-{name}.npcert"
        checked = cli("check", path, "--network", files / "net.onnx", "--property", files / f"{name}.vnnlib")
        assert checked.code == 0 and checked.out.startswith("PROVED: ")


def test_the_competition_scripts(files):
    environment = {**os.environ, "PATH": f"{files}:{os.environ['PATH']}", "NETPROOF_THREADS": "1"}
    tool = files / "netproof"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m netproof "$@"\n')
    tool.chmod(0o755)
    scripts = files / "vnncomp_scripts"
    scripts.mkdir()
    for name in ("prepare_instance.sh", "run_instance.sh"):
        (scripts / name).write_bytes((ROOT / "vnncomp_scripts" / name).read_bytes())
    network, prop, result = files / "net.onnx", files / "held.vnnlib", files / "result.txt"
    for script, more in (("prepare_instance.sh", []), ("run_instance.sh", [result, "20"])):
        command = ["bash", scripts / script, "v1", "mine", network, prop, *more]
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert result.read_text().startswith("sat\n((X_0 ")


def test_a_network_that_needs_more_memory_is_refused_before_it_starts(cli, tmp_path):
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(2, 600)),
        "v": random.normal(size=(600, 600)),
        "u": random.normal(size=(600, 1)),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "v"], ["c"]),
        node("Relu", ["c"], ["d"]), node("MatMul", ["d", "u"], ["y"]),
    ]  # fmt: skip
    save(tmp_path / "net.onnx", model(nodes, (1, 2), weights))
    vnnlib(tmp_path / "low.vnnlib", -1, 1, "(<= Y_0 -1e9)")
    (tmp_path / "instances.csv").write_text("net.onnx,low.vnnlib,5\n")
    said = ("needs about ", "the limit is 2.0 MiB", "allow more (--memory 0.0")
    assert_refused(
        cli("verify", tmp_path / "net.onnx", tmp_path / "low.vnnlib", "--memory", 2 / 1024), "net.onnx", *said
    )
    out = tmp_path / "out"
    assert_refused(cli("bench", "run", f"vnncomp:{tmp_path}", "--out", out, "--memory", 2 / 1024), "net.onnx", *said)
    assert not out.exists()
    assert cli("bench", "run", f"vnncomp:{tmp_path}", "--out", out, "--memory", 1).code == 0
    assert_refused(cli("verify", tmp_path / "net.onnx", tmp_path / "low.vnnlib", "--memory", 0), "--memory")


def test_a_device_that_is_not_there(cli, files, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (files / "instances.csv").write_text("net.onnx,low.vnnlib,5\n")
    asked = ("verify", files / "net.onnx", files / "low.vnnlib")
    run = ("bench", "run", f"vnncomp:{files}", "--out", files / "out")
    for command in (asked, run):
        assert_refused(cli(*command, "--device", "cuda"), "--device: 'cuda' cannot be used", "auto")
        assert_refused(cli(*command, "--device", "nowhere"), "--device: no device is called 'nowhere'", "cuda:N")
    assert not (files / "out").exists()
    assert verdict(cli, files, "low", "--device", "auto")["verdict"] == "unsat"
    assert cli(*run, "--device", "auto").code == 0
    (invocation,) = json.loads((files / "out" / "run.json").read_text())["invocations"]
    assert invocation["settings"]["device"] == "cpu"
