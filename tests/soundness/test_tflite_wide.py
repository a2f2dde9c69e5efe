"""Networks of 16-bit codes: sums and differences by every pair that a grid has, verdicts against all inputs, and their certificates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import netproof
from netproof import Settings, Verdict
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.reading import UnknownFormError
from netproof.certificate.second_reading.tflite.read import read_tflite
from netproof.errors import FormatError
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import Deployed, read_deployed
from netproof.formats.tflite.rules.pairs import PairScales, WideSum
from tflite_files import TFLiteFile

#: scales of the operands and of the result: equal, a line with steps, far apart, and powers of two
SCALES = [(1e-3, 1e-3, 2e-3), (1e-3, 7e-4, 1.3e-3), (1e-2, 1e-5, 2e-2), (3e-4, 0.5, 0.4), (2.0**-10, 2.0**-12, 2.0**-9)]


def sum_of_two(folder, name: str, scales: tuple[float, float, float], runtime: str = "tflm", pot: int = 0) -> Deployed:
    """A value and a copy of it on another scale, added or subtracted."""
    file = TFLiteFile()
    x, y, z = (file.tensor((1, 3), scale, 0, kind="int16") for scale in scales)
    file.operator("QUANTIZE", [x], [y])
    file.operator(name, [x, y], [z], {0: ("b", 0), 1: ("B", pot)})
    path = folder / "n.tflite"
    path.write_bytes(file.bytes(x, z))
    return read_deployed(path, runtime)


def scaled(value: int, real: float) -> int:
    """In Python's whole numbers, step by step as the kernels have it."""
    part, exponent = np.frexp(real)
    whole, exponent = int(np.floor(part * 2.0**31 + 0.5)), int(exponent)
    high = ((value << max(exponent, 0)) * whole + (1 << 30)) >> 31
    half = (1 << max(-exponent, 0)) >> 1
    return (1 if high >= 0 else -1) * ((abs(high) + half) >> max(-exponent, 0))


@pytest.mark.parametrize("name", ["ADD", "SUB"])
@pytest.mark.parametrize("scales", SCALES)
def test_a_sum_is_what_the_rule_says(name, scales, tmp_path):
    deployed = sum_of_two(tmp_path, name, scales)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(-(1 << 15), 1 << 15, (400, 3)), rng.integers(-40, 41, (200, 3))]).astype(np.int16)
    copy, found = (tensor.values.astype(np.int64) for tensor in evaluate(deployed, x).tensors)
    single = [float(np.float32(scale)) for scale in scales]
    twice = 2 * max(single[:2])

    for a, b, c in zip(x.reshape(-1).tolist(), copy.reshape(-1).tolist(), found.reshape(-1).tolist(), strict=True):
        left, right = scaled(a << 15, single[0] / twice), scaled(b << 15, single[1] / twice)
        total = left + right if name == "ADD" else left - right
        expected = scaled(total, twice / (2.0**15 * single[2]))
        assert c == max(-(1 << 15), min((1 << 15) - 1, expected)), (a, b)
    assert "step functions at every threshold" in confirm(deployed.network)


@pytest.mark.parametrize("runtime", ["tflm", "litert-ref"])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_constant_is_what_the_rule_says(name, first, runtime, tmp_path):
    constant = np.array([-32768, -900, -3], np.int16) if name == "MUL" else np.array([-32768, 7, 32767], np.int16)
    scales = (1e-3, 7e-4, 1.2e-2) if name == "MUL" else (1e-3, 7e-4, 1.3e-3)
    file = TFLiteFile()
    x, z = (file.tensor((1, 3), scale, 0, kind="int16") for scale in (scales[first], scales[2]))
    y = file.constant(constant, scales[1 - first])
    file.operator(name, [x, y] if first == 0 else [y, x], [z], {0: ("b", 0), 1: ("B", 0)})
    path = tmp_path / "n.tflite"
    path.write_bytes(file.bytes(x, z))
    deployed = read_deployed(path, runtime)
    rng = np.random.default_rng(0)
    given = np.concatenate([rng.integers(-(1 << 15), 1 << 15, (300, 3)), [[-32768] * 3, [32767] * 3, [0] * 3]])
    found = evaluate(deployed, given.astype(np.int16)).tensors[-1].values.astype(np.int64)
    single = [float(np.float32(scale)) for scale in scales]
    twice = 2 * max(single[:2])
    # LiteRT computes this one in float32.
    ratio = single[0] * single[1] / single[2]
    if runtime == "litert-ref":
        ratio = float(np.float32(np.float32(scales[0]) * np.float32(scales[1]) / np.float32(scales[2])))
    for row, outputs in zip(given.tolist(), found.tolist(), strict=True):
        for value, number, output in zip(row, constant.tolist(), outputs, strict=True):
            a, b = (value, number) if first == 0 else (number, value)
            if name == "MUL":
                expected = scaled(a * b, ratio)
            else:
                left, right = scaled(a << 15, single[0] / twice), scaled(b << 15, single[1] / twice)
                expected = scaled(left + (right if name == "ADD" else -right), twice / (2.0**15 * single[2]))
            assert output == max(-(1 << 15), min((1 << 15) - 1, expected)), (a, b)
    assert "step functions at every threshold" in confirm(deployed.network)


@pytest.mark.parametrize(
    ("name", "scales", "kept"),
    [
        ("ADD", (0.5, 1e-3, 0.5 / 2**14), "operand 0 has"),
        ("SUB", (1e-3, 0.5, 0.5 / 2**14), "operand 1 has"),
        ("MUL", (0.25, 0.5, 0.125), "the product of its operands has"),
    ],
)
@pytest.mark.parametrize("runtime", ["tflm", "litert-ref"])
@pytest.mark.parametrize("constant", [True, False])
def test_scales_that_kernels_do_not_take_are_refused(name, scales, kept, runtime, constant, tmp_path):
    """Sums that are scaled up end TensorFlow Lite Micro, and LiteRT in part; products leave 32 bits."""

    def made(output: float) -> bytes:
        file = TFLiteFile()
        x, z = (file.tensor((1, 3), scale, 0, kind="int16") for scale in (scales[0], output))
        if constant:
            y = file.constant(np.array([3, 4, 5], np.int16), scales[1])
        else:
            y = file.tensor((1, 3), scales[1], 0, kind="int16")
            file.operator("QUANTIZE", [x], [y])
        file.operator(name, [x, y], [z], {0: ("b", 0), 1: ("B", 0)})
        return file.bytes(x, z)

    path = tmp_path / "n.tflite"
    path.write_bytes(made(scales[2]))
    with pytest.raises(FormatError, match=kept):
        read_deployed(path, runtime)
    with pytest.raises(UnknownFormError, match="scaled up" if name != "MUL" or constant else "two values"):
        read_tflite(path.read_bytes(), runtime)
    if name == "MUL" and not constant:
        return
    path.write_bytes(made(scales[2] * (1 + 2.0**-21)))
    assert confirm(read_deployed(path, runtime).network)


def test_operands_are_lines_and_small_steps():
    codes = np.arange(-(1 << 15), 1 << 15)
    rule = WideSum(PairScales(np.float32(1e-3), np.float32(7e-4), np.float32(1.3e-3)))
    first, second = rule.operand(codes, 0), rule.operand(codes, 1)
    assert np.array_equal(first, codes << 14) and set(np.diff(second).tolist()) == {11468, 11469}


def test_powers_of_two_have_a_kernel_of_their_own(tmp_path):
    """LiteRT's, unless the file says otherwise; TensorFlow Lite Micro's does not look."""
    scales = SCALES[-1]
    with pytest.raises(FormatError, match="another kernel for scales that are powers of two"):
        sum_of_two(tmp_path, "SUB", scales, "litert-ref", pot=1)
    with pytest.raises(UnknownFormError, match="whose scales are powers of two"):
        read_tflite((tmp_path / "n.tflite").read_bytes(), "litert-ref")
    for runtime, pot in (("litert-ref", 0), ("tflm", 1)):
        assert confirm(sum_of_two(tmp_path, "SUB", scales, runtime, pot).network)


def network_of_16_bits(seed: int, folder, runtime: str) -> Deployed:
    rng, file = np.random.default_rng(seed), TFLiteFile()
    x, h, g, s, y = (
        file.tensor(shape, scale, 0, kind="int16")
        for shape, scale in (((1, 3), 1e-3), ((1, 4), 3e-3), ((1, 4), 2e-3), ((1, 4), 4e-3), ((1, 3), 5e-3))
    )

    def layer(value: int, result: int, inputs: int, outputs: int, scale: float, activation: int) -> None:
        weight = file.constant(rng.integers(-100, 101, (outputs, inputs)).astype(np.int8), scale)
        bias = file.constant(rng.integers(-(10**5), 10**5, outputs).astype(np.int64), 1e-3 * scale)
        file.operator("FULLY_CONNECTED", [value, weight, bias], [result], {0: ("b", activation)})

    layer(x, h, 3, 4, 0.02, 1)
    layer(x, g, 3, 4, 0.01, 0)
    file.operator("SUB" if seed % 2 else "ADD", [h, g], [s], {0: ("b", 0), 1: ("B", 0)})
    if seed % 3 == 0:
        # By constants: times both signs, and less.
        times = file.constant(rng.integers(-32768, 32768, 4).astype(np.int16), 3e-5)
        less = file.constant(rng.integers(-9000, 9001, 4).astype(np.int16), 2e-3)
        t, r = (file.tensor((1, 4), scale, 0, kind="int16") for scale in (4e-3, 6e-3))
        file.operator("MUL", [s, times], [t], {0: ("b", 0)})
        file.operator("SUB", [less, t] if seed % 2 else [t, less], [r], {0: ("b", 0), 1: ("B", 0)})
        s = r
    layer(s, y, 4, 3, 0.02, 0)
    path = folder / f"{seed}.tflite"
    path.write_bytes(file.bytes(x, y))
    return read_deployed(path, runtime)


def test_verdicts_are_those_of_all_inputs_and_have_certificates(tmp_path):
    rng, found = np.random.default_rng(1), Counter[str]()
    for seed in range(16):
        deployed = network_of_16_bits(seed, tmp_path, ("tflm", "litert-ref")[seed // 2 % 2])
        network = deployed.network
        image = rng.integers(-900, 901, 3)
        label = int(network.classify(torch.tensor(image, dtype=torch.float64)))
        radius = 4
        steps = np.arange(-radius, radius + 1)
        points = image + np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
        classes = evaluate(deployed, points.astype(np.int16)).classes
        query = netproof.robustness(network, image, label, radius)
        result = netproof.verify(query, Settings(proofs=True, timeout=120))
        assert result.verdict is (Verdict.UNSAT if (classes == label).all() else Verdict.SAT), seed
        checked = netproof.check(netproof.certificate_of(query, result), network)
        assert checked.claim == result.verdict.value and checked.second_reading
        found[checked.claim] += 1
    assert found["unsat"] >= 8, found
