"""Random quantized ONNX networks of what is legal and seldom seen: kernels and strides that differ by axis, padding by name, groups, pools with
padding and rounded up, scales far from what a quantizer chooses.

    python -m differential.quantized_odd --files 300     (in tests/)

What netproof reads is compared with onnxruntime bit for bit, what it refuses is counted, and what onnxruntime itself refuses.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from differential.quantized_maker import RandomQuantized, Tensor
from differential.quantized_runtime import mismatches, mixed_codes
from netproof.errors import InputError
from netproof.formats.onnx.read import read_deployed


class OddQuantized(RandomQuantized):
    """As :class:`RandomQuantized`, with other choices."""

    def scale(self) -> np.float32:
        if self.rng.random() < 0.1:
            return np.float32(2.0 ** self.rng.uniform(-20, 12))
        return super().scale()

    def _weights(self, shape: tuple[int, ...], axis: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes, scale, zero = super()._weights(shape, axis, channels)
        if codes.dtype == np.int8 and self.rng.random() < 0.3:
            codes = np.where(self.rng.random(shape) < 0.3, -128, codes).astype(np.int8)
        if scale.ndim and self.rng.random() < 0.2:
            scale = scale.copy()
            scale[int(self.rng.integers(len(scale)))] = np.float32(1e-9)
        return codes, scale, zero

    def _window(self, extents: tuple[int, ...], most: int) -> tuple[dict[str, Any], list[int]]:
        """Attributes of a window of two axes, and the extents of its result; none below 1."""
        rng = self.rng
        kernel = [int(rng.integers(1, most + 1)) for _ in range(2)]
        stride = [int(rng.choice([1, 1, 2, 3])) for _ in range(2)]
        dilation = [int(rng.choice([1, 1, 1, 2])) for _ in range(2)]
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        more: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "dilations": dilation}
        how = str(rng.choice(["pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID", "none"]))
        pads = [int(rng.integers(0, k)) for k in kernel * 2] if how == "pads" else [0] * 4
        if how == "pads":
            more["pads"] = pads
        elif how != "none":
            more["auto_pad"] = how
        sizes = []
        for axis, extent in enumerate(extents):
            if how.startswith("SAME"):
                sizes.append(-(-extent // stride[axis]))
            else:
                sizes.append((extent + pads[axis] + pads[axis + 2] - reach[axis]) // stride[axis] + 1)
        return more, sizes

    def _convolution(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        rng = self.rng
        channels = before.shape[1]
        more, extents = self._window(before.shape[2:], 4)
        if min(extents) < 1:
            return None
        group = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        outputs = group * int(rng.integers(1, 4))
        shape = (outputs, channels // group, *more["kernel_shape"])
        codes, scale, zero = self._weights(shape, 0, outputs)
        after = self._rescaled(before, scale, math.prod(shape[1:]), (1, outputs, *extents))
        more["group"] = group
        if rng.random() < 0.3:
            del more["kernel_shape"]
        return self._products("Conv", "QLinearConv", before, after, codes, scale, zero, self._bias(outputs), 0, more)

    def _pool(self, before: Tensor, made: list[Tensor]) -> Tensor:
        more, extents = self._window(before.shape[2:], 3)
        if min(extents) < 1:
            return self._move(before, made)
        return self._same("MaxPool", before, (*before.shape[:2], *extents), [], **more)

    def _average(self, before: Tensor, made: list[Tensor]) -> Tensor | None:
        more, extents = self._window(before.shape[2:], 3)
        if self.rng.random() < 0.2:
            # One window of everything, which onnxruntime adds up otherwise.
            more = {"kernel_shape": list(before.shape[2:]), "strides": more["strides"], "dilations": [1]}
            extents = [1 for _ in before.shape[2:]]
        if min(extents) < 1 or set(more["dilations"]) != {1}:
            return None
        del more["dilations"]
        after = self._near(before, (*before.shape[:2], *extents))
        return self._unary("AveragePool", before, after, **more, count_include_pad=int(self.rng.integers(0, 2)))


def campaign(first: int, count: int, form: str, inputs: int = 12) -> tuple[int, Counter[str]]:
    """In how many files something differs, and what else became of them."""
    wrong, told = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        for seed in range(first, first + count):
            path.write_bytes(OddQuantized(seed, form).bytes())
            try:
                deployed = read_deployed(path)
            except InputError as refusal:
                told["refused: " + re.sub(r"-?\d+", "n", refusal.problem.split("): ", 1)[-1])[:100]] += 1
                continue
            assert deployed is not None
            try:
                found = mismatches(deployed, mixed_codes(deployed, inputs, seed), every=form == "qoperator")
            except Exception as error:  # noqa: BLE001 - onnxruntime has exceptions of its own
                told["onnxruntime itself: " + re.sub(r"-?\d+", "n", str(error).strip())[-140:]] += 1
                continue
            told["compared"] += 1
            differing = {key: counts for key, counts in found.items() if counts[0]}
            if differing:
                wrong += 1
                sys.stdout.write(f"seed {seed}, {form}: {differing}\n")
    return wrong, told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    wrong = 0
    for form in ("qoperator", "qdq"):
        found, told = campaign(given.first, given.files, form)
        wrong += found
        for what, number in sorted(told.items()):
            sys.stdout.write(f"{form}, {what}: {number}\n")
        sys.stdout.write(f"{form}: {found} with a difference\n")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
