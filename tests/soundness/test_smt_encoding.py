"""The bit-vector encoding: on every input of small random networks, terms equal the network, assertions the query."""

from __future__ import annotations

import itertools
from dataclasses import fields

import numpy as np
import pytest
from tests.soundness.random_networks import (
    Integers,
    RandomNetwork,
    box_points,
    meets,
    random_network,
    random_query,
    tight_query,
)
from tests.soundness.term_values import signed, term_values

from netproof.exact.smt.encode import Formula, encode, input_name
from netproof.exact.smt.options import EncodingOptions
from netproof.query import Query

SWITCHES = [f.name for f in fields(EncodingOptions)]


def assignment(formula: Formula, x: Integers) -> dict[str, Integers]:
    """The variables of the formula at inputs ``[N, n]``."""
    return {
        input_name(j): x[:, j] - feature.offset for j, feature in formula.values[0].items() if feature.part is not None
    }


def check(net: RandomNetwork, query: Query, options: EncodingOptions) -> bool:
    """Whether the query is satisfiable, after all checks."""
    formula = encode(query, options)
    x = box_points(query.lower.long().numpy(), query.upper.long().numpy())
    values = term_values(formula.terms, assignment(formula, x), len(x))
    nodes = net.nodes(x)
    for node, features in zip(nodes, formula.values, strict=True):
        for j, feature in features.items():
            value = np.full(len(x), feature.offset)
            if feature.part is not None:
                part = signed(values[feature.part.term], formula.terms.width(feature.part.term))
                assert ((part >= feature.part.low) & (part <= feature.part.high)).all()
                value = value + part
            assert (value == node[:, j]).all()
    met = meets(net, query, x)
    holds = np.min([values[a] for a in formula.assertions] + [np.ones(len(x), np.int64)], 0)
    assert (holds == met).all()
    for row in range(0, len(x), 7):
        model = {name: int(value[row]) for name, value in assignment(formula, x).items()}
        point = formula.point(model).long().numpy()
        free = [j for j, feature in formula.values[0].items() if feature.part is not None]
        assert (point[free] == x[row][free]).all()
    return bool(met.any())


@pytest.mark.parametrize("seed", range(150))
def test_every_input_of_random_networks(seed):
    random = np.random.default_rng(seed)
    net = random_network(random, scale=int(random.choice([1, 1, 5, 300])))
    network = net.network()
    for make in (random_query, tight_query):
        query = make(random, net, network)
        check(net, query, EncodingOptions())
        off = {name: bool(random.integers(2)) for name in SWITCHES}
        check(net, query, EncodingOptions(**off))


@pytest.mark.parametrize("combination", list(itertools.product([True, False], repeat=len(SWITCHES))), ids=str)
def test_all_combinations_of_options(combination):
    random = np.random.default_rng([int(c) for c in combination])
    options = EncodingOptions(**dict(zip(SWITCHES, combination, strict=True)))
    for _ in range(2):
        net = random_network(random, bits=6)
        check(net, tight_query(random, net, net.network()), options)


def test_both_answers_occur():
    answers = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        net = random_network(random, bits=6)
        answers.append(check(net, tight_query(random, net, net.network()), EncodingOptions()))
    assert 5 < sum(answers) < 25


@pytest.mark.parametrize("seed", range(25))
def test_inputs_outside_the_box_are_no_models(seed):
    """What a variable's bits could hold beyond the box is excluded by an assertion."""
    random = np.random.default_rng(seed)
    net = random_network(random, bits=6)
    query = random_query(random, net, net.network())
    for options in (EncodingOptions(), EncodingOptions(minimal_widths=False)):
        formula = encode(query, options)
        terms = formula.terms
        free = [terms[n] for n in range(len(terms)) if terms[n].op.name == "VARIABLE"]
        if not free or sum(v.width for v in free) > 14:
            continue
        patterns = box_points([0] * len(free), [(1 << v.width) - 1 for v in free])
        model = {terms.variables[v.indices[0]]: patterns[:, k] for k, v in enumerate(free)}
        values = term_values(terms, model, len(patterns))
        holds = np.min([values[a] for a in formula.assertions] + [np.ones(len(patterns), np.int64)], 0) == 1
        for row in np.flatnonzero(holds):
            x = formula.point({name: int(value[row]) for name, value in model.items()})
            assert bool(query.refuted_by(x))
