"""Rules: a scale (batch norm, normalization, a bias that is added) is folded into its neighbour.

Folding multiplies weights, which rounds. The operators made here say by how much, so that nothing is lost but a
few units in the last place of an error term, and a node less is evaluated for every bound.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from netproof.graph.rounding import gamma, is_power_of_two, rounded_up, safe_factor
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.kernel_map import KernelMap
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Affine


def scale_after(first: Affine, second: Affine) -> Affine | None:
    """``scale * (W x + b) + shift`` as one linear map, convolution or scale."""
    if not isinstance(second, Scale):
        return None
    if isinstance(first, Linear):
        return _after_linear(first, second)
    if isinstance(first, (Convolution, TransposedConvolution)):
        return _after_convolution(first, second)
    if isinstance(first, Scale):
        return _after_scale(first, second)
    return None


def scale_before(first: Affine, second: Affine) -> Affine | None:
    """``W (scale * x + shift) + b`` as one linear map. Not for convolutions, whose padding is not shifted."""
    if not isinstance(first, Scale) or not isinstance(second, Linear):
        return None
    scale, shift = first.per_feature(first.scale), first.per_feature(first.shift)
    if not all(map(safe_factor, (scale, shift, second.weight))):
        return None
    shift = shift.expand(first.size)
    size = second.weight_absolute @ shift.abs() + second.bias.abs()
    error = torch.zeros_like(second.bias)
    if bool((shift != 0).any()):
        # The sum itself, and the weights' own roundings.
        error = size * gamma(first.size + 1 + second.roundings)
    if second.bias_error is not None:
        error = error + second.bias_error
    if first.shift_error is not None:
        error = error + second.weight_absolute @ first.offset_error() * (1 + gamma(second.roundings))
    # A computed sum is off by at most gamma_n of the sum of magnitudes, which is itself computed.
    return Linear(
        second.weight * scale,
        second.weight @ shift + second.bias if bool((shift != 0).any()) else second.bias,
        _product_roundings(first.scale, first.roundings, second.roundings),
        _error(error * (1 + gamma(2 * first.size + 8))),
    )


def _product_roundings(factor: Tensor, *already: int) -> int:
    return sum(already) + (0 if is_power_of_two(factor) else 1)


def _error(bound: Tensor) -> Tensor | None:
    """An error term made safe; None where it is 0."""
    return rounded_up(bound) if bool((bound != 0).any()) else None


def _shifted(
    bias: Tensor, bias_error: Tensor | None, scale: Tensor, roundings: int, shift: Tensor, shift_error: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """``scale * bias + shift`` and how far it may be off, all of one shape."""
    product = bias * scale
    value = product + shift
    multiplied = torch.zeros_like(product) if is_power_of_two(scale) and not roundings else product.abs()
    error = multiplied * gamma(roundings + 1)
    added = (product != 0) & (shift != 0)
    error = error + torch.where(added, value.abs() * gamma(1), 0.0)
    if bias_error is not None:
        error = error + bias_error * scale.abs() * (1 + gamma(roundings + 1))
    if shift_error is not None:
        error = error + shift_error
    return value, _error(error)


def _after_linear(first: Linear, second: Scale) -> Linear | None:
    if not all(map(safe_factor, (second.scale, first.weight, first.bias))):
        return None
    size = second.size
    scale, shift = second.per_feature(second.scale).expand(size), second.per_feature(second.shift).expand(size)
    shift_error = None if second.shift_error is None else second.offset_error()
    bias, error = _shifted(first.bias, first.bias_error, scale, second.roundings, shift, shift_error)
    roundings = _product_roundings(second.scale, first.roundings, second.roundings)
    return Linear(first.weight * scale[:, None], bias, roundings, error)


def _after_convolution(first: Convolution | TransposedConvolution, second: Scale) -> Affine | None:
    scale, shift = (_per_channel(part, first) for part in (second.scale, second.shift))
    error = None if second.shift_error is None else _per_channel(second.shift_error, first)
    if scale is None or shift is None or (error is None and second.shift_error is not None):
        return None
    bias = torch.zeros_like(scale) if first.bias is None else first.bias
    if not all(map(safe_factor, (scale, first.weight, bias))):
        return None
    bias, bias_error = _shifted(bias, first.bias_error, scale, second.roundings, shift, error)
    return replace(
        first,
        weight=first.weight * _per_weight(scale, first),
        bias=None if first.bias is None and bias_error is None and not bool((bias != 0).any()) else bias,
        roundings=_product_roundings(second.scale, first.roundings, second.roundings),
        bias_error=bias_error,
    )


def _per_weight(scale: Tensor, convolution: KernelMap) -> Tensor:
    """One number per output channel as it goes with a convolution's weight."""
    axes = [1] * len(convolution.kernel)
    if isinstance(convolution, Convolution):
        return scale.reshape(-1, 1, *axes)
    # Every input channel has a kernel for each output channel of its group.
    inputs, outputs = convolution.weight.shape[:2]
    groups = convolution.groups
    return scale.reshape(groups, outputs).repeat_interleave(inputs // groups, 0).reshape(inputs, outputs, *axes)


def _per_channel(part: Tensor, convolution: KernelMap) -> Tensor | None:
    """A scale's parameter as one number per output channel, or None where it differs within a channel."""
    channels, samples = convolution.sample_shape[0], convolution.samples
    if part.numel() == 1:
        return part.expand(channels)
    size = convolution.size
    every = part.repeat_interleave(size // part.numel()).reshape(samples, channels, -1)
    one = every[0, :, 0]
    return one if bool((every == one[None, :, None]).all()) else None


def _after_scale(first: Scale, second: Scale) -> Scale | None:
    if not all(map(safe_factor, (first.scale, first.shift, second.scale))):
        return None
    exact = next((part for part in (first.scale, second.scale) if is_power_of_two(part)), second.scale)
    one, other = _alike(first.scale, second.scale)
    shift, scale, added = _alike(first.shift, second.scale, second.shift)
    errors = [
        None if error is None else error.repeat_interleave(len(shift) // len(error))
        for error in (first.shift_error, second.shift_error)
    ]
    value, error = _shifted(shift, errors[0], scale, second.roundings, added, errors[1])
    return Scale(first.size, one * other, value, _product_roundings(exact, first.roundings, second.roundings), error)


def _alike(*parts: Tensor) -> list[Tensor]:
    """Parameters per channel, spread to the coarsest channels that all of them have in common."""
    size = math.lcm(*(part.numel() for part in parts))
    return [part.repeat_interleave(size // part.numel()) for part in parts]
