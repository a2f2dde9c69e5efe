"""The conjunctions of a query over the real numbers as stacked tensors, and their mixtures as objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.query import Conjunction


@dataclass(frozen=True, eq=False)
class Constraints:
    """``N`` conjunctions of up to ``m`` constraints ``outputs @ y + inputs @ x >= threshold``.

    Shorter conjunctions repeat their first constraint, which changes nothing.

    Attributes
    ----------
    outputs : ``[N, m, n_output]``
    inputs : ``[N, m, n_input]``, or None where no constraint speaks of the input
    threshold : ``[N, m]``
    last : the graph's output node
    """

    outputs: Tensor
    inputs: Tensor | None
    threshold: Tensor
    last: int

    @classmethod
    def of(cls, graph: Graph, condition: Sequence[Conjunction]) -> Constraints:
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
        return cls(
            torch.stack([c.coefficients[p] for c, p in zip(condition, picks, strict=True)]),
            inputs,
            torch.stack([c.threshold[p] for c, p in zip(condition, picks, strict=True)]),
            len(graph.nodes) - 1,
        )

    def __len__(self) -> int:
        return self.threshold.shape[0]

    @property
    def width(self) -> int:
        return self.threshold.shape[1]

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Constraints:
        target = torch.device(device)
        inputs = None if self.inputs is None else self.inputs.to(target, dtype)
        return Constraints(self.outputs.to(target, dtype), inputs, self.threshold.to(target, dtype), self.last)

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
