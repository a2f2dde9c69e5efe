"""Slopes of ends that searches begin with: of which ends and features they are, and how many are kept."""

from __future__ import annotations

import torch

from netproof.bounds.ranges.refine_alpha import BegunEnds, SlopedEnds

#: of three activations features 1, 4 and 6; 0 and 2; 3 were open
OPEN = (torch.tensor([1, 4, 6]), torch.tensor([0, 2]), torch.tensor([3]))


def sloped(k: int, *features: int) -> SlopedEnds:
    """Both ends of features, the upper ones first, whose slopes say which they are of: feature, side, column."""
    feature = torch.tensor(features * 2)
    upper = torch.arange(len(feature)) < len(features)
    slope = 100.0 * feature[:, None] + 10.0 * upper[:, None] + torch.arange(6.0)
    return SlopedEnds(k, feature, upper, OPEN, slope, torch.zeros(len(feature), dtype=torch.float64))


def test_slopes_are_those_of_the_end_and_of_the_features_before_it():
    begun = BegunEnds(1 << 20)
    begun.sloped(sloped(2, 3, 5))
    begun.sloped(sloped(2, 0))
    unstable = [(0, torch.tensor([1, 6])), (1, torch.tensor([2]))]
    found = begun.slopes(2, torch.tensor([0, 5]), unstable)
    assert found is not None and found.dtype == torch.float32
    assert found.tolist() == [[10, 12, 14], [510, 512, 514], [0, 2, 4], [500, 502, 504]]


def test_where_none_is_known_is_none():
    begun = BegunEnds(1 << 20)
    begun.sloped(sloped(1, 2))
    assert begun.slopes(2, torch.tensor([2]), []) is None
    # Neither of another end, nor of features that were not open, or come behind it.
    unstable = [(0, torch.tensor([4, 5, 7])), (1, torch.tensor([0])), (5, torch.tensor([0]))]
    found = begun.slopes(1, torch.tensor([2, 9]), unstable)
    assert found is not None
    known = found.isnan().logical_not()
    assert known.tolist() == [[True, False, False, False, False], [False] * 5] * 2
    assert found[known].tolist() == [211.0, 201.0]


def test_an_activation_in_which_nothing_was_open_has_no_slopes():
    begun, none = BegunEnds(1 << 20), torch.zeros(0, dtype=torch.int64)
    ends = sloped(1, 2)
    begun.sloped(SlopedEnds(1, ends.feature, ends.upper, (none, OPEN[1], OPEN[2]), ends.slope[:, :3], ends.bound))
    found = begun.slopes(1, torch.tensor([2]), [(0, torch.tensor([0, 1]))])
    assert found is not None and bool(found.isnan().all())


def test_no_more_is_kept_than_there_is_room_for():
    # Two ends of three slopes each, in half precision.
    begun = BegunEnds(12)
    begun.sloped(sloped(1, 2))
    begun.sloped(sloped(1, 3))
    found = begun.slopes(1, torch.tensor([2, 3]), [(0, OPEN[0])])
    assert found is not None and found.isnan().any(1).tolist() == [False, True, False, True]
