"""Ending in order when somebody asks for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end; unwinds like Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextmanager
def stoppable(standing: Callable[[], str]) -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP end the command in order: with a line on standard error, and 128 plus the number.

    ``standing`` says how far it got by then, as the line goes on after the signal's name.
    """
    try:
        with _raising():
            yield
    except Stopped as stop:
        typer.echo(f"stopped by {stop}{standing()}", err=True)
        raise typer.Exit(128 + stop.number) from None


@contextmanager
def _raising() -> Iterator[None]:
    """Within, the signals raise :class:`Stopped` in the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        numbers.append(signal.SIGHUP)
    # What is ignored (nohup) stays ignored.
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
