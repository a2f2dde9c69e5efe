"""``bench run --traces``: how searches go on, kept beside the results and shown on the page."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a benchmark with two instances: one that takes a search, one that bounds settle; the folder of its files, and its own."""
    from netproof.cli.main import run as command

    folder = tmp_path_factory.mktemp("traces")
    random = np.random.default_rng(5)
    nodes, tensors, name, value = [], [], "x", random.uniform(-1, 1, (20000, 4))
    for number, (rows, columns) in enumerate([(4, 12), (12, 12), (12, 1)]):
        weight = random.normal(0, 1 / np.sqrt(rows), (rows, columns)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"m{number}"]))
        name, value = f"m{number}", value @ weight
        if columns > 1:
            nodes.append(helper.make_node("Relu", [name], [f"r{number}"]))
            name, value = f"r{number}", value.clip(0)
    real = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", real, [1, 4])],
        [helper.make_tensor_value_info(name, real, [1, 1])], tensors,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "net.onnx")
    head = "(declare-const Y_0 Real)\n" + "".join(
        f"(declare-const X_{i} Real)(assert (>= X_{i} -1))(assert (<= X_{i} 1))\n" for i in range(4)
    )
    largest = float(value.max())
    (folder / "close.vnnlib").write_text(f"{head}(assert (>= Y_0 {largest + 0.2 * abs(largest)}))\n")
    (folder / "far.vnnlib").write_text(f"{head}(assert (>= Y_0 {1000 + 100 * abs(largest)}))\n")
    (folder / "instances.csv").write_text("net.onnx,close.vnnlib,60\nnet.onnx,far.vnnlib,60\n")
    out = folder / "run"
    asked = ["bench", "run", f"vnncomp:{folder}", "--timeout", "60", "--out", out]
    assert command([str(word) for word in [*asked, "--traces"]]) == 0
    return out


def traces(run):
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in (run / "traces").glob("*.jsonl")
    }


def test_every_search_is_kept(run):
    found = traces(run)
    assert len(found) == 2
    for lines in found.values():
        assert lines[0]["event"] == "query" and lines[-1]["event"] == "result"
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    events = {name: {line["event"] for line in lines} for name, lines in found.items()}
    (close,) = (name for name in events if "close" in name)
    assert {"search", "step"} <= events[close] and "search" not in next(e for n, e in events.items() if n != close)


def test_the_page_shows_where_time_went(cli, run, tmp_path):
    assert cli("report", run, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert 'id="phases"' in page and "Time by phase" in page and page.count(".jsonl") == 2
    # A line where two bounds were kept, which how fast the machine is decides, and none where there was no search.
    sparks = re.findall(r'<svg class="spark".*?</svg>', page)
    kept = [
        sum(line["event"] == "step" and line.get("bound") is not None for line in lines)
        for lines in traces(run).values()
    ]
    assert len(sparks) == sum(bounds > 1 for bounds in kept) and all("subproblems" in spark for spark in sparks)


def test_a_traced_search_is_drawn_on_the_page(cli, run, tmp_path):
    """Whatever the search of this machine reached: its trace replaced by one of twenty steps."""
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    close = next((copy / "traces").glob("*close*.jsonl"))
    steps = [{"at": 1 + i / 10, "event": "step", "subproblems": 8 * i, "bound": 2 - i / 10} for i in range(20)]
    lines = [{"at": 0.5, "event": "query"}, {"at": 1.0, "event": "search"}, *steps, {"at": 3.0, "event": "result"}]
    close.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cli("report", copy, "--out", tmp_path / "page.html").code == 0
    (spark,) = re.findall(r'<svg class="spark".*?</svg>', (tmp_path / "page.html").read_text())
    assert "152 subproblems" in spark


def test_a_damaged_trace_is_named_on_the_page(cli, run, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    broken = next((copy / "traces").glob("*.jsonl"))
    for damage in ("{", '{"at": 1e999, "event": "step"}', "[1]", '{"event": "step"}', "\0"):
        broken.write_text(damage + "\n")
        assert cli("report", copy, "--out", tmp_path / "page.html").code == 0
        page = (tmp_path / "page.html").read_text()
        assert f"{broken.name}: is no trace" in page and "damaged</span>" in page and 'id="phases"' in page
    for path in (copy / "traces").glob("*.jsonl"):
        path.write_text("{")
    assert cli("report", copy, "--out", tmp_path / "page.html").code == 0
    assert 'id="phases"' not in (tmp_path / "page.html").read_text()
    shutil.rmtree(copy / "traces")
    assert cli("report", copy, "--out", tmp_path / "page.html").code == 0
    assert 'id="phases"' not in (tmp_path / "page.html").read_text()


def test_the_longer_it_takes_the_fewer_steps_are_kept(monkeypatch, tmp_path):
    from netproof.runs import traces as module
    from netproof.search.trace import tell

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with module.traced(tmp_path, "long"):
        tell("query", lambda: {"name": "long"})
        tell("search", lambda: {"open": 1})
        for number in range(20_000):
            now[0] += 0.03
            tell("step", lambda n=number: {"subproblems": n, "open": 3, "cases": 1, "bound": 5.0 - n / 5000})
        tell("result", lambda: {"verdict": "unsat"})
    lines = (tmp_path / "long.jsonl").read_text().splitlines()
    assert len(lines) < 800
    trace = module.Trace.read(tmp_path / "long.jsonl")
    assert trace.root == 0 and trace.search == pytest.approx(600, abs=1) and trace.subproblems == 19_999
    assert trace.bounds[-1][1] == pytest.approx(5.0 - 19_999 / 5000)
    from netproof.report.page.searches import bound_over_time

    drawn = bound_over_time(trace)
    assert drawn.count(",") < 60 and "19999 subproblems" in drawn
