"""The queries, each one a way through the search that the others do not take.

What a query costs is counted in subproblems, which are the same in every run on one machine, however busy it is: the time
limit is far away, and no query here is one in which time decides what is done. That leaves out those that take alpha-CROWN
in rounds.

Networks that are not shipped with netproof are made of numbers that NumPy's generator draws. Two of the queries
are on published networks in ``$NETPROOF_DATA``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

import netproof
from netproof.demo.digits import load_digits
from netproof.formats.images.idx import read_images, read_labels

Asked = netproof.Query | netproof.Question

#: never reached: an hour, for queries of seconds
SETTINGS = netproof.Settings(timeout=3600.0, seed=0)


class MissingDataError(Exception):
    """A query is about published data that is not here; the text says which."""


@dataclass(frozen=True)
class TimedQuery:
    """One query of the suite.

    Attributes
    ----------
    name : by which counts are stored
    about : what it is, in a line
    ask : reads or makes the network and states the question, which is not measured; raises :class:`MissingDataError`
    quick : whether the tests ask it, too
    """

    name: str
    about: str
    ask: Callable[[], Asked]
    quick: bool = False


def digit(index: int, radius: int) -> netproof.Query:
    """The demo's integer network: can the class of a digit change within so many grey levels?"""
    digits = load_digits()
    label = int(digits.labels[index])
    return netproof.robustness(digits.network, digits.image(index), label, radius)


def several_boxes() -> netproof.Question:
    """The demo's integer network, boxes around several digits: can any other output reach the label's less 2?"""
    digits = load_digits()
    network, parts = digits.network, []
    for index, radius in ((7, 6), (5, 12), (12, 10), (32, 14)):
        image, label = digits.image(index), int(digits.labels[index])
        rivals = [output for output in range(network.outputs) if output != label]
        rows = torch.zeros(len(rivals), network.outputs, dtype=torch.float64)
        rows[range(len(rivals)), rivals] = 1.0
        rows[:, label] = -1.0
        level = torch.tensor([-2.0], dtype=torch.float64)
        condition = tuple(netproof.Conjunction(row[None], level) for row in rows)
        lower, upper = torch.maximum(image - radius, network.lower), torch.minimum(image + radius, network.upper)
        parts.append(netproof.Query(network, lower, upper, condition))
    return netproof.Question(tuple(parts), "several boxes")


def residual_digit(index: int, radius: int) -> netproof.Query:
    """The demo's residual network of floats: can the class of a digit change within so many of 255 grey levels?"""
    digits = load_digits()
    with as_file(files("netproof.demo") / "digits-resnet.onnx") as path:
        network = netproof.load(path)
    grey = digits.image(index)
    box = [((grey + step).clip(0, 255) / 255).float().double() for step in (0, -radius, radius)]
    return netproof.robustness(network, box[0], int(digits.labels[index]), box=(box[1], box[2]))


def filled(module: nn.Sequential, seed: int, gain: float = 1.0) -> nn.Sequential:
    """The module with normally distributed weights of variance ``2 gain**2 / fan-in`` and small biases."""
    random = np.random.default_rng(seed)
    for layer in module:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight, bias = layer.weight, layer.bias
            spread = gain * np.sqrt(2 / weight[0].numel())
            weight.data = torch.from_numpy((spread * random.standard_normal(weight.shape)).astype(np.float32))
            bias.data = torch.from_numpy((0.1 * random.standard_normal(bias.shape)).astype(np.float32))
    return module


def perceptron(sizes: Sequence[int], activations: Sequence[Callable[[], nn.Module]]) -> nn.Sequential:
    """Linear layers with one activation after each but the last, in turns."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(before, after), activations[number % len(activations)]()]
    return nn.Sequential(*layers[:-1])


def convolutional() -> nn.Sequential:
    """Two convolutions on an 8x8 image and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 16),
        nn.ReLU(),
        nn.Linear(16, 5),
    )


def around_a_point(module: nn.Sequential, shape: Sequence[int], seed: int, radius: float) -> netproof.Query:
    """Can the class of a random point of the unit cube change within a radius?"""
    network = netproof.from_torch(module, shape)
    point = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, network.inputs))
    return netproof.robustness(network, point, int(network.classify(point)), box=(point - radius, point + radius))


def data(*names: str) -> list[Path]:
    """Files of the published data; raises :class:`MissingDataError` where there are none."""
    folder = os.environ.get("NETPROOF_DATA")
    if not folder:
        raise MissingDataError("NETPROOF_DATA is not set")
    paths = [Path(folder) / name for name in names]
    for path in paths:
        if not path.is_file():
            raise MissingDataError(f"{path} is not there")
    return paths


def mnist(index: int, radius: int) -> netproof.Query:
    """The perceptron of AAAI 2021 on MNIST."""
    network, images, labels = data(
        "qnn/mnist_mlp.h5", "mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz"
    )
    image, label = read_images(images)[index], int(read_labels(labels)[index])
    return netproof.robustness(netproof.load(network), image, label, radius)


def acas_xu(network: str, property_: int) -> netproof.Question:
    """A collision avoidance network of Katz et al., CAV 2017, with five inputs."""
    file, asked = data(
        f"vnncomp/acasxu/onnx/ACASXU_run2a_{network}_batch_2000.onnx.gz",
        f"vnncomp/acasxu/vnnlib/prop_{property_}.vnnlib.gz",
    )
    return netproof.read_vnnlib(asked).question(netproof.load(file))


QUERIES = (
    TimedQuery("integer-robust", "64 integers, radius 8: bounds at the root", lambda: digit(3, 8), quick=True),
    TimedQuery("integer-vulnerable", "the same, radius 16: a witness", lambda: digit(3, 16), quick=True),
    TimedQuery("integer-search", "another digit, radius 24: linear programs and splits", lambda: digit(32, 24)),
    TimedQuery("integer-boxes", "a property of four boxes on the same network", several_boxes, quick=True),
    TimedQuery(
        "few-inputs",
        "ReLU, five inputs: the box is split",
        lambda: around_a_point(filled(perceptron((5, 24, 24, 24, 5), [nn.ReLU]), 1), (1, 5), 2, 0.3),
        quick=True,
    ),
    TimedQuery(
        "signs",
        "ReLU, 80 inputs: signs are split",
        lambda: around_a_point(filled(perceptron((80, 32, 32, 10), [nn.ReLU]), 2), (1, 80), 2, 0.045),
        quick=True,
    ),
    TimedQuery(
        "convolution",
        "two convolutions: signs are split",
        lambda: around_a_point(filled(convolutional(), 3), (1, 1, 8, 8), 3, 0.1),
        quick=True,
    ),
    TimedQuery("residual", "residual blocks with batch norm, 400 ReLUs", lambda: residual_digit(3, 14), quick=True),
    TimedQuery(
        "s-shapes",
        "sigmoid and tanh: ranges are split",
        lambda: around_a_point(filled(perceptron((12, 20, 20, 5), [nn.Sigmoid, nn.Tanh]), 4, 3.0), (1, 12), 2, 0.1),
        quick=True,
    ),
    TimedQuery(
        "clip",
        "clipped to [0, 1]: ranges are split",
        lambda: around_a_point(
            filled(perceptron((12, 20, 20, 5), [lambda: nn.Hardtanh(0.0, 1.0)]), 6), (1, 12), 1, 0.1
        ),
        quick=True,
    ),
    TimedQuery("mnist", "the published integer network, 784 pixels, radius 4", lambda: mnist(362, 4)),
    TimedQuery("acas-xu", "a published network of floats with five inputs", lambda: acas_xu("1_1", 3)),
)
