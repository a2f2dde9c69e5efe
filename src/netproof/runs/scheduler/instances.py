"""Instances answered by the workers of a Dask scheduler, on as many machines as these run on.

Shares of instances are tasks. A share that a lost worker had is done again by another one, and its rows come once, when it is
done. What Dask gives up on, because several workers died of it, is dealt out again one by one; an instance that does the same
alone becomes an ``error``, as it does with local processes.

Workers find the data where their own settings say (``$NETPROOF_DATA``), or where the run does, and have to find the very files
that the run is about: by their SHA-256.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, NetproofError
from netproof.runs.job import Answered, Job
from netproof.runs.scheduler.connection import (
    AGAIN,
    PASSING,
    Unusable,
    check_scheduler,
    connected,
    ended,
    prepare_worker,
)

if TYPE_CHECKING:
    from distributed import Client, Future

#: shares for each worker, so that none is idle for long at the end; instances in one, at the most
_SHARES, _LARGEST_SHARE = 8, 32


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
    client = connected(check_scheduler(address), address)
    try:
        yield from _answers(client, job, instances, hashes, address)
    finally:
        client.close(timeout=2)


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
        found = ended(future)
        if isinstance(found, Unusable):
            raise InputError(found.source, found.problem, found.hint)
        if isinstance(found, list):
            yield from found
        elif client.status != "running":
            raise InputError("--scheduler", f"{address} went away, with {len(waiting) + 1} shares open", AGAIN)
        elif found is None or isinstance(found, PASSING):
            # Its worker was lost between doing it and being asked: it is done once more.
            submit(share)
        elif len(share) > 1:
            for instance in share:
                submit((instance,))
        else:
            said = f"{type(found).__name__}: {' '.join(str(found).split())[:200]}"
            yield job.failed(share[0], f"its worker died, or failed: {said}")
        future.release()


def _answer(sent: bytes, share: Sequence[Instance]) -> list[Answered] | Unusable:
    """What a worker does: all of a share, at once."""
    prepare_worker()
    try:
        job, opened = _opened(sent)
    except InputError as error:
        return Unusable(error.source, error.problem, error.hint)
    except NetproofError as error:
        return Unusable("a worker", str(error), "check its data")
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
    job = replace(job, data=data)
    return job, job.opened()


def _data(job: Job) -> DataFolders:
    """Where a worker finds the data: where the run does, or else where its own environment says."""
    try:
        job.benchmark.files(job.data)
    except InputError:
        return DataFolders.locate(None)
    return job.data
