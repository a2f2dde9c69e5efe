"""What a VNN-LIB 2.0 query declares: networks, and tensors as their inputs, hidden values and outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from netproof.formats.vnnlib.second.polynomials import Polynomial, value_at

#: element types, as the standard calls them, and the ONNX numbers of these types; real is none of ONNX
ELEMENT_TYPES: dict[str, int] = {
    "real": 0, "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16,
    "float8e4m3fn": 17, "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22,
    "float4e2m1": 23,
}  # fmt: skip


class Kind(Enum):
    INPUT = "input"
    HIDDEN = "hidden"
    OUTPUT = "output"


@dataclass(frozen=True)
class Variable:
    """A tensor that a query can speak of.

    Attributes
    ----------
    name, type : the type as in :data:`ELEMENT_TYPES`
    kind : what it is in its network
    shape : empty for a scalar
    onnx_name : the value of the file that it is, where the query says so
    first : the number of its first element among all elements of the query
    at : the number of the word where its name stands
    """

    name: str
    kind: Kind
    type: str
    shape: tuple[int, ...]
    onnx_name: str | None
    first: int
    at: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether its elements are whole numbers."""
        return self.type.startswith(("int", "uint")) or self.type == "bool"


@dataclass(frozen=True)
class Declaration:
    """A network that a query speaks of.

    Attributes
    ----------
    equal_to, isomorphic_to : the name of the network that it equals, or has the architecture of
    variables : inputs, then hidden values, then outputs
    at : the number of the word where its name stands
    """

    name: str
    equal_to: str | None
    isomorphic_to: str | None
    variables: tuple[Variable, ...]
    at: int

    def of(self, kind: Kind) -> tuple[Variable, ...]:
        return tuple(variable for variable in self.variables if variable.kind is kind)


@dataclass(frozen=True)
class Comparison:
    """``polynomial >= 0``, or ``> 0`` where it is strict; ``at`` is the number of the word where it stands."""

    polynomial: Polynomial
    strict: bool
    at: int

    def holds(self, values: list[Fraction]) -> bool:
        value = value_at(self.polynomial, values)
        return value > 0 if self.strict else value >= 0


@dataclass(frozen=True)
class Connective:
    """All of some formulas hold, or (``any``) at least one does."""

    any: bool
    parts: tuple[Formula, ...]

    def holds(self, values: list[Fraction]) -> bool:
        return (any if self.any else all)(part.holds(values) for part in self.parts)


Formula = Comparison | Connective


@dataclass(frozen=True, eq=False)
class Statement:
    """A query as its file states it, before any network is given.

    Attributes
    ----------
    path : the file
    version : the two numbers of its version
    networks : what it declares
    formulas : what it asserts, all of which is to hold
    elements : how many elements all variables have together
    """

    path: str
    version: tuple[int, int]
    networks: tuple[Declaration, ...]
    formulas: tuple[Formula, ...]
    elements: int

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(variable for network in self.networks for variable in network.variables)

    def holds(self, values: list[Fraction]) -> bool:
        """Whether values of all elements meet everything that is asserted, exactly."""
        return all(formula.holds(values) for formula in self.formulas)
