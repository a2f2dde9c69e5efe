"""The two kinds of operator a graph is made of.

Values are tensors of shape ``[..., n]``: any number of leading batch axes, and the node's
features flattened (C order) on the last axis. An operator that needs the shape of its features
(a convolution) knows it and reshapes inside.

Integer graphs keep every value an integer held in float64. That is exact as long as no partial
sum reaches 2**53 (2**52 where halves occur), which :func:`netproof.graph.exactness.check_exact` establishes once per graph.
Real graphs round; how much an operator's own numbers are rounded is part of the contract of :class:`Affine`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.hull import Hull

if TYPE_CHECKING:
    from jaxtyping import Float


Shape = tuple[int, ...]


class Operator(ABC):
    """Anything that can sit at a node of a graph."""

    #: the name shown by ``netproof inspect`` and in error messages
    name: str

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the result (without batch axes); raises ``ValueError`` where operands do not fit."""

    @abstractmethod
    def to(self, dtype: torch.dtype, device: torch.device) -> Operator:
        """The same operator with its parameters in another dtype or on another device."""

    def parameters(self) -> list[tuple[str, Tensor]]:
        """The operator's own tensors, by name."""
        return []

    def describe(self) -> str:
        """One short phrase about the parameters, for ``netproof inspect``."""
        return ""


class Affine(Operator):
    """A map ``z = sum_i A_i x_i + b`` of one or more operands.

    The numbers an operator holds may be rounded ones: a batch norm's scale has a square root in it, and
    folding a scale into a weight multiplies. What it stands for is then ``z = sum_i A*_i x_i + b*`` with

        |A*_i - A_i| <= gamma_k |A_i|,  k = :attr:`roundings`,   and   |b* - b| <= :meth:`offset_error`

    elementwise, ``gamma_k = k u / (1 - k u)``, ``u = 2**-53``: how much is known of the map that the file
    means, and what an error term has to cover (docs/semantics.md). Both are 0 for what the file itself holds.
    Conversion to a narrower dtype is not counted: the result is for searching, not for deciding.
    """

    #: how often each coefficient of the linear part was rounded on its way from the file (0: it is exact)
    roundings: int = 0

    def offset_error(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        """How far the offset may be from the one meant: ``[n]``, or a scalar 0 where it is exact."""
        return torch.zeros((), dtype=torch.float32)

    def terms(self) -> tuple[int, int]:
        """Numbers of products in the longest sums of :meth:`forward` (the offset is one more) and :meth:`adjoint`.

        The ``n`` of ``gamma_n`` in an a-priori bound on their rounding: what operators of real graphs have to say.
        """
        raise NotImplementedError(f"'{self.name}' does not say how long its sums are")

    def workspace(self) -> int:
        """How many numbers are laid out beside operand and result to compute one row of either map."""
        return 0

    def offset_additions(self) -> int:
        """The most additions that a number goes through in :meth:`offset`, where these are more than in a
        :func:`netproof.operators.sums.feature_sum`."""
        return 0

    @abstractmethod
    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        """``sum_i A_i x_i + b``: ``[..., n_i]`` each to ``[..., n]``."""

    @abstractmethod
    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        """``sum_i A_i x_i``, without the offset."""

    @abstractmethod
    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        """``sum_i |A_i| x_i``: maps radii to the radius of the result (no offset)."""

    @abstractmethod
    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        """``A_i' v`` for every operand: ``[..., n]`` to ``[..., n_i]``."""

    @abstractmethod
    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        """``|A_i|' v`` for every operand: bounds every partial sum of :meth:`adjoint`."""

    @abstractmethod
    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        """``v . b``: ``[..., n]`` to ``[...]``."""

    @abstractmethod
    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        """``|b|``, shape ``[n]`` or a scalar 0."""

    def part(self, features: Tensor, idle: Sequence[Tensor | None] = ()) -> Part:
        """The operator for ``features`` ``[m]`` of the result (indices in rising order) alone, or for few more.

        Its numbers are those of the whole, and so is what is said of their roundings. An operator that has no such
        part returns itself. ``idle`` says of each operand which features are 0 (bool, None for none of them): they
        may be left out, but need not be.
        """
        return Part(self)


@dataclass(frozen=True, eq=False)
class Part:
    """An affine operator for a part of its result.

    Attributes
    ----------
    operator : takes and gives nothing but the features below
    features : ``[n]``, indices in the whole result, rising; None for all
    operands : the indices in each operand that it takes, rising, None for all of one; None for all of all
    """

    operator: Affine
    features: Tensor | None = None
    operands: tuple[Tensor | None, ...] | None = None


class Activation(Operator):
    """One scalar function ``f``, applied elementwise; its node has exactly one operand ``a``.

    A *coupled* one (:class:`netproof.operators.activations.pairs.product.Product`) is a function of pairs of features instead. Its
    hull is one of pairs, too: what it says of one feature holds together with its neighbour, and not for another range
    of either alone.
    """

    #: whether what becomes of a feature depends on others
    coupled = False

    def closed(self, features: Tensor, size: int) -> Tensor:
        """``features`` ``[m]`` (indices in rising order, of ``size``) with those that they depend on besides themselves."""
        return features

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    @abstractmethod
    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        """``f(a)``, elementwise."""

    @abstractmethod
    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """``(min, max)`` of ``f`` on ``[lower, upper]``, never too narrow.

        The tightest where ``f`` is evaluated without rounding; elsewhere as much wider as the
        operator's own docstring says.
        """

    @abstractmethod
    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        """The convex hull of the graph of ``f`` over ``[lower, upper]``."""

    @abstractmethod
    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """Where to split ``[lower, upper]`` for a point ``near``.

        Returns ``t`` such that the halves ``[lower, below(t)]`` and ``[t, upper]`` both have a
        smaller hull, and NaN where the function needs no split (it is affine there).
        """

    @abstractmethod
    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """A function between a continuous stand-in (``hardness`` 0) and ``f`` itself (1)."""

    @abstractmethod
    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        """A slope to follow uphill: nonzero also where ``f`` is flat but within ``widening`` (a number, or ``[B, 1]``)
        steps of where it is not."""

    @abstractmethod
    def select(self, features: Tensor, size: int) -> Activation:
        """The same activation on a selection (indices) of its ``size`` features."""

    @abstractmethod
    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        """Upper end of the lower half of a split: ``t - 1`` for integers, ``t`` for reals."""
