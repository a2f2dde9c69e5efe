"""A model in ONNX, written node by node: the same calls give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

#: ONNX's numbers of types
FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
#: how each is stored
_STORED = {FLOAT: "<f4", UINT8: "u1", INT8: "i1", INT32: "<i4", INT64: "<i8"}
#: the first opset whose operators mean what today's mean, and the format version that goes with it
_OPSET, _IR_VERSION = 13, 7


class OnnxModel:
    """A model with one input and one output under construction.

    Parameters
    ----------
    name : of the graph
    input_type, output_type : numbers of types
    input_shape : with the batch axis, where there is one; a word is an axis of any size
    """

    input = "input"

    def __init__(self, name: str, input_type: int, input_shape: Sequence[int | str], output_type: int) -> None:
        self._name = name
        self._input_type, self._output_type = input_type, output_type
        self._input_shape = list(input_shape)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(self, operator: str, name: str, operands: Sequence[str], **attributes: object) -> str:
        """Append a node of any ONNX operator with one result, which has its name."""
        from onnx import helper

        self._nodes.append(helper.make_node(operator, list(operands), [name], name=name, **attributes))
        return name

    def add(self, name: str, x: str, y: str) -> str:
        return self.node("Add", name, [x, y])

    def flatten(self, name: str, x: str) -> str:
        return self.node("Flatten", name, [x], axis=1)

    def stored(self, name: str, array: NDArray[Any], kind: int) -> str:
        """Store an array, once per name; its name."""
        from onnx import helper

        data = np.ascontiguousarray(array, dtype=_STORED[kind])
        if name not in self._constants:
            self._constants[name] = helper.make_tensor(name, kind, data.shape, data.tobytes(), raw=True)
        return name

    def scalar(self, name: str, number: float, kind: int) -> str:
        """Store one number without axes, once per name; its name."""
        from onnx import helper

        if name not in self._constants:
            raw = np.array(number, _STORED[kind]).tobytes()
            self._constants[name] = helper.make_tensor(name, kind, [], raw, raw=True)
        return name

    def model_of(self, output: str, shape: Sequence[int | str], properties: Mapping[str, str] | None = None) -> bytes:
        """The model whose result is the value ``output``."""
        from onnx import helper

        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(self.input, self._input_type, self._input_shape)],
            [helper.make_tensor_value_info(output, self._output_type, list(shape))],
            initializer=list(self._constants.values()),
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="netproof")
        made.ir_version = _IR_VERSION
        if properties:
            helper.set_model_props(made, dict(properties))
        return bytes(made.SerializeToString(deterministic=True))
