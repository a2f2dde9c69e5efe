"""A short slice of the campaign, and what the campaign does when engines disagree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from differential import campaign as tool
from differential.campaign import Engine, Said, campaign, make_engines, replay, summary
from differential.random_cases import ENUMERABLE, Case, box_points, random_case
from netproof.query import Query

SCRIPT = Path(tool.__file__)


@pytest.fixture(scope="module")
def engines() -> Iterator[Mapping[str, Engine]]:
    with ExitStack() as stack:
        yield make_engines(tool.ENGINES, 1.0, stack)[0]


def quiet(line: str) -> None:
    pass


def honest(query: Query, number: int) -> Said:
    """Every input tried out."""
    case = random_case(3, number)
    x = box_points(*case.box)
    met = case.meets(x)
    return Said("sat", x[met][0]) if met.any() else Said("unsat")


def liar(query: Query, number: int) -> Said:
    return Said("unsat" if honest(query, number).verdict == "sat" else "timeout")


def forger(query: Query, number: int) -> Said:
    """Says ``sat`` with a point outside the box."""
    return Said("sat", query.upper.long().numpy() + 1)


def enumerable(count: int) -> list[int]:
    return [n for n in range(4 * count) if random_case(3, n).points <= ENUMERABLE][:count]


def test_engines_agree(engines: Mapping[str, Engine], tmp_path: Path) -> None:
    tally = campaign(2, 0, 30, engines, tmp_path, quiet)
    assert tally.disagreements == []
    assert list(tmp_path.iterdir()) == []
    assert min(tally.truth["sat"], tally.truth["unsat"]) >= 8
    for name in ("bab", "milp"):
        assert tally.said[name]["sat"] and tally.said[name]["unsat"]


def test_cases_are_of_every_kind() -> None:
    cases = [random_case(3, number) for number in range(300)]
    assert {len(case.layers) for case in cases} == {1, 2, 3, 4}
    assert {case.query().sample is not None for case in cases} == {True, False}
    final = [case.layers[-1] for case in cases]
    assert any(layer.base is None for layer in final)
    assert any(layer.base is not None and len(layer.base) > 1 for layer in final)
    assert any(case.points > ENUMERABLE for case in cases)
    several = [len(level) for case in cases for _, level in case.condition]
    assert {1, 2, 3} <= set(several)
    steps = [layer.thresholds for case in cases for layer in case.layers if layer.thresholds is not None]
    assert any(len(set(np.diff(t[0]))) > 1 for t in steps) and any(len(set(np.diff(t[0]))) == 1 for t in steps)


def test_the_same_seed_gives_the_same_cases(tmp_path: Path) -> None:
    for number in range(20):
        for name in ("first", "second"):
            random_case(5, number).save(tmp_path / name)
        assert (tmp_path / "first").read_text() == (tmp_path / "second").read_text()
    assert (tmp_path / "first").read_text() != _text(random_case(6, 19), tmp_path)


def _text(case: Case, folder: Path) -> str:
    case.save(folder / "other")
    return (folder / "other").read_text()


def test_a_case_comes_back_from_its_file(tmp_path: Path) -> None:
    for number in range(60):
        case = random_case(3, number)
        case.save(tmp_path / "case.json")
        again = Case.load(tmp_path / "case.json")
        random = np.random.default_rng(number)
        x = random.integers(case.lower, case.upper + 1, (50, len(case.lower)))
        assert (case.outputs(x) == again.outputs(x)).all()
        assert (case.meets(x) == again.meets(x)).all()
        first, second = case.query(), again.query()
        assert type(first) is type(second)
        assert bool((first.refuted_by(_double(x)) == second.refuted_by(_double(x))).all())
        assert (first.refuted_by(_double(x)).numpy() == case.meets(x)).all()


def _double(x: np.ndarray):
    import torch

    return torch.from_numpy(x).double()


@pytest.mark.parametrize("wrong", [liar, forger])
def test_a_disagreement_is_written_and_can_be_replayed(wrong: Engine, tmp_path: Path) -> None:
    numbers = [n for n in enumerable(30) if wrong is forger or honest(random_case(3, n).query(), n).verdict == "sat"]
    said: list[str] = []
    tally = campaign(3, numbers[0], 1, {"honest": honest, "wrong": wrong}, tmp_path, said.append)
    assert len(tally.disagreements) == 1 and "DISAGREEMENT" in said[0]
    assert any("disagreements: 1" in line for line in summary(tally))
    (folder,) = tmp_path.iterdir()
    assert f"--replay {folder}" in (folder / "README").read_text()
    assert replay(folder, {"wrong": wrong}, quiet)
    assert not replay(folder, {"honest": honest}, quiet)


def test_an_undecided_engine_disagrees_with_nobody(tmp_path: Path) -> None:
    def idle(query: Query, number: int) -> Said:
        return Said("timeout")

    assert campaign(3, 0, 5, {"idle": idle}, tmp_path, quiet).disagreements == []


def test_a_false_claim_of_the_solver_is_counted_only(tmp_path: Path) -> None:
    (number, *_) = [n for n in enumerable(30) if honest(random_case(3, n).query(), n).verdict == "sat"]
    tally = campaign(3, number, 1, {"highs": liar}, tmp_path, quiet)
    assert tally.disagreements == [] and len(tally.false_claims) == 1


def test_as_a_command(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--count", "3", "--engines", "milp,highs", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "3 cases" in done.stdout and "disagreements: 0" in done.stdout
    case = random_case(3, 0)
    folder = tool.write_out(case, 0, ["for the test"], tmp_path / "case-3-0")
    command = [sys.executable, str(SCRIPT), "--engines", "milp", "--replay", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout) == (0, "case 3-0: no disagreement\n"), done.stderr
