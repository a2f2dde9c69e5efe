"""Sums and differences of operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Affine, Part, Shape

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Sum(Affine):
    """``z = sum_i sign_i x_i`` of operands of one size.

    Parameters
    ----------
    signs : 1 or -1 for each operand
    """

    signs: tuple[int, ...]
    name = "sum"

    def __post_init__(self) -> None:
        if not self.signs or any(sign not in (1, -1) for sign in self.signs):
            raise ValueError(f"signs {self.signs} are not all 1 or -1")

    def output_shape(self, *shapes: Shape) -> Shape:
        sizes = [torch.Size(shape).numel() for shape in shapes]
        if len(sizes) != len(self.signs) or len(set(sizes)) != 1:
            raise ValueError(f"{len(self.signs)} operands of one size are added, here they have {sizes} values")
        return shapes[0]

    def to(self, dtype: torch.dtype, device: torch.device) -> Sum:
        return self

    def describe(self) -> str:
        return " ".join("+" if sign > 0 else "-" for sign in self.signs)

    def terms(self) -> tuple[int, int]:
        return len(self.signs), 1

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        total = operands[0] if self.signs[0] > 0 else -operands[0]
        for sign, operand in zip(self.signs[1:], operands[1:], strict=True):
            total = total + operand if sign > 0 else total - operand
        return total

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self.forward(*operands)

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        total = operands[0]
        for operand in operands[1:]:
            total = total + operand
        return total

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        minus = -v if -1 in self.signs else v
        return tuple(v if sign > 0 else minus for sign in self.signs)

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (v,) * len(self.signs)

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        return v.new_zeros(v.shape[:-1])

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float32)

    def part(self, features: Tensor, idle: Sequence[Tensor | None] = ()) -> Part:
        return Part(self, features, (features,) * len(self.signs))
