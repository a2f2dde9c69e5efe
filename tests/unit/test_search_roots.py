"""In what order a root is bounded where there are envelopes, and what is tried near its linear program's point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netproof.query import Query, Verdict
from netproof.search.integer.attacks import Attacker
from netproof.search.integer.engine import Search
from netproof.search.verify import verify
from netproof.settings import Settings
from soundness.random_networks import RandomNetwork, random_network, random_query, tight_query, witnesses


def hard_queries(seed: int, count: int) -> list[tuple[RandomNetwork, Query]]:
    """Queries on networks of one hidden layer, about half of them close to what the network does."""
    random = np.random.default_rng([41, seed])
    found = []
    for number in range(count):
        net = random_network(random, layers=2, kinds=("shift", "equidistant"), final="shift", scale=8)
        make = tight_query if number % 2 else random_query
        found.append((net, make(random, net, net.network())))
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in its order."""
    done: list[str] = []

    def record(owner: type, name: str) -> None:
        inner = getattr(owner, name)

        def called(self: Any, *given: Any, **named: Any) -> Any:
            done.append(name + ("+" if named.get("descending") else ""))
            return inner(self, *given, **named)

        monkeypatch.setattr(owner, name, called)

    for owner, name in (
        (Search, "_refute_first_order"),
        (Search, "_program"),
        (Search, "_refute_by_envelopes"),
        (Attacker, "near"),
    ):
        record(owner, name)
    return done


def test_envelopes_come_before_the_linear_program(calls: list[str]) -> None:
    orders = set()
    for net, query in hard_queries(0, 30):
        calls.clear()
        result = verify(query, Settings(attack=False))
        assert result.verdict is (Verdict.SAT if len(witnesses(net, query)) else Verdict.UNSAT)
        assert not any(name.startswith("near") for name in calls)
        if "_refute_by_envelopes" in calls:
            orders.add(tuple(calls[:3]))
    assert ("_refute_first_order", "_refute_by_envelopes", "_program") in orders
    assert all(order[:2] == ("_refute_first_order", "_refute_by_envelopes") for order in orders)


def test_roots_are_rounded_and_descended_from(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("corners", "align"):
        monkeypatch.setattr(Attacker, other, lambda *given: None)
    first = set()
    for net, query in hard_queries(1, 30):
        calls.clear()
        result = verify(query, Settings())
        assert result.verdict is (Verdict.SAT if len(witnesses(net, query)) else Verdict.UNSAT)
        first |= {name for name in calls if name.startswith("near")}
        if "near+" in calls:
            assert calls.index("near+") > calls.index("_program")
    assert "near+" in first
