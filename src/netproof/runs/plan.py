"""Which instances a run has to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from netproof.benchmarks.base import Instance
from netproof.runs.certify import Certifying
from netproof.runs.rows import Recorded


def pending(
    instances: Sequence[Instance],
    rows: Mapping[str, Recorded],
    limit: float,
    folder: Path,
    certifying: Certifying | None = None,
) -> tuple[Instance, ...]:
    """The instances without a lasting answer.

    Decided ones are left alone (unless the witness they name is gone, or the certificate that is
    wanted is not there), undecided ones are tried again only with more time than before, errors and retryable ones
    (a solver's process that died) always.
    """

    def is_done(row: Recorded | None) -> bool:
        return row is not None and row.is_settled(limit, folder) and row.is_certified(certifying)

    return tuple(i for i in instances if not is_done(rows.get(i.name)))
