"""Images as one network takes them: which ones, with which labels, and how their values become inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.arguments.numbers import exact_number
from netproof.asking.reach import Unit
from netproof.errors import InputError
from netproof.formats.images.pictures import Pictures, read_pictures
from netproof.formats.images.samples import as_codes, check_index, check_labels
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import distance, moves, robustness
from netproof.network import Network
from netproof.perturbations.few import few_values
from netproof.pictures.form import InputForm
from netproof.query import Query, Question
from netproof.result import Witness

_LEVELS = 255


@dataclass(frozen=True)
class ImageSource:
    """Where images come from, as text: the arguments of :func:`netproof.formats.images.pictures.read_pictures`.

    Attributes
    ----------
    label : the class of all images, where no labels are given
    """

    path: Path
    labels: Path | None = None
    label: int | None = None
    split: str = "test"
    crop: int | None = None
    check: bool = True


@dataclass(frozen=True)
class Preparation:
    """How values become inputs of a network over the real numbers: ``(scale * value - mean) / std``, as text.

    Attributes
    ----------
    scale : None for 1/255 where images are 8-bit, 1 elsewhere
    mean, std : one number or one per channel
    clip : the least and the largest that ``scale * value`` can be
    layout : how a network takes colours, where its input's shape does not tell
    """

    scale: str | None = None
    mean: tuple[str, ...] = ()
    std: tuple[str, ...] = ()
    clip: tuple[str, str] | None = None
    layout: str | None = None

    def check_integer(self, network: Network) -> None:
        """Refuse what a network of integers has no use for; raises :class:`InputError`."""
        given = {"--scale": self.scale, "--mean": self.mean, "--std": self.std, "--clip": self.clip}
        stated = [option for option, value in given.items() if value]
        if stated:
            problem = f"{network.path} is an integer network, which takes grey levels as they are"
            raise InputError(stated[0], problem, f"leave {', '.join(stated)} out")


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one network.

    Attributes
    ----------
    network : that takes them
    pictures : as their source has them
    labels : of the images, ``[N]``; None where the network's own classes are taken
    unit : what radii are counted in
    """

    network: Network
    pictures: Pictures
    form: InputForm
    prepared: Preparation
    labels: NDArray[np.int64] | None
    unit: Unit

    @classmethod
    def read(cls, source: ImageSource, prepared: Preparation, network: Network) -> Images:
        """Read images for a network; raises :class:`InputError`."""
        form = InputForm.of(network.input_shape, prepared.layout)
        pictures = read_pictures(
            source.path, source.labels, channels=form.channels, size=form.size, split=source.split, crop=source.crop,
            check=source.check,
        )  # fmt: skip
        if pictures.classes not in (None, network.outputs):
            problem = f"has {pictures.classes} folders of classes, the network {network.outputs} outputs"
            hint = "name each folder by its class's number, or list the folders of all classes in classes.txt"
            raise InputError(pictures.source, problem, hint)
        if source.label is not None and pictures.labels is not None:
            raise InputError("--label", "the images have labels already", "leave it, or --labels, out")
        if source.label is not None:
            if not 0 <= source.label < network.outputs:
                problem = f"label {source.label} is not an output of the network ({network.outputs} outputs)"
                raise InputError("--label", problem, f"give 0 to {network.outputs - 1}")
            pictures = replace(pictures, labels=np.full(len(pictures), source.label, np.int64))
        return cls.of(network, pictures, prepared)

    @classmethod
    def of(cls, network: Network, pictures: Pictures, prepared: Preparation) -> Images:
        """Images that were read already, for a network; raises :class:`InputError` where it does not take them."""
        form = InputForm.of(network.input_shape, prepared.layout)
        if network.graph.arithmetic is Arithmetic.INTEGER:
            prepared.check_integer(network)
            if pictures.values.dtype.kind == "f":
                # Zeros and ones of scaled pixels are whole numbers, too, and not the grey levels 0 and 1.
                problem = f"holds numbers of type {pictures.values.dtype}, and {network.path} takes integers"
                raise InputError(pictures.source, problem, "give the network's own integers, or pixels as uint8")
            unit = Unit(int((network.upper - network.lower).max()))
        else:
            _check_clip(prepared.clip)
            _check_std(prepared.std)
            unit = _unit(prepared, grey=pictures.values.dtype == np.uint8)
        _check_channels(prepared, form)
        if pictures.labels is not None:
            check_labels(len(pictures.labels), len(pictures), "the labels", pictures.source)
            if len(pictures) and int(pictures.labels.min()) >= 1 and int(pictures.labels.max()) == network.outputs:
                problem = f"its labels run from {int(pictures.labels.min())} to {network.outputs}, the network's classes from 0"
                raise InputError(pictures.source, problem, "count labels from 0")
        found = cls(network, pictures, form, prepared, pictures.labels, unit)
        found.image(0)  # refuses what does not fit before anything is asked
        return found

    def __len__(self) -> int:
        return len(self.pictures)

    def check(self, index: int) -> None:
        """Make sure that there is such an image; raises :class:`InputError`."""
        check_index(index, len(self), self.pictures.source)

    def named(self, index: int) -> str:
        """An image in messages: its file or folder, and its number there."""
        return f"{self.pictures.source}, sample {index}"

    def label(self, index: int) -> int:
        """The class of an image: its label, or what the network takes it for where there is none."""
        return self._predicted(index) if self.labels is None else int(self.labels[index])

    def image(self, index: int) -> NDArray[Any]:
        """An image in the network's order of axes, as its source has it; of a network of integers its codes."""
        found = self.form.arranged(self.pictures.values[index], self.pictures.axes, self.pictures.source)
        return as_codes(found, self.network) if self.network.graph.arithmetic is Arithmetic.INTEGER else found

    def query(
        self,
        index: int,
        radius: int | Fraction,
        *,
        norm: str = "linf",
        target: int | None = None,
        top: int = 1,
        name: str = "",
    ) -> Query:
        """Can the class of an image change? Raises :class:`QueryError`."""
        return robustness(
            self.network,
            self.image(index),
            self.label(index),
            radius,
            **self.arguments,
            norm=norm,
            target=target,
            top=top,
            name=name,
        )

    def question(
        self,
        index: int,
        radius: int | Fraction,
        *,
        norm: str = "linf",
        target: int | None = None,
        top: int = 1,
        name: str = "",
    ) -> Question:
        """As :meth:`query`; in ``l0``, which float networks have here, the radius is a number of values, and there is a query for every
        choice of them."""
        if norm != "l0":
            return Question.of(self.query(index, radius, norm=norm, target=target, top=top, name=name))
        return few_values(
            self.network, self.image(index), self.label(index), int(radius), **self.arguments, target=target, top=top,
            name=name,
        )  # fmt: skip

    @property
    def arguments(self) -> dict[str, Any]:
        """The keywords of :func:`netproof.robustness` that say how values become inputs."""
        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            return {}
        prepared = self.prepared
        return {
            "scale": self.unit.scale,
            "mean": list(prepared.mean) or None,
            "std": list(prepared.std) or None,
            "clip": prepared.clip,
        }

    @property
    def words(self) -> str:
        """How values become inputs, in words; empty where they are taken as they are."""
        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            return ""
        scaled = "value" if self.unit.scale == 1 else f"{self.unit.scale} * value"
        if not self.prepared.mean and not self.prepared.std:
            return f"inputs are {scaled}" if scaled != "value" else "inputs are the images' values as they are"
        mean, std = (", ".join(part) for part in (self.prepared.mean or ("0",), self.prepared.std or ("1",)))
        return f"inputs are ({scaled} - mean) / std, mean {mean}, std {std}"

    def distance(self, index: int, point: Sequence[Fraction], norm: str) -> Fraction:
        """How far an input ``[n_input]`` is from an image, in the unit of radii."""
        return distance(self.network, self.image(index), point, **self.arguments, norm=norm)

    def change(self, index: int, point: Sequence[Fraction]) -> tuple[int, Fraction]:
        """How many values of an image an input ``[n_input]`` changes, and by how much at most in the unit of radii."""
        found = moves(self.network, self.image(index), point, **self.arguments)
        return sum(move != 0 for move in found), max(found)

    def becomes(self, index: int, witness: Witness) -> str:
        """What a witness makes of an image, in words: its class, how many values it changes, and by how much at most."""
        outputs = witness.output_numbers
        label = self.label(index)
        found = max(range(len(outputs)), key=lambda k: (outputs[k], k != label, -k))
        changed, largest = self.change(index, witness.numbers)
        return f"class {found} after a change of {changed} value{'' if changed == 1 else 's'} by at most {float(largest):.6g}"

    def shown(self, point: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """An input ``[n_input]`` as an image of grey levels, ``[rows, columns]`` or ``[rows, columns, 3]``; None where it is none.

        Values that are no grey levels are spread from the least to the largest that the source has.
        """
        values = point
        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            values = values - min(float(self.network.lower.min()), 0.0)
        else:
            mean, std = (
                self._per_value(part, default) for part, default in ((self.prepared.mean, 0), (self.prepared.std, 1))
            )
            values = (values * std + mean) / float(self.unit.scale or 1)
        if self.unit.levels != _LEVELS:
            least, largest = float(self.pictures.values.min()), float(self.pictures.values.max())
            values = (values - least) * (_LEVELS / ((largest - least) or 1.0))
        return self.form.planes(np.rint(values).clip(0, _LEVELS).astype(np.int64))

    def _per_value(self, stated: tuple[str, ...], default: int) -> NDArray[np.float64]:
        """Numbers per channel as one for each value, ``[n_input]``."""
        numbers = [float(exact_number(part) or 0) for part in stated] or [float(default)]
        found = np.array(numbers)
        if len(numbers) == 1:
            return np.full(self.network.inputs, found[0])
        return (
            np.tile(found, self.network.inputs // len(found))
            if self.form.layout == "hwc"
            else found.repeat(self.network.inputs // len(found))
        )

    def _predicted(self, index: int) -> int:
        return int(self.network.classify(self.input(index)))

    def input(self, index: int) -> Tensor:
        """An image as the network's input, ``[n_input]`` float64; raises :class:`QueryError`."""
        sample = robustness(self.network, self.image(index), 0, 0, **self.arguments, name=self.named(index)).sample
        assert sample is not None
        return sample.image.to(torch.float64)


def _check_channels(prepared: Preparation, form: InputForm) -> None:
    """Refuse several means of images whose one channel has an axis of its own: they would be taken for those of rows."""
    for option, numbers in (("--mean", prepared.mean), ("--std", prepared.std)):
        if len(numbers) > 1 and form.channels == 1 and len(form.shape) == 3:
            problem = (
                f"has {len(numbers)} numbers, and the network's input {'x'.join(map(str, form.shape))} one channel"
            )
            raise InputError(option, problem, "give one number")


def _check_std(std: tuple[str, ...]) -> None:
    """Refuse what nothing can be divided by; what is no number is refused where it is used."""
    for part in std:
        number = exact_number(part)
        if number is not None and number <= 0:
            raise InputError("--std", f"is '{part[:40]}', which is not above 0", "give positive numbers")


def _check_clip(clip: tuple[str, str] | None) -> None:
    """Refuse ends of which the first is above the second; what is no number is refused where it is used."""
    if clip is None:
        return
    low, high = (exact_number(end) for end in clip)
    if low is not None and high is not None and low > high:
        problem = f"is '{clip[0][:40]},{clip[1][:40]}', which nothing is between"
        raise InputError("--clip", problem, f"give the least value first: {clip[1][:40]},{clip[0][:40]}")


def _unit(prepared: Preparation, *, grey: bool) -> Unit:
    scale = Fraction(1, _LEVELS) if grey else Fraction(1)
    if prepared.scale is not None:
        stated = exact_number(prepared.scale)
        if stated is None or stated <= 0:
            raise InputError("--scale", f"is '{prepared.scale[:40]}'", "give a number above 0: 1/255, or 1")
        scale = stated
    return Unit(_LEVELS if grey else None, scale)


def chosen(images: Images, indices: Sequence[int], *, every: bool) -> tuple[int, ...]:
    """Which images are meant: those named, each once, all, or the only one there is; raises :class:`InputError`."""
    if every and indices:
        raise InputError("--all", "--index names images as well", "give one of the two")
    if every:
        return tuple(range(len(images)))
    if not indices and len(images) > 1:
        problem = f"{images.pictures.source} holds {len(images)} images, and nothing says which is meant"
        raise InputError(
            "--index", problem, f"give --index I (0 to {len(images) - 1}), several times for several, or --all"
        )
    for index in indices:
        images.check(index)
    return tuple(dict.fromkeys(indices)) or (0,)
