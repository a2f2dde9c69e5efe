"""From instances to rows, in one process."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.errors import NetproofError, TimeLimitError
from netproof.runs.certify import FAILURES, Certified, certify, certify_real
from netproof.runs.job import Answered, Job
from netproof.runs.rows import CERTIFICATE, Row, undecided_evidence
from netproof.runs.traces import traced
from netproof.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from netproof.query import Query, Question, Result, Witness

_LOG = logging.getLogger(__name__)

#: the share of its time that an instance may have spent on reading and still be decided in one batch with others
_READ_QUICKLY = 0.01


def solve(benchmark: OpenBenchmark, instances: Sequence[Instance], job: Job) -> Iterator[Answered]:
    """Answer instances of a job's benchmark, which is open, as they are decided: in no particular order, one batch per network.

    An instance's time limit begins before its question is read, and its time is on record with the reading in it. What it
    shares with others, its network above all, is read before, within a limit as long as that of an instance. A question about a network over the real numbers is
    answered, and let go of, before the next is read.

    An instance that fails, by its data or by a defect, becomes an ``error`` outcome; the others
    are not affected.
    """
    from netproof.graph.graph import Arithmetic

    batches: dict[str, list[_Asked]] = {}
    for instance in instances:
        asked = _ask(benchmark, instance, job)
        if isinstance(asked, Answered):
            yield asked
            continue
        alone = job.decide is None and asked.question.network.graph.arithmetic is Arithmetic.REAL
        if alone or asked.seconds > _READ_QUICKLY * job.settings.timeout:
            yield from _solve_batch([asked], job)
        else:
            batches.setdefault(instance.network, []).append(asked)
    for batch in batches.values():
        yield from _solve_batch(batch, job)


@dataclass(frozen=True)
class _Asked:
    """An instance, its question, the seconds that reading this took, and the files of network and property, if it has both."""

    instance: Instance
    question: Question
    seconds: float
    sources: tuple[Path, Path] | None = None


def _ask(benchmark: OpenBenchmark, instance: Instance, job: Job) -> _Asked | Answered:
    """The question of an instance, or why there is none."""
    begun = time.monotonic()
    try:
        if benchmark.prepare(instance, deadline=begun + job.settings.timeout):
            begun = time.monotonic()
        question = benchmark.question(instance, deadline=begun + job.settings.timeout)
    except TimeLimitError as error:
        return _late(instance, time.monotonic() - begun, job.settings, error.reason)
    except NetproofError as error:
        return job.failed(instance, str(error))
    except Exception as error:  # noqa: BLE001 - of memory, of recursion, a defect: of this file alone
        _LOG.debug("%s cannot be asked", instance.name, exc_info=True)
        return job.failed(instance, defect(error))
    seconds = time.monotonic() - begun
    if seconds >= job.settings.timeout:
        return _late(instance, seconds, job.settings, TimeLimitError(instance.name).reason)
    return _Asked(instance, question, seconds, benchmark.sources(instance))


def _late(instance: Instance, seconds: float, settings: Settings, reason: str) -> Answered:
    evidence = undecided_evidence(settings.timeout, None, reason)
    return Answered(Row(instance.name, "timeout", seconds, "", evidence))


def defect(error: Exception) -> str:
    """What an exception says that is nobody's word to the user."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _solve_batch(batch: list[_Asked], job: Job) -> Iterator[Answered]:
    from netproof.search.verify import as_decided

    waiting = dict(enumerate(batch))
    reason = "the engine gave no answer"
    # What is read quickly costs the others of its batch next to nothing.
    left = replace(job.settings, timeout=job.settings.timeout - max(asked.seconds for asked in batch))
    try:
        with traced(job.traces if len(batch) == 1 else None, batch[0].instance.name):
            for position, result in (job.decide or as_decided)([asked.question for asked in batch], left):
                asked = waiting[position]
                spent = replace(result, seconds=result.seconds + asked.seconds)
                outcome = _outcome(asked.instance, asked.question, spent, job, asked.sources)
                del waiting[position]
                yield outcome
    except NetproofError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - hours of a run must not end with one instance's defect
        reason = defect(error)
        _LOG.debug("a batch of %d failed", len(batch), exc_info=True)
    if len(batch) == 1:
        for asked in waiting.values():
            yield job.failed(asked.instance, reason)
        return
    for item in waiting.values():
        yield from _solve_batch([item], job)


def _outcome(
    instance: Instance, question: Question, result: Result, job: Job, sources: tuple[Path, Path] | None
) -> Answered:
    from netproof.certificate.make import witness_document
    from netproof.graph.graph import Arithmetic
    from netproof.query import Verdict

    query, certifying = question.parts[result.part], job.certifying
    robust = query.sample is not None
    verdict = result.verdict.for_robustness if robust else result.verdict.value
    evidence, document = "", None
    certified: tuple[Certified, ...] = ()
    if certifying is not None and _is_meant(query) and result.verdict in (Verdict.SAT, Verdict.UNSAT):
        made: Certified | str | None = None
        try:
            if query.network.graph.arithmetic is Arithmetic.INTEGER:
                made = certify(question, result, instance.name, certifying)
            elif sources is not None:
                made = certify_real(question, result, instance.name, certifying, sources, job.settings.timeout)
        except FAILURES as error:
            return job.failed(instance, f"its certificate fails (a defect): {error}")
        if isinstance(made, Certified):
            certified = (made,)
            evidence = f"{CERTIFICATE}{certifying.path(instance.name)}"
        elif made:
            evidence = f"no certificate: {made}"  # the verdict stands
    if result.verdict is Verdict.SAT:
        # The engine replays its witnesses; doing it once more here keeps the file from ever
        # claiming what the network does not do.
        witness = result.witness
        if witness is None or not _replays(query, witness):
            return job.failed(instance, "the engine's witness does not replay on the network (a defect)")
        document = witness_document(query, witness)
    elif result.verdict is Verdict.MISCLASSIFIED:
        evidence = f"predicted={query.prediction}"
    elif result.verdict is Verdict.ERROR:
        evidence = result.reason
    elif not result.verdict.decided:
        # Without a limit on record the instance is asked again, whatever the next run's limit is.
        limit = None if result.retryable else job.settings.timeout
        evidence = undecided_evidence(limit, result.bound, result.reason)
    return Answered(
        Row(instance.name, verdict, result.seconds, result.method, evidence),
        document,
        certified,
    )


def _is_meant(query: Query) -> bool:
    """Whether some output would meet the query: of a falsehood there is nothing that a proof could say of the network."""
    return bool(query.condition) or query.sample is not None


def _replays(query: Query, witness: Witness) -> bool:
    from netproof.graph.graph import Arithmetic

    if query.network.graph.arithmetic is Arithmetic.REAL:
        from netproof.attack.replay import replays

        return replays(query, witness)
    return bool(query.refuted_by(witness.input.to(query.lower.dtype)))
