"""A quantized ONNX file as a rule computes it."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.formats.onnx.quantized.rules.rule import Rule
from netproof.formats.onnx.quantized.values import Quantization
from netproof.graph.graph import Graph
from netproof.network import Network


@dataclass(frozen=True, eq=False)
class Layer:
    """Codes that a node of the file gives, and where they are in :attr:`Deployed.graph`.

    Attributes
    ----------
    name, operator, shape : of the value, and what gives it
    node, offset : the node, whose features are codes less ``offset``
    kind : the type of the codes, as ONNX numbers it
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    node: int
    offset: int
    kind: int


@dataclass(frozen=True, eq=False)
class Deployed:
    """A file as a rule computes it.

    Attributes
    ----------
    network : for queries
    rule : by which it was read
    graph, output : the same function with all that the file computes besides, and the node that is its output
    layers : every value that is codes, in turn
    result : the last of them, what :attr:`output` is
    source : the value of the file that :attr:`output` stands for, before a softmax
    input : how floats that the file takes are quantized; None where it takes codes
    dequantized : how the value :attr:`source` stands for codes; None where it is codes
    """

    network: Network
    rule: Rule
    graph: Graph
    output: int
    layers: tuple[Layer, ...]
    result: Layer
    source: str
    input: Quantization | None
    dequantized: Quantization | None
