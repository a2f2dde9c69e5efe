"""A network as its file gives it: the graph, its identity, and the inputs it is meant for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property
from os import PathLike

import torch
from torch import Tensor

from netproof.arguments.words import described, shown
from netproof.errors import InputError
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Graph, Node
from netproof.host import on_own_terms


@dataclass(frozen=True)
class Feed:
    """What a model is given for one of its inputs.

    Attributes
    ----------
    name : of the input, as the file has it
    places : which of the network's inputs its entries are, in C order
    shape : of the array
    type : of its elements, ``float32`` for instance
    """

    name: str
    places: tuple[int, ...]
    shape: tuple[int, ...]
    type: str


@dataclass(frozen=True)
class Member:
    """One model of several that make a network together, each evaluated by itself.

    Attributes
    ----------
    name : what a question calls it
    path : the file it was read from
    content : the model, as a runtime takes it
    feeds : what its inputs are given
    results : the values that are wanted of it, in this order, by the names of the file
    """

    name: str
    path: str
    content: bytes = field(repr=False)
    feeds: tuple[Feed, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class Meaning:
    """What whole-numbered codes stand for: ``scale k + shift`` of a code ``k``, in exact numbers; ``scale`` is positive."""

    scale: Fraction
    shift: Fraction

    @classmethod
    def of(cls, scale: float, zero: int) -> Meaning:
        """Of codes of a scale, which is the number that it is in the file, and a zero point."""
        return cls(Fraction(scale), -Fraction(scale) * zero)


class Kept(Enum):
    """What of the file's outputs the graph's are: a query may ask for no more.

    ``VALUES`` : all of it
    ``ORDER`` : which of two outputs is larger, because a final softmax was left out
    ``CLASS`` : which is the first largest: the softmax gives whole-numbered codes, which can be equal for different operands
    ``NOTHING`` : not even that
    """

    VALUES = "values"
    ORDER = "order"
    CLASS = "class"
    NOTHING = "nothing"


@dataclass(frozen=True, eq=False)
class Network:
    """A graph and where it came from.

    Attributes
    ----------
    graph : the network's graph
    path : the file it was read from
    sha256 : hash of its content (decompressed where it is gzip), by which evidence names the network
    lower, upper : ``[n_input]``, the values an input can take at all (0..255 for 8-bit pixels; infinite for floats)
    scheme : the reading of the file, in words (bit widths, for instance), as evidence states it
    notes : what the reader did that a report has to say
    kept : what of the file's outputs the graph's are, where a final softmax was left out
    content : the file itself, decompressed, for whoever is to evaluate it or to read it again; empty where the network
        was made in memory
    runtime : the rule by which a file that several runtimes compute differently was read; empty where there is one only
    processors : what may differ from one processor to another that this runtime is on, in sentences; empty where it was
        established that nothing does, None where it was not examined
    members : the models it is made of where it is none by itself (several networks side by side, hidden values, several
        inputs or outputs). What they give, one after the other, is what a witness has as its output; the graph's output
        is what constraints need of it
    left_out : what was left out of the graph at its end, where only the order of the outputs is the file's
    input_meaning, output_meaning : what codes of a network of integers stand for, the same for all of them; None where the file
        does not say
    as_stored : the graph of these models before it was simplified, operator by operator as they compute it
    """

    graph: Graph
    path: str
    sha256: str
    lower: Tensor
    upper: Tensor
    scheme: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kept: Kept = Kept.VALUES
    content: bytes = field(default=b"", repr=False)
    runtime: str = ""
    processors: tuple[str, ...] | None = None
    members: tuple[Member, ...] = ()
    as_stored: Graph | None = None
    left_out: Graph | None = None
    input_meaning: Meaning | None = None
    output_meaning: Meaning | None = None

    @property
    def computed_by(self) -> str:
        """By whose rule the integers are, in words; empty where there is one only."""
        if not self.runtime:
            return ""
        others = "; on some processors it may compute others (netproof inspect)" if self.processors else ""
        return f"integers as '{self.runtime}' computes them{others}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input as the file has it, a batch axis of 1 included where there is one."""
        return self.graph.input.shape

    @property
    def inputs(self) -> int:
        """Number of input values."""
        return self.graph.input.size

    @property
    def outputs(self) -> int:
        """Number of output values."""
        return self.graph.output.size

    @cached_property
    def complete(self) -> Network | None:
        """The network with what was left out of its graph; None where that is not known."""
        if self.left_out is None:
            return None
        first = len(self.graph.nodes) - 1
        behind = [
            Node(node.name, node.operator, tuple(first + operand for operand in node.operands), node.shape)
            for node in self.left_out.nodes[1:]
        ]
        graph = Graph(self.graph.arithmetic, [*self.graph.nodes, *behind])
        return replace(self, graph=graph, kept=Kept.VALUES, left_out=None, notes=self.notes[:-1])

    @cached_property
    def largest_output(self) -> float:
        """A bound on the magnitude of every output (integer networks)."""
        return float(check_exact(self.graph, self.lower, self.upper, self.path)[-1].max())

    @on_own_terms
    def classify(self, x: Tensor) -> Tensor:
        """Index of the first largest output: ``[..., n_input]`` to ``[...]`` (int64).

        ``torch.argmax`` leaves open which of several equal maxima it returns; here it is the first. Raises :class:`InputError`
        for what is no tensor of the network's kind of numbers and number of inputs.
        """
        if not isinstance(x, Tensor):
            raise InputError("x", f"is {described(x)}", "give a tensor: torch.as_tensor(x, dtype=torch.float64)")
        if x.dtype != self.lower.dtype or x.ndim == 0 or x.shape[-1] != self.inputs:
            problem = (
                f"is {x.dtype} of shape {tuple(x.shape)}, the network takes {self.lower.dtype} [..., {self.inputs}]"
            )
            raise InputError("x", problem, f"convert it: x.double().reshape(-1, {self.inputs})")
        y = self.graph.evaluate(x)
        is_largest = y == y.amax(-1, keepdim=True)
        order = torch.arange(y.shape[-1], 0, -1, device=y.device)
        return (is_largest * order).argmax(-1)


def check_network(given: object, argument: str = "network") -> None:
    """Raise :class:`InputError` for what is no network, saying how one is made of it."""
    if isinstance(given, Network):
        return
    if isinstance(given, str | PathLike):
        raise InputError(argument, f"is {described(given)}", f"read it first: netproof.load({shown(str(given))})")
    if isinstance(given, torch.nn.Module | torch.export.ExportedProgram):
        raise InputError(
            argument, f"is {described(given)}", "make a network of it: netproof.from_torch(module, (1, 3, 32, 32))"
        )
    raise InputError(argument, f"is {described(given)}", "give what netproof.load or netproof.from_torch returns")
