"""Questions about sets of inputs of networks as deployed, and what is true of them: every input of the set, in the runtime itself.

A file is a random TensorFlow Lite network for one of three runtimes, or a quantized ONNX network in either form. The set, which
inputs it has, is written down here a second time, and the installed runtime computes the class of each.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import netproof
from differential.campaign_log import Case, Outcome
from differential.quantized_maker import RandomQuantized
from differential.tflite_maker import RandomNetwork
from differential.tflite_runtimes import RUNTIMES, computed
from netproof.errors import InputError, QueryError
from netproof.formats.onnx.quantized.installed import outputs_of_installed
from netproof.formats.onnx.read import read_deployed as read_quantized
from netproof.formats.tflite.read import read_deployed
from netproof.network import Kept, Network
from netproof.perturbations.base import Perturbation

FORMS = (*RUNTIMES, "qoperator", "qdq")
#: inputs of a set, at most: a runtime computes them one by one
_MOST = 1500
Classes = Callable[[np.ndarray], np.ndarray]
Point = tuple[int, ...]


def _classes_of_tflite(network: Network, runtime: str, shape: tuple[int, ...], softmax: bool) -> Classes:
    def classes(points: np.ndarray) -> np.ndarray:
        values = computed(network.content, runtime, points.astype(np.int8).reshape(-1, *shape))
        scores = values[-2 if softmax else -1]
        return np.asarray(scores.reshape(len(points), -1).argmax(1))

    return classes


def read(form: str, seed: int, folder: Path) -> tuple[Network, Classes] | None:
    """A random network, and what the installed runtime takes inputs ``[N, n]`` for; None where it is refused or has no classes."""
    if form in RUNTIMES:
        path = folder / "network.tflite"
        path.write_bytes(RandomNetwork(seed).bytes())
        try:
            deployed = read_deployed(path, form)
        except InputError:
            return None
        classes = _classes_of_tflite(deployed.network, form, deployed.input.shape[1:], deployed.softmax is not None)
        return None if deployed.network.kept is Kept.NOTHING else (deployed.network, classes)
    path = folder / "network.onnx"
    path.write_bytes(RandomQuantized(seed, form).bytes())
    try:
        found: Any = read_quantized(path)
    except InputError:
        return None
    if found is None or found.network.kept is Kept.NOTHING:
        return None
    kind = np.int8 if int(found.network.lower.min()) < 0 else np.uint8

    def of_onnx(points: np.ndarray) -> np.ndarray:
        outputs = outputs_of_installed(found, points.astype(kind))
        return np.asarray(outputs.reshape(len(points), -1).argmax(1))

    return found.network, of_onnx


@dataclass(frozen=True)
class Every:
    """The inputs of sets around one, some of them perhaps several times; ``low`` and ``high`` are ends of all values."""

    low: Point
    high: Point

    def _cut(self, values: Iterable[int]) -> Point:
        return tuple(min(max(v, a), b) for v, a, b in zip(values, self.low, self.high, strict=True))

    def lighter_or_darker(self, x: Point, most: int) -> Iterator[Point]:
        return (self._cut(v + d for v in x) for d in range(-most, most + 1))

    def of_other_contrast(self, x: Point, most: int) -> Iterator[Point]:
        """``w/2 + (u - w/2) p/100`` for ``u`` from the least value, the nearest whole number, halves upwards."""
        for percent in range(max(0, 100 - most), 101 + most):
            ends = zip(x, self.low, self.high, strict=True)
            yield self._cut(a + ((b - a) * 100 + (2 * (v - a) - (b - a)) * percent + 100) // 200 for v, a, b in ends)

    def moved_at(self, x: Point, places: Sequence[int], by: int) -> Iterator[Point]:
        for steps in itertools.product(range(-by, by + 1), repeat=len(places)):
            y = list(x)
            for place, step in zip(places, steps, strict=True):
                y[place] += step
            yield self._cut(y)

    def moved_anywhere(self, x: Point, by: int) -> Iterator[Point]:
        return itertools.chain.from_iterable(self.moved_at(x, [place], by) for place in range(len(x)))

    def anything_anywhere(self, x: Point) -> Iterator[Point]:
        for place, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            yield from ((*x[:place], value, *x[place + 1 :]) for value in range(low, high + 1))


def random_set(
    random: np.random.Generator, network: Network
) -> tuple[Perturbation, Callable[[Point], Iterator[Point]]]:
    """A set around any input, and all of its inputs."""
    low, high = (tuple(int(v) for v in ends.tolist()) for ends in (network.lower, network.upper))
    every, n, kind = Every(low, high), len(low), int(random.integers(5))
    if kind == 0:
        most = int(random.integers(0, 200))
        return netproof.Brightness(most), lambda x: every.lighter_or_darker(x, most)
    if kind == 1:
        most = int(random.integers(0, 150))
        return netproof.Contrast(most), lambda x: every.of_other_contrast(x, most)
    places = sorted(int(p) for p in random.choice(n, min(n, int(random.integers(1, 4))), replace=False))
    by = int(random.integers(1, {1: 120, 2: 18, 3: 5}[len(places)]))
    if kind == 2:
        return netproof.Inputs(tuple(places), by), lambda x: every.moved_at(x, places, by)
    if kind == 3:
        few = max(1, min(by, _MOST // (2 * n)))
        return netproof.Pixels(1, few), lambda x: every.moved_anywhere(x, few)
    return netproof.Pixels(1), every.anything_anywhere


def cases(seed: int, numbers: Sequence[int]) -> Iterator[Case]:
    """Questions about sets, as cases of a campaign."""
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            yield Case(f"sets:{seed}:{number}", lambda number=number: judged(seed, number, Path(folder)))


def judged(seed: int, number: int, folder: Path) -> Outcome:
    """Ask about a set, and compare with every input of it; what is wrong, and figures."""
    random = np.random.default_rng([seed, number, 77])
    made = read(FORMS[number % len(FORMS)], 1000 * seed + number, folder)
    if made is None:
        return [], {"no network with classes": 1}
    network, classes = made
    low, high = network.lower.long().numpy(), network.upper.long().numpy()
    perturbation, every = random_set(random, network)
    # Of a few inputs the one that is nearest to another class: where most of them are far from any, nothing would change.
    centers = random.integers(low, high + 1, (12, len(low)))
    scores = network.graph.evaluate(torch.from_numpy(centers).double()).topk(min(2, network.outputs)).values
    center = centers[int((scores[:, 0] - scores[:, -1]).argmin())]
    points = np.array(sorted(set(every(tuple(center.tolist())))), np.int64)
    if len(points) > _MOST:
        return [], {"too many inputs": 1}
    label = int(classes(center[None])[0])
    truth = classes(points)
    try:
        asked = netproof.robustness_to(network, center, label, perturbation)
    except QueryError:
        return [], {"refused": 1}
    result = netproof.verify(asked, netproof.Settings(timeout=30.0))
    expected = "sat" if bool((truth != label).any()) else "unsat"
    wrong, figures = (
        [],
        {expected: 1.0, perturbation.kind: 1.0, FORMS[number % len(FORMS)]: 1.0, "inputs": float(len(points))},
    )
    if result.verdict.value != expected:
        wrong.append(f"{FORMS[number % len(FORMS)]}, {perturbation}: {result.verdict.value}, by the runtime {expected}")
    elif isinstance(asked, netproof.SetQuery):
        wrong += _evidence(asked, result, points, classes, label)
        figures["certificates"] = 1.0
    return wrong, figures


def _evidence(asked: Any, result: Any, points: np.ndarray, classes: Classes, label: int) -> list[str]:
    if result.witness is not None:
        x = result.witness.input.long().numpy()
        if tuple(x.tolist()) not in set(map(tuple, points.tolist())) or int(classes(x[None])[0]) == label:
            return ["the witness is outside of the set, or of the same class"]
    try:
        netproof.check_set(netproof.set_certificate_of(asked, result), asked.network)
    except netproof.NetproofError as error:
        return [] if "cannot be read a second time" in str(error) else [f"its certificate: {error}"]
    return []
