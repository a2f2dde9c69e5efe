"""The worker's side of a run in several processes."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from pathlib import Path

from netproof.benchmarks.data import DataFolders
from netproof.runs import workers
from netproof.settings import Settings


class Nothing:
    """A benchmark that opens and asks nothing."""

    name = "nothing"

    def open(self, data):
        return self


def test_a_worker_ends_quietly_when_its_parent_is_killed(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()

    def die() -> None:
        # What the worker said is there, and nobody has read it.
        assert ours.poll(10)
        ours.close()

    parent = threading.Thread(target=die)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        parent.start()
        workers._work(theirs, Nothing(), DataFolders((tmp_path,)), Settings(), None, None)  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGINT, interrupt)
        parent.join()
        theirs.close()
