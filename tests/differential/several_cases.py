"""Random queries in VNN-LIB 2.0 about one to three networks as cases of the campaign, judged on all points of a grid.

Networks are small perceptrons with whole weights, some of them equal or isomorphic to another; a query speaks of inputs, hidden
values and outputs of any of them, in one comparison too, and of products of these. What meets a query on the grid denies an
``unsat``, and a witness is evaluated network by network, in rational numbers (``soundness/test_several_networks.py``).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np

from differential.campaign_log import Case, Outcome
from netproof.errors import NetproofError
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.read import read_statement
from netproof.query import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from several_models import perceptron
from soundness.test_several_networks import Net, Query, grid, random_net, values_of

#: inputs of all networks together: the grid has eleven points for each
_MOST_INPUTS = 3


def several_cases(seed: int, numbers: range, seconds: float) -> Iterator[Case]:
    for number in numbers:
        yield Case(f"networks:{seed}:{number}", lambda number=number: judged(seed, number, seconds))


def random_nets(random: Random) -> list[tuple[Net, str]]:
    """Networks and what each of them is said to be: nothing, or equal or isomorphic to the first."""
    first = random_net(random, "n0", random.choice((1, 1, 2)))
    nets, left = [(first, "")], _MOST_INPUTS - first.inputs
    for number in range(1, random.choice((1, 2, 2, 3))):
        relation = random.choice(("", "(equal-to n0)", "(isomorphic-to n0)"))
        net = random_net(random, f"n{number}", 1)
        if relation:
            net = first if "equal" in relation else other_weights(random, first, f"n{number}")
        if net.inputs <= left:
            nets.append((net, relation))
            left -= net.inputs
    return nets


def other_weights(random: Random, net: Net, name: str) -> Net:
    """A network of the same layers with other numbers in them."""
    layers = [
        tuple(np.array([random.randint(-2, 2) for _ in range(part.size)]).reshape(part.shape) for part in layer)
        for layer in net.layers
    ]
    return Net(name, layers, net.inputs)


def judged(seed: int, number: int, seconds: float) -> Outcome:
    """Make a query, ask it, and hold the answer to what the grid says."""
    random, wrong = Random(f"{seed} {number}"), []
    figures: Counter[str] = Counter()
    nets = random_nets(random)
    query = Query(random, nets, products=random.random() < 0.4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            f"n{k}": perceptron(folder / f"n{k}.onnx", net.layers)
            for k, (net, relation) in enumerate(nets)
            if "equal" not in relation
        }
        (folder / "query.vnnlib").write_text(query.text)
        try:
            found = ask(read_statement(folder / "query.vnnlib"), files)
        except NetproofError as refusal:
            return [f"refused: {refusal}; {query.text}"], {}
        settings = Settings(timeout=seconds, attack=random.random() < 0.7)
        result = verify(found.property, settings, network=found.network)
    figures[result.verdict.value] += 1
    figures[f"about {len(nets)}"] += 1
    if result.verdict is Verdict.UNSAT:
        met = next((points for points in grid(nets) if query.holds(values_of(nets, points))), None)
        if met is not None:
            wrong.append(f"unsat, but {met} is an answer; {query.text}")
    elif result.verdict is Verdict.SAT:
        numbers, outputs = result.witness.numbers, result.witness.output_numbers
        values, points, at = found.stated.values(numbers, outputs), [], 0
        for net, _ in nets:
            points.append([Fraction(v) for v in values[at : at + net.inputs]])
            at += net.inputs + len(net.layers[0][1]) + len(net.layers[-1][1])
        exact = values_of(nets, points)
        if not found.stated.holds(numbers, outputs):
            wrong.append(f"sat, but its witness {points} is no answer; {query.text}")
        # What was asked of float32 values holds for exact ones, but for what float32 rounds.
        at = 0
        for k, (net, _) in enumerate(nets):
            names = [
                f"{letter}{k}[0,{i}]"
                for letter, size in (("X", net.inputs), ("H", len(net.layers[0][1])))
                for i in range(size)
            ]
            names += [f"Y{k}[{i}]" for i in range(len(net.layers[-1][1]))]
            for one in names:
                if abs(Fraction(values[at]) - exact[one]) > Fraction(1, 10**4):
                    wrong.append(f"sat with {one} = {values[at]}, which is {exact[one]}; {query.text}")
                at += 1
    elif result.retryable:
        wrong.append(f"broken, to be asked again: {result.reason}")
    return wrong, dict(figures)
