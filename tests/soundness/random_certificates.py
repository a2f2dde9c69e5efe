"""Random certificates of small networks, made without netproof's search, and ways to spoil them.

Multipliers come from slopes, noise and a few random improvements; trees from random cuts and splits wherever the bound
is not below 0. Bounds are those of the reference checker. Some certificates prove their claim and some do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from netproof.certificate.format import BoxProperty, Certificate, ClassProperty, RobustnessProperty, arrays_of
from soundness.random_networks import RandomNetwork, random_box, random_conjunction, random_network
from soundness.reference_checker import Case, Reference, Region

EMPTY, LEAF, CUT, SPLIT, POINTS = range(5)
Cut = list[int]  # activation, feature, side, end, row


@dataclass
class Node:
    kind: int
    row: int = 0
    cuts: list[Cut] = field(default_factory=list)
    split: list[int] = field(default_factory=lambda: [1, 0, 0])
    children: list[Node] = field(default_factory=list)

    def everything(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.everything()


@dataclass
class Draft:
    """A certificate as it is easy to change: :meth:`certificate` writes it down."""

    net: RandomNetwork
    asked: RobustnessProperty | ClassProperty | BoxProperty
    arrays: dict[str, list[int]]
    kept: list[list[int]]
    form: list[int]
    rows: list[tuple[int, list[int], list[list[int]]]] = field(default_factory=list)
    common: list[list[Cut]] = field(default_factory=list)
    trees: list[Node] = field(default_factory=list)
    #: of some rows, differences of prices to the first activation's multipliers: of its kept features, for every input
    prices: dict[int, list[list[int]]] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        return len(self.net.layers[-1].bias)

    @property
    def height(self) -> int:
        return max(self.asked.constraints) if isinstance(self.asked, BoxProperty) else 1

    def certificate(self) -> Certificate:
        arrays = {name: list(values) for name, values in self.arrays.items()}
        arrays |= {name: [] for name in ("kind", "leaf_row", "cut_count", "row_mu", "row_s")}
        cuts = [c for group in self.common for c in group]
        splits: list[list[int]] = []
        level = self.trees
        while level:
            for node in level:
                arrays["kind"].append(node.kind)
                if node.kind == LEAF:
                    arrays["leaf_row"].append(node.row)
                elif node.kind == CUT:
                    arrays["cut_count"].append(len(node.cuts))
                    cuts += node.cuts
                elif node.kind == SPLIT:
                    splits.append(node.split)
            level = [child for node in level for child in node.children]
        for _, mu, s in self.rows:
            arrays["row_mu"] += mu
            arrays["row_s"] += [s[k][f] for k, features in enumerate(self.kept) for f in features]
        for position, name in enumerate(("activation", "feature", "side", "end", "row")):
            arrays[f"cut_{name}"] = [c[position] for c in cuts]
        for position, name in enumerate(("activation", "feature", "point")):
            arrays[f"split_{name}"] = [c[position] for c in splits]
        return Certificate(
            "0" * 64,
            {},
            len(self.net.lower),
            self.outputs,
            "unsat",
            self.asked,
            arrays_of(
                **arrays,
                form=self.form,
                kept=[len(k) for k in self.kept],
                kept_feature=[f for features in self.kept for f in features],
                row_exponent=[p for p, _, _ in self.rows],
                common=[len(group) for group in self.common],
                price_row=sorted(self.prices),
                price_input=list(range(len(self.net.lower))) if self.prices else [],
                price_difference=[v for row in sorted(self.prices) for line in self.prices[row] for v in line],
            ),
            name="random",
        )


def random_draft(random: np.random.Generator, *, effort: int = 6, depth: int = 4, final: str = "") -> Draft:
    """A random network (its last staircase of kind ``final``), property and attempt at a proof."""
    final = final or str(random.choice(["any", "shift", "shared", "shift", "general"]))
    net = random_network(random, bits=int(random.integers(3, 8)), final=final)
    if random.random() < 0.35 and net.layers[-1].steps is not None:
        draft = _robustness(random, net)
    else:
        draft = _box(random, net)
    draft = _Producer(random, draft, effort, depth).draft
    for row in range(len(draft.rows)) if draft.kept and random.random() < 0.6 else ():
        if random.random() < 0.5:
            draft.prices[row] = random_prices(random, draft, row)
    return draft


def random_prices(random: np.random.Generator, draft: Draft, row: int) -> list[list[int]]:
    """Prices near the multipliers of a row, which may move them to differences; what the row proves is mostly still proved."""
    s, shape = draft.rows[row][2][0], (len(draft.kept[0]), len(draft.net.lower))
    moved = random.integers(-3, 4, shape[0]) * (random.random() < 0.5)
    for feature, by in zip(draft.kept[0], moved.tolist(), strict=True):
        s[feature] += by
    noise = random.integers(-2, 3, shape) * (random.random(shape) < random.choice([0.0, 0.1, 0.5]))
    made: list[list[int]] = (noise - moved[:, None]).tolist()
    return made


def _kept(random: np.random.Generator, net: RandomNetwork) -> list[list[int]]:
    sizes = [len(layer.bias) for layer in net.layers if layer.steps is not None]
    most = random.random() < 0.8
    return [[f for f in range(size) if most or random.random() < 0.7] for size in sizes]


def _robustness(random: np.random.Generator, net: RandomNetwork) -> Draft:
    image = random.integers(net.lower, net.upper + 1)
    label = int(net.outputs(image[None])[0].argmax())
    if random.random() < 0.3:
        box = random_box(random, net)
        arrays = {"image": image.tolist(), "lower": box[0].tolist(), "upper": box[1].tolist()}
        draft = Draft(net, ClassProperty(label), arrays, _kept(random, net), [])
    else:
        asked = RobustnessProperty(label, int(random.integers(0, 3)))
        draft = Draft(net, asked, {"image": image.tolist()}, _kept(random, net), [])
    draft.form = _forms(random, draft, [True] * (draft.outputs - 1))
    return draft


def _box(random: np.random.Generator, net: RandomNetwork) -> Draft:
    box = random_box(random, net)
    made = [random_conjunction(random, net, box) for _ in range(int(random.integers(1, 4)))]
    arrays = {
        "lower": box[0].tolist(),
        "upper": box[1].tolist(),
        "coefficients": [int(c) for rows, _ in made for c in rows.reshape(-1)],
        "threshold": [int(r) + int(random.random() < 0.3) for _, right in made for r in right],
    }
    draft = Draft(net, BoxProperty(tuple(len(right) for _, right in made)), arrays, _kept(random, net), [])
    pairs = [len(rows) == 1 and sorted(v for v in rows[0].tolist() if v) == [-1, 1] for rows, _ in made]
    draft.form = _forms(random, draft, pairs)
    return draft


def _forms(random: np.random.Generator, draft: Draft, pairs: list[bool]) -> list[int]:
    steps = draft.net.layers[-1].steps
    reference = Reference(replace_form(draft, [0] * len(pairs)), draft.net)
    admits = steps is not None and reference.stairs[-1].shared and reference.stairs[-1].levels > 0
    return [int(admits and pair and random.random() < 0.8) for pair in pairs]


def replace_form(draft: Draft, form: list[int]) -> Certificate:
    return replace(draft, form=form, rows=[], common=[], trees=[]).certificate()


class _Producer:
    """Grows the trees of one draft."""

    def __init__(self, random: np.random.Generator, draft: Draft, effort: int, depth: int) -> None:
        self.random, self.draft, self.effort = random, draft, effort
        self.reference = Reference(draft.certificate(), draft.net)
        root = self.reference.whole()
        if len(draft.kept) > 1 and random.random() < 0.7:
            root = self.common(root)
        draft.trees = [self.grow(root.copy(), case, depth) for case in self.reference.cases]

    def add_row(self, mu: list[int], s: list[list[int]]) -> int:
        self.draft.rows.append((int(self.random.integers(0, 7)), mu, s))
        self.reference.rows.append((mu, s))
        return len(self.draft.rows) - 1

    def bound(self, region: Region, case: Case | None, mu: list[int], s: list[list[int]]) -> float:
        self.reference.rows.append((mu, s))
        value = self.reference.bound(region, case, len(self.reference.rows) - 1)
        self.reference.rows.pop()
        return value

    def common(self, root: Region) -> Region:
        for _ in range(int(self.random.integers(1, 3))):
            group = [c for _ in range(10) for c in self.cuts(root, None, [0] * self.draft.height)]
            self.draft.common.append(group)
            root = self.applied(root, group)
            if root.empty():
                return root
            root = self.reference.propagate(root)
        return root

    def applied(self, region: Region, cuts: list[Cut]) -> Region:
        region = region.copy()
        for activation, feature, side, end, _ in cuts:
            interval = region.interval(activation, feature)
            interval[side] = max(interval[0], end) if side == 0 else min(interval[1], end)
        return region

    def cuts(self, region: Region, case: Case | None, mu: list[int]) -> list[Cut]:
        """Cuts that one row shows to hold: as far as they go at a feature on which it puts a price, and a try at others."""
        random, kept = self.random, [(k, f) for k, features in enumerate(self.draft.kept) for f in features]
        kept = [(k, f) for k, f in kept if region.ranges[k][f][0] < region.ranges[k][f][1]]
        if not kept:
            return []
        k, feature = kept[int(random.integers(len(kept)))]
        side, price = int(random.integers(2)), int(random.integers(1, 20))
        row = self.add_row(mu, self.multipliers(region, case, mu, price=(k, feature, price if side else -price)))
        found = []
        for other in [
            (k, feature, side),
            *((*kept[int(random.integers(len(kept)))], int(random.integers(2))) for _ in range(3)),
        ]:
            k, feature, side = other
            low, high = (int(end) for end in region.ranges[k][feature])
            holds = None
            for end in range(low + 1, high + 1) if side == 0 else range(high - 1, low - 1, -1):
                part = region.copy()
                part.ranges[k][feature][1 - side] = end - 1 if side == 0 else end + 1
                if not self.reference.bound(part, case, row) < 0:
                    break
                holds = [k + 1, feature, side, end, row]
            found += [holds] if holds else []
        return found

    def multipliers(
        self, region: Region, case: Case | None, mu: list[int], price: tuple[int, int, int] | None = None
    ) -> list[list[int]]:
        """Slopes of chords from the output backwards, a price on one range, then random improvements."""
        random, reference = self.random, self.reference
        s = [[0] * len(r) for r in region.ranges]
        v = np.zeros(self.draft.outputs)
        last = len(reference.weights) - 1
        if case is not None and case.order is None:
            v = np.array(mu[: len(case.rows)]) @ np.array(case.rows)
        for number in reversed(range(last + 1)):
            k = reference.after[number]
            if k is not None:
                chosen = []
                for feature, (low, high) in enumerate(region.ranges[k]):
                    rise = reference.stairs[k].value(feature, high) - reference.stairs[k].value(feature, low)
                    chosen.append(v[feature] * rise / max(1, high - low) + random.normal() * (random.random() < 0.2))
                v = np.rint(chosen)
                if number == last:
                    v[random.random(len(v)) < 0.1] += random.integers(-2, 3)
                if price is not None and price[0] == k:
                    v[price[1]] += price[2]
                for feature in range(len(v)):
                    if feature not in self.draft.kept[k]:
                        v[feature] = 0
                s[k] = [int(x) for x in v]
                if number == last and case is not None and case.order is not None:
                    v[case.order[0]] += mu[0]
                    v[case.order[1]] -= mu[0]
            v = v @ np.array(reference.weights[number])
        kept = [(k, f) for k, features in enumerate(self.draft.kept) for f in features]
        best = self.bound(region, case, mu, s)
        for _ in range(self.effort if kept and best >= 0 and price is None else 0):
            tried = deepcopy(s)
            k, feature = kept[int(random.integers(len(kept)))]
            tried[k][feature] += int(random.choice([-8, -3, -1, 1, 3, 8]))
            value = self.bound(region, case, mu, tried)
            if value < best:
                best, s = value, tried
        return s

    def grow(self, region: Region, case: Case, depth: int) -> Node:
        random, draft = self.random, self.draft
        if not region.empty():
            region = self.reference.closure(region, case)
        if region.empty():
            kind = int(random.choice([EMPTY, EMPTY, EMPTY, POINTS, SPLIT])) if depth > 0 else EMPTY
            if kind == SPLIT and draft.kept:
                return Node(SPLIT, children=[self.grow(region.copy(), case, depth - 1) for _ in range(2)])
            return Node(EMPTY if kind == SPLIT else kind)
        mu = [int(m) for m in random.integers(0, 9, draft.height)]
        mu[len(case.rows) :] = [0] * (draft.height - len(case.rows))
        if random.random() < 0.1:
            mu = [0] * draft.height
        if case.order is not None and math.isinf(self.reference.difference(region, case)):
            mu = [0] * draft.height
        s = self.multipliers(region, case, mu)
        if self.bound(region, case, mu, s) < 0:
            return Node(LEAF, row=self.add_row(mu, s))
        points = math.prod(high - low + 1 for low, high in region.box)
        if depth <= 0 or (points <= 4 and random.random() < 0.5):
            return Node(POINTS)
        if draft.kept and random.random() < 0.6:
            found = self.cuts(region, case, mu)
            if found:
                return Node(CUT, cuts=found, children=[self.grow(self.applied(region, found), case, depth - 1)])
        wide = [
            (k, feature, int(low), int(high))
            for k, layer in enumerate((region.box, *region.ranges))
            for feature, (low, high) in enumerate(layer)
            if low < high
        ]
        if not wide:
            return Node(POINTS)
        k, feature, low, high = wide[int(random.integers(len(wide)))]
        point = int(random.integers(low + 1, high + 1))
        halves = [
            self.applied(region, [[k, feature, 1, point - 1, 0]]),
            self.applied(region, [[k, feature, 0, point, 0]]),
        ]
        return Node(SPLIT, split=[k, feature, point], children=[self.grow(h, case, depth - 1) for h in halves])


def spoiled(random: np.random.Generator, draft: Draft) -> tuple[str, Draft]:
    """The draft with one thing changed, and what that is."""
    draft = deepcopy(draft)
    nodes = [node for tree in draft.trees for node in tree.everything()]
    of_kind = {kind: [n for n in nodes if n.kind == kind] for kind in range(5)}
    cuts = [c for group in (*draft.common, *(n.cuts for n in of_kind[CUT])) for c in group]
    pick: Callable[[list], object] = lambda items: items[int(random.integers(len(items)))]  # noqa: E731
    step = int(random.choice([-3, -1, 1, 1, 2, 1000]))
    ways = ["property", "form", "network"]
    ways += ["price", "price"] * bool(draft.prices and draft.kept[0]) + ["prices"] * bool(draft.rows and draft.kept)
    ways += (
        ["row"] * 3 * bool(draft.rows) + ["leaf", "kind"] * bool(of_kind[LEAF]) + ["split"] * 2 * bool(of_kind[SPLIT])
    )
    ways += ["cut"] * 3 * bool(cuts) + ["prune"] * bool(of_kind[SPLIT] + of_kind[CUT]) + ["swap"] * bool(of_kind[SPLIT])
    way = str(random.choice(ways))
    if way == "row":
        _, mu, s = pick(draft.rows)
        kept = [(k, f) for k, features in enumerate(draft.kept) for f in features]
        if kept and random.random() < 0.7:
            k, feature = pick(kept)
            s[k][feature] += step
        else:
            mu[int(random.integers(len(mu)))] += step
    elif way in ("price", "prices"):
        _spoil_prices(random, draft, way, step)
    elif way == "leaf":
        pick(of_kind[LEAF]).row = int(random.integers(len(draft.rows)))
    elif way == "kind":
        pick(of_kind[LEAF]).kind = int(random.choice([EMPTY, POINTS]))
    elif way == "split":
        node = pick(of_kind[SPLIT])
        position = int(random.choice([0, 1, 2, 2]))
        node.split[position] = max(0, node.split[position] + step) if position < 2 else node.split[position] + step
        if position == 0:
            node.split[0] %= len(draft.kept) + 1
    elif way == "cut":
        cut, position = pick(cuts), int(random.choice([1, 2, 3, 3, 4]))
        cut[position] = {1: cut[1] + step, 2: 1 - cut[2], 3: cut[3] + step}.get(
            position, int(random.integers(len(draft.rows)))
        )
    elif way == "prune":
        node = pick(of_kind[SPLIT] + of_kind[CUT])
        node.kind, node.children, node.cuts = EMPTY, [], []
        if draft.rows and random.random() < 0.7:
            node.kind, node.row = LEAF, int(random.integers(len(draft.rows)))
    elif way == "swap":
        node = pick(of_kind[SPLIT])
        node.children = node.children[::-1]
    elif way == "form":
        at = int(random.integers(len(draft.form)))
        draft.form[at] = 1 - draft.form[at]
    elif way == "network":
        layer = pick(list(draft.net.layers))
        weight = layer.weight.copy()
        weight.reshape(-1)[int(random.integers(weight.size))] += step % 5 - 2
        layers = tuple(replace(item, weight=weight) if item is layer else item for item in draft.net.layers)
        draft.net = replace(draft.net, layers=layers)
    else:
        name = str(pick([n for n, values in draft.arrays.items() if values]))
        values = draft.arrays[name]
        values[int(random.integers(len(values)))] += step
        if isinstance(draft.asked, RobustnessProperty) and random.random() < 0.6:
            draft.asked = random.choice(
                [
                    RobustnessProperty(draft.asked.label, draft.asked.radius + 1),
                    RobustnessProperty(int(random.integers(draft.outputs)), draft.asked.radius),
                ]
            )
        way = f"property: {name}"
    return way, draft


def _spoil_prices(random: np.random.Generator, draft: Draft, way: str, step: int) -> None:
    """Change one price, or give prices to a row that has none, or take them from one that has."""
    row = int(random.integers(len(draft.rows)))
    if way == "price":
        rows = list(draft.prices.values())
        lines = rows[int(random.integers(len(rows)))]
        line = lines[int(random.integers(len(lines)))]
        line[int(random.integers(len(line)))] += step
    elif row in draft.prices:
        del draft.prices[row]
    else:
        draft.prices[row] = random_prices(random, draft, row)


def batches(seed: int, count: int) -> Iterator[np.random.Generator]:
    """Independent generators, so that one certificate can be made again alone."""
    return map(np.random.default_rng, itertools.product([seed], range(count)))
