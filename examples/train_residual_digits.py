"""Train the small residual network that ``netproof demo`` verifies, and write it as ONNX.

The digits are those of ``train_digits.py`` beside this file, and the same ones are held out. The layout is one of
:mod:`netproof.training.architectures` in small: a stem, two residual blocks with batch norm (the second with a 1x1 shortcut),
a hidden layer. Inputs are ink from 0 to 1. Half of the loss is that of adversarial images, found by a few steps
of projected gradient ascent (Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, 2018),
so that there is some robustness to prove.

With scikit-learn installed, and from the root of the repository::

    python examples/train_residual_digits.py

One thread and a fixed seed: the same versions of PyTorch and scikit-learn on the same kind of processor give
the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))

from netproof.training.architectures import Architecture, ResidualNetwork, Stage, parameter_count
from netproof.training.export import write_onnx
from train_digits import digits, split

ARCHITECTURE = Architecture(
    "digits_resnet", (1, 8, 8), 10, 6, 2, 1, (Stage(1, 6, 1), Stage(1, 12, 2)), relu_after_sum=True, hidden=16
)
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 5e-3
#: the weight of the sum of all weights' sizes in the loss: small sums of weights make for tight bounds
SIZE_WEIGHT = 3e-3
#: how far every pixel of a training image may move, of 255 grey levels, and in how many steps
TRAINING_RADIUS, STEPS = 24, 4


def adversarial(network: ResidualNetwork, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """Images within a radius on which the network does badly, by projected gradient ascent from random points."""
    lower, upper = (images - radius).clamp(min=0), (images + radius).clamp(max=1)
    x = lower + torch.rand_like(images) * (upper - lower)
    for _ in range(STEPS):
        x.requires_grad_(True)
        (slope,) = torch.autograd.grad(functional.cross_entropy(network(x), labels, reduction="sum"), x)
        x = torch.minimum(torch.maximum(x.detach() + 0.5 * radius * slope.sign(), lower), upper)
    return x.detach()


def train(images: Tensor, labels: Tensor, seed: int) -> ResidualNetwork:
    """A network trained on ``[N, 1, 8, 8]`` images from 0 to 1 and ``[N]`` labels, in evaluation mode."""
    torch.manual_seed(seed)
    network = ARCHITECTURE.build(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        radius = TRAINING_RADIUS / 255 * min(1.0, 2 * epoch / EPOCHS)
        for batch in torch.split(torch.randperm(len(labels)), BATCH):
            x, y = images[batch], labels[batch]
            network.eval()
            hard = adversarial(network, x, y, radius)
            network.train()
            optimizer.zero_grad()
            outputs = network(torch.cat([x, hard]))
            size = torch.stack([weight.abs().sum() for weight in network.parameters()]).sum()
            torch.autograd.backward(functional.cross_entropy(outputs, y.repeat(2)) + SIZE_WEIGHT * size)
            optimizer.step()
        schedule.step()
        if epoch % 20 == 0:
            print(f"epoch {epoch}: adversarial loss {float(functional.cross_entropy(network(hard), y).detach()):.4f}")
    return network.eval()


def train_and_write(out: Path, seed: int) -> None:
    """Train, write the file, and print how well the network does."""
    grey, labels = digits()
    trained_on, held_out = split(labels, 0)
    images, classes = torch.from_numpy(grey).float()[:, None] / 255, torch.from_numpy(labels).long()
    network = train(images[trained_on], classes[trained_on], seed)
    out.mkdir(parents=True, exist_ok=True)
    write_onnx(out / "digits-resnet.onnx", network)
    print(f"{parameter_count(network)} parameters")
    for name, part in (("training", trained_on), ("held-out", held_out)):
        x, y = images[part], classes[part]
        right = int((network(x).argmax(1) == y).sum())
        attacked = adversarial(network, x, y, TRAINING_RADIUS / 255)
        still = int((network(attacked).argmax(1) == y).sum())
        print(f"{name}: right on {right} of {len(part)} ({right / len(part):.1%}), under attack on {still}")


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
