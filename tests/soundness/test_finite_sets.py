"""Verdicts about finite sets against brute force in the file's own evaluation, and their certificates."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import netproof
from differential.tflite_maker import RandomNetwork
from netproof import Brightness, Contrast, Cover, Inputs, Patch, Pixels, Shift
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.sets import SetCertificate
from netproof.certificate.witness import read_evidence
from netproof.errors import CertificateError, InputError, ProofError, QueryError
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import read_deployed
from netproof.inference.plan import Near
from netproof.network import Kept

KINDS = ("conv", "depthwise", "average", "add")
SETS = (
    Brightness(30),
    Contrast(60),
    Shift(1, 1),
    Pixels(1, 3),
    Pixels(1),
    Patch(1, 1, 2),
    Cover(1, 2),
    Inputs((0, 3), 9),
)


def networks(tmp_path, count):
    """Random files with several classes that have a second reading."""
    path, found = tmp_path / "network.tflite", 0
    for seed in range(400):
        path.write_bytes(RandomNetwork(seed, KINDS).bytes())
        try:
            deployed = read_deployed(path)
            confirm(deployed.network)
        except InputError:
            continue
        x = np.random.default_rng(seed).integers(-128, 128, (60, *deployed.input.shape[1:])).astype(np.int8)
        if deployed.network.kept is Kept.NOTHING or len(set(evaluate(deployed, x).scores.argmax(1).tolist())) < 2:
            continue
        yield seed, deployed, x
        found += 1
        if found == count:
            return


def test_verdicts_are_those_of_brute_force(tmp_path):
    verdicts = {kind: set() for kind in SETS}
    for seed, deployed, inputs in networks(tmp_path, 4):
        network = deployed.network
        labels = network.classify(torch.from_numpy(inputs.reshape(len(inputs), -1)).double()).tolist()
        for image, label in zip(inputs[:3], labels, strict=False):
            for perturbation in SETS:
                try:
                    asked = netproof.robustness_to(network, image.astype(int), label, perturbation)
                except QueryError:
                    continue
                every = np.concatenate(list(perturbation.inputs(asked.image, 500)))
                scores = evaluate(deployed, every.astype(np.int8).reshape(-1, *deployed.input.shape[1:])).scores
                wrong = scores.argmax(1) != label
                result = netproof.verify(asked)
                assert result.verdict.value == ("sat" if wrong.any() else "unsat"), (seed, perturbation)
                assert result.method == "enumeration"
                verdicts[perturbation].add(result.verdict.value)
                if wrong.any():
                    x = result.witness.input.numpy()
                    assert perturbation.contains(asked.image, x)
                    assert network.classify(result.witness.input.double()) != label
                    assert result.subproblems == int(wrong.argmax()) + 1
                else:
                    assert result.subproblems == len(every) == asked.count
                certificate = netproof.set_certificate_of(asked, result)
                assert netproof.check_set(certificate, network).evaluated == (1 if wrong.any() else len(every))
                # The opposite claim is found to be false.
                with pytest.raises(ProofError):
                    opposite = (
                        replace(certificate, claim="unsat", witness=())
                        if wrong.any()
                        else replace(certificate, claim="sat", witness=certificate.image)
                    )
                    netproof.check_set(opposite, network)
    assert sum(found == {"sat", "unsat"} for found in verdicts.values()) >= 4, verdicts


def test_boxes_of_many_points_go_to_bounds(tmp_path):
    _, deployed, inputs = next(networks(tmp_path, 1))
    network, image = deployed.network, inputs[0].astype(int)
    label = int(network.classify(torch.from_numpy(image.reshape(-1)).double()))
    for perturbation in (Inputs((0, 1, 2), 1), Patch(1, 2, 1)):
        listed = netproof.robustness_to(network, image, label, perturbation)
        boxes = netproof.robustness_to(network, image, label, perturbation, points=1)
        assert isinstance(listed, netproof.SetQuery) and isinstance(boxes, netproof.Question)
        assert netproof.verify(listed).verdict == netproof.verify(boxes).verdict
    with pytest.raises(QueryError, match="too many to evaluate"):
        netproof.robustness_to(network, image, label, Pixels(min(9, network.inputs)))
    # Time is limited.
    asked = netproof.robustness_to(network, image, label, Pixels(2, 40))
    result = netproof.verify(asked, netproof.Settings(timeout=1e-9))
    assert result.verdict.value in ("timeout", "sat")
    # A sample that is misclassified has no class to keep.
    other = netproof.robustness_to(network, image, (label + 1) % network.outputs, Brightness(1))
    both = list(netproof.verify([other, asked], netproof.Settings(timeout=1e-9)))
    assert both[0].verdict.value == "misclassified"


def test_certificates_are_held_to_everything_in_them(tmp_path):
    _, deployed, inputs = next(networks(tmp_path, 1))
    network, image = deployed.network, inputs[0].astype(int).reshape(-1)
    label = int(network.classify(torch.from_numpy(image).double()))
    asked = netproof.robustness_to(network, image, label, Brightness(0), name="b")
    certificate = netproof.set_certificate_of(asked, netproof.verify(asked))
    data, path = certificate.encoded(), tmp_path / "c"
    path.write_bytes(data)
    again = read_evidence(path)
    assert isinstance(again, SetCertificate) and again.encoded() == data
    assert netproof.check_set(path, network).compared == 1
    with pytest.raises(CertificateError, match=r"call netproof\.check_set"):
        netproof.check(path, network)
    document = json.loads(data)
    assert document["network"]["runtime"] == "tflm" and document["set"] == {"kind": "brightness", "most": 0}
    for name, values in {
        "label": [label + 1, 77, -1, "0", None, 1.5], "count": [2, 0, 1 << 60, True], "claim": ["robust", "sat", None],
        "image": [[], [0], [200] * len(image), "x", None], "witness": [[1], [0] * len(image)], "arithmetic": ["real"],
        "format": ["netproof-set-2"], "set": [None, {}, {"kind": "brightness"}, {"kind": "brightness", "most": 1}, {"kind": "pixels", "most": 99, "by": None}],
        "network": [None, {}, document["network"] | {"sha256": "0" * 64}, document["network"] | {"runtime": "xnnpack"}],
        "name": [7], "producer": [[]],
    }.items():  # fmt: skip
        for value in values:
            path.write_text(json.dumps(document | {name: value}))
            with pytest.raises((CertificateError, ProofError)) as error:
                netproof.check_set(path, network)
            assert "\n" not in str(error.value)
    for name in document:
        path.write_text(json.dumps({key: value for key, value in document.items() if key != name}))
        with pytest.raises(CertificateError):
            netproof.check_set(path, network)


def test_a_fast_evaluation_that_is_wrong_is_no_witness(tmp_path, monkeypatch):
    _, deployed, inputs = next(networks(tmp_path, 1))
    network, image = deployed.network, inputs[0].astype(int)
    label = int(network.classify(torch.from_numpy(image.reshape(-1)).double()))
    asked = netproof.robustness_to(network, image, label, Brightness(0))
    certificate = netproof.set_certificate_of(asked, netproof.verify(asked))
    true = Near.outputs
    other = np.eye(network.outputs, dtype=np.int64)[(label + 1) % network.outputs] * 1000
    # One has another class, the other the right one, and outputs that are not the network's.
    for wrong in (lambda self, x: true(self, x) + other, lambda self, x: true(self, x) + 1):
        monkeypatch.setattr(Near, "outputs", wrong)
        result = netproof.verify(asked)
        assert result.verdict.value == "error" and "defect" in result.reason
        with pytest.raises(ProofError):
            netproof.check_set(certificate, network)
