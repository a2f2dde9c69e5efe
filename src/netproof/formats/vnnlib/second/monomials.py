"""Products of values as nodes of a graph: what makes a polynomial constraint a linear one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from netproof.formats.vnnlib.second.polynomials import Monomial
from netproof.graph.graph import GraphBuilder
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.pairs.product import Product
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select


def add_products(
    builder: GraphBuilder,
    blocks: list[tuple[int, list[Monomial]]],
    products: Iterable[Monomial],
    number: Sequence[int],
    inputs: int,
) -> None:
    """Append nodes for products of two values or more, each the product of a shorter one and one more value.

    Parameters
    ----------
    blocks : nodes, and what their features are; those of the products are added
    products : what is wanted
    number : for every element of the query, which of the graph's inputs it is; -1 for values of models
    inputs : how many inputs the graph has
    """
    by_degree: dict[int, set[Monomial]] = {}
    for monomial in products:
        for degree in range(2, len(monomial) + 1):
            by_degree.setdefault(degree, set()).add(monomial[:degree])
    given: dict[Monomial, tuple[int, int]] = {
        monomial: (node, place) for node, block in blocks for place, monomial in enumerate(block)
    }
    sizes = {node: len(block) for node, block in blocks} | {builder.input: inputs}
    for monomials in by_degree.values():
        for monomial in monomials:
            given |= {(e,): (builder.input, number[e]) for e in monomial if number[e] >= 0}
    for degree in sorted(by_degree):
        level = sorted(by_degree[degree])
        factors = [((m[:-1]), (m[-1:])) for m in level]
        squares = [i for i, (one, two) in enumerate(factors) if one == two]
        others = [i for i, (one, two) in enumerate(factors) if one != two]
        if squares:
            node = _gathered(builder, [given[factors[i][0]] for i in squares], sizes, f"squares of degree {degree}")
            node = builder.add(f"degree {degree}/squares", Power(2.0), node)
            blocks.append((node, [level[i] for i in squares]))
        if others:
            pairs = [given[factor] for i in others for factor in factors[i]]
            node = _gathered(builder, pairs, sizes, f"pairs of degree {degree}")
            node = builder.add(f"degree {degree}/products", Product(), node)
            # Both features of a pair have its product.
            halves = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
            node = builder.add(f"degree {degree}/each", BlockLinear(halves, len(others), (len(others),)), node)
            blocks.append((node, [level[i] for i in others]))
        for node, block in blocks[-2:]:
            sizes[node] = len(block)
            given |= {monomial: (node, place) for place, monomial in enumerate(block)}


def _gathered(builder: GraphBuilder, places: list[tuple[int, int]], sizes: dict[int, int], name: str) -> int:
    """A node whose features are those at some places of other nodes."""
    nodes = sorted({node for node, _ in places})
    starts, start = {}, 0
    for node in nodes:
        starts[node] = start
        start += sizes[node]
    both = nodes[0]
    if len(nodes) > 1:
        both = builder.add(f"{name}/of", Concatenate(tuple(sizes[node] for node in nodes)), *nodes)
    index = torch.tensor([starts[node] + place for node, place in places], dtype=torch.int64)
    return builder.add(name, Select(index, start, (len(places),)), both)
