"""The bounds that a certificate's rows of multipliers give on regions, and on the parts that cuts cut off."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from netproof.certificate.checker.cases import Cases, tensor
from netproof.certificate.checker.evaluate import LIMIT, ExactNetwork
from netproof.certificate.checker.prices import FirstLayer, Priced, units_of
from netproof.certificate.checker.region import Cuts, Region
from netproof.certificate.contents import Certificate, Counts, Integers

#: sets taken at once, and the bytes that may be needed for them
_AT_ONCE, _WORK = 1024, 256 << 20


class Rows:
    """The rows of multipliers of a certificate, on its network.

    ``at_once`` is how many sets are worth taking together, within a bound on memory.
    """

    def __init__(self, certificate: Certificate, net: ExactNetwork, cases: Cases, source: str = "certificate") -> None:
        arrays, multipliers = certificate.arrays, Counts.of(certificate).multipliers
        self._net, self._cases = net, cases
        self._exponent = arrays["row_exponent"]
        rows, ends = len(self._exponent), [0, *arrays["kept"].cumsum().tolist()]
        values = arrays["row_s"].reshape(rows, ends[-1])
        self._mu = arrays["row_mu"].reshape(rows, multipliers)
        self._s = [values[:, start:stop] for start, stop in itertools.pairwise(ends)]
        self._kept = [torch.from_numpy(arrays["kept_feature"][i:j].copy()) for i, j in itertools.pairwise(ends)]
        width = 16 * sum(node.size for node in net.graph.nodes) + 3 * multipliers * certificate.outputs
        width += 8 * net.stairs[-1].levels if cases.has_order else 0
        self.at_once = max(1, min(_AT_ONCE, _WORK // (8 * width)))
        #: of every row its place among those with prices, or -1
        self._place = np.full(rows, -1, np.int64)
        self._layer: FirstLayer | None = None
        self._priced_at_once = self.at_once
        if len(arrays["price_row"]):
            self._layer = FirstLayer(net.graph, source)
            priced = arrays["price_row"]
            self._place[priced] = np.arange(len(priced))
            self._inputs = torch.from_numpy(arrays["price_input"].copy())
            shape = (len(priced), len(self._kept[0]), len(self._inputs))
            self._differences = arrays["price_difference"].reshape(shape)
            self._priced_at_once = max(1, min(self.at_once, _WORK // (8 * 12 * self._layer.weight.numel())))

    def bounds(self, region: Region, case: Tensor, cuts: Cuts, row: Integers) -> Tensor:
        """What row ``row[i]`` bounds on the part that cut ``i`` cuts off from its set: ``[T]``.

        Parameters
        ----------
        region : sets none of which, as far as ``cuts`` names it, has an empty interval
        case : the case of every set, -1 for none
        cuts : the parts; activation -1 stands for the whole set
        row : ``[T]``, from 0

        Returns the exact bounds (below 0: refuted), ``-inf`` where the part is empty and ``inf`` where no bound
        follows: multipliers that are not admissible, or sums beyond ``2**52``.
        """
        bounds = torch.empty(len(cuts), dtype=torch.float64)
        priced = self._place[row] >= 0
        for some, at_once in ((~priced, self.at_once), (priced, self._priced_at_once)):
            at = torch.from_numpy(np.flatnonzero(some))
            if len(at):
                bounds[at] = self._alike(region, case, cuts.take(at), row[some], at_once)
        return bounds

    def _alike(self, region: Region, case: Tensor, cuts: Cuts, row: Integers, at_once: int) -> Tensor:
        """As :meth:`bounds`, of rows that all have prices or none, so many sets at once."""
        bounds = torch.empty(len(cuts), dtype=torch.float64)
        # Cuts of one set by one row have all of the bound in common but one phi.
        pair, unit = np.unique(cuts.node.numpy() * len(self._exponent) + row, return_inverse=True)
        order = unit.argsort(kind="stable")
        stops = np.searchsorted(unit[order], np.arange(0, len(pair) + at_once, at_once))
        for number, (start, stop) in enumerate(itertools.pairwise(stops)):
            some, first = torch.from_numpy(order[start:stop]), number * at_once
            node, rows = np.divmod(pair[first : first + at_once], len(self._exponent))
            of = torch.from_numpy(unit[order[start:stop]] - first)
            bounds[some] = self._bounds(region.take(torch.from_numpy(node)), case[node], cuts.take(some), of, rows)
        return bounds

    def _bounds(self, region: Region, case: Tensor, cuts: Cuts, of: Tensor, row: Integers) -> Tensor:
        """As :meth:`bounds`; row ``row[u]`` goes with set ``u``, and cut ``i`` with set ``of[i]``."""
        net, cases = self._net, self._cases
        mu = tensor(self._mu[row])
        s = []
        for features, kept, values in zip(net.sizes[1:], self._kept, self._s, strict=True):
            s.append(torch.zeros(len(row), features, dtype=torch.float64))
            s[-1][:, kept] = tensor(values[row])
        admissible, constant, size, seeds = cases.seeds(case, mu)
        priced = self._priced(region, row, s[0]) if s else None
        whole = net.backward(region, seeds, s, priced)
        value, size = (constant + whole.value)[of], (size + whole.size)[of]
        empty = torch.zeros(len(of), dtype=torch.bool)
        q_low, q_high = cases.label_range(region, case, of)
        for k in range(len(s)):
            at = (cuts.activation == k + 1).nonzero()[:, 0]
            if not len(at):
                continue
            where = (of[at], cuts.feature[at])
            low, high, lower = region.low[k][where], region.high[k][where], cuts.side[at] == 0
            new_low = torch.where(lower, low, torch.maximum(low, cuts.end[at] + 1))
            new_high = torch.where(lower, torch.minimum(high, cuts.end[at] - 1), high)
            empty[at] = new_low > new_high
            new_low, new_high = (torch.where(empty[at], old, new) for old, new in ((low, new_low), (high, new_high)))
            v, t, feature = whole.v[k][where], s[k][where], cuts.feature[at]
            before, after = (
                net.stairs[k].conjugate(v, t, *r, feature)[0]
                if k or priced is None
                else priced.conjugate(net.stairs[0], v, *r, of[at], feature)
                for r in ((low, high), (new_low, new_high))
            )
            # In this order no partial sum exceeds the sum of the absolute values. Of a set that no input reaches all is proved.
            value[at] = torch.where(before == -torch.inf, -torch.inf, (value[at] - before) + after)
            if cases.has_order and k == len(s) - 1:
                label = feature == cases.q[case[of[at]]]
                q_low[at] = torch.where(label, new_low, q_low[at])
                q_high[at] = torch.where(label, new_high, q_high[at])
        # The difference of the order form, which depends on the range of a_q.
        d = cases.difference(case[of], q_low, q_high)
        times = mu[of, 0] if mu.shape[1] else torch.zeros_like(value)
        times = torch.where(times == 0, 0.0, times * d)
        exact = size + times.abs() < LIMIT  # NaN compares false
        bound = (value - times) * torch.exp2(-tensor(self._exponent[row]))[of]
        bound = torch.where(exact & admissible[of], bound, torch.inf)
        return torch.where(empty | (d == torch.inf), -torch.inf, bound)

    def _priced(self, region: Region, row: Integers, s: Tensor) -> Priced | None:
        """The prices of rows that have them, on their sets; None for rows that have none."""
        if self._layer is None or self._place[row[0]] < 0:
            return None
        prices = s[..., None].repeat(1, 1, self._layer.weight.shape[1])
        differences = self._differences[self._place[row]]
        kept = self._kept[0][:, None]
        # Sums of two entries of a certificate: 64-bit integers hold them.
        values = self._s[0][row][..., None] + differences
        prices[:, kept, self._inputs] = units_of(values)
        return Priced(self._layer, region, prices)
