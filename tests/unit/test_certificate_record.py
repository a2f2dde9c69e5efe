"""Records of searches that do not fit together: what is said of them, and what is none of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from netproof.certificate.real.record import check_record
from netproof.errors import NoEvidenceError
from netproof.result import DividedEnd, Ends, Refutation
from network_shapes import trace_of


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.int64)


END = Ends(2, numbers(0, 1), np.array([True, False]), numbers(0, 4), np.ones((2, 2), np.float32), np.ones(2))
PARTED = DividedEnd(
    2, 1, True, 0.5, numbers(1, 4), np.zeros((3, 2), np.int8), np.ones((3, 2), np.float32), np.ones((3, 2), np.float32)
)
GOOD = trace_of(
    sizes=(2, 3, 2),
    roots={0: 0, 1: 0},
    splits={0: (-1, 2, 0.5, 1, 2), 1: (0, 1, 0.0, 3, 4), 2: (2, 1, -1.5, 6, 5)},
    refuted={
        3: Refutation("crown", np.ones(2)),
        4: Refutation("signs", np.ones(2), np.array([0.5, math.nan]), np.array([0.0, 2.0])),
        5: Refutation("empty"),
    },
    open={0: numbers(0, 5, 6), 4: numbers(1, 2, 3), 5: numbers()},
    ends=(END,),
    divided=(PARTED,),
    box=tuple((np.zeros(n), np.ones(n)) for n in (2, 3, 2)),
)


def fault(**changed) -> str:
    """What is said of the record with something changed in it."""
    with pytest.raises(NoEvidenceError) as found:
        check_record(replace(GOOD, **changed), 3, "a search")
    assert found.value.source == "a search"
    return found.value.problem.removeprefix("the search's record ")


def test_what_fits_together_is_let_pass():
    check_record(GOOD, 3, "a search")
    check_record(trace_of(), 0, "a search")
    # Curves have slopes that are none, and an end that was bounded by nothing is no fault.
    endless = replace(PARTED, bound=math.inf, slope=np.full((3, 2), np.nan, np.float32))
    check_record(replace(GOOD, divided=(endless,), box=()), 3, "a search")
    # Ends of what arrives at the first activation, and nodes of which one of the two is recorded.
    first = replace(END, k=0)
    one_of_two = {3: Refutation("signs", None, np.ones(2)), 4: Refutation("signs", None, None, np.ones(2))}
    check_record(replace(GOOD, ends=(first,), divided=(replace(PARTED, k=0),), refuted=one_of_two), 3, "a search")


NOT_THERE = "names features that are not there"


@pytest.mark.parametrize("place", [(-1, 3), (-1, -1), (-2, 0), (0, 2), (0, -1), (1, 3), (2, 2), (3, 0)])
def test_splits_of_what_is_not_there(place):
    assert fault(splits={0: (*place, 0.0, 1, 2)}) == NOT_THERE


@pytest.mark.parametrize("opened", [[7], [-1, 0], [0, 0], [3, 1], [[0]], [[0, 1]], 3])
def test_open_features_that_are_not_there_or_out_of_order(opened):
    assert fault(open={0: numbers(0), 1: np.array(opened)}) == NOT_THERE


@pytest.mark.parametrize("point", [math.nan, math.inf, -math.inf])
def test_splits_at_no_number(point):
    assert fault(splits={0: (0, 1, point, 1, 2)}) == "splits at what is no number"


@pytest.mark.parametrize("halves", [(1, 2), (2, 1), (2, 0), (0, 2)])
def test_nodes_that_come_below_themselves(halves):
    assert fault(splits={0: (0, 1, 0.0, 1, 2), 1: (0, 0, 0.0, *halves)}) == "has a node that stands below itself"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Refutation("signs", np.ones(1), np.ones(2), np.ones(3)), "slopes and multipliers of other features"),
        (Refutation("crown", np.array([1.0, math.nan])), "multipliers that are no numbers"),
        (Refutation("crown", np.array([1.0, math.inf])), "multipliers that are no numbers"),
        (Refutation("signs", None, np.ones(1), np.array([math.nan])), "multipliers that are no numbers"),
    ],
)
def test_what_refutes_is_numbers_of_the_same_features(given, said):
    assert fault(refuted={3: Refutation("empty"), 4: given}) == f"has {said}"


@pytest.mark.parametrize("sizes", [(2, 3), (2, 3, 3), (2, 3, 2, 1), (3, 2, 2)])
@pytest.mark.parametrize("side", [0, 1])
def test_ranges_of_the_box_are_of_its_features(sizes, side):
    box = [list(ends) for ends in GOOD.box]
    for k, size in enumerate(sizes):
        if k < len(box):
            box[k][side] = np.zeros(size)
    box = box[: len(sizes)] + [[np.zeros(1)] * 2] * (len(sizes) - len(box))
    assert fault(box=tuple(map(tuple, box))) == "has ranges of other features"


OTHER_ENDS = "has ends of ranges of features that are not there, or about others than it names"


@pytest.mark.parametrize(
    "changed",
    [
        {"k": 3},
        {"k": -1},
        {"k": 0, "feature": numbers(0, 2)},
        {"feature": numbers(-1, 0)},
        {"feature": numbers(0)},
        {"feature": np.zeros((2, 1), np.int64)},
        {
            "feature": np.zeros((2, 1), np.int64),
            "upper": np.ones((2, 1), np.bool_),
            "bound": np.ones((2, 1)),
            "slope": np.ones((2, 1, 2), np.float32),
        },
        {"open": numbers(4, 7)},
        {"open": numbers(4, 0)},
        {"open": numbers(0)},
        {"upper": np.array([True])},
        {"bound": np.ones(3)},
        {"slope": np.ones((1, 2), np.float32)},
        {"slope": np.array([[1.0, math.nan], [1.0, 1.0]], np.float32)},
    ],
)
def test_ends_by_slopes(changed):
    assert fault(ends=(END, replace(END, **changed))) == OTHER_ENDS


@pytest.mark.parametrize(
    "changed",
    [
        {"k": 3},
        {"k": -1, "feature": 0},
        {"feature": 2},
        {"feature": -1},
        {"unstable": numbers(1, 7)},
        {"unstable": numbers(-1, 4)},
        {"unstable": numbers(4, 1)},
        {"unstable": numbers(1)},
        {"side": np.zeros((2, 2), np.int8)},
        {"slope": np.ones((2, 2), np.float32)},
        {"added": np.ones((3, 1), np.float32)},
        {"added": np.full((3, 2), np.nan, np.float32)},
    ],
)
def test_ends_by_parts(changed):
    assert fault(divided=(PARTED, replace(PARTED, **changed))) == OTHER_ENDS
