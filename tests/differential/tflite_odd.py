"""Random TensorFlow Lite networks of what is legal and seldom seen: wide strides, kernels wider than an image, weights of -128, means over any
axes, chains of scales far above 1, sums of shapes that are spread, one value taken twice.

    python -m differential.tflite_odd --files 300     (in tests/)

What netproof reads is compared with the runtimes bit for bit; what it refuses is counted, and what a runtime itself refuses.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from differential.tflite_maker import SAME, RandomNetwork, _Value
from differential.tflite_runtimes import RUNTIMES, mismatches, mixed_inputs
from netproof.errors import InputError
from netproof.formats.tflite.read import read_deployed


class OddNetwork(RandomNetwork):
    """As :class:`RandomNetwork`, with other choices."""

    def _scale(self) -> float:
        if self.rng.random() < 0.15:
            return float(np.float32(2.0 ** self.rng.uniform(-30, 20)))
        return super()._scale()

    def _zero(self) -> int:
        if self.codes != "int16" and self.rng.random() < 0.5:
            return int(self.rng.choice([self.least, self.least + 1, self.largest - 1, self.largest]))
        return super()._zero()

    def _activation(self, zero: int) -> tuple[str, float]:
        return "b", float(self.rng.choice([0, 1, 2, 3])) if self.rng.random() < 0.7 else super()._activation(zero)[1]

    def _weights(self, shape: tuple[int, ...], channels: int, axis: int) -> tuple[int, np.ndarray]:
        number, scales = super()._weights(shape, channels, axis)
        tensor = self.file.tensors[number]
        if self.codes == "int8" and self.rng.random() < 0.3:
            array = np.array(tensor["data"])
            array[self.rng.random(shape) < 0.3] = -128 if self.rng.random() < 0.5 else 0
            tensor["data"] = array
        return number, scales

    def _window(self, value: _Value) -> tuple[int, int, int, int, int, int, int, int, int]:
        rng = self.rng
        _, height, width, _ = value.shape
        padding = int(rng.integers(0, 2))
        # With SAME a kernel may be wider than the image.
        kernel = [int(rng.integers(1, (extent + 3 if padding == SAME else extent) + 1)) for extent in (height, width)]
        stride = [int(rng.integers(1, 5)) for _ in range(2)]
        dilation = [1, 1]
        if stride == [1, 1] or rng.random() < 0.2:
            dilation = [
                int(rng.integers(1, 4)) if padding == SAME or (k - 1) * 3 + 1 <= n else 1
                for k, n in zip(kernel, (height, width), strict=True)
            ]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        extents = [
            -(-n // s) if padding == SAME else (n - r) // s + 1
            for n, s, r in zip((height, width), stride, reach, strict=True)
        ]
        return padding, *stride, *dilation, *kernel, *extents

    def _mean(self, value: _Value) -> _Value:
        rng = self.rng
        chosen = rng.choice([1, 2, 3], int(rng.integers(1, 4)), replace=False)
        axes = [int(a) if rng.random() < 0.5 else int(a) - 4 for a in chosen]
        kept = bool(rng.random() < 0.7)
        shape = tuple(1 if i in chosen else n for i, n in enumerate(value.shape) if kept or i not in chosen)
        scale, zero = (value.scale, value.zero) if rng.random() < 0.5 else (self._near(value.scale), self._zero())
        output = self._tensor(shape, scale, zero)
        self.file.operator(
            "MEAN", [value.number, self.file.constant(np.array(axes, np.int32))], [output], {0: ("B", int(kept))}
        )
        return self._as_image(_Value(output, shape, scale, zero))

    def _as_image(self, value: _Value) -> _Value:
        """Two axes or four, as what follows takes them."""
        if len(value.shape) in (2, 4):
            return value
        shape = (1, int(np.prod(value.shape)))
        return self._same("RESHAPE", value, [self.file.constant(np.array([1, -1], np.int32))], {}, shape)

    def _pad(self, value: _Value) -> _Value:
        widths = np.zeros((4, 2), np.int32)
        widths[1:] = self.rng.integers(0, 3, (3, 2))
        shape = tuple(n + int(p.sum()) for n, p in zip(value.shape, widths, strict=True))
        return self._same("PAD", value, [self.file.constant(widths)], {}, shape)

    def _concat(self, value: _Value) -> _Value:
        rng = self.rng
        axis = int(rng.integers(1, len(value.shape)))
        count = int(rng.integers(1, 4))
        other = self._quantize(value) if rng.random() < 0.6 else value
        scale, zero = (value.scale, value.zero) if rng.random() < 0.6 else (other.scale, other.zero)
        parts = [value.number, *(other.number for _ in range(count))]
        shape = tuple(n * (count + 1) if i == axis else n for i, n in enumerate(value.shape))
        output = self._tensor(shape, scale, zero)
        given = axis if rng.random() < 0.5 else axis - len(shape)
        self.file.operator("CONCATENATION", parts, [output], {0: ("i", given), 1: ("b", 0)})
        return _Value(output, shape, scale, zero)

    def _partner(self, value: _Value) -> tuple[int, float]:
        rng = self.rng
        if rng.random() < 0.3:
            return value.number, value.scale
        if rng.random() < 0.3:
            shape = [(), (1,), (1, 1), (1,) * len(value.shape), tuple(value.shape[1:])][int(rng.integers(0, 5))]
            scale = self._near(value.scale)
            array = rng.integers(self.least, self.largest + 1, shape)
            return self.file.constant(np.array(array).astype(self.codes), scale, self._zero()), scale
        if rng.random() < 0.3 and len(value.shape) == 4:
            # A mean over all places, spread over them again.
            axes = self.file.constant(np.array([1, 2], np.int32))
            scale, zero = self._near(value.scale), self._zero()
            output = self._tensor((1, 1, 1, value.shape[3]), scale, zero)
            self.file.operator("MEAN", [value.number, axes], [output], {0: ("B", 1)})
            return output, scale
        return super()._partner(value)

    def _mul(self, value: _Value) -> _Value:
        """With factors of both signs."""
        rng, shape = self.rng, value.shape[-1:] if self.rng.random() < 0.6 else value.shape
        scale = self._scale()
        array = rng.integers(self.least, self.largest + 1, shape).astype(self.codes)
        other = self.file.constant(array, scale, self._zero())
        return self._pair("MUL", value, other, self._near(scale * value.scale * 100))

    def _dense(self, value: _Value) -> _Value:
        rng = self.rng
        if len(value.shape) == 4 and rng.random() < 0.1:
            # By the last axis, the others kept.
            outputs = int(rng.integers(2, 6))
            kernel = (outputs, value.shape[3])
            weight, _ = self._weights(kernel, outputs, 0)
            shape = (*value.shape[:3], outputs)
            options = {0: ("b", -1), 2: ("B", 1)}
            return super()._dense(self._product("FULLY_CONNECTED", value, (weight, kernel, 0), options, shape))
        return super()._dense(value)


def _general(text: str) -> str:
    """A message without its numbers."""
    return re.sub(r"-?\d+", "n", text)


def campaign(first: int, count: int, codes: str, inputs: int = 8) -> tuple[int, Counter[str]]:
    """In how many files something differs, and what else became of them."""
    wrong, told = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        for seed in range(first, first + count):
            path.write_bytes(OddNetwork(seed, codes=codes).bytes())
            for runtime in RUNTIMES:
                try:
                    deployed = read_deployed(path, runtime)
                except InputError as refusal:
                    told[f"{runtime} refused: {_general(refusal.problem.split('): ', 1)[-1])[:90]}"] += 1
                    continue
                try:
                    found = mismatches(deployed, mixed_inputs(deployed.input.shape[1:], inputs, seed, codes))
                except (RuntimeError, ValueError) as error:
                    told[f"{runtime} itself: {_general(str(error).strip())[-110:]}"] += 1
                    continue
                told[f"{runtime} compared"] += 1
                differing = {key: counts for key, counts in found.items() if counts[0]}
                if differing:
                    wrong += 1
                    sys.stdout.write(f"seed {seed}, {codes}, {runtime}: {differing}\n")
    return wrong, told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--codes", nargs="*", default=["int8", "uint8", "int16"])
    given = parser.parse_args()
    wrong = 0
    for codes in given.codes:
        found, told = campaign(given.first, given.files, codes)
        wrong += found
        for what, number in sorted(told.items()):
            sys.stdout.write(f"{codes}, {what}: {number}\n")
        sys.stdout.write(f"{codes}: {found} with a difference\n")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
