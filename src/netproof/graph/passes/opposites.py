"""Pass: two ReLUs of opposite arguments that are subtracted from one another are their argument.

``relu(z) - relu(-z) = z``, so that a layer may hold ReLUs that bend nothing: networks are made harder that way on purpose
(Li and Dwyer's *ReluSplitter*, a benchmark of VNN-COMP 2025), and a value is carried past a layer like this where there are no
skip connections. To a relaxation both are unstable wherever ``z`` may have either sign.

Two neurons (of a convolution, two channels) ``z_j = -c z_i`` with ``c > 0``, whatever reads them giving the second ``-1/c`` of the
weight of the first, are one linear neuron: ``w relu(z_i) - w/c relu(-c z_i) = w z_i``. Only powers of two are factors here, and all
comparisons are of exact numbers, so that nothing is rounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from netproof.graph.graph import Graph, Node
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.base import Operator

#: entries of a row that are looked at before all of it is
_PROBES = 16
#: what is not between ``2**-_RANGE`` and ``2**_RANGE`` is left alone
_RANGE = 400


def fold_opposites(graph: Graph) -> Graph:
    """The same function with fewer ReLUs; the graph itself where there are no such pairs."""
    readers = defaultdict[int, list[Node]](list)
    for node in graph.nodes:
        for operand in node.operands:
            readers[operand].append(node)
    nodes: list[Node] = []
    place: list[int] = []
    found = False
    for index, node in enumerate(graph.nodes):
        operands = tuple(place[i] for i in node.operands)
        pairs = None
        if isinstance(node.operator, ReLU) and readers[index]:
            pairs = _pairs(graph.nodes[node.operands[0]], readers[index])
        if pairs is None:
            nodes.append(Node(node.name, node.operator, operands, node.shape))
        else:
            nodes += _without(node, operands[0], *pairs, len(nodes))
            found = True
        place.append(len(nodes) - 1)
    return Graph(graph.arithmetic, nodes) if found else graph


def _without(node: Node, operand: int, kept: Tensor, dropped: Tensor, count: int) -> list[Node]:
    """What takes a ReLU's place, if ``count`` nodes stand before it: features ``kept`` become linear, and ``dropped`` 0."""
    size = node.size
    bends = torch.ones(size, dtype=torch.bool)
    bends[kept] = bends[dropped] = False
    bent = bends.nonzero()[:, 0]
    index = torch.full((size,), -1)
    if not len(bent):
        index[kept] = kept
        return [Node(node.name, Select(index, size, node.shape), (operand,), node.shape)]
    index[bent] = torch.arange(len(bent))
    index[kept] = len(bent) + kept
    shape = (len(bent),)
    return [
        Node(f"{node.name}/bent", Select(bent, size, shape), (operand,), shape),
        Node(f"{node.name}/relu", node.operator, (count,), shape),
        Node(f"{node.name}/all", Concatenate((len(bent), size)), (count + 1, operand), (len(bent) + size,)),
        Node(node.name, Select(index, len(bent) + size, node.shape), (count + 2,), node.shape),
    ]


def _pairs(first: Node, readers: Sequence[Node]) -> tuple[Tensor, Tensor] | None:
    """Features that become linear, and those that are not needed then; None where there are no such pairs."""
    rows = _rows(first.operator)
    if rows is None or not all(isinstance(one.operator, Linear | Convolution) for one in readers):
        return None
    weight, bias = rows
    candidates, sign = _candidates(weight, bias)
    if not len(candidates):
        return None
    places = first.size // len(weight)
    read = [_columns(one, candidates, len(weight), places) for one in readers]
    columns = torch.cat([one for one in read if one is not None], 1) if all(one is not None for one in read) else None
    whole = torch.cat([weight[candidates], bias[candidates, None]], 1)
    if columns is None or not (_is_exact(whole) and _is_exact(columns)):
        return None
    unit = (_unit(whole) * sign[candidates])[:, None]
    # With opposite signs, equal rows have opposite arguments, and equal columns cancel.
    alike = defaultdict[tuple[bytes, bytes], tuple[list[int], list[int]]](lambda: ([], []))
    for number, row, column in zip(
        candidates.tolist(), (whole / unit + 0.0).numpy(), (columns * unit + 0.0).numpy(), strict=True
    ):
        alike[row.tobytes(), column.tobytes()][int(sign[number] < 0)].append(number)
    pairs = [pair for both in alike.values() for pair in zip(*both, strict=False)]
    if not pairs:
        return None
    kept, dropped = (
        (torch.tensor(units)[:, None] * places + torch.arange(places)).flatten() for units in zip(*pairs, strict=True)
    )
    return kept, dropped


def _candidates(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that may have an opposite one, as far as some of their entries tell, and the signs ``[n]`` of all rows.

    Few rows of any network are alike, and a copy of a large matrix would be a waste.
    """
    size = torch.maximum(torch.maximum(weight.amax(1), -weight.amin(1)), bias.abs())
    at = torch.linspace(0, weight.shape[1] - 1, min(_PROBES, weight.shape[1]), dtype=torch.float64).long()
    some = torch.cat([weight[:, at], bias[:, None]], 1) / _unit(size[:, None])[:, None]
    sign = torch.sign(some.gather(1, (some != 0).int().argmax(1, keepdim=True))[:, 0])
    alike = defaultdict[bytes, list[int]](list)
    for number, row in enumerate((some * sign[:, None] + 0.0).numpy()):
        alike[row.tobytes()].append(number)
    found = [
        number
        for group in alike.values()
        if len(group) > 1 and bool((sign[group] > 0).any()) and bool((sign[group] < 0).any())
        for number in group
    ]
    return torch.tensor(found, dtype=torch.int64), sign


def _unit(rows: Tensor) -> Tensor:
    """The power of two just above the largest entry of each row ``[n, m]``, ``[n]``; 1 for zeros."""
    return torch.ldexp(rows.new_ones(len(rows)), torch.frexp(rows.abs().amax(1)).exponent.to(rows.dtype))


def _is_exact(rows: Tensor) -> bool:
    """Whether products of the entries with a power of two of their size lose nothing."""
    size = rows.abs()
    return bool((((size > 2.0**-_RANGE) | (size == 0)) & (size < 2.0**_RANGE)).all())


def _rows(operator: Operator) -> tuple[Tensor, Tensor] | None:
    """What neurons or channels are made of, weights ``[n, m]`` and biases ``[n]``; None where they are not exact numbers."""
    if isinstance(operator, Linear):
        weight, bias = operator.weight, operator.bias
    elif isinstance(operator, Convolution) and operator.samples == operator.groups == 1:
        weight = operator.weight.flatten(1)
        bias = weight.new_zeros(len(weight)) if operator.bias is None else operator.bias
    else:
        return None
    if operator.roundings or operator.bias_error is not None or not weight.numel():
        return None
    return weight, bias


def _columns(reader: Node, units: Tensor, count: int, places: int) -> Tensor | None:
    """The weights with which a node reads neurons or channels ``[m]`` of ``count``, ``[m, ...]``; None where it reads them in another way."""
    operator = reader.operator
    assert isinstance(operator, Linear | Convolution)
    if operator.roundings:
        return None
    if isinstance(operator, Linear):
        weight = operator.weight.reshape(len(operator.weight), count, places)
        return weight[:, units].movedim(1, 0).flatten(1)
    alone = operator.samples == operator.groups == 1
    if not alone or operator.input_shape[0] != count or prod(operator.input_shape[1:]) != places:
        return None
    return operator.weight[:, units].movedim(1, 0).flatten(1)
