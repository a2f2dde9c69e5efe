"""Certificates of finite sets: what a document may say, and what a checker believes of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import netproof
from conftest import random_layers, write_keras_h5
from netproof import Brightness, Pixels
from netproof.certificate.certifiable import check_certifiable
from netproof.certificate.checker import sets as checker
from netproof.certificate.sets import SetCertificate, is_set_document, set_certificate_from, set_certificate_of
from netproof.errors import CertificateError, InputError, ProofError, QueryError
from netproof.inference.plan import Near
from netproof.network import Network
from netproof.perturbations.asked import SetQuery
from netproof.query import Result, Verdict

IMAGE = (20, 40, 30)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return netproof.load(write_keras_h5(tmp_path / "net.h5", random_layers((3, 4, 3), seed=3)))


def label_of(network: Network, image: tuple[int, ...] = IMAGE) -> int:
    return int(network.classify(torch.tensor(image, dtype=torch.float64)))


def asked(network: Network, perturbation: Any, label: int | None = None, image: tuple[int, ...] = IMAGE) -> SetQuery:
    label = label_of(network, image) if label is None else label
    found = netproof.robustness_to(network, list(image), label, perturbation, name="n")
    assert isinstance(found, SetQuery)
    return found


def classes(query: SetQuery) -> list[int]:
    every = np.concatenate(list(query.perturbation.inputs(query.image, 1000)))
    return [int(query.network.classify(torch.from_numpy(x).double())) for x in every]


@pytest.fixture
def robust(network: Network) -> SetCertificate:
    """Nothing that brightness of 1 makes of the image has another class."""
    query = asked(network, Brightness(1))
    assert set(classes(query)) == {query.label}
    return set_certificate_of(query, netproof.verify(query), producer="p")


@pytest.fixture
def broken(network: Network) -> SetCertificate:
    """One value of the image changes, and the class with it."""
    query = asked(network, Pixels(1))
    assert len(set(classes(query))) > 1
    return set_certificate_of(query, netproof.verify(query))


# -- documents


def read(document: dict[str, Any]) -> SetCertificate:
    return set_certificate_from(document, "file")


def test_a_certificate_says_all_of_its_verdict(
    network: Network, robust: SetCertificate, broken: SetCertificate
) -> None:
    assert (robust.network_sha256, robust.scheme, robust.runtime) == (network.sha256, network.scheme, network.runtime)
    assert (robust.image, robust.label, robust.count) == (IMAGE, label_of(network), 3)
    assert (robust.claim, robust.witness, robust.name, robust.producer) == ("unsat", (), "n", "p")
    assert robust.perturbation == Brightness(1)
    assert broken.claim == "sat" and len(broken.witness) == 3 and broken.producer == ""
    for made in (robust, broken):
        document = json.loads(made.encoded())
        assert made.encoded() == json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        again = read(document)
        assert again.encoded() == made.encoded() and again.perturbation == made.perturbation
        assert again.scheme == made.scheme and again.witness == made.witness and again.name == made.name


def test_only_verdicts_are_certified(network: Network) -> None:
    query = asked(network, Brightness(1))
    for verdict in set(Verdict) - {Verdict.SAT, Verdict.UNSAT}:
        result = replace(netproof.verify(query), verdict=verdict)
        with pytest.raises(QueryError, match=f"the result is {verdict.value}"):
            set_certificate_of(query, result)


def test_networks_that_nobody_reads_again_have_no_certificates(network: Network) -> None:
    deployed = replace(network, runtime="somewhere")
    query = asked(deployed, Brightness(1))
    result: Result = netproof.verify(query)
    with pytest.raises(InputError, match="no certificate can be about it"):
        set_certificate_of(query, result)


def test_what_says_that_it_is_one(robust: SetCertificate) -> None:
    document = json.loads(robust.encoded())
    assert is_set_document(document)
    assert not is_set_document(document | {"format": "netproof-set-2"})
    assert not is_set_document([document]) and not is_set_document({})


def test_fields_are_those_of_a_certificate_and_no_others(robust: SetCertificate) -> None:
    document = json.loads(robust.encoded())
    for name in document:
        with pytest.raises(CertificateError, match="its fields are not those"):
            read({key: value for key, value in document.items() if key != name})
    with pytest.raises(CertificateError, match="its fields are not those"):
        read(document | {"more": 1})
    network = document["network"]
    for wrong in (
        *({k: v for k, v in network.items() if k != name} for name in network),
        network | {"more": 1},
        [],
        None,
    ):
        with pytest.raises(CertificateError, match="which network"):
            read(document | {"network": wrong})


LARGEST = (1 << 53) - 1


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("arithmetic", "real", "its arithmetic, its claim or its set is none"),
        ("claim", "robust", "its arithmetic, its claim or its set is none"),
        ("claim", ["unsat"], "its arithmetic, its claim or its set is none"),
        ("set", [], "its arithmetic, its claim or its set is none"),
        ("set", {"kind": "magic"}, "of kind 'magic'"),
        ("set", {"kind": "brightness"}, "other parameters"),
        ("set", {"kind": "brightness", "most": 1.0}, "has most"),
        ("claim", "sat", "do not belong together"),
        ("witness", [1, 2, 3], "do not belong together"),
        ("image", [], "do not belong together"),
        ("image", "20", "a list of numbers is none"),
        ("image", None, "a list of numbers is none"),
        ("image", [20, 40, "30"], "a number is none"),
        ("image", [20, 40, 30.0], "a number is none"),
        ("image", [20, 40, True], "a number is none"),
        ("image", [20, 40, LARGEST + 1], "a number is none"),
        ("image", [20, 40, -LARGEST - 1], "a number is none"),
        ("label", "1", "a number is none"),
        ("count", False, "a number is none"),
        ("name", 7, "a text is none"),
        ("producer", None, "a text is none"),
        ("name", "n" * ((1 << 16) + 1), "a text is none"),
    ],
)
def test_fields_that_are_none(robust: SetCertificate, field: str, value: Any, problem: str) -> None:
    with pytest.raises(CertificateError) as error:
        read(json.loads(robust.encoded()) | {field: value})
    assert problem in error.value.problem and error.value.source == "file"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("sha256", 7, "a text is none"),
        ("runtime", None, "a text is none"),
        ("scheme", [], "how the network is read"),
        ("scheme", {"bits": "6"}, "a number is none"),
    ],
)
def test_networks_that_are_none(robust: SetCertificate, field: str, value: Any, problem: str) -> None:
    document = json.loads(robust.encoded())
    with pytest.raises(CertificateError, match=problem):
        read(document | {"network": document["network"] | {field: value}})


def test_fields_at_their_ends(robust: SetCertificate) -> None:
    document = json.loads(robust.encoded())
    assert read(document | {"image": [LARGEST, -LARGEST, 0]}).image == (LARGEST, -LARGEST, 0)
    assert len(read(document | {"name": "n" * (1 << 16)}).name) == 1 << 16
    wrong = document | {"claim": "sat", "witness": [1, 2]}
    with pytest.raises(CertificateError, match="do not belong together"):
        read(wrong)
    assert read(wrong | {"witness": [1, 2, 3]}).witness == (1, 2, 3)


# -- checking


def refused(certificate: SetCertificate, network: Network, problem: str, kind: Any = ProofError) -> None:
    with pytest.raises(kind) as error:
        netproof.check_set(certificate, network)
    assert problem in error.value.problem and error.value.source == "certificate", error.value.problem


def test_what_is_true_is_accepted(network: Network, robust: SetCertificate, broken: SetCertificate) -> None:
    found = netproof.check_set(robust, network)
    assert (found.evaluated, found.compared, found.certificate) == (3, 3, robust)
    assert found.query.name == "n" and found.query.label == robust.label and 0 < found.seconds < 60
    assert "affine maps" in found.second_reading
    found = netproof.check_set(broken, network)
    assert (found.evaluated, found.compared, found.certificate) == (1, 1, broken) and "affine" in found.second_reading
    assert 0 < found.seconds < 60
    assert netproof.check_set(replace(robust, name=""), network).query.name == "set"


def test_a_file_is_taken_for_what_is_in_it(network: Network, robust: SetCertificate, tmp_path: Path) -> None:
    path = tmp_path / "certificate"
    path.write_bytes(robust.encoded())
    assert netproof.check_set(path, network).evaluated == netproof.check_set(str(path), network).evaluated == 3
    path.write_bytes(robust.encoded().replace(b'"count":3', b'"count":4'))
    with pytest.raises(CertificateError) as error:
        netproof.check_set(path, network)
    assert error.value.source == str(path)
    query = netproof.robustness(network, torch.tensor(IMAGE), robust.label, 0)
    certificate = netproof.certificate_of(query, netproof.verify(query, netproof.Settings(proofs=True)))
    netproof.write_certificate(path, certificate)
    with pytest.raises(CertificateError, match="is not about a finite set"):
        netproof.check_set(path, network)


def test_a_certificate_is_about_its_network_alone(network: Network, robust: SetCertificate, tmp_path: Path) -> None:
    other = netproof.load(write_keras_h5(tmp_path / "other.h5", random_layers((3, 4, 3), seed=4)))
    refused(robust, other, "is about another network than", CertificateError)
    wider = netproof.load(network.path, widths=netproof.FixedPoint(bits=7))
    assert wider.sha256 == network.sha256
    refused(robust, wider, "or about another runtime", CertificateError)
    for wrong in (
        replace(robust, runtime="tflm"),
        replace(robust, scheme={}),
        replace(robust, network_sha256="0" * 64),
    ):
        refused(wrong, network, "is about another network than", CertificateError)


def test_a_set_is_the_one_that_it_says(network: Network, robust: SetCertificate) -> None:
    for count in (2, 4):
        refused(replace(robust, count=count), network, f"states {count} inputs of a set of 3", CertificateError)
    refused(replace(robust, image=(20, 40)), network, "is inconsistent", CertificateError)
    refused(replace(robust, image=(20, 40, 1 << 20)), network, "is inconsistent", CertificateError)
    refused(replace(robust, label=9), network, "is inconsistent", CertificateError)
    refused(replace(robust, perturbation=Pixels(4)), network, "is inconsistent", CertificateError)
    many = replace(robust, perturbation=Pixels(3))
    assert Pixels(3).count(asked(network, Brightness(1)).image) < 1 << 34
    refused(many, network, "inputs of a set of", CertificateError)


def test_sets_beyond_number_are_not_begun(network: Network, robust: SetCertificate, monkeypatch: Any) -> None:
    monkeypatch.setattr(checker, "MOST_POINTS", 3)
    netproof.check_set(robust, network)
    monkeypatch.setattr(checker, "MOST_POINTS", 2)
    refused(robust, network, "is about 3 inputs, which is too many to evaluate", CertificateError)


def test_an_image_of_another_class_has_no_class_to_keep(network: Network, robust: SetCertificate) -> None:
    refused(replace(robust, label=(robust.label + 1) % 3), network, "takes the image itself for class")


def test_a_witness_is_in_the_set_and_of_another_class(network: Network, broken: SetCertificate) -> None:
    # Two values of it are moved; one is, beyond what it can be; none is.
    x = list(broken.witness)
    two = [x[0] + (1 if x[0] < 9 else -1), x[1] + (1 if x[1] < 9 else -1), x[2] + (1 if x[2] < 9 else -1)]
    refused(replace(broken, witness=tuple(two)), network, "is not one of the set")
    for end in (1 << 20, -1):
        beyond = replace(broken, witness=(IMAGE[0], IMAGE[1], end), perturbation=broken.perturbation)
        refused(beyond, network, "is not one of the set")
    refused(replace(broken, witness=IMAGE), network, f"the witness has class {broken.label} as well")
    # A set that looks at the range by itself does not, where it only moves what it is asked about.
    assert netproof.check_set(broken, network).evaluated == 1


def test_a_witness_may_be_at_an_end_of_the_range(network: Network) -> None:
    # Of all images of two values out of three at their ends some are of another class, with either end among them.
    ends = [(0, int(end)) for end in network.upper.tolist()]
    seen = set()
    for place in range(3):
        for end in ends[place]:
            for other in range(ends[(place + 1) % 3][1] + 1):
                x = list(IMAGE)
                x[place], x[(place + 1) % 3] = end, other
                if label_of(network, tuple(x)) != label_of(network):
                    query = asked(network, Pixels(2))
                    made = set_certificate_of(query, netproof.verify(query))
                    netproof.check_set(replace(made, witness=tuple(x)), network)
                    seen.add(end == 0)
                    break
    assert seen == {True, False}


def test_a_witness_of_one_value_belongs_to_a_claim_as_any_other_does(robust: SetCertificate) -> None:
    document = json.loads(robust.encoded()) | {"image": [5]}
    for claim, witness, fits in (("sat", [6], True), ("unsat", [6], False), ("unsat", [], True), ("sat", [], False)):
        if fits:
            assert read(document | {"claim": claim, "witness": witness}).witness == tuple(witness)
        else:
            with pytest.raises(CertificateError, match="do not belong together"):
                read(document | {"claim": claim, "witness": witness})


def test_networks_that_are_read_again(network: Network) -> None:
    # Without a runtime it is the check of a certificate that reads a file again; with one it has to be known before.
    check_certifiable(replace(network, content=b"TFL3"), "c")
    for content in (b"\x1c\0\0\0TFL3\0", b"\x1c\0\0\0TFL2\0", b"TFL3", b"\x89HDF\r\n\x1a\n"):
        with pytest.raises(InputError, match="no certificate can be about it") as error:
            check_certifiable(replace(network, content=content, runtime="tflm"), "c")
        assert str(error.value).isprintable() and error.value.source == "c"


def test_a_witness_beyond_the_range_is_none(network: Network, broken: SetCertificate, monkeypatch: Any) -> None:
    # Were a set to take in what the network cannot be given, the checker would not.
    monkeypatch.setattr(Pixels, "contains", lambda self, image, values: True)
    for end in (-1, int(network.upper[2]) + 1):
        refused(replace(broken, witness=(IMAGE[0], IMAGE[1], end)), network, "is not one of the set")


def test_every_input_is_evaluated(network: Network, broken: SetCertificate) -> None:
    query = asked(network, broken.perturbation)
    wrong = next(i for i, found in enumerate(classes(query)) if found != query.label)
    false = replace(broken, claim="unsat", witness=())
    with pytest.raises(ProofError, match="has another class"):
        netproof.check_set(false, network)
    assert wrong > 0


def drawn_never(monkeypatch: Any) -> None:
    """No input is evaluated a second time."""
    monkeypatch.setattr(checker, "_COMPARED", 0)


def test_which_input_has_another_class_is_told(network: Network, broken: SetCertificate, monkeypatch: Any) -> None:
    drawn_never(monkeypatch)
    query = asked(network, broken.perturbation)
    first = next(i for i, found in enumerate(classes(query)) if found != query.label)
    # In portions of any size, the first of them and others.
    for portion in (1, 7, 1024):
        monkeypatch.setattr(checker, "_AT_ONCE", portion)
        refused(replace(broken, claim="unsat", witness=()), network, f"input {first} of the set has another class")


def test_a_share_is_evaluated_twice(network: Network, monkeypatch: Any) -> None:
    query = asked(network, Brightness(1))
    certificate = set_certificate_of(query, netproof.verify(query))
    total = query.count
    for portion in (1, 2, 1024):
        monkeypatch.setattr(checker, "_AT_ONCE", portion)
        monkeypatch.setattr(checker, "_COMPARED", total)
        found = netproof.check_set(certificate, network)
        assert (found.evaluated, found.compared) == (total, total)
    drawn_never(monkeypatch)
    found = netproof.check_set(certificate, network)
    assert (found.evaluated, found.compared) == (total, 0)
    # All of them where that is asked for, so many at a time, and none is left out where time ends between them.
    for together in (1, 2, 64):
        monkeypatch.setattr(checker, "_TOGETHER", together)
        found = netproof.check_set(certificate, network, every=True)
        assert (found.evaluated, found.compared) == (total, total)
    ticks = itertools.chain([0.0] * 4, itertools.repeat(9.0))
    monkeypatch.setattr(checker, "_TOGETHER", 1)
    monkeypatch.setattr(checker, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    with pytest.raises(ProofError, match="the time limit was reached"):
        netproof.check_set(certificate, network, timeout=5.0, every=True)


def test_two_evaluations_agree_in_all_outputs(network: Network, robust: SetCertificate, monkeypatch: Any) -> None:
    true = Near.outputs
    monkeypatch.setattr(Near, "outputs", lambda self, x: true(self, x) + 1)
    refused(robust, network, "two evaluations of one input differ")
    # What nobody evaluates twice is held to its class alone, which this leaves as it is.
    drawn_never(monkeypatch)
    assert netproof.check_set(robust, network).compared == 0
    # A fast evaluation that is right about nothing: the class of every input is looked at.
    other = np.eye(3, dtype=np.int64)[(robust.label + 1) % 3] << 30
    monkeypatch.setattr(Near, "outputs", lambda self, x: true(self, x) + other)
    refused(robust, network, "input 0 of the set has another class")


def test_classes_are_those_of_the_graph_where_both_are_looked_at(
    network: Network, broken: SetCertificate, monkeypatch: Any
) -> None:
    # The fast evaluation takes everything for the right class: the graph's own does not.
    image = np.array([IMAGE])
    true = Near.outputs
    monkeypatch.setattr(Near, "outputs", lambda self, x: np.repeat(true(self, image), len(x), 0))
    monkeypatch.setattr(checker, "_COMPARED", 1 << 20)
    monkeypatch.setattr(checker, "_TOGETHER", 1 << 20)
    refused(replace(broken, claim="unsat", witness=()), network, "an input of the set has another class")


def test_no_input_is_left_out(network: Network, robust: SetCertificate, monkeypatch: Any) -> None:
    every = Brightness.inputs

    def fewer(self: Brightness, image: Any, size: int) -> Iterator[Any]:
        for part in every(self, image, size):
            yield part[1:]

    monkeypatch.setattr(Brightness, "inputs", fewer)
    refused(robust, network, "the set has 2 inputs, not 3")


def test_time_is_limited(network: Network, robust: SetCertificate, monkeypatch: Any) -> None:
    with pytest.raises(ProofError, match="the time limit was reached while its file was read a second time"):
        netproof.check_set(robust, network, timeout=0.0)
    assert netproof.check_set(robust, network, timeout=1e6).evaluated == 3
    # The file is read once.
    with pytest.raises(ProofError, match=f"the time limit was reached; 0 of 3 inputs have class {robust.label}"):
        netproof.check_set(robust, network, timeout=0.0)
    # It is looked at before every portion, and before the part of it that is evaluated twice: the clock goes on by a second with each
    # look.
    monkeypatch.setattr(checker, "_AT_ONCE", 1)
    clock = itertools.count()
    monkeypatch.setattr(checker.time, "perf_counter", lambda: float(next(clock)))
    with pytest.raises(ProofError, match="1 of 3 inputs"):
        netproof.check_set(robust, network, timeout=3.0)
    with pytest.raises(ProofError, match="2 of 3 inputs"):
        netproof.check_set(robust, network, timeout=5.0)


def test_looking_for_a_witness_in_its_set_ends_at_the_time_limit(network: Network, broken: SetCertificate) -> None:
    whole = replace(broken, perturbation=Brightness(1 << 20), count=(1 << 21) + 1)
    with pytest.raises(ProofError, match="time limit"):
        netproof.check_set(whole, network, timeout=1e-9)
