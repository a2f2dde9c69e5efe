"""The documentation: its examples run, its links lead somewhere, no option is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text()]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_examples_run(page, tmp_path):
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        aim = page.parent / file if file else page
        assert aim.is_file(), f"{name(page)}: {target}"
        headings = re.findall(r"^#+ (.*)$", aim.read_text(), re.MULTILINE)
        assert not anchor or anchor in {h.lower().replace(" ", "-").replace("`", "") for h in headings}, target


@pytest.mark.parametrize(
    "command",
    [
        "verify",
        "robust",
        "radius",
        "check",
        "inspect",
        "fetch",
        "demo",
        "bench list",
        "bench run",
        "bench show",
        "bench export",
        "export smtlib",
        "bench generate",
        "train quantized",
        "bench table",
        "train certified",
        "bench scale",
    ],
)
def test_every_option_is_described(cli, command):
    page = (ROOT / "docs" / "commands.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", cli(*command.split(), "--help").out)) - {"--help"}
    missing = {option for option in options if option not in page}
    assert f"## {command}" in page and not missing, f"{command}: {missing}"
