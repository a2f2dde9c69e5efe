"""The command ``netproof``: which commands there are, and what their failures look like."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn, Protocol

import typer

from netproof.cli import bench, export, train
from netproof.cli.check import check
from netproof.cli.demo import demo
from netproof.cli.fetch import fetch
from netproof.cli.inspect import inspect
from netproof.cli.radius import radius
from netproof.cli.robust import robust
from netproof.cli.verify import verify
from netproof.errors import NetproofError

#: "unusable input or usage"
_UNUSABLE = 2
#: what a shell reports of a process that SIGINT or SIGPIPE ended
_INTERRUPTED, _BROKEN_PIPE = 130, 141
#: typer's usage errors: wherever typer keeps that class, it is the base of this one
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


class Command(Protocol):
    """What is needed of the object that typer builds."""

    def main(self, *, args: list[str], prog_name: str, standalone_mode: bool) -> object: ...


def main() -> NoReturn:
    """Console script: run with the process's arguments and end the process."""
    code = run(sys.argv[1:])
    # The interpreter's last collection would look at every object of PyTorch, only for the process to end.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code.

    0 answered; 1 a check failed; 2 unusable input or usage, with one line on standard error;
    128 + n where signal n ended it.
    """
    try:
        code = _command().main(args=list(arguments), prog_name="netproof", standalone_mode=False)
        sys.stdout.flush()
    except NetproofError as error:
        return _refuse(str(error))
    except _USAGE_ERROR as error:
        return _refuse(_usage(error))
    except BrokenPipeError:
        _silence(sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        place = error.filename or ("standard output" if error.errno == errno.ENOSPC else "the system")
        return _refuse(f"{place}: {error.strerror or error}; free some space, or check the path and its permissions")
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def _command() -> Command:
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_netproof)
    app.command()(verify)
    app.command()(robust)
    app.command()(radius)
    app.command()(check)
    app.command()(inspect)
    app.add_typer(bench.app, name="bench")
    app.add_typer(export.app, name="export")
    app.add_typer(train.app, name="train")
    app.command()(fetch)
    app.command()(demo)
    return typer.main.get_command(app)


def _netproof(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Decide what a neural network can do on a whole set of inputs, exactly, with evidence."""
    if version:
        from netproof.runs.provenance import netproof_version

        typer.echo(f"netproof {netproof_version()}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(0)


def _usage(error: Exception) -> str:
    """A usage error in one line: the command, what is wrong, where to read on."""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "netproof"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{command}: {message.rstrip('.')}; see '{command} --help'"


def _refuse(message: str) -> int:
    """Print one line, whatever is in the message (a file's name can hold line ends), and give the exit code."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    # Where nobody can read it, the exit code still says what happened.
    with suppress(OSError):
        typer.echo(f"error: {line}", err=True)
    return _UNUSABLE


def _silence(descriptor: int) -> None:
    """Let the interpreter's last flush of a closed pipe go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
