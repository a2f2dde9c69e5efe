"""Training for bounds: CROWN-IBP mixed with adversarial training, step by step.

The loss is ``kappa * natural + (1 - kappa) * bound``: *natural* is cross entropy at the images, or at points that
projected gradient ascent finds near them, or a mixture of the two; *bound* is cross entropy at the worst margins that
a bound admits within the radius (H. Zhang et al., ICLR 2020; Madry et al., ICLR 2018).

All that is random comes from the seed and the number of the step or epoch, so training that stops after any step and
goes on later arrives at the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from netproof.errors import InputError
from netproof.formats.images.set import ImageSet
from netproof.graph.graph import Graph
from netproof.making.boxes import Normalization
from netproof.training.bound import margin_bounds
from netproof.training.checkpoint import is_count, restore
from netproof.training.schedule import Schedule
from netproof.training.trainable import TrainableNetwork

#: norm that gradients are clipped to, as in the CROWN-IBP authors' programs
_LARGEST_GRADIENT = 8.0
#: pixels that an augmented image may be shifted by, as is usual for CIFAR
_SHIFT = 4


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes
    ----------
    schedule : see :class:`netproof.training.schedule.Schedule`
    batch : images per step
    adversarial : share of adversarial points in the natural loss, from 0 to 1
    attack_steps : of gradient ascent for each of them
    augment : shift images by a few pixels and mirror half of them
    seed : of every random choice

    Raises :class:`InputError` for numbers that make no sense.
    """

    schedule: Schedule
    batch: int = 128
    adversarial: float = 0.5
    attack_steps: int = 7
    augment: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.batch < 1 << 20:
            raise InputError("--batch", f"is {self.batch}", "give a positive number of images")
        if not 0 <= self.adversarial <= 1:
            raise InputError("--adversarial", f"is {self.adversarial:g}", "give a share from 0 to 1")
        if not 0 < self.attack_steps < 1 << 20:
            raise InputError("--attack-steps", f"is {self.attack_steps}", "give a positive number")
        if not 0 <= self.seed < 1 << 32:
            raise InputError("--seed", f"is {self.seed}", "give a whole number from 0 to 2^32 - 1")


@dataclass(frozen=True)
class TrainingStep:
    """What one step saw: its loss, and the shares of its images that were classified correctly at the image itself and
    (0 where no bound was taken) everywhere within the radius."""

    loss: float
    correct: float
    proved: float


class Inputs:
    """Images as a network takes them, on a device."""

    def __init__(self, images: ImageSet, normalization: Normalization, device: torch.device) -> None:
        self.pixels = torch.from_numpy(images.images).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        mean, std = (
            torch.tensor(part, dtype=torch.float32, device=device) for part in (normalization.mean, normalization.std)
        )
        self._mean, self._std = mean[:, None, None], std[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def normalized(self, values: Tensor) -> Tensor:
        """Values in [0, 1] ``[B, C, H, W]`` as the network's inputs ``[B, n]``."""
        return ((values - self._mean) / self._std).flatten(1)

    def box(self, values: Tensor, radius: float) -> tuple[Tensor, Tensor]:
        """The ends of the boxes around values in [0, 1], cut to [0, 1]: ``[B, n]`` each."""
        low, high = (values - radius).clamp(0, 1), (values + radius).clamp(0, 1)
        return self.normalized(low), self.normalized(high)


class CertifiedTraining:
    """A training under way.

    Parameters
    ----------
    network : what is trained, on its device
    inputs : what with, on the same device
    options : how

    Raises :class:`InputError` for images that the network does not take.
    """

    def __init__(self, network: TrainableNetwork, inputs: Inputs, options: Options) -> None:
        self.network, self.options = network, options
        self._inputs = inputs
        self._optimizer = torch.optim.Adam(network.parameters(), lr=options.schedule.learning_rate)
        self.steps_done = 0
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only; each epoch leaves out other images."""
        return max(1, len(self._inputs) // self.options.batch)

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.steps_per_epoch * self.options.schedule.epochs

    @property
    def epoch(self) -> float:
        """How many epochs are done."""
        return self.steps_done / self.steps_per_epoch

    def step(self) -> TrainingStep:
        """Train on the next batch; raises :class:`InputError` where the loss is no number any more."""
        options, network, inputs = self.options, self.network, self._inputs
        now = options.schedule.at(self.epoch)
        chosen = self._batch()
        label = inputs.labels[chosen]
        values = self._augmented(inputs.pixels[chosen]).float() / 255
        x = inputs.normalized(values)
        lower, upper = inputs.box(values, now.radius)

        graph, y = network.batch_graph(x)
        natural = functional.cross_entropy(y, label)
        if options.adversarial > 0 and now.radius > 0:
            near = self._adversarial(x, lower, upper, label)
            attacked = functional.cross_entropy(graph.evaluate(near), label)
            natural = (1 - options.adversarial) * natural + options.adversarial * attacked
        loss, proved = now.kappa * natural, 0.0
        if now.kappa < 1:
            margins = margin_bounds(graph, lower, upper, label, now.beta)
            loss = loss + (1 - now.kappa) * functional.cross_entropy(margins, label)
            proved = float((margins.detach().scatter(1, label[:, None], -1.0) < 0).all(1).float().mean())
        if not bool(torch.isfinite(loss)):
            raise InputError(
                "training", f"the loss is no number any more after {self.epoch:.1f} epochs", "lower --learning-rate"
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        for group in self._optimizer.param_groups:
            group["lr"] = now.learning_rate
        self._optimizer.step()
        self.steps_done += 1
        return TrainingStep(float(loss.detach()), float((y.argmax(1) == label).float().mean()), proved)

    def state(self) -> dict[str, Any]:
        """All that the steps to come depend on."""
        return {
            "steps": self.steps_done,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises ``ValueError`` where it is of another network, or none."""
        steps = state.get("steps")
        if not is_count(steps) or not 0 < steps <= self.steps:
            raise ValueError(f"no number of steps up to {self.steps}")
        restore(self.network, self._optimizer, state)
        self.steps_done = steps

    def _batch(self) -> Tensor:
        """Which images the next step takes."""
        epoch, place = divmod(self.steps_done, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self._inputs))
            self._order = epoch, torch.from_numpy(order).to(self._inputs.labels.device)
        return self._order[1][place * self.options.batch : (place + 1) * self.options.batch]

    def _generator(self, purpose: int) -> torch.Generator:
        """On the CPU, so that every device draws the same."""
        seed = np.random.SeedSequence([self.options.seed, self.steps_done, purpose]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed))

    def _augmented(self, pixels: Tensor) -> Tensor:
        if not self.options.augment:
            return pixels
        generator = self._generator(1)
        count, _, rows, columns = pixels.shape
        wide = functional.pad(pixels, [_SHIFT] * 4)
        start = torch.randint(2 * _SHIFT + 1, (count, 2), generator=generator).tolist()
        mirrored = (torch.rand(count, generator=generator) < 0.5).tolist()
        parts = [
            each[:, top : top + rows, left : left + columns] for each, (top, left) in zip(wide, start, strict=True)
        ]
        return torch.stack([part.flip(-1) if turn else part for part, turn in zip(parts, mirrored, strict=True)])

    def _adversarial(self, x: Tensor, lower: Tensor, upper: Tensor, label: Tensor) -> Tensor:
        """Points of the boxes at which the loss is high: sign steps from random points."""
        with torch.no_grad():
            graph, _ = self.network.batch_graph(x, update=False)
        spread = torch.rand(x.shape, generator=self._generator(2)).to(x.device)
        near = lower + spread * (upper - lower)
        length = 2.5 / self.options.attack_steps * (upper - lower) / 2
        for _ in range(self.options.attack_steps):
            near.requires_grad_(True)
            loss = functional.cross_entropy(graph.evaluate(near), label, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, near)
            near = torch.minimum(torch.maximum(near.detach() + length * gradient.sign(), lower), upper)
        return near


@torch.no_grad()
def accuracy(graph: Graph, inputs: Inputs, radius: float, batch: int = 128) -> tuple[float, float]:
    """Shares of images that a graph classifies correctly, and that the training bound proves to stay so, in float32."""
    correct = proved = 0
    for start in range(0, len(inputs), batch):
        values, label = inputs.pixels[start : start + batch].float() / 255, inputs.labels[start : start + batch]
        right = graph.evaluate(inputs.normalized(values)).argmax(1) == label
        margins = margin_bounds(graph, *inputs.box(values, radius), label, 1.0)
        robust = (margins.scatter(1, label[:, None], -1.0) < 0).all(1)
        correct += int(right.sum())
        proved += int((right & robust).sum())
    return correct / len(inputs), proved / len(inputs)
