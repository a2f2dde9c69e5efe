"""The condition of a query as a term.

A constraint ``c . y >= t`` is a weighted sum compared with a constant. An order ``y_k >= y_l + m`` of
two outputs is a comparison of bit-vectors; where both leave the same staircase, the ranges of the
accumulators say more about it than those of the outputs. With ``T[1] <= ... <= T[K]`` the thresholds
(``T[0]`` minus, ``T[K + 1]`` plus infinity) the order holds exactly where for the level ``i`` of output ``l``,
that is ``T[i] <= a_l < T[i + 1]``, also ``a_k >= T[i + m]`` holds. A level where ``T[i + m]`` exceeds the range of
``a_k``, or ``T[i + m] - T[i + 1] + 1`` that of ``a_k - a_l``, is impossible. The range of the difference is taken
from the difference of the two rows of weights, in which what both outputs share cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netproof.exact.smt.integers import Integers
from netproof.exact.smt.layers import AffineRows, channel_steps
from netproof.exact.smt.options import EncodingOptions
from netproof.exact.smt.staircase import Steps
from netproof.exact.smt.sums import Shifted, Sums
from netproof.operators.activations.staircase import Staircase
from netproof.query import Query

Range = tuple[int, int]


@dataclass(frozen=True)
class ConstraintRow:
    """``sum coefficients[j] * y[j] >= threshold``, zero coefficients left out."""

    coefficients: Mapping[int, int]
    threshold: int

    @property
    def order(self) -> tuple[int, int] | None:
        """``(k, l)`` where this is ``y_k >= y_l + threshold``."""
        if sorted(self.coefficients.values()) != [-1, 1]:
            return None
        (above,) = (j for j, c in self.coefficients.items() if c == 1)
        (below,) = (j for j, c in self.coefficients.items() if c == -1)
        return above, below


class Condition:
    """A disjunction of conjunctions of rows; with ``drop_cases`` without those that ranges refute.

    Parameters
    ----------
    ranges : of every feature of every node
    affine : the matrices of the affine nodes
    """

    def __init__(
        self,
        query: Query,
        options: EncodingOptions,
        ranges: Sequence[Sequence[Range]],
        affine: Mapping[int, AffineRows],
    ) -> None:
        self._graph = query.network.graph
        self._options = options
        self._ranges = ranges
        self._affine = affine
        disjuncts = []
        for conjunction in query.condition:
            rows = [
                ConstraintRow({j: c for j, c in enumerate(map(int, row)) if c}, int(threshold))
                for row, threshold in zip(
                    conjunction.coefficients.tolist(), conjunction.threshold.tolist(), strict=True
                )
            ]
            if not options.drop_cases or all(self._possible(row) for row in rows):
                disjuncts.append(rows)
        self._disjuncts = disjuncts

    def outputs(self) -> set[int]:
        """The outputs that the condition needs."""
        return {j for rows in self._disjuncts for row in rows for j in row.coefficients}

    def term(self, integers: Integers, sums: Sums, values: Sequence[Mapping[int, Shifted]]) -> int:
        """The Boolean term, in terms of the values of the nodes."""
        terms = integers.terms
        return terms.disjunction(
            [
                terms.conjunction([t for row in rows for t in self._row(row, integers, sums, values)])
                for rows in self._disjuncts
            ]
        )

    def _row(
        self, row: ConstraintRow, integers: Integers, sums: Sums, values: Sequence[Mapping[int, Shifted]]
    ) -> list[int]:
        outputs = values[-1]
        order = row.order
        if order is None:
            total = sums.weighted(
                [outputs[j] for j in row.coefficients], list(row.coefficients.values()), -row.threshold
            )
            return [_at_least(integers, total, 0)]
        above, below = (outputs[j] for j in order)
        lemmas = []
        levels = self._levels(*order, row.threshold)
        if self._options.range_lemmas and levels:
            steps = self._shared_steps(*order)
            assert steps is not None
            lemmas.append(_at_least(integers, below, steps.base + levels[0]))
            lemmas.append(integers.terms.negation(_at_least(integers, below, steps.base + levels[-1] + 1)))
        if above.part is None or below.part is None:
            total = sums.weighted([above, below], [1, -1], -row.threshold)
            return [_at_least(integers, total, 0), *lemmas]
        margin = below.offset - above.offset + row.threshold
        moved = integers.add(below.part, integers.constant(margin)) if margin else below.part
        return [integers.not_less(above.part, moved), *lemmas]

    def _possible(self, row: ConstraintRow) -> bool:
        """False where ranges show that the row never holds."""
        ends = self._ranges[-1]
        if sum(c * ends[j][c > 0] for j, c in row.coefficients.items()) < row.threshold:
            return False
        order = row.order
        if order is None:
            return True
        levels = self._levels(*order, row.threshold)
        return levels is None or bool(levels)

    def _levels(self, above: int, below: int, margin: int) -> list[int] | None:
        """The levels of output ``below`` at which ``y[above] >= y[below] + margin`` is possible; None where unknown."""
        steps = self._shared_steps(above, below)
        if steps is None:
            return None
        node = self._graph.nodes[-1].operands[0]
        highest = self._ranges[node][above][1]
        difference = self._largest_difference(node, above, below)
        first, last = (steps.count(end) for end in self._ranges[node][below])
        thresholds, count = steps.thresholds, len(steps.thresholds)
        possible = []
        for i in range(first, last + 1):
            if i + margin > count:
                continue  # beyond the highest level
            if i + margin >= 1:
                entry = thresholds[i + margin - 1]
                if entry > highest or (i < count and entry - thresholds[i] + 1 > difference):
                    continue
            possible.append(i)
        return possible

    def _shared_steps(self, above: int, below: int) -> Steps | None:
        """The staircase of both outputs, where it is one and the same."""
        output = self._graph.nodes[-1]
        if not isinstance(output.operator, Staircase):
            return None
        every = output.size // output.operator.base.shape[0]
        steps = channel_steps(output.operator)
        one, other = steps[above // every], steps[below // every]
        return one if one == other else None

    def _largest_difference(self, node: int, above: int, below: int) -> int:
        """An upper bound of ``a[above] - a[below]``, features of a node."""
        ends = self._ranges[node]
        apart = ends[above][1] - ends[below][0]
        if node not in self._affine:
            return apart
        rows = self._affine[node]
        total = rows.offset[above] - rows.offset[below]
        for operand, matrix in zip(self._graph.nodes[node].operands, rows.matrices, strict=True):
            for w, v, (low, high) in zip(matrix[above], matrix[below], self._ranges[operand], strict=True):
                total += (w - v) * (high if w > v else low)
        return min(total, apart)


def _at_least(integers: Integers, value: Shifted, bound: int) -> int:
    if value.part is None:
        return integers.terms.truth(value.offset >= bound)
    return integers.at_least(value.part, bound - value.offset)
