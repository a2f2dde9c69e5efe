"""A query of any version with the model files that it is asked of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netproof.formats.vnnlib.second.ask import AskedQuery, ask
from netproof.formats.vnnlib.second.read import read_statement

#: versions of VNN-LIB that are read, the oldest first
VERSIONS = ("2.0",)


def read_question(path: Path, files: Mapping[str, Path], *, deadline: float | None = None) -> AskedQuery:
    """Read a query and the models of the networks that it names.

    Raises
    ------
    InputError, FormatError : as :func:`netproof.formats.vnnlib.second.read.read_statement` and
        :func:`netproof.formats.vnnlib.second.ask.ask`
    TimeLimitError : ``deadline``, by :func:`time.monotonic`, is over
    """
    return ask(read_statement(path, deadline=deadline), files, deadline=deadline)
