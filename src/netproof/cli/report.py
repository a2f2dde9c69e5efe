"""``netproof report``: a run as a page, and in the forms that other programs read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o

if TYPE_CHECKING:
    from netproof.report.entries import RunReport

RunFolderPath = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder of 'bench run', 'bench radius' or 'robust --out'.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The page (default: DIR/report.html).")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="JUnit XML: one test case per instance.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="A JSON document (netproof-report-1).")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="A table with one line per instance.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Totals and what is not robust.")]
Against = Annotated[
    Path | None, typer.Option("--against", metavar="PATH", help="Times to compare with: a folder of a run, or a CSV.")
]
Requirements = Annotated[
    Path | None, typer.Option("--requirements", metavar="FILE", help="CSV: instance or pattern, requirement.")
]
Html = Annotated[Path | None, typer.Option("--html", hidden=True)]
FailOn = Annotated[
    str | None,
    typer.Option("--fail-on", metavar="VERDICT,...", help="Exit with 1 at any of these; they fail in the JUnit file."),
]


def report(
    folder: RunFolderPath,
    *,
    out: Out = None,
    junit: Junit = None,
    json_file: JsonFile = None,
    csv: Csv = None,
    markdown: Markdown = None,
    against: Against = None,
    requirements: Requirements = None,
    data: o.DataFolder = None,
    html: Html = None,
    fail_on: FailOn = None,
) -> None:
    """Write a page of a run, and what other programs read.

    Without --out the page is written where none of the other forms is asked for. Exits with 1 where a verdict is one of --fail-on; with timeout, unknown or error among them also where an instance has no answer, or may have none.
    """
    from netproof.benchmarks.data import DataFolders
    from netproof.cli.arguments.fail_on import failing
    from netproof.cli.terminal.output import check_writable, is_same_file
    from netproof.errors import InputError
    from netproof.files.opened import write_bytes
    from netproof.report.entries import RunReport, read_requirements, read_times
    from netproof.report.exports.documents import report_cases, report_csv, report_document, report_markdown
    from netproof.report.exports.junit import FAILING
    from netproof.report.exports.junit import junit as junit_document
    from netproof.report.page.html import page
    from netproof.runs.folder import RECORDS

    if html is not None:
        raise InputError("--html", "is no option of this command", f"the page is HTML: give --out {html}")
    fails = failing(fail_on)
    files = {"--out": out, "--junit": junit, "--json": json_file, "--csv": csv, "--markdown": markdown}
    for option, path in files.items():
        if path is not None:
            check_writable(path, option)
            if path.name in RECORDS and is_same_file(str(path.parent), folder):
                raise InputError(
                    path, f"is the run's own record, and {option} would overwrite it", "give it another name"
                )
    required = () if requirements is None else read_requirements(requirements)
    other = None if against is None else read_times(against)
    found = RunReport.read(folder, DataFolders.locate(data), required)
    if out is None and not any(files.values()):
        out = folder / "report.html"
    written: list[tuple[Path, bytes]] = []
    if out is not None:
        written.append((out, page(found, Path(os.path.realpath(out)).parent, other).encode("utf-8")))
    if junit is not None:
        written.append((junit, junit_document(found.summary.benchmark, report_cases(found), fails or FAILING)))
    if json_file is not None:
        text = json.dumps(report_document(found), indent=1, allow_nan=False)
        written.append((json_file, text.encode("utf-8") + b"\n"))
    if csv is not None:
        written.append((csv, report_csv(found).encode("utf-8")))
    if markdown is not None:
        written.append((markdown, report_markdown(found).encode("utf-8")))
    for path, content in written:
        write_bytes(path, content)
        typer.echo(f"written to {path} ({len(content)} bytes)")
    if not found.complete:
        typer.echo(found.standing, err=True)
    if not _passes(found, fails):
        raise typer.Exit(1)


def _passes(found: RunReport, fails: frozenset[str]) -> bool:
    """Whether a gate lets the run pass; says on standard error why not."""
    from netproof.report.exports.junit import NO_ANSWER

    failed = [entry.instance for entry in found.entries if entry.verdict in fails]
    if failed:
        typer.echo(f"CHECK FAILED: {len(failed)} of {len(found.entries)} instances, {failed[0]} first", err=True)
    # One that lets no open verdict pass lets none pass that is not there, or may not be.
    unanswered = bool(fails & NO_ANSWER) and not (found.complete and found.answered)
    if unanswered:
        typer.echo(f"CHECK FAILED: {found.standing}", err=True)
    return not (failed or unanswered)
