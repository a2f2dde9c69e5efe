"""The arguments of assertions, each looked at by itself before anything is computed.

Whatever is wrong is an :class:`netproof.errors.InputError` that begins with the argument's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from netproof.arguments.arrays import NoNumbersError, numbers_of
from netproof.arguments.numbers import exact_number, scalar
from netproof.arguments.words import described, meant, shown
from netproof.asking.images import Images, ImageSource, Preparation
from netproof.asking.names import OF_IMAGES, verdict_hint
from netproof.errors import InputError
from netproof.files.opened import as_path
from netproof.formats.images.pictures import Pictures, labels_in
from netproof.formats.load import load
from netproof.network import Network, check_network
from netproof.pictures.form import LAYOUTS
from netproof.settings import Settings, settings_of

#: seconds for each image, where nothing is said
TIMEOUT = 60.0
_RADII = 'give it with its unit: eps="2/255", eps="0.01", or whole grey levels as eps=2 or eps="2grey"'
_LABELS = "give the number of a class, from 0, for each image"


def network_of(given: object, runtime: object) -> Network:
    """A network, or the one in a file."""
    if isinstance(given, Network):
        if runtime is not None:
            raise InputError("runtime", "is for files, and network is read already", "give it to netproof.load")
        return given
    if not isinstance(given, str | PathLike):
        check_network(given)
    if runtime is not None and not isinstance(runtime, str):
        raise InputError("runtime", f"is {described(runtime)}", "give its name: 'tflm'")
    return load(as_path(given, "network"), runtime=runtime)


def images_of(network: Network, images: object, labels: object, prepared: Preparation) -> Images:
    """Images of a network, with their labels; None for these are the classes that the network gives."""
    if isinstance(images, str | PathLike):
        path = as_path(images, "images")
        of_path = isinstance(labels, str | PathLike)
        source = ImageSource(path, as_path(labels, "labels") if of_path else None)
        found = Images.read(source, prepared, network)
        if labels is None or of_path:
            return found
        if found.pictures.labels is not None:
            raise InputError("labels", f"are given, and {path} has labels of its own", "leave labels out")
        values, axes, name = found.pictures.values, found.pictures.axes, str(path)
    else:
        values, axes, name = _values(images, network), "", "images"
    own = None if labels is None else _labels(labels, len(values), network.outputs)
    return Images.of(network, Pictures(values, own, axes, name), prepared)


def _values(given: object, network: Network) -> NDArray[Any]:
    try:
        array = numbers_of(given)
    except NoNumbersError as error:
        hint = "give images [N, ...] as an array, or the path of a file or folder"
        raise InputError("images", error.problem, hint if isinstance(given, list | tuple) else error.hint) from None
    if array.ndim < 2 or (array.size == network.inputs and len(array) != 1):
        what = (
            f"one image, of shape {array.shape}" if array.size == network.inputs else f"an array of shape {array.shape}"
        )
        raise InputError("images", f"is {what}", "give several along the first axis, [N, ...]: of one images[None]")
    if not len(array):
        raise InputError("images", "holds no images", "give at least one")
    return array


def _labels(given: object, images: int, outputs: int) -> NDArray[np.int64]:
    """One class for each image, ``[N]``."""
    if isinstance(given, str | PathLike):
        found = labels_in(as_path(given, "labels"))
    else:
        found = _classes(given, images, outputs)
    if len(found) != images:
        raise InputError("labels", f"are {len(found)}, for {images} images", "give one for each image")
    return found


def _classes(given: object, images: int, outputs: int) -> NDArray[np.int64]:
    try:
        array = numbers_of(given)
    except NoNumbersError as error:
        raise InputError("labels", f"are no whole numbers ({error.problem})", _LABELS) from None
    if not array.ndim:
        raise InputError("labels", f"is one number ({shown(array.item())})", f"give a list: [{shown(array.item())}]")
    if array.shape[1:] not in ((), (1,)):
        one_hot = outputs > 1 and array.shape[1:] == (outputs,)
        hint = "give labels.argmax(1), the numbers of classes" if one_hot else _LABELS
        raise InputError("labels", f"have shape {array.shape} for {images} images", hint)
    array = array.reshape(-1)
    if array.dtype.kind == "f" and not bool((np.isfinite(array) & (array == np.round(array))).all()):
        raise InputError("labels", "are no whole numbers", _LABELS)
    # What int64 cannot hold is no class of any network.
    return array.clip(-1, 1 << 31).astype(np.int64)


def check_classes(images: Images, indices: Iterable[int]) -> None:
    """Make sure that labels of images are classes of the network."""
    if images.labels is None:
        return
    for index in indices:
        label, outputs = int(images.labels[index]), images.network.outputs
        if not 0 <= label < outputs:
            problem = f"label {label} of image {index} is no class of the network, which has 0 to {outputs - 1}"
            raise InputError("labels", problem, "check that labels and network belong together")


def radius_text(given: object) -> str:
    """A radius as the command line takes it. A float is the decimal that Python prints."""
    value = scalar(given)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Fraction | Decimal):
        raise InputError("eps", f"is {described(value)}", _RADII)
    if not isinstance(value, str):
        number = exact_number(value)
        if number is None:
            raise InputError("eps", f"is {value}, which is no radius", _RADII)
        if number < 0:
            raise InputError("eps", f"is {value}", "give 0 or more")
    return str(value)


def positions(given: object, held: int) -> list[int]:
    """Numbers of images; all for None. Each is one of ``held``."""
    if given is None:
        return list(range(held))
    if isinstance(given, slice):
        raise InputError(
            "index", "is a slice", f"give range{(given.start or 0, held if given.stop is None else given.stop)}"
        )
    listed = [scalar(one) for one in _each(given)]
    if not listed:
        raise InputError("index", "names no image", "give some, or leave it out for all")
    if all(isinstance(one, bool) for one in listed) and len(listed) > 1:
        raise InputError("index", "is a mask of bools", "give numbers of images: numpy.flatnonzero(mask)")
    for one in listed:
        if isinstance(one, bool) or not isinstance(one, int):
            raise InputError("index", f"{shown(one)} is no number of an image", "give whole numbers from 0")
        if not 0 <= one < held:
            raise InputError(
                "index", f"there is no image {one} among {held}", f"give 0 to {held - 1}" if held > 1 else "give 0"
            )
    return [one for one in listed if isinstance(one, int)]


def _each(given: object) -> Iterable[object]:
    """The members of a list or an array; anything else by itself."""
    if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable) or getattr(given, "shape", None) == ():
        return [given]
    return given


def verdicts(given: object) -> frozenset[str]:
    """Verdicts that pass."""
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, Iterable) or isinstance(listed, dict | bytes):
        raise InputError("allowed", f"is {described(given)}", "give verdicts: ('robust', 'misclassified')")
    words = list(listed)
    if not words:
        raise InputError("allowed", "names no verdict, so that nothing could pass", "give ('robust',) at the least")
    for word in words:
        if not isinstance(word, str) or word not in OF_IMAGES:
            # Verdicts of netproof are texts, too, those of the other kind of question.
            stated = getattr(word, "value", word)
            hint = verdict_hint(stated, OF_IMAGES)
            if isinstance(stated, str) and "," in stated:
                hint = f"give a tuple: {tuple(part.strip() for part in stated.split(','))}"
            raise InputError("allowed", f"no verdict is called {shown(stated)}", hint)
    return frozenset(words)


def preparation(scale: object, mean: object, std: object, clip: object, layout: object) -> Preparation:
    """How values become inputs."""
    if layout is not None and (not isinstance(layout, str) or layout not in LAYOUTS):
        others = {"nchw": "chw", "nhwc": "hwc", "channels_first": "chw", "channels_last": "hwc"}
        raise InputError("layout", f"is {shown(layout)}", meant(layout, LAYOUTS, others))  # type: ignore[arg-type]
    ends = None
    if clip is not None:
        parts = _numbers("clip", clip)
        if len(parts) != 2 or isinstance(clip, str):
            raise InputError("clip", f"is {described(clip)}", "give the least and the largest value: (0, 1)")
        ends = parts[0], parts[1]
    return Preparation(
        None if scale is None else _number("scale", scale),
        () if mean is None else _numbers("mean", mean),
        () if std is None else _numbers("std", std),
        ends,
        layout,
    )


def _numbers(name: str, given: object) -> tuple[str, ...]:
    """One number, or several, as text."""
    if isinstance(given, np.ndarray | Tensor):
        given = given.reshape(-1).tolist()
    if isinstance(given, str) or not isinstance(given, Sequence):
        return (_number(name, given),)
    if not given:
        raise InputError(name, "has no number", "give one, or one per channel")
    return tuple(_number(name, one) for one in given)


def _number(name: str, given: object) -> str:
    value = scalar(given)
    number = exact_number(value) if isinstance(value, str | int | float | Fraction | Decimal) else None
    if number is None:
        raise InputError(name, f"is {described(value)}", 'give a number: 0.5, Fraction(1, 255) or "1/255"')
    if name in ("scale", "std") and number <= 0:
        raise InputError(name, f"is {value}", "give a number above 0")
    return str(value)


def limits(timeout: object, settings: object) -> Settings:
    """The settings of each query; an assertion has an end."""
    if settings is not None:
        found = settings_of(settings)
        if timeout != TIMEOUT:
            raise InputError("timeout", "is given beside settings, which have their own", "give one of the two")
    else:
        value = scalar(timeout)
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not value > 0:
            raise InputError("timeout", f"is {described(value)}", "give a positive number of seconds: 60")
        found = Settings(timeout=float(value))
    if math.isinf(found.timeout):
        raise InputError("timeout", "is without an end", "give a number of seconds: a test has to come back")
    return found
