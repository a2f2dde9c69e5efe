"""Replaying a certificate of a finite set: every input of it is made again and evaluated again.

*What has to be trusted*, besides what :mod:`netproof.certificate.checker.check` lists: what the sets are (``perturbations/``),
and the fast evaluation of a graph (``inference/``), which chooses its way only where that is proved to give the same integers,
tries its kernels before it uses them, and is compared here with the graph's own evaluation on inputs of the set drawn
at random: on all of a small set, and wherever that is asked for on all of any.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch

from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.sets import SetCertificate
from netproof.certificate.witness import read_evidence
from netproof.errors import CertificateError, ProofError, QueryError
from netproof.files.opened import as_path
from netproof.host import on_own_terms
from netproof.inference.plan import plan_of
from netproof.local_robustness import robustness
from netproof.network import Network, check_network
from netproof.perturbations.asked import MOST_POINTS, SetQuery
from netproof.perturbations.base import number_in_words

_AT_ONCE = 1024
#: about so many inputs are evaluated by the graph itself as well
_COMPARED = 256
#: and so many of them at a time
_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class CheckedSet:
    """A certificate of a finite set that proves its claim.

    Attributes
    ----------
    certificate, query : what was checked, and the question that it answers
    evaluated : how many inputs were evaluated
    compared : how many of them by the graph itself as well
    second_reading : what was compared with a second reading of the network's file; empty where the network was made in memory
    seconds : what checking took
    """

    certificate: SetCertificate
    query: SetQuery
    evaluated: int
    compared: int
    second_reading: str
    seconds: float


@on_own_terms
def check_set(
    certificate: SetCertificate | str | PathLike[str],
    network: Network,
    *,
    timeout: float | None = None,
    every: bool = False,
) -> CheckedSet:
    """Check that a certificate of a finite set, or the file of one, proves its claim.

    With ``every`` all inputs are evaluated a second time, by the graph's own operators in float64, which takes about forty times as long;
    otherwise about 256 of them.

    Raises as :func:`netproof.check`, and :class:`ProofError` after ``timeout`` seconds, where not all inputs were evaluated.
    """
    begun = time.perf_counter()
    source = "certificate"
    check_network(network)
    if not isinstance(certificate, SetCertificate):
        source = str(as_path(certificate, "certificate"))
        found = read_evidence(source)
        if not isinstance(found, SetCertificate):
            raise CertificateError(source, "is not about a finite set of inputs", "call netproof.check")
        certificate = found
    if (certificate.network_sha256, dict(certificate.scheme), certificate.runtime) != (
        network.sha256, network.scheme, network.runtime,
    ):  # fmt: skip
        raise CertificateError(source, f"is about another network than {network.path}, or about another runtime",
                               "give the network it was made for")  # fmt: skip
    try:
        center = robustness(network, list(certificate.image), certificate.label, 0, name=certificate.name or "set")
        query = SetQuery(center, certificate.perturbation, center.name)
        count = query.count
    except QueryError as error:
        raise CertificateError(source, f"is inconsistent: {error.problem}", "make it anew") from None
    if count > MOST_POINTS:
        raise CertificateError(
            source,
            f"is about {number_in_words(count)} inputs, which is too many to evaluate",
            "ask about a smaller set",
        )
    if count != certificate.count:
        raise CertificateError(source, f"states {certificate.count} inputs of a set of {count}", "make it anew")
    deadline = math.inf if timeout is None else begun + timeout
    read_again = confirm(network, deadline)
    if center.misclassified:
        raise ProofError(source, f"the network takes the image itself for class {center.prediction}, not {query.label}")
    if certificate.claim == "sat":
        _replay(certificate, query, source, deadline)
        return CheckedSet(certificate, query, 1, 1, read_again, time.perf_counter() - begun)
    evaluated, compared = _evaluate(query, source, deadline, every=every)
    return CheckedSet(certificate, query, evaluated, compared, read_again, time.perf_counter() - begun)


def _replay(certificate: SetCertificate, query: SetQuery, source: str, deadline: float) -> None:
    def look() -> None:
        if time.perf_counter() >= deadline:
            raise ProofError(source, "the time limit was reached before the witness was found in the set")

    values = np.array(certificate.witness, np.int64)
    image = query.image
    inside = bool(((values >= image.low) & (values <= image.high)).all())
    if not inside or not query.perturbation.contains(image, values, look):
        raise ProofError(source, "the witness is not one of the set")
    x = torch.from_numpy(values).to(query.network.lower.dtype)
    if int(query.network.classify(x)) == query.label:
        raise ProofError(source, f"the witness has class {query.label} as well")


def _evaluate(query: SetQuery, source: str, deadline: float, *, every: bool) -> tuple[int, int]:
    network, image, label = query.network, query.image, query.label
    near = plan_of(network.graph, network.lower, network.upper, network.path).near(image.values)
    random = np.random.default_rng()  # not to be foreseen by whoever makes a certificate
    chance = 1.0 if every else min(1.0, _COMPARED / max(1, query.count))
    evaluated = compared = 0
    size = max(1, min(_AT_ONCE, (1 << 26) // (8 * network.inputs)))
    for inputs in query.perturbation.inputs(image, size):
        _look(source, deadline, evaluated, query)
        outputs = near.outputs(inputs)
        classes = outputs.argmax(1)
        drawn = random.random(len(inputs)) < chance
        chosen = np.flatnonzero(drawn)
        for rows in (chosen[first : first + _TOGETHER] for first in range(0, len(chosen), _TOGETHER)):
            _look(source, deadline, evaluated, query)
            x = torch.from_numpy(inputs[rows]).to(network.lower.dtype)
            if bool((network.classify(x) != label).any()):
                raise ProofError(source, "an input of the set has another class")
            # All outputs, not the class alone: it is where a wrong evaluation shows first.
            if not np.array_equal(network.graph.evaluate(x).numpy(), outputs[rows]):
                raise ProofError(source, "two evaluations of one input differ (a defect)")
            compared += len(rows)
        if bool((classes != label).any()):
            raise ProofError(
                source, f"input {evaluated + int((classes != label).argmax())} of the set has another class"
            )
        evaluated += len(inputs)
    if evaluated != query.count:
        raise ProofError(source, f"the set has {evaluated} inputs, not {query.count}")
    return evaluated, compared


def _look(source: str, deadline: float, evaluated: int, query: SetQuery) -> None:
    """Raise where the time is over."""
    if time.perf_counter() >= deadline:
        raise ProofError(
            source, f"the time limit was reached; {evaluated} of {query.count} inputs have class {query.label}"
        )
