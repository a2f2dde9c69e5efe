"""The property a certificate speaks of, and its cases: what refuting one of them takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.region import Region
from netproof.certificate.contents import ORDER, Certificate, ClassProperty, Integers, RobustnessProperty
from netproof.errors import CertificateError, InputError
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.query import Conjunction, Query

#: levels of staircases looked at together
_BLOCK = 1 << 20

Seeds = dict[int, tuple[Tensor, Tensor]]


def tensor(values: Integers) -> Tensor:
    """Entries of a certificate as float64, which holds them exactly."""
    return torch.from_numpy(values.astype(np.float64))


def query_of(certificate: Certificate, network: Network, source: str) -> Query:
    """The query that a certificate answers; raises :class:`CertificateError` where it does not fit the network."""
    if certificate.network_sha256 != network.sha256:
        raise CertificateError(
            source,
            f"is about the network with SHA-256 {certificate.network_sha256}, {network.path} has {network.sha256}",
            "give the network it was made for",
        )
    if dict(certificate.scheme) != network.scheme:
        raise CertificateError(
            source,
            f"reads the network with {str(dict(certificate.scheme))[:200]}, here it was read with {network.scheme}",
            "load it with the bit widths of the certificate",
        )
    if certificate.runtime != network.runtime:
        raise CertificateError(
            source,
            f"is about what '{certificate.runtime[:40]}' computes, here the network is read for '{network.runtime}'",
            "load it for the runtime of the certificate",
        )
    if (certificate.inputs, certificate.outputs) != (network.inputs, network.outputs):
        raise CertificateError(
            source,
            f"is about {certificate.inputs} inputs and {certificate.outputs} outputs, the network has "
            f"{network.inputs} and {network.outputs}",
            "give the network it was made for",
        )
    if network.graph.arithmetic is not Arithmetic.INTEGER:
        raise CertificateError(
            source,
            f"speaks of integers, {network.path} computes {network.graph.arithmetic.value} numbers",
            "give its network",
        )
    arrays, asked = certificate.arrays, certificate.property
    try:
        if isinstance(asked, RobustnessProperty):
            return robustness(network, tensor(arrays["image"]), asked.label, asked.radius, name=source)
        if isinstance(asked, ClassProperty):
            box = tensor(arrays["lower"]), tensor(arrays["upper"])
            return robustness(network, tensor(arrays["image"]), asked.label, box=box, name=source)
        heights = list(asked.constraints)
        coefficients = tensor(arrays["coefficients"]).reshape(-1, network.outputs)
        threshold = tensor(arrays["threshold"])
        condition = tuple(
            Conjunction(c, r)
            for c, r in zip(coefficients.split(heights), threshold.split(heights), strict=True)  # type: ignore[no-untyped-call]
        )
        return Query(network, tensor(arrays["lower"]), tensor(arrays["upper"]), condition, source)
    except InputError as error:
        raise CertificateError(source, f"has an unusable property: {error.problem}", "make it anew") from None


class Cases:
    """The cases of a query in the forms that a certificate states.

    Cases are named by index, ``[B]`` int64; -1 stands for none (common cuts). Raises :class:`CertificateError` where a
    form is not admissible.
    """

    def __init__(self, net: ExactNetwork, query: Query, form: Integers, source: str) -> None:
        self._net = net
        self._last = len(net.graph.nodes) - 1
        # Of order cases, whose output is an activation; a network that does nothing gives its input, without operands.
        self._operand = net.graph.output.operands[0] if net.graph.output.operands else 0
        self.heights = torch.tensor([len(c.threshold) for c in query.condition], dtype=torch.int64)
        self._start = self.heights.cumsum(0) - self.heights
        rows = [c.coefficients for c in query.condition] or [query.lower.new_zeros(0, net.graph.output.size)]
        self._coefficients = torch.cat(rows)
        self._threshold = torch.cat([c.threshold for c in query.condition] or [query.lower.new_zeros(0)])
        self.is_order = torch.from_numpy(form == ORDER)
        self.has_order = bool(self.is_order.any())
        if self.has_order:
            self._check_order(source)
            first = self._coefficients[self._start]
            # The positions of 1 and -1, and the margin, of order cases; of no meaning elsewhere.
            self.p, self.q, self._m = first.argmax(1), first.argmin(1), self._threshold[self._start].long()

    def _check_order(self, source: str) -> None:
        graph = self._net.graph
        fits = graph.activations[-1:] == (self._last,)
        if fits:
            stairs, every = self._net.stairs[-1], torch.arange(graph.output.size)
            fits = stairs.levels >= 1 and bool((stairs.base == stairs.base[0]).all())
            for i in range(stairs.levels + 2) if stairs.channels > 1 and fits else ():
                threshold = stairs.threshold(torch.tensor(i), every)
                fits = fits and bool((threshold == threshold[0]).all())
        rows = self._coefficients[self._start[self.is_order]]
        fits = fits and bool((self.heights[self.is_order] == 1).all())
        fits = fits and bool(((rows == 1).sum(1) == 1).all() & ((rows == -1).sum(1) == 1).all())
        if not (fits and bool(((rows != 0).sum(1) == 2).all())):
            raise CertificateError(source, "has a case in the order form that does not admit it", "make it anew")

    def close(self, region: Region, case: Tensor) -> Region:
        """The closure of regions for cases: twice what the case implies for its two operands, and propagation."""
        for _ in range(2):
            region = self._net.propagate(self._cut(region, case))
        return region

    def _cut(self, region: Region, case: Tensor) -> Region:
        rows = self._is_order(case).nonzero()[:, 0]
        if not len(rows):
            return region
        stairs, feature = self._net.stairs[-1], torch.zeros((), dtype=torch.int64)
        low, high = region.low[-1].clone(), region.high[-1].clone()
        p, q, m = (t[case[rows]] for t in (self.p, self.q, self._m))
        ceiling = (stairs.level(high[rows, p], feature) - m + 1).clamp(0, stairs.levels + 1)
        floor = (stairs.level(low[rows, q], feature) + m).clamp(0, stairs.levels + 1)
        high[rows, q] = torch.minimum(high[rows, q], stairs.threshold(ceiling, feature) - 1)
        low[rows, p] = torch.maximum(low[rows, p], stairs.threshold(floor, feature))
        return replace(region, low=(*region.low[:-1], low), high=(*region.high[:-1], high))

    def _is_order(self, case: Tensor) -> Tensor:
        return self.is_order[case] & (case >= 0) if self.has_order else torch.zeros(len(case), dtype=torch.bool)

    def seeds(self, case: Tensor, mu: Tensor) -> tuple[Tensor, Tensor, Tensor, Seeds]:
        """What rows with ``mu`` ``[U, M]`` start from.

        Returns which rows are admissible (``mu >= 0``, nothing beyond the case's own constraints), the objective's
        constant and the sum of absolute values behind it, and its coefficients by node. The order form's own constant is
        left to :meth:`difference`.
        """
        height = torch.where(case >= 0, self.heights[case], 0) if len(self.heights) else torch.zeros_like(case)
        beyond = torch.arange(mu.shape[1]) >= height[:, None]
        admissible = ~((mu < 0) | (beyond & (mu != 0))).any(1)
        mu = torch.where(admissible[:, None], mu, 0.0)
        constant, size = mu.new_zeros(len(case)), mu.new_zeros(len(case))
        seeds: Seeds = {}
        order = self._is_order(case)
        if bool(order.any()):
            v = mu.new_zeros(len(case), self._net.graph.nodes[self._operand].size)
            rows = order.nonzero()[:, 0]
            v[rows, self.p[case[rows]]] = mu[rows, 0]
            v[rows, self.q[case[rows]]] = -mu[rows, 0]
            seeds[self._operand] = (v, v.abs())
        rows, at = (mu * ~order[:, None]).nonzero().unbind(1)
        if len(rows):
            times, constraint = mu[rows, at], self._start[case[rows]] + at
            v = mu.new_zeros(len(case), self._net.graph.output.size)
            terms = self._coefficients[constraint] * times[:, None]
            seeds[self._last] = (v.index_add(0, rows, terms), v.index_add(0, rows, terms.abs()))
            right = self._threshold[constraint] * times
            constant, size = constant.index_add(0, rows, -right), size.index_add(0, rows, right.abs())
        return admissible, constant, size, seeds

    def difference(self, case: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """``d`` of the order form on ranges ``[low, high]`` of ``a_q``, ``[B]``.

        ``-inf`` where the difference says nothing, ``inf`` where the case cannot hold; 0 for the linear form and none.
        """
        d = torch.zeros_like(low)
        rows = self._is_order(case).nonzero()[:, 0]
        if not len(rows):
            return d
        stairs, feature = self._net.stairs[-1], torch.zeros((), dtype=torch.int64)
        top = stairs.levels
        i = torch.arange(top + 1)
        for some in rows.split(max(1, _BLOCK // (top + 1))):  # type: ignore[no-untyped-call]
            m = self._m[case[some], None]
            difference = stairs.threshold((i + m).clamp(0, top + 1), feature) - stairs.threshold(i + 1, feature) + 1
            difference = torch.where((i + m <= 0) | (i == top), -torch.inf, difference)
            i0, i1 = (stairs.level(end[some], feature)[:, None] for end in (low, high))
            outside = (i < i0) | (i > i1) | (i + m > top)
            d[some] = torch.where(outside, torch.inf, difference).amin(1)
        return d

    def label_range(self, region: Region, case: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
        """The range of ``a_q`` of set ``of[i]``: ``[T]`` each, meaningless except for order cases."""
        if not self.has_order:
            return torch.zeros(len(of), dtype=torch.float64), torch.zeros(len(of), dtype=torch.float64)
        q = self.q[case[of]]
        return region.low[-1][of, q], region.high[-1][of, q]
