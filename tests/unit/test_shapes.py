"""Shapes that signatures say are those that tensors have; and who only uses netproof needs nothing for that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_shapes_are_what_signatures_say():
    # In a process of its own: calls are checked where the hook is there before the modules are.
    checks = [str(Path(__file__).with_name("shape_checks.py")), str(TESTS / "unit" / "test_adam.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *checks],
        env={**os.environ, "NETPROOF_SHAPES": "1"},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_of_it_is_imported_where_nothing_is_checked():
    code = "import sys, netproof.bounds.dual, netproof.operators.affine.linear; sys.exit('jaxtyping' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
