"""Finite sets of inputs, decided by evaluating the network at every one of them."""

from __future__ import annotations

import logging
import time

import numpy as np
import torch

from netproof.effort.questions import ENUMERATION
from netproof.inference.plan import plan_of
from netproof.perturbations.asked import SetQuery
from netproof.query import Result, Verdict, Witness
from netproof.settings import Settings

_LOG = logging.getLogger(__name__)


def enumerate_set(query: SetQuery, settings: Settings) -> Result:
    """Whether an input of a finite set has another class; ``subproblems`` counts the inputs that were evaluated.

    A ``sat`` comes with a witness that the graph's own evaluation in float64 confirms; an ``unsat`` only after the last input. The time
    limit ends it in between.
    """
    begun = time.monotonic()

    def result(verdict: Verdict, done: int, witness: Witness | None = None, reason: str = "") -> Result:
        return Result(verdict, time.monotonic() - begun, "enumeration", done, witness, reason=reason)

    if query.center.misclassified:
        return result(Verdict.MISCLASSIFIED, 0)
    network, image, count = query.network, query.image, query.count
    near = plan_of(network.graph, network.lower, network.upper, network.path).near(image.values)
    done, random = 0, np.random.default_rng(0)
    compared = min(ENUMERATION.compared, max(ENUMERATION.least, count // ENUMERATION.one_in))
    size = max(1, min(ENUMERATION.inputs, ENUMERATION.numbers // network.inputs))
    for inputs in query.perturbation.inputs(image, size):
        outputs = near.outputs(inputs)
        drawn = random.random(len(inputs)) < min(1.0, compared / max(1, count))
        if drawn.any():
            again = network.graph.evaluate(torch.from_numpy(inputs[drawn]).to(network.lower.dtype)).numpy()
            if not np.array_equal(again, outputs[drawn]):
                _LOG.warning("%s: two evaluations of one input differ (a defect)", query.name)
                return result(Verdict.ERROR, done, reason="two evaluations of one input differ (a defect)")
        other = np.flatnonzero(outputs.argmax(1) != query.label)
        if len(other):
            done += int(other[0]) + 1
            x = torch.from_numpy(inputs[other[0]]).to(network.lower.dtype)
            if int(network.classify(x)) == query.label:
                _LOG.warning("%s: two evaluations of one input differ (a defect)", query.name)
                return result(Verdict.ERROR, done, reason="two evaluations of one input differ (a defect)")
            output = network.graph.evaluate(x).to(torch.int64)
            return result(Verdict.SAT, done, Witness(x.to(torch.int64), output))
        done += len(inputs)
        spent = time.monotonic() - begun
        if spent > settings.timeout and done < count:
            left = spent / done * (count - done)
            return result(
                Verdict.TIMEOUT,
                done,
                reason=f"the time limit was reached at input {done} of {count}: {left:.0f} s more",
            )
    if done != count:
        return result(Verdict.ERROR, done, reason=f"the set has {done} inputs where {count} were meant (a defect)")
    return result(Verdict.UNSAT, done)
