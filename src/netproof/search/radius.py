"""The largest radius at which a sample is robust, exactly."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from torch import Tensor

from netproof.errors import QueryError
from netproof.host import on_own_terms
from netproof.network import Network
from netproof.query import Query, Result, Verdict, Witness, robustness
from netproof.search.verify import settle_at_root, verify
from netproof.settings import Settings


@dataclass(frozen=True, eq=False)
class RadiusResult:
    """Outcome of :func:`largest_radius`.

    Attributes
    ----------
    radius : the largest radius proved robust; -1 where the sample itself is misclassified
    witness : a counterexample at ``witness_radius``, if one was found
    witness_radius : the smallest radius with a witness, or None
    exact : whether ``radius`` is known to be the largest (a witness one radius further, or none possible)
    seconds, queries : effort
    reason : why the answer is not exact, if it is not
    proved : the result at ``radius``, where the settings ask for proofs
    """

    radius: int
    witness: Witness | None
    witness_radius: int | None
    exact: bool
    seconds: float
    queries: int
    reason: str = ""
    proved: Result | None = None


@on_own_terms
def largest_radius(
    network: Network,
    image: Tensor,
    label: int,
    settings: Settings | None = None,
    *,
    limit: int | None = None,
) -> RadiusResult:
    """Find ``r`` with a proof at ``r`` and a witness at ``r + 1``.

    Root bounds and attacks bracket ``r`` first; complete queries then halve what is left.
    Robustness is monotone in the radius, so a proof settles all smaller radii and a witness all
    larger ones.

    Raises
    ------
    QueryError : a network over the real numbers, and as :func:`netproof.query.robustness`

    Parameters
    ----------
    image, label : the sample, as for :func:`netproof.query.robustness`
    settings : ``timeout`` is for the whole search
    limit : do not look beyond this radius; defaults to the width of the input range
    """
    settings = settings or Settings()
    begun = time.monotonic()
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise QueryError("radius", f"the limit is {limit}", "give a whole number of grey levels, 0 or more")

    def query(radius: int) -> Query:
        return robustness(network, image, label, radius, name=f"radius {radius}")

    # Refuses what has no grey levels, and so no width.
    start = query(0)
    assert start.sample is not None
    pixels = start.sample.image
    widest = int((network.upper - network.lower).max())
    limit = widest if limit is None else min(limit, widest)
    if start.misclassified:
        return RadiusResult(-1, None, None, True, time.monotonic() - begun, 1)
    proved, refuted = 0, limit + 1
    witness: Witness | None = None
    queries = 1
    undecided = ""

    results: dict[int, Result] = {}

    def learn(radius: int, verdict: Verdict, found: Witness | None) -> None:
        nonlocal proved, refuted, witness
        if verdict is Verdict.UNSAT:
            proved = max(proved, radius)
        elif verdict is Verdict.SAT and found is not None:
            # A witness found at some radius may lie closer than that.
            distance = int((found.input.to(pixels.dtype) - pixels).abs().max())
            if distance < refuted:
                refuted, witness = distance, found

    # Double until something other than a proof comes back, then bisect with what is cheap.
    radius, low, high = 1, 0, limit + 1
    while low + 1 < high:
        queries += 1
        verdict, found = settle_at_root(query(radius), settings)
        learn(radius, verdict, found)
        if verdict is Verdict.UNSAT:
            low = radius
        else:
            high = min(radius, refuted)
        radius = min(2 * radius, limit) if high > limit else (low + high) // 2
    while proved + 1 < refuted:
        remaining = settings.timeout - (time.monotonic() - begun)
        if remaining <= 0:
            undecided = "the time limit was reached"
            break
        # Of all proofs that of the largest radius is enough, and of all witnesses that of the smallest.
        radius = (proved + refuted) // 2
        queries += 1
        result = verify(query(radius), replace(settings, timeout=remaining))
        learn(radius, result.verdict, result.witness)
        results[radius] = result
        if not result.verdict.decided:
            undecided = result.reason
            break
    exact = proved + 1 == refuted and (witness is not None or proved >= widest)
    if not exact and not undecided:
        undecided = f"only radii up to {limit} were looked at"
    if settings.proofs and proved not in results:
        # Bounds at the root settled it, so that this is quick.
        results[proved] = verify(query(proved), settings)
    seconds = time.monotonic() - begun
    return RadiusResult(
        proved,
        witness,
        None if witness is None else refuted,
        exact,
        seconds,
        queries,
        "" if exact else undecided,
        results.get(proved),
    )
