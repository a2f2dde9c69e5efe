"""Bounds of large numbers: exact to the last bit, or refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netproof.certificate.checker.cases import Cases, query_of
from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts
from netproof.certificate.contents import ORDER, BoxProperty, Certificate, arrays_of
from soundness.random_networks import Layer, RandomNetwork, Steps, random_box, random_network
from soundness.reference_checker import Reference, Region

ROWS = 24


class ByBreakpoints(Reference):
    """The reference, with the maximum over a range taken among its ends and the points around thresholds."""

    def phi(self, k: int, feature: int, v: int, s: int, interval: list[float]) -> int:
        stairs = self.stairs[k]
        low, high = (int(end) for end in interval)
        points = {low, high} | {a for t in stairs.thresholds[feature] for a in (t - 1, t) if low <= a <= high}
        return max(v * stairs.value(feature, a) - s * a for a in points)

    def priced_phi(self, feature: int, v: int, prices: list[int], region: Region) -> int:
        """Among the ends, the points around thresholds, and that of least cost."""
        weights, stairs = self.weights[0][feature], self.stairs[0]
        corner = [self.corner(weights, i, region) for i in range(len(weights))]
        least = sum(w * x for w, x in zip(weights, corner, strict=True)) + self.biases[0][feature]
        reach = [abs(w) * int(high - low) for w, (low, high) in zip(weights, region.box, strict=True)]
        low, high = (int(end) for end in region.ranges[0][feature])
        best = least + sum(way for price, way in zip(prices, reach, strict=True) if price < 0)
        around = [a for t in stairs.thresholds[feature] for a in (t - 1, t)]
        values = []
        for a in (a for a in {low, high, best, *around} if low <= a <= high):
            left, cost = a - least, 0
            for price, most in sorted(zip(prices, reach, strict=True)):
                cost += price * min(left, most)
                left -= min(left, most)
            values.append(v * stairs.value(feature, a) - cost)
        return max(values)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_are_exact_or_refused(seed):
    random = np.random.default_rng([30, seed])
    net = random_network(random, bits=6, scale=int(2 ** random.integers(4, 36)))
    box = random_box(random, net)
    outputs = len(net.layers[-1].bias)
    sizes = [len(layer.bias) for layer in net.layers if layer.steps is not None]
    size, heights = sum(sizes), (1, 2)
    # From rows of small numbers to rows that no float64 can hold the sums of.
    magnitude = 2.0 ** random.integers(0, 52, (ROWS, 1))
    s = np.rint(random.normal(size=(ROWS, size)) * magnitude).clip(-(2**53) + 1, 2**53 - 1).astype(np.int64)
    mu = np.rint(random.random((ROWS, 2)) * magnitude).clip(0, 2**53 - 1).astype(np.int64)
    exponent = random.integers(0, 49, ROWS)
    first = sizes[0] if sizes else 0
    priced = np.flatnonzero(random.random(ROWS) < 0.5) if sizes else np.zeros(0, np.int64)
    noise = np.rint(random.normal(size=(len(priced), first * len(box[0]))) * magnitude[priced])
    noise = noise.clip(-(2**53) + 1, 2**53 - 1).astype(np.int64)
    certificate = Certificate(
        "0" * 64, {}, len(box[0]), outputs, "unsat", BoxProperty(heights),
        arrays_of(
            lower=box[0], upper=box[1], coefficients=random.integers(-3, 4, (3, outputs)), threshold=random.integers(-9, 9, 3),
            form=[0, 0], kept=sizes, kept_feature=[f for n in sizes for f in range(n)],
            row_exponent=exponent, row_mu=mu, row_s=s,
            price_row=priced, price_input=np.arange(len(box[0])) if len(priced) else [], price_difference=noise,
        ),
    )  # fmt: skip
    network = net.network()
    query = query_of(certificate, network, "exactness")
    exact = ExactNetwork(network, "exactness")
    cases = Cases(exact, query, certificate.arrays["form"], "exactness")
    region = exact.whole(query.lower, query.upper)
    reference = ByBreakpoints(certificate, net)
    whole = reference.whole()
    assert [r.tolist() for r in region.low] == [[[low for low, _ in layer]] for layer in whole.ranges]
    assert [r.tolist() for r in region.high] == [[[high for _, high in layer]] for layer in whole.ranges]

    rows, at = Rows(certificate, exact, cases), torch.zeros(ROWS, dtype=torch.int64)
    parts = Cuts(at, at - 1, at, at, at.double())
    bounds = rows.bounds(region, torch.tensor([1]), parts, np.arange(ROWS)).tolist()
    for row, bound in enumerate(bounds):
        assert bound == math.inf or bound * 2.0 ** int(exponent[row]) == reference.bound(whole, reference.cases[1], row)
    if sizes:
        # The same for what cuts cut off, where an interval is left to cut.
        k = int(random.integers(len(sizes)))
        feature = int(random.integers(sizes[k]))
        low, high = (int(end) for end in whole.ranges[k][feature])
        end = int(random.integers(low, high + 1))
        cuts = Cuts(at, at + k + 1, at + feature, at + 1, at.double() + end)
        part = Region(whole.box, [[list(i) for i in layer] for layer in whole.ranges])
        part.ranges[k][feature][0] = end + 1
        for row, bound in enumerate(rows.bounds(region, torch.tensor([1]), cuts, np.arange(ROWS)).tolist()):
            if end == high:
                assert bound == -math.inf
            else:
                true = reference.bound(part, reference.cases[1], row)
                assert bound == math.inf or bound * 2.0 ** int(exponent[row]) == true
    # Rows of small numbers are never refused, and those of the largest are (where they meet anything but zeros).
    small = (magnitude[:, 0] < 8).nonzero()[0]
    assert all(math.isfinite(bounds[row]) for row in small)


def test_sums_beyond_float64_are_refused():
    refused = exact = 0
    for seed in range(20):
        random = np.random.default_rng([31, seed])
        net = random_network(random, bits=6, layers=2, scale=1 << 20)
        sizes = [len(layer.bias) for layer in net.layers if layer.steps is not None]
        size = sum(sizes)
        s = random.integers(2**10, 2**53, (ROWS, size)) >> random.integers(0, 45, (ROWS, 1))
        box = net.lower, net.upper
        certificate = Certificate(
            "0" * 64, {}, len(box[0]), len(net.layers[-1].bias), "unsat", BoxProperty((1,)),
            arrays_of(
                lower=box[0], upper=box[1], coefficients=[1] * len(net.layers[-1].bias), threshold=[0], form=[0], kept=sizes,
                kept_feature=[f for n in sizes for f in range(n)], row_exponent=[0] * ROWS, row_mu=[1] * ROWS, row_s=s,
            ),
        )  # fmt: skip
        network = net.network()
        query = query_of(certificate, network, "exactness")
        net_, reference = ExactNetwork(network, "exactness"), ByBreakpoints(certificate, net)
        cases = Cases(net_, query, certificate.arrays["form"], "exactness")
        at = torch.zeros(ROWS, dtype=torch.int64)
        parts = Cuts(at, at - 1, at, at, at.double())
        region = net_.whole(query.lower, query.upper)
        bounds = Rows(certificate, net_, cases).bounds(region, torch.tensor([0]), parts, np.arange(ROWS)).tolist()
        for row, bound in enumerate(bounds):
            if bound == math.inf:
                refused += 1
            else:
                true = reference.bound(reference.whole(), reference.cases[0], row)
                assert bound == true
                exact += abs(true) > 2**40
    assert refused > 50 and exact > 10


@pytest.mark.parametrize(("mu", "exact"), [(30, True), (31, True), (32, False), (33, False)])
def test_what_the_order_form_subtracts_counts_among_the_sums(mu, exact):
    """The accumulators are 0 and 1, and thresholds so far apart that multiplier times difference alone leaves what float64 holds."""
    steps = Steps(np.array([[5, 5 + 2**20, 5 + 2**21]] * 2), np.zeros(2, np.int64), 1)
    layer = Layer(np.array([[1], [0]]), np.zeros(2, np.int64), steps)
    net = RandomNetwork((layer,), np.array([0]), np.array([1]))
    network = net.network()
    certificate = Certificate(
        "0" * 64, {}, 1, 2, "unsat", BoxProperty((1,)),
        arrays_of(
            lower=[0], upper=[1], coefficients=[1, -1], threshold=[2], form=[ORDER], kept=[2], kept_feature=[0, 1],
            row_exponent=[0], row_mu=[2**mu], row_s=[0, 0],
        ),
    )  # fmt: skip
    query = query_of(certificate, network, "order")
    checked = ExactNetwork(network, "order")
    cases = Cases(checked, query, certificate.arrays["form"], "order")
    at = torch.zeros(1, dtype=torch.int64)
    region = checked.whole(query.lower, query.upper)
    parts = Cuts(at, at - 1, at, at, at.double())
    (bound,) = Rows(certificate, checked, cases).bounds(region, at, parts, np.zeros(1, np.int64)).tolist()
    # mu (1 - 0) - mu d, where d = 2^20 + 1; with |mu| and |mu d| added up, at most 2^52 is exact.
    assert bound == (-(2.0 ** (20 + mu)) if exact else math.inf)
