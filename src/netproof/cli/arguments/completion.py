"""What a shell needs to complete commands and options: printed, or put where the shell looks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from netproof.errors import InputError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
#: in the place of a shell that is not named
_THIS = "this"
_SHOW, _INSTALL = "--show-completion", "--install-completion"


def is_asked_by_shell() -> bool:
    """Whether it is a shell that runs the program, for what could come next."""
    return "_NETPROOF_COMPLETE" in os.environ


def answer_shells() -> None:
    """Let the program answer every shell that completions are made for."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()


def with_shell(arguments: Sequence[str]) -> list[str]:
    """The arguments, of which one that ends with an option about completion names the shell that it is run from."""
    found = list(arguments)
    return [*found, _THIS] if found and found[-1] in (_SHOW, _INSTALL) else found


def _shell(option: str, name: str) -> str:
    """The shell of a name; raises :class:`InputError`."""
    if name == _THIS:
        from shellingham import ShellDetectionFailure, detect_shell  # type: ignore[import-untyped]

        try:
            name = detect_shell()[0]
        except (ShellDetectionFailure, OSError):
            problem = "nothing tells which shell this is"
            raise InputError(option, problem, f"name it: {', '.join(SHELLS)}") from None
    if name not in SHELLS:
        raise InputError(option, f"no completion is made for the shell '{name[:40]}'", f"give {', '.join(SHELLS)}")
    return name


def _show(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> None:
    if value is not None and not context.resilient_parsing:
        from typer.completion import show_callback

        show_callback(context, parameter, _shell(_SHOW, value))


def _install(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> None:
    if value is not None and not context.resilient_parsing:
        from typer.completion import install_callback

        install_callback(context, parameter, _shell(_INSTALL, value))


ShowCompletion = Annotated[
    str | None,
    typer.Option(
        _SHOW,
        metavar="SHELL",
        callback=_show,
        is_eager=True,
        expose_value=False,
        help="Print what a shell needs to complete commands: bash, zsh, fish, powershell, pwsh (default: this one).",
    ),
]
InstallCompletion = Annotated[
    str | None,
    typer.Option(
        _INSTALL,
        metavar="SHELL",
        callback=_install,
        is_eager=True,
        expose_value=False,
        help="Put the same where the shell looks.",
    ),
]
