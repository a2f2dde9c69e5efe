"""The nearest witness that attacks find: from above, what a largest radius can be at most.

A walk is worth much more than a bound where nothing is known yet, and both are monotone: a witness at some radius settles all
larger ones. So attacks go down from a radius at which there is a witness until they find none, and what is left to a
search is, as a rule, one proof.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from netproof.attack.annealing.anneal import Annealer, compiled_chain
from netproof.attack.approach import Approach
from netproof.attack.signs import Walked
from netproof.conditions.order import conditions_of
from netproof.effort.integer import APPROACH
from netproof.processes import clock
from netproof.query import Query, Witness
from netproof.search.integer.attacks import witness_of


class Nearest:
    """Attacks on one sample at any radius; every find is replayed exactly.

    Parameters
    ----------
    query : about the sample, of the largest radius that matters
    seed : of the random starts

    Attributes
    ----------
    witness : the nearest one so far, or None
    distance : how far away that is, or None
    """

    def __init__(self, query: Query, seed: int) -> None:
        assert query.sample is not None
        network = query.network
        self._query, self._image = query, query.sample.image.float()
        self._least, self._most = network.lower.float(), network.upper.float()
        cases = conditions_of(network.graph, query.condition)
        generator = torch.Generator().manual_seed(seed)
        self._approach, self._goal = Approach(network.graph, cases, generator), cases
        # Of its own, so that walks are the same with chains and without.
        self._generator = torch.Generator().manual_seed(seed)
        self._rows: tuple[Tensor, Tensor] | None = None
        self._ends: Walked | None = None
        self.witness: Witness | None = None
        self.distance: int | None = None

    def attack(self, radius: int, deadline: float = math.inf) -> bool:
        """Whether a witness turns up within a radius; :attr:`distance` may be smaller."""
        if self.walk(radius, deadline):
            return True
        if clock.now() >= deadline or self._annealer is None:
            return False
        assert self._ends is not None
        met = self._annealer.closest(*self._box(radius), self._ends.x, self._ends.case, self._generator, deadline)
        return met is not None and self._take(met[None], radius)

    def walk(self, radius: int, deadline: float = math.inf) -> bool:
        """The same without chains, which take longer to load than walks do."""
        lower, upper = self._box(radius)
        if self._rows is None:
            self._rows = self._approach.promising(lower, upper, torch.arange(len(self._goal)), deadline)
        walked = self._approach.closest(lower, upper, *self._rows, deadline)
        self._rows, self._ends = (walked.case, walked.start), walked
        if self._take(walked.x, radius):
            return True
        settled = self._approach.settled(walked, lower, upper) if clock.now() < deadline else None
        return settled is not None and self._take(settled, radius)

    @cached_property
    def _annealer(self) -> Annealer | None:
        """Made when walks have found nothing: loading what was compiled takes longer than they do."""
        return Annealer.of(self._query.network.graph, self._goal, compiled_chain())

    def learn(self, x: Tensor) -> None:
        """Take in a witness ``[n_input]`` that somebody else found."""
        distance = int((x.double() - self._image.double()).abs().max())
        self._take(x[None], distance)

    def _box(self, radius: int) -> tuple[Tensor, Tensor]:
        return torch.maximum(self._image - radius, self._least), torch.minimum(self._image + radius, self._most)

    def _take(self, x: Tensor, radius: int) -> bool:
        """Whether there is a witness among points ``[B, n]`` within a radius, the most promising first.

        All of them are moved towards the image, to every smaller radius, and the nearest that still is a witness is kept.
        """
        x = x.double()
        hits = x[self._query.refuted_by(x)][: APPROACH.shrunk]
        if not len(hits):
            return False
        image = self._image.double()
        moves = (hits - image)[None]
        # Of many radii some, and then those just below the first of them at which there is a witness.
        low, high, point = 0, radius, hits[0]
        while low < high:
            step = -(-(high - low) // APPROACH.radii)
            radii = torch.arange(low + step, high + step, step).clamp(max=high)
            bound = radii.double()[:, None, None]
            nearer = (image + torch.maximum(torch.minimum(moves, bound), -bound)).flatten(0, 1)
            first = int(self._query.refuted_by(nearer).to(torch.int8).argmax())
            point, at = nearer[first], int(radii[first // len(hits)])
            low, high = (at - step if step > 1 else high), at
        distance = int((point - image).abs().max())
        if self.distance is None or distance < self.distance:
            self.witness, self.distance = witness_of(self._query, point), distance
        return True
