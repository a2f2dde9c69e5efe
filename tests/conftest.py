"""Fixtures for tests: tiny networks and image files, the command, and the published data where it is."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shapes import check_where_wanted

check_where_wanted()
# Programs that tests start compile netproof once, not each time, where bytecode is not kept otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def write_keras_h5(path: Path, layers: Sequence[Layer]) -> Path:
    """Weights as Keras saves them: kernels ``[n_in, n_out]`` and biases."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        names = [f"dense_{i}" for i in range(len(layers))]
        file.attrs["layer_names"] = [n.encode() for n in names]
        for name, (kernel, bias) in zip(names, layers, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group.create_dataset(f"{name}/kernel:0", data=kernel.astype(np.float32))
            group.create_dataset(f"{name}/bias:0", data=bias.astype(np.float32))
    return path


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    """An IDX file of unsigned bytes, independent of netproof's own writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())
    return path


def random_layers(sizes: Sequence[int], seed: int) -> list[Layer]:
    """Random weights, large enough that radii of a few grey levels change classes."""
    random = np.random.default_rng(seed)
    return [
        (random.uniform(-1, 1, (n, m)).astype(np.float32), random.uniform(-0.3, 0.3, m).astype(np.float32))
        for n, m in itertools.pairwise(sizes)
    ]


def classify(layers: Sequence[Layer], images: NDArray[np.integer], bits: int = 6) -> NDArray[np.int64]:
    """Classes of images ``[N, pixels]`` by the fixed-point scheme, written down a second time in plain NumPy."""
    weight_fraction, bias_fraction, activation_fraction, fraction = bits - 1, bits - 2, bits - 2, 8
    value = images.astype(np.int64)
    for number, (kernel, bias) in enumerate(layers):
        weight = _quantize(kernel, bits, weight_fraction)
        offset = _quantize(bias, bits, bias_fraction) << (fraction + weight_fraction - bias_fraction)
        shift = fraction + weight_fraction - activation_fraction
        accumulator = value @ weight + offset
        value = (accumulator + (1 << shift) // 2) >> shift
        last = number == len(layers) - 1
        value = value.clip(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if last else value.clip(0, (1 << bits) - 1)
        fraction = activation_fraction
    return value.argmax(-1)


def _quantize(values: NDArray[np.float32], bits: int, fraction: int) -> NDArray[np.int64]:
    scaled = (values.astype(np.float64) * (1 << fraction)).clip(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return (np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)).astype(np.int64)


@dataclass(frozen=True)
class TinyData:
    """A data folder laid out like the published one, with images of four pixels.

    ``truth`` has the verdict of every instance of ``qnn-mnist``, by trying every input.
    """

    folder: Path
    truth: Mapping[str, str]

    @property
    def network(self) -> Path:
        return self.folder / "qnn" / "mnist_mlp.h5"

    @property
    def images(self) -> Path:
        return self.folder / "mnist" / "t10k-images-idx3-ubyte"

    @property
    def labels(self) -> Path:
        return self.folder / "mnist" / "t10k-labels-idx1-ubyte"

    def first(self, verdict: str, radius: int | None = None) -> tuple[int, int]:
        """Sample and radius of the first instance with that verdict."""
        for name, found in self.truth.items():
            _, index, _, at = name.rsplit("-", 3)
            if found == verdict and radius in (None, int(at)):
                return int(index), int(at)
        raise AssertionError(f"no instance is {verdict}")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    """See :class:`TinyData`. Read-only: tests that damage a file copy it first."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(7)
    layers = random_layers((4, 5, 3), seed=3)
    write_keras_h5(folder / "qnn" / "mnist_mlp.h5", layers)
    write_keras_h5(folder / "qnn" / "fashion-mnist_mlp.h5", random_layers((4, 5, 3), seed=4))
    write_keras_h5(folder / "qnn" / "qvip" / "mnist_1blk_64_in_8_qu_4.h5", random_layers((4, 4, 3), seed=5))
    write_keras_h5(folder / "qnn" / "qvip" / "mnist_2blk_64_32_in_8_qu_6.h5", random_layers((4, 4, 3, 3), seed=6))
    images = random.integers(0, 256, (400, 2, 2)).astype(np.uint8)
    labels = classify(layers, images.reshape(400, 4)).astype(np.uint8)
    labels[::40] = (labels[::40] + 1) % 3
    for name in ("mnist", "fashion-mnist"):
        write_idx(folder / name / "t10k-images-idx3-ubyte", images)
        write_idx(folder / name / "t10k-labels-idx1-ubyte", labels)
    truth = {}
    for index in range(400):
        radius = index // 100 + 1
        truth[f"mnist-{index}-eps-{radius}"] = _verdict(layers, images[index].reshape(4), int(labels[index]), radius)
    assert set(truth.values()) == {"robust", "vulnerable", "misclassified"}
    rows = [f"mnist,{name.split('-')[1]},{name.split('-')[3]},{verdict}" for name, verdict in truth.items()]
    (folder / "qnn" / "published-aaai2021.csv").write_text("dataset,index,radius,verdict\n" + "\n".join(rows) + "\n")
    return TinyData(folder, truth)


def _verdict(layers: Sequence[Layer], image: NDArray[np.uint8], label: int, radius: int) -> str:
    if classify(layers, image[None])[0] != label:
        return "misclassified"
    steps = np.arange(-radius, radius + 1)
    moves = np.stack(np.meshgrid(*[steps] * 4), -1).reshape(-1, 4)
    box = (image.astype(np.int64) + moves).clip(0, 255)
    return "robust" if (classify(layers, box) == label).all() else "vulnerable"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """``cli("bench", "list")``: run a command in this process."""
    from netproof.cli.main import run

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def spawned() -> Callable[..., Ran]:
    """``spawned("--help")``: run the command as its own process."""

    def call(*arguments: object, **options: object) -> Ran:
        command = [sys.executable, "-m", "netproof", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)  # type: ignore[call-overload]
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def published_data() -> Path:
    """The folder of the published benchmark data; skips where it is not there."""
    folder = os.environ.get("NETPROOF_DATA")
    if not folder:
        pytest.skip("NETPROOF_DATA is not set: the published networks and images are not here")
    return Path(folder)


def assert_refused(ran: Ran, *parts: str) -> None:
    """Exit code 2, nothing on standard output, and one line on standard error that has all ``parts``."""
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.count("\n") == 1 and ran.err.endswith("\n"), ran.err
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    assert ", a defect; " not in ran.err, ran.err
    for part in parts:
        assert part in ran.err, ran.err
