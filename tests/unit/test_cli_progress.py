"""Progress where there is no terminal, and where there is one."""

from __future__ import annotations

import io
import sys

import pytest

from netproof.cli.terminal import progress as module


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_line_every_few_seconds_with_the_time_left(clock, capsys):
    with module.counted("bench", 8) as count:
        for _ in range(4):
            clock.now += 2
            count("robust")
        assert capsys.readouterr().err == "bench: 3/8 (3 robust), 6 s, about 10 s left\n"
        count("timeout")
    captured = capsys.readouterr()
    assert captured.err == "bench: 5/8 (4 robust, 1 timeout), 8 s, about 5 s left\n" and captured.out == ""


def test_nothing_done(clock, capsys):
    with module.counted("bench", 8):
        pass
    assert capsys.readouterr().err == "bench: 0/8 (none yet), 0 s\n"
    with module.counted("images", 8, 5):
        pass
    assert capsys.readouterr().err == "images: 5/8 (none new), 0 s\n"


def test_what_was_done_before_took_no_time(clock, capsys):
    with module.counted("images", 8, 4) as count:
        clock.now += 6
        count("selected")
        assert capsys.readouterr().err == "images: 5/8 (1 selected), 6 s, about 18 s left\n"


def test_going_on_from_a_place_that_the_first_unit_tells(clock, capsys):
    with module.progress("training", 10, None, every=1.0) as display:
        for done in (7, 8):
            clock.now += 3
            display.show(done, f"loss {done}", title=f"epoch {done}/10")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 7/10: loss 7, 3 s, about 9 s left",
        "epoch 8/10: loss 8, 6 s, about 6 s left",
    ]


def test_lines_that_are_due_and_lines_that_are_not(clock, capsys):
    with module.progress("files") as display:
        display.show(1e6, "file 1 of 2, 1.0 MB of 3.0 MB", total=3e6)
        display.show(1, "1 of 2 files", due=True)
        display.show(2e6, "file 2 of 2, 2.0 MB")
        clock.now += 5
        display.show(1e6, "", total=3e6)
    assert capsys.readouterr().err == "files: 1 of 2 files, 0 s\nfiles: 5 s\n"


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown() -> str:
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        with module.counted("[bench]", 2) as count:
            count("robust")
        with module.progress("files") as display:
            display.show(1e6, "[file] 1", title="two", total=3e6)
        return screen.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    # What is in brackets is no markup of rich's.
    bars = shown()
    assert all(text in bars for text in ("[bench]", "1/2 (1 robust)", "two", "[file] 1", "left", "\x1b["))
    monkeypatch.setenv("TERM", "dumb")
    assert shown() == "[bench]: 1/2 (1 robust), 0 s, about 0 s left\n"
