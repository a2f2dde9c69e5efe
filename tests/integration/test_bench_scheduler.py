"""``bench run --scheduler``: rows come once, whatever becomes of the workers; what is not there is said in one line."""

from __future__ import annotations

import csv
import os
import random
import signal
import socket
import threading

import pytest

from conftest import assert_refused

distributed = pytest.importorskip("distributed", reason="Dask, of the extra dev, is not installed")

pytestmark = [
    # Dask's own: its workers are killed here, and sockets stay behind.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0") as found:
        yield found


def address(cluster) -> str:
    return "dask://" + cluster.scheduler_address.removeprefix("tcp://")


def rows_of(folder):
    with (folder / "results.csv").open() as stream:
        return [(row["instance"], row["verdict"]) for row in csv.DictReader(stream)]


def test_no_row_is_lost_or_doubled_where_workers_are_killed(cluster, tiny_data, tmp_path):
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.registry import benchmark
    from netproof.runs.job import Job
    from netproof.runs.run import RunStep, run_benchmark
    from netproof.settings import Settings

    job = Job(benchmark("qnn-mnist"), DataFolders((tiny_data.folder,)), Settings(timeout=30))
    chance = random.Random(1)
    moments = sorted(chance.sample(range(20, 300), 2))
    seen = []
    for event in run_benchmark(job, tmp_path / "run", scheduler=address(cluster)):
        if isinstance(event, RunStep):
            seen.append(event.row.instance)
            if moments and len(seen) >= moments[0]:
                moments.pop(0)
                victim = chance.choice([worker for worker in cluster.workers.values() if worker.pid])
                os.kill(victim.pid, signal.SIGKILL)
    assert not moments and len(seen) == len(set(seen)) == 400
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 400 and dict(rows) == dict(tiny_data.truth)


def test_a_run_goes_on_where_another_ended(cli, cluster, tiny_data, tmp_path):
    asked = ("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", tmp_path / "run")
    assert cli(*asked, "--only", "mnist-1*-eps-2").code == 0
    ran = cli(*asked, "--only", "*-eps-2", "--scheduler", address(cluster))
    assert ran.code == 0 and "answered before" in ran.err, ran
    expected = {name: verdict for name, verdict in tiny_data.truth.items() if name.endswith("eps-2")}
    rows = rows_of(tmp_path / "run")
    assert len(rows) == len(expected) and dict(rows) == expected


def test_workers_with_other_data_are_refused(cluster, tiny_data, tmp_path):
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.registry import benchmark
    from netproof.errors import InputError
    from netproof.runs.job import Job
    from netproof.runs.scheduler.instances import solve_on_scheduler
    from netproof.settings import Settings

    data = DataFolders((tiny_data.folder,))
    job = Job(benchmark("qnn-mnist"), data, Settings(timeout=30))
    hashes = dict(job.benchmark.hashes(data), network="0" * 64)
    with pytest.raises(InputError, match="a worker has another file: network"):
        list(solve_on_scheduler(job, job.benchmark.instances(data)[:5], address(cluster), hashes))


def test_wrong_uses(cli, cluster, tiny_data, tmp_path):
    asked = ("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", tmp_path / "run")
    for text in ("localhost:8786", "dask://localhost", "dask://:1", "dask://host:port", "tcp://localhost:1"):
        assert_refused(cli(*asked, "--scheduler", text), "--scheduler", "dask://HOST:PORT")
    assert_refused(cli(*asked, "--scheduler", address(cluster), "--jobs", 2), "--jobs", "leave --jobs out")
    assert_refused(cli(*asked, "--scheduler", address(cluster), "--check"), "--scheduler", "certificates")


def test_a_scheduler_that_is_not_there_or_goes_away(cli, tiny_data, tmp_path, monkeypatch):
    from netproof.runs.scheduler import connection

    monkeypatch.setattr(connection, "_CONNECT", 1.0)
    monkeypatch.setattr(connection, "_WORKERS", 1.0)
    asked = ("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", tmp_path / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ran = cli(*asked, "--scheduler", f"dask://127.0.0.1:{port}")
    assert ran.code == 2 and "does not answer" in ran.err.splitlines()[-1] and "dask scheduler" in ran.err
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        ran = cli(*asked, "--scheduler", address(empty))
        assert ran.code == 2 and "has no workers" in ran.err.splitlines()[-1], ran
    alone = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    thread = threading.Timer(0.0, lambda: None)
    try:
        from netproof.benchmarks.data import DataFolders
        from netproof.benchmarks.registry import benchmark
        from netproof.errors import InputError
        from netproof.runs.job import Job
        from netproof.runs.run import RunStep, run_benchmark
        from netproof.settings import Settings

        job = Job(benchmark("qnn-mnist"), DataFolders((tiny_data.folder,)), Settings(timeout=30))
        with pytest.raises(InputError, match="went away"):
            for event in run_benchmark(job, tmp_path / "gone", scheduler=address(alone)):
                if isinstance(event, RunStep) and thread is not None:
                    thread = None
                    alone.close(timeout=5)
    finally:
        alone.close(timeout=5)
    # What is on record stays, and goes on here.
    assert cli(*asked[:-1], tmp_path / "gone").code == 0
    assert dict(rows_of(tmp_path / "gone")) == dict(tiny_data.truth)


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """A float network of four inputs, and a property for each verdict."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    folder = tmp_path_factory.mktemp("hard")
    random = np.random.default_rng(5)
    nodes, tensors, name = [], [], "x"
    for number, (rows, columns) in enumerate([(4, 12), (12, 12), (12, 1)]):
        weight = random.normal(0, 1 / np.sqrt(rows), (rows, columns)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"m{number}"]))
        name = f"m{number}"
        if columns > 1:
            nodes.append(helper.make_node("Relu", [name], [f"r{number}"]))
            name = f"r{number}"
    real = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "hard", [helper.make_tensor_value_info("x", real, [1, 4])],
        [helper.make_tensor_value_info(name, real, [1, 1])], tensors,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "hard.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "hard.onnx"), providers=["CPUExecutionProvider"])
    values = np.concatenate(
        [session.run(None, {"x": row[None]})[0][0] for row in random.uniform(-1, 1, (400, 4)).astype(np.float32)]
    )
    head = "(declare-const Y_0 Real)\n" + "".join(
        f"(declare-const X_{i} Real)(assert (>= X_{i} -1))(assert (<= X_{i} 1))\n" for i in range(4)
    )
    # What twenty sampled inputs reach, and what no input does.
    weights = [numpy_helper.to_array(tensor).astype(np.float64) for tensor in tensors]
    most = np.ones(4)
    for weight in weights:
        most = most @ np.abs(weight)
    (folder / "sat.vnnlib").write_text(f"{head}(assert (>= Y_0 {float(np.sort(values.ravel())[-20])}))\n")
    (folder / "unsat.vnnlib").write_text(f"{head}(assert (>= Y_0 {float(most[0]) + 1}))\n")
    return folder


@pytest.mark.parametrize("verdict", ["sat", "unsat"])
def test_one_question_in_pieces(cluster, hard, verdict, monkeypatch):
    import netproof
    from netproof.runs.scheduler.pieces import Piece, Pieces
    from netproof.runs.scheduler.question import Sources, decide_on_scheduler

    # The first have no time, so that they are cut, twice.
    monkeypatch.setattr(Piece, "share", property(lambda piece: 2.0 if piece.cuts > 1 else 1e-5))
    network = netproof.load(hard / "hard.onnx")
    question = netproof.read_vnnlib(hard / f"{verdict}.vnnlib").question(network)
    sources = Sources.of(hard / "hard.onnx", hard / f"{verdict}.vnnlib", None, None, network.sha256)
    # A worker is ended when the third answer comes, whatever it is at.
    calls, decided = [], Pieces.decided

    def killing(self, piece, answer):
        calls.append(answer)
        if len(calls) == 3:
            os.kill(next(worker.pid for worker in cluster.workers.values() if worker.pid), signal.SIGKILL)
        return decided(self, piece, answer)

    monkeypatch.setattr(Pieces, "decided", killing)
    result = decide_on_scheduler(sources, question, address(cluster), netproof.Settings(timeout=120))
    assert verdict == "sat" or len(calls) > 3
    assert result.verdict.value == verdict == netproof.verify(question).verdict.value
    if result.witness is not None:
        assert question.parts[result.part].admits(result.witness.numbers, result.witness.output_numbers)


def test_a_question_from_the_command_line(cli, cluster, hard, tmp_path):
    asked = ("verify", hard / "hard.onnx", hard / "unsat.vnnlib", "--scheduler")
    ran = cli(*asked, address(cluster), "--timeout", 60)
    assert ran.code == 0 and ran.out.startswith("unsat\n"), ran
    assert_refused(cli(*asked, "localhost:1"), "--scheduler", "dask://HOST:PORT")
    assert_refused(
        cli(*asked, address(cluster), "--certificate", tmp_path / "c"), "--scheduler", "leave no certificate"
    )


def test_a_question_whose_files_are_others_there(hard):
    from netproof.errors import InputError
    from netproof.runs.scheduler.question import Sources

    sources = Sources.of(hard / "hard.onnx", hard / "sat.vnnlib", None, None, "0" * 64)
    with pytest.raises(InputError, match=r"another file: .*hard\.onnx"):
        sources.question()
