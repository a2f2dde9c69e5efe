"""Filters of a selection that ask netproof's own engine, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from netproof.attack.gradient import ascend
from netproof.benchmarks.selection import Candidate, Filter, Judgement
from netproof.bounds.crown import crown_lines
from netproof.bounds.dual import Objective, hulls_of
from netproof.bounds.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.bounds.rounding import Rounding
from netproof.errors import InputError
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
        generator = torch.Generator().manual_seed((self._seed << 32) + candidate.position)
        start = lower + torch.rand(self._restarts, len(lower), generator=generator) * (upper - lower)
        start = torch.minimum(torch.maximum(start, lower), upper)

        def margins(x: Tensor, y: Tensor) -> Tensor:
            return _ahead(y, candidate.label)[:, None]

        x, _ = ascend(self._graph, lower, upper, start, margins, self._steps, math.inf)
        with torch.no_grad():  # the decision in float64
            return bool((_ahead(self._exact.evaluate(x.double()), candidate.label) >= 0).any())


class Verified:
    """Takes images that plain CROWN proves robust: one pass for the ranges, one for the outputs, nothing optimized."""

    judgement = Judgement.VERIFIED
    description = "crown"

    def __init__(self, network: Network) -> None:
        self._graph = network.graph

    def takes(self, candidates: Sequence[Candidate]) -> Sequence[bool]:
        with torch.no_grad():
            return [self._robust(each) for each in candidates]

    def _robust(self, candidate: Candidate) -> bool:
        graph = self._graph
        lower, upper = (torch.from_numpy(ends).reshape(1, -1).double() for ends in (candidate.lower, candidate.upper))
        region = box_region(graph, lower, upper)
        region = refine_ranges(graph, region, Rounding.of(graph, region))
        others = [j for j in range(graph.output.size) if j != candidate.label]
        c = torch.zeros(len(others), graph.output.size, dtype=torch.float64)
        c[torch.arange(len(others)), torch.tensor(others)] = 1
        c[:, candidate.label] = -1
        objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(len(others), dtype=torch.float64))
        lines = crown_lines(graph, region, hulls_of(graph, region), objective, Rounding.of(graph, region))
        return bool((lines.value < 0).all())


def _ahead(y: Tensor, label: int) -> Tensor:
    """How far the best other output is ahead of the label's: ``[B, n]`` to ``[B]``."""
    others = y.clone()
    others[:, label] = -torch.inf
    return others.amax(-1) - y[:, label]


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
