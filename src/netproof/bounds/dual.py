"""The one bound: the dual evaluation, at multipliers and with all that attains it.

For multipliers ``s_k``, one per activation feature, and an objective ``c . z + e`` in the values
of some nodes, over a region X with pre-activation ranges ``[l, u]``,

    max objective  <=  e + s . bias + max_{x in X} v_x . x + sum_k phi_k(v_k, s_k)

    v = c + adjoint of all affine maps applied to s
    phi_k(v, s) = max { v f_k(a) - s a : l_k <= a <= u_k }

holds for *every* real ``s``: it is Lagrangian duality with each definition ``a = affine(...)``
dualized. Interval propagation, CROWN, alpha- and beta-CROWN and LP duality are choices of ``s``. The pass itself is
:func:`netproof.bounds.backward.bound_backwards`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, bound_backwards, box_maximum
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.operators.base import Affine
from netproof.operators.hulls.hull import Conjugate, Hull
from netproof.operators.sums import feature_sum
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


#: where the evaluation gets ``s_k`` from, by its number ``k``, once it knows ``v_k``
Multipliers = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class DualPoint(Rows):
    """The bound at given multipliers and what attains it.

    Attributes
    ----------
    value : ``[B]``, the upper bound
    s : the multipliers, one ``[B, n_k]`` per activation (None where the objective does not reach)
    v : what each activation received, aligned with ``s``
    conjugates : ``phi_k`` with its maximizers, aligned with ``s``
    input_coefficients : ``[B, n_input]``, ``v_x``
    relaxation : where the bound holds
    maximum : over which inputs
    """

    value: Float[Tensor, " B"]
    s: tuple[Float[Tensor, "#B _"] | None, ...]
    v: tuple[Float[Tensor, "#B _"] | None, ...]
    conjugates: tuple[Conjugate | None, ...]
    input_coefficients: Float[Tensor, "#B n"]
    relaxation: Relaxation
    maximum: Maximum = box_maximum

    @property
    def region(self) -> Region:
        return self.relaxation.region

    @property
    def x(self) -> Float[Tensor, "B n"]:
        """``[B, n_input]``, the input that maximizes ``v_x . x``, of a box a corner."""
        return self.maximum.at(self.input_coefficients, self.region)


def given(s: Sequence[Float[Tensor, "#B _"] | None]) -> Multipliers:
    """Multipliers that are already known."""

    def multipliers(k: int, v: Tensor) -> Tensor:
        known = s[k]
        if known is None:
            raise ValueError(f"the objective reaches activation {k}, for which there are no multipliers")
        return known

    return multipliers


def crown(hulls: Sequence[Hull]) -> Multipliers:
    """CROWN's choice, from the output backwards: ``s = slope * v`` (Zhang et al., NeurIPS 2018)."""

    def multipliers(k: int, v: Tensor) -> Tensor:
        return hulls[k].slope(v) * v

    return multipliers


def evaluate_dual(
    relaxation: Relaxation,
    objective: Objective,
    multipliers: Multipliers,
    rounding: Rounding | None = None,
    maximum: Maximum = box_maximum,
) -> DualPoint:
    """Evaluate the bound for every row of the batch.

    The rows of ``relaxation`` and ``objective`` correspond; a single row broadcasts.
    In integer graphs the arithmetic is exact for multipliers on a dyadic grid
    (:mod:`netproof.bounds.deciding.exact`); otherwise it is as good as the dtype. With ``rounding``, of a region that
    holds this one, everything is float64 and the value an upper bound in real arithmetic, ``+inf`` where there is none; the
    objective is taken as it is, but for its error. ``maximum`` is over the inputs that count, all of the box by default.
    """
    if rounding is not None and not (relaxation.region.lower.dtype == objective.constant.dtype == torch.float64):
        raise ValueError("rigorous evaluation needs float64")
    count, hulls = len(relaxation.graph.activations), relaxation.hulls
    s: list[Tensor | None] = [None] * count
    vs: list[Tensor | None] = [None] * count
    conjugates: list[Conjugate | None] = [None] * count

    def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor]:
        multiplier = multipliers(k, v)
        conjugate = hulls[k].conjugate(v, multiplier)
        s[k], vs[k], conjugates[k] = multiplier, v, conjugate
        return multiplier, feature_sum(conjugate.value)

    lines = bound_backwards(relaxation, objective, activate, rounding, maximum=maximum)
    return DualPoint(lines.value, tuple(s), tuple(vs), tuple(conjugates), lines.coefficients, relaxation, maximum)


def relaxed_values(point: DualPoint, last: int | None = None) -> list[Float[Tensor, "#B _"]]:
    """Node values at the bound's own maximizers: affine maps of ``x`` and of the images ``f(a)``.

    Together with the maximizers ``a`` these give a subgradient of the bound: its derivative in
    ``s_k`` is (pre-activation here) - (maximizer ``a_k``), in ``c`` it is the node value.
    """
    values = [point.x]
    k = 0
    for node in point.relaxation.graph.nodes[1 : None if last is None else last + 1]:
        if isinstance(node.operator, Affine):
            values.append(node.operator.forward(*(values[i] for i in node.operands)))
        else:
            conjugate = point.conjugates[k]
            k += 1
            operand = values[node.operands[0]]
            # Where the objective does not depend on this activation its image is never used.
            values.append(torch.zeros_like(operand) if conjugate is None else conjugate.image.expand_as(operand))
    return values
