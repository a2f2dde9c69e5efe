"""Verdicts against every input tried out: general conditions, all kinds of networks, all ways to search."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from netproof.bounds.region import box_region
from netproof.effort.integer import INTEGER
from netproof.network import Network
from netproof.query import Conjunction, Query, Result, Verdict
from netproof.search.integer.engine import Effort, Outcome, Search
from netproof.search.verify import verify
from netproof.settings import Settings
from soundness.random_networks import (
    KINDS,
    Layer,
    RandomNetwork,
    Steps,
    floats,
    meets,
    random_network,
    random_query,
    tight_query,
    witnesses,
)

LIMIT = Settings(timeout=600.0)
BLIND = Settings(timeout=600.0, attack=False)


def effort(**chosen: int) -> Effort:
    """An effort with what is known of it set; tuning may add and remove fields."""
    known = {field.name for field in fields(Effort)}
    return Effort(**{name: value for name, value in chosen.items() if name in known})


Asked = tuple[NDArray[np.int64], Sequence[int]]

#: hardly any work per subproblem, so that verdicts come from splitting
TINY = effort(root_steps=0, steps=0, iterations=1, batch=1, look_ahead=1)
SMALL = effort(root_steps=1, steps=1, iterations=2, batch=3, look_ahead=2)


def check(net: RandomNetwork, query: Query, result: Result) -> None:
    """The verdict is the truth, and a witness is one."""
    truth = witnesses(net, query)
    assert result.verdict is (Verdict.SAT if len(truth) else Verdict.UNSAT), result
    assert (result.witness is not None) == (result.verdict is Verdict.SAT)
    if result.witness is not None:
        x = result.witness.input.numpy()[None]
        assert x.dtype == np.int64
        assert ((x >= query.lower.numpy()) & (x <= query.upper.numpy())).all()
        assert meets(net, query, x)[0]
        assert (net.outputs(x)[0] == result.witness.output.numpy()).all()


def search(query: Query, settings: Settings, how: Effort) -> Outcome:
    """The search alone, without the root's own bounds before it."""
    region = box_region(query.network.graph, query.lower[None], query.upper[None])
    run = Search(query, region, range(len(query.condition)), settings, how)
    return run.run(time.monotonic() + settings.timeout)


def check_outcome(net: RandomNetwork, query: Query, outcome: Outcome) -> None:
    truth = witnesses(net, query)
    assert outcome.verdict is (Verdict.SAT if len(truth) else Verdict.UNSAT), outcome
    assert (outcome.witness is not None) == (outcome.verdict is Verdict.SAT)
    if outcome.witness is not None:
        assert (truth == outcome.witness.input.numpy()).all(1).any()


def queries(random: np.random.Generator, net: RandomNetwork, count: int) -> list[Query]:
    network = net.network()
    return [random_query(random, net, network) for _ in range(count)]


@pytest.mark.parametrize("attack", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_many_queries_together(seed: int, attack: bool) -> None:
    random = np.random.default_rng([1, seed])
    outcomes: Counter[Verdict] = Counter()
    for _ in range(12):
        net = random_network(random)
        asked = queries(random, net, 12)
        seen = set()
        for position, result in enumerate(verify(asked, LIMIT if attack else BLIND)):
            check(net, asked[position], result)
            seen.add(position)
            outcomes[result.verdict] += 1
        assert seen == set(range(len(asked)))
    assert min(outcomes[Verdict.SAT], outcomes[Verdict.UNSAT]) > 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("final", [*KINDS, None])
def test_every_kind_of_staircase(kind: str, final: str | None) -> None:
    random = np.random.default_rng([2, KINDS.index(kind), 0 if final is None else 1 + KINDS.index(final)])
    for layers in (2, 1 + 2 * int(random.integers(2))):
        net = random_network(random, layers=layers, kinds=[kind], final=final)
        asked = queries(random, net, 3)
        for position, result in enumerate(verify(asked, BLIND)):
            check(net, asked[position], result)


@pytest.mark.parametrize("how", [TINY, SMALL], ids=["tiny", "small"])
@pytest.mark.parametrize("seed", range(1, 3))
def test_searching_with_hardly_any_effort(seed: int, how: Effort) -> None:
    """Branching, reduction, input splits and leaves do the work that bounds do otherwise."""
    random = np.random.default_rng([43, seed])
    subproblems: Counter[Verdict] = Counter()
    for _ in range(10):
        net = random_network(random, bits=6)
        network = net.network()
        for query in (tight_query(random, net, network) for _ in range(3)):
            outcome = search(query, BLIND, how)
            check_outcome(net, query, outcome)
            subproblems[outcome.verdict] += outcome.subproblems
    assert subproblems[Verdict.UNSAT] > 30


@pytest.mark.parametrize("seed", range(2))
def test_searches_that_begin_anew_at_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long searches start again with tighter ranges; here every search counts as long."""
    monkeypatch.setattr("netproof.search.integer.engine.INTEGER", replace(INTEGER, restart=2))
    random = np.random.default_rng([12, seed])
    for _ in range(8):
        net = random_network(
            random, bits=6, layers=int(random.integers(1, 4)), final=str(random.choice(["shift", "shared"]))
        )
        network = net.network()
        for query in (tight_query(random, net, network) for _ in range(3)):
            check_outcome(net, query, search(query, BLIND, TINY))
            check(net, query, verify(query, BLIND))


@pytest.mark.parametrize("seed", range(2))
def test_queries_on_several_networks_mixed(seed: int) -> None:
    random = np.random.default_rng([4, seed])
    nets = [random_network(random) for _ in range(4)]
    networks = [net.network() for net in nets]
    owner = random.integers(0, 4, 24)
    asked = [random_query(random, nets[i], networks[i]) for i in owner]
    positions = []
    for position, result in enumerate(verify(asked, LIMIT)):
        check(nets[owner[position]], asked[position], result)
        positions.append(position)
    assert sorted(positions) == list(range(24))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scale", [1 << 20, (1 << 24) + 43, 200_000_003])
def test_large_accumulators(seed: int, scale: int) -> None:
    """Beyond 2**24 float32 no longer tells neighbouring integers apart."""
    random = np.random.default_rng([5, seed, scale])
    for _ in range(5):
        net = random_network(random, bits=6, scale=scale)
        asked = queries(random, net, 3)
        for position, result in enumerate(verify(asked, BLIND)):
            check(net, asked[position], result)


def integral(random: np.random.Generator, hidden: bool) -> tuple[RandomNetwork, int]:
    """A network whose single output takes multiples of ``g`` only, though the relaxation takes all between."""
    g = int(random.integers(2, 6))
    inputs = int(random.integers(2, 4))
    weight = g * random.choice([-3, -2, -1, 1, 2, 3], (1, inputs))
    lower = random.integers(-2, 3, inputs)
    layers = []
    if hidden:  # an identity between, so that there are activations to relax
        none = np.empty((inputs, 0), np.int64)
        identity = Steps(none, np.zeros(inputs, np.int64), 1, (0, -20, 20))
        layers.append(Layer(np.eye(inputs, dtype=np.int64), np.zeros(inputs, np.int64), identity))
    layers.append(Layer(weight, random.integers(-9, 10, 1), None))
    return RandomNetwork(tuple(layers), lower, lower + random.integers(1, 4, inputs)), g


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_verdicts_that_need_integers(seed: int, hidden: bool) -> None:
    """With real inputs every one of these equations has a solution; with integers only some have."""
    random = np.random.default_rng([6, seed])
    outcomes: Counter[Verdict] = Counter()
    for _ in range(15):
        net, g = integral(random, hidden)
        network = net.network()
        y = net.outputs(net.points())[:, 0]
        level = int(random.integers(y.min(), y.max() + 1))
        if random.random() < 0.4:
            level = int(random.choice(y))
        both = Conjunction(floats(np.array([[1], [-1]])), floats(np.array([level, -level])))
        query = Query(network, floats(net.lower), floats(net.upper), (both,))
        result = verify(query, BLIND)
        check(net, query, result)
        if (level - y[0]) % g:
            assert result.verdict is Verdict.UNSAT
        check_outcome(net, query, search(query, BLIND, TINY))
        outcomes[result.verdict] += 1
    assert min(outcomes[Verdict.SAT], outcomes[Verdict.UNSAT]) > 2


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(
    st.integers(0, 1 << 30), st.sampled_from(KINDS), st.sampled_from([*KINDS, None]), st.integers(1, 3), st.booleans()
)
def test_whatever_hypothesis_thinks_of(seed: int, kind: str, final: str | None, layers: int, attack: bool) -> None:
    random = np.random.default_rng(seed)
    net = random_network(random, bits=6, kinds=[kind], final=final, layers=layers)
    for query in queries(random, net, 2):
        check(net, query, verify(query, LIMIT if attack else BLIND))


def test_conditions_that_ask_for_nothing_and_for_the_impossible() -> None:
    random = np.random.default_rng(7)
    for final in ("shared", "general", None):
        net = random_network(random, layers=2, final=final)
        network = net.network()
        y = net.outputs(net.points())
        one = np.zeros((1, y.shape[1]), np.int64)
        one[0, 0] = 1

        def ask(*conditions: Asked, net: RandomNetwork = net, network: Network = network) -> Result:
            condition = tuple(Conjunction(floats(rows), floats(np.array(level))) for rows, level in conditions)
            query = Query(network, floats(net.lower), floats(net.upper), condition)
            result = verify(query, BLIND)
            check(net, query, result)
            return result

        assert ask((0 * one, [0])).verdict is Verdict.SAT
        assert ask((0 * one, [1])).verdict is Verdict.UNSAT
        assert ask((one, [int(y[:, 0].max())])).verdict is Verdict.SAT
        assert ask((one, [int(y[:, 0].max()) + 1])).verdict is Verdict.UNSAT
        assert ask((one, [10**6]), (0 * one, [0])).verdict is Verdict.SAT
        assert ask((np.concatenate([one, -one]), [int(y[:, 0].min()), -int(y[:, 0].min())])).verdict is Verdict.SAT
        assert ask((np.concatenate([one, 0 * one]), [int(y[:, 0].min()), 1])).verdict is Verdict.UNSAT


def test_a_single_point_is_evaluated() -> None:
    random = np.random.default_rng(8)
    for _ in range(30):
        net = random_network(random)
        network = net.network()
        x = net.points()[random.integers(len(net.points()))]
        query = random_query(random, net, network)
        query = Query(network, floats(x), floats(x), query.condition)
        for how in (LIMIT, BLIND):
            check(net, query, verify(query, how))


def test_the_same_seed_gives_the_same_search() -> None:
    random = np.random.default_rng(9)
    for _ in range(10):
        net = random_network(random)
        for query in queries(random, net, 3):
            first, second = (verify(query, Settings(timeout=600.0, seed=5)) for _ in range(2))
            assert (first.verdict, first.method, first.subproblems) == (
                second.verdict,
                second.method,
                second.subproblems,
            )
            if first.witness is not None and second.witness is not None:
                assert torch.equal(first.witness.input, second.witness.input)


def test_limits_give_no_answer_rather_than_a_wrong_one() -> None:
    random = np.random.default_rng(10)
    undecided = 0
    for _ in range(40):
        net = random_network(random, layers=2)
        for query in queries(random, net, 3):
            result = verify(query, Settings(timeout=1e-9, attack=False))
            if result.verdict.decided:
                check(net, query, result)
            else:
                assert result.verdict is Verdict.TIMEOUT and result.reason and result.witness is None
                assert result.bound is not None and result.bound >= 0
                undecided += 1
    assert undecided > 5


def test_results_say_what_was_done() -> None:
    random = np.random.default_rng(11)
    methods = set()
    for _ in range(40):
        net = random_network(random)
        for query in queries(random, net, 3):
            result = verify(query, LIMIT)
            assert result.seconds >= 0 and result.subproblems >= 0
            methods.add((result.verdict.value, result.method))
    assert {("sat", "attack"), ("unsat", "bound"), ("unsat", "search")} <= methods
