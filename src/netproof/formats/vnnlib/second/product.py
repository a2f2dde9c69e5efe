"""Several models side by side as one graph, with the values as outputs that a query's constraints speak of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from netproof.formats.clock import Clock
from netproof.formats.vnnlib.second.declarations import Connective, Formula, Kind, Statement, Variable
from netproof.formats.vnnlib.second.files import Model
from netproof.formats.vnnlib.second.monomials import add_products
from netproof.formats.vnnlib.second.polynomials import Monomial
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.simplify import simplify
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select


@dataclass(frozen=True, eq=False)
class Product:
    """The graph of all models of a query.

    Attributes
    ----------
    graph : simplified; what searches work on
    as_stored : as the files have it, operator by operator
    unused : inputs that no value of the query depends on
    """

    graph: Graph
    as_stored: Graph
    unused: frozenset[int]
    _number: Sequence[int] = field(repr=False)
    _outputs: dict[Monomial, int] = field(repr=False)

    @classmethod
    def of_one(cls, graph: Graph, output: Variable, number: Sequence[int]) -> Product:
        """The graph of a network by itself, whose outputs are all elements of a variable."""
        outputs: dict[Monomial, int] = {(output.first + i,): i for i in range(output.size)}
        return cls(graph, graph, frozenset(), number, outputs)

    def place(self, monomial: Monomial) -> tuple[bool, int]:
        """Whether a product of elements is an input of the graph, and which of its inputs or outputs it is."""
        if len(monomial) == 1 and self._number[monomial[0]] >= 0:
            return True, self._number[monomial[0]]
        return False, self._outputs[monomial]


def side_by_side(
    statement: Statement,
    models: Sequence[Model],
    number: Sequence[int],
    inputs: int,
    formulas: Sequence[Formula],
    clock: Clock,
) -> Product:
    """The models of a query as one graph.

    Parameters
    ----------
    number : for every element of the query, which of the graph's inputs it is; -1 for hidden values and outputs
    inputs : how many inputs there are
    formulas : what the query asserts, about the elements that stand for others
    clock : looked at between nodes of the graph
    """
    wanted = monomials_of(formulas)
    products = [monomial for monomial in wanted if len(monomial) > 1]
    elements = sorted({element for monomial in wanted for element in monomial if number[element] < 0})
    if not elements and not products:
        # Constraints on inputs alone: some value has to be there as the graph's output.
        elements = [next(v.first for v in statement.variables if v.kind is Kind.OUTPUT)]
    builder = GraphBuilder(Arithmetic.REAL, (inputs,))
    reached: set[int] = set()
    blocks: list[tuple[int, list[Monomial]]] = []
    for model in models:
        taken = _places(model, elements)
        if not taken:
            continue
        node = _append(builder, model, number, inputs, reached)
        place = torch.tensor([place for _, place in taken], dtype=torch.int64)
        size = sum(math.prod(given.shape) for given in model.values.results)
        name = f"{model.declared.name}/wanted"
        node = builder.add(name, Select(place, size, (len(taken),)), node)
        blocks.append((node, [(element,) for element, _ in taken]))
    if products:
        add_products(builder, blocks, products, number, inputs)
    outputs = {monomial: i for i, monomial in enumerate(m for _, block in blocks for m in block)}
    last = blocks[0][0]
    if len(blocks) > 1:
        last = builder.add(
            "values", Concatenate(tuple(len(block) for _, block in blocks)), *(node for node, _ in blocks)
        )
    stored = drop_dead(builder.build(), last)
    unused = frozenset(range(inputs)) - reached
    return Product(simplify(stored, clock.look), stored, unused, number, outputs)


def _append(builder: GraphBuilder, model: Model, number: Sequence[int], inputs: int, reached: set[int]) -> int:
    """Add a model's graph; the node that has its values, one after the other."""
    places = [number[variable.first + i] for variable in model.inputs for i in range(variable.size)]
    graph = model.values.graph
    prefix = model.declared.name
    index = torch.tensor(places, dtype=torch.int64)
    reached.update(places[i] for i in _reached(graph))
    moved = [builder.add(f"{prefix}/inputs", Select(index, inputs, graph.input.shape), builder.input)]
    for node in graph.nodes[1:]:
        operands = (moved[i] for i in node.operands)
        moved.append(builder.add(f"{prefix}/{node.name}", node.operator, *operands))
    return moved[-1]


def _reached(graph: Graph) -> set[int]:
    """The inputs that the output may depend on: those that a node other than an index map takes, or a map that is used."""
    reached: set[int] = set()
    for node in graph.nodes[1:]:
        if 0 in node.operands:
            if isinstance(node.operator, Select):
                reached.update(node.operator.index[node.operator.index >= 0].tolist())
            else:
                reached.update(range(graph.input.size))
    return reached


def _places(model: Model, elements: Sequence[int]) -> list[tuple[int, int]]:
    """Those of some elements that are a model's values, and where among all of these."""
    return [(element, place) for element in elements for place in _places_of(model, element)]


def _places_of(model: Model, element: int) -> list[int]:
    start = 0
    for variable in model.results:
        if variable.first <= element < variable.first + variable.size:
            return [start + element - variable.first]
        start += variable.size
    return []


def monomials_of(formulas: Sequence[Formula]) -> set[Monomial]:
    """All products of elements, single elements among them, that formulas speak of."""
    found: set[Monomial] = set()
    stack = list(formulas)
    while stack:
        formula = stack.pop()
        if isinstance(formula, Connective):
            stack.extend(formula.parts)
        else:
            found.update(monomial for monomial in formula.polynomial if monomial)
    return found
