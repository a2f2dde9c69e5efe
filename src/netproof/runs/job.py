"""What a run does: the same for every instance, and in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netproof.benchmarks.base import Benchmark
from netproof.benchmarks.data import DataFolders
from netproof.runs.certify import Certifying
from netproof.settings import Settings

if TYPE_CHECKING:
    from netproof.query import Question, Result

#: answers questions on one network, by their positions: :func:`netproof.search.verify.as_decided`, or one like it
Decide = Callable[["Sequence[Question]", Settings], "Iterator[tuple[int, Result]]"]


@dataclass(frozen=True)
class Job:
    """A benchmark, and how its instances are answered. Plain values and functions that have names, so it can be sent.

    Attributes
    ----------
    benchmark, data : whose instances, and where its files are looked for
    settings : for each instance
    certifying : where to write certificates, if anywhere
    decide : what answers the queries (default: :func:`netproof.search.verify.as_decided`)
    """

    benchmark: Benchmark
    data: DataFolders
    settings: Settings
    certifying: Certifying | None = None
    decide: Decide | None = None
