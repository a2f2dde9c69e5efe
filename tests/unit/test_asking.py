"""Images as networks take them: sources, order of axes, units of a radius."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from conftest import write_idx
from netproof.asking.promises import read_promises
from netproof.asking.reach import Unit, reach_of
from netproof.errors import FormatError, InputError
from netproof.formats.images.pictures import read_pictures
from netproof.formats.images.samples import Samples
from netproof.formats.images.sources import read_image_set
from netproof.formats.torch_module import from_torch
from netproof.pictures.form import InputForm
from netproof.testing import assert_robust

LEVELS = Unit(255)
PIXELS = Unit(255, Fraction(1, 255))
RAW = Unit(255, Fraction(1))
FLOATS = Unit(None, Fraction(1))


@pytest.mark.parametrize(
    ("text", "unit", "value", "words"),
    [
        ("0", LEVELS, 0, "0 grey levels"),
        ("1", LEVELS, 1, "1 grey level"),
        ("2grey", LEVELS, 2, "2 grey levels"),
        ("2 grey levels", LEVELS, 2, "2 grey levels"),
        ("2/255", LEVELS, 2, "2 grey levels"),
        ("0.2", LEVELS, 51, "51 grey levels"),
        ("3/15", Unit(15), 3, "3 grey levels"),
        ("2/255", PIXELS, Fraction(2, 255), "2/255 (2 grey levels) of pixels from 0 to 1"),
        ("0.01", PIXELS, Fraction(1, 100), "0.01 of pixels from 0 to 1"),
        ("8grey", PIXELS, Fraction(8, 255), "8 grey levels (8/255 of pixels from 0 to 1)"),
        ("2.0", PIXELS, 2, "2.0 (510 grey levels) of pixels from 0 to 1"),
        ("0", PIXELS, 0, "0 (0 grey levels) of pixels from 0 to 1"),
        ("3", RAW, 3, "3 grey levels"),
        ("0.5", FLOATS, Fraction(1, 2), "0.5 in the unit of the images' values"),
        ("1e-3", FLOATS, Fraction(1, 1000), "1e-3 in the unit of the images' values"),
    ],
)
def test_radii_with_their_units(text, unit, value, words):
    found = reach_of(text, unit)
    assert (found.value, found.words) == (value, words)


@pytest.mark.parametrize(
    ("text", "unit", "parts"),
    [
        ("2.0", LEVELS, ("grey levels or a share", "give 2 for grey levels")),
        ("300/255", LEVELS, ("grey levels or a share",)),
        ("0.01", LEVELS, ("2.55 grey levels", "give 2 or 3")),
        ("2", PIXELS, ("could be", "2grey", "2.0 of pixels")),
        ("2", FLOATS, ("could be", "2/255", "2.0 in the unit")),
        ("2grey", FLOATS, ("values are none", "decimal or a quotient")),
        ("2/255", RAW, ("less than a grey level", "give 2 for grey levels")),
        ("-1", LEVELS, ("'-1'", "0 or more")),
        ("nan", PIXELS, ("'nan'",)),
        ("1/0", PIXELS, ("'1/0'",)),
        ("", PIXELS, ("''",)),
        ("9" * 80, LEVELS, ("0 or more",)),
        *(
            ("1e400", unit, ("'1e400', beyond all float32 values", "give 1e38 or less"))
            for unit in (LEVELS, PIXELS, RAW, FLOATS)
        ),
        ("1e30", LEVELS, ("grey levels or a share", "give whole grey levels, or")),
    ],
)
def test_radii_that_could_be_either_or_are_none(text, unit, parts):
    with pytest.raises(InputError) as refused:
        reach_of(text, unit)
    assert all(part in str(refused.value) for part in ("--eps", *parts)), str(refused.value)
    assert len(str(refused.value)) < 200


def test_large_radii_are_not_written_out_in_grey_levels():
    assert reach_of("1e30", PIXELS).words == "1e30 of pixels from 0 to 1"
    assert reach_of("1e6", PIXELS).words == "1e6 (255000000 grey levels) of pixels from 0 to 1"
    assert reach_of("1e38", FLOATS).value == Fraction(10) ** 38


@pytest.mark.parametrize(
    ("shape", "layout", "channels", "size", "order"),
    [
        ((1, 3, 32, 32), None, 3, (32, 32), "chw"),
        ((1, 32, 32, 3), None, 3, (32, 32), "hwc"),
        ((3, 32, 48), None, 3, (32, 48), "chw"),
        ((1, 28, 28, 1), None, 1, (28, 28), ""),
        ((1, 1, 28, 28), None, 1, (28, 28), ""),
        ((1, 28, 28), None, 1, (28, 28), ""),
        ((1, 784), None, 1, (28, 28), ""),
        ((1, 784, 1), None, 1, (28, 28), ""),
        ((784,), "hwc", 1, (28, 28), ""),
        ((1, 3072), None, 3, (32, 32), ""),
        ((1, 3072), "hwc", 3, (32, 32), "hwc"),
        ((1, 1, 1, 5), None, None, None, ""),
        ((1, 640), None, None, None, ""),
    ],
)
def test_forms_of_inputs(shape, layout, channels, size, order):
    found = InputForm.of(shape, layout)
    assert (found.channels, found.size, found.layout) == (channels, size, order)


def test_axes_are_put_into_the_networks_order():
    planes = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    pixels = planes.transpose(1, 2, 0)
    channels_first, pixels_first = InputForm.of((1, 3, 4, 5)), InputForm.of((1, 4, 5, 3))
    for picture, axes in ((planes, "chw"), (planes, ""), (pixels, "")):
        assert (channels_first.arranged(picture, axes, "p") == planes).all()
        assert (pixels_first.arranged(picture, axes, "p") == pixels).all()
    assert (channels_first.arranged(planes.reshape(-1), "", "p") == planes.reshape(-1)).all()
    assert (pixels_first.planes(pixels.reshape(-1)) == pixels).all()
    assert (channels_first.planes(planes.reshape(-1)) == pixels).all()
    square = np.arange(48).reshape(3, 4, 4)
    assert (
        InputForm.of((1, 48), "hwc").arranged(square, "chw", "p").reshape(-1) == square.transpose(1, 2, 0).reshape(-1)
    ).all()


@pytest.mark.parametrize(
    ("shape", "layout", "picture", "axes", "part"),
    [
        ((1, 48), None, (3, 4, 4), "chw", "give --layout chw or --layout hwc"),
        ((1, 3, 4, 4), None, (3, 8, 2), "chw", "8x2"),
        ((1, 3, 4, 4), None, (3, 4, 5), "chw", "60 values"),
        ((1, 3, 4, 4), "hwc", None, "", "is hwc, the network's input 3x4x4 is chw"),
        ((1, 48), "nhwc", None, "", "is 'nhwc'; give chw or hwc"),
        ((1, 5, 2), None, (5, 1, 2), "", ""),
        ((1, 5, 2), None, (2, 1, 5), "", "the network takes 5x2"),
        ((1, 640), None, (10, 64), "", "give an array of the network's own shape"),
    ],
)
def test_axes_that_nobody_knows(shape, layout, picture, axes, part):
    if not part:
        assert InputForm.of(shape).arranged(np.zeros(picture), axes, "p").size == 10
        return
    with pytest.raises(InputError) as refused:
        InputForm.of(shape, layout).arranged(np.zeros(picture or (1,)), axes, "p")
    said = str(refused.value).replace("2x8", "8x2")
    assert part in said


def colour_png(path, seed=0, size=(6, 4)):
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_sources_of_every_kind(tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (5, 4, 6)).astype(np.uint8)
    idx = write_idx(tmp_path / "images-idx3", grey)
    found = read_pictures(idx)
    assert (found.values == grey).all() and found.labels is None and found.axes == ""
    np.save(tmp_path / "a.npy", grey / 255)
    assert (read_pictures(tmp_path / "a.npy").values == grey / 255).all()
    np.savez(tmp_path / "a.npz", x_test=grey, y_test=np.arange(5), other=np.zeros(3))
    archive = read_pictures(tmp_path / "a.npz")
    assert (archive.values == grey).all() and archive.labels.tolist() == [0, 1, 2, 3, 4]
    pixels = colour_png(tmp_path / "one.png")
    single = read_pictures(tmp_path / "one.png", channels=3)
    assert (single.values[0] == pixels.transpose(2, 0, 1)).all() and single.axes == "chw"
    with pytest.raises(FormatError, match="red, green and blue"):
        read_pictures(tmp_path / "one.png", channels=1)
    for label, name in enumerate(("cat", "dog")):
        for seed in range(2):
            colour_png(tmp_path / "classes" / name / f"{seed}.png", seed + 10 * label)
    classes = read_pictures(tmp_path / "classes", channels=3)
    assert classes.labels.tolist() == [0, 0, 1, 1] and classes.values.shape == (4, 3, 4, 6)
    assert classes.classes == 2
    colour_png(tmp_path / "numbers" / "7" / "a.png")
    colour_png(tmp_path / "numbers" / "03" / "a.png")
    numbered = read_pictures(tmp_path / "numbers", channels=3)
    assert numbered.labels.tolist() == [3, 7] and numbered.classes is None
    (tmp_path / "numbers" / "classes.txt").write_text("7\n03\n")
    listed = read_pictures(tmp_path / "numbers", channels=3)
    assert listed.labels.tolist() == [0, 1] and listed.classes == 2
    (tmp_path / "numbers" / "classes.txt").unlink()
    colour_png(tmp_path / "numbers" / "3" / "a.png")
    with pytest.raises(FormatError, match="two folders of one number"):
        read_pictures(tmp_path / "numbers", channels=3)
    loose = read_pictures(tmp_path / "classes" / "cat", channels=3)
    assert loose.labels is None and len(loose) == 2
    assert loose.digest != classes.digest


def test_labels_of_every_kind(tmp_path):
    images = write_idx(tmp_path / "images", np.zeros((3, 2, 2), np.uint8))
    np.save(tmp_path / "l.npy", np.array([2, 1, 0]))
    (tmp_path / "l.txt").write_text("2\n1\n\n0\n")
    write_idx(tmp_path / "l-idx1", np.array([2, 1, 0], np.uint8))
    for name in ("l.npy", "l.txt", "l-idx1"):
        assert read_pictures(images, tmp_path / name).labels.tolist() == [2, 1, 0]


def test_a_label_that_would_wrap_around(tmp_path):
    images = write_idx(tmp_path / "images", np.zeros((2, 2, 2), np.uint8))
    np.save(tmp_path / "l.npy", np.array([1, 2**63 + 1], np.uint64))
    with pytest.raises(FormatError, match=f"has the label {2**63 + 1}; give the numbers of classes, from 0"):
        read_pictures(images, tmp_path / "l.npy")


def test_digits_are_of_the_networks_size():
    pytest.importorskip("sklearn", reason="scikit-learn, of the extra train, is not installed")
    found = read_pictures("sklearn:digits", channels=1, size=(8, 8))
    assert found.values.shape[1:] == (1, 8, 8) and len(found.labels) == len(found.values)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda p: p / "nothing.npy", ("no such",)),
        (lambda p: p / "nothing.png", ("no such",)),
        (lambda p: (p / "x.png", (p / "x.png").write_bytes(b"no image"))[0], ("is no image",)),
        (lambda p: (p / "x.npz", (p / "x.npz").write_bytes(b"PK no"))[0], ("no archive of arrays",)),
        (lambda p: (p / "x.npz", np.savez(p / "x.npz", a=np.zeros(2), b=np.zeros(2)))[0], ("no array called images",)),
        (
            lambda p: (p / "x.npz", np.savez(p / "x.npz", images=np.zeros((2, 2)), labels=np.zeros(2)))[0],
            ("labels are of type",),
        ),
        (lambda p: (p / "x.npy", np.save(p / "x.npy", np.zeros(3)))[0], ("[N, ...]",)),
        (lambda p: (p / "x.npy", np.save(p / "x.npy", np.zeros((0, 3))))[0], ("holds no images",)),
        (lambda p: (p / "x.npy", np.save(p / "x.npy", np.array([["a"]])))[0], ("of type <U1",)),
        (lambda p: (p / "x.npy", np.save(p / "x.npy", np.array([[None]]), allow_pickle=True))[0], ("of type object",)),
        (lambda p: (p / "x.npy", np.save(p / "x.npy", np.zeros((2, 3), np.complex64)))[0], ("of type complex64",)),
        (lambda p: p, ("has no folder in it",)),
    ],
)
def test_sources_that_are_none(tmp_path, make, parts):
    path = make(tmp_path)
    with pytest.raises(InputError) as refused:
        read_pictures(path)
    assert all(part in str(refused.value) for part in parts), str(refused.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1\ntwo\n", "line 2 is no label"),
        ("1\n", "l.txt: holds 1 labels for the 3 images in .*images"),
        ("1\n2\n0\n1\n", "l.txt: holds 4 labels for the 3 images in .*images"),
        ("-1\n2\n3", "line 1"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, text, part):
    images = write_idx(tmp_path / "images", np.zeros((3, 2, 2), np.uint8))
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(InputError, match=part):
        read_pictures(images, tmp_path / "l.txt")


@pytest.mark.parametrize("count", [2, 4])
def test_every_pair_of_images_and_labels_has_to_fit(tmp_path, count):
    """Labels that are left over are of other images: no reader takes the first of them for those it has."""
    said = f"holds {count} labels for the 3 images in "
    images = write_idx(tmp_path / "images", np.zeros((3, 2, 2), np.uint8))
    labels = write_idx(tmp_path / "labels", np.zeros(count, np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(count, np.int64))
    np.save(tmp_path / "images.npy", np.zeros((3, 2, 2), np.uint8))
    np.savez(tmp_path / "both.npz", images=np.zeros((3, 2, 2)), labels=np.zeros(count, np.int64))
    for read in (read_pictures, read_image_set, Samples.read):
        with pytest.raises(InputError, match=f"labels: {said}.*images"):
            read(images, labels)
    for reader in (read_pictures, Samples.read):
        with pytest.raises(InputError, match=f"labels.npy: {said}.*images.npy"):
            reader(tmp_path / "images.npy", tmp_path / "labels.npy")
    with pytest.raises(InputError, match=f"both.npz: {said}.*both.npz"):
        read_pictures(tmp_path / "both.npz")
    network = from_torch(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), (1, 1, 2, 2))
    with pytest.raises(InputError, match=f"labels: are {count}, for 3 images"):
        assert_robust(network, np.zeros((3, 1, 2, 2)), np.zeros(count, int), eps=0.1)
    with pytest.raises(InputError, match=f"labels: are {count}, for 3 images"):
        assert_robust(network, images, np.zeros(count, int), eps="1grey")


def test_labels_that_are_counted_from_1_are_refused():
    network = from_torch(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), (1, 1, 2, 2))
    with pytest.raises(
        InputError, match="its labels run from 1 to 2, the network's classes from 0; count labels from 0"
    ):
        assert_robust(network, np.zeros((3, 1, 2, 2)), np.array([1, 2, 1]), eps=0.1)
    with pytest.raises(InputError, match="label 2"):  # with a 0 among them they are not counted from 1
        assert_robust(network, np.zeros((3, 1, 2, 2)), np.array([0, 2, 1]), eps=0.1)


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nnetproof = 3", "[tool.netproof]\nqueries = 3"])
def test_projects_whose_tables_are_none(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(FormatError, match=r"promises nothing|is no table"):
        read_promises(tmp_path / "pyproject.toml")


def test_defaults_of_images_are_nothing_to_a_property(tmp_path):
    (tmp_path / "netproof.toml").write_text(
        '[defaults]\nlabels = "labels.npy"\ntimeout = 7\n'
        '[queries.a]\nnetwork = "a.onnx"\nproperty = "a.vnnlib"\n'
        '[queries.b]\nnetwork = "a.onnx"\nimages = "images.npy"\neps = "1/255"\n'
    )
    found = {promise.name: promise for promise in read_promises(tmp_path / "netproof.toml")}
    assert found["a"].settings.timeout == found["b"].settings.timeout == 7


@pytest.mark.parametrize("memory", ["nan", "inf"])
def test_memory_is_a_number(tmp_path, memory):
    table = f'[queries.a]\nnetwork = "a.onnx"\nproperty = "a.vnnlib"\nmemory = {memory}\n'
    (tmp_path / "netproof.toml").write_text(table)
    with pytest.raises((FormatError, InputError), match="memory"):
        read_promises(tmp_path / "netproof.toml")


def test_an_assertion_takes_no_mistake_for_something_else():
    network = from_torch(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), (1, 1, 2, 2))
    images, own = np.zeros((3, 1, 2, 2)), int(network.classify(torch.zeros(4, dtype=torch.float64)))
    labels = np.full(3, own)
    for numbers in (1, np.int64(1), [1], np.array([1, 2])):
        assert assert_robust(network, images, labels.astype(float), eps=0.0, index=numbers, allowed="robust")
    for given, words in (
        ({"labels": labels + 0.7}, "labels: are no whole numbers"),
        ({"labels": np.full(3, np.nan)}, "labels: are no whole numbers"),
        ({"labels": ["a"] * 3}, "labels: are no whole numbers"),
        ({"allowed": ["robust", "misclasified"]}, "no verdict is called 'misclasified'"),
        ({"index": True}, "True is no number of an image"),
        ({"index": [1.0]}, "1.0 is no number of an image"),
        ({"index": "1"}, "'1' is no number of an image"),
    ):
        with pytest.raises(InputError, match=words):
            assert_robust(network, images, **{"labels": labels, "eps": 0.0, **given})


def test_lists_that_windows_wrote(tmp_path):
    """With a byte order mark, and lines that end in two characters."""
    images = write_idx(tmp_path / "images", np.zeros((3, 2, 2), np.uint8))
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbf1\r\n0\r\n2\r\n")
    assert read_pictures(images, tmp_path / "l.txt").labels.tolist() == [1, 0, 2]
    (tmp_path / "netproof.toml").write_bytes(
        b'\xef\xbb\xbf[queries.one]\r\nnetwork = "net.onnx"\r\nproperty = "p.vnnlib"\r\nexpect = "sat"\r\n'
    )
    assert [promise.name for promise in read_promises(tmp_path / "netproof.toml")] == ["one"]


def test_results_of_witnesses_are_whole_documents():
    # Every answer can be printed as JSON: no number in it is one that JSON has no word for.
    import netproof
    from netproof.asking.images import Images, Preparation
    from netproof.asking.reach import Reach
    from netproof.formats.images.pictures import Pictures
    from netproof.report.answer import Answer

    torch.manual_seed(1)
    network = netproof.from_torch(torch.nn.Sequential(torch.nn.Linear(4, 3)), (1, 4))
    pictures = Pictures(np.array([[0.1, 0.2, 0.3, 0.4]]), None, "", "here")
    images = Images(network, pictures, InputForm.of((1, 4)), Preparation(), None, FLOATS)
    query = images.query(0, Fraction(3))
    answer = Answer(images, 0, Reach(Fraction(3), "3.0"), query, netproof.verify(query), 10.0)
    document = json.loads(json.dumps(answer.document, allow_nan=False))
    assert document["verdict"] == "vulnerable" and document["witness"]["class"] != document["label"]
    assert "the network's own class" in answer.text
