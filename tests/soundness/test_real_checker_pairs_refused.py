"""What is no set of pairs: refused, with what is wrong, whatever a file says."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.checker.real.check import check_real
from netproof.certificate.container import pack, unpack
from netproof.certificate.real.contents import INTERVALS, NAMES, PAIRS, PLANES
from netproof.certificate.real.format import VERSIONS, decode, encode
from netproof.errors import CertificateError, ProofError
from soundness.real_evidence import Builder, certificate, chain, property_text
from soundness.real_pairs import CROSSED, CROSSED_ROWS, Pair, arrays_of_pairs, crossed
from soundness.real_planes import arrays_of_sets, changed_by_chance, plane


def answer(arrays: dict, *, network: bytes, property_: bytes) -> str:
    """What is wrong with a certificate of these arrays."""
    try:
        check_real(certificate(network, property_, 2, 1, **arrays), network, property_)
    except (ProofError, CertificateError) as error:
        return error.problem
    return "accepted"


def two() -> tuple[bytes, bytes, dict]:
    """Two pairs of four features."""
    weights = [[[1.0, 1.0], [1.0, -1.0], [0.5, 0.5], [0.5, -0.5]], [[1.0, 1.0, 0.5, 0.5]]]
    network = chain(weights, [[0.0] * 4, [0.0]])
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.75)]])
    pairs = [CROSSED, Pair(1, 2, 3, 10, (1025,) * 4, (2,) * 4)]
    return network, property_, arrays_of_pairs(pairs) | CROSSED_ROWS


def test_two_pairs_are_accepted():
    network, property_, arrays = two()
    assert answer(arrays, network=network, property_=property_) == "accepted"
    assert answer(arrays | {"row_pairs": [0, 0]}, network=network, property_=property_) != "accepted"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pair_first": [1, 2], "pair_second": [0, 3]}, "ascending order"),
        ({"pair_first": [0, 3], "pair_second": [1, 2]}, "ascending order"),
        ({"pair_first": [2, 0], "pair_second": [3, 1]}, "ascending order"),
        ({"pair_first": [0, 0]}, "ascending order"),
        ({"pair_first": [0, 1]}, "features of others"),
        ({"pair_first": [0, 3]}, "ascending order"),
        ({"pair_second": [3, 3]}, "features of others"),
        ({"pair_second": [2, 3]}, "features of others"),
        ({"pair_second": [0, 3]}, "ascending order"),
        ({"pair_second": [1, 4]}, "not there"),
        ({"pair_second": [1, 2**62]}, "not there"),
        ({"pair_second": [1, 2**63 - 1]}, "not there"),
        ({"pair_first": [-1, 2]}, "not there"),
        ({"pair_first": [-(2**62), 2]}, "not there"),
        ({"pair_relu": [0, 1]}, "a ReLU that is not there"),
        ({"pair_relu": [1, 2]}, "a ReLU that is not there"),
        ({"pair_relu": [-1, 1]}, "a ReLU that is not there"),
        ({"pair_relu": [1, 2**62]}, "a ReLU that is not there"),
        ({"pair_relu": [1]}, "pair_first"),
        ({"pair_exponent": [10, 61]}, "pair_exponent"),
        ({"pair_exponent": [-1, 10]}, "pair_exponent"),
        ({"pair_exponent": [10]}, "pair_exponent"),
        ({"pair_exponent": [10, 40]}, "too large for its unit"),
        ({"pair_end": [2049] * 7 + [2**40 + 1]}, "pair_end"),
        ({"pair_end": [2049] * 7 + [-(2**40) - 1]}, "pair_end"),
        ({"pair_end": [2049] * 7}, "pair_end"),
        ({"pair_row": [2] * 7}, "pair_row"),
        ({"pair_row": [2] * 7 + [3]}, "pair_row"),
        ({"pair_row": [2] * 7 + [-1]}, "pair_row"),
        ({"pair_row": [1] * 8}, "pairs that are not there"),
        ({"pair_count": [1]}, "pair_relu"),
        ({"pair_count": [3]}, "pair_count"),
        ({"pair_count": [0]}, "pair_count"),
        ({"pair_count": [1, 1]}, "pair_count"),
        ({"pair_count": []}, "pair_count"),
        ({"stages": [2], "stage": [PAIRS, PAIRS]}, "pair_count"),
        ({"stages": [2], "stage": [PAIRS, PAIRS], "pair_count": [2, 0]}, "pair_count"),
        ({"stage": [8]}, "pair_count"),
        ({"stage": [PLANES]}, "plane_count"),
        ({"stage": [INTERVALS]}, "pair_count"),
        ({"row_pairs": [2, 0]}, "row_pairs"),
        ({"row_pairs": [-1, 0]}, "row_pairs"),
        ({"row_pairs": [1]}, "row_pairs"),
        ({"row_pairs": []}, "row_pairs"),
        # A row that proves an end of a set has none of that set.
        ({"row_pairs": [1, 1]}, "pairs that are not there"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(change, problem):
    network, property_, arrays = two()
    found = answer({**arrays, **change}, network=network, property_=property_)
    assert problem in found and "cannot be evaluated" not in found
    # Sizes are found before anything is evaluated.
    assert not problem.startswith(("pair_", "row_")) or found.startswith("is inconsistent")


@pytest.mark.parametrize("which", range(4))
def test_ends_that_are_next_to_what_is_attained_are_refused(which):
    """Both operands add up to 2, and their difference is 2 as well: an end of ``2 - 2^-36`` is false, by next to nothing."""
    network, property_ = crossed()
    for more, is_good in ((1, True), (-1, False)):
        end = [2**37 + 1] * 4
        end[which] = 2**37 + more
        given = arrays_of_pairs([CROSSED._replace(exponent=36, end=tuple(end))]) | CROSSED_ROWS
        found = answer(given, network=network, property_=property_)
        assert found == "accepted" if is_good else "add up to" in found


def test_pairs_are_of_relus_alone():
    made = Builder([1, 2])
    at = made.node("Sigmoid", "x")
    network = made.bytes(made.node("MatMul", made.node("Relu", at), made.constant([[1.0], [1.0]])))
    property_ = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 4.0)]])
    for relu, is_good in ((1, False), (2, True)):
        given = arrays_of_pairs([Pair(relu, 0, 1)]) | {"row_pairs": [1]}
        found = answer(given, network=network, property_=property_)
        assert found == "accepted" if is_good else "a ReLU that is not there" in found


def test_a_network_without_bends_has_no_pairs():
    made = Builder([1, 2])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0], [1.0]])))
    property_ = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 4.0)]])
    assert "a ReLU that is not there" in answer(arrays_of_pairs([Pair(1, 0, 1)]), network=network, property_=property_)


def test_a_row_has_planes_and_pairs_of_different_relus():
    weights = [[[1.0, 1.0], [1.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]]]
    network = chain(weights, [[0.0, 0.0], [-1.0, -1.0], [0.0]])
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 4.25)]])
    for relu, is_good in ((1, False), (2, True)):
        pairs, planes = arrays_of_pairs([CROSSED]), arrays_of_sets([plane(relu, 0)])
        stages = {"stages": [2], "stage": [PAIRS, PLANES]}
        given = pairs | planes | stages | CROSSED_ROWS | {"row_planes": [1, 0]}
        found = answer(given, network=network, property_=property_)
        assert found == "accepted" if is_good else "planes and pairs of one ReLU" in found


# Files.


def test_files_have_pairs_from_version_5_on():
    network, property_, arrays = two()
    made = certificate(network, property_, 2, 1, **arrays)
    data = encode(made)
    assert unpack(data, "c", VERSIONS).version == 5
    again = decode(data)
    assert all((again.arrays[name] == made.arrays[name]).all() for name in NAMES)


def test_files_of_a_version_that_they_do_not_need_are_refused():
    network, property_, arrays = two()
    planes = {**arrays_of_sets([plane(1, 0)]), "row_planes": [1]}
    for given, problem in ((planes, "has no pairs"), ({}, "has no pairs")):
        made = certificate(network, property_, 2, 1, **given)
        full = unpack(encode(certificate(network, property_, 2, 1, **arrays)), "c", VERSIONS).header.decode()
        sizes = [[name, len(made.arrays[name])] for name in NAMES]
        begin, rest = full.split('"arrays":[[')[0], full.split("]],", 1)[1]
        listed = ",".join(f'["{name}",{size}]' for name, size in sizes)
        header = f'{begin}"arrays":[{listed}],{rest}'.encode()
        values = np.concatenate([made.arrays[name] for name in NAMES])
        with pytest.raises(CertificateError, match=problem):
            decode(pack(5, header, values))


def test_headers_of_one_version_with_arrays_of_another_are_refused():
    network, property_, arrays = two()
    made = certificate(network, property_, 2, 1, **arrays)
    container = unpack(encode(made), "c", VERSIONS)
    values = np.concatenate([made.arrays[name] for name in NAMES])
    for version in (3, 4):
        with pytest.raises(CertificateError, match="header"):
            decode(pack(version, container.header, values))


def test_a_witness_has_no_pairs():
    network, property_, arrays = two()
    named = {"witness": [1, 1], "witness_limbs": [1, 1], "witness_two": [0, 0], "witness_ten": [0, 0]}
    for name in ("pair_count", "pair_relu", "pair_end", "row_pairs"):
        false = certificate(network, property_, 2, 1, "sat", **named, **{name: arrays[name]})
        with pytest.raises(CertificateError, match=name):
            check_real(false, network, property_)


def test_entries_of_pairs_changed_by_chance_neither_crash_nor_prove_anything_false():
    network, _, arrays = two()
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.5)]])
    assert answer(arrays, network=network, property_=property_) != "accepted"
    rng = np.random.default_rng(3)
    kinds = {"inconsistent": 0, "proof": 0}
    for _ in range(500):
        found = answer(changed_by_chance(rng, arrays, 2**40), network=network, property_=property_)
        assert found != "accepted"
        kinds["inconsistent" if "inconsistent" in found else "proof"] += 1
    assert min(kinds.values()) > 40
