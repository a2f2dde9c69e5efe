"""Sets of inputs where they are simple: without an activation, and with a box of each one's own."""

from __future__ import annotations

import torch

from netproof.certificate.checker.region import Region


def test_sets_without_an_activation_are_as_many_as_boxes() -> None:
    ends = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    region = Region(ends, ends + 1, (), ())
    assert len(region) == 3 and region.empty().tolist() == [False] * 3
    assert len(Region.concatenate([region, region])) == 6


def test_every_set_has_a_box_of_its_own_unless_it_is_said_to_be_shared() -> None:
    ends = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    region = Region(ends, ends + 1, (ends,), (ends + 2,))
    taken = region.take(torch.tensor([2, 0]))
    assert taken.lower.tolist() == [[4, 5], [0, 1]] and taken.upper.tolist() == [[5, 6], [1, 2]]
    assert Region.concatenate([region, taken]).lower.tolist() == [*ends.tolist(), [4, 5], [0, 1]]
