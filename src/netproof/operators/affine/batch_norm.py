"""Batch normalization in evaluation mode."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from netproof.operators.affine.scale import Scale


@dataclass(frozen=True, eq=False)
class BatchNorm(Scale):
    """``z = gain * (x - mean) / sqrt(variance + epsilon) + bias``: a scale that remembers what it was computed from.

    To everything that bounds or merges operators it is a scale; training needs the parts. Conversion to another
    dtype forgets them.

    Parameters
    ----------
    gain, bias, mean, variance : ``[C]``, as the file has them
    epsilon : added to the variance
    """

    gain: Tensor = field(kw_only=True)
    bias: Tensor = field(kw_only=True)
    mean: Tensor = field(kw_only=True)
    variance: Tensor = field(kw_only=True)
    epsilon: float = field(kw_only=True)
