"""Help that fits a screen and says units and defaults, the man page made of it, and thirty wrong uses with their mend."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from conftest import assert_refused
from netproof.cli.arguments.help import CHANGES, SCREEN
from netproof.cli.commands import command

ROOT = Path(__file__).parents[2]


def _commands(group, path=(), parent=None):
    """Every command with its words and its context."""
    for name, one in group.commands.items():
        context = one.context_class(one, info_name=name, parent=parent)
        if hasattr(one, "commands"):
            yield from _commands(one, (*path, name), context)
        else:
            yield (*path, name), one, context


COMMANDS = list(_commands(command(lambda _: None)))
EVERY = [(), ("bench",), ("export",), ("train",), *(words for words, _, _ in COMMANDS)]


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help", "--help-all"}


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_fits_a_screen(cli, words, monkeypatch):
    for width in (80, 100, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        ran = cli(*words, "--help")
        assert ran.code == 0 and ran.err == ""
        lines = ran.out.splitlines()
        assert len(lines) <= SCREEN == 40 and max(map(len, lines)) <= width, f"{len(lines)} lines at {width} columns"


def test_options_that_help_only_names_are_explained_by_help_all(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    brief, whole = cli("robust", "--help").out, cli("robust", "--help-all").out
    assert "which --help-all explains" in brief and len(whole.splitlines()) > SCREEN
    assert options_in(brief) == options_in(whole) >= {"--brightness", "--bias-integer-bits", "--trace"}
    assert "Moved by at most R rows" in whole and "Moved by at most R rows" not in brief
    # Where everything fits there is nothing more to explain, and asking does no harm.
    assert cli("report", "--help-all").out == cli("report", "--help").out
    # An option's value is none of these words, and neither is what comes after "--".
    assert_refused(cli("robust", "--", "--help-all"), "--images")


#: letters that stand for numbers
NUMBERS = {"N", "I", "S", "E", "B", "P", "K", "R", "A", "F", "W", "GIB", "M,...", "S,...", "L,H", "A,B", "N,..."}
#: what is off where it is not given, as its words say
OFF = {"--within", "--eps"}


@pytest.mark.parametrize(
    ("words", "one", "context"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_numbers_have_units_or_words_and_defaults(words, one, context):
    for parameter in one.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or parameter.param_type_name == "argument":
            continue
        option = parameter.opts[0]
        assert record[1].split("[")[0].strip(), f"{option} says nothing"
        if parameter.metavar in NUMBERS and parameter.rich_help_panel != CHANGES and option not in OFF:
            assert re.search(r"default|required|As --bits", record[1]), f"{option}: {record[1]}"
        if option == "--timeout":
            assert "econds" in record[1], f"{option}: {record[1]}"
        if option == "--memory":
            assert "GiB" in record[1]


def test_the_man_page_is_current(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "_extensions")
    import man_page

    assert man_page.PAGE.read_text() == man_page.man_page(), "make man"
    text = man_page.PAGE.read_text().replace("\\-", "-")
    for words, one, context in COMMANDS:
        assert f".SS netproof {' '.join(words)}\n" in text
        # A hidden one is there to be refused with a hint.
        shown = [p for p in one.get_params(context) if p.param_type_name == "option" and not p.hidden]
        named = [max(p.opts, key=len) for p in shown]
        assert all(option in text for option in named if option != "--help")
    if shutil.which("groff") is not None:
        ran = subprocess.run(["groff", "-man", "-ww", "-z", man_page.PAGE], capture_output=True, text=True, check=False)
        assert ran.returncode == 0 and ran.stderr == ""


def test_what_a_shell_completes(monkeypatch):
    import os
    import sys

    asked = {"COMP_WORDS": "netproof robust --pat", "COMP_CWORD": "2", "_NETPROOF_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv[0] = 'netproof'; from netproof.cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    assert ran.stdout.split() == ["--patch"], ran
    asked["COMP_WORDS"], asked["COMP_CWORD"] = "netproof che", "1"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    assert ran.stdout.split() == ["check", "check-all"], ran


@pytest.fixture(scope="module")
def place(tiny_data, tmp_path_factory):
    """Files that wrong uses name, and words for them."""
    here = tmp_path_factory.mktemp("wrong")
    (here / "text.onnx").write_text("this is no network")
    (here / "words.vnnlib").write_text("(assert (>= X_0 zero))")
    (here / "text.png").write_text("this is no picture")
    (here / "empty").mkdir()
    np.save(here / "one.npy", np.zeros((1, 4), np.uint8))
    np.save(here / "signed.npy", np.full((1, 4), -3))
    (here / "netproof.toml").write_text('[queries.one]\nnetwork = "text.onnx"\nimages = "text.png"\nepsilon = 2\n')
    return {
        "NET": tiny_data.network, "IMAGES": f"--images {tiny_data.images} --labels {tiny_data.labels}", "DATA": tiny_data.folder,
        "HERE": here,
    }  # fmt: skip


#: what is typed, what the line names, and how it is mended
WRONG = [
    ("robots NET", "No such command 'robots'", "netproof --help"),
    ("robust", "Missing argument 'NETWORK", "netproof robust --help"),
    ("robust NET IMAGES --index 3 --epsilon 2", "--epsilon", "netproof robust --help"),
    ("robust NET IMAGES --index 3", "--eps: is missing", "say by how much"),
    ("robust NET IMAGES --eps 2", "400 images, and nothing says which", "give --index I"),
    ("robust NET IMAGES --index 400 --eps 2", "there is no sample 400", "give 0 to 399"),
    ("robust NET IMAGES --index three --eps 2", "--index", "netproof robust --help"),
    ("robust NET IMAGES --index 3 --eps two", "'two'", "give"),
    ("robust NET IMAGES --index 3 --eps", "netproof robust: Option '--eps' requires an argument", "netproof robust --help"),
    ("robust NET IMAGES --index 3 --eps 1e400", "beyond all float32", "give 1e38 or less"),
    ("radius NET IMAGES --index 3 --limit 1e-400", "1e-400", "give 0 or 1"),
    ("robust NET IMAGES --index 3 --eps 2 --top 1.5", "this is no whole number", "netproof robust --help"),
    ("robust NET IMAGES --index 3 --eps 2 --timeout 1h", "this is no number", "netproof robust --help"),
    ("robust NET IMAGES --index 3 --eps 2 --target 1 --top 2", "--target: --top is given as well", "give one of the two"),
    ("radius NET --images HERE/one.npy --label 1 --index 1", "one.npy holds one image", "give 0, or leave it out"),
    ("robust NET --images HERE/one.npy --eps 2 --label 99999999999999999999", "--label: label 9999", "give 0 to 2"),
    ("radius NET --images HERE/signed.npy --label 1", "signed.npy, sample 0: the image has values", "give raw"),
    ("robust NET --images HERE/signed.npy --label 1 --eps 2", "signed.npy, sample 0: the image has values", "give raw"),
    ("robust NET IMAGES --index 3 --eps 2 --witness -", "--witness: '-' is no name of a file", "give one"),
    ("report HERE --csv -", "--csv: '-' is no name of a file", "give one"),
    ("bench report", "No such command 'report'", "netproof bench --help"),
    ("bench ron", "No such command 'ron'; did you mean 'run'? see", "netproof bench --help"),
    ("robust NET IMAGES --index 3 --eps 0.5", "0.5", "give"),
    ("robust NET IMAGES --index 3 --eps -1", "-1", "0 or more"),
    ("robust NET IMAGES --index 3 --eps 2 --norm l3", "'l3'", "give linf, l1, l2"),
    ("robust NET IMAGES --index 3 --eps 2 --timeout 0", "--timeout", "give a positive number of seconds"),
    ("robust NET IMAGES --index 3 --eps 2 --target 7", "7", "give"),
    ("robust NET IMAGES --index 3 --eps 2 --engine magic", "magic", "give one of"),
    ("robust NET IMAGES --index 3 --eps 2 --witness HERE/no/folder.json", "no folder", "--witness"),
    ("robust NET --images HERE/text.png --eps 2", "text.png", "; "),
    ("robust NET --images HERE/empty --eps 2", "empty", "; "),
    ("robust HERE/missing.onnx IMAGES --index 3 --eps 2", "missing.onnx", "; "),
    ("robust HERE/text.onnx IMAGES --index 3 --eps 2", "text.onnx", "; "),
    ("radius NET IMAGES --index 3 --accuracy 0.1", "an integer network, whose radii are exact", "leave it out"),
    ("radius NET IMAGES --index 3 --limit much", "'much'", "give"),
    ("verify NET", "no property", "give"),
    ("verify NET HERE/words.vnnlib", "words.vnnlib", "; "),
    ("check HERE/text.png --network NET", "text.png", "; "),
    ("report HERE/empty", "holds no benchmark run", "bench run"),
    ("report HERE/nowhere", "no such folder", "; "),
    ("check-all --config HERE/netproof.toml", "epsilon", "eps"),
    ("bench run mnist --data DATA", "mnist", "did you mean mnist_fc or qnn-mnist? 'netproof bench list'"),
    ("bench run qnn-mnist --data HERE/empty", "empty", "; "),
    ("bench run qnn-mnist --data DATA --jobs 0 --out HERE/run", "--jobs", "give 1 or more"),
    ("bench run qnn-mnist --data DATA --scheduler localhost --out HERE/run", "--scheduler", "dask://HOST:PORT"),
    ("bench show HERE/empty", "empty", "bench run"),
    ("export smtlib NET IMAGES --index 3 --eps 2", "--out", "netproof export smtlib --help"),
    ("inspect HERE", "is a folder", "; "),
    ("train quantized tree --images HERE/empty --out HERE/run", "tree", "; "),
    ("--debug HERE/no/folder.txt inspect NET", "no folder", "--debug"),
]  # fmt: skip


def test_there_are_thirty_wrong_uses():
    assert len({typed for typed, _, _ in WRONG}) == len(WRONG) >= 30


@pytest.mark.parametrize(("typed", "problem", "mend"), WRONG, ids=[typed for typed, _, _ in WRONG])
def test_a_wrong_use_ends_in_one_line_with_its_mend(cli, place, typed, problem, mend):
    words = typed
    for name, value in place.items():
        words = re.sub(rf"(?<![\w-]){name}(?![\w-])", str(value), words)
    ran = cli(*words.split())
    assert_refused(ran, problem, mend)
    # What is wrong, and then what to do about it.
    said, _, advice = ran.err.removeprefix("error: ").rstrip("\n").rpartition("; ")
    assert said and len(advice.split()) > 1 and len(ran.err) < 400, ran.err
