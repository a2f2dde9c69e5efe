"""Commands and runs read their networks within the time limit: counted in looks at a clock that only looks move."""

from __future__ import annotations

import csv
import json
import pickle
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.asking.benchmark import ImageQuestions
from netproof.asking.images import Images, ImageSource, Preparation
from netproof.asking.keeping import keep
from netproof.asking.promises import Promise
from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.image_radii import ImageRadii
from netproof.benchmarks.perceptron import PerceptronBenchmark, SampleBlock, SampleFiles
from netproof.benchmarks.vnncomp import folder_benchmark
from netproof.cli.radius import _Radii
from netproof.errors import TimeLimitError
from netproof.formats import clock
from netproof.formats.images.set import ImageSet
from netproof.formats.keras.write import write_keras_h5
from netproof.formats.load import load
from netproof.making.image_table import ImageTable, image_digest
from netproof.processes import inside
from netproof.query import Verdict
from netproof.result import Result
from netproof.runs.job import Job
from netproof.runs.radii.job import RadiusJob
from netproof.runs.scheduler.question import Sources, _decide
from netproof.settings import Settings
from onnx_models import model, node, save

#: nodes or layers of every network here: more looks than any limit has seconds
_MANY = 60
NOWHERE = DataFolders(())
REASON = "the limit was reached while the network was read"

PROPERTY = """(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)
(assert (<= X_0 1))(assert (>= X_0 0))(assert (<= X_1 1))(assert (>= X_1 0))(assert (>= Y_0 {least}))
"""


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """Every look at the clock, which is one second later than the last."""
    found: list[int] = []
    monkeypatch.setattr(clock.time, "monotonic", lambda: found.append(len(found)) or float(len(found)))
    return found


@pytest.fixture
def floats(tmp_path) -> Path:
    nodes = [node("Relu", ["x"], ["v0"]), *(node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(_MANY))]
    return save(tmp_path / "floats.onnx", model([*nodes, node("Relu", [f"v{_MANY}"])], (1, 2)))


@pytest.fixture
def codes(tmp_path) -> Path:
    layer = np.array([[0.5, 0.25], [0.25, 0.5]], np.float32), np.zeros(2, np.float32)
    write_keras_h5(tmp_path / "codes.h5", [layer] * _MANY)
    return tmp_path / "codes.h5"


@pytest.fixture
def images(tmp_path) -> Path:
    np.save(tmp_path / "images.npy", np.array([[0.25, 0.5], [0.75, 0.5]], np.float32))
    np.save(tmp_path / "grey.npy", np.array([[3, 5], [7, 9]], np.uint8))
    np.save(tmp_path / "labels.npy", np.array([1, 0], np.uint8))
    return tmp_path / "images.npy"


@pytest.mark.parametrize("more", [("--index", "1"), ("--all",), ("--index", "0", "--certificate", "c")])
def test_robust_answers_timeout(floats, images, cli, looks, more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("robust", floats, "--images", images, "--label", "1", "--eps", "0.1", *more, "--timeout", "20")
    ran = cli(*asked)
    assert ran.code == 0 and not ran.err and ran.out.startswith("timeout\n  not decided within the time limit of 20 s")
    assert REASON in ran.out and ("no certificate: only" in ran.out) == ("--certificate" in more)
    ran = cli(*asked, "--json")
    document = json.loads(ran.out)
    assert ran.code == 0 and (document["verdict"], document["reason"]) == ("timeout", REASON)
    assert document["network"]["file"] == str(floats) and document["network"]["sha256"] is None
    assert cli(*asked, "--fail-on", "timeout").code == 1 and cli(*asked, "--fail-on", "vulnerable").code == 0
    assert not (tmp_path / "c").exists()


def test_robust_to_a_set_answers_timeout_likewise(codes, images, cli, looks):
    grey = images.with_name("grey.npy")
    ran = cli("robust", codes, "--images", grey, "--index", "0", "--pixels", "1", "--timeout", "20")
    assert ran.code == 0 and ran.out.startswith("timeout\n") and REASON in ran.out


@pytest.mark.parametrize("several", [False, True])
def test_reading_is_part_of_a_single_image_s_time(floats, images, cli, looks, several, monkeypatch):
    given = []

    def answer(settings):
        given.append(settings.timeout)
        return Result(Verdict.TIMEOUT, 0.0, "search", reason="stopped")

    monkeypatch.setattr("netproof.search.verify.verify", lambda question, settings: answer(settings))
    monkeypatch.setattr(
        "netproof.search.verify.as_decided", lambda questions, settings: enumerate(answer(settings) for _ in questions)
    )
    monkeypatch.setattr(
        "netproof.search.radius.largest_radius",
        lambda *_, **__: pytest.fail("is not asked"),
    )
    chosen = ("--all",) if several else ("--index", "0")
    asked = ("robust", floats, "--images", images, "--label", "1", "--eps", "0.1", *chosen, "--timeout", "1e6")
    assert cli(*asked).code == 0
    if several:  # each image has all of its time, less what its own question took
        assert len(given) == 2 and min(given) > 1e6 - _MANY
    else:
        assert len(given) == 1 and 0 < given[0] < 1e6 - _MANY


def test_reading_is_part_of_a_single_set_s_time(codes, images, cli, looks, monkeypatch):
    given = []

    def answer(question, settings):
        given.append(settings.timeout)
        return Result(Verdict.TIMEOUT, 0.0, "search", reason="stopped")

    monkeypatch.setattr("netproof.search.verify.verify", answer)
    grey = images.with_name("grey.npy")
    for chosen in (("--index", "0"), ("--all",)):
        ran = cli("robust", codes, "--images", grey, *chosen, "--pixels", "1", "--timeout", "1e6")
        assert ran.code == 0, ran
    assert given[0] < 1e6 - _MANY and given[1:] == [1e6, 1e6]


def test_radius_says_that_nothing_was_decided(floats, images, cli, looks):
    asked = ("radius", floats, "--images", images, "--label", "1", "--timeout", "20")
    ran = cli(*asked, "--index", "1", "--index", "0", "--index", "1")
    assert ran.code == 0 and not ran.err
    assert ran.out.splitlines() == [f"sample {index}: not decided ({REASON})" for index in (1, 0)]
    assert cli(*asked, "--all").out == f"not decided ({REASON})\n"
    document = json.loads(cli(*asked, "--index", "1", "--json").out)
    assert document["network"]["sha256"] is None and document["reason"] == REASON
    (sample,) = document["samples"]
    assert (sample["index"], sample["radius"], sample["exact"], sample["reason"]) == (1, -1, False, REASON)


@pytest.mark.parametrize("several", [False, True])
def test_reading_is_part_of_a_single_radius_s_time(floats, images, cli, looks, several, monkeypatch):
    from netproof.search.radius import RadiusResult

    given = []

    def largest(network, image, label, settings, **_):
        given.append(settings.timeout)
        return RadiusResult(-1, None, None, False, 0.0, 1, "stopped")

    monkeypatch.setattr("netproof.search.radius.largest_radius", largest)
    chosen = ("--all",) if several else ("--index", "0")
    ran = cli("radius", floats, "--images", images, "--label", "1", *chosen, "--timeout", "1e6")
    assert ran.code == 0 and "not decided (stopped)" in ran.out
    assert given == [1e6, 1e6] if several else given[0] < 1e6 - _MANY


def test_a_process_that_reads_too_long_decides_no_radius(floats, images, looks, monkeypatch):
    monkeypatch.setattr(inside, "start_pytorch", lambda threads: None)
    task = _Radii(
        (floats, None, None), ImageSource(images, label=1), Preparation(), Settings(timeout=20.0), None, None, None,
        "linf", alone=False,
    )  # fmt: skip
    answer = task.begin()(7)
    assert answer.lines == (f"sample 7: not decided ({REASON})",) and not answer.failed


def test_bench_radius_is_refused_with_the_reason(codes, images, cli, looks, tmp_path):
    grey, labels = images.with_name("grey.npy"), images.with_name("labels.npy")
    ran = cli(
        "bench", "radius", codes, "--images", grey, "--labels", labels, "--timeout", "20", "--out", tmp_path / "r"
    )
    assert ran.code == 2 and REASON in ran.err and "--timeout 20 is for reading, too" in ran.err
    assert not (tmp_path / "r").exists()


@pytest.fixture
def listed(floats, tmp_path) -> Path:
    """Three questions, two of them about the network of many nodes."""
    save(tmp_path / "short.onnx", model([node("Relu", ["x"])], (1, 2)))
    for least in (2, 3):
        (tmp_path / f"p{least}.vnnlib").write_text(PROPERTY.format(least=least))
    lines = ["floats.onnx,p2.vnnlib,1", "floats.onnx,p3.vnnlib,1", "short.onnx,p2.vnnlib,1"]
    (tmp_path / "instances.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_instances_of_a_network_that_is_read_too_long_time_out(listed, looks):
    benchmark = folder_benchmark(f"vnncomp:{listed}")
    asked = []

    def decide(questions, settings):
        asked.extend(settings.timeout for _ in questions)
        yield from enumerate(Result(Verdict.UNSAT, 1.0, "bound") for _ in questions)

    job = Job(benchmark, NOWHERE, Settings(timeout=50.0), decide=decide)
    rows = {answer.row.instance: answer.row for answer in job.solve(job.opened(), benchmark.instances(NOWHERE))}
    assert {name: row.verdict for name, row in rows.items()} == {
        "floats-p2": "timeout", "floats-p3": "timeout", "short-p2": "unsat",
    }  # fmt: skip
    first, second = rows["floats-p2"], rows["floats-p3"]
    for row in (first, second):
        assert row.evidence == f"limit=50; reason={REASON}" and row.limit == 50
    # The time of reading is on record where it was spent, once.
    assert 50 <= first.seconds < 60 and second.seconds < 20 and len(asked) == 1
    again = job.opened()
    assert not again.prepare(benchmark.instances(NOWHERE)[0], deadline=0.0)
    with pytest.raises(TimeLimitError, match="while the network was read"):
        again.question(benchmark.instances(NOWHERE)[0], deadline=1e9)


def test_a_run_records_it_and_looks_for_memory_within_the_limit(listed, cli, looks):
    ran = cli("bench", "run", f"vnncomp:{listed}", "--only", "floats*", "--timeout", "50", "--out", listed / "out")
    assert ran.code == 0, ran
    with (listed / "out" / "results.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))[-2:]
    assert [row[1] for row in rows] == ["timeout", "timeout"] and all(REASON in row[-1] for row in rows), rows
    # Once for the look at the memory, which reads the network too, and once for the first of the two.
    assert len(looks) < 5 * 50


def _perceptron(codes: Path, images: Path) -> PerceptronBenchmark:
    folder = images.parent
    for name in ("grey", "labels"):
        values = np.load(folder / f"{name}.npy")
        shape = values.shape if name == "labels" else (2, 1, 2)
        head = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
        (folder / f"{name}-idx").write_bytes(head + values.tobytes())
    files = SampleFiles("two", "Two", ("grey-idx",), ("labels-idx",))
    return PerceptronBenchmark("two", "two", files, codes.name, 6, (SampleBlock(0, 2, 1),))


def _images(codes: Path, images: Path) -> ImageQuestions:
    source, prepared = ImageSource(images.with_name("grey.npy"), label=0), Preparation()
    digest = Images.read(source, prepared, load(codes)).pictures.digest
    return ImageQuestions(
        codes, None, None, source, prepared, digest, (0, 1), 1, "1 grey level", labels=(0, 0), count=2
    )


def _radii(codes: Path, images: Path) -> ImageRadii:
    return ImageRadii(codes, images.with_name("grey.npy"), images.with_name("labels.npy"), "as the file has it")


@pytest.mark.parametrize("make", [_perceptron, _images, _radii])
def test_a_benchmark_of_one_network_is_read_within_the_limit_of_an_instance(codes, images, make, looks):
    benchmark, data = make(codes, images), DataFolders((codes.parent,))
    del looks[:]
    assert list(benchmark.open(data).networks) and not looks
    job = Job(benchmark, data, Settings(timeout=20.0))
    opened = job.opened()
    assert not opened.networks and len(looks) < 30
    rows = [answer.row for answer in job.solve(opened, benchmark.instances(data))]
    assert len(rows) == 2
    for row in rows:
        assert (row.verdict, row.evidence) == ("timeout", f"limit=20; reason={REASON}")
    del looks[:]
    long = Job(benchmark, data, Settings(timeout=1e6)).opened()
    assert list(long.networks) and len(looks) > _MANY


def test_radii_of_a_network_that_is_read_too_long_are_errors_with_the_reason(codes, images, looks):
    job = RadiusJob(_radii(codes, images), NOWHERE, Settings(timeout=20.0))
    for answer in job.solve(job.opened(), job.benchmark.instances(NOWHERE)):
        assert (
            answer.row.verdict == "error"
            and "the time limit was reached while the network was read" in answer.row.reason
        )


def test_tables_of_images_read_their_networks_within_the_limit(floats, looks):
    images = ImageSet(np.zeros((1, 1, 1, 2), np.uint8), np.zeros(1, np.int64), ("a",), "here")
    source = SimpleNamespace(read=lambda: images)
    table = ImageTable({"n": floats}, {}, source, 0, (0,), image_digest(images), 0.1)  # type: ignore[arg-type]
    with pytest.raises(TimeLimitError):
        table.open(NOWHERE, deadline=20.0)


def test_a_promise_about_what_is_read_too_long_is_not_kept(floats, images, looks, tmp_path):
    (tmp_path / "p.vnnlib").write_text(PROPERTY.format(least=2))
    settings = Settings(timeout=20.0)
    about = Promise("one", "here", floats, None, None, settings, "unsat", property=tmp_path / "p.vnnlib")
    (answer,) = keep(about)
    assert answer.verdict == "timeout" and not answer.holds and "while the network was read" in answer.said
    image = Promise(
        "two", "here", floats, None, None, settings, "robust", source=ImageSource(images, label=1), eps="1/9"
    )
    (answer,) = keep(image)
    assert answer.verdict == "timeout" and answer.result is None


def test_a_worker_of_a_scheduler_reads_until_the_limit(floats, looks, tmp_path):
    (tmp_path / "p.vnnlib").write_text(PROPERTY.format(least=2))
    sources = Sources.of(floats, tmp_path / "p.vnnlib", None, None, load(floats).sha256)
    found = _decide(pickle.dumps((sources, Settings(timeout=20.0))), None, 1.0)  # type: ignore[arg-type]
    assert isinstance(found, Result) and (found.verdict, found.reason) == (Verdict.TIMEOUT, REASON)
    assert sources.question(1e9).parts[0].lower.tolist() == [Fraction(0), 0]
