"""The same matrices applied to blocks of the features: matrix products with a constant, means over axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Affine, Shape

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class BlockLinear(Affine):
    """``z[g, m] = W[g] x[g, m]`` for operands ``[G, M, K]`` and results ``[G, M, N]``, flattened.

    Parameters
    ----------
    weight : ``[G, N, K]``
    rows : ``M``, how many blocks share each matrix
    shape : of the result; its size is ``G M N``
    roundings : see :class:`netproof.operators.base.Affine`
    interpolates : whether its numbers are no numbers of a file, but weights between neighbours that a runtime works out in
        its own type
    """

    weight: Tensor
    rows: int
    shape: Shape
    roundings: int = 0
    interpolates: bool = False
    weight_absolute: Tensor = field(init=False, repr=False)
    name = "linear"

    def __post_init__(self) -> None:
        if self.weight.ndim != 3 or self.rows < 1:
            raise ValueError(f"weight {tuple(self.weight.shape)} and {self.rows} rows do not belong together")
        groups, outputs, _ = self.weight.shape
        if torch.Size(self.shape).numel() != groups * self.rows * outputs:
            raise ValueError(f"{groups} x {self.rows} x {outputs} values do not have shape {self.shape}")
        object.__setattr__(self, "weight_absolute", self.weight.abs())

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size, (groups, _, inputs) = torch.Size(shape).numel(), self.weight.shape
        if size != groups * self.rows * inputs:
            raise ValueError(f"operand has {size} values, the matrices take {groups} x {self.rows} x {inputs}")
        return self.shape

    def to(self, dtype: torch.dtype, device: torch.device) -> BlockLinear:
        return BlockLinear(self.weight.to(device, dtype), self.rows, self.shape, self.roundings, self.interpolates)

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [("weight", self.weight)]

    def describe(self) -> str:
        groups, outputs, inputs = self.weight.shape
        return f"{inputs} -> {outputs}, {groups * self.rows} times"

    def terms(self) -> tuple[int, int]:
        return self.weight.shape[2], self.weight.shape[1]

    def _apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """``[..., G M K]`` with ``[G, K, N]`` to ``[..., G M N]``, as one matrix product for every ``g``."""
        groups, inputs, outputs = weight.shape
        leading = x.shape[:-1]
        count = leading.numel()
        if groups == 1:
            # Counted, since without inputs an extent of -1 could be anything.
            return (x.reshape(count * self.rows, inputs) @ weight[0]).reshape(*leading, self.rows * outputs)
        grouped = x.reshape(count, groups, self.rows, inputs).transpose(0, 1).reshape(groups, count * self.rows, inputs)
        z = (grouped @ weight).reshape(groups, count, self.rows, outputs).transpose(0, 1)
        return z.reshape(*leading, groups * self.rows * outputs)

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._apply(operands[0], self.weight.mT)

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._apply(operands[0], self.weight.mT)

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._apply(operands[0], self.weight_absolute.mT)

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (self._apply(v, self.weight),)

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (self._apply(v, self.weight_absolute),)

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        return v.new_zeros(v.shape[:-1])

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float32)
