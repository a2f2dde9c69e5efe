"""Tutorials that are executed: what their blocks hold, and running them one after the other in one folder.

A block of ``python`` is a program. A block of ``console`` has commands after ``$``, each with the output that a reader sees;
``...`` stands for anything, on a line of its own for any lines. Times, and numbers that another processor may find differently, are
compared as words: ``5.14 ms`` is ``TIME``; how wide a column is does not count.

    cd tests; python -m tutorials ../docs/tutorials/NAME.md     # writes into the page what its commands print now
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\b\d+(?:\.\d+)? (?:us|ms|s|min)\b")
_COUNT = re.compile(r"subproblems \d+|\d+ queries|\d+ bytes|netproof \d+(?:\.\w+)+(?:\+\w+)?")


@dataclass
class Step:
    """A program, or a command and the output that the page shows."""

    kind: str
    text: str
    shown: str = ""


def steps(page: str) -> Iterator[Step]:
    """The steps of a page, in order."""
    for kind, text in _BLOCK.findall(page):
        if kind == "python":
            yield Step(kind, text)
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Step(kind, command, shown)


def ran(step: Step) -> str:
    """What a step prints: both streams, as a terminal shows them."""
    from netproof.cli.main import run

    printed = io.StringIO()
    if step.kind == "python":
        with contextlib.redirect_stdout(printed):
            exec(compile(step.text, "tutorial", "exec"), {"__name__": "__main__"})
        return printed.getvalue()
    program, *words = shlex.split(step.text)
    assert program == "netproof", f"a tutorial's commands are netproof's: {step.text}"
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        run(words)
    # Where the folder is, is the reader's own.
    return printed.getvalue().replace(f"{Path.cwd()}{os.sep}", "")


def as_words(text: str) -> list[str]:
    """An output as far as it is the same everywhere, line by line."""
    lines = text.strip("\n").split("\n")
    return [" ".join(_COUNT.sub("COUNT", _TIME.sub("TIME", line)).split()) for line in lines]


def fits(shown: str, printed: str) -> bool:
    """Whether an output is the one that a page shows."""
    wanted = re.escape("\n".join(as_words(shown))).replace(re.escape("..."), ".*")
    return re.fullmatch(wanted, "\n".join(as_words(printed)), re.DOTALL) is not None


def rewritten(page: str) -> str:
    """A page with what its commands print now; what it shortens stays so."""

    def block(match: re.Match[str]) -> str:
        parts = []
        for step in steps(match[0]):
            printed = ran(step)
            if step.kind == "python":
                return match[0]
            kept = step.shown if "..." in step.shown and fits(step.shown, printed) else printed
            parts.append(f"$ {step.text}\n{kept}")
        return "```console\n" + "".join(parts) + "```"

    return _BLOCK.sub(block, page)


if __name__ == "__main__":
    for path in [Path(name).resolve() for name in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            path.write_text(rewritten(path.read_text()))
            os.chdir(path.parent)
