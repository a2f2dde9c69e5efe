"""Assertions for tests of a project that ships a network.

from netproof.testing import assert_robust

def test_digits_withstand_two_grey_levels():
    assert_robust("digits.onnx", "digits.npz", eps="2/255", index=range(20))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from os import PathLike

from numpy.typing import ArrayLike
from torch import Tensor

from netproof.arguments.numbers import Number
from netproof.arguments.words import listed
from netproof.asking.images import Images
from netproof.asking.names import keywords
from netproof.asking.reach import reach_of
from netproof.local_robustness import check_norm
from netproof.network import Network
from netproof.query import Result
from netproof.search.verify import verify
from netproof.settings import Settings
from netproof.testing.arguments import (
    TIMEOUT,
    check_classes,
    images_of,
    limits,
    network_of,
    positions,
    preparation,
    radius_text,
    verdicts,
)

#: failures that a message names one by one
_NAMED = 5


def assert_robust(
    network: Network | str | PathLike[str],
    images: ArrayLike | Tensor | str | PathLike[str],
    labels: ArrayLike | Tensor | str | PathLike[str] | None = None,
    *,
    eps: str | int | float | Fraction | Decimal,
    index: int | Iterable[int] | None = None,
    allowed: str | Iterable[str] = ("robust",),
    norm: str = "linf",
    target: int | None = None,
    top: int = 1,
    timeout: float = TIMEOUT,
    settings: Settings | None = None,
    scale: Number | None = None,
    mean: Sequence[Number] | Number | None = None,
    std: Sequence[Number] | Number | None = None,
    clip: tuple[Number, Number] | None = None,
    layout: str | None = None,
    runtime: str | None = None,
) -> list[Result]:
    """Assert that images keep their class within a radius; what is not decided in time fails as well.

    Parameters
    ----------
    network : a network, or its file
    images : an array ``[N, ...]`` of integers or floats, or anything that ``netproof robust --images`` takes
    labels : one whole number for each image, ``[N]``, or their file; without labels the network's own classes are to be kept
    eps : the radius with its unit, as ``netproof robust --eps`` takes it: ``"2/255"``, ``"0.01"``, ``2`` or ``"2grey"``. A float is
        the decimal that Python prints, which ``2 / 255`` is not equal to
    index : which images, by their numbers from 0 (default: all); one that is named twice is asked about once
    allowed : verdicts that pass, ``robust``, ``vulnerable``, ``misclassified``, ``unknown``, ``timeout`` or ``error``: add
        ``"misclassified"`` where the network may err on the image itself
    norm, target, top : as for :func:`netproof.robustness`
    timeout, settings : seconds for each image, not infinite; all limits at once instead
    scale, mean, std, clip, layout : how values become inputs of a float network
    runtime : whose integers a TensorFlow Lite file stands for

    Returns
    -------
    the results, in the order of ``index``

    Raises
    ------
    AssertionError : a verdict that is not allowed; the message has the first images, their verdicts and what changed
    NetproofError : a network or images that cannot be used, or an argument that is none: :class:`netproof.errors.InputError`,
        whose ``source`` is the argument or the file
    """
    __tracebackhide__ = True  # what pytest shows of a failure is the test and the message
    with keywords():
        passes, limited = verdicts(allowed), limits(timeout, settings)
        check_norm(norm, "norm")
        stated = radius_text(eps)
        prepared = preparation(scale, mean, std, clip, layout)
        model = network_of(network, runtime)
        found = images_of(model, images, labels, prepared)
        indices = positions(index, len(found))
        check_classes(found, indices)
        reach = reach_of(stated, found.unit, "eps", norm)
        # Whoever names an image twice gets its result twice, of one search.
        once = list(dict.fromkeys(indices))
        queries = [found.query(i, reach.number, norm=norm, target=target, top=top, name=f"image {i}") for i in once]
        results = dict(zip(once, verify(queries, limited), strict=True))
    failed = [_said(found, i, result) for i, result in results.items() if result.verdict.for_robustness not in passes]
    if failed:
        more = f"\n  and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        named = "\n  ".join(failed[:_NAMED])
        raise AssertionError(
            f"{len(failed)} of {len(once)} images are not {listed(sorted(passes))} at radius {reach.words} "
            f"({model.path}):\n  {named}{more}"
        )
    return [results[i] for i in indices]


def _said(images: Images, index: int, result: Result) -> str:
    verdict = result.verdict.for_robustness
    if result.witness is not None:
        return f"image {index} (label {images.label(index)}): {verdict}, {images.becomes(index, result.witness)}"
    return f"image {index} (label {images.label(index)}): {verdict}{f' ({result.reason})' if result.reason else ''}"
