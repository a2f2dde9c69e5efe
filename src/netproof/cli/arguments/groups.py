"""How netproof's commands are grouped: plain help, no traceback decoration, help where no command is named."""

from __future__ import annotations

import typer

from netproof.cli.arguments.help import CommandGroup


def command_group(description: str) -> typer.Typer:
    """A group of commands that prints its help when none of them is named."""
    # Plain help: it reads the same in a pipe, and needs no rich at start-up.
    app = CommandGroup(help=description, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def _help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(0)

    return app
