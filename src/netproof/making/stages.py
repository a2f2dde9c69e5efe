"""Deciding images as the field's tables do: stage by stage, with a record of which one settled each.

Each stage sees what the ones before it left open: is the image classified correctly; does plain CROWN prove it; does
projected gradient ascent with 100 steps from 20 random points find another class; what does the complete search say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from netproof.attack.replay import Replayer
from netproof.graph.graph import Graph
from netproof.making.checks import attack_points, crown_proves
from netproof.query import Query, Question, Result, Verdict
from netproof.search.verify import confirmed, verify
from netproof.settings import Settings

#: methods of rows: what settled an image
EVALUATION, CROWN, PGD, SEARCH = "evaluation", "crown", "pgd", "search"
#: of the attack, as the published tables have it
STEPS, RESTARTS = 100, 20


def decide_in_stages(questions: Sequence[Query | Question], settings: Settings) -> Iterator[tuple[int, Result]]:
    """Decide questions about one network one by one; each result's ``method`` is the stage.

    The time limit is that of the search alone; the time of a result is that of all stages.
    """
    graph32: Graph | None = None
    for position, question in enumerate(questions):
        (query,) = Question.of(question).parts  # one image each
        if graph32 is None:
            graph32 = query.network.graph.to(torch.float32)
        yield position, _decide(query, graph32, settings)


def _decide(query: Query, graph32: Graph, settings: Settings) -> Result:
    begun = time.monotonic()

    sample = query.sample
    assert sample is not None

    def settled(verdict: Verdict, method: str) -> Result:
        return Result(verdict, time.monotonic() - begun, method)

    if query.misclassified:
        return settled(Verdict.MISCLASSIFIED, EVALUATION)
    if crown_proves(query.network.graph, query.lower, query.upper, sample.label):
        return settled(Verdict.UNSAT, CROWN)
    points = attack_points(
        graph32,
        query.lower.float(),
        query.upper.float(),
        sample.label,
        steps=STEPS,
        restarts=RESTARTS,
        seed=settings.seed,
    )
    likely = query.refuted_by(points.double())
    witness = (
        Replayer(query).first(points[likely.argsort(descending=True, stable=True)]) if bool(likely.any()) else None
    )
    if witness is not None:
        return confirmed(query, replace(settled(Verdict.SAT, PGD), witness=witness))
    result = verify(query, settings)
    return replace(result, method=SEARCH, seconds=time.monotonic() - begun)
