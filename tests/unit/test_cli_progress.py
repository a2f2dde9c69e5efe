"""Progress where there is no terminal."""

from __future__ import annotations

import pytest

from netproof.cli.terminal import progress as module
from netproof.runs.rows import Row


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_line_every_few_seconds_with_the_time_left(clock, capsys):
    with module.progress("bench", 8) as shown:
        for _ in range(4):
            clock.now += 2
            shown.advance(Row("a", "robust", 1, "bound"))
        assert capsys.readouterr().err == "bench: 3/8 (3 robust), 6 s, about 10 s left\n"
        shown.advance(Row("b", "timeout", 1, "bound"))
    captured = capsys.readouterr()
    assert captured.err == "bench: 5/8 (4 robust, 1 timeout), 8 s, about 5 s left\n" and captured.out == ""


def test_nothing_done(clock, capsys):
    with module.progress("bench", 8):
        pass
    assert capsys.readouterr().err == "bench: 0/8 (none yet), 0 s\n"
