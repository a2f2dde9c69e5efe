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
BENDS: tuple[tuple[str, dict[str, float]], ...] = (
    *[("Relu", {})] * 4,
    ("Abs", {}),
    ("LeakyRelu", {"alpha": 0.25}),
)


class PlaneQuestion:
    """A network of two or three layers.

    What is short has numbers of few digits and multipliers that no checker rounds, so that bounds are the same in all of them, and met exactly.
    """

    def __init__(self, rng: np.random.Generator, *, is_short: bool) -> None:
        self._rng, self.is_short = rng, is_short
        self.inputs = int(rng.integers(1, 4))
        made = Builder([1, self.inputs], dtype=np.float64)
        at, width = "x", self.inputs
        #: of every ReLU how many features it has, and by columns what their operands are made of, as far as that is next to it
        self.sizes: list[int] = []
        self._made_of: list[np.ndarray] = []
        for layer in range(int(rng.integers(2, 4))):
            size, columns = int(rng.integers(2, 5)), self.inputs + sum(self.sizes)
            weight, made_of = self._numbers((size, width)), np.zeros((size, columns))
            made_of[:, columns - width :] = weight
            value = made.node("Gemm", at, made.constant(weight), made.constant(self._numbers(size)), transB=1)
            if layer and rng.random() < 0.4:
                past = self._numbers((size, self.inputs))
                made_of[:, : self.inputs] += past
                value = made.node("Add", value, made.node("Gemm", "x", made.constant(past), transB=1))
            kind, attributes = BENDS[int(rng.integers(len(BENDS)))]
            at, width = made.node(kind, value, **attributes), size
            self.sizes.append(size)
            self._made_of.append(made_of)
            if rng.random() < 0.1:
                at = made.node("Relu", at)
                self.sizes.append(size)
                self._made_of.append(np.eye(size, columns + size, columns))
        self.network = made.bytes(made.node("Gemm", at, made.constant(self._numbers((1, width))), transB=1))
        center = rng.normal(size=self.inputs)
        self._center = np.rint(center * 8) / 8 if is_short else np.round(center, 6)

    def _numbers(self, shape: int | tuple[int, ...]) -> np.ndarray:
        return self._rng.integers(-4, 5, shape) / 4 if self.is_short else self._rng.normal(size=shape)

    def _sets(self, count: int) -> Arrays:
        """Planes with a share of what operands are made of, of some columns none or all of it, and prices to that."""
        rng, exponent = self._rng, 3 if self.is_short else int(self._rng.choice([8, 20, 40]))
        unit = 1 << exponent
        names = ("count", "relu", "feature", "exponent", "right", "left", "entries", "step", "value")
        found: Arrays = {f"plane_{name}": [] for name in names}
        for _ in range(count):
            above = [(k, j) for k, size in enumerate(self.sizes) for j in range(size) if rng.random() < 0.6] or [(0, 0)]
            found["plane_count"].append(len(above))
            for k, j in above:
                columns, share = self.inputs + sum(self.sizes[:k]), int(rng.integers(1, unit)) / unit
                m = share * self._made_of[k][j] * rng.choice([1.0, 1.0, 1.0, 0.0, 1 / share], size=columns)
                m += rng.choice([0.0, 0.0, 0.0, 0.25], size=columns) * self._numbers(columns)
                m = np.rint(m * unit).astype(np.int64)
                said = np.flatnonzero((m != 0) | (rng.random(columns) < 0.1))
                prices = [(1 - share, share), (0.0, share), (1 - share, 0.0), rng.random(2) * 2]
                right, left = prices[int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1]))]
                found["plane_relu"].append(k + 1)
                found["plane_feature"].append(j)
                found["plane_exponent"].append(exponent)
                found["plane_right"].append(round(right * unit))
                found["plane_left"].append(round(left * unit))
                found["plane_entries"].append(len(said))
                found["plane_step"] += np.diff(said, prepend=-1).tolist()
                found["plane_value"] += m[said].tolist()
        return found

    def arrays(self) -> Arrays:
        """A certificate of the case, or of a lemma: of one leaf, or of two below a split."""
        rng, count = self._rng, int(self._rng.integers(1, 3))
        is_split, is_lemma = int(rng.random() < 0.5), int(rng.random() < 0.25)
        stage: list[int] = []
        for _ in range(count):
            stage += [] if self.is_short or rng.random() < 0.5 else [int(rng.integers(1, BOTH + 1))]
            stage.append(PLANES)
        leaves, relu = 1 + is_split, int(rng.integers(0, len(self.sizes) + 1))
        # The leaf of the case stands behind those of the lemma.
        rows, kind = leaves + is_lemma, [*[SPLIT] * is_split, *[LEAF] * (leaves + is_lemma)]
        features = [np.flatnonzero(rng.random(sum(self.sizes)) < 0.5) for _ in range(rows)]
        total, exponent = sum(map(len, features)), 4 if self.is_short else 20
        added = rng.integers(-(1 << exponent), 1 << exponent, size=total) // 4
        weight = int(rng.choice([2, 3, 4])) << (exponent - 2)
        given: Arrays = {
            **self._sets(count),
            "stages": [len(stage) + is_lemma],
            "stage": stage + [LEMMAS] * is_lemma,
            "kind": kind,
            "rule": rng.integers(0, 2 if self.is_short else BOTH + 1, size=len(kind)),
            "leaf_row": range(rows),
            "split_relu": [relu] * is_split,
            "split_feature": [int(rng.integers([self.inputs, *self.sizes][relu]))] * is_split,
            "split_point": [int(rng.integers(-2, 3))] * is_split,
            "split_exponent": [3] * is_split,
            "row_exponent": [exponent] * rows,
            "row_base": [int(self.is_short or rng.random() < 0.3) for _ in range(rows)],
            "row_mu": [0] * leaves + [1 << exponent] if is_lemma else [weight] * leaves,
            "row_count": [len(f) for f in features],
            "row_feature": np.concatenate(features),
            "row_slope": rng.integers(0, (1 << exponent) + 1, size=total),
            "row_added": added * (rng.random(total) < 0.4),
            "row_planes": rng.integers(rng.random() < 0.9, count + 1, size=rows),
        }
        if is_lemma:
            k = int(rng.integers(1, len(self.sizes) + 1))
            given |= {"lemma_count": [1], "lemma_relu": [k], "lemma_feature": [int(rng.integers(self.sizes[k - 1]))]}
            given |= {"lemma_side": [int(rng.integers(2))], "lemma_exponent": [40]}
        return given

    def made(self, given: Arrays, threshold: float, *, strict: bool = False) -> tuple[RealCertificate, bytes]:
        """A certificate and its property, which say that something is below the threshold: of a lemma, or else the output."""
        asked = 2.0**20 if "lemma_side" in given else threshold
        text = property_text(self._center - 0.5, self._center + 0.5, 1, [[((1.0,), asked)]])
        before, after = text.rsplit(b">=", 1)
        property_ = before + (b">" if strict else b">=") + after
        if "lemma_side" in given:
            given = given | {"lemma_end": [round((1 if given["lemma_side"][0] else -1) * threshold * 2**40)]}
        return certificate(self.network, property_, self.inputs, 1, **given), property_

    def nearly(self, given: Arrays) -> float | None:
        """A threshold that is not proved by next to nothing. (The first checker says by how much one is not, in a few digits.)"""
        threshold, weight = -64.0, given["row_mu"][0] / 2.0 ** given["row_exponent"][0] or 1.0
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
            if bound <= 1e-8:
                return threshold
            threshold += bound * (1 - 1e-5) / weight
        return None


def spoiled(rng: np.random.Generator, made: RealCertificate) -> RealCertificate:
    """Entries of planes changed, or any entries."""
    if rng.random() < 0.4:
        return damaged(rng, made)
    arrays = {name: values.copy() for name, values in made.arrays.items()}
    name = str(rng.choice([n for n in arrays if "plane" in n and len(arrays[n])]))
    at = int(rng.integers(len(arrays[name])))
    arrays[name][at] += int(rng.choice([-(2**30), -2, -1, -1, 1, 1, 2, 2**30]))
    return replace(made, arrays=arrays)
