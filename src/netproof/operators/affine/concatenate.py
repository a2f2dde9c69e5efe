"""One operand after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Affine, Shape

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Concatenate(Affine):
    """``z = (x_1, x_2, ...)``, the flattened operands in turn.

    Concatenation along another axis is this followed by a :class:`netproof.operators.affine.select.Select`.

    Parameters
    ----------
    sizes : number of features of each operand
    """

    sizes: tuple[int, ...]
    name = "concatenate"

    def output_shape(self, *shapes: Shape) -> Shape:
        sizes = tuple(torch.Size(shape).numel() for shape in shapes)
        if sizes != self.sizes:
            raise ValueError(f"operands have {sizes} values, {self.sizes} are concatenated")
        return (sum(sizes),)

    def to(self, dtype: torch.dtype, device: torch.device) -> Concatenate:
        return self

    def describe(self) -> str:
        return " + ".join(map(str, self.sizes))

    def terms(self) -> tuple[int, int]:
        return 1, 1

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        leading = max((operand.shape[:-1] for operand in operands), key=torch.Size.numel)
        return torch.cat([operand.expand(*leading, operand.shape[-1]) for operand in operands], -1)

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self.forward(*operands)

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self.forward(*operands)

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return v.split(self.sizes, -1)  # type: ignore[no-untyped-call, no-any-return]

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return self.adjoint(v)

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        return v.new_zeros(v.shape[:-1])

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float32)
