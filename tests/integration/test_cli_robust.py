"""``netproof robust`` as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import assert_refused


def sample(data, index, radius):
    return ("robust", data.network, "--images", data.images, "--labels", data.labels, "--index", index, "--eps", radius)


@pytest.mark.parametrize("verdict", ["robust", "vulnerable", "misclassified"])
def test_verdict_in_words(cli, tiny_data, verdict):
    index, radius = tiny_data.first(verdict)
    ran = cli(*sample(tiny_data, index, radius))
    assert ran.code == 0 and ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"sample {index} (label ") and lines[0].endswith(f"radius {radius}: {verdict}")
    assert any(line.startswith("  time ") and "method" in line for line in lines)
    assert ("witness: class" in ran.out) == (verdict == "vulnerable")


@pytest.mark.parametrize("verdict", ["robust", "vulnerable", "misclassified"])
def test_json(cli, tiny_data, verdict):
    index, radius = tiny_data.first(verdict)
    ran = cli(*sample(tiny_data, index, radius), "--json")
    document = json.loads(ran.out)
    assert ran.code == 0
    assert (document["verdict"], document["index"], document["radius"]) == (verdict, index, radius)
    assert len(document["network"]["sha256"]) == 64
    assert (document["prediction"] == document["label"]) == (verdict != "misclassified")
    assert (document["witness"] is not None) == (verdict == "vulnerable")


def test_witness_file_holds_what_it_claims(cli, tiny_data, tmp_path):
    from netproof.formats.images.idx import read_images, read_labels
    from netproof.formats.keras.read import read_keras_h5

    index, radius = tiny_data.first("vulnerable")
    path = tmp_path / "witness.json"
    assert cli(*sample(tiny_data, index, radius), "--witness", path).code == 0
    document = json.loads(path.read_text())
    image = read_images(tiny_data.images)[index].reshape(-1).astype(int)
    moved = np.array(document["input"])
    assert document["format"] == "netproof-witness-1" and document["arithmetic"] == "integer"
    assert document["image"] == image.tolist() and document["label"] == read_labels(tiny_data.labels)[index]
    assert np.abs(moved - image).max() == document["largest_change"] <= radius
    assert (moved != image).sum() == document["changed"]
    import torch

    network = read_keras_h5(tiny_data.network)
    assert document["network"]["sha256"] == network.sha256
    assert network.graph.evaluate(torch.tensor(moved).double()).tolist() == document["output"]
    assert int(np.argmax(document["output"])) == document["class"] != document["label"]


def test_no_witness_file_where_robust(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("robust")
    assert cli(*sample(tiny_data, index, radius), "--witness", tmp_path / "w.json").code == 0
    assert not (tmp_path / "w.json").exists()


def test_bit_widths_reach_the_network(cli, tiny_data):
    index, radius = tiny_data.first("robust")
    ran = cli(*sample(tiny_data, index, radius), "--bits", 4, "--input-bits", 8, "--json")
    assert json.loads(ran.out)["network"]["scheme"]["bits"] == 4


def test_help_states_the_scheme_defaults(cli):
    from netproof.formats.fixed_point import FixedPoint
    from netproof.settings import Settings

    text = " ".join(cli("robust", "--help-all").out.split())
    for name, value in FixedPoint().as_dict().items():
        option = "--" + name.replace("_", "-")
        described = text[text.index(option + " N") :]
        assert f"{value})." in described[: described.index(").") + 2], option
    assert f"(default: {Settings().timeout:g})" in text
    assert f"(default: {Settings().seed})" in text


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--eps", -1), ("--eps", "-1", "0 or more")),
        (("--index", -1), ("--index", "no sample -1", "holds 400 images", "0 to 399")),
        (("--index", 400), ("--index", "no sample 400", "holds 400 images", "0 to 399")),
        (("--timeout", 0), ("--timeout", "positive")),
        (("--timeout", "nan"), ("--timeout", "positive")),
        (("--timeout", "inf"), ("--timeout", "positive")),
        (("--seed", -3), ("--seed", "-3")),
        (("--memory", 0), ("--memory", "0 GiB", "0.001 or more")),
        (("--memory", 1e30), ("--memory", "1e+30 GiB")),
        (("--threads", 0), ("--threads", "give 1 to")),
        (("--bits", 60), ("bits is 60", "0 to 16")),
        (("--bits", 4, "--weight-integer-bits", 5), ("weight_integer_bits is 5", "only 4 bits")),
        (("--eps", "two"), ("--eps", "2/255", "2grey")),
        (("--epsilon", 2), ("--epsilon", "see 'netproof robust --help'")),
        (("--witness", "/nonexistent-folder/w.json"), ("/nonexistent-folder/w.json", "no folder")),
        (("--images", "nothing.idx"), ("nothing.idx", "no such", "check the path")),
        (("--labels", "nothing.idx"), ("nothing.idx", "no such", "check the path")),
    ],
)
def test_unusable_options_are_one_line(cli, tiny_data, options, parts):
    assert_refused(cli(*sample(tiny_data, 0, 1), *options), *parts)


def test_missing_option_is_one_line(cli, tiny_data):
    assert_refused(cli("robust", tiny_data.network), "--images", "see 'netproof robust --help'")


def test_witness_in_a_folder_is_refused_before_the_search(cli, tiny_data, tmp_path, monkeypatch):
    import netproof.search.verify as engine

    monkeypatch.setattr(engine, "verify", None)
    assert_refused(cli(*sample(tiny_data, 0, 1), "--witness", tmp_path), str(tmp_path), "is a folder")


def test_interrupt_is_130(cli, tiny_data, monkeypatch):
    import netproof.search.verify as engine

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "verify", interrupted)
    ran = cli(*sample(tiny_data, *tiny_data.first("robust")))
    assert ran.code == 130 and "Traceback" not in ran.err


def test_undecided_names_the_bound(cli, tiny_data, monkeypatch):
    import netproof.search.verify as engine
    from netproof.query import Result, Verdict

    monkeypatch.setattr(engine, "verify", lambda *_: Result(Verdict.TIMEOUT, 1.5, "search", 7, bound=3.0))
    ran = cli(*sample(tiny_data, *tiny_data.first("robust")), "--timeout", 2)
    assert ran.code == 0 and "timeout" in ran.out and "2 s" in ran.out and "margin so far: 3" in ran.out
    monkeypatch.setattr(
        engine, "verify", lambda *_: Result(Verdict.UNKNOWN, 1.5, "search", bound=float("inf"), reason="memory limit")
    )
    assert "memory limit" in cli(*sample(tiny_data, *tiny_data.first("robust"))).out
    document = json.loads(cli(*sample(tiny_data, *tiny_data.first("robust")), "--json").out)
    assert (document["verdict"], document["bound"], document["reason"]) == ("unknown", None, "memory limit")


def test_memory_reaches_the_search(cli, tiny_data, monkeypatch):
    import netproof.search.verify as engine

    seen = []
    verify = engine.verify

    def spy(query, settings):
        seen.append(settings.memory)
        return verify(query, settings)

    monkeypatch.setattr(engine, "verify", spy)
    assert cli(*sample(tiny_data, *tiny_data.first("robust")), "--memory", 0.5).code == 0
    assert seen == [1 << 29]
