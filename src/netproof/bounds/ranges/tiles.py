"""Features of a layer in groups that lie side by side, and what each group depends on.

Bounding the features of a small tile of an early layer needs a window of the layers before it only
(:mod:`netproof.graph.crop`), so that the cost is that of the tile's receptive field and not of the whole network.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import REFINE
from netproof.graph.crop import crop
from netproof.graph.graph import Graph
from netproof.operators.base import Shape


@dataclass(frozen=True, eq=False)
class Tile:
    """A graph that gives some features of a node.

    Attributes
    ----------
    relaxation, rounding : of what they depend on
    features : ``[n]``, what features the node gives: rising indices in the larger graph
    node : the node of this graph
    """

    relaxation: Relaxation
    rounding: Rounding
    features: Tensor
    node: int


def groups(graph: Graph, node: int, feature: Tensor) -> list[Tensor]:
    """Positions in ``feature`` ``[m]`` (of a node), in groups of neighbours; a single one where crops do not pay."""
    every = torch.arange(len(feature))
    shape = _map(graph.nodes[node].shape)
    if shape is None:
        return [every]
    rows, columns = shape
    place = feature % (rows * columns)
    most = max(REFINE.tile_rows, REFINE.tile_work // sum(one.size for one in graph.nodes[: node + 1]))
    return _halved(every, place // columns, place % columns, 2 * most)


def cut(graph: Graph, region: Region, rounding: Rounding, node: int, features: Tensor) -> Tile:
    """What features of a node depend on; ``rounding`` of a region that holds this one."""
    part = crop(graph, node, features)
    return Tile(
        Relaxation(part.graph, region.part(part)), rounding.part(part), part.features[-1], len(part.graph.nodes) - 1
    )


def _map(shape: Shape) -> tuple[int, int] | None:
    """Rows and columns, where features are channels of a map."""
    return (shape[-2], shape[-1]) if len(shape) >= 3 and prod(shape[:-3]) == 1 else None


def _halved(which: Tensor, y: Tensor, x: Tensor, most: int) -> list[Tensor]:
    """Groups of at most so many, or of a single place, by halving along the longer side."""
    if len(which) <= most:
        return [which]
    rows, columns = y[which], x[which]
    height, width = int(rows.max() - rows.min()), int(columns.max() - columns.min())
    if not height and not width:
        return [which]
    at = rows if height >= width else columns
    first = at <= (int(at.min()) + int(at.max())) // 2
    return [*_halved(which[first], y, x, most), *_halved(which[~first], y, x, most)]
