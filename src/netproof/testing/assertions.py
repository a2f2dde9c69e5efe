"""Assertions for tests of a project that ships a network.

from netproof.testing import assert_robust

def test_digits_withstand_two_grey_levels():
    assert_robust("digits.onnx", "digits.npz", eps="2/255", index=range(20))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.asking.images import Images, ImageSource, Preparation, chosen
from netproof.asking.reach import reach_of
from netproof.errors import InputError
from netproof.formats.images.pictures import Pictures
from netproof.formats.load import load
from netproof.network import Network
from netproof.query import Result, Verdict
from netproof.search.verify import verify
from netproof.settings import Settings

#: words for what becomes of an image
VERDICTS = tuple(verdict.for_robustness for verdict in Verdict)
#: failures that a message names one by one
_NAMED = 5


def assert_robust(
    network: Network | str | PathLike[str],
    images: NDArray[Any] | str | PathLike[str],
    labels: Sequence[int] | NDArray[Any] | str | PathLike[str] | None = None,
    *,
    eps: str | int | float | Fraction,
    index: int | Iterable[int] | None = None,
    allowed: str | Iterable[str] = ("robust",),
    norm: str = "linf",
    target: int | None = None,
    top: int = 1,
    timeout: float = 60.0,
    settings: Settings | None = None,
    scale: str | float | None = None,
    mean: Sequence[str | float] | str | float | None = None,
    std: Sequence[str | float] | str | float | None = None,
    clip: tuple[str | float, str | float] | None = None,
    layout: str | None = None,
    runtime: str | None = None,
) -> list[Result]:
    """Assert that images keep their class within a radius; what is not decided in time fails as well.

    Parameters
    ----------
    network : a network, or its file
    images : an array ``[N, ...]``, or anything that ``netproof robust --images`` takes
    labels : one for each image, or their file; without labels the network's own classes are to be kept
    eps : the radius with its unit, as ``netproof robust --eps`` takes it: ``"2/255"``, ``"0.01"``, ``2`` or ``"2grey"``
    index : which images (default: all)
    allowed : verdicts that pass: add ``"misclassified"`` where the network may err on the image itself
    norm, target, top : as for :func:`netproof.robustness`
    timeout, settings : seconds for each image; all limits at once instead
    scale, mean, std, clip, layout : how values become inputs of a float network
    runtime : whose integers a TensorFlow Lite file stands for

    Returns
    -------
    the results, in the order of the images

    Raises
    ------
    AssertionError : a verdict that is not allowed; the message has the first images, their verdicts and what changed
    NetproofError : a network or images that cannot be used
    """
    passes = _words(allowed)
    model = network if isinstance(network, Network) else load(network, runtime=runtime)
    prepared = Preparation(
        _text(scale), _texts(mean), _texts(std), None if clip is None else (str(clip[0]), str(clip[1])), layout
    )
    found = _images(model, images, labels, prepared)
    reach = reach_of(str(eps), found.unit, "eps", norm)
    wanted = [] if index is None else _numbers(index)
    indices = chosen(found, wanted, every=index is None)
    queries = [found.query(i, reach.number, norm=norm, target=target, top=top, name=f"image {i}") for i in indices]
    results = list(verify(queries, settings or Settings(timeout=timeout)))
    failed = [
        _said(found, i, result)
        for i, result in zip(indices, results, strict=True)
        if result.verdict.for_robustness not in passes
    ]
    if failed:
        more = f"\n  and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        listed = "\n  ".join(failed[:_NAMED])
        raise AssertionError(
            f"{len(failed)} of {len(indices)} images are not {' or '.join(sorted(passes))} at radius {reach.words} "
            f"({model.path}):\n  {listed}{more}"
        )
    return results


def _said(images: Images, index: int, result: Result) -> str:
    verdict = result.verdict.for_robustness
    if result.witness is not None:
        outputs = result.witness.output_numbers
        becomes = max(range(len(outputs)), key=lambda k: (outputs[k], k != images.label(index), -k))
        changed, largest = images.change(index, result.witness.numbers)
        return (
            f"image {index} (label {images.label(index)}): {verdict}, class {becomes} after a change of {changed} values by "
            f"at most {float(largest):.6g}"
        )
    return f"image {index} (label {images.label(index)}): {verdict}{f' ({result.reason})' if result.reason else ''}"


def _images(model: Network, images: Any, labels: Any, prepared: Preparation) -> Images:
    if isinstance(images, (str, PathLike)):
        if labels is not None and not isinstance(labels, (str, PathLike)):
            read = Images.read(ImageSource(Path(images)), prepared, model)
            return Images.of(
                model, Pictures(read.pictures.values, _array(labels), read.pictures.axes, str(images)), prepared
            )
        return Images.read(ImageSource(Path(images), None if labels is None else Path(labels)), prepared, model)
    values = np.asarray(images)
    own = None if labels is None else _array(labels)
    return Images.of(model, Pictures(values, own, "", "the images"), prepared)


def _array(labels: Any) -> NDArray[np.int64]:
    """Labels as int64; raises :class:`InputError` for what is no whole number."""
    given = np.asarray(labels).reshape(-1)
    if given.dtype.kind in "iu":
        return given.astype(np.int64)
    whole = given.dtype.kind == "f" and bool(np.isfinite(given).all()) and bool((given == np.round(given)).all())
    if not whole:
        raise InputError("labels", "are no whole numbers", "give the number of a class for each image")
    return given.astype(np.int64)


def _words(allowed: str | Iterable[str]) -> frozenset[str]:
    """Verdicts that pass; raises :class:`InputError` for a word that is none."""
    words = frozenset([allowed] if isinstance(allowed, str) else allowed)
    for word in words:
        if word not in VERDICTS:
            raise InputError("allowed", f"no verdict is called {word!r:.40}", f"give some of {', '.join(VERDICTS)}")
    return words


def _numbers(index: Any) -> list[int]:
    """Numbers of images; raises :class:`InputError` for what is none."""
    given = [index] if isinstance(index, (bool, float, int, np.number, str)) else list(index)
    for one in given:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer)):
            raise InputError("index", f"{one!r:.40} is no number of an image", "give whole numbers from 0")
    return [int(one) for one in given]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _texts(values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    return (str(values),) if isinstance(values, (str, int, float)) else tuple(str(value) for value in values)
