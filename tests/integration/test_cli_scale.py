"""``netproof bench scale`` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from conftest import assert_refused
from netproof.formats.vnnlib.write import robustness_vnnlib
from netproof.making.boxes import CIFAR100, image_box


def test_a_table_by_layer(cli):
    ran = cli("bench", "scale", "small", "--width", 0.05)
    assert ran.code == 0, ran
    lines = ran.out.splitlines()
    assert lines[0].startswith("CIFAR100_resnet_small, ") and lines[2].split()[:4] == [
        "layer",
        "features",
        "open",
        "refined",
    ]
    names = [line.split()[0] for line in lines[3:-2]]
    assert names[:3] == ["intervals", "stem.relu", "block1.relu1"] and names[-2:] == ["hidden.relu", "margins"]
    assert "99 margins" in lines[-1] and "peak memory" in lines[-1]
    assert "block4.relu2: " in ran.err


def test_the_document(cli):
    document = json.loads(cli("bench", "scale", "medium", "--width", 0.03, "--radius", 1e-5, "--json").out)
    assert document["architecture"] == "CIFAR100_resnet_medium" and document["threads"] == 1
    assert len(document["margins"]) == 99 and document["peak_bytes"] > 1 << 20
    # On a tiny box the margins are those at its centre, where the label's output is the largest.
    assert min(document["margins"]) > 0
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert layers["block1.relu1"]["after"] <= layers["block1.relu1"]["before"] <= layers["block1.relu1"]["features"]


def test_unusable(cli):
    assert_refused(cli("bench", "scale", "huge"), "no architecture has this name")
    assert_refused(cli("bench", "scale", "--radius", -1), "--radius")
    assert_refused(cli("bench", "scale", "--radius", 1e300), "--radius")
    assert_refused(cli("bench", "scale", "--width", 0), "the width is 0")
    assert_refused(cli("bench", "scale", "super", "--width", 16), "parameters")
    assert_refused(cli("bench", "scale", "--seed", -1), "seed")
    assert_refused(cli("bench", "scale", "--seed", 1 << 70), "seed")


def test_properties_are_measured_in_processes_of_their_own(cli, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8)
    path = tmp_path / "property.vnnlib"
    path.write_text(robustness_vnnlib(*image_box(image, 1 / 255, CIFAR100), 7, 100, title="CIFAR100"))
    command = ("bench", "scale", "small", "--width", "0.02", "--property", path)
    ran = cli(*command, "--timeout", 2, "--json")
    assert ran.code == 0, ran
    costs = json.loads(ran.out)["costs"]
    assert [cost["method"] for cost in costs] == ["interval", "crown", "complete", "search"]
    assert all(cost["peak_bytes"] >= cost["base_bytes"] > 1 << 20 and cost["seconds"] > 0 for cost in costs)
    proved = [int(cost["outcome"].split()[0]) for cost in costs[:2]]
    assert costs[0]["outcome"].endswith("of 99 margins") and proved[0] <= proved[1] <= 99
    assert costs[2]["outcome"].split()[0] in ("robust", "vulnerable", "timeout", "unknown")
    assert costs[3]["outcome"].split()[0] in ("robust", "timeout", "unknown")
    assert (proved[1] == 99) <= costs[2]["outcome"].startswith("robust")


def test_properties_that_do_not_fit_are_refused(cli, tmp_path):
    path = tmp_path / "property.vnnlib"
    box = np.zeros(4, np.float32)
    path.write_text(robustness_vnnlib(box, box, 0, 3, title="other"))
    for arguments, parts in {
        ("--property", path): ("property.vnnlib", "4 inputs"),
        ("--property", path, "--timeout", 0): ("--timeout",),
        ("--property", tmp_path / "none"): ("no such property file",),
        ("--timeout", 5): ("--timeout", "give a --property"),
    }.items():
        assert_refused(cli("bench", "scale", "small", "--width", "0.02", *arguments), *parts)


def test_ctrl_c_reaches_no_measuring_process(tmp_path):
    """The whole process group gets the signal, as from a terminal; the one that waits ends the other."""
    path = tmp_path / "property.vnnlib"
    box = np.zeros((3, 32, 32), np.float32), np.ones((3, 32, 32), np.float32)
    path.write_text(robustness_vnnlib(*box, 7, 100, title="CIFAR100"))
    # Jobs that a shell puts into the background inherit that the signal is ignored.
    heeding = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from netproof.cli.main import main; main()"
    )
    line = [sys.executable, "-c", heeding, "bench", "scale", "small", "--width", "0.02", "--property", str(path)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    assert "interval" in process.stderr.readline()
    time.sleep(1)  # the next process imports now, or works
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130 and "Traceback" not in err
