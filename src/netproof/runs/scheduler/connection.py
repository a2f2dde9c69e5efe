"""The connection to a Dask scheduler, and what its tasks end with.

M. Rocklin, "Dask: Parallel Computation with Blocked algorithms and Task Scheduling", SciPy 2015.
"""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netproof.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

PREFIX = "dask://"
#: seconds to wait for the scheduler, and for its first worker
_CONNECT, _WORKERS = 10.0, 30.0
#: what says nothing of a task: the connection, or a result that went with its worker
PASSING = (OSError, TimeoutError, CancelledError, asyncio.CancelledError)
AGAIN = "start it again and run the same command again: it resumes"


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


def connected(tcp: str, address: str) -> Client:
    """A client of the scheduler, which has a worker at least; raises :class:`InputError`."""
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


def ended(future: Future) -> Any:
    """What a task gave, or what it ended with; None where that is lost."""
    try:
        if future.status == "finished":
            return future.result(timeout=_CONNECT)
        error: BaseException | None = future.exception(timeout=_CONNECT)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    return error


def prepare_worker() -> None:
    """What a worker does before a task: PyTorch, once, on one thread."""
    # Nothing of what an import makes is garbage, and a worker of Dask has much to look through for it.
    gc.disable()
    try:
        import torch

        gc.freeze()
    finally:
        gc.enable()
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Unusable:
    """What a worker says where its data cannot be used: errors with several arguments do not travel."""

    source: str
    problem: str
    hint: str
