"""What some nodes are as functions of one earlier node, so that a gate ``a * g(a)`` is read as the function that it is.

Exporters write GELU, SiLU and others as products. Bounded as a product of two values, ``a`` and ``g(a)`` would vary apart.
Numbers are fractions, so that a function is recognized as what the file's numbers make it, and no other one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from netproof.operators.activations.curves.gates import Gelu, HardSwish, Mish, Silu, TanhGelu
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.curves.saturating import Softsign

if TYPE_CHECKING:
    from netproof.operators.base import Activation

ONE, ZERO = Fraction(1), Fraction(0)


@dataclass(frozen=True)
class Formula:
    """``factor * kind(rate * a) + offset`` of a node ``a``; of the kind ``a`` the function itself is ``a``.

    Of the kind ``cubic`` it is ``a + cubic * a^3``, and so is the argument of a ``cubic tanh`` and a ``cubic sigmoid``, times ``rate``.
    """

    kind: str
    node: int
    rate: Fraction = ONE
    factor: Fraction = ONE
    offset: Fraction = ZERO
    cubic: Fraction = ZERO


@dataclass(eq=False)
class Formulas:
    """Formulas of nodes, noted as these are made.

    Attributes
    ----------
    known : by node
    shares : nodes of which runs of so many features, one after the other, add up to 1
    of_the_reals : whether sums may be written in another way that is the same over the real numbers, and not in
        floating point
    """

    known: dict[int, Formula] = field(default_factory=dict)
    shares: dict[int, int] = field(default_factory=dict)
    of_the_reals: bool = True
    _hard: dict[int, HardSwish] = field(default_factory=dict)
    _of_hard: dict[int, int] = field(default_factory=dict)

    def of(self, node: int) -> Formula:
        """A node's formula; that it is itself, where nothing else is known."""
        return self.known.get(node, Formula("a", node))

    def applied(self, kind: str, operand: int, result: int) -> None:
        """A function of a node."""
        inner = self.of(operand)
        if inner.kind == "a" and not inner.offset:
            self.known[result] = Formula(kind, inner.node, inner.factor)
        elif inner.kind == "cubic" and kind in ("tanh", "sigmoid") and not inner.offset:
            self.known[result] = Formula(f"cubic {kind}", inner.node, inner.factor, cubic=inner.cubic)
        elif (inner.kind, kind) == ("softplus", "tanh") and (inner.factor, inner.offset) == (ONE, ZERO):
            self.known[result] = Formula("mish gate", inner.node, inner.rate)
        elif (inner.kind, kind) == ("abs", "reciprocal") and inner.factor == inner.offset == inner.rate == 1:
            self.known[result] = Formula("softsign gate", inner.node)

    def scaled(self, operand: int, result: int, factor: Fraction, offset: Fraction) -> None:
        """``factor * operand + offset``, with the numbers that the file means."""
        inner = self.of(operand)
        if operand != result:
            self.known[result] = replace(inner, factor=inner.factor * factor, offset=inner.offset * factor + offset)

    def added(self, left: int, right: int, sign: int, result: int) -> None:
        """``left + right``, or ``left - right`` with ``sign`` -1: of a node and its cube, the beginning of a GELU by tanh."""
        one, other = self.of(left), self.of(right)
        first, second = ONE, Fraction(sign)
        if one.kind == "cube":
            one, other, first, second = other, one, second, first
        if (one.kind, other.kind) != ("a", "cube") or one.node != other.node or one.offset or other.offset:
            return
        factor = first * one.factor
        if factor:
            share = second * other.factor * other.rate**3 / factor
            self.known[result] = Formula("cubic", one.node, factor=factor, cubic=share)

    def multiplied(self, left: int, right: int, result: int) -> None:
        """``left * right``: of a node and a number more than its square, another beginning of a GELU by tanh."""
        for one, other in ((left, right), (right, left)):
            a, square = self.of(one), self.of(other)
            if (a.kind, square.kind) == ("a", "square") and a.node == square.node and not a.offset and square.offset:
                share = square.factor * square.rate**2 / square.offset
                self.known[result] = Formula("cubic", a.node, factor=a.factor * square.offset, cubic=share)

    def hard(self, operand: int, result: int, alpha: float, beta: float) -> None:
        """A hard sigmoid of a node."""
        if self.of(operand) == Formula("a", operand) and 1e-3 < alpha < 1e3 and 0 < beta < 1:
            self._hard[result], self._of_hard[result] = HardSwish(alpha, beta), operand

    def gated(self, left: int, right: int) -> tuple[Activation, int, Fraction] | None:
        """The product of two nodes as a multiple of a function of one node: the function, the node, and the factor."""
        for one, other in ((left, right), (right, left)):
            if other in self._hard and self._of_hard.get(other) == one:
                return self._hard[other], one, ONE
            a, gate = self.of(one), self.of(other)
            if a.kind != "a" or a.offset or a.node != gate.node:
                continue
            function = self._function(gate)
            if gate.kind == "a" and not gate.offset and self.of_the_reals:
                function = Power(2.0)
            if function is not None:
                halved = isinstance(function, Gelu) or gate.kind == "cubic tanh"
                return function, a.node, a.factor * gate.factor * (2 if halved else 1)
        return None

    @staticmethod
    def _function(gate: Formula) -> Activation | None:
        rate = float(gate.rate)
        if gate.kind == "erf":
            return Gelu(float(1 / gate.rate)) if gate.offset == gate.factor and 1e-3 < rate < 1e3 else None
        if gate.kind in ("cubic tanh", "cubic sigmoid"):
            rate, cubic = (rate, float(gate.cubic)) if gate.kind == "cubic tanh" else (rate / 2, float(gate.cubic))
            wanted = gate.factor if gate.kind == "cubic tanh" else ZERO
            fits = gate.offset == wanted and 1e-3 <= rate <= 1e3 and 0 <= cubic <= 1e3
            return TanhGelu(rate, cubic) if fits else None
        if gate.offset:
            return None
        if gate.kind == "sigmoid":
            return Silu(rate) if 1e-3 < rate < 1e3 else None
        if gate.kind == "square" and gate.rate == 1:
            return Power(3.0)
        known = {"mish gate": Mish(), "softsign gate": Softsign()}
        return known.get(gate.kind) if gate.rate == 1 else None
