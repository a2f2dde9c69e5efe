"""The documentation: its examples run, its links lead somewhere, the files it names exist, no option is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
PACKAGE = ROOT / "src" / "netproof"
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
        headings = re.findall(r"^#+ (.*)$", aim.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, target


#: ``search/{decide,rounds}.py`` stands for two names, ``bounds/rational*.py`` for any that fit
_PART = r"(?:[\w.*-]|\{[\w,]+\})+"
_FILE = re.compile(rf"(?<![\w./:*}}-])((?:{_PART}/)*{_PART}\.(?:py|sh))(?![\w/-])")
_FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")


def spelled_out(path: str) -> list[str]:
    """A path for each alternative in its braces."""
    before, _, rest = path.partition("{")
    if not rest:
        return [path]
    choices, _, after = rest.partition("}")
    return [name for choice in choices.split(",") for name in spelled_out(f"{before}{choice}{after}")]


def is_there(path: str) -> bool:
    """A path from the top of the repository or of the package, or the mere name of a file somewhere in them."""
    if "/" in path:  # from the top, or from the room that a page is about
        return any(ROOT.glob(path)) or any(PACKAGE.rglob(path.removeprefix("netproof/")))
    folders = [PACKAGE, ROOT / "tests", ROOT / "examples", ROOT / "vnncomp_scripts"]
    return any(any(folder.rglob(path)) for folder in folders)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    files = [file for found in _FILE.findall(text) for file in spelled_out(found)]
    # Of folders those of the code: others are what commands write, or how published archives are laid out.
    ours = {folder.name for folder in PACKAGE.iterdir()} | {"tests", "examples", "docs"}
    folders = [folder for folder in _FOLDER.findall(text) if folder.split("/")[0] in ours]
    gone = sorted({path for path in [*files, *folders] if not is_there(path)})
    assert not gone, f"{name(page)}: {', '.join(gone)}"


def test_names_of_files_are_found_and_missing_ones_noticed():
    text = "see `search/real/{decide,rounds}.py` (or `make test`), verify.py; http://a.b/c.py\n    x  bounds/no*.py"
    found = [file for path in _FILE.findall(text) for file in spelled_out(path)]
    assert found == ["search/real/decide.py", "search/real/rounds.py", "verify.py", "bounds/no*.py"]
    assert is_there("search/") and is_there("tests/unit/") and not is_there("tests/none/")
    assert is_there("search/verify.py") and is_there("verify.py") and not is_there("search/no.py")
    assert not is_there("bounds/no*.py") and not is_there("nothing.py")


def test_the_reference_has_every_public_name_once():
    import netproof

    page = (ROOT / "docs" / "reference" / "public.md").read_text()
    names = re.findall(r"^::: netproof\.(\w+)$", page, re.MULTILINE)
    assert sorted(names) == sorted(set(netproof.__all__) - {"__version__"})


def test_every_page_is_in_the_site():
    # mkdocs says the same; this needs no mkdocs. Pages from the top of the repository: docs/_extensions.
    listed = set(re.findall(r"- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert listed == pages | {"index.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}


def test_docstrings_become_what_the_site_expects(monkeypatch):
    pytest.importorskip("griffe", reason="the extra docs is not installed (make docs does that)")
    monkeypatch.syspath_prepend(ROOT / "docs" / "_extensions")
    import docstrings

    text = "It is.\n\nAttributes\n----------\nlow, high : ``[n]``, ends :\n    of it\n\nAnd a : b."
    apart = "It is.\n\nAttributes\n----------\nlow, high\n    ``[n]``, ends :\n    of it\n\nAnd a : b."
    assert docstrings.fields_apart(text) == apart
    assert docstrings.references_as_code(":class:`netproof.Settings` or :meth:`close`") == (
        "[`Settings`][netproof.Settings] or `close`"
    )


@pytest.mark.parametrize(
    "command",
    [
        "verify",
        "robust",
        "radius",
        "check",
        "certify",
        "report",
        "check-all",
        "bench watch",
        "inspect",
        "evaluate",
        "compare",
        "fetch",
        "demo",
        "bench list",
        "bench run",
        "bench show",
        "bench export",
        "export proof",
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
    options = set(re.findall(r"--[a-z][a-z-]+", cli(*command.split(), "--help").out)) - {"--help", "--help-all"}
    missing = {option for option in options if option not in page}
    assert f"## {command}" in page and not missing, f"{command}: {missing}"
