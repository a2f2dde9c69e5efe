"""The first hour of a newcomer: twenty commands, each of which ends in an answer or in one line that helps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "first_hour.sh"


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_every_command_ends_as_it_should(tmp_path):
    program = {"NETPROOF": f"{sys.executable} -m netproof", "PYTHON": sys.executable}
    ran = subprocess.run(
        ["sh", SCRIPT, tmp_path / "out"],
        env={**os.environ, **program},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "20 commands, each as expected" in ran.stdout and "Traceback" not in ran.stdout + ran.stderr
    refused = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(refused) == 1 and all("; give " in line for line in refused)
    # Of the float network's folder by class: the labels are those of the folders' names.
    table = re.search(r"10 images of by-class.*?sum of times", ran.stdout, re.DOTALL)
    assert table is not None and table[0].count("misclassified") <= 2
    for name in ("two-or-one.png", "witness.json", "proof.npcert", "report.html", "report.xml", "promises.xml"):
        assert (tmp_path / "out" / name).stat().st_size > 0
