"""Index maps: every feature of the result is one feature of the operand, or a constant.

Transposing, slicing, gathering, splitting, padding (with a constant, by reflection, by repeating the
edge), expanding and tiling are all this one operator with another index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Affine, Part, Shape
from netproof.operators.sums import feature_product

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Select(Affine):
    """``z_i = x[index_i]``, and ``z_i = fill_i`` where ``index_i`` is -1.

    Where no feature is taken twice the adjoint is an index map as well.

    Parameters
    ----------
    index : ``[n_out]`` int64, positions in the operand or -1
    size : number of the operand's features
    shape : of the result; its size is ``n_out``
    fill : ``[n_out]``, 0 wherever ``index`` is not -1; None stands for zeros
    """

    index: Tensor
    size: int
    shape: Shape
    fill: Tensor | None = None
    name = "select"
    _forward: _Map = field(init=False, repr=False)
    #: the adjoint as an index map, or None where features are taken more than once
    _backward: _Map | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        index = self.index
        if index.ndim != 1 or index.dtype != torch.int64 or index.numel() != torch.Size(self.shape).numel():
            raise ValueError(f"an index {tuple(index.shape)} of {index.dtype} does not give shape {self.shape}")
        if index.numel() and not (int(index.min()) >= -1 and int(index.max()) < self.size):
            raise ValueError(f"an index leaves the operand's {self.size} features")
        if self.fill is not None and (self.fill.shape != index.shape or bool((self.fill[index >= 0] != 0).any())):
            raise ValueError("fill values and index do not belong together")
        taken = index[index >= 0]
        inverse = torch.full((self.size,), -1, dtype=torch.int64, device=index.device)
        inverse[taken] = (index >= 0).nonzero()[:, 0]
        once = int((inverse >= 0).sum()) == taken.numel()
        object.__setattr__(self, "_forward", _Map.of(index))
        object.__setattr__(self, "_backward", _Map.of(inverse) if once else None)

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = torch.Size(shape).numel()
        if size != self.size:
            raise ValueError(f"operand has {size} values, the index is for {self.size}")
        return self.shape

    def to(self, dtype: torch.dtype, device: torch.device) -> Select:
        fill = None if self.fill is None else self.fill.to(device, dtype)
        return Select(self.index.to(device), self.size, self.shape, fill)

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [] if self.fill is None else [("fill", self.fill)]

    def describe(self) -> str:
        constants = int((self.index < 0).sum())
        return f"{self.index.numel() - constants} of {self.size}" + (f", {constants} constant" if constants else "")

    @property
    def takes_once(self) -> bool:
        """Whether no feature of the operand is taken more than once."""
        return self._backward is not None

    def terms(self) -> tuple[int, int]:
        if self._backward is not None or not self.index.numel():
            return 1, 1
        return 1, int(torch.bincount(self.index[self.index >= 0], minlength=1).max())

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        z = self._forward.apply(operands[0])
        return z if self.fill is None else z + self.fill

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._forward.apply(operands[0])

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._forward.apply(operands[0])

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        if self._backward is not None:
            return (self._backward.apply(v),)
        x = v.new_zeros((*v.shape[:-1], self.size))
        if self._forward.gaps is None:
            return (x.index_add(-1, self.index, v),)
        kept = ~self._forward.gaps
        return (x.index_add(-1, self.index[kept], v[..., kept]),)

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return self.adjoint(v)

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        return v.new_zeros(v.shape[:-1]) if self.fill is None else feature_product(v, self.fill)

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float32) if self.fill is None else self.fill.abs()

    def part(self, features: Tensor, idle: Sequence[Tensor | None] = ()) -> Part:
        index = self.index[features]
        taken = torch.unique(index[index >= 0])
        if not len(taken):
            return Part(self)
        moved = torch.where(index < 0, -1, torch.searchsorted(taken, index))
        fill = None if self.fill is None else self.fill[features]
        return Part(Select(moved, len(taken), (len(features),), fill), features, (taken,))


@dataclass(frozen=True, eq=False)
class _Map:
    """``z_i = x[index_i]``, 0 where ``index_i`` is -1, prepared for repeated use.

    Attributes
    ----------
    index : ``[n]`` with 0 in place of -1
    gaps : ``[n]`` bool, where the -1 were; None where there is none
    start : of the run of consecutive features that the index is, if it is one
    """

    index: Tensor
    gaps: Tensor | None
    start: int | None

    @classmethod
    def of(cls, index: Tensor) -> _Map:
        gaps = index < 0
        if bool(gaps.any()):
            return cls(index.clamp(min=0), gaps, None)
        run = index.numel() > 0 and bool((index[1:] - index[:-1] == 1).all())
        return cls(index, None, int(index[0]) if run else None)

    def apply(self, x: Tensor) -> Tensor:
        if self.start is not None:
            return x.narrow(-1, self.start, self.index.numel())
        if self.gaps is None:
            return x.index_select(-1, self.index)
        if not x.shape[-1]:
            return x.new_zeros((*x.shape[:-1], self.index.numel()))
        return x.index_select(-1, self.index).masked_fill(self.gaps, 0.0)
