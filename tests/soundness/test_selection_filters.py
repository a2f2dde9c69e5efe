"""Filters of a selection, against points of the box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netproof.formats.images.set import ImageSet
from netproof.formats.load import load
from netproof.making.boxes import Normalization
from netproof.making.filters import FILTERS, Attacked, filters_of
from netproof.making.generate import Shuffled
from netproof.making.selection import Judgement, candidate, judge
from netproof.training.architectures import architecture
from netproof.training.export import write_onnx

PLAIN = Normalization((0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("filters") / "network.onnx"
    layout = architecture("small").reduced(0.02, input_shape=(3, 8, 8), classes=4)
    write_onnx(path, layout.build(seed=3).eval(), fold=True)
    return load(path)


def labelled(network, count: int) -> Shuffled:
    """Random images, labelled as the network classifies all but every fourth of them."""
    from netproof.making.boxes import normalized_image

    images = np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8)).astype(np.uint8)
    inputs = torch.from_numpy(normalized_image(images, PLAIN)).double().reshape(count, -1)
    labels = network.classify(inputs).numpy()
    labels[::4] = (labels[::4] + 1) % 4
    return Shuffled(ImageSet(images, labels, tuple("abcd"), "images"))


def test_judgements_hold_at_points_of_the_box(network):
    images = labelled(network, 8)
    generator = torch.Generator().manual_seed(0)
    found = []
    for radius in (0.5 / 255, 0.4):
        candidates = [candidate(images, position, radius, PLAIN) for position in range(8)]
        judgements = judge(candidates, filters_of(None, network, 0))
        for each, judgement in zip(candidates, judgements, strict=True):
            low, high = (torch.from_numpy(ends).reshape(-1).double() for ends in (each.lower, each.upper))
            coins = torch.rand(200, len(low), generator=generator, dtype=torch.float64)
            points = torch.cat([low + coins * (high - low), torch.where(coins < 0.5, low, high)])
            right = network.classify(points) == each.label
            centre = torch.from_numpy(each.centre).reshape(-1).double()
            assert (judgement is Judgement.MISCLASSIFIED) == (int(network.classify(centre)) != each.label)
            assert judgement is not Judgement.VERIFIED or bool(right.all())
            assert judgement is not Judgement.SELECTED or radius > 0.001 or bool(right.all())
        found += judgements
    assert set(found) >= {Judgement.MISCLASSIFIED, Judgement.VERIFIED, Judgement.ATTACKED}


def test_answers_depend_on_the_candidate_alone(network):
    images = labelled(network, 4)
    candidates = [candidate(images, position, 0.02, PLAIN) for position in range(4)]
    for make in FILTERS.values():
        together = list(make(network, 5).takes(candidates))
        assert together == [make(network, 5).takes([each])[0] for each in candidates]
    assert Attacked(network, 1).description != Attacked(network, 2).description
