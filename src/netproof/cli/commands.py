"""The commands of the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

import typer

from netproof.cli import export
from netproof.cli.bench import group as bench
from netproof.cli.check import check
from netproof.cli.contract.supports import supports
from netproof.cli.demo import demo
from netproof.cli.evaluate import evaluate
from netproof.cli.fetch import fetch
from netproof.cli.inspect import inspect
from netproof.cli.project.check_all import check_all
from netproof.cli.radius import radius
from netproof.cli.report import report
from netproof.cli.robust import robust
from netproof.cli.sets.compare import compare
from netproof.cli.train import group as train
from netproof.cli.verify import verify

#: typer's usage errors: wherever typer keeps that class, it is the base of this one
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
#: what typer makes of Ctrl-C and of the end of the input
ABORTED: type[Exception] = typer.Abort

#: columns that help takes on a terminal that has them
_WIDEST = 120

Version = Annotated[bool, typer.Option("--version", help="Print the version.")]
Name = Annotated[bool, typer.Option("--name", help="Print the program's name.")]
Debug = Annotated[
    Path | None,
    typer.Option("--debug", metavar="FILE", help="Where a command ends with an error, write there how it came to it."),
]


class Command(Protocol):
    """What this program needs of the object that typer builds."""

    def main(self, *, args: list[str], prog_name: str, standalone_mode: bool) -> object: ...


def command(debug: Callable[[Path], None]) -> Command:
    """The command ``netproof``; ``debug`` is told the file that ``--debug`` names, before anything else is done."""
    app = typer.Typer(
        rich_markup_mode=None,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": _WIDEST},
    )
    app.callback(invoke_without_command=True)(_root(debug))
    app.command()(verify)
    app.command()(supports)
    app.command()(robust)
    app.command()(radius)
    app.command()(check)
    app.command()(report)
    app.command()(check_all)
    app.command()(inspect)
    app.command()(evaluate)
    app.command()(compare)
    app.add_typer(bench.app, name="bench")
    app.add_typer(export.app, name="export")
    app.add_typer(train.app, name="train")
    app.command()(fetch)
    app.command()(demo)
    return typer.main.get_command(app)


def _root(debug: Callable[[Path], None]) -> Callable[..., None]:
    def netproof(context: typer.Context, name: Name = False, version: Version = False, file: Debug = None) -> None:
        """Decide what a neural network can do on a whole set of inputs, exactly, with evidence."""
        if name:
            typer.echo("netproof")
            raise typer.Exit(0)
        if version:
            from netproof.version import netproof_version

            typer.echo(netproof_version())
            raise typer.Exit(0)
        if file is not None:
            from netproof.cli.terminal.output import check_writable

            check_writable(file, "--debug")
            debug(file)
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(0)

    return netproof


def usage_problem(error: Exception) -> str:
    """A usage error in one line: the command, what is wrong, where to read on."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", None) or "netproof"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{path}: {message.rstrip('.')}; see '{path} --help'"
