"""From a query to a formula of QF_BV that is satisfiable exactly where the query is ``sat``.

The encoding follows the graph, node by node: inputs are variables, every further value is a term
of earlier ones, and the condition is asserted about the terms of the outputs. Only what the
condition needs is encoded. After Henzinger, Lechner, Zikelic, *Scalable Verification of Quantized
Neural Networks* (AAAI 2021); :mod:`netproof.exact.smt.integers` says why no number overflows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from netproof.errors import QueryError
from netproof.exact.smt.condition import Condition
from netproof.exact.smt.integers import Integer, Integers, signed_width
from netproof.exact.smt.layers import affine_rows, channel_steps, ranges
from netproof.exact.smt.options import EncodingOptions
from netproof.exact.smt.staircase import Staircases
from netproof.exact.smt.sums import Shifted, Sums
from netproof.exact.smt.terms import Terms
from netproof.operators.activations.staircase import Staircase
from netproof.operators.base import Affine
from netproof.query import Query

#: entries of a dense matrix that is still worth writing out
_LARGEST_MATRIX = 1 << 26


@dataclass(frozen=True, eq=False)
class Formula:
    """A query as a formula.

    Attributes
    ----------
    terms : all terms
    assertions : numbers of the Boolean terms that hold together
    values : per node of the graph the features that were encoded, by index
    names : of the nodes
    lower : ``[n_input]``, the box's lower ends: the value of an input that is no variable
    """

    terms: Terms
    assertions: tuple[int, ...]
    values: tuple[dict[int, Shifted], ...]
    names: tuple[str, ...]
    lower: Tensor

    def point(self, model: Mapping[str, int]) -> Tensor:
        """The input ``[n_input]`` (float64) that a model, the unsigned values of the variables by name, describes."""
        x = self.lower.clone()
        for index, feature in self.values[0].items():
            if feature.part is not None:
                x[index] = feature.offset + model.get(input_name(index), feature.part.low)
        return x


def input_name(index: int) -> str:
    """The variable of an input."""
    return f"x0_{index}"


class DeadlineError(Exception):
    """The deadline passed before the formula was complete."""


def encode(query: Query, options: EncodingOptions | None = None, *, deadline: float = math.inf) -> Formula:
    """The formula of a query.

    Parameters
    ----------
    deadline : when to give up, by :func:`time.monotonic`

    Raises
    ------
    QueryError : a network with an activation that is no staircase, or an affine map too large to be written out
    DeadlineError : the deadline passed
    """
    return _Encoder(query, options or EncodingOptions(), deadline).run()


@dataclass(eq=False)
class _Encoder:
    query: Query
    options: EncodingOptions
    deadline: float
    assertions: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph = self.query.network.graph
        for node in graph.nodes[1:]:
            if not isinstance(node.operator, Affine | Staircase):
                raise QueryError(
                    self.query.name,
                    f"node '{node.name}' ({node.operator.name}) has no encoding as bit-vectors",
                    "use engine bab",
                )
            widest = max(graph.nodes[i].size for i in node.operands)
            if isinstance(node.operator, Affine) and node.size * max(widest, node.size) > _LARGEST_MATRIX:
                raise QueryError(
                    self.query.name,
                    f"node '{node.name}' has {node.size} x {widest} coefficients, too many to write out",
                    "use engine bab",
                )
        self.graph = graph
        self.terms = Terms(share=self.options.share_terms)
        self.integers = Integers(self.terms, decide=self.options.simplify_neurons)
        self.sums = Sums(self.integers, self.options)
        self.staircases = Staircases(
            self.integers, simplify=self.options.simplify_neurons, offsets=self.options.minimal_widths
        )
        self.ranges = ranges(graph, self.query.lower, self.query.upper)
        self.affine = {
            i: affine_rows(node.operator, node.size)
            for i, node in enumerate(graph.nodes)
            if isinstance(node.operator, Affine)
        }
        self.widths = self._least_widths()

    def run(self) -> Formula:
        condition = Condition(self.query, self.options, self.ranges, self.affine)
        needed = self._needed(condition.outputs())
        values: list[dict[int, Shifted]] = []
        for i, node in enumerate(self.graph.nodes):
            self.integers.least_width = self.widths[i]
            wanted = sorted(needed[i])
            if i == 0:
                values.append({j: self._input(j) for j in wanted})
            elif isinstance(node.operator, Affine):
                values.append({j: self._affine(i, j, values) for j in wanted})
            else:
                assert isinstance(node.operator, Staircase)
                values.append(self._staircase(i, node.operator, wanted, values))
        self.integers.least_width = 1
        self.assertions.append(condition.term(self.integers, self.sums, values))
        if self.terms.false in self.assertions:
            self.assertions = [self.terms.false]
        kept = tuple(a for a in dict.fromkeys(self.assertions) if a != self.terms.true)
        return Formula(self.terms, kept, tuple(values), tuple(node.name for node in self.graph.nodes), self.query.lower)

    def _least_widths(self) -> list[int]:
        """Per node how many bits its numbers have at least."""
        if self.options.minimal_widths:
            return [1] * len(self.graph.nodes)
        network = self.query.network
        everything = ranges(self.graph, network.lower, network.upper)
        return [max(signed_width(low, high) for low, high in node) for node in everything]

    def _needed(self, outputs: set[int]) -> list[set[int]]:
        """Per node the features that the outputs depend on."""
        nodes = self.graph.nodes
        needed: list[set[int]] = [set() for _ in nodes]
        needed[-1] = outputs
        for i in range(len(nodes) - 1, 0, -1):
            for operand, matrix in zip(nodes[i].operands, self._matrices(i), strict=True):
                if matrix is None:
                    needed[operand] |= {j for j in needed[i] if self._varies(i, j)}
                else:
                    for j in needed[i]:
                        needed[operand] |= {k for k, w in enumerate(matrix[j]) if w or not self.options.prune_zeros}
        return needed

    def _matrices(self, i: int) -> tuple[list[list[int]] | None, ...]:
        return self.affine[i].matrices if i in self.affine else (None,)

    def _varies(self, i: int, j: int) -> bool:
        low, high = self.ranges[i][j]
        return low < high or not self.options.simplify_neurons

    def _input(self, j: int) -> Shifted:
        low, high = self.ranges[0][j]
        if low == high:
            return Shifted(low)
        terms, name = self.terms, input_name(j)
        # A variable is unsigned, and counts from the lower end where widths are minimal.
        offset = low if self.options.minimal_widths or low < 0 else 0
        bits = max((high - offset).bit_length(), self.integers.least_width - 1)
        variable = terms.variable(name, bits)
        part = Integer(terms.zero_extend(variable, 1), low - offset, high - offset)
        if high - offset < (1 << bits) - 1:
            self.assertions.append(terms.unsigned_le(variable, terms.numeral(high - offset, bits)))
        if low > offset:
            self.assertions.append(terms.unsigned_le(terms.numeral(low - offset, bits), variable))
        return Shifted(offset, part)

    def _affine(self, i: int, j: int, values: list[dict[int, Shifted]]) -> Shifted:
        if time.monotonic() > self.deadline:
            raise DeadlineError
        rows = self.affine[i]
        operands: list[Shifted] = []
        weights: list[int] = []
        for operand, matrix in zip(self.graph.nodes[i].operands, rows.matrices, strict=True):
            for k, w in enumerate(matrix[j]):
                if w or not self.options.prune_zeros:
                    # What was found constant by its range was not encoded.
                    operands.append(values[operand].get(k) or Shifted(self.ranges[operand][k][0]))
                    weights.append(w)
        total = self.sums.weighted(operands, weights, rows.offset[j])
        self._lemma(total)
        return total

    def _staircase(
        self, i: int, operator: Staircase, wanted: list[int], values: list[dict[int, Shifted]]
    ) -> dict[int, Shifted]:
        channels = operator.base.shape[0]
        every = self.graph.nodes[i].size // channels
        steps = channel_steps(operator)
        shifts = [s.shift() for s in steps]
        operand = self.graph.nodes[i].operands[0]
        made: dict[int, Shifted] = {}
        for j in wanted:
            low, high = self.ranges[i][j]
            channel = j // every
            if low == high and self.options.simplify_neurons:
                made[j] = Shifted(low)
            else:
                made[j] = self.staircases.applied(steps[channel], values[operand][j], shifts[channel])
                self._lemma(made[j])
        return made

    def _lemma(self, value: Shifted) -> None:
        """Assert the range of a number, where its bits could hold another."""
        part = value.part
        if part is None or not self.options.range_lemmas:
            return
        bits = self.terms.width(part.term)
        decide, self.integers.decide = self.integers.decide, False
        if part.low > -(1 << (bits - 1)):
            self.assertions.append(self.integers.at_least(part, part.low))
        if part.high < (1 << (bits - 1)) - 1:
            self.assertions.append(self.integers.at_most(part, part.high))
        self.integers.decide = decide
