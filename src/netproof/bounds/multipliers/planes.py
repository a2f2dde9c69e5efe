"""Upper planes over what a neuron is made of, in place of chords over its range.

The chord of a neuron ``f(a)``, ``a = w . h + b``, lets ``a`` have all of its range wherever the values ``h`` before it are. Over the
box of these values the least concave function above ``f(w . h + b)`` is smaller, and equal to it at every corner (Anderson et al.,
*Strong mixed-integer programming formulations for trained neural networks*, Math. Program. 2020; Tjandraatmadja et al., *The
convex relaxation barrier, revisited*, NeurIPS 2020). Any ``m`` gives a plane above it,

    f(w . h + b)  <=  m . h + o,      o = max { f(w . h + b) - m . h : h in the box, l <= a <= u }.

Where ``f`` is the larger of two lines the maximum is the larger of two, each of a linear function on a box with one
more constraint (``a <= u`` for the line on the right, ``a >= l`` for the one on the left), at most

    max { (right - p) a - m . h : h in the box } + p u     and     max { (left + q) a - m . h : h in the box } - q l

for any ``p, q >= 0`` (weak duality). ``m = r * w`` with one price ``r`` for every neuron and every value it is made of; the chord is
``r = chord``, ``p = right - chord``, ``q = chord - left``. Prices are chosen by Adam for an objective on the whole region, and the planes
kept on its parts, in which they cost what a sparse product costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from netproof.bounds.deciding.rounding import Rounding
from netproof.graph.rounding import gamma

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix ``[m, n]`` by its entries that are not 0, in the order of rows, and of columns.

    Attributes
    ----------
    row, column, value : ``[e]``, in the order of rows
    shape : ``(m, n)``
    """

    row: Int64[Tensor, " e"]
    column: Int64[Tensor, " e"]
    value: Float[Tensor, " e"]
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: Float[Tensor, "m n"]) -> Sparse:
        row, column = matrix.nonzero(as_tuple=True)
        return cls(row, column, matrix[row, column], (matrix.shape[0], matrix.shape[1]))

    def with_values(self, value: Float[Tensor, " e"]) -> Sparse:
        return Sparse(self.row, self.column, value, self.shape)

    def to(self, dtype: torch.dtype, device: torch.device) -> Sparse:
        return Sparse(self.row.to(device), self.column.to(device), self.value.to(device, dtype), self.shape)

    def dense(self) -> Float[Tensor, "m n"]:
        place = self.row * self.shape[1] + self.column
        return self.value.new_zeros(self.shape[0] * self.shape[1]).index_add(0, place, self.value).view(self.shape)

    def rows(self, rows: Int64[Tensor, " r"]) -> Float[Tensor, "r n"]:
        """Some rows, dense; ``rows`` are consecutive."""
        begin, end = torch.searchsorted(self.row, torch.stack([rows[0], rows[-1] + 1])).tolist()
        found = self.value.new_zeros(len(rows), self.shape[1])
        found[self.row[begin:end] - rows[0], self.column[begin:end]] = self.value[begin:end]
        return found

    def row_sums(self, by: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
        """``|matrix| @ by``."""
        return self.value.new_zeros(self.shape[0]).index_add(0, self.row, self.value.abs() * by[self.column])


def _starts(number: Tensor, count: int) -> Tensor:
    return torch.searchsorted(number, torch.arange(count, device=number.device)).int()


class Product:
    """``v`` ``[B, m]`` to ``v @ matrix`` ``[B, n]``, differentiable in ``v``."""

    def __init__(self, matrix: Sparse) -> None:
        m, n = matrix.shape
        order = matrix.column.argsort(stable=True)
        self.sums = matrix.row[order].int(), _starts(matrix.column[order], n), matrix.value[order]
        self.back = matrix.column.int(), _starts(matrix.row, m), matrix.value

    def __call__(self, v: Float[Tensor, "B m"]) -> Float[Tensor, "B n"]:
        return _Gathered.apply(v, self)  # type: ignore[no-any-return, no-untyped-call]


class _Gathered(torch.autograd.Function):
    """Every column a weighted sum of rows; its own derivative is the same with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, product: Product) -> Tensor:
        ctx.product = product
        return _gather(v, *product.sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _gather(gradients[0], *ctx.product.back), None


def _gather(v: Tensor, entry: Tensor, start: Tensor, value: Tensor) -> Tensor:
    if not len(entry):
        return v.new_zeros(len(v), len(start))
    return functional.embedding_bag(entry, v.T.contiguous(), start, mode="sum", per_sample_weights=value).T


class Planes:
    """Planes of all unstable features of one activation.

    Parameters
    ----------
    onto : per node before it the matrix ``m`` ``[features, n]``
    offset : ``[features]``
    size : ``[features]`` float64, no partial sum of a plane's value on the region exceeds it
    ends : the prices ``p`` and ``q`` of the ends of ranges that the offsets come from, ``[features]`` each
    """

    def __init__(
        self,
        onto: Mapping[int, Sparse],
        offset: Float[Tensor, " m"],
        size: Float64[Tensor, " m"] | None = None,
        ends: tuple[Float64[Tensor, " m"], Float64[Tensor, " m"]] | None = None,
    ) -> None:
        self.onto, self.offset, self.size, self.ends = dict(onto), offset, size, ends
        self._products: dict[int, Callable[[Tensor], Tensor]] = {i: Product(one) for i, one in self.onto.items()}

    def shares(self, v: Float[Tensor, "B m"]) -> dict[int, Float[Tensor, "B _"]]:
        """What each node gets where ``v >= 0`` of the features is bounded by their planes."""
        return {node: product(v) for node, product in self._products.items()}

    def error(self, v: Float64[Tensor, "B m"], rounding: Rounding) -> Float64[Tensor, " B"]:
        """What rounding can have taken from :meth:`shares`, from the offsets, and from what becomes of both: ``[B]``.

        ``rounding`` is of a region that holds the part. Shares count as sources of the bound
        (:mod:`netproof.bounds.deciding.rounding`), off by the rounding of their sums besides.
        """
        assert self.size is not None
        return v @ (2 * rounding.unit * self.size + 2 * gamma(len(self.size) + 8) * self.size)

    def to(self, dtype: torch.dtype, device: torch.device) -> Planes:
        onto = {node: one.to(dtype, device) for node, one in self.onto.items()}
        return Planes(onto, self.offset.to(device, dtype), self.size, self.ends)
