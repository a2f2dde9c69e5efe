"""A bound by signs, and what is found from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class SignPoint(Rows):
    """A bound of objectives on parts of a region.

    Attributes
    ----------
    value : ``[B]``
    v : ``[B, m]``, what arrived at unstable features
    input_coefficients : ``[B, n]``, the form in the input
    handed : ``[B, m]``, what unstable features handed on, where derivatives are found from that (:mod:`netproof.bounds.loops.passing`)
    """

    value: Float[Tensor, " B"]
    v: Float[Tensor, "#B m"]
    input_coefficients: Float[Tensor, "#B n"]
    handed: Float[Tensor, "B m"] | None = None
