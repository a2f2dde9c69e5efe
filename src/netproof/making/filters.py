"""Filters of a selection that ask netproof's own engine, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from netproof.errors import InputError
from netproof.making.checks import ahead, attack_points, crown_proves
from netproof.making.selection import Candidate, Filter, Judgement
from netproof.network import Network


class Misclassified:
    """Takes images that are not classified as labelled."""

    judgement = Judgement.MISCLASSIFIED
    description = "classified"

    def __init__(self, network: Network) -> None:
        self._network = network

    def takes(self, candidates: Sequence[Candidate]) -> Sequence[bool]:
        inputs = torch.stack([torch.from_numpy(each.centre).reshape(-1) for each in candidates]).double()
        found = self._network.classify(inputs).tolist()
        return [label != each.label for label, each in zip(found, candidates, strict=True)]


class Attacked:
    """Takes images near which projected gradient ascent finds another class: sign steps from random points.

    Parameters
    ----------
    network : in real arithmetic
    seed : of the starting points, which depend on it and on the image's position alone
    steps, restarts : those of the published generator
    """

    judgement = Judgement.ATTACKED

    def __init__(self, network: Network, seed: int, steps: int = 100, restarts: int = 20) -> None:
        self._exact, self._graph = network.graph, network.graph.to(torch.float32)
        self._seed, self._steps, self._restarts = seed, steps, restarts
        self.description = f"pgd, {steps} steps, {restarts} restarts, seed {seed}"

    def takes(self, candidates: Sequence[Candidate]) -> Sequence[bool]:
        return [self._falls(each) for each in candidates]

    def _falls(self, candidate: Candidate) -> bool:
        lower, upper = (torch.from_numpy(ends).reshape(-1) for ends in (candidate.lower, candidate.upper))
        x = attack_points(
            self._graph,
            lower,
            upper,
            candidate.label,
            steps=self._steps,
            restarts=self._restarts,
            seed=(self._seed << 32) + candidate.position,
        )
        with torch.no_grad():  # the decision in float64
            return bool((ahead(self._exact.evaluate(x.double()), candidate.label) >= 0).any())


class Verified:
    """Takes images that plain CROWN proves robust: one pass for the ranges, one for the outputs, nothing optimized."""

    judgement = Judgement.VERIFIED
    description = "crown"

    def __init__(self, network: Network) -> None:
        self._graph = network.graph

    def takes(self, candidates: Sequence[Candidate]) -> Sequence[bool]:
        return [self._robust(each) for each in candidates]

    def _robust(self, candidate: Candidate) -> bool:
        lower, upper = (torch.from_numpy(ends).reshape(-1).double() for ends in (candidate.lower, candidate.upper))
        return crown_proves(self._graph, lower, upper, candidate.label)


#: how each is made for a network, and a seed of its random choices; the order is that of their cost
FILTERS: Mapping[str, Callable[[Network, int], Filter]] = {
    "classified": lambda network, seed: Misclassified(network),
    "pgd": Attacked,
    "crown": lambda network, seed: Verified(network),
}


def filters_of(names: str | None, network: Network, seed: int) -> list[Filter]:
    """The filters of a list such as ``classified,pgd`` (default: all), in the order of their cost.

    Raises :class:`InputError` for a name that is none.
    """
    wanted = list(FILTERS) if names is None else [name.strip() for name in names.split(",")]
    unknown = next((name for name in wanted if name not in FILTERS), None)
    if unknown is not None:
        raise InputError(f"'{unknown}'", "no filter has this name", f"known: {', '.join(FILTERS)}")
    return [make(network, seed) for name, make in FILTERS.items() if name in wanted]
