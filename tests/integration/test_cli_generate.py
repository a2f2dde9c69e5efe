"""``netproof bench generate`` as a user types it."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest

from conftest import assert_refused
from image_archives import cifar100_members, encoded, random_images, tar_gz
from netproof.files.lock import FolderLock
from netproof.formats.instances import read_instances
from netproof.formats.load import load
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.training.architectures import architecture
from netproof.training.export import write_onnx

IMAGES = random_images(20)
CLASSES = [f"class{n}" for n in range(10)]


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "CIFAR100_resnet_small.onnx"
    write_onnx(path, architecture("small").reduced(0.02, classes=10).build(seed=5).eval(), fold=True)
    return path


@pytest.fixture
def archive(tmp_path, network):
    """Every second image is labelled as the network classifies it."""
    import torch

    from netproof.making.boxes import CIFAR100, normalized_image

    inputs = torch.from_numpy(normalized_image(IMAGES, CIFAR100)).double().reshape(20, -1)
    labels = load(network).classify(inputs).numpy()
    labels[::2] = (labels[::2] + 1) % 10
    return tar_gz(tmp_path / "cifar-100-python.tar.gz", cifar100_members(IMAGES, labels.tolist(), CLASSES))


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_benchmark_is_made_and_the_same_seed_makes_the_same(cli, network, archive, tmp_path):
    command = (
        "bench",
        "generate",
        network,
        "--images",
        archive,
        "--unchecked",
        "--count",
        4,
        "--filters",
        "classified",
    )
    ran = cli(*command, "--out", tmp_path / "a", "--seed", 1)
    assert ran.code == 0, ran
    assert "4 properties of 10 selected images, 240 s each; mean (0.5071, 0.4865, 0.4409)" in ran.out
    assert "20/20 (10 misclassified, 10 selected)" in ran.err
    instances = read_instances(tmp_path / "a" / "instances.csv")
    assert len(instances) == 4 and {i.timeout for i in instances} == {240.0}
    asked = load(instances[0].network)
    for instance in instances:
        (query,) = read_vnnlib(instance.property).queries(asked)
        centre = (query.lower + query.upper) / 2
        label = int(instance.property.read_text().split("label: ")[1].split(".")[0])
        assert int(asked.classify(centre)) == label
    assert cli(*command, "--out", tmp_path / "b", "--seed", 1).code == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    # Another seed in the same folder: the selection is on record, the old properties go.
    ran = cli(*command, "--out", tmp_path / "b", "--seed", 2, "--json")
    assert ran.code == 0 and "none new" in ran.err
    found = json.loads(ran.out)["networks"][0]
    assert found["selected"] == 10 and sorted(p.name for p in (tmp_path / "b" / "vnnlib").iterdir()) == sorted(
        name.removeprefix("vnnlib/") for name in found["properties"]
    )
    assert tree(tmp_path / "a").keys() != tree(tmp_path / "b").keys()


def test_stopping_keeps_what_was_judged(cli, network, archive, tmp_path, monkeypatch):
    from netproof.making import filters

    class Stopping(filters.Misclassified):
        """Ends the process in its second batch."""

        batches = 0

        def takes(self, candidates):
            type(self).batches += 1
            if type(self).batches == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().takes(candidates)

    command = ("bench", "generate", network, "--images", archive, "--unchecked", "--filters", "classified")
    with monkeypatch.context() as patch:
        patch.setattr(filters, "FILTERS", {"classified": lambda network, seed: Stopping(network)})
        ran = cli(*command, "--out", tmp_path / "a")
    assert ran.code == 128 + signal.SIGTERM and ran.out == ""
    assert "stopped by SIGTERM: 16 images are on record; run the same command again" in ran.err
    again = cli(*command, "--out", tmp_path / "a")
    assert again.code == 0 and "images: 20/20 (" in again.err
    assert cli(*command, "--out", tmp_path / "b").code == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_lists_replace_the_filters(cli, network, archive, tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "CIFAR100_resnet_small_list.txt").write_text("3\n5\n7\n")
    command = ("bench", "generate", network, "--images", archive, "--unchecked", "--selected", tmp_path / "lists")
    ran = cli(*command, "--out", tmp_path / "out", "--timeout", 12.5)
    assert ran.code == 0 and "3 properties (fewer than the 10 asked for) of 3 selected images, 12.5 s" in ran.out
    names = [row.split(",")[1] for row in (tmp_path / "out" / "instances.csv").read_text().splitlines()]
    assert ["_sidx_3_" in names[0], "_sidx_5_" in names[1], "_sidx_7_" in names[2]] == [True] * 3


def test_a_folder_of_images_and_a_network_nobody_knows(cli, tmp_path):
    path = tmp_path / "mine.onnx"
    write_onnx(path, architecture("small").reduced(0.02, input_shape=(3, 16, 16), classes=3).build().eval())
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(3):
            image = random_images(1, (3, 20, 20), seed=number)[0]
            (tmp_path / "images" / name / f"{number}.png").write_bytes(encoded(image))
    command = ("bench", "generate", path, "--images", tmp_path / "images", "--crop", 16, "--out", tmp_path / "out")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "mine_list.txt").write_text("0\n1\n2\n3\n4\n5\n")
    ran = cli(*command, "--selected", tmp_path / "lists", "--radius", "0.5", "--mean", "0,0,0.5", "--title", "pets")
    assert ran.code == 0 and "6 properties (fewer than the 24 asked for)" in ran.out, ran
    assert "mean (0, 0, 0.5), std (1, 1, 1)" in ran.out
    texts = [p.read_text() for p in (tmp_path / "out" / "vnnlib").iterdir()]
    assert all(text.startswith("; pets property with label: ") for text in texts)
    assert_refused(cli(*command[:-4], "--out", tmp_path / "out"), "takes 768 inputs", "3x20x20", "--crop")


def test_what_does_not_fit_is_refused(cli, network, archive, tmp_path):
    command = ("bench", "generate", network, "--images", archive, "--out", tmp_path / "out")
    assert_refused(cli(*command), "its SHA-256 is")
    command = (*command, "--unchecked")
    for options, parts in (
        (("--radius", "x"), ("--radius", "1/255")),
        (("--radius", "1/0"), ("--radius",)),
        (("--radius", "-1"), ("--radius",)),
        (("--count", 0), ("--count",)),
        (("--count", 3, "--count", 4), ("--count", "one per network")),
        (("--timeout", "nan"), ("--timeout",)),
        (("--limit", 0), ("--limit",)),
        (("--filters", "magic"), ("'magic'", "known: classified")),
        (("--mean", "a"), ("--mean", "numbers")),
        (("--mean", "0.5"), ("1 means and 3",)),
        (("--std", "0,0,0"), ("positive deviations",)),
        (("--title", "a\nb"), ("--title",)),
        (("--seed", -1), ("the seed",)),
        (("--split", "val"), ("train or test",)),
        (("--selected", tmp_path), ("CIFAR100_resnet_small_list.txt", "no such")),
        (("--selected", tmp_path, "--limit", 3), ("--selected", "one of them")),
        (("--labels", network), ("has labels of its own",)),
    ):
        assert_refused(cli(*command, *options), *parts)
    assert_refused(cli("bench", "generate", network, network, *command[3:]), "two networks have one name")
    assert_refused(cli("bench", "generate", tmp_path / "none.onnx", *command[3:]), "none.onnx")
    truncated = tmp_path / "cifar-100-python.tar.gz"
    truncated.write_bytes(truncated.read_bytes()[:-2000])
    assert_refused(cli(*command), "truncated or damaged")


def test_a_folder_of_something_else_is_left_alone(cli, network, archive, tmp_path):
    images = tmp_path / "images"
    (images / "cat").mkdir(parents=True)
    command = ("bench", "generate", network, "--images", archive, "--unchecked", "--filters", "classified", "--out")
    assert_refused(cli(*command, images), "holds no benchmark", "'cat'")
    assert [p.name for p in images.iterdir()] == ["cat"]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "CIFAR100_resnet_small_list.txt").write_text("20\n")
    ran = cli(*command[:-3], "--out", tmp_path / "out", "--selected", tmp_path / "lists")
    assert_refused(ran, "position 20", "20 images")
    assert not (tmp_path / "out").exists()


def test_two_at_once_are_kept_apart(cli, network, archive, tmp_path):
    (tmp_path / "out").mkdir()
    command = ("bench", "generate", network, "--images", archive, "--unchecked", "--out", tmp_path / "out")
    with FolderLock(tmp_path / "out"):
        assert_refused(cli(*command, "--filters", "classified"), "another netproof")
    assert cli(*command, "--filters", "classified").code == 0
    assert (tmp_path / "out" / ".lock").read_bytes() == b""


def test_an_archive_of_other_images_is_refused(cli, tmp_path, network):
    labels = np.zeros(20, int).tolist()
    path = tar_gz(tmp_path / "c.tar.gz", cifar100_members(IMAGES, labels, [f"class{n}" for n in range(100)]))
    ran = cli("bench", "generate", network, "--images", path, "--unchecked", "--out", tmp_path / "o")
    assert_refused(ran, "has 100 classes", "10 outputs")
