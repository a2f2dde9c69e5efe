"""Quantized ONNX files against onnxruntime: every tensor of codes of QOperator files, the output of QDQ files."""

from __future__ import annotations

import numpy as np

from netproof.formats.onnx.quantized.deployed import Deployed
from netproof.formats.onnx.quantized.evaluate import evaluate
from netproof.formats.onnx.quantized.installed import outputs_of_installed, values_of_installed


def mixed_codes(deployed: Deployed, count: int, seed: int) -> np.ndarray:
    """Inputs ``[count, ...]``: uniform, the two end values, and around a level, in turn."""
    rng = np.random.default_rng(seed)
    low, high = int(deployed.network.lower.min()), int(deployed.network.upper.max())
    shape = deployed.network.input_shape
    shape = shape[1:] if shape[0] == 1 else shape
    made = []
    for k in range(count):
        if k % 3 == 0:
            x = rng.integers(low, high + 1, shape)
        elif k % 3 == 1:
            x = np.where(rng.random(shape) < rng.random(), low, high)
        else:
            x = np.rint(rng.normal(rng.integers(low, high), rng.integers(2, 40), shape))
        made.append(np.clip(x, low, high))
    return np.stack(made).astype(np.uint8 if low == 0 else np.int8)


def mismatches(deployed: Deployed, inputs: np.ndarray, *, every: bool) -> dict[str, tuple[int, int]]:
    """How many elements differ, and how many there are, by operator; ``every`` tensor of codes, or the output alone."""
    outputs, tensors = evaluate(deployed, inputs)
    counts: dict[str, tuple[int, int]] = {}
    pairs = [("output", outputs, outputs_of_installed(deployed, inputs))]
    if every:
        theirs = values_of_installed(deployed, inputs, [tensor.name for tensor in tensors])
        pairs += [(tensor.operator, tensor.values, other) for tensor, other in zip(tensors, theirs, strict=True)]
    for operator, mine, other in pairs:
        assert mine.size == other.size and mine.dtype == other.dtype
        wrong, count = counts.get(operator, (0, 0))
        counts[operator] = wrong + int((mine.reshape(-1) != other.reshape(-1)).sum()), count + mine.size
    return counts
