"""Missing, truncated, foreign and hostile files through the command line: one line, exit code 2."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest

from conftest import assert_refused, random_layers, write_idx, write_keras_h5


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
