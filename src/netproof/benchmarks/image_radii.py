"""A network of integers and a set of images: how far is each of them robust?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.benchmarks.base import Benchmark, Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.formats.fixed_point import FixedPoint
    from netproof.formats.images.samples import Samples
    from netproof.network import Network
    from netproof.query import Question

#: of images: 0-99,200
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
#: how the names of such runs begin
_NAME = "radii ("


def is_of_radii(name: str) -> bool:
    """Whether a run on record is one of radii, by its benchmark's name."""
    return name.startswith(_NAME)


@dataclass(frozen=True)
class ImageRadii(Benchmark):
    """Every image of a file, each asked about at radius 0: whoever answers goes on from there.

    Attributes
    ----------
    network, images, labels : the files
    reading : which network the file is read as, in words
    widths : of a network in Keras's format
    runtime : of a network in TensorFlow Lite's
    """

    network: Path
    images: Path
    labels: Path
    reading: str
    widths: FixedPoint | None = None
    runtime: str | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """States what a run must have in common with the one it goes on with, besides the files."""
        return f"{_NAME}{self.reading})"

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"{self.network} on {self.images}"

    def files(self, data: DataFolders) -> Mapping[str, Path]:
        return {"network": self.network, "images": self.images, "labels": self.labels}

    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        from netproof.formats.images.samples import Samples

        return instances_of(Samples.read(self.images, self.labels))

    def select(self, instances: Sequence[Instance], pattern: str | None) -> tuple[Instance, ...]:
        """Some images by their numbers, ``0-99,200``; raises :class:`InputError` where this names none, or one that is not there."""
        if pattern is None:
            return tuple(instances)
        chosen: dict[int, None] = {}
        for part in pattern.split(","):
            found = _RANGE.fullmatch(part.strip())
            first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
            if first > last:
                raise InputError("--samples", f"'{part}' names no images", "give numbers and ranges, as in 0-99,200")
            if last >= len(instances):
                problem = f"there is no image {last}: {self.images} holds {len(instances)}"
                raise InputError("--samples", problem, f"give 0 to {len(instances) - 1}")
            chosen.update(dict.fromkeys(range(first, last + 1)))
        return tuple(instances[number] for number in sorted(chosen))

    def open(self, data: DataFolders, *, deadline: float | None = None) -> OpenBenchmark:
        from netproof.formats.images.samples import Samples
        from netproof.formats.load import load

        samples = Samples.read(self.images, self.labels)
        network = load(self.network, widths=self.widths, runtime=self.runtime, deadline=deadline)
        samples.check_network(network)
        return _OpenRadii(network, samples)


def reading_of(network: Network) -> str:
    """Which of the networks that its file may stand for this is, in words."""
    widths = ", ".join(f"{name} {width}" for name, width in network.scheme.items())
    return network.runtime or widths or "as the file has it"


def instances_of(samples: Samples) -> tuple[Instance, ...]:
    """One instance for each image."""
    return tuple(Instance(f"image-{number}", "network", "", number) for number in range(len(samples.images)))


@dataclass(frozen=True, eq=False)
class _OpenRadii(OpenBenchmark):
    model: Network
    samples: Samples

    @property
    def networks(self) -> Mapping[str, Network]:
        return {"network": self.model}

    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        from netproof.local_robustness import robustness
        from netproof.query import Question

        number = int(instance.sample)
        image, label = self.samples.image(number, self.model), self.samples.label(number)
        return Question.of(robustness(self.model, image, label, 0, name=instance.name))
