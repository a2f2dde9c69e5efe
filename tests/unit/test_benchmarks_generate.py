"""Shuffling, choosing, filtering, and the folder of a benchmark."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from image_archives import random_images
from netproof.errors import FormatError, InputError
from netproof.formats.images.set import ImageSet
from netproof.formats.instances import read_instances
from netproof.making.boxes import Normalization
from netproof.making.folder import BenchmarkFolder
from netproof.making.generate import Generated, Shuffled, choose, generate, read_selected, write_selected
from netproof.making.recipes import Recipe
from netproof.making.selection import Candidate, Judgement, SelectionRecord, conditions, judge, select

PLAIN = Normalization((0.5,) * 3, (0.25,) * 3)
IMAGES = Shuffled(ImageSet(random_images(40, (3, 4, 4)), np.arange(40) % 5, tuple("abcde"), "images"))
RECIPE = Recipe(4, 30, PLAIN, "test")


def test_positions_count_in_the_shuffled_order():
    order = IMAGES.order
    assert sorted(order.tolist()) == list(range(40)) and order.tolist() != list(range(40))
    for position in range(40):
        assert IMAGES.label(position) == order[position] % 5
        assert np.array_equal(IMAGES.image(position), IMAGES.images.images[order[position]])
        assert order[IMAGES.name_index[position]] == position
    # NumPy promises never to change this permutation.
    assert (
        np.random.RandomState(111).permutation(6).tolist()
        == Shuffled(ImageSet(IMAGES.images.images[:6], np.zeros(6, np.int64), ("a",), "six")).order.tolist()
    )


def test_a_choice_depends_on_its_seed_alone_and_keeps_the_order():
    selected = [3, 1, 4, 15, 9, 2, 6, 5]
    found = {seed: choose(selected, 3, seed) for seed in range(20)}
    assert all(len(each) == 3 and each == [s for s in selected if s in each] for each in found.values())
    assert len({tuple(each) for each in found.values()}) > 5
    assert choose(selected, 3, 7) == found[7]
    assert choose(selected, 99, 0) == selected and choose([], 3, 0) == []
    for seed in (-1, 1 << 32):
        with pytest.raises(InputError, match="the seed"):
            choose(selected, 3, seed)


def made(folder: Path, seed: int = 0, **changes) -> list[Generated]:
    options = {"radius": 2 / 255, "seed": seed, "outputs": 5, "folder": folder} | changes
    return list(generate("net", IMAGES, range(40), RECIPE, **options))


def test_the_same_seed_gives_the_same_files(tmp_path):
    first, again, other = (made(tmp_path / name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert first == again != other
    contents = [{p.name: p.read_bytes() for p in (tmp_path / name / "vnnlib").iterdir()} for name in "abc"]
    assert contents[0] == contents[1] and len(contents[0]) == 4 and contents[0].keys() != contents[2].keys()
    assert first[0].row.startswith("onnx/net.onnx,vnnlib/net_prop_idx_") and first[0].row.endswith(".vnnlib,30")
    assert "_eps_0.0078.vnnlib" in first[0].row


def test_lists_from_elsewhere_are_refused(tmp_path):
    with pytest.raises(InputError, match="position 40 is selected, there are 40 images"):
        list(generate("net", IMAGES, [40], RECIPE, radius=0.1, seed=0, outputs=5, folder=tmp_path))
    with pytest.raises(InputError, match="has 5 classes, net has 4 outputs"):
        made(tmp_path, outputs=4)
    write_selected(tmp_path / "list", [5, 3, 9])
    assert read_selected(tmp_path / "list") == [5, 3, 9]
    for text, message in (
        ("1\nx\n", "'x' is no position"),
        ("", "selects nothing"),
        ("1\n1\n", "twice"),
        ("-1\n", "no position"),
    ):
        (tmp_path / "list").write_text(text)
        with pytest.raises(FormatError, match=message):
            read_selected(tmp_path / "list")


@dataclass
class Chosen:
    """A filter that takes listed positions, and remembers what it saw."""

    judgement: Judgement
    positions: set[int]
    description: str = "chosen"
    seen: list[int] = field(default_factory=list)

    def takes(self, candidates: list[Candidate]) -> list[bool]:
        self.seen += [each.position for each in candidates]
        return [each.position in self.positions for each in candidates]


def chain() -> list[Chosen]:
    return [
        Chosen(Judgement.MISCLASSIFIED, {1, 2}),
        Chosen(Judgement.ATTACKED, {2, 3}),
        Chosen(Judgement.VERIFIED, {0}),
    ]


def opened(path: Path, filters: list[Chosen], radius: float = 0.1) -> SelectionRecord:
    return SelectionRecord(path, conditions(IMAGES, radius, PLAIN, filters, "hash"))


def test_the_first_filter_that_takes_an_image_judges_it(tmp_path):
    filters, record = chain(), opened(tmp_path / "record.csv", chain())
    found = dict(select(IMAGES, 0.1, PLAIN, filters, record, limit=6, batch=4))
    words = [judgement.value for judgement in found.values()]
    assert words == ["verified", "misclassified", "misclassified", "attacked", "selected", "selected"]
    assert [filters[n].seen for n in range(3)] == [[0, 1, 2, 3, 4, 5], [0, 3, 4, 5], [0, 4, 5]]
    assert record.selected() == [4, 5] and record.selected(5) == [4]
    assert judge([], filters) == []
    for each in found:
        assert each.label == IMAGES.label(each.position) and each.index == IMAGES.order[each.position]
        assert (each.lower <= each.centre).all() and (each.centre <= each.upper).all()


def test_a_record_is_gone_on_with(tmp_path):
    path = tmp_path / "record.csv"
    list(select(IMAGES, 0.1, PLAIN, chain(), opened(path, chain()), limit=5))
    written = path.read_text()
    path.write_text(written + "7,1")  # torn off by a kill
    filters, record = chain(), opened(path, chain())
    assert path.read_text() == written
    new = list(select(IMAGES, 0.1, PLAIN, filters, record, limit=8))
    assert [each.position for each, _ in new] == [5, 6, 7] == filters[0].seen
    assert opened(path, chain()).selected() == [4, 5, 6, 7]
    whole = tmp_path / "whole.csv"
    list(select(IMAGES, 0.1, PLAIN, chain(), opened(whole, chain()), limit=8))
    assert whole.read_text() == path.read_text()


def test_a_record_that_ended_in_its_head_begins_anew(tmp_path):
    path = tmp_path / "record.csv"
    opened(path, chain())
    head = path.read_text()
    for length in (0, 10, len(head) - 1):
        path.write_text(head[:length])
        opened(path, chain())
        assert path.read_text() == head


def test_records_of_something_else_are_refused(tmp_path):
    path = tmp_path / "record.csv"
    opened(path, chain())
    with pytest.raises(InputError, match=r"other conditions \(radius\)"):
        opened(path, chain(), radius=0.2)
    with pytest.raises(InputError, match=r"other conditions \(filters\)"):
        opened(path, chain()[:2])
    head = path.read_text()
    for text, message in (
        ("hello\n", "is no record"),
        (head + "1,2\n", "has a line"),
        (head + "1,2,3,nice\n", "has a line"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError, match=message):
            opened(path, chain())


def test_a_full_disk_keeps_the_record(tmp_path, monkeypatch):
    path = tmp_path / "record.csv"
    record = opened(path, chain())
    list(select(IMAGES, 0.1, PLAIN, chain(), record, limit=3))
    before = path.read_text()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"No space left.*run the same command again"):
            list(select(IMAGES, 0.1, PLAIN, chain(), record, limit=9))
    assert path.read_text().startswith(before)
    assert opened(path, chain()).judgements[0] is Judgement.VERIFIED


def test_a_folder_keeps_networks_in_their_place(tmp_path):
    folder = BenchmarkFolder(tmp_path)

    def instances(network: str, *names: str) -> list[Generated]:
        for name in names:
            (tmp_path / "vnnlib" / name).write_text("property")
        return [Generated(f"onnx/{network}.onnx", f"vnnlib/{name}", 7.5) for name in names]

    def rows() -> list[str]:
        return (tmp_path / "instances.csv").read_text().splitlines()

    folder.replace("a", instances("a", "a1.vnnlib", "a2.vnnlib"))
    folder.replace("b", instances("b", "b1.vnnlib"))
    folder.replace("a", instances("a", "a2.vnnlib", "a3.vnnlib"))
    assert rows() == [
        "onnx/a.onnx,vnnlib/a2.vnnlib,7.5", "onnx/a.onnx,vnnlib/a3.vnnlib,7.5", "onnx/b.onnx,vnnlib/b1.vnnlib,7.5",
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "vnnlib").iterdir()) == ["a2.vnnlib", "a3.vnnlib", "b1.vnnlib"]
    assert [i.timeout for i in read_instances(tmp_path / "instances.csv")] == [7.5] * 3
    # A list that was tampered with removes nothing elsewhere.
    (tmp_path / "keep.vnnlib").write_text("mine")
    (tmp_path / "instances.csv").write_text("onnx/a.onnx,vnnlib/../keep.vnnlib,1\nonnx/a.onnx,keep.vnnlib,1\n")
    folder.replace("a", [])
    assert (tmp_path / "keep.vnnlib").exists() and rows() == []
    folder.replace("a", instances("a", "a9.vnnlib"))
    assert len(rows()) == 1


def test_folders_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*--out"):
        BenchmarkFolder(tmp_path / "file")
    folder = BenchmarkFolder(tmp_path / "good")
    folder.add_network("net", b"content")
    folder.add_network("net", b"content")
    assert (tmp_path / "good" / "onnx" / "net.onnx").read_bytes() == b"content"
