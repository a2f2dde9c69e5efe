"""``netproof bench table`` as a user types it, against every stage done by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import assert_refused
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.images.sources import read_image_set
from netproof.formats.load import load
from netproof.making.boxes import Normalization, image_box, normalized_image
from netproof.runs.table import read_table
from netproof.training.architectures import architecture
from netproof.training.export import write_onnx
from netproof.training.quantized.networks import residual

NORMALIZATION = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.onnx"
    layout = architecture("small").reduced(0.02, input_shape=(3, 8, 8), classes=3)
    write_onnx(path, layout.build(seed=3).eval(), fold=True)
    return path


@pytest.fixture
def folder(tmp_path, network):
    """Random images, sorted as the network classifies them, but for every fifth."""
    images = np.random.default_rng(0).integers(0, 256, (15, 3, 8, 8)).astype(np.uint8)
    inputs = normalized_image(images, Normalization((0.5,) * 3, (0.25,) * 3))
    labels = load(network).classify(torch.from_numpy(inputs).double().reshape(15, -1)).numpy()
    labels[::5] = (labels[::5] + 1) % 3
    for name in "abc":
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / name / "zero.png")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "images" / "abc"[label] / f"{number:02}.png")
    return tmp_path / "images"


def test_the_table_says_what_is_true(cli, network, folder, tmp_path):
    out = tmp_path / "out"
    command = ("bench", "table", network, "--images", folder, *NORMALIZATION, "--radius", "0.03", "--out", out)
    ran = cli(*command, "--timeout", 20, "--json")
    assert ran.code == 0, ran
    (found,) = json.loads(ran.out)["networks"]
    assert found["images"] == 18 and found["missing"] == found["failed"] == 0
    rows = read_table(out / "results.csv").rows
    images, model = read_image_set(folder), load(network)
    generator = torch.Generator().manual_seed(0)
    wrong = 0
    for index in range(18):
        row = rows[f"net-{index}"]
        parts = image_box(images.images[index], 0.03, Normalization((0.5,) * 3, (0.25,) * 3))
        low, high = (torch.from_numpy(part).double().reshape(-1) for part in parts)
        points = low + torch.rand(200, len(low), generator=generator, dtype=torch.float64) * (high - low)
        right = model.classify(points) == int(images.labels[index])
        wrong += row.verdict == "misclassified"
        assert row.verdict != "robust" or bool(right.all())
        if row.verdict == "vulnerable":
            witness = json.loads((out / row.evidence).read_text())["input"]
            x = torch.tensor(witness, dtype=torch.float64)
            assert bool(((x >= low) & (x <= high)).all())
            y = model.graph.evaluate(x)
            label = int(images.labels[index])
            assert float(torch.cat([y[:label], y[label + 1 :]]).max() - y[label]) >= -1e-4
    assert found["clean"]["count"] == 18 - wrong and wrong >= 2
    assert found["crown"]["count"] <= found["verified"]["count"] <= found["pgd"]["count"] <= found["clean"]["count"]
    assert {row.method for row in rows.values()} >= {"evaluation", "crown"}
    # Again, nothing is left to do; as text, with a table of all images.
    before = (out / "results.csv").read_bytes()
    ran = cli(*command, "--timeout", 20)
    assert ran.code == 0 and "all 18 images" in ran.out and "table: " not in ran.err
    assert "net: inputs of mean (0.5, 0.5, 0.5), std (0.25, 0.25, 0.25)" in ran.out and found["mean"] == [0.5] * 3
    assert (out / "results.csv").read_bytes() == before


def test_a_sample_can_grow_and_workers_agree(cli, network, folder, tmp_path):
    def command(out, *more):
        return cli(
            "bench", "table", network, "--images", folder, *NORMALIZATION, "--radius", "0.01", "--timeout", 20, "--out",
            out, *more,
        )  # fmt: skip

    ran = command(tmp_path / "one", "--count", 4)
    assert ran.code == 0 and "4 of 18 images" in ran.out and "drawn by seed 0; 95 % intervals" in ran.out
    ran = command(tmp_path / "one", "--count", 9)
    assert ran.code == 0 and "table: 5/5" in ran.err
    ran = command(tmp_path / "two", "--count", 9, "--jobs", 2)
    assert ran.code == 0, ran
    rows = [read_table(tmp_path / name / "results.csv").rows for name in ("one", "two")]
    verdicts = [{name: (row.verdict, row.method) for name, row in each.items()} for each in rows]
    assert verdicts[0] == verdicts[1] and len(verdicts[0]) == 9
    # Other conditions are another run.
    assert_refused(command(tmp_path / "one", "--count", 9, "--seed", 1), "holds results of benchmark", "seed 0")


def test_a_finished_table_is_shown_where_nothing_can_be_written(cli, network, folder, tmp_path):
    out = tmp_path / "out"
    command = ("bench", "table", network, "--images", folder, *NORMALIZATION, "--count", 3, "--timeout", 20)
    first = cli(*command, "--out", out)
    assert first.code == 0, first
    # Nobody can lock the folder any more, whatever rights they have.
    (out / ".lock").unlink()
    (out / ".lock").mkdir()
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = cli(*command, "--out", out)
    assert again.code == 0 and again.out == first.out
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    # What is not finished, or another run's, is not.
    assert_refused(cli(*command, "--count", 4, "--out", out), "cannot be written")
    assert_refused(cli(*command, "--seed", 1, "--out", out), "cannot be written")


def test_a_run_that_was_killed_goes_on(cli, network, folder, tmp_path):
    command = [
        "bench",
        "table",
        network,
        "--images",
        folder,
        *NORMALIZATION,
        "--radius",
        "0.03",
        "--out",
        tmp_path / "out",
    ]
    line = [sys.executable, "-m", "netproof", *map(str, command)]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and len(read_table(tmp_path / "out" / "results.csv").rows) < 3:
            pass
        process.kill()
    done = len(read_table(tmp_path / "out" / "results.csv").rows)
    assert done >= 3
    ran = cli(*command)
    assert ran.code == 0, ran
    assert len(read_table(tmp_path / "out" / "results.csv").rows) == 18
    assert done == 18 or f"table: {18 - done}/{18 - done}" in ran.err


def test_what_does_not_fit_is_refused(cli, network, folder, tmp_path):
    other = tmp_path / "other.onnx"
    write_onnx(other, architecture("small").reduced(0.02, input_shape=(3, 9, 9), classes=3).build().eval())
    few = tmp_path / "few.onnx"
    write_onnx(few, architecture("small").reduced(0.02, input_shape=(3, 8, 8), classes=2).build().eval())
    end = ("--images", folder, "--out", tmp_path / "out")
    for arguments, parts in {
        (tmp_path / "none.onnx", *end): ("no such network file",),
        (network, network, *end): ("two networks have one name",),
        (other, *end): ("takes 243 inputs", "3x8x8"),
        (few, *end): ("3 classes", "2 outputs"),
        (network, *end, "--count", 19): ("--count", "1 to 18"),
        (network, *end, "--count", 0): ("--count",),
        (network, *end, "--jobs", 0): ("--jobs",),
        (network, *end, "--timeout", -1): ("--timeout",),
        (network, *end, "--mean", "1,x,2"): ("--mean", "commas"),
        (network, "--images", tmp_path / "none", "--out", tmp_path / "out"): ("none",),
    }.items():
        assert_refused(cli("bench", "table", *arguments), *parts)
    integers = tmp_path / "integers.onnx"
    integers.write_bytes(residual((3, 8, 8), [2], [1], 3, FixedPoint()).onnx())
    for command in ("table", "generate"):
        assert_refused(cli("bench", command, integers, *end), "is a network of integers", "netproof robust")
        assert_refused(cli("bench", command, network, *end, "--mean", "1e300,0,0"), "normalization")
    assert not (tmp_path / "out").exists()
    (folder / "classes.txt").write_text("a\nb\nc\nz\n")
    assert_refused(cli("bench", "table", network, *end), "folder of this class is missing")


def test_a_folded_network_takes_the_same_inputs(cli, network, folder, tmp_path):
    """Named as training names it; with another normalization, its accuracies would be those of nothing."""
    tables = []
    for name in ("CIFAR100_resnet_small", "CIFAR100_resnet_small-folded"):
        path = network.rename(tmp_path / f"{name}.onnx")
        ran = cli("bench", "table", path, "--images", folder, "--timeout", 5, "--out", tmp_path / name, "--json")
        (found,) = json.loads(ran.out)["networks"]
        tables.append({key: value for key, value in found.items() if key not in ("network", "seconds")})
        network = path
    assert tables[0] == tables[1] and tables[0]["mean"] == [0.5071, 0.4865, 0.4409]
