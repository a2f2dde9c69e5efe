"""Which axis of a network's input has its channels."""

from __future__ import annotations

import torch

from netproof.graph.graph import Graph
from netproof.operators.activations.requantize import Requantize
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select


def channels_first(graph: Graph, shape: tuple[int, ...]) -> bool | None:
    """Whether an input of three axes is ``(channels, rows, columns)``; None where nothing tells.

    Convolutions of a graph take channels first. So an input that meets one as it is has them first, and one that is
    transposed, or only reshaped, on its way has them last. Where there is no convolution, an axis of 1 or 3 tells.
    """
    if len(shape) != 3:
        return False
    last = (shape[2], *shape[:2])
    as_given, transposed = {0}, set[int]()
    order = torch.arange(graph.input.size).reshape(shape).permute(2, 0, 1).reshape(-1)
    for index, node in enumerate(graph.nodes):
        operator = node.operator
        if not node.operands or not as_given.union(transposed).issuperset(node.operands):
            continue
        if isinstance(operator, Convolution):
            if transposed.issuperset(node.operands):
                return False
            # Of one channel both orders are the same numbers, and nothing has to be transposed: the shape tells.
            taken = (operator.samples * operator.input_shape[0], *operator.input_shape[1:])
            if taken in (shape, last):
                return taken == shape
        elif isinstance(operator, Select):
            if operator.index.numel() == order.numel() and torch.equal(operator.index.cpu(), order):
                transposed.add(index)
        elif isinstance(operator, Scale | Requantize):
            (as_given if as_given.issuperset(node.operands) else transposed).add(index)
    first, third = (shape[axis] in (1, 3) for axis in (0, 2))
    return None if first == third else first
