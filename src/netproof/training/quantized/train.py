"""Quantization-aware training: the forward pass is the integer network itself.

Two losses. With radius 0, cross entropy. Otherwise half of it is that of the worst case within the radius, as interval
propagation through the integers bounds it: M. Lechner, D. Zikelic, K. Chatterjee, T. A. Henzinger, *Quantization-Aware
Interval Bound Propagation for Training Certifiably Robust Quantized Neural Networks*, AAAI 2023, with the schedule of
the radius of S. Gowal et al., *On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust
Models*, 2018.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from netproof.device import find_device, plain_products
from netproof.errors import FormatError, InputError
from netproof.training.checkpoint import Plain, read_checkpoint, restore, write_checkpoint
from netproof.training.limits import LARGEST_BATCH, LARGEST_RATE, check_size, enough_memory
from netproof.training.quantized.networks import QuantizedNetwork

#: gradients of a batch are cut to this norm
_LARGEST_GRADIENT = 5.0
#: shares of the training before the radius grows, and until it has its full size
_PLAIN, _GROWN = 0.15, 0.6
#: weight of the worst case in the loss in the end
_WORST = 0.5
#: images evaluated at once
_BATCH = 1000


@dataclass(frozen=True)
class QuantizedTraining:
    """How a network is trained.

    Attributes
    ----------
    epochs, batch, learning_rate : of Adam, the learning rate falling to 0 along a cosine
    radius : grey levels around the training images that interval bounds have to withstand; 0 trains plainly
    seed : of the initial weights and of the order of images
    device : a name as :attr:`netproof.Settings.device` has them
    """

    epochs: int = 30
    batch: int = 64
    learning_rate: float = 4e-3
    radius: float = 0.0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, value, least in (("epochs", self.epochs, 1), ("batch", self.batch, 1), ("seed", self.seed, 0)):
            if value < least:
                raise InputError(f"--{name}", f"is {value}", f"give a whole number of at least {least}")
        if self.batch > LARGEST_BATCH:
            raise InputError("--batch", f"is {self.batch}", f"give a number of images up to {LARGEST_BATCH}")
        if self.seed >= 1 << 32:
            raise InputError("--seed", f"is {self.seed}", "give a whole number from 0 to 2^32 - 1")
        if not 0 < self.learning_rate <= LARGEST_RATE:
            raise InputError(
                "--learning-rate", f"is {self.learning_rate:g}", "give a positive number, 0.004 for instance"
            )
        if not 0 <= self.radius < math.inf:
            raise InputError("--radius", f"is {self.radius:g}", "give a number of grey levels, 0 or more")


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: its number from 1, the mean loss, and the share of training images classified right."""

    number: int
    loss: float
    accuracy: float


@enough_memory()
def train_quantized(
    make: Callable[[], QuantizedNetwork],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    training: QuantizedTraining,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> QuantizedNetwork:
    """Train a network, in evaluation mode and on the CPU when it comes back.

    Parameters
    ----------
    make : builds the network, drawing its weights from PyTorch's generator, which is seeded for it
    images : ``[N, channels, rows, columns]``, grey levels the network takes as they are
    labels : ``[N]``
    checkpoint : where the state is kept after every epoch
    resume : whether to continue from what is there; the result is that of an uninterrupted run
    progress : called after every epoch

    Raises
    ------
    InputError : grey levels beyond the network's input; a device that is not there; a checkpoint of another run;
        a network that is too large, or memory that does not suffice
    FormatError : a damaged checkpoint
    """
    check_size("the network", make)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = make()
    check_images(network, images)
    device = find_device(training.device)
    run = _Run(network.to(device), training)
    identity = _identity(network, images, labels, training)
    done = 0
    if resume and checkpoint is not None and Path(checkpoint).exists():
        done, state = read_checkpoint(checkpoint, identity)
        if done > training.epochs:
            raise FormatError(checkpoint, f"has {done} epochs done of {training.epochs}", "train from the beginning")
        run.restore(state, str(checkpoint))
    # Copies: what a reader gives may be a view of a file.
    x = torch.from_numpy(images.astype(np.float32)).to(device)
    y = torch.from_numpy(labels.astype(np.int64)).to(device)
    with plain_products(device):
        for number in range(done + 1, training.epochs + 1):
            loss, accuracy = run.epoch(number, x, y)
            if not math.isfinite(loss):
                raise InputError("training", f"the loss of epoch {number} is {loss}", "give a smaller --learning-rate")
            if checkpoint is not None:
                write_checkpoint(checkpoint, identity, number, run.state())
            progress(Epoch(number, loss, accuracy))
    return network.eval().cpu()


class _Run:
    """A network with what is trained along with it."""

    def __init__(self, network: QuantizedNetwork, training: QuantizedTraining) -> None:
        self._network, self._training = network, training
        self._optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)

    def state(self) -> dict[str, object]:
        return {"network": self._network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: dict[str, object], source: str) -> None:
        try:
            restore(self._network, self._optimizer, state)
        except ValueError as error:
            raise FormatError(
                source, f"does not fit this network: it holds {error}", "move it away and train from the beginning"
            ) from None

    def epoch(self, number: int, x: Tensor, y: Tensor) -> tuple[float, float]:
        """Go through all images once, in an order that follows from the seed and the epoch."""
        training = self._training
        generator = torch.Generator().manual_seed(training.seed * 1_000_003 + number)
        order = torch.randperm(len(y), generator=generator).to(y.device)
        batches = torch.split(order, training.batch)
        self._network.train()
        total, right = 0.0, 0
        for step, rows in enumerate(batches):
            progress = (number - 1 + step / len(batches)) / training.epochs
            for group in self._optimizer.param_groups:
                group["lr"] = training.learning_rate * (1 + math.cos(math.pi * progress)) / 2
            self._optimizer.zero_grad()
            grown = min(max((progress - _PLAIN) / (_GROWN - _PLAIN), 0.0), 1.0)
            loss, outputs = self._loss(x[rows], y[rows], grown)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), _LARGEST_GRADIENT)
            self._optimizer.step()
            self._network.confine()
            total += float(loss.detach()) * len(rows)
            right += int((outputs.argmax(1) == y[rows]).sum())
        return total / max(len(y), 1), right / max(len(y), 1)

    def _loss(self, x: Tensor, y: Tensor, grown: float) -> tuple[Tensor, Tensor]:
        """The loss where the radius has grown to a share of its full size, and the outputs."""
        radius = grown * self._training.radius
        network = self._network
        outputs = network(x)
        sharpness = network.sharpness
        loss = functional.cross_entropy(outputs * (sharpness / 2.0**network.fraction), y)
        if network.largest_output is not None:
            # Outputs that saturate are equal, and equal outputs count as the lower class.
            excess = functional.relu(outputs.abs() - 0.9 * network.largest_output) / 2.0**network.fraction
            loss = loss + excess.square().sum(-1).mean()
        if radius > 0:
            largest = float((1 << network.widths.input_bits) - 1)
            low, high = (x - radius).clamp(0, largest), (x + radius).clamp(0, largest)
            leads = network.worst_leads(low, high, y) * (sharpness / 2.0**network.accumulator_fraction)
            loss = torch.lerp(loss, functional.cross_entropy(leads, y), grown * _WORST)
        return loss, outputs


def integer_outputs(network: QuantizedNetwork, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What a trained network computes, ``[N, outputs]``: in float64, which is exact.

    Its own arithmetic, not that of the exported file, with which tests and the command compare it.
    """
    whole = network.double().eval()
    with torch.no_grad():
        parts = [
            whole(torch.from_numpy(part.astype(np.float64)))
            for part in np.array_split(images, max(1, -(-len(images) // _BATCH)))
        ]
    network.float()
    outputs: NDArray[np.int64] = torch.cat(parts).to(torch.int64).numpy()
    return outputs


def check_images(network: QuantizedNetwork, images: NDArray[np.uint8]) -> None:
    """Refuse images that the network does not take as they are; raises :class:`InputError`."""
    if images.shape[1:] != network.input_shape or not len(images):
        given, taken = ("x".join(map(str, shape)) for shape in (images.shape[1:], network.input_shape))
        raise InputError("the images", f"are {len(images)} of {given}, the network takes {taken}", "give others")
    largest = (1 << network.widths.input_bits) - 1
    if int(images.max()) > largest:
        raise InputError(
            "the images",
            f"have grey levels up to {int(images.max())}, inputs of {network.widths.input_bits} bits hold 0 to {largest}",
            "give more --input-bits, or images of fewer grey levels",
        )


def _identity(
    network: QuantizedNetwork, images: NDArray[np.uint8], labels: NDArray[np.int64], training: QuantizedTraining
) -> dict[str, Plain]:
    data = hashlib.sha256(np.ascontiguousarray(images).tobytes() + np.ascontiguousarray(labels).tobytes()).hexdigest()
    options = {name.replace("_", " "): value for name, value in asdict(training).items() if name != "device"}
    return {"kind": "quantized training", **network.identity(), **options, "data": data}
