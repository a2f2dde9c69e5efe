"""Inputs at which networks are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from netproof.errors import QueryError
from netproof.network import Network
from netproof.perturbations.base import Whole


def whole_inputs(network: Network, values: ArrayLike | Tensor, count: int | None = None) -> Whole:
    """Inputs ``[N, n_input]`` (``N`` is ``count``, where that is given) of a network of integers.

    Raises :class:`QueryError` for what is no list of inputs, or has values that are not whole numbers in the network's range.
    """
    size, given = network.inputs, np.asarray(values)
    if given.dtype.kind not in "iuf" or given.size % size or (count is not None and given.size != count * size):
        raise QueryError(
            "agreement", f"inputs of shape {given.shape} for networks of {size} inputs", "give the networks' inputs"
        )
    found = given.reshape(-1, size)
    low, high = network.lower.numpy(), network.upper.numpy()
    if not bool(((found == np.round(found)) & (found >= low) & (found <= high)).all()):
        raise QueryError("agreement", "an input is not one that the networks take", "give whole numbers in their range")
    return found.astype(np.int64)
