"""The command line that the VNN-LIB 2.0 standard wants: ``verify QUERY --network``, ``supports``, and its conformance suite."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from conftest import assert_refused
from several_models import perceptron

HEAD = """(vnnlib-version <2.0>)
(declare-network f (declare-input X float32 [1,2]) (declare-hidden H float32 [1,2] "h0") (declare-output Y float32 [1,1]))
(assert (and (>= X[0,0] 0.5) (<= X[0,0] 1.0) (>= X[0,1] -1.0) (<= X[0,1] 1.0)))
"""


@pytest.fixture
def query(tmp_path):
    """``y = relu(x0 + x1) - relu(x0 - x1)`` and what is asked of it."""
    layers = [([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0]), ([[1.0], [-1.0]], [0.0])]
    network = perceptron(tmp_path / "f.onnx", layers)

    def write(condition, head=HEAD):
        path = tmp_path / "query.vnnlib"
        path.write_text(f"{head}(assert {condition})\n")
        return path, f"f={network}"

    return write


def assignment(text):
    """What is printed behind ``sat``: values by name, with type and shape."""
    found, values = {}, None
    for line in text.splitlines():
        if line[0].isalpha():
            name, kind, shape = line.split(" ")
            values = []
            found[name] = kind, shape, values
        else:
            values.append(Fraction(line))
    return found


def test_sat_with_the_values_of_all_variables(cli, query):
    path, network = query("(>= Y[0,0] 1.0)")
    ran = cli("verify", path, "--network", network, "--timeout", 10)
    assert ran.code == 0 and ran.err == ""
    verdict, rest = ran.out.split("\n", 1)
    assert verdict == "sat"
    found = assignment(rest)
    assert list(found) == ["X", "H", "Y"]
    assert [(kind, shape) for kind, shape, _ in found.values()] == [
        ("float32", "[1,2]"),
        ("float32", "[1,2]"),
        ("float32", "[1,1]"),
    ]
    (x0, x1), (h0, h1), (y,) = (values for _, _, values in found.values())
    assert (h0, h1, y) == (max(x0 + x1, 0), max(x0 - x1, 0), h0 - h1)
    assert Fraction(1, 2) <= x0 <= 1 and -1 <= x1 <= 1 and y >= 1


def test_the_other_words(cli, query, monkeypatch):
    path, network = query("(>= Y[0,0] 100.0)")
    assert cli("verify", path, "--network", network).out == "unsat\n"
    # Exactly at the end of what rounding allows nothing is proved.
    ran = cli("verify", *query("(> Y[0,0] 2.0)")[:1], "--network", network, "--timeout", 1)
    assert ran.out in ("unknown\n", "timed-out\n") and ran.code == 0
    assert cli("verify", path, "--network", network, "--timeout", 1e-9).out == "timed-out\n"


def test_serialised_assignments(cli, query, tmp_path):
    path, network = query("(>= Y[0,0] 1.0)")
    folder = tmp_path / "new" / "folder"
    ran = cli("verify", path, "--network", network, "--serialise-assignments", folder)
    assert ran.out == "sat\n"
    assert sorted(file.name for file in folder.iterdir()) == ["H.pb", "X.pb", "Y.pb"]
    tensors = {}
    for file in folder.iterdir():
        tensor = onnx.TensorProto()
        tensor.ParseFromString(file.read_bytes())
        tensors[file.stem] = numpy_helper.to_array(tensor)
    assert tensors["X"].dtype == np.float32 and tensors["X"].shape == (1, 2)
    assert tensors["Y"][0, 0] == tensors["H"][0, 0] - tensors["H"][0, 1] >= 1


def test_values_are_exact_where_no_float_is(cli, tmp_path):
    network = perceptron(tmp_path / "f.onnx", [([[1.0]], [0.0])])
    path = tmp_path / "q.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)(declare-network f (declare-input X real [1]) (declare-output Y real [1]))"
        "(assert (== X[0] 0.227272727))(assert (<= Y[0] 1.0))"
    )
    ran = cli("verify", path, "--network", f"f={network}")
    assert ran.out.splitlines()[:3] == ["sat", "X real [1]", "0.227272727"]


def test_errors_are_one_line_on_standard_error(cli, query, tmp_path):
    path, network = query("(>= Y[0,0] 1.0)")
    file = network.partition("=")[2]
    for arguments, words in (
        (("--network", f"g={file}"), "'g' is no network of"),
        (("--network", network, "--network", f"g={file}"), "'g' is no network of"),
        (("--network", network, "--network", network), "f is given twice"),
        (("--network", "f"), "is not NAME=FILE"),
        (("--network", "f="), "is not NAME=FILE"),
        (("--network", f"f={tmp_path / 'missing.onnx'}"), "no such network file"),
        (("--network", f"f={path}"), "is no ONNX model"),
        (("--network", network, "--json"), "--json is given together with --network"),
        (("--network", network, "--timeout", "0"), "the time limit is 0"),
        (("--network", network, "--serialise-assignments", path / "below"), "is no folder that can be written to"),
        ((path, "--network", network), "a second file is given together with --network"),
        ((), "no property is given"),
        (("--serialise-assignments", tmp_path), "is given without --network"),
    ):
        assert_refused(cli("verify", path, *arguments), words)
    for condition, head, words in (
        ("(>= Y[0,0] 1e3)", HEAD, "is no number of VNN-LIB 2.0"),
        ("(>= Y[0,0] 1.0)", HEAD.replace("Y float32 [1,1]", "Y float32 [1,3]"), "Y is declared with [1, 3]"),
        ("(>= Y[0,0] 1.0)", HEAD.replace("float32", "float64"), "X is declared as float64"),
        ("(>= Y[0,0] 1.0)", HEAD.replace("float32", "bfloat16"), "no answer of netproof is sound"),
        ("(>= Y[0,0] 1.0)", HEAD.replace("<2.0>", "<3.0>"), "netproof reads 1.0 and 2.0"),
    ):
        assert_refused(cli("verify", query(condition, head)[0], "--network", network), words)


def test_several_networks_by_the_command(cli, tmp_path):
    files = [perceptron(tmp_path / f"{n}.onnx", [([[w]], [0.0])]) for n, w in (("f", 1.0), ("g", 2.0))]
    path = tmp_path / "q.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)(declare-network f (declare-input X real [1]) (declare-output Y real [1]))"
        "(declare-network g (isomorphic-to f) (declare-input U real [1]) (declare-output V real [1]))"
        "(declare-network h (equal-to f) (declare-input A real [1]) (declare-output B real [1]))"
        "(assert (and (>= X[0] 1.0) (<= X[0] 2.0) (== U[0] X[0]) (== A[0] 1.0)))(assert (>= (+ Y[0] B[0]) V[0]))"
    )
    ran = cli("verify", path, "--network", f"f={files[0]}", "--network", f"g={files[1]}")
    found = assignment(ran.out.partition("\n")[2])
    # y + 1 >= 2 x only at x = 1
    assert {name: values for name, (_, _, values) in found.items()} == {
        "X": [1],
        "Y": [1],
        "U": [1],
        "V": [2],
        "A": [1],
        "B": [1],
    }


def test_the_competition_asks_in_its_own_way(cli, tmp_path):
    """One file or a list of pairs in place of the network; the result file has the verdict, and the assignment behind sat."""
    files = [perceptron(tmp_path / f"{n}.onnx", [([[w]], [0.0])]) for n, w in (("f", 1.0), ("g", 2.0))]
    single, double, result = tmp_path / "single.vnnlib", tmp_path / "double.vnnlib", tmp_path / "result.txt"
    head = "(vnnlib-version <2.0>)(declare-network f (declare-input X real [1]) (declare-output Y real [1]))"
    second = "(declare-network g {}(declare-input U real [1]) (declare-output V real [1]))"
    box = "(assert (and (>= X[0] 1.0) (<= X[0] 2.0)))"
    single.write_text(f"{head}{box}(assert (>= Y[0] 3.0))")
    double.write_text(head + second.format("") + box + "(assert (== U[0] X[0]))(assert (>= (* Y[0] V[0]) 8.0))")
    ran = cli("verify", files[0], single, "--competition", result)
    assert (ran.code, ran.out, result.read_text()) == (0, "unsat\n", "unsat\n")
    both = f"[('f', '{files[0]}'), ('g', \"{files[1]}\")]"
    ran = cli("verify", both, double, "--competition", result)
    assert ran.out == "sat\n"
    assert result.read_text().splitlines() == [
        "sat",
        "X real [1]",
        "2.0",
        "Y real [1]",
        "2.0",
        "U real [1]",
        "2.0",
        "V real [1]",
        "4.0",
    ]
    # A network that equals another may be listed with its file, and with no other one.
    double.write_text(
        head + second.format("(equal-to f)") + box + "(assert (== U[0] 0.5))(assert (>= (+ Y[0] V[0]) 3.0))"
    )
    assert cli("verify", f"[('f', '{files[0]}'), ('g', '{files[0]}')]", double).out == "unsat\n"
    assert_refused(cli("verify", both, double), "g, which equals f with another file")
    assert_refused(cli("verify", files[0], double, "--json"), "--json is given for")
    double.write_text(head + second.format("") + box + "(assert (>= Y[0] V[0]))")
    assert_refused(cli("verify", files[0], double), "is one file for networks f, g")


CAPABILITIES = {
    "onnx-opset-versions": None, "onnx-element-types": ["real", "float16", "float32", "float64"], "onnx-operators": None,
    "onnx-operators-unsat-proofs": [], "vnnlib-versions": ["2.0", "2.0"], "hidden-node-theories": ["NH", "H"],
    "multiple-input-output-theories": ["SIO", "MIO"], "multiple-network-theories": ["SNET", "MENET", "MINET", "MNET"],
    "multiple-node-comparison-theories": ["SNC", "MNC"], "arithmetic-complexity-theories": None,
    "optimised-disjunctive-reasoning": ["false"], "serialise-assignments": ["true"], "unsat-proofs": ["false"],
}  # fmt: skip


def test_supports(cli):
    from netproof.formats.onnx.nodes.table import OPERATORS

    said = {}
    for name, expected in CAPABILITIES.items():
        ran = cli("supports", f"--{name}")
        assert ran.code == 0 and ran.err == "", name
        said[name] = ran.out.splitlines()
        assert expected is None or said[name] == expected
    assert [line.split(" ")[0] for line in said["onnx-operators"]] == sorted(OPERATORS)
    assert {line for line in said["onnx-operators"] if " " in line} >= {"Gelu real", "LayerNormalization real"}
    assert "Relu" in said["onnx-operators"]
    assert said["arithmetic-complexity-theories"] == ["BND", "OUTC", "LIN", "POLY"]
    low, high = map(int, said["onnx-opset-versions"])
    assert low < high
    assert_refused(cli("supports"), "0 capabilities are asked for")
    assert_refused(cli("supports", "--unsat-proofs", "--vnnlib-versions"), "2 capabilities are asked for")
    assert_refused(cli("supports", "--everything"), "netproof supports:")


# -- the conformance suite of the standard's authors

#: a case that contradicts the standard: networks said to be isomorphic with other types, float16 for a file of float32. The
#: standard's own parser refuses the query, and its chapter on solvers wants an error for such a file
CONTRADICTORY = {"network_isomorphic01"}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    pytest.importorskip("vnntest", reason="the package vnnlib-satisfactory is not installed (extra dev)")
    folder = tmp_path_factory.mktemp("suite")
    made = "from vnntest.core.generator import generate_all_tests; generate_all_tests()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", made], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / ".vnnlib-satisfactory"


def test_the_conformance_suite(cli, suite):
    """Every case in this process, as ``vnnlib-satisfactory run`` asks them: the verdict alone."""
    entries = json.loads((suite / "manifest.json").read_text())
    assert len(entries) >= 178
    wrong, refused = {}, set()
    for entry in entries:
        folder = suite / "tests" / entry["category"]
        networks = [
            part for name, file in entry["networks"].items() for part in ("--network", f"{name}={folder / file}")
        ]
        ran = cli("verify", folder / entry["vnnlib"], *networks, "--timeout", 60)
        if ran.code:
            assert_refused(ran)
            refused.add(entry["name"])
        elif ran.out.split("\n")[0] != entry["expected"].lower():
            wrong[entry["name"]] = entry["expected"], ran
    assert not wrong
    assert refused == CONTRADICTORY


def test_compliance(suite, tmp_path):
    from vnntest.core import compliance

    program = tmp_path / "netproof"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m netproof "$@"\n')
    program.chmod(0o755)
    for check in (
        compliance.check_opset_versions,
        compliance.check_vnnlib_versions,
        compliance.check_serialise_assignments,
    ):
        passed, message = check(str(program), 60)
        assert passed, message


def test_the_suite_runs_the_program(suite, tmp_path, monkeypatch):
    """A few cases through their runner, process and all."""
    from vnntest.core.evaluator import Outcome, evaluate
    from vnntest.core.runner import get_supported_ops, run_solver_on_test
    from vnntest.models.test_case import TestCase

    program = tmp_path / "netproof"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m netproof "$@"\n')
    program.chmod(0o755)
    assert "Relu" in get_supported_ops(str(program))
    entries = json.loads((suite / "manifest.json").read_text())
    for name in ("hidden03", "network_equal01"):
        entry = next(e for e in entries if e["name"] == name)
        case = TestCase.from_manifest_entry(entry, suite / "tests" / entry["category"])
        assert evaluate(run_solver_on_test(str(program), case, timeout=60)).outcome is Outcome.PASS
