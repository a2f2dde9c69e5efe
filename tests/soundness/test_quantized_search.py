"""Verdicts about quantized ONNX files against all inputs of a box, evaluated one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from differential.quantized_maker import RandomQuantized
from netproof import Settings, Verdict, verify
from netproof.errors import InputError
from netproof.formats.onnx.quantized.evaluate import evaluate
from netproof.formats.onnx.read import read_deployed
from netproof.query import Conjunction, Query


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
        network = replace(network, order_only=False, same_class=None)
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
