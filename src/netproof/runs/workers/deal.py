"""Worker processes: instances dealt out in small shares, outcomes as they come.

Each worker has its imports from a server, of which it is forked, or is started afresh where there can be none. It opens the
benchmark itself and asks for the next share when it has answered the last. A worker that dies costs nothing but the instance that killed it:
the rest of its share is dealt out again, one by one.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

from netproof.benchmarks.base import Instance
from netproof.errors import InputError, NetproofError
from netproof.processes.child import ChildError
from netproof.processes.forked import POSSIBLE, ForkServer
from netproof.processes.inside import start_pytorch
from netproof.processes.spawned import Piped, Spawned
from netproof.runs.job import Answered, Job

#: a share is no larger: batching more gains little, and the bar should move
_LARGEST_SHARE = 32
#: what workers have imported when they begin
_READY = "netproof.runs.workers.ready"


@dataclass(frozen=True)
class _Ready:
    """What a worker says when it waits for a share: once at first, then after each."""


@dataclass(frozen=True)
class _Unusable:
    """What a worker says when the benchmark cannot be opened."""

    source: str
    problem: str
    hint: str


@dataclass
class _Worker:
    """The parent's side of one worker."""

    child: Piped
    started: bool = False
    share: dict[str, Instance] = field(default_factory=dict)


def solve_in_workers(job: Job, instances: Sequence[Instance], processes: int) -> Iterator[Answered]:
    """Like :meth:`netproof.runs.job.Job.solve`, in several processes, each of which opens the benchmark.

    Raises :class:`InputError` where a worker finds the benchmark's files unusable or does not get
    as far as opening them. Closing the iterator ends the workers.
    """
    shares = _Shares(instances, processes)
    working: list[_Worker] = []
    all_ever: list[Piped] = []

    def start() -> None:
        child = _started(server, job)
        working.append(_Worker(child))
        all_ever.append(child)

    first = min(processes, len(instances))
    # One process has nothing to share its imports with.
    server = ForkServer(_READY) if POSSIBLE and first > 1 else None
    try:
        for _ in range(first):
            start()
        while working:
            ready = wait([worker.child.pipe for worker in working])
            for worker in [w for w in working if w.child.pipe in ready]:
                try:
                    message = worker.child.receive()
                except ChildError as death:
                    working.remove(worker)
                    yield from _bury(worker, job, shares, death, others=bool(working))
                    if shares and worker.started:
                        start()
                    continue
                if isinstance(message, _Unusable):
                    raise InputError(message.source, message.problem, message.hint)
                if isinstance(message, _Ready):
                    worker.started = True
                    if not _deal(worker, shares):
                        working.remove(worker)
                else:
                    assert isinstance(message, Answered)
                    del worker.share[message.row.name]
                    yield message
    finally:
        for child in all_ever:
            child.terminate()
        for child in all_ever:
            child.close()
        if server is not None:
            server.close()


class _Shares:
    """What is still to be dealt out: large shares first, single instances at the end.

    Hard ones come first. The last to be begun is what the others wait for.
    """

    def __init__(self, instances: Sequence[Instance], processes: int) -> None:
        self._fresh = deque(sorted(instances, key=lambda instance: -instance.hardness))
        self._suspects: deque[Instance] = deque()
        self._processes = processes

    def __bool__(self) -> bool:
        return bool(self._fresh or self._suspects)

    def next(self) -> list[Instance]:
        if self._suspects:
            return [self._suspects.popleft()]
        size = min(_LARGEST_SHARE, max(1, len(self._fresh) // (4 * self._processes)), len(self._fresh))
        return [self._fresh.popleft() for _ in range(size)]

    def again(self, instances: Sequence[Instance]) -> None:
        """Take back instances, one of which ended a worker."""
        self._suspects.extend(instances)


def _started(server: ForkServer | None, job: Job) -> Piped:
    if server is not None:
        with suppress(OSError):  # it has ended, killed for its memory perhaps
            return server.start(_work, job)
    return Spawned(_work, job)


def _deal(worker: _Worker, shares: _Shares) -> bool:
    """Give the worker its next share; False where nothing is left."""
    share = shares.next() if shares else []
    worker.share = {instance.name: instance for instance in share}
    worker.child.send(share)
    return bool(share)


def _bury(worker: _Worker, job: Job, shares: _Shares, death: ChildError, *, others: bool) -> Iterator[Answered]:
    """Account for the share of a worker that died.

    One that died while it started, for want of memory perhaps, leaves the work to the others.
    """
    cause = f"{death}, perhaps out of memory" if death.code == -signal.SIGKILL else str(death)
    if not worker.started:
        if others:
            return
        raise InputError(
            "--jobs", f"a worker process died while it started ({cause})", "see above for its reason, or use fewer jobs"
        )
    left = list(worker.share.values())
    if len(left) > 1:
        shares.again(left)
        return
    for instance in left:
        yield job.failed(instance, f"its worker process died ({cause})")


def _work(pipe: Connection, job: Job) -> None:
    """The worker's life."""
    # The processes are the parallelism: small matrices gain nothing from threads that wait for each other.
    start_pytorch(1)
    try:
        opened = job.opened()
    except InputError as error:
        pipe.send(_Unusable(error.source, error.problem, error.hint))
        return
    except NetproofError as error:
        pipe.send(_Unusable(job.benchmark.name, str(error), "check its files"))
        return
    pipe.send(_Ready())
    while share := pipe.recv():
        for outcome in job.solve(opened, share):
            pipe.send(outcome)
        pipe.send(_Ready())
