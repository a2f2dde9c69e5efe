"""What rows should say, from what a search left of a node: weights, slopes and what is added, by hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.real.grown.rows import Wish
from netproof.certificate.real.grown.seeds import Claim, Places, Seed
from netproof.certificate.real.grown.wishes import Wishes, begun
from netproof.result import PairsBeside, Refutation
from network_shapes import NONE, trace_of

ONE = Places(np.array([0]), np.array([1.0]))
TWO = Places(np.array([0, 1]), np.array([1.0, 2.0]))
END = Places(np.array([0]), np.array([1.0]), is_end=True)
#: of eight features: the third is a curve's, the last one closed
LOW = np.array([-1.0, -1.0, -1.0, -3.0, -1.0, -2.0, -1.0, 1.0])
HIGH = np.array([1.0, 2.0, 2.0, 1.0, 3.0, 1.0, 2.0, 2.0])
STRAIGHT = np.array([True, True, False, True, True, True, True, True])


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def wishes(*places: Places, **refuted: Refutation) -> Wishes:
    trace = trace_of(refuted={int(name[1:]): one for name, one in refuted.items()})
    return Wishes(places, trace, STRAIGHT)


def node(*features: int, **sides: int) -> Seed:
    return Seed([], np.array(features, np.int64), {int(name[1:]): which for name, which in sides.items()})


def of(made: Wishes, claim: Claim, seed: Seed | None = None) -> list[Wish]:
    return made.of(seed or node(), claim, LOW, HIGH)


def weights(found: list[Wish]) -> list[list[float]]:
    assert all(one.feature is None for one in found)
    return [one.weight.tolist() for one in found]


def told(one: Wish) -> tuple[list[float], list[int], list[float], list[float]]:
    assert one.feature is not None and one.slope is not None and one.added is not None and not one.flat
    return one.weight.tolist(), one.feature.tolist(), one.slope.tolist(), one.added.tolist()


# -- weights


def test_what_comes_next_already_is_all():
    known = Wish(floats(1.0))
    assert of(wishes(ONE, n3=Refutation("crown", floats(1.0))), Claim(0, 3, wish=known)) == [known]


@pytest.mark.parametrize(
    ("count", "found"),
    [
        (1, [[1.0]]),
        (2, [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        (9, [*np.eye(9)[:8].tolist(), [1.0] * 9]),
    ],
)
def test_without_a_record_every_constraint_is_tried_and_all_together(count: int, found: list[list[float]]):
    places = Places(np.arange(count), np.ones(count))
    for trace in (None, 5):
        told = of(wishes(places), Claim(0, trace))
        assert weights(told) == found and not any(one.flat for one in told)


def test_recorded_weights_are_those_of_constraints_with_a_largest_of_1():
    """The second constraint was multiplied by 2 in the search: its weight is 2 * 4."""
    made = wishes(TWO, n1=Refutation("crown", floats(2.0, 4.0)), n2=Refutation("crown", floats(0.0, 0.0)))
    assert weights(of(made, Claim(0, 1))) == [[0.25, 1.0]]
    assert weights(of(made, Claim(0, 2))) == [[0.0, 0.0]]


def test_weights_below_1_grow_to_it():
    assert weights(of(wishes(TWO, n1=Refutation("crown", floats(0.5, 0.0))), Claim(0, 1))) == [[1.0, 0.0]]


def test_a_refutation_without_weights_leaves_them_open():
    found = of(wishes(TWO, n1=Refutation("crown")), Claim(0, 1))
    assert weights(found) == [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def test_beyond_the_record_other_weights_are_tried_too():
    last = Refutation("crown", floats(0.5, 0.0))
    # What is recorded of a node of its own comes before what is of the node above.
    made = wishes(TWO, n1=Refutation("crown", floats(1.0, 0.25)))
    assert weights(of(made, Claim(0, 1, last))) == [[1.0, 0.5]]
    assert weights(of(made, Claim(0, 7, last))) == [[1.0, 0.0]]
    assert weights(of(made, Claim(0, None, last))) == [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    mixed = Refutation("crown", floats(1.0, 0.25))
    assert weights(of(made, Claim(0, None, mixed))) == [[1.0, 0.5], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def test_ends_have_nothing_to_be_weighed():
    assert weights(of(wishes(END, n1=Refutation("crown", floats(3.0))), Claim(0, 1))) == [[0.0]]
    assert weights(of(wishes(END), Claim(0, None))) == [[0.0]]


def test_intervals_are_tried_without_multipliers_first():
    made = wishes(TWO, n1=Refutation("intervals", floats(1.0, 0.5)))
    found = of(made, Claim(0, 1))
    assert weights(found) == [[1.0, 1.0]] * 2 and [one.flat for one in found] == [True, False]


def test_equal_wishes_are_the_same_and_others_are_not():
    one, other = Refutation("crown", floats(1.0, 0.0)), Refutation("crown", floats(1.0, 0.5))
    made = wishes(TWO, TWO, n1=one, n2=one, n3=other)
    first = of(made, Claim(0, 1))[0]
    assert of(made, Claim(0, 2))[0] is first
    different = (Claim(1, 1), Claim(0, 3), Claim(0, None, one), Claim(0, 9))
    assert not any(of(made, claim)[0] is first for claim in different)


# -- slopes and what is added


def test_slopes_of_open_relus_that_are_not_the_rule_s_in_ascending_order():
    """By the rule the slope is 1 where the range reaches farther above 0 than below, as of features 1, 4 and 6, and 0 elsewhere."""
    slope = floats(0.5, 1.0, 0.5, 0.25, np.nan, -2.0, 3.0, 0.5, 0.75)
    made = wishes(ONE, n1=Refutation("signs", floats(2.0), slope, np.zeros(9)))
    seed = node(6, 1, 2, 3, 4, 5, 4, 7, -2)
    plain, mine = of(made, Claim(0, 1), seed)
    # 1: the rule's; 2: a curve's; 4: the rule's, as NaN and cut off at 1; 5: cut off at 0, the rule's; 7: closed; -2: none of the network.
    assert weights([plain]) == [[1.0]]
    assert told(mine) == ([1.0], [3, 6], [0.25, 0.5], [0.0, 0.0])


def test_what_is_added_is_of_the_side_and_in_parts_of_the_largest_weight():
    """The largest weight is 2 * 2; a feature that was not split gains nothing, and less than nothing is added to none."""
    made = wishes(TWO, n1=Refutation("signs", floats(1.0, 2.0), np.full(4, np.nan), floats(8.0, 2.0, 5.0, -6.0)))
    (mine,) = of(made, Claim(0, 1), node(4, 0, 3, 5, f4=1, f0=-1, f5=1))
    # A tie goes to 0.
    assert told(mine) == ([0.25, 1.0], [0, 4], [0.0, 1.0], [-0.5, 2.0])


def test_what_is_added_at_closed_features_counts_too():
    made = wishes(ONE, n1=Refutation("signs", floats(1.0), floats(0.5, 0.5), floats(0.0, 3.0)))
    (mine,) = of(made, Claim(0, 1), node(3, 7, f7=-1))
    assert told(mine) == ([1.0], [3, 7], [0.5, 0.5], [0.0, -3.0])


@pytest.mark.parametrize("weight", [None, floats(0.0)])
def test_without_weights_the_largest_of_what_is_added_is_1(weight: np.ndarray | None):
    made = wishes(ONE, n1=Refutation("signs", weight, np.full(3, np.nan), floats(4.0, 2.0, 100.0)))
    mine = of(made, Claim(0, 1), node(3, 4, 5, f3=-1, f4=1))[0]
    assert told(mine)[1:] == ([3, 4], [0.0, 1.0], [-1.0, 0.5])


def test_without_weights_what_is_added_is_never_so_little_that_it_counts_for_less():
    made = wishes(ONE, n1=Refutation("signs", None, np.full(2, np.nan), floats(0.5, 0.25)))
    assert told(of(made, Claim(0, 1), node(3, 4, f3=-1, f4=1))[0])[3] == [-1.0, 0.5]


def test_slopes_of_relus_whose_range_ends_at_0_say_nothing():
    low, high = LOW.copy(), HIGH.copy()
    low[1], high[3], low[4] = 0.0, 0.0, 0.5
    made = wishes(ONE, n1=Refutation("signs", floats(1.0), np.full(4, 0.5), np.zeros(4)))
    _, mine = made.of(node(1, 3, 4, 6), Claim(0, 1), low, high)
    assert told(mine)[1] == [6]


def test_without_weights_and_sides_nothing_is_added():
    made = wishes(ONE, n1=Refutation("signs", None, floats(0.5), floats(4.0)))
    plain, mine = of(made, Claim(0, 1), node(3))
    assert weights([plain]) == [[1.0]] and told(mine) == ([1.0], [3], [0.5], [0.0])


def test_what_is_added_to_slopes_of_open_features_of_pairs_is_as_it_is_recorded():
    """It does not grow with weights, and may be negative; of features that are split, closed, or in no pair it is not that."""
    pairs = PairsBeside(0, np.array([0, 3]), np.array([4, 7]), NONE, np.zeros((2, 4, 0), np.float32), np.zeros((2, 4)))
    by = Refutation("signs", floats(2.0), floats(*[0.5] * 5), floats(-0.5, 0.25, 1.5, -0.75, 2.0), pairs=2)
    trace = trace_of(refuted={1: by}, sizes=(8,), pairs=((), (pairs,)))
    (found,) = of(Wishes([ONE], trace, STRAIGHT), Claim(0, 1), node(0, 1, 3, 4, 7, n3=-1))
    assert told(found) == ([1.0], [0, 1, 3, 4], [0.5] * 4, [-0.5, 0.0, -0.75, -0.75]) and found.sets == (0, 2)


def test_at_ends_what_is_added_is_as_it_is_recorded():
    made = wishes(END, n1=Refutation("signs", floats(2.0), np.full(2, np.nan), floats(4.0, 2.0)))
    (mine,) = of(made, Claim(0, 1), node(3, 4, f3=-1, f4=1))
    assert told(mine) == ([0.0], [3, 4], [0.0, 1.0], [-4.0, 2.0])


def test_of_several_weights_only_the_first_is_tried_beside_slopes():
    last = Refutation("signs", floats(1.0, 0.0), floats(0.5), floats(0.0))
    plain, mine = of(wishes(TWO), Claim(0, None, last), node(3))
    assert plain.weight.tolist() == [1.0, 0.0] and told(mine) == ([1.0, 0.0], [3], [0.5], [0.0])


def test_slopes_of_other_features_than_are_open_say_nothing():
    made = wishes(TWO, n1=Refutation("signs", floats(1.0, 1.0), floats(0.5, 0.5), floats(0.0, 1.0)))
    for seed in (node(3), node(3, 4, 5)):
        assert weights(of(made, Claim(0, 1), seed)) == [[0.5, 1.0]]


@pytest.mark.parametrize("given", [{"slope": floats(0.5)}, {"added": floats(0.5)}])
def test_slopes_without_what_is_added_say_nothing(given: dict[str, np.ndarray]):
    made = wishes(ONE, n1=Refutation("signs", floats(1.0), **given))
    assert weights(of(made, Claim(0, 1), node(3))) == [[1.0]]


# -- halves


WHOLE = Wish(floats(1.0), False, np.array([1, 3, 6]), floats(0.5, 0.25, 0.75), floats(0.0, 2.0, -1.0))
FOUND = np.array([10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


@pytest.mark.parametrize(
    ("number", "which", "feature", "slope", "added"),
    [
        # A feature that has a slope and something added loses both.
        (3, 0, [1, 3, 6], [0.5, 0.0, 0.75], [0.0, 4.0, -1.0]),
        (3, 1, [1, 3, 6], [0.5, 1.0, 0.75], [0.0, -9.0, -1.0]),
        (4, 0, [1, 3, 4, 6], [0.5, 0.25, 0.0, 0.75], [0.0, 2.0, 5.0, -1.0]),
        (0, 1, [0, 1, 3, 6], [1.0, 0.5, 0.25, 0.75], [-9.0, 0.0, 2.0, -1.0]),
    ],
)
def test_a_half_begins_with_what_the_feature_did(number, which, feature, slope, added):
    half = begun(Claim(0, None, wish=WHOLE, found=FOUND), number, which)
    assert half is not None and told(half) == ([1.0], feature, slope, added)


def test_a_half_of_what_was_not_improved_begins_as_the_whole():
    assert begun(Claim(0, None, wish=WHOLE), 3, 0) is WHOLE
    assert begun(Claim(0, None, found=FOUND), 3, 0) is None


def test_nothing_is_open_there():
    """A record of a node without open features has slopes of none."""
    made = wishes(ONE, n1=Refutation("signs", floats(1.0), floats(), floats()))
    plain, mine = made.of(Seed([], NONE, {}), Claim(0, 1), LOW, HIGH)
    assert weights([plain]) == [[1.0]] and told(mine) == ([1.0], [], [], [])
