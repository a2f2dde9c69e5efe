"""Modules of PyTorch that people use, each with the shape of its input."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Computes(nn.Module):
    """A function of the input and of some modules."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


class Attention(nn.Module):
    """Attention of one head, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.q(x) @ self.k(x).transpose(-1, -2) / 8**0.5, -1) @ self.v(x)


class UNet(nn.Module):
    """Down, up, and across."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.last = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(F.max_pool2d(a, 2)))
        return self.last(torch.cat([a, self.up(b)], 1))


class Residual(nn.Module):
    """A block with a batch norm and a connection around it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


class Recurrent(nn.Module):
    """The last state of a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x)[0][:, -1]


def _behind(activation: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(6, 6), activation())


VECTOR, IMAGE, TOKENS = (1, 6), (1, 4, 8, 8), (1, 5, 8)

#: by name: how it is made, and the shape of its input
MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "relu": (_behind(nn.ReLU), VECTOR),
    "relu6": (_behind(nn.ReLU6), VECTOR),
    "leaky relu": (_behind(lambda: nn.LeakyReLU(0.1)), VECTOR),
    "prelu": (_behind(nn.PReLU), VECTOR),
    "prelu of channels": (lambda: nn.PReLU(4), IMAGE),
    "elu": (_behind(lambda: nn.ELU(0.7)), VECTOR),
    "selu": (_behind(nn.SELU), VECTOR),
    "celu": (_behind(lambda: nn.CELU(0.5)), VECTOR),
    "gelu": (_behind(nn.GELU), VECTOR),
    "silu": (_behind(nn.SiLU), VECTOR),
    "mish": (_behind(nn.Mish), VECTOR),
    "softplus": (_behind(nn.Softplus), VECTOR),
    "softsign": (_behind(nn.Softsign), VECTOR),
    "hard swish": (_behind(nn.Hardswish), VECTOR),
    "hard sigmoid": (_behind(nn.Hardsigmoid), VECTOR),
    "hard tanh": (_behind(nn.Hardtanh), VECTOR),
    "tanh": (_behind(nn.Tanh), VECTOR),
    "sigmoid": (_behind(nn.Sigmoid), VECTOR),
    "log sigmoid": (_behind(nn.LogSigmoid), VECTOR),
    "clamp from below": (lambda: Computes(lambda x: x.clamp(min=0)), VECTOR),
    "clamp": (lambda: Computes(lambda x: torch.clamp(x, -0.5, 0.5)), VECTOR),
    "maximum": (lambda: Computes(lambda x: torch.maximum(x[:, :3], x[:, 3:])), VECTOR),
    "maximum of an image": (lambda: Computes(lambda x: x.amax((2, 3))), IMAGE),
    "layer norm": (lambda: nn.LayerNorm(8), TOKENS),
    "group norm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "batch norm": (lambda: nn.BatchNorm2d(4), IMAGE),
    "attention": (Attention, TOKENS),
    "attention of heads": (lambda: Computes(lambda x, m: m(x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)), TOKENS),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), TOKENS),
    "softmax inside": (lambda: nn.Sequential(nn.Linear(6, 4), nn.Softmax(1), nn.Linear(4, 2)), VECTOR),
    "average pool": (lambda: nn.AvgPool2d(2), IMAGE),
    "adaptive pool": (lambda: nn.AdaptiveAvgPool2d(2), IMAGE),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1), IMAGE),
    "nearest": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), IMAGE),
    "residual": (Residual, IMAGE),
    "u-net": (UNet, (1, 1, 8, 8)),
    "einsum": (lambda: Computes(lambda x, m: torch.einsum("bij,kj->bik", x, m.weight), nn.Linear(8, 3)), TOKENS),
    "cumulative sum": (lambda: Computes(lambda x: x.cumsum(1)), VECTOR),
    "unit vector": (lambda: Computes(lambda x: x / x.norm(dim=1, keepdim=True)), VECTOR),
    "lstm": (Recurrent, (1, 3, 4)),
}  # fmt: skip
