"""A network of integers and its float twin: the same class, or outputs within so many codes, over the real numbers.

The twin is asked for what the codes of an input stand for, and its outputs are compared with what the codes of the network's stand
for. Nothing is said about the rounding of whatever computes the twin in floats.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netproof.agreement.climb import Limits, climb
from netproof.agreement.enclosures import Difference, Enclosed
from netproof.agreement.inputs import whole_inputs
from netproof.agreement.joined import Agreement
from netproof.errors import InputError, QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms
from netproof.inference.plan import plan_of
from netproof.local_robustness import robustness
from netproof.network import Kept, Meaning, Network, check_network
from netproof.perturbations.asked import image_of
from netproof.perturbations.base import Perturbation, Whole, number_in_words
from netproof.result import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

_AT_ONCE = 256
#: inputs of a box that are evaluated one by one instead of being bounded
_FEW = 64
#: of the time that there is, the part for looking before anything is proved
_LOOKING = 0.2
#: inputs that are looked at before that, and of a box that are all evaluated
_LOOKS, _TRIED = 4096, 4096
#: bounds on both networks together are of no use beyond so many features of one activation, and take much memory
_MOST_WIDTH = 1 << 12
#: how far a few operations in float64 can be off, of the size of what they are about
_ROUNDING = 2.0**-48


@dataclass(frozen=True, eq=False)
class ComparedTwins:
    """How a network of integers and its twin differ on a list of inputs.

    Attributes
    ----------
    classes : ``[N, 2]``, the first largest output of each
    largest : ``[N]``, the largest difference of an output, in codes
    broken, doubtful : ``[N]``, where they do not agree, and where rounding leaves it open
    """

    classes: Whole
    largest: Floats
    broken: Truths
    doubtful: Truths


@dataclass(frozen=True, eq=False)
class AgreedTwins:
    """Whether they agree everywhere on a set; the fields are those of :class:`netproof.agreement.decide.Agreed`.

    Attributes
    ----------
    outputs : of either at the witness, ``[n_output]``, what the codes stand for and what the twin gives
    """

    verdict: Verdict
    method: str
    evaluated: int
    seconds: float
    reason: str = ""
    witness: Whole | None = None
    outputs: tuple[Floats, Floats] | None = None


class Twins:
    """A network of integers, its float twin, and what they have to have in common.

    Raises
    ------
    InputError : networks of which that cannot be asked
    """

    @on_own_terms
    def __init__(self, integer: Network, real: Network, agreement: Agreement | None = None) -> None:
        self.first, self.second, self.agreement = integer, real, agreement or Agreement()
        _check(integer, real, self.agreement)
        self.inputs, self.outputs = _meanings(integer)
        self._plan = plan_of(integer.graph, integer.lower, integer.upper, integer.path)
        self._twin = Enclosed(real, self.inputs)

    # -- what holds at inputs

    def _meant(self, codes: Whole) -> Floats:
        """What outputs of codes stand for."""
        return np.asarray(codes * float(self.outputs.scale) + float(self.outputs.shift), np.float64)

    def _judged(self, inputs: Whole) -> tuple[Whole, Truths, Truths]:
        """Codes of the network of integers, at which inputs both surely do not agree, and at which they may not."""
        codes = self._plan.outputs(inputs)
        low, high = self._twin.intervals(inputs)
        if self.agreement.within is None:
            rows, label = np.arange(len(codes)), codes.argmax(1)
            others_low, others_high = low.copy(), high.copy()
            others_low[rows, label] = others_high[rows, label] = -np.inf
            # The class is the first largest: one before it beats it with as much.
            sure = np.any(others_low > high[rows, label][:, None], axis=1)
            doubt = ~np.all(others_high < low[rows, label][:, None], axis=1)
            return codes, np.asarray(sure), np.asarray(doubt)
        meant, most = self._meant(codes), self.agreement.within * float(self.outputs.scale)
        size = np.abs(codes) * float(self.outputs.scale) + abs(float(self.outputs.shift))
        off = _ROUNDING * (size + np.maximum(np.abs(low), np.abs(high)) + most)
        least = np.maximum(meant - high, low - meant) - off
        largest = np.maximum(meant - low, high - meant) + off
        return codes, np.asarray(np.any(least > most, axis=1)), np.asarray(~np.all(largest <= most, axis=1))

    @on_own_terms
    def compared(self, inputs: ArrayLike | Tensor) -> ComparedTwins:
        """Both on inputs ``[N, n_input]`` in codes; raises :class:`QueryError` for inputs that they do not take."""
        values = whole_inputs(self.first, inputs)
        classes, largest, broken, doubtful = [], [], [], []
        for start in range(0, len(values), _AT_ONCE):
            part = values[start : start + _AT_ONCE]
            codes, sure, doubt = self._judged(part)
            about = self._twin.about(part)
            classes.append(np.stack([codes.argmax(1), about.argmax(1)], 1))
            largest.append(np.abs(self._meant(codes) - about).max(1) / float(self.outputs.scale))
            broken.append(sure)
            doubtful.append(doubt & ~sure)
        if not classes:
            return ComparedTwins(np.empty((0, 2), np.int64), np.empty(0), np.empty(0, bool), np.empty(0, bool))
        return ComparedTwins(*(np.concatenate(part) for part in (classes, largest, broken, doubtful)))

    # -- everywhere on a set

    @on_own_terms
    def on_set(
        self, image: ArrayLike | Tensor, perturbation: Perturbation, settings: Settings | None = None
    ) -> AgreedTwins:
        """Whether they agree at every input of a finite set around an image ``[n_input]``, by evaluating both at all."""
        settings = settings or Settings()
        around = image_of(self.first, whole_inputs(self.first, image, 1)[0])
        perturbation.check(around)
        count = perturbation.count(around)
        return self._enumerated(perturbation.inputs(around, _AT_ONCE), count, settings, time.monotonic())

    def _enumerated(self, parts: Iterator[Whole], count: int, settings: Settings, begun: float) -> AgreedTwins:
        done, doubtful = 0, 0
        for inputs in parts:
            _, sure, doubt = self._judged(inputs)
            if sure.any():
                at = int(np.flatnonzero(sure)[0])
                return self._witness(inputs[at], "enumeration", done + at + 1, begun)
            doubtful += int(doubt.sum())
            done += len(inputs)
            spent = time.monotonic() - begun
            if spent > settings.timeout and done < count:
                reason = f"the time limit was reached at input {done} of {number_in_words(count)}"
                return AgreedTwins(Verdict.TIMEOUT, "enumeration", done, spent, reason)
        spent = time.monotonic() - begun
        if doubtful:
            return AgreedTwins(Verdict.UNKNOWN, "enumeration", done, spent, f"rounding leaves {doubtful} inputs open")
        return AgreedTwins(Verdict.UNSAT, "enumeration", done, spent)

    @on_own_terms
    def on_box(
        self,
        box: tuple[ArrayLike | Tensor, ArrayLike | Tensor],
        start: ArrayLike | Tensor,
        settings: Settings | None = None,
    ) -> AgreedTwins:
        """Whether they agree everywhere in a box of codes: by looking for a witness, and by bounds.

        Outputs within so many codes are bounded together, and the box is split. The class is proved to be one and the same of each
        by itself, so that a box with several is open.
        """
        settings, begun = settings or Settings(), time.monotonic()
        low, high, inside = (whole_inputs(self.first, part, 1)[0] for part in (*box, start))
        if bool((low > high).any()):
            raise QueryError("agreement", "the box is empty", "give lower ends that are not above the upper ones")
        inside = np.clip(inside, low, high)
        count = math.prod((high - low + 1).tolist())
        if count <= _TRIED:
            return self._enumerated(_points(low, high), count, settings, begun)
        deadline = begun + _LOOKING * settings.timeout
        plans = (self._plan, _InCodes(self._twin, self.outputs))
        found, done = climb(plans, (low, high), inside, self.agreement, Limits(deadline, _LOOKS, settings.seed))
        if found is not None and self._judged(found[None])[1][0]:
            return self._witness(found, "attack", done, begun)
        if self.agreement.within is None:
            return self._one_class(low, high, inside, settings, begun, done)
        widest = max(node.size for graph in (self._twin.graph, self.first.graph) for node in graph.nodes[1:])
        if widest > _MOST_WIDTH:
            reason = "no witness was found, and both networks together are too large for bounds"
            return AgreedTwins(Verdict.UNKNOWN, "attack", done, time.monotonic() - begun, reason)
        return self._bounded(low, high, settings, begun, done)

    def _one_class(
        self, low: Whole, high: Whole, inside: Whole, settings: Settings, begun: float, done: int
    ) -> AgreedTwins:
        label = int(self._plan.outputs(inside[None]).argmax())
        ends = [torch.from_numpy(end.astype(np.float64)) for end in (low, high)]
        center = torch.from_numpy(inside.astype(np.float64))
        scale, shift = float(self.inputs.scale), float(self.inputs.shift)
        # Moved outwards by more than a product and a sum are rounded by.
        meant = [
            end * scale + shift + sign * _ROUNDING * (end.abs() * scale + abs(shift))
            for end, sign in zip(ends, (-1, 1), strict=True)
        ]
        middle = (center * scale + shift).clamp(meant[0], meant[1])
        queries = [
            robustness(self.first, center, label, box=(ends[0], ends[1])),
            robustness(self.second, middle, label, box=(meant[0], meant[1])),
        ]
        for network, query in zip((self.first, self.second), queries, strict=True):
            left = max(settings.timeout - (time.monotonic() - begun), 1e-3)
            result = verify(query, Settings(timeout=left, seed=settings.seed, memory=settings.memory))
            spent = time.monotonic() - begun
            if result.witness is not None and network is self.first:
                x = result.witness.input.numpy().astype(np.int64)
                if self._judged(x[None])[1][0]:
                    return self._witness(x, result.method, done, begun)
            if result.verdict is not Verdict.UNSAT:
                verdict = Verdict.TIMEOUT if result.verdict is Verdict.TIMEOUT else Verdict.UNKNOWN
                reason = (
                    result.reason or f"{network.path} has not one class there, and only that is proved of two networks"
                )
                return AgreedTwins(verdict, result.method, done, spent, reason)
        return AgreedTwins(Verdict.UNSAT, "bound", done, time.monotonic() - begun)

    def _bounded(self, low: Whole, high: Whole, settings: Settings, begun: float, done: int) -> AgreedTwins:
        """By bounds on the difference of every output, the box with the largest one split first."""
        assert self.agreement.within is not None
        most = self.agreement.within * self.outputs.scale
        difference = Difference(self.first, self.second, self.inputs, self.outputs)
        open_: list[tuple[float, int, Whole, Whole, Floats]] = []
        boxes, doubtful = 0, 0

        def add(low: Whole, high: Whole) -> None:
            nonlocal boxes
            lines = difference.bounded(low, high)
            boxes += 1
            value = lines.value.numpy()
            at = int(np.nan_to_num(value, nan=np.inf).argmax())
            if not math.isfinite(value[at]) or Fraction(float(value[at])) > most:
                weight = np.abs(lines.coefficients[at].numpy()) * (high - low)
                heapq.heappush(open_, (-float(value[at]), boxes, low, high, weight))

        add(low, high)
        while open_:
            spent = time.monotonic() - begun
            if spent > settings.timeout:
                reason = f"{len(open_)} of {boxes} boxes are open; an output may differ by {-open_[0][0] / float(self.outputs.scale):.3g} codes"
                return AgreedTwins(Verdict.TIMEOUT, "bound", done, spent, reason)
            _, _, low, high, weight = heapq.heappop(open_)
            if math.prod((high - low + 1).tolist()) <= _FEW:
                points = np.concatenate(list(_points(low, high)))
                _, sure, doubt = self._judged(points)
                done += len(points)
                if sure.any():
                    return self._witness(points[int(np.flatnonzero(sure)[0])], "bound", done, begun)
                doubtful += int(doubt.sum())
                continue
            middle = (low + high) // 2
            done += 1
            if self._judged(middle[None])[1][0]:
                return self._witness(middle, "bound", done, begun)
            at = int(np.where(high > low, weight + 1e-12 * (high - low), -1.0).argmax())
            left, right = high.copy(), low.copy()
            left[at], right[at] = middle[at], middle[at] + 1
            add(low, left)
            add(right, high)
        spent = time.monotonic() - begun
        if doubtful:
            return AgreedTwins(Verdict.UNKNOWN, "bound", done, spent, f"rounding leaves {doubtful} inputs open")
        return AgreedTwins(Verdict.UNSAT, "bound", done, spent)

    def _witness(self, x: Whole, method: str, done: int, begun: float) -> AgreedTwins:
        """A witness, at which the graph's own evaluation in float64 is asked again."""
        given = torch.from_numpy(x).to(self.first.lower.dtype)
        codes = self.first.graph.evaluate(given).long().numpy()[None]
        if not np.array_equal(codes, self._plan.outputs(x[None])):
            reason = "two evaluations of one input differ (a defect)"
            return AgreedTwins(Verdict.ERROR, method, done, time.monotonic() - begun, reason)
        outputs = self._meant(codes)[0], self._twin.about(x[None])[0]
        return AgreedTwins(
            Verdict.SAT, method, done, time.monotonic() - begun, witness=x.astype(np.int64), outputs=outputs
        )


class _InCodes:
    """A twin's outputs in the codes of the network of integers, about."""

    def __init__(self, twin: Enclosed, outputs: Meaning) -> None:
        self._twin, self._outputs = twin, outputs

    def outputs(self, inputs: Whole) -> Floats:
        return (self._twin.about(inputs) - float(self._outputs.shift)) / float(self._outputs.scale)


def _points(low: Whole, high: Whole) -> Iterator[Whole]:
    """All inputs of a box, some at a time."""
    counts = (high - low + 1).tolist()
    total = math.prod(counts)
    for start in range(0, total, _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, total))
        free = np.flatnonzero(high > low)
        points = np.repeat(low[None], len(numbers), 0)
        if len(free):
            points[:, free] += np.stack(np.unravel_index(numbers, [counts[i] for i in free]), 1)
        yield points


def _meanings(integer: Network) -> tuple[Meaning, Meaning]:
    found = []
    for what, meaning in (("inputs", integer.input_meaning), ("outputs", integer.output_meaning)):
        if meaning is None:
            hint = "give one that quantizes floats at its input and dequantizes its output (QDQ), or a .tflite file"
            raise InputError(integer.path, f"does not say what the codes of its {what} stand for", hint)
        found.append(meaning)
    return found[0], found[1]


def _check(integer: Network, real: Network, agreement: Agreement) -> None:
    check_network(integer)
    check_network(real)
    if integer.graph.arithmetic is not Arithmetic.INTEGER or real.graph.arithmetic is not Arithmetic.REAL:
        raise InputError(real.path, "is no float twin of a network of integers", "give one of each kind")
    if agreement.within is None and integer.kept is Kept.NOTHING:
        hint = "cut the softmax off, or give --within"
        raise InputError(integer.path, "its final softmax can give one code to different operands", hint)
    if agreement.within is not None and (integer.kept is Kept.VALUES) != (real.kept is Kept.VALUES):
        raise InputError(
            real.path, f"ends in a softmax where {integer.path} does not, or the other way round", "cut it off"
        )
    for what, one, other in (("inputs", integer.inputs, real.inputs), ("outputs", integer.outputs, real.outputs)):
        if one != other:
            raise InputError(real.path, f"has {other} {what}, {integer.path} has {one}", "give networks of one task")
    shapes = [tuple(n for n in network.input_shape if n != 1) for network in (integer, real)]
    if shapes[0] != shapes[1]:
        raise InputError(real.path, f"takes inputs {real.input_shape}, {integer.path} takes {integer.input_shape}",
                         "give networks of one layout")  # fmt: skip
    if bool(torch.isfinite(real.lower).any() or torch.isfinite(real.upper).any()):
        raise InputError(real.path, "takes a limited range of inputs", "export it without")
