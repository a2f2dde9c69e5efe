"""The residual networks of the benchmark ``cifar100_tinyimagenet_resnet``, by name.

A stem (convolution, batch norm, ReLU), stages of residual blocks, one hidden layer, the outputs. A block is two
3x3 convolutions, each with batch norm and a ReLU in between, added to its input; where the shape changes, the
input goes through a 1x1 convolution with batch norm of its own. No convolution has a bias, as batch norm has one.

Sources: the README of ``Lucas110550/CIFAR100_TinyImageNet_ResNet`` and the published parameter counts
(``AndyVale/residual_benchmarks_vnncomp``), which these layouts meet exactly. The layout of *super* is inferred
from its count. Residual blocks: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from netproof.errors import InputError
from netproof.training.limits import check_size


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one width, the first of them with the stride."""

    blocks: int
    channels: int
    stride: int


@dataclass(frozen=True)
class Architecture:
    """The layout of one residual network.

    Attributes
    ----------
    name : of its published file, without the suffix
    input_shape : ``(channels, rows, columns)`` of one image
    classes : number of outputs
    stem_channels, stem_stride, stem_padding : of the first convolution, 3x3
    stages : the residual blocks
    relu_after_sum : whether a block ends with a ReLU
    hidden : size of the hidden linear layer
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    stem_channels: int
    stem_stride: int
    stem_padding: int
    stages: tuple[Stage, ...]
    relu_after_sum: bool
    hidden: int

    def reduced(
        self, width: float = 1.0, *, input_shape: tuple[int, int, int] | None = None, classes: int | None = None
    ) -> Architecture:
        """The same layout with ``width`` times the channels and hidden neurons (rounded, at least 1 of each).

        ``input_shape`` and ``classes`` replace the data's; raises :class:`InputError` for a width that is none.
        """
        if not 0 < width <= 16:
            raise InputError(self.name, f"the width is {width:g}", "give a factor above 0 and at most 16")

        def scaled(number: int) -> int:
            return max(1, math.floor(number * width + 0.5))

        return replace(
            self,
            input_shape=input_shape or self.input_shape,
            classes=classes or self.classes,
            stem_channels=scaled(self.stem_channels),
            stages=tuple(replace(stage, channels=scaled(stage.channels)) for stage in self.stages),
            hidden=scaled(self.hidden),
        )

    def build(self, seed: int = 0) -> ResidualNetwork:
        """The network with PyTorch's default initialization, drawn from a seed (the global generator is kept).

        Raises :class:`InputError` for images that are too small for it, and where it would be too large.
        """
        check_size(self.name, lambda: ResidualNetwork(self))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ResidualNetwork(self)


class ResidualBlock(nn.Module):
    """``[N, inputs, H, W]`` to ``[N, channels, H', W']``, ``H' = ceil(H / stride)``."""

    def __init__(self, inputs: int, channels: int, stride: int, *, relu_after_sum: bool) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.convolution2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        changes = stride != 1 or inputs != channels
        self.shortcut = nn.Conv2d(inputs, channels, 1, stride, bias=False) if changes else None
        self.shortcut_norm = nn.BatchNorm2d(channels) if changes else None
        self.relu_after_sum = relu_after_sum

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(self.norm1(self.convolution1(x)))
        y = self.norm2(self.convolution2(y))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        y = y + x
        return torch.relu(y) if self.relu_after_sum else y


class ResidualNetwork(nn.Module):
    """Normalized images ``[N, C, H, W]`` to logits ``[N, classes]``.

    Raises :class:`InputError` for images that are too small for the strides.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        channels, *extents = architecture.input_shape
        stem = architecture.stem_channels
        self.stem = nn.Conv2d(channels, stem, 3, architecture.stem_stride, architecture.stem_padding, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        extents = [(e + 2 * architecture.stem_padding - 3) // architecture.stem_stride + 1 for e in extents]
        if min(extents) < 1:
            size = "x".join(map(str, architecture.input_shape))
            raise InputError(architecture.name, f"images of {size} are too small for it", "give 3x3 pixels or more")
        blocks: list[ResidualBlock] = []
        channels = stem
        for stage in architecture.stages:
            for number in range(stage.blocks):
                stride = 1 if number else stage.stride
                blocks.append(
                    ResidualBlock(channels, stage.channels, stride, relu_after_sum=architecture.relu_after_sum)
                )
                channels = stage.channels
                extents = [-(-e // stride) for e in extents]
        self.blocks = nn.ModuleList(blocks)
        self.hidden = nn.Linear(channels * extents[0] * extents[1], architecture.hidden)
        self.output = nn.Linear(architecture.hidden, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            y = block(y)
        y = torch.relu(self.hidden(y.flatten(1)))
        result: Tensor = self.output(y)
        return result


def parameter_count(network: nn.Module) -> int:
    """Numbers in a network's file: weights and biases, and 4 per batch norm channel (mean and variance included)."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    norms = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    return weights + sum(2 * norm.num_features for norm in norms)


_MEDIUM = Architecture(
    "CIFAR100_resnet_medium", (3, 32, 32), 100, 64, 2, 0, (Stage(4, 128, 2), Stage(4, 128, 2)), False, 100
)

#: every architecture by its short name, smallest first
ARCHITECTURES: dict[str, Architecture] = {
    "small": replace(
        _MEDIUM,
        name="CIFAR100_resnet_small",
        stages=(Stage(2, 128, 2), Stage(2, 128, 2)),
        relu_after_sum=True,
    ),
    "medium": _MEDIUM,
    "tinyimagenet-medium": replace(
        _MEDIUM, name="TinyImageNet_resnet_medium", input_shape=(3, 56, 56), classes=200, hidden=200
    ),
    "large": Architecture(
        "CIFAR100_resnet_large",
        (3, 32, 32),
        100,
        64,
        1,
        1,
        (Stage(2, 64, 1), Stage(2, 128, 2), Stage(2, 128, 2), Stage(2, 256, 2)),
        False,
        100,
    ),
    "super": Architecture(
        "CIFAR100_resnet_super",
        (3, 32, 32),
        100,
        128,
        2,
        0,
        (Stage(3, 128, 2), Stage(3, 256, 2), Stage(3, 256, 2)),
        False,
        100,
    ),
}


def architecture(name: str) -> Architecture:
    """The architecture of a short name or of the published file's name; raises :class:`InputError`."""
    for short, known in ARCHITECTURES.items():
        if name in (short, known.name):
            return known
    raise InputError(name, "no architecture has this name", f"known: {', '.join(ARCHITECTURES)}")
