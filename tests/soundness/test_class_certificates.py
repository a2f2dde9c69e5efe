"""Certificates that a class does not change in a box, of networks that end in a softmax of codes: against all inputs of the box."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import netproof
from netproof import Settings, Verdict
from netproof.certificate.bundle import Bundle, encode_bundle
from netproof.certificate.contents import BoxProperty, ClassProperty
from netproof.certificate.format import decode, encode
from netproof.errors import InputError
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import Deployed, read_deployed
from netproof.network import Kept
from tflite_files import TFLiteFile


def with_softmax(seed: int, folder) -> Deployed:
    """Two layers and a softmax, read for one of the runtimes."""
    rng, file = np.random.default_rng(seed), TFLiteFile()
    x, h = file.tensor((1, 5), 1 / 16, 0), file.tensor((1, 6), 1 / 16, -128)
    y, s = file.tensor((1, 4), 1 / 8, 3), file.tensor((1, 4), 1 / 256, -128)
    first, second = (file.constant(rng.integers(-60, 61, shape).astype(np.int8), 1 / 64) for shape in ((6, 5), (4, 6)))
    file.operator("FULLY_CONNECTED", [x, first, -1], [h], {0: ("b", 1)})
    file.operator("FULLY_CONNECTED", [h, second, -1], [y], {0: ("b", 0)})
    file.operator("SOFTMAX", [y], [s], {0: ("f", 1.0)})
    path = folder / f"{seed}.tflite"
    path.write_bytes(file.bytes(x, s))
    deployed = read_deployed(path, ("tflm", "xnnpack", "litert-ref")[seed % 3])
    assert deployed.network.kept is Kept.CLASS
    return deployed


def points_of(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    ranges = [np.arange(low, high + 1) for low, high in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(lower)).astype(np.int8)


def clear_image(network: netproof.Network) -> tuple[np.ndarray, int]:
    """An image whose class is far ahead, and the class."""
    images = np.random.default_rng(1).integers(-100, 101, (60, 5))
    outputs = network.graph.evaluate(torch.tensor(images, dtype=torch.float64)).sort(1).values
    image = images[int((outputs[:, -1] - outputs[:, -2]).argmax())]
    return image, int(network.classify(torch.tensor(image, dtype=torch.float64)))


def test_every_class_in_the_box_is_the_file_s(tmp_path):
    """The classes of what the *file* gives, its softmax included, at all inputs of boxes that are not around an image."""
    rng, found = np.random.default_rng(0), Counter[str]()
    for seed in range(40):
        deployed = with_softmax(seed, tmp_path)
        network = deployed.network
        image = rng.integers(-100, 101, 5)
        label = int(network.classify(torch.tensor(image, dtype=torch.float64)))
        lower = image - rng.integers(0, 4, 5) * (1 + 2 * (seed % 2))
        upper = np.minimum(127, lower + rng.integers(1, 5, 5))
        query = netproof.robustness(network, image, label, box=(lower, upper))
        result = netproof.verify(query, Settings(proofs=True, timeout=60))
        classes = evaluate(deployed, points_of(lower, upper)).classes
        assert result.verdict is (Verdict.UNSAT if (classes == label).all() else Verdict.SAT)
        certificate = netproof.certificate_of(query, result)
        assert isinstance(certificate.property, ClassProperty)
        certificate = decode(encode(certificate))
        assert netproof.check(certificate, network).claim == result.verdict.value
        found[certificate.claim] += 1
        if certificate.claim == "sat":
            continue
        # The same proof of something that is not so: of other labels, and of boxes that have other classes in them.
        for other in set(range(4)) - {label}:
            wrong = replace(certificate, property=ClassProperty(other))
            with pytest.raises(netproof.ProofError, match="takes the image itself"):
                netproof.check(wrong, network)
        wide = {"lower": np.full(5, -128), "upper": np.full(5, 127)}
        everywhere = evaluate(deployed, rng.integers(-128, 128, (500, 5)).astype(np.int8)).classes
        if (everywhere != label).any():
            with pytest.raises(netproof.ProofError):
                netproof.check(replace(certificate, arrays={**certificate.arrays, **wide}), network)
            found["wide"] += 1
    assert found["sat"] >= 4 and found["unsat"] >= 8 and found["wide"] >= 8, found


def test_what_is_no_class_is_not_certified_as_one(tmp_path):
    """A target, and conditions on outputs, which the softmax changes."""
    deployed = with_softmax(3, tmp_path)
    network = deployed.network
    image, label = clear_image(network)
    query = netproof.robustness(network, image, label, box=(image, image + 1), target=(label + 1) % 4)
    result = netproof.verify(query, Settings(proofs=True))
    with pytest.raises(InputError, match="would be about its operands"):
        netproof.certificate_of(query, result)
    plain = netproof.robustness(network, image, label, box=(image, image + 1))
    certificate = netproof.certificate_of(plain, netproof.verify(plain, Settings(proofs=True)))
    rows = np.eye(4, dtype=np.int64)[[k for k in range(4) if k != label]] - np.eye(4, dtype=np.int64)[label]
    about = BoxProperty((1, 1, 1))
    margins = [int(k > label) for k in range(4) if k != label]
    arrays = {**certificate.arrays, "image": np.empty(0, np.int64), "coefficients": rows.reshape(-1)}
    stated = replace(certificate, property=about, arrays={**arrays, "threshold": np.array(margins)})
    with pytest.raises(netproof.CertificateError, match="has an unusable property"):
        netproof.check(stated, network)


def test_parts_of_a_bundle_are_about_one_image(tmp_path):
    network = with_softmax(3, tmp_path).network
    image, label = clear_image(network)
    parts = []
    for at in (image, image + 1):
        query = netproof.robustness(network, image, label, box=(at, at + 1))
        result = netproof.verify(query, Settings(proofs=True))
        assert result.verdict is Verdict.UNSAT
        parts.append(netproof.certificate_of(query, result))
    bundle = Bundle(tuple(parts))
    assert len(netproof.check(bundle, network).parts) == 2 and encode_bundle(bundle)
    for arrays, about in (({"image": image + 1}, parts[0].property), ({}, ClassProperty((label + 1) % 4))):
        other = replace(parts[1], property=about, arrays={**parts[1].arrays, **arrays})
        with pytest.raises(netproof.CertificateError, match="another image or class"):
            netproof.check(Bundle((parts[0], other)), network)
