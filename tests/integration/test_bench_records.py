"""Runs of lists of instances: three lines are three rows, whatever they are called and whatever is wrong with one."""

from __future__ import annotations

import csv
import json

import numpy as np
import onnx
import pytest

from conftest import assert_refused
from netproof.benchmarks.base import content_hash
from netproof.runs.machine import available_cores
from onnx_models import model, node, save

#: an input in [0, 1] is given back
MET, NOT_MET = "(assert (>= Y_0 0.5))", "(assert (>= Y_0 1.5))"
HEAD = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    save(made / "n.onnx", model([node("Relu", ["x"], ["h"]), node("Add", ["h", "c"])], (1, 1), {"c": np.zeros((1, 1))}))
    return made


def listed(folder, **properties):
    """Write properties, and the list of them; names are paths without ending."""
    lines = []
    for name, (text, times) in properties.items():
        path = folder / f"{name}.vnnlib"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + text)
        lines += [f"n.onnx,{name}.vnnlib,{10 * (n + 1)}\n" for n in range(times)]
    (folder / "instances.csv").write_text("".join(lines))


def run(cli, folder, out, *options):
    return cli("bench", "run", f"vnncomp:{folder}", "--out", out, "--timeout", "20", *options)


def rows(out):
    return {row["instance"]: row for row in csv.DictReader((out / "results.csv").read_text().splitlines())}


def verdicts(out):
    return {name: row["verdict"] for name, row in rows(out).items()}


def test_every_line_is_a_row_with_its_own_verdict(cli, folder, tmp_path):
    out = tmp_path / "out"
    listed(folder, **{"p-2": (NOT_MET, 1), "p": (MET, 3), "P": (NOT_MET, 1), "sub/p": (NOT_MET, 1), "ä p": (MET, 1)})
    (folder / "instances.csv").write_text((folder / "instances.csv").read_text() + "n.onnx,p-2.vnnlib,99\n")
    ran = run(cli, folder, out)
    assert ran.code == 0, ran.err
    expected = {
        "n-p-2": "unsat", "n-p": "sat", "n-p-3": "sat", "n-p-4": "sat", "n-P-5": "unsat", "n-p-6": "unsat", "n-_p": "sat",
        "n-p-2-2": "unsat",
    }  # fmt: skip
    assert verdicts(out) == expected
    witnesses = [row["evidence"] for row in rows(out).values() if row["verdict"] == "sat"]
    assert len({name.lower() for name in witnesses}) == 4 and all((out / name).is_file() for name in witnesses)
    record = json.loads((out / "run.json").read_text())
    assert record["instances"]["n-p-6"] == "line 6: n.onnx sub/p.vnnlib"
    assert {"property p.vnnlib", "property sub/p.vnnlib", "property P.vnnlib"} <= set(record["files"])
    shown = cli("bench", "show", out)
    assert shown.code == 0 and "8 of 8" in shown.out
    # The other file of that name is another file.
    (folder / "sub" / "p.vnnlib").write_text(HEAD + MET)
    assert_refused(run(cli, folder, out), "holds results of other files: property sub/p.vnnlib differ")


def test_rows_of_another_list_are_neither_gone_on_with_nor_shown(cli, folder, tmp_path):
    out = tmp_path / "out"
    listed(folder, p=(MET, 1), q=(NOT_MET, 1))
    assert run(cli, folder, out).code == 0
    (folder / "instances.csv").write_text("n.onnx,q.vnnlib,10\nn.onnx,p.vnnlib,10\n")
    assert_refused(run(cli, folder, out), "holds results of other files: instances differ")
    assert_refused(
        cli("bench", "show", out), "another list: 'n-p' is line 1: n.onnx p.vnnlib there, line 2: n.onnx p.vnnlib"
    )


def test_a_run_of_an_earlier_version_goes_on_unless_its_names_were_not_its_instances(cli, folder, tmp_path):
    listed(folder, p=(MET, 1), q=(NOT_MET, 2))
    out = tmp_path / "out"
    assert run(cli, folder, out).code == 0

    def made_old():
        document = json.loads((out / "run.json").read_text())
        del document["instances"]
        (out / "run.json").write_text(json.dumps(document))

    made_old()
    assert cli("bench", "show", out).code == 0 and run(cli, folder, out).code == 0
    assert verdicts(out) == {"n-p": "sat", "n-q": "unsat", "n-q-2": "unsat"}
    listed(folder, **{"p": (MET, 2), "p-2": (NOT_MET, 1)})
    other = tmp_path / "other"
    assert run(cli, folder, other).code == 0
    out = other
    made_old()
    for ran in (cli("bench", "show", out), run(cli, folder, out)):
        assert_refused(ran, "is of an earlier netproof, which could give one name to two instances, such as 'n-p-2'")


@pytest.mark.parametrize("held", ["initializer", "attribute"])
def test_numbers_in_a_file_beside_the_network_are_part_of_what_was_run(cli, folder, tmp_path, held):
    """The network's own file is the same all the time; what another one says is not to be shown for it."""
    made = model([node("Mul", ["x", "c"])], (1, 1), {"c": np.ones((1, 1))})
    outside = made.graph.initializer[0]
    if held == "attribute":
        made.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["c"], value=outside))
        del made.graph.initializer[:]
        outside = made.graph.node[0].attribute[0].t
    onnx.external_data_helper.set_external_data(outside, "n.data")
    outside.ClearField("raw_data")
    outside.ClearField("float_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    save(folder / "n.onnx", made)
    listed(folder, p=(NOT_MET, 1))
    out = tmp_path / "out"
    (folder / "n.data").write_bytes(np.float32(1).tobytes())
    assert run(cli, folder, out).code == 0 and verdicts(out) == {"n-p": "unsat"}
    assert run(cli, folder, out).code == 0
    (folder / "n.data").write_bytes(np.float32(2).tobytes())
    assert_refused(run(cli, folder, out), "holds results of other files: network n.onnx differ")
    assert run(cli, folder, tmp_path / "new").code == 0 and verdicts(tmp_path / "new") == {"n-p": "sat"}
    # One that is gone is an error of its instance, like a network that is gone.
    (folder / "n.data").unlink()
    assert verdicts(tmp_path / "new") == {"n-p": "sat"}
    assert run(cli, folder, tmp_path / "gone").code == 1 and verdicts(tmp_path / "gone") == {"n-p": "error"}
    assert content_hash(folder / "instances.csv") != content_hash(folder / "p.vnnlib")


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_file_that_breaks_its_reader_is_one_error(cli, folder, tmp_path, jobs):
    listed(folder, p=(MET, 1), q=(NOT_MET, 1))
    (folder / "deep.onnx").write_bytes(b"\x0a" * 100_000)
    (folder / "binary.vnnlib").write_bytes(bytes(range(256)))
    (folder / "wide.vnnlib").write_text(HEAD + "(declare-const X_1 Real)(assert (= X_1 0))")
    (folder / "folder.vnnlib").mkdir()
    bad = ("deep.onnx,p", "n.onnx,binary", "n.onnx,wide", "n.onnx,folder", "gone.onnx,gone", "bad\udcff.onnx,p")
    text = (folder / "instances.csv").read_text() + "".join(f"{pair}.vnnlib,10\n" for pair in bad)
    (folder / "instances.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    out = tmp_path / "out"
    ran = run(cli, folder, out, "--jobs", jobs)
    assert ran.code == 1 and "Traceback" not in ran.err and "6 instance(s) failed" in ran.err, ran.err
    assert sorted(verdicts(out).values()) == ["error"] * 6 + ["sat", "unsat"]
    assert verdicts(out)["n-p"] == "sat" and verdicts(out)["n-q"] == "unsat"


@pytest.mark.parametrize("jobs", [10**6, 8 * available_cores() + 1])
def test_more_processes_than_any_machine_wants(cli, folder, tmp_path, jobs):
    listed(folder, p=(MET, 1))
    said = f"--jobs: the number of processes is {jobs}; give at most {8 * available_cores()}, 8 for each core"
    assert_refused(run(cli, folder, tmp_path / "out", "--jobs", jobs), said)
    assert not (tmp_path / "out").exists()
