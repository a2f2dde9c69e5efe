"""When a search stops for attacks: by counts alone, and each has its part."""

from __future__ import annotations

import pytest
import torch

from netproof.effort.integer import INTEGER, INTEGER_ATTACK
from netproof.search.integer.work import Work


@pytest.mark.parametrize("enveloped", [False, True])
def test_alignments_get_longer_and_take_as_long_as_subproblems(enveloped: bool) -> None:
    work = Work(enveloped, root=40)
    per = INTEGER.steps_with_envelopes if enveloped else INTEGER.steps
    ahead = INTEGER.ahead_with_envelopes if enveloped else INTEGER.ahead
    assert work.is_time_to_align(40) == (work.next_alignment.steps <= ahead * per)
    taken = []
    for count in range(40, 40 + 20000):
        while work.is_time_to_align(count):
            taken.append(work.align())
        assert sum(length.steps for length in taken) / per <= count - 40 + ahead
    first, soft = INTEGER_ATTACK.align_steps, INTEGER_ATTACK.align_soft
    assert [length.hardening for length in taken[:9]] == [first * n for n in (2, 1, 4, 2, 8, 4, 8, 4, 8)][: len(taken)]
    for number, length in enumerate(taken):
        assert length.steps == (length.hardening if number % 2 else int(soft * length.hardening))
    assert work.rounds == len(taken) >= 6
    # none comes much later than it could
    assert work.aligned + work.next_alignment.steps / per > 19999 + ahead


def test_with_envelopes_the_first_alignment_follows_the_first_split() -> None:
    work = Work(True, root=3)
    assert not work.is_time_to_align(3) and work.is_time_to_align(3 + INTEGER.parts)
    work.align()
    assert not work.is_time_to_align(3 + 10 * INTEGER.parts)


def test_dives_begin_late_and_have_their_share() -> None:
    work = Work(True, root=31, first_dive=16)
    assert not work.is_time_to_dive(46, 0.5)
    levels = 0
    while work.is_time_to_dive(131, 0.25):
        work.dive()
        levels += 1
    assert levels == 9 and work.dived == levels * INTEGER.level_with_envelopes
    assert not work.is_time_to_dive(131, 0.25) and work.is_time_to_dive(131, 0.5)


def test_alignments_are_part_of_what_dives_have_a_share_of() -> None:
    work = Work(False, first_dive=0.0)
    assert not work.is_time_to_dive(0, 0.3)
    work.align()
    assert work.aligned == int(INTEGER_ATTACK.align_soft * 2 * INTEGER_ATTACK.align_steps) / INTEGER.steps
    assert work.is_time_to_dive(0, 0.3)


def test_without_a_restart_dives_never_begin_where_there_are_no_envelopes() -> None:
    assert not Work(False).is_time_to_dive(10**6, 0.5)


@pytest.mark.parametrize(
    ("closed", "gain", "stays"),
    [(0, -1.0, False), (0, 0.0, False), (0, 0.5, True), (3, -1.0, False), (4, -1.0, True), (64, -1.0, True)],
)
def test_envelopes_go_where_they_close_hardly_anything_and_gain_nothing(closed: int, gain: float, stays: bool) -> None:
    work = Work(True)
    before = work.until_restart, work.next_alignment
    programs = torch.full((INTEGER.judged // 4,), 10.0)
    for number in range(4):
        assert work.enveloped, "before all were tried"
        left = len(programs) - (closed if number == 0 else 0) if closed < len(programs) else 0
        work.compare(programs, programs - gain, left)
    assert work.enveloped == stays
    assert (work.until_restart == before[0]) == stays and work.next_alignment == before[1]


def test_envelopes_are_judged_again_by_what_came_since() -> None:
    work = Work(True)
    programs = torch.full((INTEGER.judged,), 10.0)
    work.compare(programs, programs - 5, 0)
    assert work.enveloped
    work.compare(programs, programs + 1, len(programs))
    assert not work.enveloped
