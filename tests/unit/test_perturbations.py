"""What may happen to an input: every set has the inputs that it says, as many as it says, and refuses what makes no sense."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.perturbations.axes import channels_first
from netproof.perturbations.base import Image
from netproof.perturbations.blocks import Cover, Patch
from netproof.perturbations.box import Inputs
from netproof.perturbations.documents import KINDS, set_document, set_of
from netproof.perturbations.levels import Brightness, Contrast
from netproof.perturbations.shift import Shift
from netproof.perturbations.single import Pixels

LOW, HIGH = -4, 3


def image(shape, seed=0):
    size = int(np.prod(shape))
    values = np.random.default_rng(seed).integers(LOW, HIGH + 1, size)
    return Image(values, np.full(size, LOW), np.full(size, HIGH), shape)


def rows(perturbation, of, size=7):
    parts = list(perturbation.inputs(of, size))
    assert all(0 < len(part) <= size for part in parts)
    return np.concatenate(parts)


def everything(of):
    return np.array(list(product(range(LOW, HIGH + 1), repeat=len(of.values))))


#: by brute force: which of all inputs there are belong to a set
def _moved(x, of):
    return np.abs(x - of.values)


MEANT = {
    Pixels(1): lambda x, of: (_moved(x, of) > 0).sum(1) <= 1,
    Pixels(2, 1): lambda x, of: ((_moved(x, of) > 0).sum(1) <= 2) & (_moved(x, of).max(1) <= 1),
    Pixels(3, 2): lambda x, of: ((_moved(x, of) > 0).sum(1) <= 3) & (_moved(x, of).max(1) <= 2),
    Inputs((2, 0), 2): lambda x, of: (_moved(x, of)[:, [1, 3]].max(1) == 0) & (_moved(x, of).max(1) <= 2),
    Inputs((1,)): lambda x, of: _moved(x, of)[:, [0, 2, 3]].max(1) == 0,
    Patch(1, 2, 1, (1, 0)): lambda x, of: (_moved(x, of)[:, :2].max(1) == 0) & (_moved(x, of).max(1) <= 1),
    Patch(1, 2): lambda x, of: (_moved(x, of)[:, :2].max(1) == 0) | (_moved(x, of)[:, 2:].max(1) == 0),
    Cover(1, 2): lambda x, of: ((_moved(x, of)[:, :2].max(1) == 0) & (x[:, 2] == x[:, 3]))
    | ((_moved(x, of)[:, 2:].max(1) == 0) & (x[:, 0] == x[:, 1])),
}  # fmt: skip


@pytest.mark.parametrize("perturbation", list(MEANT), ids=str)
def test_sets_have_exactly_the_inputs_that_are_meant(perturbation):
    for seed in range(3):
        of = image((2, 2), seed)
        perturbation.check(of)
        found = rows(perturbation, of)
        assert len(found) == perturbation.count(of)
        every = everything(of)
        meant = every[MEANT[perturbation](every, of)]
        assert {tuple(x) for x in found} == {tuple(x) for x in meant}
        inside = [perturbation.contains(of, x) for x in every[::7]]
        assert inside == MEANT[perturbation](every[::7], of).tolist()


def test_brightness_and_contrast_by_their_formulas():
    of = image((5,))
    assert {tuple(x) for x in rows(Brightness(2), of)} == {
        tuple(np.clip(of.values + d, LOW, HIGH)) for d in (-2, -1, 0, 1, 2)
    }
    found = rows(Contrast(50), of)
    assert len(found) == Contrast(50).count(of) == 101
    width = HIGH - LOW
    for percent, x in zip(range(50, 151), found, strict=True):
        exact = [width / 2 + (u - width / 2) * percent / 100 for u in (of.values - LOW).tolist()]
        assert x.tolist() == [int(min(width, max(0, np.floor(e + 0.5 + 1e-9)))) + LOW for e in exact]
    assert found[50].tolist() == of.values.tolist()
    assert Contrast(300).count(of) == 401 and Brightness(0).count(of) == 1


def test_shifts_move_rows_and_columns_and_repeat_the_edge():
    of = image((3, 4, 2))
    values = of.values.reshape(3, 4, 2)
    found = rows(Shift(1, 2), of)
    assert len(found) == Shift(1, 2).count(of) == 15
    at = 0
    for down in (-1, 0, 1):
        for right in (-2, -1, 0, 1, 2):
            for i, j in product(range(3), range(4)):
                from_ = values[min(max(i - down, 0), 2), min(max(j - right, 0), 3)]
                assert found[at].reshape(3, 4, 2)[i, j].tolist() == from_.tolist()
            at += 1


def test_a_list_of_numbers_is_one_row():
    of = image((5,))
    a, b, c, d, e = of.values.tolist()
    assert rows(Shift(0, 1), of).tolist() == [[b, c, d, e, e], [a, b, c, d, e], [a, a, b, c, d]]
    assert Cover(1, 2).count(of) == 4 * 8 and len(Patch(1, 1, 1).boxes(of)) == 5


def test_channels_can_be_the_first_axis():
    last = image((3, 4, 2))
    to_first = np.arange(24).reshape(3, 4, 2).transpose(2, 0, 1).reshape(-1)
    first = Image(last.values[to_first], last.low, last.high, (2, 3, 4), channels_first=True)
    for same in (Shift(1, 2), Cover(2, 2), Cover(1, 3, (2, 1)), Patch(1, 1, 1, (2, 3))):
        assert rows(same, first).tolist() == rows(same, last)[:, to_first].tolist()
    unknown = Image(last.values, last.low, last.high, (3, 4, 2), channels_first=None)
    for places in (Shift(1, 0), Cover(1, 1), Patch(1, 1, 1)):
        with pytest.raises(QueryError, match="which axis has channels"):
            places.check(unknown)
    Brightness(1).check(unknown)


def first_layer(shape, *, transposed=False, convolved=True):
    """A graph of an input of three axes, by itself or transposed, and what reads it."""
    builder = GraphBuilder(Arithmetic.INTEGER, (1, *shape))
    node, size = builder.input, int(np.prod(shape))
    if transposed:
        order = torch.arange(size).reshape(shape).permute(2, 0, 1).reshape(-1)
        node = builder.add("transposed", Select(order, size, (size,)), node)
    if convolved:
        of = (shape[2], *shape[:2]) if transposed else shape
        weight = torch.ones(1, of[0], 1, 1, dtype=torch.float64)
        builder.add("convolution", Convolution(weight, None, of, (1, 1), ((0, 0), (0, 0)), (1, 1)), node)
    else:
        builder.add("dense", Linear(torch.ones(2, size).double(), torch.zeros(2).double()), node)
    return builder.build()


@pytest.mark.parametrize(
    ("shape", "how", "first"),
    [
        ((3, 5, 6), {}, True), ((4, 5, 6), {}, True), ((4, 5, 3), {}, True), ((3, 3, 3), {}, True), ((1, 5, 3), {}, True),
        ((5, 6, 3), {"transposed": True}, False), ((3, 5, 6), {"transposed": True}, False),
        ((3, 3, 3), {"transposed": True}, False),
        ((3, 5, 6), {"convolved": False}, True), ((5, 6, 1), {"convolved": False}, False),
        ((4, 5, 6), {"convolved": False}, None), ((3, 5, 3), {"convolved": False}, None),
        ((1, 5, 3), {"convolved": False}, None), ((28, 28), {"convolved": False}, False),
    ],
)  # fmt: skip
def test_the_axis_of_channels_is_what_a_network_makes_of_it(shape, how, first):
    assert channels_first(first_layer(shape, **how), shape) is first


def test_blocks_cover_all_channels_and_all_places():
    of = image((3, 3, 2))
    assert len(Patch(2, 2, 1).boxes(of)) == 4 and len(Patch(3, 3).boxes(of)) == 1
    low, high = Patch(1, 1, None, (2, 1)).boxes(of)[0]
    moved = np.flatnonzero(low != high)
    assert moved.tolist() == [14, 15] and low[14] == LOW and high[14] == HIGH
    assert Cover(2, 2).count(of) == 4 * 8


def test_what_makes_no_sense_is_refused():
    of = image((2, 3))
    for wrong in (
        Brightness(-1), Brightness(True), Contrast(-5), Shift(2, 0), Shift(0, 3), Shift(-1, 0), Pixels(0), Pixels(7),
        Pixels(1, -1), Patch(3, 1), Patch(0, 1), Patch(1, 1, -1), Patch(1, 1, None, (2, 0)), Patch(2, 2, None, (0, 2)),
        Cover(1, 4), Inputs((0, 0)), Inputs(()), Inputs((6,)), Inputs((-1,)), Inputs((1,), -2), Brightness(1.5),
    ):  # fmt: skip
        with pytest.raises(QueryError):
            wrong.check(of)
    wide = image((96, 96, 3))
    assert Patch(2, 2, 0).count(wide) == 95 * 95
    with pytest.raises(QueryError, match="name a place with --at"):
        Patch(2, 2).boxes(wide)
    with pytest.raises(QueryError, match="no rows and columns"):
        Shift(1, 0).check(image((1, 2, 2, 1)))
    # Nothing is shown of a set that has no inputs.
    apart = Image(np.array([0, 8]), np.array([0, 8]), np.array([7, 15]), (1, 2))
    with pytest.raises(QueryError, match="no number is one"):
        Cover(1, 1).check(apart)


@pytest.mark.parametrize(
    "perturbation",
    [Brightness(3), Contrast(7), Shift(1, 2), Pixels(2), Pixels(1, 4), Patch(1, 2, 3, (0, 1)), Patch(2, 2), Cover(1, 1), Inputs((4, 2), 1)],
    ids=str,
)  # fmt: skip
def test_documents_say_all_of_a_set(perturbation):
    document = set_document(perturbation)
    assert set_of(document) == perturbation and document["kind"] in KINDS
    for name in document:
        with pytest.raises(QueryError):
            set_of({key: value for key, value in document.items() if key != name})
        if name not in ("by", "at"):
            with pytest.raises(QueryError):
                set_of(document | {name: None})
        with pytest.raises(QueryError):
            set_of(document | {name: "3"})
        with pytest.raises(QueryError):
            set_of(document | {name: 2.5})
        with pytest.raises(QueryError):
            set_of(document | {name: {}})
    with pytest.raises(QueryError):
        set_of(document | {"more": 1})
    if "at" in document:
        with pytest.raises(QueryError):
            set_of(document | {"at": [None, None]})


def test_counts_of_few_values_are_right_however_many():
    of = image((40,))
    assert Pixels(2).count(of) == 1 + 40 * 7 + 40 * 39 // 2 * 49
    assert Pixels(30).count(of) > 10**30  # and nothing is made of it
