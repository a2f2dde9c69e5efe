"""What a radius rests on: a proof at it, and a witness beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netproof.network import Network
    from netproof.query import Query, Result, Sample
    from netproof.search.radius import RadiusResult


@dataclass(frozen=True, eq=False)
class Evidence:
    """A query at one radius and its result, with a proof or a witness.

    Attributes
    ----------
    radius : in grey levels
    """

    radius: int
    query: Query
    result: Result


def evidence_of(network: Network, sample: Sample, found: RadiusResult, name: str) -> tuple[Evidence, ...]:
    """Of a network of integers the proof, where the search was to keep one, and the witness, where one was found.

    Queries are called ``name, radius R``.
    """
    from netproof.local_robustness import robustness
    from netproof.query import Result, Verdict

    known: list[tuple[int, Result]] = []
    if found.proved is not None and found.proved.verdict is Verdict.UNSAT:
        known.append((int(found.radius), found.proved))
    if found.witness is not None and found.witness_radius is not None:
        known.append((int(found.witness_radius), Result(Verdict.SAT, 0.0, "", witness=found.witness)))
    return tuple(
        Evidence(
            radius,
            robustness(network, sample.image, sample.label, radius, name=f"{name}, radius {radius}"),
            result,
        )
        for radius, result in known
    )
