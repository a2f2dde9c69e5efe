"""A graph, a region and a condition as a mixed-integer linear program.

Inputs are integer columns in their box. Every pre-activation that matters is a column with its range,
tied by one equation to what it is an affine map of; every staircase is encoded by
:mod:`netproof.exact.milp.steps`, whose big-M constants are the ends of the ranges. What is constant on the
region becomes part of a right side. The program is feasible exactly where the region holds a point
that meets the conjunction.

Dropped integrality leaves the linear program in which every activation ranges over its hull. With
``margin`` it maximizes by how much the worst constraint is met, and the dual values of the equations are
then the multipliers of the dual bound (:mod:`netproof.bounds.dual`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.bounds.region import Region
from netproof.exact.milp.steps import Levels, StepEncoding, encode_steps
from netproof.graph.graph import Graph
from netproof.operators.activations.staircase import Staircase
from netproof.operators.base import Affine
from netproof.query import Conjunction
from netproof.solvers.highs.model import Floats, Model, ModelBuilder

#: entries of a dense matrix that is still worth encoding
_LARGEST_MATRIX = 1 << 26


class EncodingError(ValueError):
    """A graph this engine has no encoding for; the message says why."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Feature ``feature`` of activation ``k``: its steps on the region, and its columns."""

    k: int
    feature: int
    steps: StepEncoding
    argument: int
    levels: Levels


@dataclass(frozen=True, eq=False)
class Encoding:
    """A program and what its parts stand for.

    Attributes
    ----------
    model : the program
    inputs : ``[n_input]``, the column of each input; -1 where it is fixed
    base : ``[n_input]``, the values of the fixed inputs
    argument : per activation ``[n_k]``, the column of its pre-activation, -1 where there is none
    value : per activation ``[n_k]``, the column of its value, -1 where it is constant or not encoded
    definition : per activation ``[n_k]``, the row that defines its pre-activation, -1 where there is none
    goals : the rows of the conjunction's constraints
    staircases : every encoded staircase
    """

    model: Model
    inputs: NDArray[np.int64]
    base: Floats
    argument: tuple[NDArray[np.int64], ...]
    value: tuple[NDArray[np.int64], ...]
    definition: tuple[NDArray[np.int64], ...]
    goals: tuple[int, ...]
    staircases: tuple[Encoded, ...]

    def with_real_inputs(self) -> Model:
        """The program without the integrality of the inputs: where it has no point, neither has this one."""
        integer = self.model.integer.copy()
        integer[self.inputs[self.inputs >= 0]] = False
        return replace(self.model, integer=integer)

    def centred(self, point: Floats) -> Model:
        """The linear program of the points on the levels of ``point``, as far from all thresholds as can be."""
        lower, upper = self.model.lower.copy(), self.model.upper.copy()
        slack = len(lower)
        rows: list[tuple[int, float, float, float]] = []
        for staircase in self.staircases:
            argument, levels, steps = staircase.argument, staircase.levels, staircase.steps
            level = float(np.clip(np.rint(point[levels.value]), steps.base, steps.top))
            lower[levels.value] = upper[levels.value] = level
            passed = int(np.searchsorted(np.cumsum(steps.jump), level - steps.base + 0.5))
            for number, column in enumerate(levels.binaries):
                lower[column] = upper[column] = float(number < passed)
            if passed > 0:
                rows.append((argument, -1.0, float(steps.threshold[passed - 1]), np.inf))
            if passed < len(steps.threshold):
                rows.append((argument, 1.0, -np.inf, float(steps.threshold[passed]) - 1))
        model = self.model
        return Model(
            np.append(np.zeros(slack), -1.0),
            np.append(lower, 0.0),
            np.append(upper, np.inf if rows else 0.0),
            np.append(model.integer, False),
            np.append(model.row_lower, [row[2] for row in rows]),
            np.append(model.row_upper, [row[3] for row in rows]),
            np.append(model.start, model.start[-1] + 2 * np.arange(1, len(rows) + 1)).astype(np.int32),
            np.append(model.index, [column for row in rows for column in (row[0], slack)]).astype(np.int32),
            np.append(model.value, [value for row in rows for value in (1.0, row[1])]),
        )

    def input_of(self, point: Floats) -> Floats:
        """The network input in a solution, ``[n_input]``, as the solver gives it."""
        x: Floats = self.base.copy()
        free = self.inputs >= 0
        x[free] = point[self.inputs[free]]
        return x


@dataclass(frozen=True, eq=False)
class _Affine:
    """``sum over nodes of matrix @ value(node) + offset``, the nodes being the input or activations.

    A matrix None is the identity.
    """

    parts: Mapping[int, Floats | None]
    offset: Floats


@dataclass(eq=False)
class _Value:
    """Columns of a node's features (-1: constant), the constants (0 elsewhere), and the ends of every feature."""

    column: NDArray[np.int64]
    constant: Floats
    low: Floats
    high: Floats


class Encoder:
    """Encodes regions of one graph.

    Raises
    ------
    EncodingError : an activation that is no staircase, or an affine map too large to be written out
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        for index in graph.activations:
            if not isinstance(graph.nodes[index].operator, Staircase):
                name = graph.nodes[index].operator.name
                raise EncodingError(f"there is no encoding of '{name}' (node '{graph.nodes[index].name}')")
        affine: list[_Affine] = []
        for index, node in enumerate(graph.nodes):
            if not isinstance(node.operator, Affine):
                affine.append(_Affine({index: None}, np.zeros(node.size)))
                continue
            widest = max(graph.nodes[i].size for i in node.operands)
            if node.size * max(widest, node.size) > _LARGEST_MATRIX:
                raise EncodingError(
                    f"node '{node.name}' has {node.size} x {widest} coefficients, too many to write out"
                )
            unit = torch.eye(node.size, dtype=torch.float64)
            matrices = [m.expand(node.size, -1).numpy() for m in node.operator.adjoint(unit)]
            offset = np.zeros(node.size) + node.operator.offset(unit).numpy()
            affine.append(_compose(matrices, offset, [affine[i] for i in node.operands]))
        #: what each activation is applied to, and the output
        self._operands = {i: affine[graph.nodes[i].operands[0]] for i in graph.activations}
        self._output = affine[-1]
        self._staircases = {i: _rows(graph, i) for i in graph.activations}

    def encode(self, region: Region, conjunction: Conjunction, *, margin: bool = False) -> Encoding:
        """The program of a region of one row.

        With ``margin`` a further column, maximized, is what every constraint is exceeded by: meant for the
        linear program. Without it the constraints are as they stand and there is no objective.
        """
        builder = ModelBuilder()
        lower, upper = region.lower[0].numpy(), region.upper[0].numpy()
        fixed = lower == upper
        inputs = np.full(len(lower), -1)
        inputs[~fixed] = builder.columns(lower[~fixed], upper[~fixed], integer=True)
        base = np.where(fixed, lower, 0.0)
        values: dict[int, _Value] = {0: _Value(inputs, base, lower, upper)}
        goal, right = self._goal(conjunction)
        used = self._used(goal)
        argument, value, definition = [], [], []
        levels: dict[int, dict[int, tuple[StepEncoding, Levels]]] = {}
        for k, index in enumerate(self.graph.activations):
            ends = region.range_lower[k][0].numpy(), region.range_upper[k][0].numpy()
            part = _Activation(self._staircases[index], self._operands[index], ends, used[index])
            encoded, columns, rows, levels[index] = part.encode(builder, values)
            values[index] = encoded
            argument.append(columns)
            value.append(encoded.column)
            definition.append(rows)
        excess = builder.column(-np.inf, np.inf, cost=-1.0) if margin else None
        goals = []
        for i, bound in enumerate(right):
            columns, coefficients, constant = _collect({node: m[i] for node, m in goal.items()}, values)
            extra = ([], []) if excess is None else ([excess], [-1.0])
            goals.append(
                builder.row([*columns, *extra[0]], [*coefficients, *extra[1]], float(bound - constant), np.inf)
            )
            if excess is None:
                self._order(builder, levels, conjunction, i)
        staircases = tuple(
            Encoded(k, j, cut, int(argument[k][j]), found)
            for k, index in enumerate(self.graph.activations)
            for j, (cut, found) in levels[index].items()
        )
        return Encoding(
            builder.build(), inputs, base, tuple(argument), tuple(value), tuple(definition), tuple(goals), staircases
        )

    def _goal(self, conjunction: Conjunction) -> tuple[dict[int, Floats], Floats]:
        """The constraints in terms of the input and of activations: ``[m, n]`` for each, and their right sides."""
        coefficients = conjunction.coefficients.numpy()
        goal = {
            node: coefficients if matrix is None else coefficients @ matrix
            for node, matrix in self._output.parts.items()
        }
        return goal, conjunction.threshold.numpy() - coefficients @ self._output.offset

    def _used(self, goal: Mapping[int, Floats]) -> dict[int, NDArray[np.bool_]]:
        """Which features of each activation the constraints depend on."""
        used: dict[int, NDArray[np.bool_]] = {
            i: np.zeros(self.graph.nodes[i].size, np.bool_) for i in (0, *self.graph.activations)
        }
        for node, matrix in goal.items():
            used[node] |= (matrix != 0).any(0)
        for index in reversed(self.graph.activations):
            mine = used[index]
            for node, part in self._operands[index].parts.items():
                used[node] |= mine if part is None else (part[mine] != 0).any(0)
        return used

    def _order(
        self,
        builder: ModelBuilder,
        levels: Mapping[int, Mapping[int, tuple[StepEncoding, Levels]]],
        conjunction: Conjunction,
        number: int,
    ) -> None:
        """For ``y_k - y_j >= r``: where the label has passed a threshold, the rival has passed one high enough.

        Implied by the constraint on integers, and much stronger than it where they are relaxed.
        """
        row, right = conjunction.coefficients[number].numpy(), float(conjunction.threshold[number])
        rival, label = np.flatnonzero(row == 1), np.flatnonzero(row == -1)
        encoded = levels.get(len(self.graph.nodes) - 1, {})
        if len(rival) != 1 or len(label) != 1 or np.count_nonzero(row) != 2:
            return
        if int(rival[0]) not in encoded or int(label[0]) not in encoded:
            return
        (high, w), (low, z) = encoded[int(rival[0])], encoded[int(label[0])]
        if not w.binaries or not z.binaries:
            return
        reached = high.base + np.cumsum(high.jump)
        for column, level in zip(z.binaries, low.base + np.cumsum(low.jump), strict=True):
            first = int(np.searchsorted(reached, level + right))
            if level + right <= high.base:
                continue
            if first == len(reached):
                builder.fix(column, 0.0)
            else:
                builder.row([w.binaries[first], column], [1.0, -1.0], 0.0, np.inf)


@dataclass(frozen=True, eq=False)
class _Activation:
    """One activation node on a region."""

    staircases: tuple[Floats, Floats]
    operand: _Affine
    ends: tuple[Floats, Floats]
    used: NDArray[np.bool_]

    def encode(
        self, builder: ModelBuilder, values: Mapping[int, _Value]
    ) -> tuple[_Value, NDArray[np.int64], NDArray[np.int64], dict[int, tuple[StepEncoding, Levels]]]:
        low, high = self.ends
        natural_low, natural_high = _interval(self.operand, values)
        thresholds, base = self.staircases
        size = len(low)
        argument, definition, value = np.full(size, -1), np.full(size, -1), np.full(size, -1)
        image_low, image_high = np.empty(size), np.empty(size)
        levels: dict[int, tuple[StepEncoding, Levels]] = {}
        for j in range(size):
            steps = StepEncoding.within(thresholds[j], float(base[j]), float(low[j]), float(high[j]))
            image_low[j], image_high[j] = steps.base, steps.top
            constant = not len(steps.threshold)
            # A range narrower than its operands make it is a constraint even where the value is constant.
            confined = low[j] > natural_low[j] or high[j] < natural_high[j]
            if not confined and (constant or not self.used[j]):
                continue
            argument[j] = builder.column(float(low[j]), float(high[j]))
            row = {node: None if m is None else m[j] for node, m in self.operand.parts.items()}
            columns, coefficients, offset = _collect(row, values, j)
            right = offset + float(self.operand.offset[j])
            definition[j] = builder.row([argument[j], *columns], [1.0, *(-coefficients)], right, right)
            if not constant and self.used[j]:
                levels[j] = (steps, encode_steps(builder, steps, int(argument[j])))
                value[j] = levels[j][1].value
        constants = np.where(value < 0, image_low, 0.0)
        return _Value(value, constants, image_low, image_high), argument, definition, levels


def _compose(matrices: list[Floats], offset: Floats, operands: list[_Affine]) -> _Affine:
    """An affine map of affine maps."""
    parts: dict[int, Floats | None] = {}
    for matrix, operand in zip(matrices, operands, strict=True):
        offset = offset + matrix @ operand.offset
        for node, inner in operand.parts.items():
            product = matrix if inner is None else matrix @ inner
            known = parts.get(node)
            parts[node] = product if known is None else known + product
    return _Affine(parts, offset)


def _rows(graph: Graph, index: int) -> tuple[Floats, Floats]:
    """Thresholds ``[n, K]`` and base ``[n]`` of a staircase, one row per feature."""
    staircase = graph.nodes[index].operator
    assert isinstance(staircase, Staircase)
    channel = np.arange(graph.nodes[index].size) // (graph.nodes[index].size // staircase.base.shape[0])
    return staircase.thresholds.numpy()[channel], staircase.base.numpy()[channel]


def _interval(operand: _Affine, values: Mapping[int, _Value]) -> tuple[Floats, Floats]:
    """Ends of an affine map's values, by the ends of what it is applied to."""
    low, high = operand.offset.copy(), operand.offset.copy()
    for node, matrix in operand.parts.items():
        value = values[node]
        if matrix is None:
            low, high = low + value.low, high + value.high
        else:
            plus, minus = np.maximum(matrix, 0), np.minimum(matrix, 0)
            low = low + plus @ value.low + minus @ value.high
            high = high + plus @ value.high + minus @ value.low
    return low, high


def _collect(
    row: Mapping[int, Floats | None], values: Mapping[int, _Value], feature: int = 0
) -> tuple[NDArray[np.int64], Floats, float]:
    """Columns, coefficients and constant of a linear form; None stands for ``feature`` of the node itself."""
    columns: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    coefficients: list[Floats] = [np.empty(0)]
    constant = 0.0
    for node, given in row.items():
        value = values[node]
        part = np.zeros(len(value.column)) if given is None else given
        if given is None:
            part[feature] = 1.0
        constant += float(part @ value.constant)
        chosen = np.flatnonzero((part != 0) & (value.column >= 0))
        columns.append(value.column[chosen])
        coefficients.append(part[chosen])
    return np.concatenate(columns), np.concatenate(coefficients), constant
