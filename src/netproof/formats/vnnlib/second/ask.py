"""From a VNN-LIB 2.0 query and its model files to a question: one network of all models, and a property of it.

The models stand side by side in one graph. Its inputs are the inputs of all of them, those that the query states to be
equal taken once; its outputs are the hidden values, outputs and products of values that constraints speak of. What is
equal in several models is one node. So one bound and one search answer queries about any number of networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.onnx.container.file import model_of
from netproof.formats.onnx.forms import STANDARD
from netproof.formats.onnx.read import network_of
from netproof.formats.onnx.tensors import type_name
from netproof.formats.vnnlib.formulas import And, Atom, Bounds, Formula, Or, parts_of
from netproof.formats.vnnlib.second.boxes import always, classes, equal_elements, map_elements, tighten, without_ends
from netproof.formats.vnnlib.second.declarations import ELEMENT_TYPES, Comparison, Connective, Kind, Statement, Variable
from netproof.formats.vnnlib.second.declarations import Formula as StatedFormula
from netproof.formats.vnnlib.second.files import Model, check_types, read_integers, read_models, with_outputs
from netproof.formats.vnnlib.second.product import Product, monomials_of, side_by_side
from netproof.formats.vnnlib.second.read import read_statement
from netproof.formats.vnnlib.second.stated import StatedQuery
from netproof.formats.vnnlib.second.types import arithmetic_of, largest_number, rounded
from netproof.host import on_own_terms
from netproof.network import Feed, Kept, Member, Network
from netproof.property import LinearConstraint, Property


@dataclass(frozen=True, eq=False)
class AskedQuery:
    """A query and the network of all its models.

    Attributes
    ----------
    network, property : what is asked, and of what
    stated : the query as its file has it
    stored : the element type of every variable in the models, as ONNX numbers it
    """

    network: Network
    property: Property
    stated: StatedQuery
    stored: dict[str, int]


def read_query(path: Path, files: Mapping[str, Path], *, deadline: float | None = None) -> AskedQuery:
    """Read a query and the models of the networks that it names.

    Raises
    ------
    InputError, FormatError : as :func:`netproof.formats.vnnlib.second.read.read_statement` and :func:`ask`
    TimeLimitError : ``deadline``, by :func:`time.monotonic`, is over
    """
    return ask(read_statement(path, deadline=deadline), files, deadline=deadline)


@on_own_terms
def ask(statement: Statement, files: Mapping[str, Path], *, deadline: float | None = None) -> AskedQuery:
    """The network that a query is about and what it asks of it.

    Parameters
    ----------
    statement : as :func:`netproof.formats.vnnlib.second.read.read_statement` gives it
    files : the model of each declared network that equals no other one
    deadline : by :func:`time.monotonic`, looked at on the way

    Raises
    ------
    InputError, FormatError : as :func:`netproof.formats.vnnlib.second.files.read_models`; types that no answer would be
        sound for; an input without a bound; products of values, as far as no operator computes them
    TimeLimitError : the deadline is over
    """
    clock = Clock(statement.path, deadline)
    arithmetic = arithmetic_of(statement)
    if arithmetic == "integer":
        return _ask_about_integers(statement, files, clock)
    models = read_models(statement, files, clock)
    if arithmetic != "real":
        check_types(models, arithmetic)
    clock.look()
    inputs = _Inputs(statement)
    formulas = [map_elements(formula, inputs.place) for formula in statement.formulas]
    whole = _ends_in_softmax(models, inputs, formulas, clock) if arithmetic == "real" else None
    if whole is None:
        product = side_by_side(statement, models, inputs.number, len(inputs.elements), formulas, clock)
    else:
        product = Product.of_one(whole.graph, models[0].results[0], inputs.number)
    clock.look()
    bounds = inputs.bounds(formulas, product, implied=arithmetic == "real")
    shares = _shares(models) if arithmetic == "real" else frozenset()
    atoms = [product_formula(formula, product, shares) for formula in without_ends(formulas, inputs.is_end)]
    nearest = None if arithmetic == "real" else inputs.nearest
    parts = parts_of(None, statement.path, inputs.label, len(inputs.elements), bounds, atoms, clock, nearest)
    members = tuple(_member(model, inputs.number) for model in models)
    stated = StatedQuery(statement, inputs.number, arithmetic)
    unbounded = torch.full((len(inputs.elements),), torch.inf, dtype=torch.float64)
    network = Network(
        graph=product.graph,
        path=", ".join(dict.fromkeys(str(model.path) for model in models)),
        sha256=_digest(models),
        lower=-unbounded,
        upper=unbounded,
        notes=tuple(dict.fromkeys(note for model in models for note in model.values.notes)),
        members=members,
        as_stored=product.as_stored,
        kept=Kept.VALUES if whole is None else Kept.ORDER,
        left_out=None if whole is None else whole.left_out,
    )
    question = Property(
        statement.path,
        len(inputs.elements),
        product.graph.output.size,
        tuple(replace(part, stated=stated, arithmetic=arithmetic) for part in parts),
    )
    types = {v.name: given.type or 1 for m in models for v, given in zip(m.results, m.values.results, strict=True)}
    types |= {v.name: given.type for m in models for v, given in zip(m.inputs, m.values.inputs, strict=True)}
    return AskedQuery(network, question, stated, types)


def _ask_about_integers(statement: Statement, files: Mapping[str, Path], clock: Clock) -> AskedQuery:
    """A query about a network of integers, exactly: boxes of whole numbers, constraints on outputs."""
    network = read_integers(statement, files, clock)
    inputs = _Inputs(statement, merged=False)
    if any(len(monomial) > 1 for monomial in monomials_of(statement.formulas)):
        raise FormatError(statement.path, "multiplies integers, which is not done yet", "state it without products")
    (output,) = statement.networks[0].of(Kind.OUTPUT)
    product = Product.of_one(network.graph, output, inputs.number)
    bounds = inputs.bounds(statement.formulas, product, implied=False)
    for number, (low, high) in enumerate(zip(network.lower.tolist(), network.upper.tolist(), strict=True)):
        bounds.raise_lower(number, Fraction(int(low)), output.at)
        bounds.lower_upper(number, Fraction(int(high)), output.at)
    rest = without_ends(statement.formulas, inputs.is_end)
    atoms = [product_formula(formula, product, frozenset()) for formula in rest]
    parts = parts_of(None, statement.path, inputs.label, network.inputs, bounds, atoms, clock)
    question = Property(statement.path, network.inputs, network.outputs, parts)
    stored = {variable.name: ELEMENT_TYPES[variable.type] for variable in statement.variables}
    return AskedQuery(network, question, StatedQuery(statement, inputs.number, "real"), stored)


def _ends_in_softmax(
    models: Sequence[Model], inputs: _Inputs, formulas: Sequence[StatedFormula], clock: Clock
) -> Network | None:
    """The one model of a query as a network by itself, without the softmax at its end; None where there is more to it.

    Where a query compares outputs, it is about the order of what the softmax takes.
    """
    model = models[0]
    if len(models) > 1 or len(model.results) > 1 or model.declared.of(Kind.HIDDEN) or len(model.inputs) > 1:
        return None
    size = model.inputs[0].size
    if len(inputs.elements) < size or any(len(monomial) > 1 for monomial in monomials_of(formulas)):
        return None
    types = {node.op_type for node in model_of(model.path, model.values.content).graph.node}
    if types.isdisjoint(("Softmax", "LogSoftmax")):
        return None
    network = network_of(model.path, model.values.content, clock=clock)
    return network if network.kept is Kept.ORDER and network.outputs == model.results[0].size else None


class _Inputs:
    """The inputs of the network: elements of the declared inputs, those that are stated to be equal as one.

    Attributes
    ----------
    elements : the element that each of them is called by
    number : for every element of the query, which of the inputs it is; -1 for hidden values and outputs
    place : for every element the one that stands for it
    """

    def __init__(self, statement: Statement, *, merged: bool = True) -> None:
        self._variables = statement.variables
        given = [False] * statement.elements
        for variable in self._variables:
            if variable.kind is Kind.INPUT:
                given[variable.first : variable.first + variable.size] = [True] * variable.size
        equal = equal_elements(always(statement.formulas)) if merged else []
        pairs = [pair for pair in equal if given[pair[0]] and given[pair[1]]]
        self.place = classes(statement.elements, pairs) if pairs else list(range(statement.elements))
        self.elements = [
            element for element, is_input in enumerate(given) if is_input and self.place[element] == element
        ]
        numbers = {element: number for number, element in enumerate(self.elements)}
        self.number = [numbers[self.place[element]] if is_input else -1 for element, is_input in enumerate(given)]

    def label(self, number: int) -> str:
        """What a query calls one of the inputs, ``X[0,2]`` for instance."""
        element = self.elements[number]
        variable = _variable_of(self._variables, element)
        place = element - variable.first
        indices = []
        for extent in reversed(variable.shape):
            place, index = divmod(place, extent)
            indices.append(str(index))
        return f"{variable.name}[{','.join(reversed(indices))}]" if indices else variable.name

    def nearest(self, number: int, end: Fraction) -> Fraction:
        """The number of an input's float type next to a decimal, which may be what a query means by it."""
        type_ = _variable_of(self._variables, self.elements[number]).type
        return end if largest_number(type_) is None else rounded(type_, end)

    def is_end(self, comparison: Comparison) -> bool:
        """Whether a comparison says nothing but an end of an input, which :meth:`bounds` takes note of."""
        terms = [monomial for monomial in comparison.polynomial if monomial]
        return (
            not comparison.strict and len(terms) == len(terms[0]) == 1 and self.number[terms[0][0]] >= 0
            if terms
            else False
        )

    def bounds(self, formulas: Sequence[StatedFormula], product: Product, *, implied: bool) -> Bounds:
        """What is stated of single inputs in any case; and what is ``implied`` for them by comparisons of several.

        The latter is found over the real numbers, where comparisons do not round.
        """
        bounds = Bounds()
        rows = []
        for comparison in always(formulas):
            terms = [(monomial, c) for monomial, c in comparison.polynomial.items() if monomial]
            if not terms or any(len(monomial) != 1 or self.number[monomial[0]] < 0 for monomial, _ in terms):
                continue
            constant = comparison.polynomial.get((), Fraction(0))
            row = tuple((self.number[monomial[0]], c) for monomial, c in terms)
            if len(row) > 1:
                rows.append((row, constant, comparison.at))
                continue
            ((number, coefficient),) = row
            end = -constant / coefficient
            if coefficient > 0:
                bounds.raise_lower(number, end, comparison.at)
            else:
                bounds.lower_upper(number, end, comparison.at)
        if implied:
            tighten(rows, bounds)
        spoken = {self.number[element] for monomial in monomials_of(formulas) for element in monomial}
        for number, element in enumerate(self.elements):
            variable = _variable_of(self._variables, element)
            if number in product.unused and number not in spoken:
                # No value depends on it, and nothing is said of it anywhere: any number will do.
                bounds.raise_lower(number, Fraction(0), variable.at)
                bounds.lower_upper(number, Fraction(0), variable.at)
            largest = largest_number(variable.type)
            if largest is not None:
                bounds.raise_lower(number, -largest, variable.at)
                bounds.lower_upper(number, largest, variable.at)
        return bounds


def _variable_of(variables: Sequence[Variable], element: int) -> Variable:
    low, high = 0, len(variables)
    while high - low > 1:
        middle = (low + high) // 2
        if variables[middle].first <= element:
            low = middle
        else:
            high = middle
    return variables[low]


def product_formula(formula: StatedFormula, product: Product, shares: frozenset[int]) -> Formula:
    """A formula about the inputs and outputs of the graph; ``shares`` are elements that a softmax gives."""
    if isinstance(formula, Connective):
        parts = tuple(product_formula(part, product, shares) for part in formula.parts)
        return Or(parts) if formula.any else And(parts)
    if shares and _is_beyond_shares(formula, shares):
        return Or(())
    return _atom(formula, product)


def _shares(models: Sequence[Model]) -> frozenset[int]:
    """Elements that a softmax gives: between 0 and 1, which no bound of exponentials and quotients finds without rounding."""
    found: set[int] = set()
    for model in models:
        nodes = model_of(model.path, model.values.content).graph.node
        # A function of the file may have that name, too.
        shares = (node for node in nodes if node.op_type == "Softmax" and node.domain in STANDARD)
        given = {name for node in shares for name in node.output}
        for variable, value in zip(model.results, model.values.results, strict=True):
            if value.name in given:
                found.update(range(variable.first, variable.first + variable.size))
    return frozenset(found)


def _is_beyond_shares(comparison: Comparison, shares: frozenset[int]) -> bool:
    """Whether a comparison of a share with a number holds for none between 0 and 1."""
    terms = [(monomial, c) for monomial, c in comparison.polynomial.items() if monomial]
    if len(terms) != 1 or len(terms[0][0]) != 1 or terms[0][0][0] not in shares:
        return False
    largest = max(terms[0][1], Fraction(0)) + comparison.polynomial.get((), Fraction(0))
    return largest < 0 or (largest == 0 and comparison.strict)


def _atom(comparison: Comparison, product: Product) -> Atom:
    inputs: dict[int, Fraction] = {}
    outputs: dict[int, Fraction] = {}
    threshold = Fraction(0)
    for monomial, coefficient in comparison.polynomial.items():
        if not monomial:
            threshold = -coefficient
            continue
        is_input, number = product.place(monomial)
        (inputs if is_input else outputs)[number] = coefficient
    constraint = LinearConstraint(
        tuple(sorted(inputs.items())), tuple(sorted(outputs.items())), threshold, comparison.strict
    )
    return Atom(constraint, comparison.at)


def _member(model: Model, number: Sequence[int]) -> Member:
    feeds = tuple(
        Feed(
            given.name,
            tuple(number[variable.first : variable.first + variable.size]),
            given.shape,
            type_name(given.type),
        )
        for variable, given in zip(model.inputs, model.values.inputs, strict=True)
    )
    names = tuple(given.name for given in model.values.results)
    content = with_outputs(model.path, model.values.content, names)
    return Member(model.declared.name, str(model.path), content, feeds, names)


def _digest(models: Sequence[Model]) -> str:
    """A name for all models together: the hash of their hashes, in the order of their declarations."""
    return hashlib.sha256("\n".join(model.values.sha256 for model in models).encode()).hexdigest()
