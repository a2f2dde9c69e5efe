"""What is written of a proof, in the order of the file (docs/certificates.md)."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.graph.graph import Graph

#: activation from 1, feature, side, end, row
Made = tuple[int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class RoundedRows:
    """Rows of multipliers with few digits (:class:`netproof.search.proofs.digits.Rounded`), and the prices of some by number."""

    units: Tensor
    exponent: Tensor
    proved: Tensor
    prices: dict[int, Tensor]


@dataclass(eq=False)
class Written:
    """What has been written of one query's proof; rows of multipliers in the order of the file."""

    units: list[Tensor] = field(default_factory=list)
    exponent: list[Tensor] = field(default_factory=list)
    constraint: list[Tensor] = field(default_factory=list)
    prices: dict[int, Tensor] = field(default_factory=dict)
    rows: int = 0
    common: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    leaf_row: list[int] = field(default_factory=list)
    cut_count: list[int] = field(default_factory=list)
    cuts: list[Made] = field(default_factory=list)
    splits: list[tuple[int, int, int]] = field(default_factory=list)

    def copy(self) -> Written:
        """A copy that can be written on."""
        return Written(**{f.name: copy(getattr(self, f.name)) for f in fields(self)})

    def add_rows(self, rounded: RoundedRows, which: Tensor, constraint: Tensor) -> range:
        """Append the rows ``which`` of multipliers; returns their numbers."""
        self.units.append(rounded.units[which])
        self.exponent.append(rounded.exponent[which])
        self.constraint.append(constraint[which])
        for number, row in enumerate(which.tolist(), self.rows):
            if row in rounded.prices:
                self.prices[number] = rounded.prices[row]
        self.rows += len(which)
        return range(self.rows - len(which), self.rows)

    def arrays(
        self, graph: Graph, is_order: Tensor, most: int, matters: Tensor | None = None
    ) -> dict[str, NDArray[np.int64]]:
        """The arrays of a certificate from ``form`` on.

        Parameters
        ----------
        graph : the query's own
        is_order : of every case of the query, whether in order form
        most : the largest number of constraints of a case
        matters : ``[m, n]`` bool, which neurons of the first layer move with which inputs, elsewhere a price is of no
            meaning; None for all
        """
        sizes = [graph.nodes[i].size for i in graph.activations]
        units = torch.cat([torch.zeros(0, 1 + sum(sizes), dtype=torch.int64), *self.units])
        constraint = torch.cat([torch.zeros(0, dtype=torch.int64), *self.constraint])
        exponent = torch.cat([torch.zeros(0, dtype=torch.int64), *self.exponent])
        prices = [(row, self.prices[row]) for row in sorted(self.prices)]
        inputs = torch.zeros(graph.input.size, dtype=torch.bool)
        for row, units_of in prices:
            # Of a row with prices the first activation's multipliers are what its prices are told from.
            middle = (units_of.amax(1).long() + units_of.amin(1).long()) // 2
            units[row, 1 : 1 + len(middle)] = middle
            # A price of 0 is one that has to be told, too.
            told_apart = units_of != middle[:, None]
            inputs |= (told_apart if matters is None else told_apart & matters).any(0)
        mu = torch.zeros(len(units), most, dtype=torch.int64)
        mu[torch.arange(len(units)), constraint] = units[:, 0]
        used = [part.any(0) for part in torch.split(units[:, 1:], sizes, 1)]
        for _, units_of in prices:
            used[0] |= units_of.any(1)
        kept = [part.nonzero()[:, 0] for part in used]
        told = inputs.nonzero()[:, 0]
        starts = np.cumsum([1, *sizes]).tolist()
        none = torch.zeros(0, dtype=torch.int64)
        columns = torch.cat([none, *(start + features for start, features in zip(starts, kept, strict=False))])
        cuts = np.array(self.cuts, dtype=np.int64).reshape(-1, 5)
        splits = np.array(self.splits, dtype=np.int64).reshape(-1, 3)
        arrays = {
            "form": is_order.long().numpy(),
            "kept": [len(features) for features in kept],
            "kept_feature": torch.cat([none, *kept]).numpy(),
            "row_exponent": exponent.numpy(),
            "row_mu": mu.reshape(-1).numpy(),
            "price_row": [row for row, _ in prices],
            "price_input": told.numpy(),
            "price_difference": np.concatenate(
                [
                    (units_of[kept[0]][:, told].long() - units[row, 1 + kept[0], None]).reshape(-1).numpy()
                    for row, units_of in prices
                ]
                or [np.zeros(0, np.int64)]
            ),
            "row_s": units[:, columns].reshape(-1).numpy(),
            "common": self.common,
            "kind": self.kind,
            "leaf_row": self.leaf_row,
            "cut_count": self.cut_count,
            "cut_activation": cuts[:, 0],
            "cut_feature": cuts[:, 1],
            "cut_side": cuts[:, 2],
            "cut_end": cuts[:, 3],
            "cut_row": cuts[:, 4],
            "split_activation": splits[:, 0],
            "split_feature": splits[:, 1],
            "split_point": splits[:, 2],
        }
        return {name: np.asarray(values, dtype=np.int64) for name, values in arrays.items()}
