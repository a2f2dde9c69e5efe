"""Elementwise multiplication and addition of constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Affine, Part, Shape
from netproof.operators.sums import feature_product

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Scale(Affine):
    """``z = scale * x + shift``, per channel.

    As in a staircase, channel ``c`` of ``C`` covers ``n / C`` consecutive features: ``C = 1`` is one
    number for all of them, ``C = n`` one for each.

    Parameters
    ----------
    size : number of features ``n``
    scale, shift : ``[C]``, ``C`` dividing ``n`` (each has a ``C`` of its own)
    roundings, shift_error : see :class:`netproof.operators.base.Affine`; the error has the shape of ``shift``
    """

    size: int
    scale: Tensor
    shift: Tensor
    roundings: int = 0
    shift_error: Tensor | None = None
    name = "scale"

    def __post_init__(self) -> None:
        for part in (self.scale, self.shift):
            if part.ndim != 1 or not part.numel() or self.size % part.numel():
                raise ValueError(f"{self.size} features cannot be scaled or shifted by {tuple(part.shape)} numbers")

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = 1
        for extent in shape:
            size *= extent
        if size != self.size:
            raise ValueError(f"operand has {size} values, the scale takes {self.size}")
        return shape

    def to(self, dtype: torch.dtype, device: torch.device) -> Scale:
        error = None if self.shift_error is None else self.shift_error.to(device, dtype)
        return Scale(self.size, self.scale.to(device, dtype), self.shift.to(device, dtype), self.roundings, error)

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [("scale", self.scale), ("shift", self.shift)]

    def describe(self) -> str:
        parts = []
        if bool((self.scale != 1).any()):
            parts.append(f"times {self._count(self.scale)}")
        if bool((self.shift != 0).any()):
            parts.append(f"plus {self._count(self.shift)}")
        return ", ".join(parts)

    @staticmethod
    def _count(part: Tensor) -> str:
        return f"{float(part):g}" if part.numel() == 1 else f"{part.numel()} numbers"

    def terms(self) -> tuple[int, int]:
        return 1, 1

    def per_feature(self, part: Tensor) -> Tensor:
        """A parameter ``[C]`` as it goes with features ``[..., n]``: ``[n]``, or ``[1]`` where ``C`` is 1."""
        count = part.shape[0]
        return part if count in (1, self.size) else part.repeat_interleave(self.size // count)

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return operands[0] * self.per_feature(self.scale) + self.per_feature(self.shift)

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return operands[0] * self.per_feature(self.scale)

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return operands[0] * self.per_feature(self.scale.abs())

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (v * self.per_feature(self.scale),)

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (v * self.per_feature(self.scale.abs()),)

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        return feature_product(v, self.per_feature(self.shift).expand(self.size))

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return self.per_feature(self.shift).expand(self.size).abs()

    def offset_error(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        if self.shift_error is None:
            return torch.zeros_like(self.shift[:1]).squeeze(0)
        return self.per_feature(self.shift_error).expand(self.size)

    def part(self, features: Tensor, idle: Sequence[Tensor | None] = ()) -> Part:
        def of(part: Tensor) -> Tensor:
            return part if part.numel() == 1 else self.per_feature(part)[features]

        error = None if self.shift_error is None else of(self.shift_error)
        operator = Scale(len(features), of(self.scale), of(self.shift), self.roundings, error)
        return Part(operator, features, (features,))
