"""``netproof train quantized``, and what is done with the network afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import netproof
from conftest import assert_refused, write_idx


@dataclass(frozen=True)
class Bars:
    """Noisy images of 4x5 grey levels 0..15, bright at the left, in the middle or at the right."""

    images: Path
    labels: Path

    @property
    def training(self) -> tuple[object, ...]:
        return (
            "--images",
            self.images,
            "--labels",
            self.labels,
            "--input-bits",
            4,
            "--batch",
            16,
            "--epochs",
            12,
            "--radius",
            1,
        )


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Bars:
    folder = tmp_path_factory.mktemp("bars")
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200).astype(np.uint8)
    images = random.integers(0, 6, (200, 4, 5)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, label * 2 : label * 2 + 2] += 9
    return Bars(write_idx(folder / "images", images), write_idx(folder / "labels", labels))


RESIDUAL = ("train", "quantized", "residual", "--channels", "2,3", "--blocks", "1,1", "--bits", 5)
PERCEPTRON = ("train", "quantized", "perceptron", "--hidden", "8")


def test_a_residual_network_from_training_to_checked_certificates(cli, bars, tmp_path):
    out = tmp_path / "net"
    ran = cli(*RESIDUAL, *bars.training, "--validation", bars.images, "--validation-labels", bars.labels, "--out", out)
    assert ran.code == 0 and "bit for bit, on all 400 images" in ran.out and "epoch 12/12" in ran.err
    network = out / "network.onnx"
    first = network.read_bytes()
    again = json.loads(cli(*RESIDUAL, *bars.training, "--out", out, "--json").out)  # nothing left to train
    assert again["networks"] == [str(network)] and again["accuracy"] > 0.9 and again["validation_accuracy"] is None
    assert network.read_bytes() == first
    shown = cli("inspect", network)
    assert "arithmetic  integer" in shown.out and "convolution" in shown.out and "each from 0 to 15" in shown.out
    samples = ("--images", bars.images, "--labels", bars.labels)
    verdicts = set()
    for index in range(4):
        for radius in (1, 5):
            file = tmp_path / f"{index}-{radius}.npcert"
            asked = ("robust", network, *samples, "--index", index, "--eps", radius)
            found = json.loads(cli(*asked, "--certificate", file, "--json").out)
            verdicts.add(found["verdict"])
            assert found["verdict"] in ("robust", "vulnerable", "misclassified")
            if file.exists():
                checked = cli("check", file, "--network", network, *samples, "--index", index, "--eps", radius)
                assert checked.code == 0 and checked.out.startswith(f"PROVED: {found['verdict']}")
                assert "reading      the integers in the file" in checked.out
                data = bytearray(file.read_bytes())
                data[len(data) // 2] ^= 1
                file.write_bytes(bytes(data))
                assert cli("check", file, "--network", network).code == 2
    assert {"robust", "vulnerable"} <= verdicts
    found = json.loads(cli("radius", network, *samples, "--index", 0, "--json").out)["samples"][0]
    assert found["exact"] and found["radius"] >= 0
    script = tmp_path / "query.smt2"
    ran = cli("export", "smtlib", network, *samples, "--index", 0, "--eps", 1, "--out", script)
    assert ran.code == 0 and "(check-sat)" in script.read_text()


def test_a_network_for_deployment_is_verified_in_its_files(cli, bars, tmp_path):
    samples = ("--images", bars.images, "--labels", bars.labels)
    given = ("--channels", "2", "--blocks", "1", "--deploy", *samples, "--epochs", 8, "--batch", 16, "--radius", 1)
    ran = cli("train", "quantized", "residual", *given, "--out", tmp_path)
    assert ran.code == 0 and "every file computes the integers of the training, bit for bit, on all 200" in ran.out, ran
    files = [tmp_path / name for name in ("network.onnx", "network.tflite", "network-qdq.onnx")]
    assert all(file.exists() for file in files) and str(files[2]) in ran.out
    found = set()
    for file in files:
        proof = tmp_path / f"{file.stem}.npcert"
        asked = cli("robust", file, *samples, "--index", 0, "--eps", 1, "--certificate", proof, "--json")
        found.add(json.loads(asked.out)["verdict"])
        assert cli("check", proof, "--network", file, *samples, "--index", 0, "--eps", 1).code == 0
    assert len(found) == 1 and found <= {"robust", "vulnerable"}
    assert_refused(
        cli("train", "quantized", "perceptron", "--deploy", *samples, "--bits", 8, "--out", tmp_path / "b"), "7"
    )


def test_a_perceptron_in_both_formats(cli, bars, tmp_path):
    ran = cli(*PERCEPTRON, *bars.training, "--out", tmp_path)
    assert ran.code == 0 and "network.h5" in ran.out
    images = np.frombuffer(bars.images.read_bytes()[16:], np.uint8).reshape(200, -1).astype(np.float64)
    import torch

    both = [
        netproof.load(tmp_path / "network.onnx"),
        netproof.load(tmp_path / "network.h5", widths=netproof.FixedPoint(input_bits=4)),
    ]
    one, other = (network.graph.evaluate(torch.from_numpy(images)) for network in both)
    assert torch.equal(one, other)
    # Bit widths do not belong to evidence about integers that the file holds.
    assert both[0].scheme == {} and both[1].scheme["input_bits"] == 4


def test_a_killed_training_goes_on_to_the_same_network(cli, bars, tmp_path):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    command = [*RESIDUAL, *bars.training[:-3], 20, "--radius", 1]
    with subprocess.Popen(
        [sys.executable, "-m", "netproof", *map(str, command), "--out", str(cut)], stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 600
        while not (cut / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert (cut / "checkpoint.pt").exists() and not (cut / "network.onnx").exists()
    assert cli(*command, "--out", cut).code == 0
    assert cli(*command, "--out", whole).code == 0
    assert (cut / "network.onnx").read_bytes() == (whole / "network.onnx").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("train", "quantized", "transformer"), "give perceptron or residual"),
        ((*RESIDUAL, "--blocks", "1"), "--blocks"),
        ((*RESIDUAL, "--channels", "0,2"), "--channels"),
        ((*RESIDUAL, "--channels", "2,,2"), "--channels"),
        ((*RESIDUAL, "--bits", 9), "at most 8 bits"),
        ((*RESIDUAL, "--input-bits", 3), "hold 0 to 7"),
        ((*RESIDUAL, "--learning-rate", 0), "--learning-rate"),
        ((*RESIDUAL, "--learning-rate", 1e300), "--learning-rate"),
        ((*RESIDUAL, "--batch", 1 << 70), "--batch"),
        ((*RESIDUAL, "--channels", "90000,9"), "parameters"),
        ((*RESIDUAL, "--blocks", "99999,99999"), "would have 399998 layers, 1000 are the most"),
        ((*PERCEPTRON, "--hidden", "1," * 1000 + "1"), "would have 1002 layers"),
        ((*PERCEPTRON, "--hidden", "099999999"), "--hidden"),
        ((*RESIDUAL, "--device", "nowhere"), "--device"),
        ((*RESIDUAL, "--device", "meta"), "--device"),
        ((*RESIDUAL, "--validation-labels", "x"), "--validation"),
        ((*RESIDUAL, "--images", "nothing"), "no such IDX file"),
        ((*RESIDUAL, "--seed", 1 << 64), "2^32 - 1"),
    ],
)
def test_what_cannot_be_trained(cli, bars, tmp_path, arguments, part):
    given = dict(zip(bars.training[::2], bars.training[1::2], strict=True))
    rest = [item for option, value in given.items() if option not in arguments for item in (option, value)]
    assert_refused(cli(*arguments, *rest, "--out", tmp_path / "out"), part)


@pytest.mark.parametrize(
    ("shape", "level", "label", "part"),
    [((5, 4), 1, 0, "images of 1x5x4"), ((4, 5), 16, 0, "up to 16"), ((4, 5), 1, 3, "4 classes")],
)
def test_images_to_judge_by_are_looked_at_before_the_training(cli, bars, tmp_path, shape, level, label, part):
    images = write_idx(tmp_path / "images", np.full((2, *shape), level, np.uint8))
    labels = write_idx(tmp_path / "labels", np.array([0, label], np.uint8))
    judged = ("--validation", images, "--validation-labels", labels, "--out", tmp_path / "out")
    assert_refused(cli(*PERCEPTRON, *bars.training, *judged), part)
    assert not (tmp_path / "out").exists()


def test_another_run_in_the_same_folder_is_refused(cli, bars, tmp_path):
    assert cli(*PERCEPTRON, *bars.training, "--out", tmp_path).code == 0
    assert_refused(cli(*PERCEPTRON, *bars.training, "--seed", 1, "--out", tmp_path), "another run", "seed")
    document = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    document["state"]["optimizer"]["state"][0].pop("exp_avg_sq")
    torch.save(document, tmp_path / "checkpoint.pt")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    refused = cli(*PERCEPTRON, *bars.training, "--out", tmp_path)
    assert_refused(refused, "checkpoint.pt", "other entries for parameter 0", "move it away")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
    (tmp_path / "checkpoint.pt").write_bytes(b"PK damaged")
    assert_refused(cli(*PERCEPTRON, *bars.training, "--out", tmp_path), "checkpoint", "train from the beginning")
