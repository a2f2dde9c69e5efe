"""Pass: nodes that do not depend on the input become constants, and products with constants linear maps.

A constant that is rounded on its way stays what it is, since a constant node is exact; as the factor of a product it is a number of a
linear map, which says how often it was rounded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from netproof.graph.graph import Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.merge import Look, unwatched
from netproof.graph.rounding import gamma
from netproof.operators.activations.pairs.product import Product
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine

#: a factor that was rounded so often has no digits to speak of left
_MOST_ROUNDINGS = 1 << 20
_UNIT = 2.0**-53


class _Known(NamedTuple):
    """Values ``[n]`` float64 that do not depend on the input, NaN for the others, and what they may be off by."""

    value: Tensor
    error: Tensor

    @property
    def is_exact(self) -> bool:
        return not bool(self.value.isnan().any() | (self.error != 0).any())


def fold_constants(graph: Graph, look: Look = unwatched) -> Graph:
    """The same function over the real numbers."""
    known = _known(graph, look)
    builder = GraphBuilder(graph.arithmetic, graph.input.shape)
    place, changed = {0: builder.input}, False
    for index, node in enumerate(graph.nodes[1:], 1):
        look()
        plain = isinstance(node.operator, Select) and bool((node.operator.index < 0).all())
        if not plain and known[index].is_exact:
            nothing = torch.full((node.size,), -1)
            constant = Select(nothing, graph.input.size, node.shape, known[index].value)
            place[index], changed = builder.add(node.name, constant, builder.input), True
            continue
        if isinstance(node.operator, Product):
            scale = _as_scale(known[node.operands[0]])
            if scale is not None:
                place[index], changed = _scaled(builder, node.name, place[node.operands[0]], *scale), True
                continue
        place[index] = builder.add(node.name, node.operator, *(place[i] for i in node.operands))
    return drop_dead(builder.build()) if changed else graph


def _known(graph: Graph, look: Look) -> list[_Known]:
    known = [_unknown(graph.input.size)]
    for node in graph.nodes[1:]:
        look()
        operands = [known[i] for i in node.operands]
        if isinstance(node.operator, Affine):
            known.append(_mapped(node.operator, operands, node.size))
        else:
            known.append(_unknown(node.size))
    return known


def _unknown(size: int) -> _Known:
    """Nothing, in no memory however many features there are."""
    nothing = torch.full((1,), torch.nan, dtype=torch.float64)
    return _Known(nothing.expand(size), torch.zeros_like(nothing).expand(size))


def _mapped(operator: Affine, operands: list[_Known], size: int) -> _Known:
    values, errors = [part.value for part in operands], [part.error for part in operands]
    if isinstance(operator, Concatenate):
        return _Known(torch.cat(values), torch.cat(errors))
    if isinstance(operator, Select):
        last = values[0].new_zeros(1)
        value, error = (torch.cat([part, last])[operator.index] for part in (values[0], errors[0]))
        return _Known(value if operator.fill is None else torch.where(operator.index < 0, operator.fill, value), error)
    if any(bool(part.isnan().any()) for part in values):
        # Not even where only 0 times something unknown is added: that may have no value.
        return _unknown(size)
    terms = operator.forward_absolute(*(part.abs() for part in values))
    off = operator.forward_absolute(*errors) + operator.offset_error()
    rounded = gamma(operator.terms()[0] + operator.roundings + len(operands) + 8) * (terms + operator.offset_absolute())
    # Told by what is there, since small numbers multiply to 0 as well.
    there = operator.forward_absolute(*((part != 0).to(torch.float64) for part in values)) != 0
    error = torch.where(there | (off != 0), 2 * (off + rounded) + 2.0**-900, 0.0)
    return _Known(operator.forward(*values).expand(size), error.expand(size))


def _as_scale(known: _Known) -> tuple[Tensor, Tensor, int] | None:
    """Of pairs ``[2 n]`` the places of the factors that depend on the input, or of either, the other factor, ``[n]`` each,
    and how often that was rounded; None where some pair has no known factor."""
    first, second = known.value[0::2], known.value[1::2]
    if bool((first.isnan() & second.isnan()).any()) or not len(first):
        return None
    by_first = second.isnan() | (~first.isnan() & (known.error[0::2] == 0))
    factor = torch.where(by_first, first, second)
    error = torch.where(by_first, known.error[0::2], known.error[1::2])
    relative = torch.where(error == 0, 0.0, error / (factor.abs() * _UNIT))
    most = float(relative.amax())
    if not most < _MOST_ROUNDINGS or not bool(torch.isfinite(factor).all()):
        return None
    roundings = math.ceil(most * (1 + 2.0**-20)) + 1 if most else 0
    return torch.arange(0, len(known.value), 2) + by_first, factor, roundings


def _scaled(builder: GraphBuilder, name: str, pairs: int, features: Tensor, factor: Tensor, roundings: int) -> int:
    count = len(features)
    taken = builder.add(f"{name}/factors", Select(features, 2 * count, (count,)), pairs)
    times = Scale(count, factor, torch.zeros(1, dtype=torch.float64), roundings)
    scaled = builder.add(f"{name}/scaled", times, taken)
    twice = torch.arange(count).repeat_interleave(2)
    return builder.add(name, Select(twice, count, (2 * count,)), scaled)
