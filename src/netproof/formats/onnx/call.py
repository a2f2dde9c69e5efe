"""What the translation of one ONNX node works with: its operands, its attributes, and the graph being built."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.ledger import MOST_AXES, Ledger
from netproof.formats.onnx.container.external import Surroundings
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.nodes.formulas import Formulas
from netproof.formats.onnx.tensors import read_tensor
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Kept
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine, Operator

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]

#: types of attributes, as ONNX numbers them
FLOAT, INTEGER, TEXT, TENSOR, FLOATS, INTEGERS = 1, 2, 3, 4, 6, 7

#: attributes that say nothing about what is computed, or nothing beside another one that is there
_OF_NO_CONSEQUENCE = {
    "BatchNormalization": ("momentum",),
    "Cast": ("saturate", "round_mode"),
    "ConvTranspose": ("pads",),
    "Dropout": ("ratio", "seed"),
    "MultiThreshold": ("out_dtype",),
    "Resize": ("cubic_coeff_a", "extrapolation_value", "nearest_mode"),
}
#: the same of what adds up, multiplies or compares along axes: of none
_ALONG_NO_AXIS = ("keepdims", "noop_with_empty_axes")

#: entries of an operand that lists axes, extents or paddings
_LONGEST_LIST = 256


class NodeError(Exception):
    """A node that cannot be translated: what about it, and the hint. The reader adds file and node."""

    def __init__(self, problem: str, hint: str = "export the network without it") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is known: float64 (holding the file's numbers exactly), int64 or bool."""

    array: NDArray[Any]

    @property
    def shape(self) -> Shape:
        return self.array.shape


@dataclass(frozen=True)
class Variable:
    """A value that depends on the input: a node of the graph, whose features in C order have this shape."""

    node: int
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Masked(Variable):
    """A value that is minus infinity at some places, whatever its node gives there: what a mask of attention adds.

    It is for a softmax alone, and refused by every other operator (:data:`OF_MASKED`).
    """

    absent: NDArray[np.bool_]


Value = Constant | Variable

#: operators that a masked value may be given to: a softmax, and those that hand on their operand as it is
OF_MASKED = ("Softmax", "Identity", "Dropout")


@dataclass(eq=False)
class Translation:
    """The graph under construction, and what is to be said about it.

    Attributes
    ----------
    path : of the file
    builder : of the graph
    opset : version of the standard operators
    around : the files beside it
    types : of the file's values, as ONNX numbers them, as far as they are known
    sizes : the largest magnitudes of integers that depend on the input, by the names of the file
    notes, kept : see :class:`netproof.network.Network`
    made_by : the ONNX operator that gave each operator of the graph, by the ``id`` of the latter
    rounded : operators whose numbers are rounded, by what they were made of
    formulas : what is known of nodes that are functions of one other
    left_out : what was left out at the end, as a graph of its own
    defined : nodes that have a value wherever their operands have one, though their operator may have none: reciprocals of what is not 0
    largest : where each entry of a value is the largest, as 1 among zeros, by the node that is its place (ArgMax)
    lifted, branches : how many constants have become nodes of the graph, and branches of nodes If were translated
    """

    path: Path
    builder: GraphBuilder
    opset: int
    around: Surroundings
    types: dict[str, int]
    notes: list[str] = field(default_factory=list)
    kept: Kept = Kept.VALUES
    made_by: dict[int, str] = field(default_factory=dict)
    rounded: dict[Hashable, Operator] = field(default_factory=dict)
    formulas: Formulas = field(default_factory=Formulas)
    lifted: int = 0
    branches: int = 0
    left_out: Graph | None = None
    sizes: dict[str, float] = field(default_factory=dict)
    defined: set[int] = field(default_factory=set)
    largest: dict[int, Variable] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        """What the file may still make."""
        return self.around.ledger

    def reserve(self, shape: Shape) -> None:
        """Make sure, before it is made, that a value is of a size that can be handled."""
        self.ledger.value(shape)

    def allocate(self, numbers: int) -> None:
        """Account for so many numbers of 8 bytes before they are made."""
        self.ledger.allocate(8 * numbers)


class Call:
    """One node of the file with its operands.

    Attributes
    ----------
    name, operator : of the node; the operator as ONNX calls it
    operands : None where an optional one is left out
    outputs : how many results are asked for
    final : whether the node gives the network's output, or one that is only renamed or reshaped on its way there
    """

    def __init__(
        self, translation: Translation, node: onnx.NodeProto, name: str, operands: list[Value | None], final: bool
    ) -> None:
        #: of the operands
        self.names = node.input
        self.translation = translation
        self.name = name
        self.operator = node.op_type
        self.operands = operands
        self.outputs = len(node.output)
        self.final = final
        self._attributes = {attribute.name: attribute for attribute in node.attribute}
        self._asked_for: set[str] = set()

    @property
    def opset(self) -> int:
        return self.translation.opset

    # -- operands

    def kind(self, number: int) -> int:
        """The type of an operand, as ONNX numbers types; 0 where it is not known."""
        name = self.names[number] if number < len(self.names) else ""
        return self.translation.types.get(name, 0)

    def operand(self, number: int) -> Value:
        """An operand that has to be there."""
        value = self.optional(number)
        if value is None:
            raise NodeError(f"operand {number} is missing", "export the network again")
        return value

    def optional(self, number: int) -> Value | None:
        """An operand, or None where it is left out."""
        return self.operands[number] if number < len(self.operands) else None

    def variable(self, number: int) -> Variable:
        """An operand that depends on the input, or constant floats as such a value."""
        value = self.operand(number)
        return self.lifted(value, f"operand {number}") if isinstance(value, Constant) else value

    def lifted(self, constant: Constant, what: str = "a constant") -> Variable:
        """Constant floats as a node that no input reaches.

        What is computed of constants alone is rounded by a runtime, and by every other evaluation differently. As a part
        of the graph it is a number of the real numbers that bounds account for like for any other.
        """
        if self.translation.builder.arithmetic is not Arithmetic.REAL:
            raise NodeError(f"{what} is a constant", "fold constants before export")
        array = finite(constant.array, what)
        self.make(array.shape)
        index = torch.full((array.size,), -1, dtype=torch.int64)
        source = self.translation.builder
        operator = Select(index, source.size(source.input), array.shape, tensor_of(array).reshape(-1))
        self.translation.lifted += 1
        return self.add(operator, (source.input,), array.shape, f"constant{self.translation.lifted}")

    def constant(self, number: int) -> NDArray[Any]:
        """An operand that is known."""
        value = self.operand(number)
        if isinstance(value, Variable):
            raise NodeError(f"operand {number} depends on the input, only a constant is known there")
        return value.array

    def numbers(self, number: int) -> NDArray[np.float64]:
        """An operand of known, finite floats."""
        return finite(self.constant(number), f"operand {number}")

    def indices(self, number: int) -> list[int] | None:
        """An operand of known integers, or None where it is left out."""
        if self.optional(number) is None:
            return None
        array = self.constant(number)
        if array.dtype != np.int64 or array.ndim > 1:
            raise NodeError(f"operand {number} is no list of integers", "export the network again")
        if array.size > max(_LONGEST_LIST, self.outputs):
            raise NodeError(f"operand {number} is a list of {array.size} numbers", "export the network again")
        return [int(value) for value in array.reshape(-1)]

    # -- attributes

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of those that are there."""
        return tuple(self._attributes)

    def tensor(self, name: str) -> NDArray[Any]:
        """An attribute that is a tensor, which has to be there."""
        return read_tensor(self.translation.path, self.attribute(name, TENSOR).t, self.translation.around)

    def has(self, name: str) -> bool:
        self._asked_for.add(name)
        return name in self._attributes

    def attribute(self, name: str, kind: int) -> onnx.AttributeProto:
        """An attribute that is there, of one of ONNX's types (0, where an old file says none, is any)."""
        self._asked_for.add(name)
        attribute = self._attributes[name]
        if attribute.type not in (0, kind):
            raise NodeError(f"its attribute '{name}' is of ONNX type {attribute.type}, not {kind}", "export it again")
        return attribute

    def check_attributes(self) -> None:
        """Refuse an attribute that nobody has asked for, once the node is translated.

        Operators get new ones with new opsets. What is passed over would be read as if it were not there.
        """
        passed_over = set(self._attributes) - self._asked_for - set(_OF_NO_CONSEQUENCE.get(self.operator, ()))
        if self.operator.startswith("Reduce"):
            passed_over -= set(_ALONG_NO_AXIS)
        if passed_over:
            raise NodeError(f"its attribute '{printable(min(passed_over))}', which is not known here")

    def integer(self, name: str, default: int) -> int:
        return int(self.attribute(name, INTEGER).i) if self.has(name) else default

    def flag(self, name: str, default: bool = False) -> bool:
        """An attribute that is 0 or 1; runtimes do not agree on what else would mean."""
        value = self.integer(name, int(default))
        if value not in (0, 1):
            raise NodeError(f"its attribute '{name}' is {value}, neither 0 nor 1", "export the network again")
        return bool(value)

    def number(self, name: str, default: float) -> float:
        """A float attribute; ONNX holds these as float32, and so is the default."""
        value = float(self.attribute(name, FLOAT).f) if self.has(name) else float(np.float32(default))
        if not math.isfinite(value):
            raise NodeError(f"its attribute '{name}' is {value}", "export the network again")
        return value

    def integers(self, name: str) -> list[int] | None:
        return [int(value) for value in self.attribute(name, INTEGERS).ints] if self.has(name) else None

    def text(self, name: str, default: str) -> str:
        return printable(self.attribute(name, TEXT).s) if self.has(name) else default

    def extents(self, name: str, axes: int, default: int, least: int) -> tuple[int, ...]:
        """One integer per axis, each at least ``least``."""
        values = self.integers(name) or [default] * axes
        if len(values) != axes or min(values) < least:
            raise NodeError(f"its attribute '{name}' is {values} for {axes} axes", "export the network again")
        return tuple(values)

    def axes(self, rank: int, operand: int, since: int) -> list[int] | None:
        """The list ``axes``: an attribute before opset ``since``, an operand from then on; from 0, each once."""
        axes = self.integers("axes") if self.opset < since else self.indices(operand)
        return None if axes is None else normalized(axes, rank)

    # -- results

    def make(self, shape: Shape) -> None:
        """Account for a result, and for the numbers of one array as large, before they are made."""
        self.translation.reserve(shape)
        self.translation.allocate(math.prod(shape))

    def add(self, operator: Operator, operands: tuple[int, ...], shape: Shape, part: str = "") -> Variable:
        """Append a node to the graph; ``part`` tells nodes of one call apart."""
        self.translation.reserve(shape)
        self.translation.ledger.nodes(1)
        # Once more for their magnitudes, which operators keep.
        self.translation.allocate(2 * sum(parameter.numel() for _, parameter in operator.parameters()))
        if isinstance(operator, Affine):
            self.translation.ledger.workspace(8 * operator.workspace())
        operator = self._one_object(operator, part)
        name = f"{self.name}/{part}" if part else self.name
        self.translation.made_by[id(operator)] = self.operator
        return Variable(self.translation.builder.add(name, operator, *operands), shape)

    def _one_object(self, operator: Operator, part: str) -> Operator:
        """The operator, or the one already made of the same node and constants, where its numbers are rounded ones.

        Equal numbers do not show then that two operators mean the same; that they are one object does.
        """
        if not isinstance(operator, Affine) or not operator.roundings or isinstance(operator, BatchNorm):
            return operator
        operands: list[object] = []
        for operand in self.operands:
            known = isinstance(operand, Constant)
            content = hashlib.sha256(np.ascontiguousarray(operand.array).tobytes()).digest() if known else b""  # type: ignore[union-attr]
            operands.append((operand is None, () if operand is None else operand.shape, known, content))
        attributes = sorted(attribute.SerializeToString() for attribute in self._attributes.values())
        key = (self.operator, self.opset, part, tuple(operands), tuple(attributes))
        return self.translation.rounded.setdefault(key, operator)

    def rearrange(self, value: Value, function: Callable[[NDArray[Any]], NDArray[Any]], part: str = "") -> Value:
        """Apply a function that only moves, repeats and drops entries of an array.

        Where the order of the entries is kept the result is the same node with another shape.
        """
        if isinstance(value, Constant):
            return Constant(function(value.array))
        self.translation.allocate(value.size)
        index = function(np.arange(value.size).reshape(value.shape))
        return self.select(value, index, part=part)

    def select(
        self, value: Variable, index: NDArray[np.int64], fill: NDArray[np.float64] | None = None, part: str = ""
    ) -> Variable:
        """The features ``index`` of a value, constants ``fill`` where it is -1, in the shape of ``index``."""
        # The index and its inverse, both with what is prepared for their use.
        self.translation.allocate(2 * (index.size + value.size))
        flat = np.ascontiguousarray(index).reshape(-1)
        if len(flat) == value.size and bool((flat == np.arange(value.size)).all()):
            return Variable(value.node, index.shape)
        filled = None
        if fill is not None and bool((fill != 0).any()):
            filled = torch.from_numpy(np.ascontiguousarray(finite(fill, "the padding")).reshape(-1))
        operator = Select(torch.from_numpy(flat.astype(np.int64)), value.size, index.shape, filled)
        return self.add(operator, (value.node,), index.shape, part)

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """The same entries in another shape."""
        if len(shape) > MOST_AXES:
            raise NodeError(f"a result of {len(shape)} axes", "export the network again")
        if math.prod(shape) != math.prod(value.shape):
            raise NodeError(
                f"{'x'.join(map(str, value.shape))} values do not have shape {'x'.join(map(str, shape))}",
                "export it for one sample: a batch size must not be fixed in the network",
            )
        if isinstance(value, Constant):
            return Constant(value.array.reshape(shape))
        return Variable(value.node, shape)


def finite(array: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Floats none of which is NaN or infinite."""
    if array.dtype != np.float64:
        raise NodeError(f"{what} holds {array.dtype}, not floats", "export the network again")
    if not bool(np.isfinite(array).all()):
        raise NodeError(f"{what} holds NaN or infinity", "retrain or repair the network")
    return array


def normalized(axes: list[int], rank: int) -> list[int]:
    """Axes counted from 0, each given once."""
    counted = [axis + rank if axis < 0 else axis for axis in axes]
    if any(not 0 <= axis < rank for axis in counted) or len(set(counted)) != len(counted):
        raise NodeError(f"axes {axes} are none of {rank} axes", "export the network again")
    return counted


def tensor_of(array: NDArray[np.float64]) -> torch.Tensor:
    """A tensor of its own (the file's arrays may be views or read-only)."""
    return torch.from_numpy(np.array(array, np.float64, order="C"))


Translate = Callable[[Call], Value | tuple[Value, ...]]
