"""Crops of graphs: the values of the whole, from the features that are needed and no others."""

from __future__ import annotations

import pytest
import torch

from netproof.graph.crop import crop
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.affine.transposed_convolution import TransposedConvolution


def convolution(generator: torch.Generator, shape: tuple[int, int, int], outputs: int, **how: object) -> Convolution:
    kernel = int(how.get("kernel", 3))  # type: ignore[call-overload]
    pad = kernel // 2
    weight = torch.randint(-3, 4, (outputs, shape[0], kernel, kernel), generator=generator).double()
    bias = torch.randint(-3, 4, (outputs,), generator=generator).double()
    stride = int(how.get("stride", 1))  # type: ignore[call-overload]
    return Convolution(weight, bias, shape, (stride, stride), ((pad, pad), (pad, pad)), (1, 1))


def residual_graph(generator: torch.Generator) -> tuple[Graph, list[int]]:
    """A stem, a block with a strided shortcut, a head; the nodes with a map as their result."""
    builder = GraphBuilder(Arithmetic.REAL, (1, 2, 9, 8))
    stem = builder.add("stem", convolution(generator, (2, 9, 8), 3), builder.input)
    scaled = builder.add("scale", Scale(216, torch.arange(1, 4).double(), torch.arange(3).double()), stem)
    top = builder.add("relu", ReLU(), scaled)
    first = builder.add("first", convolution(generator, (3, 9, 8), 4, stride=2), top)
    inner = builder.add("inner", ReLU(), first)
    second = builder.add("second", convolution(generator, (4, 5, 4), 4), inner)
    shortcut = builder.add("shortcut", convolution(generator, (3, 9, 8), 4, stride=2, kernel=1), top)
    total = builder.add("sum", Sum((1, -1)), second, shortcut)
    mirrored = builder.add("mirror", Select(torch.arange(80).flip(0), 80, (4, 5, 4)), total)
    both = builder.add("both", Concatenate((80, 80)), mirrored, total)
    weight = torch.randint(-3, 4, (5, 160), generator=generator).double()
    head = builder.add("head", Linear(weight, torch.arange(5).double()), both)
    return builder.build(), [stem, scaled, top, first, inner, second, shortcut, total, mirrored, both, head]


@pytest.mark.parametrize("seed", range(12))
def test_values_of_a_crop_are_those_of_the_whole(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    graph, nodes = residual_graph(generator)
    x = torch.randint(-9, 10, (4, graph.input.size), generator=generator).double()
    values = graph.values(x)
    for node in nodes:
        size = graph.nodes[node].size
        count = int(torch.randint(1, 4, (), generator=generator))
        asked = torch.randperm(size, generator=generator)[:count]
        part = crop(graph, node, asked)
        assert part.nodes[-1] == node and bool(torch.isin(asked, part.features[-1]).all())
        for value, index, features in zip(
            part.graph.values(x[:, part.features[0]]), part.nodes, part.features, strict=True
        ):
            assert torch.equal(value, values[index][:, features])
        whole = [graph.activations[k] for k in part.activations]
        assert [part.nodes[i] for i in part.graph.activations] == whole


@pytest.mark.parametrize("seed", range(8))
def test_values_of_a_crop_behind_transposed_convolutions(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    builder = GraphBuilder(Arithmetic.REAL, (1, 2, 4, 5))
    weight = torch.randint(-3, 4, (2, 3, 3, 2), generator=generator).double()
    up = TransposedConvolution(weight, torch.arange(3).double(), (2, 4, 5), (2, 3), ((1, 0), (0, 1)), (1, 2), (1, 2))
    at = builder.add("up", up, builder.input)
    at = builder.add("relu", ReLU(), at)
    last = builder.add("down", convolution(generator, up.sample_shape, 2, stride=2), at)  # type: ignore[arg-type]
    graph = builder.build()
    x = torch.randint(-9, 10, (4, graph.input.size), generator=generator).double()
    values = graph.values(x)
    smaller = 0
    for node in (1, 2, last):
        asked = torch.randperm(graph.nodes[node].size, generator=generator)[:2]
        part = crop(graph, node, asked)
        assert bool(torch.isin(asked, part.features[-1]).all())
        found = part.graph.values(x[:, part.features[0]])
        for value, index, features in zip(found, part.nodes, part.features, strict=True):
            assert torch.equal(value, values[index][:, features])
        smaller += part.graph.input.size < graph.input.size
    assert smaller


def test_a_crop_is_the_receptive_field() -> None:
    generator = torch.Generator().manual_seed(0)
    graph, (_, _, _, first, *_) = residual_graph(generator)
    # The place (2, 2) of the strided convolution sees rows and columns 3 to 5, and these see 2 to 6 of the input.
    part = crop(graph, first, torch.tensor([2 * 4 + 2]))
    window = torch.arange(144).reshape(2, 9, 8)[:, 2:7, 2:7].reshape(-1)
    assert torch.equal(part.features[0], window)
    # All channels of the one place.
    assert part.features[-1].tolist() == [10, 30, 50, 70]


def test_what_depends_on_nothing() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (3,))
    fill = torch.tensor([7.0]).double()
    constant = builder.add("constant", Select(torch.tensor([-1]), 3, (1,), fill), builder.input)
    builder.add("relu", ReLU(), constant)
    part = crop(builder.build(), 2, torch.tensor([0]))
    assert part.graph.evaluate(torch.zeros(1, len(part.features[0])).double()).tolist() == [[7.0]]
