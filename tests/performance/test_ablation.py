"""The script that switches parts of the search off."""

from __future__ import annotations

import time

import pytest

from performance import ablation
from performance.ablation import Asked, Found, named, switched, table, tables
from performance.ways import WAYS


def test_three_ways(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    monkeypatch.setattr(time, "monotonic", time.process_time)
    arguments = ["mnist_fc", "--every", "--first", "47", "--last", "49", "--seconds", "1"]
    assert ablation.main([*arguments, "--ways", "no pairs", "no ranges by splits", "no programs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-7].startswith("signs: ") and lines[-7].endswith(" of mnist_fc")
    assert all("everything" in line and "no pairs" in line for line in lines[:-8])
    # What small networks are decided by plays no part here.
    assert [line.split(" | ")[0] for line in lines[-3:]] == ["| nothing", "| no pairs", "| no ranges by splits"]


def test_rows_of_several_lists(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    monkeypatch.setattr(time, "monotonic", time.process_time)
    assert (
        ablation.main(["acasxu:14", "wide:2", "--seconds", "5", "--faster", "0", "--ways", "no look-ahead in programs"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["ACASXU_run2a_2_6_batch_2000-prop_1", "wide 2"]
    assert "few inputs: 1 of acasxu" in lines and "small and wide: 1 of wide" in lines
    assert [line.split(" | ")[:2] for line in lines if "look-ahead in programs |" in line] == [
        ["| no look-ahead in programs", "1"]
    ]


def test_rows_come_after_a_colon():
    assert named("oval21:3,14") == ("oval21", [3, 14])
    assert named("oval21") == ("oval21", None)
    assert named("vnncomp:folder") == ("vnncomp:folder", None)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_changes_something_and_takes_it_back(way):
    patches = WAYS[way].patches()
    before = [vars(owner).get(name, "nothing") for owner, name, _ in patches]
    with pytest.raises(KeyError), switched(patches):
        assert all(vars(owner)[name] is other for owner, name, other in patches)
        raise KeyError
    assert [vars(owner).get(name, "nothing") for owner, name, _ in patches] == before
    assert way == "everything" or all(other != own for (*_, other), own in zip(patches, before, strict=True))


def test_a_way_stands_beside_everything_where_both_decide():
    def one(verdict, subproblems):
        return Asked(verdict, subproblems, 2.0)

    found = [
        {"everything": one("unsat", 10), "no pairs": one("unsat", 30)},
        {"everything": one("unsat", 100), "no pairs": one("timeout", 999)},
        {"everything": one("timeout", 1000), "no pairs": one("sat", 7)},
    ]
    lines = table(found, ["everything", "no pairs"])
    assert lines[0].startswith("| switched off | decided of 3 | ")
    assert lines[2:] == [
        "| nothing | 2 | 2 | 110 | | 4.0 | | 6.0 |",
        "| no pairs | 2 | 1 | 10 | 30 | 2.0 | 2.0 | 6.0 |",
    ]


def test_a_table_for_every_kind():
    def one(way):
        return {"everything": Asked("unsat", 10, 2.0), way: Asked("unsat", 30, 3.0)}

    found = [Found("oval21", one("no pairs")), Found("wide", one("no programs")), Found("mnist_fc", one("no pairs"))]
    lines = tables(found, ["no pairs", "no programs"])
    assert [line for line in lines if ":" in line and "---" not in line] == [
        "signs: 1 of oval21, 1 of mnist_fc",
        "small and wide: 1 of wide",
    ]


def test_a_contradiction_is_no_success(monkeypatch, capsys):
    two = {"everything": Asked("unsat", 10, 2.0), "no pairs": Asked("sat", 30, 3.0)}
    monkeypatch.setattr(ablation, "each", lambda _: iter([Found("mnist_fc", two)]))
    assert ablation.main(["mnist_fc", "--ways", "no pairs"]) == 1
    assert "| no pairs | 1 | 1 | 10 | 30 |" in capsys.readouterr().out


def test_whoever_interrupts_it_gets_the_table(monkeypatch, capsys):
    def each(_):
        yield Found("mnist_fc", {"everything": Asked("unsat", 10, 2.0), "no pairs": Asked("unsat", 30, 3.0)})
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "each", each)
    assert ablation.main(["mnist_fc", "--ways", "no pairs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "interrupted"
    assert lines[-1] == "| no pairs | 1 | 1 | 10 | 30 | 2.0 | 3.0 | 3.0 |"


def test_other_ways_are_refused(capsys):
    with pytest.raises(SystemExit):
        ablation.main(["mnist_fc", "--ways", "nonsense"])
    assert "nonsense" in capsys.readouterr().err
