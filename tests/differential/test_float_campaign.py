"""A short slice of the campaign on float networks, and what the campaign does where something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from differential import degenerate_cases, float_cases, float_data, float_hostile, later_cases, several_cases
from differential import float_campaign as tool
from differential.question_formulas import All, holds
from netproof.bounds import backward
from netproof.bounds.deciding import rounding
from netproof.bounds.region import Region
from netproof.formats.vnnlib.formulas import Bounds
from netproof.formats.vnnlib.second import ask as asking
from netproof.query import Result, Verdict
from netproof.result import Witness

SCRIPT = Path(tool.__file__)
#: instances of different folders that are cheap
FOLDERS = "vnncomp/acasxu,vnncomp/test,vnncomp/rl_benchmarks,cifar10_resnet,vnncomp/tllverifybench"


def run(log: Path, *options: str) -> int:
    return tool.main(["--log", str(log), "--seconds", "0.3", *options])


@pytest.mark.parametrize("part", ["random", "hostile", "operators"])
def test_nothing_disagrees(part, tmp_path, capsys):
    log = tmp_path / "log"
    assert run(log, "--parts", part, "--count", "18") == 0
    assert "disagreements: 0" in capsys.readouterr().out
    lines = tool.read_log(log)
    assert len(lines) == 18
    figures = [set(line["figures"]) for line in lines]
    if part == "random":
        assert sum(line["figures"]["with truth"] for line in lines) >= 9
        for wanted in ("below sat", "above unsat"):
            assert sum(wanted in names for names in figures) >= 2
    if part == "operators":
        assert any("beyond unsat" in names for names in figures)
        assert not any("attained unsat" in names for names in figures)


@pytest.mark.parametrize("part", ["ranges", "attained"])
def test_nothing_disagrees_on_published_networks(part, published_data, tmp_path, capsys):
    log = tmp_path / "log"
    options = ("--parts", part, "--count", "4", "--folders", FOLDERS, "--data", str(published_data))
    assert run(log, *options) == 0
    assert "disagreements: 0" in capsys.readouterr().out
    assert len(tool.read_log(log)) == 4


def test_cases_are_of_every_kind_and_always_the_same():
    cases = [float_cases.random_case(3, number) for number in range(60)]
    assert {case.kind for case in cases} == set(float_cases.KINDS)
    assert {1, 2} == {len(case.parts) for case in cases}
    conjunctions = [c for case in cases for part in case.parts for c in part.conjunctions]
    assert {1, 2, 3} == {len(t) for _, _, t in conjunctions}
    assert any(d.any() for _, d, _ in conjunctions)
    again = [float_cases.random_case(3, number) for number in range(60)]
    assert [case.data for case in cases] == [case.data for case in again]


def test_a_run_goes_on_where_it_stopped(tmp_path, capsys):
    log = tmp_path / "log"
    assert run(log, "--parts", "hostile", "--count", "3") == 0
    log.write_text(log.read_text() + '{"case": "torn')
    assert run(log, "--parts", "hostile", "--count", "5") == 0
    names = [json.loads(line)["case"] for line in log.read_text().splitlines()]
    assert names == [f"hostile:0:{number}" for number in range(5)]
    assert run(log, "--parts", "hostile", "--count", "9", "--stop-after", "0") == 0
    assert len(tool.read_log(log)) == 5
    assert "goes on" in capsys.readouterr().out


def test_an_engine_that_refutes_too_much_is_found_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tool, "verify", lambda query, settings: Result(Verdict.UNSAT, 0.0, "bound"))
    for part in ("random", "hostile"):
        assert run(tmp_path / part, "--parts", part, "--count", "3") == 1
    assert "DISAGREEMENT random:0:0: unsat" in capsys.readouterr().out


def test_queries_about_several_networks(tmp_path, capsys, monkeypatch):
    options = ("--parts", "networks", "--seconds", "1")
    assert run(tmp_path / "log", *options, "--count", "12") == 0
    figures = Counter()
    for line in tool.read_log(tmp_path / "log"):
        figures.update(line["figures"])
    assert min(figures["sat"], figures["unsat"], figures["about 2"]) >= 2, figures
    monkeypatch.setattr(several_cases, "verify", lambda *_, **__: Result(Verdict.UNSAT, 0.0, "bound"))
    assert run(tmp_path / "lies", *options, "--count", "12") == 1
    assert "DISAGREEMENT networks:0:" in capsys.readouterr().out


def test_an_engine_that_finds_too_much_is_found_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tool, "verify", lambda query, settings: Result(Verdict.SAT, 0.0, "attack"))
    assert run(tmp_path / "log", "--parts", "random", "--count", "6") == 1
    assert "out of reach" in capsys.readouterr().out


def later(limit: int, *, wanted: bool = True) -> list[str]:
    """What disagrees in the cases about inputs that no network takes, until something does or they end."""
    for number in range(limit):
        wrong, _ = later_cases.judged(0, number, 0.05)
        if wrong and wanted:
            return wrong
        assert not wrong
    return []


def test_inputs_that_no_network_takes_and_ends_that_cross():
    assert not later(12, wanted=False)
    cases = [later_cases.later_case(0, number) for number in range(60)]
    assert {case.kind for case in cases} == set(later_cases.KINDS)
    assert sum(len(case.used) < case.inputs for case in cases) > 20
    again = later_cases.later_case(0, 7)
    assert again.text(1) == cases[7].text(1) and again.points == cases[7].points
    # Some are empty as written and not as rounded, which is seen by a point that meets one reading only.
    split = [case for case in cases if case.type != "real" and case.answer() is not None]
    assert any(not holds(case.formula, case.answer(), case.outputs(case.answer())) for case in split)


def test_an_input_that_is_fixed_because_no_network_takes_it_is_found_out(monkeypatch):
    monkeypatch.setattr(asking, "monomials_of", lambda formulas: [])
    monkeypatch.setattr(asking, "largest_number", lambda type_: None)
    assert any("unsat, but" in text for text in later(200))


def test_ends_that_are_read_in_one_way_only_are_found_out(monkeypatch):
    monkeypatch.setattr(Bounds, "uncrossed", lambda self, nearest: self)
    assert "unsat, but" in later(200)[0]


@pytest.mark.parametrize("verdict", [Verdict.UNSAT, Verdict.SAT])
def test_verdicts_about_such_inputs_that_are_too_much_are_found_out(verdict, monkeypatch):
    witness = Witness(torch.zeros(4), torch.zeros(2))
    result = Result(verdict, 0.0, "made up", witness=witness if verdict is Verdict.SAT else None)
    monkeypatch.setattr(later_cases, "verify", lambda *arguments, **options: result)
    assert verdict.value in later(40)[0]


def degenerate(numbers, *, wanted: bool = True) -> list[str]:
    """What disagrees in cases of networks with next to nothing in them, until something does or they end."""
    for number in numbers:
        wrong, _ = degenerate_cases.judged(0, number, 0.1)
        if wrong and wanted:
            return wrong
        assert not wrong
    return []


def test_networks_with_next_to_nothing_in_them():
    # The last ones are about the smallest numbers, whose halves are none, made large by a network.
    assert not degenerate((*range(12), 2986, 3050, 3914), wanted=False)
    cases = [degenerate_cases.degenerate_case(0, number) for number in range(60)]
    assert degenerate_cases.degenerate_case(0, 7).text() == cases[7].text()
    answers = [(case, case.answer()) for case in cases]
    assert 10 < sum(answer is not None for _, answer in answers) < 50
    for case, answer in answers:
        if answer is not None:
            assert all(low <= v <= high for v, (low, high) in zip(answer, case.ends, strict=True))
            assert holds(All(case.asserts), answer, case.outputs(answer))


def test_what_such_networks_give_is_what_the_runtime_gives(tmp_path):
    compared = 0
    for number in range(60):
        case = degenerate_cases.degenerate_case(0, number)
        sizes = [abs(v) for step in case.steps for array in step.arrays for v in array.flatten().tolist() if v]
        if not all(1e-9 < size < 1e4 for size in (*sizes, *(float(abs(high)) or 1.0 for _, high in case.ends))):
            continue
        network, _ = case.write(tmp_path)
        kind = np.float64 if case.is_double else np.float32
        x = np.array([[float(low) for low, _ in case.ends]], kind)
        (y,) = onnxruntime.InferenceSession(network.read_bytes()).run(None, {"x": x})
        exact = [float(v) for v in case.outputs([Fraction(v) for v in x[0].tolist()])]
        np.testing.assert_allclose(y[0], exact, rtol=1e-4, atol=0.1 if kind is np.float32 else 1e-6)
        compared += 1
    assert compared > 15


@pytest.mark.parametrize("verdict", [Verdict.UNSAT, Verdict.SAT])
def test_verdicts_about_such_networks_that_are_too_much_are_found_out(verdict, monkeypatch):
    witness = Witness(torch.zeros(5), torch.zeros(8))
    result = Result(verdict, 0.0, "made up", witness=witness if verdict is Verdict.SAT else None)
    monkeypatch.setattr(degenerate_cases, "verify", lambda *arguments, **options: result)
    assert verdict.value in degenerate(range(20))[0]


def test_an_account_without_what_underflows_is_found_out(monkeypatch):
    monkeypatch.setattr(rounding, "_LEAST", 0.0)
    monkeypatch.setattr(backward, "halves", lambda low, high: ((low + high) / 2, (high - low) / 2))
    assert "unsat, but" in degenerate((2986, 3050, 3914))[0]


@pytest.mark.parametrize("kind", ["intervals", "forms", "boxes", "crown", "alpha", "splits"])
def test_ranges_that_are_too_narrow_are_found_out(kind, tmp_path, monkeypatch):
    """Ranges a little narrower than they are: some point of some case leaves them."""
    honest = float_data.claimed_ranges

    def narrowed(graph, box, seconds):
        for name, region in honest(graph, box, seconds):
            yield name, squeezed(region) if name == kind else region

    monkeypatch.setattr(float_data, "claimed_ranges", narrowed)
    found = []
    for number in range(8):
        query, x = float_hostile.hostile_case(0, number)
        graph = query.network.graph
        box = float_data.box_region(graph, query.lower[None], query.upper[None])
        regions = dict(float_data.claimed_ranges(graph, box, 0.3))
        found += float_hostile.leaving(query, x, regions)
        points = float_data.points_of(graph, box, torch.Generator().manual_seed(0))
        for name, region in regions.items():
            wrong = float_data.outside(graph, region, graph.values(points), float_hostile.rounding_of(query))
            found += [f"{name}: {text}" for text in wrong]
    assert found and all(text.startswith(f"{kind}:") for text in found)


def squeezed(region: Region) -> Region:
    """Every range to its middle two thirds."""
    pairs = list(zip(region.range_lower, region.range_upper, strict=True))
    return replace(
        region,
        range_lower=tuple(low + (high - low) / 6 for low, high in pairs),
        range_upper=tuple(high - (high - low) / 6 for low, high in pairs),
    )


def test_a_refuted_property_that_a_point_attains_is_found_out(published_data, monkeypatch):
    item = float_data.instances(published_data, ["vnncomp/acasxu"])[0]
    monkeypatch.setattr(float_data, "verify", lambda query, settings: Result(Verdict.UNSAT, 0.0, "bound"))
    assert float_data.check_attained(item, 0.1)[0]


def test_as_a_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), "--parts", "random", "--count", "2", "--log", str(tmp_path / "log")],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "disagreements: 0"
