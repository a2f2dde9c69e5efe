"""Files of promises: what is wrong with them is said before anything is asked, with file, table, word and what to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netproof.asking.keeping import keep
from netproof.asking.promises import check_files, find_promises, is_promises, read_promises
from netproof.asking.tables import OF_EVERY, OF_IMAGES
from netproof.errors import FormatError, InputError

IMAGES = "network = 'n.onnx'\nimages = 'i.npy'\neps = 1\n"
PROPERTY = "network = 'n.onnx'\nproperty = 'p.vnnlib'\n"


def read(folder, text, name="netproof.toml"):
    (folder / name).write_text(text, "utf-8")
    return read_promises(folder / name)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("epsilon = 1", ("'epsilon' is not known", "did you mean 'eps'?")),
        ("Timeout = 1", ("'Timeout' is not known", "did you mean 'timeout'?")),
        ("norm = 'l_inf'", ("'norm' is text ('l_inf')", "did you mean 'linf'?")),
        ("norm = 2", ("'norm' is 2", "did you mean 'l2'?")),
        ("index = [1, 2, 1]", ("'index' names image 1 twice", "once")),
        ("index = []", ("'index' names no image", "all = true")),
        ("index = -1", ("'index' has -1", "from 0")),
        ("index = [0, 1.0]", ("'index' has 1.0", "whole numbers")),
        ("index = [true]", ("'index' has True",)),
        ("index = '0'", ("'index' has text ('0')",)),
        ("all = 1", ("'all' is 1", "true or false")),
        ("index = 1\nall = true", ("has 'index' and 'all'", "one of the two")),
        ("label = 1\nlabels = 'l.npy'", ("has 'label' and 'labels'",)),
        ("label = -1", ("'label' is -1", "0 or more")),
        ("label = true", ("'label' is True",)),
        ("target = 1\ntop = 2", ("has 'target' and 'top'",)),
        ("label = 1\ntarget = 1", ("'target' is 1, the label itself",)),
        ("top = 0", ("'top' is 0", "1 or more")),
        ("scale = 0", ("'scale' is 0", "above 0")),
        ("scale = 'x'", ("'scale' is text ('x')", "1/255")),
        ("scale = nan", ("'scale' is nan",)),
        ("mean = []", ("'mean' has no number",)),
        ("mean = [0.5, inf]", ("'mean' is inf",)),
        ("mean = [[0.5]]", ("'mean' is a list",)),
        ("mean = 1979-05-27", ("'mean' is a date",)),
        ("std = [0.5, 0]", ("'std' is 0", "above 0")),
        ("clip = 1", ("'clip' is 1", "[0, 1]")),
        ("clip = [0]", ("'clip' has 1 numbers", "[0, 1]")),
        ("clip = [1, 0]", ("'clip' is [1, 0]", "least value first")),
        ("layout = 'nchw'", ("'layout' is text ('nchw')", "did you mean 'chw'?")),
        ("split = 'tests'", ("'split' is text ('tests')", "did you mean 'test'?")),
        ("crop = 0", ("'crop' is 0",)),
        ("unchecked = 'yes'", ("'unchecked' is text", "true or false")),
        ("labels = ''", ("'labels' is text ('')", "give text")),
        ("timeout = 0", ("'timeout' is 0", "seconds")),
        ("timeout = inf", ("'timeout' is inf", "not without an end")),
        ("timeout = nan", ("'timeout' is nan",)),
        ("timeout = '60s'", ("'timeout' is text ('60s')", "seconds: 60")),
        ("timeout = true", ("'timeout' is True",)),
        ("memory = '2GiB'", ("'memory' is text ('2GiB')", "GiB: 2")),
        ("memory = 0.0001", ("'memory' is 0.0001", "0.001 or more")),
        ("memory = inf", ("'memory' is inf",)),
        ("memory = nan", ("'memory' is nan",)),
        ("seed = -1", ("'seed' is -1", "whole number")),
        ("seed = 1.5", ("'seed' is 1.5",)),
        ("engine = 'SMT'", ("'engine' is text ('SMT')", "did you mean 'smt'?")),
        ("device = 'gpu'", ("'device' is text ('gpu')", "give cpu")),
        ("engine = 'smt'\ndevice = 'cuda'", ("engine and device: engine 'smt' works on the CPU alone",)),
        ("runtime = 'tflmm'", ("'runtime' is text ('tflmm')", "did you mean 'tflm'?")),
        ("bits = 70", ("'bits' is 70", "0 to 16")),
        ("bits = true", ("'bits' is True",)),
        ("bits = 4\nweight_integer_bits = 5", ("bits and weight_integer_bits: weight_integer_bits is 5 of only 4 bits",)),
        ("expect = 'unsat'", ("'expect' is 'unsat'", "did you mean 'robust'?")),
        ("expect = 'vulnerabel'", ("did you mean 'vulnerable'?",)),
        ("expect = 'timeout'", ("'expect' is 'timeout'", "robust, vulnerable or misclassified")),
        ("expect = 3", ("'expect' is 3", "give text")),
        ("requirement = 12", ("'requirement' is 12", "give text")),
        ("requirement = ['A', 'A']", ("'requirement' names 'A' twice",)),
        ("requirement = []", ("'requirement' names none",)),
        ("requirement = ' '", ("'requirement' is text",)),
        ("network = 3", ("table or a word twice", "every word once")),
    ],
)  # fmt: skip
def test_what_a_query_cannot_say(tmp_path, line, parts):
    with pytest.raises(FormatError) as refused:
        read(tmp_path, f"[queries.a]\n{IMAGES}{line}\n")
    said = str(refused.value)
    assert "\n" not in said and str(tmp_path / "netproof.toml") in said and all(part in said for part in parts), said
    assert "[queries.a]" in said or "twice" in said


@pytest.mark.parametrize("eps", ["nan", "inf", "-1", "true", "[1]", "'two'", "'1/0'", "''", "0.1e999"])
def test_what_is_no_radius(tmp_path, eps):
    with pytest.raises(FormatError, match=r"\[queries.a\]: 'eps' is .*; give .*2/255"):
        read(tmp_path, f"[queries.a]\nnetwork = 'n'\nimages = 'i'\neps = {eps}\n")


def test_the_other_kind_has_its_own_words(tmp_path):
    with pytest.raises(FormatError, match=r"'expect' is 'robust'; did you mean 'unsat'\?"):
        read(tmp_path, f"[queries.a]\n{PROPERTY}expect = 'robust'\n")
    with pytest.raises(FormatError, match=r"'index', of images, stands beside a property"):
        read(tmp_path, f"[queries.a]\n{PROPERTY}index = 1\n")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[query.a]\n", ("'query' is no table of it", "did you mean 'queries'?")),
        ("[queries.a]\n[queries.a]\n", ("has a table or a word twice", "name of its own")),
        (f"[queries.a]\n{IMAGES}[queries.'a']\n", ("has a table or a word twice",)),
        (f"[queries.'']\n{IMAGES}", ("a query is called ''", "give it a name")),
        (f"[queries.' ']\n{IMAGES}", ("a query is called ' '",)),
        ("[queries]\na = 'x'\n", ("'queries.a' is text ('x'), and no table",)),
        ("defaults = 3\n[queries.a]\n", ("'defaults' is no table",)),
        (f"[defaults]\nepsilon = 1\n[queries.a]\n{IMAGES}", ("[defaults]: 'epsilon' is not known", "'eps'")),
        (f"[defaults]\ntimeout = 0\n[queries.a]\n{IMAGES}timeout = 1\n", ("[defaults]: 'timeout' is 0",)),
        (f"[defaults]\nmean = nan\n[queries.a]\n{PROPERTY}", ("[defaults]: 'mean' is nan",)),
        (f"[defaults]\nproperty = 'p'\n[queries.a]\n{IMAGES}", ("'property' is what a query is about",)),
        (f"[defaults]\nlabel = 1\nlabels = 'l'\n[queries.a]\n{IMAGES}", ("[defaults]: has 'label' and 'labels'",)),
        (f"x = {'9' * 5000}\n", ("is no TOML", "mend that place")),
        ("\x00", ("is no TOML",)),
    ],
)
def test_what_is_no_file_of_promises(tmp_path, text, parts):
    with pytest.raises(FormatError) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value) and all(part in str(refused.value) for part in parts), str(refused.value)


def test_names_that_steer_terminals_are_shown_escaped(tmp_path):
    with pytest.raises(FormatError) as refused:
        read(tmp_path, '[queries."a\\u001b[31m\\n\\u202e"]\n' + IMAGES + "top = 0\n")
    assert "[queries.a\\x1b[31m\\n\\u202e]" in str(refused.value) and str(refused.value).isprintable()


def test_a_query_overrides_defaults_and_what_stands_for_the_same(tmp_path):
    defaults = (
        "[defaults]\nlabels = 'l.npy'\nall = true\ntarget = 2\ntimeout = 7\nnetwork = 'm.onnx'\nrequirement = 'R'\n"
    )
    plain, other = read(
        tmp_path,
        f"{defaults}[queries.plain]\nimages = 'i'\neps = 1\n"
        f"[queries.other]\n{IMAGES}label = 3\nindex = [4, 5]\ntop = 2\ntimeout = 9\nrequirement = ['A', 'B']\n",
    )
    assert plain.network.name == "m.onnx" and plain.every and plain.target == 2 and plain.settings.timeout == 7
    assert plain.source.labels.name == "l.npy" and plain.requirements == ("R",)
    assert other.network.name == "n.onnx" and not other.every and other.indices == (4, 5) and other.target is None
    assert other.source.labels is None and other.source.label == 3 and other.top == 2 and other.settings.timeout == 9
    assert other.requirements == ("A", "B")


def test_what_the_documentation_says(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
    assert not [word for word in (*OF_EVERY, *OF_IMAGES) if f"`{word}`" not in page]
    text = page.partition("```toml\n")[2].partition("```")[0]
    found = read(tmp_path, text)
    assert [one.expect for one in found] == ["robust", "vulnerable"] and found[0].requirements == ("REQ-12",)
    for line, said in (("norm = 'l_inf'", "'norm' is text"), ("index = [3, 3]", "names image 3 twice")):
        with pytest.raises(FormatError, match=said) as refused:
            read(tmp_path, f"[queries.two-grey-levels]\n{IMAGES}{line}\n")
        assert f"error: netproof.toml{str(refused.value).partition('netproof.toml')[2]}\n" in page


@pytest.mark.parametrize("word", ["network", "images", "labels", "property"])
def test_files_that_are_not_there(tmp_path, word):
    for name in ("n.onnx", "i.npy", "l.npy", "p.vnnlib"):
        (tmp_path / name).touch()
    text = f"[queries.a]\n{PROPERTY}" if word == "property" else f"[queries.a]\n{IMAGES}labels = 'l.npy'\n"
    check_files(read(tmp_path, text))
    file = {"network": "n.onnx", "images": "i.npy", "labels": "l.npy", "property": "p.vnnlib"}[word]
    (tmp_path / file).unlink()
    with pytest.raises(FormatError, match=rf"\[queries.a\]: '{word}' is .*{file}, which is not there; check the path"):
        check_files(read(tmp_path, text))
    (tmp_path / file).mkdir()  # images can be a folder, nothing else
    if word == "images":
        check_files(read(tmp_path, text))
    else:
        with pytest.raises(FormatError, match=f"'{word}' is"):
            check_files(read(tmp_path, text))


def test_files_that_have_no_name(tmp_path):
    for name in ("a\\u0000b", "x" * 5000):
        with pytest.raises(FormatError, match=r"'network' is .*, which is not there"):
            check_files(read(tmp_path, f'[queries.a]\nnetwork = "{name}"\nimages = "sklearn:digits"\neps = 1\n'))


def test_where_promises_are_looked_for(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text(
        "# not a table: [tool.netproof]\n[project]\nname = 'netproof-user'\n"
    )
    with pytest.raises(InputError, match=r"no netproof\.toml here or above"):
        find_promises(below)
    (tmp_path / "pyproject.toml").write_text("tool = {netproof = {queries = {a = {network = 'n', property = 'p'}}}}\n")
    assert find_promises(below) == tmp_path / "pyproject.toml"
    assert [one.name for one in read_promises(find_promises(below))] == ["a"]
    (below / "pyproject.toml").write_text(
        "[tool.black]\nnothing = [\n"
    )  # of other tools, and damaged: no business of ours
    assert not is_promises(below / "pyproject.toml") and find_promises(below) == tmp_path / "pyproject.toml"
    (below / "netproof.toml").mkdir()
    assert find_promises(below) == tmp_path / "pyproject.toml"
    (tmp_path / "a" / "netproof.toml").touch()
    assert find_promises(below) == tmp_path / "a" / "netproof.toml"


@pytest.fixture
def kept(tiny_data, tmp_path):
    """What becomes of one query about the tiny network, given more words."""

    def answers(more, images=None):
        path = tiny_data.images
        if images is not None:
            path = tmp_path / "images.npy"
            np.save(path, images)
        table = f"[queries.q]\nnetwork = '{tiny_data.network}'\nimages = '{path}'\n{more}\n"
        (promise,) = read(tmp_path, table)
        return list(keep(promise))

    return answers


def test_one_image_that_cannot_be_asked_about_is_not_the_end_of_the_others(kept):
    found = kept("index = [3, 999, 4]\neps = 0")
    assert [(one.name, one.verdict) for one in found] == [("q-3", "robust"), ("q-999", "error"), ("q-4", "robust")]
    assert "no sample 999" in found[1].said and "--" not in found[1].said and not found[1].holds


def test_a_witness_is_said_briefly(kept, tiny_data):
    index, radius = tiny_data.first("vulnerable")
    (one,) = kept(f"index = {index}\neps = {radius}\nexpect = 'vulnerable'")
    assert one.holds and one.said.startswith(f"radius {radius} grey level") and "after a change of" in one.said


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ("eps = 1", ("nothing says which of the 400 images", "index = [0, 1]", "all = true")),
        ("index = 0\neps = '2.0'", ("eps: '2.0' could be grey levels",)),
        ("index = 0\neps = 1\nscale = '1/255'", ("scale: ", "leave scale out")),
        ("index = 0\neps = 1\nlabel = 7", ("label 7 is not an output",)),
        ("index = 0\neps = 1\nnorm = 'l2'\nengine = 'smt'", ("takes boxes",)),
        ("index = 0\neps = 1\nruntime = 'tflm'", ("runtime: none is known",)),
    ],
)
def test_what_cannot_be_asked_is_an_answer_that_failed(kept, more, parts):
    (one,) = kept(more)
    assert one.verdict == "error" and not one.holds and one.result is None
    assert "--" not in one.said and all(part in one.said for part in parts), one.said


def test_what_breaks_in_between_is_said_of_all_that_is_left(kept, monkeypatch):
    import netproof.search.verify as engine

    whole = engine.verify

    def breaks(queries, settings):
        results = whole(queries, settings)
        yield next(iter(results))
        raise RuntimeError("a wheel came off\nand rolled away")

    monkeypatch.setattr(engine, "verify", breaks)
    first, *rest = kept("index = [0, 1, 2]\neps = 0")
    assert first.verdict != "error" and [one.name for one in rest] == ["q-1", "q-2"]
    assert all(one.verdict == "error" and "RuntimeError (a wheel came off and rolled away)" in one.said for one in rest)


def test_a_defect_of_one_promise_is_not_the_end_of_a_run(kept, monkeypatch):
    import netproof.formats.load

    def breaks(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(netproof.formats.load, "load", breaks)
    (one,) = kept("index = 0\neps = 0")
    assert one.verdict == "error" and "ZeroDivisionError (by zero), a defect of netproof" in one.said
