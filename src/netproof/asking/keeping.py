"""Whether promises are kept: every image and every property of them is verified."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from netproof.asking.images import Images, chosen
from netproof.asking.names import keywords
from netproof.asking.promises import Promise
from netproof.asking.reach import Reach, reach_of
from netproof.errors import InputError, NetproofError, TimeLimitError
from netproof.query import Query, Question, Result, Verdict


@dataclass(frozen=True, eq=False)
class Answered:
    """What became of one image, or of the property, of a promise.

    Attributes
    ----------
    name : of the promise, and which image
    verdict : in the words of robustness where it is about an image; ``error`` where nothing could be asked
    said : what was asked and what a witness makes of the image, or why there is no answer
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
    """Verify a promise, image by image; what cannot be asked is one that failed, whatever the reason, and not the end of the others."""
    try:
        with keywords():
            yield from _kept(promise)
    except TimeLimitError as error:
        yield Answered(promise, promise.name, Verdict.TIMEOUT.value, str(error), None)
    except NetproofError as error:
        yield _failed(promise, promise.name, error)
    except Exception as error:  # noqa: BLE001 - the other promises of the file still have to be looked at
        yield _failed(promise, promise.name, error)


def _failed(promise: Promise, name: str, error: Exception) -> Answered:
    said = str(error)
    if not isinstance(error, NetproofError):
        line = " ".join(said.split())[:120]
        said = f"it ended in {type(error).__name__} ({line}), a defect of netproof unless memory or the disk was short"
    return Answered(promise, name, "error", said, None)


def _kept(promise: Promise) -> Iterator[Answered]:
    from netproof.device import check_device
    from netproof.formats.load import load

    deadline = time.monotonic() + promise.settings.timeout
    network = load(promise.network, widths=promise.widths, runtime=promise.runtime, deadline=deadline)
    check_device(promise.settings.device, network)
    if promise.property is not None:
        from netproof.formats.vnnlib.read import read_vnnlib
        from netproof.search.verify import verify

        question: Question = read_vnnlib(promise.property, deadline=deadline).question(network)
        result = verify(question, promise.settings)
        yield Answered(promise, promise.name, result.verdict.value, result.reason or promise.property.name, result)
        return
    assert promise.source is not None
    images = Images.read(promise.source, promise.prepared, network)
    if not promise.indices and not promise.every and len(images) > 1:
        problem = f"nothing says which of the {len(images)} images in {images.pictures.source} is meant"
        raise InputError("index", problem, f"give index = [0, 1] (0 to {len(images) - 1}), or all = true")
    reach = reach_of(promise.eps, images.unit, "eps", promise.norm)
    yield from _of_images(promise, images, reach)


def _of_images(promise: Promise, images: Images, reach: Reach) -> Iterator[Answered]:
    """Every image of a promise by itself: one that cannot be asked about is nothing to the others."""
    from netproof.search.verify import verify

    indices = promise.indices or chosen(images, (), every=promise.every)
    asked = {index: _query(promise, images, index, reach) for index in indices}
    answers = iter(verify([query for query in asked.values() if isinstance(query, Query)], promise.settings))
    ended: Exception | None = None
    for index, query in asked.items():
        name = f"{promise.name}-{index}"
        if isinstance(query, InputError):
            yield _failed(promise, name, query)
            continue
        result = None
        if ended is None:
            try:
                with keywords():
                    result = next(answers)
            except Exception as error:  # noqa: BLE001 - as above; what came to its end here answers nothing more
                ended = error
        if result is None:
            assert ended is not None
            yield _failed(promise, name, ended)
            continue
        said = result.reason or f"radius {reach.words}"
        if result.witness is not None:
            said += f", {images.becomes(index, result.witness)}"
        yield Answered(promise, name, result.verdict.for_robustness, said, result)


def _query(promise: Promise, images: Images, index: int, reach: Reach) -> Query | InputError:
    """The question about one image, or why there is none."""
    name = f"{promise.name}-{index}"
    try:
        with keywords():
            images.check(index)
            return images.query(index, reach.number, norm=reach.norm, target=promise.target, top=promise.top, name=name)
    except InputError as error:
        return error
