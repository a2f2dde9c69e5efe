"""Benchmarks: names, instances, data lookup, published tables."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from conftest import write_idx
from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.perceptron import FASHION_MNIST, MNIST
from netproof.benchmarks.published import read_published
from netproof.benchmarks.registry import benchmark, benchmarks
from netproof.errors import FormatError, InputError

PERCEPTRONS = tuple(b for b in benchmarks() if b.name.startswith("qnn-"))
VNNCOMP = tuple(b for b in benchmarks() if not b.name.startswith("qnn-"))


def nowhere():
    return DataFolders(())


def test_the_four_benchmarks():
    sizes = {b.name: len(b.instances(nowhere())) for b in PERCEPTRONS}
    assert sizes == {"qnn-mnist": 400, "qnn-fashion-mnist": 300, "qnn-qvip-p1-4": 400, "qnn-qvip-p3-6": 400}


def test_an_unknown_name_is_refused_with_those_that_are_near():
    with pytest.raises(InputError, match="did you mean mnist_fc or qnn-mnist"):
        benchmark("mnist")


@pytest.mark.parametrize("known", PERCEPTRONS, ids=lambda b: b.name)
def test_names_are_unique_and_say_dataset_sample_radius(known):
    instances = known.instances(nowhere())
    assert len({i.name for i in instances}) == len(instances)
    for instance in instances:
        dataset = "fashion-mnist" if "fashion" in known.name else "mnist"
        radius = instance.group.rsplit(" ", 1)[1]
        assert instance.name == f"{dataset}-{instance.sample}-eps-{radius}"


def test_radii_are_the_published_ones():
    def radius(known, index):
        return [i.name.rsplit("-", 1)[1] for i in benchmark(known).instances(nowhere()) if i.sample == index]

    for known in ("qnn-mnist", "qnn-qvip-p1-4", "qnn-qvip-p3-6"):
        assert [radius(known, i) for i in (0, 99, 100, 199, 200, 299, 300, 399, 400)] == [
            ["1"], ["1"], ["2"], ["2"], ["3"], ["3"], ["4"], ["4"], [],
        ]  # fmt: skip
    assert [radius("qnn-fashion-mnist", i) for i in (99, 100, 199, 200, 249, 250, 299, 300, 349, 350)] == [
        ["1"], ["2"], ["2"], ["3"], ["3"], [], [], ["4"], ["4"], [],
    ]  # fmt: skip


def test_data_folder_named_by_hand_is_the_only_one(tmp_path):
    environment = {"NETPROOF_DATA": str(tmp_path)}
    (tmp_path / "mine").mkdir()
    assert DataFolders.locate(tmp_path / "mine", environment).folders == (tmp_path / "mine",)


def test_data_folders_in_order(tmp_path):
    environment = {"NETPROOF_DATA": str(tmp_path), "XDG_CACHE_HOME": "/cache"}
    folders = DataFolders.locate(None, environment).folders
    assert [str(folder) for folder in folders] == [str(tmp_path), "/cache/netproof"]
    assert str(DataFolders.locate(None, {}).folders[-1]).endswith(".cache/netproof")
    assert len(DataFolders.locate(None, {"NETPROOF_DATA": ""}).folders) == 1


@pytest.mark.parametrize("named", ["option", "variable"])
def test_data_folder_that_is_none(tmp_path, named):
    missing = tmp_path / "nothing"
    with pytest.raises(InputError, match="no such folder"):
        if named == "option":
            DataFolders.locate(missing, {})
        else:
            DataFolders.locate(None, {"NETPROOF_DATA": str(missing)})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a folder"):
        DataFolders.locate(tmp_path / "file", {})


def test_find_takes_gzip_and_the_first_folder(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "x").mkdir(parents=True)
    (tmp_path / "b" / "x" / "f").write_text("")
    (tmp_path / "a" / "x" / "f.gz").write_text("")
    data = DataFolders((tmp_path / "a", tmp_path / "b"))
    assert data.find(("x/f",), "a file") == tmp_path / "a" / "x" / "f.gz"
    assert data.find(("x/g", "x/f"), "a file") == tmp_path / "a" / "x" / "f.gz"


def test_images_are_found_with_the_labels_that_belong_to_them(tmp_path):
    """Of all labels and those of the first 500 images, the latter go with the first 500 images."""
    for name in ("fashion-mnist/t10k-labels-idx1-ubyte", "fashion-mnist/t10k-first500-labels-idx1-ubyte.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    data = DataFolders((tmp_path / "fashion-mnist", tmp_path))
    pair, whats = (FASHION_MNIST.images, FASHION_MNIST.labels), ("images", "labels")
    with pytest.raises(InputError, match=r"no such file.*images"):
        data.find_together(pair, whats)
    some = tmp_path / "fashion-mnist" / "t10k-first500-images-idx3-ubyte"
    some.write_text("")
    found = data.find_together(pair, whats)
    assert found == (some, tmp_path / "fashion-mnist" / "t10k-first500-labels-idx1-ubyte.gz")
    found[1].unlink()  # what is left does not fit, and whoever reads it says so
    assert data.find_together(pair, whats) == (some, tmp_path / FASHION_MNIST.labels[0])


def test_missing_file_names_file_place_and_hint(tmp_path):
    with pytest.raises(InputError) as caught:
        benchmark("qnn-mnist").files(DataFolders((tmp_path,)))
    message = str(caught.value)
    assert "\n" not in message
    for part in ("qnn/mnist_mlp.h5", str(tmp_path), "--data", "$NETPROOF_DATA"):
        assert part in message


def test_open_and_query(tiny_data):
    data = DataFolders((tiny_data.folder,))
    for known in PERCEPTRONS:
        opened = known.open(data)
        for instance in known.instances(data)[::50]:
            query = opened.query(instance)
            assert query.name == instance.name and query.network is opened.networks[instance.network]
            assert str(int((query.upper - query.lower).max()) // 2) <= instance.name.rsplit("-", 1)[1]


def test_labels_are_those_of_the_images(tmp_path):
    """A folder may have all labels of a data set, and its first images alone."""
    for name in (*FASHION_MNIST.images[1:], *FASHION_MNIST.labels, "qnn/fashion-mnist_mlp.h5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.gz").touch()
    files = benchmark("qnn-fashion-mnist").files(DataFolders((tmp_path,)))
    assert [files[part].name for part in ("images", "labels")] == [
        "t10k-first500-images-idx3-ubyte.gz",
        "t10k-first500-labels-idx1-ubyte.gz",
    ]


def test_too_few_images(tiny_data, tmp_path):
    for source in tiny_data.folder.rglob("*"):
        if source.is_file():
            target = tmp_path / source.relative_to(tiny_data.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    images = write_idx(tmp_path / MNIST.images[0], np.zeros((50, 2, 2), np.uint8))
    with pytest.raises(FormatError, match="holds 50 images, qnn-mnist needs the first 400") as caught:
        benchmark("qnn-mnist").open(DataFolders((tmp_path,)))
    assert str(images) in str(caught.value)
    write_idx(tmp_path / MNIST.images[0], np.zeros((401, 2, 2), np.uint8))
    with pytest.raises(InputError, match="labels-idx1-ubyte: holds 400 labels for the 401 images"):
        benchmark("qnn-mnist").open(DataFolders((tmp_path,)))
    write_idx(tmp_path / FASHION_MNIST.images[0], np.zeros((400, 3, 3), np.uint8))
    with pytest.raises(FormatError, match="9 pixels"):
        benchmark("qnn-fashion-mnist").open(DataFolders((tmp_path,)))


def test_published_verdicts_are_of_this_benchmark_only(tmp_path):
    table = tmp_path / "qnn" / "published-aaai2021.csv"
    table.parent.mkdir()
    table.write_text(
        "dataset,index,radius,verdict\nmnist,3,1,robust\nmnist,3,4,timeout\nfashion-mnist,300,4,vulnerable\n"
    )
    data = DataFolders((tmp_path,))
    assert benchmark("qnn-mnist").published(data) == {"mnist-3-eps-1": "robust"}
    assert benchmark("qnn-fashion-mnist").published(data) == {"fashion-mnist-300-eps-4": "vulnerable"}
    assert benchmark("qnn-qvip-p1-4").published(data) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1 is not the header"),
        ("a,b\n", "line 1 is not the header"),
        ("dataset,index,radius,verdict\nmnist,one,1,robust\n", "line 2"),
        ("dataset,index,radius,verdict\nmnist,1,1,robust\nmnist,1,robust\n", "line 3"),
        ("dataset,index,radius,verdict\nmnist,1,1,sturdy\n", "line 2: no verdict is called 'sturdy'"),
    ],
)
def test_damaged_table_names_the_line(tmp_path, text, problem):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=problem):
        read_published(path)


def test_table_may_be_gzip_but_must_be_text(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"dataset,index,radius,verdict\nmnist,1,1,robust\n"))
    assert len(read_published(path)) == 1
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not text"):
        read_published(path)
