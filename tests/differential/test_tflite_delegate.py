"""What XNNPACK's delegate declines: LiteRT computes it by kernels that round in another way, so no file of that kind is read for ``xnnpack``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from differential.tflite_runtimes import RUNTIMES, computed, mismatches, mixed_inputs, needs
from netproof.certificate.second_reading.reading import UnknownFormError
from netproof.certificate.second_reading.tflite.read import read_tflite
from netproof.errors import FormatError
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import read_deployed
from tflite_files import VERSIONS, TFLiteFile

# What the interpreters' own Python modules warn about when they are imported.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

Change = Callable[[TFLiteFile], None]
#: tensors of the files below
INPUT, WEIGHT, BIAS, OUTPUT = range(4)


def _convolution(name: str, change: Change) -> tuple[bytes, tuple[int, ...]]:
    rng, shape = np.random.default_rng(2), (1, 6, 6, 3)
    file, depthwise = TFLiteFile(), name == "DEPTHWISE_CONV_2D"
    outputs = 6 if depthwise else 4
    scales = rng.uniform(0.01, 0.03, outputs).astype(np.float32)
    weight = rng.integers(-127, 128, (1, 3, 3, outputs) if depthwise else (outputs, 3, 3, 3)).astype(np.int8)
    x = file.tensor(shape, 0.1, -3)
    w = file.constant(weight, scales, axis=3 if depthwise else 0)
    b = file.constant(rng.integers(-300, 300, outputs).astype(np.int32), np.float32(0.1) * scales)
    y = file.tensor((1, 4, 4, outputs), 0.7, 5)
    options = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1)} | ({3: ("i", 2), 4: ("b", 0)} if depthwise else {3: ("b", 0)})
    file.operator(name, [x, w, b], [y], options)
    change(file)
    return file.bytes(x, y), shape


def _dense(change: Change, kind: str = "int8") -> tuple[bytes, tuple[int, ...]]:
    """Scales are powers of two, so that some sums are halves."""
    rng, file = np.random.default_rng(3), TFLiteFile()
    ends = np.iinfo(kind)
    x = file.tensor((1, 24), 0.5, 120, kind=kind)
    w = file.constant(
        rng.integers(ends.min, ends.max + 1, (8, 24)).astype(kind), 2.0**-6, 127 if kind == "uint8" else 0
    )
    b = file.constant(rng.integers(-300, 300, 8).astype(np.int32), 2.0**-7)
    y = file.tensor((1, 8), 4.0, 100, kind=kind)
    file.operator("FULLY_CONNECTED", [x, w, b], [y], {0: ("b", 0)})
    change(file)
    return file.bytes(x, y), (1, 24)


def _product(change: Change) -> tuple[bytes, tuple[int, ...]]:
    file = TFLiteFile()
    x, y = file.tensor((1, 40), 0.1, 3), file.tensor((1, 40), 0.5, 7)
    factors = np.arange(1, 41, dtype=np.int8)[None]
    file.operator("MUL", [x, file.constant(factors, 0.2, -5)], [y], {0: ("b", 0)})
    change(file)
    return file.bytes(x, y), (1, 40)


def _set(tensor: int, **values: object) -> Change:
    return lambda file: file.tensors[tensor].update(values)


def _column(file: TFLiteFile) -> None:
    """The bias as a column."""
    data = np.array(file.tensors[BIAS]["data"]).reshape(-1, 1)
    file.tensors[BIAS].update(data=data, shape=list(data.shape))


def _nothing(file: TFLiteFile) -> None:
    del file


CONVOLUTION, DEPTHWISE = (
    lambda change: _convolution("CONV_2D", change),
    lambda change: _convolution("DEPTHWISE_CONV_2D", change),
)
DECLINED = {
    "a bias without a scale": (CONVOLUTION, _set(BIAS, scale=None), "its bias has no scale"),
    "the same of channels": (DEPTHWISE, _set(BIAS, scale=None), "its bias has no scale"),
    "the same of bytes": (lambda change: _dense(change, "uint8"), _set(BIAS, scale=None), "its bias has no scale"),
    "a bias that is a column": (CONVOLUTION, _column, "its bias has 2 axes"),
    "an operand along an axis": (CONVOLUTION, _set(INPUT, axis=3), "is quantized along axis 3"),
    "a result along an axis": (CONVOLUTION, _set(OUTPUT, axis=1), "is quantized along axis 1"),
    "a layer's operand": (_dense, _set(INPUT, axis=1), "is quantized along axis 1"),
    "weights of bytes": (lambda change: _dense(change, "uint8"), _set(WEIGHT, axis=1), "is quantized along axis 1"),
    "an operand of a product": (_product, _set(INPUT, axis=1), "is quantized along axis 1"),
}


@pytest.mark.parametrize("name", list(DECLINED))
def test_what_the_delegate_declines_is_refused_for_it_alone(name, tmp_path):
    made, change, problem = DECLINED[name]
    content, shape = made(change)
    path = tmp_path / "network.tflite"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=problem):
        read_deployed(path, "xnnpack")
    with pytest.raises(UnknownFormError, match=r"a bias that has no scale|as the delegate does not take it"):
        read_tflite(content, "xnnpack")
    kind = "uint8" if "bytes" in name else "int8"
    inputs = mixed_inputs(shape[1:], 600, 3, kind)
    needs("litert-ref")
    assert not any(wrong for wrong, _ in mismatches(read_deployed(path, "litert-ref"), inputs).values())
    # It has to be refused: without the change the delegate takes it, and gives other codes for some inputs.
    theirs = computed(content, "xnnpack", inputs)[0]
    path.write_bytes(made(_nothing)[0])
    deployed = read_deployed(path, "xnnpack")
    assert not any(wrong for wrong, _ in mismatches(deployed, inputs).values())
    mine = evaluate(deployed, inputs).outputs
    assert 0 < (mine.reshape(theirs.shape) != theirs).sum() < theirs.size / 20


def test_the_version_of_sparse_weights_is_declined(tmp_path, monkeypatch):
    monkeypatch.setitem(VERSIONS, "FULLY_CONNECTED", 8)
    content, _ = _dense(_nothing)
    path = tmp_path / "network.tflite"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="it has version 8, that of sparse weights"):
        read_deployed(path, "xnnpack")
    with pytest.raises(UnknownFormError, match="as the delegate does not take it"):
        read_tflite(content, "xnnpack")
    assert read_deployed(path, "tflm").network.outputs == 8


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kernel", [(1, 1), (1, 2), (2, 2)])
def test_pools_whose_windows_lie_apart_clamp_as_other_kernels_do(kernel, runtime, tmp_path):
    """Halves in the limits: 6 is 1.5 codes from 0, or 15 and zero points that are odd."""
    needs(runtime)
    path = tmp_path / "network.tflite"
    for activation, scale, zero in ((2, 0.4, 0), (3, 4.0, -3), (3, 4.0, 2)):
        file = TFLiteFile()
        x, y = file.tensor((1, 6, 6, 2), scale, zero), file.tensor((1, 3, 3, 2), scale, zero)
        sizes = {1: ("i", 2), 2: ("i", 2), 3: ("i", kernel[1]), 4: ("i", kernel[0]), 5: ("b", activation)}
        file.operator("MAX_POOL_2D", [x], [y], {0: ("b", 1)} | sizes)
        path.write_bytes(file.bytes(x, y))
        found = mismatches(read_deployed(path, runtime), mixed_inputs((6, 6, 2), 12, 1))
        assert not any(wrong for wrong, _ in found.values()), (activation, scale, zero)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_operators_that_move_the_first_axis(runtime, tmp_path):
    """Batches stand before all axes of what has no axis of one in front."""
    needs(runtime)
    path = tmp_path / "network.tflite"
    asked = [np.array(part, np.int32) for part in ([2, 12], [[1, 0], [0, 1], [0, 0]], [2, 1, 0])]
    for name, shape, operand in (
        ("RESHAPE", (2, 12), asked[0]),
        ("PAD", (2, 5, 6), asked[1]),
        ("TRANSPOSE", (6, 4, 1), asked[2]),
        ("SQUEEZE", (4, 6), None),
    ):
        file = TFLiteFile()
        x, y = file.tensor((1, 4, 6), 0.1, 3), file.tensor(shape, 0.1, 3)
        file.operator(name, [x] if operand is None else [x, file.constant(operand)], [y], {})
        path.write_bytes(file.bytes(x, y))
        deployed = read_deployed(path, runtime)
        found = mismatches(deployed, mixed_inputs((4, 6), 4, 1))
        assert found and not any(wrong for wrong, _ in found.values()), name
        assert evaluate(deployed, mixed_inputs((4, 6), 4, 1)).outputs.shape == (4, *shape)
