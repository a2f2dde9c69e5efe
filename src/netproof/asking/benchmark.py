"""Images as a benchmark, so that worker processes answer them and a folder keeps the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.asking.images import Images, ImageSource, Preparation
from netproof.benchmarks.base import Benchmark, Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError
from netproof.formats.fixed_point import FixedPoint
from netproof.query import Question

if TYPE_CHECKING:
    from fractions import Fraction

    from netproof.network import Network

#: how a run on images is called in its folder
PREFIX = "images"


@dataclass(frozen=True)
class ImageQuestions(Benchmark):
    """Is each of some images robust at one radius?

    Attributes
    ----------
    path, widths, runtime : the network and how it is read
    source, prepared : the images and how they become inputs
    digest : the SHA-256 of all images and labels
    indices : which of them
    radius, words : in the unit of :func:`netproof.robustness`, and as results say it
    target, top, norm : as for :func:`netproof.robustness`
    certifiable : whether the network's verdicts come with certificates
    labels : of the images asked about
    count : how many images there are
    """

    path: Path
    widths: FixedPoint | None
    runtime: str | None
    source: ImageSource
    prepared: Preparation
    digest: str
    indices: tuple[int, ...]
    radius: int | Fraction
    words: str
    target: int | None = None
    top: int = 1
    certifiable: bool = False
    norm: str = "linf"
    labels: tuple[int, ...] = ()
    count: int = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """States what a run must have in common with the one it goes on with, besides the files."""
        parts = [f"{self.path.name} at radius {self.words}"]
        parts += [] if self.target is None else [f"target {self.target}"]
        parts += [] if self.top == 1 else [f"top {self.top}"]
        parts += [] if self.runtime is None else [f"as {self.runtime} computes it"]
        default = FixedPoint().as_dict()
        widths = {} if self.widths is None else self.widths.as_dict()
        parts += [f"{name.replace('_', ' ')} {value}" for name, value in widths.items() if value != default[name]]
        for name, value in vars(self.prepared).items():
            if value:
                parts.append(f"{name} {value if isinstance(value, str) else ' '.join(value)}")
        return f"{PREFIX}: {', '.join(parts)}"

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"{self.path} on {self.source.path}, radius {self.words}"

    def files(self, data: DataFolders) -> Mapping[str, Path]:
        return {"network": self.path}

    def hashes(self, data: DataFolders) -> Mapping[str, str]:
        return {**super().hashes(data), "images": self.digest}

    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        return tuple(Instance(f"image-{index}", self.path.name, self.words, index) for index in self.indices)

    def about(self, data: DataFolders) -> Mapping[str, Mapping[str, str]]:
        shared = {
            "network": self.path.name, "group": f"radius {self.words}", "radius": str(self.radius), "norm": self.norm,
        }  # fmt: skip
        return {
            instance.name: {**shared, "label": str(label)}
            for instance, label in zip(self.instances(data), self.labels, strict=True)
        }

    def known(self, data: DataFolders) -> frozenset[str]:
        return frozenset(f"image-{index}" for index in range(self.count))

    def open(self, data: DataFolders, *, deadline: float | None = None) -> OpenBenchmark:
        from netproof.formats.load import load

        network = load(self.path, widths=self.widths, runtime=self.runtime, deadline=deadline)
        return self.opened(Images.read(self.source, self.prepared, network))

    def opened(self, images: Images) -> OpenBenchmark:
        """The same with images that were read already; raises :class:`InputError` where these are others."""
        if images.pictures.digest != self.digest:
            raise InputError(images.pictures.source, "has changed since the run began", "run the same command again")
        return _OpenImages(images, self)


@dataclass(frozen=True, eq=False)
class _OpenImages(OpenBenchmark):
    images: Images
    asked: ImageQuestions

    @property
    def networks(self) -> Mapping[str, Network]:
        return {self.asked.path.name: self.images.network}

    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        asked = self.asked
        return self.images.question(
            int(instance.sample),
            asked.radius,
            norm=asked.norm,
            target=asked.target,
            top=asked.top,
            name=instance.name,
        )
