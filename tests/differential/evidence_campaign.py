"""Certificates of false claims and damaged ones, thousands of them, against the checker of float networks.

    python tests/differential/evidence_campaign.py [--seconds S | --networks N] [--seed N] [--smooth] [--second PROGRAM] [--out FILE]

Every network has a witness, evaluated in fractions, so that no certificate of its property may be accepted, in any arithmetic.
Certificates are made in three ways: *damage* takes one that proves another property of the network, says it is about this one,
and changes entries; *wrong* makes rows and splits by chance; *descent* chooses slopes and what is added so that the bound
comes as close to 0 as it can. Half of them have sets of planes, and half sets of pairs, good ones and others, which are damaged and chosen with the rest
(``joint_evidence.py``); a fifth of the networks have two features of which a pair says all. Weights are of up to 16 orders of magnitude, and some next to the smallest that there are. Prints counts, and exits with 1 where one was accepted, or
the checker failed in any other way than by its own errors. Of every network a few leaves are evaluated in float64 and in fractions,
too: the fraction has to lie in the interval that the error term claims. With ``--second`` every tenth certificate goes through the checker in
``checkers/rust``, too. 500 networks are 10^5 damaged certificates and more than 10^4 of wrong claims.

With ``--smooth`` networks have smooth functions of all kinds, jumps, products of two values, quotients, norms and softmax instead of ReLUs. The output
at the witness is known to 60 digits, and the threshold is the number next below it of 60 binary digits more than float64 has, so that
the claim is false by as good as nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from differential.evidence_questions import CrossedQuestion, Question, SmoothQuestion
from differential.joint_evidence import (
    Octagons,
    arrays_of_pairs,
    arrays_of_planes,
    moved_pairs,
    moved_planes,
    pairs_by_chance,
    planes_by_chance,
    with_pairs,
    with_planes,
)
from netproof.certificate.checker.real.bound import Above, Cells, Evaluation, Objective
from netproof.certificate.checker.real.check import check_real, root_of
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64, Rational
from netproof.certificate.checker.real.property import read_property
from netproof.certificate.checker.real.tree import Prover, Rows
from netproof.certificate.real.contents import EMPTY, LEAF, LEMMAS, NAMES, PAIRS, PLANES, SPLIT, Taken, arrays_of
from netproof.certificate.real.format import decode, encode
from netproof.errors import CertificateError, FormatError, ProofError
from soundness.real_evidence import certificate


def by_chance(rng: np.random.Generator, question: Question) -> dict[str, object]:
    """Splits, rules and rows by chance."""
    splits, kind, rule, waiting = int(rng.integers(0, 6)), [], [], 1
    while waiting:
        is_split = splits > 0
        kind.append(SPLIT if is_split else EMPTY if rng.random() < 0.1 else LEAF)
        rule.append(int(rng.integers(0, 5)))
        splits -= is_split
        waiting += 1 if is_split else -1
    count, rows = kind.count(SPLIT), int(rng.integers(1, 4))
    relu = rng.integers(0, len(question.sizes) + 1, size=count)
    width = sum(question.sizes)
    features = [np.flatnonzero(rng.random(width) < 0.7) for _ in range(rows)]
    total = sum(map(len, features))
    exponent = rng.integers(0, 40, size=rows)
    given: dict[str, object] = {
        "kind": kind,
        "rule": rule,
        "leaf_row": rng.integers(0, rows, size=kind.count(LEAF)),
        "split_relu": relu,
        "split_feature": [int(rng.integers(0, question.inputs if k == 0 else question.sizes[k - 1])) for k in relu],
        "split_point": rng.integers(-(2**30), 2**30, size=count),
        "split_exponent": rng.integers(20, 60, size=count),
        "row_exponent": exponent,
        "row_base": rng.integers(0, 2, size=rows),
        "row_mu": [int(rng.integers(0, 2)) << int(e) for e in exponent],
        "row_count": [len(f) for f in features],
        "row_feature": np.concatenate(features),
        "row_slope": rng.integers(-(2**20), 2**20, size=total),
        "row_added": rng.integers(-(2**20), 2**20, size=total) * (rng.random(total) < 0.5),
    }
    if rng.random() < 0.3:
        # A lemma that says what would be enough, about an end of a range.
        k = int(rng.integers(1, len(question.sizes) + 1))
        given |= {
            "stages": [1],
            "stage": [LEMMAS],
            "lemma_count": [1],
            "lemma_relu": [k],
            "lemma_feature": [int(rng.integers(0, question.sizes[k - 1]))],
            "lemma_side": [int(rng.integers(0, 2))],
            "lemma_end": [int(rng.integers(-(2**10), 2**10))],
            "lemma_exponent": [int(rng.integers(0, 30))],
            "kind": [LEAF, *kind],
            "rule": [int(rng.integers(0, 5)), *rule],
            "leaf_row": np.concatenate([[rows], given["leaf_row"]]),
        }
        for name, value in (("row_exponent", 0), ("row_base", 0), ("row_mu", 0), ("row_count", 0)):
            given[name] = np.append(given[name], value)
    given = with_planes(rng, question, given) if rng.random() < 0.5 else given
    return with_pairs(rng, question, given) if rng.random() < 0.5 else given


def by_descent(rng: np.random.Generator, question: Question, bound, steps: int) -> list[dict[str, object]]:
    """Rows on the way to the smallest bound that chance finds."""
    width = sum(question.sizes)
    best, value, tried = rng.normal(size=(2, width)) * 0.1, np.inf, []
    # Of ReLUs slopes beyond 0 and 1 are of no use, of other functions they are.
    reach = (-4, 4) if isinstance(question, SmoothQuestion) else (0, 1)
    kept = planes_by_chance(rng, question) if rng.random() < 0.4 else []
    paired = None if kept or rng.random() < 0.3 else pairs_by_chance(rng, question)
    for step in range(steps):
        planes = moved_planes(rng, kept, 0.4 * 0.9**step)
        pairs = None if paired is None else moved_pairs(rng, question, paired, 0.4 * 0.9**step)
        moved = best + rng.normal(size=best.shape) * 0.4 * 0.9**step
        given = {
            "rule": [int(rng.integers(0, 5))],
            "row_exponent": [20],
            "row_mu": [1 << 20],
            "row_count": [width],
            "row_feature": range(width),
            "row_slope": np.rint(np.clip(moved[0] + 0.5, *reach) * 2**20).astype(np.int64),
            "row_added": np.rint(moved[1] * 2**20 * (rng.random() < 0.6)).astype(np.int64),
        }
        if planes:
            given |= {"stages": [1], "stage": [PLANES], **arrays_of_planes([planes]), "row_planes": [1]}
        if pairs is not None:
            given |= _of_pairs(given, pairs)
        tried.append(given)
        found = bound(given)
        if found is not None and found < value:
            best, value, kept, paired = moved, found, planes, pairs
    return tried


def _of_pairs(given: dict[str, object], pairs: Octagons) -> dict[str, object]:
    """What a certificate of one row has besides, which is about one set of pairs."""
    sets, more = arrays_of_pairs([pairs], 1)
    rows = {"row_base": [0], **given}
    rows = {name: np.append(np.asarray(rows[name], np.int64), values) for name, values in more.items()}
    return {"stages": [1], "stage": [PAIRS], **sets, **rows, "row_pairs": [1, *[0] * len(pairs.said)]}


def damaged(rng: np.random.Generator, made):
    """A certificate with a few entries changed."""
    arrays = {name: values.copy() for name, values in made.arrays.items()}
    for _ in range(int(rng.integers(1, 4))):
        name = str(rng.choice([n for n in NAMES if len(arrays[n])]))
        values = arrays[name]
        if rng.random() < 0.1:
            arrays[name] = np.append(values, values[:1]) if rng.random() < 0.5 else values[:-1]
        else:
            at = int(rng.integers(len(values)))
            values[at] = [values[at] + int(rng.integers(-2, 3)), int(rng.integers(-(2**52), 2**52)), 0, 1][
                int(rng.integers(4))
            ]
    return replace(made, arrays=arrays)


def leaves(rng: np.random.Generator, question: Question) -> list[tuple[Fraction, float, float]]:
    """Bounds of rows by chance on parts of the box: in fractions, in float64, and what rounding may have taken from that."""
    given = by_chance(rng, question)
    (part,) = read_property(question.property, "property").parts
    real, exact = (
        Evaluation(read_network(question.network, question.inputs, numbers, "network"), numbers)
        for numbers in (Float64(), Rational())
    )
    cells = real.derive(root_of(real, part), int(rng.integers(1, 5)))
    # A half of the range of one ReLU, as below a split.
    low = [one.copy() for one in cells.low]
    k = int(rng.integers(len(low)))
    j = int(rng.integers(low[k].shape[1]))
    low[k][0, j] = low[k][0, j] / 2 + cells.high[k][0, j] / 2
    cells = replace(cells, low=tuple(low))
    if rng.random() < 0.5:
        cells = real.derive(cells, int(rng.integers(1, 5)), sized=True)
    rows, last = Rows(dict(question.claimed(given).arrays), question.sizes), len(real.network.nodes) - 1
    found, beside = [], sets_on(rng, question, cells, real)
    for row in range(len(rows.exponent)):
        values = []
        for evaluation in (exact, real):
            numbers = evaluation.numbers
            constant = numbers.load(np.zeros(1))
            constant[0] = numbers.fraction(-question.threshold)
            objective = Objective({last: numbers.load(np.ones((1, 1)))}, constant)
            above = beside[row % len(beside)]
            values.append(
                evaluation.bound(cells, np.zeros(1, np.int64), objective, rows.slopes(np.array([row])), above)
            )
        (value, _), (near, error) = values
        found.append((value[0], float(near[0]), float(error[0])))
    return found


def sets_on(rng: np.random.Generator, question: Question, cells: Cells, real: Evaluation) -> list[Above]:
    """Nothing, planes, and pairs that hold on a cell, as far as there are some."""
    found: list[Above] = [{}]
    planes, pairs = planes_by_chance(rng, question), pairs_by_chance(rng, question, fine=True)
    for rule, some in ((PLANES, planes), (PAIRS, pairs)):
        if not some:
            continue
        sets = Sets("certificate")
        given, rows = (arrays_of_planes([some]), {}) if rule == PLANES else arrays_of_pairs([some], 0)
        prover = Prover(real, Rows(arrays_of(**rows), question.sizes), "certificate")
        try:
            sets.add(rule, Taken(arrays_of(**given)), prover, cells)
        except ProofError:  # a plane without an end, or none of a pair
            continue
        found.append(sets.named(rule == PLANES, rule == PAIRS))
    return found


class Campaign:
    """Counts of what happened, and what should not have."""

    def __init__(self, second: Path | None = None, *, smooth: bool = False) -> None:
        self._is_smooth = smooth
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.closest = np.inf
        #: the largest part of an error term that was needed
        self.needed = 0.0
        self._second = second
        self._folder = Path(tempfile.mkdtemp(prefix="netproof-campaign-"))

    def try_one(self, way: str, made, question: Question, arithmetic: str) -> float | None:
        """Check a certificate of a false claim; the bound that it comes to, if it says one."""
        self.counts[way] += 1
        for what in ("plane", "pair"):
            self.counts[f"{way}: with {what}s"] += bool(len(made.arrays[f"{what}_count"]))
        if self._second is not None and self.counts[way] % 10 == 0:
            self._try_second(way, made, question)
        try:
            check_real(made, question.network, question.property, arithmetic=arithmetic, seconds=20.0)
        except ProofError as error:
            self.counts[f"{way}: not proved"] += 1
            if "time limit" in error.problem:
                self.wrong.append(f"{way}: {error.problem}")
            if "a bound of " in error.problem:
                found = float(error.problem.split("a bound of ")[1].split(",")[0])
                self.closest = min(self.closest, found / (1e-300 + abs(float(question.threshold))))
                return found
        except (CertificateError, FormatError):
            self.counts[f"{way}: unusable"] += 1
        except Exception:  # noqa: BLE001 - that is what is looked for
            self.wrong.append(f"{way}: {traceback.format_exc()}")
        else:
            self.wrong.append(f"{way} in {arithmetic}: accepted {question.property.decode()[-120:]}")
        return None

    def _try_second(self, way: str, made, question: Question) -> None:
        """The same by the second checker."""
        try:
            data = encode(made)
        except ValueError:  # an entry that no file holds
            return
        paths = [self._folder / name for name in ("c.npcert", "n.onnx", "p.vnnlib")]
        for path, content in zip(paths, (data, question.network, question.property), strict=True):
            path.write_bytes(content)
        done = subprocess.run([self._second, *paths], capture_output=True, text=True, check=False, timeout=60)
        self.counts[f"{way}: by the second checker"] += 1
        if done.returncode not in (1, 2) or "panicked" in done.stderr:
            self.wrong.append(f"{way} by the second checker: {done.returncode} {done.stderr[-200:]}")

    def bytes_changed(self, rng: np.random.Generator, data: bytes) -> None:
        """Bytes changed by chance are refused."""
        self.counts["bytes"] += 1
        broken = bytearray(data)
        broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
        try:
            decode(bytes(broken[: int(rng.integers(1, len(broken) + 1))] if rng.random() < 0.2 else broken))
        except CertificateError:
            return
        except Exception:  # noqa: BLE001
            self.wrong.append(f"bytes: {traceback.format_exc()}")
            return
        self.wrong.append("bytes: damaged bytes were read")

    def leaves(self, rng: np.random.Generator, question: Question) -> None:
        """Bounds in fractions lie in the intervals of those in float64."""
        try:
            with np.errstate(all="ignore"):
                found = leaves(rng, question)
        except OverflowError:  # of fractions that are infinite: no bound
            self.counts["leaves without a bound"] += 1
            return
        for exact, near, error in found:
            if not (np.isfinite(near) and np.isfinite(error)):
                self.counts["leaves without a bound"] += 1
                continue
            self.counts["leaves"] += 1
            off = abs(exact - Fraction(near))
            if off > Fraction(error):
                self.wrong.append(f"leaf: {float(exact)} is not within {error} of {near}")
            self.needed = max(self.needed, float(off / Fraction(error)))

    def _descent(self, question: Question):
        return lambda given: self.try_one("descent", question.claimed(given), question, "float64")

    def run(self, seconds: float, networks: int, seed: int) -> None:
        """Until the time is over, or so many networks were tried."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.counts["networks"] < networks:
            rng = np.random.default_rng(seed)
            seed += 1
            kinds = [SmoothQuestion] if self._is_smooth else [Question] * 4 + [CrossedQuestion]
            question = kinds[self.counts["networks"] % len(kinds)](rng)
            if not question.is_short:
                continue
            self.counts["networks"] += 1
            # Of two features a descent comes nearly to the end.
            steps = 45 if isinstance(question, CrossedQuestion) else 15
            arithmetics = ["float64"] * 8 + ["arb", "rational"]

            for number in range(30):
                self.try_one("wrong", question.claimed(by_chance(rng, question)), question, arithmetics[number % 10])
            for number, given in enumerate(by_descent(rng, question, self._descent(question), steps)):
                if number % 5 == 0:
                    self.try_one("descent", question.claimed(given), question, arithmetics[8 + number % 2])
            good = certificate(question.network, question.easier, question.inputs, 1, **by_chance(rng, question))
            good = replace(good, property_sha256=question.claimed({}).property_sha256)
            for number in range(100):
                self.try_one("damage", damaged(rng, good), question, arithmetics[number % 10])
            data = encode(good)
            for _ in range(100):
                self.bytes_changed(rng, data)
            for _ in range(2):
                self.leaves(rng, question)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--networks", type=int)
    parser.add_argument("--second", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smooth", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    campaign = Campaign(None if given.second is None else given.second.resolve(), smooth=given.smooth)
    endless = given.networks is not None and given.seconds is None
    seconds = np.inf if endless else 60.0 if given.seconds is None else given.seconds
    campaign.run(seconds, sys.maxsize if given.networks is None else given.networks, given.seed)
    found = {
        "counts": dict(campaign.counts),
        "closest": float(campaign.closest),
        "needed": campaign.needed,
        "wrong": campaign.wrong,
    }
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 1 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
