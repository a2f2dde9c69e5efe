"""Queries handed to an exact engine; its witnesses are replayed before they count."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import torch

from netproof.exact.base import Engine
from netproof.query import Query, Result, Verdict, Witness
from netproof.settings import Settings


def decide_with(engine: Engine, queries: Sequence[Query], settings: Settings) -> Iterator[tuple[int, Result]]:
    """Decide queries one after the other, yielding ``(position, result)``."""
    with contextlib.closing(engine):
        for position, query in enumerate(queries):
            yield position, _decide(engine, query, settings)


def _decide(engine: Engine, query: Query, settings: Settings) -> Result:
    begun = time.monotonic()
    if query.misclassified:
        return Result(Verdict.MISCLASSIFIED, time.monotonic() - begun, "evaluation")
    answer = engine.decide(query, settings, begun + settings.timeout)
    verdict, reason, witness = answer.verdict, answer.reason, None
    if verdict is Verdict.SAT:
        x = answer.point
        if x is not None and bool(query.refuted_by(x)):
            witness = Witness(x.to(torch.int64), query.network.graph.evaluate(x).to(torch.int64))
        else:
            verdict, reason = Verdict.UNKNOWN, "the engine's point does not replay on the network (a defect of it)"
    return Result(verdict, time.monotonic() - begun, engine.name, 0, witness, None, reason, accident=answer.accident)
