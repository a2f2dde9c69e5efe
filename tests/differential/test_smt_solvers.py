"""Exported queries by other solvers: cvc5, z3 and Boolector parse every file and find what netproof and brute force find.

Fifty queries on random networks of one to four layers, both answers; and the engine ``smt`` on the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.soundness.random_networks import RandomNetwork, random_network, random_query, tight_query, witnesses

from netproof.exact.smt.export import exported
from netproof.exact.smt.options import EncodingOptions
from netproof.query import Query
from netproof.search.verify import verify
from netproof.settings import Settings

COUNT = 50
SETTINGS = Settings(timeout=600)


def cvc5_status(path: Path) -> str:
    cvc5 = pytest.importorskip("cvc5", reason="cvc5 is not installed")
    solver = cvc5.Solver(cvc5.TermManager())
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, str(path))
    said = []
    while not (command := parser.nextCommand()).isNull():
        said.append(str(command.invoke(solver, parser.getSymbolManager())).strip())
    (status,) = [line for line in said if line]
    return status


def z3_status(path: Path) -> str:
    z3 = pytest.importorskip("z3", reason="z3 is not installed")
    solver = z3.Solver()
    solver.from_file(str(path))
    return str(solver.check())


def boolector_status(path: Path) -> str:
    pyboolector = pytest.importorskip("pyboolector", reason="pyboolector is not installed (no wheel for this platform)")
    boolector = pyboolector.Boolector()
    result, *_ = boolector.Parse(str(path))
    return {boolector.SAT: "sat", boolector.UNSAT: "unsat"}.get(result, f"result {result}")


SOLVERS: dict[str, Callable[[Path], str]] = {"cvc5": cvc5_status, "z3": z3_status, "boolector": boolector_status}


def instance(number: int) -> tuple[RandomNetwork, Query]:
    """Case ``number``: one to four layers; staircases of every form, fixed-point ones alone in every third case."""
    random = np.random.default_rng([4, number])
    kinds = {"kinds": ("shift",)} if number % 3 == 0 else {}
    net = random_network(random, bits=8, layers=1 + number % 4, **kinds)
    make = tight_query if number % 2 else random_query
    return net, make(random, net, net.network())


def expected(net: RandomNetwork, query: Query) -> str:
    return "sat" if len(witnesses(net, query)) else "unsat"


@pytest.fixture(scope="module")
def cases() -> list[tuple[Query, str]]:
    made = [instance(number) for number in range(COUNT)]
    return [(query, expected(net, query)) for net, query in made]


def test_both_answers_occur(cases):
    answers = [status for _, status in cases]
    assert answers.count("sat") >= 15 and answers.count("unsat") >= 15


@pytest.mark.parametrize("solver", SOLVERS)
def test_other_solvers_agree(cases, solver, tmp_path):
    for number, (query, status) in enumerate(cases):
        # Nothing is left out of every second file, so that the solvers have something to do.
        options = EncodingOptions(drop_cases=False, simplify_neurons=False) if number % 2 else EncodingOptions()
        path = tmp_path / f"{number}.smt2"
        path.write_text("".join(exported(query, options, status=status)))
        assert SOLVERS[solver](path) == status, f"case {number}"


@pytest.mark.parametrize("engine", ["smt", "bab"])
def test_engines_agree(cases, engine):
    settings = Settings(timeout=600, engine=engine)
    for number, (query, status) in enumerate(cases):
        result = verify(query, settings)
        assert (result.verdict.value, result.reason) == (status, ""), f"case {number}"
        if status == "sat":
            assert result.witness is not None
            assert bool(query.refuted_by(result.witness.input.double()))


@pytest.mark.parametrize("name", ["minimal_widths", "range_lemmas", "balanced_sums", "shift_constants", "share_terms"])
def test_bitwuzla_without_each_improvement(cases, name):
    from netproof.exact.smt.engine import SmtEngine
    from netproof.search.verify import decide_with

    options = EncodingOptions(drop_cases=False, simplify_neurons=False, **{name: False})
    few = cases[::5]
    results = dict(decide_with(SmtEngine(options), [query for query, _ in few], SETTINGS))
    assert [results[i].verdict.value for i in range(len(few))] == [status for _, status in few]
