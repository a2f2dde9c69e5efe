"""A training in a folder: checkpoints as it goes, a log, and the network in ONNX at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from netproof.errors import FormatError, InputError
from netproof.files.opened import write_bytes
from netproof.formats.onnx.writing.graph import graph_onnx
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.training.certified import CertifiedTraining, TrainingStep
from netproof.training.checkpoint import Plain, read_checkpoint, write_checkpoint

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
#: seconds after which a step is followed by a checkpoint, whether or not an epoch ends
_INTERVAL = 60.0
#: no number of a log is larger
_LARGEST = 1e300


@dataclass(frozen=True)
class EpochRow:
    """What an epoch ended with, and the means over its steps."""

    epoch: int
    radius: float
    kappa: float
    beta: float
    loss: float
    correct: float
    proved: float


class TrainingRun:
    """Runs a training, from its checkpoint where there is one.

    Parameters
    ----------
    training : at its beginning
    folder : of checkpoint, log and networks
    identity : all that the course of the training depends on; a checkpoint of another one is refused

    Attributes
    ----------
    rows : of the epochs that are done
    resumed : how many steps the checkpoint had
    """

    def __init__(self, training: CertifiedTraining, folder: Path, identity: Mapping[str, Plain]) -> None:
        self._training, self._folder, self._identity = training, folder, identity
        self._checkpoint = folder / CHECKPOINT
        self.rows: list[EpochRow] = []
        self._sums = [0.0, 0.0, 0.0]
        if self._checkpoint.exists():
            self._restore(read_checkpoint(self._checkpoint, identity)[1])
        self.resumed = training.steps_done

    def run(self) -> Iterator[TrainingStep]:
        """Train to the end, step by step; what is on record when a step is given out is not lost.

        Raises :class:`netproof.errors.InputError` where a checkpoint cannot be written, or the loss is no number.
        """
        training, saved = self._training, time.monotonic()
        while training.steps_done < training.steps:
            step = training.step()
            for place, value in enumerate((step.loss, step.correct, step.proved)):
                self._sums[place] += value
            ended = training.steps_done % training.steps_per_epoch == 0
            if ended:
                self._end_epoch()
            if ended or time.monotonic() - saved >= _INTERVAL:
                self._save()
                saved = time.monotonic()
            yield step

    def write_networks(self, name: str) -> list[Path]:
        """Write the network as it is now, with its batch norms and (where it has any) with these folded."""
        graph = self._training.network.trained_graph()
        written = [self._folder / f"{name}.onnx"]
        write_bytes(written[0], graph_onnx(graph, name))
        if any(isinstance(node.operator, BatchNorm) for node in graph.nodes):
            written.append(self._folder / f"{name}-folded.onnx")
            write_bytes(written[1], graph_onnx(graph, name, fold=True))
        return written

    def _end_epoch(self) -> None:
        training = self._training
        now = training.options.schedule.at(training.epoch - 1 / training.steps_per_epoch)
        means = (total / training.steps_per_epoch for total in self._sums)
        self.rows.append(EpochRow(round(training.epoch), now.radius, now.kappa, now.beta, *means))
        self._sums = [0.0, 0.0, 0.0]

    def _save(self) -> None:
        rows = [list(astuple(row)) for row in self.rows]
        state = {"training": self._training.state(), "rows": rows, "sums": self._sums}
        head = ",".join(field.name for field in fields(EpochRow))
        lines = [",".join(f"{value:.6g}" for value in row) for row in rows]
        try:
            # The log first: killed in between, training goes on from the checkpoint before and writes both again.
            write_bytes(self._folder / LOG, "\n".join([head, *lines, ""]).encode("ascii"))
            write_checkpoint(self._checkpoint, self._identity, len(rows), state)
        except InputError as error:
            kept = "the last good checkpoint is kept" if self._checkpoint.exists() else "there is no checkpoint yet"
            hint = f"free some space and run the same command again: {kept}"
            raise InputError(error.source, error.problem, hint) from None

    def _restore(self, state: Mapping[str, Any]) -> None:
        try:
            training, rows, sums = state.get("training"), state.get("rows"), state.get("sums")
            if not isinstance(training, dict) or not isinstance(rows, list):
                raise ValueError("no training")
            if not all(_are_numbers(row, len(fields(EpochRow))) for row in rows) or not _are_numbers(sums, 3):
                raise ValueError("a log that is none")
            self._training.restore(training)
        except ValueError as error:
            raise FormatError(
                self._checkpoint,
                f"does not fit this network: it holds {error}",
                "move it away and train from the beginning",
            ) from None
        self.rows = [EpochRow(*row) for row in rows]
        self._sums = [float(value) for value in sums]


def _are_numbers(values: object, count: int) -> TypeGuard[list[float]]:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, (int, float)) and abs(value) < _LARGEST for value in values)
    )
