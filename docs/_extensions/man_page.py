"""The man page of ``netproof``, from its parser: ``make man`` writes docs/man/netproof.1, and a test says when it is stale.

    python docs/_extensions/man_page.py

Its form is man(7): https://man7.org/linux/man-pages/man7/man.7.html. No date is in it, so that the same program gives the same page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netproof.cli.commands import command

PAGE = Path(__file__).parents[1] / "man" / "netproof.1"
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

_DESCRIPTION = """netproof decides what a trained neural network can do on a whole set of inputs: every answer is proved, or comes with a \
concrete input. Results go to standard output, progress and errors to standard error."""
_EXIT = (
    ("0", "answered, whatever the answer is"),
    ("1", "a check failed, or a verdict is one of --fail-on"),
    ("2", "no answer: one line on standard error says what is unusable, and what to do"),
    ("128 + n", "ended by signal n"),
)
_ENVIRONMENT = (
    ("NETPROOF_DATA", "folder of published data; without it ~/.cache/netproof"),
    (
        "OMP_NUM_THREADS",
        "threads of PyTorch before --threads is read; 1 is best where several searches share a machine",
    ),
)


def man_page() -> str:
    """The whole page."""
    found = re.search(r'^version = "(.*)"$', _PYPROJECT.read_text(), re.MULTILINE)
    version = found[1] if found else ""
    return "\n".join([f'.TH NETPROOF 1 "" "netproof {version}" "User Commands"', *_lines(), ""])


def _lines() -> Iterator[str]:
    root: Any = command(lambda _: None)
    yield ".SH NAME"
    yield "netproof \\- verify neural networks as they are deployed"
    yield ".SH SYNOPSIS"
    yield "\\fBnetproof\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR ..."
    yield ".SH DESCRIPTION"
    yield _text(_DESCRIPTION)
    yield ".SH OPTIONS"
    yield from _options(root, _context(root, "netproof", None))
    yield ".SH COMMANDS"
    yield from _commands(root, "netproof", None)
    for title, items in (("EXIT STATUS", _EXIT), ("ENVIRONMENT", _ENVIRONMENT)):
        yield f".SH {title}"
        for name, text in items:
            yield from (".TP", f"\\fB{_text(name)}\\fR", _text(text))
    yield ".SH SEE ALSO"
    yield _text("The documentation: docs/commands.md in the repository has every option with examples.")


def _commands(group: Any, path: str, parent: Any) -> Iterator[str]:
    context = _context(group, path, parent)
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _commands(one, f"{path} {name}", context)
            continue
        own = _context(one, name, context)
        yield f".SS {path} {_text(name)}"
        arguments = [p.get_help_record(own) for p in one.get_params(own) if p.param_type_name == "argument"]
        for paragraph in (one.help or "").split("\n\n"):
            yield from (".PP", _text(" ".join(paragraph.split())))
        for record in arguments:
            yield from _item(record)
        yield from _options(one, own)


def _options(one: Any, context: Any) -> Iterator[str]:
    for parameter in one.get_params(context):
        record = parameter.get_help_record(context)
        if parameter.param_type_name == "option" and record is not None and parameter.opts != ["--help"]:
            yield from _item(record)


def _item(record: tuple[str, str]) -> Iterator[str]:
    name, text = record
    yield from (".TP", f"\\fB{_text(name)}\\fR", _text(text))


def _context(one: Any, name: str, parent: Any) -> Any:
    return one.context_class(one, info_name=name, parent=parent)


def _text(text: str) -> str:
    """A text as man(7) reads it: nothing in it is a request or an escape."""
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(man_page())
    sys.stdout.write(f"written to {PAGE}\n")
