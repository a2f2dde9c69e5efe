"""What is computed of two codes, or of one, at every pair of 8-bit codes and at random ones of 16 bits: the rules against the runtimes.

    python -m differential.tflite_rules --scales 25     (in tests/)

No network is read: of a file with a constant of 65,536 numbers the runtime's output is compared with the rule's.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from differential.tflite_runtimes import RUNTIMES, computed
from netproof.formats.tflite.rules.pairs import PairScales, added_wide, subtracted_wide
from netproof.formats.tflite.rules.runtime import RUNTIMES as RULES
from netproof.formats.tflite.rules.runtime import Runtime
from tflite_files import TFLiteFile

Whole = NDArray[np.int64]
OPERATORS = ("ADD", "SUB", "MUL", "QUANTIZE", "MEAN")
_WIDE = {"ADD": added_wide, "SUB": subtracted_wide}
_NAMES = {"ADD": "add", "SUB": "subtract", "MUL": "multiply"}


class Case:
    """An operator on codes of a type, with scales and zero points drawn: a file, what it is given, and what the rule makes of that."""

    def __init__(self, operator: str, codes: str, rng: np.random.Generator) -> None:
        self.operator, self.codes, self._rng = operator, codes, rng
        self._ends = np.iinfo(codes)
        a, b = self._scale(), self._scale()
        self._scales = a, b, self._result(a, b)
        self._zeros = [self._zero() for _ in range(3)]
        if operator == "MEAN":
            rows, columns = (int(extent) for extent in rng.choice([1, 2, 3, 5, 7, 8, 12], 2))
            self._first = rng.integers(self._ends.min, self._ends.max + 1, (1, rows, columns, 1 << 12))
            self._second = np.zeros(0, np.int64)
        elif codes == "int16":
            self._first, self._second = rng.integers(self._ends.min, self._ends.max + 1, (2, 1, 1 << 15))
        else:
            every = np.arange(self._ends.min, self._ends.max + 1)
            self._first, self._second = (part.reshape(1, -1) for part in np.meshgrid(every, every[::-1], indexing="ij"))

    def _scale(self) -> np.float32:
        exponent = self._rng.uniform(-7, 1)
        return np.float32(2.0 ** (np.rint(exponent) if self._rng.random() < 0.2 else exponent))

    def _result(self, a: np.float32, b: np.float32) -> np.float32:
        rng = self._rng
        if self.operator == "MUL":
            if rng.random() < 0.4:
                # What float32 makes of the ratio is a power of two, and what float64 makes of it mostly is none.
                return np.float32(np.float32(a * b) * np.float32(2.0 ** int(rng.integers(1, 8))))
            return np.float32(float(a) * float(b) * 2.0 ** rng.uniform(0.01, 14 if self.codes == "int16" else 7))
        largest = a if self.operator in ("QUANTIZE", "MEAN") else max(a, b)
        return np.float32(largest * np.float32(2.0 ** rng.uniform(-3, 3)))

    def _zero(self) -> int:
        low, high = int(self._ends.min), int(self._ends.max)
        return (
            0 if self.codes == "int16" else int(self._rng.choice([low, high, int(self._rng.integers(low, high + 1))]))
        )

    def file(self) -> bytes:
        made, (a, b, c), (first, second, last) = TFLiteFile(), self._scales, self._zeros
        shape = self._first.shape
        x = made.tensor(shape, a, first, kind=self.codes)
        if self.operator == "MEAN":
            y = made.tensor((1, shape[-1]), c, last, kind=self.codes)
            made.operator("MEAN", [x, made.constant(np.array([1, 2], np.int32))], [y], {0: ("B", 0)})
            return made.bytes(x, y)
        y = made.tensor(shape, c, last, kind=self.codes)
        if self.operator == "QUANTIZE":
            made.operator("QUANTIZE", [x], [y])
        else:
            options = {0: ("b", 0)} if self.operator == "MUL" else {0: ("b", 0), 1: ("B", 0)}
            constant = made.constant(self._second.astype(self.codes), b, second)
            made.operator(self.operator, [x, constant], [y], options)
        return made.bytes(x, y)

    def differing(self, runtime: str) -> tuple[int, int] | None:
        """How many outputs differ, and how many there are; None where the rule is not known."""
        rule = RULES[runtime]
        if self.codes.upper() not in rule.kinds or (self.operator == "MEAN" and rule.average is None):
            return None
        found = computed(self.file(), runtime, self._first.astype(self.codes))[0].astype(np.int64).reshape(-1)
        expected = np.clip(self._of(rule).reshape(-1) + self._zeros[2], self._ends.min, self._ends.max)
        return int((found != expected).sum()), found.size

    def _of(self, rule: Runtime) -> Whole:
        a, b, c = self._scales
        first = self._first - self._zeros[0]
        if self.operator == "MEAN":
            assert rule.average is not None
            return rule.average(first.sum((0, 1, 2)), first.shape[1] * first.shape[2], a, c)
        if self.operator == "QUANTIZE":
            return rule.rescale(first, a, c)
        wide = _WIDE.get(self.operator) if self.codes == "int16" else None
        function: Callable[[Whole, Whole, PairScales], Whole] = wide or getattr(rule, _NAMES[self.operator])
        return function(first, self._second - self._zeros[1], PairScales(a, b, c))


def compared(seed: int, scales: int) -> Iterator[tuple[tuple[str, str, str], int, int]]:
    """Operator, codes and runtime, how many outputs differ, and how many there are."""
    rng = np.random.default_rng(seed)
    for _ in range(scales):
        for codes in ("int8", "uint8", "int16"):
            for operator in OPERATORS:
                case = Case(operator, codes, rng)
                for runtime in RUNTIMES:
                    counts = case.differing(runtime)
                    if counts is not None:
                        yield (operator, codes, runtime), *counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", type=int, default=25, help="how often scales are drawn")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    wrong, elements = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for key, differing, count in compared(given.seed, given.scales):
        wrong[key] += differing
        elements[key] += count
    for key in sorted(elements):
        sys.stdout.write(f"{' '.join(key)}: {elements[key]} elements, {wrong[key]} differ\n")
    return min(sum(wrong.values()), 1)


if __name__ == "__main__":
    sys.exit(main())
