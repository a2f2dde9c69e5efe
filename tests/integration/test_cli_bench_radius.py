"""``netproof bench radius``: right, resumable, and refused in one line where it cannot be."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from conftest import TinyData, assert_refused, classify, random_layers, write_idx

#: the command with slow answers; run as a file, so that worker processes import the same
SLOW = """
import time
import netproof.search.radius as module

real = module.largest_radius

def slow(*arguments, **options):
    time.sleep(0.1)
    return real(*arguments, **options)

module.largest_radius = slow

if __name__ == "__main__":
    from netproof.cli.main import main
    main()
"""


@pytest.fixture(scope="module")
def near(tiny_data, tmp_path_factory):
    """A data folder whose images are robust at small radii alone, which a search of milliseconds tells; 3 and 11 are misclassified."""
    from netproof.formats.images.idx import read_images, read_labels

    folder = tmp_path_factory.mktemp("near")
    images, labels = read_images(tiny_data.images), read_labels(tiny_data.labels)
    chosen = [int(name.split("-")[1]) for name, verdict in tiny_data.truth.items() if verdict == "vulnerable"][:14]
    assert len(chosen) == 14
    chosen[3], chosen[11] = 40, 80
    write_idx(folder / "mnist" / "t10k-images-idx3-ubyte", images[chosen])
    write_idx(folder / "mnist" / "t10k-labels-idx1-ubyte", labels[chosen])
    for name in ("mnist_mlp.h5", "fashion-mnist_mlp.h5"):
        (folder / "qnn").mkdir(exist_ok=True)
        (folder / "qnn" / name).write_bytes((tiny_data.folder / "qnn" / name).read_bytes())
    return TinyData(folder, {})


def rows_of(out):
    with (out / "results.csv").open(newline="") as stream:
        return {int(row["image"]): row for row in csv.DictReader(stream)}


def truth(data, index, largest=5):
    """The largest robust radius by trying every input, -1 where misclassified."""
    from netproof.formats.images.idx import read_images, read_labels

    layers = random_layers((4, 5, 3), seed=3)
    image, label = read_images(data.images)[index].reshape(4).astype(int), read_labels(data.labels)[index]
    for r in range(largest + 1):
        steps = np.arange(-r, r + 1)
        box = (image + np.stack(np.meshgrid(*[steps] * 4), -1).reshape(-1, 4)).clip(0, 255)
        if (classify(layers, box) != label).any():
            return r - 1
    raise AssertionError(f"image {index} is robust at radius {largest}")


def test_radii_are_exact_and_proved(cli, near, tmp_path):
    out = tmp_path / "out"
    ran = cli("bench", "radius", "qnn-mnist", "--data", near.folder, "--samples", "0-5,10-12", "--out", out, "--check")
    assert ran.code == 0, ran.err
    rows = rows_of(out)
    assert sorted(rows) == [0, 1, 2, 3, 4, 5, 10, 11, 12]
    certificates = set()
    for index, row in rows.items():
        expected = truth(near, index)
        if expected == -1:
            assert (row["verdict"], row["proved"], row["certificates"]) == ("misclassified", "", "")
            continue
        assert row["verdict"] == "exact"
        proved, refuted = int(row["proved"]), int(row["refuted"] or -1)
        assert proved == expected
        assert refuted in (proved + 1, -1)
        names = row["certificates"].split()
        assert names == [f"image-{index}-radius-{r}.npcert" for r in (proved, refuted) if r >= 0]
        certificates |= set(names)
        witness = json.loads((out / row["witness"]).read_text())
        assert witness["query"] == f"image {index}, radius {refuted}" and witness["largest_change"] <= refuted
    assert {path.name for path in (out / "certificates").iterdir()} == certificates
    assert "all of them checked" in ran.err and f"{len(rows)} images" in ran.out
    one = next(row for row in rows.values() if row["certificates"])
    checked = cli(
        *("check", out / "certificates" / one["certificates"].split()[0], "--network", near.network),
        *("--images", near.images, "--labels", near.labels, "--index", one["image"], "--eps", one["proved"]),
    )
    assert checked.code == 0 and "PROVED: robust" in checked.out


def test_more_images_go_on_where_fewer_ended(cli, near, tmp_path):
    out = tmp_path / "out"
    files = ("--images", near.images, "--labels", near.labels, "--out", out)
    assert cli("bench", "radius", near.network, *files, "--samples", "0-3").code == 0
    first = (out / "results.csv").read_text()
    ran = cli("bench", "radius", near.network, *files, "--samples", "2-6", "--jobs", 2, "--json")
    assert ran.code == 0 and "3 images to answer, 2 answered before" in ran.err
    assert (out / "results.csv").read_text().startswith(first) and sorted(rows_of(out)) == list(range(7))
    document = json.loads(ran.out)
    assert document["images"] == 5 and sum(document["counts"].values()) == 5
    lines = (out / "distribution.csv").read_text().splitlines()
    assert lines[0] == "radius,exact,robust,vulnerable,open"
    assert [int(line.split(",")[1]) for line in lines[1:]] == [level["exact"] for level in document["levels"]]
    shown = cli("bench", "show", out)
    assert shown.code == 0 and shown.out.splitlines()[0].startswith("radius  images")
    assert "7 images: " in shown.out and json.loads(cli("bench", "show", out, "--json").out)["images"] == 7
    assert cli("bench", "watch", out, "--once").out.startswith("7 of 7 answered (")
    # a certificate that is wanted now and is not there is a reason to ask again
    again = cli("bench", "radius", near.network, *files, "--samples", "1", "--certificates", tmp_path / "certificates")
    assert again.code == 0 and "1 images to answer" in again.err and len(rows_of(out)) == 7
    assert (
        "0 images to answer, 1 answered before"
        in cli(
            "bench", "radius", near.network, *files, "--samples", "1", "--certificates", tmp_path / "certificates"
        ).err
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_loses_nothing_and_doubles_nothing(cli, near, tmp_path, jobs):
    out, script = tmp_path / "out", tmp_path / "slow.py"
    script.write_text(SLOW)
    asked = [
        "bench",
        "radius",
        "qnn-mnist",
        "--data",
        near.folder,
        "--out",
        out,
        "--samples",
        "0-13",
        "--jobs",
        jobs,
    ]
    process = subprocess.Popen([sys.executable, str(script), *map(str, asked)], stderr=subprocess.PIPE, text=True)

    def lines():
        path = out / "results.csv"
        return path.read_text().splitlines() if path.exists() else []

    try:
        while len(lines()) < 4:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    left = lines()
    assert 4 <= len(left) < 15
    ran = cli(*asked)
    assert ran.code == 0, ran.err
    assert f"{15 - len(left)} images to answer, {len(left) - 1} answered before" in ran.err
    assert lines()[: len(left)] == left and len(lines()) == 15 and sorted(rows_of(out)) == list(range(14))


def test_a_limit_leaves_an_interval_that_more_time_closes(cli, near, tmp_path, monkeypatch):
    import netproof.search.radius as module

    asked = ["bench", "radius", "qnn-mnist", "--data", near.folder, "--out", tmp_path / "out", "--samples", "1,2"]
    real = module.verify_attacked

    class Blind:
        """Attacks that find nothing."""

        witness = None

        def attack(self, radius, deadline):
            return False

        def learn(self, x):
            pass

    monkeypatch.setattr(module, "refuted_quickly", lambda query: False)
    monkeypatch.setattr(module, "nearest_of", lambda query, settings: Blind())
    monkeypatch.setattr(
        module,
        "verify_attacked",
        lambda query, settings: (
            real(query, settings)
            if settings.timeout > 9
            else module.Result(module.Verdict.TIMEOUT, 0.0, "search", reason="the time limit was reached")
        ),
    )
    ran = cli(*asked, "--timeout", 9)
    assert ran.code == 0 and "2 images: 0 exact, 2 open" in ran.out and "open: 1, 2" in ran.out
    row = rows_of(tmp_path / "out")[1]
    assert (row["verdict"], row["proved"], row["limit"]) == ("open", "0", "9")
    assert row["reason"] == "the time limit was reached"
    assert "0 images to answer" in cli(*asked, "--timeout", 9).err
    ran = cli(*asked, "--timeout", 300)
    assert "2 images to answer" in ran.err and "2 images: 2 exact" in ran.out
    assert len(rows_of(tmp_path / "out")) == 2


def test_an_image_that_fails_costs_no_other(cli, near, tmp_path):
    from netproof.formats.images.idx import read_images

    labels = np.array([7, 0, 1], np.uint8)
    write_idx(tmp_path / "labels", labels)
    write_idx(tmp_path / "images", read_images(near.images)[:3])
    files = ("--images", tmp_path / "images", "--labels", tmp_path / "labels", "--out", tmp_path / "out")
    ran = cli("bench", "radius", near.network, *files)
    assert ran.code == 1 and "CHECK FAILED: 1 image(s) failed, 0 first" in ran.err
    rows = rows_of(tmp_path / "out")
    assert rows[0]["verdict"] == "error" and "label" in rows[0]["reason"] and len(rows) == 3


def test_another_network_reading_or_set_of_images_is_refused(cli, near, tmp_path):
    out = tmp_path / "out"
    files = ("--images", near.images, "--labels", near.labels, "--out", out, "--samples", "0")
    assert cli("bench", "radius", near.network, *files).code == 0
    assert_refused(cli("bench", "radius", near.network, *files, "--bits", 5), str(out), "bits 6", "bits 5")
    other = near.folder / "qnn" / "fashion-mnist_mlp.h5"
    assert_refused(cli("bench", "radius", other, *files), str(out), "other files: network")
    ran = cli("bench", "run", "qnn-mnist", "--data", near.folder, "--out", out)
    assert ran.code == 2 and f"error: {out / 'results.csv'}: line 1 is not the header" in ran.err
    # names and files of one network are one run
    assert cli("bench", "radius", "qnn-mnist", "--data", near.folder, "--out", out, "--samples", "0").code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("nothing",), ("nothing", "neither a file nor a benchmark", "qnn-mnist")),
        (("mnist_fc",), ("mnist_fc", "neither a file nor a benchmark")),
        (("qnn-mnist", "--images", "x"), ("--labels", "is missing")),
        (("qnn-mnist", "--labels", "x"), ("--images", "is missing")),
        (("qnn-mnist", "--bits", 5), ("qnn-mnist", "as its authors read it")),
        (("qnn-mnist", "--samples", "14"), ("--samples", "there is no image 14", "0 to 13")),
        (("qnn-mnist", "--samples", "a"), ("--samples", "names no images")),
        (("qnn-mnist", "--jobs", 0), ("--jobs", "0")),
        (("qnn-mnist", "--timeout", "nan"), ("--timeout", "nan")),
        (("qnn-mnist", "--plot", "p.txt"), ("--plot", "p.txt")),
        (("qnn-mnist", "--plot", "nowhere/p.png"), ("nowhere", "--plot")),
    ],
)
def test_bad_arguments(cli, near, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    assert_refused(cli("bench", "radius", *arguments, "--data", near.folder, "--out", tmp_path / "out"), *parts)


def test_files_that_do_not_fit(cli, near, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 5), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(2, np.int64))
    np.save(tmp_path / "one.npy", np.zeros(1, np.int64))
    out = ("--out", tmp_path / "out")
    ran = cli(
        "bench",
        "radius",
        near.network,
        "--images",
        tmp_path / "images.npy",
        "--labels",
        tmp_path / "labels.npy",
        *out,
    )
    assert_refused(ran, "images.npy", "5 pixels")
    ran = cli(
        "bench",
        "radius",
        near.network,
        "--images",
        tmp_path / "images.npy",
        "--labels",
        tmp_path / "one.npy",
        *out,
    )
    assert_refused(ran, "one.npy", "1 labels")
    ran = cli("bench", "radius", near.network, *out)
    assert_refused(ran, "--images", "is a file")
    assert not (tmp_path / "out").exists()


def test_the_plot(cli, near, tmp_path):
    pytest.importorskip("matplotlib", reason="draws the plot")
    out = tmp_path / "out"
    asked = ["bench", "radius", "qnn-mnist", "--data", near.folder, "--out", out, "--samples", "0-3"]
    for name, start in (("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")):
        assert cli(*asked, "--plot", out / name).code == 0
        assert (out / name).read_bytes().startswith(start)
    # an image without a radius is no reason to draw nothing
    nothing = ["bench", "radius", "qnn-mnist", "--data", near.folder, "--out", out, "--samples", "3"]
    assert cli(*nothing, "--plot", out / "none.png").code == 0 and (out / "none.png").is_file()
    again = (out / "p.svg").read_bytes()
    (out / "p.svg").unlink()
    assert cli(*asked, "--plot", out / "p.svg").code == 0
    assert len((out / "p.svg").read_bytes()) == len(again)


def test_without_matplotlib_a_plot_is_refused_at_once(cli, near, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends", None)
    ran = cli(
        "bench",
        "radius",
        "qnn-mnist",
        "--data",
        near.folder,
        "--out",
        tmp_path / "out",
        "--plot",
        tmp_path / "p.png",
    )
    assert_refused(ran, "--plot", "matplotlib", "netproof[report]")
    assert not (tmp_path / "out").exists()
