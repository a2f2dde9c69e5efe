"""The tables of a TensorFlow Lite file that a second reading needs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import UnknownFormError

#: what is read, by the schema's numbers
_NAMES = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE",
    25: "SOFTMAX", 28: "TANH", 34: "PAD", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 43: "SQUEEZE", 70: "EXPAND_DIMS",
    114: "QUANTIZE",
}  # fmt: skip
#: the options that go with an operator, of those that have any
_OPTIONS = {
    "ADD": 11, "AVERAGE_POOL_2D": 5, "CONCATENATION": 10, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 8,
    "MAX_POOL_2D": 5, "MEAN": 27, "MUL": 21, "RESHAPE": 17, "SOFTMAX": 9, "SQUEEZE": 30, "SUB": 28,
}  # fmt: skip
_VERSION = 3
_KINDS = {0: "<f4", 2: "<i4", 3: "<u1", 4: "<i8", 7: "<i2", 9: "<i1"}
#: the least and the largest code of the types that values have
_ENDS = {"<i1": (-128, 127), "<u1": (0, 255), "<i2": (-(1 << 15), (1 << 15) - 1)}


@dataclass(frozen=True)
class Fields:
    """A table: its fields by number."""

    data: bytes
    at: int

    def place(self, number: int) -> int:
        """Where a field is, 0 where it is not."""
        table = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, table)[0]:
            return 0
        offset = int(struct.unpack_from("<H", self.data, table + 4 + 2 * number)[0])
        return self.at + offset if offset else 0

    def value(self, number: int, letter: str, default: Any = 0) -> Any:
        place = self.place(number)
        return struct.unpack_from(f"<{letter}", self.data, place)[0] if place else default

    def pointed(self, number: int) -> int:
        place = self.place(number)
        return place + int(struct.unpack_from("<I", self.data, place)[0]) if place else 0

    def below(self, number: int) -> Fields | None:
        place = self.pointed(number)
        return Fields(self.data, place) if place else None

    def array(self, number: int, kind: str) -> NDArray[Any]:
        place = self.pointed(number)
        if not place:
            return np.empty(0, kind)
        return np.frombuffer(self.data, kind, struct.unpack_from("<I", self.data, place)[0], place + 4)

    def all_below(self, number: int) -> list[Fields]:
        first = self.pointed(number) + 4
        return [Fields(self.data, first + 4 * i + int(offset)) for i, offset in enumerate(self.array(number, "<u4"))]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor: its shape, type, quantization and, of a constant, its numbers; several scales lie along ``axis``."""

    shape: tuple[int, ...]
    kind: str
    scale: NDArray[np.float32]
    zero: tuple[int, ...]
    data: NDArray[Any] | None
    axis: int = 0

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the largest code; raises :class:`UnknownFormError`."""
        if self.kind not in _ENDS:
            raise UnknownFormError("a tensor of other codes than those of 8 and 16 bits")
        return _ENDS[self.kind]


@dataclass(frozen=True, eq=False)
class Operation:
    """An operator with its tensors and its options."""

    name: str
    inputs: tuple[int, ...]
    output: int
    options: Fields | None
    version: int = 1

    def option(self, number: int, letter: str, default: Any = 0) -> Any:
        return default if self.options is None else self.options.value(number, letter, default)


@dataclass(frozen=True, eq=False)
class File:
    """The tensors and operators of a file, its input and its output; QUANTIZE and DEQUANTIZE at its edges are left out."""

    tensors: list[Tensor]
    operations: list[Operation]
    input: int
    output: int


def opened(data: bytes) -> File:
    """The file in ``data``; raises :class:`UnknownFormError`, or whatever NumPy and struct raise of damaged ones."""
    model = Fields(data, int(struct.unpack_from("<I", data, 0)[0]))
    (graph,) = model.all_below(2)
    if model.value(0, "I") != _VERSION or any(buffer.value(1, "Q") > 1 for buffer in model.all_below(4)):
        raise UnknownFormError("another version of the schema, or constants behind the tables")
    buffers = [buffer.array(0, "<u1") for buffer in model.all_below(4)]
    codes = [(max(code.value(0, "b"), code.value(3, "i")), code.value(2, "i", 1)) for code in model.all_below(1)]
    tensors = [_tensor(table, buffers) for table in graph.all_below(0)]
    operations = [_operation(table, codes) for table in graph.all_below(3)]
    (first,), (last,) = graph.array(1, "<i4").tolist(), graph.array(2, "<i4").tolist()
    if operations[0].name == "QUANTIZE" and operations[0].inputs == (first,) and tensors[first].kind == "<f4":
        first, operations = operations[0].output, operations[1:]
    if operations[-1].name == "DEQUANTIZE" and operations[-1].output == last and tensors[last].kind == "<f4":
        last, operations = operations[-1].inputs[0], operations[:-1]
    return File(tensors, operations, first, last)


def _tensor(table: Fields, buffers: list[NDArray[Any]]) -> Tensor:
    kind = _KINDS.get(table.value(1, "b"), "")
    shape = tuple(int(extent) for extent in table.array(0, "<i4"))
    number = table.value(2, "I")
    raw = buffers[number]
    if number == 0 and len(raw):
        raise UnknownFormError("a constant in the buffer that stands for none")
    quantization = table.below(4)
    if table.value(5, "B") or table.place(6) or (quantization is not None and quantization.value(4, "B")):
        raise UnknownFormError("a tensor that is a variable, sparse, or quantized in a way of its own")
    scale = np.empty(0, np.float32) if quantization is None else quantization.array(2, "<f4")
    zero = () if quantization is None else tuple(quantization.array(3, "<i8").tolist())
    data = raw.view(kind).reshape(shape) if kind and len(raw) else None
    axis = 0 if quantization is None else quantization.value(6, "i")
    return Tensor(shape, kind, scale, zero or (0,) * len(scale), data, axis)


def _operation(table: Fields, codes: list[tuple[int, int]]) -> Operation:
    code, version = codes[table.value(0, "I")]
    if code not in _NAMES:
        raise UnknownFormError(f"operator {code} of TensorFlow Lite's schema")
    (output,) = table.array(2, "<i4").tolist()
    name, options = _NAMES[code], table.below(4)
    if options is not None and table.value(3, "B") != _OPTIONS.get(name, table.value(3, "B")):
        raise UnknownFormError(f"{name} with the options of another operator")
    return Operation(name, tuple(table.array(1, "<i4").tolist()), output, options, version)
