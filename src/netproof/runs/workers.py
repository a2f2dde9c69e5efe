"""Worker processes: instances dealt out in small shares, outcomes as they come.

Each worker is started afresh (``spawn``), opens the benchmark itself and asks for the next share
when it has answered the last. A worker that dies costs nothing but the instance that killed it:
the rest of its share is dealt out again, one by one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from netproof.benchmarks.base import Benchmark, Instance
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, NetproofError
from netproof.runs.certify import Certifying
from netproof.runs.solve import Decide, Outcome, failed, solve
from netproof.settings import Settings

#: a share is no larger: batching more gains little, and the bar should move
_LARGEST_SHARE = 32


@dataclass(frozen=True)
class _Ready:
    """What a worker says when it waits for a share: once at first, then after each."""


@dataclass(frozen=True)
class _Unusable:
    """What a worker says when the benchmark cannot be opened."""

    source: str
    problem: str
    mend: str


@dataclass
class _Worker:
    """The parent's side of one worker."""

    process: SpawnProcess
    pipe: Connection
    started: bool = False
    share: dict[str, Instance] = field(default_factory=dict)


def solve_in_workers(
    benchmark: Benchmark,
    data: DataFolders,
    instances: Sequence[Instance],
    settings: Settings,
    jobs: int,
    certifying: Certifying | None = None,
    decide: Decide | None = None,
) -> Iterator[Outcome]:
    """Like :func:`netproof.runs.solve.solve`, with ``jobs`` processes; ``decide`` is a function that has a name.

    Raises :class:`InputError` where a worker finds the benchmark's files unusable or does not get
    as far as opening them. Closing the iterator ends the workers.
    """
    context = multiprocessing.get_context("spawn")
    shares = _Shares(instances, jobs)
    working: list[_Worker] = []
    all_ever: list[_Worker] = []

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, benchmark, data, settings, certifying, decide), daemon=True
        )
        with signals_deferred():
            process.start()
        # Only the worker may hold its end, or its death would not be seen here.
        theirs.close()
        worker = _Worker(process, ours)
        working.append(worker)
        all_ever.append(worker)

    try:
        for _ in range(min(jobs, len(instances))):
            start()
        while working:
            ready = wait([worker.pipe for worker in working])
            for worker in [w for w in working if w.pipe in ready]:
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    working.remove(worker)
                    worker.pipe.close()
                    yield from _bury(worker, shares, others=bool(working))
                    if shares and worker.started:
                        start()
                    continue
                if isinstance(message, _Unusable):
                    raise InputError(message.source, message.problem, message.mend)
                if isinstance(message, _Ready):
                    worker.started = True
                    if not _deal(worker, shares):
                        working.remove(worker)
                else:
                    assert isinstance(message, Outcome)
                    del worker.share[message.row.instance]
                    yield message
    finally:
        for worker in all_ever:
            worker.process.terminate()
        for worker in all_ever:
            worker.process.join(2)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


class _Shares:
    """What is still to be dealt out: large shares first, single instances at the end."""

    def __init__(self, instances: Sequence[Instance], jobs: int) -> None:
        self._fresh = deque(instances)
        self._suspects: deque[Instance] = deque()
        self._jobs = jobs

    def __bool__(self) -> bool:
        return bool(self._fresh or self._suspects)

    def next(self) -> list[Instance]:
        if self._suspects:
            return [self._suspects.popleft()]
        size = min(_LARGEST_SHARE, max(1, len(self._fresh) // (4 * self._jobs)), len(self._fresh))
        return [self._fresh.popleft() for _ in range(size)]

    def again(self, instances: Sequence[Instance]) -> None:
        """Take back instances, one of which ended a worker."""
        self._suspects.extend(instances)


def _deal(worker: _Worker, shares: _Shares) -> bool:
    """Give the worker its next share; False where nothing is left."""
    share = shares.next() if shares else []
    worker.share = {instance.name: instance for instance in share}
    # A worker that has died meanwhile is noticed when its pipe is read.
    with contextlib.suppress(OSError):
        worker.pipe.send(share)
    return bool(share)


def _bury(worker: _Worker, shares: _Shares, *, others: bool) -> Iterator[Outcome]:
    """Account for the share of a worker that died.

    One that died while it started, for want of memory perhaps, leaves the work to the others.
    """
    worker.process.join()
    cause = _cause(worker.process.exitcode)
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
        yield failed(instance, f"its worker process died ({cause})")


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{name}, perhaps out of memory" if name == "SIGKILL" else name
    return f"exit code {code}"


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Within, start a process as a whole, or not at all, and out of the reach of Ctrl-C.

    A handler that raised half way would leave a worker without its instructions, and Ctrl-C goes
    to the whole process group although it is for the parent to decide what it means. A worker
    inherits the block of SIGINT from its first instruction on.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started on demand otherwise, and its start would lift the block.
    resource_tracker.ensure_running()
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, frame: arrived.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handled.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def _work(
    pipe: Connection,
    benchmark: Benchmark,
    data: DataFolders,
    settings: Settings,
    certifying: Certifying | None,
    decide: Decide | None,
) -> None:
    """The worker's life."""
    # For systems that cannot block a signal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    # The processes are the parallelism: small matrices gain nothing from threads that wait for each other.
    torch.set_num_threads(1)
    # A parent that was killed closes its end, and resets it where it has left something unread.
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            opened = benchmark.open(data)
        except InputError as error:
            pipe.send(_Unusable(error.source, error.problem, error.mend))
            return
        except NetproofError as error:
            pipe.send(_Unusable(benchmark.name, str(error), "check its files"))
            return
        pipe.send(_Ready())
        while share := pipe.recv():
            for outcome in solve(opened, share, settings, certifying, decide):
                pipe.send(outcome)
            pipe.send(_Ready())


def _end_with_parent() -> None:
    """Nobody would collect the answers of a worker whose parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
