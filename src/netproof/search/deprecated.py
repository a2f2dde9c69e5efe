"""Public names of earlier versions: each warns, says what to call instead, and calls it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

from torch import Tensor

from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.property import Property
from netproof.query import Query, Question
from netproof.result import Result
from netproof.search.verify import verify
from netproof.settings import Settings


def _warn(former: str, now: str) -> None:
    warnings.warn(f"netproof.{former} is deprecated; call netproof.{now}", DeprecationWarning, stacklevel=3)


def image_robustness(
    network: Network, image: Tensor, lower: Tensor, upper: Tensor, label: int, *, name: str = "image"
) -> Query:
    """Former name of :func:`netproof.robustness` with ``box=(lower, upper)``."""
    _warn("image_robustness", "robustness(network, image, label, box=(lower, upper))")
    return robustness(network, image, label, box=(lower, upper), name=name)


def verify_many(
    questions: Sequence[Query | Question], settings: Settings | None = None
) -> Iterator[tuple[int, Result]]:
    """Former name of :func:`netproof.verify` with several questions, in the order in which they are decided."""
    _warn(
        "verify_many", "verify(questions, settings).as_decided(), or verify(questions, settings) for results in order"
    )
    return verify(questions, settings).as_decided()


def verify_property(network: Network, property_: Property, settings: Settings | None = None) -> Result:
    """Former name of :func:`netproof.verify` with a property."""
    _warn("verify_property", "verify(property, settings, network=network)")
    return verify(property_, settings, network=network)
