"""``netproof bench scale`` as a user types it."""

from __future__ import annotations

import json

from conftest import assert_refused


def test_a_table_by_layer(cli):
    ran = cli("bench", "scale", "small", "--width", 0.05)
    assert ran.code == 0, ran
    lines = ran.out.splitlines()
    assert lines[0].startswith("CIFAR100_resnet_small, ") and lines[2].split()[:4] == [
        "layer",
        "features",
        "open",
        "refined",
    ]
    names = [line.split()[0] for line in lines[3:-2]]
    assert names[:3] == ["intervals", "stem.relu", "block1.relu1"] and names[-2:] == ["hidden.relu", "margins"]
    assert "99 margins" in lines[-1] and "peak memory" in lines[-1]
    assert "block4.relu2: " in ran.err


def test_the_document(cli):
    document = json.loads(cli("bench", "scale", "medium", "--width", 0.03, "--radius", 1e-5, "--json").out)
    assert document["architecture"] == "CIFAR100_resnet_medium" and document["threads"] == 1
    assert len(document["margins"]) == 99 and document["peak_bytes"] > 1 << 20
    # On a tiny box the margins are those at its centre, where the label's output is the largest.
    assert min(document["margins"]) > 0
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert layers["block1.relu1"]["after"] <= layers["block1.relu1"]["before"] <= layers["block1.relu1"]["features"]


def test_unusable(cli):
    assert_refused(cli("bench", "scale", "huge"), "no architecture has this name")
    assert_refused(cli("bench", "scale", "--radius", -1), "--radius")
    assert_refused(cli("bench", "scale", "--width", 0), "the width is 0")
