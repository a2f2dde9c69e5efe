"""Whether promises are kept: every image and every property of them is verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netproof.asking.images import Images, chosen
from netproof.asking.promises import Promise
from netproof.asking.reach import reach_of
from netproof.errors import NetproofError
from netproof.query import Question, Result


@dataclass(frozen=True, eq=False)
class Answered:
    """What became of one image, or of the property, of a promise.

    Attributes
    ----------
    name : of the promise, and which image
    verdict : in the words of robustness where it is about an image; ``error`` where nothing could be asked
    said : what is promised, or why there is no answer
    result : None where nothing could be asked
    """

    promise: Promise
    name: str
    verdict: str
    said: str
    result: Result | None

    @property
    def holds(self) -> bool:
        """Whether the verdict is the promised one. One that is undecided keeps no promise."""
        return self.verdict == self.promise.expect

    @property
    def seconds(self) -> float:
        """The query's own time."""
        return 0.0 if self.result is None else self.result.seconds


def keep(promise: Promise) -> Iterator[Answered]:
    """Verify a promise, image by image; what cannot be asked is one that failed."""
    try:
        yield from _kept(promise)
    except NetproofError as error:
        yield Answered(promise, promise.name, "error", str(error), None)


def _kept(promise: Promise) -> Iterator[Answered]:
    from netproof.device import check_device
    from netproof.formats.load import load
    from netproof.search.verify import verify

    network = load(promise.network, widths=promise.widths, runtime=promise.runtime)
    check_device(promise.settings.device, network)
    if promise.property is not None:
        from netproof.formats.vnnlib.read import read_vnnlib

        question: Question = read_vnnlib(promise.property).question(network)
        result = verify(question, promise.settings)
        yield Answered(promise, promise.name, result.verdict.value, result.reason or promise.property.name, result)
        return
    assert promise.source is not None
    images = Images.read(promise.source, promise.prepared, network)
    indices = chosen(images, promise.indices, every=promise.every)
    reach = reach_of(promise.eps, images.unit, "eps", promise.norm)
    queries = [
        images.query(
            index, reach.number, norm=reach.norm, target=promise.target, top=promise.top, name=f"{promise.name}-{index}"
        )
        for index in indices
    ]
    for query, result in zip(queries, verify(queries, promise.settings), strict=True):
        yield Answered(
            promise, query.name, result.verdict.for_robustness, result.reason or f"radius {reach.words}", result
        )
