"""The steps of the demo: verify at a few radii, find exact radii, picture one digit, verify a float network."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netproof.demo.digits import Digits, load_digits
from netproof.demo.residual import PROPERTIES, ResidualReport, run_residual
from netproof.demo.sparse import sparsest
from netproof.errors import InputError
from netproof.local_robustness import robustness
from netproof.query import Verdict
from netproof.report.picture import Captions, draw_before_after, write_picture
from netproof.search.radius import largest_radius
from netproof.search.verify import verify
from netproof.settings import Settings

RADII = (8, 16, 24)
SAMPLES = 80
#: a change of this many grey levels can be seen
VISIBLE = 15
PICTURE = "vulnerable-digit.png"
#: the hardest query of the demo needs about a second; on a machine where one does not end, the demo does
SETTINGS = Settings(timeout=10.0)


@dataclass(frozen=True)
class AtRadius:
    """One row of the table: what became of the samples at one radius.

    ``seconds`` is wall time, ``median_ms`` the median over the queries of correctly classified samples.
    """

    radius: int
    robust: int
    vulnerable: int
    misclassified: int
    undecided: int
    seconds: float
    median_ms: float
    verdicts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class ExactRadius:
    """The largest radius at which one digit is robust.

    Attributes
    ----------
    index, label : the digit
    radius : proved robust up to here
    witness_radius : a witness was found here (``radius + 1`` where ``exact``)
    exact : no radius lies between the proof and the witness
    adversarial : the image ``[8, 8]`` that is classified as ``becomes``, where there is a witness
    """

    index: int
    label: int
    radius: int
    witness_radius: int | None
    exact: bool
    seconds: float
    adversarial: NDArray[np.uint8] | None
    becomes: int | None


@dataclass(frozen=True, eq=False)
class DemoReport:
    """Everything the demo found out."""

    digits: Digits
    rows: tuple[AtRadius, ...]
    exact: tuple[ExactRadius, ...]
    example: ExactRadius | None
    picture: Path | None
    residual: ResidualReport
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        network = self.digits.network
        return {
            "network": {"sha256": network.sha256, "scheme": network.scheme},
            "held_out": len(self.digits),
            "held_out_right": self.digits.right,
            "radii": [asdict(row) for row in self.rows],
            "exact": [_exact_dict(found) for found in self.exact],
            "example": None if self.example is None else self.example.index,
            "picture": None if self.picture is None else str(self.picture),
            "residual": self.residual.as_dict(),
            "seconds": round(self.seconds, 3),
        }


def _exact_dict(found: ExactRadius) -> dict[str, Any]:
    return {
        "index": found.index,
        "label": found.label,
        "radius": found.radius,
        "exact": found.exact,
        "witness_radius": found.witness_radius,
        "witness_label": found.becomes,
        "witness": None if found.adversarial is None else found.adversarial.tolist(),
        "seconds": round(found.seconds, 4),
    }


class Watcher(Protocol):
    """Is told of every step when it is done."""

    def loaded(self, digits: Digits) -> None: ...

    def row(self, row: AtRadius) -> None: ...

    def exact(self, found: ExactRadius) -> None: ...

    def pictured(self, example: ExactRadius, picture: Path) -> None: ...

    def residual(self, report: ResidualReport) -> None: ...

    def done(self, report: DemoReport) -> None: ...


class _Silent:
    """Says nothing."""

    def loaded(self, digits: Digits) -> None:
        pass

    def row(self, row: AtRadius) -> None:
        pass

    def exact(self, found: ExactRadius) -> None:
        pass

    def pictured(self, example: ExactRadius, picture: Path) -> None:
        pass

    def residual(self, report: ResidualReport) -> None:
        pass

    def done(self, report: DemoReport) -> None:
        pass


def run_demo(out: Path, watcher: Watcher | None = None) -> DemoReport:
    """Verify, measure, and draw the picture into the folder ``out``, which is made.

    Raises :class:`InputError` where ``out`` cannot be written, before any work is done.
    """
    watcher = watcher or _Silent()
    start = time.perf_counter()
    for folder in (out, out / PROPERTIES):
        _make_folder(folder)
    digits = load_digits()
    watcher.loaded(digits)
    rows = []
    for radius in RADII:
        rows.append(verify_at(digits, radius, range(SAMPLES)))
        watcher.row(rows[-1])
    exact = []
    for index in pick_samples(rows):
        exact.append(exact_radius(digits, index))
        watcher.exact(exact[-1])
    example = pick_example(exact)
    picture = None
    if example is not None:
        picture = out / PICTURE
        draw_example(digits, example, picture)
        watcher.pictured(example, picture)
    residual = run_residual(digits, out, SETTINGS)
    watcher.residual(residual)
    report = DemoReport(digits, tuple(rows), tuple(exact), example, picture, residual, time.perf_counter() - start)
    watcher.done(report)
    return report


def verify_at(digits: Digits, radius: int, samples: Sequence[int], settings: Settings = SETTINGS) -> AtRadius:
    """Verify the samples at one radius, as one batch."""
    start = time.perf_counter()
    queries = [
        robustness(digits.network, digits.image(i), int(digits.labels[i]), radius, name=f"digits-{i}-eps-{radius}")
        for i in samples
    ]
    results = list(verify(queries, settings))
    verdicts = [result.verdict for result in results]
    times = [result.seconds for result in results if result.verdict is not Verdict.MISCLASSIFIED]
    return AtRadius(
        radius=radius,
        robust=verdicts.count(Verdict.UNSAT),
        vulnerable=verdicts.count(Verdict.SAT),
        misclassified=verdicts.count(Verdict.MISCLASSIFIED),
        undecided=sum(not verdict.decided for verdict in verdicts),
        seconds=round(time.perf_counter() - start, 3),
        median_ms=round(1000 * median(times), 2) if times else 0.0,
        verdicts=tuple(verdict.for_robustness for verdict in verdicts),
    )


def pick_samples(rows: Sequence[AtRadius]) -> list[int]:
    """Samples whose exact radius says most: those that turn from one row of the table to the next.

    For each radius, the first two samples that are vulnerable there and robust at the radius before.
    """
    picked: list[int] = []
    for number, row in enumerate(rows):
        before = rows[number - 1].verdicts if number else ("robust",) * len(row.verdicts)
        turned = [
            i
            for i, (was, is_now) in enumerate(zip(before, row.verdicts, strict=True))
            if (was, is_now) == ("robust", "vulnerable")
        ]
        picked += turned[:2]
    return picked


def exact_radius(digits: Digits, index: int, settings: Settings = SETTINGS) -> ExactRadius:
    """The largest radius at which one digit is robust."""
    label = int(digits.labels[index])
    found = largest_radius(digits.network, digits.image(index), label, settings)
    adversarial = becomes = None
    if found.witness is not None and found.witness_radius is not None:
        query = robustness(digits.network, digits.image(index), label, found.witness_radius)
        pixels = sparsest(query, found.witness.input)
        becomes = int(digits.network.classify(pixels))
        adversarial = pixels.reshape(digits.images[index].shape).numpy().astype(np.uint8)
    further = None if found.witness_radius is None else int(found.witness_radius)
    return ExactRadius(index, label, int(found.radius), further, found.exact, found.seconds, adversarial, becomes)


def pick_example(found: Sequence[ExactRadius]) -> ExactRadius | None:
    """The digit for the picture: the most fragile of those whose change can be seen.

    Where none can be seen, the one whose change comes closest to that; None where there is no witness.
    """
    changes = {one.witness_radius: one for one in reversed(found) if one.witness_radius is not None}
    visible = [radius for radius in changes if radius >= VISIBLE]
    if visible:
        return changes[min(visible)]
    return changes[max(changes)] if changes else None


def draw_example(digits: Digits, example: ExactRadius, path: Path) -> None:
    """Draw a vulnerable digit before and after; raises :class:`InputError` where it cannot be written."""
    assert example.adversarial is not None
    before = digits.images[example.index]
    changed = int((before != example.adversarial).sum())
    promise = f"No change of up to {example.radius} grey levels per pixel does it: netproof proved that."
    captions = Captions(
        title=f"{example.label} -> {example.becomes}, radius {example.witness_radius} of 255",
        before=f"read as {example.label}",
        difference=f"{changed} of {before.size} pixels changed",
        after=f"read as {example.becomes}",
        footer="Numbers: change in grey levels (0 black, 255 white).\n" + (promise if example.exact else ""),
    )
    write_picture(draw_before_after(before, example.adversarial, captions), path)


def _make_folder(folder: Path) -> None:
    hint = "give a folder you can write to with --out"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be made a folder ({error.strerror})", hint) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(folder, "cannot be written (no permission)", hint)
