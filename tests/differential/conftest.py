"""The checker in Rust (``checkers/rust``), built once where a compiler is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def second_program(tmp_path_factory) -> Path:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("there is no Rust compiler")
    folder = tmp_path_factory.mktemp("second")
    built = subprocess.run(
        [cargo, "build", "--release", "--offline", "--quiet"],
        cwd=ROOT / "checkers" / "rust",
        env={**os.environ, "CARGO_TARGET_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "release" / "netproof-second-checker"


def _asked(program: Path, folder: Path, **files: bytes) -> int:
    paths = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        paths.append(folder / name)
    done = subprocess.run([program, *paths], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 1, 2) and "panicked" not in done.stderr, done.stderr
    return done.returncode


@pytest.fixture
def second(second_program, tmp_path) -> Callable[[bytes, bytes, bytes], bool]:
    """Whether it accepts a certificate about a float network, given the bytes of all three files."""
    return lambda made, network, property_: _asked(second_program, tmp_path, c=made, n=network, p=property_) == 0


@pytest.fixture
def second_of_integers(second_program, tmp_path) -> Callable[[bytes, bytes], str]:
    """What it makes of a certificate about a network of integers, given the bytes of both files."""
    words = ("accepted", "rejected", "unusable")
    return lambda made, network: words[_asked(second_program, tmp_path, c=made, n=network)]
