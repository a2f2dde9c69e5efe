"""The script that asks samples of published benchmarks: which instances, and what it says of them."""

from __future__ import annotations

import pytest

from netproof.errors import InputError
from performance import sample


def test_a_sample(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    assert sample.main(["test", "--count", "3", "--seed", "1", "--seconds", "5"]) == 0
    first = capsys.readouterr().out.splitlines()
    assert len(first) == 4 and first[-1].startswith("test: 3 asked") and first[-1].endswith("0 contradicted")
    assert sample.main(["test", "--every", "--first", "1", "--last", "3", "--seconds", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test: 2 asked")


def test_a_contradiction_is_no_success(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    monkeypatch.setattr(sample, "_published", lambda opened, instance: "sat")
    assert sample.main(["test", "--every", "--seconds", "5"]) == 1
    assert " WRONG (published sat)" in capsys.readouterr().out


def test_published_verdicts_are_those_of_the_table(published_data, monkeypatch):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    known, data = sample.benchmark("cgan_2023"), sample.DataFolders.locate()
    opened = known.open(data)
    verdicts = [sample._published(opened, instance) for instance in known.instances(data)]
    assert (verdicts.count("sat"), verdicts.count("unsat")) == (11, 8)


def test_an_unknown_benchmark():
    with pytest.raises(InputError):
        sample.main(["nonsense"])
