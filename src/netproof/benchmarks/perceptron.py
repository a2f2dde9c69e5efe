"""Benchmarks of one quantized perceptron and the test samples of an image set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.benchmarks.base import Benchmark, Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netproof.network import Network
    from netproof.query import Question


@dataclass(frozen=True)
class SampleFiles:
    """Test images and labels; the first pair that exists is taken.

    Attributes
    ----------
    name : as instances and published tables call it
    title : its usual name
    images, labels : IDX files, as paths in a data folder, those that belong together in the same place of both
    """

    name: str
    title: str
    images: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class SampleBlock:
    """Samples ``start`` to ``stop - 1``, perturbed by ``radius`` grey levels."""

    start: int
    stop: int
    radius: int

    @property
    def name(self) -> str:
        return f"samples {self.start}-{self.stop - 1}, radius {self.radius}"


MNIST = SampleFiles(
    "mnist",
    "MNIST",
    ("mnist/t10k-images-idx3-ubyte",),
    ("mnist/t10k-labels-idx1-ubyte",),
)

FASHION_MNIST = SampleFiles(
    "fashion-mnist",
    "Fashion-MNIST",
    ("fashion-mnist/t10k-images-idx3-ubyte", "fashion-mnist/t10k-first500-images-idx3-ubyte"),
    ("fashion-mnist/t10k-labels-idx1-ubyte", "fashion-mnist/t10k-first500-labels-idx1-ubyte"),
)

#: MNIST samples by radius, the same in AAAI 2021 and in ASE 2022
MNIST_BLOCKS = (SampleBlock(0, 100, 1), SampleBlock(100, 200, 2), SampleBlock(200, 300, 3), SampleBlock(300, 400, 4))


@dataclass(frozen=True)
class PerceptronBenchmark(Benchmark):
    """Local robustness of one fixed-point perceptron.

    Attributes
    ----------
    images : the image set
    network : Keras HDF5 weights, as a path in a data folder
    bits : width of weights, biases and activations; the other widths are the AAAI 2021 scheme's
    blocks : which samples, at which radius
    table : published verdicts, as a path in a data folder; empty where there are none
    """

    name: str
    description: str
    images: SampleFiles
    network: str
    bits: int
    blocks: tuple[SampleBlock, ...] = MNIST_BLOCKS
    authors: str = ""
    table: str = ""

    def files(self, data: DataFolders) -> Mapping[str, Path]:
        network = data.find((self.network,), f"the network of {self.name}")
        title = self.images.title
        images, labels = data.find_together(
            (self.images.images, self.images.labels), (f"{title} test images, IDX", f"{title} test labels, IDX")
        )
        return {"network": network, "images": images, "labels": labels}

    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        return tuple(
            Instance(self._instance(index, block.radius), "network", block.name, index, hardness=block.radius)
            for block in self.blocks
            for index in range(block.start, block.stop)
        )

    def open(self, data: DataFolders, *, deadline: float | None = None) -> OpenBenchmark:
        from netproof.formats.clock import Clock
        from netproof.formats.fixed_point import FixedPoint
        from netproof.formats.images.idx import read_images, read_labels
        from netproof.formats.images.samples import check_labels
        from netproof.formats.keras.read import read_keras_h5

        files = self.files(data)
        images, labels = read_images(files["images"]), read_labels(files["labels"])
        needed = max(block.stop for block in self.blocks)
        for path, held, what in ((files["images"], len(images), "images"), (files["labels"], len(labels), "labels")):
            if held < needed:
                raise FormatError(
                    path, f"holds {held} {what}, {self.name} needs the first {needed}", "give all of them"
                )
        check_labels(len(labels), len(images), files["labels"], files["images"])
        path = files["network"]
        network = read_keras_h5(path, FixedPoint(bits=self.bits), Clock(path, deadline, "network"))
        if images[0].size != network.inputs:
            raise FormatError(
                files["images"],
                f"its images have {images[0].size} pixels, the network in {path} takes {network.inputs}",
                f"give the files of {self.name}",
            )
        cases = {
            self._instance(index, block.radius): (index, block.radius)
            for block in self.blocks
            for index in range(block.start, block.stop)
        }
        return _OpenPerceptron(network, images, labels, cases)

    def published(self, data: DataFolders) -> Mapping[str, str]:
        if not self.table:
            return {}
        from netproof.benchmarks.published import read_published

        path = data.find((self.table,), f"the verdicts printed by {self.authors}")
        names = {instance.name for instance in self.instances(data)}
        rows = (row for row in read_published(path) if row.dataset == self.images.name)
        verdicts = {self._instance(row.index, row.radius): row.verdict for row in rows}
        return {name: verdict for name, verdict in verdicts.items() if name in names}

    def _instance(self, index: int, radius: int) -> str:
        return f"{self.images.name}-{index}-eps-{radius}"


@dataclass(frozen=True, eq=False)
class _OpenPerceptron(OpenBenchmark):
    perceptron: Network
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    cases: Mapping[str, tuple[int, int]] = field(repr=False)

    @property
    def networks(self) -> Mapping[str, Network]:
        return {"network": self.perceptron}

    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        import torch

        from netproof.local_robustness import robustness
        from netproof.query import Question

        index, radius = self.cases[instance.name]
        # A copy, because the array of an IDX file is read-only and torch wants to share memory.
        image = torch.from_numpy(self.images[index].copy())
        query = robustness(self.perceptron, image, int(self.labels[index]), radius, name=instance.name)
        return Question.of(query)


#: T. A. Henzinger, M. Lechner, D. Zikelic, *Scalable Verification of Quantized Neural Networks*, AAAI 2021 (784-64-32: of 32
#: outputs the first ten are classes); Y. Zhang et al., *QVIP: An ILP-based Formal Verification Approach for Quantized
#: Neural Networks*, ASE 2022. In the order of ``netproof bench list``
BENCHMARKS = (
    PerceptronBenchmark(
        name="qnn-mnist",
        description="AAAI 2021: 400 MNIST samples, 6-bit perceptron 784-64-32, radius 1 to 4",
        images=MNIST,
        network="qnn/mnist_mlp.h5",
        bits=6,
        authors="AAAI 2021",
        table="qnn/published-aaai2021.csv",
    ),
    PerceptronBenchmark(
        name="qnn-fashion-mnist",
        description="AAAI 2021: 300 Fashion-MNIST samples, 6-bit perceptron 784-64-32, radius 1 to 4",
        images=FASHION_MNIST,
        network="qnn/fashion-mnist_mlp.h5",
        bits=6,
        blocks=(SampleBlock(0, 100, 1), SampleBlock(100, 200, 2), SampleBlock(200, 250, 3), SampleBlock(300, 350, 4)),
        authors="AAAI 2021",
        table="qnn/published-aaai2021.csv",
    ),
    PerceptronBenchmark(
        name="qnn-qvip-p1-4",
        description="ASE 2022 (QVIP, P1-4): 400 MNIST samples, 4-bit perceptron 784-64-10, radius 1 to 4",
        images=MNIST,
        network="qnn/qvip/mnist_1blk_64_in_8_qu_4.h5",
        bits=4,
    ),
    PerceptronBenchmark(
        name="qnn-qvip-p3-6",
        description="ASE 2022 (QVIP, P3-6): 400 MNIST samples, 6-bit perceptron 784-64-32-10, radius 1 to 4",
        images=MNIST,
        network="qnn/qvip/mnist_2blk_64_32_in_8_qu_6.h5",
        bits=6,
    ),
)
