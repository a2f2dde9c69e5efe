"""Printing JSON, and files that commands write."""

from __future__ import annotations

import json
import math
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from netproof.arguments.words import printable
from netproof.errors import InputError, ProofError


def print_json(document: object) -> None:
    """Print one document that every JSON reader accepts (no NaN, no infinity)."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def not_proved(certificate: Path, error: ProofError, *, as_json: bool) -> int:
    """Print that evidence does not prove what it says, and why; the exit code."""
    if as_json:
        print_json({"certificate": str(certificate), "proved": False, "reason": error.problem})
    else:
        typer.echo(f"NOT PROVED: {printable(str(certificate))}\n  {printable(error.problem)}")
    return 1


def finite(value: float | None) -> float | None:
    """``value``, or None where JSON has no word for it."""
    return value if value is not None and math.isfinite(value) else None


def check_folder(path: Path, option: str) -> None:
    """Make a folder for a command's files, before hours of work are spent; raises :class:`InputError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(path, f"cannot be made a folder ({error.strerror})", f"change {option}") from None
    if not os.access(path, os.W_OK):
        raise InputError(path, "cannot be written to (no permission)", f"change {option}")


def check_writable(path: Path, option: str) -> None:
    """Refuse a place that cannot be written, or is another file of the command, before hours of work are spent.

    Raises
    ------
    InputError : a folder, no folder around it, no permission; what another argument of the command names, which would be lost
    """
    if str(path) == "-":
        # Elsewhere a name for standard output, which has the answer here; a file of that name is what nobody wants.
        raise InputError(
            option, "'-' is no name of a file", "give one; standard output has the answer, and --json all of it"
        )
    other = _also_named(path, option)
    if other:
        raise InputError(path, f"is named by {other} as well, and {option} would overwrite it", "give it another name")
    folder = path.parent
    if path.is_dir():
        raise InputError(path, f"is a folder ({option})", "give the name of a file")
    if not folder.is_dir():
        raise InputError(path, f"cannot be written: there is no folder {folder}", f"make it, or change {option}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(path, "cannot be written (no permission)", f"change {option}")


def _also_named(path: Path, option: str) -> str:
    """The argument of the running command, beside an option, that names this file too; empty where none does."""
    # Typer keeps this function in click, or in a copy of its own, beside the base of its contexts.
    place = typer.Context.__mro__[1].__module__.rpartition(".")[0]
    context: Any = import_module(f"{place}.globals").get_current_context(silent=True)
    named: list[str] = []
    for parameter in context.command.params if context is not None else ():
        if option in parameter.opts:
            continue
        label = (
            parameter.opts[0]
            if parameter.opts[0].startswith("-")
            else (parameter.metavar or parameter.name.upper()).strip("{}")
        )
        value = context.params.get(parameter.name)
        named += [label for name in _names(value) if is_same_file(name, path)]
    return named[0] if named else ""


def _names(value: object) -> list[str]:
    """What of a parameter's value may name a file; ``NAME=FILE`` names one behind the sign."""
    if isinstance(value, (list, tuple)):
        return [name for part in value for name in _names(part)]
    if isinstance(value, Path):
        return [str(value)]
    if isinstance(value, str):
        return [value, *value.split("=", 1)[1:]]
    return []


def is_same_file(name: str, path: Path) -> bool:
    """Whether a name, which may be none of a file, and a path lead to one file, there already or not."""
    try:
        return path.samefile(name) if path.exists() else bool(name) and Path(name).resolve() == path.resolve()
    except (OSError, ValueError, RuntimeError):
        return False
