"""Keras HDF5 files: what is read, and every way in which a file can be bad."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from conftest import Layer, random_layers, write_keras_h5
from keras_files import Change, changed, refused
from netproof.formats.fixed_point import FixedPoint, quantize
from netproof.formats.keras.read import read_keras_h5
from netproof.operators.affine.linear import Linear

if TYPE_CHECKING:
    import h5py


@pytest.fixture
def layers() -> list[Layer]:
    return random_layers((4, 5, 3), seed=3)


@pytest.fixture
def good(tmp_path: Path, layers: list[Layer]) -> Path:
    return write_keras_h5(tmp_path / "good.h5", layers)


def replace(name: str, data: Any, **options: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=data, **options)

    return change


def test_layers_become_linear_maps(good: Path, layers: list[Layer]) -> None:
    network = read_keras_h5(good)
    assert (network.inputs, network.outputs) == (4, 3)
    assert network.path == str(good)
    assert network.sha256 == hashlib.sha256(good.read_bytes()).hexdigest()
    assert network.scheme == FixedPoint().as_dict()
    assert network.lower.tolist() == [0] * 4 and network.upper.tolist() == [255] * 4
    for node, (kernel, _) in zip((1, 3), layers, strict=True):
        operator = network.graph.nodes[node].operator
        assert isinstance(operator, Linear)
        assert torch.equal(operator.weight, torch.from_numpy(quantize(kernel, 6, 1).T.copy()).double())


def test_widths_are_parameters(good: Path) -> None:
    network = read_keras_h5(good, FixedPoint(bits=4, input_bits=4, weight_integer_bits=2))
    assert network.upper.tolist() == [15] * 4
    assert network.scheme["bits"] == 4 and network.scheme["weight_integer_bits"] == 2


def test_gzip_is_the_same_network(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "good.h5.gz"
    path.write_bytes(gzip.compress(good.read_bytes()))
    network = read_keras_h5(path)
    assert network.sha256 == hashlib.sha256(good.read_bytes()).hexdigest()


def test_a_whole_model_and_layers_without_weights(good: Path, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as model, h5py.File(good, "r") as file:
        group = model.create_group("model_weights")
        for name in ("dense_0", "dense_1"):
            file.copy(name, group)
        # As Keras writes it: names of fixed length, and no names as an array of no floats.
        group.attrs["layer_names"] = np.array(["flatten", "dense_0", "dropout", "dense_1"], "S")
        group.create_group("flatten").attrs["weight_names"] = np.array([])
        group.create_group("dropout")
    assert (read_keras_h5(path).inputs, read_keras_h5(path).outputs) == (4, 3)
    x = torch.randint(0, 256, (50, 4)).double()
    assert torch.equal(read_keras_h5(path).graph.evaluate(x), read_keras_h5(good).graph.evaluate(x))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
def test_every_floating_point_type(good: Path, layers: list[Layer], dtype: str) -> None:
    kernel = np.rint(layers[0][0] * 32) / 32  # which all of them hold
    changed(good, replace("dense_0/dense_0/kernel:0", kernel, dtype=dtype))
    operator = read_keras_h5(good).graph.nodes[1].operator
    assert isinstance(operator, Linear)
    assert torch.equal(operator.weight, torch.from_numpy(quantize(kernel, 6, 1).T.copy()).double())


def test_compressed_weights(good: Path, layers: list[Layer]) -> None:
    before = read_keras_h5(good).graph.nodes[1].operator
    changed(good, replace("dense_0/dense_0/kernel:0", layers[0][0], compression="gzip", shuffle=True))
    after = read_keras_h5(good).graph.nodes[1].operator
    assert isinstance(before, Linear) and isinstance(after, Linear)
    assert torch.equal(before.weight, after.weight)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.h5", "no such network file")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize("data", [b"", b"\x89HDF", b"A note.", b"PK\3\4", b"\0" * 4096, b"\x89HDF\r\n\x1a\n"])
def test_foreign_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(data)
    refused(path, "HDF5 file")


def test_hdf5_without_keras(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(10)
    refused(path, "has no attribute 'layer_names'")
    with h5py.File(path, "w") as file:
        file["model_weights"] = np.arange(10)
    refused(path, "has no attribute 'layer_names'")


def attribute(name: str, value: Any) -> Change:
    def change(file: h5py.File) -> None:
        file.attrs[name] = value

    return change


def weight_names(value: Any) -> Change:
    def change(file: h5py.File) -> None:
        file["dense_0"].attrs["weight_names"] = value

    return change


def delete(name: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def unwritten(file: h5py.File) -> None:
    del file["dense_0/dense_0/kernel:0"]
    file.create_dataset("dense_0/dense_0/kernel:0", shape=(4, 5), dtype="f4", chunks=True)
    del file["dense_0/dense_0/bias:0"]
    file.create_dataset("dense_0/dense_0/bias:0", shape=(5,), dtype="f4", chunks=True)


def huge(file: h5py.File) -> None:
    del file["dense_0/dense_0/kernel:0"]
    file.create_dataset("dense_0/dense_0/kernel:0", shape=(1 << 40, 5), dtype="f4", chunks=(1024, 5))


KERNEL, BIAS = "dense_0/dense_0/kernel:0", "dense_0/dense_0/bias:0"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (replace(KERNEL, np.full((4, 5), np.nan, "f4")), "layer 'dense_0': its kernel holds NaN or infinity"),
        (replace(BIAS, np.array([0, 1, -np.inf, 0, 0], "f4")), "layer 'dense_0': its bias holds NaN or infinity"),
        (replace(KERNEL, np.ones((4, 5), "i4")), "its kernel is int32, not floating point"),
        (replace(BIAS, np.ones(5, bool)), "its bias is bool, not floating point"),
        (replace(KERNEL, np.ones((4, 5), "c8")), "its kernel is complex64, not floating point"),
        (replace(KERNEL, np.full((4, 5), b"x")), "not floating point"),
        (replace(KERNEL, np.zeros((4, 5), [("a", "f4")])), "not floating point"),
        (replace(KERNEL, np.ones((2, 2, 5), "f4")), "shape 2x2x5, 5, not a kernel and a bias"),
        (replace(KERNEL, np.ones((3, 3, 4, 5), "f4")), "not a kernel and a bias"),
        (replace(KERNEL, np.ones(5, "f4")), "not a kernel and a bias"),
        (replace(KERNEL, np.float32(1)), "not a kernel and a bias"),
        (replace(BIAS, np.ones((1, 5), "f4")), "not a kernel and a bias"),
        (replace(BIAS, np.ones(4, "f4")), "shape 4x5, 4, not a kernel and a bias"),
        (replace(KERNEL, np.ones((4, 6), "f4")), "shape 4x6, 5, not a kernel and a bias"),
        (replace(KERNEL, np.ones((0, 5), "f4")), "empty kernel"),
        (weight_names(["dense_0/kernel:0"]), "shape 4x5, not a kernel and a bias"),
        (weight_names(["dense_0/kernel:0", "dense_0/bias:0", "dense_0/bias:0"]), "names the weight of layer 'dense_0' 'dense_0/bias:0' twice"),
        (weight_names([]), "holds 'dense_0/dense_0/bias:0', which none of its layers names"),
        (weight_names(["/dense_0/dense_0/kernel:0", "dense_0/bias:0"]), "is named and not there"),
        (weight_names(["../dense_0/dense_0/kernel:0", "dense_0/bias:0"]), "is named and not there"),
        (weight_names(["dense_0/bias:0", "dense_0/kernel:0"]), "shape 5, 4x5, not a kernel and a bias"),
        (weight_names(["dense_0/kernel:0", "dense_0/none"]), "layer 'dense_0': its weight 'dense_0/none' is named and not there"),
        (weight_names(["dense_0", "dense_0/bias:0"]), "its weight 'dense_0' is named and not there"),
        (weight_names(7), "its attribute 'weight_names' holds int64, not names"),
        (weight_names(np.array([1.0, 2.0])), "not names"),
        (attribute("layer_names", ["dense_1", "dense_0"]), "layer 'dense_0' takes 4 values, the layer before it gives 3"),
        (attribute("layer_names", ["dense_0", "none"]), "its layer 'none' is named and not there"),
        (attribute("layer_names", ["dense_0", "dense_0"]), "names the layer 'dense_0' twice"),
        (attribute("layer_names", ["dense_0"]), "holds 'dense_1/dense_1/bias:0', which none of its layers names"),
        (attribute("layer_names0", ["dense_0"]), "has names both in the attribute 'layer_names' and in 'layer_names0'"),
        (attribute("layer_names", ["dense_0", ""]), "its layer '' is named and not there"),
        (attribute("layer_names", ["dense_0/dense_0/kernel:0"]), "its layer 'dense_0/dense_0/kernel:0' is named and not there"),
        (attribute("layer_names", np.array([])), "holds 'dense_0/dense_0/bias:0', which none of its layers names"),
        (attribute("layer_names", ["dense_0", "two\nlines\x1b[31m"]), "its layer 'two lines [31m' is named and not there"),
        (attribute("layer_names", 3.5), "holds float64, not names"),
        (delete(KERNEL), "its weight 'dense_0/kernel:0' is named and not there"),
        (delete("dense_1"), "its layer 'dense_1' is named and not there"),
        (unwritten, "layer 'dense_0': its kernel holds no numbers in a part of it"),
        (huge, "claims 5497558138880 weights"),
    ],
)  # fmt: skip
def test_bad_content(good: Path, change: Change, problem: str) -> None:
    refused(changed(good, change), problem)


def test_a_name_of_several_lines_makes_a_message_of_one(good: Path) -> None:
    def change(file: h5py.File) -> None:
        file.move("dense_0", "two\nlines \x1b[31m")
        file.attrs["layer_names"] = ["two\nlines \x1b[31m"]
        file["two\nlines \x1b[31m"].attrs["weight_names"] = ["dense_0/kernel:0"]

    refused(changed(good, change), "layer 'two lines  [31m'")


def test_names_may_be_one_string(good: Path) -> None:
    path = changed(good, delete("dense_1"))
    changed(path, attribute("layer_names", "dense_0"))
    assert read_keras_h5(path).outputs == 5


def test_truncations(good: Path, tmp_path: Path) -> None:
    """HDF5 keeps the file's size in its header, so that no truncation goes unnoticed."""
    data = good.read_bytes()
    path = tmp_path / "cut.h5"
    for keep in [*range(0, 64), *range(64, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:keep])
        refused(path, "HDF5 file")


def test_truncated_and_damaged_gzip(good: Path, tmp_path: Path) -> None:
    data = gzip.compress(good.read_bytes(), mtime=0)
    path = tmp_path / "bad.h5.gz"
    for keep in range(2, len(data), 31):
        path.write_bytes(data[:keep])
        refused(path, "gzip")
    for position in range(10, len(data), 13):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        refused(path, "gzip")


_TRY_DAMAGED = """
import collections, json, sys, warnings
from pathlib import Path
import numpy as np
from netproof.errors import FormatError
from netproof.formats.keras.read import read_keras_h5

warnings.simplefilter("error")
good, folder, seed, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
data, random, outcomes = good.read_bytes(), np.random.default_rng(seed), collections.Counter()
path = folder / "damaged.h5"
for number in range(count):
    damaged = bytearray(data)
    kind = number % 4
    if kind == 0:  # bits
        for _ in range(random.integers(1, 8)):
            damaged[random.integers(8, len(data))] ^= 1 << random.integers(8)
    elif kind == 1:  # bytes of the part that is not weights
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(8, min(len(data), 6000))] = random.integers(256)
    elif kind == 2:  # sizes and addresses
        at = random.integers(1, len(data) // 8) * 8
        damaged[at : at + 8] = bytes([random.choice([0, 1, 127, 128, 255])]) * 8
    else:  # a block lost
        at = random.integers(1, len(data) // 512) * 512
        damaged[at : at + 512] = bytes(512)
    path.write_bytes(damaged)
    try:
        read_keras_h5(path)
        outcomes["read"] += 1
    except FormatError as error:
        assert error.source == str(path) and error.problem and error.hint and str(error).isprintable()
        outcomes["refused"] += 1
    except BaseException as error:
        outcomes[f"{type(error).__name__}: {error}"] += 1
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize("fixed_length_names", [False, True])
def test_random_damage_never_shows_another_exception(
    good: Path, tmp_path: Path, layers: list[Layer], fixed_length_names: bool
) -> None:
    """In a process of its own: what the HDF5 library might do to damaged files is not only raise."""
    if fixed_length_names:

        def change(file: h5py.File) -> None:
            file.attrs["layer_names"] = np.array(["dense_0", "dense_1"], "S")
            for name in ("dense_0", "dense_1"):
                file[name].attrs["weight_names"] = np.array([f"{name}/kernel:0", f"{name}/bias:0"], "S")

        changed(good, change)
    done = subprocess.run(
        [sys.executable, "-c", _TRY_DAMAGED, str(good), str(tmp_path), "0", "400"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert set(outcomes) == {"read", "refused"}, outcomes
    assert min(outcomes.values()) > 40


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (0, 8), (0, 15), *((i, (1 << 64) - k) for i in (0, 1) for k in (1, 16, 24))]
)
def test_a_heap_that_leads_nowhere(good: Path, index: int, size: int) -> None:
    """HDF5 2.0 never comes back from some of these."""
    data = bytearray(good.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 16 : heap + 18] = index.to_bytes(2, "little")
    data[heap + 24 : heap + 32] = size.to_bytes(8, "little")
    good.write_bytes(data)
    refused(good, "heap")
