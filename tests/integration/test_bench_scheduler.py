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

distributed = pytest.importorskip("distributed", reason="Dask, of the extra dask, is not installed")

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
    from netproof.runs.scheduler import solve_on_scheduler
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
    from netproof.runs import scheduler

    monkeypatch.setattr(scheduler, "_CONNECT", 1.0)
    monkeypatch.setattr(scheduler, "_WORKERS", 1.0)
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
