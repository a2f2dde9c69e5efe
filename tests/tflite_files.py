"""Writing small TensorFlow Lite files for tests, table by table, so that anything can be wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import flatbuffers
import numpy as np

#: operators and element types by name, and the options table of each, as the schema numbers them
CODES = {
    "ADD": 0, "AVERAGE_POOL_2D": 1, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6, "FULLY_CONNECTED": 9,
    "LOGISTIC": 14, "MAX_POOL_2D": 17, "MUL": 18, "RELU": 19, "RELU6": 21, "RESHAPE": 22, "SOFTMAX": 25, "TANH": 28,
    "CUSTOM": 32, "PAD": 34, "TRANSPOSE": 39, "MEAN": 40, "SUB": 41, "HARD_SWISH": 117, "QUANTIZE": 114, "EXPAND_DIMS": 70, "SQUEEZE": 43,
}  # fmt: skip
OPTIONS = {
    "CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "AVERAGE_POOL_2D": 5, "MAX_POOL_2D": 5, "FULLY_CONNECTED": 8, "SOFTMAX": 9,
    "CONCATENATION": 10, "ADD": 11, "RESHAPE": 17, "MUL": 21, "PAD": 22, "TRANSPOSE": 26, "MEAN": 27, "SUB": 28,
    "QUANTIZE": 89, "SQUEEZE": 30,
}  # fmt: skip
KINDS = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "SOFTMAX": 2, "ADD": 2, "SUB": 2, "MUL": 2}

#: a field's number to struct's letter and its value; "v" is a list of integers of 32 bits
Fields = dict[int, tuple[str, object]]


@dataclass
class TFLiteFile:
    """A file under construction; tensors are named by their numbers."""

    tensors: list[dict[str, object]] = field(default_factory=list)
    operators: list[tuple[str, list[int], list[int], Fields]] = field(default_factory=list)
    version: int = 3
    identifier: bytes = b"TFL3"
    subgraphs: int = 1
    first_buffer: object = None

    def tensor(
        self, shape: Sequence[int], scale: object = 1.0, zero: object = 0, *, kind: str = "int8", **more: object
    ) -> int:
        """A tensor; ``more`` has ``axis``, ``data`` (an array), ``buffer``, ``name``, ``signature``, ``variable``, ``sparse``, ``details``."""
        self.tensors.append({"shape": list(shape), "kind": kind, "scale": scale, "zero": zero, **more})
        return len(self.tensors) - 1

    def constant(self, array: np.ndarray, scale: object = None, zero: object = 0, axis: int = 0) -> int:
        return self.tensor(array.shape, scale, zero, kind=str(array.dtype), data=array, axis=axis)

    def operator(self, name: str, inputs: list[int], outputs: list[int], options: Fields | None = None) -> int:
        """Append an operator; returns its first result."""
        self.operators.append((name, inputs, outputs, options or {}))
        return outputs[0]

    def bytes(self, inputs: list[int] | int, outputs: list[int] | int) -> bytes:
        """The file."""
        b = flatbuffers.Builder(1 << 12)
        names = sorted({name for name, *_ in self.operators})
        buffers = [_buffer(b, self.first_buffer)] + [_buffer(b, t.get("data")) for t in self.tensors]
        tensors = _vector(b, [self._tensor(b, i, t) for i, t in enumerate(self.tensors)])
        operators = _vector(b, [self._operator(b, names, *one) for one in self.operators])
        ends = [_numbers(b, [part] if isinstance(part, int) else part, "i") for part in (inputs, outputs)]
        graph = _table(b, {0: ("o", tensors), 1: ("o", ends[0]), 2: ("o", ends[1]), 3: ("o", operators)})
        graphs = _vector(b, [graph] * self.subgraphs)
        codes = _vector(b, [self._code(b, name) for name in names])
        kept = _vector(b, buffers)
        root = _table(b, {0: ("I", self.version), 1: ("o", codes), 2: ("o", graphs), 4: ("o", kept)})
        b.Finish(root, self.identifier)
        return bytes(b.Output())

    @staticmethod
    def _code(b: flatbuffers.Builder, name: str) -> int:
        code = CODES[name]
        text = b.CreateString("mine") if name == "CUSTOM" else None
        fields = {0: ("b", min(code, 127)), 2: ("i", VERSIONS.get(name, 1)), 3: ("i", code)}
        return _table(b, fields | ({1: ("o", text)} if text is not None else {}))

    @staticmethod
    def _tensor(b: flatbuffers.Builder, number: int, tensor: dict[str, object]) -> int:
        shape = _numbers(b, tensor["shape"], "i")
        name = b.CreateString(str(tensor.get("name", f"t{number}")))
        fields = {
            0: ("o", shape),
            1: ("b", KINDS[str(tensor["kind"])]),
            2: ("I", tensor.get("buffer", number + 1)),
            3: ("o", name),
        }
        if tensor["scale"] is not None:
            scales, zeros = np.atleast_1d(tensor["scale"]), np.atleast_1d(tensor["zero"])
            if len(zeros) == 1:
                zeros = np.repeat(zeros, len(scales))
            parts = {2: ("o", _numbers(b, scales.tolist(), "f")), 3: ("o", _numbers(b, zeros.tolist(), "q"))}
            fields[4] = ("o", _table(b, parts | {4: ("B", tensor.get("details", 0)), 6: ("i", tensor.get("axis", 0))}))
        if tensor.get("variable"):
            fields[5] = ("B", 1)
        if tensor.get("sparse"):
            fields[6] = ("o", _table(b, {}))
        if "signature" in tensor:
            fields[7] = ("o", _numbers(b, tensor["signature"], "i"))
        return _table(b, fields)

    @staticmethod
    def _operator(
        b: flatbuffers.Builder, names: list[str], name: str, inputs: list[int], outputs: list[int], options: Fields
    ) -> int:
        ends = [_numbers(b, part, "i") for part in (inputs, outputs)]
        fields = {0: ("I", names.index(name)), 1: ("o", ends[0]), 2: ("o", ends[1])}
        if name in OPTIONS:
            lists = {k: ("o", _numbers(b, numbers, "i")) for k, (kind, numbers) in options.items() if kind == "v"}
            fields |= {3: ("B", OPTIONS[name]), 4: ("o", _table(b, options | lists))}
        return _table(b, fields)


_PREPEND = {"b": "Int8", "B": "Uint8", "i": "Int32", "I": "Uint32", "f": "Float32", "q": "Int64"}


def _table(b: flatbuffers.Builder, fields: dict[int, tuple[str, object]]) -> int:
    b.StartObject(max(fields, default=-1) + 1)
    for number, (kind, value) in fields.items():
        if kind == "o":
            b.PrependUOffsetTRelativeSlot(number, value, 0)
        else:
            # The default is a value that no field has, so that every field is written.
            getattr(b, f"Prepend{_PREPEND[kind]}Slot")(number, float(value) if kind == "f" else int(value), None)
    return b.EndObject()


def _vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _numbers(b: flatbuffers.Builder, numbers: Sequence[float], kind: str) -> int:
    size = {"i": 4, "f": 4, "q": 8}[kind]
    b.StartVector(size, len(numbers), size)
    for number in reversed(list(numbers)):
        getattr(b, f"Prepend{_PREPEND[kind]}")(float(number) if kind == "f" else int(number))
    return b.EndVector()


def _buffer(b: flatbuffers.Builder, array: object) -> int:
    if array is None:
        return _table(b, {})
    data = np.ascontiguousarray(array).tobytes()
    b.StartVector(1, len(data), 16)
    b.head -= len(data)
    b.Bytes[b.head : b.head + len(data)] = data
    return _table(b, {0: ("o", b.EndVector())})
