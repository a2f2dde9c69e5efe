"""Few values become anything, over the real numbers: one box for every choice of them (the norm ``l0``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from netproof.arguments.numbers import Number, exact_number, whole_number
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.property import Box, MadeQueries, PropertyPart
from netproof.query import Query, Question, Sample

#: choices of values, each a box; more are refused
MOST_CHOICES = 1 << 14
_LEVELS = 255


def few_values(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    count: int,
    *,
    scale: Number | None = None,
    mean: Number | Sequence[Number] | None = None,
    std: Number | Sequence[Number] | None = None,
    clip: tuple[Number, Number] | None = None,
    target: int | None = None,
    top: int = 1,
    name: str = "",
) -> Question:
    """Can the class of an image change where ``count`` of its values become anything in their range (networks over the real numbers)?

    That is a radius in the norm ``l0``. For every choice of so many values there is a box, and all of them together are one
    question. What it gives goes to :func:`netproof.verify`.

    Parameters
    ----------
    image, label, scale, mean, std, target, top, name : as for :func:`netproof.robustness`
    count : how many values, 1 or more
    clip : the range of ``scale * value``; by default that of grey levels for 8-bit images. Others have none, and need one

    Raises
    ------
    QueryError : as :func:`netproof.robustness`; a network of integers (:func:`netproof.robustness_to` takes ``Pixels(count)``), values
        without a range, more than 16384 choices
    """
    chosen = whole_number(count)
    name = name or f"{count} value{'' if chosen == 1 else 's'} in l0"
    if network.graph.arithmetic is Arithmetic.INTEGER:
        raise QueryError(name, f"{network.path} is an integer network", "ask netproof.robustness_to about Pixels")
    size = network.inputs
    if chosen is None or not 1 <= chosen <= size:
        raise QueryError(name, f"the number of values is {count} of {size}", f"give 1 to {size}")
    if math.comb(size, chosen) > MOST_CHOICES:
        most = max((k for k in range(1, chosen) if math.comb(size, k) <= MOST_CHOICES), default=0)
        problem = (
            f"there are {_many(math.comb(size, chosen))} choices of {chosen} values of {size}, each a box of its own"
        )
        hint = f"at most {MOST_CHOICES} are decided: " + (
            f"ask about at most {most} value{'' if most == 1 else 's'}" if most else "ask in linf, l1 or l2"
        )
        raise QueryError(name, problem, hint)
    grey = getattr(image, "dtype", None) in (torch.uint8, np.uint8)
    ends = clip if clip is not None or not grey else (0, _LEVELS * (exact_number(scale) or Fraction(1)))
    low, high = (None, None) if ends is None else (exact_number(end) for end in ends)
    if ends is None or low is None or high is None:
        raise QueryError(
            name, "nothing says between which ends values can be", "give a clip: the least and the largest"
        )
    reach = max(high - low, Fraction(0))
    here, far = (
        robustness(
            network, image, label, radius, scale=scale, mean=mean, std=std, clip=clip, target=target, top=top, name=name
        )
        for radius in (0, reach)
    )
    return Question(_Choices(here, far, tuple(combinations(range(size), chosen))), name)


@dataclass(frozen=True, eq=False)
class _Choices(MadeQueries):
    """A query for every choice of inputs.

    Attributes
    ----------
    here : about the sample alone
    far : about all inputs in their range
    choices : which inputs are anything there
    """

    here: Query
    far: Query
    choices: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.choices)

    def made(self, number: int) -> Query:
        which = self.choices[number]
        sample, far = self.here.sample, self.far.part
        assert sample is not None and sample.part is not None and far is not None
        free = torch.zeros(self.here.network.inputs, dtype=torch.bool)
        free[list(which)] = True
        lower, upper = list(sample.part.box.lower), list(sample.part.box.upper)
        for i in which:
            lower[i], upper[i] = far.box.lower[i], far.box.upper[i]
        part = PropertyPart(Box(tuple(lower), tuple(upper)), sample.part.condition)
        return replace(
            self.here,
            lower=torch.where(free, self.far.lower, self.here.lower),
            upper=torch.where(free, self.far.upper, self.here.upper),
            about=Sample(sample.image, sample.label, part=part, top=sample.top),
        )


def _many(count: int) -> str:
    """A count in words that stay short: what is chosen of thousands of values is too large for a float, and to be read."""
    return f"{count:,}" if count < 10**12 else f"more than 2^{count.bit_length() - 1}"
