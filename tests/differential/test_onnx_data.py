"""Every published network and property is read, and networks agree with onnxruntime inside the properties' boxes."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from netproof.formats.instances import ListedInstance, read_instances
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from onnx_models import run_netproof, run_onnxruntime

#: folder of each benchmark and its number of instances
BENCHMARKS = {
    "cifar10_resnet": 72, "sri_resnet_a": 72, "sri_resnet_b": 72, "vnncomp/acasxu": 186, "vnncomp/mnist_fc": 90,
    "vnncomp/oval21": 30, "vnncomp/rl_benchmarks": 296, "vnncomp/collins_rul_cnn": 62,
    "vnncomp/tllverifybench": 16, "vnncomp/cifar_biasfield": 3, "vnncomp/test": 5, "vnncomp/vit_2023": 100,
    "vnncomp/nn4sys_2023": 135, "vnncomp/ml4acopf_2024": 69, "vnncomp/cgan_2023": 19, "vnncomp/lsnc": 40,
    "vnncomp/dist_shift_2023": 72, "vnncomp/traffic_signs_recognition_2023": 45, "vnncomp/yolo_2023": 36,
    "vnncomp/cctsdb_yolo_2023": 39,
}  # fmt: skip
#: of how many properties of a network the boxes are drawn from
PROPERTIES = 2
#: of how many boxes of a property
BOXES = 3


def instances_of(folder: Path) -> list[ListedInstance]:
    return read_instances(next(iter(sorted(folder.glob("*instances.csv")))))


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_networks_agree_with_onnxruntime(benchmark, published_data):
    folder = published_data / benchmark
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    instances = instances_of(folder)
    assert len(instances) == BENCHMARKS[benchmark]
    properties: dict[Path, list[Path]] = {}
    for instance in instances:
        assert instance.network.is_file() and instance.property.is_file(), instance.name
        properties.setdefault(instance.network, []).append(instance.property)
    for path, asked in properties.items():
        network = read_onnx(path)
        # Always the same choice, but not always the first ones.
        small = {file for file in asked if file.stat().st_size < 40_000} or set(asked)
        chosen = sorted(small, key=lambda p: zlib.crc32(p.name.encode()))[:PROPERTIES]
        points = []
        for number, file in enumerate(chosen):
            queries = read_vnnlib(file).queries(network)
            assert queries
            for query in queries[:BOXES]:
                random = np.random.default_rng(number)
                low, high = query.part.box.inner_float32
                assert bool(
                    (torch.from_numpy(low) >= query.lower).all() & (torch.from_numpy(high) <= query.upper).all()
                )
                corner = np.where(random.random(low.shape) < 0.5, low, high)
                inside = np.clip((low + random.random(low.shape) * (high - low)).astype(np.float32), low, high)
                points += [x.reshape(network.input_shape) for x in (corner, inside)]
        network = network.complete or network  # with its softmax, where that was left out
        theirs = run_onnxruntime(path.read_bytes(), points)
        for mine, other in zip(run_netproof(network, points), theirs, strict=True):
            assert np.abs(mine - other).max() <= 1e-4 * max(1.0, np.abs(other).max()), path


def test_every_property_is_read(published_data):
    files = sorted(published_data.rglob("*.vnnlib*"))
    if not files:
        pytest.skip("there are no properties in the data folder")
    # Every fourth of the small ones, and every twelfth of those that take a tenth of a second.
    large = [file for file in files if file.stat().st_size > 20_000]
    for file in sorted({*files} - {*large})[::4] + large[::12]:
        property_ = read_vnnlib(file)
        assert property_.inputs and property_.outputs and property_.parts
        for part in property_.parts:
            lower, upper = part.box.outer
            assert bool(np.isfinite(lower).all() and np.isfinite(upper).all() and (lower <= upper).all())
            assert part.condition


def test_a_known_counterexample_is_one(published_data):
    folder = published_data / "vnncomp" / "acasxu"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    property_ = read_vnnlib(folder / "vnnlib" / "prop_3.vnnlib.gz")
    network = read_onnx(folder / "onnx" / "ACASXU_run2a_1_7_batch_2000.onnx.gz")
    (query,) = property_.queries(network)
    low, high = query.part.box.inner_float32
    # Network 1_7 is known to violate property 3; the middle of the box will do.
    x = ((low.astype(np.float64) + high) / 2).astype(np.float32)
    (y,) = run_onnxruntime(Path(network.path).read_bytes(), [x.reshape(network.input_shape)])
    assert property_.holds(x.tolist(), y.tolist())
    assert bool(query.refuted_by(torch.from_numpy(x).double()))
    assert not property_.holds((x + 10).tolist(), y.tolist())
