"""Pass: products with reciprocals become quotients, and means whose weights are shares of one sum become one quotient each.

``w_1 (z_1 / D) + w_2 (z_2 / D) + ...`` is ``(w . z) / D``: one quotient of two linear functions instead of many products that
would vary apart. Each result is held (:class:`netproof.operators.activations.held.Held`), so that it has a range that can be
proved (:mod:`netproof.bounds.ranges.quotients`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from netproof.graph.graph import Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.held import Held
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select

#: numbers of a matrix of weights that is written anew
_LARGEST = 1 << 22


class _Quotients(NamedTuple):
    """What a node's features are: numerators over denominators, by node and feature ``[n]``, and weights ``[n, features]`` of sums
    of numerators, None where each is one feature."""

    numerator: int
    of_numerator: Tensor
    denominator: int
    of_denominator: Tensor
    weight: Linear | None = None


def join_quotients(graph: Graph) -> Graph:
    """The same function over the real numbers, wherever it has a value."""
    readers: list[list[int]] = [[] for _ in graph.nodes]
    for index, node in enumerate(graph.nodes):
        for operand in node.operands:
            readers[operand].append(index)
    found: dict[int, _Quotients] = {}
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.operator, Product) or len(readers[index]) != 1:
            continue
        (halves,) = readers[index]
        quotients = _quotients(graph, index, halves)
        if quotients is None:
            continue
        mean = _means(graph, readers[halves], quotients)
        if mean is not None:
            found[readers[halves][0]] = mean
        else:
            found[halves] = quotients
    if not found:
        return graph
    builder = GraphBuilder(graph.arithmetic, graph.input.shape)
    place = {0: builder.input}
    for index, node in enumerate(graph.nodes[1:], 1):
        if index in found:
            place[index] = _write(builder, graph, index, found[index], place)
        else:
            place[index] = builder.add(node.name, node.operator, *(place[i] for i in node.operands))
    return drop_dead(builder.build())


def _quotients(graph: Graph, product: int, halves: int) -> _Quotients | None:
    """Products of pairs, the second of which is a reciprocal, that are read one by one."""
    reading = graph.nodes[halves].operator
    half = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    if not isinstance(reading, BlockLinear) or not torch.equal(reading.weight, half):
        return None
    pairs = graph.nodes[graph.nodes[product].operands[0]]
    if not isinstance(pairs.operator, Select) or bool((pairs.operator.index < 0).any()):
        return None
    both = graph.nodes[pairs.operands[0]]
    if not isinstance(both.operator, Concatenate) or len(both.operands) != 2:
        return None
    index, start = pairs.operator.index, both.operator.sizes[0]
    for number in (0, 1):
        of_n, of_d = index[1 - number :: 2], index[number::2]
        for operand, offset in ((0, 0), (1, start)):
            inverse = graph.nodes[both.operands[operand]]
            inside = (of_d >= start) == bool(operand)
            outside = (of_n >= start) == (not operand)
            reciprocal = isinstance(inverse.operator, Power) and inverse.operator.exponent == -1.0
            if reciprocal and bool((inside & outside).all()):
                numerator = of_n - (start - offset)
                return _Quotients(both.operands[1 - operand], numerator, inverse.operands[0], of_d - offset)
    return None


def _means(graph: Graph, readers: list[int], quotients: _Quotients) -> _Quotients | None:
    """The sums of quotients with one denominator each that alone are read, if that is what reads them."""
    if len(readers) != 1:
        return None
    operator = graph.nodes[readers[0]].operator
    if not isinstance(operator, Linear) or operator.bias_error is not None or bool((operator.bias != 0).any()):
        return None
    size = graph.nodes[quotients.numerator].size
    if len(torch.unique(quotients.of_numerator)) != len(quotients.of_numerator) or not all(operator.weight.shape):
        return None
    taken = operator.weight != 0
    least = torch.where(taken, quotients.of_denominator, size + graph.nodes[quotients.denominator].size).amin(1)
    most = torch.where(taken, quotients.of_denominator, -1).amax(1)
    if bool((least != most).any()) or len(least) * size > _LARGEST:
        return None
    weight = operator.weight.new_zeros(len(least), size)
    weight[:, quotients.of_numerator] = operator.weight
    means = Linear(weight, operator.bias, operator.roundings)
    return _Quotients(quotients.numerator, torch.arange(len(least)), quotients.denominator, least, means)


def _write(builder: GraphBuilder, graph: Graph, index: int, found: _Quotients, place: dict[int, int]) -> int:
    name = graph.nodes[index].name
    numerator, size = place[found.numerator], graph.nodes[found.numerator].size
    if found.weight is not None:
        numerator = builder.add(f"{name}/numerators", found.weight, numerator)
        size = len(found.weight.bias)
    denominators = graph.nodes[found.denominator].size
    both = builder.add(f"{name}/both", Concatenate((size, denominators)), numerator, place[found.denominator])
    pairs = torch.stack([found.of_numerator, found.of_denominator + size], -1).reshape(-1)
    count = len(found.of_numerator)
    pair = builder.add(f"{name}/pairs", Select(pairs, size + denominators, (2 * count,)), both)
    twice = builder.add(f"{name}/quotients", Quotient(), pair)
    each = Select(torch.arange(0, 2 * count, 2), 2 * count, graph.nodes[index].shape)
    return builder.add(name, Held(), builder.add(f"{name}/each", each, twice))
