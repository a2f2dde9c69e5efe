"""What a network is to the checker: values in topological order."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.certificate.checker.real.operators import Affine


@dataclass(frozen=True, eq=False)
class Node:
    """A value: an affine map of others, or a ReLU of one (``operator`` None), or the input (no operands)."""

    operator: Affine | None
    operands: tuple[int, ...]
    size: int

    @property
    def is_relu(self) -> bool:
        return self.operator is None and bool(self.operands)


@dataclass(frozen=True, eq=False)
class RealNetwork:
    """Nodes in topological order: the input first, the output last; ``relus`` are the positions of those."""

    nodes: tuple[Node, ...]
    relus: tuple[int, ...]

    @property
    def inputs(self) -> int:
        return self.nodes[0].size

    @property
    def outputs(self) -> int:
        return self.nodes[-1].size

    @property
    def operands(self) -> tuple[int, ...]:
        """The operand of every ReLU."""
        return tuple(self.nodes[i].operands[0] for i in self.relus)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.nodes[i].size for i in self.relus)
