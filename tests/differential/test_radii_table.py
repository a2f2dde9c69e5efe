"""The published tables of exact radii (docs/tables): whole, and what a search says today."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.perceptron import BENCHMARKS
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.images.samples import Samples
from netproof.formats.load import load
from netproof.runs.radii.rows import EXACT, MISCLASSIFIED, OPEN, RadiusRow
from netproof.search.radius import largest_radius
from netproof.settings import Settings

TABLES = Path(__file__).parents[2] / "docs" / "tables"
#: of each benchmark the table, and how many exact radii it has at least
NAMES = {"qnn-mnist": ("radii-mnist.csv", 7000), "qnn-fashion-mnist": ("radii-fashion-mnist.csv", 250)}


@pytest.fixture(scope="module", params=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def rows(name: str) -> list[RadiusRow]:
    header, *lines = (TABLES / NAMES[name][0]).read_text().splitlines()
    assert header == ",".join(RadiusRow.HEADER)
    return [RadiusRow.parse(line) for line in lines]


def test_every_row_is_one_answer(rows: list[RadiusRow]) -> None:
    assert len({row.image for row in rows}) == len(rows)
    assert {row.verdict for row in rows} == {EXACT, OPEN, MISCLASSIFIED}
    for row in rows:
        if row.verdict == EXACT:
            assert row.refuted == row.proved + 1
        elif row.verdict == OPEN:
            assert row.proved + 1 < row.refuted and row.limit


def test_a_search_of_today_says_the_same(name: str, rows: list[RadiusRow], published_data: Path) -> None:
    """Those that took least; a search that is cut short leaves an interval, which has to hold the radius."""
    benchmark = next(one for one in BENCHMARKS if one.name == name)
    files = benchmark.files(DataFolders((published_data,)))
    network = load(files["network"], widths=FixedPoint(bits=benchmark.bits))
    samples = Samples.read(files["images"], files["labels"])
    exact = sorted((row for row in rows if row.verdict == EXACT), key=lambda row: (row.seconds, row.image))
    assert len(exact) >= NAMES[name][1]
    for row in exact[:: len(exact) // 12][:10]:
        image, label = torch.tensor(samples.images[row.image]), int(samples.labels[row.image])
        found = largest_radius(network, image, label, Settings(timeout=2.0))
        assert label == row.label
        assert found.radius <= row.proved
        assert found.witness_radius is None or found.witness_radius >= row.refuted
