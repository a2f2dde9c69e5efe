"""The commands of the program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Protocol

import typer

from netproof.cli.arguments.completion import InstallCompletion, ShowCompletion, answer_shells, is_asked_by_shell
from netproof.cli.arguments.help import CommandGroup
from netproof.cli.terminal.failures import command_named

#: where each command is, in the order of the help; groups are called ``app``
_COMMANDS = {
    "verify": "netproof.cli.verify:verify",
    "supports": "netproof.cli.contract.supports:supports",
    "robust": "netproof.cli.robust:robust",
    "radius": "netproof.cli.radius:radius",
    "check": "netproof.cli.check:check",
    "certify": "netproof.cli.evidence.certify:certify",
    "report": "netproof.cli.report:report",
    "check-all": "netproof.cli.project.check_all:check_all",
    "inspect": "netproof.cli.inspect:inspect",
    "evaluate": "netproof.cli.evaluate:evaluate",
    "compare": "netproof.cli.sets.compare:compare",
    "fetch": "netproof.cli.fetch:fetch",
    "demo": "netproof.cli.demo:demo",
    "bench": "netproof.cli.bench.group:app",
    "export": "netproof.cli.export:app",
    "train": "netproof.cli.train.group:app",
}
#: questions about the program itself
_ABOUT = ("--version", "--name")

#: typer's usage errors: wherever typer keeps that class, it is the base of this one
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
#: what typer makes of Ctrl-C and of the end of the input
ABORTED: type[Exception] = typer.Abort
#: what the parser of arguments says of numbers, and the same in the words of this program
_TYPES = (
    ("Input should be a valid integer, unable to parse string as an integer", "this is no whole number"),
    ("Input should be a valid number, unable to parse string as a number", "this is no number"),
)

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


def command(debug: Callable[[Path], None], arguments: Sequence[str] = ()) -> Command:
    """The command ``netproof``; ``debug`` is told the file that ``--debug`` names, before anything else is done.

    Where the arguments begin with a command, it is the only one that is imported.
    """
    app = CommandGroup(
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": _WIDEST},
    )
    app.callback(invoke_without_command=True)(_root(debug))
    if is_asked_by_shell():
        answer_shells()
    for name in _needed(arguments):
        module, _, member = _COMMANDS[name].partition(":")
        found = getattr(import_module(module), member)
        if member == "app":
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return typer.main.get_command(app)


def _needed(arguments: Sequence[str]) -> tuple[str, ...]:
    """The commands that arguments can mean; all of them where a shell asks for completions."""
    first = arguments[0] if arguments and not is_asked_by_shell() else ""
    if first in _ABOUT and len(arguments) == 1:
        return ()
    return (first,) if first in _COMMANDS else tuple(_COMMANDS)


def _root(debug: Callable[[Path], None]) -> Callable[..., None]:
    def netproof(
        context: typer.Context,
        name: Name = False,
        version: Version = False,
        file: Debug = None,
        show_completion: ShowCompletion = None,
        install_completion: InstallCompletion = None,
    ) -> None:
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


def usage_problem(error: Exception, arguments: Sequence[str]) -> str:
    """A usage error of a command's arguments in one line: the command, what is wrong, where to read on."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", None) or command_named(arguments)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    for said, ours in _TYPES:
        message = message.replace(said, ours)
    said, _, meant = message.rstrip(".").partition(". Did you mean ")
    # What was probably meant is the mend, and comes before the place to read on.
    return f"{path}: {said}; " + (f"did you mean {meant} " if meant else "") + f"see '{path} --help'"
