"""The largest radius at which a sample is robust: exactly over the integers, to a stated accuracy over the real numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from numpy.typing import ArrayLike
from torch import Tensor

from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms
from netproof.local_robustness import Number, robustness, whole_number
from netproof.network import Network
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.verify import settle_at_root, verify
from netproof.settings import Settings


@dataclass(frozen=True, eq=False)
class RadiusResult:
    """Outcome of :func:`largest_radius`.

    Attributes
    ----------
    radius : the largest radius proved robust, in whole grey levels over the integers; -1 where the sample itself is
        misclassified, or another output is as large as the label's
    witness : a counterexample at ``witness_radius``, if one was found
    witness_radius : the smallest radius with a witness, or None
    exact : whether ``radius`` is known to be the largest (a witness one radius further, or none possible), over the real
        numbers to the accuracy asked for
    seconds, queries : effort
    reason : why the answer is not exact, if it is not
    proved : the result at ``radius``, where the settings ask for proofs
    """

    radius: int | Fraction
    witness: Witness | None
    witness_radius: int | Fraction | None
    exact: bool
    seconds: float
    queries: int
    reason: str = ""
    proved: Result | None = None


@on_own_terms
def largest_radius(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    settings: Settings | None = None,
    *,
    limit: Number | None = None,
    accuracy: Number | None = None,
    scale: Number | None = None,
    mean: Number | Sequence[Number] | None = None,
    std: Number | Sequence[Number] | None = None,
    clip: tuple[Number, Number] | None = None,
) -> RadiusResult:
    """Find the largest radius at which an image is robust: ``r`` with a proof at ``r`` and a witness at ``r + 1``.

    Over the real numbers the witness is at most the accuracy beyond the proof.

    Root bounds and attacks bracket ``r`` first; complete queries then settle what is left.
    Robustness is monotone in the radius, so a proof settles all smaller radii and a witness all
    larger ones.

    Parameters
    ----------
    network : over the integers, whose radii are whole grey levels, or over the real numbers
    image, label : the sample, as for :func:`netproof.robustness`
    settings : ``timeout`` is for the whole search
    limit : do not look beyond this radius; defaults to the width of the input range (real networks: of ``clip``, or of 8-bit
        images; 1 where there is none)
    accuracy : how far apart proof and witness may be (real networks), in the unit of the radius; by default a tenth of a grey
        level of 8-bit images, 0.001 of others
    scale, mean, std, clip : as for :func:`netproof.robustness` (real networks)

    Raises
    ------
    QueryError : an accuracy that is not above 0, or of an integer network, and as :func:`netproof.robustness`
    """
    settings = settings or Settings()
    arguments = {"scale": scale, "mean": mean, "std": std, "clip": clip}
    if network.graph.arithmetic is not Arithmetic.INTEGER:
        from netproof.search.bracket import bracketed_radius

        return bracketed_radius(network, image, label, settings, (limit, accuracy), arguments)
    stated = [word for word, value in {**arguments, "accuracy": accuracy}.items() if value is not None]
    if stated:
        problem = f"{network.path} is an integer network, whose radii are whole grey levels"
        raise QueryError("radius", problem, f"leave {', '.join(stated)} out")
    return _over_integers(network, image, label, settings, limit)


def _over_integers(
    network: Network, image: ArrayLike | Tensor, label: int, settings: Settings, limit: Number | None
) -> RadiusResult:
    begun = time.monotonic()
    widest = int((network.upper - network.lower).max())
    furthest = widest if limit is None else min(_checked(limit), widest)

    def query(radius: int) -> Query:
        return robustness(network, image, label, radius, name=f"radius {radius}")

    start = query(0)
    assert start.sample is not None
    pixels = start.sample.image
    if start.misclassified:
        return RadiusResult(-1, None, None, True, time.monotonic() - begun, 1)
    proved, refuted = 0, furthest + 1
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
    radius, low, high = 1, 0, furthest + 1
    while low + 1 < high:
        queries += 1
        verdict, found = settle_at_root(query(radius), settings)
        learn(radius, verdict, found)
        if verdict is Verdict.UNSAT:
            low = radius
        else:
            high = min(radius, refuted)
        radius = min(2 * radius, furthest) if high > furthest else (low + high) // 2
    # Of all proofs that of the largest radius is enough, and of all witnesses that of the smallest. A radius that is not
    # decided in half of the time that is left is given up for smaller ones.
    hard = refuted
    while proved + 1 < hard:
        remaining = settings.timeout - (time.monotonic() - begun)
        if remaining <= 0:
            undecided = "the time limit was reached"
            break
        radius = (proved + hard) // 2
        queries += 1
        result = verify(query(radius), replace(settings, timeout=remaining if radius == proved + 1 else remaining / 2))
        learn(radius, result.verdict, result.witness)
        results[radius] = result
        if not result.verdict.decided:
            undecided = result.reason
        hard = min(hard, refuted) if result.verdict.decided else radius
    exact = proved + 1 == refuted and (witness is not None or proved >= widest)
    if not exact and not undecided:
        undecided = f"only radii up to {furthest} were looked at"
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


def _checked(limit: Number) -> int:
    found = whole_number(limit)
    if found is None or found < 0:
        raise QueryError("radius", f"the limit is {limit}", "give a whole number of grey levels, 0 or more")
    return found
