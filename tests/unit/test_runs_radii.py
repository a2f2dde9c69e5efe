"""Rows of radii, what is done again, which images are asked for, and how radii are distributed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netproof.benchmarks.base import Instance
from netproof.benchmarks.image_radii import ImageRadii
from netproof.errors import FormatError, InputError
from netproof.report.radii import distribution, distribution_csv, render_distribution
from netproof.runs.plan import pending
from netproof.runs.radii.rows import RadiusRow, image_of, name_of
from netproof.runs.table import header_line, read_rows

EXACT = RadiusRow(3, 7, "exact", 4, 5, 0.25, 9, 0.0, "witnesses/image-3.json", ("a.npcert", "b.npcert"))
OPEN = RadiusRow(12, 0, "open", 0, 200, 60.5, 11, 60.0, reason="the time limit was reached")
WRONG = RadiusRow(0, 1, "misclassified", seconds=0.001, queries=1)
EVERY = RadiusRow(5, 2, "exact", 255, -1, 0.5, 8)
FAILED = RadiusRow.failed("image-9", "its label, 12, is none, of 10")


@pytest.mark.parametrize("row", [EXACT, OPEN, WRONG, EVERY, FAILED])
def test_a_row_is_read_as_it_was_written(row: RadiusRow) -> None:
    line = row.line()
    assert line.endswith("\n") and line.count("\n") == 1
    assert RadiusRow.parse(line[:-1]) == row


def test_columns_are_what_people_look_for() -> None:
    assert header_line(RadiusRow).startswith("image,label,verdict,proved,refuted,seconds,")
    assert EXACT.line() == "3,7,exact,4,5,0.250000,9,,witnesses/image-3.json,a.npcert b.npcert,\n"
    assert EVERY.line().startswith("5,2,exact,255,,")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("3,7,exact,4", "has 4 columns"),
        ("3,7,robust,4,5,1,9,,,,", "no verdict is called 'robust'"),
        (",7,exact,4,5,1,9,,,,", "names no image"),
        ("-3,7,exact,4,5,1,9,,,,", "its image is '-3'"),
        ("3,7,exact,x,5,1,9,,,,", "its proved is 'x'"),
        ("3,7,exact,٣,4,1,9,,,,", "its proved is '٣'"),
        ("3,7,exact,,5,1,9,,,,", "proved at radius '-1'"),
        ("3,7,misclassified,4,5,1,9,,,,", "misclassified, proved"),
        ("3,7,exact,4,6,1,9,,,,", "radii between 4 and 6"),
        ("3,7,open,6,6,1,9,,,,", "refuted at '6'"),
        ("3,7,exact,4,5,nan,9,,,,", "took 'nan' seconds"),
        ("3,7,open,4,9,1,9,inf,,,", "took 'inf' seconds"),
        ("3,7,exact,4,5,fast,9,,,,", "fast"),
    ],
)
def test_a_line_that_is_none_is_refused(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(header_line(RadiusRow) + EXACT.line() + line + "\n", encoding="utf-8")
    with pytest.raises(FormatError, match="line 3") as refused:
        read_rows(path, RadiusRow)
    assert problem in str(refused.value)


def test_rows_of_verdicts_are_no_radii(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("instance,verdict,seconds,method,evidence\n")
    with pytest.raises(FormatError, match="line 1"):
        read_rows(path, RadiusRow)


def test_names_and_images() -> None:
    assert image_of(name_of(17)) == 17
    for name in ("image-", "image-01", "mnist-1", "image--1", "image-1 "):
        with pytest.raises(ValueError, match="no instance"):
            image_of(name)


def test_what_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "witnesses").mkdir()
    (tmp_path / EXACT.witness).write_text("{}")
    rows = {
        row.name: row for row in (EXACT, replace(EXACT, image=4, witness="witnesses/image-4.json"), OPEN, WRONG, FAILED)
    }
    instances = [Instance(name, "network", "", 0) for name in (*rows, "image-99")]

    def todo(limit: float) -> list[str]:
        return [instance.name for instance in pending(instances, rows, limit, tmp_path)]

    assert todo(60.0) == ["image-4", "image-9", "image-99"]
    assert todo(60.5) == ["image-4", "image-12", "image-9", "image-99"]


SET = ImageRadii(Path("n"), Path("i.npy"), Path("l"), "bits 6")


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [(None, list(range(12))), ("3", [3]), ("0-2,11", [0, 1, 2, 11]), ("5,2-3,2", [2, 3, 5]), (" 4 , 1 ", [1, 4])],
)
def test_images_by_number(pattern: str | None, chosen: list[int]) -> None:
    instances = [Instance(name_of(number), "network", "", number) for number in range(12)]
    assert [instance.sample for instance in SET.select(instances, pattern)] == chosen


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "names no images"),
        ("3-1", "names no images"),
        ("1,,2", "names no images"),
        ("-1", "names no images"),
        ("x", "names no images"),
        ("12", "there is no image 12"),
        ("0-999999999", "there is no image 999999999"),
        ("9999999999", "names no images"),
    ],
)
def test_images_that_are_not_there(pattern: str, problem: str) -> None:
    instances = [Instance(name_of(number), "network", "", number) for number in range(12)]
    with pytest.raises(InputError, match=problem):
        SET.select(instances, pattern)


def test_the_distribution_counts_what_is_known_at_each_radius() -> None:
    rows = [
        EXACT,
        replace(EXACT, image=4, proved=0, refuted=1),
        replace(OPEN, proved=2, refuted=6),
        replace(OPEN, image=13, proved=1, refuted=-1),
        WRONG,
        FAILED,
    ]
    found = distribution(rows)
    levels = [(level.radius, level.exact, level.robust, level.vulnerable, level.open) for level in found.levels]
    assert levels == [
        (0, 1, 4, 0, 0),
        (1, 0, 3, 1, 0),
        (2, 0, 2, 1, 1),
        (3, 0, 1, 1, 2),
        (4, 1, 1, 1, 2),
        (5, 0, 0, 2, 2),
        (6, 0, 0, 3, 1),
    ]
    assert found.counts == {"exact": 2, "open": 2, "misclassified": 1, "error": 1}
    assert found.open == (12, 13) and found.errors == {9: FAILED.reason} and found.median == 2
    assert found.seconds[2:] == (60.5, 12)
    assert distribution_csv(found).splitlines()[:2] == ["radius,exact,robust,vulnerable,open", "0,1,4,0,0"]


def test_the_histogram_in_words() -> None:
    text = render_distribution(
        distribution([EXACT, replace(EXACT, image=4), replace(EXACT, image=6, proved=1, refuted=2), WRONG]), 9
    )
    lines = text.splitlines()
    assert lines[5].split()[:4] == ["4", "2", "2", "66.7"] and lines[5].endswith("#" * 50)
    assert lines[2].endswith(" " + "#" * 25)
    assert "9 images: 3 exact, 1 misclassified, 5 not run" in text and "median of the exact radii: 4" in text


def test_robust_at_every_radius_is_a_line_of_its_own() -> None:
    found = distribution([EVERY, EXACT])
    assert found.unlimited == 1 and found.levels[-1].radius == 255
    # Nothing is said to be refuted just because the range of inputs ends.
    assert all(level.robust >= 1 and level.open == 0 for level in found.levels)
    text = render_distribution(found, 2)
    assert " every       1" in text and len(text.splitlines()) < 50


def test_nothing_is_a_distribution_too() -> None:
    found = distribution([])
    assert render_distribution(found, 0) == "0 images: 0 exact\n"
    assert distribution_csv(found) == "radius,exact,robust,vulnerable,open\n"
    assert "1 images: 0 exact, 1 misclassified" in render_distribution(distribution([WRONG]), 1)
