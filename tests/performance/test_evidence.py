"""The script that measures what evidence costs: what it counts, and that it goes on where it stopped."""

from __future__ import annotations

import csv

import pytest

from netproof.errors import CertificateError, NoEvidenceError
from performance import evidence


def test_a_table(published_data, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    out = tmp_path / "rows.csv"
    asked = ["test", "--every", "--seconds", "5", "--out", str(out)]
    assert evidence.main(asked) == 0
    said = capsys.readouterr().out
    with out.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    decided = [row for row in rows if row["verdict"] in ("sat", "unsat")]
    assert len(decided) == 5 and all(int(row["size"]) > 0 and float(row["checking"]) > 0 for row in decided)
    assert said.startswith(f"test: {len(rows)} asked, 5 decided, 5 with evidence (4 unsat)\n")
    # What is there is not asked again.
    monkeypatch.setattr(evidence, "_asked", lambda *_: pytest.fail("asked again"))
    assert evidence.main(asked) == 0
    assert capsys.readouterr().out == said


def test_what_has_no_evidence_is_said(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))

    def none(*_, **__):
        raise NoEvidenceError("n", "nothing was kept")

    monkeypatch.setattr(evidence, "write_evidence", none)
    assert evidence.main(["test", "--every", "--last", "2", "--seconds", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "test: 2 asked, 2 decided, 0 with evidence (0 unsat)",
        "  without, 2: nothing was kept",
    ]


def test_a_certificate_that_is_none_is_no_success(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))

    def refused(*_, **__):
        raise CertificateError("c", "it proves nothing", "make it again")

    monkeypatch.setattr(evidence, "check_real", refused)
    assert evidence.main(["test", "--every", "--last", "1", "--seconds", "5"]) == 1
    assert "NOT ACCEPTED" in capsys.readouterr().out
