"""The ball of a query as what takes the place of the maximum over its box."""

from __future__ import annotations

from fractions import Fraction

import torch

from netproof.bounds.backward import Maximum, box_maximum
from netproof.bounds.deciding.ball import BallMaximum
from netproof.property import float_above, float_below
from netproof.query import Query


def maximum_of(query: Query) -> Maximum:
    """The largest value of a linear form where a query's inputs may lie; over its box where it has no ball.

    Numbers of the ball are rounded so that the one that is meant lies inside: weights down, and the radius up by what the rounding
    of its center moves.
    """
    ball = query.ball
    if ball is None:
        return box_maximum
    center = [float(value) for value in ball.center]
    moved = sum(
        (w * abs(Fraction(at) - meant) for w, at, meant in zip(ball.weight, center, ball.center, strict=True)),
        Fraction(0),
    )
    centers = torch.tensor(center, dtype=torch.float64)
    weights = torch.tensor([float_below(w) for w in ball.weight], dtype=torch.float64)
    return BallMaximum(ball.norm, centers, weights, float_above(ball.radius + moved))
