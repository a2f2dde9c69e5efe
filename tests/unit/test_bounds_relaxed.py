"""What unstable features hand on: values and derivatives are those of the plain formulas, by PyTorch's own derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from netproof.bounds.multipliers.relaxed import Sides, Upper, hand_on, lower_lines

GENERATOR = torch.Generator().manual_seed(11)
ROWS, OPEN, ALL = 5, 7, 12
LEFT, RIGHT = torch.full((OPEN,), -0.25).double(), torch.full((OPEN,), 1.5).double()
WHICH = torch.tensor([0, 2, 3, 5, 8, 10, 11])


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def split_sides(rows: int = ROWS) -> Tensor:
    return torch.randint(-1, 2, (rows, OPEN), generator=GENERATOR).to(torch.int8)


def plain_lines(alpha: Tensor, beta: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    piece = torch.where(side > 0, RIGHT, LEFT)
    return torch.where(side != 0, piece, alpha.clamp(-0.25, 1.5)), beta.clamp(min=0) * side


def plain(v: Tensor, below: Tensor, added: Tensor, upper: Upper) -> tuple[Tensor, Tensor, Tensor]:
    up, down = v[:, WHICH].clamp(min=0), v[:, WHICH].clamp(max=0)
    s = (v * upper.closed).expand(max(len(v), len(below)), -1).clone()
    s[:, WHICH] = up * upper.above + down * below + added
    planed = torch.zeros_like(up) if upper.planed is None else up * upper.planed
    return s, (up * upper.offset).sum(1), planed


def test_lower_lines() -> None:
    side = split_sides()
    alpha, beta = randn(ROWS, OPEN).requires_grad_(), randn(ROWS, OPEN).abs().requires_grad_()
    found = lower_lines(alpha, beta, (LEFT, RIGHT), Sides.of(side, LEFT, RIGHT))
    expected = plain_lines(alpha, beta, side)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    weights = randn(2, ROWS, OPEN)
    inside = (alpha > LEFT) & (alpha < RIGHT)
    ours, theirs = (
        torch.autograd.grad(sum((w * part).sum() for w, part in zip(weights, parts, strict=True)), [alpha, beta])
        for parts in (found, expected)
    )
    assert torch.equal(ours[0][inside], theirs[0][inside]) and torch.equal(ours[1], theirs[1])
    # At an end and beyond the derivative is the one inside: where nothing is split.
    assert torch.equal(ours[0], weights[0] * (side == 0))


def test_a_negative_beta_is_none() -> None:
    side = split_sides()
    _, added = lower_lines(randn(ROWS, OPEN), -randn(ROWS, OPEN).abs(), (LEFT, RIGHT), Sides.of(side, LEFT, RIGHT))
    assert not added.any()


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_values_and_derivatives(planes: bool, shared: bool) -> None:
    # Where all rows share what arrives, or lines, derivatives are sums.
    rows = 1 if shared else ROWS
    v = randn(rows, ALL).requires_grad_()
    below, added = randn(ROWS, OPEN).requires_grad_(), randn(1, OPEN).requires_grad_()
    closed = (randn(ALL) > 0).double()
    closed[WHICH] = 0.0
    mask = (randn(ROWS, OPEN) > 0).double() if planes else None
    upper = Upper(randn(ROWS, OPEN), randn(ROWS, OPEN), mask, closed, WHICH)
    *found, arrived = hand_on(v, below, added, upper)
    assert torch.equal(arrived, v[:, WHICH]) and not arrived.requires_grad
    expected = plain(v, below, added, upper)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.expand_as(one))
    weights = [torch.randn(part.shape, generator=GENERATOR, dtype=torch.float64) for part in found]
    ours, theirs = (
        torch.autograd.grad(sum((w * p).sum() for w, p in zip(weights, parts, strict=True)), [v, below, added])
        for parts in (found, [other.expand_as(one) for one, other in zip(found, expected, strict=True)])
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
