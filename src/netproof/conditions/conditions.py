"""The conjunctions of a query as stacked tensors, and what a search asks of them: one thing for every arithmetic.

A *case* is one conjunction, by its number. It turns a region into an objective that is at least 0 wherever the conjunction
holds; a bound below 0 therefore refutes it on the region. A case may also cut the region's ranges, because the
conjunction implies them. Conditions as they stand do not; :mod:`netproof.conditions.order` has those that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, node_intervals, propagate_intervals
from netproof.graph.crop import Crop
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.base import Activation
from netproof.query import Conjunction
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class ObjectiveParts(Rows):
    """An objective in terms of what the case says and of the final activation's ranges.

    Attributes
    ----------
    weight : ``[B]``, of the case's constraint (or the order form's difference)
    constraint : ``[B]`` int64, which of the case's constraints
    shift : ``[B, n_output]`` or None, what the objective adds to the multipliers of the final activation
    """

    weight: Tensor
    constraint: Tensor
    shift: Tensor | None


@dataclass(frozen=True, eq=False)
class Windows(Rows):
    """Pieces of the range of one output feature each: the feature and the piece's lower end, ``[B]`` each."""

    feature: Tensor
    lower: Tensor


@dataclass(frozen=True, eq=False)
class Conditions:
    """``N`` conjunctions of up to ``m`` constraints ``outputs @ y + inputs @ x >= threshold``.

    Shorter conjunctions repeat their first constraint, which changes nothing.

    Attributes
    ----------
    graph : whose outputs are spoken of
    outputs : ``[N, m, n_output]``
    inputs : ``[N, m, n_input]``, or None where no constraint speaks of the input (always so over the integers)
    threshold : ``[N, m]``
    """

    graph: Graph
    outputs: Tensor
    inputs: Tensor | None
    threshold: Tensor

    @classmethod
    def of(cls, graph: Graph, condition: Sequence[Conjunction]) -> Conditions:
        """The conjunctions as they stand, numbered in their order."""
        if not condition:
            none = torch.zeros(0, 1, graph.output.size, dtype=torch.float64)
            return Conditions(graph, none, None, none[..., 0])
        most = max(len(c.threshold) for c in condition)
        picks = [
            torch.cat([torch.arange(len(c.threshold)), torch.zeros(most - len(c.threshold), dtype=torch.int64)])
            for c in condition
        ]
        inputs = None
        if any(c.input_coefficients is not None for c in condition):
            none = torch.zeros(most, graph.input.size, dtype=torch.float64)
            inputs = torch.stack(
                [
                    none if c.input_coefficients is None else c.input_coefficients[p]
                    for c, p in zip(condition, picks, strict=True)
                ]
            )
        return Conditions(
            graph,
            torch.stack([c.coefficients[p] for c, p in zip(condition, picks, strict=True)]),
            inputs,
            torch.stack([c.threshold[p] for c, p in zip(condition, picks, strict=True)]),
        )

    def of_part(self, part: Crop) -> Conditions:
        """The same about a part of the graph that has all outputs that are spoken of, where none speaks of the input."""
        assert self.inputs is None
        return Conditions(part.graph, self.outputs[..., part.features[-1]], None, self.threshold)

    def __len__(self) -> int:
        return self.threshold.shape[0]

    @property
    def width(self) -> int:
        """How many constraints every conjunction has, repeated ones among them: ``m``."""
        return self.threshold.shape[1]

    @property
    def last(self) -> int:
        """The graph's output node."""
        return len(self.graph.nodes) - 1

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Conditions:
        target = torch.device(device)
        inputs = None if self.inputs is None else self.inputs.to(target, dtype)
        return replace(
            self, outputs=self.outputs.to(target, dtype), inputs=inputs, threshold=self.threshold.to(target, dtype)
        )

    def single(self, case: Tensor, which: Tensor) -> Objective:
        """One constraint of each row's case: at least 0 wherever it holds."""
        # Outputs and inputs are told apart by their nodes.
        assert self.last or self.inputs is None
        coefficients = {self.last: self.outputs[case, which]}
        if self.inputs is not None:
            coefficients[0] = self.inputs[case, which]
        return Objective(coefficients, -self.threshold[case, which])

    def mixed(self, case: Tensor, weight: Tensor) -> Objective:
        """Constraints of each row's case with weights ``[B, m]`` of at least 0: at least 0 wherever the case holds."""
        weighted = weight[:, None]
        coefficients = {self.last: (weighted @ self.outputs[case])[:, 0]}
        if self.inputs is not None:
            coefficients[0] = (weighted @ self.inputs[case])[:, 0]
        return Objective(coefficients, -(weight * self.threshold[case]).sum(-1))

    def mixing_error(self, case: Tensor, weight: Tensor, rounding: Rounding) -> Tensor:
        """What :meth:`mixed` may be off by, because the products and sums in it round: ``[B]``.

        A sum of ``m`` products errs by ``gamma_m`` of their sizes. A conjunction can have far more constraints than the graph
        has terms, for which the account is drawn up, and matrix products do add them one after the other.
        """
        weighted = weight.abs()[:, None]
        error = rounding.weigh(self.last, (weighted @ self.outputs[case].abs())[:, 0])
        if self.inputs is not None:
            error = error + rounding.weigh(0, (weighted @ self.inputs[case].abs())[:, 0])
        error = error + 16 * rounding.gamma * (weight.abs() * self.threshold[case].abs()).sum(-1)
        return error * max(1.0, gamma(2 * self.width + 16) / (16 * rounding.gamma))

    def boundable(self, case: Tensor, rounding: Rounding) -> Tensor:
        """Whether a case has a constraint that can have a finite bound, on the region or on a part of it: ``[B]`` bool.

        What the coefficients themselves add to the error of rounding is the same on all parts.
        """
        error = rounding.weigh(self.last, self.outputs[case])
        if self.inputs is not None:
            error = error + rounding.weigh(0, self.inputs[case])
        return torch.isfinite(error + rounding.gamma * self.threshold[case].abs()).any(1)

    def margins(self, x: Tensor, y: Tensor, case: Tensor) -> Tensor:
        """``[B, m]``: what each constraint of row ``b``'s case has to spare at inputs and outputs ``[B, n]``."""
        left = (self.outputs[case] @ y[..., None])[..., 0]
        if self.inputs is not None:
            left = left + (self.inputs[case] @ x[..., None])[..., 0]
        return left - self.threshold[case]

    # What a search over integers asks: of conditions that know more than this, something else comes back.

    def roots(self, case: Tensor, region: Region) -> tuple[Tensor, Region]:
        """Split rows that must be split before anything else.

        Returns the row that each new row comes from, and the new rows' region; together they
        cover everything of the old ones.
        """
        return torch.arange(len(case)), region

    def windows(self, case: Tensor, region: Region) -> Windows | None:
        """How :meth:`roots` has cut the rows that it returned; None where it never cuts."""
        return None

    def first_alike(self, case: Tensor, region: Region) -> Tensor:
        """For rows that all come from one query's root: the first row (index) that asks the same as each."""
        return torch.arange(len(case))

    def tighten(self, case: Tensor, region: Region) -> Region:
        """Cut off ranges in which the case cannot hold; rows may come back empty."""
        return region

    def confined(self, case: Tensor, region: Region) -> tuple[Tensor, Region]:
        """Propagate ranges forwards and from the case backwards; leave out what has become empty.

        Returns the rows that are left (indices) and their region.
        """
        row = torch.arange(len(case))
        for step in (self.tighten, None) * 2:
            region = propagate_intervals(self.graph, region) if step is None else step(case[row], region)
            alive = ~region.empty()
            if not bool(alive.all()):
                row, region = row[alive], region.take(alive)
            if not len(row):
                break
        return row, region

    def objective(self, case: Tensor, region: Region) -> Objective:
        """An objective that is at least 0 wherever the case holds on the (nonempty) region, in the region's dtype.

        Of several constraints it is the one that interval arithmetic finds hardest to meet.
        """
        return self.single(case, self._hardest(case, region)).to(region.lower.dtype)

    def objective_parts(self, case: Tensor, region: Region) -> ObjectiveParts:
        """What :meth:`objective` consists of."""
        return ObjectiveParts(torch.ones(len(case), dtype=region.lower.dtype), self._hardest(case, region), None)

    def weighted(self, case: Tensor, constraint: Tensor, weight: Tensor, region: Region) -> Objective:
        """``weight >= 0`` (``[B]``) times one constraint of the case as the objective, infinite where that says nothing."""
        one = self.single(case, constraint)
        return Objective({node: weight[:, None] * c for node, c in one.coefficients.items()}, weight * one.constant)

    def _hardest(self, case: Tensor, region: Region) -> Tensor:
        """The constraint of each row's case whose left side reaches least over its threshold, by intervals: ``[B]``."""
        if self.width == 1:
            return torch.zeros_like(case)
        dtype = region.lower.dtype
        coefficients, threshold = self.outputs[case].to(dtype), self.threshold[case].to(dtype)
        low, high = node_intervals(self.graph, region)[-1]
        reach = (coefficients * torch.where(coefficients > 0, high[:, None], low[:, None])).sum(-1) - threshold
        return reach.argmin(1)

    def prices(self, case: Tensor, region: Region) -> list[Tensor]:
        """Multipliers of the final activation's ranges worth starting from: ``[B, n_output]`` each."""
        return []

    def splittable(self, case: Tensor) -> Tensor | None:
        """Features of a final activation worth splitting, ``[B, n_output]`` bool; None for all."""
        return None

    def gradient(self, case: Tensor, start: Tensor) -> dict[int, Tensor]:
        """For attacks: a direction of improvement in node values, varied with ``start`` (``[B]``)."""
        return {self.last: self.outputs[case, start % self.width]}

    def deficiency(self, value: Tensor, case: Tensor) -> Tensor:
        """For attacks: how far ``value`` ``[B, M, n]`` (the output, or the operand of a final
        activation) is from meeting case ``case[b]``: ``[B, M]``, 0 where it meets it."""
        output = self.graph.output.operator
        y = output.evaluate(value) if isinstance(output, Activation) else value
        missing = self.threshold[case][:, None].to(y.dtype) - y @ self.outputs[case].transpose(1, 2).to(y.dtype)
        return missing.clamp(min=0).sum(-1)
