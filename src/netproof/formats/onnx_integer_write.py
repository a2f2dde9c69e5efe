"""Writer for fixed-point networks in ONNX that are integers throughout: the same network gives the same bytes.

The operators are those of the standard that compute in integers without rounding, so a runtime evaluates such a
file bit for bit as :mod:`netproof.formats.onnx_integer` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx_integer import INPUT_RANGE

if TYPE_CHECKING:
    import onnx

#: the first opset whose operators mean what today's mean, and the format version that goes with it
_OPSET, _IR_VERSION = 13, 7
#: ONNX's numbers of types
_UINT8, _INT8, _INT32 = 2, 3, 6


class IntegerOnnxWriter:
    """Builds a model of integers with one input (unsigned 8-bit values) and one output (32 bits).

    Every method but :meth:`model` appends nodes and returns the name of a value. Accumulators are 32 bits wide, what
    :meth:`requantize` gives is 8 bits wide where it is not signed.

    Parameters
    ----------
    name : of the graph
    input_shape : of one sample, the batch axis left out
    largest_input : what a value of the input is at most; the least is 0
    """

    input = "input"

    def __init__(self, name: str, input_shape: Sequence[int], largest_input: int) -> None:
        self._name = name
        self._input_shape = ["batch", *input_shape]
        self._largest_input = largest_input
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def convolution(
        self,
        name: str,
        x: str,
        weight: NDArray[np.int64],
        bias: NDArray[np.int64],
        *,
        stride: int = 1,
        padding: int = 0,
    ) -> str:
        """Cross-correlation of 8-bit values with ``weight`` ``[C_out, C_in, k, k]``, then ``bias`` ``[C_out]`` added."""
        operands = [x, self._constant(f"{name}.weight", weight, _INT8)]
        shape = {"kernel_shape": list(weight.shape[2:]), "pads": [padding] * 4, "strides": [stride] * 2}
        products = self._node("ConvInteger", f"{name}.products", operands, **shape)
        return self.add(name, products, self._constant(f"{name}.bias", bias.reshape(1, -1, 1, 1), _INT32))

    def linear(self, name: str, x: str, weight: NDArray[np.int64], bias: NDArray[np.int64]) -> str:
        """``x W' + b`` of 8-bit values with ``weight`` ``[n_out, n_in]``."""
        operands = [x, self._constant(f"{name}.weight", weight.T, _INT8)]
        products = self._node("MatMulInteger", f"{name}.products", operands)
        return self.add(name, products, self._constant(f"{name}.bias", bias.reshape(1, -1), _INT32))

    def add(self, name: str, x: str, y: str) -> str:
        return self._node("Add", name, [x, y])

    def shifted(self, name: str, x: str, shift: int) -> str:
        """8-bit values as accumulators, times ``2**shift``."""
        wide = self._node("Cast", f"{name}.wide", [x], to=_INT32)
        return self._node("Mul", name, [wide, self._number(1 << shift)])

    def requantize(self, name: str, x: str, shift: int, low: int, high: int) -> str:
        """``clip(floor((x + 2**shift / 2) / 2**shift), low, high)``, 8 bits wide where ``low`` is at least 0."""
        # Division rounds towards zero, so it is left numbers from 0 up: those above the lowest level.
        half = (1 << shift) // 2
        lifted = self._node("Add", f"{name}.lifted", [x, self._number(half - (low << shift))])
        top = ((high - low + 1) << shift) - 1
        value = self._node("Clip", f"{name}.clipped", [lifted, self._number(0), self._number(top)])
        if shift:
            value = self._node("Div", f"{name}.divided", [value, self._number(1 << shift)])
        if low:
            value = self._node("Add", f"{name}.levels", [value, self._number(low)])
        return value if low < 0 else self._node("Cast", name, [value], to=_UINT8)

    def flatten(self, name: str, x: str) -> str:
        return self._node("Flatten", name, [x], axis=1)

    def model(self, output: str, outputs: int) -> bytes:
        """The model whose result is the value ``output``, ``[batch, outputs]``."""
        from onnx import helper

        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(self.input, _UINT8, self._input_shape)],
            [helper.make_tensor_value_info(output, _INT32, ["batch", outputs])],
            initializer=list(self._constants.values()),
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="netproof")
        made.ir_version = _IR_VERSION
        helper.set_model_props(made, {INPUT_RANGE: f"0 {self._largest_input}"})
        return bytes(made.SerializeToString(deterministic=True))

    def _number(self, value: int) -> str:
        return self._constant(f"number.{value}", np.array(value), _INT32)

    def _constant(self, name: str, array: NDArray[np.int64], kind: int) -> str:
        from onnx import helper

        data = np.ascontiguousarray(array, dtype="<i4" if kind == _INT32 else "i1")
        if bool((data != array).any()):
            raise ValueError(f"'{name}' has numbers beyond its type")
        if name not in self._constants:
            self._constants[name] = helper.make_tensor(name, kind, data.shape, data.tobytes(), raw=True)
        return name

    def _node(self, operator: str, name: str, operands: Sequence[str], **attributes: object) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(operator, list(operands), [name], name=name, **attributes))
        return name
