"""The part of the demo on a float network: a residual one in ONNX, asked properties in VNN-LIB."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from netproof.demo.digits import Digits
from netproof.files.opened import write_bytes
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.formats.vnnlib.write import robustness_vnnlib
from netproof.network import Network
from netproof.query import Result, Verdict
from netproof.search.verify import verify
from netproof.settings import Settings

RADII = (6, 10, 50)
SAMPLES = 11
NETWORK = "digits-resnet.onnx"
PROPERTIES = "properties"


@dataclass(frozen=True)
class ResidualRow:
    """What became of the samples at one radius.

    ``seconds`` is wall time; ``methods`` counts the steps that settled the queries (:attr:`netproof.Result.method`).
    """

    radius: int
    robust: int
    vulnerable: int
    undecided: int
    seconds: float
    methods: dict[str, int]
    subproblems: int
    verdicts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class ResidualReport:
    """The float network and what was found out about it; ``example`` is the property that took most subproblems."""

    network: Network
    rows: tuple[ResidualRow, ...]
    example: Path

    def as_dict(self) -> dict[str, Any]:
        return {
            "network": {"sha256": self.network.sha256},
            "radii": [asdict(row) for row in self.rows],
            "example": str(self.example),
        }


def load_network() -> Network:
    """The shipped network: 64 inputs (ink from 0 to 1), 10 outputs; raises as :func:`netproof.load`."""
    with as_file(files("netproof.demo") / NETWORK) as path:
        return read_onnx(path)


def run_residual(
    digits: Digits, out: Path, settings: Settings, samples: Sequence[int] = range(SAMPLES)
) -> ResidualReport:
    """Write the properties into ``out/properties``, a folder, and decide them.

    Raises :class:`netproof.errors.InputError` where they cannot be written.
    """
    network = load_network()
    folder = out / PROPERTIES
    rows, most, example = [], -1, folder
    for radius in RADII:
        begun, results = time.perf_counter(), []
        for index in samples:
            path = folder / f"digit-{index}-radius-{radius}.vnnlib"
            write_property(digits, index, radius, path)
            result = verify(read_vnnlib(path), settings, network=network)
            results.append(result)
            if result.subproblems > most:
                most, example = result.subproblems, path
        rows.append(_row(radius, results, time.perf_counter() - begun))
    return ResidualReport(network, tuple(rows), example)


def write_property(digits: Digits, index: int, radius: int, path: Path) -> None:
    """Can the class of a digit change where every pixel moves by up to ``radius`` of 255 grey levels?"""
    grey = digits.images[index].astype(np.int64)
    lower, upper = ((np.clip(grey + step, 0, 255) / 255).astype(np.float32) for step in (-radius, radius))
    text = robustness_vnnlib(lower, upper, int(digits.labels[index]), 10, title="Digits")
    write_bytes(path, text.encode(), durable=False)


def _row(radius: int, results: Sequence[Result], seconds: float) -> ResidualRow:
    verdicts = [result.verdict for result in results]
    return ResidualRow(
        radius=radius,
        robust=verdicts.count(Verdict.UNSAT),
        vulnerable=verdicts.count(Verdict.SAT),
        undecided=sum(not verdict.decided for verdict in verdicts),
        seconds=round(seconds, 3),
        methods=dict(sorted(Counter(result.method for result in results).items())),
        subproblems=sum(result.subproblems for result in results),
        verdicts=tuple(verdict.for_robustness for verdict in verdicts),
    )
