"""Single statements of TensorFlow Lite files that the second reader has to refuse, whatever the first one says."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tflite_files
from netproof.certificate.second_reading.reading import UnknownFormError
from netproof.certificate.second_reading.tflite import rounding
from netproof.certificate.second_reading.tflite.read import read_tflite
from tflite_files import TFLiteFile

IMAGE = (1, 4, 4, 2)
WINDOW = {0: ("b", 1), 1: ("i", 2), 2: ("i", 2), 3: ("i", 2), 4: ("i", 2), 5: ("b", 0)}


def _whole(numbers, kind="int32"):
    return np.array(numbers, kind)


def _read(name, before, after, constants=(), options=None, *, scale=0.1, zero=3, kind="int8"):
    file = TFLiteFile()
    start = file.tensor(before, 0.1, 3)
    known = [file.constant(array, size) for array, size in constants]
    result = file.tensor(after, scale, zero, kind=kind)
    file.operator(name, [start, *known], [result], options)
    return read_tflite(file.bytes(start, result), "tflm")


AXES, WIDTHS = [(_whole([1, 2]), None)], [(_whole([[0, 0], [1, 1], [1, 1], [0, 0]]), None)]
TURN = [(_whole([0, 2, 1]), None)]
WEIGHT = (np.ones((2, 3), np.int8), 0.01)
BIAS = (_whole([1, 2]), 0.001)
KERNEL = (np.ones((3, 2, 2, 2), np.int8), 0.01)
APART = {0: ("b", 1), 1: ("i", 2), 2: ("i", 2), 3: ("i", 2), 4: ("b", 0)}
SUMMAND = [(np.ones((1, 4), np.int8), 0.1)]
RIGHT = {
    "RESHAPE": ((1, 6), (1, 2, 3), [(_whole([1, 2, 3]), None)], None),
    "EXPAND_DIMS": ((1, 6), (1, 1, 6), [(_whole([1]), None)], None),
    "TRANSPOSE": ((1, 2, 3), (1, 3, 2), TURN, None),
    "PAD": (IMAGE, (1, 6, 6, 2), WIDTHS, None),
    "CONCATENATION": ((1, 4), (1, 4), (), {0: ("i", -1), 1: ("b", 0)}),
    "MAX_POOL_2D": (IMAGE, (1, 2, 2, 2), (), WINDOW),
    "AVERAGE_POOL_2D": (IMAGE, (1, 2, 2, 2), (), WINDOW),
    "MEAN": (IMAGE, (1, 2), AXES, None),
    "ADD": ((1, 4), (1, 4), SUMMAND, {0: ("b", 0)}),
    "RELU": ((1, 4), (1, 4), (), None),
    "FULLY_CONNECTED": ((1, 3), (1, 2), [WEIGHT, BIAS], {0: ("b", 0), 1: ("b", 0)}),
    "SQUEEZE": ((1, 2, 3, 1), (1, 2, 3), [], {0: ("v", [-1])}),
    "QUANTIZE": ((1, 4), (1, 4), [], None),
    "DEPTHWISE_CONV_2D": (IMAGE, (1, 2, 2, 4), [(np.ones((1, 2, 2, 4), np.int8), 0.01)], APART),
    "CONV_2D": (IMAGE, (1, 2, 2, 3), [KERNEL], {0: ("b", 1), 1: ("i", 2), 2: ("i", 2), 3: ("b", 0)}),
}
MOVED, OTHER = "a value that is moved to another scale", "with another shape than that of its result"
KEEP = [
    name for name in RIGHT if name not in ("MEAN", "ADD", "FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "QUANTIZE")
]
DAMAGED = [
    *[(name, {"scale": 0.2}, MOVED) for name in KEEP],
    *[(name, {"zero": 4}, MOVED) for name in KEEP],
    *[(name, {"zero": 128}, "not quantized with one scale") for name in RIGHT],
    *[(name, {"kind": "uint8"}, "of a value of another type") for name in RIGHT if name != "QUANTIZE"],
    *[(name, {"kind": "int16", "zero": 0}, "of a value of another type") for name in RIGHT if name != "QUANTIZE"],
    ("RESHAPE", {1: (1, 3, 2)}, OTHER),
    ("RESHAPE", {1: (1, 2, 4)}, OTHER),
    ("RESHAPE", {2: [(np.ones(3, np.int8), None)]}, "operand 1 of RESHAPE"),
    ("EXPAND_DIMS", {2: [(_whole([2]), None)]}, OTHER),
    ("TRANSPOSE", {1: (1, 2, 3)}, OTHER),
    ("PAD", {1: (1, 6, 5, 2)}, OTHER),
    ("PAD", {2: [*WIDTHS, *WIDTHS]}, "PAD of 3 operands"),
    ("PAD", {2: [(-WIDTHS[0][0], None)]}, "paddings of another form"),
    ("PAD", {2: [(WIDTHS[0][0][1:], None)]}, "paddings of another form"),
    ("CONCATENATION", {1: (1, 5)}, OTHER),
    ("CONCATENATION", {3: {0: ("i", 1), 1: ("b", 1)}}, "a CONCATENATION with an activation"),
    ("MAX_POOL_2D", {1: (1, 2, 3, 2)}, OTHER),
    ("MAX_POOL_2D", {3: {**WINDOW, 0: ("b", 2)}}, "padding 2"),
    ("MAX_POOL_2D", {3: {**WINDOW, 5: ("b", 4)}}, "activation 4"),
    ("AVERAGE_POOL_2D", {3: {**WINDOW, 5: ("b", 4)}}, "activation 4"),
    ("MEAN", {2: [(_whole([1, 3]), None)]}, "a mean over other axes"),
    ("MEAN", {1: (1, 3)}, OTHER),
    ("MEAN", {1: (1, 1, 1, 2)}, OTHER),
    ("MEAN", {1: (1, 2), 3: {0: ("b", 1)}}, OTHER),
    ("MEAN", {2: [(_whole([1, 2], "int64"), None)]}, "operand 1 of MEAN"),
    ("ADD", {2: SUMMAND * 2}, "ADD of 3 operands"),
    ("ADD", {2: []}, "tensors that are not two"),
    ("ADD", {2: [(SUMMAND[0][0], [0.1, 0.2])]}, "tensors that are not two"),
    ("ADD", {2: [(_whole([[1] * 4]), 0.1)]}, "a constant of ADD"),
    ("ADD", {1: (1, 5)}, "a constant of ADD"),
    ("FULLY_CONNECTED", {3: {0: ("b", 0), 1: ("b", 1)}}, "shuffled weights"),
    ("FULLY_CONNECTED", {2: [WEIGHT, (np.ones(2, np.int64), 0.001)]}, "operand 2 of FULLY_CONNECTED"),
    ("FULLY_CONNECTED", {2: [(_whole(WEIGHT[0]), 0.01)]}, "operand 1 of FULLY_CONNECTED"),
    ("FULLY_CONNECTED", {2: [(WEIGHT[0], [0.1] * 3)]}, "3 scales of 2 outputs"),
    ("FULLY_CONNECTED", {0: (1, 2)}, "several rows"),
    ("FULLY_CONNECTED", {0: (1, 4)}, "several rows"),
    ("FULLY_CONNECTED", {1: (1, 3)}, "several rows"),
    ("FULLY_CONNECTED", {1: (1, 2, 1)}, "several rows"),
    ("FULLY_CONNECTED", {2: [WEIGHT, BIAS, BIAS]}, "of 4 operands"),
    ("FULLY_CONNECTED", {2: [(np.ones((2, 3, 1), np.int8), 0.01)]}, "weights of 3 axes"),
    ("SQUEEZE", {3: {0: ("v", [0, 1])}}, "a SQUEEZE of an axis of several places"),
    ("SQUEEZE", {3: {0: ("v", [0])}}, OTHER),
    ("SQUEEZE", {3: None, 0: (1, 6, 1)}, OTHER),
    ("SQUEEZE", {1: (1, 3, 2)}, OTHER),
    ("SQUEEZE", {2: TURN}, "SQUEEZE of 2 operands"),
    ("DEPTHWISE_CONV_2D", {1: (1, 2, 3, 4)}, OTHER),
    ("DEPTHWISE_CONV_2D", {3: {**APART, 3: ("i", 1)}}, "4 outputs, 1 of each of 2 channels"),
    ("DEPTHWISE_CONV_2D", {2: [(np.ones((2, 2, 2, 4), np.int8), 0.01)]}, "4 outputs, 2 of each of 2 channels"),
    ("DEPTHWISE_CONV_2D", {2: [(np.ones((1, 2, 2, 4), np.int8), [0.01] * 4)]}, "4 scales of 4 outputs along axis 0"),
    ("DEPTHWISE_CONV_2D", {3: {**APART, 1: ("i", 0)}}, "a window of"),
    ("AVERAGE_POOL_2D", {1: (1, 2, 3, 2)}, OTHER),
    ("AVERAGE_POOL_2D", {3: {**WINDOW, 3: ("i", 0)}}, "a window of"),
    ("CONV_2D", {1: (1, 3, 2, 3)}, OTHER),
    ("CONV_2D", {1: (1, 2, 3, 2)}, OTHER),
    ("CONV_2D", {3: {0: ("b", 1), 1: ("i", 2), 2: ("i", 2), 4: ("i", 0)}}, "a window of"),
    ("QUANTIZE", {1: (1, 5)}, OTHER),
    ("RELU", {1: (1, 2, 2)}, OTHER),
    ("CONV_2D", {2: [(KERNEL[0][..., :1], 0.01)]}, "a convolution in groups"),
    ("CONV_2D", {2: [(KERNEL[0], [0.01] * 2)]}, "2 scales of 3 outputs"),
]


MOST = dict.fromkeys(("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"), 3)
MOST |= dict.fromkeys(("RESHAPE", "EXPAND_DIMS", "TRANSPOSE", "PAD", "MEAN", "ADD", "SUB", "MUL"), 2)
MOST |= dict.fromkeys(("SQUEEZE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU", "RELU6", "QUANTIZE", "LOGISTIC", "TANH"), 1)


@pytest.mark.parametrize("name", list(MOST))
def test_an_operand_too_many_is_refused(name):
    before, after, known, options = RIGHT.get(name, ((1, 4), (1, 4), (), None))
    with pytest.raises(UnknownFormError, match=f"{name} of {MOST[name] + 1} operands"):
        _read(name, before, after, [*known, *SUMMAND * 3][: MOST[name]], options)


@pytest.mark.parametrize("name", list(RIGHT))
def test_right_files_are_read(name):
    assert _read(name, *RIGHT[name]).parts


@pytest.mark.parametrize("name, change, sentence", DAMAGED)
def test_every_statement_that_is_damaged_is_refused(name, change, sentence):
    stated = [change.get(k, part) for k, part in enumerate(RIGHT[name])]
    with pytest.raises(UnknownFormError, match=sentence):
        _read(name, *stated, **{key: value for key, value in change.items() if isinstance(key, str)})


WHOLE = {
    "given twice": "a tensor that two operators give",
    "softmax, then something else": "a tensor that two operators give",
    "given input": "or that is the input",
    "given constant": "or a constant besides",
    "rows": "a SOFTMAX of several rows",
    "options": "FULLY_CONNECTED with the options of another",
    "version": "another version of the schema",
    "variable": "a variable, sparse",
    "sparse": "a variable, sparse",
    "details": "quantized in a way of its own",
    "two rows": "with one scale, for one input",
    "no axes": "with one scale, for one input",
    "softmax inside": "SOFTMAX inside a network",
    "narrow": "a FULLY_CONNECTED of several rows",
}


@pytest.mark.parametrize("change", WHOLE)
def test_files_that_are_damaged_as_a_whole_are_refused(change, monkeypatch):
    file = TFLiteFile()
    shape = (1, 2, 2) if change == "rows" else (1, 4)
    x, y, z = file.tensor(shape, 0.1, 3), file.tensor(shape, 0.1, 3), file.tensor(shape, 1 / 256, -128)
    weight = file.constant(np.ones((4, 4), np.int8), 0.01)
    file.operator("RELU" if change == "rows" else "FULLY_CONNECTED", [x] if change == "rows" else [x, weight], [y])
    file.operator("SOFTMAX", [y], [z], {0: ("f", 1.0)})
    if change == "given twice":
        file.operators.insert(1, ("RELU", [x], [y], {}))
    elif change == "softmax, then something else":
        # LiteRT computes the last operator; the softmax is of no consequence.
        file.operator("FULLY_CONNECTED", [y, weight], [z])
    elif change == "given input":
        file.operators.insert(1, ("RELU", [y], [x], {}))
    elif change == "given constant":
        file.operators.insert(1, ("RELU", [x], [weight], {}))
    elif change == "options":
        monkeypatch.setitem(tflite_files.OPTIONS, "FULLY_CONNECTED", 1)
    elif change in ("variable", "sparse", "details"):
        file.tensors[y][change] = 1
    elif change == "two rows":
        file.tensors[x]["shape"] = (2, 2)
    elif change == "no axes":
        file.tensors[x]["shape"] = ()
    elif change == "softmax inside":
        z = file.operator("FULLY_CONNECTED", [z, weight], [file.tensor(shape, 0.1, 3)])
    elif change == "narrow":
        file.tensors[x]["shape"] = (1, 2)
    elif change == "version":
        file.version = 4
    with pytest.raises(UnknownFormError, match=WHOLE[change]):
        read_tflite(file.bytes(x, z), "tflm")


def test_ties_are_rounded_as_the_runtimes_do():
    half = [np.float32(x) for x in (1, 0.5, 1)]
    sums = (-3, -1, 1, 3, 5)
    assert [rounding.of_product("xnnpack", True, False, *half)(x) for x in sums] == [-2, 0, 0, 2, 2]
    assert [rounding.of_product("litert-ref", True, False, *half)(x) for x in sums] == [-2, -1, 1, 2, 3]
    assert [rounding.of_product("tflm", True, False, *half)(x) for x in sums] == [-1, 0, 1, 2, 3]
    assert [rounding.of_change("xnnpack", half[1], half[0])(x) for x in sums] == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("name, real", [("TANH", math.atanh(0.5 / 128)), ("LOGISTIC", math.log(128.5 / 127.5))])
def test_curves_next_to_a_half_are_refused(name, real):
    of = rounding.of_curve("litert-ref", name, np.float32(real))
    assert of(0) == {"TANH": 0, "LOGISTIC": 128}[name]
    with pytest.raises(UnknownFormError, match=f"{name} next to a half"):
        of(1)


def test_two_values_of_two_shapes_are_not_added():
    file = TFLiteFile()
    x = file.tensor((1, 4), 0.1, 3)
    y = file.operator("RESHAPE", [x, file.constant(_whole([1, 1, 4]))], [file.tensor((1, 1, 4), 0.1, 3)])
    z = file.operator("RELU", [x], [file.tensor((1, 4), 0.1, 3)])
    total = file.operator("ADD", [y, z], [file.tensor((1, 1, 4), 0.2, 3)], {0: ("b", 0)})
    with pytest.raises(UnknownFormError, match="of two shapes"):
        read_tflite(file.bytes(x, total), "tflm")
