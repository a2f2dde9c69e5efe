"""``netproof report``: a page that needs nothing else, and the forms that other programs read."""

from __future__ import annotations

import csv
import json
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from conftest import assert_refused
from made_up_run import make_up
from netproof.formats.images.idx import read_labels


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """A run of 100 instances with certificates, in a folder that tests may read."""
    from netproof.cli.main import run as command

    folder = tmp_path_factory.mktemp("report") / "run"
    asked = ["bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", folder, "--only", "*-eps-4", "--check"]
    assert command([str(word) for word in asked]) == 0
    return folder


@pytest.fixture(scope="module")
def verdicts(run):
    with (run / "results.csv").open() as stream:
        return {row["instance"]: row["verdict"] for row in csv.DictReader(stream)}


class _Page(HTMLParser):
    """What a page holds: whether its elements close, its rows, links and images."""

    VOID = frozenset({"meta", "img", "input", "link", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.tags, self.ids = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(cli, data, folder, out, *options):
    ran = cli("report", folder, "--data", data.folder, "--out", out, *options)
    assert ran.code == 0, ran
    return _Page(out.read_text("utf-8"))


def test_the_page_is_whole_and_needs_nothing_else(cli, tiny_data, run, tmp_path, verdicts):
    page = page_of(cli, tiny_data, run, tmp_path / "page.html")
    assert not page.open and not page.wrong and len(page.ids) == len(set(page.ids))
    outside = [
        value for _, a in page.tags for name, value in a.items() if name in ("src", "href", "action", "xlink:href")
    ]
    assert all(
        value.startswith(("data:image/png;base64,", "#")) or not value.startswith(("http", "//", "/"))
        for value in outside
    )
    rows = [a for a in page.all("tr") if "data-verdict" in a]
    assert len(rows) == 400 and sum(a["data-verdict"] == "vulnerable" for a in rows) == list(verdicts.values()).count(
        "vulnerable"
    )
    text = (tmp_path / "page.html").read_text()
    assert "agrees with" in text.lower() and "<script src" not in text and "@import" not in text
    # Nothing but the page's own style and script, which are named by their hashes.
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy and policy.count("sha256-") == 2 and "unsafe" not in policy


def test_links_of_the_page_lead_to_evidence(cli, tiny_data, run, tmp_path, verdicts):
    page = page_of(cli, tiny_data, run, tmp_path / "page.html")
    links = [a["href"] for a in page.all("a") if not a["href"].startswith("#")]
    proofs = [link for link in links if link.endswith(".npcert")]
    assert len(proofs) == sum(verdict in ("robust", "vulnerable") for verdict in verdicts.values())
    assert all((tmp_path / link).resolve().is_file() for link in links)


def test_pictures_are_those_of_the_witness(cli, tiny_data, run, tmp_path):
    import base64
    from io import BytesIO

    from PIL import Image

    page = page_of(cli, tiny_data, run, tmp_path / "page.html")
    images = page.all("img")
    witnesses = sorted((run / "witnesses").glob("*.json"))
    assert len(images) == 3 * len(witnesses) > 0 and all(a["alt"] for a in images)
    drawn = []
    for a in images:
        with Image.open(BytesIO(base64.b64decode(a["src"].partition(",")[2]))) as image:
            drawn.append(np.asarray(image.convert("L")).reshape(-1).tolist())
    expected = [json.loads(path.read_text()) for path in witnesses]
    assert {(tuple(b), tuple(a)) for b, a in zip(drawn[::3], drawn[2::3], strict=True)} == {
        (tuple(d["image"]), tuple(d["input"])) for d in expected
    }


def test_what_a_name_says_is_text(cli, tiny_data, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "run.json").write_text(
        json.dumps({"benchmark": '<script>alert("x")</script>', "files": {"<b>": "&"}, "invocations": []})
    )
    lines = (folder / "results.csv").read_text().splitlines()
    (folder / "results.csv").write_text(
        "\n".join([lines[0], '"<img src=x onerror=alert(1)>",error,0.1,,"<i>""why"" & how"']) + "\n"
    )
    page = page_of(cli, tiny_data, folder, tmp_path / "page.html")
    assert not page.wrong and len(page.all("script")) == 1 and not page.all("img") and not page.all("i")
    cli("report", folder, "--junit", tmp_path / "a.xml", "--markdown", tmp_path / "a.md")
    assert ET.parse(tmp_path / "a.xml").getroot().get("name") == '<script>alert("x")</script>'
    assert "<script" not in (tmp_path / "a.md").read_text()


def test_json_is_what_the_schema_says(cli, tiny_data, run, tmp_path, verdicts):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema, of the extra dev, is not installed")
    (tmp_path / "needs.csv").write_text("instance,requirement\nmnist-30*-eps-4,REQ-7\nmnist-301-eps-4,REQ-8\n")
    ran = cli(
        "report",
        run,
        "--data",
        tiny_data.folder,
        "--json",
        tmp_path / "a.json",
        "--requirements",
        tmp_path / "needs.csv",
    )
    assert ran.code == 0 and not (run / "report.html").exists()
    document = json.loads((tmp_path / "a.json").read_text())
    schema = json.loads(files("netproof.report.exports").joinpath("report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    found = {entry["instance"]: entry for entry in document["instances"]}
    assert {name: entry["verdict"] for name, entry in found.items() if entry["verdict"]} == verdicts
    assert (
        found["mnist-301-eps-4"]["requirements"] == ["REQ-7", "REQ-8"]
        and found["mnist-311-eps-4"]["requirements"] == []
    )
    assert found["mnist-301-eps-4"]["radius"] == "4"
    for entry in document["instances"]:
        for evidence in (entry["witness"], entry["certificate"]):
            assert evidence is None or (run / evidence).is_file()
    broken = dict(document, instances=[dict(document["instances"][0], verdict="sure")])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


#: children in their order, and attributes, as Jenkins' schema for JUnit 10 has them
JUNIT = {
    "testsuites": (["testsuite"], {"name", "tests", "failures", "errors", "time", "disabled"}),
    "testsuite": (["properties", "testcase", "system-out", "system-err"], {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package", "disabled"}),
    "properties": (["property"], set()),
    "property": ([], {"name", "value"}),
    "testcase": (["skipped", "error", "failure", "system-out", "system-err"], {"name", "classname", "time", "assertions", "status"}),
    "skipped": ([], {"message", "type"}),
    "error": ([], {"message", "type"}),
    "failure": ([], {"message", "type"}),
    "system-out": ([], set()),
}  # fmt: skip


def assert_junit(element):
    children, attributes = JUNIT[element.tag]
    places = [children.index(child.tag) for child in element]
    assert places == sorted(places) and set(element.attrib) <= attributes, element.tag
    for child in element:
        assert_junit(child)


def test_junit_has_a_case_for_every_instance(cli, tiny_data, run, tmp_path, verdicts):
    (tmp_path / "needs.csv").write_text("mnist-301-eps-4,REQ-8\n")
    ran = cli(
        "report",
        run,
        "--data",
        tiny_data.folder,
        "--junit",
        tmp_path / "a.xml",
        "--requirements",
        tmp_path / "needs.csv",
    )
    assert ran.code == 0
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert_junit(root)
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert len(cases) == 400 == int(root.get("tests"))
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert failed == {name for name, verdict in verdicts.items() if verdict in ("vulnerable", "misclassified")}
    assert {name for name, case in cases.items() if case.find("skipped") is not None} == set(cases) - set(verdicts)
    assert "requirement: REQ-8" in cases["mnist-301-eps-4"].find("system-out").text
    assert len(failed) == int(root.get("failures")) == sum(int(suite.get("failures")) for suite in root)
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties == {"requirement of mnist-301-eps-4": "REQ-8"}


def test_csv_and_markdown(cli, tiny_data, run, tmp_path, verdicts):
    cli("report", run, "--data", tiny_data.folder, "--csv", tmp_path / "a.csv", "--markdown", tmp_path / "a.md")
    with (tmp_path / "a.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["instance"]: row["verdict"] for row in rows if row["verdict"]} == verdicts
    assert f"| {list(verdicts.values()).count('robust')} |" in (tmp_path / "a.md").read_text()


def test_a_gate(cli, tiny_data, run, tmp_path):
    ran = cli("report", run, "--data", tiny_data.folder, "--csv", tmp_path / "a.csv", "--fail-on", "timeout,error")
    assert ran.code == 0
    ran = cli("report", run, "--data", tiny_data.folder, "--csv", tmp_path / "a.csv", "--fail-on", "vulnerable")
    assert ran.code == 1 and "CHECK FAILED" in ran.err


def test_a_folder_whose_data_is_not_here_is_reported_all_the_same(cli, run, tmp_path, verdicts):
    (tmp_path / "nothing").mkdir()
    ran = cli("report", run, "--data", tmp_path / "nothing", "--json", tmp_path / "a.json")
    assert ran.code == 0, ran
    document = json.loads((tmp_path / "a.json").read_text())
    assert {e["instance"]: e["verdict"] for e in document["instances"] if e["verdict"]} == verdicts
    assert all(e["published"] is None for e in document["instances"])


def test_images_that_were_asked_about(cli, tiny_data, tmp_path):
    asked = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--eps", 4, "--index", 1, "--index", 2)
    assert cli("robust", tiny_data.network, *asked, "--out", tmp_path / "run").code == 0
    page = page_of(cli, tiny_data, tmp_path / "run", tmp_path / "page.html")
    assert sum("data-verdict" in a for a in page.all("tr")) == 2
    assert "label" in (tmp_path / "page.html").read_text()
    cli("report", tmp_path / "run", "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json")
    with (tmp_path / "a.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    labels = read_labels(tiny_data.labels)[1:3].tolist()
    for row, label in zip(rows, labels, strict=True):
        assert (row["network"], row["group"], row["radius"]) == (tiny_data.network.name, "radius 4 grey levels", "4")
        assert (row["label"], row["norm"]) == (str(label), "linf")
    instances = json.loads((tmp_path / "a.json").read_text())["instances"]
    assert [(one["label"], one["norm"]) for one in instances] == [(str(label), "linf") for label in labels]
    # A record that somebody wrote: no number, and no words.
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    document["about"]["image-1"]["radius"] = "1/0"
    (tmp_path / "run" / "run.json").write_text(json.dumps(document))
    assert cli("report", tmp_path / "run", "--out", tmp_path / "page.html").code == 0
    for wrong in ([], {"image-1": 3}, {"image-1": {"label": 3}}):
        (tmp_path / "run" / "run.json").write_text(json.dumps(document | {"about": wrong}))
        assert_refused(cli("report", tmp_path / "run"), "'about' is not a table of words")


def test_another_run_beside_it(cli, tiny_data, run, tmp_path):
    page = page_of(cli, tiny_data, run, tmp_path / "page.html", "--against", run)
    assert "scatter" in page.ids and {"cactus", "radii"} <= set(page.ids)
    (tmp_path / "other.csv").write_text("instance,verdict,seconds\nmnist-301-eps-4,robust,3.5\n")
    assert "scatter" in page_of(cli, tiny_data, run, tmp_path / "page.html", "--against", tmp_path / "other.csv").ids


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda run, here: (here / "nothing",), ("no such folder",)),
        (lambda run, here: (run / "results.csv",), ("is a file, and no folder of a run; give the folder of a run: ",)),
        (lambda run, here: (here / "bad.csv",), ("is a file, and no folder of a run; give the folder of a run",)),
        (lambda run, here: (here,), ("holds no benchmark run", "bench run")),
        (lambda run, here: (run, "--out", here), ("is a folder (--out)",)),
        (lambda run, here: (run, "--junit", here / "no" / "a.xml"), ("there is no folder", "--junit")),
        (lambda run, here: (run, "--csv", here / "a", "--against", here), ("holds no benchmark run",)),
        (lambda run, here: (run, "--csv", here / "a", "--against", here / "bad.csv"), ("no table of verdicts",)),
        (lambda run, here: (run, "--csv", here / "a", "--requirements", here / "bad.csv"), ("line 1", "instance,requirement")),
        (lambda run, here: (run, "--csv", here / "a", "--requirements", here / "none.csv"), ("no such table",)),
        (lambda run, here: (run, "--csv", run / "results.csv"), ("is the run's own record",)),
        (lambda run, here: (run, "--json", run / "run.json"), ("is the run's own record",)),
        (lambda run, here: (run, "--csv", here / "a", "--json", here / "a"), ("is named by --csv as well",)),
        (lambda run, here: (run, "--fail-on", "never"), ("--fail-on", "'never'")),
        (lambda run, here: (here / "torn",), ("is not JSON",)),
        (lambda run, here: (here / "strange",), ("line 2", "no verdict is called 'maybe'")),
    ],
)  # fmt: skip
def test_wrong_uses(cli, run, tmp_path, make, parts):
    (tmp_path / "bad.csv").write_text("one,two,three\n")
    for name in ("torn", "strange"):
        shutil.copytree(run, tmp_path / name)
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "strange" / "results.csv").write_text("instance,verdict,seconds,method,evidence\na,maybe,1,,\n")
    assert_refused(cli("report", *make(run, tmp_path)), *parts)


def test_a_table_of_somebody_else(cli, tmp_path):
    folder = tmp_path / "run"
    (folder / "witnesses").mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"input": [1], "image": [2]}')
    (folder / "run.json").write_text('{"benchmark": "x", "files": {}, "invocations": []}')
    lines = [
        "instance,verdict,seconds,method,evidence",
        "../../secret,sat,1e308,a,witnesses/../../secret.json",
        "-,robust,3,,",
    ]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    ran = cli("report", folder, "--out", tmp_path / "page.html", "--json", tmp_path / "a.json")
    assert ran.code == 0, ran
    assert "secret.json" not in (tmp_path / "page.html").read_text()
    assert all(e["witness"] is None for e in json.loads((tmp_path / "a.json").read_text())["instances"])


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        '{"input": [1%s], "image": [1]}' % ("0" * 400),
        '{"input": [1, 2]}',
        '{"input": [[1]], "image": [1]}',
        '{"input": [1], "image": [1, 2]}',
    ],
)
def test_a_damaged_witness_is_named(cli, tiny_data, run, tmp_path, damage):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    witness = min((folder / "witnesses").glob("*.json"))
    witness.write_text(damage)
    page = page_of(cli, tiny_data, folder, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert witness.name in text and text.count("no witness that can be drawn") == 1
    whole = sum(path != witness for path in (folder / "witnesses").glob("*.json"))
    assert len(page.all("img")) == 3 * whole


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A run of 700 instances, 250 of them with a witness of 28x28 pixels."""
    folder = tmp_path_factory.mktemp("large") / "run"
    make_up(folder, 700)
    return folder


def test_700_instances_take_less_than_two_megabytes(cli, large, tmp_path):
    assert cli("report", large, "--out", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").stat().st_size < 2_000_000
    page = _Page((tmp_path / "page.html").read_text())
    assert sum("data-verdict" in a for a in page.all("tr")) == 700 and len(page.all("img")) > 300


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is installed: the page was checked as HTML alone")


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra browser, is not installed")
    program = chromium()
    with sync.sync_playwright() as play:
        found = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


def opened(browser, path: Path, **options):
    context = browser.new_context(**options)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url))
    page.goto(path.as_uri())
    return page, said


def test_the_page_in_a_browser(cli, browser, large, tmp_path):
    assert cli("report", large, "--out", tmp_path / "page.html").code == 0
    page, said = opened(browser, tmp_path / "page.html")
    shown = page.locator("#instances tbody tr:visible")
    assert shown.count() == 700 and page.inner_text("#shown") == "700 of 700 instances shown"
    page.select_option("#verdict", "vulnerable")
    assert shown.count() == 250
    page.fill("#word", "i-1-eps")
    assert shown.count() == 1 and page.locator("#instances tr:visible img").first.evaluate("i => i.naturalWidth") == 28
    page.fill("#word", "")
    page.select_option("#verdict", "")
    # By keyboard: the heads of columns are buttons.
    page.get_by_role("button", name="seconds").focus()
    for order in ("ascending", "descending"):
        page.keyboard.press("Enter")
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == order
        times = [
            float(v)
            for v in page.locator("#instances tbody td[data-value]").evaluate_all(
                "cells => cells.map(c => c.dataset.value)"
            )
        ]
        assert times == sorted(times, reverse=order == "descending")
    assert not said
    page.context.close()


def test_the_page_without_javascript_in_the_dark_and_on_paper(cli, browser, large, tmp_path):
    assert cli("report", large, "--out", tmp_path / "page.html").code == 0
    page, said = opened(browser, tmp_path / "page.html", java_script_enabled=False, color_scheme="dark")
    assert page.locator("#instances tbody tr:visible").count() == 700 and not page.locator("#tools").is_visible()
    assert page.locator("#cactus").is_visible() and not said
    page.emulate_media(media="print")
    assert page.locator("#instances tbody tr:visible").count() == 700
    page.context.close()


def test_a_run_about_radii(cli, tiny_data, tmp_path):
    asked = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--samples", "2-3", "--out", tmp_path / "run")
    assert cli("bench", "radius", tiny_data.network, *asked).code == 0
    with (tmp_path / "run" / "results.csv").open() as stream:
        radii = {f"image-{row['image']}": row for row in csv.DictReader(stream)}
    page = page_of(cli, tiny_data, tmp_path / "run", tmp_path / "page.html", "--json", tmp_path / "a.json")
    assert {"cactus", "radii"} <= set(page.ids) and not page.wrong
    found = {entry["instance"]: entry for entry in json.loads((tmp_path / "a.json").read_text())["instances"]}
    assert set(found) == set(radii) and len(radii) == 2
    for name, row in radii.items():
        if row["verdict"] == "exact":
            assert found[name]["verdict"] == "robust" and found[name]["radius"] == row["proved"]
            assert f"vulnerable at {row['refuted']}" in found[name]["reason"] or row["refuted"] in ("", "-1")


@pytest.fixture(scope="module")
def stopped(tiny_data, tmp_path_factory):
    """A folder of ``robust --out`` with three of five answers."""
    from netproof.cli.main import run as command

    folder = tmp_path_factory.mktemp("stopped") / "run"
    asked = ["--images", tiny_data.images, "--labels", tiny_data.labels, "--eps", 1, "--out", folder]
    asked += [word for index in range(5) for word in ("--index", index)]
    assert command([str(word) for word in ("robust", tiny_data.network, *asked)]) == 0
    lines = (folder / "results.csv").read_text().splitlines(keepends=True)
    (folder / "results.csv").write_text("".join(lines[:4]))
    return folder


GATE = "vulnerable,timeout,unknown,error"


def test_a_run_that_was_stopped_passes_no_gate(cli, stopped, tmp_path):
    ran = cli("report", stopped, "--fail-on", GATE, "--junit", tmp_path / "a.xml", "--json", tmp_path / "a.json")
    assert ran.code == 1 and "CHECK FAILED: 3 of 5 answered, the run was stopped" in ran.err
    suites = ET.parse(tmp_path / "a.xml").getroot()
    assert (suites.get("tests"), suites.get("errors")) == ("5", "2")
    summary = json.loads((tmp_path / "a.json").read_text())["summary"]
    assert (summary["asked"], summary["missing"]) == (5, ["image-3", "image-4"])
    ran = cli("report", stopped, "--junit", tmp_path / "a.xml", "--out", tmp_path / "a.html")
    assert ran.code == 0 and "3 of 5 answered, the run was stopped" in (tmp_path / "a.html").read_text()
    suites = ET.parse(tmp_path / "a.xml").getroot()
    assert suites.get("errors") == "0" and sum(int(suite.get("skipped")) for suite in suites) == 2
    assert "the run was stopped" in cli("bench", "watch", stopped).out
    shown = cli("bench", "show", stopped)
    assert shown.code == 0 and "3 of 5 answered" in shown.out and "not run" in shown.out


@pytest.mark.parametrize("content", [None, ""])
def test_a_run_without_answers_passes_no_gate(cli, stopped, tmp_path, content):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    (folder / "results.csv").unlink()
    if content is not None:
        (folder / "results.csv").write_text(content)
    ran = cli("report", folder, "--fail-on", GATE, "--junit", tmp_path / "a.xml")
    assert ran.code == 1 and "0 of 5 answered" in ran.err
    assert ET.parse(tmp_path / "a.xml").getroot().get("tests") == "5"
    assert "the run was stopped" in cli("bench", "watch", folder).out


def test_a_run_of_an_earlier_version_is_of_unknown_size(cli, stopped, tmp_path):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    document = json.loads((folder / "run.json").read_text())
    del document["asked"]
    (folder / "run.json").write_text(json.dumps(document))
    ran = cli("report", folder, "--fail-on", GATE, "--json", tmp_path / "a.json")
    assert "3 answered, of how many is unknown" in ran.err
    # Nobody knows whether those are all.
    assert ran.code == 1 and "CHECK FAILED: 3 answered, of how many is unknown" in ran.err
    assert cli("report", folder, "--fail-on", "vulnerable", "--json", tmp_path / "a.json").code == 0
    assert json.loads((tmp_path / "a.json").read_text())["summary"]["asked"] is None
    assert "no record of how many" in cli("bench", "watch", folder).out
    for wrong in (3, [1], ["a", "a"], None):
        (folder / "run.json").write_text(json.dumps(document | {"asked": wrong}))
        assert_refused(cli("report", folder), "'asked' is not a list of names")


def test_a_run_that_goes_on_is_told_from_one_that_was_stopped(cli, stopped, tmp_path):
    from netproof.files.lock import FolderLock

    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    with FolderLock(folder):
        assert "the run goes on" in cli("report", folder).err
        assert "stopped" not in cli("bench", "watch", folder, "--once").out
    (folder / ".lock").write_text("1\n")  # as a killed process leaves it
    assert "the run was stopped" in cli("bench", "watch", folder).out


def test_seconds_below_zero_are_refused(cli, stopped, tmp_path):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    with (folder / "results.csv").open("a") as stream:
        stream.write("image-3,robust,-1,search,\n")
    assert_refused(cli("report", folder), "line 5", "took '-1' seconds")


def test_the_option_for_the_page_is_named(cli, stopped, tmp_path):
    assert_refused(cli("report", stopped, "--html", tmp_path / "r.html"), "--html", "--out")
