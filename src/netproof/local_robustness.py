"""Local robustness: can the class of an image change near it? The same question for integers and for real numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netproof.arguments.arrays import NoNumbersError, numbers_of
from netproof.arguments.hints import label_hint, levels_hint
from netproof.arguments.numbers import Number, counted, exact_number, whole_number
from netproof.arguments.words import described, meant, plainly, printable, shown
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms
from netproof.network import Network, check_network
from netproof.property import Ball, Box, LinearConstraint, PropertyPart, size_of
from netproof.query import Conjunction, Query, Sample, check_name

#: what says itself in a name
_STATED = (str, int, float, Fraction, Decimal, np.generic, Tensor)
_LONGEST = 60
_ENDS = ("lower", "upper")
_SIZE = "use images of the data set the network was trained on"
#: scales, means and the like are between this and its reciprocal, or 0
_LEAST = Fraction(1, 2**400)
#: norms by name: the largest move of a value, the sum of all moves, the root of the sum of their squares
NORMS = ("linf", "l1", "l2")
#: the same as others write them
_OTHER_NORMS: dict[object, str] = {
    math.inf: "linf", 1: "l1", 2: "l2", "inf": "linf", "l_inf": "linf", "max": "linf", "l∞": "linf", "1": "l1", "2": "l2",
}  # fmt: skip
#: disjuncts of a condition on the first several classes; more are refused
_MOST_CASES = 4096


@on_own_terms
def robustness(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    radius: Number | None = None,
    *,
    box: tuple[ArrayLike | Tensor, ArrayLike | Tensor] | None = None,
    scale: Number | None = None,
    mean: Number | Sequence[Number] | None = None,
    std: Number | Sequence[Number] | None = None,
    clip: tuple[Number, Number] | None = None,
    norm: str = "linf",
    target: int | None = None,
    top: int = 1,
    name: str = "",
) -> Query:
    """Can the class of an image change where every input moves by at most a radius (local robustness)?

    That is the maximum norm, ``linf``. With ``norm="l1"`` all moves together are at most the radius, with ``norm="l2"`` the root
    of the sum of their squares is.

    A network *over the integers* takes grey levels: image and radius are whole numbers, and the box is cut to the range of
    the network's inputs. Its class is the *first* largest output, over all outputs: class ``k`` beats ``label`` where
    ``y_k - y_label >= 0`` for ``k < label`` and ``>= 1`` for ``k > label``.

    A network *over the real numbers* takes ``(scale * value - mean) / std`` of every value of the image, by default the value
    itself. The radius is in the unit of ``scale * value``: with ``scale="1/255"`` that of pixels from 0 to 1. Class ``k``
    beats ``label`` where ``y_k >= y_label``, as VNN-COMP asks it. All numbers are taken exactly: ``"2/255"`` and ``"0.1"``
    as written, a float as the binary number that it is. A witness is held to the exact box, not to one that was rounded.

    Parameters
    ----------
    network : over integers or real numbers
    image : ``[n_input]``, or any shape of that size; integers for an integer network. 8-bit images (uint8) need a ``scale``
        where the network is one of real numbers, because nothing else says what a grey level is there
    label : the image's class
    radius : how far each value may move, or what the norm says: whole grey levels for an integer network, any number of at
        least 0 otherwise
    box : lower and upper ends, each of the image's size and in the network's own inputs, instead of a radius
    scale : multiplies the image's values (real networks)
    mean, std : one number, or one per channel (real networks). Channels are the image's first axis after a batch axis, or
        its last where only that fits; of a flat image those of the network's input
    clip : the least and the largest value that ``scale * value`` can have, to which the box is cut (real networks);
        by default the range of grey levels for 8-bit images, and no limit for others
    norm : how moves are measured, ``linf``, ``l1`` or ``l2``, in the unit of the radius; ``linf`` where a radius holds all inputs
    target : ask whether the class can become this one, instead of any other
    top : ask whether the label can leave the ``top`` first classes, instead of the first: whether so many others can beat it
    name : how reports and results call it; by default it says the radius

    Raises
    ------
    QueryError : wrong size, values outside the input range, no such label or norm, a negative radius or one that is no number, a
        fraction of a grey level, arguments that belong to the other kind of network; a target that is the label or no
        output, a ``top`` that is not below the number of outputs or has more than 4096 cases, or both
    """
    name = _name(name, radius, norm)
    check_network(network)
    goal = _Goal.of(network, label, target, top, name)
    if (radius is None) == (box is None):
        problem = "has neither a radius nor a box" if radius is None else "has a radius and a box"
        raise QueryError(name, problem, "give one of the two")
    check_norm(norm, name)
    if box is not None and norm != "linf":
        raise QueryError(name, "has a box and a norm", "give one of the two")
    given = {"scale": scale, "mean": mean, "std": std, "clip": clip}
    stated = [word for word, value in given.items() if value is not None]
    integer = network.graph.arithmetic is Arithmetic.INTEGER
    if integer and stated:
        problem = f"{network.path} is an integer network, which takes grey levels as they are"
        raise QueryError(name, problem, f"leave {', '.join(stated)} out")
    if box is not None:
        if stated:
            raise QueryError(name, "the box is in the network's own inputs", f"leave {', '.join(stated)} out")
        return _in_box(network, image, box, goal, name)
    assert radius is not None
    if integer:
        return _of_integers(network, image, goal, radius, norm, name)
    if scale is None and _is_8_bit(image):
        raise QueryError(
            name,
            "the image is uint8, and nothing says which inputs its grey levels are",
            'give scale="1/255" for inputs and a radius from 0 to 1, scale=1 for grey levels as they are',
        )
    pixels = _Pixels.of(network, image, scale, mean, std, clip, name)
    return _of_real_numbers(network, pixels, goal, radius, norm, name)


def check_norm(norm: object, source: str) -> None:
    """Raise :class:`QueryError` for what is the name of no norm, with the one that was probably meant."""
    if not isinstance(norm, str) or norm not in NORMS:
        raise QueryError(source, f"the norm is {shown(norm)}", meant(norm, NORMS, _OTHER_NORMS))


def _name(name: str, radius: object, norm: object) -> str:
    """How a query is called; raises :class:`QueryError` for a name that is no text."""
    check_name(name)
    if name:
        return name
    stated = printable(plainly(radius)) if isinstance(radius, _STATED) else shown(radius)
    return "box" if radius is None else f"radius {stated[:_LONGEST]}" + ("" if norm == "linf" else f" in {shown(norm)}")


def distance(
    network: Network,
    image: ArrayLike | Tensor,
    point: Sequence[Fraction],
    *,
    scale: Number | None = None,
    mean: Number | Sequence[Number] | None = None,
    std: Number | Sequence[Number] | None = None,
    clip: tuple[Number, Number] | None = None,
    norm: str = "linf",
) -> Fraction:
    """How far an input is from an image, in the unit of a radius: exactly, but for roots, which are rounded up by at most 2^-60.

    ``point`` is ``[n_input]``; the other arguments and what is raised are as for :func:`robustness`.
    """
    return size_of(moves(network, image, point, scale=scale, mean=mean, std=std, clip=clip), norm)


def moves(
    network: Network,
    image: ArrayLike | Tensor,
    point: Sequence[Fraction],
    *,
    scale: Number | None = None,
    mean: Number | Sequence[Number] | None = None,
    std: Number | Sequence[Number] | None = None,
    clip: tuple[Number, Number] | None = None,
) -> list[Fraction]:
    """How far each value of an input is from an image's, exactly; as :func:`distance`."""
    if network.graph.arithmetic is Arithmetic.INTEGER:
        there = (Fraction(value) for value in _integer_image(network, image, "distance").tolist())
        return [abs(value - at) for value, at in zip(point, there, strict=True)]
    pixels = _Pixels.of(network, image, scale, mean, std, clip, "distance")
    return [
        abs(value * pixels.std[channel] + pixels.mean[channel] - pixels.scale * Fraction(level))
        for value, channel, level in zip(point, pixels.channel.tolist(), pixels.values.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class _Goal:
    """What a witness has to do to the class.

    Attributes
    ----------
    label : the image's class
    cases : disjuncts, each a conjunction of pairs ``(a, b)``: output ``a`` comes before output ``b``
    top : how many first classes the label is to be among
    plain : whether any other class will do
    """

    label: int
    cases: tuple[tuple[tuple[int, int], ...], ...]
    top: int
    plain: bool

    @classmethod
    def of(cls, network: Network, label: int, target: int | None, top: int, name: str) -> _Goal:
        """The goal of these arguments; raises :class:`QueryError`."""
        number, outputs = counted(label), network.outputs
        if number is None or not 0 <= number < outputs:
            problem = f"label {shown(label)} is not an output of the network ({outputs} outputs)"
            raise QueryError(name, problem, label_hint(label, number, outputs))
        rivals = [rival for rival in range(outputs) if rival != number]
        first = counted(top)
        if first is None or not (1 <= first < outputs or first == 1):
            raise QueryError(name, f"top is {shown(top)} of {outputs} outputs", f"give 1 to {max(outputs - 1, 1)}")
        if target is None:
            count = math.comb(len(rivals), first)
            if count > _MOST_CASES:
                problem = f"top {top} of {outputs} outputs has {count} cases, more than {_MOST_CASES}"
                raise QueryError(name, problem, "give a smaller top")
            cases = tuple(
                tuple((rival, number) for rival in chosen) for chosen in itertools.combinations(rivals, first) if chosen
            )
            return cls(number, cases, first, first == 1)
        aim = counted(target)
        if first != 1:
            raise QueryError(name, "has a target and a top", "give one of the two")
        if aim is None or aim not in rivals:
            what = "the label itself" if aim == number else f"no output of the network, which has {outputs}"
            raise QueryError(
                name, f"the target {shown(target)} is {what}", f"give another class, of 0 to {outputs - 1}"
            )
        return cls(number, (tuple((aim, other) for other in range(outputs) if other != aim),), 1, False)

    def condition(self, network: Network) -> tuple[Conjunction, ...]:
        """One conjunction per case; a network of one output has none."""
        ties_count = network.graph.arithmetic is Arithmetic.REAL
        # All cases at once: a few tensors for every case would take longer than the network does.
        pairs = [pair for case in self.cases for pair in case]
        if not pairs:
            return ()
        first, second = torch.tensor(pairs, dtype=torch.int64).unbind(1)
        unit = torch.eye(network.outputs, dtype=network.lower.dtype)
        margins = ((first > second) & (not ties_count)).to(unit.dtype)
        sizes = [len(case) for case in self.cases]
        parts = zip((unit[first] - unit[second]).split(sizes), margins.split(sizes), strict=True)  # type: ignore[no-untyped-call]
        return tuple(Conjunction(*part) for part in parts)

    def exact(self, network: Network) -> tuple[tuple[LinearConstraint, ...], ...]:
        """The same with exact numbers."""
        ties_count = network.graph.arithmetic is Arithmetic.REAL
        return tuple(tuple(_lead(*pair, ties_count=ties_count) for pair in pairs) for pairs in self.cases)


def _of_integers(
    network: Network, image: ArrayLike | Tensor, goal: _Goal, radius: Number, norm: str, name: str
) -> Query:
    pixels = _integer_image(network, image, name)
    widest = int((network.upper - network.lower).max())
    levels = whole_number(radius)
    if levels is None or levels < 0:
        raise QueryError(name, f"the radius is {shown(radius)}", levels_hint(radius, widest))
    # A radius beyond the input range asks about the whole range.
    reach = min(levels, widest)
    lower, upper = torch.maximum(pixels - reach, network.lower), torch.minimum(pixels + reach, network.upper)
    # The radius says the whole question only where any other class will do.
    about = Sample(pixels, goal.label, levels if goal.plain else None, top=goal.top)
    if norm != "linf":
        exact = Box(*(tuple(Fraction(value) for value in end.tolist()) for end in (lower, upper)))
        center = tuple(Fraction(value) for value in pixels.tolist())
        ball = Ball(norm, center, (Fraction(1),) * len(center), Fraction(levels))
        # A ball that holds the box says no more than that every value moves by at most its radius.
        if not ball.contains(exact):
            about = Sample(pixels, goal.label, part=PropertyPart(exact, goal.exact(network), ball=ball), top=goal.top)
    return Query(network, lower, upper, goal.condition(network), name, about)


def _integer_image(network: Network, image: ArrayLike | Tensor, name: str) -> Tensor:
    pixels = _flat(image, "the image", name)
    _check_size(network, pixels.numel(), name)
    if not bool((pixels == pixels.round()).all() & (pixels >= network.lower).all() & (pixels <= network.upper).all()):
        raise QueryError(
            name,
            f"the image has values that are not integers from {int(network.lower.min())} to {int(network.upper.max())}",
            "give raw integer pixels, not normalized ones",
        )
    return pixels


def _in_box(
    network: Network,
    image: ArrayLike | Tensor,
    box: tuple[ArrayLike | Tensor, ArrayLike | Tensor],
    goal: _Goal,
    name: str,
) -> Query:
    if isinstance(box, str | dict | set) or not hasattr(box, "__len__") or len(box) != 2:
        problem = f"the box is {described(box)}"
        raise QueryError(name, problem, "give (lower, upper), each with a value for every input of the network")
    if network.graph.arithmetic is Arithmetic.INTEGER:
        pixels = _integer_image(network, image, name)
    else:
        pixels = _flat(image, "the image", name)
    lower, upper = (_flat(end, f"the {which} end of the box", name) for which, end in zip(_ENDS, box, strict=True))
    return Query(network, lower, upper, goal.condition(network), name, Sample(pixels, goal.label, top=goal.top))


def _of_real_numbers(network: Network, pixels: _Pixels, goal: _Goal, radius: Number, norm: str, name: str) -> Query:
    reach = exact_number(radius)
    if reach is None or reach < 0:
        problem = f"the radius is {shown(radius)}"
        raise QueryError(name, problem, 'give a number, 0 or more: 0.01, Fraction(2, 255) or "2/255"')
    try:
        inputs, exact = pixels.around(reach)
    except OverflowError:
        raise QueryError(
            name, "the network would be given values beyond float64", "check the image and scale"
        ) from None
    lower, upper = exact.outer
    ball = None if norm == "linf" else pixels.ball(norm, reach)
    ball = None if ball is None or ball.contains(exact) else ball
    return Query(
        network=network,
        lower=torch.from_numpy(lower.copy()),
        upper=torch.from_numpy(upper.copy()),
        condition=goal.condition(network),
        name=name,
        about=Sample(
            inputs,
            goal.label,
            part=PropertyPart(exact, goal.exact(network), ball=ball),
            top=goal.top,
        ),
    )


def _lead(rival: int, label: int, *, ties_count: bool) -> LinearConstraint:
    terms = ((rival, Fraction(1)), (label, Fraction(-1)))
    return LinearConstraint((), tuple(sorted(terms)), Fraction(rival > label and not ties_count))


@dataclass(frozen=True, eq=False)
class _Pixels:
    """An image's values, and how they become inputs: ``(scale * value - mean) / std``.

    Attributes
    ----------
    values : ``[n_input]``
    channel : of each value, its position in ``mean`` and ``std``, ``[n_input]`` int64
    clip : the least and the largest that ``scale * value`` can be; None where there is no limit
    """

    values: NDArray[np.generic]
    channel: NDArray[np.int64]
    scale: Fraction
    mean: tuple[Fraction, ...]
    std: tuple[Fraction, ...]
    clip: tuple[Fraction, Fraction] | None

    @classmethod
    def of(
        cls,
        network: Network,
        image: ArrayLike | Tensor,
        scale: Number | None,
        mean: Number | Sequence[Number] | None,
        std: Number | Sequence[Number] | None,
        clip: tuple[Number, Number] | None,
        name: str,
    ) -> _Pixels:
        array = _numbers(image, "the image", name)
        _check_size(network, array.size, name)
        if not bool(np.isfinite(array.astype(np.float64)).all()):
            raise QueryError(name, "the image has values that are NaN or infinite", "give finite numbers")
        factor = _stated("scale", 1 if scale is None else scale, name)
        means = _per_channel("mean", 0 if mean is None else mean, name)
        stds = _per_channel("std", 1 if std is None else std, name)
        if factor <= 0 or min(stds) <= 0:
            raise QueryError(name, "scale or std is not above 0", "give positive numbers")
        count = max(len(means), len(stds))
        if {len(means), len(stds)} - {1, count}:
            problem = f"mean has {len(means)} numbers, std {len(stds)}"
            raise QueryError(name, problem, "give as many of both, one per channel, or one number")
        ends = None
        if clip is not None:
            if not isinstance(clip, Sequence | np.ndarray | Tensor) or isinstance(clip, str) or len(clip) != 2:
                raise QueryError(name, f"clip is {described(clip)}", "give the least and the largest value: (0, 1)")
            ends = _stated("clip", clip[0], name), _stated("clip", clip[1], name)
        elif array.dtype == np.uint8:
            ends = Fraction(0), 255 * factor
        found = cls(
            array.reshape(-1),
            _channels(array.shape, network.input_shape, count, name),
            factor,
            means * (count // len(means)),
            stds * (count // len(stds)),
            ends,
        )
        found._check_clip(name)
        return found

    def _check_clip(self, name: str) -> None:
        if self.clip is None:
            return
        if self.clip[0] > self.clip[1]:
            problem = f"clip is from {float(self.clip[0]):g} to {float(self.clip[1]):g}, which nothing is between"
            raise QueryError(name, problem, "give the least value first")
        low, high = (self.scale * Fraction(end.item()) for end in (self.values.min(), self.values.max()))
        if low < self.clip[0] or high > self.clip[1]:
            problem = f"the image has values outside clip, {float(low):g} to {float(high):g}"
            raise QueryError(name, problem, "give a clip in the unit of scale * value, or leave it out")

    def around(self, radius: Fraction) -> tuple[Tensor, Box]:
        """The image as the network's input, float64, and the exact box of a radius around it."""
        known: dict[tuple[int, float], tuple[float, Fraction, Fraction]] = {}
        inputs, lower, upper = [], [], []
        for key in zip(self.channel.tolist(), self.values.tolist(), strict=True):
            if key not in known:
                known[key] = self._ends(*key, radius)
            at, low, high = known[key]
            inputs.append(at)
            lower.append(low)
            upper.append(high)
        return torch.tensor(inputs, dtype=torch.float64), Box(tuple(lower), tuple(upper))

    def ball(self, norm: str, radius: Fraction) -> Ball:
        """The inputs that a norm allows, exactly."""
        channels = self.channel.tolist()
        center = tuple(
            (self.scale * Fraction(value) - self.mean[channel]) / self.std[channel]
            for channel, value in zip(channels, self.values.tolist(), strict=True)
        )
        return Ball(norm, center, tuple(self.std[channel] for channel in channels), radius)

    def _ends(self, channel: int, value: float, radius: Fraction) -> tuple[float, Fraction, Fraction]:
        mean, std, middle = self.mean[channel], self.std[channel], self.scale * Fraction(value)
        low, high = middle - radius, middle + radius
        if self.clip is not None:
            low, high = max(low, self.clip[0]), min(high, self.clip[1])
        return float((middle - mean) / std), (low - mean) / std, (high - mean) / std


def _channels(shape: tuple[int, ...], input_shape: tuple[int, ...], count: int, name: str) -> NDArray[np.int64]:
    """The channel of every value, ``[n]``."""
    size = math.prod(shape)
    if count == 1:
        return np.zeros(size, np.int64)
    axes = shape if len(shape) > 1 else input_shape
    while len(axes) > 1 and axes[0] == 1:
        axes = axes[1:]
    if axes[0] == count:
        return np.arange(count).repeat(size // count)
    if axes[-1] == count:
        return np.tile(np.arange(count), size // count)
    raise QueryError(
        name,
        f"mean and std are for {count} channels, the image has shape {tuple(axes)}",
        "give an image [channels, rows, columns], or one number",
    )


def _stated(word: str, number: object, name: str) -> Fraction:
    exact = exact_number(number)
    if exact is None:
        raise QueryError(name, f"{word} is {shown(number)}", 'give a number: 0.5, Fraction(1, 255) or "1/255"')
    if exact and not _LEAST <= abs(exact) <= 1 / _LEAST:
        raise QueryError(name, f"{word} is {shown(number)}", "give a number between 2^-400 and 2^400, or 0")
    return exact


def _per_channel(word: str, numbers: object, name: str) -> tuple[Fraction, ...]:
    if isinstance(numbers, np.ndarray | Tensor):
        numbers = numbers.reshape(-1).tolist()
    # Text is a sequence, too, but one number.
    stated = [numbers] if isinstance(numbers, str) or not isinstance(numbers, Sequence) else list(numbers)
    if not stated:
        raise QueryError(name, f"{word} has no number", "give one per channel")
    return tuple(_stated(word, number, name) for number in stated)


def _check_size(network: Network, size: int, name: str) -> None:
    if size != network.inputs:
        raise QueryError(name, f"the image has {size} values, the network takes {network.inputs}", _SIZE)


def _is_8_bit(image: ArrayLike | Tensor) -> bool:
    return getattr(image, "dtype", None) in (torch.uint8, np.uint8)


def _flat(given: object, what: str, name: str) -> Tensor:
    """Numbers as ``[n]`` float64; raises :class:`QueryError`."""
    return torch.from_numpy(_numbers(given, what, name).astype(np.float64).reshape(-1))


def _numbers(given: object, what: str, name: str) -> NDArray[Any]:
    """A copy, since what the caller does to the array later must not change the query; raises :class:`QueryError`."""
    try:
        return numbers_of(given)
    except NoNumbersError as error:
        raise QueryError(name, f"{what} {error.problem}", error.hint) from None
