"""Verdicts about quantized ONNX files against all inputs of a box, evaluated one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

import netproof
from differential.quantized_maker import RandomQuantized
from netproof import Settings, Verdict, verify
from netproof.errors import InputError
from netproof.formats.onnx.quantized.evaluate import evaluate
from netproof.formats.onnx.read import read_deployed
from netproof.network import Kept
from netproof.query import Conjunction, Query
from qonnx_models import QonnxModel


def exact_outputs(model: QonnxModel, points: np.ndarray, unit: Fraction) -> np.ndarray:
    """The outputs of points in quarters, in whole multiples of a unit."""
    rows = [model.exact(np.array([int(k) * Fraction(1, 4) for k in point], object).reshape(1, -1)) for point in points]
    return np.array([[int(y / unit) for y in row.reshape(-1)] for row in rows])


def small_qonnx(seed: int) -> QonnxModel:
    """Two layers: gains of either sign, a ReLU, halves."""
    rng = np.random.default_rng(seed)
    model = QonnxModel((1, 4))
    model.quant("x", "q", 0.25, 5)
    model.quant(model.single(rng.normal(size=(4, 5))), "w", 0.125, 4, narrow=1)
    model.node("MatMul", ["q", "w"], "m")
    parts = [rng.choice([-1.5, -0.5, 0.75, 2.0], 5), rng.normal(size=5), rng.normal(size=5), np.full(5, 3.0)]
    model.node("BatchNormalization", ["m", *map(model.single, parts)], "n", epsilon=1.0)
    model.node("Relu", ["n"], "r")
    model.quant("r", "p", 0.25, 3, signed=0, mode=str(rng.choice(["ROUND", "FLOOR", "HALF_UP"])))
    model.quant(model.single(rng.normal(size=(5, 3))), "v", 0.25, 4)
    model.node("MatMul", ["p", "v"], "y")
    return model


def test_qonnx_verdicts_are_what_all_points_say(tmp_path):
    """The points are computed by the operators' definition, not by the graph."""
    found = {Verdict.SAT: 0, Verdict.UNSAT: 0}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = small_qonnx(seed)
        network = netproof.load(model.save(tmp_path / "n.onnx"))
        center = rng.integers(-14, 14, 4)
        points = np.array(list(itertools.product(*[range(c - 1, c + 2) for c in center])))
        margins = exact_outputs(model, points, Fraction(1, 16)) @ np.array([1, -1, 0])
        ends = [torch.from_numpy(end.astype(np.float64)) for end in (points.min(0), points.max(0))]
        for threshold in (margins.max(), margins.max() + 1):
            row = torch.tensor([[1.0, -1.0, 0.0]], dtype=torch.float64)
            query = Query(network, *ends, (Conjunction(row, torch.tensor([float(threshold)], dtype=torch.float64)),))
            result = verify(query, Settings(timeout=20))
            expected = Verdict.SAT if bool((margins >= threshold).any()) else Verdict.UNSAT
            assert result.verdict in (expected, Verdict.TIMEOUT, Verdict.UNKNOWN), (seed, threshold)
            found[expected] += result.verdict is expected
    assert min(found.values()) >= 3


@pytest.mark.parametrize("runtime", ["onnxruntime", "integer-ideal"])
@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_every_verdict_is_what_all_points_say(form, runtime, tmp_path):
    path = tmp_path / "network.onnx"
    found = {Verdict.SAT: 0, Verdict.UNSAT: 0}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        path.write_bytes(RandomQuantized(900 + seed, form).bytes())
        try:
            deployed = read_deployed(path, runtime)
        except InputError:
            continue
        network = deployed.network
        low, high = int(network.lower.min()), int(network.upper.max())
        center = rng.integers(low, high + 1, network.inputs)
        free = rng.choice(len(center), min(3, len(center)), replace=False).tolist()
        reach = int(rng.integers(1, 4))
        steps = [range(max(low, int(center[i]) - reach), min(high, int(center[i]) + reach) + 1) for i in free]
        points = []
        for values in itertools.product(*steps):
            point = center.copy()
            point[free] = values
            points.append(point)
        points = np.array(points)
        scores = evaluate(deployed, points)[0].reshape(len(points), -1).astype(int)
        if scores.shape[1] < 2:
            continue
        first, second = rng.choice(scores.shape[1], 2, replace=False)
        coefficients = np.zeros(scores.shape[1])
        coefficients[[first, second]] = 1, -1
        margins = scores @ coefficients
        network = replace(network, kept=Kept.VALUES)
        ends = [torch.from_numpy(end.astype(np.float64)) for end in (points.min(0), points.max(0))]
        for threshold in (margins.max(), margins.max() + 1):
            row = torch.from_numpy(coefficients)[None]
            query = Query(network, *ends, (Conjunction(row, torch.tensor([threshold], dtype=torch.float64)),))
            result = verify(query, Settings(timeout=20))
            expected = Verdict.SAT if bool((margins >= threshold).any()) else Verdict.UNSAT
            assert result.verdict in (expected, Verdict.TIMEOUT, Verdict.UNKNOWN), (seed, threshold)
            found[expected] += result.verdict is expected
            if result.witness is not None:
                x = result.witness.input.numpy()[None]
                assert bool((x >= points.min(0)).all() and (x <= points.max(0)).all())
                assert (evaluate(deployed, x)[0].reshape(1, -1).astype(int) @ coefficients)[0] >= threshold
    assert min(found.values()) >= 3
