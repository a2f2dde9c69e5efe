"""Fully connected layer."""

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
class Linear(Affine):
    """``z = W x + b`` on the flattened operand.

    Parameters
    ----------
    weight : ``[n_out, n_in]``
    bias : ``[n_out]``
    roundings : how often each weight was rounded (:class:`netproof.operators.base.Affine`)
    bias_error : ``[n_out]``, how far each bias may be from the one meant; None where it is exact
    """

    weight: Tensor
    bias: Tensor
    roundings: int = 0
    bias_error: Tensor | None = None
    weight_absolute: Tensor = field(init=False, repr=False)
    name = "linear"

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"weight {tuple(self.weight.shape)} and bias {tuple(self.bias.shape)} do not belong together"
            )
        object.__setattr__(self, "weight_absolute", self.weight.abs())

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = 1
        for extent in shape:
            size *= extent
        if size != self.weight.shape[1]:
            raise ValueError(f"operand has {size} values, the weight takes {self.weight.shape[1]}")
        return (self.weight.shape[0],)

    def to(self, dtype: torch.dtype, device: torch.device) -> Linear:
        error = None if self.bias_error is None else self.bias_error.to(device, dtype)
        return Linear(self.weight.to(device, dtype), self.bias.to(device, dtype), self.roundings, error)

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [("weight", self.weight), ("bias", self.bias)]

    def describe(self) -> str:
        return f"{self.weight.shape[1]} -> {self.weight.shape[0]}"

    def terms(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[0]

    def offset_error(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros_like(self.bias[:1]).squeeze(0) if self.bias_error is None else self.bias_error

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return operands[0] @ self.weight.T + self.bias

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return operands[0] @ self.weight.T

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return operands[0] @ self.weight_absolute.T

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (v @ self.weight,)

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (v @ self.weight_absolute,)

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        return feature_product(v, self.bias)

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return self.bias.abs()

    def part(self, features: Tensor, idle: Sequence[Tensor | None] = ()) -> Part:
        useless = idle[0] if idle else None
        taken = None if useless is None or not bool(useless.any()) else (~useless).nonzero()[:, 0]
        if len(features) == len(self.bias) and taken is None:
            return Part(self)
        error = None if self.bias_error is None else self.bias_error.expand_as(self.bias)[features]
        weight = self.weight[features] if taken is None else self.weight[features][:, taken].contiguous()
        return Part(Linear(weight, self.bias[features], self.roundings, error), features, (taken,))
