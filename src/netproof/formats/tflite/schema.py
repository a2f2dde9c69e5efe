"""What a TensorFlow Lite file says: its tensors with their quantization, its operators with their options."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.tflite.codes import ELEMENTS, IDENTIFIER, OPTIONS, kind_name, operator_name
from netproof.formats.tflite.flatbuffer import DamagedError, Table

_VERSION = 3
#: tensors, operators, operands of one operator and axes of one tensor that are read at the most
_TENSORS, _OPERATORS, _OPERANDS, _AXES = 1 << 16, 1 << 14, 1 << 8, 6


@dataclass(frozen=True, eq=False)
class TensorInfo:
    """A tensor of the file.

    Attributes
    ----------
    number, name : in the file
    shape : with the batch as its first axis
    kind : its element type, as the schema calls it
    scale : ``[1]`` or ``[channels]``, float32 as it is in the file; empty where there is none
    zero : its zero points, int64, as many
    axis : along which scales differ, where there are several
    data : its content where it is a constant
    """

    number: int
    name: str
    shape: tuple[int, ...]
    kind: str
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int
    data: NDArray[Any] | None

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class OperatorInfo:
    """An operator of the file.

    Attributes
    ----------
    number, name, version : as the file has them
    inputs, outputs : tensors, by number; -1 for an operand that is left out
    options : the table of its options
    """

    number: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table = field(repr=False)


@dataclass(frozen=True, eq=False)
class Model:
    """The one subgraph of a file; ``input`` and ``outputs`` are tensors, by number.

    ``float_input`` and ``float_output`` say that an operator between floats and codes was left out there.
    """

    tensors: tuple[TensorInfo, ...]
    operators: tuple[OperatorInfo, ...]
    input: int
    outputs: tuple[int, ...]
    float_input: bool = False
    float_output: bool = False

    def between_codes(self) -> Model:
        """The model without a QUANTIZE of its input and a DEQUANTIZE of its output: from codes to codes."""
        found = self
        first = [o for o in self.operators if self.input in o.inputs]
        if self._is_float(self.input) and [o.name for o in first] == ["QUANTIZE"] and len(first[0].outputs) == 1:
            rest = tuple(o for o in self.operators if o is not first[0])
            found = replace(found, operators=rest, input=first[0].outputs[0], float_input=True)
        last = [o for o in self.operators if self.outputs == o.outputs]
        if self._is_float(self.outputs[0]) and [o.name for o in last] == ["DEQUANTIZE"] and len(last[0].inputs) == 1:
            rest = tuple(o for o in found.operators if o is not last[0])
            found = replace(found, operators=rest, outputs=last[0].inputs, float_output=True)
        return found

    def _is_float(self, number: int) -> bool:
        return self.tensors[number].kind == "FLOAT32"


def read_model(path: Path, data: bytes, ledger: Ledger) -> Model:
    """Read the tables of a file.

    Raises
    ------
    FormatError : no TensorFlow Lite file, a damaged one, or one with several subgraphs, inputs, or things that are not read
    """
    if data[4:8] != IDENTIFIER:
        raise FormatError(path, "is no TensorFlow Lite file", "give a .tflite file; bytes 4 to 7 of one are TFL3")
    try:
        return _Parts(path, data, ledger).model()
    except DamagedError as damage:
        raise damaged(path, damage) from None
    except ExhaustedError as refusal:
        raise FormatError(path, refusal.problem, refusal.hint) from None


def damaged(path: Path, damage: DamagedError) -> FormatError:
    """What is said of an offset or a length that leads out of a file."""
    return FormatError(path, f"is a damaged FlatBuffer: {damage}", "download or convert it again")


class _Parts:
    def __init__(self, path: Path, data: bytes, ledger: Ledger) -> None:
        self._path = path
        self._root = Table.root(data)
        self._ledger = ledger

    def model(self) -> Model:
        root = self._root
        version = root.integer(0, "I")
        if version != _VERSION:
            raise self._refused(f"has version {version} of the schema; known is {_VERSION}", "convert it again")
        subgraphs = root.tables(2, 64)
        if len(subgraphs) != 1:
            raise self._refused(
                f"has {len(subgraphs)} subgraphs; read are files with one", "export the inference alone"
            )
        (graph,) = subgraphs
        buffers = root.tables(4, _TENSORS)
        tensors = tuple(self._tensor(i, t, buffers) for i, t in enumerate(graph.tables(0, _TENSORS)))
        inputs, outputs = self._numbers(graph, 1, len(tensors)), self._numbers(graph, 2, len(tensors))
        if len(inputs) != 1 or not outputs or min(*inputs, *outputs) < 0:
            raise self._refused(
                f"has {len(inputs)} inputs and {len(outputs)} outputs; read are files with one input",
                "export it for one",
            )
        if tensors[inputs[0]].data is not None:
            raise self._refused("has a constant as its input", "export the network again")
        codes = [self._code(table) for table in root.tables(1, _OPERATORS)]
        tables = graph.tables(3, _OPERATORS)
        self._ledger.nodes(len(tables))
        operators = tuple(self._operator(i, t, codes, len(tensors)) for i, t in enumerate(tables))
        self._check_order(operators, inputs[0])
        return Model(tensors, operators, inputs[0], outputs)

    def _check_order(self, operators: tuple[OperatorInfo, ...], start: int) -> None:
        """Runtimes take operators one by one: a tensor given twice is what the last one gives, and before the first nothing."""
        given = {start: "the input"}
        for operator in operators:
            for tensor in set(operator.outputs):
                here = f"operator {operator.number} ({operator.name})"
                if tensor in given:
                    raise self._refused(
                        f"has a tensor that is both {given[tensor]} and the result of {here}", "convert it again"
                    )
                given[tensor] = f"the result of {here}"
        known = {start}
        for operator in operators:
            ahead = set(operator.inputs) & given.keys() - known
            if ahead:
                raise self._refused(
                    f"operator {operator.number} ({operator.name}) takes {given[min(ahead)]}, which comes later",
                    "convert it again",
                )
            known |= set(operator.outputs)

    def _refused(self, problem: str, hint: str) -> FormatError:
        return FormatError(self._path, problem, hint)

    def _numbers(self, table: Table, number: int, count: int) -> tuple[int, ...]:
        """A vector of numbers of tensors; -1 stands for none."""
        vector = table.vector(number, "<i4")
        if len(vector) > _OPERANDS:
            raise DamagedError(f"it lists {len(vector)} tensors where {_OPERANDS} is the most that can be handled")
        numbers = tuple(int(i) for i in vector)
        if numbers and not -1 <= min(numbers) <= max(numbers) < count:
            raise DamagedError("it names a tensor that is not there")
        return numbers

    @staticmethod
    def _code(table: Table) -> tuple[str, int]:
        """Name and version of an operator."""
        code = max(table.integer(0, "b"), table.integer(3, "i"))
        name = operator_name(code)
        return (f"custom operator '{table.text(1, 80)}'" if name == "CUSTOM" else name), table.integer(2, "i", 1)

    def _operator(self, number: int, table: Table, codes: list[tuple[str, int]], tensors: int) -> OperatorInfo:
        index = table.integer(0, "I")
        if index >= len(codes):
            raise DamagedError("it names an operator code that is not there")
        name, version = codes[index]
        inputs, outputs = self._numbers(table, 1, tensors), self._numbers(table, 2, tensors)
        if min(outputs, default=-1) < 0:
            raise DamagedError(f"its operator {number} ({name}) has a result that is none")
        options = table.table(4)
        wanted = OPTIONS.get(name)
        if wanted is not None and options is not None and table.integer(3, "B") != wanted:
            raise self._refused(f"operator {number} ({name}) has the options of another operator", "convert it again")
        return OperatorInfo(number, name, version, inputs, outputs, _EMPTY if options is None else options)

    def _tensor(self, number: int, table: Table, buffers: list[Table]) -> TensorInfo:
        name = table.text(3) or f"tensor {number}"
        where = f"tensor '{name}'"
        shape = self._shape(table, where)
        kind = kind_name(table.integer(1, "b"))
        if table.integer(5, "B"):
            raise self._refused(f"{where} is a variable: the network has a state", "export one step without it")
        if table.table(6) is not None:
            raise self._refused(f"{where} is stored as a sparse tensor", "convert it without sparsity")
        scale, zero, axis = self._quantization(table.table(4), where)
        index = table.integer(2, "I")
        if index >= len(buffers):
            raise DamagedError(f"{where} names a buffer that is not there")
        # The first buffer stands for none: LiteRT takes nothing from it, TensorFlow Lite Micro what is there.
        if index == 0 and len(buffers[0].vector(0, "<u1")):
            raise self._refused(f"{where} is stored in the buffer that stands for none", "convert it again")
        return TensorInfo(number, name, shape, kind, scale, zero, axis, self._data(buffers[index], shape, kind, where))

    def _shape(self, table: Table, where: str) -> tuple[int, ...]:
        vector, signature = table.vector(0, "<i4"), table.vector(7, "<i4")
        if len(vector) > _AXES or len(signature) > _AXES:
            raise self._refused(f"{where} has {len(vector)} axes", f"read are tensors of at most {_AXES}")
        # The first axis is the batch, which may be open.
        if bool((signature[1:] < 0).any()):
            raise self._refused(f"{where} has a shape that is only known at run time", "convert it for fixed shapes")
        shape = tuple(int(extent) for extent in vector)
        self._ledger.value(shape)
        return shape

    def _quantization(self, table: Table | None, where: str) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
        if table is None:
            return np.zeros(0, np.float32), np.zeros(0, np.int64), 0
        scale, zero = table.vector(2, "<f4"), table.vector(3, "<i8")
        axis = table.integer(6, "i")
        if table.integer(4, "B"):
            raise self._refused(
                f"{where} is quantized in a way of its own", "read is quantization by scale and zero point"
            )
        if not len(zero) and len(scale):
            zero = np.zeros(len(scale), np.int64)
        if len(zero) not in (len(scale), 1):
            raise self._refused(f"{where} has {len(scale)} scales and {len(zero)} zero points", "convert it again")
        # Below the normal range runtimes do not agree what a scale is.
        if not bool((np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)).all()):
            raise self._refused(f"{where} has a scale that is no positive normal float32 number", "quantize it again")
        return scale, zero, axis

    def _data(self, buffer: Table, shape: tuple[int, ...], kind: str, where: str) -> NDArray[Any] | None:
        if buffer.integer(1, "Q") > 1:
            raise self._refused(f"{where} is stored behind the FlatBuffer", "save it as a file below 2 GB")
        raw = buffer.vector(0, "<u1")
        if not len(raw):
            return None
        if kind not in ELEMENTS:
            return raw  # which no operator that is read takes
        dtype = np.dtype(ELEMENTS[kind])
        if len(raw) != dtype.itemsize * math.prod(shape):
            raise self._refused(f"{where} has {len(raw)} bytes for the shape {shape} of {kind}", "convert it again")
        return raw.view(dtype).reshape(shape)


class _Nothing(Table):
    """Options that are left out: every field has its default."""

    def _field(self, number: int) -> int | None:
        return None


_EMPTY = _Nothing(b"", 0)
