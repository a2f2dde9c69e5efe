"""What the second reader of TensorFlow Lite files makes of single statements and numbers: those that files of whole networks hardly have."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest

import tflite_files
from netproof.certificate.second_reading.reading import Reading, UnknownFormError, stepped
from netproof.certificate.second_reading.tflite import rounding
from netproof.certificate.second_reading.tflite.buffer import Tensor
from netproof.certificate.second_reading.tflite.pointwise import _line
from netproof.certificate.second_reading.tflite.read import _codes, read_tflite
from tflite_files import TFLiteFile

ONE = np.float32(1)
#: -1 to 1
BOUNDED = ("b", 2)


def codes(reading: Reading, x) -> list[int]:
    """The output at an input, by the affine maps and steps of a reading."""
    values = [np.array([x], np.float64)]
    for part in reading.parts[1 : reading.output + 1]:
        operands = [values[i] for i in part.operands]
        if part.map is not None:
            values.append(np.asarray(part.map(operands, False), np.float64))
            continue
        if part.pair is not None:
            first, second = (one[0].astype(int) - low for one, low in zip(operands, part.pair_low, strict=True))
            values.append(part.pair[first, second][None].astype(np.float64))
            continue
        assert part.steps
        blocks = np.split(operands[0], len(part.steps), 1)
        parts = [np.asarray(stepped(one, block), np.float64) for one, block in zip(part.steps, blocks, strict=True)]
        values.append(np.concatenate(parts, 1))
    return values[reading.output][0].astype(int).tolist()


def dense(weight, *, scale=0.01, kind="int8", result=0.1, bias=None, options=None, axis=0, shape=None, **given):
    """A fully connected layer of two inputs of scale 1, and how it is asked for."""
    file = TFLiteFile()
    x = file.tensor((1, 2), 1.0, 0, kind=kind)
    known = [file.constant(np.array(weight), scale, axis=axis)]
    if bias is not None:
        known.append(bias if isinstance(bias, int) else file.constant(*bias))
    y = file.tensor((1, len(weight)) if shape is None else shape, result, 0, kind=kind, **given)
    return file.bytes(x, file.operator("FULLY_CONNECTED", [x, *known], [y], options or {0: ("b", 0), 1: ("b", 0)}))


WEIGHT = np.array([[3, -4], [5, 6]], np.int8)


# -- tables


@pytest.mark.parametrize("kind", ["<f4", "<i4", ""])
def test_other_types_have_no_codes(kind):
    tensor = Tensor((1, 2), kind, np.ones(1, np.float32), (0,), None)
    with pytest.raises(UnknownFormError, match="other codes than those of 8 and 16 bits"):
        assert tensor.ends


def test_the_ends_of_codes():
    for kind, ends in (("<i1", (-128, 127)), ("<u1", (0, 255)), ("<i2", (-32768, 32767))):
        assert Tensor((1, 2), kind, np.ones(1, np.float32), (0,), None).ends == ends


@pytest.mark.parametrize(
    ("shape", "kind", "scales", "zeros"),
    [
        ((2, 2), "<i1", 1, (0,)),
        ((), "<i1", 1, (0,)),
        ((1, 2), "<i1", 2, (0,)),
        ((1, 2), "<i1", 0, ()),
        ((1, 2), "<i1", 1, (0, 0)),
        ((1, 2), "<i1", 1, (128,)),
        ((1, 2), "<u1", 1, (-1,)),
        ((1, 2), "<i2", 1, (1,)),
    ],
)
def test_values_have_one_scale_and_a_zero_point_that_is_a_code(shape, kind, scales, zeros):
    assert _codes(Tensor((1, 2), "<u1", np.ones(1, np.float32), (255,), None)).size == 2
    with pytest.raises(UnknownFormError, match="with one scale, for one input"):
        _codes(Tensor(shape, kind, np.ones(scales, np.float32), zeros, None))


@pytest.mark.parametrize(("offset", "is_read"), [(0, True), (1, True), (2, False), (1 << 40, False)])
def test_constants_behind_the_tables_are_refused(monkeypatch, offset, is_read):
    usual = tflite_files._buffer

    def buffer(b: flatbuffers.Builder, array: object) -> int:
        if array is not None:
            return usual(b, array)
        b.StartObject(2)
        b.PrependUint64Slot(1, offset, None)
        return b.EndObject()

    monkeypatch.setattr(tflite_files, "_buffer", buffer)
    data = dense(WEIGHT)
    if is_read:
        assert codes(read_tflite(data, "tflm"), [10, 10]) == [-1, 11]
        return
    with pytest.raises(UnknownFormError, match="constants behind the tables"):
        read_tflite(data, "tflm")


def test_codes_that_are_made_of_another_tensor_than_the_input_are_no_input():
    file = TFLiteFile()
    x, q = file.tensor((1, 2), None, kind="float32"), file.tensor((1, 2), 1.0, 0)
    other = file.constant(np.ones((1, 2), np.float32))
    file.operator("QUANTIZE", [other], [q])
    y = file.operator("FULLY_CONNECTED", [q, file.constant(WEIGHT, 0.01)], [file.tensor((1, 2), 0.1)])
    with pytest.raises(UnknownFormError, match="other codes than"):
        read_tflite(file.bytes(x, y), "tflm")
    file.operators[0] = ("QUANTIZE", [x], [q], {})
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [10, 10]) == [-1, 11]


def test_shapes_that_are_asked_for_by_no_options(monkeypatch):
    for name in ("RESHAPE", "SQUEEZE"):
        monkeypatch.delitem(tflite_files.OPTIONS, name)
        file = TFLiteFile()
        x = file.tensor((1, 2, 1), 0.1, 3)
        y = file.operator(name, [x], [file.tensor((1, 2, 1), 0.1, 3)])
        with pytest.raises(UnknownFormError, match=f"{name} with another shape"):
            read_tflite(file.bytes(x, y), "tflm")


def test_a_shape_of_another_size():
    file = TFLiteFile()
    x, shape = file.tensor((1, 6), 0.1, 3), file.constant(np.array([1, 2, 4], np.int32))
    y = file.operator("RESHAPE", [x, shape], [file.tensor((1, 2, 4), 0.1, 3)])
    with pytest.raises(UnknownFormError, match="RESHAPE with another shape"):
        read_tflite(file.bytes(x, y), "tflm")


def test_what_follows_a_softmax_is_looked_at():
    file = TFLiteFile()
    x, y, z = file.tensor((1, 2), 1.0, 0), file.tensor((1, 2), 0.1, 0), file.tensor((1, 2), 1 / 256, -128)
    file.operator("FULLY_CONNECTED", [x, file.constant(WEIGHT, 0.01)], [y])
    file.operator("SOFTMAX", [y], [z], {0: ("f", 1.0)})
    assert codes(read_tflite(file.bytes(x, z), "tflm"), [10, 10]) == [-1, 11]
    file.operator("RELU", [y], [file.tensor((1, 3), 0.1, 0)])
    with pytest.raises(UnknownFormError, match="RELU with another shape"):
        read_tflite(file.bytes(x, z), "tflm")


def test_the_largest_of_two_is_compared_over_all_that_they_can_be():
    file = TFLiteFile()
    x = file.tensor((1, 2, 1, 1), 1.0, 0)
    options = {0: ("b", 1), 1: ("i", 1), 2: ("i", 2), 3: ("i", 1), 4: ("i", 2), 5: ("b", 0)}
    y = file.operator("MAX_POOL_2D", [x], [file.tensor((1, 1, 1, 1), 1.0, 0)], options)
    reading = read_tflite(file.bytes(x, y), "tflm")
    assert codes(reading, [-5, 7]) == codes(reading, [7, -5]) == [7]
    (rise,) = (reading.parts[part.operands[0]] for part in reading.parts if part.steps)
    assert rise.low.tolist() == [-255.0] and rise.high.tolist() == [255.0]


@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_places_of_windows_lie_apart_along_either_axis(name):
    for shape, kernel, apart in (((3, 1), (2, 1), (2, 1)), ((1, 3), (1, 2), (1, 2))):
        file = TFLiteFile()
        x = file.tensor((1, *shape, 1), 1.0, 0)
        weight = file.constant(np.array([1, 10], np.int8).reshape(1, *kernel, 1), 1.0)
        options = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1)}
        if name == "CONV_2D":
            options |= {3: ("b", 0), 4: ("i", apart[1]), 5: ("i", apart[0])}
        else:
            options |= {3: ("i", 1), 4: ("b", 0), 5: ("i", apart[1]), 6: ("i", apart[0])}
        y = file.operator(name, [x, weight], [file.tensor((1, 1, 1, 1), 1.0, 0)], options)
        assert codes(read_tflite(file.bytes(x, y), "tflm"), [3, 5, -7]) == [-67]


def test_weights_are_constants_of_the_value_s_type():
    for kind, other in (("int8", "uint8"), ("uint8", "int8")):
        for what in ("nothing", "computed", "another type"):
            file = TFLiteFile()
            x = file.tensor((1, 2), 1.0, 0, kind=kind)
            weight = -1
            if what == "computed":
                weight = file.operator("RELU", [x], [file.tensor((1, 2), 1.0, 0, kind=kind)])
            elif what == "another type":
                weight = file.constant(np.abs(WEIGHT).astype(other), 0.01)
            y = file.tensor((1, 1 if what == "computed" else 2), 0.1, 0, kind=kind)
            file.operator("FULLY_CONNECTED", [x, weight], [y], {0: ("b", 0), 1: ("b", 0)})
            with pytest.raises(UnknownFormError, match="operand 1 of FULLY_CONNECTED"):
                read_tflite(file.bytes(x, y), "tflm")


# -- two values


@pytest.mark.parametrize(("name", "result"), [("ADD", [4, 8, 12, 16]), ("SUB", [2, 4, 6, 8])])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_values_that_lie_in_other_orders_are_put_together(name, result, turned, kind):
    """Three times an image, channels first, and the image itself."""
    file = TFLiteFile()
    x = file.tensor((1, 1, 2, 2), 1.0, 0, kind=kind)
    operands = [x, file.constant((3 * np.eye(2)).astype(np.int8).reshape(2, 1, 1, 2), 1.0)]
    if kind == "int16":
        operands.append(file.constant(np.zeros(2, np.int64)))
    options = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1), 3: ("b", 0)}
    y = file.operator("CONV_2D", operands, [file.tensor((1, 1, 2, 2), 1.0, 0, kind=kind)], options)
    z = file.tensor((1, 1, 2, 2), 1.0, 0, kind=kind)
    file.operator(name, [x, y] if turned else [y, x], [z], {0: ("b", 0), 1: ("B", 1)})
    sign = -1 if turned and name == "SUB" else 1
    assert codes(read_tflite(file.bytes(x, z), "tflm"), [1, 2, 3, 4]) == [sign * number for number in result]


def test_rows_that_fall_and_that_rise():
    file = TFLiteFile()
    x, row = file.tensor((1, 2), 1.0, 0), file.constant(np.array([[-2, 0]], np.int8), 1.0)
    y = file.operator("MUL", [x, row], [file.tensor((1, 2), 1.0, 0)], {0: ("b", 0)})
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [5, 6]) == [-10, 0]
    file.tensors[row]["data"] = np.array([[-2, 1]], np.int8)
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [5, 6]) == [-10, 6]


def test_operators_are_known_by_the_newer_of_their_numbers(monkeypatch):
    def code(b: flatbuffers.Builder, name: str) -> int:
        return tflite_files._table(b, {3: ("i", tflite_files.CODES[name])})

    monkeypatch.setattr(TFLiteFile, "_code", staticmethod(code))
    assert codes(read_tflite(dense(WEIGHT), "tflm"), [10, 10]) == [-1, 11]


def test_floats_that_no_dequantize_gives_are_no_end():
    file = TFLiteFile()
    x, y = file.tensor((1, 2), 1.0, 0), file.tensor((1, 2), 0.1, 0)
    file.operator("FULLY_CONNECTED", [x, file.constant(WEIGHT, 0.01)], [y])
    z = file.operator("RELU", [y], [file.tensor((1, 2), None, kind="float32")])
    with pytest.raises(UnknownFormError, match="other codes than"):
        read_tflite(file.bytes(x, z), "tflm")


def test_zero_points_that_are_not_stated_are_0():
    file = TFLiteFile()
    x, weight = file.tensor((1, 2), 1.0, []), file.constant(WEIGHT, [0.01, 0.02], [])
    y = file.operator("FULLY_CONNECTED", [x, weight], [file.tensor((1, 2), 0.1, [])], {0: ("b", 0), 1: ("b", 0)})
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [10, 10]) == [-1, 22]
    file.tensors[weight]["zero"] = [0, 5]
    with pytest.raises(UnknownFormError, match="operand 1 of FULLY_CONNECTED"):
        read_tflite(file.bytes(x, y), "tflm")


def test_an_extent_that_is_left_open():
    file = TFLiteFile()
    x, shape = file.tensor((1, 2, 3), 1.0, 0), file.constant(np.array([1, -1], np.int32))
    y = file.operator("RESHAPE", [x, shape], [file.tensor((1, 6), 1.0, 0)])
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [1, 2, 3, 4, 5, 6]) == [1, 2, 3, 4, 5, 6]


def test_an_input_is_no_constant():
    file = TFLiteFile()
    x = file.constant(np.ones((1, 2), np.int8), 1.0)
    y = file.operator("RELU", [x], [file.tensor((1, 2), 1.0, 0)])
    with pytest.raises(UnknownFormError, match="an input that is a constant"):
        read_tflite(file.bytes(x, y), "tflm")


@pytest.mark.parametrize("zero", [5, -9])
def test_a_relu6_by_itself_ends_at_6(zero):
    file = TFLiteFile()
    x = file.tensor((1, 3), 0.1, zero)
    y = file.operator("RELU6", [x], [file.tensor((1, 3), 0.1, zero)])
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [127, -128, zero + 7]) == [zero + 60, zero, zero + 7]


@pytest.mark.parametrize("row", [[1, 1, 1, 2], [1, 1, 1, 2, 2, 2], [1, 1, 2, 2], [1, 2, 1, 2], [3, 3, 3, 3], [1, 2, 2]])
def test_rows_of_constants_are_added_number_by_number(row):
    file = TFLiteFile()
    x, more = file.tensor((1, len(row)), 1.0, 0), file.constant(np.array([row], np.int8), 1.0)
    y = file.operator("ADD", [x, more], [file.tensor((1, len(row)), 1.0, 0)], {0: ("b", 0)})
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [10] * len(row)) == [10 + number for number in row]


def test_two_values_are_not_multiplied():
    file = TFLiteFile()
    x = file.tensor((1, 2), 1.0, 0)
    y = file.operator("RELU", [x], [file.tensor((1, 2), 1.0, 0)])
    z = file.operator("MUL", [x, y], [file.tensor((1, 2), 1.0, 0)], {0: ("b", 0)})
    with pytest.raises(UnknownFormError, match="MUL of two values that are multiplied"):
        read_tflite(file.bytes(x, z), "tflm")


def test_the_first_tensor_of_a_file_may_be_a_bias():
    for scale, is_taken in ((0.01, True), (None, False)):
        file = TFLiteFile()
        bias, x = file.constant(BIAS[0], scale), file.tensor((1, 2), 1.0, 0)
        operands = [x, file.constant(WEIGHT, 0.01), bias]
        y = file.operator("FULLY_CONNECTED", operands, [file.tensor((1, 2), 0.1, 0)], {0: ("b", 0), 1: ("b", 0)})
        if is_taken:
            assert codes(read_tflite(file.bytes(x, y), "xnnpack"), [10, 10]) == [9, 1]
            continue
        with pytest.raises(UnknownFormError, match="with a bias that has no scale"):
            read_tflite(file.bytes(x, y), "xnnpack")


def test_convolutions_are_taken_in_any_version(monkeypatch):
    monkeypatch.setitem(tflite_files.VERSIONS, "CONV_2D", 8)
    file = TFLiteFile()
    x, weight = file.tensor((1, 1, 1, 2), 1.0, 0), file.constant(WEIGHT.reshape(2, 1, 1, 2), 0.01)
    options = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1), 3: ("b", 0)}
    y = file.operator("CONV_2D", [x, weight], [file.tensor((1, 1, 1, 2), 0.1, 0)], options)
    assert codes(read_tflite(file.bytes(x, y), "xnnpack"), [10, 10]) == [-1, 11]


def test_a_constant_for_one_number():
    file = TFLiteFile()
    x, one = file.tensor((1, 1), 1.0, 0), file.constant(np.array([[7]], np.int8), 1.0)
    y = file.operator("ADD", [x, one], [file.tensor((1, 1), 1.0, 0)], {0: ("b", 0)})
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [5]) == [12]


def test_codes_that_stay_codes_are_not_taken_for_floats():
    file = TFLiteFile()
    x, y = file.tensor((1, 2), 1.0, 0), file.tensor((1, 2), 0.1, 0)
    file.operator("FULLY_CONNECTED", [x, file.constant(WEIGHT, 0.01)], [y])
    z = file.operator("DEQUANTIZE", [y], [file.tensor((1, 2), 0.1, 0)])
    with pytest.raises(UnknownFormError, match="DEQUANTIZE inside a network"):
        read_tflite(file.bytes(x, z), "tflm")
    file.tensors[z] |= {"kind": "float32", "scale": None}
    assert codes(read_tflite(file.bytes(x, z), "tflm"), [10, 10]) == [-1, 11]


@pytest.mark.parametrize("name", ["TRANSPOSE", "PAD"])
@pytest.mark.parametrize("what", ["nothing", "no constant", "another type"])
def test_lists_of_numbers_are_constants(name, what):
    file = TFLiteFile()
    x, numbers = file.tensor((1, 2), 1.0, 0), -1
    if what == "no constant":
        numbers = file.tensor((2,), None, kind="int32")
    elif what == "another type":
        numbers = file.constant(np.array([0, 1], np.int16))
    y = file.operator(name, [x, numbers], [file.tensor((1, 2), 1.0, 0)])
    with pytest.raises(UnknownFormError, match=f"operand 1 of {name}"):
        read_tflite(file.bytes(x, y), "tflm")


def test_one_value_is_put_beside_nothing_along_any_axis():
    for axis in (0, 1, -1, -2):
        file = TFLiteFile()
        x = file.tensor((1, 2), 1.0, 0)
        y = file.operator("CONCATENATION", [x], [file.tensor((1, 2), 1.0, 0)], {0: ("i", axis), 1: ("b", 0)})
        assert codes(read_tflite(file.bytes(x, y), "tflm"), [5, 6]) == [5, 6]


def test_zeros_around_what_is_no_image():
    file = TFLiteFile()
    x, widths = file.tensor((1, 1, 2, 1, 1), 0.1, 3), np.array([[0, 0], [0, 0], [1, 0], [0, 1], [0, 0]], np.int32)
    y = file.operator("PAD", [x, file.constant(widths)], [file.tensor((1, 1, 3, 2, 1), 0.1, 3)])
    assert codes(read_tflite(file.bytes(x, y), "tflm"), [10, 20]) == [3, 3, 10, 3, 20, 3]


# -- what the delegate takes


BIAS = (np.array([100, -100], np.int32), 0.01)


def test_a_bias_has_a_scale_and_one_axis():
    taken = dense(WEIGHT, bias=BIAS)
    assert codes(read_tflite(taken, "xnnpack"), [10, 10]) == [9, 1]
    # One that is left out is none.
    assert codes(read_tflite(dense(WEIGHT, bias=-1), "xnnpack"), [10, 10]) == [-1, 11]
    for bias in ((BIAS[0],), (BIAS[0][None], 0.01)):
        with pytest.raises(UnknownFormError, match="with a bias that has no scale, or more than one axis"):
            read_tflite(dense(WEIGHT, bias=bias), "xnnpack")
        assert codes(read_tflite(dense(WEIGHT, bias=bias), "tflm"), [10, 10]) == [9, 1]


def test_scales_along_another_axis_are_those_of_weights_with_a_sign():
    assert codes(read_tflite(dense(WEIGHT, axis=1), "xnnpack"), [10, 10]) == [-1, 11]
    data = dense(WEIGHT.astype(np.uint8), kind="uint8", axis=1)
    with pytest.raises(UnknownFormError, match="as the delegate does not take it"):
        read_tflite(data, "xnnpack")
    with pytest.raises(UnknownFormError, match="as the delegate does not take it"):
        read_tflite(_along_axis_of_the_result(), "xnnpack")


def _along_axis_of_the_result() -> bytes:
    file = TFLiteFile()
    x = file.tensor((1, 2), 1.0, 0)
    y = file.tensor((1, 2), 0.1, 0, axis=1)
    return file.bytes(x, file.operator("FULLY_CONNECTED", [x, file.constant(WEIGHT, 0.01)], [y], {0: ("b", 0)}))


@pytest.mark.parametrize(("version", "is_taken"), [(4, True), (7, True), (8, False), (9, True)])
def test_a_version_of_dense_layers_is_not_taken(monkeypatch, version, is_taken):
    monkeypatch.setitem(tflite_files.VERSIONS, "FULLY_CONNECTED", version)
    if is_taken:
        assert codes(read_tflite(dense(WEIGHT), "xnnpack"), [10, 10]) == [-1, 11]
        return
    with pytest.raises(UnknownFormError, match="as the delegate does not take it"):
        read_tflite(dense(WEIGHT), "xnnpack")
    assert read_tflite(dense(WEIGHT), "litert-ref").parts


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack", "litert-ref", "tflm-single-product"])
def test_ends_of_activations_that_are_half_a_code(runtime):
    """1 is two codes and a half: XNNPACK rounds to the even one, everything else away from 0."""
    assert np.float32(1) / np.float32(0.4) == 2.5
    data = dense(WEIGHT, scale=1.0, result=0.4, options={0: BOUNDED, 1: ("b", 0)})
    end = 2 if runtime == "xnnpack" else 3
    assert codes(read_tflite(data, runtime), [100, -100]) == [end, -end]
    file = TFLiteFile()
    x = file.tensor((1, 2, 2, 1), 0.4, 0)
    for stride, largest in ((2, end), (3, 3)):
        # Windows that lie apart are clamped by the library itself.
        options = {0: ("b", 0), 1: ("i", stride), 2: ("i", stride), 3: ("i", 2), 4: ("i", 2), 5: BOUNDED}
        y = file.operator("MAX_POOL_2D", [x], [file.tensor((1, 1, 1, 1), 0.4, 0)], options)
        reading = read_tflite(file.bytes(x, y), runtime)
        assert codes(reading, [1, 100, -7, 2]) == [largest] and codes(reading, [-9, -8, -7, -6]) == [-largest]
        file.operators.clear()


# -- codes of 16 bits


def test_products_of_16_bits_have_multipliers_of_15():
    # 0.3 is 19661 / 2^16, and a little less.
    data = dense(np.array([[1, 0]], np.int8), scale=0.3, kind="int16", result=1.0, bias=(np.zeros(1, np.int64),))
    reading = read_tflite(data, "tflm")
    for value in (30000, 30001, -30000, 32767, 1, 2, -2, 5):
        assert codes(reading, [value, 0]) == [(value * 19661 + (1 << 15)) >> 16]
    assert (32767 * 19661 + (1 << 15)) >> 16 == 9830 and codes(reading, [-32768, 0]) == [-9830]


def test_a_multiplier_that_comes_to_2_to_the_15th_stays_below():
    near = np.float32(1 - 2.0**-20)
    one = rounding.of_wide_product("tflm", False, False, ONE, near, ONE)
    assert [one(value) for value in (32768, -32768, 16384, 16383)] == [32767, -32767, 16384, 16383]
    half = rounding.of_wide_product("tflm", False, False, ONE, np.float32(0.5), ONE)
    assert [half(value) for value in (-3, -1, 1, 3)] == [-1, 0, 1, 2]


def test_dense_layers_of_16_bits_have_a_bias():
    with pytest.raises(UnknownFormError, match="operand 2 of FULLY_CONNECTED"):
        read_tflite(dense(WEIGHT, kind="int16"), "tflm")


def test_multipliers_of_16_bits_are_of_all_three_scales():
    # 0.6 of 2^15 is 19660.8; where a fully connected layer is computed in float64 it stays 0.6.
    scales = np.float32(0.5), np.float32(0.3), np.float32(0.25)
    for runtime in ("tflm", "tflm-single-product", "litert-ref"):
        for is_dense in (False, True):
            one = rounding.of_wide_product(runtime, is_dense, False, *scales)
            is_exact = is_dense and runtime == "litert-ref"
            assert one(30000) == (18000 if is_exact else (30000 * 19661 + (1 << 14)) >> 15) and one(-5) == -3
            assert (30000 * 19661 + (1 << 14)) >> 15 == 18000
            assert one(1 << 20) == (629146 if is_exact else 629152)


def test_sums_of_16_bits_are_of_halves_of_both():
    first, second, last = rounding.of_wide_sum("tflm", ONE, np.float32(0.5), ONE, True)
    # In parts of twice the larger scale, 2^15 times finer.
    assert (first(4), second(4), first(-6)) == (65536, 32768, -98304)
    assert (last(65536 + 32768), last(-98304)) == (6, -6)


def test_rising_functions_are_lines_and_what_is_left():
    assert _line(lambda code: 2 * code + 7, (-3, 3)) == (2, 7, None)
    for one in (lambda code: 3 * code + (code > 0), lambda code: (5 * code) // 2, lambda code: code + (code + 3) // 2):
        slope, _, rest = _line(one, (-3, 3))
        assert rest is not None
        wholes = np.arange(-3, 4).astype(object)
        left = rest(wholes).tolist()
        assert [slope * code + more for code, more in zip(range(-3, 4), left, strict=True)] == [
            one(c) for c in range(-3, 4)
        ]
        assert left == sorted(left)


@pytest.mark.parametrize("name", ["ADD", "SUB"])
def test_scales_that_are_powers_of_two_have_to_be_said_not_to_be_taken_for_such(name):
    # The library shifts then, unless the file says that it does not.
    file = TFLiteFile()
    x = file.tensor((1, 2), 1.0, 0, kind="int16")
    known = [file.constant(WEIGHT, 1.0), file.constant(np.zeros(2, np.int64))]
    y = file.operator(
        "FULLY_CONNECTED", [x, *known], [file.tensor((1, 2), 1.0, 0, kind="int16")], {0: ("b", 0), 1: ("b", 0)}
    )
    z = file.operator(name, [y, x], [file.tensor((1, 2), 2.0, 0, kind="int16")])
    sign = 1 if name == "ADD" else -1
    for options, is_read in (({1: ("B", 0)}, True), ({1: ("B", 1)}, False), ({}, False)):
        file.operators[-1] = (name, [y, x], [z], {0: ("b", 0), **options})
        data = file.bytes(x, z)
        assert codes(read_tflite(data, "tflm"), [40, 20]) == [(40 + sign * 40) // 2, (320 + sign * 20) // 2]
        if is_read:
            assert codes(read_tflite(data, "litert-ref"), [40, 20]) == codes(read_tflite(data, "tflm"), [40, 20])
            continue
        with pytest.raises(UnknownFormError, match="whose scales are powers of two"):
            read_tflite(data, "litert-ref")


def test_operators_of_16_bits_are_known_by_name_and_runtime():
    with pytest.raises(UnknownFormError, match="FULLY_CONNECTED of codes of 16 bits for 'xnnpack'"):
        read_tflite(dense(WEIGHT, kind="int16", bias=(np.zeros(2, np.int64), 0.01)), "xnnpack")
    file = TFLiteFile()
    x = file.tensor((1, 2), 1.0, 0, kind="int16")
    y = file.operator("TANH", [x], [file.tensor((1, 2), 2.0**-15, 0, kind="int16")])
    with pytest.raises(UnknownFormError, match="TANH of codes of 16 bits for 'litert-ref'"):
        read_tflite(file.bytes(x, y), "litert-ref")


@pytest.mark.parametrize("name", ["ADD", "SUB"])
def test_two_values_of_16_bits_have_one_shape(name):
    file = TFLiteFile()
    x = file.tensor((1, 4), 0.3, 0, kind="int16")
    shape = file.constant(np.array([1, 1, 4], np.int32))
    y = file.operator("RESHAPE", [x, shape], [file.tensor((1, 1, 4), 0.3, 0, kind="int16")])
    z = file.operator("RELU", [x], [file.tensor((1, 4), 0.3, 0, kind="int16")])
    for operands in ([y, z], [z, y]):
        result = file.tensor((1, 1, 4), 0.7, 0, kind="int16")
        total = file.operator(name, operands, [result], {0: ("b", 0), 1: ("B", 0)})
        with pytest.raises(UnknownFormError, match=f"{name} of two shapes"):
            read_tflite(file.bytes(x, total), "tflm")
        file.operators.pop()


# -- rounding


def test_the_larger_multiplier_of_a_sum_has_21_bits():
    large, small = np.float32(1.6), np.float32(np.float32(1) / np.float32(30))
    # 1.6 and 1/30 times 2^20, and a half of it.
    for a, b in ((-127, 111), (-128, -111), (100, 100)):
        expected = (1677722 * a + 34953 * b + (1 << 19)) >> 20
        assert rounding.of_sum("xnnpack", large, small, ONE)(a, b) == expected
        assert rounding.of_sum("xnnpack", small, large, ONE)(b, a) == expected
    assert (
        rounding.of_difference("xnnpack", large, small, ONE)(-127, -111)
        == (1677722 * -127 + 34953 * 111 + (1 << 19)) >> 20
    )


def test_the_second_value_of_a_difference_is_rounded_as_it_is():
    # 2^19 + 2 1/2 goes up and is halved to 2^18 + 2, its negative goes up as well, and is halved to -2^18 - 1.
    second = np.float32((2**20 + 5) / 2**21)
    assert rounding.of_difference("tflm", ONE, second, ONE)(1, 1) == 0
    assert rounding.of_sum("tflm", ONE, second, ONE)(1, -1) == 1


def test_logistic_functions_of_large_numbers():
    of = rounding.of_curve("litert-ref", "LOGISTIC", np.float32(10))
    assert [of(code) for code in (127, 1, -1, -128)] == [256, 256, 0, 0]
    fine = rounding.of_curve("litert-ref", "LOGISTIC", np.float32(1 / 16))
    # 256 / (1 + e^-2), and what is left of 256.
    assert [fine(code) for code in (32, -32, 16, -16)] == [225, 31, 187, 69]
    tanh = rounding.of_curve("xnnpack", "TANH", np.float32(1 / 16))
    assert [tanh(code) for code in (16, -16, 8)] == [97, -97, 59]


@pytest.mark.parametrize("runtime", ["tflm", "tflm-single-product"])
def test_curves_in_fixed_point_are_not_known(runtime):
    with pytest.raises(UnknownFormError, match="in the fixed-point numbers"):
        rounding.of_curve(runtime, "TANH", ONE)


def test_means_are_divided_before_they_are_rounded():
    # A twelfth of 6 and of 18 are halves, which go away from 0.
    of = rounding.of_mean("tflm", 4, np.float32(1), np.float32(3))
    assert [of(total) for total in (18, 6, -6, -18, 17, 19)] == [2, 1, -1, -2, 1, 2]
    with pytest.raises(UnknownFormError, match="a mean as 'xnnpack' computes it"):
        rounding.of_mean("xnnpack", 4, ONE, ONE)


def test_other_runtimes_are_not_known():
    for rule in (rounding.of_product, rounding.of_wide_product):
        with pytest.raises(UnknownFormError, match="'fast'"):
            rule("fast", True, False, ONE, ONE, ONE)
    with pytest.raises(UnknownFormError, match="'xnnpack'"):
        rounding.of_wide_product("xnnpack", True, False, ONE, ONE, ONE)
