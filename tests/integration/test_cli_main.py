"""The command itself: help, version, usage errors, and where output cannot go."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import assert_refused


def test_version(cli):
    assert cli("--version").out == f"{version('netproof')}\n"
    assert cli("--name").out == "netproof\n"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("bench",), ("bench", "--help"), ("robust", "--help")])
def test_help(cli, arguments):
    ran = cli(*arguments)
    assert ran.code == 0 and "Usage: netproof" in ran.out and ran.err == ""
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("arguments", [("verfiy",), ("bench", "rnu"), ("--colour",), ("inspect",), ("bench", "show")])
def test_usage_errors_are_one_line(cli, arguments):
    assert_refused(cli(*arguments), "--help")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from netproof.cli.main import run; run(['--help']); "
        "heavy = {'torch', 'numpy', 'h5py', 'rich', 'PIL'} & set(sys.modules); sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"--help imports {done.stderr}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "netproof", "bench", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "No space left" in done.stderr


def test_closed_pipe_is_quiet():
    command = f"{sys.executable} -m netproof bench list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_broken_standard_error_still_has_the_exit_code():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m netproof nonsense 2>&-"], capture_output=True, check=False
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("shell", "mark"),
    [("bash", "complete -o"), ("zsh", "#compdef netproof"), ("fish", "complete --command"), ("pwsh", "Import-Module")],
)
def test_completion_is_for_the_shell_that_is_named(spawned, shell, mark, tmp_path):
    for typed in (("--show-completion", shell), (f"--show-completion={shell}",)):
        ran = spawned(*typed)
        assert ran.code == 0 and mark in ran.out and not ran.err, ran


def test_completion_of_the_shell_that_this_is(spawned, cli, tmp_path):
    ran = spawned("--show-completion")
    # Which shell a test is run from, nobody knows.
    assert (ran.code == 0 and "netproof" in ran.out) or (ran.code == 2 and "bash, zsh, fish" in ran.err), ran
    ran = spawned("--install-completion", "fish", env={**os.environ, "HOME": str(tmp_path)})
    assert ran.code == 0 and "complete" in (tmp_path / ".config/fish/completions/netproof.fish").read_text()
    assert_refused(cli("--show-completion", "tcsh"), "the shell 'tcsh'", "give bash, zsh")


@pytest.mark.parametrize(
    ("line", "found"),
    [("netproof ro", "robust"), ("netproof robust --fai", "--fail-on"), ("netproof bench wa", "watch")],
)
def test_a_shell_completes_commands_and_options(spawned, line, found):
    asked = {"_NETPROOF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    ran = spawned(env={**os.environ, **asked})
    assert ran.code == 0 and ran.out.split() == [found] and not ran.err
