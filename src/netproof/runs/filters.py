"""Filters of a selection that ask netproof's own engine, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from netproof.benchmarks.selection import Candidate, Filter, Judgement
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


#: how each is made for a network, and a seed of its random choices; the order is that of their cost
FILTERS: Mapping[str, Callable[[Network, int], Filter]] = {
    "classified": lambda network, seed: Misclassified(network),
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
