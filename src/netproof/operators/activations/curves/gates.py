"""Functions of the form ``a * g(a)`` that fall a little, turn, and rise: GELU and what stands for it, SiLU, Mish, hard swish."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.curves.curve import CONCAVE, CONVEX, STRAIGHT, Curve

if TYPE_CHECKING:
    from jaxtyping import Float

#: ``(concave, convex, least, convex, concave)``: where such a function is bent, from left to right
_BENDS = (CONCAVE, CONVEX, CONVEX, CONCAVE)


@dataclass(frozen=True)
class Gelu(Curve):
    """``f(a) = a/2 * (1 + erf(a / width))``: the Gaussian error linear unit, ``width`` being the square root of 2
    (Hendrycks and Gimpel, 2016) or the number that a file has for it.

    Parameters
    ----------
    width : finite, positive
    """

    width: float = math.sqrt(2)
    name = "gelu"
    bends = _BENDS
    steepness = 2.0

    @property
    def scale(self) -> float:  # type: ignore[override]
        return 0.25 * self.width

    def __post_init__(self) -> None:
        if not 0 < self.width < math.inf:
            raise ValueError(f"a GELU of width {self.width}")

    @property
    def breaks(self) -> tuple[float, ...]:  # type: ignore[override]
        # In units of width: inflections at 1, and the least value at -x where erfc(x) = 2 x exp(-x^2) / sqrt(pi).
        return (-self.width, -0.5315968851493232 * self.width, self.width)

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        # erfc keeps its digits far to the left.
        return 0.5 * a * torch.erfc(-a / self.width)

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        unit = a / self.width
        return 0.5 * torch.erfc(-unit) + unit * torch.exp(-unit * unit) / math.sqrt(math.pi)


@dataclass(frozen=True)
class TanhGelu(Curve):
    """``f(a) = a/2 * (1 + tanh(rate * (a + cubic * a^3)))``: what often stands for a GELU (Hendrycks and Gimpel, 2016), with the
    square root of ``2 / pi`` and 0.044715, or the numbers that a file has for these.

    It is computed as ``a * sigmoid(2 rate (a + cubic a^3))``, which is the same. With ``r = 1 + 3 cubic a^2`` its second derivative is, up to
    positive factors, ``(2 r - 1) / r^2 - rate * a * tanh(rate * (a + cubic * a^3))``. For ``a > 0`` the first term falls and the second
    rises, from 1 and 0, and the whole is even: so there are two inflections, whatever the numbers are, with a convex piece
    between them. The derivative is 0 where ``b g'(b) sigmoid(g(b)) = 1`` with ``b = -a`` and ``g`` the sigmoid's argument: once, since
    the left side rises.

    Parameters
    ----------
    rate : between 1e-3 and 1e3
    cubic : between 0 and 1e3
    """

    rate: float = math.sqrt(2 / math.pi)
    cubic: float = 0.044715
    name = "tanh gelu"
    bends = _BENDS
    steepness = 2.0

    @property
    def scale(self) -> float:  # type: ignore[override]
        return 0.25 / self.rate

    def __post_init__(self) -> None:
        if not (1e-3 <= self.rate <= 1e3 and 0 <= self.cubic <= 1e3):
            raise ValueError(f"a GELU by tanh of {self.rate} and {self.cubic}")

    @property
    def breaks(self) -> tuple[float, ...]:  # type: ignore[override]
        return _turns(self.rate, self.cubic)

    def _argument(self, a: Tensor) -> Tensor:
        return 2 * self.rate * a * (1 + self.cubic * a * a)

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a * torch.sigmoid(self._argument(a))

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        # Beyond, the sigmoid is 0 or 1 in every float, and squares might not be finite.
        near = a.clamp(-400 / self.rate, 400 / self.rate)
        argument = self._argument(near)
        steep = 2 * self.rate * near * (1 + 3 * self.cubic * near * near)
        return torch.sigmoid(argument) * (1 + steep * torch.sigmoid(-argument))


@cache
def _turns(rate: float, cubic: float) -> tuple[float, float, float]:
    """Inflection, least value and inflection of a :class:`TanhGelu`, each the float next to it."""
    with localcontext(Context(prec=40)):
        k, c = Decimal(rate), Decimal(cubic)

        def bent(a: Decimal) -> Decimal:
            r = 1 + 3 * c * a * a
            small = (-2 * k * (a + c * a**3)).exp()
            return (2 * r - 1) / (r * r) - k * a * (1 - small) / (1 + small)

        def rising(b: Decimal) -> Decimal:
            return 1 - 2 * k * (b + 3 * c * b**3) / (1 + (-2 * k * (b + c * b**3)).exp())

        inflection, turn = _root(bent), _root(rising)
    return -inflection, -turn, inflection


def _root(function: Callable[[Decimal], Decimal]) -> float:
    """Where a function that is positive at 0 and then falls is 0, by bisection."""
    low, high = Decimal(0), Decimal(1)
    while function(high) > 0:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return float(low)


@dataclass(frozen=True)
class Silu(Curve):
    """``f(a) = a * sigmoid(rate * a)``: SiLU and swish (Ramachandran et al., 2017).

    Parameters
    ----------
    rate : finite, positive
    """

    rate: float = 1.0
    name = "silu"
    bends = _BENDS
    steepness = 2.0

    @property
    def scale(self) -> float:  # type: ignore[override]
        return 0.25 / self.rate

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ValueError(f"a SiLU of rate {self.rate}")

    @property
    def breaks(self) -> tuple[float, ...]:  # type: ignore[override]
        # In units of 1 / rate: inflections where x tanh(x / 2) = 2, and the least value where x = -1 - exp(x).
        inflection, turn = 2.3993572805154677 / self.rate, -1.2784645427610738 / self.rate
        return (-inflection, turn, inflection)

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a * torch.sigmoid(self.rate * a)

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        unit = self.rate * a
        return torch.sigmoid(unit) * (1 + unit * torch.sigmoid(-unit))


@dataclass(frozen=True)
class Mish(Curve):
    """``f(a) = a * tanh(softplus(a))`` (Misra, 2019)."""

    name = "mish"
    bends = _BENDS
    steepness = 2.0
    scale = 0.25
    breaks = (-2.2563763963607931, -1.1924312145154952, 1.4905711794854285)

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a * torch.tanh(a.clamp(min=0) + torch.log1p(torch.exp(-a.abs())))

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        gate = torch.tanh(a.clamp(min=0) + torch.log1p(torch.exp(-a.abs())))
        return gate + a * (1 - gate) * (1 + gate) * torch.sigmoid(a)


@dataclass(frozen=True)
class HardSwish(Curve):
    """``f(a) = a * min(max(alpha * a + beta, 0), 1)`` (Howard et al., 2019, with 1/6 and 1/2).

    Parameters
    ----------
    alpha : finite, positive
    beta : between 0 and 1, neither of them
    """

    alpha: float = 1 / 6
    beta: float = 0.5
    name = "hard swish"
    bends = (STRAIGHT, CONVEX, CONVEX, STRAIGHT)
    steepness = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.alpha < math.inf and 0 < self.beta < 1):
            raise ValueError(f"a hard swish of {self.alpha} and {self.beta}")

    @property
    def scale(self) -> float:  # type: ignore[override]
        # Kinks are rounded numbers, and so may alpha be.
        return 1 / self.alpha

    @property
    def breaks(self) -> tuple[float, ...]:  # type: ignore[override]
        return (-self.beta / self.alpha, -self.beta / (2 * self.alpha), (1 - self.beta) / self.alpha)

    @property
    def kinks(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.breaks[0], self.breaks[2])

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a * (self.alpha * a + self.beta).clamp(0, 1)

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        first, _, last = self.breaks
        inside = ((a >= first) & (a < last)) if right else ((a > first) & (a <= last))
        return torch.where(inside, 2 * self.alpha * a + self.beta, torch.where(a > 0, 1.0, 0.0).to(a.dtype))
