"""Hostile questions as cases of the campaigns: made, asked, judged; what disagrees keeps its files.

A question is a file of a network and a file of a property, made from a seed and a number. Networks have any operators that are
read, in graphs of one node up to a dozen (``question_reals.py``, ``question_real_maker.py``, ``question_integers.py``); properties
any boxes and comparisons, at and around what the network attains (``question_properties.py``, ``question_formulas.py``). What
is true of them is found without netproof, as far as it can be (``question_cases.py``, ``question_cells.py``). The number chooses
how netproof is asked: which engine, with or without attack and proofs, as files, as queries built in Python, on the command
line (``question_judge.py``).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from differential.campaign_log import Case, Outcome
from differential.question_cases import integer_case, real_case
from differential.question_judge import Asker, Asks, judge

#: the command that asks a question again
_AGAIN = (
    "python tests/differential/{script} --parts questions --seed {seed} --first {number} --count 1 --seconds {seconds:g} "
    "--log {folder}/again.jsonl --again"
)
_SCRIPTS = {"real": "float_campaign.py", "integer": "campaign.py"}


def cases(
    kind: str, seed: int, numbers: Sequence[int], seconds: float, out: Path, asks: Asks | None = None
) -> Iterator[Case]:
    """Questions about networks of one kind, ``real`` or ``integer``; those that disagree leave a folder in ``out``."""
    with closing(Asker()) as asker:
        for number in numbers:
            yield Case(
                f"questions:{kind}:{seed}:{number}",
                lambda number=number: judged(kind, seed, number, seconds, out, asks or asker),
            )


def judged(kind: str, seed: int, number: int, seconds: float, out: Path, asks: Asks) -> Outcome:
    """Make a question, ask it, and judge the answer."""
    case = real_case(seed, number) if kind == "real" else integer_case(seed, number)
    with tempfile.TemporaryDirectory() as name:
        found = judge(case, number, Path(name), asks, seconds)
        if found.wrong:
            folder = out / f"question-{kind}-{seed}-{number}"
            shutil.copytree(name, folder, dirs_exist_ok=True)
            command = _AGAIN.format(script=_SCRIPTS[kind], seed=seed, number=number, seconds=seconds, folder=folder)
            (folder / "README").write_text("\n".join([*found.wrong, "", command, ""]))
            found.wrong[-1] += f" (files in {folder}; again: {command})"
    return found.wrong, dict(found.figures)
