"""The calling program: what it may have set in PyTorch and NumPy, and what it may have done to its threads.

A default kind of number is of no consequence, because every tensor names its own. What else a caller can have switched on
holds for its own code: :func:`on_own_terms` marks the functions that it calls, and within these PyTorch and NumPy are as
they are in a fresh process. All of that is kept by thread, so that nothing changes for the caller's other threads.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

#: whether somebody used PyTorch, and so perhaps its threads, before this module was there to know of forks
_EARLIER = "torch" in sys.modules

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from netproof.errors import InputError  # noqa: E402

_P = ParamSpec("_P")
_T = TypeVar("_T")
#: the smallest positive float64: where it is taken for 0, so are all numbers that are nearly as small
_TINY = np.float64(5e-324)


def _was_forked() -> bool:
    """Whether ``multiprocessing`` made this process by a fork of one that had PyTorch already."""
    process = multiprocessing.current_process()
    return _EARLIER and multiprocessing.parent_process() is not None and "Spawn" not in type(process).__name__


class _Process:
    """What is known of this process, which a fork changes."""

    forked = _was_forked()


def _now_forked() -> None:
    _Process.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_now_forked)


@contextmanager
def own_terms() -> Iterator[None]:
    """Within this block, this thread computes as a fresh process would, whatever the caller has set.

    That is: tensors that gradients can be taken of (no ``inference_mode`` or ``no_grad``), on the CPU where no device is
    named, without automatic casts, without flushing small numbers to 0; floating point exceptions of NumPy as by default.
    In a process that was forked, one processor thread: the pools of OpenMP do not survive a fork, and whoever waits for
    their threads waits for ever.
    """
    with ExitStack() as stack:
        if _Process.forked:
            stack.enter_context(_one_thread())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for device in _casting():
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.empty(0, dtype=torch.float32).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if _TINY * np.float64(1.0) == 0.0:
            stack.enter_context(_small_numbers())
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        yield


def _casting() -> list[str]:
    """The kinds of device on which automatic casts are switched on."""
    try:
        return [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    except TypeError:  # PyTorch before 2.4 has a function for each
        old = {"cpu": torch.is_autocast_cpu_enabled, "cuda": torch.is_autocast_enabled}
        return [device for device, enabled in old.items() if enabled()]


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _small_numbers() -> Iterator[None]:
    torch.set_flush_denormal(False)
    try:
        yield
    finally:
        torch.set_flush_denormal(True)


def on_own_terms(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorator of a function that callers use directly: it computes within :func:`own_terms`."""

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with own_terms():
            return function(*args, **kwargs)

    return called


def steps_on_own_terms(name: str) -> Callable[[Callable[_P, Iterator[_T]]], Callable[_P, Iterator[_T]]]:
    """The same for a generator: every step is on netproof's terms, and what the caller does in between on its own.

    ``name`` is what errors call it: the function that its iterator came from.
    """

    def marked(function: Callable[_P, Iterator[_T]]) -> Callable[_P, Iterator[_T]]:
        @functools.wraps(function)
        def called(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[_T]:
            steps = function(*args, **kwargs)
            process = os.getpid()
            while True:
                if os.getpid() != process:
                    raise InputError(
                        name,
                        "it was begun in another process, whose threads and children this one does not have",
                        "begin it in the process that goes through its results",
                    )
                with own_terms():
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step

        return called

    return marked


def plain(tensor: Tensor) -> Tensor:
    """A tensor that can be computed with anywhere: not one of ``inference_mode``, and no part of a caller's gradients."""
    if not (tensor.is_inference() or tensor.requires_grad):
        return tensor
    with torch.inference_mode(mode=False):
        return tensor.detach().clone()
