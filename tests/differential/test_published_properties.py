"""The 196 published properties of the CIFAR-100 and TinyImageNet ResNets, recovered to images and made again."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from netproof.formats.images.set import ImageSet
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.making.boxes import CIFAR100, TINY_IMAGENET, image_box, recover_image
from netproof.making.generate import Shuffled, generate, read_selected, write_instances
from netproof.making.recipes import RADIUS, RECIPES

#: where the properties are, the list of them, and the seed they were drawn with
SETS = {
    "repository": ("generated_vnnlib", "cifar100_tinyimagenet_instances.csv", 0),
    "competition": ("vnncomp2022/vnnlib", "vnncomp2022/instances.csv", 676744409),
}
SIZE = {"CIFAR100": (32, 100, CIFAR100), "TinyImageNet": (56, 200, TINY_IMAGENET)}
BOUND = re.compile(r"\(assert \((<=|>=) X_(\d+) (\S+)\)\)")


@dataclass
class Published:
    """One published property, read with a regular expression."""

    text: str
    data: str
    position: int
    label: int
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    image: NDArray[np.uint8]


def read(path: Path) -> Published:
    text = gzip.decompress(path.read_bytes()).decode("ascii")
    data = path.name.partition("_")[0]
    size, _, normalization = SIZE[data]
    ends = {"<=": np.full(3 * size * size, np.nan), ">=": np.full(3 * size * size, np.nan)}
    for comparison, index, number in BOUND.findall(text):
        ends[comparison][int(index)] = float(number)
    lower, upper = (ends[comparison].reshape(3, size, size) for comparison in (">=", "<="))
    # Every number is one of float32.
    low, high = lower.astype(np.float32), upper.astype(np.float32)
    assert (low == lower).all() and (high == upper).all()
    image = recover_image(low, high, RADIUS, normalization)
    position = int(re.search(r"_sidx_(\d+)_", path.name)[1])
    label = int(re.search(r"\(>= Y_\d+ Y_(\d+)\)", text)[1])
    return Published(text, data, position, label, lower, upper, image)


@pytest.fixture(scope="module")
def folder(published_data):
    found = published_data / "cifar100_tinyimagenet_resnet"
    if not found.is_dir():
        pytest.skip(f"{found} is not here")
    return found


@pytest.fixture(scope="module")
def published(folder) -> dict[str, dict[str, Published]]:
    """By set and file name."""
    found = {
        name: {path.name.removesuffix(".gz"): read(path) for path in sorted((folder / place).glob("*.vnnlib.gz"))}
        for name, (place, _, _) in SETS.items()
    }
    assert [len(each) for each in found.values()] == [98, 98]
    return found


@pytest.fixture(scope="module")
def test_sets(published) -> dict[str, Shuffled]:
    """As much of both test sets as the properties tell: the other images are black."""
    sets = {}
    for data, (size, classes, _) in SIZE.items():
        empty = ImageSet(
            np.zeros((10_000, 3, size, size), np.uint8),
            np.zeros(10_000, np.int64),
            tuple(map(str, range(classes))),
            data,
        )
        sets[data] = Shuffled(empty)
    seen: dict[tuple[str, int], Published] = {}
    for each in (property_ for group in published.values() for property_ in group.values()):
        before = seen.setdefault((each.data, each.position), each)
        # Where networks share an image, their properties agree about it.
        assert np.array_equal(before.image, each.image) and before.label == each.label
        images, index = sets[each.data].images, sets[each.data].order[each.position]
        images.images[index], images.labels[index] = each.image, each.label
    return sets


def test_recovered_images_are_the_centres_of_the_boxes(published):
    for each in (property_ for group in published.values() for property_ in group.values()):
        normalization = SIZE[each.data][2]
        mean, std = (np.array(part)[:, None, None] for part in (normalization.mean, normalization.std))
        low, high = ((ends * std + mean) * 255 for ends in (each.lower, each.upper))
        inside = (each.image > 0) & (each.image < 255)
        assert np.abs((low + high) / 2 - each.image)[inside].max() < 1e-4
        # At the ends of the range the box is cut in half, and the image is its end.
        assert np.abs(low[each.image == 0]).max(initial=0) < 1e-4
        assert np.abs(high[each.image == 255] - 255).max(initial=0) < 1e-4


def test_every_bound_is_made_again_number_for_number(published):
    numbers = 0
    for each in (property_ for group in published.values() for property_ in group.values()):
        lower, upper = image_box(each.image, RADIUS, SIZE[each.data][2])
        assert (lower == each.lower).all() and (upper == each.upper).all()
        numbers += lower.size + upper.size
    assert numbers == 2 * 2 * (74 * 3072 + 24 * 9408)


@pytest.mark.parametrize("name", SETS)
def test_the_published_seed_gives_the_published_files(name, folder, published, test_sets, tmp_path):
    _, instances, seed = SETS[name]
    made = []
    for network, recipe in RECIPES.items():
        data = network.partition("_")[0]
        made += generate(
            network,
            test_sets[data],
            read_selected(folder / "selected_list" / f"{network}_list.txt"),
            recipe,
            radius=RADIUS,
            seed=seed,
            outputs=SIZE[data][1],
            folder=tmp_path,
        )
    files = {path.name: path.read_text("ascii") for path in (tmp_path / "vnnlib").iterdir()}
    assert files == {file: property_.text for file, property_ in published[name].items()}
    write_instances(tmp_path / "instances.csv", made)
    expected = (folder / instances).read_text()
    rows = (tmp_path / "instances.csv").read_text()
    assert (rows if "onnx/" in expected else rows.replace("onnx/", "").replace("vnnlib/", "")) == expected


def test_netproof_reads_what_was_made(published, tmp_path):
    for file in sorted(published["repository"])[::24]:
        each = published["repository"][file]
        (tmp_path / file).write_text(each.text)
        found = read_vnnlib(tmp_path / file)
        (part,) = found.parts
        # The decimals are those of the nearest float64; the reader takes them exactly, and rounds outward.
        for ends, exact, outward in zip(part.box.outer, (each.lower, each.upper), (-np.inf, np.inf), strict=True):
            flat = exact.reshape(-1)
            assert ((ends == flat) | (ends == np.nextafter(flat, outward))).all()
        assert len(part.condition) == found.outputs - 1
