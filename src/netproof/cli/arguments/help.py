"""Help that fits a screen: where a command has more options than that, groups of them are named in a line each.

An option says its group with ``rich_help_panel``, typer's own word for it. ``--help-all`` explains every option, under the
names of the groups.
"""

from __future__ import annotations

import textwrap
from typing import Any

import typer
from typer.core import TyperCommand

#: groups, in the order in which help shows them
CHANGES, VALUES, ARCHIVES = "What changes", "Images as inputs", "Archives"
LEARNING, CASES, WIDTHS, SEARCH = "Learning", "Statements", "Bit widths", "Search"

#: lines of a screen; help that needs no more explains everything
SCREEN = 40
_ALL = "--help-all"


class Command(TyperCommand):
    """A command whose help names the options of a group in one line, where all of them together would not fit a screen."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = args[: args.index("--")] if "--" in args else args
        if _ALL in own:
            ctx.meta[_ALL] = True
            typer.echo(self.get_help(ctx))
            ctx.exit()
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        if _ALL not in ctx.meta:
            ctx.meta[_ALL] = True
            whole = super().get_help(ctx)
            if len(whole.splitlines()) <= SCREEN:
                return whole
            del ctx.meta[_ALL]
        return super().get_help(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], []
        groups: dict[str, list[Any]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            group = getattr(parameter, "rich_help_panel", None)
            if parameter.param_type_name == "argument":
                arguments.append(record)
            elif group is None:
                options.append(record)
            else:
                groups.setdefault(group, []).append((parameter, record))
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        with formatter.section("Options"):
            formatter.write_dl(options)
        if not groups:
            return
        if _ALL in ctx.meta:
            for group, members in groups.items():
                with formatter.section(group):
                    formatter.write_dl([record for _, record in members])
        else:
            formatter.write(f"\nMore options, which {_ALL} explains:\n")
            width = max(map(len, groups))
            for group, members in groups.items():
                names = ", ".join(max(parameter.opts, key=len) for parameter, _ in members)
                begin = f"  {group:<{width}}  "
                lines = textwrap.wrap(names, formatter.width - len(begin), break_on_hyphens=False)
                formatter.write(begin + f"\n{'':{len(begin)}}".join(lines) + "\n")


class CommandGroup(typer.Typer):
    """A group of such commands."""

    def command(self, name: str | None = None, **given: Any) -> Any:
        return super().command(name, cls=Command, **given)
