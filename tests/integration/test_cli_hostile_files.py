"""Missing, truncated, foreign and hostile files through the command line: one line, exit code 2."""

from __future__ import annotations

import gzip
import shutil
import zipfile

import numpy as np
import pytest

from conftest import assert_refused, random_layers, write_idx, write_keras_h5
from tflite_files import TFLiteFile


def robust(cli, data, *, network=None, images=None, labels=None):
    return cli(
        "robust", network or data.network, "--images", images or data.images, "--labels", labels or data.labels,
        "--index", 0, "--eps", 1,
    )  # fmt: skip


@pytest.mark.parametrize("keep", [0, 1, 3, 4, 10, 15, 16, 17, 500])
def test_truncated_images(cli, tiny_data, tmp_path, keep):
    path = tmp_path / "images"
    path.write_bytes(tiny_data.images.read_bytes()[:keep])
    assert_refused(robust(cli, tiny_data, images=path), str(path))


@pytest.mark.parametrize("keep", [0, 7, 8, 100])
def test_truncated_labels(cli, tiny_data, tmp_path, keep):
    path = tmp_path / "labels"
    path.write_bytes(tiny_data.labels.read_bytes()[:keep])
    assert_refused(robust(cli, tiny_data, labels=path), str(path))


@pytest.mark.parametrize("keep", [0, 4, 8, 64, 96, 500, 2000, -8])
def test_truncated_network(cli, tiny_data, tmp_path, keep):
    path = tmp_path / "net.h5"
    path.write_bytes(tiny_data.network.read_bytes()[:keep])
    assert_refused(robust(cli, tiny_data, network=path), str(path))


@pytest.mark.parametrize("seed", range(6))
def test_network_with_damaged_bytes_never_shows_a_traceback(cli, tiny_data, tmp_path, seed):
    data = bytearray(tiny_data.network.read_bytes())
    random = np.random.default_rng(seed)
    for position in random.integers(8, len(data), 60):
        data[position] = random.integers(256)
    path = tmp_path / "net.h5"
    path.write_bytes(data)
    ran = robust(cli, tiny_data, network=path)
    # damage that only moves a weight is a usable network
    if ran.code != 0:
        assert_refused(ran, str(path))


def test_foreign_files(cli, tiny_data, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("This is a note, not a network and not an image.")
    assert_refused(robust(cli, tiny_data, network=text), str(text), "no format that netproof reads")
    assert_refused(robust(cli, tiny_data, images=text), str(text), "no file of images of a kind that is known")
    assert_refused(robust(cli, tiny_data, images=tiny_data.labels), str(tiny_data.labels), "images")
    assert_refused(robust(cli, tiny_data, labels=tiny_data.images), str(tiny_data.images), "labels")
    assert_refused(
        robust(cli, tiny_data, network=tiny_data.images), str(tiny_data.images), "no format that netproof reads"
    )
    assert_refused(robust(cli, tiny_data, network=tmp_path), str(tmp_path), "folder")


def test_header_that_claims_more_than_memory(cli, tiny_data, tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(bytes([0, 0, 8, 3]) + b"\xff\xff\xff\xff" * 3)
    assert_refused(robust(cli, tiny_data, images=path), str(path), "4294967295x4294967295x4294967295")


def test_damaged_gzip(cli, tiny_data, tmp_path):
    whole = gzip.compress(tiny_data.images.read_bytes())
    for name, data in (("cut.gz", whole[: len(whole) // 2]), ("crc.gz", whole[:-8] + b"\0" * 8)):
        path = tmp_path / name
        path.write_bytes(data)
        assert_refused(robust(cli, tiny_data, images=path), str(path), "gzip")


def test_more_images_than_labels(cli, tiny_data, tmp_path):
    labels = write_idx(tmp_path / "labels", np.zeros(399, np.uint8))
    assert_refused(robust(cli, tiny_data, labels=labels), str(labels), "399 labels", "400 images")


def test_labels_that_are_not_one_for_each_image(cli, tiny_data, tmp_path):
    """Of more labels than images nobody knows which belong to them, nor what rows of several numbers say."""
    idx = write_idx(tmp_path / "more", np.zeros(401, np.uint8))
    wide, flat = tmp_path / "one_hot.npy", tmp_path / "flat.npy"
    np.save(wide, np.eye(3, dtype=np.int64)[np.zeros(400, int)])
    np.save(flat, np.zeros((1, 400), np.int64))
    images = tmp_path / "images.npz"
    np.savez(images, images=np.zeros((2, 4), np.uint8), labels=np.zeros(2, np.int64))
    for labels, part in ((idx, "401 labels for the 400"), (wide, "shape (400, 3)"), (flat, "shape (1, 400)")):
        assert_refused(robust(cli, tiny_data, labels=labels), str(labels), part)
        bench = ("bench", "radius", tiny_data.network, "--images", tiny_data.images, "--labels", labels)
        assert_refused(cli(*bench, "--out", tmp_path / "out"), str(labels), part)
    assert_refused(robust(cli, tiny_data, images=images), "labels of its own")
    column = tmp_path / "column.npy"
    np.save(column, np.zeros((400, 1), np.int64))
    assert robust(cli, tiny_data, labels=column).code == 0


def test_images_that_are_no_integers_or_no_images(cli, tiny_data, tmp_path):
    """Zeros and ones of scaled pixels would be taken for the grey levels 0 and 1."""
    labels, path = tmp_path / "labels.npy", tmp_path / "images.npy"
    np.save(labels, np.zeros(3, np.int64))
    for array, part in (
        (np.array([[0.0, 1.0, 1.0, 0.0]] * 3, np.float32), "float32"),
        (np.zeros(3, np.int64), "shape (3,)"),
        (np.int64(3), "shape ()"),
    ):
        np.save(path, array)
        for command in (
            ("robust", tiny_data.network, "--images", path, "--labels", labels, "--index", 1, "--eps", 1),
            ("radius", tiny_data.network, "--images", path, "--labels", labels, "--index", 1),
            ("bench", "radius", tiny_data.network, "--images", path, "--labels", labels, "--out", tmp_path / "out"),
        ):
            assert_refused(cli(*command), str(path), part)


def test_arrays_of_which_several_could_be_meant(cli, tiny_data, tmp_path):
    x = np.arange(8, dtype=np.uint8).reshape(2, 4)
    path = tmp_path / "images.npz"

    def asked():
        return cli("robust", tiny_data.network, "--images", path, "--all", "--eps", 1)

    for arrays, part in (
        ({"images": x, "x": x[::-1]}, "images and x"),
        ({"images": x, "labels": [0, 1], "y": [1, 0]}, "labels and y"),
    ):
        np.savez(path, **arrays)
        assert_refused(asked(), str(path), part)
    np.savez(path, images=x)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("images.npy", archive.read("images.npy"))
    assert_refused(asked(), str(path), "images and images")
    assert_refused(cli("evaluate", tiny_data.network, path), str(path), "images and images")


def test_arrays_in_another_order_of_axes(cli, tmp_path):
    """Inputs of as many values, but other axes, were put into the network's shape as they came."""
    network = write_network(tmp_path / "network.tflite")
    path = tmp_path / "x.npy"
    ends = ("robust", network, "--images", path, "--index", 0, "--box", path, path)
    for shape, taken in (((1, 3, 2, 2), False), ((1, 2, 2, 3), True), ((1, 12), True), ((1, 3, 4), False)):
        np.save(path, np.zeros(shape, np.int64))
        found = [
            cli("evaluate", network, path),
            cli("compare", network, "--against", "xnnpack", "--images", path),
            cli("compare", network, "--against", "xnnpack", "--box", path, path),
        ]
        if taken:
            found.append(cli(*ends))
            assert [one.code for one in found] == [0] * 4, found
        else:
            for one in found:
                assert_refused(one, str(path), "shape")
    np.save(tmp_path / "turned.npy", np.zeros((1, 3, 2, 2), np.int64))
    np.save(path, np.zeros((1, 2, 2, 3), np.int64))
    assert_refused(cli(*ends[:-2], tmp_path / "turned.npy", path), "turned.npy", "shape (1, 3, 2, 2)")
    # Not -1, the number of 64 bits that it would become.
    np.save(path, np.full((1, 2, 2, 3), 2**64 - 1, np.uint64))
    assert_refused(cli("evaluate", network, path), "not from -128 to 127")
    listed = tmp_path / "x.csv"
    listed.write_text("1_0,0,0,0,0,0,0,0,0,0,0,0\n")
    assert_refused(cli("evaluate", network, listed), "line 1 is no list of whole numbers")


def write_network(path):
    """Two classes of images of 2 x 2 pixels in three colours."""
    file = TFLiteFile()
    x, flat, y = file.tensor((1, 2, 2, 3), 0.5), file.tensor((1, 12), 0.5), file.tensor((1, 2), 0.5)
    file.operator("RESHAPE", [x, file.constant(np.array([1, 12], np.int32))], [flat])
    weight = file.constant(np.arange(24, dtype=np.int8).reshape(2, 12), 1 / 8)
    file.operator("FULLY_CONNECTED", [flat, weight, -1], [y], {0: ("b", 0)})
    path.write_bytes(file.bytes(x, y))
    return path


def test_images_of_another_shape(cli, tmp_path):
    """As many pixels, but in other rows."""
    file = TFLiteFile()
    x, flat, y = file.tensor((1, 2, 6, 1), 0.5), file.tensor((1, 12), 0.5), file.tensor((1, 2), 0.5)
    file.operator("RESHAPE", [x, file.constant(np.array([1, 12], np.int32))], [flat])
    weight = file.constant(np.arange(24, dtype=np.int8).reshape(2, 12), 1 / 8)
    file.operator("FULLY_CONNECTED", [flat, weight, -1], [y], {0: ("b", 0)})
    network, path = tmp_path / "network.tflite", tmp_path / "x.npy"
    network.write_bytes(file.bytes(x, y))
    for shape, taken in (
        ((1, 2, 6), True),
        ((1, 2, 6, 1), True),
        ((1, 12), True),
        ((1, 6, 2), False),
        ((1, 3, 4), False),
    ):
        np.save(path, np.zeros(shape, np.uint8))
        found = cli("robust", network, "--images", path, "--index", 0, "--eps", 1)
        if taken:
            assert found.code == 0
        else:
            assert_refused(found, str(path), "the network takes 2x6x1")


def test_no_images(cli, tiny_data, tmp_path):
    images = write_idx(tmp_path / "images", np.zeros((0, 2, 2), np.uint8))
    assert_refused(robust(cli, tiny_data, images=images), str(images), "no images")


def test_images_of_another_size(cli, tiny_data, tmp_path):
    images = write_idx(tmp_path / "images", np.zeros((400, 3, 3), np.uint8))
    assert_refused(robust(cli, tiny_data, images=images), "9 values (3x3)", "takes 4")


def test_label_the_network_does_not_have(cli, tiny_data, tmp_path):
    labels = write_idx(tmp_path / "labels", np.full(400, 9, np.uint8))
    assert_refused(robust(cli, tiny_data, labels=labels), "label 9", "3 outputs")


def test_weights_with_nan(cli, tiny_data, tmp_path):
    layers = random_layers((4, 5, 3), seed=1)
    layers[1][0][2, 1] = np.nan
    path = write_keras_h5(tmp_path / "nan.h5", layers)
    assert_refused(robust(cli, tiny_data, network=path), str(path), "dense_1", "NaN")


def test_layers_that_do_not_chain(cli, tiny_data, tmp_path):
    path = write_keras_h5(tmp_path / "odd.h5", [random_layers((4, 5), 1)[0], random_layers((6, 3), 1)[0]])
    assert_refused(robust(cli, tiny_data, network=path), str(path), "dense_1")


def test_pixels_beyond_fewer_input_bits(cli, tiny_data):
    ran = cli(
        "robust", tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels,
        "--index", 1, "--eps", 1, "--input-bits", 4,
    )  # fmt: skip
    assert_refused(ran, "0 to 15")


def test_name_with_line_end_stays_one_line(cli, tiny_data, tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.h5"
    shutil.copy(tiny_data.labels, path)
    assert_refused(robust(cli, tiny_data, network=path), "two lines")
