"""What takes the place of hulls of single features, fitted to objectives: planes, and pairs of features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.sign_steps import Choice, Mixed
from netproof.bounds.multipliers.signs import SignDual
from netproof.effort.bounding import PAIR, PLANE

if TYPE_CHECKING:
    from jaxtyping import Int8


@dataclass(eq=False)
class Fitting:
    """How a search chooses planes and pairs, anew every so often.

    Attributes
    ----------
    pricing : of planes; None for none, and once they turn out not to be worth their while
    pairing : of pairs; None for none
    """

    pricing: Pricing | None = None
    pairing: Pairing | None = None

    @property
    def first(self) -> float:
        """After how many subproblems both are chosen anew first."""
        return math.inf if self.pricing is None and self.pairing is None else PLANE.first

    @property
    def growth(self) -> float:
        """After how many times as many they are again."""
        return PAIR.growth if self.pricing is None else PLANE.growth

    def priced(self, mixed: Mixed, side: Int8[Tensor, "B m"], start: Choice, until: Until) -> SignDual | None:
        """:meth:`netproof.bounds.multipliers.prices.Pricing.fit`, None where planes take too little off."""
        if self.pricing is None:
            return None
        planes = self.pricing.fit(mixed, side, start, until)
        if self.pricing.gain is not None and self.pricing.gain < PLANE.worth:
            self.pricing = None
            return None
        return planes
