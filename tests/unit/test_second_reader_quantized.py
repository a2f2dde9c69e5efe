"""The second reading of quantized ONNX files: the same as the first one's, and different where either is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from differential.quantized_maker import RandomQuantized, Tensor
from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.quantized import rounding
from netproof.errors import CertificateError, InputError
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.load import load
from netproof.formats.onnx.quantized.rules.rule import RULES
from netproof.graph.graph import Graph, Node
from netproof.operators.activations.staircase import Staircase
from netproof.training.quantized.deployed import deployed_residual


class Known(RandomQuantized):
    """Of products, sums, means of all places and moved values, which the second reader knows."""

    def _product_of(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        return (self._convolution if len(before.shape) == 4 else self._product)(before, made)

    _pool = _leaky = _product_of

    def _constant(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        return self._product_of(before, made) or super()._constant(before, made)

    def _average(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        return self._add(before, made)

    def _concat(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        return self._add(before, made)

    def _clip(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        return self._add(before, made)


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_random_networks_are_read_alike(form, rule, tmp_path):
    """No file is read as two networks; a good part of them is known to both readers."""
    path, found = tmp_path / "network.onnx", Counter()
    for seed in range(48):
        path.write_bytes((Known if seed % 4 else RandomQuantized)(seed, form).bytes())
        try:
            network = load(path, runtime=rule)
        except InputError:
            continue
        try:
            assert "step functions at every threshold" in confirm(network), seed
            found["alike"] += 1
        except CertificateError as refusal:
            assert "cannot be read a second time" in str(refusal), (seed, refusal)
            found[str(refusal).rpartition(": ")[2]] += 1
    assert found["alike"] >= 4


SCALES = (2.0**-4, 2.0**-3, 0.0123, 0.31, 1.7)


def scales(rng, count):
    return [np.float32(rng.choice(SCALES) * rng.choice([1.0, 0.5, rng.uniform(0.5, 1)])) for _ in range(count)]


@pytest.mark.parametrize("name", list(RULES))
def test_numbers_are_rounded_alike(name):
    rng, rule = np.random.default_rng(3), RULES[name]
    sums = np.concatenate([rng.integers(-(2**22), 2**22, 60), np.arange(-40, 40)])
    for _ in range(20):
        a, b, o = scales(rng, 3)
        weight = np.float32(a * np.float32(0.01))
        one = rounding.of_product(name, b, weight, o)
        assert [one(int(x)) for x in sums] == rule.product(sums[None], b, np.array([weight]), o)[0].tolist()
        mean = rounding.of_mean(name, 6, a, o)
        small = sums[np.abs(sums) < 1500]
        assert [mean(int(x)) for x in small] == rule.mean(small, 6, a, o).tolist()
        zeros = tuple(int(zero) for zero in rng.integers(0, 256, 3))
        x, y = rng.integers(0, 256, (2, 200))
        added = rounding.of_sum(name, (a, zeros[0]), (b, zeros[1]), (o, zeros[2]))
        assert [added(int(p), int(q)) for p, q in zip(x, y, strict=True)] == rule.add(x, y, (a, b, o), zeros).tolist()
        change = rounding.of_change(name, (a, zeros[0]), (o, zeros[1]))
        codes = np.arange(256)
        expected = rule.quantize(rule.dequantize(codes, a, zeros[0]), o, zeros[1], (0, 255))
        clamped = [min(255, max(0, change(int(code)) + zeros[1])) for code in codes]
        assert clamped == expected.tolist()


def test_products_and_sums_are_rounded_once():
    """Compared with fractions, halves between two float32 numbers among them."""
    rng = np.random.default_rng(4)
    for _ in range(3000):
        factor, summand = (np.float32(rng.integers(1, 1 << 24) * 2.0 ** rng.integers(-30, -20)) for _ in range(2))
        whole = int(rng.integers(-255, 256))
        exact = Fraction(float(factor)) * whole + Fraction(float(summand))
        found = rounding.once(factor, whole, summand)
        below, above = np.nextafter(found, np.float32(-np.inf)), np.nextafter(found, np.float32(np.inf))
        distance = abs(Fraction(float(found)) - exact)
        for other in (below, above):
            assert distance <= abs(Fraction(float(other)) - exact)


def _network(tmp_path):
    """A QDQ network with a convolution, a sum and a linear map."""
    torch.manual_seed(0)
    trained = deployed_residual((1, 4, 4), (2,), (1,), 3, FixedPoint())
    trained.write_qdq(tmp_path / "network.onnx")
    return load(tmp_path / "network.onnx")


def test_a_graph_that_is_wrong_anywhere_is_found(tmp_path):
    network = _network(tmp_path)
    assert confirm(network)
    found = 0
    for index, node in enumerate(network.graph.nodes):
        if isinstance(node.operator, Staircase):
            thresholds = node.operator.thresholds.clone()
            at = thresholds.shape[1] // 4
            if thresholds[0, at] + 1 > thresholds[0, at + 1]:
                continue
            thresholds[0, at] += 1
            wrong = Staircase(thresholds, node.operator.base)
        elif hasattr(node.operator, "weight"):
            weight = node.operator.weight.clone()
            weight.view(-1)[weight.numel() // 2] += 1
            wrong = replace(node.operator, weight=weight)
        else:
            continue
        nodes = list(network.graph.nodes)
        nodes[index] = Node(node.name, wrong, node.operands, node.shape)
        with pytest.raises(CertificateError, match="read as two different networks"):
            confirm(replace(network, graph=Graph(network.graph.arithmetic, nodes)))
        found += 1
    assert found >= 6
    # Powers of two make both rules one function here; a third one is not known.
    assert confirm(replace(network, runtime="integer-ideal"))
    with pytest.raises(CertificateError, match="cannot be read a second time"):
        confirm(replace(network, runtime="tflm"))


def test_damaged_files_are_refused_in_one_line(tmp_path):
    network, rng = _network(tmp_path), np.random.default_rng(0)
    for _ in range(25):
        data = bytearray(network.content)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(0, len(data)))] = int(rng.integers(0, 256))
        data = bytes(data[: int(rng.integers(8, len(data) + 1))]) if rng.random() < 0.3 else bytes(data)
        try:
            compare._Comparison(network, compare._read(replace(network, content=data))).run()
        except CertificateError as error:
            assert "\n" not in str(error)
