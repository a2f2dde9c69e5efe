"""Tables: ranges, contradictions, layout."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netproof.benchmarks.base import Instance
from netproof.report.document import summary_document
from netproof.report.ranges import compress
from netproof.report.summary import contradicts, summarize
from netproof.report.text import render, render_totals, seconds_text
from netproof.runs.rows import Row


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        ([], "-"),
        ([3], "3"),
        ([3, 4], "3, 4"),
        ([3, 4, 5], "3-5"),
        ([9, 0, 1, 2, 5, 6, 2], "0-2, 5, 6, 9"),
        (["prop_1", "prop_2"], "prop_1, prop_2"),
    ],
)
def test_compress(samples, text):
    assert compress(samples) == text


@given(st.sets(st.integers(0, 60)))
def test_compressed_ranges_hold_exactly_the_samples(samples):
    found = []
    for part in compress(list(samples)).split(", "):
        if part != "-":
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    assert found == sorted(samples)


@pytest.mark.parametrize(
    ("ours", "theirs", "wrong"),
    [
        ("robust", "robust", False),
        ("robust", "vulnerable", True),
        ("vulnerable", "robust", True),
        ("robust", "timeout", False),
        ("timeout", "robust", False),
        ("unknown", "vulnerable", False),
        ("robust", "misclassified", True),
        ("timeout", "misclassified", True),
        ("misclassified", "timeout", True),
        ("misclassified", "misclassified", False),
        ("error", "misclassified", False),
        ("error", "robust", False),
        ("", "misclassified", False),
        ("unsat", "robust", False),
    ],
)
def test_contradicts(ours, theirs, wrong):
    assert contradicts(ours, theirs) == wrong


def make(verdicts, published=None, seconds=0.5):
    instances = [Instance(f"m-{i}-eps-1", "network", "samples 0-9, radius 1", i) for i in range(len(verdicts))]
    rows = {i.name: Row(i.name, v, seconds, "bound") for i, v in zip(instances, verdicts, strict=True) if v}
    theirs = {i.name: v for i, v in zip(instances, published or [], strict=False)}
    return summarize("bench", "Somebody 2021", instances, rows, theirs)


def test_counts_and_times():
    summary = make(["robust", "vulnerable", "misclassified", "timeout", "unknown", "error", ""])
    assert summary.decided == 3 and summary.total == 7
    assert dict(summary.counts) == {
        "robust": 1, "vulnerable": 1, "misclassified": 1, "timeout/undecided": 2, "error": 1, "not run": 1,
    }  # fmt: skip
    assert summary.undecided == ("m-3-eps-1", "m-4-eps-1") and list(summary.errors) == ["m-5-eps-1"]
    # a misclassified sample is no query
    assert summary.seconds_sum == 2.0 and summary.seconds_median == 0.5
    assert not summary.published and summary.failed


def test_agreement():
    summary = make(["robust", "robust", "timeout"], ["robust", "timeout", "robust"])
    assert summary.compared == 1 and not summary.disagreements and not summary.failed
    assert "agrees on all 1 that both sides decided" in render(summary)


def test_contradiction_is_loud():
    summary = make(["robust", "vulnerable"], ["vulnerable", "vulnerable"])
    assert [d.instance for d in summary.disagreements] == ["m-0-eps-1"] and summary.failed
    for text in (render(summary), render_totals(summary)):
        assert "CONTRADICTION: 1 verdict(s)" in text
        assert "m-0-eps-1: netproof says robust, published is vulnerable" in text


def test_table_puts_theirs_beside_ours():
    text = render(make(["robust"] * 5 + ["misclassified"], ["robust"] * 3 + ["timeout"] * 2 + ["misclassified"]))
    rows = [line.split() for line in text.splitlines()]
    assert ["robust", "5", "0-4", "3", "0-2"] in rows
    assert ["timeout/undecided", "0", "-", "2", "3,", "4"] in rows
    assert ["misclassified", "1", "5", "1", "5"] in rows
    assert not any(row[:1] == ["error"] for row in rows)


@pytest.mark.parametrize("published", [None, ["robust", "vulnerable"] * 200])
def test_width(published):
    text = render(make(["robust", "timeout", "robust", "error"] * 100, published), wall_seconds=3.0)
    assert max(map(len, text.splitlines())) <= 110
    assert "and 92 more" in " ".join(text.split())
    short = render_totals(make(["timeout"] * 30))
    assert "and 22 more" in short and "m-7-eps-1" in short and "m-8-eps-1" not in short


def test_empty_run():
    text = render(make(["", ""]))
    assert "0 of 0 instances decided" in text and "2 not run" in text


def test_document_is_json():
    document = json.loads(json.dumps(summary_document(make(["robust", ""], ["robust"]), wall_seconds=1.0)))
    assert document["counts"]["robust"] == 1 and document["seconds"]["wall"] == 1.0
    assert document["blocks"][0]["netproof"]["robust"] == [0]
    assert document["blocks"][0]["published"]["robust"] == [0]
    assert json.loads(json.dumps(summary_document(make(["robust"]))))["blocks"][0]["published"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.00123, "1.23 ms"), (0.9999, "1 s"), (12.345, "12.3 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text
