"""The mutation harness itself: which changes it makes, and that a function becomes its mutant wherever it is held."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="the extra 'mutants' is not installed")

from mutation.reach import Reach
from mutation.run import _explained
from mutation.sites import mutants_of
from mutation.swap import Loaded, assign

MODULE = '''"""Docs."""
LIMIT = 3


class Sum:
    @property
    def total(self) -> int:
        if LIMIT > 2:
            return min(1, 5) + 7
        raise ValueError("less than 2")
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mutated"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "sums.py").write_text(MODULE)
    (folder / "user.py").write_text("from mutated.sums import LIMIT, Sum\n\ntotal = Sum.total.fget\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in ("mutated.user", "mutated.sums", "mutated"):
        sys.modules.pop(name, None)


def test_which_changes_are_made(package: Path) -> None:
    made = {(m.function, m.after) for m in mutants_of(package, "sums.py")}
    assert made == {
        ("", "LIMIT = 4"),
        ("Sum.total", "if LIMIT >= 2:"),
        ("Sum.total", "if LIMIT > 3:"),
        ("Sum.total", "if (LIMIT > 2) and False:"),
        ("Sum.total", "if (LIMIT > 2) or True:"),
        ("Sum.total", "return min(1, 5)"),
        ("Sum.total", "return 7"),
        ("Sum.total", "return 1 + 7"),
        ("Sum.total", "return 5 + 7"),
        ("Sum.total", "return min(2, 5) + 7"),
        ("Sum.total", "return min(1, 6) + 7"),
        ("Sum.total", "return min(1, 5) + 8"),
    }


def test_a_condition_is_where_its_first_line_is(package: Path) -> None:
    (package / "sums.py").write_text(MODULE.replace("if LIMIT > 2:", "if (\n            LIMIT > 2\n        ):"))
    lines = {m.line for m in mutants_of(package, "sums.py") if "and False" in m.after or "or True" in m.after}
    assert lines == {9}


def test_whoever_holds_a_function_has_the_mutant(package: Path) -> None:
    from mutated import user  # type: ignore[import-not-found]

    assert user.Sum().total == user.total(None) == 8
    loaded = Loaded(package)
    by_change = {m.after: m for m in mutants_of(package, "sums.py")}
    loaded.swap(package / "sums.py", "Sum.total", by_change["return 5 + 7"].source)
    assert user.Sum().total == user.total(None) == 12
    assign("mutated.sums", by_change["LIMIT = 4"].assignment)
    assert user.LIMIT == 4 and sys.modules["mutated.sums"].LIMIT == 4
    with pytest.raises(LookupError, match="no function other"):
        loaded.swap(package / "sums.py", "other", MODULE)


def test_tests_of_a_line_and_of_a_file_that_has_changed(package: Path, tmp_path: Path) -> None:
    from mutation.reach import digest

    reach = Reach({"slow": 2.0, "quick": 1.0}, {"sums.py": {8: ["slow"], 9: ["slow", "quick", "failed"]}})
    reach.digests["sums.py"] = digest(package / "sums.py")
    reach.save(tmp_path / "reach.json")
    again = Reach.load(tmp_path / "reach.json")
    assert again.seconds == reach.seconds and again.digests == reach.digests
    assert again.tests(package, "sums.py", 8) == ["slow"]
    assert again.tests(package, "sums.py", 9) == ["quick", "slow"]
    assert again.tests(package, "sums.py", 2) == []
    assert again.tests(package, "sums.py", None) == ["quick", "slow"]
    (package / "sums.py").write_text(MODULE + "\n")
    assert again.tests(package, "sums.py", 2) == ["quick", "slow"]


def test_what_the_page_explains() -> None:
    page = "- `a.py`: `x <= y` becomes `x < y`, `True`: no number is both\n- `a.py`: other text\n- `b.py`: `N = 3` becomes anything: costs time\n"
    assert _explained(page) == {
        ("a.py", "x <= y", "x < y"),
        ("a.py", "x <= y", "True"),
        ("b.py", "N = 3", "anything"),
    }
