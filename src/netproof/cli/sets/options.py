"""Options that say what may happen to an input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments.help import CHANGES
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.perturbations.base import Perturbation


Brightness = Annotated[
    int | None,
    typer.Option(
        "--brightness", metavar="B", help="Every value lighter or darker by at most B levels.", rich_help_panel=CHANGES
    ),
]
Contrast = Annotated[
    int | None,
    typer.Option("--contrast", metavar="P", help="Contrast changed by at most P percent.", rich_help_panel=CHANGES),
]
Shift = Annotated[
    str | None,
    typer.Option(
        "--shift", metavar="RxC", help="Moved by at most R rows, C columns (3x0: in time).", rich_help_panel=CHANGES
    ),
]
Pixels = Annotated[
    int | None,
    typer.Option("--pixels", metavar="K", help="Any K values move, by --eps or to anything.", rich_help_panel=CHANGES),
]
Stuck = Annotated[
    bool, typer.Option("--stuck", help="Any one value becomes anything: --pixels 1.", rich_help_panel=CHANGES)
]
Patch = Annotated[
    str | None,
    typer.Option(
        "--patch", metavar="RxC", help="All values of a block, by --eps or to anything.", rich_help_panel=CHANGES
    ),
]
Cover = Annotated[
    str | None,
    typer.Option("--cover", metavar="RxC", help="A block becomes one value, whichever.", rich_help_panel=CHANGES),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="R,C", help="Where the block is (default: anywhere).", rich_help_panel=CHANGES),
]
Inputs = Annotated[
    str | None,
    typer.Option(
        "--inputs", metavar="I,...", help="These inputs, from 0, by --eps or to anything.", rich_help_panel=CHANGES
    ),
]
Box = Annotated[
    tuple[Path, Path] | None,
    typer.Option("--box", metavar="LOWER UPPER", help="Between two inputs (.npy).", rich_help_panel=CHANGES),
]


@dataclass(frozen=True)
class SetOptions:
    """What was given of these options."""

    brightness: int | None = None
    contrast: int | None = None
    shift: str | None = None
    pixels: int | None = None
    stuck: bool = False
    patch: str | None = None
    cover: str | None = None
    at: str | None = None
    inputs: str | None = None

    @property
    def given(self) -> list[str]:
        """The options that name a set."""
        known = ("brightness", "contrast", "shift", "pixels", "patch", "cover", "inputs")
        return [f"--{name}" for name in known if getattr(self, name) is not None] + ["--stuck"] * self.stuck

    def check_place(self) -> None:
        """Refuse a place where no block is named; raises :class:`InputError`."""
        if self.at is not None and self.patch is None and self.cover is None:
            raise InputError("--at", "is where a block is", "give it with --patch or --cover")

    def perturbation(self, eps: int | None) -> Perturbation:
        """The set; raises :class:`InputError`."""
        from netproof.perturbations.blocks import Cover, Patch
        from netproof.perturbations.box import Inputs
        from netproof.perturbations.levels import Brightness, Contrast
        from netproof.perturbations.shift import Shift
        from netproof.perturbations.single import Pixels

        if len(self.given) != 1:
            raise InputError(", ".join(self.given) or "the set", "several sets are named", "give one of them")
        (option,) = self.given
        if eps is not None and option not in ("--pixels", "--patch", "--inputs"):
            raise InputError("--eps", f"{option} says by how much values move", "leave --eps out")
        self.check_place()
        at = None if self.at is None else _pair("--at", self.at, ",")
        if self.brightness is not None:
            return Brightness(self.brightness)
        if self.contrast is not None:
            return Contrast(self.contrast)
        if self.shift is not None:
            return Shift(*_pair("--shift", self.shift, "x"))
        if self.patch is not None:
            return Patch(*_pair("--patch", self.patch, "x"), eps, at)
        if self.cover is not None:
            return Cover(*_pair("--cover", self.cover, "x"), at)
        if self.inputs is not None:
            return Inputs(_numbers("--inputs", self.inputs, ","), eps)
        return Pixels(1 if self.pixels is None else self.pixels, eps)


def _pair(option: str, text: str, between: str) -> tuple[int, int]:
    numbers = _numbers(option, text, between)
    if len(numbers) != 2:
        raise InputError(option, f"is '{text[:40]}'", f"give two whole numbers with '{between}' between them")
    return numbers[0], numbers[1]


def _numbers(option: str, text: str, between: str) -> tuple[int, ...]:
    parts = text.split(between)
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise InputError(option, f"is '{text[:40]}'", f"give whole numbers with '{between}' between them")
    return tuple(int(part) for part in parts)
