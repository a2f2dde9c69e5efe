"""Train the small quantized network that ``netproof demo`` verifies, and write its data.

The digits are scikit-learn's (8x8 pixels, from the UCI machine learning repository). The network
is trained *with* its quantization: the forward pass computes the very values that the integers of
:mod:`netproof.formats.fixed_point` stand for, and the backward pass lets gradients through the
rounding unchanged (the straight-through estimator). Half of the loss is the worst case within
some grey levels of the image, as interval propagation bounds it (Gowal et al., *On the
Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models*, 2018), so that
there is some robustness to prove.

With scikit-learn installed, and from the root of the repository::

    python examples/train_digits.py

One thread and a fixed seed: the same versions of PyTorch and scikit-learn on the same kind of
processor give the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from netproof.formats.fixed_point import FixedPoint, fixed_point_graph
from netproof.formats.images.idx import write_idx
from netproof.formats.keras.read import read_keras_h5
from netproof.graph.graph import Graph

#: sizes of the input, the hidden layers and the output
SIZES = (64, 24, 10)
#: images kept out of training and shipped with the package
HELD_OUT = 300
EPOCHS = 250
BATCH = 64
LEARNING_RATE = 4e-3
#: grey levels around the training images
TRAINING_RADIUS = 20
#: outputs lie between -2 and 2, too flat for a softmax
SHARPNESS = 6.0


def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """All 1797 images ``[N, 8, 8]``, their ink 0..16 scaled to 0..255, and their labels ``[N]``."""
    data = load_digits()
    return np.round(data.images * 255 / 16).astype(np.uint8), data.target.astype(np.uint8)


def split(labels: NDArray[np.uint8], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to train on and indices held out, in random order, each class held out equally often."""
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.zeros(len(labels), np.int64)
    for label in range(10):
        rank[order[labels[order] == label]] = np.arange((labels == label).sum())
    is_held_out = rank[order] < HELD_OUT // 10
    return order[~is_held_out], order[is_held_out]


def round_half_up(x: Tensor) -> Tensor:
    """``floor(x + 1/2)``, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


def round_half_away(x: Tensor) -> Tensor:
    """Nearest integer, halves away from zero, with the gradient of the identity."""
    # In float32 the largest number below 1/2 plus 1/2 is 1, and would be rounded up.
    nearest = torch.sign(x) * torch.floor(x.double().abs() + 0.5).to(x.dtype)
    return x + (nearest - x).detach()


class QuantizedPerceptron:
    """The fixed-point network in floats: its values are the integers divided by their scale."""

    def __init__(self, sizes: Sequence[int], widths: FixedPoint) -> None:
        self.widths = widths
        pairs = list(itertools.pairwise(sizes))
        self.kernels = [(torch.randn(n, m) / n**0.5).requires_grad_() for n, m in pairs]
        self.biases = [torch.zeros(m, requires_grad=True) for _, m in pairs]

    def _quantized(self, parameter: Tensor, integer_bits: int) -> Tensor:
        bits = self.widths.bits
        scale = 2.0 ** (bits - integer_bits)
        return round_half_away((parameter * scale).clamp(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)) / scale

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weight ``[n_in, n_out]`` and bias of every layer, quantized."""
        weight_bits, bias_bits = self.widths.weight_integer_bits, self.widths.bias_integer_bits
        return [
            (self._quantized(kernel, weight_bits), self._quantized(bias, bias_bits))
            for kernel, bias in zip(self.kernels, self.biases, strict=True)
        ]

    def _requantized(self, accumulator: Tensor, *, hidden: bool) -> Tensor:
        """An accumulator rounded to an activation's steps; a hidden one saturates, from 0 on: its ReLU."""
        scale = 2.0 ** (self.widths.bits - self.widths.activation_integer_bits)
        levels = round_half_up(accumulator * scale)
        if hidden:
            levels = levels.clamp(0, 2**self.widths.bits - 1)
        return levels / scale

    def outputs(self, grey: Tensor) -> Tensor:
        """Grey levels ``[B, n]`` (0..255) to the values of the outputs before they saturate, ``[B, n_output]``."""
        *hidden, (last_weight, last_bias) = self._layers()
        x = grey / 2.0**self.widths.input_bits
        for weight, bias in hidden:
            x = self._requantized(x @ weight + bias, hidden=True)
        return self._requantized(x @ last_weight + last_bias, hidden=False)

    def worst_leads(self, grey: Tensor, labels: Tensor, radius: float) -> Tensor:
        """How far each output can get ahead of the label's within the radius, at most: ``[B, n_output]``.

        By interval propagation; the rounding of the outputs is left out.
        """
        *hidden, (last_weight, last_bias) = self._layers()
        scale = 2.0**self.widths.input_bits
        lower, upper = (grey - radius).clamp(min=0) / scale, (grey + radius).clamp(max=255) / scale
        for weight, bias in hidden:
            centre = (lower + upper) / 2 @ weight + bias
            reach = (upper - lower) / 2 @ weight.abs()
            lower = self._requantized(centre - reach, hidden=True)
            upper = self._requantized(centre + reach, hidden=True)
        # One row per rival: the last layer of the difference is bounded as a whole.
        weight = last_weight.T - last_weight.T[labels][:, None]
        bias = last_bias - last_bias[labels][:, None]
        centre = (weight @ ((lower + upper) / 2)[..., None])[..., 0]
        return centre + bias + (weight.abs() @ ((upper - lower) / 2)[..., None])[..., 0]

    def loss(self, grey: Tensor, labels: Tensor, radius: float) -> Tensor:
        """Cross entropy on the images and on the worst case around them, and a penalty on saturated outputs.

        Two outputs that saturate are equal, and equal outputs count as the lower class.
        """
        outputs = self.outputs(grey)
        largest = 2.0 ** (self.widths.activation_integer_bits - 1)
        excess = functional.relu(outputs.abs() - 0.9 * largest).square().sum(-1).mean()
        natural = functional.cross_entropy(SHARPNESS * outputs, labels)
        worst = functional.cross_entropy(SHARPNESS * self.worst_leads(grey, labels, radius), labels)
        return natural + worst + excess


def train(images: Tensor, labels: Tensor, widths: FixedPoint, seed: int) -> QuantizedPerceptron:
    """A network trained on ``[N, 64]`` grey levels and ``[N]`` labels."""
    torch.manual_seed(seed)
    model = QuantizedPerceptron(SIZES, widths)
    optimizer = torch.optim.Adam([*model.kernels, *model.biases], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        radius = TRAINING_RADIUS * min(1.0, 2 * epoch / EPOCHS)
        for batch in torch.split(torch.randperm(len(labels)), BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(model.loss(images[batch], labels[batch], radius))
            optimizer.step()
        schedule.step()
        if epoch % 50 == 0:
            print(f"epoch {epoch}: loss {model.loss(images, labels, radius).item():.4f}")
    return model


def float_layers(model: QuantizedPerceptron) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Kernel ``[n_in, n_out]`` and bias of every layer, not quantized."""
    return [
        (kernel.detach().numpy(), bias.detach().numpy())
        for kernel, bias in zip(model.kernels, model.biases, strict=True)
    ]


def integer_graph(model: QuantizedPerceptron) -> Graph:
    """The network as netproof reads it."""
    return fixed_point_graph(float_layers(model), model.widths, "the trained network")


def write_keras_h5(path: Path, model: QuantizedPerceptron) -> None:
    """Write the float weights in the layout of Keras: quantizing them is the reader's work."""
    with h5py.File(path, "w") as file:
        names = [f"dense_{number}" for number in range(1, len(model.kernels) + 1)]
        file.attrs["layer_names"] = np.array(names, "S")
        for name, (kernel, bias) in zip(names, float_layers(model), strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/kernel:0", f"{name}/bias:0"], "S")
            group[f"{name}/kernel:0"] = kernel
            group[f"{name}/bias:0"] = bias


def train_and_write(out: Path, seed: int) -> None:
    """Train, write the three files, and print how well the network as written does on the integers."""
    images, labels = digits()
    trained_on, held_out = split(labels, seed)
    widths = FixedPoint(bits=6)
    grey = torch.from_numpy(images.reshape(len(images), -1)).float()
    model = train(grey[trained_on], torch.from_numpy(labels[trained_on]).long(), widths, seed)

    out.mkdir(parents=True, exist_ok=True)
    write_keras_h5(out / "digits.h5", model)
    write_idx(out / "digits-images-idx3-ubyte.gz", images[held_out])
    write_idx(out / "digits-labels-idx1-ubyte.gz", labels[held_out])

    network = read_keras_h5(out / "digits.h5", widths)
    for name, part in (("training", trained_on), ("held-out", held_out)):
        predictions = network.classify(grey[part].double()).numpy()
        right = int((predictions == labels[part]).sum())
        print(f"{name}: the integer network is right on {right} of {len(part)} ({right / len(part):.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("src/netproof/demo"), help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_and_write(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
