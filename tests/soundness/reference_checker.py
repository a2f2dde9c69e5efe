"""A second checker of certificates, slow and plain: Python integers, one feature after the other.

Written from docs/certificates.md for chains of layers (:class:`RandomNetwork`); it uses nothing of netproof but the
container of a certificate's arrays. Ranges are enumerated integer by integer.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from netproof.certificate.contents import BoxProperty, Certificate, ClassProperty
from soundness.random_networks import RandomNetwork, Steps

INFINITY = math.inf


class Rejected(Exception):  # noqa: N818
    """The certificate proves nothing."""


class Stairs:
    """A staircase, feature by feature."""

    def __init__(self, steps: Steps) -> None:
        self.size = len(steps.base)
        if steps.fixed_point is not None:
            shift, low, high = steps.fixed_point
            half = 2**shift // 2
            self.base = [low] * self.size
            self.thresholds = [[(low + k) * 2**shift - half for k in range(1, high - low + 1)]] * self.size
        else:
            self.base = [int(b) for b in steps.base]
            self.thresholds = [[int(t) for t in row] for row in steps.thresholds]
        self.levels = len(self.thresholds[0])

    def level(self, feature: int, a: float) -> int:
        return sum(1 for t in self.thresholds[feature] if t <= a)

    def value(self, feature: int, a: float) -> int:
        return self.base[feature] + self.level(feature, a)

    def threshold(self, i: int) -> float:
        """``T[i]`` of a staircase that all features share."""
        if i <= 0:
            return -INFINITY
        return INFINITY if i > self.levels else self.thresholds[0][i - 1]

    @property
    def shared(self) -> bool:
        return len({tuple(t) for t in self.thresholds}) == 1 and len(set(self.base)) == 1


@dataclass
class Region:
    """Intervals as lists of ``[low, high]``: of the inputs, and of every activation's operand."""

    box: list[list[float]]
    ranges: list[list[list[float]]]

    def copy(self) -> Region:
        return Region([list(i) for i in self.box], [[list(i) for i in layer] for layer in self.ranges])

    def interval(self, activation: int, feature: int) -> list[float]:
        """Of an activation, counted from 1; 0 is the box."""
        return self.box[feature] if activation == 0 else self.ranges[activation - 1][feature]

    def empty(self) -> bool:
        return any(low > high for layer in (self.box, *self.ranges) for low, high in layer)


@dataclass
class Case:
    """``rows`` of coefficients with their right sides; ``p``, ``q``, ``m`` where it has the order form."""

    rows: list[list[int]]
    right: list[int]
    order: tuple[int, int, int] | None = None


class Reference:
    """The network and the property of one certificate."""

    def __init__(self, certificate: Certificate, net: RandomNetwork) -> None:
        self.arrays = {name: [int(v) for v in values] for name, values in certificate.arrays.items()}
        self.net = net
        self.weights = [[[int(w) for w in row] for row in layer.weight] for layer in net.layers]
        self.biases = [[int(b) for b in layer.bias] for layer in net.layers]
        self.stairs = [Stairs(layer.steps) for layer in net.layers if layer.steps is not None]
        # which activation follows a layer
        numbers = itertools.count()
        self.after = [None if layer.steps is None else next(numbers) for layer in net.layers]
        self._property(certificate)
        self._multipliers(certificate)

    def outputs(self, x: list[int]) -> list[int]:
        for weight, bias, k in zip(self.weights, self.biases, self.after, strict=True):
            a = [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
            x = a if k is None else [self.stairs[k].value(j, v) for j, v in enumerate(a)]
        return x

    def _property(self, certificate: Certificate) -> None:
        asked, arrays = certificate.property, self.arrays
        least, largest = [int(v) for v in self.net.lower], [int(v) for v in self.net.upper]
        count = certificate.outputs
        if isinstance(asked, BoxProperty):
            self.box = [[low, high] for low, high in zip(arrays["lower"], arrays["upper"], strict=True)]
            at = 0
            self.cases = []
            for height in asked.constraints:
                rows = [arrays["coefficients"][count * i : count * (i + 1)] for i in range(at, at + height)]
                self.cases.append(Case(rows, arrays["threshold"][at : at + height]))
                at += height
        else:
            image, label = arrays["image"], asked.label
            if label >= count or any(not a <= v <= b for a, v, b in zip(least, image, largest, strict=True)):
                raise Rejected("image or label")
            y = self.outputs(image)
            if y.index(max(y)) != label:
                raise Rejected("misclassified")
            if isinstance(asked, ClassProperty):
                self.box = [[low, high] for low, high in zip(arrays["lower"], arrays["upper"], strict=True)]
            else:
                self.box = [
                    [max(v - asked.radius, a), min(v + asked.radius, b)]
                    for a, v, b in zip(least, image, largest, strict=True)
                ]
            self.cases = []
            for k in range(count):
                if k != label:
                    row = [0] * count
                    row[k], row[label] = 1, -1
                    self.cases.append(Case([row], [0 if k < label else 1]))
        if any(not (a <= low <= high <= b) for (low, high), a, b in zip(self.box, least, largest, strict=True)):
            raise Rejected("box")
        for case, form in zip(self.cases, arrays["form"], strict=True):
            if form == 1:
                row = case.rows[0]
                if (
                    self.after[-1] is None or not self.stairs[-1].shared or not self.stairs[-1].levels
                    or len(case.rows) != 1 or sorted(v for v in row if v) != [-1, 1]
                ):  # fmt: skip
                    raise Rejected("form")
                case.order = (row.index(1), row.index(-1), case.right[0])

    def _multipliers(self, certificate: Certificate) -> None:
        arrays = self.arrays
        sizes = [s.size for s in self.stairs]
        if len(arrays["kept"]) != len(sizes):
            raise Rejected("kept")
        at, kept = 0, []
        for k, count in enumerate(arrays["kept"]):
            features = arrays["kept_feature"][at : at + count]
            if features != sorted(set(features)) or any(not 0 <= f < sizes[k] for f in features):
                raise Rejected("kept_feature")
            kept += [(k, f) for f in features]
            at += count
        height = max((len(c.rows) for c in self.cases), default=0)
        self.rows = []
        for r in range(len(arrays["row_exponent"])):
            s = [[0] * size for size in sizes]
            for (k, f), value in zip(kept, arrays["row_s"][r * len(kept) : (r + 1) * len(kept)], strict=True):
                s[k][f] = value
            self.rows.append((arrays["row_mu"][r * height : (r + 1) * height], s))
        #: of rows that have them, a price for every neuron of the first activation and every input
        self.prices: dict[int, list[list[int]]] = {}
        inputs, told = range(len(self.box)), arrays["price_input"]
        first = [f for k, f in kept if k == 0]
        if told != sorted(set(told)) or any(i not in inputs for i in told):
            raise Rejected("price_input")
        differences = iter(arrays["price_difference"])
        for r in arrays["price_row"]:
            self.prices[r] = [[value for _ in inputs] for value in self.rows[r][1][0]]
            for f, i in itertools.product(first, told):
                self.prices[r][f][i] += next(differences)

    # regions

    def propagate(self, region: Region) -> Region:
        region, values = region.copy(), region.box
        for weight, bias, k in zip(self.weights, self.biases, self.after, strict=True):
            ends = []
            for row, b in zip(weight, bias, strict=True):
                low = sum(w * (v[0] if w > 0 else v[1]) for w, v in zip(row, values, strict=True) if w)
                high = sum(w * (v[1] if w > 0 else v[0]) for w, v in zip(row, values, strict=True) if w)
                ends.append([low + b, high + b])
            values = ends
            if k is not None:
                for feature, (low, high) in enumerate(ends):
                    interval = region.ranges[k][feature]
                    interval[:] = [max(low, interval[0]), min(high, interval[1])]
                values = [[self.stairs[k].value(f, e) for e in i] for f, i in enumerate(region.ranges[k])]
        return region

    def whole(self) -> Region:
        ranges = [[[-INFINITY, INFINITY] for _ in range(s.size)] for s in self.stairs]
        return self.propagate(Region([list(i) for i in self.box], ranges))

    def closure(self, region: Region, case: Case) -> Region:
        for _ in range(2):
            if case.order is not None:
                p, q, m = case.order
                region, stairs = region.copy(), self.stairs[-1]
                last = region.ranges[-1]
                new_high = min(last[q][1], stairs.threshold(stairs.level(0, last[p][1]) - m + 1) - 1)
                new_low = max(last[p][0], stairs.threshold(stairs.level(0, last[q][0]) + m))
                last[q][1], last[p][0] = new_high, new_low
            if region.empty():
                return region
            region = self.propagate(region)
            if region.empty():
                return region
        return region

    # the bound

    def difference(self, region: Region, case: Case) -> float:
        assert case.order is not None
        _, q, m = case.order
        stairs = self.stairs[-1]
        i0, i1 = (stairs.level(0, end) for end in region.ranges[-1][q])
        found = [
            stairs.threshold(i + m) - stairs.threshold(i + 1) + 1 for i in range(i0, i1 + 1) if i + m <= stairs.levels
        ]
        return min(found, default=INFINITY)

    def bound(self, region: Region, case: Case | None, row: int) -> float:
        """The bound times ``2**p``, or infinity where there is none; the region is not empty."""
        mu, s = self.rows[row]
        d = 0.0 if case is None or case.order is None else self.difference(region, case)
        if d == INFINITY:  # the region is empty
            return -INFINITY
        height = 0 if case is None else len(case.rows)
        if any(v < 0 for v in mu) or any(mu[height:]):
            return INFINITY
        sizes = [len(b) for b in self.biases]
        total = 0
        v = [0] * sizes[-1]
        operand = [0] * sizes[-1]
        if case is not None and case.order is not None:
            p, q, _ = case.order
            if mu[0]:
                if d == -INFINITY:
                    return INFINITY
                total -= mu[0] * int(d)
                operand[p], operand[q] = mu[0], -mu[0]
        elif case is not None:
            for weight, right, times in zip(case.rows, case.right, mu, strict=False):
                total -= times * right
                v = [a + times * w for a, w in zip(v, weight, strict=True)]
        prices = self.prices.get(row)
        for number in reversed(range(len(self.weights))):
            k = self.after[number]
            if k == 0 and prices is not None:
                for feature, of_inputs in enumerate(prices):
                    total += self.priced_phi(feature, v[feature], of_inputs, region)
                v = operand if number == len(self.weights) - 1 else [0] * len(prices)
            elif k is not None:
                for feature, multiplier in enumerate(s[k]):
                    total += self.phi(k, feature, v[feature], multiplier, region.ranges[k][feature])
                v = list(s[k])
                if number == len(self.weights) - 1:
                    v = [a + b for a, b in zip(v, operand, strict=True)]
            weight, bias = self.weights[number], self.biases[number]
            total += sum(a * b for a, b in zip(v, bias, strict=True))
            v = [sum(a * line[i] for a, line in zip(v, weight, strict=True)) for i in range(len(weight[0]))]
        if prices is None:
            return total + sum(max(c * low, c * high) for c, (low, high) in zip(v, region.box, strict=True))
        return total + self.shared_input(v, prices, region)

    def shared_input(self, v: list[int], prices: list[list[int]], region: Region) -> int:
        """What an input gives at most that all features of the first activation and what passes them by have in common."""
        total = 0
        for i, (c, ends) in enumerate(zip(v, region.box, strict=True)):
            total += max(
                c * int(x)
                + sum(
                    r[i] * w[i] * int(x - self.corner(w, i, region))
                    for r, w in zip(prices, self.weights[0], strict=True)
                )
                for x in ends
            )
        return total

    def corner(self, weights: list[int], i: int, region: Region) -> int:
        """The input's end at which a neuron is least."""
        return int(region.box[i][0] if weights[i] > 0 else region.box[i][1])

    def priced_phi(self, feature: int, v: int, prices: list[int], region: Region) -> int:
        weights, stairs = self.weights[0][feature], self.stairs[0]
        corner = [self.corner(weights, i, region) for i in range(len(weights))]
        least = sum(w * x for w, x in zip(weights, corner, strict=True)) + self.biases[0][feature]
        reach = [abs(w) * int(high - low) for w, (low, high) in zip(weights, region.box, strict=True)]
        cheapest = sorted(zip(prices, reach, strict=True))
        best = None
        low, high = (int(end) for end in region.ranges[0][feature])
        for a in range(low, high + 1):
            left, cost = a - least, 0
            for price, most in cheapest:
                cost += price * min(left, most)
                left -= min(left, most)
            assert left == 0
            value = v * stairs.value(feature, a) - cost
            best = value if best is None else max(best, value)
        assert best is not None
        return best

    def phi(self, k: int, feature: int, v: int, s: int, interval: list[float]) -> int:
        stairs = self.stairs[k]
        return max(v * stairs.value(feature, a) - s * a for a in range(int(interval[0]), int(interval[1]) + 1))

    # the proof

    def cut_holds(self, region: Region, case: Case | None, cut: int) -> bool:
        arrays = self.arrays
        part = region.copy()
        interval = part.interval(arrays["cut_activation"][cut], arrays["cut_feature"][cut])
        end = arrays["cut_end"][cut]
        if arrays["cut_side"][cut] == 0:
            interval[1] = min(interval[1], end - 1)
        else:
            interval[0] = max(interval[0], end + 1)
        return part.empty() or self.bound(part, case, arrays["cut_row"][cut]) < 0

    def apply(self, region: Region, cut: int) -> None:
        arrays = self.arrays
        interval = region.interval(arrays["cut_activation"][cut], arrays["cut_feature"][cut])
        end = arrays["cut_end"][cut]
        if arrays["cut_side"][cut] == 0:
            interval[0] = max(interval[0], end)
        else:
            interval[1] = min(interval[1], end)

    def check(self) -> None:
        """Raise :class:`Rejected` unless the proof holds."""
        arrays = self.arrays
        self.check_features()
        root, cut = self.common()
        level = [(root, case) for case in self.cases]
        kinds, leaves = iter(arrays["kind"]), iter(arrays["leaf_row"])
        counts = iter(arrays["cut_count"])
        splits = iter(zip(arrays["split_activation"], arrays["split_feature"], arrays["split_point"], strict=True))
        while level:
            below = []
            for start, case in level:
                kind = next(kinds)
                dead = start.empty()
                region = start if dead else self.closure(start, case)
                dead = dead or region.empty()
                if kind == 0 and not dead:
                    raise Rejected("not empty")
                if kind == 1:
                    row = next(leaves)
                    if not dead and not self.bound(region, case, row) < 0:
                        raise Rejected("leaf")
                if kind == 2:
                    group = range(cut, cut + next(counts))
                    cut = group.stop
                    if not dead and not all(self.cut_holds(region, case, c) for c in group):
                        raise Rejected("cut")
                    child = region.copy()
                    for c in group:
                        self.apply(child, c)
                    below.append((child, case))
                if kind == 3:
                    activation, feature, point = next(splits)
                    low, high = region.copy(), region.copy()
                    interval = low.interval(activation, feature)
                    interval[1] = min(interval[1], point - 1)
                    interval = high.interval(activation, feature)
                    interval[0] = max(interval[0], point)
                    below += [(low, case), (high, case)]
                if kind == 4 and not dead and self.points_fail(region, case):
                    raise Rejected("points")
            level = below

    def check_features(self) -> None:
        arrays = self.arrays
        for activation, feature in itertools.chain(
            zip(arrays["cut_activation"], arrays["cut_feature"], strict=True),
            zip(arrays["split_activation"], arrays["split_feature"], strict=True),
        ):
            size = len(self.box) if activation == 0 else self.stairs[activation - 1].size
            if not 0 <= feature < size:
                raise Rejected("feature")

    def common(self) -> tuple[Region, int]:
        """The region that all cases start from, and the number of the first cut that is not theirs together."""
        root, cut = self.whole(), 0
        for count in self.arrays["common"]:
            group = range(cut, cut + count)
            if not root.empty() and not all(self.cut_holds(root, None, c) for c in group):
                raise Rejected("common cut")
            root = root.copy()
            for c in group:
                self.apply(root, c)
            cut += count
            root = root if root.empty() else self.propagate(root)
        return root, cut

    def points_fail(self, region: Region, case: Case) -> bool:
        if math.prod(int(high - low + 1) for low, high in region.box) > 4096:
            return True
        axes = [range(int(low), int(high) + 1) for low, high in region.box]
        return any(self.meets(case, list(x)) for x in itertools.product(*axes))

    def meets(self, case: Case, x: list[int]) -> bool:
        y = self.outputs(x)
        return all(
            sum(c * v for c, v in zip(row, y, strict=True)) >= r for row, r in zip(case.rows, case.right, strict=True)
        )

    def claim_is_true(self) -> bool:
        """Whether no point of the box meets a case, by trying all of them."""
        axes = [range(int(low), int(high) + 1) for low, high in self.box]
        return not any(self.meets(case, list(x)) for x in itertools.product(*axes) for case in self.cases)


def accepts(certificate: Certificate, net: RandomNetwork) -> bool:
    """Whether the certificate, consistent in itself and of claim ``unsat``, proves its claim."""
    try:
        Reference(certificate, net).check()
    except Rejected:
        return False
    return True
