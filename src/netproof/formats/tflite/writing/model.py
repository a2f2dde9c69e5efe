"""Writer for TensorFlow Lite files of 8-bit integers: the same network gives the same bytes.

Convolutions, fully connected layers, sums of two values and a reshape, all on ``int8`` codes with scales for whole tensors;
the schema is ``tensorflow/lite/schema/schema.fbs``, version 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.codes_writer import CodesWriter, Product, Stored, same_padding
from netproof.formats.tflite.codes import IDENTIFIER, NONE, OPTIONS, SAME, VALID
from netproof.formats.tflite.writing.tables import Fields, Tables

_VERSION = 3
#: numbers of operators, and the version of each from which on it takes int8
_OPERATORS = {"ADD": (0, 2), "CONV_2D": (3, 3), "FULLY_CONNECTED": (9, 4), "RESHAPE": (22, 1)}
#: numbers of element types
_KINDS = {"int8": 9, "int32": 2}
#: the largest code of one byte for an operator in the field that old readers look at
_OLD_CODES = 127


class TFLiteWriter(CodesWriter):
    """Builds a file that takes codes ``[1, rows, columns, channels]``, grey levels less 128, and gives codes ``[1, n]``."""

    nudged = True

    def __init__(self, name: str, input_shape: tuple[int, int, int], input_fraction: int, weight_fraction: int) -> None:
        super().__init__(name, input_shape, input_fraction, weight_fraction)
        self._tables = Tables()
        self._tensors: list[int] = []
        self._numbers: dict[str, int] = {}
        #: buffer 0 stands for none
        self._buffers = [self._tables.table({})]
        self._operators: list[tuple[str, list[int], int, Fields]] = []
        #: of flattened values, which feature, channels first, lies where
        self._order: dict[str, NDArray[np.int64]] = {}
        self._tensor(self.input, self._shape(self.values[self.input]), *_quantization(self.values[self.input]))

    # -- tensors

    @staticmethod
    def _shape(of: Stored) -> list[int]:
        if len(of.shape) == 1:
            return [1, *of.shape]
        channels, rows, columns = of.shape
        return [1, rows, columns, channels]

    def _tensor(
        self,
        name: str,
        shape: Sequence[int],
        scale: float | None = None,
        zero: int = 0,
        data: NDArray[Any] | None = None,
    ) -> int:
        tables = self._tables
        number = 0
        if data is not None:
            number = len(self._buffers)
            self._buffers.append(tables.table({0: ("o", tables.data(data))}))
        fields: dict[int, tuple[str, Any]] = {
            0: ("o", tables.numbers(list(shape), "i")),
            1: ("b", _KINDS["int8" if data is None else data.dtype.name]),
            2: ("I", number),
            3: ("o", tables.text(name)),
        }
        if scale is not None:
            parts = {2: ("o", tables.numbers([scale], "f")), 3: ("o", tables.numbers([zero], "q"))}
            fields[4] = ("o", tables.table(parts))
        self._tensors.append(tables.table(fields))
        self._numbers[name] = len(self._tensors) - 1
        return len(self._tensors) - 1

    def _result(self, name: str) -> int:
        of = self.values[name]
        return self._tensor(name, self._shape(of), *_quantization(of))

    # -- operators

    def write_product(self, name: str, product: Product) -> None:
        of = self.values[product.x]
        scale = float(self.weight_scale)
        weight = product.weight.astype(np.int8)
        convolved = weight.ndim == 4
        kept = np.ascontiguousarray(weight.transpose(0, 2, 3, 1)) if convolved else self._rows(product, weight)
        operands = [
            self._numbers[product.x],
            self._tensor(f"{name}.weight", kept.shape, scale, 0, kept),
            # In float32, as runtimes compute it of the two scales.
            self._tensor(
                f"{name}.bias",
                [len(product.bias)],
                float(np.float32(of.scale) * np.float32(scale)),
                0,
                product.bias.astype(np.int32),
            ),
        ]
        result = self._result(name)
        if convolved:
            stride = product.stride
            options: Fields = {
                0: ("b", self._padding(name, of, product)), 1: ("i", stride), 2: ("i", stride), 3: ("b", NONE),
                4: ("i", 1), 5: ("i", 1),
            }  # fmt: skip
            self._operators.append(("CONV_2D", operands, result, options))
        else:
            self._operators.append(("FULLY_CONNECTED", operands, result, {0: ("b", NONE)}))

    def _rows(self, product: Product, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Weights of a linear map in the order in which its operand lies in the file."""
        order = self._order.get(product.x)
        return weight if order is None else np.ascontiguousarray(weight[:, order])

    @staticmethod
    def _padding(name: str, of: Stored, product: Product) -> int:
        _, *extents = of.shape
        kernel = product.weight.shape[2:]
        same = [same_padding(extent, size, product.stride) for extent, size in zip(extents, kernel, strict=True)]
        if product.padding == (*same[0], *same[1]):
            return SAME
        if not any(product.padding):
            return VALID
        raise ValueError(f"'{name}' is padded as no TensorFlow Lite convolution is")

    def write_sum(self, name: str, x: str, y: str) -> None:
        operands = [self._numbers[x], self._numbers[y]]
        self._operators.append(("ADD", operands, self._result(name), {0: ("b", NONE)}))

    def write_flattened(self, name: str, x: str) -> None:
        shape = self._shape(self.values[name])
        asked = self._tensor(f"{name}.shape", [2], data=np.array(shape, np.int32))
        operands = [self._numbers[x], asked]
        result = self._result(name)
        self._operators.append(("RESHAPE", operands, result, {0: ("o", self._tables.numbers(shape, "i"))}))
        of = self.values[x].shape
        if len(of) == 3:
            self._order[name] = np.arange(int(np.prod(of))).reshape(of).transpose(1, 2, 0).reshape(-1)

    # -- the file

    def model(self, output: str, outputs: int) -> bytes:
        tables = self._tables
        if self.values[output].shape != (outputs,):
            raise ValueError(f"the output has shape {self.values[output].shape}, not {outputs} features")
        names = sorted({name for name, *_ in self._operators})
        operators = tables.below([self._operator(names, *one) for one in self._operators])
        tensors = tables.below(self._tensors)
        ends = [tables.numbers([self._numbers[name]], "i") for name in (self.input, output)]
        title = tables.text(self.name)
        graph = tables.table(
            {0: ("o", tensors), 1: ("o", ends[0]), 2: ("o", ends[1]), 3: ("o", operators), 4: ("o", title)}
        )
        graphs = tables.below([graph])
        codes = tables.below([self._code(name) for name in names])
        buffers, made_by = tables.below(self._buffers), tables.text("netproof")
        root = {0: ("I", _VERSION), 1: ("o", codes), 2: ("o", graphs), 3: ("o", made_by), 4: ("o", buffers)}
        return tables.finished(tables.table(root), IDENTIFIER)

    def _operator(self, names: list[str], name: str, operands: list[int], result: int, options: Fields) -> int:
        tables = self._tables
        ends = [tables.numbers(part, "i") for part in (operands, [result])]
        kept = tables.table(options)
        return tables.table(
            {0: ("I", names.index(name)), 1: ("o", ends[0]), 2: ("o", ends[1]), 3: ("B", OPTIONS[name]), 4: ("o", kept)}
        )

    def _code(self, name: str) -> int:
        number, version = _OPERATORS[name]
        return self._tables.table({0: ("b", min(number, _OLD_CODES)), 2: ("i", version), 3: ("i", number)})


def _quantization(of: Stored) -> tuple[float, int]:
    """Scale and zero point of a value: the code of level 0."""
    return of.scale, 0 if of.signed else -128
