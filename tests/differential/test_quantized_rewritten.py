"""Groups that onnxruntime computes by another rule than their operator's name says, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from differential.quantized_runtime import mismatches, mixed_codes
from netproof.formats.onnx.read import read_deployed
from quantized_models import MICROSOFT, Model

ENDS = {"uint8": (0, 255), "int8": (-128, 127)}


def average(rng: np.random.Generator, form: str, kind: str) -> Model:
    """A mean by a window that is as large as the image, on one to three axes."""
    low, high = ENDS[kind]
    extents = rng.integers(1, 4, int(rng.integers(1, 4))).tolist()
    first = float(2.0 ** rng.integers(-6, 0) if rng.random() < 0.3 else np.float32(np.exp(rng.uniform(-5, 0))))
    # Of equal scales every second sum of an even window is a half.
    second = first if rng.random() < 0.5 else float(np.float32(np.exp(rng.uniform(-5, 0))))
    zeros = [int(rng.choice([low, high, rng.integers(low, high + 1)])) for _ in range(2)]
    more: dict[str, Any] = {"kernel_shape": extents, "strides": rng.integers(1, 4, len(extents)).tolist()}
    more["count_include_pad"] = int(rng.integers(2))
    if rng.random() < 0.5:
        more |= {"auto_pad": "VALID"} if rng.random() < 0.5 else {"pads": [0] * 2 * len(extents)}
    if rng.random() < 0.3:
        more["ceil_mode"] = 1
    model = Model((1, 2, *extents), kind if form == "qoperator" else "float32")
    if form == "qoperator":
        operands = ["x", *model.how(first, zeros[0], kind), *model.how(second, zeros[1], kind)]
        model.node("QLinearAveragePool", operands, "y", MICROSOFT, **more)
        return model
    model.quantize("x", first, zeros[0], "q", kind)
    model.dequantize("q", first, zeros[0], "d", kind)
    model.node("AveragePool", ["d"], "f", **more)
    model.quantize("f", second, zeros[1], "p", kind)
    model.dequantize("p", second, zeros[1], "y", kind)
    return model


@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_a_window_of_the_whole_image_adds_whole_numbers(form, kind, tmp_path):
    path = tmp_path / "n.onnx"
    for seed in range(40):
        deployed = read_deployed(average(np.random.default_rng(seed), form, kind).save(path))
        assert deployed is not None
        found = mismatches(deployed, mixed_codes(deployed, 40, seed), every=False)
        assert not any(wrong for wrong, _ in found.values()), seed
