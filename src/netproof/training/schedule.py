"""How hard training is, as it goes on: radius, weights of the losses, length of the steps.

The schedules of CROWN-IBP (H. Zhang et al., ICLR 2020, section 4): plain training to begin with, then the radius grows
from 0 to its full size while the weight of the natural loss (kappa) and the share of CROWN-IBP in the bound (beta)
go from their first values to their last, then all of it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from netproof.errors import InputError
from netproof.training.limits import LARGEST_RATE


@dataclass(frozen=True)
class Difficulty:
    """What one step trains with: see :class:`Schedule`."""

    radius: float
    kappa: float
    beta: float
    learning_rate: float


@dataclass(frozen=True)
class Schedule:
    """The course of a training in epochs.

    Attributes
    ----------
    epochs : in all
    warmup : of plain training to begin with
    ramp : over which the radius grows
    radius : in the end, of pixels in [0, 1]
    kappa : first and last weight of the loss at the images themselves; the bound's is the rest
    beta : first and last share of CROWN-IBP in the bound; the rest is interval propagation
    learning_rate : of Adam; a tenth of it in the last quarter of the epochs

    Raises :class:`InputError` for numbers that do not make a schedule.
    """

    epochs: int
    warmup: float = 1
    ramp: float = 1
    radius: float = 1 / 255
    kappa: tuple[float, float] = (1.0, 0.5)
    beta: tuple[float, float] = (1.0, 0.0)
    learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        if not 0 < self.epochs < 1 << 20:
            raise InputError("--epochs", f"is {self.epochs}", "give a positive number")
        if not (self.warmup >= 0 and self.ramp >= 0 and self.warmup + self.ramp <= self.epochs):
            raise InputError(
                "--warmup and --ramp",
                f"are {self.warmup:g} and {self.ramp:g} of {self.epochs} epochs",
                "give numbers that leave some epochs, or more of them with --epochs",
            )
        if not 0 <= self.radius <= 1:
            raise InputError("--radius", f"is {self.radius:g}", "give a number from 0 to 1")
        for option, ends in (("--kappa", self.kappa), ("--beta", self.beta)):
            if not all(0 <= end <= 1 for end in ends):
                raise InputError(option, f"is {ends[0]:g},{ends[1]:g}", "give two numbers from 0 to 1")
        if not 0 < self.learning_rate <= LARGEST_RATE:
            raise InputError(
                "--learning-rate", f"is {self.learning_rate:g}", "give a positive number, 0.0005 for instance"
            )

    def at(self, epoch: float) -> Difficulty:
        """The difficulty at a point of time, in epochs from the start."""
        grown = 1.0 if epoch >= self.warmup else 0.0
        if self.ramp > 0:
            grown = min(max((epoch - self.warmup) / self.ramp, 0.0), 1.0)
        kappa, beta = (first + grown * (last - first) for first, last in (self.kappa, self.beta))
        if epoch < self.warmup:
            kappa = 1.0
        late = epoch >= 0.75 * self.epochs
        return Difficulty(self.radius * grown, kappa, beta, self.learning_rate * (0.1 if late else 1.0))
