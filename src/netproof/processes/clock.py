"""The clock that a search over integers ends by: time that passes, or time that this process computes.

A limit of passed time decides less where other programs compute as well. What is to be the same on a busy machine, a run over
thousands of images, counts the processor time of its process, which must have one thread then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_COMPUTED = ContextVar("computed", default=False)


def now() -> float:
    """Seconds, to be compared with others of the same clock only."""
    return time.process_time() if _COMPUTED.get() else time.monotonic()


@contextmanager
def processor_time() -> Iterator[None]:
    """Within this block, in this thread, :func:`now` is the processor time of the process."""
    token = _COMPUTED.set(True)
    try:
        yield
    finally:
        _COMPUTED.reset(token)
