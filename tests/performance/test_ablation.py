"""The script that switches parts of the search off."""

from __future__ import annotations

import time

import pytest

from netproof.search.real import rounds
from performance import ablation
from performance.ablation import WAYS, Asked, switched, table


def test_three_ways(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    monkeypatch.setattr(time, "monotonic", time.process_time)
    arguments = ["mnist_fc", "--every", "--first", "47", "--last", "49", "--seconds", "1"]
    assert ablation.main([*arguments, "--ways", "no pairs", "no ranges by splits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("everything" in line and "no pairs" in line for line in lines[:-5])
    assert [line.split(" | ")[0] for line in lines[-3:]] == ["| everything", "| no pairs", "| no ranges by splits"]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_changes_something_and_takes_it_back(way):
    patches = WAYS[way]()
    before = [getattr(owner, name) for owner, name, _ in patches]
    with pytest.raises(KeyError), switched(patches):
        assert all(getattr(owner, name) is other for owner, name, other in patches)
        raise KeyError
    assert [getattr(owner, name) for owner, name, _ in patches] == before
    assert way == "everything" or all(other != own for (*_, other), own in zip(patches, before, strict=True))
    assert rounds.Pairing.__name__ == "Pairing"


def test_sums_are_of_what_every_way_decides():
    def one(verdict, subproblems):
        return Asked(verdict, subproblems, 2.0)

    found = [
        {"everything": one("unsat", 10), "no pairs": one("unsat", 30)},
        {"everything": one("unsat", 100), "no pairs": one("timeout", 999)},
    ]
    lines = table(found, ["everything", "no pairs"])
    assert lines[0].startswith("| way | decided of 2 | subproblems of 1 ")
    assert lines[2:] == ["| everything | 2 | 10 | 2.0 |", "| no pairs | 1 | 30 | 2.0 |"]


def test_whoever_interrupts_it_gets_the_table(monkeypatch, capsys):
    def each(*_):
        yield {"everything": Asked("unsat", 10, 2.0), "no pairs": Asked("unsat", 30, 3.0)}
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "each", each)
    assert ablation.main(["mnist_fc", "--ways", "no pairs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "interrupted"
    assert lines[-1] == "| no pairs | 1 | 30 | 3.0 |"


def test_other_ways_are_refused(capsys):
    with pytest.raises(SystemExit):
        ablation.main(["mnist_fc", "--ways", "nonsense"])
    assert "nonsense" in capsys.readouterr().err
