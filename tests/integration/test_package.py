"""The package as it is installed: from a wheel, into an environment that has nothing else of netproof, without a network.

``make package`` does the same with a fresh environment that pip fills (docs/releasing.md); here the dependencies are those of the
environment that runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = "Scripts" if sys.platform == "win32" else "bin"


def offline() -> list[str]:
    """What runs a command where no network is: a namespace without one, or nothing where the system has none to give."""
    words = ["unshare", "--map-root-user", "--net"]
    if shutil.which(words[0]) is None:
        return []
    return words if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 else []


def run(*command: object, **options: object) -> str:
    """Run a command and give what it prints; it has to end well."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made of."""
    pytest.importorskip("setuptools", "77", reason="building takes setuptools 77, which 'make install' brings")
    copy = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "src" / "netproof", copy / "src" / "netproof", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs" / "man", copy / "docs" / "man")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", copy / "dist", copy)
    (found,) = (copy / "dist").glob("netproof-*.whl")
    return found


def test_a_wheel_is_installed_and_used_without_a_network(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=sys.platform != "win32")
    python = environment / BIN / "python"
    place = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # The dependencies, and nothing that this folder's own .pth files name: netproof among them.
    (place / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (*offline(), python, "-m", "pip", "--disable-pip-version-check")
    away = {
        **os.environ,
        "HOME": str(tmp_path),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    away.pop("PYTHONPATH", None)
    run(*pip, "install", "--no-index", "--no-deps", "--ignore-installed", wheel, env=away, cwd=tmp_path)

    where = run(python, "-c", "import netproof; print(netproof.__file__)", env=away, cwd=tmp_path).strip()
    assert Path(where).is_relative_to(place.resolve()) or Path(where).is_relative_to(place)
    # Every file of the package that the repository has.
    listed = {
        path.relative_to(ROOT / "src" / "netproof") for path in (ROOT / "src" / "netproof").rglob("*") if path.is_file()
    }
    kept = {path for path in listed if "__pycache__" not in path.parts}
    assert not {str(path) for path in kept if not (Path(where).parent / path).is_file()}
    assert (environment / "share" / "man" / "man1" / "netproof.1").read_bytes() == (
        ROOT / "docs" / "man" / "netproof.1"
    ).read_bytes()

    netproof = (*offline(), environment / BIN / "netproof")
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None and run(*netproof, "--version", env=away, cwd=tmp_path).strip() == version[1]
    demo = Path(where).parent / "demo"
    asked = ("--images", demo / "digits-images-idx3-ubyte.gz", "--labels", demo / "digits-labels-idx1-ubyte.gz")
    said = run(*netproof, "robust", demo / "digits.h5", *asked, "--index", 3, "--eps", 8, env=away, cwd=tmp_path)
    assert "radius 8: robust" in said


def test_what_extras_name_is_pinned():
    requirements = pytest.importorskip("packaging.requirements", reason="packaging is not installed")
    if sys.version_info < (3, 11):
        pytest.skip("pyproject.toml is read with Python 3.11's own reader")
    import tomllib

    def plain(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = {
        plain(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, texts in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        names = {plain(requirements.Requirement(text).name) for text in texts}
        assert names <= pinned, f"extra '{extra}': {names - pinned}"
