"""Trees of the parts of ends: those that leaves with the same splits have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.ends import _Parts
from netproof.certificate.real.leaves import Leaf, Split, Trees
from netproof.result import DividedEnd


def _parts(random: np.random.Generator, features: int) -> list[list[int]]:
    """Sides of the leaves of a tree by chance, in an order by chance."""
    leaves, stack = [], [([0] * features, list(range(features)))]
    while stack:
        side, left = stack.pop()
        if not left or random.random() < 0.25:
            leaves.append(side)
            continue
        column = int(random.choice(left))
        for which in (-1, 1):
            half = list(side)
            half[column] = which
            stack.append((half, [i for i in left if i != column]))
    random.shuffle(leaves)
    return leaves


def _drawn(trace, node):
    """A tree in words: splits with their halves, and what refutes a leaf."""
    if node in trace.splits:
        *split, low, high = trace.splits[node]
        return (*split, _drawn(trace, low), _drawn(trace, high))
    return float(trace.refuted[node].added[0]) if node in trace.refuted else None


@pytest.mark.parametrize("seed", range(40))
def test_the_tree_is_that_of_the_leaves(seed):
    random = np.random.default_rng(seed)
    sizes, unstable = (3, 4), np.array([0, 2, 3, 6])
    side = np.array(_parts(random, 4), np.int8)
    if seed % 4 == 3:
        side = side[: len(side) - 1]
    added = np.tile(np.arange(len(side), dtype=np.float32)[:, None], (1, 4))
    end = DividedEnd(1, 0, True, 0.5, unstable, side, np.zeros_like(added), added)
    places = [(1, 0), (1, 2), (2, 0), (2, 3)]
    leaves = [
        Leaf(
            0,
            None,
            tuple(Split(*places[i], bool(s > 0), 0.0) for i, s in enumerate(row) if s),
            {},
            {places[0]: float(n)},
            (),
        )
        for n, row in enumerate(side.tolist())
    ]
    mine, other = _Parts(sizes, 2, Deadline("x")), Trees(sizes, 2, Deadline("x"))
    assert _drawn(mine.trace(), mine.divided(end)) == _drawn(other.trace(), other.root(leaves))


def test_the_tree_of_an_end_is_made_once():
    side = np.array(list(itertools.product((-1, 1), repeat=2)), np.int8)
    number = np.zeros((4, 2), np.float32)
    end = DividedEnd(0, 0, True, 0.5, np.array([0, 1]), side, number, number)
    trees = _Parts((2,), 1, Deadline("x"))
    root = trees.divided(end)
    count = len(trees.trace().splits)
    assert trees.divided(end) == root and len(trees.trace().splits) == count == 3
