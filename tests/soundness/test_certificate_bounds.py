"""Closures and bounds of the checker, number by number, against the reference: on whole regions and on what cuts cut off."""

from __future__ import annotations

import math

import numpy as np
import torch

from netproof.certificate.checker.cases import Cases, query_of
from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.evaluate import Region as FastRegion
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts
from netproof.certificate.contents import Certificate, RobustnessProperty, arrays_of
from soundness.random_certificates import Draft, batches, random_draft
from soundness.reference_checker import INFINITY, Case, Reference, Region

ROWS, TASKS = 12, 40


class Measured(Reference):
    """The reference, with the sum of absolute values by which a checker may refuse a row."""

    def magnitude(self, region: Region, case: Case | None, row: int) -> float:
        mu, s = self.rows[row]
        total = 0.0
        w = [0] * len(self.biases[-1])
        operand = [0] * len(w)
        if case is not None and case.order is not None:
            p, q, _ = case.order
            d = self.difference(region, case)
            total += abs(mu[0] * d) if mu[0] else 0
            operand[p] = operand[q] = abs(mu[0])
        elif case is not None:
            for weight, right, times in zip(case.rows, case.right, mu, strict=False):
                total += abs(times * right)
                w = [a + abs(times * c) for a, c in zip(w, weight, strict=True)]
        prices = self.prices.get(row)
        for number in reversed(range(len(self.weights))):
            k = self.after[number]
            if k == 0 and prices is not None:
                for feature, (low, high) in enumerate(region.ranges[0]):
                    total += w[feature] * max(abs(self.stairs[0].value(feature, end)) for end in (low, high))
                    reaches = zip(prices[feature], self.weights[0][feature], region.box, strict=True)
                    total += 3 * sum(abs(price * weight) * (stop - start) for price, weight, (start, stop) in reaches)
                w = operand if number == len(self.weights) - 1 else [0] * len(w)
            elif k is not None:
                for feature, (low, high) in enumerate(region.ranges[k]):
                    image = max(abs(self.stairs[k].value(feature, end)) for end in (low, high))
                    total += w[feature] * image + abs(s[k][feature]) * max(abs(low), abs(high))
                w = [abs(v) for v in s[k]]
                if number == len(self.weights) - 1:
                    w = [a + b for a, b in zip(w, operand, strict=True)]
            total += sum(a * abs(b) for a, b in zip(w, self.biases[number], strict=True))
            lines = list(zip(w, self.weights[number], strict=True))
            w = [sum(a * abs(line[i]) for a, line in lines) for i in range(len(self.weights[number][0]))]
        times = 2 if prices is None else 3
        return total + times * sum(c * max(abs(low), abs(high)) for c, (low, high) in zip(w, region.box, strict=True))


def random_rows(random: np.random.Generator, draft: Draft) -> Certificate:
    """The draft's property with random rows of all magnitudes, some of them not admissible."""
    sizes = [len(layer.bias) for layer in draft.net.layers if layer.steps is not None]
    magnitude = 2.0 ** random.choice([2, 5, 8, 30, 40, 43, 45, 47, 50], (ROWS, 1))
    mu = np.rint(random.random((ROWS, draft.height)) * magnitude).astype(np.int64)
    mu[random.random(mu.shape) < 0.2] *= 0
    mu[random.random(mu.shape) < 0.05] = -1
    s = np.rint(random.normal(size=(ROWS, sum(sizes))) * magnitude).astype(np.int64)
    bare = Draft(draft.net, draft.asked, draft.arrays, [list(range(n)) for n in sizes], draft.form).certificate()
    given = {name: values for name, values in bare.arrays.items() if len(values)}
    given |= {"row_exponent": random.integers(0, 49, ROWS), "row_mu": mu, "row_s": s}
    if sizes and random.random() < 0.7:
        priced = np.flatnonzero(random.random(ROWS) < 0.6)
        told = np.flatnonzero(random.random(bare.inputs) < 0.8)
        noise = np.rint(random.normal(size=(len(priced), sizes[0] * len(told))) * magnitude[priced] / 8)
        given |= {"price_row": priced, "price_input": told, "price_difference": noise.astype(np.int64)}
    return Certificate(bare.network_sha256, {}, bare.inputs, bare.outputs, "unsat", bare.property, arrays_of(**given))


def random_region(random: np.random.Generator, whole: Region) -> Region:
    """A part of a region: some intervals cut, now and then to nothing."""
    region = whole.copy()
    for layer in (region.box, *region.ranges):
        for interval in layer:
            if random.random() < 0.15:
                low, high = (int(end) for end in interval)
                interval[:] = np.sort(random.integers(low, high + 1, 2)).tolist()
                if random.random() < 0.02:
                    interval[:] = [high, low]
    return region


def stacked(regions: list[Region]) -> FastRegion:
    def ends(side: int, layer: list[list[list[float]]]) -> torch.Tensor:
        return torch.tensor([[i[side] for i in intervals] for intervals in layer], dtype=torch.float64)

    layers = range(len(regions[0].ranges))
    return FastRegion(
        ends(0, [r.box for r in regions]),
        ends(1, [r.box for r in regions]),
        tuple(ends(0, [r.ranges[k] for r in regions]) for k in layers),
        tuple(ends(1, [r.ranges[k] for r in regions]) for k in layers),
    )


def random_cut(random, ranges, order) -> tuple[int, int, int, int]:
    """Activation (-1 for none), feature, side and end of a cut."""
    if not ranges or random.random() >= 0.7:
        return -1, 0, 0, 0
    k = int(random.integers(len(ranges)))
    feature, side = int(random.integers(len(ranges[k]))), int(random.integers(2))
    if order is not None and random.random() < 0.8:
        k, feature = len(ranges) - 1, order[int(random.random() < 0.8)]
    low, high = (int(e) for e in ranges[k][feature])
    end = int(random.integers(low - 1, high + 2)) if random.random() < 0.8 else (low + high) // 2
    return k, feature, side, end


def test_every_bound_is_the_references():
    seen = dict.fromkeys(
        ("empty", "whole", "cut away", "refused", "no bound", "bound", "window", "several", "priced", "priced, cut"), 0
    )
    for random in batches(40, 140):
        draft = random_draft(random, effort=0, depth=0, final="shared" if random.random() < 0.5 else "")
        if isinstance(draft.asked, RobustnessProperty):
            draft.asked = RobustnessProperty(draft.asked.label, 100)
        certificate = random_rows(random, draft)
        reference = Measured(certificate, draft.net)
        query = query_of(certificate, draft.net.network(), "bounds")
        net = ExactNetwork(query.network, "bounds")
        cases = Cases(net, query, certificate.arrays["form"], "bounds")
        number = random.integers(len(reference.cases), size=8)
        started = [random_region(random, reference.whole()) for _ in number]
        fast = cases.close(stacked(started), torch.from_numpy(number))
        closed = [reference.closure(r, reference.cases[n]) for r, n in zip(started, number, strict=True)]
        assert fast.empty().tolist() == [r.empty() for r in closed]
        alive = [i for i, r in enumerate(closed) if not r.empty()]
        seen["empty"] += len(closed) - len(alive)
        for i in alive:
            for k, intervals in enumerate(closed[i].ranges):
                assert fast.low[k][i].tolist() == [low for low, _ in intervals]
                assert fast.high[k][i].tolist() == [high for _, high in intervals]
        if not alive:
            continue
        tasks = []
        for _ in range(TASKS):
            i = alive[int(random.integers(len(alive)))]
            cut = random_cut(random, closed[i].ranges, reference.cases[number[i]].order)
            tasks.append((i, *cut, int(random.integers(ROWS))))
        columns = [torch.tensor(column) for column in zip(*tasks, strict=True)]
        activation = torch.where(columns[1] >= 0, columns[1] + 1, -1)
        cuts = Cuts(columns[0], activation, columns[2], columns[3], columns[4].double())
        rows = Rows(certificate, net, cases)
        # In portions of any size.
        rows.at_once = (1, 3, rows.at_once)[len(alive) % 3]
        bounds = rows.bounds(fast, torch.from_numpy(number), cuts, columns[5].numpy())
        for (i, k, feature, side, end, row), bound in zip(tasks, bounds.tolist(), strict=True):
            part, case = closed[i].copy(), reference.cases[number[i]]
            if k >= 0:
                interval = part.ranges[k][feature]
                interval[1 - side] = max(interval[0], end + 1) if side else min(interval[1], end - 1)
            seen["whole"] += k < 0
            seen["several"] += len(case.rows) > 1
            if part.empty():
                seen["cut away"] += 1
                assert bound == -math.inf
                continue
            if case.order is not None and certificate.arrays["row_mu"][row * draft.height] > 0:
                seen["window"] += reference.difference(part, case) != reference.difference(closed[i], case)
            true = reference.bound(part, case, row)
            if math.isinf(true):
                seen["no bound"] += true == INFINITY
                assert bound == true
            elif reference.magnitude(closed[i], case, row) < 2**51:
                seen["bound"] += 1
                seen["priced"] += row in reference.prices
                seen["priced, cut"] += row in reference.prices and k == 0
                assert bound * 2.0 ** int(certificate.arrays["row_exponent"][row]) == true
            else:
                # The sum is that of the whole region but for the constant of the difference.
                refused = max(reference.magnitude(r, case, row) for r in (closed[i], part)) >= 2**52
                seen["refused"] += refused
                assert bound == math.inf or bound * 2.0 ** int(certificate.arrays["row_exponent"][row]) == true
                if k < 0:
                    assert (bound == math.inf) == refused
    assert all(seen.values()), seen
