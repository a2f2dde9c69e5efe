"""What a radius rests on: a proof at it, and a witness beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netproof.query import Query, Result
    from netproof.search.radius import RadiusResult


@dataclass(frozen=True, eq=False)
class Evidence:
    """A query at one radius and its result, with a proof or a witness.

    Attributes
    ----------
    radius : in the unit of the search, of a network of integers whole grey levels
    """

    radius: int | Fraction
    query: Query
    result: Result


def evidence_of(found: RadiusResult, asked: Callable[[int | Fraction], Query]) -> tuple[Evidence, ...]:
    """The proof, where the search was to keep one, and the witness, where one was found; ``asked`` gives the query at a radius."""
    from netproof.query import Result, Verdict

    known: list[tuple[int | Fraction, Result]] = []
    if found.proved is not None and found.proved.verdict is Verdict.UNSAT:
        known.append((found.radius, found.proved))
    if found.witness is not None and found.witness_radius is not None:
        known.append((found.witness_radius, Result(Verdict.SAT, 0.0, "", witness=found.witness)))
    return tuple(Evidence(radius, asked(radius), result) for radius, result in known)
