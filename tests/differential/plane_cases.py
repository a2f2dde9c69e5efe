"""Random float networks, and certificates about them whose rows have planes, near to what these prove."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from differential.evidence_campaign import damaged
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real.contents import BOTH, LEAF, LEMMAS, PLANES, SPLIT, RealCertificate
from netproof.errors import ProofError
from soundness.real_evidence import Builder, certificate, property_text

Arrays = dict[str, Any]
#: bends ``slope x + (1 - slope) relu(x)``
BENDS: tuple[tuple[str, dict[str, float], float], ...] = (
    *[("Relu", {}, 0.0)] * 4,
    ("Abs", {}, -1.0),
    ("LeakyRelu", {"alpha": 0.25}, 0.25),
)


class PlaneQuestion:
    """A network of two or three layers, some of which see the input.

    None has a range that ends at 0, where rows say another thing of what ends a little below.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.inputs = int(rng.integers(1, 4))
        center, radius = rng.normal(size=self.inputs), float(rng.choice([0.25, 1.0]))
        self._lower, self._upper = center - radius, center + radius
        made = Builder([1, self.inputs], dtype=np.float64)
        at, width, ends = "x", self.inputs, (self._lower, self._upper)
        self.sizes: list[int] = []
        # Of every ReLU what its operands are made of, by columns, as far as that is next to it, and their ranges.
        self._above: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for layer in range(int(rng.integers(2, 4))):
            size, columns = int(rng.integers(2, 5)), self.inputs + sum(self.sizes)
            weight, bias, made_of = (
                rng.normal(size=(size, width)),
                rng.normal(size=size) * 0.5,
                np.zeros((size, columns)),
            )
            made_of[:, columns - width :] = weight
            low, high = _reach(weight, *ends)
            value = made.node("Gemm", at, made.constant(weight), made.constant(bias), transB=1)
            if layer and rng.random() < 0.4:
                past = rng.normal(size=(size, self.inputs))
                made_of[:, : self.inputs] += past
                low, high = (a + b for a, b in zip((low, high), _reach(past, self._lower, self._upper), strict=True))
                value = made.node("Add", value, made.node("Gemm", "x", made.constant(past), transB=1))
            kind, attributes, slope = BENDS[int(rng.integers(len(BENDS)))]
            at, width = made.node(kind, value, **attributes), size
            self.sizes.append(size)
            self._above.append((made_of, low + bias, high + bias))
            values = [slope * a + (1 - slope) * np.maximum(a, 0) for a in (low + bias, high + bias)]
            ends = (np.minimum(np.minimum(*values), 0), np.maximum(*values))
        self.network = made.bytes(made.node("Gemm", at, made.constant(rng.normal(size=(1, width))), transB=1))

    def _sets(self, count: int) -> Arrays:
        """Planes that are the chord, or with what operands are made of of some columns alone, or next to the chord."""
        rng, exponent = self._rng, int(self._rng.choice([4, 10, 40]))
        unit = 1 << exponent
        names = ("count", "relu", "feature", "exponent", "right", "left", "entries", "step", "value")
        found: Arrays = {f"plane_{name}": [] for name in names}
        for _ in range(count):
            before = len(found["plane_relu"])
            for k, above in enumerate(self._above):
                for j in range(self.sizes[k]):
                    made_of, low, high = (part[j] for part in above)
                    is_open = low < 0 < high
                    # Once in a while one above what is not open, which is not used.
                    if rng.random() < (0.2 if is_open else 0.9) and (k or j):
                        continue
                    share = round((high / (high - low) if is_open else 0.5) * unit) / unit
                    m, prices = share * made_of, [(1 - share, share)]
                    way = int(rng.integers(3))
                    if way == 1:
                        m, prices = made_of * rng.integers(0, 2, size=len(m)), [(0.0, 0.0), (0.25, 0.25)]
                    elif way == 2:
                        m = m * rng.choice([1.0, 0.75], size=len(m)) + rng.normal(size=len(m)) * (
                            rng.random(len(m)) < 0.1
                        )
                        prices = [(1 - share, share), (0.0, share), (1 - share, 0.0), (0.5, 1.5)]
                    right, left = prices[int(rng.integers(len(prices)))]
                    m = np.rint(m * unit).astype(np.int64)
                    said = np.flatnonzero((m != 0) | (rng.random(len(m)) < 0.1))
                    found["plane_relu"].append(k + 1)
                    found["plane_feature"].append(j)
                    found["plane_exponent"].append(exponent)
                    found["plane_right"].append(round(right * unit))
                    found["plane_left"].append(round(left * unit))
                    found["plane_entries"].append(len(said))
                    found["plane_step"] += np.diff(said, prepend=-1).tolist()
                    found["plane_value"] += m[said].tolist()
            found["plane_count"].append(len(found["plane_relu"]) - before)
        return found

    def arrays(self) -> Arrays:
        """A certificate of the case, or of a lemma: of one leaf, or of two below a split."""
        rng, count = self._rng, int(self._rng.integers(1, 3))
        is_split, is_lemma = int(rng.random() < 0.4), int(rng.random() < 0.25)
        stage: list[int] = []
        for _ in range(count):
            stage += [] if rng.random() < 0.5 else [int(rng.integers(1, BOTH + 1))]
            stage.append(PLANES)
        leaves, relu = 1 + is_split, int(rng.integers(0, len(self.sizes) + 1))
        # The leaf of the case stands behind those of the lemma.
        rows, kind = leaves + is_lemma, [*[SPLIT] * is_split, *[LEAF] * (leaves + is_lemma)]
        features = [np.flatnonzero(rng.random(sum(self.sizes)) < 0.5) for _ in range(rows)]
        total, exponent = sum(map(len, features)), int(rng.choice([4, 20]))
        added = rng.integers(-(1 << exponent), 1 << exponent, size=total) // 4
        weight = int(rng.choice([2, 3, 4])) << (exponent - 2)
        given: Arrays = {
            **self._sets(count),
            "stages": [len(stage) + is_lemma],
            "stage": stage + [LEMMAS] * is_lemma,
            "kind": kind,
            "rule": rng.integers(0, BOTH + 1, size=len(kind)),
            "leaf_row": range(rows),
            "split_relu": [relu] * is_split,
            "split_feature": [int(rng.integers([self.inputs, *self.sizes][relu]))] * is_split,
            "split_point": [int(rng.integers(-2, 3))] * is_split,
            "split_exponent": [3] * is_split,
            "row_exponent": [exponent] * rows,
            "row_base": [int(rng.random() < 0.2) for _ in range(rows)],
            "row_mu": [0] * leaves + [1 << exponent] if is_lemma else [weight] * leaves,
            "row_count": [len(f) for f in features],
            "row_feature": np.concatenate(features),
            "row_slope": rng.integers(0, (1 << exponent) + 1, size=total),
            "row_added": added * (rng.random(total) < 0.3),
            "row_planes": rng.integers(rng.random() < 0.95, count + 1, size=rows),
        }
        if is_lemma:
            # Of the last ReLU, which has the most before it.
            k = len(self.sizes)
            given |= {"lemma_count": [1], "lemma_relu": [k], "lemma_feature": [int(rng.integers(self.sizes[k - 1]))]}
            given |= {"lemma_side": [int(rng.integers(2))], "lemma_exponent": [44]}
        return given

    def made(self, given: Arrays, threshold: float) -> tuple[RealCertificate, bytes]:
        """A certificate and its property, which say that something is below the threshold: of a lemma, or else the output."""
        asked = 2.0**20 if "lemma_side" in given else threshold
        property_ = property_text(self._lower, self._upper, 1, [[((1.0,), asked)]])
        if "lemma_side" in given:
            given = given | {"lemma_end": [round((1 if given["lemma_side"][0] else -1) * threshold * 2**44)]}
        return certificate(self.network, property_, self.inputs, 1, **given), property_

    def nearly(self, given: Arrays, threshold: float = -64.0) -> float | None:
        """A threshold that is not proved by next to nothing. (The first checker says by how much one is not, in a few digits.)"""
        weight = given["row_mu"][0] / 2.0 ** given["row_exponent"][0] or 1.0
        for _ in range(20):
            made, property_ = self.made(given, threshold)
            try:
                check_real(made, self.network, property_, arithmetic="rational")
            except ProofError as error:
                if "a bound of " not in error.problem:
                    return None
                bound = float(error.problem.split("a bound of ")[1].split(",")[0])
            else:
                return None
            if bound <= 1e-10:
                return threshold
            threshold += bound * (1 - 1e-5) / weight
        return None


def _reach(weight: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ranges of sums, by intervals."""
    up, down = np.maximum(weight, 0), np.minimum(weight, 0)
    return up @ low + down @ high, up @ high + down @ low


def spoiled(rng: np.random.Generator, made: RealCertificate, what: str = "plane") -> RealCertificate:
    """Entries of planes changed, or of pairs, or any entries."""
    if rng.random() < 0.4:
        return damaged(rng, made)
    arrays = {name: values.copy() for name, values in made.arrays.items()}
    name = str(rng.choice([n for n in arrays if what in n and len(arrays[n])]))
    at = int(rng.integers(len(arrays[name])))
    arrays[name][at] += int(rng.choice([-(2**30), -2, -1, -1, 1, 1, 2, 2**30]))
    return replace(made, arrays=arrays)
