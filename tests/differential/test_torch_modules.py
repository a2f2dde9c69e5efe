"""PyTorch modules through the exporter: the network computes what the module does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netproof
from netproof.errors import FormatError, InputError


class Residual(nn.Module):
    """A block as in the residual networks of the field, batch norm included."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.one = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.one_norm = nn.BatchNorm2d(6)
        self.two = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.short = nn.Conv2d(4, 6, 1, stride=2)
        self.head = nn.Linear(6, 5)
        for module in (self.norm, self.one_norm):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = self.two(torch.relu(self.one_norm(self.one(x)))) + self.short(x)
        return self.head(torch.relu(x).mean((2, 3)))


class Distance(nn.Module):
    """How far two linear functions are apart, and an absolute value at the very end."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(6, 8)
        self.two = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.abs(self.two(self.one(x).abs()))


class Recurrent(nn.Module):
    """The last state of a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cells(x)[0][:, -1]


MODULES = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.125), nn.Linear(8, 3)), (1, 6)),
    "distance": (Distance, (1, 6)),
    "smooth": (lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)), (1, 6)),
    "residual": (Residual, (1, 2, 11, 9)),
    "pools": (
        lambda: nn.Sequential(
            nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(2, 4, 3, groups=2, dilation=2), nn.ReLU6(), nn.MaxPool2d(3, 2, 1),
            nn.AvgPool2d(2, 1, 1), nn.Hardtanh(-0.25, 0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(4, 3),
        ),
        (1, 2, 12, 11),
    ),
    "decoder": (
        lambda: nn.Sequential(
            nn.Linear(5, 12), nn.ReLU(), nn.Unflatten(1, (3, 2, 2)), nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1),
            nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 4, 2, 1, groups=2, bias=False), nn.Flatten(), nn.Linear(128, 3),
        ),
        (1, 5),
    ),
    "one axis": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten()), (1, 2, 9)),
    "reshaped": (lambda: nn.Sequential(nn.Unflatten(1, (3, 2)), nn.Linear(2, 4), nn.ReLU(), nn.Flatten(1)), (1, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_network_of_a_module(name):
    torch.manual_seed(0)
    make, shape = MODULES[name]
    module = make()
    network = netproof.from_torch(module, shape)
    assert network.input_shape == shape and network.content
    assert module.training  # left as it was
    module.double().eval()
    x = torch.randn(5, *shape[1:], dtype=torch.float64)
    with torch.no_grad():
        expected = module(x).reshape(5, -1)
    assert torch.allclose(network.graph.evaluate(x.reshape(5, -1)), expected, rtol=1e-9, atol=1e-9)


def test_the_file_can_be_kept(tmp_path):
    path = tmp_path / "net.onnx"
    network = netproof.from_torch(nn.Linear(3, 2), (1, 3), path=path)
    assert netproof.load(path).sha256 == network.sha256 and network.path == str(path)


def test_modules_that_cannot_be_read():
    with pytest.raises(InputError, match="Linear: PyTorch cannot export it for input shape"):
        netproof.from_torch(nn.Linear(3, 2), (1, 4))
    with pytest.raises(InputError, match="the input shape is"):
        netproof.from_torch(nn.Linear(3, 2), ())
    with pytest.raises(FormatError, match=r"\(LSTM of .* is an unknown operator; recurrent layers are not read"):
        netproof.from_torch(Recurrent(), (1, 3, 4))
