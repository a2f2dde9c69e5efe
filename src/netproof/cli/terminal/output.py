"""Printing JSON, and files that commands write."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import typer

from netproof.errors import InputError


def print_json(document: object) -> None:
    """Print one document that every JSON reader accepts (no NaN, no infinity)."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


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
    """Refuse a place that cannot be written, before hours of work are spent; raises :class:`InputError`."""
    folder = path.parent
    if path.is_dir():
        raise InputError(path, f"is a folder ({option})", "give the name of a file")
    if not folder.is_dir():
        raise InputError(path, f"cannot be written: there is no folder {folder}", f"make it, or change {option}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(path, "cannot be written (no permission)", f"change {option}")
