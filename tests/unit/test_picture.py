"""The picture of a witness: what is drawn is what the arrays say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from netproof.errors import InputError
from netproof.report.picture import Captions, draw_before_after, draw_panels, write_picture

Pixels = NDArray[np.uint8]


def image(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (8, 8, 3), (32, 32, 3), (1, 1), (3, 7), (400, 300)])
def test_panels_enlarge_pixels_to_squares(shape: tuple[int, ...]) -> None:
    before, after = image(*shape), image(*shape, seed=1)
    first, _, second = draw_panels(before, after)
    for panel, pixels in ((first, before), (second, after)):
        drawn = np.asarray(panel)
        scale = drawn.shape[0] // shape[0]
        assert drawn.shape == (shape[0] * scale, shape[1] * scale, 3)
        colours = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, -1)
        assert (drawn == np.kron(colours, np.ones((scale, scale, 1), np.uint8))).all()


def test_small_images_become_large_enough_to_see_and_large_ones_stay_whole() -> None:
    assert min(draw_panels(image(8, 8), image(8, 8))[0].size) >= 200
    assert draw_panels(image(500, 400), image(500, 400))[0].size == (400, 500)


def corner(panel: Image.Image, row: int, column: int, rows: int) -> tuple[int, int, int]:
    """The colour in a square's corner, which no number covers."""
    scale = panel.size[1] // rows
    red, green, blue = np.asarray(panel)[row * scale + 1, column * scale + 1]
    return int(red), int(green), int(blue)


def test_difference_of_grey_images_is_white_orange_or_blue() -> None:
    before = np.full((4, 4), 100, np.uint8)
    after = before.copy()
    after[0, 1], after[2, 3], after[3, 0] = 120, 80, 110
    difference = draw_panels(before, after)[1]
    assert corner(difference, 0, 0, 4) == (255, 255, 255)
    brighter, darker = corner(difference, 0, 1, 4), corner(difference, 2, 3, 4)
    assert brighter[0] > brighter[2]
    assert darker[2] > darker[0]
    half = corner(difference, 3, 0, 4)
    assert all(full < half_way < 255 for full, half_way in zip(brighter, half, strict=True)), "half the change is paler"


def test_full_range_changes_do_not_wrap_around() -> None:
    difference = draw_panels(np.array([[0, 255]], np.uint8), np.array([[255, 0]], np.uint8))[1]
    brighter, darker = corner(difference, 0, 0, 1), corner(difference, 0, 1, 1)
    assert brighter[0] > brighter[2]
    assert darker[2] > darker[0]


def test_difference_of_equal_images_is_blank() -> None:
    assert (np.asarray(draw_panels(image(5, 5), image(5, 5))[1]) == 255).all()
    assert (np.asarray(draw_panels(image(5, 5, 3), image(5, 5, 3))[1]) == 128).all()


def test_difference_of_colour_images_is_per_channel() -> None:
    before = np.full((2, 2, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0] = (110, 100, 90)
    assert corner(draw_panels(before, after)[1], 0, 0, 2) == (255, 128, 1)


def test_changes_are_numbered_where_there_is_room() -> None:
    def colours(size: int) -> int:
        after = np.zeros((size, size), np.uint8)
        after[0, 0] = 7
        return len(
            np.unique(np.asarray(draw_panels(np.zeros((size, size), np.uint8), after)[1]).reshape(-1, 3), axis=0)
        )

    assert colours(8) > 2, "the digits' own colours"
    assert colours(28) == 2, "changed and unchanged"


@pytest.mark.parametrize(
    "captions",
    [
        Captions(),
        Captions("", "", "", "", ""),
        Captions("a " * 40, "b", "c", "title", "one line\nanother"),
        Captions(title="a title that is wider than the three panels of a picture together " * 2),
        Captions(footer="a footer that is wider than the three panels of a picture together " * 3),
    ],
)
def test_page_holds_everything(captions: Captions) -> None:
    page = np.asarray(draw_before_after(image(8, 8), image(8, 8, seed=1), captions))
    for edge in (page[:8], page[-8:], page[:, :8], page[:, -8:]):
        assert (edge == 255).all(), "words or panels run into the margin"


def test_empty_captions_leave_no_gap() -> None:
    pixels = image(8, 8)
    with_title = draw_before_after(pixels, pixels, Captions("", "", "", "title", "footer"))
    without = draw_before_after(pixels, pixels, Captions("", "", ""))
    assert without.size[1] < with_title.size[1]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), "different shapes"),
        (np.zeros((2, 2)), np.zeros((2, 2, 3)), "different shapes"),
        (np.zeros(4), np.zeros(4), r"\[rows, columns\]"),
        (np.zeros((2, 2, 4)), np.zeros((2, 2, 4)), r"\[rows, columns\]"),
        (np.zeros((0, 2)), np.zeros((0, 2)), r"\[rows, columns\]"),
        (np.zeros((2, 2)), np.full((2, 2), 256), "outside 0..255"),
        (np.full((2, 2), -1), np.zeros((2, 2)), "outside 0..255"),
        (np.full((2, 2), np.nan), np.zeros((2, 2)), "outside 0..255"),
    ],
)
def test_what_is_no_pair_of_images_is_refused(before: NDArray[Any], after: NDArray[Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        draw_before_after(before, after)


def test_written_picture_is_a_png_of_the_same_pixels(tmp_path: Path) -> None:
    page = draw_before_after(image(8, 8), image(8, 8, seed=1))
    write_picture(page, tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as read:
        assert read.format == "PNG"
        assert (np.asarray(read) == np.asarray(page)).all()


def test_unwritable_picture_names_file_and_hint(tmp_path: Path) -> None:
    page = draw_before_after(image(8, 8), image(8, 8))
    for path in (tmp_path / "missing" / "page.png", tmp_path):
        with pytest.raises(InputError, match="cannot be written") as caught:
            write_picture(page, path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_full_disk_names_file_and_hint(tmp_path: Path) -> None:
    (tmp_path / "page.png").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"page\.png: cannot be written \(No space left on device\)"):
        write_picture(draw_before_after(image(8, 8), image(8, 8)), tmp_path / "page.png")
