"""Schedules of training."""

from __future__ import annotations

import pytest

from netproof.errors import InputError
from netproof.training.schedule import Schedule

SCHEDULE = Schedule(epochs=20, warmup=2, ramp=4, radius=0.1, kappa=(0.9, 0.5), beta=(1.0, 0.2), learning_rate=1e-3)


@pytest.mark.parametrize(
    ("epoch", "radius", "kappa", "beta", "rate"),
    [
        (0, 0.0, 1.0, 1.0, 1e-3),
        (1.9, 0.0, 1.0, 1.0, 1e-3),
        (2, 0.0, 0.9, 1.0, 1e-3),
        (4, 0.05, 0.7, 0.6, 1e-3),
        (6, 0.1, 0.5, 0.2, 1e-3),
        (14.9, 0.1, 0.5, 0.2, 1e-3),
        (15, 0.1, 0.5, 0.2, 1e-4),
    ],
)
def test_difficulty_grows(epoch, radius, kappa, beta, rate):
    now = SCHEDULE.at(epoch)
    assert (now.radius, now.kappa, now.beta, now.learning_rate) == pytest.approx((radius, kappa, beta, rate))


def test_without_a_ramp_the_radius_is_there_at_once():
    schedule = Schedule(epochs=3, warmup=1, ramp=0, radius=0.1)
    assert [schedule.at(epoch).radius for epoch in (0, 0.99, 1, 2)] == [0, 0, 0.1, 0.1]


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"warmup": 9, "ramp": 2, "epochs": 10}, "--warmup and --ramp"),
        ({"ramp": -1}, "--warmup and --ramp"),
        ({"warmup": float("nan")}, "--warmup and --ramp"),
        ({"radius": 1.5}, "--radius"),
        ({"kappa": (1.0, 2.0)}, "--kappa"),
        ({"beta": (float("nan"), 0.0)}, "--beta"),
        ({"learning_rate": 0.0}, "--learning-rate"),
    ],
)
def test_what_is_no_schedule_is_refused(changed, option):
    with pytest.raises(InputError, match=option):
        Schedule(**{"epochs": 10, **changed})
