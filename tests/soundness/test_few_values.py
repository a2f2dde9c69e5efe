"""Few values that become anything, of float networks: verdicts against every choice of them, by grids and by witnesses."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from netproof.errors import QueryError
from netproof.formats.onnx.read import read_onnx
from netproof.local_robustness import moves
from netproof.perturbations.few import MOST_CHOICES, few_values
from netproof.query import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import model, node, save
from soundness.random_networks import RandomNetwork
from soundness.test_verify_robustness import draw

LIMIT = Settings(timeout=600.0)
#: how images become inputs in these tests
PREPARED: dict = {"scale": "1/255", "mean": "0.3", "std": "0.7"}


@pytest.fixture
def drawn(tmp_path):
    """A network of six inputs, weights that favour single ones, as a file."""

    def make(seed: int):
        random = np.random.default_rng(seed)
        first, second = random.normal(size=(6, 8)) * 2, random.normal(size=(8, 3))
        nodes = [node("Gemm", ["x", "a", "b"], ["h"]), node("Relu", ["h"], ["r"]), node("Gemm", ["r", "c"])]
        constants = {"a": first, "b": random.normal(size=8), "c": second}
        return random, read_onnx(save(tmp_path / f"{seed}.onnx", model(nodes, (1, 6), constants)))

    return make


def inputs_of(levels: np.ndarray) -> np.ndarray:
    return (levels / 255 - 0.3) / 0.7


def beaten(network, inputs: np.ndarray, label: int) -> np.ndarray:
    """Where another output is clearly larger than the label's."""
    import torch

    outputs = network.graph.evaluate(torch.from_numpy(inputs)).numpy()
    rest = np.delete(outputs, label, 1)
    return rest.max(1) > outputs[:, label] + 1e-6


@pytest.mark.parametrize("count", [1, 2, 6])
def test_verdicts_are_those_of_every_choice(drawn, count: int) -> None:
    outcomes: Counter[Verdict] = Counter()
    for seed in range(8):
        random, network = drawn(seed)
        image = random.integers(0, 256, 6).astype(np.uint8)
        label = int(network.classify(few_values(network, image, 0, 1, **PREPARED).parts[0].sample.image))
        found = verify(few_values(network, image, label, count, **PREPARED), LIMIT)
        outcomes[found.verdict] += 1
        assert found.verdict.decided
        grid = np.linspace(0, 255, 60 if count == 1 else 12 if count == 2 else 4)
        for which in combinations(range(6), count):
            points = np.array(list(product(grid, repeat=count)))
            levels = np.repeat(image[None].astype(np.float64), len(points), 0)
            levels[:, which] = points
            if found.verdict is Verdict.UNSAT:
                assert not beaten(network, inputs_of(levels), label).any()
        if found.witness is not None:
            moved = moves(network, image, found.witness.numbers, **PREPARED)
            assert 1 <= sum(move != 0 for move in moved) <= count
            ends = Fraction(0), Fraction(1)
            back = [x * Fraction("0.7") + Fraction("0.3") for x in found.witness.numbers]
            assert all(ends[0] <= value <= ends[1] for value in back)
    assert outcomes[Verdict.SAT] and (count == 6 or outcomes[Verdict.UNSAT])


def test_an_image_of_another_class_is_misclassified(drawn) -> None:
    """Also where bounds refute every choice by themselves: no target can be got to, and the image is of none of its label."""
    random, network = drawn(0)
    image = random.integers(0, 256, 6).astype(np.uint8)
    for label in range(3):
        for target in {0, 1, 2} - {label}:
            asked = few_values(network, image, label, 1, target=target, **PREPARED)
            right = asked.parts[0].prediction == label
            assert (verify(asked, LIMIT).verdict is Verdict.MISCLASSIFIED) != right


def test_choices_are_in_order_and_made_when_looked_at(drawn) -> None:
    random, network = drawn(1)
    image = random.integers(1, 255, 6).astype(np.uint8)
    parts = few_values(network, image, 0, 2, **PREPARED).parts
    assert len(parts) == math.comb(6, 2)
    free = [tuple((part.lower < part.upper).nonzero()[:, 0].tolist()) for part in parts]
    # A value that no float is has ends on both sides of it.
    wide = [tuple((part.upper - part.lower > 0.5).nonzero()[:, 0].tolist()) for part in parts]
    assert wide == list(combinations(range(6), 2)) and all(set(w) <= set(f) for w, f in zip(wide, free, strict=True))
    for place in (0, 7, 14, -1):
        one, other = parts[place].part, list(parts)[place].part
        assert (
            one is not None
            and other is not None
            and one.box.lower == other.box.lower
            and one.box.upper == other.box.upper
        )
    assert len(parts[2:5]) == 3
    with pytest.raises(IndexError):
        parts[15]
    box = parts[-1].part.box
    assert (box.lower[5], box.upper[5]) == (
        (0 - Fraction("0.3")) / Fraction("0.7"),
        (1 - Fraction("0.3")) / Fraction("0.7"),
    )
    exact = (Fraction(int(image[0]), 255) - Fraction("0.3")) / Fraction("0.7")
    assert (box.lower[0], box.upper[0]) == (exact, exact)


def test_what_is_not_decided_is_refused(drawn, tmp_path) -> None:
    _, network = drawn(2)
    image = np.full(6, 0.5)
    for count in (0, 7, 1.5, "one"):
        with pytest.raises(QueryError, match="give 1 to 6"):
            few_values(network, image, 0, count, clip=(0, 1))
    with pytest.raises(QueryError, match="give a clip"):
        few_values(network, image, 0, 1)
    with pytest.raises(QueryError, match="label 3 is not an output"):
        few_values(network, image, 3, 1, clip=(0, 1))
    wide = read_onnx(
        save(tmp_path / "wide.onnx", model([node("Gemm", ["x", "a"])], (1, 784), {"a": np.ones((784, 2))}))
    )
    assert len(few_values(wide, np.zeros(784), 0, 1, clip=(0, 1)).parts) == 784 < MOST_CHOICES
    with pytest.raises(QueryError, match=r"306,936 choices of 2 values of 784.*at most 1 value$"):
        few_values(wide, np.zeros(784), 0, 2, clip=(0, 1))
    with pytest.raises(QueryError, match=r"more than 2\^778 choices of 392 values of 784"):
        few_values(wide, np.zeros(784), 0, 392, clip=(0, 1))
    # more than any float is
    larger = save(tmp_path / "larger.onnx", model([node("Gemm", ["x", "a"])], (1, 3072), {"a": np.ones((3072, 2))}))
    with pytest.raises(QueryError, match=r"more than 2\^3064 choices of 1500 values of 3072"):
        few_values(read_onnx(larger), np.zeros(3072), 0, 1500, clip=(0, 1))
    net, integer = draw(np.random.default_rng(5))
    assert isinstance(net, RandomNetwork)
    with pytest.raises(QueryError, match="Pixels"):
        few_values(integer, net.lower, 0, 1)
