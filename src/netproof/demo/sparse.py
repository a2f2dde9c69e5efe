"""Take back every change of a witness that it does not need."""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.query import Query, sample_of


def sparsest(query: Query, witness: Tensor) -> Tensor:
    """A witness that differs from the query's image in few pixels, found greedily.

    Pixels are set back one at a time, always the one after which the rival leads most, until any
    further one would end the counterexample. Every candidate is replayed exactly.

    Parameters
    ----------
    witness : ``[n_input]``, a witness of the query

    Returns
    -------
    Tensor : ``[n_input]``, again a witness of the query
    """
    sample = sample_of(query)
    current = witness.to(sample.image.dtype)
    while True:
        changed = (current != sample.image).nonzero()[:, 0]
        candidates = current.repeat(len(changed), 1)
        candidates[torch.arange(len(changed)), changed] = sample.image[changed]
        valid = query.refuted_by(candidates)
        if not bool(valid.any()):
            return current
        y = query.network.graph.evaluate(candidates[valid])
        rivals = y.clone()
        rivals[:, sample.label] = -torch.inf
        lead = rivals.amax(-1) - y[:, sample.label]
        current = candidates[valid][int(lead.argmax())]
