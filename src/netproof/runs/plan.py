"""Which instances a run has to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from netproof.benchmarks.base import Instance
from netproof.errors import InputError
from netproof.runs.certify import Certifying
from netproof.runs.rows import CERTIFIABLE, UNDECIDED, Row


def select(instances: Sequence[Instance], pattern: str | None) -> tuple[Instance, ...]:
    """The instances a pattern names: an exact name, a glob (``*``, ``?``, ``[``), or a part of the name.

    Raises :class:`InputError` where it names none.
    """
    if pattern is None:
        return tuple(instances)
    exact = tuple(i for i in instances if i.name == pattern)
    if exact:
        return exact
    if any(c in pattern for c in "*?["):
        chosen = tuple(i for i in instances if fnmatchcase(i.name, pattern))
    else:
        chosen = tuple(i for i in instances if pattern in i.name)
    if not chosen:
        example = f", for example {instances[0].name}" if instances else ""
        raise InputError("--only", f"no instance matches '{pattern}'", f"give a part of a name or a glob{example}")
    return chosen


def pending(
    instances: Sequence[Instance],
    rows: Mapping[str, Row],
    limit: float,
    folder: Path,
    certifying: Certifying | None = None,
) -> tuple[Instance, ...]:
    """The instances without a lasting answer.

    Decided ones are left alone (unless the witness they name is gone, or the certificate that is
    wanted is not there), undecided ones are tried again only with more time than before, errors and retryable ones
    (a solver's process that died) always.
    """
    return tuple(
        i
        for i in instances
        if not _is_settled(rows.get(i.name), limit, folder) or not _is_certified(rows[i.name], certifying)
    )


def _is_certified(row: Row, certifying: Certifying | None) -> bool:
    if certifying is None or row.verdict not in CERTIFIABLE:
        return True
    from netproof.certificate.format import is_intact

    return is_intact(certifying.path(row.instance)) or certifying.without(row.instance).is_file()


def _is_settled(row: Row | None, limit: float, folder: Path) -> bool:
    if row is None:
        return False
    if row.verdict in UNDECIDED:
        return limit <= row.limit
    if row.evidence.startswith("witnesses/"):
        return (folder / row.evidence).is_file()
    return row.decided
