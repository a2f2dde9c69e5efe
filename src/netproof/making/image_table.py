"""Networks and images as a benchmark: is each image robust at one radius?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netproof.benchmarks.base import Benchmark, Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError
from netproof.files.opened import read_bytes
from netproof.formats.images.set import ImageSet
from netproof.formats.images.sources import read_image_set
from netproof.graph.graph import Arithmetic
from netproof.making.boxes import Normalization, image_box, normalized_image
from netproof.making.generate import check_classes, check_seed

if TYPE_CHECKING:
    from netproof.network import Network
    from netproof.query import Question


@dataclass(frozen=True)
class TableImages:
    """Where images come from: the arguments of :func:`netproof.formats.images.sources.read_image_set`."""

    path: Path
    labels: Path | None = None
    split: str = "test"
    crop: int | None = None
    check: bool = True

    def read(self) -> ImageSet:
        return read_image_set(self.path, self.labels, split=self.split, crop=self.crop, check=self.check)


@dataclass(frozen=True)
class ImageTable(Benchmark):
    """Every network asked about every one of some images.

    Attributes
    ----------
    paths : of the networks, in ONNX, by their names
    normalizations : of their inputs, by the same names
    source : of the images
    seed, indices : which of them; more of one seed's go on with fewer of the same
    digest : the SHA-256 of all images and labels
    radius : of pixels in [0, 1]
    """

    paths: Mapping[str, Path]
    normalizations: Mapping[str, Normalization]
    source: TableImages
    seed: int
    indices: tuple[int, ...]
    digest: str
    radius: float
    certifiable: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """States what a run must have in common with the one it goes on with, besides the files."""
        means = "; ".join(f"{n}: mean {m.mean}, std {m.std}" for n, m in self.normalizations.items())
        return f"table of radius {self.radius!r}, images drawn by seed {self.seed}, {means}"

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"{', '.join(self.paths)} on {self.source.path}"

    def files(self, data: DataFolders) -> Mapping[str, Path]:
        return {f"network {name}": path for name, path in self.paths.items()}

    def hashes(self, data: DataFolders) -> Mapping[str, str]:
        return {**super().hashes(data), "images": self.digest}

    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        return tuple(
            Instance(f"{network}-{index}", network, network, index) for network in self.paths for index in self.indices
        )

    def open(self, data: DataFolders, *, deadline: float | None = None) -> OpenBenchmark:
        from netproof.formats.load import load

        images = self.source.read()
        if image_digest(images) != self.digest:
            raise InputError(images.source, "has changed since the run began", "run the same command again")
        networks = {name: load(path, deadline=deadline) for name, path in self.paths.items()}
        for name, network in networks.items():
            check_fit(network, images)
            check_classes(images, name, network.outputs)
        return _OpenTable(networks, images, self.normalizations, self.radius)


@dataclass(frozen=True, eq=False)
class _OpenTable(OpenBenchmark):
    models: Mapping[str, Network]
    images: ImageSet
    normalizations: Mapping[str, Normalization]
    radius: float

    @property
    def networks(self) -> Mapping[str, Network]:
        return self.models

    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        from netproof.local_robustness import robustness
        from netproof.query import Question

        index, normalization = int(instance.sample), self.normalizations[instance.network]
        image = self.images.images[index]
        lower, upper = image_box(image, self.radius, normalization)
        query = robustness(
            self.models[instance.network],
            normalized_image(image, normalization),
            int(self.images.labels[index]),
            box=(lower, upper),
            name=instance.name,
        )
        return Question.of(query)


def check_fit(network: Network, images: ImageSet) -> None:
    """Refuse images that a network does not take, and networks that are no float networks in ONNX.

    Raises :class:`InputError`.
    """
    if not network.content or network.graph.arithmetic is not Arithmetic.REAL:
        problem = "is a network of integers" if network.content else "is not in ONNX"
        raise InputError(
            network.path, problem, "give float networks in ONNX; 'netproof robust' takes those of integers"
        )
    if not len(images):
        raise InputError(images.source, "holds no images", "give others")
    if network.inputs != images.images[0].size:
        shape = "x".join(map(str, images.images.shape[1:]))
        raise InputError(
            network.path,
            f"takes {network.inputs} inputs, the images of {images.source} are {shape}",
            "give networks that take these images, or another --crop",
        )


def image_digest(images: ImageSet) -> str:
    """The SHA-256 of pixels and labels."""
    content = hashlib.sha256(np.ascontiguousarray(images.images).tobytes())
    content.update(images.labels.tobytes())
    return content.hexdigest()


def sample(images: ImageSet, count: int | None, seed: int) -> tuple[int, ...]:
    """``count`` images (None: all of them), drawn by a seed; raises :class:`InputError` for numbers that are none."""
    check_seed(seed)
    if count is not None and not 0 < count <= len(images):
        raise InputError("--count", f"is {count} of {len(images)} images", f"give 1 to {len(images)}")
    if count is None:
        return tuple(range(len(images)))
    return tuple(sorted(np.random.RandomState(seed).permutation(len(images))[:count].tolist()))


def check_readable(paths: Mapping[str, Path]) -> None:
    """Refuse network files that are not there, before anything else is done; raises :class:`InputError`."""
    for path in paths.values():
        read_bytes(path, "network file")
