"""TensorFlow Lite files as read here against LiteRT and TensorFlow Lite Micro: every operator's output, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from differential.runtime_campaign import SIXTEEN
from differential.tflite_maker import RandomNetwork
from differential.tflite_odd import campaign as odd_networks
from differential.tflite_runtimes import NETWORKS, RUNTIMES, computed, mismatches, mixed_inputs, needs
from netproof.errors import FormatError, InputError
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.installed import outputs_of_installed
from netproof.formats.tflite.read import read_deployed
from tflite_files import TFLiteFile

DATA = os.environ.get("NETPROOF_DATA")

# What the interpreters' own Python modules warn about when they are imported.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.mark.skipif(DATA is None, reason="NETPROOF_DATA is not set")
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks(name, runtime):
    needs(runtime)
    deployed = read_deployed(Path(DATA) / f"{name}.tflite", runtime)
    found = mismatches(deployed, mixed_inputs(deployed.input.shape[1:], 4, 11))
    assert found and not {key: counts for key, counts in found.items() if counts[0]}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_random_networks(runtime, tmp_path):
    needs(runtime)
    path = tmp_path / "network.tflite"
    compared: set[str] = set()
    for seed in range(40):
        path.write_bytes(RandomNetwork(seed).bytes())
        try:
            deployed = read_deployed(path, runtime)
        except InputError as refusal:
            assert runtime != "tflm" or "neither rises" in str(refusal), refusal
            continue
        found = mismatches(deployed, mixed_inputs(deployed.input.shape[1:], 8, seed))
        assert not {key: counts for key, counts in found.items() if counts[0]}, seed
        compared |= {key.split()[1] for key in found}
    assert len(compared) >= 14


@pytest.mark.parametrize(
    ("runtime", "codes"), [("xnnpack", "uint8"), ("litert-ref", "uint8"), ("tflm", "int16"), ("litert-ref", "int16")]
)
def test_random_networks_of_other_codes(runtime, codes, tmp_path):
    needs(runtime)
    path = tmp_path / "network.tflite"
    compared: set[str] = set()
    for seed in range(24 if codes == "uint8" else 12):
        path.write_bytes(RandomNetwork(seed, SIXTEEN if codes == "int16" else (), codes).bytes())
        try:
            deployed = read_deployed(path, runtime)
        except InputError:
            continue
        found = mismatches(deployed, mixed_inputs(deployed.input.shape[1:], 8, seed, codes))
        assert not {key: counts for key, counts in found.items() if counts[0]}, seed
        compared |= {key.split()[1] for key in found}
    assert {"CONV_2D", "FULLY_CONNECTED"} <= compared and len(compared) >= 8, compared


def change(folder: Path, kinds: tuple[str, str], scales: tuple[float, float], zeros: tuple[int, int]) -> Path:
    """A QUANTIZE of codes of one type to codes of another one."""
    file = TFLiteFile()
    x, y = (file.tensor((1, 256), s, z, kind=k) for k, s, z in zip(kinds, scales, zeros, strict=True))
    file.operator("QUANTIZE", [x], [y])
    path = folder / "change.tflite"
    path.write_bytes(file.bytes(x, y))
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_codes_are_brought_to_another_type(runtime, tmp_path):
    needs(runtime)
    zeros = {"int8": (-128, 3), "uint8": (0, 131), "int16": (0, 0)}
    read = set()
    for one in zeros:
        for other in zeros:
            unit = 2.0 ** (8 * ((one != "int16") - (other != "int16")))
            for ratio, which in ((1.0, 0), (1.0, 1), (0.37, 1), (2.0, 0)):
                path = change(
                    tmp_path, (one, other), (0.25, 0.25 * ratio / unit), (zeros[one][which], zeros[other][which])
                )
                try:
                    deployed = read_deployed(path, runtime)
                except InputError as refusal:
                    assert (
                        "not known" in str(refusal) or "compare" in str(refusal) or "does not compute" in str(refusal)
                    )
                    continue
                found = mismatches(deployed, mixed_inputs((256,), 4, 1, one))
                assert not any(wrong for wrong, _ in found.values()), (one, other, ratio)
                read.add((one, other))
    assert {("int8", "int8"), ("uint8", "int8"), ("int8", "uint8")} <= read


@pytest.mark.parametrize(("codes", "files"), [("int8", 8), ("uint8", 8), ("int16", 20)])
def test_odd_networks(codes, files):
    """Wide strides, kernels wider than images, weights of -128, means over any axes, scales far from 1 (tflite_odd has all)."""
    for runtime in RUNTIMES:
        needs(runtime)
    wrong, told = odd_networks(0, files, codes)
    assert not wrong and sum(number for what, number in told.items() if what.endswith("compared")) >= 4, told


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_halves_in_the_limits_of_activations(runtime, tmp_path):
    needs(runtime)
    path = tmp_path / "network.tflite"
    for quotient in (1.5, 2.5, 3.5):
        for zero in (0, -49, -50):
            file = TFLiteFile()
            scale = np.float32(6 / quotient)
            x, y = file.tensor((1, 4), scale, zero), file.tensor((1, 4), scale, zero)
            weight = file.constant(np.eye(4, dtype=np.int8) * 64, np.float32(1 / 64))
            file.operator("FULLY_CONNECTED", [x, weight, -1], [y], {0: ("b", 3)})
            z = file.tensor((1, 4), scale, zero)
            file.operator("RELU6", [y], [z])
            path.write_bytes(file.bytes(x, z))
            found = mismatches(read_deployed(path, runtime), mixed_inputs((4,), 8, 1))
            assert not any(wrong for wrong, _ in found.values()), (quotient, zero)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("codes", ["int8", "uint8"])
def test_activations_of_tiny_scales(codes, runtime, tmp_path):
    """Where 6 / scale leaves 32 bits: what is read is what the runtime computes, and what it wraps around is refused."""
    needs(runtime)
    path, compared = tmp_path / "network.tflite", 0
    ends = np.iinfo(codes)
    for scale in [np.float32(6 * 2.0**-31 * factor) for factor in (0.3, 0.9, 1, 1 + 2.0**-23, 1.5, 40)]:
        for zero in (ends.min, ends.min + 100):
            for alone in (False, True):
                file = TFLiteFile()
                x, y = (file.tensor((1, 4), scale, zero, kind=codes) for _ in range(2))
                if alone:
                    file.operator("RELU6", [x], [y])
                else:
                    constant = file.constant(np.full((1, 4), zero + 1, codes), scale, zero)
                    file.operator("ADD", [x, constant], [y], {0: ("b", 3)})
                path.write_bytes(file.bytes(x, y))
                try:
                    deployed = read_deployed(path, runtime)
                except FormatError as refusal:
                    assert "leaves 32 bits" in str(refusal) or runtime == "tflm"
                    continue
                found = mismatches(deployed, mixed_inputs((4,), 8, 1, codes))
                assert not any(wrong for wrong, _ in found.values()), (scale, zero, alone)
                compared += 1
    assert compared >= (0 if (runtime, codes) == ("tflm", "uint8") else 12)


def small_network(folder: Path) -> Path:
    """One layer whose sums hit halves."""
    file = TFLiteFile()
    x, y = file.tensor((1, 8), 0.5, 3), file.tensor((1, 4), 0.25, -7)
    weight = np.random.default_rng(0).integers(-127, 128, (4, 8)).astype(np.int8)
    file.operator("FULLY_CONNECTED", [x, file.constant(weight, 2.0**-8), -1], [y], {0: ("b", 0)})
    path = folder / "network.tflite"
    path.write_bytes(file.bytes(x, y))
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_rules_differ_where_they_are_told_to(runtime, tmp_path):
    """The comparison would notice: with another runtime's rule it fails."""
    needs(runtime)
    path = small_network(tmp_path)
    inputs = mixed_inputs((8,), 200, 5)
    theirs = computed(path.read_bytes(), runtime, inputs)[0][:, 0]
    for other in RUNTIMES:
        mine = evaluate(read_deployed(path, other), inputs).outputs
        assert np.array_equal(mine, theirs) == (other == runtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_installed_runtime_is_asked(runtime, tmp_path):
    needs(runtime)
    deployed = read_deployed(small_network(tmp_path), runtime)
    inputs = mixed_inputs((8,), 20, 2)
    assert np.array_equal(outputs_of_installed(deployed, inputs), evaluate(deployed, inputs).outputs)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_installed_runtime_is_asked_by_floats_where_it_takes_them(runtime, tmp_path):
    needs(runtime)
    file = TFLiteFile()
    start, x = file.tensor((1, 8), None, kind="float32"), file.tensor((1, 8), 0.1, 3)
    y, end = file.tensor((1, 4), 0.25, -7), file.tensor((1, 4), None, kind="float32")
    weight = np.random.default_rng(0).integers(-127, 128, (4, 8)).astype(np.int8)
    file.operator("QUANTIZE", [start], [x])
    file.operator("FULLY_CONNECTED", [x, file.constant(weight, 0.004), -1], [y], {0: ("b", 0)})
    file.operator("DEQUANTIZE", [y], [end])
    path = tmp_path / "network.tflite"
    path.write_bytes(file.bytes(start, end))
    deployed = read_deployed(path, runtime)
    inputs = mixed_inputs((8,), 100, 2)
    assert np.array_equal(outputs_of_installed(deployed, inputs), evaluate(deployed, inputs).outputs)
