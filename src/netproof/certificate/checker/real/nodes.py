"""What a network is to the checker: values in topological order."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.certificate.checker.real.operators import Affine

#: kinds of bends, besides the names of curves
RELU, PRODUCT = "relu", "product"


@dataclass(frozen=True, eq=False)
class Node:
    """A value: an affine map of others, or a bend of one (``operator`` None), or the input (no operands)."""

    operator: Affine | None
    operands: tuple[int, ...]
    size: int
    #: the function of every number, or of two halves
    bend: str = ""


@dataclass(frozen=True, eq=False)
class RealNetwork:
    """Nodes in topological order: the input first, the output last; ``bends`` are the positions of those."""

    nodes: tuple[Node, ...]
    bends: tuple[int, ...]

    @property
    def inputs(self) -> int:
        return self.nodes[0].size

    @property
    def outputs(self) -> int:
        return self.nodes[-1].size

    @property
    def operands(self) -> tuple[int, ...]:
        """The operand of every bend."""
        return tuple(self.nodes[i].operands[0] for i in self.bends)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many numbers it has."""
        return tuple(self.nodes[i].size for i in self.operands)
