"""The tutorials: every command and every program in them runs, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutorials import fits, ran, steps

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = 0
    for step in steps(page.read_text()):
        printed = ran(step)
        assert "Traceback" not in printed
        if step.kind == "console":
            assert fits(step.shown, printed), f"{step.text}\n{printed}"
            done += 1
    assert done >= 5


def test_there_is_one_for_each_user():
    assert [page.stem for page in PAGES] == ["embedded", "researcher", "safety"]


def test_what_counts_as_the_same_output():
    assert fits("robust, 5 ms\n...\nend", "robust, 7.25 ms\nand more\nlines\nend\n")
    assert fits("subproblems 9", "subproblems 11") and not fits("robust", "vulnerable")
    assert not fits("radius 2 grey levels", "radius 3 grey levels") and not fits("one", "one\ntwo")
