"""Options that say which images a command takes, and how they become a network's inputs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments.help import ARCHIVES, VALUES
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.making.boxes import Normalization

_RECIPE = "default for the published networks: theirs"

Images = Annotated[
    Path,
    typer.Option(
        "--images",
        metavar="PATH",
        help="CIFAR .tar.gz, TinyImageNet .zip, folder by class, IDX, or sklearn:digits.",
    ),
]
Labels = Annotated[Path | None, typer.Option("--labels", metavar="FILE", help="Labels, of IDX images.")]
Crop = Annotated[
    int | None,
    typer.Option(
        "--crop", metavar="N", help="Keep the centre of NxN (default of TinyImageNet: 56).", rich_help_panel=ARCHIVES
    ),
]
Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked", help="Take archives of another SHA-256 than the published ones'.", rich_help_panel=ARCHIVES
    ),
]
Radius = Annotated[
    str, typer.Option("--radius", metavar="R", help="Of pixels in [0, 1]; a decimal or a fraction.", show_default=True)
]
Mean = Annotated[
    str | None,
    typer.Option("--mean", metavar="M,...", help=f"Mean per channel ({_RECIPE}; else 0).", rich_help_panel=VALUES),
]
Std = Annotated[
    str | None,
    typer.Option(
        "--std", metavar="S,...", help=f"Standard deviation per channel ({_RECIPE}; else 1).", rich_help_panel=VALUES
    ),
]


def radius_of(text: str) -> float:
    """The radius that an option states; raises :class:`InputError`."""
    try:
        value = float(Fraction(text)) if len(text) < 40 else -1.0
    except (ValueError, ZeroDivisionError, OverflowError):
        value = -1.0
    if not 0 < value <= 1:
        raise InputError("--radius", f"is '{text[:40]}'", "give a number above 0 and at most 1, 1/255 for instance")
    return value


def numbers_of(option: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them; raises :class:`InputError`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(option, f"is '{text[:60]}'", "give numbers with commas between them") from None


def normalization_of(name: str, channels: int, mean: str | None, std: str | None) -> Normalization:
    """The normalization of the options, of the published network of that name, or none; raises :class:`InputError`."""
    from netproof.making.boxes import Normalization
    from netproof.making.recipes import RECIPES

    # With batch norms folded, as "train certified" writes it beside the other, a network takes the same inputs.
    known = RECIPES.get(name.removesuffix("-folded"))
    default = Normalization((0.0,) * channels, (1.0,) * channels) if known is None else known.normalization
    found = Normalization(
        default.mean if mean is None else numbers_of("--mean", mean),
        default.std if std is None else numbers_of("--std", std),
    )
    if found.channels != channels:
        raise InputError(
            "the normalization",
            f"is for {found.channels} channels, the images have {channels}",
            "give --mean and --std with one number per channel",
        )
    return found


def normalization_text(normalization: Normalization) -> str:
    """Mean and standard deviation in words."""
    mean, std = (", ".join(f"{value:g}" for value in part) for part in (normalization.mean, normalization.std))
    return f"mean ({mean}), std ({std})"


def network_name(path: Path) -> str:
    """The name of a network's file, without its suffix; raises :class:`InputError` for one that lists cannot hold."""
    name = path.name.removesuffix(".gz").removesuffix(".onnx")
    if not name.isascii() or not name.isprintable() or "," in name or '"' in name or " " in name:
        raise InputError(path, "has a name that lists of instances cannot hold", "rename it")
    return name
