"""Promises as tests of pytest (``-p netproof.testing.plugin``), alone and beside other plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest


@pytest.fixture
def project(tiny_data, tmp_path):
    """A folder with one promise that is kept, one that is broken, and one of which an image is not there."""
    for path, name in ((tiny_data.network, "net.h5"), (tiny_data.images, "images"), (tiny_data.labels, "labels")):
        (tmp_path / name).write_bytes(path.read_bytes())
    (good, small), (bad, radius) = tiny_data.first("robust"), tiny_data.first("vulnerable")
    (tmp_path / "netproof.toml").write_text(
        '[defaults]\nnetwork = "net.h5"\nimages = "images"\nlabels = "labels"\n'
        f'[queries.kept]\nindex = {good}\neps = {small}\nrequirement = ["REQ-1", "REQ-\\u00012"]\n'
        f'[queries."bro\\u001bken"]\nindex = {bad}\neps = {radius}\n'
        "[queries.half]\nindex = [3, 777]\neps = 0\n"
    )
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'uses-netproof'\n")
    return tmp_path


def run(folder, *options):
    command = [sys.executable, "-m", "pytest", "-p", "netproof.testing.plugin", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


@pytest.mark.parametrize("options", [("-q", "-n", "2"), ("-q", "-W", "error", "-p", "no:xdist")])
def test_promises_are_tests(project, tiny_data, options):
    before = sorted(project.iterdir())
    ran = run(project, *options)
    index, radius = tiny_data.first("vulnerable")
    assert ran.returncode == 1 and "2 failed, 1 passed" in ran.stdout, ran
    assert "Traceback" not in ran.stdout + ran.stderr and "\x1b" not in ran.stdout
    assert (
        f"bro\\x1bken-{index}: vulnerable (radius {radius} grey level" in ran.stdout
        and "after a change of" in ran.stdout
    )
    assert (
        "1 of 2 are not robust, which is promised:" in ran.stdout
        and "half-777: error (index: there is no sample 777" in ran.stdout
    )
    assert sorted(project.iterdir()) == before, "something was written"


def test_requirements_are_in_the_xml_of_pytest(project):
    ran = run(project, "-q", "--junitxml=o.xml", "netproof.toml")
    assert ran.returncode == 1
    root = ET.parse(project / "o.xml").getroot()
    assert {p.get("value") for p in root.iter("property")} == {"REQ-1", "REQ-\\x012"}
    assert [case.get("name") for case in root.iter("testcase")] == ["kept", "bro\\x1bken", "half"]


def test_a_promise_by_its_name_and_a_plugin_that_is_off(project):
    assert "1 passed" in run(project, "-q", "netproof.toml::kept").stdout
    off = run(project, "-q", "-p", "no:netproof.testing.plugin")
    assert off.returncode == 5 and "no tests ran" in off.stdout


def test_a_file_with_a_fault_is_an_error_of_collection(project):
    path = project / "netproof.toml"
    path.write_text(path.read_text() + "epsilon = 3\n")
    ran = run(project, "-q")
    assert ran.returncode == 2 and "'epsilon' is not known; did you mean 'eps'?" in ran.stdout
    assert "Traceback" not in ran.stdout and ".py:" not in ran.stdout
    path.write_text('[queries.a]\nnetwork = "gone"\nimages = "images"\neps = 1\n')
    assert "'network' is" in run(project, "-q").stdout


def test_a_project_file_has_promises_or_has_none(project):
    text = (project / "netproof.toml").read_text().replace("[defaults]", "[tool.netproof.defaults]")
    (project / "netproof.toml").unlink()
    assert run(project, "-q").returncode == 5
    (project / "pyproject.toml").write_text(text.replace("[queries.", "[tool.netproof.queries."))
    assert "2 failed, 1 passed" in run(project, "-q").stdout


def test_loading_it_brings_no_torch():
    code = "import sys, netproof.testing.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_has_its_names():
    import netproof.testing

    assert callable(netproof.testing.assert_robust) and "assert_robust" in vars(netproof.testing)
    with pytest.raises(AttributeError, match="no attribute 'assert_robst'"):
        netproof.testing.assert_robst  # noqa: B018


def test_a_wrong_argument_of_an_assertion_shows_the_test_alone(project):
    calls = {"eps": 'eps="two"', "index": "eps=1, index=777", "norm": 'eps=1, norm="l0"'}
    tests = "".join(
        f"def test_{name}(): assert_robust('net.h5', 'images', 'labels', {how})\n" for name, how in calls.items()
    )
    (project / "test_net.py").write_text(f"from netproof.testing import assert_robust\n{tests}")
    ran = run(project, "-q", "test_net.py")
    assert ran.returncode == 1 and "3 failed" in ran.stdout, ran
    assert all(f"Error: {name}: " in ran.stdout for name in calls), ran
    assert "contextlib" not in ran.stdout and "names.py" not in ran.stdout, ran.stdout
