"""A run as JSON, CSV and Markdown. The JSON has a schema of its own, ``report.schema.json`` beside this file."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path

from netproof.report.document import summary_document
from netproof.report.entries import Entry, RunReport
from netproof.report.exports.junit import Case
from netproof.report.summary import TYPES
from netproof.report.text import seconds_text
from netproof.version import netproof_version

#: what a document says it is; another number where fields change their meaning or go
FORMAT = "netproof-report-1"
_COLUMNS = (
    "instance", "network", "group", "radius", "verdict", "seconds", "method", "bound", "reason", "published", "contradicts",
    "requirements", "witness", "certificate", "label", "norm",
)  # fmt: skip


def report_document(report: RunReport) -> dict[str, object]:
    """The run as plain values; paths of evidence are relative to the run's folder."""
    return {
        "format": FORMAT,
        "netproof": netproof_version(),
        "benchmark": report.summary.benchmark,
        "description": report.description,
        "files": dict(report.record.files),
        "invocations": [dict(invocation) for invocation in report.record.invocations],
        "summary": {
            **summary_document(report.summary, wall_seconds=report.record.wall_seconds),
            "asked": report.asked,
            "missing": list(report.missing),
            "running": report.running,
        },
        "instances": [_values(report, entry) for entry in report.entries],
    }


def _values(report: RunReport, entry: Entry) -> dict[str, object]:
    return {
        "instance": entry.instance,
        "network": entry.network,
        "group": entry.group,
        "radius": entry.radius or None,
        "verdict": entry.verdict or None,
        "seconds": round(entry.seconds, 6),
        "method": entry.method,
        "bound": entry.bound if entry.bound is not None and math.isfinite(entry.bound) else None,
        "reason": entry.reason,
        "published": entry.published or None,
        "contradicts": entry.contradicts,
        "requirements": list(entry.requirements),
        "witness": _place(report.folder, entry.witness),
        "certificate": _place(report.folder, entry.certificate),
        "label": entry.label or None,
        "norm": entry.norm or None,
    }


def _place(folder: Path, path: Path | None) -> str | None:
    return None if path is None else Path(os.path.relpath(path, folder)).as_posix()


def report_csv(report: RunReport) -> str:
    """One line per instance, with a header; several requirements are apart by semicolons."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in report.entries:
        values = _values(report, entry) | {"requirements": ";".join(entry.requirements)}
        writer.writerow(["" if values[name] is None else values[name] for name in _COLUMNS])
    return stream.getvalue()


def report_markdown(report: RunReport) -> str:
    """The totals, the groups, and what is not robust, as tables."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: RunReport) -> Iterator[str]:
    summary = report.summary
    kinds = [kind for kind in TYPES if summary.counts[kind]]
    yield f"# {_cell(summary.benchmark)}\n"
    yield f"{_cell(report.record.conditions)}\n"
    yield f"{report.standing}.\n"
    yield f"{summary.decided} of {summary.total} instances decided; times: sum {seconds_text(summary.seconds_sum)}, median {seconds_text(summary.seconds_median)}, longest {seconds_text(summary.seconds_max)}.\n"
    yield f"| group | {' | '.join(kinds)} |"
    yield f"| --- |{' ---: |' * len(kinds)}"
    for block in summary.blocks:
        yield f"| {_cell(block.name) or 'all'} | {' | '.join(str(len(block.ours[kind])) for kind in kinds)} |"
    rest = [entry for entry in report.entries if entry.verdict not in ("robust", "unsat")]
    if rest:
        yield "\n| instance | verdict | time | requirement | |"
        yield "| --- | --- | ---: | --- | --- |"
        for entry in rest:
            spent = seconds_text(entry.seconds) if entry.verdict else ""
            said = entry.reason or ("contradicts the published verdict" if entry.contradicts else "")
            cells = (entry.instance, entry.verdict or "not run", spent, ", ".join(entry.requirements), said)
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def report_cases(report: RunReport) -> list[Case]:
    """The instances as test cases."""
    missing = frozenset(report.missing)
    return [
        Case(
            f"{report.summary.benchmark}: {entry.group}" if entry.group else report.summary.benchmark,
            entry.instance,
            entry.verdict,
            entry.seconds,
            report.standing if entry.instance in missing else _said(entry),
            entry.requirements,
            entry.contradicts,
            entry.instance in missing,
        )
        for entry in report.entries
    ]


def _said(entry: Entry) -> str:
    if entry.contradicts:
        return f"published is {entry.published}"
    return entry.reason or ("" if entry.verdict in ("robust", "unsat") else entry.evidence)
