"""Random queries about several networks against an evaluator of their own: all points of a grid, in rational numbers.

Networks are small perceptrons with whole weights; inputs of the grid are quarters, which float32 has, so that every value on the
grid is exact. Whatever meets the query on the grid denies an ``unsat``; whatever is reported as a witness is evaluated here,
on each network by itself.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from netproof import Settings, verify
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.read import read_statement
from netproof.query import Verdict
from several_models import perceptron


@dataclass(frozen=True)
class Net:
    """A network, its declared names, and its weights as whole numbers."""

    name: str
    layers: list
    inputs: int

    def values(self, x):
        """Hidden values of the first layer and outputs, exactly."""
        hidden = x
        first = None
        for number, (weight, bias) in enumerate(self.layers):
            sums = [
                sum((int(weight[i][j]) * hidden[i] for i in range(len(hidden))), Fraction(int(bias[j])))
                for j in range(len(bias))
            ]
            last = number == len(self.layers) - 1
            hidden = sums if last else [max(value, Fraction(0)) for value in sums]
            first = hidden if number == 0 else first
        return first, hidden


def random_net(random: Random, name: str, inputs: int) -> Net:
    width, outputs = random.randint(2, 3), random.randint(1, 2)
    sizes = [inputs, width, outputs]
    layers = [
        (
            np.array([[random.randint(-2, 2) for _ in range(m)] for _ in range(n)]),
            np.array([random.randint(-2, 2) for _ in range(m)]),
        )
        for n, m in itertools.pairwise(sizes)
    ]
    return Net(name, layers, inputs)


class Query:
    """A random query: its text, and the same as a predicate on the values of all its elements by name."""

    def __init__(self, random: Random, nets: list[tuple[Net, str]], products: bool = False) -> None:
        self._random, self._products = random, products
        lines = ["(vnnlib-version <2.0>)"]
        self.names, self.given = [], []
        for number, (net, relation) in enumerate(nets):
            width, outputs = len(net.layers[0][1]), len(net.layers[-1][1])
            lines.append(
                f"(declare-network n{number} {relation} (declare-input X{number} real [1,{net.inputs}]) "
                f'(declare-hidden H{number} real [1,{width}] "h0") (declare-output Y{number} real [{outputs}]))'
            )
            self.given += [f"X{number}[0,{i}]" for i in range(net.inputs)]
            self.names += [f"H{number}[0,{i}]" for i in range(width)] + [f"Y{number}[{i}]" for i in range(outputs)]
        self._tests = []
        for name in self.given:
            low = Fraction(random.randint(-4, 2), 4)
            high = low + Fraction(random.randint(0, 4), 4)
            if random.random() < 0.15 and name != self.given[0]:
                # No box of its own: it equals an earlier one.
                other = random.choice(self.given[: self.given.index(name)])
                lines.append(f"(assert (== {name} {other}))")
                self._tests.append(lambda v, a=name, b=other: v[a] == v[b])
                continue
            lines.append(f"(assert (and (>= {name} {float(low)}) (<= {name} {float(high)})))")
            self._tests.append(lambda v, a=name, low=low, high=high: low <= v[a] <= high)
        if len(self.given) > 1 and random.random() < 0.5:
            one, two = random.sample(self.given, 2)
            lines.append(f"(assert (<= {one} (+ {two} 0.25)))")
            self._tests.append(lambda v, a=one, b=two: v[a] <= v[b] + Fraction(1, 4))
        text, test = self._formula(2)
        lines.append(f"(assert {text})")
        self._tests.append(test)
        self.text = "\n".join(lines)

    def holds(self, values) -> bool:
        return all(test(values) for test in self._tests)

    def _formula(self, depth: int):
        random = self._random
        if depth and random.random() < 0.6:
            parts = [self._formula(depth - 1) for _ in range(random.randint(2, 3))]
            head = random.choice(("and", "or"))
            combine = all if head == "and" else any
            return f"({head} {' '.join(t for t, _ in parts)})", lambda v: combine(p(v) for _, p in parts)
        everything = [*self.given, *self.names]
        chosen = [(name,) for name in random.sample(everything, random.randint(1, 3))]
        if self._products and random.random() < 0.6:
            chosen[0] = tuple(random.choices(everything, k=random.choice((2, 2, 3))))
        terms = [(random.choice((-2, -1, 1, 1, 3)), names) for names in chosen]
        limit = Fraction(random.randint(-12, 24), random.choice((1, 2, 4)))
        head = random.choice((">=", "<=", ">", "<", ">=", "<=", "==", "!="))
        left = " ".join(
            names[0] if c == 1 and len(names) == 1 else f"(* {c}.0 {' '.join(names)})" for c, names in terms
        )
        compare = {
            ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
            "<": lambda a, b: a < b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
        }[head]  # fmt: skip
        text = f"({head} {f'(+ {left})'} {float(limit)})"

        def value(v):
            return sum(
                (c * math.prod((v[name] for name in names), start=Fraction(1)) for c, names in terms), Fraction(0)
            )

        return text, lambda v: compare(value(v), limit)


def values_of(nets, points):
    values = {}
    for number, ((net, _), x) in enumerate(zip(nets, points, strict=True)):
        hidden, outputs = net.values(list(x))
        values |= {f"X{number}[0,{i}]": v for i, v in enumerate(x)}
        values |= {f"H{number}[0,{i}]": v for i, v in enumerate(hidden)}
        values |= {f"Y{number}[{i}]": v for i, v in enumerate(outputs)}
    return values


def grid(nets):
    quarters = [Fraction(i, 4) for i in range(-4, 7)]
    return itertools.product(*(itertools.product(quarters, repeat=net.inputs) for net, _ in nets))


def asked(tmp_path, random, products=False):
    count = random.choice((1, 2, 2, 2))
    inputs = random.choice((1, 1, 2)) if count == 1 else 1
    first = random_net(random, "n0", inputs)
    nets = [(first, "")]
    if count == 2:
        relation = random.choice(("", "(equal-to n0)"))
        nets.append((first if relation else random_net(random, "n1", 1), relation))
    files = {}
    for number, (net, relation) in enumerate(nets):
        if not relation:
            files[f"n{number}"] = perceptron(tmp_path / f"n{number}.onnx", net.layers)
    query = Query(random, nets, products)
    path = tmp_path / "query.vnnlib"
    path.write_text(query.text)
    return nets, query, ask(read_statement(path), files)


@pytest.mark.parametrize(("seed", "products"), [(seed, seed >= 8) for seed in range(16)])
def test_random_queries(tmp_path, seed, products):
    random = Random(seed)
    counts = dict.fromkeys(Verdict, 0)
    for _ in range(15):
        nets, query, found = asked(tmp_path, random, products)
        result = verify(found.property, Settings(timeout=5), network=found.network)
        counts[result.verdict] += 1
        some = any(query.holds(values_of(nets, points)) for points in grid(nets))
        if result.verdict is Verdict.UNSAT:
            assert not some, query.text
        elif result.verdict is Verdict.SAT:
            witness = found.stated.values(result.witness.numbers, result.witness.output_numbers)
            points, at = [], 0
            for net, _ in nets:
                points.append(witness[at : at + net.inputs])
                at += net.inputs + len(net.layers[0][1]) + len(net.layers[-1][1])
            # Weights are whole and inputs float32, so that float32 may round: what is meant is what the runtime gave.
            assert found.stated.holds(result.witness.numbers, result.witness.output_numbers)
            exact = values_of(nets, points)
            computed = witness[nets[0][0].inputs]
            assert abs(computed - exact["H0[0,0]"]) <= Fraction(1, 10**5)
        else:
            # What single points meet, or touch, may stay open, and nothing else.
            assert products or "==" in query.text or "!=" in query.text or some, (result, query.text)
    assert counts[Verdict.SAT] and counts[Verdict.UNSAT]
    assert counts[Verdict.SAT] + counts[Verdict.UNSAT] >= 10, counts


def test_a_network_equal_to_another_is_one_with_it_where_inputs_are_equal(tmp_path):
    net = random_net(Random(3), "n0", 2)
    file = perceptron(tmp_path / "n.onnx", net.layers)
    text = """(vnnlib-version <2.0>)
    (declare-network f (declare-input X real [1,2]) (declare-output Y real [1,{m}]))
    (declare-network g (equal-to f) (declare-input U real [1,2]) (declare-output V real [1,{m}]))
    (assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0) (>= X[0,1] -1.0) (<= X[0,1] 1.0)))
    (assert (and (== X[0,0] U[0,0]) (== U[0,1] X[0,1])))
    (assert (!= Y[0,0] V[0,0]))"""
    path = tmp_path / "q.vnnlib"
    path.write_text(text.format(m=len(net.layers[-1][1])))
    found = ask(read_statement(path), {"f": file})
    result = verify(found.property, Settings(timeout=60), network=found.network)
    assert result.verdict is Verdict.UNSAT  # exactly: the difference is 0, and is not only bounded by it
    assert found.network.inputs == 2
    assert len(found.network.graph.activations) == 1
