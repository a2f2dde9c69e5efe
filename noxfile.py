"""Tests and linters with every Python that netproof supports, as the classifiers in pyproject.toml name them.

    nox                         # all sessions
    nox -s tests-3.12           # one
    nox -s tests -- -k staircase -x   # arguments go to pytest

Each session makes an environment of its own below ``.nox``, with the versions of constraints.txt: minutes, and with PyTorch a
gigabyte or more. The first line that is printed says which interpreters are missing. A session without its interpreter
is skipped; where ``CI`` is set it fails, because there a skipped session would pass for a good one.

The extra ``tools`` brings nox. Environment: ``PROCESSES`` (2), how many the tests run in; ``NETPROOF_DATA``, the published
data, without which tests on it are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nox

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = "CI" in os.environ


def missing(pythons: Sequence[str]) -> list[str]:
    """Those that no ``pythonX.Y`` on the path answers for (one of pyenv's may be there, and not answer)."""

    def answers(version: str) -> bool:
        program = shutil.which(f"python{version}")
        code = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
        if program is None:
            return False
        return subprocess.run([program, "-c", code], capture_output=True, check=False).returncode == 0

    return [version for version in pythons if not answers(version)]


@nox.session(python=PYTHONS)
def lint(session: nox.Session) -> None:
    """Linters and types, as ``make lint``."""
    install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, as ``make test``."""
    install(session)
    processes = os.environ.get("PROCESSES", "2")
    session.run("python", "-m", "pytest", "-n", processes, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(python=PYTHONS)
def package(session: nox.Session) -> None:
    """Wheel and source distribution, installed and used without a network (``.ci/package``)."""
    session.install("--constraint", "constraints.txt", "build", "setuptools")
    python = session.bin + "/python"
    session.run(".ci/package", external=True, env={"PYTHON": python, "BUILD": python})


def install(session: nox.Session) -> None:
    """As ``make install``: PyTorch first, by its exact version, so that pip looks at no other of its releases."""
    pinned = Path("constraints.txt").read_text().splitlines()
    torch = next(line for line in pinned if line.startswith("torch=="))
    session.install("--constraint", "constraints.txt", torch, "setuptools")
    session.install("--constraint", "constraints.txt", "--no-build-isolation", "--editable", ".[dev]")


absent = missing(PYTHONS)
if absent:
    kept = [version for version in PYTHONS if version not in absent]
    sys.stderr.write(f"missing here: Python {', '.join(absent)}; tested with {', '.join(kept) or 'none'}\n")
