"""Options that say which images a question is about, and how they become a network's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments.help import ARCHIVES, VALUES
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.asking.images import Images, ImageSource, Preparation
    from netproof.formats.fixed_point import FixedPoint
    from netproof.network import Network
    from netproof.settings import Settings

ImagesPath = Annotated[
    Path,
    typer.Option(
        "--images",
        metavar="PATH",
        help="IDX, .npy, .npz, PNG, JPEG, BMP, folder, CIFAR .tar.gz, or sklearn:digits.",
    ),
]
LabelsPath = Annotated[
    Path | None, typer.Option("--labels", metavar="FILE", help="Their labels: IDX, .npy or text (else --label).")
]
Label = Annotated[
    int | None, typer.Option("--label", metavar="K", help="Label of all images (default: the network's class).")
]
Indices = Annotated[
    list[int] | None, typer.Option("--index", metavar="I", help="Which image, from 0 (default: the only one).")
]
Every = Annotated[bool, typer.Option("--all", help="All images.")]
Split = Annotated[
    str, typer.Option("--split", metavar="PART", help="Part of an archive: test or train.", rich_help_panel=ARCHIVES)
]
Crop = Annotated[
    int | None,
    typer.Option("--crop", metavar="N", help="Keep the centre of NxN pixels (default: all).", rich_help_panel=ARCHIVES),
]
Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked", help="Take archives of another SHA-256 than the published ones'.", rich_help_panel=ARCHIVES
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="ORDER",
        help="Colours of a flat input: chw or hwc (default: its shape's).",
        rich_help_panel=VALUES,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="F",
        help="Float networks: values times F (default: 8-bit 1/255, else 1).",
        rich_help_panel=VALUES,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="M,...",
        help="Float networks: then minus M, per channel (default: 0).",
        rich_help_panel=VALUES,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        "--std", metavar="S,...", help="Float networks: then divided by S (default: 1).", rich_help_panel=VALUES
    ),
]
Clip = Annotated[
    str | None,
    typer.Option(
        "--clip",
        metavar="L,H",
        help="Float networks: scaled values in L..H (default: 8-bit all pixels).",
        rich_help_panel=VALUES,
    ),
]
Norm = Annotated[str, typer.Option("--norm", metavar="NAME", help="Norm: linf, l1, l2, l0.")]


def check_norm(norm: str) -> None:
    """Refuse what is no norm with a radius; raises :class:`InputError`."""
    known = ("linf", "l1", "l2")
    if norm in known:
        return
    if norm == "l0":
        raise InputError(
            "--norm", "'l0' counts values and has no radius to look for", "netproof robust --norm l0 --eps 1"
        )
    raise InputError("--norm", f"is '{norm[:40]}'", f"give {', '.join(known)}, or l0 (robust)")


def check_goal(target: int | None, top: int) -> None:
    """Refuse two things that the class could do; raises :class:`InputError`."""
    if target is not None and top != 1:
        raise InputError("--target", "--top is given as well", "give one of the two")


def check_ball(norm: str, path: Path | None, option: str, *, by_set: bool = False) -> None:
    """Refuse what does not go with a ball: a set, and certificates, which state none; raises :class:`InputError`."""
    if norm not in ("l1", "l2"):
        return
    if by_set:
        raise InputError("--norm", f"is '{norm}', and a set is named as well", "leave one of the two out")
    if path is not None:
        problem = f"a certificate states boxes of inputs, and a ball in {norm} is none"
        raise InputError(option, problem, "leave it out; a witness is replayed before it is reported")


def values_changed(norm: str, eps: str | None, pixels: int | None) -> int | None:
    """How many values may become anything, as ``--pixels`` has it: what a radius in l0 counts, else ``pixels``.

    Raises :class:`InputError` for a radius that is no number of values.
    """
    if norm != "l0":
        return pixels
    if pixels is not None:
        raise InputError("--pixels", "--norm l0 counts values as well", "give one of the two")
    if eps is None or not eps.isascii() or not eps.isdigit() or not 0 < int(eps[:9]) < 1 << 20 or len(eps) > 8:
        problem = f"is {'missing' if eps is None else repr(eps[:40])}, and --norm l0 counts values"
        raise InputError("--eps", problem, "give a whole number, 1 or more")
    return int(eps)


def source_of(
    images: Path, labels: Path | None, label: int | None, split: str, crop: int | None, unchecked: bool
) -> ImageSource:
    """Where the images of these options come from; raises :class:`InputError`."""
    from netproof.asking.images import ImageSource

    if labels is not None and label is not None:
        raise InputError("--label", "--labels are given as well", "give one of the two")
    if label is not None and label < 0:
        raise InputError("--label", f"the class is {label}", "give 0 or more")
    return ImageSource(images, labels, label, split, crop, not unchecked)


def prepared_by(
    layout: str | None, scale: str | None, mean: str | None, std: str | None, clip: str | None
) -> Preparation:
    """How the options have values become inputs; raises :class:`InputError`."""
    from netproof.arguments.numbers import exact_number
    from netproof.asking.images import Preparation

    def numbers(option: str, text: str | None, hint: str = "give numbers with commas between them") -> tuple[str, ...]:
        parts = () if text is None else tuple(part.strip() for part in text.split(","))
        for part in parts:
            if exact_number(part) is None:
                raise InputError(option, f"is '{str(text)[:60]}'", hint)
        return parts

    ends = numbers("--clip", clip, "give the least and the largest value: 0,1")
    if clip is not None and len(ends) != 2:
        raise InputError("--clip", f"is '{clip[:60]}'", "give the least and the largest value: 0,1")
    found = numbers("--scale", scale, "give one number: 1/255")
    if len(found) > 1:
        raise InputError("--scale", f"is '{str(scale)[:60]}'", "give one number: 1/255")
    return Preparation(
        scale, numbers("--mean", mean), numbers("--std", std), (ends[0], ends[1]) if ends else None, layout
    )


@dataclass(frozen=True, eq=False)
class Asked:
    """The network and the images that a command is about.

    Attributes
    ----------
    indices : which of the images
    """

    path: Path
    widths: FixedPoint | None
    runtime: str | None
    network: Network
    source: ImageSource
    prepared: Preparation
    images: Images
    indices: tuple[int, ...]

    @classmethod
    def read(
        cls,
        reading: tuple[Path, FixedPoint | None, str | None],
        source: ImageSource,
        prepared: Preparation,
        indices: list[int] | None,
        *,
        every: bool,
        deadline: float | None = None,
    ) -> Asked:
        """Read both; raises :class:`InputError`, and :class:`TimeLimitError` where the deadline (by :func:`time.monotonic`)
        is over."""
        from netproof.asking.images import Images, chosen
        from netproof.cli.arguments.networks import read_network

        path, widths, runtime = reading
        if every and indices:
            raise InputError("--all", "--index names images as well", "give one of the two")
        network = read_network(path, widths, runtime, deadline=deadline)
        images = Images.read(source, prepared, network)
        return cls(path, widths, runtime, network, source, prepared, images, chosen(images, indices or [], every=every))

    def left(self, settings: Settings, spent: float) -> Settings:
        """The settings to ask with after reading for so many seconds: these are part of the time of a single image, and of several,
        which share what was read, each has all of its time."""
        return settings.after(spent) if len(self.indices) == 1 else settings

    def check_certifiable(self, option: str) -> None:
        """Raise :class:`InputError` where verdicts on the network have no certificates."""
        from netproof.certificate.certifiable import check_certifiable

        check_certifiable(self.network, option)
