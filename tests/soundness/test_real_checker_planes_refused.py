"""What is no set of planes: refused, with what is wrong, whatever a file says."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.checker.real import bound as bound_module
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.joint import planes as module
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.container import pack, unpack
from netproof.certificate.real.contents import INTERVALS, NAMES, PLANES
from netproof.certificate.real.format import decode, encode
from netproof.errors import CertificateError, ProofError
from soundness.real_evidence import (
    Builder,
    certificate,
    perceptron,
    property_text,
)
from soundness.real_planes import (
    MAKERS,
    added,
    arrays_of_sets,
    bounds_of,
    box,
    changed_by_chance,
    evaluation_of,
    plane,
    some_planes,
)


def answer(arrays: dict, *, network: bytes, property_: bytes) -> str:
    """What is wrong with a certificate of these arrays."""
    try:
        check_real(certificate(network, property_, 2, 1, **arrays), network, property_)
    except (ProofError, CertificateError) as error:
        return error.problem
    return "accepted"


def pair() -> tuple[bytes, bytes, dict]:
    """Two planes above two features, over two inputs each."""
    made = Builder([1, 2])
    weights = [[1.0, 1.0], [1.0, -1.0]], [[1.0], [1.0]]
    bend = made.node("Relu", made.node("MatMul", "x", made.constant(weights[0])))
    network = made.bytes(made.node("MatMul", bend, made.constant(weights[1])))
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 6.0)]])
    planes = [plane(1, j, {0: 1, 1: 2}, exponent=3, right=2, left=2) for j in range(2)]
    return network, property_, {**arrays_of_sets(planes), "row_planes": [1]}


def test_a_pair_of_planes_is_accepted():
    network, property_, arrays = pair()
    assert answer(arrays, network=network, property_=property_) == "accepted"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"plane_feature": [1, 0]}, "ascending order"),
        ({"plane_feature": [0, 0]}, "ascending order"),
        ({"plane_feature": [0, 2]}, "not there"),
        ({"plane_feature": [-1, 1]}, "not there"),
        ({"plane_feature": [0, 2**62]}, "not there"),
        ({"plane_feature": [0, 2**63 - 1]}, "not there"),
        ({"plane_relu": [0, 1]}, "a ReLU that is not there"),
        ({"plane_relu": [1, 2]}, "a ReLU that is not there"),
        ({"plane_relu": [-1, 1]}, "a ReLU that is not there"),
        ({"plane_relu": [1, 2**62]}, "a ReLU that is not there"),
        # Columns of the inputs are 0 and 1; those of its own values come after.
        ({"plane_step": [1, 2, 1, 1]}, "not before its ReLU"),
        ({"plane_step": [3, 1, 1, 1]}, "not before its ReLU"),
        ({"plane_step": [1, 2**40, 1, 1]}, "not before its ReLU"),
        ({"plane_step": [1, 1, 1, 2]}, "not before its ReLU"),
        ({"plane_step": [1, 0, 1, 1]}, "plane_step"),
        ({"plane_step": [0, 1, 1, 1]}, "plane_step"),
        ({"plane_step": [1, -1, 1, 1]}, "plane_step"),
        ({"plane_step": [1, 2**40 + 1, 1, 1]}, "plane_step"),
        ({"plane_step": [1, 1, 1]}, "plane_value"),
        ({"plane_value": [1, 1, 1]}, "plane_value"),
        ({"plane_exponent": [3, 41]}, "plane_exponent"),
        ({"plane_exponent": [-1, 3]}, "plane_exponent"),
        ({"plane_exponent": [3]}, "plane_exponent"),
        ({"plane_right": [2, 2**50 + 1]}, "plane_right"),
        ({"plane_right": [-1, 2]}, "plane_right"),
        ({"plane_left": [2, 2**50 + 1]}, "plane_left"),
        ({"plane_left": [-1, 2]}, "plane_left"),
        ({"plane_left": [2, 2, 2]}, "plane_left"),
        ({"plane_entries": [2, 3]}, "plane_step"),
        ({"plane_entries": [2, 1]}, "plane_step"),
        ({"plane_entries": [5, -1]}, "plane_entries"),
        ({"plane_entries": [2**62, 2]}, "plane_entries"),
        ({"plane_count": [1]}, "plane_relu"),
        ({"plane_count": [3]}, "plane_count"),
        ({"plane_count": [0]}, "plane_count"),
        ({"plane_count": [1, 1]}, "plane_count"),
        ({"plane_count": []}, "plane_count"),
        ({"stages": [2], "stage": [PLANES, PLANES]}, "plane_count"),
        ({"stages": [2], "stage": [PLANES, PLANES], "plane_count": [2, 0]}, "plane_count"),
        ({"stage": [7]}, "plane_count"),
        ({"stage": [INTERVALS]}, "plane_count"),
        ({"row_planes": [2]}, "row_planes"),
        ({"row_planes": [-1]}, "row_planes"),
        ({"row_planes": [1, 1]}, "row_planes"),
        ({"row_planes": []}, "row_planes"),
    ],
)
def test_what_is_no_set_of_planes_is_refused(change, problem):
    network, property_, arrays = pair()
    found = answer({**arrays, **change}, network=network, property_=property_)
    assert problem in found and "cannot be evaluated" not in found
    # Sizes are found before anything is evaluated.
    assert not problem.startswith(("plane", "row")) or found.startswith("is inconsistent")


def test_columns_of_a_bend_are_before_those_behind_it():
    # The planes of the second ReLU may be over the first one's values, and not over their own.
    rng = np.random.default_rng(0)
    network, property_ = perceptron(rng, (2, 3, 3, 1)), property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 1e4)]])
    for relu, column, is_good in ((1, 1, True), (1, 2, False), (2, 2, True), (2, 4, True), (2, 5, False)):
        arrays = {**arrays_of_sets([plane(relu, 0, {column: 1})]), "row_planes": [1]}
        found = answer(arrays, network=network, property_=property_)
        assert found == "accepted" if is_good else "not before its ReLU" in found


def test_planes_are_above_relus_alone():
    made = Builder([1, 2])
    at = made.node("Sigmoid", "x")
    network = made.bytes(made.node("MatMul", made.node("Relu", at), made.constant([[1.0], [1.0]])))
    property_ = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 4.0)]])
    for relu, is_good in ((1, False), (2, True)):
        found = answer({**arrays_of_sets([plane(relu, 0)]), "row_planes": [1]}, network=network, property_=property_)
        assert found == "accepted" if is_good else "a ReLU that is not there" in found


def test_a_network_without_bends_has_no_planes():
    made = Builder([1, 2])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0], [1.0]])))
    property_ = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 4.0)]])
    assert "a ReLU that is not there" in answer(
        arrays_of_sets([plane(1, 0, {0: 1})]), network=network, property_=property_
    )


def test_sets_that_are_made_to_fill_the_memory_are_refused(monkeypatch):
    network, property_, arrays = pair()
    monkeypatch.setattr(module, "_MOST", 4)
    assert answer(arrays, network=network, property_=property_) == "accepted"
    monkeypatch.setattr(module, "_MOST", 3)
    assert "too many" in answer(arrays, network=network, property_=property_)


def test_columns_and_rows_that_are_added_up_a_few_at_a_time_are_those_of_all(monkeypatch):
    rng = np.random.default_rng(5)
    data, (lower, upper) = MAKERS["three layers"](rng), box(rng)
    evaluation = evaluation_of(data, 3, Float64())
    cells, c = evaluation.root(lower, upper), rng.normal(size=(4, 2))
    some = some_planes(rng, evaluation.network, cells, good=True)
    assert len(some) > 3
    found = []
    for at_once in (1 << 16, 8):
        monkeypatch.setattr(bound_module, "_AT_ONCE", at_once)
        monkeypatch.setattr(module, "_AT_ONCE", at_once)
        found.append(bounds_of(evaluation, cells, c, added(evaluation, cells, some), None)[0])
    assert np.allclose(*found, rtol=1e-12)


# Files.


def test_files_have_planes_from_version_4_on():
    network, property_, arrays = pair()
    made = certificate(network, property_, 2, 1, **arrays)
    data = encode(made)
    container = unpack(data, "c", (3, 4, 5))
    assert container.version == 4
    again = decode(data)
    assert all((again.arrays[name] == made.arrays[name]).all() for name in NAMES)
    plain = encode(certificate(network, property_, 2, 1))
    assert unpack(plain, "c", (3, 4)).version == 3
    assert not decode(plain).arrays["row_planes"].any() and len(decode(plain).arrays["row_planes"]) == 1


def test_headers_of_one_version_with_arrays_of_the_other_are_refused():
    network, property_, arrays = pair()
    for made, version in (
        (certificate(network, property_, 2, 1, **arrays), 3),
        (certificate(network, property_, 2, 1), 4),
    ):
        container = unpack(encode(made), "c", (3, 4))
        values = np.concatenate([made.arrays[name] for name in NAMES if f'["{name}",'.encode() in container.header])
        assert decode(pack(7 - version, container.header, values)).claim == "unsat"
        with pytest.raises(CertificateError, match="header"):
            decode(pack(version, container.header, values))


def test_entries_of_planes_that_belong_to_nothing_are_refused():
    # No stage takes the set.
    network, property_, arrays = pair()
    found = answer({**arrays, "stages": [0]}, network=network, property_=property_)
    assert "stage" in found
    found = answer({**arrays, "stages": [1], "stage": [PLANES, PLANES]}, network=network, property_=property_)
    assert found != "accepted"


def test_a_witness_has_no_planes():
    network, property_, arrays = pair()
    named = {"witness": [1, 1], "witness_limbs": [1, 1], "witness_two": [0, 0], "witness_ten": [0, 0]}
    for name in ("plane_count", "plane_relu", "plane_step", "row_planes"):
        false = certificate(network, property_, 2, 1, "sat", **named, **{name: arrays[name]})
        with pytest.raises(CertificateError, match=name):
            check_real(false, network, property_)


def test_entries_of_planes_changed_by_chance_neither_crash_nor_prove_anything_false():
    network, _, arrays = pair()
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.0)]])
    assert answer(arrays, network=network, property_=property_) != "accepted"
    rng = np.random.default_rng(3)
    kinds = {"inconsistent": 0, "proof": 0}
    for _ in range(400):
        found = answer(changed_by_chance(rng, arrays, 2**50), network=network, property_=property_)
        assert found != "accepted"
        kinds["inconsistent" if "inconsistent" in found else "proof"] += 1
    assert min(kinds.values()) > 40
