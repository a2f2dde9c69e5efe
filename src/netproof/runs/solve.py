"""From instances to rows, in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.errors import NetproofError
from netproof.runs.certify import FAILURES, Certified, Certifying, certify
from netproof.runs.rows import CERTIFICATE, ERROR, Row, undecided_evidence
from netproof.settings import Settings

if TYPE_CHECKING:
    from netproof.query import Query, Question, Result, Witness

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A row, the witness's document where one was found, and what was written as a certificate; plain values, so
    it can be sent."""

    row: Row
    witness: dict[str, object] | None = None
    certified: Certified | None = None


def failed(instance: Instance, reason: str) -> Outcome:
    """The outcome of an instance that could not be answered."""
    return Outcome(Row(instance.name, ERROR, 0.0, "", reason))


#: answers questions on one network, by their positions: :func:`netproof.search.verify.verify_many`, or one like it
Decide = Callable[["Sequence[Question]", Settings], "Iterator[tuple[int, Result]]"]


def solve(
    benchmark: OpenBenchmark,
    instances: Sequence[Instance],
    settings: Settings,
    certifying: Certifying | None = None,
    decide: Decide | None = None,
) -> Iterator[Outcome]:
    """Answer instances as they are decided, in no particular order, one batch per network.

    ``decide`` answers the queries (default: :func:`netproof.search.verify.verify_many`).

    An instance that fails, by its data or by a defect, becomes an ``error`` outcome; the others
    are not affected.
    """
    batches: dict[str, list[tuple[Instance, Question]]] = {}
    for instance in instances:
        question = _question(benchmark, instance)
        if isinstance(question, Outcome):
            yield question
        else:
            batches.setdefault(instance.network, []).append((instance, question))
    for batch in batches.values():
        yield from _solve_batch(batch, settings, certifying, decide)


def _question(benchmark: OpenBenchmark, instance: Instance) -> Question | Outcome:
    try:
        return benchmark.question(instance)
    except NetproofError as error:
        return failed(instance, str(error))


def _solve_batch(
    batch: list[tuple[Instance, Question]], settings: Settings, certifying: Certifying | None, decide: Decide | None
) -> Iterator[Outcome]:
    from netproof.search.verify import verify_many

    waiting = dict(enumerate(batch))
    reason = "the engine gave no answer"
    try:
        for position, result in (decide or verify_many)([question for _, question in batch], settings):
            yield _outcome(*waiting.pop(position), result, settings, certifying)
    except NetproofError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - hours of a run must not end with one instance's defect
        reason = f"{type(error).__name__}: {error}"
        _LOG.debug("a batch of %d failed", len(batch), exc_info=True)
    if len(batch) == 1:
        for instance, _ in waiting.values():
            yield failed(instance, reason)
        return
    for item in waiting.values():
        yield from _solve_batch([item], settings, certifying, decide)


def _outcome(
    instance: Instance, question: Question, result: Result, settings: Settings, certifying: Certifying | None
) -> Outcome:
    from netproof.graph.graph import Arithmetic
    from netproof.query import Verdict
    from netproof.runs.witness import witness_document

    query = question.parts[result.part]
    robust = query.sample is not None
    verdict = result.verdict.for_robustness if robust else result.verdict.value
    evidence, document, certified = "", None, None
    integer = query.network.graph.arithmetic is Arithmetic.INTEGER  # real networks have no certificates yet
    if certifying is not None and integer and result.verdict in (Verdict.SAT, Verdict.UNSAT):
        try:
            certified = certify(question, result, instance.name, certifying)
        except FAILURES as error:
            return failed(instance, f"its certificate fails (a defect): {error}")
        evidence = f"{CERTIFICATE}{certifying.path(instance.name)}"
    if result.verdict is Verdict.SAT:
        # The engine replays its witnesses; doing it once more here keeps the file from ever
        # claiming what the network does not do.
        witness = result.witness
        if witness is None or not _replays(query, witness):
            return failed(instance, "the engine's witness does not replay on the network (a defect)")
        document = witness_document(query, witness)
    elif result.verdict is Verdict.MISCLASSIFIED:
        evidence = f"predicted={query.prediction}"
    elif result.verdict is Verdict.ERROR:
        evidence = result.reason
    elif not result.verdict.decided:
        # Without a limit on record the instance is asked again, whatever the next run's limit is.
        limit = None if result.accident else settings.timeout
        evidence = undecided_evidence(limit, result.bound, result.reason)
    return Outcome(Row(instance.name, verdict, result.seconds, result.method, evidence), document, certified)


def _replays(query: Query, witness: Witness) -> bool:
    from netproof.graph.graph import Arithmetic

    if query.network.graph.arithmetic is Arithmetic.REAL:
        from netproof.search.replay import replays

        return replays(query, witness)
    return bool(query.refuted_by(witness.input.to(query.lower.dtype)))
