"""What takes the place of hulls of single features, fitted to objectives: planes, and pairs of features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.planes import Planes
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.sign_steps import Choice, Mixed, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.effort.bounding import PAIR, PLANE
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int8


@dataclass(frozen=True, eq=False)
class Fitted(Rows):
    """Parts of a region that something is fitted to: their sides of unstable features ``[B, m]``, and multipliers of theirs."""

    side: Int8[Tensor, "B m"]
    choice: Choice


class Fitting:
    """How a search chooses planes and pairs, anew every so often.

    Activations have either, as many of the first ones planes as make the bound at the root smallest: planes know the box of the values before
    them, which is the more the nearer it is to the input, and pairs what two pre-activations can be together.

    Parameters
    ----------
    pricing : of planes; None for none
    pairing : of pairs; None for none
    worth : the share of the bound at the root that pairs have to take off to be kept; None for what searches ask for
    """

    def __init__(
        self, pricing: Pricing | None = None, pairing: Pairing | None = None, worth: float | None = None
    ) -> None:
        self._pricing, self._pairing = pricing, pairing
        self.worth = PAIR.worth if worth is None else worth
        #: what planes came from before there were pairs
        self._before = pricing
        #: activations with planes, once that was decided
        self._planed: frozenset[int] | None = None

    @property
    def has_planes(self) -> bool:
        """Whether there are any, as far as is known; not once they turn out not to be worth their while."""
        return self._pricing is not None

    @property
    def has_pairs(self) -> bool:
        """Whether there are any."""
        return self._pairing is not None

    @property
    def first(self) -> float:
        """After how many subproblems both are chosen anew first."""
        return PLANE.first if self.has_planes or self.has_pairs else math.inf

    @property
    def growth(self) -> float:
        """After how many times as many they are again."""
        return PLANE.growth if self.has_planes else PAIR.growth

    def priced(self, mixed: Mixed, parts: Fitted, until: Until) -> SignDual | None:
        """:meth:`netproof.bounds.multipliers.prices.Pricing.fit`, None where planes take too little off."""
        if self._pricing is None:
            return None
        part = mixed, parts.side, parts.choice, until
        if self._pricing.gain is None and not self._pricing.promises(*part):
            self._pricing = None
            return None
        dual = self._pricing.fit(*part)
        if self._pricing.gain is not None and self._pricing.gain < PLANE.worth:
            self._pricing = None
            return None
        kept = dual.planes if self._planed is None else _some(dual.planes, self._planed)
        return replace(dual, planes=kept)

    def paired(self, dual: SignDual, mixed: Mixed, parts: Fitted, until: Until) -> SignDual:
        """``dual`` with pairs in activations without planes; which these are is decided when it is asked first.

        Parameters
        ----------
        dual : in float64, perhaps with planes
        mixed : the objective of rows under weights of their constraints, in float32 on the device of the search
        parts : what pairs are to be good for, with multipliers that have been chosen already
        until : how many steps, and how long, bounds may take by which activations are given one or the other
        """
        assert self._pairing is not None
        self._before = self._pricing
        if self._planed is not None or not dual.planes:
            return self._fit(dual, mixed, parts, until.deadline)
        best, least = dual, math.inf
        order = sorted(dual.planes)
        for count in range(len(order) + 1):
            trial = replace(dual, planes=_some(dual.planes, order[:count]), pairs={})
            choice, _ = self._optimized(trial, mixed, parts, until)
            trial = self._fit(trial, mixed, replace(parts, choice=choice), until.deadline)
            _, value = self._optimized(trial, mixed, replace(parts, choice=choice), until)
            total = float(value.clamp(min=0).sum())
            if total < least:
                best, least = trial, total
        self._planed = frozenset(best.planes)
        if not best.planes:
            self._pricing = None
        return best

    def drop_pairs(self) -> None:
        """Go on without pairs, and with planes wherever they were before pairs were asked for last."""
        self._pairing, self._planed, self._pricing = None, None, self._before

    def _fit(self, dual: SignDual, mixed: Mixed, parts: Fitted, deadline: float) -> SignDual:
        assert self._pairing is not None
        dual32 = self._pairing.in_float32(dual)
        device = dual32.device
        choice = parts.choice.to(dual32.lower.dtype, device)
        every = torch.arange(len(parts.side), device=device)
        v = dual32.bound(mixed(every, choice.weight), parts.side.to(device), choice.alpha, choice.beta).v
        return self._pairing.fit(dual, v.cpu(), parts.side, parts.choice.alpha, deadline)

    def _optimized(
        self, dual: SignDual, mixed: Mixed, parts: Fitted, until: Until
    ) -> tuple[Choice, Float[Tensor, " B"]]:
        assert self._pairing is not None
        return optimize_signs(self._pairing.in_float32(dual), mixed, parts.side, parts.choice, until)


def _some(planes: Mapping[int, Planes], which: frozenset[int] | list[int]) -> dict[int, Planes]:
    return {k: one for k, one in planes.items() if k in which}
