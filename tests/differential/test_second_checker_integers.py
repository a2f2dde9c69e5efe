"""The checker in Rust against the first one on certificates of integer networks (formats 1 and 2), verdict by verdict."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from netproof.certificate.bundle import Bundle, encode_bundle
from netproof.certificate.checker.check import check
from netproof.certificate.format import Certificate, arrays_of, encode
from netproof.certificate.make import certificate_of
from netproof.errors import CertificateError, ProofError
from netproof.formats.load import load
from netproof.search.verify import verify
from netproof.settings import Settings
from soundness import random_certificates
from soundness.random_certificates import batches, random_draft, spoiled
from soundness.random_networks import RandomNetwork, random_network, tight_query


def uniform(random: np.random.Generator, *, bits: int, final: str) -> RandomNetwork:
    """A network that an ONNX file of integers can hold: one range of inputs, staircases of fixed point."""
    final = "shift" if final != "any" else final
    while True:
        net = random_network(random, bits=bits, final=final, kinds=("shift",))
        low, high = int(net.lower.min()), int(net.upper.max())
        if all(abs(layer.weight).max() < 128 for layer in net.layers) and -128 <= low <= high < 128:
            break
    # All inputs from the least to the largest, but not so many points that they cannot be enumerated.
    spread = max(1, int(4096 ** (1 / len(net.lower))) - 1)
    upper = np.full_like(net.upper, min(high, low + spread))
    return replace(net, lower=np.full_like(net.lower, low), upper=upper)


def model_of(net: RandomNetwork) -> bytes:
    """The ONNX file."""
    nodes, constants = [], []
    counter = itertools.count()

    def constant(values, dtype) -> str:
        name = f"c{next(counter)}"
        constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(kind, *inputs, **attributes) -> str:
        name = f"n{next(counter)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    at = "x"
    for layer in net.layers:
        at = node("MatMulInteger", at, constant(layer.weight.T, np.int8))
        at = node("Add", at, constant(layer.bias, np.int32))
        if layer.steps is not None:
            assert layer.steps.fixed_point is not None
            shift, low, high = layer.steps.fixed_point
            half = (1 << shift) // 2
            at = node("Add", at, constant(half - low * (1 << shift), np.int32))
            top = (high - low + 1) * (1 << shift) - 1
            at = node("Clip", at, constant(0, np.int32), constant(top, np.int32))
            at = node("Div", at, constant(1 << shift, np.int32))
            at = node("Cast", node("Add", at, constant(low, np.int32)), to=TensorProto.INT8)
    kind = TensorProto.INT32 if net.layers[-1].steps is None else TensorProto.INT8
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, len(net.lower)])],
        [helper.make_tensor_value_info(at, kind, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    model.metadata_props.add(key="netproof.input_range", value=f"{net.lower[0]} {net.upper[0]}")
    return bytes(model.SerializeToString())


def verdict_of(certificate, network) -> str:
    try:
        check(certificate, network)
    except ProofError:
        return "rejected"
    except CertificateError:
        return "unusable"
    return "accepted"


def test_both_give_the_same_verdict(second_of_integers, tmp_path, monkeypatch):
    monkeypatch.setattr(random_certificates, "random_network", uniform)
    seen: Counter[str] = Counter()
    for number, random in enumerate(batches(10, 40)):
        draft = random_draft(random)
        path = tmp_path / f"{number}.onnx"
        networks: dict[bytes, object] = {}
        made = [("made", draft)] + [spoiled(random, draft) for _ in range(6)]
        for what, one in made:
            data = model_of(one.net)
            if data not in networks:
                path.write_bytes(data)
                networks[data] = load(path)
            network = networks[data]
            certificate = replace(one.certificate(), network_sha256=network.sha256)
            mine = verdict_of(certificate, network)
            assert second_of_integers(encode(certificate), data) == mine, (number, what)
            seen[mine] += 1
            if mine == "accepted":
                seen.update(f"kind {kind}" for kind in certificate.arrays["kind"].tolist())
                seen.update(f"form {form}" for form in one.form)
                seen["prices"] += len(certificate.arrays["price_row"])
                seen["common"] += len(certificate.arrays["common"])
    wanted = ["rejected", "unusable", *(f"kind {k}" for k in range(5)), "form 0", "form 1", "prices", "common"]
    assert not [what for what in wanted if not seen[what]], seen
    assert seen["accepted"] > 40


def test_witnesses_bundles_and_what_is_about_other_files(second_of_integers, tmp_path, monkeypatch):
    monkeypatch.setattr(random_certificates, "random_network", uniform)
    seen: Counter[str] = Counter()
    for random in batches(99, 20):
        draft = random_draft(random)
        data = model_of(draft.net)
        path = tmp_path / "n.onnx"
        path.write_bytes(data)
        network = load(path)
        certificate = replace(draft.certificate(), network_sha256=network.sha256)
        kept = {name: certificate.arrays[name] for name in ("image", "lower", "upper", "coefficients", "threshold")}
        for x in random.integers(draft.net.lower, draft.net.upper + 1, size=(6, len(draft.net.lower))):
            witness = replace(certificate, claim="sat", arrays=arrays_of(**kept, witness=x))
            mine = verdict_of(witness, network)
            assert second_of_integers(encode(witness), data) == mine
            seen[f"witness {mine}"] += 1
        both = encode_bundle(Bundle((certificate, certificate)))
        assert second_of_integers(both, data) == verdict_of(certificate, network)
        assert second_of_integers(both[:-1] + bytes([both[-1] ^ 1]), data) == "unusable"
        assert second_of_integers(encode(certificate), data + b"\0") == "unusable"
        assert second_of_integers(encode(draft.certificate()), data) == "unusable"
    assert seen["witness accepted"] > 1 and seen["witness rejected"] > 5, seen


def test_certificates_of_searches_are_accepted(second_of_integers, tmp_path):
    seen: Counter[str] = Counter()
    for number, random in enumerate(batches(5, 16)):
        net = uniform(random, bits=8, final="any")
        data, path = model_of(net), tmp_path / f"{number}.onnx"
        path.write_bytes(data)
        query = tight_query(random, net, load(path))
        result = verify(query, Settings(timeout=20.0, proofs=True, attack=bool(number % 2)))
        made = certificate_of(query, result)
        assert isinstance(made, Certificate)
        assert second_of_integers(encode(made), data) == "accepted", number
        seen[result.verdict.value] += 1
        seen["trees"] += len(made.arrays["kind"])
    assert seen["unsat"] > 4 and seen["sat"] > 2 and seen["trees"] > 10, seen
