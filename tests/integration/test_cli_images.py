"""``netproof robust`` and ``radius`` on networks and images of every kind, as a newcomer types them."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from conftest import assert_refused
from onnx_models import model, node, save


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A float network on 2x4 pixels in colour, and images of them in every form; what it says of an image is their red."""
    folder = tmp_path_factory.mktemp("colours")
    weights = np.zeros((24, 3), np.float32)
    for channel in range(3):
        weights[8 * channel : 8 * channel + 8, channel] = 1
    nodes = [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "w"], ["y"])]
    save(folder / "net.onnx", model(nodes, (1, 3, 2, 4), {"w": weights}))
    pixels = np.full((3, 2, 4, 3), 20, np.uint8)
    for k in range(3):
        pixels[k, :, :, k] = 60 + k
    from PIL import Image

    for k in range(3):
        (folder / "classes" / f"{k}").mkdir(parents=True)
        Image.fromarray(pixels[k]).save(folder / "classes" / f"{k}" / "image.png")
    np.savez(folder / "pixels.npz", images=pixels, labels=np.arange(3))
    np.save(folder / "planes.npy", pixels.transpose(0, 3, 1, 2) / 255)
    return folder


def ask(folder, source, *options):
    return (folder / "net.onnx", "--images", folder / source, *options)


# The sums of channels differ by 8 * 40, 41 or 42 levels: half of that on each side is where the class changes.
@pytest.mark.parametrize("source", ["classes", "pixels.npz"])
def test_a_float_network_by_grey_levels(cli, colours, source):
    for index, change in enumerate((20, 21, 21)):
        least = cli("robust", *ask(colours, source, "--index", index, "--eps", f"{change - 1}grey"))
        assert least.code == 0 and f"radius {change - 1} grey levels" in least.out and ": robust" in least.out, least
        most = cli("robust", *ask(colours, source, "--index", index, "--eps", f"{change + 1}/255", "--json"))
        document = json.loads(most.out)
        assert document["verdict"] == "vulnerable" and document["label"] == index
        assert document["radius_in_words"].endswith("of pixels from 0 to 1")
        found = json.loads(cli("radius", *ask(colours, source, "--index", index, "--json")).out)
        (radius,) = found["samples"]
        halves = Fraction((40, 41, 42)[index], 510)
        assert radius["exact"] and Fraction(radius["radius"]) <= halves <= Fraction(radius["witness_radius"])
        assert Fraction(radius["witness_radius"]) - Fraction(radius["radius"]) <= Fraction(1, 2550)


# To let red lose 40 levels of its lead in each of 8 pixels takes 320 levels in all, and sixteen values moved by 20: 80 in l2.
@pytest.mark.parametrize(("norm", "change"), [("l1", 320), ("l2", 80)])
def test_balls_of_a_float_network(cli, colours, norm, change):
    asked = ask(colours, "pixels.npz", "--index", 0, "--norm", norm)
    least = cli("robust", *asked, "--eps", f"{change - 1}grey")
    assert least.code == 0 and f"of pixels from 0 to 1) in {norm}: robust" in least.out
    found = json.loads(cli("robust", *asked, "--eps", f"{change + 1}grey", "--json").out)
    assert (found["verdict"], found["norm"]) == ("vulnerable", norm)
    assert change / 255 < found["witness"]["distance"] <= (change + 1) / 255
    table = cli("robust", *asked, "--index", 1, "--eps", f"{change - 1}grey")
    assert table.code == 0 and "2 robust" in table.out
    (radius,) = json.loads(cli("radius", *asked, "--accuracy", "4grey", "--json").out)["samples"]
    assert radius["exact"] and Fraction(radius["radius"]) <= Fraction(change, 255) <= Fraction(radius["witness_radius"])


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_balls_of_an_integer_network(cli, tiny_data, norm):
    # An image whose class changes when its four pixels move by at most 4 each.
    index = next(
        int(name.split("-")[1]) for name, is_ in tiny_data.truth.items() if "4" in name[-1] and is_ == "vulnerable"
    )
    source = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--index", index)
    asked = (tiny_data.network, *source, "--norm", norm)
    (radius,) = json.loads(cli("radius", *asked, "--json").out)["samples"]
    assert radius["exact"] and radius["witness_radius"] == radius["radius"] + 1
    assert "robust" in cli("robust", *asked, "--eps", radius["radius"]).out
    assert "vulnerable" in cli("robust", *asked, "--eps", radius["witness_radius"]).out


@pytest.mark.parametrize(("norm", "eps"), [("l1", "24.0"), ("l2", "1250grey")])
def test_a_ball_of_all_inputs_has_a_certificate(cli, colours, norm, eps, tmp_path):
    asked = ask(colours, "pixels.npz", "--index", 0, "--norm", norm, "--certificate", tmp_path / "all.npcert")
    found = cli("robust", *asked, "--eps", eps)
    assert found.code == 0 and "certificate written" in found.out, found
    command = next(line for line in found.out.splitlines() if "certificate written" in line).partition("netproof ")[2]
    assert "PROVED: sat" in cli(*command.split()).out


def test_few_values_of_a_float_network(cli, colours, tmp_path):
    """Red leads by 40 levels in each of 8 pixels, 320 in all: one value of 255 levels does not close that, two do."""
    asked = ask(colours, "pixels.npz", "--index", 0, "--norm", "l0")
    one = cli("robust", *asked, "--eps", 1)
    assert one.code == 0 and "radius 1 value in l0: robust" in one.out, one
    assert "no way of changing 1 of the values, whichever, to anything changes the class" in one.out
    two = json.loads(cli("robust", *asked, "--eps", 2, "--json", "--witness", tmp_path / "w.json").out)
    assert (two["verdict"], two["norm"], two["radius_in_words"]) == ("vulnerable", "l0", "2 values in l0")
    assert 1 <= two["witness"]["changed"] <= 2 and (tmp_path / "w.json").is_file()
    both = cli("robust", *ask(colours, "pixels.npz", "--all", "--norm", "l0"), "--eps", 1, "--out", tmp_path / "run")
    assert both.code == 0 and both.out.count("robust") == 4, both
    two = ("--index", 1, "--index", 2, "--eps", 2, "--out", tmp_path / "two")
    assert "vulnerable" in cli("robust", *ask(colours, "pixels.npz", "--norm", "l0", *two)).out
    cli("report", tmp_path / "two", "--out", tmp_path / "page.html")
    assert "2 of 24 values changed" in (tmp_path / "page.html").read_text()
    cli("report", tmp_path / "run", "--json", tmp_path / "a.json")
    assert {one["norm"] for one in json.loads((tmp_path / "a.json").read_text())["instances"]} == {"l0"}
    assert_refused(
        cli("robust", *asked, "--eps", 12),
        "choices of 12 values of 24",
        "at most 16384 are decided",
        "at most 4 values",
    )
    assert_refused(cli("robust", *asked, "--eps", 25), "25 of 24", "give 1 to 24")
    assert_refused(cli("robust", *asked, "--eps", 1, "--certificate", "c"), "--certificate", "is about one box")
    assert_refused(cli("robust", *asked, "--eps", 1, "--patch", "1x1"), "--patch", "a set is named")
    planes = ask(colours, "planes.npy", "--index", 0, "--norm", "l0", "--eps", 1)
    assert_refused(cli("robust", *planes), "nothing says between which ends", "clip")
    assert cli("robust", *planes, "--clip", "0,1").code == 0


def test_classes_by_name_are_all_there_or_refused(cli, colours, tmp_path):
    import shutil

    for name in ("blue", "red"):
        shutil.copytree(colours / "classes" / "0", tmp_path / "named" / name)
    ran = cli("robust", colours / "net.onnx", "--images", tmp_path / "named", "--all", "--eps", "1/255")
    assert_refused(ran, "has 2 folders of classes, the network 3 outputs", "classes.txt")
    shutil.copytree(colours / "classes" / "1", tmp_path / "named" / "green")
    assert cli("robust", colours / "net.onnx", "--images", tmp_path / "named", "--all", "--eps", "1/255").code == 0


def test_planes_of_floats_without_labels(cli, colours):
    ran = cli("robust", *ask(colours, "planes.npy", "--all", "--eps", "0.07"))
    lines = ran.out.splitlines()
    assert ran.code == 0 and "in the unit of the images' values" in lines[0]
    assert [line.split()[2] for line in lines[2:5]] == ["robust"] * 3 and "3 robust" in lines[-1]
    single = cli("robust", *ask(colours, "planes.npy", "--index", 1, "--eps", "0.07"))
    assert "label 1, the network's own class" in single.out


def test_one_image_file_needs_no_index(cli, colours):
    ran = cli("robust", *ask(colours, "classes/2/image.png", "--label", 2, "--eps", "1/255"))
    assert ran.code == 0 and ran.out.startswith("sample 0 (label 2), radius 1/255 (1 grey level) of pixels")


def test_preparation_is_that_of_training(cli, colours):
    # A mean of a whole channel away: what is left of red is less than of green.
    shifted = ("--mean", "0.5,0,0", "--std", "1")
    ran = cli("robust", *ask(colours, "classes/0/image.png", "--label", 0, "--eps", "1/255", *shifted))
    assert "misclassified" in ran.out and "mean 0.5, 0, 0, std 1" in ran.out


def test_targets_and_first_classes(cli, colours):
    target = cli("robust", *ask(colours, "pixels.npz", "--index", 0, "--eps", "30grey", "--target", 2))
    assert "vulnerable" in target.out and "class from 0 to 2" in target.out and "class 2 instead of 0" in target.out
    first = cli("robust", *ask(colours, "pixels.npz", "--index", 0, "--eps", "30grey", "--top", 2))
    assert "takes class 0 from the first 2" in first.out or "take class 0 from the first 2" in first.out
    assert "vulnerable" not in first.out or "2 other classes have outputs as large as class 0 or larger" in first.out


def test_a_picture_of_the_witness(cli, colours, tmp_path):
    from PIL import Image

    ran = cli("robust", *ask(colours, "pixels.npz", "--index", 0, "--eps", "30grey", "--picture", tmp_path / "w.png"))
    with Image.open(tmp_path / "w.png") as drawn:
        assert "drawn in" in ran.out and drawn.size[0] > 100


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_table_in_a_folder_goes_on(cli, tiny_data, tmp_path, jobs):
    asked = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--eps", 1, "--out", tmp_path / "run")
    indices = [part for index in range(8) for part in ("--index", index)]
    ran = cli("robust", tiny_data.network, *asked, *indices, "--jobs", jobs)
    assert ran.code == 0, ran
    verdicts = dict(line.split()[0:3:2] for line in ran.out.splitlines()[2:10])
    assert {int(k): v for k, v in verdicts.items()} == {k: tiny_data.truth[f"mnist-{k}-eps-1"] for k in range(8)}
    again = cli("robust", tiny_data.network, *asked, *indices)
    assert dict(line.split()[0:3:2] for line in again.out.splitlines()[2:10]) == verdicts
    other = cli("robust", tiny_data.network, *asked[:-4], "--eps", 2, *asked[-2:], *indices)
    assert_refused(other, "holds results of benchmark")


def test_a_gate(cli, tiny_data):
    index, radius = tiny_data.first("vulnerable")
    asked = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--index", index, "--eps", radius)
    assert cli("robust", tiny_data.network, *asked, "--fail-on", "timeout").code == 0
    ran = cli("robust", tiny_data.network, *asked, "--fail-on", "vulnerable,timeout")
    assert ran.code == 1 and "vulnerable" in ran.out


def test_an_image_that_cannot_be_asked_about_fails_the_command(cli, colours, tmp_path):
    pixels = np.load(colours / "pixels.npz")["images"]
    np.savez(tmp_path / "labels.npz", images=pixels, labels=np.array([0, -1, 2]))
    ran = cli("robust", colours / "net.onnx", "--images", tmp_path / "labels.npz", "--all", "--eps", "1grey")
    assert ran.code == 1 and "2 robust" in ran.out and "1 error" in ran.out, ran


def test_radii_go_on_after_an_image_that_cannot_be_asked_about(cli, colours, tmp_path):
    pixels = np.load(colours / "pixels.npz")["images"]
    np.savez(tmp_path / "labels.npz", images=pixels, labels=np.array([0, -1, 2]))
    asked = ("radius", colours / "net.onnx", "--images", tmp_path / "labels.npz", "--accuracy", "4grey")
    for jobs in (1, 2):
        ran = cli(*asked, "--all", "--jobs", jobs)
        assert ran.code == 1 and ran.out.count(": robust at radius") == 2, ran
        assert f"error: {tmp_path / 'labels.npz'}, sample 1: label -1 is not an output" in ran.out
    ran = cli(*asked, "--all", "--json")
    samples = json.loads(ran.out)["samples"]
    assert ran.code == 1 and [one["index"] for one in samples] == [0, 1, 2] and "label -1" in samples[1]["error"]
    assert_refused(cli(*asked, "--index", 1), "sample 1: label -1 is not an output", "check that labels")


def test_an_image_named_twice_is_asked_about_once(cli, colours):
    asked = ask(colours, "pixels.npz", "--index", 2, "--index", 0, "--index", 2)
    found = json.loads(cli("robust", *asked, "--eps", "1/255", "--json").out)
    assert [one["index"] for one in found["samples"]] == [2, 0]
    assert cli("radius", *asked, "--accuracy", "4grey").out.count("sample 2") == 1


def test_more_images_join_a_folder_and_nothing_else_does(cli, colours, tmp_path):
    asked, folder = ask(colours, "pixels.npz"), tmp_path / "run"

    def run(*options):
        return cli("robust", *asked, "--out", folder, *options)

    assert run("--index", 0, "--index", 1, "--eps", "1/255").code == 0
    ran = run("--index", 1, "--index", 2, "--eps", "1/255")
    assert ran.code == 0 and "2 images" in ran.out and "2 robust" in ran.out, ran
    assert run("--index", 0, "--eps", "1/255").code == 0
    cli("report", folder, "--json", tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert [(one["instance"], one["label"]) for one in document["instances"]] == [
        ("image-0", "0"), ("image-1", "1"), ("image-2", "2")
    ]  # fmt: skip
    assert document["summary"]["asked"] == 3 and not document["summary"]["missing"]
    assert_refused(run("--index", 0, "--eps", "2/255"), "at radius 1/255", "not of", "at radius 2/255", "--out")
    assert_refused(run("--index", 0, "--eps", "1/255", "--norm", "l2"), "in l2", "--out")
    other = tmp_path / "net.onnx"
    data = (colours / "net.onnx").read_bytes()
    other.write_bytes(data.replace(b"float", b"Float") if b"float" in data else data + b"\x12\x00")
    ran = cli("robust", other, *asked[1:], "--index", 0, "--eps", "1/255", "--out", folder)
    assert_refused(ran, "other files: network differ", "--out")


def test_a_certificate_of_a_target_says_no_more_than_that(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("robust")
    asked = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--index", index)
    label = json.loads(cli("robust", tiny_data.network, *asked, "--eps", radius, "--json").out)["label"]
    path = tmp_path / "proof.npcert"
    goal = ("--target", (label + 1) % 3, "--certificate", path)
    assert cli("robust", tiny_data.network, *asked, "--eps", radius, *goal).code == 0
    checked = cli("check", path, "--network", tiny_data.network)
    assert checked.code == 0 and "every input of the set" not in checked.out.split("claim")[0]
    assert json.loads(cli("check", path, "--network", tiny_data.network, "--json").out)["property"]["kind"] == "box"


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--eps", "2"), ("2grey", "2.0 of pixels")),
        (("--eps", "1/255", "--norm", "l2", "--certificate", "c"), ("--certificate", "a ball in l2 is none")),
        (("--eps", "1/255", "--norm", "euclid"), ("--norm", "'euclid'", "linf, l1, l2")),
        (("--eps", "1/255", "--norm", "l1", "--patch", "1x1"), ("--norm", "a set is named as well")),
        (("--eps", "1/255", "--mean", "0.1,x"), ("--mean", "commas")),
        (("--eps", "1/255", "--mean", "0.1,0.2"), ("channels",)),
        (("--eps", "1/255", "--std", "0"), ("--std: is '0', which is not above 0", "positive")),
        (("--eps", "1/255", "--std", "1,1,-1/2"), ("--std: is '-1/2'", "positive")),
        (("--eps", "1/255", "--scale", "zero"), ("--scale", "1/255")),
        (("--eps", "1/255", "--scale", "-1"), ("--scale", "above 0")),
        (("--eps", "1/255", "--clip", "1"), ("--clip", "0,1")),
        (("--eps", "1/255", "--clip", "0.9,1"), ("outside clip",)),
        (("--eps", "1/255", "--clip", "1,0"), ("--clip", "which nothing is between", "0,1")),
        (("--eps", "1/255", "--layout", "hwc"), ("--layout", "is chw")),
        (("--eps", "1/255", "--target", "0"), ("the label itself",)),
        (("--eps", "1/255", "--target", "7"), ("no output", "of 0 to 2")),
        (("--eps", "1/255", "--top", "3"), ("top is 3 of 3",)),
        (("--eps", "1/255", "--label", "1"), ("--label", "labels already")),
        (("--eps", "1/255", "--all"), ("--all", "one of the two")),
        (("--eps", "1/255", "--index", "1", "--witness", "w.json"), ("--witness", "--out DIR")),
        (("--eps", "1/255", "--jobs", "0", "--index", "1"), ("--jobs", "is 0")),
        (("--eps", "1/255", "--fail-on", "bad"), ("--fail-on", "'bad'", "vulnerable")),
        (("--eps", "1/255", "--fail-on", "timeout,vulnerabel"), ("'vulnerabel'", "did you mean 'vulnerable'?")),
        (("--eps", "1/255", "--bits", "4"), ("bit widths", "not quantized")),
        (("--eps", "1/255", "--runtime", "tflm"), ("runtime",)),
        (("--eps", "1/255", "--engine", "smt"), ("smt",)),
        (("--eps", "1/255", "--crop", "9"), ("--crop",)),
        (("--eps", "1/255", "--labels", "pixels.npz"), ("pixels.npz",)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_wrong_uses_are_one_line_with_the_mend(cli, colours, options, parts, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert_refused(cli("robust", *ask(colours, "pixels.npz", "--index", 0, *options)), *parts)


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (("robust", "NET", "--images", "pixels.npz", "--eps", "1/255"), ("--index", "holds 3 images", "--all")),
        (("robust", "NET", "--images", "other.png", "--eps", "1/255"), ("values", "the network takes 24 (3x2x4)")),
        (("robust", "NET", "--images", "nothing", "--eps", "1/255"), ("nothing", "no such")),
        (
            ("robust", "NET", "--images", "net.onnx", "--eps", "1/255"),
            ("no file of images of a kind that is known", "give IDX, PNG"),
        ),
        (("radius", "NET", "--images", "pixels.npz", "--index", 0, "--accuracy", "0"), ("accuracy is 0", "above 0")),
        (("radius", "NET", "--images", "pixels.npz", "--index", 0, "--limit", "3"), ("--limit", "could be")),
        (("radius", "NET", "--images", "pixels.npz", "--index", 3), ("no sample 3", "0 to 2")),
        (("radius", "NET", "--images", "pixels.npz", "--labels", "pixels.npz", "--index", 0), ("pixels.npz",)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_wrong_uses_of_images(cli, colours, command, parts, monkeypatch, tmp_path):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "other.png")
    here = {"NET": colours / "net.onnx", "pixels.npz": colours / "pixels.npz", "net.onnx": colours / "net.onnx"}
    assert_refused(cli(*(here.get(word, word) for word in command)), *parts)


def test_helps_fit_a_screen(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    for command in (
        ("robust",),
        ("radius",),
        ("verify",),
        ("check",),
        ("report",),
        ("check-all",),
        ("bench", "run"),
        ("bench", "watch"),
    ):
        text = cli(*command, "--help").out
        assert len(text.splitlines()) <= 60, (command, len(text.splitlines()))
