"""How a search goes on (``--trace``), and a run from another terminal (``bench watch``)."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest

from conftest import assert_refused
from onnx_models import model, node, save


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A network and a property that bounds at the root do not settle."""
    folder = tmp_path_factory.mktemp("searched")
    random = np.random.default_rng(0)
    weights = {"a": random.normal(size=(3, 10)).astype(np.float32), "b": random.normal(size=(10, 10)).astype(np.float32) / 3,
               "c": random.normal(size=(10, 1)).astype(np.float32)}  # fmt: skip
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "b"], ["i"]),
             node("Relu", ["i"], ["s"]), node("MatMul", ["s", "c"], ["y"])]  # fmt: skip
    network = save(folder / "net.onnx", model(nodes, (1, 3), weights))
    import netproof

    read = netproof.load(network)
    import torch

    points = torch.tensor(random.uniform(-1, 1, (20000, 3)))
    largest = float(read.graph.evaluate(points).max())
    declared = "".join(f"(declare-const X_{i} Real)\n" for i in range(3)) + "(declare-const Y_0 Real)\n"
    box = "".join(f"(assert (>= X_{i} -1)) (assert (<= X_{i} 1))\n" for i in range(3))
    (folder / "p.vnnlib").write_text(f"{declared}{box}(assert (>= Y_0 {largest * 1.3:.4f}))\n")
    return network, folder / "p.vnnlib"


def test_a_trace_tells_how_the_search_went_on(cli, searched, tmp_path):
    ran = cli("verify", *searched, "--trace", tmp_path / "t.jsonl", "--json", "--timeout", 20)
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    events = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "query" and events[-1]["event"] == "result"
    assert events[0]["inputs"] == 3 and events[0]["cases"] == 1
    assert (events[-1]["verdict"], events[-1]["subproblems"]) == (document["verdict"], document["subproblems"])
    steps = [e for e in events if e["event"] == "step"]
    assert steps and all({"subproblems", "open", "cases", "bound"} <= set(e) for e in steps)
    assert [e["at"] for e in events] == sorted(e["at"] for e in events)
    counts = [e["subproblems"] for e in steps]
    assert counts == sorted(counts) and counts[-1] > 1


def test_nobody_listens_afterwards(cli, searched, tmp_path):
    log = logging.getLogger("netproof.trace")
    cli("verify", *searched, "--trace", tmp_path / "t.jsonl", "--timeout", 10)
    assert not log.handlers and not log.isEnabledFor(logging.DEBUG)


def test_a_long_search_says_so_now_and_then(cli, searched, monkeypatch):
    from netproof.cli.terminal import tracing

    assert cli("verify", *searched, "--timeout", 10).err == ""
    monkeypatch.setattr(tracing, "_LINES", 0.0)
    assert "subproblems" in cli("verify", *searched, "--timeout", 10).err


def test_a_trace_that_cannot_be_written(cli, searched, tmp_path):
    assert_refused(cli("verify", *searched, "--trace", tmp_path / "no" / "t"), "there is no folder", "--trace")


def test_a_gate_of_properties(cli, searched):
    verdict = cli("verify", *searched, "--timeout", 10).out.split()[0]
    assert verdict in ("sat", "unsat")
    assert cli("verify", *searched, "--fail-on", verdict).code == 1
    assert cli("verify", *searched, "--fail-on", "timeout,unknown").code == 0


def test_a_run_is_watched_from_elsewhere(cli, tiny_data, tmp_path):
    folder = tmp_path / "run"
    assert (
        cli("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", folder, "--only", "mnist-1*-eps-1").code
        == 0
    )
    ran = cli("bench", "watch", folder)
    assert ran.code == 0 and "answered" in ran.out and "the run has ended" in ran.out and "latest: mnist-1" in ran.out
    # While it runs: no wall time yet, and a last line that is being written.
    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    record = json.loads((torn / "run.json").read_text())
    record["invocations"][-1]["wall_seconds"] = None
    (torn / "run.json").write_text(json.dumps(record))
    with (torn / "results.csv").open("a") as stream:
        stream.write("mnist-2-eps-1,robu")
    ran = cli("bench", "watch", torn, "--once")
    assert ran.code == 0 and "answered" in ran.out and "ended" not in ran.out
    assert_refused(cli("bench", "watch", tmp_path), "holds no benchmark run")
    assert_refused(cli("bench", "watch", folder, "--every", 0), "--every", "0.1 to 3600")
