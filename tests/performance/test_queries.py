"""The suite of queries: counts are the same in every run, and a difference is noticed."""

from __future__ import annotations

import json

import pytest

import netproof
from performance.queries import QUERIES, SETTINGS, MissingDataError
from performance.run import COUNTS, Count, Measured, differences, document, main, measure

QUICK = [query for query in QUERIES if query.quick]


@pytest.mark.parametrize("query", QUICK, ids=lambda query: query.name)
def test_two_runs_count_the_same(query):
    measured = measure(query, 2)
    (count,) = measured.counts
    stored = json.loads(COUNTS.read_text())["counts"][query.name]
    assert count.verdict == stored["verdict"], "on any machine; how many subproblems that takes may depend on it"


def test_there_are_twelve_and_their_counts_are_stored():
    names = [query.name for query in QUERIES]
    assert len(set(names)) == len(names) == 12
    assert set(json.loads(COUNTS.read_text())["counts"]) == set(names)


def test_no_count_depends_on_the_time():
    # What the queries' docstring promises of the stored ones: below what begins rounds, and no witness found on the way.
    for name, count in json.loads(COUNTS.read_text())["counts"].items():
        assert count["verdict"] in ("sat", "unsat")
        assert count["verdict"] == "unsat" or count["method"] in ("attack", "bound"), name
    assert SETTINGS.timeout == 3600.0


def test_a_difference_is_noticed():
    before = {"counts": {"a": {"verdict": "unsat", "method": "search", "subproblems": 7}}}
    same = Count("unsat", "search", 7)
    assert differences({"a": Measured((same,), 1.0), "new": Measured((same,), 1.0)}, before) == []
    (more,) = differences({"a": Measured((Count("unsat", "search", 8),), 1.0)}, before)
    assert more == "a: unsat by search after 7 subproblems before, unsat by search after 8 subproblems now"
    (twice,) = differences({"a": Measured((same, Count("unsat", "search", 9)), 1.0)}, before)
    assert "repeats differ" in twice


def test_a_query_without_its_data_is_left_out(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("NETPROOF_DATA", raising=False)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    assert main(["mnist", "integer-robust", "--repeat", "1", "--write", str(tmp_path / "counts.json")]) == 0
    assert "left out: NETPROOF_DATA is not set" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "counts.json").read_text())["counts"]) == {"integer-robust"}
    with pytest.raises(MissingDataError):
        next(query for query in QUERIES if query.name == "acas-xu").ask()


def test_comparing_ends_with_one_where_something_differs(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    file = tmp_path / "counts.json"
    file.write_text(json.dumps(document({"integer-robust": Measured((Count("sat", "attack", 3),), 1.0)})))
    assert main(["integer-robust", "--repeat", "1", "--compare", str(file)]) == 1
    assert "different: integer-robust: sat by attack after 3" in capsys.readouterr().out
    assert main(["integer-robust", "--compare", str(tmp_path / "none.json")]) == 2
    assert main(["no-such-query"]) == 2


def test_every_query_is_asked_of_a_network_of_its_kind():
    kinds = {query.name: netproof.Question.of(query.ask()).network.graph.arithmetic.value for query in QUICK}
    assert {kind for name, kind in kinds.items() if name.startswith("integer")} == {"integer"}
    assert {kind for name, kind in kinds.items() if not name.startswith("integer")} == {"real"}
