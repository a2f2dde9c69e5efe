"""Instances answered by the workers of a Dask scheduler, on as many machines as these run on.

Shares of instances are tasks. A share that a lost worker had is done again by another one, and its rows come once, when it is
done. What Dask gives up on, because several workers died of it, is dealt out again one by one; an instance that does the same
alone becomes an ``error``, as it does with local processes.

Workers find the data where their own settings say (``$NETPROOF_DATA``), or where the run does, and have to find the very files
that the run is about: by their SHA-256.

M. Rocklin, "Dask: Parallel Computation with Blocked algorithms and Task Scheduling", SciPy 2015.
"""

from __future__ import annotations

import asyncio
import functools
import pickle
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, NetproofError
from netproof.runs.job import Answered, Job

if TYPE_CHECKING:
    from distributed import Client, Future

PREFIX = "dask://"
#: seconds to wait for the scheduler, and for its first worker
_CONNECT, _WORKERS = 10.0, 30.0
#: shares for each worker, so that none is idle for long at the end; instances in one, at the most
_SHARES, _LARGEST_SHARE = 8, 32
#: what says nothing of a task: the connection, or a result that went with its worker
_PASSING = (OSError, TimeoutError, CancelledError, asyncio.CancelledError)
_AGAIN = "start it again and run the same command again: it resumes"


def check_scheduler(address: str) -> str:
    """The address in Dask's own form, ``tcp://HOST:PORT``; raises :class:`InputError`."""
    host, _, port = address.removeprefix(PREFIX).rpartition(":")
    if not address.startswith(PREFIX) or not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise InputError(
            "--scheduler", f"is '{address[:60]}'", f"give {PREFIX}HOST:PORT, as 'dask scheduler' prints it"
        )
    try:
        import distributed  # noqa: F401
    except ImportError:
        problem = "needs Dask, which is not installed"
        raise InputError("--scheduler", problem, "install it: pip install 'netproof[dask]'") from None
    return f"tcp://{host}:{port}"


def solve_on_scheduler(
    job: Job, instances: Sequence[Instance], address: str, hashes: Mapping[str, str]
) -> Iterator[Answered]:
    """Like :meth:`netproof.runs.job.Job.solve`, by the workers of a scheduler.

    Parameters
    ----------
    address : ``dask://HOST:PORT``
    hashes : of the benchmark's files, which workers have to have

    Raises
    ------
    InputError : a scheduler that is not there, has no workers, or goes away; workers that have other data or another
        version of netproof
    """
    client = _connected(check_scheduler(address), address)
    try:
        yield from _answers(client, job, instances, hashes, address)
    finally:
        client.close(timeout=2)


def _connected(tcp: str, address: str) -> Client:
    import logging

    from distributed import Client

    # What it says while it retries is said once, below; of results that went with their worker its tasks leave exceptions behind.
    for name in ("distributed", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(tcp, timeout=_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        problem = f"{address} does not answer ({' '.join(str(error).split())[:60] or type(error).__name__})"
        raise InputError(
            "--scheduler", problem, "start it: dask scheduler; dask worker HOST:PORT --nthreads 1"
        ) from None
    try:
        client.wait_for_workers(1, timeout=_WORKERS)
    except TimeoutError:
        client.close(timeout=2)
        problem = f"{address} has no workers"
        raise InputError("--scheduler", problem, "start some: dask worker HOST:PORT --nthreads 1") from None
    return client


def _answers(
    client: Client, job: Job, instances: Sequence[Instance], hashes: Mapping[str, str], address: str
) -> Iterator[Answered]:
    from distributed import as_completed

    sent = pickle.dumps((job, dict(hashes)))
    workers = max(1, len(client.scheduler_info()["workers"]))
    size = max(1, min(_LARGEST_SHARE, len(instances) // (_SHARES * workers)))
    queue = as_completed(loop=client.loop)
    waiting: dict[str, tuple[Instance, ...]] = {}

    def submit(share: tuple[Instance, ...]) -> None:
        # Not pure: the same share again is to be answered again.
        future: Future = client.submit(_answer, sent, share, pure=False)
        waiting[future.key] = share
        queue.add(future)

    for start in range(0, len(instances), size):
        submit(tuple(instances[start : start + size]))
    for future in queue:
        share = waiting.pop(future.key)
        ended = _ended(future)
        if isinstance(ended, _Unusable):
            raise InputError(ended.source, ended.problem, ended.hint)
        if isinstance(ended, list):
            yield from ended
        elif client.status != "running":
            raise InputError("--scheduler", f"{address} went away, with {len(waiting) + 1} shares open", _AGAIN)
        elif ended is None or isinstance(ended, _PASSING):
            # Its worker was lost between doing it and being asked: it is done once more.
            submit(share)
        elif len(share) > 1:
            for instance in share:
                submit((instance,))
        else:
            said = f"{type(ended).__name__}: {' '.join(str(ended).split())[:200]}"
            yield job.failed(share[0], f"its worker died, or failed: {said}")
        future.release()


def _ended(future: Future) -> list[Answered] | _Unusable | BaseException | None:
    """What a task gave, or what it ended with; None where that is lost."""
    try:
        if future.status == "finished":
            found: list[Answered] | _Unusable = future.result(timeout=_CONNECT)
            return found
        error: BaseException | None = future.exception(timeout=_CONNECT)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    return error


@dataclass(frozen=True)
class _Unusable:
    """What a worker says where its data cannot be used: errors with several arguments do not travel."""

    source: str
    problem: str
    hint: str


def _answer(sent: bytes, share: Sequence[Instance]) -> list[Answered] | _Unusable:
    """What a worker does: all of a share, at once."""
    import torch

    torch.set_num_threads(1)
    try:
        job, opened = _opened(sent)
    except InputError as error:
        return _Unusable(error.source, error.problem, error.hint)
    except NetproofError as error:
        return _Unusable("a worker", str(error), "check its data")
    return list(job.solve(opened, share))


@functools.lru_cache(maxsize=2)
def _opened(sent: bytes) -> tuple[Job, OpenBenchmark]:
    """The benchmark, open, for all shares that a worker gets of one run."""
    job: Job
    hashes: dict[str, str]
    job, hashes = pickle.loads(sent)
    data = _data(job)
    found: dict[str, Any] = dict(job.benchmark.hashes(data))
    other = sorted(role for role in {*found, *hashes} if found.get(role) != hashes.get(role))
    if other:
        raise InputError(
            "--scheduler", f"a worker has another file: {other[0]} (SHA-256)", "give all workers the same data"
        )
    return replace(job, data=data), job.benchmark.open(data)


def _data(job: Job) -> DataFolders:
    """Where a worker finds the data: where the run does, or else where its own environment says."""
    try:
        job.benchmark.files(job.data)
    except InputError:
        return DataFolders.locate(None)
    return job.data
