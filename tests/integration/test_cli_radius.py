"""``netproof radius`` as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import assert_refused, classify, random_layers
from onnx_models import model, node, save


def radius(cli, data, *options):
    return cli("radius", data.network, "--images", data.images, "--labels", data.labels, *options)


def truth(data, index, largest=6):
    """The largest robust radius by trying every input; None where it is beyond ``largest``."""
    from netproof.formats.images.idx import read_images

    layers = random_layers((4, 5, 3), seed=3)
    image = read_images(data.images)[index].reshape(4).astype(int)
    for r in range(1, largest + 1):
        steps = np.arange(-r, r + 1)
        box = (image + np.stack(np.meshgrid(*[steps] * 4), -1).reshape(-1, 4)).clip(0, 255)
        classes = classify(layers, box)
        if (classes != classify(layers, image[None])[0]).any():
            return r - 1
    return None


def test_several_samples_are_exact(cli, tiny_data):
    vulnerable, _ = tiny_data.first("vulnerable", 3)
    other, _ = tiny_data.first("vulnerable", 4)
    wrong, _ = tiny_data.first("misclassified")
    ran = radius(cli, tiny_data, "--index", vulnerable, "--index", other, "--index", wrong, "--json")
    document = json.loads(ran.out)
    found = {sample["index"]: sample for sample in document["samples"]}
    assert list(found) == [vulnerable, other, wrong]
    for index in (vulnerable, other):
        expected = truth(tiny_data, index)
        assert (found[index]["radius"], found[index]["witness_radius"]) == (expected, expected + 1)
        assert found[index]["exact"] and len(found[index]["witness"]) == 4
    assert found[wrong]["radius"] == -1


def test_in_words(cli, tiny_data):
    index, _ = tiny_data.first("vulnerable", 3)
    wrong, _ = tiny_data.first("misclassified")
    ran = radius(cli, tiny_data, "--index", index, "--index", wrong)
    expected = truth(tiny_data, index)
    assert ran.code == 0 and ran.err == ""
    first, second = ran.out.splitlines()
    assert first.startswith(f"sample {index} (label ")
    unit = "grey level" if expected == 1 else "grey levels"
    assert f"robust at radius {expected} {unit}, vulnerable at {expected + 1};" in first
    assert "misclassified" in second


def test_limit(cli, tiny_data):
    index, _ = tiny_data.first("robust", 2)
    sample = json.loads(radius(cli, tiny_data, "--index", index, "--limit", 1, "--json").out)["samples"][0]
    assert sample["radius"] == 1 and sample["witness_radius"] is None and not sample["exact"]
    assert "beyond" in radius(cli, tiny_data, "--index", index, "--limit", 1).out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--index", 0, "--index", 400), ("no sample 400", "0 to 399")),
        (("--index", 0, "--limit", -1), ("--limit", "-1")),
        (("--index", 0, "--timeout", -1), ("--timeout", "-1")),
        (("--index", 0, "--timeout", "1e400"), ("--timeout", "inf")),
        (("--index", 0, "--memory", "nan"), ("--memory", "nan GiB", "0.001 or more")),
        (("--index", 0, "--memory", "1e400"), ("--memory", "inf GiB")),
        (("--index", 0, "--seed", 10**30), ("the seed is 1000000", "2^63 - 1")),
        (("--index", 10**30), ("no sample 1000000", "0 to 399")),
        ((), ("--index",)),
    ],
)
def test_unusable_options_are_one_line(cli, tiny_data, options, parts):
    assert_refused(radius(cli, tiny_data, *options), *parts)


def test_memory_reaches_the_search(cli, tiny_data, monkeypatch):
    import netproof.search.radius as search

    seen = []
    found = search.largest_radius

    def spy(network, image, label, settings, **options):
        seen.append(settings.memory)
        return found(network, image, label, settings, **options)

    monkeypatch.setattr(search, "largest_radius", spy)
    assert radius(cli, tiny_data, "--index", 1, "--limit", 1, "--memory", 0.5).code == 0
    assert seen == [1 << 29]


def test_a_float_network_has_no_smt_script(cli, tiny_data, tmp_path):
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])]
    path = save(tmp_path / "net.onnx", model(nodes, (1, 4), {"w": np.ones((4, 3), np.float32)}))
    asked = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--index", 1, "--eps", 1)
    ran = cli("export", "smtlib", path, *asked, "--out", tmp_path / "query.smt2")
    assert_refused(
        ran, str(path), "is not an integer network, so its inputs are no grey levels", "give a property file"
    )
