"""Every proof a search leaves is accepted by the checker, which shares nothing with it; and every witness."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof.bounds.region import box_region
from netproof.certificate.checker.check import check
from netproof.certificate.format import decode, encode
from netproof.certificate.make import certificate_of
from netproof.conditions.conditions import Conditions
from netproof.demo.digits import load_digits
from netproof.effort.integer import INTEGER
from netproof.errors import ProofError, QueryError
from netproof.local_robustness import robustness
from netproof.query import Conjunction, Query, Result, Verdict, sample_of
from netproof.search.integer.engine import Effort, Search
from netproof.search.proofs.digits import refutes, round_rows
from netproof.search.radius import largest_radius
from netproof.search.verify import verify, verify_attacked
from netproof.settings import Settings
from soundness.random_networks import Layer, RandomNetwork, floats, random_network, random_query, tight_query, witnesses

PROOFS = Settings(timeout=600.0, attack=False, proofs=True)
#: hardly any work per subproblem, so that proofs consist of splits
TINY = Effort(root_steps=0, steps=0, iterations=1, batch=3, look_ahead=1)
NAMES = ("empty", "leaf", "cut", "split", "points")


def certify(net: RandomNetwork, query: Query, result: Result) -> Counter[str]:
    """Check the certificate of a result as a file would have it; how many nodes of each kind it has."""
    assert result.verdict is (Verdict.SAT if len(witnesses(net, query)) else Verdict.UNSAT)
    data = encode(certificate_of(query, result))
    certificate = decode(data)
    assert check(certificate, query.network).claim == result.verdict.value
    kinds = Counter(NAMES[kind] for kind in certificate.arrays["kind"].tolist())
    return kinds + Counter(common=len(certificate.arrays["common"]))


@pytest.mark.parametrize("seed", range(2))
def test_general_queries(seed: int) -> None:
    random = np.random.default_rng([31, seed])
    kinds: Counter[str] = Counter()
    for _ in range(15):
        net = random_network(random)
        network = net.network()
        asked = [random_query(random, net, network) for _ in range(8)]
        for position, result in enumerate(verify(asked, PROOFS)):
            kinds += certify(net, asked[position], result)
    assert kinds["leaf"] > 5 and kinds["split"] > 5


@pytest.mark.parametrize(("seed", "restart"), [(0, 2), (1, 0), (3, 10_000)])
def test_searches_that_split_much(seed: int, restart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netproof.search.integer.engine.INTEGER", replace(INTEGER, restart=restart))
    monkeypatch.setattr("netproof.search.integer.decide.Search", functools.partial(Search, effort=TINY))
    random = np.random.default_rng([32, seed])
    kinds: Counter[str] = Counter()
    for _ in range(9):
        net = random_network(random, bits=6, layers=int(random.integers(1, 4)))
        network = net.network()
        for query in (tight_query(random, net, network) for _ in range(3)):
            kinds += certify(net, query, verify(query, PROOFS))
    assert min(kinds["leaf"], kinds["split"]) > 5
    assert kinds["cut"] > 0 or seed != 1  # range cuts are left out where no leaf needs them


@pytest.mark.parametrize(
    ("seed", "effort"),
    [(0, None), (1, TINY)],
    ids=lambda value: "tiny" if value is TINY else None,
)
def test_robustness(seed: int, effort: Effort | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Order cases: windows, outputs that saturate, rivals that ask the same."""
    monkeypatch.setattr("netproof.search.integer.engine.INTEGER", replace(INTEGER, restart=2))
    monkeypatch.setattr("netproof.search.integer.decide.Search", functools.partial(Search, effort=effort))
    random = np.random.default_rng([33, seed])
    robust = 0
    kinds: Counter[str] = Counter()
    for _ in range(9):
        layers = int(random.integers(2, 4))
        net = random_network(random, layers=layers, final=str(random.choice(["shift", "shared"])))
        network = net.network()
        asked = []
        for _ in range(6):
            image = torch.from_numpy(random.integers(net.lower, net.upper + 1))
            asked.append(robustness(network, image, int(network.classify(image.double())), int(random.integers(9))))
        for position, result in enumerate(verify(asked, PROOFS)):
            kinds += certify(net, asked[position], result)
            robust += result.verdict is Verdict.UNSAT
    # Ranges are tightened where bounds without that leave something open, which is robust seldom for seed 1.
    assert robust > 10 and (kinds["common"] > 0 or seed == 1)


@pytest.mark.parametrize("attacked", [False, True])
def test_searches_that_drop_envelopes_on_the_way(attacked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear programs from the first subproblem on and envelopes judged at once: proofs have rows of both."""
    hasty = replace(INTEGER, judged=1, least_closed=2.0, programs_from=1, restart=10_000)
    for module in ("engine", "work"):
        monkeypatch.setattr(f"netproof.search.integer.{module}.INTEGER", hasty)
    tried: Counter[str] = Counter()
    envelopes, programs = Search._refute_by_envelopes, Search._refute_by_program

    def enveloped(self, batch, s, enveloper, program=None):
        tried["envelopes"] += 1
        tried["after programs"] += program is not None
        return envelopes(self, batch, s, enveloper, program)

    def programmed(self, batch, s, interior):
        tried["programs"] += 1
        tried["without"] += not self._work.enveloped and self._enveloper is not None
        return programs(self, batch, s, interior)

    monkeypatch.setattr(Search, "_refute_by_envelopes", enveloped)
    monkeypatch.setattr(Search, "_refute_by_program", programmed)
    digits = load_digits()
    # the largest radii at which these images are robust, near which proofs are long
    for number, radius in ((2, 50), (4, 39), (7, 14), (12, 33), (16, 32), (17, 51), (19, 52)):
        query = robustness(digits.network, digits.image(number), int(digits.labels[number]), radius)
        result = (verify_attacked if attacked else verify)(query, PROOFS)
        assert result.verdict is Verdict.UNSAT
        check(decode(encode(certificate_of(query, result))), query.network)
    assert min(tried["envelopes"], tried["programs"], tried["after programs"], tried["without"]) > 3, tried


@pytest.mark.parametrize("attack", [False, True])
def test_prices_of_what_was_refuted_are_not_kept(attack: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a linear program (outputs are sums), with one, and with two hidden layers, whose ranges are made smaller after the root."""
    monkeypatch.setattr("netproof.search.integer.engine.INTEGER", replace(INTEGER, programs_from=1, restart=8))
    searches: list[Search] = []
    begin = Search.__init__

    def begun(self, *rest, **named):
        begin(self, *rest, **named)
        searches.append(self)

    monkeypatch.setattr(Search, "__init__", begun)
    kinds: Counter[str] = Counter()
    for seed in range(36):
        random = np.random.default_rng([40, seed])
        final = None if seed % 3 else "shift"
        net = random_network(random, bits=8, layers=3 if seed % 2 else 2, kinds=("shift", "equidistant"), final=final)
        network = net.network()
        for query in (tight_query(random, net, network) for _ in range(3)):
            searches.clear()
            result = verify(query, replace(PROOFS, attack=attack))
            certify(net, query, result)
            for search in searches if result.verdict is Verdict.UNSAT and result.method != "enumeration" else ():
                if search._enveloper is None:
                    continue
                assert search._enveloper.pool.bytes == 0
                prices = search._enveloper.pool._next > 0
                kinds[("no program" if search._interior is None else "program") + (", prices" if prices else "")] += 1
    assert kinds["no program, prices"] > 0 and kinds["program, prices"] > 0, kinds


def test_an_order_of_outputs_that_share_a_staircase_not_all_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order form is admissible only where all outputs share their staircase, whatever the search leaves out."""
    monkeypatch.setattr("netproof.search.integer.decide.Search", functools.partial(Search, effort=TINY))
    methods: Counter[str] = Counter()
    for seed in range(60):
        random = np.random.default_rng([38, seed])
        net = random_network(random, bits=6, layers=2, final="grouped")
        network, last = net.network(), net.layers[-1].steps
        assert last is not None
        if (last.channels, len(last.base)) != (2, 4):  # the first two of four outputs share theirs
            continue
        y = net.outputs(net.points())
        first = Conjunction(torch.tensor([[1.0, -1.0, 0, 0]]).double(), floats((y[:, :1] - y[:, 1:2]).max(0) + 1))
        query = Query(network, floats(net.lower), floats(net.upper), (first,))
        result = verify(query, PROOFS)
        certify(net, query, result)
        methods[result.method] += 1
    assert methods["search"] > 2


def test_one_output_keeps_its_class() -> None:
    net = RandomNetwork((Layer(np.array([[2, -3]]), np.array([1]), None),), np.array([0, 0]), np.array([3, 3]))
    query = robustness(net.network(), torch.tensor([1, 2]), 0, 2)
    assert verify(query, PROOFS).verdict is Verdict.UNSAT
    certify(net, query, verify(query, PROOFS))


def test_rows_with_more_digits_than_there_is_room_for() -> None:
    """A row too fine for exact sums on this region is proved on a coarser grid; one that proves nothing stays so."""
    net = RandomNetwork((Layer(np.array([[1]]), np.array([0]), None),), np.array([0]), np.array([100]))
    graph, none = net.graph(), torch.zeros(2, dtype=torch.int64)
    asked = [Conjunction(torch.ones(1, 1).double(), torch.tensor([float(level)]).double()) for level in (101, 100)]
    region = box_region(graph, floats(net.lower)[None], floats(net.upper)[None]).take(none)
    rows = torch.full((2, 1), 2.0**46 + 1, dtype=torch.float64)
    rounded = round_rows(Conditions.of(graph, asked), torch.arange(2), none, region, rows, (), refutes)
    assert rounded.proved.tolist() == [True, False] and 0 < int(rounded.units[0]) < 2**46


def test_boxes_split_to_points() -> None:
    """Where only integrality is left, inputs are split down to single points: an even sum is not odd."""
    weight = np.array([[2, 2]], dtype=np.int64)
    net = RandomNetwork((Layer(weight, np.array([0]), None),), np.array([0, 0]), np.array([2, 2]))
    odd = Conjunction(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([3.0, -3.0]).double())
    query = Query(net.network(), floats(net.lower), floats(net.upper), (odd,))
    kinds = certify(net, query, verify(query, PROOFS))
    assert kinds["leaf"] > 3 and kinds["split"] > 2


def test_the_same_query_gives_the_same_file() -> None:
    random = np.random.default_rng(35)
    for _ in range(10):
        net = random_network(random)
        query = tight_query(random, net, net.network())
        files = [encode(certificate_of(query, verify(query, PROOFS))) for _ in range(2)]
        assert files[0] == files[1]


def test_a_radius_comes_with_its_proof() -> None:
    random = np.random.default_rng(36)
    for _ in range(10):
        net = random_network(random, bits=7, final="shift")
        network = net.network()
        image = torch.from_numpy(random.integers(net.lower, net.upper + 1))
        label = int(network.classify(image.double()))
        found = largest_radius(network, image, label, PROOFS)
        assert found.proved is not None and found.proved.verdict is Verdict.UNSAT
        certify(net, robustness(network, image, label, found.radius), found.proved)


def test_without_a_proof_there_is_no_certificate() -> None:
    random = np.random.default_rng(37)
    net = random_network(random, final="shift")
    query = robustness(net.network(), torch.from_numpy(net.lower), 0, 0)
    image = sample_of(query).image
    query = robustness(query.network, image, int(query.network.classify(image)), 0)
    with pytest.raises(QueryError, match="has no proof"):
        certificate_of(query, verify(query))
    with pytest.raises(QueryError, match="timeout"):
        certificate_of(query, Result(Verdict.TIMEOUT, 0.0, "search"))


def test_ranges_by_envelopes_are_common_cuts_with_prices() -> None:
    """An end that no value of the layer reaches is accepted, and one that cuts off a value is not."""
    seen: Counter[str] = Counter()
    random = np.random.default_rng([36, 0])
    for _ in range(300):
        net = random_network(random, layers=3, bits=6, kinds=("shift", "equidistant"), final="shared")
        network = net.network()
        query = tight_query(random, net, network)
        result = verify(query, PROOFS)
        if result.verdict is not Verdict.UNSAT:
            continue
        certificate = certificate_of(query, result)
        arrays = certificate.arrays
        common = range(int(arrays["common"].sum()))
        priced = [i for i in common if arrays["cut_row"][i] in arrays["price_row"]]
        if not priced:
            continue
        assert check(certificate, network).claim == "unsat"
        values = net.nodes(net.points())[3]
        for i in priced:
            assert arrays["cut_activation"][i] == 2
            feature, is_lower = values[:, arrays["cut_feature"][i]], arrays["cut_side"][i] == 0
            ends = arrays["cut_end"].copy()
            ends[i] = feature.min() + 1 if is_lower else feature.max() - 1
            with pytest.raises(ProofError, match="common cuts"):
                check(replace(certificate, arrays={**arrays, "cut_end": ends}), network)
            seen["cuts"] += 1
        seen["certificates"] += 1
        if seen["certificates"] == 2:
            break
    assert seen["certificates"] == 2, seen
