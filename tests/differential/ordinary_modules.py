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


class Causal(nn.Module):
    """Attention to what came before, written with a mask of minus infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / 8**0.5
        later = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
        return torch.softmax(scores.masked_fill(later, float("-inf")), -1) @ self.v(x)


class Chosen(nn.Module):
    """Attention by PyTorch's own function, with a mask of truth values."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.all(x).reshape(1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mask = torch.tril(torch.ones(5, 5, dtype=torch.bool))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(1, 5, 8)


class Squeeze(nn.Module):
    """Channels weighted by what is in all of them (squeeze and excitation)."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Patches(nn.Module):
    """A vision transformer of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(4, 8, 4, 4), nn.Linear(8, 3)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.layer(torch.cat([self.token, tokens], 1) + self.places)[:, 0])


class Mobile(nn.Module):
    """An inverted residual, as in MobileNet."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(
            nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 4, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.parts(x)


def _new_gelu(y: Tensor, cube: Callable[[Tensor], Tensor]) -> Tensor:
    return 0.5 * y * (1 + torch.tanh(0.7978845608028654 * (y + 0.044715 * cube(y))))


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

#: more of them, less often met
MORE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "tanh gelu": (_behind(lambda: nn.GELU(approximate="tanh")), VECTOR),
    "new gelu": (lambda: Computes(lambda x, m: _new_gelu(m(x), lambda y: y**3), nn.Linear(6, 6)), VECTOR),
    "new gelu of products": (lambda: Computes(lambda x, m: _new_gelu(m(x), lambda y: y * y * y), nn.Linear(6, 6)), VECTOR),
    "quick gelu": (lambda: Computes(lambda x: x * torch.sigmoid(1.702 * x)), VECTOR),
    "hard shrink": (_behind(nn.Hardshrink), VECTOR),
    "soft shrink": (_behind(nn.Softshrink), VECTOR),
    "tanh shrink": (_behind(nn.Tanhshrink), VECTOR),
    "gated linear unit": (_behind(nn.GLU), VECTOR),
    "soft min": (lambda: nn.Sequential(nn.Softmin(1), nn.Linear(6, 2)), VECTOR),
    "log softmax inside": (lambda: nn.Sequential(nn.LogSoftmax(1), nn.Linear(6, 2)), VECTOR),
    "logarithm of exponentials": (lambda: Computes(lambda x: torch.logsumexp(x, 1)), VECTOR),
    "local response": (lambda: nn.LocalResponseNorm(3), IMAGE),
    "cosine similarity": (lambda: Computes(lambda x, m: F.cosine_similarity(x, m(x)), nn.Linear(6, 6)), VECTOR),
    "normalize": (lambda: Computes(lambda x: F.normalize(x, dim=1)), VECTOR),
    "unfold": (lambda: nn.Unfold(3), IMAGE),
    "channel shuffle": (lambda: Computes(lambda x: x.reshape(1, 2, 2, 8, 8).transpose(1, 2).reshape(1, 4, 8, 8)), IMAGE),
    "pixel unshuffle": (lambda: nn.PixelUnshuffle(2), IMAGE),
    "reflection pad": (lambda: nn.ReflectionPad2d(2), IMAGE),
    "replication pad": (lambda: nn.ReplicationPad2d(2), IMAGE),
    "circular convolution": (lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"), IMAGE),
    "lp pool": (lambda: nn.LPPool2d(2, 2), IMAGE),
    "adaptive maxima": (lambda: nn.AdaptiveMaxPool2d(2), IMAGE),
    "max pool upwards": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE),
    "average pool without pads": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "transposed convolution": (lambda: nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), IMAGE),
    "convolution of sequences": (lambda: nn.Conv1d(4, 6, 3, padding=2, dilation=2), (1, 4, 12)),
    "convolution of volumes": (lambda: nn.Conv3d(2, 3, 3), (1, 2, 4, 5, 4)),
    "layer norm of images": (lambda: nn.LayerNorm([8, 8]), IMAGE),
    "instance norm alone": (lambda: nn.InstanceNorm2d(4), IMAGE),
    "root mean square": (lambda: Computes(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)), TOKENS),
    "gated feed forward": (lambda: Computes(lambda x, a, b: F.silu(a(x)) * b(x), nn.Linear(8, 8), nn.Linear(8, 8)), TOKENS),
    "squeeze and excitation": (Squeeze, IMAGE),
    "vision transformer": (Patches, IMAGE),
    "causal attention": (Causal, TOKENS),
    "masked attention of heads": (
        lambda: Computes(
            lambda x, m: m(x, x, x, attn_mask=torch.triu(torch.ones(5, 5, dtype=torch.bool), 1))[0],
            nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        TOKENS,
    ),
    "attention to what is chosen": (Chosen, TOKENS),
    "mobile": (Mobile, IMAGE),
    "chosen": (lambda: Computes(lambda x: torch.where(x > 0, x, 0.1 * x)), VECTOR),
    "deviation": (lambda: Computes(lambda x: x.std(1)), VECTOR),
    "product of entries": (lambda: Computes(lambda x: x.prod(1)), VECTOR),
    "gathered": (lambda: Computes(lambda x: x.gather(1, torch.tensor([[0, 2]]))), VECTOR),
    "indexed": (lambda: Computes(lambda x: x[:, [0, 1], [1, 2]]), TOKENS),
    "rolled": (lambda: Computes(lambda x: x.roll(2, 1).flip(1)), VECTOR),
    "outer product": (lambda: Computes(lambda x: x.unsqueeze(2) * x.unsqueeze(1)), VECTOR),
    "least and largest": (lambda: Computes(lambda x: x.max(1)[0] - x.min(1)[0]), VECTOR),
    "place of the largest": (lambda: Computes(lambda x: x.argmax(1).to(x.dtype)), VECTOR),
    "aligned corners": (lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), IMAGE),
    "by size": (lambda: Computes(lambda x: F.interpolate(x, size=(5, 11), mode="bilinear")), IMAGE),
}  # fmt: skip
