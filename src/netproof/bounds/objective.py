"""What is to be bounded from above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Objective(Rows):
    """Maximize ``sum over nodes of coefficients[node] . value(node) + constant``.

    ``coefficients`` maps node indices to ``[B, n_node]`` and ``constant`` is ``[B]``; row ``b``
    goes with row ``b`` of a region. Bounds of many objectives on each of many boxes take ``[B, R, n_node]`` and ``[B, R]``.
    A node with zero coefficients still lets its range constrain the bound, if it is an activation.

    ``error``, shaped like the constant, is what coefficients and constant may be off by, all in all (None for nothing):
    bounds that account for rounding add it.
    """

    coefficients: Mapping[int, Float[Tensor, "#B *R _"]]
    constant: Float[Tensor, "#B *R"]
    error: Float[Tensor, "#B *R"] | None = None

    def __len__(self) -> int:
        return self.constant.shape[0]

    def with_constant(self, constant: Float[Tensor, "#B *R"]) -> Objective:
        return replace(self, constant=constant)
