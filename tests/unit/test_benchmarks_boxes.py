"""Boxes of images and the way back; properties as files."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.errors import InputError
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.formats.vnnlib.write import robustness_vnnlib
from netproof.making.boxes import CIFAR100, TINY_IMAGENET, Normalization, image_box, normalized_image, recover_image

#: every level of every channel
LEVELS = np.tile(np.arange(256, dtype=np.uint8).reshape(16, 16), (3, 1, 1))


@pytest.mark.parametrize("normalization", [CIFAR100, TINY_IMAGENET, Normalization((0.0,) * 3, (1.0,) * 3)])
@pytest.mark.parametrize("radius", [0.0, 1 / 255, 2 / 255, 0.1, 0.4])
def test_images_are_recovered_from_their_boxes(normalization, radius):
    lower, upper = image_box(LEVELS, radius, normalization)
    assert lower.dtype == upper.dtype == np.float32 and lower.shape == LEVELS.shape
    assert np.array_equal(recover_image(lower, upper, radius, normalization), LEVELS)
    centre = normalized_image(LEVELS, normalization)
    assert (lower <= centre).all() and (centre <= upper).all()


def test_boxes_are_those_of_exact_arithmetic_to_float32_accuracy():
    radius = Fraction(3, 255)
    lower, upper = image_box(LEVELS, float(radius), CIFAR100)
    for channel in range(3):
        mean, std = (Fraction(str(part[channel])) for part in (CIFAR100.mean, CIFAR100.std))
        for level in range(256):
            low = (max(Fraction(level, 255) - radius, Fraction(0)) - mean) / std
            high = (min(Fraction(level, 255) + radius, Fraction(1)) - mean) / std
            row, column = divmod(level, 16)
            assert abs(Fraction(float(lower[channel, row, column])) - low) < 1e-6
            assert abs(Fraction(float(upper[channel, row, column])) - high) < 1e-6


def test_a_published_bound():
    # The first input of the first published property: grey level 74 of the red channel.
    lower, upper = image_box(np.full((3, 1, 1), 74, np.uint8), 1 / 255, CIFAR100)
    assert (repr(float(lower[0, 0, 0])), repr(float(upper[0, 0, 0]))) == ("-0.8261333703994751", "-0.7967913150787354")


def test_boxes_of_something_else_are_refused():
    lower, upper = image_box(LEVELS, 1 / 255, CIFAR100)
    other = lower.copy()
    other[2, 5, 6] = np.nextafter(other[2, 5, 6], np.float32(9))
    for wrong in (other, np.full_like(lower, np.nan)):
        with pytest.raises(InputError, match=r"at channel \d, row \d+, column \d+ is that of no 8-bit pixel"):
            recover_image(wrong, upper, 1 / 255, CIFAR100)
    for radius, normalization in ((2 / 255, CIFAR100), (1 / 255, TINY_IMAGENET)):
        with pytest.raises(InputError, match="no 8-bit pixel"):
            recover_image(lower, upper, radius, normalization)
    with pytest.raises(InputError, match="several grey levels one box"):
        recover_image(lower, upper, 1.0, CIFAR100)
    with pytest.raises(InputError, match=r"give \[C, H, W\]"):
        recover_image(lower[:2], upper[:2], 1 / 255, CIFAR100)


def test_bad_arguments_are_refused():
    for mean, std in (((), ()), ((0.0,), (1.0, 1.0)), ((0.0,), (0.0,)), ((float("nan"),), (1.0,))):
        with pytest.raises(InputError, match="the normalization"):
            Normalization(mean, std)
    for radius in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="the radius"):
            image_box(LEVELS, radius, CIFAR100)
    for image in (LEVELS[:1], LEVELS.astype(np.float32), LEVELS[0]):
        with pytest.raises(InputError, match="give 8-bit images"):
            image_box(image, 0.1, CIFAR100)


def test_a_property_reads_back_as_what_it_was(tmp_path):
    random = np.random.default_rng(0)
    lower = random.normal(size=(2, 3)).astype(np.float32) * np.float32(10.0) ** random.integers(-8, 8, (2, 3))
    lower = lower.astype(np.float32)
    upper = np.nextafter(lower, np.float32(np.inf))
    upper[0, 0], lower[0, 0] = 0.0, -1e-30
    text = robustness_vnnlib(lower, upper, 2, 4, title="some")
    assert text.startswith("; some property with label: 2.\n\n(declare-const X_0 Real)\n")
    (tmp_path / "property.vnnlib").write_text(text)
    found = read_vnnlib(tmp_path / "property.vnnlib")
    assert (found.inputs, found.outputs) == (6, 4)
    (part,) = found.parts
    for ends, exact in ((part.box.lower, lower), (part.box.upper, upper)):
        assert [float(end) for end in ends] == exact.reshape(-1).astype(float).tolist()
    middle = [(low + high) / 2 for low, high in zip(part.box.lower, part.box.upper, strict=True)]
    for best in range(4):
        outputs = [Fraction(int(j == best)) for j in range(4)]
        assert part.holds(middle, outputs) == (best != 2)
    assert part.holds(middle, [Fraction(1)] * 4)  # the label's output is reached


def test_what_is_no_property_is_a_mistake_of_the_caller():
    ends = np.zeros(3, np.float32)
    for lower, upper, label, title in (
        (ends.astype(float), ends, 0, "t"), (ends, ends[:2], 0, "t"), (ends, ends, 5, "t"), (ends, ends, 0, "a\nb"),
        (ends * np.float32(np.nan), ends, 0, "t"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"a box has|finite"):
            robustness_vnnlib(lower, upper, label, 5, title=title)
