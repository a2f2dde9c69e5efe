"""``netproof demo`` as a user types it, and the script that made its network."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from netproof.demo import run as demo_steps
from netproof.demo.digits import load_digits
from netproof.demo.residual import RADII as RESIDUAL_RADII
from netproof.demo.residual import load_network
from netproof.demo.run import RADII, SAMPLES, ExactRadius, pick_example
from netproof.demo.sparse import sparsest
from netproof.formats.fixed_point import FixedPoint
from netproof.local_robustness import robustness
from netproof.query import Query, Result, sample_of
from netproof.settings import Settings

#: the demo must not need scikit-learn, so the test makes importing it fail; and a machine with much else to do must not
#: change what is decided, so the time limit is out of the way (it is a default argument of functions as well)
COMMAND = """
import sys
sys.modules["sklearn"] = None
import netproof.settings
from netproof.cli.main import main
made = netproof.settings.Settings
netproof.settings.Settings = lambda timeout: made(timeout=60 * timeout)
import netproof.demo.run
netproof.settings.Settings = made
main()
"""
#: about twice what it bounds
MOST_SUBPROBLEMS = 5000
EXAMPLES = Path(__file__).parents[2] / "examples"


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", COMMAND, "demo", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    done = demo(folder, "--json", "--out", "made/for/it")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def test_every_sample_is_decided_at_every_radius(report: dict[str, Any]) -> None:
    assert [row["radius"] for row in report["radii"]] == list(RADII)
    for row in report["radii"]:
        assert row["undecided"] == 0
        assert row["robust"] + row["vulnerable"] + row["misclassified"] == SAMPLES
        assert row["robust"] >= 5, "a table with nothing robust teaches nothing"
        assert row["vulnerable"] >= 2, "nor does one with nothing vulnerable"


def test_a_larger_radius_never_makes_a_sample_robust(report: dict[str, Any]) -> None:
    for column in zip(*(row["verdicts"] for row in report["radii"]), strict=True):
        once_vulnerable = False
        for verdict in column:
            once_vulnerable = once_vulnerable or verdict == "vulnerable"
            assert not (once_vulnerable and verdict == "robust")


def test_misclassified_samples_are_those_the_network_gets_wrong(report: dict[str, Any]) -> None:
    digits = load_digits()
    wrong = [i for i in range(SAMPLES) if digits.predictions[i] != digits.labels[i]]
    for row in report["radii"]:
        assert [i for i, verdict in enumerate(row["verdicts"]) if verdict == "misclassified"] == wrong


def test_exact_radii_carry_witnesses_that_replay(report: dict[str, Any]) -> None:
    digits = load_digits()
    assert len(report["exact"]) >= 3
    for found in report["exact"]:
        assert found["exact"]
        assert found["witness_radius"] == found["radius"] + 1
        image, witness = digits.images[found["index"]].astype(int), np.array(found["witness"])
        assert np.abs(witness - image).max() <= found["witness_radius"]
        assert witness.min() >= 0
        assert witness.max() <= 255
        prediction = int(digits.network.classify(torch.from_numpy(witness.reshape(-1)).double()))
        assert prediction == found["witness_label"] != found["label"] == digits.labels[found["index"]]


def test_exact_radii_agree_with_the_table(report: dict[str, Any]) -> None:
    for found in report["exact"]:
        for row in report["radii"]:
            expected = "robust" if row["radius"] <= found["radius"] else "vulnerable"
            assert row["verdicts"][found["index"]] == expected


def test_picture_shows_an_exact_digit(report: dict[str, Any], folder: Path) -> None:
    assert report["example"] in [found["index"] for found in report["exact"]]
    with Image.open(folder / report["picture"]) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] > 3 * 200


def test_the_demo_asks_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is over in seconds because few subproblems are bounded: work is counted, whatever the machine's speed."""
    counted: list[int] = []
    real = demo_steps.verify

    def verify(queries: Sequence[Query], settings: Settings) -> Iterator[Result]:
        for result in real(queries, settings):
            counted.append(result.subproblems)
            yield result

    monkeypatch.setattr(demo_steps, "verify", verify)
    digits = load_digits()
    for radius in RADII:
        demo_steps.verify_at(digits, radius, range(SAMPLES), Settings(timeout=600.0))
    assert len(counted) == len(RADII) * SAMPLES
    assert sum(counted) < MOST_SUBPROBLEMS


def test_text_shows_table_words_and_picture(folder: Path, report: dict[str, Any]) -> None:
    done = demo(folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for row in report["radii"]:
        cells = [str(row[name]) for name in ("radius", "robust", "vulnerable", "misclassified", "undecided")]
        assert any(line.split()[:5] == cells for line in lines)
    for word in ("robust", "vulnerable", "misclassified", "undecided"):
        assert any(line.split()[:1] == [word] and len(line.split()) > 5 for line in lines), "each word is explained"
    assert str(Path("demo-output") / "vulnerable-digit.png") in done.stdout
    assert (folder / "demo-output" / "vulnerable-digit.png").is_file()


def test_float_network_is_decided_by_every_step(report: dict[str, Any]) -> None:
    rows = report["residual"]["radii"]
    assert [row["radius"] for row in rows] == list(RESIDUAL_RADII)
    assert all(row["undecided"] == 0 for row in rows)
    assert sum(row["robust"] for row in rows) >= 10
    assert sum(row["vulnerable"] for row in rows) >= 5
    settled: set[str] = set().union(*(row["methods"] for row in rows))
    assert {"bound", "search", "attack"} <= settled


def test_the_property_that_is_named_can_be_asked_again(report: dict[str, Any], folder: Path) -> None:
    example = report["residual"]["example"]
    network = Path(str(files("netproof.demo"))) / "digits-resnet.onnx"
    asked = ["verify", str(network), example, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "netproof", *asked], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert json.loads(done.stdout)["verdict"] == "unsat"
    assert len(list((folder / example).parent.iterdir())) == sum(
        len(row["verdicts"]) for row in report["residual"]["radii"]
    )


def test_output_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    (tmp_path / "properties").write_text("")
    for out in ("occupied", "occupied/below", "."):
        done = demo(tmp_path, "--out", out)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert (out if out != "." else "properties") in done.stderr
        assert "--out" in done.stderr


def test_shipped_files_are_small_and_the_network_is_good() -> None:
    shipped = [item for item in Path(str(files("netproof.demo"))).iterdir() if item.suffix in (".gz", ".h5", ".onnx")]
    assert len(shipped) == 4
    assert sum(item.stat().st_size for item in shipped) < 100_000
    digits = load_digits()
    assert digits.right > 0.95 * len(digits)
    ink = torch.from_numpy(digits.images.reshape(len(digits), -1) / 255)
    assert int((load_network().classify(ink).numpy() == digits.labels).sum()) > 0.95 * len(digits)
    assert np.bincount(digits.labels).tolist() == [len(digits) // 10] * 10


def test_sparsest_witness_needs_each_of_its_changes() -> None:
    digits = load_digits()
    index = int(np.nonzero(digits.predictions == digits.labels)[0][0])
    query = robustness(digits.network, digits.image(index), int(digits.labels[index]), 255)
    other = int(np.nonzero(digits.predictions != digits.labels[index])[0][0])
    witness = digits.image(other)
    sparse = sparsest(query, witness)
    assert bool(query.refuted_by(sparse))
    image = sample_of(query).image
    changed = (sparse != image).nonzero()[:, 0]
    assert 0 < len(changed) < int((witness != image).sum())
    for pixel in changed:
        less = sparse.clone()
        less[pixel] = image[pixel]
        assert not bool(query.refuted_by(less))


def exact(radius: int, *, found: bool = True) -> ExactRadius:
    return ExactRadius(radius, 3, radius, radius + 1 if found else None, found, 0.1, None, 8 if found else None)


def test_example_is_the_most_fragile_one_can_see() -> None:
    assert pick_example([]) is None
    assert pick_example([exact(20, found=False)]) is None
    for radii, picked in (((3, 30, 15), 15), ((2, 5), 5), ((40, 20), 20)):
        example = pick_example([exact(radius) for radius in radii])
        assert example is not None
        assert example.radius == picked


@cache
def training_script(name: str = "train_digits") -> ModuleType:
    pytest.importorskip("sklearn", reason="retraining needs scikit-learn, which is not installed")
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training_computes_what_the_integers_compute() -> None:
    script = training_script()
    torch.manual_seed(3)
    widths = FixedPoint(bits=6)
    model = script.QuantizedPerceptron(script.SIZES, widths)
    for parameter in (*model.kernels, *model.biases):
        parameter.data.mul_(3)  # so that weights and activations saturate, too
    digits = load_digits()
    grey = torch.from_numpy(digits.images.reshape(len(digits), -1).astype(np.float32))
    levels = (model.outputs(grey).detach().double() * 16).clamp(-32, 31)
    assert torch.equal(levels, script.integer_graph(model).evaluate(grey.double()))
    assert bool((levels == 31).any() & (levels == -32).any())


@pytest.mark.parametrize("name", ["train_digits", "train_residual_digits"])
def test_training_is_deterministic(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = training_script(name)
    monkeypatch.setattr(script, "EPOCHS", 1)
    for folder in ("first", "second"):
        script.train_and_write(tmp_path / folder, seed=5)
    for file in sorted((tmp_path / "first").iterdir()):
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name


def test_held_out_digits_are_those_shipped(tmp_path: Path) -> None:
    script = training_script()
    images, labels = script.digits()
    trained_on, held_out = script.split(labels, 0)
    assert sorted([*trained_on, *held_out]) == list(range(len(labels)))
    shipped = load_digits()
    assert np.array_equal(images[held_out], shipped.images)
    assert np.array_equal(labels[held_out], shipped.labels)
