"""A short slice of the campaign about sets of inputs, and that a wrong answer is found out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import netproof
from differential import campaign, set_cases
from differential.tflite_runtimes import LITERT, TFLM
from netproof.query import Result, Verdict

pytestmark = pytest.mark.skipif(not (LITERT and TFLM), reason="the runtimes are not installed (extra 'litert')")


def test_nothing_disagrees(tmp_path, capsys):
    log = tmp_path / "log"
    assert campaign.main(["--parts", "sets", "--count", "25", "--log", str(log)]) == 0
    assert "disagreements: 0" in capsys.readouterr().out
    figures: Counter[str] = Counter()
    for line in campaign.read_log(log):
        figures.update(line["figures"])
    assert min(figures[name] for name in ("sat", "unsat", "pixels", *set_cases.FORMS)) >= 1, figures


def test_a_wrong_answer_is_found_out(tmp_path, monkeypatch):
    right = next(n for n in range(20) if set_cases.judged(0, n, tmp_path)[1].get("unsat"))
    monkeypatch.setattr(netproof, "verify", lambda asked, settings: Result(Verdict.SAT, 0.0, "enumeration"))
    wrong, _ = set_cases.judged(0, right, tmp_path)
    assert wrong and "by the runtime unsat" in wrong[0]


def test_what_a_set_has_is_what_is_asked_about(tmp_path):
    """The second writing of every kind of set gives the inputs that netproof evaluates."""
    kinds = set()
    for number in range(30):
        made = set_cases.read("qoperator", number, tmp_path)
        if made is None:
            continue
        network, random = made[0], np.random.default_rng(number)
        low, high = network.lower.long().numpy(), network.upper.long().numpy()
        perturbation, every = set_cases.random_set(random, network)
        center = random.integers(low, high + 1)
        asked = netproof.robustness_to(
            network, center, int(network.classify(_double(center))), perturbation, points=1 << 20
        )
        mine = set(every(tuple(center.tolist())))
        theirs = {tuple(row) for part in perturbation.inputs(asked.image, 1 << 16) for row in part.tolist()}
        assert mine == theirs, perturbation
        kinds.add(perturbation.kind)
    assert kinds >= {"brightness", "contrast", "pixels"}


def _double(values):
    import torch

    return torch.from_numpy(values).double()
