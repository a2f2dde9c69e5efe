"""The network as the checker reads it: plain onnx, and arrays of the arithmetic in which it is checked.

Written from the operator specifications of ONNX (https://onnx.ai/onnx/operators) and sharing nothing with ``formats/``. What is
not known is refused by name: operators, attributes, types, operator sets before 7, values in files beside the model. What operators
are is said in ``reading/``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from netproof.certificate.checker.real.nodes import Node, RealNetwork
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Scale
from netproof.certificate.checker.real.reading.constants import (
    FLOATS,
    WIDEST,
    UnknownError,
    attribute_of,
    constant_of,
)
from netproof.certificate.checker.real.reading.smooth import Smooth
from netproof.certificate.checker.real.reading.values import Operand, Value
from netproof.errors import FormatError

if TYPE_CHECKING:
    import onnx


def read_network(data: bytes, inputs: int, numbers: Float64, source: str, *, compared: bool = False) -> RealNetwork:
    """The network in the bytes of an ONNX file, asked about by ``inputs`` numbers; where outputs are only ``compared`` with one another,
    without a softmax over all of them at its end, which keeps their order.

    Where the file leaves the first dimension of the input open, that is a batch, of which one is meant.

    Raises
    ------
    FormatError : what is no ONNX, or is not read by the checker
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
        return _Reader(model, inputs, numbers).read(compared=compared)
    except UnknownError as error:
        raise FormatError(source, f"is not read by the checker: {error}", "its verdicts have no evidence yet") from None
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, ZeroDivisionError) as error:
        raise FormatError(source, f"is not read by the checker ({type(error).__name__})", "check the file") from None
    except Exception as error:
        if type(error).__module__.startswith("google"):
            raise FormatError(source, "is no ONNX model", "give the network the certificate is about") from None
        raise


class _Reader(Smooth):
    def __init__(self, model: onnx.ModelProto, inputs: int, numbers: Float64) -> None:
        super().__init__(numbers)
        self._model, self._graph, self._inputs = model, model.graph, inputs
        self._operators = self.operators()
        self._values: dict[str, Operand] = {}

    def read(self, *, compared: bool) -> RealNetwork:
        graph = self._graph
        # Models that were merged state one twice. "ai.onnx" is another way to write the domain of ONNX's own operators.
        sets = {(entry.domain, entry.version) for entry in self._model.opset_import}
        own = [version for domain, version in sets if domain in ("", "ai.onnx")]
        if len({domain for domain, _ in sets}) != len(sets) or len(own) != 1 or not 7 <= own[0] <= 24:
            raise UnknownError("its operator sets")
        (self._opset,) = own
        if self._model.functions or graph.sparse_initializer or self._model.training_info:
            raise UnknownError("functions, sparse initializers or training information")
        for tensor in graph.initializer:
            self._define(tensor.name, constant_of(tensor))
        given = [entry for entry in graph.input if entry.name not in self._values]
        if len(given) != 1 or len(graph.output) != 1:
            raise UnknownError("more than one input or output")
        shape = self._input_shape(given[0])
        self._define(given[0].name, self._add(None, (), shape, math.prod(shape)))
        for node in graph.node:
            self._read_node(node)
        found = self._values.get(graph.output[0].name)
        if not isinstance(found, Value):
            raise UnknownError("an output that does not depend on the input")
        return self._needed(self._before_softmax.get(found.node, found.node) if compared else found.node)

    def _input_shape(self, entry: onnx.ValueInfoProto) -> tuple[int, ...]:
        kind = entry.type.tensor_type
        if kind.elem_type not in FLOATS:
            raise UnknownError("an input that is neither float32 nor float64")
        self._is_wide = self._is_wide or kind.elem_type == max(FLOATS)
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        if dims and dims[0] <= 0:
            dims[0] = 1
        if any(d <= 0 for d in dims):
            raise UnknownError("an input of unknown size")
        if math.prod(dims) != self._inputs or self._inputs > WIDEST:
            raise UnknownError(f"it takes another number of inputs than {self._inputs}")
        return tuple(dims)

    def _needed(self, last: int) -> RealNetwork:
        """The nodes that the output depends on, and the input."""
        wanted = {0, last}
        for index in range(last, 0, -1):
            if index in wanted:
                wanted.update(self._nodes[index].operands)
        kept = sorted(wanted)
        place = {index: number for number, index in enumerate(kept)}
        nodes = [
            Node(n.operator, tuple(place[i] for i in n.operands), n.size, n.bend)
            for n in (self._nodes[index] for index in kept)
        ]
        if len(nodes) < 2:
            nodes.append(Node(Scale(nodes[0].size, None, None), (0,), nodes[0].size))
        return RealNetwork(tuple(nodes), tuple(i for i, node in enumerate(nodes) if node.bend))

    def _define(self, name: str, value: Operand) -> None:
        if not name or name in self._values:
            raise UnknownError(f"the name '{name[:40]}' is given twice")
        if not isinstance(value, Value):
            self._is_wide = self._is_wide or value.dtype == np.float64
        self._values[name] = value

    def _read_node(self, node: onnx.NodeProto) -> None:
        known = self._operators
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            raise UnknownError(f"the operator '{node.domain}{':' * bool(node.domain)}{node.op_type}'"[:80])
        attributes = {}
        for entry in node.attribute:
            if entry.ref_attr_name or entry.name in attributes:
                raise UnknownError(f"the attribute '{entry.name[:40]}' of {node.op_type}")
            attributes[entry.name] = attribute_of(entry)
        operands = []
        for name in node.input:
            if name and name not in self._values:
                raise UnknownError(f"'{name[:40]}' is used before it is there")
            operands.append(self._values[name] if name else np.zeros(0))
        # A result may be left out where all of them are parts of one value; a second one of others is a mask, or a mean.
        outputs, is_split = list(node.output), node.op_type == "Split"
        if not outputs or not outputs[0] or (not is_split and any(outputs[1:]) and node.op_type != "Dropout"):
            raise UnknownError(f"several outputs of {node.op_type}")
        self._results = len(outputs)
        found = known[node.op_type](operands, attributes)
        if attributes:
            raise UnknownError(f"the attribute '{next(iter(attributes))[:40]}' of {node.op_type}")
        # A mask that Dropout gives besides is not defined, so that whoever uses it is refused.
        parts = found if isinstance(found, tuple) else (found,)
        for name, part in zip(outputs, parts, strict=False):
            if not isinstance(part, Value):
                self._count(part.size)
            self._define(name, part)
