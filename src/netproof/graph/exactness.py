"""Pass: does float64 evaluate this integer graph without rounding?"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.errors import ExactnessError
from netproof.graph.graph import Graph
from netproof.operators.base import Activation, Affine

#: float64 represents every integer up to 2**53; one bit is kept for half-integers (centres of intervals)
EXACT_LIMIT = float(2**52)


def check_exact(graph: Graph, lower: Tensor, upper: Tensor, source: str = "network") -> list[Tensor]:
    """Establish that no partial sum in the graph can reach 2**52 for inputs in ``[lower, upper]``.

    Every partial sum of ``W x + b``, in any order, is at most ``|W| |x| + |b|``; that is what is
    bounded here. The result holds the largest magnitude of every node's features, ``[n]`` each.

    Raises
    ------
    ExactnessError : the first node that may overflow, or whose parameters are not integers below 2**52
    """
    largest: list[Tensor] = [torch.maximum(lower.abs(), upper.abs())]
    for node in graph.nodes[1:]:
        operator = node.operator
        for name, parameter in operator.parameters():
            if not bool(((parameter == parameter.round()) & (parameter.abs() < EXACT_LIMIT)).all()):
                raise ExactnessError(
                    source,
                    f"the {name} of node '{node.name}' ({operator.name}) holds something else than integers below 2^52",
                    "integer claims need such parameters: quantize them first",
                )
        operands = [largest[i] for i in node.operands]
        if isinstance(operator, Affine):
            magnitude = operator.forward_absolute(*operands) + operator.offset_absolute()
        else:
            assert isinstance(operator, Activation)
            low, high = operator.output_range(-operands[0], operands[0])
            magnitude = torch.maximum(low.abs(), high.abs())
        # NaN compares false, so the test is written to fail on it.
        if not bool((magnitude < EXACT_LIMIT).all()):
            raise ExactnessError(
                source,
                f"node '{node.name}' ({operator.name}) can reach {float(magnitude.max()):.3g}, beyond 2^52",
                "exact integers in float64 (2^53, one bit kept for halves) are at an end: use fewer bits or smaller layers",
            )
        largest.append(magnitude)
    return largest
