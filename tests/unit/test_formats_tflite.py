"""Reading TensorFlow Lite files: what they compute, and every way in which they can be bad."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netproof
from netproof.certificate.second_reading.reading import UnknownFormError
from netproof.certificate.second_reading.tflite.read import read_tflite as read_again
from netproof.errors import FormatError, InputError, QueryError
from netproof.formats.load import load
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import read_deployed
from netproof.local_robustness import robustness
from netproof.network import Kept
from netproof.query import Conjunction, Query
from tflite_files import TFLiteFile

SAME, VALID = 0, 1


def dense(
    file: TFLiteFile | None = None, *, activation: int = 0, scale: object = 0.5, weight: np.ndarray | None = None
) -> tuple[TFLiteFile, int, int]:
    """Three inputs, two outputs."""
    file = file or TFLiteFile()
    x = file.tensor((1, 3), 0.25, 3)
    weight = np.array([[1, -2, 3], [4, 5, -6]], np.int8) if weight is None else weight
    w = file.constant(weight, scale)
    b = file.constant(np.array([10, -20], np.int32), 0.125)
    y = file.tensor((1, 2), 1.0, -5)
    file.operator("FULLY_CONNECTED", [x, w, b], [y], {0: ("b", activation)})
    return file, x, y


@pytest.fixture
def read(tmp_path):
    def read_bytes(data: bytes, runtime: str | None = None):
        path = tmp_path / "network.tflite"
        path.write_bytes(data)
        return read_deployed(path, runtime)

    return read_bytes


def test_a_dense_layer_in_every_runtime(read):
    file, x, y = dense()
    codes = np.random.default_rng(0).integers(-128, 128, (200, 3)).astype(np.int8)
    sums = (codes.astype(int) - 3) @ np.array([[1, -2, 3], [4, 5, -6]]).T + [10, -20]

    def away(v: np.ndarray) -> np.ndarray:
        return np.sign(v) * np.floor(np.abs(v) + 0.5)

    # An eighth is a half and then a quarter, each rounded, on a microcontroller.
    rules = {"tflm": away(np.floor(sums / 2 + 0.5) / 4), "litert-ref": away(sums / 8), "xnnpack": np.rint(sums / 8)}
    assert not np.array_equal(rules["tflm"], rules["litert-ref"])
    for runtime, rounded in rules.items():
        deployed = read(file.bytes(x, y), runtime)
        expected = np.clip(rounded - 5, -128, 127)
        assert np.array_equal(evaluate(deployed, codes).outputs, expected)
        assert deployed.network.runtime == runtime
        # What is verified is what is evaluated.
        graph = deployed.network.graph.evaluate(torch.from_numpy(codes.astype(float)))
        assert np.array_equal(graph.numpy(), expected)


def test_the_default_is_what_a_microcontroller_computes(tmp_path):
    file, x, y = dense()
    (tmp_path / "n.bin").write_bytes(file.bytes(x, y))  # known by its content
    network = netproof.load(tmp_path / "n.bin")
    assert network.runtime == "tflm" and network.inputs == 3 and network.outputs == 2
    assert network.lower.tolist() == [-128] * 3 and network.upper.tolist() == [127] * 3
    with pytest.raises(InputError, match="bit widths"):
        netproof.load(tmp_path / "n.bin", bits=4)
    with pytest.raises(InputError, match="'fast' is none that is known"):
        netproof.load(tmp_path / "n.bin", runtime="fast")


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("depthwise", [False, True])
def test_layouts_of_images(read, padding, depthwise):
    rng = np.random.default_rng(padding + 2 * depthwise)
    file = TFLiteFile()
    height, width, channels, outputs = 5, 4, 2, 4
    x = file.tensor((1, height, width, channels), 0.5, 7)
    kernel = (1, 3, 2, outputs) if depthwise else (outputs, 3, 2, channels)
    weight = rng.integers(-127, 128, kernel).astype(np.int8)
    w = file.constant(weight, np.full(outputs, 2.0**-6, np.float32), axis=3 if depthwise else 0)
    b = file.constant(rng.integers(-99, 99, outputs).astype(np.int32), np.full(outputs, 2.0**-7, np.float32))
    rows, columns = (5, 4) if padding == SAME else (3, 3)
    y = file.tensor((1, rows, columns, outputs), 0.25, 0)
    options = {0: ("b", padding), 1: ("i", 1), 2: ("i", 1)}
    options |= {3: ("i", 2), 4: ("b", 0)} if depthwise else {3: ("b", 0)}
    file.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, w, b], [y], options)
    codes = rng.integers(-128, 128, (3, height, width, channels)).astype(np.int8)
    found = evaluate(read(file.bytes(x, y), "xnnpack"), codes).outputs

    # Places and channels one by one, as the format describes them.
    before = (1, 0) if padding == SAME else (0, 0)
    for i, j, o, n in np.ndindex(rows, columns, outputs, 3):
        total = file.tensors[b]["data"][o]
        for a, c in np.ndindex(3, 2):
            r, s = i + a - before[0], j + c - before[1]
            if 0 <= r < height and 0 <= s < width:
                values = codes[n, r, s].astype(int) - 7
                total += values[o // 2] * int(weight[0, a, c, o]) if depthwise else values @ weight[o, a, c].astype(int)
        assert found[n, i, j, o] == np.clip(np.rint(total / 32), -128, 127)


def test_a_final_softmax_is_left_out_and_told(read):
    file, x, y = dense()
    z = file.tensor((1, 2), 1 / 256, -128)
    file.operator("SOFTMAX", [y], [z], {0: ("f", 1.0)})
    deployed = read(file.bytes(x, z))
    assert deployed.network.kept is not Kept.VALUES and "softmax" in deployed.network.notes[0]
    found = evaluate(deployed, np.array([[0, 0, 0], [100, 0, 0]], np.int8))
    assert found.tensors[-1].operator == "SOFTMAX" and found.outputs.tolist() != found.scores.tolist()
    assert found.classes.tolist() == found.outputs.argmax(1).tolist()


@pytest.mark.parametrize(("beta", "asks"), [(1.0, "its outputs"), (1e-3, "its class")])
def test_what_a_softmax_in_codes_leaves_to_ask_about(beta, asks, read):
    """Two operands can have one code; the largest has a larger one than the others, unless they hardly matter."""
    file, x, y = dense()
    z = file.tensor((1, 2), 1 / 256, -128)
    file.operator("SOFTMAX", [y], [z], {0: ("f", beta)})
    network = read(file.bytes(x, z)).network
    image = torch.zeros(3, dtype=torch.float64)
    row = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    compared = Conjunction(row, torch.zeros(1, dtype=torch.float64))
    with pytest.raises(QueryError, match=f"asks about {asks}.*one code.*cut the softmax off"):
        Query(network, image, image, (compared,))
    if network.kept is Kept.CLASS:
        assert robustness(network, image, int(network.classify(image)), 1).sample is not None
    else:
        with pytest.raises(QueryError, match="asks about its class"):
            robustness(network, image, 0, 1)


def test_largest_and_mean_of_windows(read):
    rng = np.random.default_rng(5)
    codes = rng.integers(-128, 128, (4, 5, 5, 2)).astype(np.int8)
    for name, reduce in (("MAX_POOL_2D", np.max), ("AVERAGE_POOL_2D", np.mean)):
        file = TFLiteFile()
        x, y = file.tensor((1, 5, 5, 2), 0.5, 9), file.tensor((1, 2, 2, 2), 0.5, 9)
        options = {0: ("b", VALID), 1: ("i", 2), 2: ("i", 2), 3: ("i", 3), 4: ("i", 3), 5: ("b", 0)}
        file.operator(name, [x], [y], options)
        found = evaluate(read(file.bytes(x, y)), codes).outputs
        for n, i, j, c in np.ndindex(4, 2, 2, 2):
            value = reduce(codes[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, c].astype(float))
            assert found[n, i, j, c] == np.sign(value) * np.floor(abs(value) + 0.5)


def test_operators_that_move_codes(read):
    file = TFLiteFile()
    x = file.tensor((1, 2, 3, 2), 0.5, 9)
    moved, padded = file.tensor((1, 3, 2, 2), 0.5, 9), file.tensor((1, 4, 2, 2), 0.5, 9)
    joined, flat = file.tensor((1, 4, 2, 4), 0.5, 9), file.tensor((1, 32), 0.5, 9)
    file.operator("TRANSPOSE", [x, file.constant(np.array([0, 2, 1, 3], np.int32))], [moved])
    file.operator("PAD", [moved, file.constant(np.array([[0, 0], [1, 0], [0, 0], [0, 0]], np.int32))], [padded])
    file.operator("CONCATENATION", [padded, padded], [joined], {0: ("i", -1), 1: ("b", 0)})
    file.operator("RESHAPE", [joined, file.constant(np.array([1, 32], np.int32))], [flat])
    codes = np.arange(-6, 6, dtype=np.int8).reshape(1, 2, 3, 2)
    expected = np.pad(codes.transpose(0, 2, 1, 3), [(0, 0), (1, 0), (0, 0), (0, 0)], constant_values=9)
    expected = np.concatenate([expected, expected], -1).reshape(1, -1)
    deployed = read(file.bytes(x, flat))
    assert np.array_equal(evaluate(deployed, codes).outputs, expected)
    graph = deployed.network.graph.evaluate(torch.from_numpy(codes.reshape(1, -1).astype(float)))
    assert np.array_equal(graph.numpy(), expected)


def test_builds_that_differ_are_told(read):
    # A product of scales that float32 rounds, and sums large enough for it to matter.
    rng = np.random.default_rng(2)
    for _ in range(50):
        file = TFLiteFile()
        x = file.tensor((1, 64), np.float32(rng.uniform(0.01, 0.1)), 0)
        w = file.constant(np.full((1, 64), 127, np.int8), np.float32(rng.uniform(0.001, 0.01)))
        y = file.tensor((1, 1), np.float32(rng.uniform(0.1, 0.5)), 0)
        file.operator("FULLY_CONNECTED", [x, w, -1], [y], {0: ("b", 0)})
        notes = read(file.bytes(x, y)).network.notes
        if notes:
            assert "tflm-single-product" in notes[0]
            other = read(file.bytes(x, y), "tflm-single-product")
            assert other.network.notes and other.network.runtime == "tflm-single-product"
            return
    pytest.fail("no scales were found with which builds differ")


def broken(change: str) -> bytes:
    file, x, y = dense()
    tensors = file.tensors
    if change == "scale 0":
        tensors[y]["scale"] = 0.0
    elif change == "scale nan":
        tensors[x]["scale"] = np.nan
    elif change == "no scale":
        tensors[y]["scale"] = None
    elif change == "zero point":
        tensors[x]["zero"] = 300
    elif change == "weights' zero point":
        tensors[1]["zero"] = 1
    elif change == "float":
        tensors[y]["kind"] = "float32"
    elif change == "uint8":
        tensors[x]["kind"] = "uint8"
    elif change == "int16":
        tensors[x]["kind"] = "int16"
    elif change == "two scales":
        tensors[y]["scale"] = [1.0, 2.0]
    elif change == "dynamic":
        tensors[x]["signature"] = [1, -1]
    elif change == "batch":
        tensors[x]["shape"], tensors[y]["shape"] = [2, 3], [2, 2]
    elif change == "constant's size":
        tensors[1]["shape"] = [2, 4]
    elif change == "bias":
        tensors[2]["data"] = np.array([1, 2, 3], np.int32)
        tensors[2]["shape"] = [3]
    elif change == "huge":
        tensors[x]["shape"] = [1, 2**31 - 1]
    elif change == "negative":
        tensors[x]["shape"] = [1, -3]
    elif change == "activation":
        file.operators[0][3][0] = ("b", 9)
    elif change == "shuffled":
        file.operators[0][3][1] = ("b", 1)
    elif change == "operator":
        file.operators[0] = ("HARD_SWISH", *file.operators[0][1:])
    elif change == "custom":
        file.operators[0] = ("CUSTOM", *file.operators[0][1:])
    elif change == "variable weights":
        tensors[1]["data"] = None
    elif change == "version":
        file.version = 2
    elif change == "identifier":
        file.identifier = b"TFL2"
    elif change == "subgraphs":
        file.subgraphs = 2
    elif change == "two inputs":
        return file.bytes([x, x], y)
    elif change == "no such tensor":
        return file.bytes(x, 99)
    elif change == "two outputs":
        return file.bytes(x, [y, y])
    elif change == "output is input":
        return file.bytes(x, x)
    elif change == "output is weight":
        return file.bytes(x, 1)
    elif change == "results":
        file.operators[0] = ("FULLY_CONNECTED", [x, 1, 2], [y, y], {})
    elif change == "no operand":
        file.operators[0] = ("FULLY_CONNECTED", [], [y], {})
    elif change == "no result":
        file.operators[0] = ("FULLY_CONNECTED", [x, 1, 2], [-1], {})
    elif change == "twice":
        file.operators.append(file.operators[0])
    elif change == "softmax, then something else":
        # What a runtime gives is what the last operator does.
        file.operators[:0] = [("FULLY_CONNECTED", [x, 1, 2], [z := file.tensor((1, 2), 0.25, 5)], {})]
        file.operators[1:1] = [("SOFTMAX", [z], [y], {0: ("f", 1.0)})]
    elif change == "given input":
        file.operators.append(("RELU", [y], [x], {}))
    elif change == "later":
        file.operators.append(("RELU", [y], [file.tensor((1, 2), 0.25, 5)], {}))
        file.operators.reverse()
    elif change == "operands":
        file.operators[0][1].append(2)
    elif change == "overflow":
        tensors[2]["data"] = np.array([2**31 - 1, 0], np.int32)
    elif change == "left":
        tensors[x]["scale"] = 2.0**18
        tensors[1]["data"] = np.full((2, 3), 127, np.int8)
    elif change == "none":
        pass
    return file.bytes(x, y)


REFUSED = {
    "scale 0": "no positive normal",
    "scale nan": "no positive normal",
    "no scale": "0 scales",
    "zero point": "zero point 300",
    "weights' zero point": "zero point that is not 0",
    "float": "is of FLOAT32",
    "uint8": "is of UINT8",
    "int16": "is of INT16",
    "two scales": "2 scales",
    "dynamic": "only known at run time",
    "batch": "batch size 1",
    "constant's size": "6 bytes for the shape",
    "bias": "bias has shape",
    "huge": "more than can be handled",
    "negative": "more than can be handled",
    "activation": "activation 9",
    "shuffled": "shuffled",
    "operator": "HARD_SWISH.*not known",
    "custom": "custom operator 'mine'",
    "variable weights": "no constant",
    "version": "version 2",
    "identifier": "no TensorFlow Lite file",
    "subgraphs": "2 subgraphs",
    "two inputs": "2 inputs",
    "no such tensor": "not there",
    "two outputs": "2 outputs",
    "output is input": "does not depend",
    "output is weight": "does not depend",
    "results": "2 results",
    "no operand": "does not depend on the input",
    "no result": "result that is none",
    "twice": "both the result of operator 0 .* and the result of operator 1",
    "softmax, then something else": "both the result of operator 1 .SOFTMAX. and the result of operator 2",
    "given input": "both the input and the result of operator 1",
    "later": "operator 0 .RELU. takes the result of operator 1 .FULLY_CONNECTED., which comes later",
    "operands": "it has 4 operands",
    "overflow": "leave 32 bits",
    "left": "leaves 32 bits",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_refused_is_refused_in_one_line(read, change):
    with pytest.raises(FormatError, match=REFUSED[change]) as caught:
        read(broken(change))
    assert "\n" not in str(caught.value)


def test_the_unbroken_file_is_read(read):
    assert read(broken("none")).network.outputs == 2


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack"])
def test_scales_that_a_runtime_computes_in_another_way_are_refused(read, runtime):
    file, x, y = dense()
    file.tensors[x]["scale"] = 2.0**10
    if runtime == "tflm":
        assert read(file.bytes(x, y), runtime).network.outputs == 2
    else:
        with pytest.raises(FormatError, match="'xnnpack' takes below 256"):
            read(file.bytes(x, y), runtime)


def test_a_product_of_two_values_is_refused(read):
    file = TFLiteFile()
    x, y = file.tensor((1, 3), 0.5), file.tensor((1, 3), 0.5)
    file.operator("MUL", [x, x], [y], {0: ("b", 0)})
    with pytest.raises(FormatError, match="multiplies two values"):
        read(file.bytes(x, y))


def is_refused(read, data: bytes) -> bool:
    """Whether a file is refused, which then takes one line."""
    try:
        read(data)
    except InputError as error:
        assert "\n" not in str(error)
        return True
    return False


def test_truncated_files_are_refused(read):
    data = broken("none")
    refused = [is_refused(read, data[:size]) for size in range(0, len(data), 3)]
    # What comes last are buffers: a bias that is cut off entirely is none.
    assert sum(refused) > 0.95 * len(refused)


def test_hostile_files_end_in_one_line(read):
    """Bytes and offsets changed at random: an answer or one line, and no more memory than a small file may make."""
    rng = np.random.default_rng(0)
    originals = [broken("none")]
    file = TFLiteFile()
    x, y = file.tensor((1, 6, 6, 2), 0.5, 7), file.tensor((1, 3, 3, 2), 0.5, 7)
    file.operator(
        "MAX_POOL_2D", [x], [y], {0: ("b", 0), 1: ("i", 2), 2: ("i", 2), 3: ("i", 2), 4: ("i", 2), 5: ("b", 1)}
    )
    originals.append(file.bytes(x, y))
    refused = 0
    for number in range(600):
        data = bytearray(originals[number % 2])
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, len(data) - 4))
            if rng.random() < 0.5:
                data[at] = int(rng.integers(0, 256))
            else:
                data[at & ~3 : (at & ~3) + 4] = int(rng.choice([0, 1, -1, 2**31 - 1, 2**16, 8])).to_bytes(
                    4, "little", signed=True
                )
        refused += is_refused(read, bytes(data))
    assert refused > 200


def test_a_shared_vector_that_many_operators_name_is_no_trap(read):
    """Quadratic work out of a file of linear size."""
    file, x, y = dense()
    name, inputs, outputs, options = file.operators[0]
    file.operators[0] = (name, inputs * 200, outputs, options)
    with pytest.raises(FormatError, match="600 tensors where 256"):
        read(file.bytes(x, y))


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack", "litert-ref"])
def test_a_scaled_sum_that_leaves_32_bits_is_refused(read, runtime):
    """It would be clamped, but what a conversion to 32 bits makes of it differs."""
    file, x, y = dense()
    file.tensors[2]["data"] = np.array([2**28, 0], np.int32)
    assert read(file.bytes(x, y), runtime).network.outputs == 2
    file.tensors[x]["scale"] = 2.0**5
    with pytest.raises(FormatError, match="leaves 32 bits"):
        read(file.bytes(x, y), runtime)


def _ends_at_six(name: str, scale: np.float32, zero: int, kind: str) -> bytes:
    """A ReLU6 by itself, or fused into a sum."""
    file = TFLiteFile()
    x, y = (file.tensor((1, 2), scale, zero, kind=kind) for _ in range(2))
    if name == "ADD":
        file.operator("ADD", [x, file.constant(np.array([[1, 2]], kind), scale, zero)], [y], {0: ("b", 3)})
    else:
        file.operator(name, [x], [y])
    return file.bytes(x, y)


@pytest.mark.parametrize("name", ["RELU6", "ADD"])
def test_an_end_of_an_activation_that_leaves_32_bits_is_refused(read, name):
    """Kernels convert 6 / scale to 32 bits before they clamp it, and clip everything away where it wraps around."""
    least = np.float32(6 * 2.0**-31)
    for kind, zero, scale, refused in (
        ("int8", 0, np.nextafter(least, np.float32(1)), False),
        ("int8", 0, least, True),
        ("uint8", 255, np.nextafter(least, np.float32(1)), True),  # the zero point is added in 32 bits, too
        ("int8", -128, np.finfo(np.float32).tiny, True),
    ):
        data, runtime = _ends_at_six(name, scale, zero, kind), "litert-ref"
        if refused:
            with pytest.raises(FormatError, match="leaves 32 bits"):
                read(data, runtime)
        else:
            assert read(data, runtime).network.outputs == 2
    # XNNPACK has the end of a fused one as a float, and RELU has no end.
    assert read(_ends_at_six("ADD", least, -128, "int8"), "xnnpack").network.outputs == 2
    assert read(_ends_at_six("RELU", least, -128, "int8"), "tflm").network.outputs == 2


def with_float_edges() -> bytes:
    """The dense layer between a QUANTIZE and a DEQUANTIZE."""
    file, x, y = dense()
    start, end = file.tensor((1, 3), None, kind="float32"), file.tensor((1, 2), None, kind="float32")
    file.operator("QUANTIZE", [start], [x])
    file.operators.insert(0, file.operators.pop())
    file.operator("DEQUANTIZE", [y], [end])
    return file.bytes(start, end)


def test_floats_at_the_edges_are_left_to_the_file(read):
    codes = np.random.default_rng(1).integers(-128, 128, (20, 3)).astype(np.int8)
    deployed = read(with_float_edges())
    file, x, y = dense()
    assert np.array_equal(evaluate(deployed, codes).outputs, evaluate(read(file.bytes(x, y)), codes).outputs)
    assert [note.partition(":")[0] for note in deployed.network.notes] == [
        "the file takes floats and quantizes them first",
        "the file gives floats",
    ]
    assert "of scale 0.25 and zero point 3" in deployed.network.notes[0]


def test_floats_in_between_are_refused(read):
    file, x, y = dense()
    real, again = file.tensor((1, 2), None, kind="float32"), file.tensor((1, 2), 1.0)
    file.operator("DEQUANTIZE", [y], [real])
    file.operator("QUANTIZE", [real], [again])
    with pytest.raises(FormatError, match=r"operator 1 \(DEQUANTIZE\)"):
        read(file.bytes(x, again))


def _reshaped_image(asked, *, operand=True, name="RESHAPE", before=(1, 16), shape=(1, 4, 4, 1), buffer_zero=False):
    """An image made of 16 values, a convolution whose windows its shape decides, and its values in a row."""
    file = TFLiteFile()
    x, image = file.tensor(before), file.tensor(shape)
    given = [file.constant(np.array(asked, np.int32))] if operand else []
    file.operator(name, [x, *given], [image])
    windows, codes = file.tensor((1, 2, 2, 1)), file.tensor((1, 4))
    weight = file.constant(np.array([1, 2, 3, 4], np.int8).reshape(1, 2, 2, 1), 1 / 16)
    bias = file.constant(np.array([3], np.int32), 1 / 16)
    options = {0: ("b", 1), 1: ("i", 2), 2: ("i", 2), 3: ("b", 0)}
    file.operator("CONV_2D", [image, weight, bias], [windows], options)
    file.operator("RESHAPE", [windows, file.constant(np.array([1, -1], np.int32))], [codes])
    if buffer_zero:
        file.first_buffer, file.tensors[bias]["buffer"] = np.array([3], np.int32), 0
    return file.bytes(x, codes)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"asked": [1, 4, 4, 1]}, ""),
        ({"asked": [1, -1, 4, 1]}, ""),
        # LiteRT makes an image of 2 x 8 of it, TensorFlow Lite Micro of 4 x 4.
        ({"asked": [1, 2, 8, 1]}, "is asked for"),
        ({"asked": [1, 2, -1, 1]}, "is asked for"),
        ({"asked": [1, -1, -1, 1]}, "is asked for"),
        ({"asked": [1, 4, 4]}, "is asked for"),
        ({"asked": [], "operand": False}, "is asked for"),
        ({"asked": [[1, 4, 4, 1]]}, "no list"),
        ({"asked": [3], "name": "EXPAND_DIMS", "before": (1, 4, 4)}, ""),
        ({"asked": [-1], "name": "EXPAND_DIMS", "before": (1, 4, 4)}, ""),
        ({"asked": [1], "name": "EXPAND_DIMS", "before": (1, 4, 4)}, "is asked for"),
        ({"asked": [], "operand": False, "name": "SQUEEZE", "before": (1, 4, 4, 1)}, "is asked for"),
        ({"asked": [1, 4, 4, 1], "buffer_zero": True}, "stands for none"),
    ],
)
def test_a_shape_is_the_one_that_is_asked_for(given, problem, tmp_path):
    path = tmp_path / "network.tflite"
    path.write_bytes(_reshaped_image(**given))
    if not problem:
        load(path)
        return
    with pytest.raises(FormatError, match=problem):
        load(path)


@pytest.mark.parametrize("given", [{"asked": [1, 2, 8, 1]}, {"asked": [1, 4, 4, 1], "buffer_zero": True}])
def test_a_second_reading_does_not_rely_on_the_first_for_shapes(given):
    read_again(_reshaped_image([1, -1, 4, 1]), "tflm")
    with pytest.raises(UnknownFormError):
        read_again(_reshaped_image(**given), "tflm")


def test_an_input_that_is_a_constant_is_refused(tmp_path):
    file, x, y = dense()
    file.tensors[x]["data"] = np.array([[1, 2, 3]], np.int8)
    path = tmp_path / "network.tflite"
    path.write_bytes(file.bytes(x, y))
    with pytest.raises(FormatError, match="constant as its input"):
        load(path)
    with pytest.raises(UnknownFormError, match="constant"):
        read_again(path.read_bytes(), "tflm")
    # The codes that a QUANTIZE at the edge gives.
    file, x, y = dense()
    file.tensors[x]["data"] = np.array([[1, 2, 3]], np.int8)
    real = file.tensor((1, 3), None, kind="float32")
    file.operators.insert(0, ("QUANTIZE", [real], [x], {}))
    path.write_bytes(file.bytes(real, y))
    with pytest.raises(FormatError, match="the input is a constant"):
        load(path)
