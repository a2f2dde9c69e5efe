"""One pass from an objective back to the input: the evaluation of the bound that every method shares.

What the multipliers mean, and why any will do, is in :mod:`netproof.bounds.dual`. The methods differ in what an
activation hands on and adds; passing coefficients through the affine maps, the offsets met there, the maximum over the
box, and the account of rounding are the same for all of them, and are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from netproof.bounds.condensed import Condensed
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, halves
from netproof.bounds.relaxation import Relaxation
from netproof.graph.pass_back import pass_back
from netproof.operators.base import Affine
from netproof.operators.sums import feature_product, feature_sum, row_products

if TYPE_CHECKING:
    from jaxtyping import Float


class Beside(NamedTuple):
    """What an activation adds to a bound, where it hands on to other nodes than its operand as well.

    Attributes
    ----------
    value : ``[B]``, added
    shares : coefficients ``[B, n]`` of values of nodes before it, by their indices
    error : ``[B]``, what rounding can have taken from both; None where none is accounted for
    """

    value: Tensor
    shares: Mapping[int, Tensor]
    error: Tensor | None


#: What an activation does with what it received, by its number ``k`` and ``v_k``: its multipliers, shaped like ``v_k``
#: (None, where it hands on nothing), and what it adds to the bound, one number per objective (None for nothing), perhaps with
#: what goes past its operand.
Activate = Callable[[int, Tensor], tuple[Tensor | None, Tensor | Beside | None]]


class Lines(NamedTuple):
    """Upper bounds of objectives that are affine in the input: ``coefficients . x + constant``, and on the box.

    Shapes are those of ``B`` objectives, or of ``R`` objectives for each of ``B`` boxes.

    Attributes
    ----------
    value : ``[B]`` or ``[B, R]``, the largest value on the box; rigorous where a rounding was given
    coefficients : ``[B, n_input]`` or ``[B, R, n_input]``
    constant : ``[B]`` or ``[B, R]``, without the error of rounding
    """

    value: Float[Tensor, " B *R"]
    coefficients: Float[Tensor, "#B *#R n"]
    constant: Float[Tensor, "#B *#R"]


@runtime_checkable
class Maximum(Protocol):
    """The largest value of a linear form over the inputs that a bound is about: those of a region's box, or some of them."""

    def __call__(
        self, constant: Float[Tensor, "*#B"], v: Float[Tensor, "*#B n"], region: Region
    ) -> Float[Tensor, "*B"]:
        """``max v . x + constant`` for ``v`` ``[B, n]``, or ``[B, R, n]`` for ``R`` objectives per box."""
        ...

    def at(self, v: Float[Tensor, "B n"], region: Region) -> Float[Tensor, "B n"]:
        """Where it is attained."""
        ...


class _OverBox:
    """Over all of the box."""

    def __call__(
        self, constant: Float[Tensor, "*#B"], v: Float[Tensor, "*#B n"], region: Region
    ) -> Float[Tensor, "*B"]:
        if v.ndim < 3 and region.lower.shape[0] > 1:
            return constant + feature_sum(torch.maximum(v * region.lower, v * region.upper))
        # One box for many objectives: two products with vectors instead of passes over all coefficients.
        center, radius = halves(region.lower, region.upper)
        if v.ndim < 3:
            return constant + (feature_product(v, center[0]) + feature_product(v.abs(), radius[0]))
        return constant + row_products(v, center) + row_products(v.abs(), radius)

    def at(self, v: Float[Tensor, "B n"], region: Region) -> Float[Tensor, "B n"]:
        return torch.where(v > 0, region.upper, region.lower)


#: what bounds are over unless they say otherwise
box_maximum: Maximum = _OverBox()


def bound_backwards(
    relaxation: Relaxation,
    objective: Objective,
    activate: Activate,
    rounding: Rounding | None = None,
    *,
    maximum: Callable[[Tensor, Tensor, Region], Tensor] = box_maximum,
    condensed: Mapping[int, Condensed] | None = None,
) -> Lines:
    """Bound objectives from above at the multipliers that ``activate`` gives.

    Differentiable in everything that goes in, as far as ``activate`` is.

    Parameters
    ----------
    relaxation : rows correspond to those of the objectives; a single row broadcasts
    objective : ``[B, n]`` per node, or ``[B, R, n]`` for ``R`` objectives per box
    rounding : of a region that holds this one, everything float64: the value is then an upper bound in real
        arithmetic. None leaves it as good as the dtype
    maximum : of ``v . x + constant`` over the inputs that count, called like a :class:`Maximum`
    condensed : sums, by node, that hand their share to what they are made of, past their activations
    """
    return _passed(relaxation, objective, activate, (rounding, maximum), condensed)


def bound_in_stages(
    relaxation: Relaxation,
    objective: Objective,
    activate: Activate,
    maximum: Callable[[Tensor, Tensor, Region], Tensor] = box_maximum,
) -> tuple[Lines, dict[int, Objective]]:
    """:func:`bound_backwards`, and what it came down to before every activation that received something, by its number.

    That is an objective, too, of this node and nodes before it: where nothing but multipliers of this activation and those
    before it change, passing it on is enough. The one given comes last, by the number of activations.
    """
    stages = {len(relaxation.graph.activations): objective}
    lines = _passed(relaxation, objective, activate, (None, maximum), None, stages)
    return lines, stages


def _passed(
    relaxation: Relaxation,
    objective: Objective,
    activate: Activate,
    means: tuple[Rounding | None, Callable[[Tensor, Tensor, Region], Tensor]],
    condensed: Mapping[int, Condensed] | None,
    stages: dict[int, Objective] | None = None,
) -> Lines:
    """What bounds in one pass and in stages have in common; ``stages`` are taken down where they are asked for."""
    rounding, maximum = means
    jumps = condensed or {}
    graph, region = relaxation.graph, relaxation.region
    value = constant = objective.constant
    weighed = constant.new_zeros(()) if objective.error is None else objective.error
    if rounding is not None:
        for source, c in objective.coefficients.items():
            weighed = weighed + rounding.weigh(source, c)

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor | None]:
        nonlocal value, weighed
        if index in jumps:
            handed, constants, off = jumps[index].relax(v, rounding)
            value = value + constants
            if off is not None:
                weighed = weighed + off
            return (handed,)
        node = graph.nodes[index]
        operator = node.operator
        if isinstance(operator, Affine):
            value = value + operator.offset(v)
            return operator.adjoint(v)
        s, added = activate(k, v)
        if isinstance(added, Beside):
            beside.update(added.shares)
            if added.error is not None:
                weighed = weighed + added.error
            added = added.value
        if added is not None:
            value = value + added
        if rounding is not None and s is not None:
            weighed = weighed + rounding.weigh(node.operands[0], s)
        return (s,)

    def seen(k: int, received: Mapping[int, Tensor]) -> None:
        if stages is not None:
            stages[k] = Objective(dict(received), value)

    beside: dict[int, Tensor] = {}
    past = {index: sums.chain.source for index, sums in jumps.items()}
    v = pass_back(graph, objective.coefficients, hand_on, past, beside, None if stages is None else seen)
    if v is None:
        # Nothing depends on the input but through ranges that activations have turned into numbers already.
        shape = (max(value.shape[0], len(region)), *value.shape[1:])
        bound, v = value.expand(shape), value.new_zeros(()).expand(*shape, graph.input.size)
    else:
        bound = maximum(value, v, region)
    if rounding is not None:
        bound = rounding.total(bound, constant, weighed)
    return Lines(bound, v, value)
