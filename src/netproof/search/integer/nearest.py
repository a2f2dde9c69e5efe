"""The nearest witness that attacks find: from above, what a largest radius can be at most.

A walk is worth much more than a bound where nothing is known yet, and both are monotone: a witness at some radius settles all
larger ones. So attacks go down from a radius at which there is a witness until they find none, and what is left to a
search is, as a rule, one proof.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netproof.attack.align import can_align, first_layer, tail
from netproof.attack.lattice import round_near
from netproof.attack.settle import settle
from netproof.attack.signs import Walked, received_by_first, sign_walks
from netproof.bounds.envelope.layer import first_layer as staircase_layer
from netproof.conditions.order import conditions_of
from netproof.effort.integer import NEAREST
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
        self._graph = network.graph.to(torch.float32)
        self._cases = conditions_of(network.graph, query.condition)
        layer = staircase_layer(network.graph) if can_align(network.graph) else None
        self._layer = None if layer is None else layer.to(torch.float32)
        self._generator = torch.Generator().manual_seed(seed)
        self._rows: tuple[Tensor, Tensor] | None = None
        self.witness: Witness | None = None
        self.distance: int | None = None

    def attack(self, radius: int, deadline: float = math.inf) -> bool:
        """Whether a witness turns up within a radius; :attr:`distance` may be smaller."""
        lower, upper = self._box(radius)
        case, start = self._promising(lower, upper, deadline) if self._rows is None else self._rows
        walked = self._walk(lower, upper, case, start, NEAREST.steps, deadline)
        walked = walked.take(walked.deficiency.argsort()[: NEAREST.kept])
        if self._rows is None or len(self._rows[0]) > NEAREST.kept:
            self._rows = walked.case, walked.start
        if self._take(walked.x, radius):
            return True
        return clock.now() < deadline and self._settle(walked, lower, upper, radius)

    def learn(self, x: Tensor) -> None:
        """Take in a witness ``[n_input]`` that somebody else found."""
        distance = int((x.double() - self._image.double()).abs().max())
        self._take(x[None], distance)

    def _box(self, radius: int) -> tuple[Tensor, Tensor]:
        return torch.maximum(self._image - radius, self._least), torch.minimum(self._image + radius, self._most)

    def _promising(self, lower: Tensor, upper: Tensor, deadline: float) -> tuple[Tensor, Tensor]:
        """The cases that short walks come closest to, with numbers of starts."""
        case = torch.arange(len(self._cases))
        if len(case) > NEAREST.cases:
            walked = self._walk(lower, upper, case, torch.zeros_like(case), NEAREST.first_steps, deadline)
            case = walked.case[walked.deficiency.argsort()[: NEAREST.cases]]
        return case.repeat_interleave(NEAREST.starts), torch.arange(NEAREST.starts).repeat(len(case))

    def _walk(self, lower: Tensor, upper: Tensor, case: Tensor, start: Tensor, steps: int, deadline: float) -> Walked:
        coin = torch.rand(len(case), len(lower), generator=self._generator, dtype=lower.dtype)
        x = torch.where(coin < 0.5, lower, upper)
        return sign_walks(self._graph, self._cases, lower, upper, case, start, x, steps, deadline)

    def _settle(self, walked: Walked, lower: Tensor, upper: Tensor, radius: int) -> bool:
        """Whether there is a witness where walks' first layers are at their thresholds."""
        if self._layer is None:
            return False
        received = received_by_first(self._graph, self._cases.gradient(walked.case, walked.start), walked.x)
        settled = settle(self._layer, lower, upper, walked.x, received)
        linear = first_layer(self._graph)
        whole = round_near(linear.weight, lower, upper, settled, self._generator)
        deficiency = self._cases.deficiency(tail(self._graph, linear.forward(whole)[:, None], 1.0), walked.case)[:, 0]
        return self._take(whole[deficiency.argsort()], radius)

    def _take(self, x: Tensor, radius: int) -> bool:
        """Whether there is a witness among points ``[B, n]`` within a radius, the most promising first.

        All of them are moved towards the image, to every smaller radius, and the nearest that still is a witness is kept.
        """
        x = x.double()
        hits = x[self._query.refuted_by(x)][: NEAREST.shrunk]
        if not len(hits):
            return False
        image = self._image.double()
        radii = torch.arange(1, radius + 1)
        moves = (hits - image)[None]
        bound = radii.double()[:, None, None]
        nearer = (image + torch.maximum(torch.minimum(moves, bound), -bound)).flatten(0, 1)
        first = int(self._query.refuted_by(nearer).to(torch.int8).argmax())
        point = nearer[first]
        distance = int((point - image).abs().max())
        if self.distance is None or distance < self.distance:
            self.witness, self.distance = witness_of(self._query, point), distance
        return True
