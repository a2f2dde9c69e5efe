"""``netproof inspect`` as a user types it."""

from __future__ import annotations

import hashlib
import json

from conftest import assert_refused


def test_json_lists_nodes(cli, tiny_data):
    document = json.loads(cli("inspect", tiny_data.network, "--json").out)
    assert document["sha256"] == hashlib.sha256(tiny_data.network.read_bytes()).hexdigest()
    assert (document["arithmetic"], document["inputs"], document["outputs"]) == ("integer", 4, 3)
    assert document["input_range"] == [0, 255]
    assert document["parameters"] == 4 * 5 + 5 + 5 * 3 + 3
    assert [node["operator"] for node in document["nodes"]] == ["input", "linear", "staircase", "linear", "staircase"]
    assert [node["shape"] for node in document["nodes"]] == [[4], [5], [5], [3], [3]]
    least, largest = document["nodes"][2]["accumulator"]
    assert least < 0 < largest


def test_text_fits_a_page(cli, tiny_data):
    ran = cli("inspect", tiny_data.network, "--bits", 4)
    assert ran.code == 0
    assert "bits 4" in ran.out and "each from 0 to 255" in ran.out and "4 -> 5" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 120


def test_unusable(cli, tiny_data, tmp_path):
    assert_refused(cli("inspect", tmp_path / "none.h5"), "none.h5", "no such")
    assert_refused(cli("inspect", tiny_data.network, "--bits", 0), "bits")
