"""``netproof train certified`` as a user types it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import assert_refused
from image_archives import cifar100_members, random_images, tar_gz
from netproof.formats.load import load
from netproof.training.architectures import architecture
from netproof.training.export import write_onnx

SHORT = ("--width", "0.03", "--epochs", 4, "--batch", 8, "--attack-steps", 1, "--radius", "1/255")


@pytest.fixture
def folder(tmp_path):
    """Images of 8x8 pixels by class."""
    random = np.random.default_rng(0)
    for number, name in enumerate("abc"):
        place = tmp_path / "images" / name
        place.mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(0, 120, (8, 8, 3)).astype(np.uint8)
            pixels[..., number] += 100
            Image.fromarray(pixels).save(place / f"{index}.png")
    return tmp_path / "images"


def test_an_architecture_is_trained_and_trained_on(cli, folder, tmp_path):
    out = tmp_path / "out"
    ran = cli("train", "certified", "small", *SHORT, "--images", folder, "--validation", folder, "--out", out, "--json")
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert [p.rpartition("/")[2] for p in found["networks"]] == ["small-0.03.onnx", "small-0.03-folded.onnx"]
    assert 0 <= found["proved_in_float32"] <= found["correct"] <= 1 and found["mean"] == [0, 0, 0]
    assert "epoch 4/4: radius 0.0039" in ran.err
    assert load(found["networks"][0]).input_shape == (1, 3, 8, 8)
    # What was trained to the end is not trained again, and gives the same.
    before = (out / "small-0.03.onnx").read_bytes()
    ran = cli("train", "certified", "small", *SHORT, "--images", folder, "--out", out)
    assert ran.code == 0 and "going on after step 12 of 12" in ran.err and "written: " in ran.out
    assert (out / "small-0.03.onnx").read_bytes() == before
    # Another seed draws other weights; what is said is what was typed.
    other = ("--seed", 5, "--images", folder, "--out", out)
    assert_refused(cli("train", "certified", "small", *SHORT, *other), "another run: its seed is 0, here 5")
    # A file is gone on from as it is.
    ran = cli(
        "train", "certified", out / "small-0.03.onnx", *SHORT[2:], "--plain", "--images", folder, "--out",
        tmp_path / "second", "--name", "other",
    )  # fmt: skip
    assert ran.code == 0, ran
    assert (tmp_path / "second" / "other.onnx").read_bytes() != before
    assert {line.split(",")[2] for line in (tmp_path / "second" / "log.csv").read_text().split()[1:]} == {"1"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_training_that_was_killed_goes_on_and_gives_the_same(cli, folder, tmp_path, number):
    command = ("train", "certified", "small", *SHORT, "--images", folder)
    line = [sys.executable, "-m", "netproof", *map(str, command), "--out", str(tmp_path / "parts")]
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("epoch 1/4")
        process.send_signal(number)
        last = process.stderr.read()
    if number == signal.SIGTERM:
        assert process.returncode in (0, 143)
        assert process.returncode == 0 or "stopped by SIGTERM in epoch" in last
    assert cli(*command, "--out", tmp_path / "parts").code == 0
    assert cli(*command, "--out", tmp_path / "whole").code == 0
    for name in ("small-0.03.onnx", "small-0.03-folded.onnx", "log.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_full_disk_is_said_in_one_line(cli, folder, tmp_path):
    command = ("train", "certified", "small", *SHORT, "--images", folder, "--out", tmp_path / "out")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    line = [sys.executable, "-m", "netproof", *map(str, command)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=900, preexec_fn=limited)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert "there is no checkpoint yet" in done.stderr
    assert cli(*command).code == 0


def test_what_does_not_fit_is_refused(cli, folder, tmp_path):
    network = tmp_path / "net.onnx"
    write_onnx(network, architecture("small").reduced(0.03, input_shape=(3, 9, 9), classes=3).build().eval())
    common = ("--images", folder, "--out", tmp_path / "out")
    for arguments, parts in {
        ("nosuch", *common): ("nosuch", "no architecture has this name"),
        (network, *common): ("takes 243 inputs", "3x8x8"),
        (tmp_path / "none.onnx", *common): ("no such network file",),
        (network, "--width", 2, *common): ("--width", "leave the option out"),
        ("small", *common, "--device", "nowhere"): ("--device", "no device is called 'nowhere'"),
        ("small", *common, "--device", "cuda:99"): ("--device",),
        ("small", *common, "--device", "meta"): ("--device",),
        ("super", *common, "--width", 16): ("parameters", "fewer layers"),
        ("small", *common, "--learning-rate", 1e38): ("--learning-rate",),
        ("small", *common, "--std", "1e-300,1,1"): ("normalization", "pixels"),
        ("small", *common, "--name", "a" * 300): ("--name", "no name of a file"),
        ("small", *common, "--kappa", "1"): ("--kappa", "two numbers"),
        ("small", *common, "--radius", "2"): ("--radius",),
        ("small", *common, "--epochs", 0): ("--epochs",),
        ("small", *common, "--mean", "0.5"): ("normalization", "1 means and 3"),
        ("small", *common, "--name", "a/b"): ("--name", "no name of a file"),
        ("small", *common, "--validation-labels", network): ("--validation-labels", "without --validation"),
        ("small", "--images", network, "--out", tmp_path / "out"): ("comes without labels",),
    }.items():
        assert_refused(cli("train", "certified", *arguments), *parts)
    assert not (tmp_path / "out").exists()


def test_images_to_judge_by_are_looked_at_before_the_training(cli, folder, tmp_path):
    common = ("train", "certified", "small", *SHORT, "--images", folder, "--out", tmp_path / "out", "--validation")
    for classes, size in (("abc", 9), ("abcd", 8)):
        other = tmp_path / f"other-{classes}"
        for name in classes:
            (other / name).mkdir(parents=True)
            Image.fromarray(np.zeros((size, size, 3), np.uint8)).save(other / name / "0.png")
        assert_refused(cli(*common, other), "3x9x9" if size == 9 else "4 classes")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["certified", "quantized"])
def test_images_to_judge_by_are_of_the_same_classes(cli, folder, tmp_path, kind):
    """As many classes, one of which has another name: the labels after it would stand for others."""
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "b").rename(other / "0b")
    out = ("--out", tmp_path / "out", "--images", folder, "--validation", other)
    command = {
        "certified": ("train", "certified", "small", *SHORT),
        "quantized": ("train", "quantized", "perceptron", "--hidden", "4"),
    }[kind]
    ran = cli(*command, *out)
    assert_refused(ran, f"{other}: its class 0 is '0b'", "is 'a'", "in the same order")
    assert not (tmp_path / "out").exists()
    # A list of classes brings them into the order that they had.
    (other / "classes.txt").write_text("a\n0b\nc\n")
    assert_refused(cli(*command, *out), "its class 1 is '0b'")
    (other / "0b").rename(other / "b")
    (other / "classes.txt").unlink()
    assert cli(*command, *out, "--epochs", 1).code == 0


def test_damaged_images_are_refused(cli, folder, tmp_path):
    (folder / "classes.txt").write_text("a\nb\nc\nd\n")
    out = ("--out", tmp_path / "out")
    assert_refused(cli("train", "certified", "small", "--images", folder, *out), "d", "folder of this class is missing")
    (folder / "classes.txt").unlink()
    Image.fromarray(np.zeros((9, 8, 3), np.uint8)).save(folder / "b" / "odd.png")
    assert_refused(cli("train", "certified", "small", "--images", folder, *out), "odd.png", "8x9 pixels")
    archive = tar_gz(
        tmp_path / "cifar-100-python.tar.gz", cifar100_members(random_images(6), [0, 1] * 3, ["first", "second"])
    )
    unchecked = ("train", "certified", "small", "--images", archive, *out)
    assert_refused(cli(*unchecked), "SHA-256")
    archive.write_bytes(archive.read_bytes()[:2000])
    assert_refused(cli(*unchecked, "--unchecked"), "cifar-100-python.tar.gz")


def test_another_training_in_the_folder_is_refused(cli, folder, tmp_path):
    command = ("train", "certified", "small", *SHORT, "--images", folder, "--out", tmp_path / "out")
    assert cli(*command).code == 0
    assert_refused(cli(*command, "--attack-steps", 3), "checkpoint.pt", "its attack_steps is 1, here 3")
    checkpoint = tmp_path / "out" / "checkpoint.pt"
    document = torch.load(checkpoint, weights_only=True)
    document["state"]["training"]["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    torch.save(document, checkpoint)
    kept = {path: path.read_bytes() for path in checkpoint.parent.iterdir()}
    assert_refused(cli(*command), "checkpoint.pt", "'exp_avg' of parameter 0", "move it away")
    assert {path: path.read_bytes() for path in checkpoint.parent.iterdir()} == kept
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert_refused(cli(*command), "checkpoint.pt", "damaged")


def test_digits(cli, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    from netproof.formats.images.sources import read_image_set

    parts = {split: read_image_set("sklearn:digits", split=split) for split in ("train", "test")}
    assert [len(each) for each in parts.values()] == [1348, 449]
    for each in parts.values():
        assert each.images.shape[1:] == (3, 32, 32) and each.images.max() == 255 and set(each.labels) == set(range(10))
        assert (each.images[:, 0] == each.images[:, 2]).all()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    ran = cli("train", "certified", "small", "--images", "sklearn:digits", "--out", tmp_path / "out")
    assert_refused(ran, "sklearn:digits", "pip install scikit-learn")
    assert not os.path.exists(tmp_path / "out")  # noqa: PTH110
