"""The table of accuracies."""

from __future__ import annotations

import pytest

from netproof.benchmarks.base import Instance
from netproof.report.accuracies import accuracies, accuracies_document, render_accuracies, wilson
from netproof.runs.rows import Row

VERDICTS = [
    ("misclassified", "evaluation"), ("robust", "crown"), ("robust", "crown"), ("robust", "search"),
    ("vulnerable", "pgd"), ("vulnerable", "search"), ("timeout", "search"), ("unknown", "search"), ("error", ""),
]  # fmt: skip
INSTANCES = [Instance(f"a-{n}", "a", "a", n) for n in range(10)] + [Instance("b-0", "b", "b", 0)]
ROWS = {f"a-{n}": Row(f"a-{n}", verdict, 0.5, method) for n, (verdict, method) in enumerate(VERDICTS)}


def test_every_image_is_counted_where_it_belongs():
    first, second = accuracies(INSTANCES, ROWS, sampled=False)
    assert [(s.count, s.total) for s in (first.clean, first.pgd, first.crown, first.verified)] == [
        (7, 8), (6, 8), (2, 8), (3, 8),
    ]  # fmt: skip
    assert (first.vulnerable, first.open, first.failed, first.missing, first.seconds) == (2, 2, 1, 1, 4.5)
    assert first.clean.interval is None and second.clean.total == 0 and second.missing == 1
    text = render_accuracies((first, second)).splitlines()
    assert text[0].split() == ["network", "images", "clean", "PGD", "CROWN", "verified", "open"]
    assert text[1].split() == ["a", "8", "87.5", "%", "75.0", "%", "25.0", "%", "37.5", "%", "2"]
    assert text[2].split() == ["b", "0", "-", "-", "-", "-", "0"]
    document = accuracies_document((first, second))
    assert document[0]["crown"] == {"count": 2, "share": 0.25, "interval": None}
    assert document[1]["clean"] == {"count": 0, "share": None, "interval": None}


def test_a_sample_has_intervals():
    (first, _) = accuracies(INSTANCES, ROWS, sampled=True)
    assert first.crown.interval == wilson(2, 8)
    assert "25.0 % (7.1 to 59.1)" in render_accuracies([first])


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (5, 10, 0.236593, 0.763407), (1, 1, 0.206543, 1.0)],
)
def test_intervals_are_wilsons(count, total, low, high):
    assert wilson(count, total) == pytest.approx((low, high), abs=1e-5)
