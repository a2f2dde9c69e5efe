"""Ending on request: at once where nothing is under way, in order where something is."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: seconds until a stop is tried again: after an import, after it was swallowed on the spot, and after it did not come through
_AFTER_IMPORT, _AT_ONCE, _AFTER_SILENCE = 0.05, 0.001, 10.0
#: seconds that an import may take before it is interrupted after all
_LONGEST_IMPORT = 30.0


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end; unwinds like Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def _numbers() -> list[int]:
    """The signals that ask to end. What is ignored (nohup, jobs that a shell put into the background) stays ignored."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers: list[int] = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def end_at_once() -> None:
    """From now on a signal that asks this process to end does so by itself, without an exception and without a word.

    Python's own way with Ctrl-C is an exception at the next opportunity, and that gets lost where native code does not
    look for one: half of all signals that came while PyTorch was imported had no effect. A command that has something
    to put in order works within :func:`stoppable`.
    """
    for number in _numbers():
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def stoppable(standing: Callable[[], str]) -> Iterator[None]:
    """Within this block, SIGINT, SIGTERM and SIGHUP end the command in order: with a line on standard error, and 128
    plus the number.

    ``standing`` says how far it got by then, as the line goes on after the signal's name.
    """
    import typer

    try:
        with _raising():
            yield
    except Stopped as stop:
        typer.echo(f"stopped by {stop}{standing()}", err=True)
        raise typer.Exit(128 + stop.number) from None


@contextmanager
def _raising() -> Iterator[None]:
    """Within, the signals raise :class:`Stopped` in the main thread, and go on doing so until it has come through."""
    stop = _Stop()
    numbers = _numbers()
    timer = signal.SIGALRM if hasattr(signal, "setitimer") else None
    before = {number: signal.getsignal(number) for number in (*numbers, *([] if timer is None else [timer]))}
    unraisable = sys.unraisablehook
    sys.unraisablehook = stop.swallowed
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        stop.over()
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = unraisable
        # Whatever became of the exception, and of the work: somebody asked for the end.
        if stop.number is not None and not isinstance(sys.exc_info()[1], Stopped):
            raise Stopped(stop.number)


class _Stop:
    """The handler: raises where an exception comes through, and comes back where it did not.

    An import is left alone, because native modules and whoever tries several of them take any exception for a missing
    part; so are the places that cannot raise (a destructor, a callback), of which the interpreter tells.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._first = 0.0
        self._hook = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._first = number, time.monotonic()
        if _importing(frame) and time.monotonic() - self._first < _LONGEST_IMPORT:
            self._again(_AFTER_IMPORT)
            return
        self._again(_AFTER_SILENCE)
        raise Stopped(self.number)

    def swallowed(self, unraisable: Any) -> None:
        """The interpreter's word that an exception went nowhere."""
        if isinstance(unraisable.exc_value, Stopped) or unraisable.exc_type is Stopped:
            self._again(_AT_ONCE)
        else:
            self._hook(unraisable)

    def over(self) -> None:
        """No more of it."""
        self._again(0.0)

    def _again(self, seconds: float) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, seconds)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported right now."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
