"""``netproof verify QUERY --network NAME=FILE``: a VNN-LIB query, answered in the words of the standard.

Source: *The VNN-LIB 2.0 Standard* (`github.com/VNNLIB/VNNLIB-Standard`), chapter *Solver Command-line Interface*.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from netproof.errors import InputError, TimeLimitError

if TYPE_CHECKING:
    from netproof.result import Result
    from netproof.settings import Settings

#: seconds that a search gets where reading took all of its time: it looks at the clock before anything else
_LEAST_TIME = 1e-3
#: of the time limit, what is kept for writing the answer; seconds
_RESERVE = 0.2
_LONGEST_NAME = 4096


def networks_of(texts: Sequence[str]) -> dict[str, Path]:
    """Files by the names of networks, from ``NAME=FILE``; raises :class:`InputError` where one is none, or comes twice."""
    files: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name or not path or len(path) > _LONGEST_NAME:
            raise InputError("--network", f"'{text[:60]}' is not NAME=FILE", "name the network as the query does")
        if name in files:
            raise InputError("--network", f"{name} is given twice", "give each network once")
        files[name] = Path(path)
    return files


def answer_to(
    network: Path, query: Path, settings: Settings, witness: Path | None, competition: Path | None, begun: float
) -> None:
    """Answer a VNN-LIB 2.0 query as VNN-COMP asks it: its networks as one file, or as ``[('f', 'one.onnx'), ...]``.

    Raises :class:`InputError` as :func:`answer`.
    """
    from netproof.cli.contract.assignments import assignments, in_words
    from netproof.files.opened import write_bytes
    from netproof.formats.vnnlib.second.ask import ask
    from netproof.formats.vnnlib.second.files import files_of
    from netproof.formats.vnnlib.second.read import read_statement
    from netproof.result import Result, Verdict
    from netproof.search.verify import verify

    deadline = begun + settings.timeout
    text = ""
    try:
        statement = read_statement(query, deadline=deadline)
        asked = ask(statement, files_of(statement, str(network)), deadline=deadline)
        left = max(deadline - time.monotonic(), _LEAST_TIME)
        result = verify(asked.property.question(asked.network), replace(settings, timeout=left))
        if result.witness is not None:
            text = in_words(assignments(asked, result.witness))
    except TimeLimitError:
        result = Result(Verdict.TIMEOUT, 0.0, "reading", reason="the limit was reached while reading")
    if witness is not None and text:
        write_bytes(witness, text.encode())
    if competition is not None:
        write_bytes(competition, f"{result.verdict.value}\n{text}".encode())
    typer.echo(result.verdict.value)
    if result.reason:
        typer.echo(f"  {result.reason}")


def answer(query: Path, files: dict[str, Path], settings: Settings, folder: Path | None, begun: float) -> None:
    """Answer a query on standard output: the verdict on a line, then the assignment, unless a folder is to hold it.

    Raises :class:`InputError` for everything that the standard wants an error for.
    """
    from netproof.cli.contract.assignments import assignments, check_folder, in_words, write_assignments
    from netproof.formats.vnnlib.second.ask import read_query
    from netproof.result import Verdict
    from netproof.search.verify import verify

    if folder is not None:
        check_folder(folder)
    deadline = begun + max(settings.timeout - min(_RESERVE, settings.timeout / 10), _LEAST_TIME)
    try:
        asked = read_query(query, files, deadline=deadline)
        question = asked.property.question(asked.network)
    except TimeLimitError:
        typer.echo("timed-out")
        return
    left = max(deadline - time.monotonic(), _LEAST_TIME)
    result = verify(question, replace(settings, timeout=left))
    found = None
    if result.verdict is Verdict.SAT:
        assert result.witness is not None
        found = assignments(asked, result.witness)
        if folder is not None:
            write_assignments(folder, found)
    typer.echo(word_of(result))
    if found is not None and folder is None:
        typer.echo(in_words(found), nl=False)
    if not result.verdict.decided and result.reason:
        typer.echo(f"netproof: {result.reason}", err=True)


def word_of(result: Result) -> str:
    """A verdict as the standard calls it."""
    return {"timeout": "timed-out"}.get(result.verdict.value, result.verdict.value)
