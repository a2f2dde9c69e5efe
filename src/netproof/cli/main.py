"""The command ``netproof``, from its first instruction to its exit code, and what its failures look like.

Nothing here is imported that takes time, so that signals and streams are in order before anything else begins.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from netproof.cli.terminal.failures import (
    BROKEN_PIPE,
    INTERRUPTED,
    UNUSABLE,
    is_broken_pipe,
    one_line,
    problem_of,
    write_details,
)
from netproof.cli.terminal.stop import Stopped, end_at_once
from netproof.cli.terminal.streams import open_streams, silence_output

_NOTHING_LEFT = b"error: netproof: there is not enough memory; allow it more, or take a smaller network\n"


def main() -> NoReturn:
    """Console script: run with the process's arguments and end the process."""
    end_at_once()
    open_streams()
    code = run(sys.argv[1:])
    # What an error left unprinted is tried here, or the interpreter would complain about it at its end.
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        silence_output()
    # The interpreter's last collection would look at every object of PyTorch, only for the process to end.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; no exception leaves this function.

    0 answered; 1 a check failed; 2 unusable input or usage, or a defect of netproof, with one line on standard error;
    128 + n where signal n ended it (141: nobody reads its output any more).
    """
    details: list[Path] = []
    try:
        return _run(list(arguments), details)
    except Stopped as stop:
        return 128 + stop.number
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - no traceback leaves the program
        if is_broken_pipe(error):
            silence_output()
            return BROKEN_PIPE
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else 0
        try:
            problem = problem_of(error, arguments)
            if details:
                problem += write_details(details[0], error, arguments)
            return _refuse(problem)
        except Exception:  # noqa: BLE001 - there is nothing behind this line
            # Memory is short even for a sentence: one that is there already.
            with suppress(OSError):
                os.write(2, _NOTHING_LEFT)
            return UNUSABLE


def _run(arguments: list[str], details: list[Path]) -> int:
    from netproof.cli.arguments.completion import with_shell
    from netproof.cli.commands import ABORTED, USAGE_ERROR, command, usage_problem

    # Libraries end the process where there is none, with words of their own.
    try:
        Path.cwd()
    except OSError:
        return _refuse("netproof: the folder that it was started in is gone; change to one that is there")
    arguments = with_shell(arguments)
    try:
        code = command(details.append, arguments).main(args=arguments, prog_name="netproof", standalone_mode=False)
    except USAGE_ERROR as error:
        return _refuse(usage_problem(error, arguments))
    except ABORTED:
        return INTERRUPTED
    if sys.stdout is not None:
        sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    """Print one line, whatever is in the message, and give the exit code."""
    # Where nobody can read it, the exit code still says what happened.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"error: {one_line(message)}\n")
        sys.stderr.flush()
    return UNUSABLE
