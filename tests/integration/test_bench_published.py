"""The published networks and samples, where they are."""

from __future__ import annotations

import json

import pytest

from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.registry import benchmark

MISCLASSIFIED = {
    "qnn-mnist": [18, 149, 217, 241, 247, 259, 321, 340, 381],
    "qnn-fashion-mnist": [
        12, 17, 23, 25, 26, 29, 40, 48, 51, 66, 68, 89, 98,
        107, 127, 145, 147, 150, 153, 163, 183, 192, 193,
        222, 226, 239, 241, 244, 247, 249,
        316, 322, 324, 325, 332, 344,
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", MISCLASSIFIED)
def test_misclassified_samples_are_exactly_the_published_ones(published_data, name):
    data = DataFolders((published_data,))
    known = benchmark(name)
    opened = known.open(data)
    found = [instance.sample for instance in known.instances(data) if opened.query(instance).misclassified]
    assert found == MISCLASSIFIED[name]
    published = known.published(data)
    assert len(published) == len(known.instances(data))
    assert sorted(n for n, verdict in published.items() if verdict == "misclassified") == sorted(
        i.name for i in known.instances(data) if i.sample in found
    )


@pytest.mark.parametrize("name", ["qnn-qvip-p1-4", "qnn-qvip-p3-6"])
def test_the_other_networks_classify(published_data, name):
    data = DataFolders((published_data,))
    known = benchmark(name)
    opened = known.open(data)
    asked = known.instances(data)[::10]
    wrong = sum(opened.query(instance).misclassified for instance in asked)
    assert wrong <= len(asked) // 5


def test_easy_samples_through_the_command(cli, published_data, tmp_path):
    out = tmp_path / "out"
    ran = cli("bench", "run", "qnn-mnist", "--data", published_data, "--only", "mnist-1?-eps-1", "--out", out)
    assert ran.code == 0, ran.err
    document = json.loads(cli("bench", "show", out, "--data", published_data, "--json").out)
    assert document["blocks"][0]["netproof"]["misclassified"] == [18]
    assert document["decided"] == document["compared"] == 10 and document["disagreements"] == []


@pytest.mark.parametrize(("name", "robust", "vulnerable"), [("qnn-mnist", 374, 17), ("qnn-fashion-mnist", 245, 19)])
def test_every_query_is_decided_as_published(cli, published_data, tmp_path, name, robust, vulnerable):
    out = tmp_path / "out"
    ran = cli("bench", "run", name, "--data", published_data, "--out", out)
    assert ran.code == 0, ran.err
    document = json.loads(cli("bench", "show", out, "--data", published_data, "--json").out)
    assert document["disagreements"] == []
    verdicts = [line.split(",")[1] for line in (out / "results.csv").read_text().splitlines()[1:]]
    counts = (verdicts.count("robust"), verdicts.count("vulnerable"), verdicts.count("misclassified"))
    assert counts == (robust, vulnerable, len(MISCLASSIFIED[name]))
    assert len(list((out / "witnesses").iterdir())) == vulnerable
