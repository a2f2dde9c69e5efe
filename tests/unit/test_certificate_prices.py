"""Prices in certificates: the file, what is refused in it, and a proof that needs them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import netproof
from netproof.certificate.checker.check import check
from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.prices import FirstLayer, Priced
from netproof.certificate.contents import PRICES, Certificate, arrays_of
from netproof.certificate.format import decode, encode
from netproof.certificate.make import certificate_of
from netproof.demo.digits import load_digits
from netproof.errors import CertificateError, ProofError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.search.proofs.written import RoundedRows, Written


@pytest.fixture(scope="module")
def proved() -> tuple[Certificate, netproof.Network]:
    """A proof with prices of a digit of the demo, of which linear programs alone could prove a good deal."""
    digits = load_digits()
    query = netproof.robustness(digits.network, digits.image(11), int(digits.labels[11]), 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netproof.search.integer.engine.has_interior_solver", lambda graph: False)
        result = netproof.verify(query, netproof.Settings(proofs=True, attack=False, timeout=600.0))
    certificate = certificate_of(query, result)
    assert isinstance(certificate, Certificate) and len(certificate.arrays["price_row"])
    return certificate, digits.network


def changed(certificate: Certificate, **arrays: object) -> Certificate:
    return replace(certificate, arrays=arrays_of(**{**certificate.arrays, **arrays}))


def test_a_proof_with_prices_is_accepted_and_written_as_version_2(proved):
    certificate, network = proved
    data = encode(certificate)
    assert data[8:12] == b"\2\0\0\0"
    again = decode(data)
    assert all(np.array_equal(again.arrays[name], certificate.arrays[name]) for name in certificate.arrays)
    assert check(again, network).claim == "unsat"
    assert encode(again) == data


def test_the_prices_are_what_proves_it(proved):
    certificate, network = proved
    without = changed(certificate, **dict.fromkeys(PRICES, ()))
    data = encode(without)
    assert data[8:12] == b"\1\0\0\0" and b"price" not in data
    with pytest.raises(ProofError):
        check(decode(data), network)


def test_prices_that_are_much_too_high_prove_nothing(proved):
    certificate, network = proved
    values = certificate.arrays["price_difference"].copy()
    values[values != 0] *= 1000
    with pytest.raises(ProofError):
        check(changed(certificate, price_difference=values), network)


def test_what_does_not_fit_is_refused(proved):
    certificate, network = proved
    arrays = certificate.arrays
    row, told, values = arrays["price_row"], arrays["price_input"], arrays["price_difference"]
    rows = len(arrays["row_exponent"])
    for wrong in (
        {"price_difference": values[:-1]},
        {"price_difference": np.append(values, 0)},
        {"price_row": row[:-1]},
        {"price_row": np.append(row[:-1], rows)},
        {"price_row": np.append(-1, row[1:])},
        {"price_input": told[::-1]},
        {"price_input": np.append(told[:-1], certificate.inputs)},
        {"price_input": np.append(told[:-1], told[-2])},
        {"price_input": np.append(-1, told[1:])},
    ):
        with pytest.raises(CertificateError):
            decode(encode(changed(certificate, **wrong)))
        with pytest.raises(CertificateError):
            check(changed(certificate, **wrong), network)
    if len(row) > 1:
        with pytest.raises(CertificateError, match="does not ascend"):
            check(changed(certificate, price_row=row[::-1]), network)


def test_numbers_beyond_any_sum_are_refused(proved):
    certificate, network = proved
    values = np.full_like(certificate.arrays["price_difference"], 2**53 - 1)
    with pytest.raises(ProofError, match="no exact bound"):
        check(changed(certificate, price_difference=values), network)


@pytest.mark.parametrize("matters", [None, torch.tensor([[True, True, False], [False, True, True]])])
def test_every_price_that_matters_is_written_as_it_is(matters):
    builder = GraphBuilder(Arithmetic.INTEGER, (3,))
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    first = builder.add("first", Linear(zeros, zeros[:, 0]), builder.input)
    builder.add("steps", Staircase(zeros[:1, :1], zeros[:1, 0]), first)
    # Input 0 has no price at all where others have: that of nothing else than the neuron's own multiplier.
    prices = torch.tensor([[0, 6, 4], [0, 9, -3]], dtype=torch.int32)
    written, one = Written(), torch.zeros(1, dtype=torch.int64)
    proved = RoundedRows(torch.tensor([[1, 7, 7]]), one, one == 0, {0: prices})
    written.add_rows(proved, one, one)
    arrays = written.arrays(builder.build(), torch.tensor([False]), 1, matters)
    told, features = arrays["price_input"], arrays["kept_feature"]
    read = np.zeros((2, 3), np.int64)
    read[features] = arrays["row_s"][:, None]
    read[features[:, None], told] += arrays["price_difference"].reshape(len(features), len(told))
    assert not ((read != prices.numpy()) & (matters is None or matters.numpy())).any()
    assert told.tolist() == [0, 1, 2]
    if matters is not None:  # an input that stays where it is
        assert written.arrays(builder.build(), torch.tensor([False]), 1, matters & matters[1])[
            "price_input"
        ].tolist() == [1, 2]


def test_memory_does_not_grow_with_the_cuts_of_a_row(proved, monkeypatch):
    certificate, network = proved
    arrays, count = certificate.arrays, 1 << 15
    cuts = {"activation": 1, "feature": 0, "side": 0, "end": 0, "row": int(arrays["price_row"][0])}
    more = {f"cut_{name}": np.append([value] * count, arrays[f"cut_{name}"]) for name, value in cuts.items()}
    sizes: list[int] = []
    once = Priced._conjugate

    def counted(self, stairs, v, *others):
        sizes.append(len(v))
        return once(self, stairs, v, *others)

    monkeypatch.setattr(Priced, "_conjugate", counted)
    with pytest.raises(ProofError, match="common cuts"):
        check(changed(certificate, common=np.append(count, arrays["common"]), **more), network)
    assert sum(sizes) > count and max(sizes) * certificate.inputs < 1 << 20


def test_a_witness_has_no_prices(proved):
    certificate, network = proved
    image = certificate.arrays["image"]
    given = {name: values for name, values in certificate.arrays.items() if name in (*PRICES, "image")}
    claim = replace(certificate, claim="sat", arrays=arrays_of(**given, witness=image))
    with pytest.raises(CertificateError, match="price"):
        check(claim, network)


def test_sizes_of_rows_with_prices_hold_every_term():
    # What is handed to the first activation counts by the largest value there, what is handed to the input three times: at
    # the lower end of the box, and on the way to the upper one.
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    weight = torch.tensor([[2.0, -1.0], [1.0, 3.0]], dtype=torch.float64)
    a = builder.add("a", Linear(weight, torch.tensor([1.0, -2.0], dtype=torch.float64)), builder.input)
    thresholds = torch.tensor([[-3.0, 0.0, 4.0]] * 2, dtype=torch.float64)
    f = builder.add("f", Staircase(thresholds, torch.tensor([-1.0, 5.0], dtype=torch.float64)), a)
    last = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    builder.add("y", Linear(last, torch.zeros(1, dtype=torch.float64)), f)
    lower, upper = torch.tensor([-4.0, -6.0], dtype=torch.float64), torch.tensor([4.0, 6.0], dtype=torch.float64)
    network = netproof.Network(builder.build(), "sizes", "ab" * 32, lower, upper)
    net = ExactNetwork(network, "sizes")
    region = net.whole(lower, upper)
    layer = FirstLayer(network.graph, "sizes")
    assert torch.equal(layer.weight, weight)
    s = [torch.zeros(1, 2, dtype=torch.float64)]
    for v in ((3.0, -(2.0**40)), (2.0**49, 1.0), (0.0, 5.0)):
        given = torch.tensor([v], dtype=torch.float64)
        for scale in (0.0, 7.0, -(2.0**30)):
            prices = torch.full((1, 2, 2), scale, dtype=torch.float64)
            priced = Priced(layer, region, prices)
            # Twice the reach of an input's weight times the price, of each weight.
            assert priced.size.item() == abs(scale) * (weight.abs() * (upper - lower)).sum().item()
            found = net.backward(region, {0: (given, given.abs())}, s, priced)
            assert found.size.item() == 3 * priced.size.item() + 3 * (given.abs() * upper).sum().item()
            found = net.backward(region, {f: (given, given.abs())}, s, priced)
            # Values of f are -1 to 2, and 5 to 8.
            assert found.size.item() == 3 * priced.size.item() + abs(v[0]) * 2 + abs(v[1]) * 8
            if not scale:
                assert found.value.item() == max(v[0] * 2, -v[0]) + max(v[1] * 8, v[1] * 5)
                found = net.backward(region, {0: (given, given.abs())}, s, priced)
                assert found.value.item() == (given.abs() * upper).sum().item()
