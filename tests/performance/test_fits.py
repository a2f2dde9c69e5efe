"""The script that searches one case in several ways."""

from __future__ import annotations

import re
import time

import pytest

from performance import fits


def test_two_ways(published_data, monkeypatch, capsys):
    monkeypatch.setenv("NETPROOF_DATA", str(published_data))
    monkeypatch.setattr(time, "monotonic", time.process_time)
    assert fits.main(["mnist_fc:47", "--ranges", "0.5", "--seconds", "1", "--ways", "chords", "pairs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    roots = [float(re.search(r"root ([\d.]+) after", line)[1]) for line in lines]
    # The same case by both, and pairs leave less at its root.
    assert len({line.split(",")[1] for line in lines}) == 1
    assert roots[1] < roots[0] - 0.01


def test_other_ways_are_refused(capsys):
    with pytest.raises(SystemExit):
        fits.main(["mnist_fc:47", "--ways", "nonsense"])
    assert "nonsense" in capsys.readouterr().err
