"""A question about a finite set: does any of its inputs have another class than the one around which it lies?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netproof.arguments.words import described
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import robustness
from netproof.network import Network, check_network
from netproof.perturbations.axes import channels_first
from netproof.perturbations.base import Image, Perturbation, number_in_words, whole
from netproof.query import Query, Question, sample_of

#: boxes of more points than that are left to bounds and search
POINTS = 1 << 20
#: no set is evaluated that has more: days of a processor
MOST_POINTS = 1 << 34


@dataclass(frozen=True, eq=False)
class SetQuery:
    """A finite set of inputs and the class that all of them have to have.

    Attributes
    ----------
    center : the same question about the image alone: network, image, label, and what beats it
    perturbation : what may happen to the image
    name : how reports and results call it
    """

    center: Query
    perturbation: Perturbation
    name: str

    def __post_init__(self) -> None:
        if self.center.network.graph.arithmetic is not Arithmetic.INTEGER:
            raise QueryError(
                self.name, f"{self.center.network.path} is no network of integers", "sets of inputs are for those"
            )
        self.perturbation.check(self.image)

    @property
    def network(self) -> Network:
        return self.center.network

    @property
    def label(self) -> int:
        return sample_of(self.center).label

    @property
    def image(self) -> Image:
        """The image, in the shape that it has in the network's file."""
        return image_of(self.network, sample_of(self.center).image.long().numpy())

    @property
    def count(self) -> int:
        """How many inputs there are to evaluate."""
        return self.perturbation.count(self.image)


def image_of(network: Network, values: NDArray[np.int64]) -> Image:
    """An input of a network, ``[n]``, as sets take it."""
    shape = network.input_shape
    shape = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    low, high = (end.long().numpy() for end in (network.lower, network.upper))
    shape = tuple(shape)
    return Image(values.reshape(-1).astype(np.int64), low, high, shape, channels_first(network.graph, shape))


def robustness_to(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    perturbation: Perturbation,
    *,
    name: str | None = None,
    points: int = POINTS,
) -> SetQuery | Question:
    """Ask whether anything that may happen to an image can change its class (networks of integers).

    What it gives goes to :func:`netproof.verify`. A set of a finite list is decided by evaluating the network at every input of
    it, which is exact and complete. Sets that are boxes of more than ``points`` points become queries that bounds and search
    decide instead.

    Parameters
    ----------
    image : ``[n_input]``, or any shape of that size; integers
    perturbation : what may happen: ``Brightness(8)``, ``Pixels(1)``, ``Inputs((3, 17), 4)``, ...
    name : how reports and results call it
    points : boxes of more points than that are bounded, not evaluated

    Raises
    ------
    QueryError : as :func:`netproof.robustness`; a set that makes no sense for such an input, or is too large to be evaluated and
        no box
    """
    check_network(network)
    given: object = perturbation
    if not isinstance(given, Perturbation):
        hint = "give a set: netproof.Brightness(8), netproof.Pixels(1), ..."
        raise QueryError("perturbation", f"is {described(given)}", hint)
    whole("the largest box to evaluate, points,", points, 0, MOST_POINTS)
    name = name or perturbation.words()
    found = SetQuery(robustness(network, image, label, 0, name=name), perturbation, name)
    boxes = perturbation.boxes(found.image) if found.count > points else None
    if boxes is not None:
        start = sample_of(found.center).image
        return Question([robustness(network, start, label, box=box, name=name) for box in boxes], name)
    if found.count > MOST_POINTS:
        raise QueryError(
            name,
            f"the set has {number_in_words(found.count)} inputs, which is too many to evaluate the network at each",
            "let fewer values move, or by less; or name which ones do (--inputs, --patch at one place), which is a box",
        )
    return found
