"""What a run does: the same for every instance, and in every process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netproof.benchmarks.base import Benchmark, Instance, OpenBenchmark, UnreadBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import TimeLimitError
from netproof.runs.certify import Certified, Certifying
from netproof.runs.rows import Recorded, Row
from netproof.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from netproof.query import Question, Result

#: answers questions on one network, by their positions: :func:`netproof.search.verify.as_decided`, or one like it
Decide = Callable[["Sequence[Question]", Settings], "Iterator[tuple[int, Result]]"]


@dataclass(frozen=True)
class Answered:
    """A row, the witness's document where one was found, and what was written as certificates; plain values, so
    it can be sent."""

    row: Recorded
    witness: dict[str, object] | None = None
    certified: tuple[Certified, ...] = ()


@dataclass(frozen=True)
class Job:
    """A benchmark, and how its instances are answered: by a verdict each, unless a derived class says otherwise.

    Plain values and functions that have names, so it can be sent.

    Attributes
    ----------
    ROWS : what is recorded
    benchmark, data : whose instances, and where its files are looked for
    settings : for each instance
    certifying : where to write certificates, if anywhere
    decide : what answers the queries (default: :func:`netproof.search.verify.as_decided`)
    traces : where to write how searches go on, of questions that are answered one by one, if anywhere
    """

    benchmark: Benchmark
    data: DataFolders
    settings: Settings
    certifying: Certifying | None = None
    decide: Decide | None = None
    traces: Path | None = None

    ROWS: ClassVar[type[Recorded]] = Row

    def opened(self) -> OpenBenchmark:
        """The benchmark, open: what its instances share is read within the limit of one of them, else all have run out of time."""
        try:
            return self.benchmark.open(self.data, deadline=time.monotonic() + self.settings.timeout)
        except TimeLimitError as error:
            return UnreadBenchmark(error)

    def solve(self, benchmark: OpenBenchmark, instances: Sequence[Instance]) -> Iterator[Answered]:
        """Answer instances of the benchmark, which is open, in any order; none of them fails for another's sake."""
        from netproof.runs.solve import solve

        return solve(benchmark, instances, self)

    def failed(self, instance: Instance, reason: str) -> Answered:
        """The outcome of an instance that could not be answered."""
        return Answered(self.ROWS.failed(instance.name, reason))
