"""One small file for each form of an operator that the second reader of TensorFlow Lite files knows, with no attribute left plain."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.tflite.read import read_tflite
from netproof.errors import CertificateError, InputError
from netproof.formats.load import load
from tflite_files import TFLiteFile

RNG = np.random.default_rng(5)
IMAGE = (1, 5, 4, 2)
SAME, VALID = ("b", 0), ("b", 1)
NONE, RELU, RELU_N1_TO_1, RELU6 = (("b", k) for k in range(4))


def _bytes(*shape):
    return RNG.integers(-127, 128, shape).astype(np.int8)


def _of_image(name, weight, scales, axis, result, options, zero=-7):
    file = TFLiteFile()
    x = file.tensor(IMAGE, 0.05, 9)
    known = [file.constant(weight, scales, axis=axis)] if weight is not None else []
    if known:
        outputs = weight.shape[axis]
        known.append(file.constant(RNG.integers(-900, 900, outputs).astype(np.int32), 0.05 * np.array(scales)))
    kept = (0.05, 9) if not known else (0.09, zero)
    return file, x, file.operator(name, [x, *known], [file.tensor(result, *kept)], options)


def _convolution(padding, result, activation):
    options = {0: padding, 1: ("i", 1), 2: ("i", 2), 3: activation, 4: ("i", 1), 5: ("i", 2)}
    return _of_image("CONV_2D", _bytes(3, 2, 3, 2), [0.01, 0.002, 0.03], 0, (1, *result, 3), options)


def _depthwise(padding, result, activation):
    options = {0: padding, 1: ("i", 2), 2: ("i", 1), 3: ("i", 2), 4: activation, 5: ("i", 2), 6: ("i", 1)}
    return _of_image("DEPTHWISE_CONV_2D", _bytes(1, 3, 2, 4), [0.02, 0.01, 0.003, 0.01], 3, (1, *result, 4), options)


def _average_of_three():
    file = TFLiteFile()
    x = file.tensor((1, 3, 3, 1), 0.05, 9)
    options = {0: VALID, 1: ("i", 1), 2: ("i", 1), 3: ("i", 3), 4: ("i", 1), 5: NONE}
    return file, x, file.operator("AVERAGE_POOL_2D", [x], [file.tensor((1, 3, 1, 1), 0.05, 9)], options)


def _windows(name, padding, result, activation, kernel=(3, 2)):
    options = {0: padding, 1: ("i", 1), 2: ("i", 2), 3: ("i", kernel[1]), 4: ("i", kernel[0]), 5: activation}
    return _of_image(name, None, (), 0, (1, *result, 2), options)


def _dense(scales, activation, before=(1, 3)):
    file = TFLiteFile()
    x = file.tensor(before, 0.05, -20)
    known = [
        file.constant(_bytes(2, int(np.prod(before))), scales),
        file.constant(np.array([300, -70], np.int32), scales),
    ]
    options = {0: activation, 1: ("b", 0)}
    return file, x, file.operator("FULLY_CONNECTED", [x, *known], [file.tensor((1, 2), 0.07, 4)], options)


def _dense_near_a_half(*more):
    """Sums of 129 and -129 are rounded otherwise where scales are multiplied in float32: in some builds, for one scale."""
    file = TFLiteFile()
    x, w = file.tensor((1, 3), 0.9445666, 0), file.constant(_bytes(2, 3), [0.2340162, *more])
    return file, x, file.operator("FULLY_CONNECTED", [x, w], [file.tensor((1, 2), 0.6912645)], {0: NONE, 1: ("b", 0)})


def _dense_of_image():
    return _dense([0.01], NONE, IMAGE)


def _moved(name, before, after, numbers=None, options=None, kind="int32"):
    file = TFLiteFile()
    x = file.tensor(before, 0.05, 9)
    known = [] if numbers is None else [file.constant(np.array(numbers, kind))]
    y = file.operator(name, [x, *known], [file.tensor(after, 0.05, 9)], options)
    # What follows tells where each code went.
    weight = file.constant(_bytes(2, int(np.prod(after))), 0.01)
    return file, x, file.operator("FULLY_CONNECTED", [y, weight], [file.tensor((1, 2), 0.3, 4)], {0: NONE})


def _concatenation(axis, shape, twice=True):
    file = TFLiteFile()
    x = file.tensor(IMAGE, 0.05, 9)
    y = file.operator("RELU", [x], [file.tensor(IMAGE, 0.05, 9)])
    operands = [y, x, y] if twice else [y]
    return file, x, file.operator("CONCATENATION", operands, [file.tensor(shape, 0.05, 9)], {0: ("i", axis)})


def _with_constant(name, constant, number=1, activation=NONE, before=(1, 2, 3)):
    file = TFLiteFile()
    x, c = file.tensor(before, 0.05, 9), file.constant(np.array(constant, np.int8), 0.03, 5)
    operands = [x, c] if number else [c, x]
    return file, x, file.operator(name, operands, [file.tensor(before, 0.08, -3)], {0: activation})


def _of_two(name, activation=NONE, scale=0.08):
    """Of a convolution, channels first, and the input as it is."""
    file, x, y = _of_image(
        "CONV_2D", _bytes(2, 1, 1, 2), [0.01], 0, IMAGE, {0: VALID, 1: ("i", 1), 2: ("i", 1), 3: NONE}
    )
    return file, x, file.operator(name, [y, x], [file.tensor(IMAGE, scale, 12)], {0: activation})


def _alone(name, scale, zero, before=(1, 2, 3)):
    file = TFLiteFile()
    x = file.tensor(before, 0.05, 9)
    return file, x, file.operator(name, [x], [file.tensor(before, scale, zero)])


def _mean(kept):
    file = TFLiteFile()
    x, axes = file.tensor(IMAGE, 0.05, 9), file.constant(np.array([-2, 1], np.int32))
    shape = (1, 1, 1, 2) if kept else (1, 2)
    return file, x, file.operator("MEAN", [x, axes], [file.tensor(shape, 0.02, -4)], {0: ("b", kept)})


def _ends(shape=(1, 4)):
    """Floats outside, codes and a softmax inside."""
    file = TFLiteFile()
    x, q = file.tensor(shape, None, kind="float32"), file.tensor(shape, 0.05, 9)
    file.operator("QUANTIZE", [x], [q])
    y = file.operator("FULLY_CONNECTED", [q, file.constant(_bytes(3, 4), 0.01)], [file.tensor((1, 3), 0.2, 7)])
    z = file.operator("SOFTMAX", [y], [file.tensor((1, 3), 1 / 256, -128)], {0: ("f", 1.0)})
    return file, x, file.operator("DEQUANTIZE", [z], [file.tensor((1, 3), None, kind="float32")])


FIXED = ("tflm", "tflm-single-product")
#: the file, and of which runtimes the first reader or the second refuses it, with what words
FORMS = {
    "convolution, SAME": (lambda: _convolution(SAME, (3, 4), RELU6), {}),
    "convolution, VALID": (lambda: _convolution(VALID, (2, 2), RELU), {}),
    "depthwise, SAME": (lambda: _depthwise(SAME, (5, 2), RELU_N1_TO_1), {}),
    "depthwise, VALID": (lambda: _depthwise(VALID, (3, 1), NONE), {}),
    "average, VALID": (lambda: _windows("AVERAGE_POOL_2D", VALID, (2, 3), RELU), {}),
    "average, SAME": (lambda: _windows("AVERAGE_POOL_2D", SAME, (3, 4), NONE), {}),
    "average, even": (lambda: _windows("AVERAGE_POOL_2D", VALID, (2, 3), NONE, (2, 2)), {}),
    "average, three": (_average_of_three, {}),
    "largest, SAME": (lambda: _windows("MAX_POOL_2D", SAME, (3, 4), NONE), {}),
    "largest, VALID": (lambda: _windows("MAX_POOL_2D", VALID, (2, 3), RELU6), {}),
    "dense": (lambda: _dense([0.01], RELU6), {}),
    "dense, per channel": (lambda: _dense([0.01, 0.02], NONE), {}),
    "dense, a scale near a half": (_dense_near_a_half, {}),
    "dense, scales near a half": (lambda: _dense_near_a_half(0.1), {}),
    "dense of an image": (_dense_of_image, {}),
    "reshape": (lambda: _moved("RESHAPE", IMAGE, (1, 8, 5), [1, -1, 5]), {}),
    "reshape by an option": (lambda: _moved("RESHAPE", (1, 6), (1, 2, 3), None, {0: ("v", [1, 2, 3])}), {}),
    "expanded": (lambda: _moved("EXPAND_DIMS", (1, 2, 3), (1, 2, 1, 3), [-2]), {}),
    "expanded last": (lambda: _moved("EXPAND_DIMS", (1, 2, 3), (1, 2, 3, 1), [-1], kind="int64"), {}),
    "squeezed": (lambda: _moved("SQUEEZE", (1, 2, 3, 1), (1, 2, 3), None, {0: ("v", [3])}), {}),
    "squeezed by an option": (lambda: _moved("SQUEEZE", (1, 2, 1, 3, 1), (1, 2, 1, 3), None, {0: ("v", [-1])}), {}),
    "transposed": (lambda: _moved("TRANSPOSE", IMAGE, (1, 2, 5, 4), [0, 3, 1, 2]), {}),
    "padded": (lambda: _moved("PAD", IMAGE, (1, 7, 7, 3), [[0, 0], [2, 0], [0, 3], [1, 0]]), {}),
    "padded in one axis": (lambda: _moved("PAD", (1, 3), (1, 6), [[0, 0], [1, 2]], kind="int64"), {}),
    "concatenated": (lambda: _concatenation(-1, (1, 5, 4, 6)), {}),
    "concatenated in rows": (lambda: _concatenation(1, (1, 15, 4, 2)), {}),
    "one alone": (lambda: _concatenation(2, IMAGE, twice=False), {}),
    "plus a row": (lambda: _with_constant("ADD", [[[20, -100, 3]]], activation=RELU6), {}),
    "plus a number": (lambda: _with_constant("ADD", 77, 0), {}),
    "less a row": (lambda: _with_constant("SUB", [[[20, -100, 3], [1, 2, 3]]], activation=RELU), {}),
    "a row less it": (lambda: _with_constant("SUB", [20, -100, 3], 0), {}),
    "times a row": (lambda: _with_constant("MUL", [20, 100, 30]), {}),
    "times a negative number": (lambda: _with_constant("MUL", -40, 0, RELU_N1_TO_1), {}),
    "sum": (lambda: _of_two("ADD", RELU6), {}),
    "difference": (lambda: _of_two("SUB", RELU), {}),
    "ReLU": (lambda: _alone("RELU", 0.05, 9), {}),
    "ReLU6": (lambda: _alone("RELU6", 0.05, 9, IMAGE), {}),
    "another scale": (lambda: _alone("QUANTIZE", 0.034, -11), {}),
    "logistic": (
        lambda: _alone("LOGISTIC", 1 / 256, -128),
        dict.fromkeys(FIXED, "LOGISTIC in the fixed-point numbers"),
    ),
    "tanh": (lambda: _alone("TANH", 1 / 128, 0), dict.fromkeys(FIXED, "TANH in the fixed-point numbers")),
    "mean": (lambda: _mean(0), {"xnnpack": "'xnnpack' rounds it is not known"}),
    "mean, kept": (lambda: _mean(1), {"xnnpack": "'xnnpack' rounds it is not known"}),
    "floats outside": (_ends, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_alike(form, tmp_path):
    make, refused = FORMS[form]
    file, start, result = make()
    path = tmp_path / "network.tflite"
    path.write_bytes(file.bytes(start, result))
    for runtime in (*FIXED, "xnnpack", "litert-ref"):
        if runtime in refused:
            with pytest.raises((InputError, CertificateError), match=refused[runtime]):
                confirm(load(path, runtime=runtime))
        else:
            assert "step functions at every threshold" in confirm(load(path, runtime=runtime)), runtime
            _check_ranges(read_tflite(path.read_bytes(), runtime))


def _check_ranges(reading):
    """Ranges of affine maps from their coefficients, one by one; those of maxima are smaller."""
    for part in reading.parts:
        if part.map is None:
            continue
        operands = [reading.parts[i] for i in part.operands]
        zeros = [np.zeros((1, one.size)) for one in operands]
        low = high = offset = part.map(zeros, False)[0]
        for k, one in enumerate(operands):
            each = [np.repeat(zero, one.size, 0) for zero in zeros]
            each[k] = np.eye(one.size)
            factors = part.map(each, False) - offset
            ends = factors * one.low[:, None], factors * one.high[:, None]
            low, high = low + np.minimum(*ends).sum(0), high + np.maximum(*ends).sum(0)
        smaller = len(operands) == 2
        assert np.array_equal(part.low, low) or (smaller and (part.low >= low).all())
        assert np.array_equal(part.high, high) or (smaller and (part.high <= high).all())
