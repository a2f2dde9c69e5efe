"""In which precision runtimes multiply scales: sums next to every threshold, and ratios that are a power of two in float32 alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from differential.tflite_rules import OPERATORS, compared
from differential.tflite_runtimes import RUNTIMES, mismatches, mixed_inputs, needs
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import FormatError
from netproof.formats.tflite.read import Deployed, read_deployed
from netproof.network import Network
from tflite_files import TFLiteFile

# What the interpreters' own Python modules warn about when they are imported.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

#: what each computes with
TAKEN = [
    (runtime, codes) for runtime in RUNTIMES for codes in ("int8", "uint8") if (runtime, codes) != ("tflm", "uint8")
]


def _differing(deployed: Deployed, inputs: np.ndarray) -> int:
    return sum(wrong for wrong, _ in mismatches(deployed, inputs).values())


def _by_bias(
    name: str, codes: str, scales: tuple[np.float32, np.float32, np.float32], sums: np.ndarray, *, channels: bool
) -> bytes:
    """One output for each sum, which is its bias; with ``channels`` each has a scale of its own, all the same."""
    file, count = TFLiteFile(), len(sums)
    dense, spread = name == "FULLY_CONNECTED", name == "DEPTHWISE_CONV_2D"
    x = file.tensor((1, 1) if dense else (1, 1, 1, 1), scales[0], 0, kind=codes)
    y = file.tensor((1, count) if dense else (1, 1, 1, count), scales[2], 0, kind=codes)
    shape = (count, 1) if dense else (1, 1, 1, count) if spread else (count, 1, 1, 1)
    each = np.full(count, scales[1]) if channels else scales[1]
    weight = file.constant(np.zeros(shape, codes), each, axis=3 if spread and channels else 0)
    bias = file.constant(sums.astype(np.int32), np.float32(scales[0]) * each)
    steps = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1)}
    options = {0: ("b", 0)} if dense else steps | ({3: ("i", count), 4: ("b", 0)} if spread else {3: ("b", 0)})
    file.operator(name, [x, weight, bias], [y], options)
    return file.bytes(x, y)


@pytest.mark.parametrize(("runtime", "codes"), TAKEN)
@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_sums_next_to_every_threshold(name, runtime, codes, tmp_path):
    needs(runtime)
    path, rng, ends = tmp_path / "n.tflite", np.random.default_rng(4), np.iinfo(codes)
    for channels in (False, False, True, True) if codes == "int8" else (False,) * 4:
        # So large that a bit of a scale in float32 moves a threshold.
        a, b = (np.float32(2.0 ** rng.uniform(-6, 0)) for _ in range(2))
        ratio = 2.0 ** rng.uniform(-23, -18)
        c = np.float32(float(a) * float(b) / ratio)
        around = np.rint((np.arange(ends.min, ends.max + 1) - 0.5) / ratio).astype(np.int64)
        sums = np.unique(around[:, None] + np.arange(-2, 3))
        path.write_bytes(_by_bias(name, codes, (a, b, c), sums, channels=channels))
        deployed = read_deployed(path, runtime)
        assert not _differing(deployed, np.zeros((1, *deployed.input.shape[1:]), codes))
        _read_alike(deployed.network)


@pytest.mark.parametrize(("runtime", "codes"), [*TAKEN, ("tflm", "int16"), ("litert-ref", "int16")])
def test_products_with_constants(runtime, codes, tmp_path):
    needs(runtime)
    path, rng, ends = tmp_path / "n.tflite", np.random.default_rng(5), np.iinfo(codes)
    wide, many = codes == "int16", 256
    for exponent in (1, 7, 12, 14) if wide else (1, 2, 1, 2):
        file = TFLiteFile()
        a, b = (np.float32(2.0 ** rng.uniform(-6, 0)) for _ in range(2))
        # What float32 makes of both is this to the last bit, and their product is not.
        c = np.float32(np.float32(a * b) * 2.0**exponent)
        x, y = (file.tensor((1, many), scale, 0, kind=codes) for scale in (a, c))
        numbers = 2 * rng.integers(0, (int(ends.max) - int(ends.min)) // 4, many) + 1
        numbers[:3] = 0
        # In one direction or in both, or in none.
        sign = rng.choice([-1, 1], many) if rng.random() < 0.5 else int(rng.choice([-1, 1]))
        zero = 128 if codes == "uint8" else 0
        constant = file.constant((sign * numbers + zero).astype(codes), b, zero)
        file.operator("MUL", [x, constant] if rng.random() < 0.5 else [constant, x], [y], {0: ("b", 0)})
        path.write_bytes(file.bytes(x, y))
        deployed = read_deployed(path, runtime)
        inputs = mixed_inputs((many,), 400 if wide else 40, 6, codes)
        if not wide:
            codes_of = np.arange(ends.min, ends.max + 1).astype(codes)
            inputs = np.concatenate([inputs, [np.roll(codes_of, shift) for shift in range(32)]])
        assert not _differing(deployed, inputs)
        _read_alike(deployed.network)


def _read_alike(network: Network) -> None:
    assert "step functions at every threshold" in confirm(network)


def test_rules_at_every_pair_of_codes():
    for runtime in RUNTIMES:
        needs(runtime)
    found = list(compared(3, 2))
    assert {name for (name, *_), _, _ in found} == set(OPERATORS) and len(found) == 2 * (14 + 9 + 10)
    assert not [key for key, wrong, _ in found if wrong]


def test_what_float32_does_not_hold_is_refused(tmp_path: Path):
    file = TFLiteFile()
    x, y = (file.tensor((1, 3), scale, 0) for scale in (1e20, 3e38))
    file.operator("MUL", [x, file.constant(np.array([1, 3, 101], np.int8), 1e20)], [y], {0: ("b", 0)})
    path = tmp_path / "n.tflite"
    path.write_bytes(file.bytes(x, y))
    for runtime in ("tflm", "litert-ref"):
        with pytest.raises(FormatError, match="beyond float32"):
            read_deployed(path, runtime)
