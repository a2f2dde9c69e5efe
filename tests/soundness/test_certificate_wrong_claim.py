"""A vulnerable sample cannot be declared robust by any multipliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof.certificate.checker.cases import Cases, query_of
from netproof.certificate.checker.check import check
from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts
from netproof.certificate.contents import LEAF, Certificate, RobustnessProperty, arrays_of
from netproof.errors import ProofError
from soundness.random_networks import RandomNetwork, random_network
from soundness.reference_checker import Reference

ROWS = 128


def vulnerable(random: np.random.Generator) -> tuple[RandomNetwork, Certificate, int, list[int]]:
    """A network with a wrong claim (of form order where that is admissible), the case that is met, and where."""
    while True:
        net = random_network(random, bits=6, final=str(random.choice(["shift", "shared", "general"])))
        image = random.integers(net.lower, net.upper + 1)
        label = int(net.outputs(image[None])[0].argmax())
        outputs = len(net.layers[-1].bias)
        steps = net.layers[-1].steps
        form = int(steps is not None and (steps.fixed_point is not None or steps.channels == 1))
        sizes = [len(layer.bias) for layer in net.layers if layer.steps is not None]
        claim = Certificate(
            "0" * 64, {}, len(image), outputs, "unsat", RobustnessProperty(label, 2),
            arrays_of(
                image=image, form=[form] * (outputs - 1), kept=sizes, kept_feature=[f for n in sizes for f in range(n)]
            ),
        )  # fmt: skip
        reference = Reference(claim, net)
        for x in net.points().tolist():
            if all(low <= v <= high for v, (low, high) in zip(x, reference.box, strict=True)):
                for number, case in enumerate(reference.cases):
                    if reference.meets(case, x):
                        return net, claim, number, x


def with_rows(
    claim: Certificate, exponent: int, mu: np.ndarray, s: np.ndarray, prices: np.ndarray | None = None
) -> Certificate:
    """The claim with rows of multipliers, or prices, and a leaf for each case that names the first of them."""
    cases = len(claim.arrays["form"])
    given = {name: values for name, values in claim.arrays.items() if len(values)}
    given |= {"row_exponent": np.full(len(mu), exponent), "row_mu": mu, "row_s": s}
    if prices is not None:
        given |= {"price_row": np.arange(len(mu)), "price_input": np.arange(claim.inputs), "price_difference": prices}
    given |= {"kind": [LEAF] * cases, "leaf_row": [0] * cases}
    return replace(claim, arrays=arrays_of(**given))


@pytest.mark.parametrize("priced", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_no_multipliers_refute_a_case_that_is_met(seed, priced):
    random = np.random.default_rng([20, seed])
    net, claim, number, x = vulnerable(random)
    network = net.network()
    query = query_of(claim, network, "claim")
    exact = ExactNetwork(network, "claim")
    cases = Cases(exact, query, claim.arrays["form"], "claim")
    case = torch.tensor([number])
    region = cases.close(exact.whole(query.lower, query.upper).repeated(1, shared=True), case)
    assert not bool(region.empty())
    reference = Reference(claim, net)
    asked = reference.cases[number]
    closed = reference.closure(reference.whole(), asked)

    # What the objective is at the witness, in units of mu.
    y = reference.outputs(x)
    least = sum(c * v for c, v in zip(asked.rows[0], y, strict=True)) - asked.right[0]
    if asked.order is not None:
        p, q, _ = asked.order
        a = net.preactivations(np.array([x]))[-1][0]
        d = reference.difference(closed, asked)
        least = int(a[p]) - int(a[q]) - int(d) if np.isfinite(d) else 0
    assert least >= 0

    size, exponent = int(claim.arrays["kept"].sum()), 6
    mu = np.full((ROWS, 1), 1 << exponent)
    mu[random.random(ROWS) < 0.1] = 0
    if asked.order is not None and not np.isfinite(d):
        mu[:] = 0
    s = np.rint(random.normal(size=(ROWS, size)) * random.choice([3, 30, 100], (ROWS, 1))).astype(np.int64)
    prices = None
    if priced:
        shape = (ROWS, int(claim.arrays["kept"][0]), claim.inputs)
        prices = np.rint(random.normal(size=shape) * random.choice([0, 3, 30], (ROWS, 1, 1))).astype(np.int64)
    lowest = np.inf
    for _ in range(40):
        rows = Rows(with_rows(claim, exponent, mu, s, prices), exact, cases)
        at = torch.zeros(ROWS, dtype=torch.int64)
        whole = Cuts(at, at - 1, at, at, at.double())
        bound = rows.bounds(region, case, whole, np.arange(ROWS)).numpy()
        assert (bound >= mu[:, 0] / 2.0**exponent * least).all()
        lowest = min(lowest, bound.min())
        # The best survive, and are changed in a few places.
        best = bound.argsort()[: ROWS // 8].repeat(8)
        mu, s = mu[best], s[best]
        step = np.rint(random.normal(size=s.shape) * random.choice([1, 4, 20], (ROWS, 1))).astype(np.int64)
        s = s + step * (random.random(s.shape) < 0.3)
        if prices is not None:
            prices = prices[best]
            step = np.rint(random.normal(size=prices.shape) * random.choice([1, 4, 20], (ROWS, 1, 1))).astype(np.int64)
            prices = prices + step * (random.random(prices.shape) < 0.2)
    assert np.isfinite(lowest)

    certificate = with_rows(claim, exponent, mu, s, prices)
    reference = Reference(certificate, net)
    for row in range(0, ROWS, 8):  # the bounds are the reference's own
        bound = Rows(certificate, exact, cases).bounds(region, case, whole, np.full(ROWS, row))
        assert float(bound[0]) * 2**exponent == reference.bound(closed, asked, row)
    with pytest.raises(ProofError, match="does not prove its claim"):
        check(certificate, network)
